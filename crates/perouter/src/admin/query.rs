//! What `/v1/routes` is asked, from its parameters to engine queries.
//!
//! A question is answered with a bounded number of bounded engine queries, whatever the table: listings are
//! pages, and a single prefix among a peer's routes is looked up by its possible lengths.

use std::net::IpAddr;

use engine::{RouteQuery, RouteView, Select};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Deserialize;
use wire::Family;

use super::{NoPeer, Source, find_peer, model};

/// Destinations of a page when the question does not say.
const DEFAULT_LIMIT: usize = 500;
/// Most destinations of a page, so that an answer stays within a few megabytes.
const MAX_LIMIT: usize = 2_000;

/// The parameters as they arrive.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    family: Option<String>,
    prefix: Option<String>,
    longest: Option<String>,
    received: Option<String>,
    advertised: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

/// A question that cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It makes no sense.
    Senseless(String),
    /// It names a peer that does not exist.
    UnknownPeer(String),
}

impl From<NoPeer> for Refused {
    fn from(no_peer: NoPeer) -> Self {
        match no_peer {
            NoPeer::Unknown(sentence) => Self::UnknownPeer(sentence),
            NoPeer::Several(sentence) => Self::Senseless(sentence),
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// A part of a listing.
    Page {
        /// The families to list, in order.
        families: Vec<Family>,
        /// Whose routes.
        of: Of,
        /// Resume after this one.
        after: Option<IpNet>,
        /// Most destinations.
        limit: usize,
    },
    /// One destination.
    One {
        /// Exactly this one, or the one to be contained.
        prefix: IpNet,
        /// Which of the two.
        longest: bool,
        /// Among whose routes.
        of: Of,
    },
}

/// Whose routes a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// The router's own table.
    Router,
    /// Received from this peer.
    Received(IpAddr),
    /// Advertised to this peer.
    Advertised(IpAddr),
}

impl Of {
    fn select(self) -> Select {
        match self {
            Self::Router => Select::All,
            Self::Received(peer) => Select::Received(peer),
            Self::Advertised(peer) => Select::Advertised(peer),
        }
    }
}

/// Reads the parameters; `peers` are those that exist.
pub(super) fn parse(params: &Params, peers: &[model::PeerRef]) -> Result<Ask, Refused> {
    let family = params.family.as_deref().map(family).transpose()?;
    let prefix = params.prefix.as_deref().map(|text| prefix("prefix", text)).transpose()?;
    let after = params.after.as_deref().map(|text| self::prefix("after", text)).transpose()?;
    let longest = match params.longest.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return senseless(format!("longest={other}: use true or false")),
    };
    let limit = match params.limit.as_deref() {
        None => DEFAULT_LIMIT,
        Some(text) => match text.parse::<usize>() {
            Ok(limit) if limit > 0 => limit.min(MAX_LIMIT),
            Ok(_) | Err(_) => {
                return senseless(format!("limit={text}: use a number from 1 to {MAX_LIMIT}"));
            }
        },
    };
    let peer = |wanted: &String| find_peer(wanted, peers).map(|at| peers[at].address).map_err(Refused::from);
    let of = match (&params.received, &params.advertised) {
        (None, None) => Of::Router,
        (Some(wanted), None) => Of::Received(peer(wanted)?),
        (None, Some(wanted)) => Of::Advertised(peer(wanted)?),
        (Some(_), Some(_)) => {
            return senseless("received and advertised exclude each other".to_owned());
        }
    };
    let of_family = |name: &str, prefix: &IpNet| match family {
        Some(family) if family != Family::of(prefix) => senseless(format!("{name}={prefix} is not {family}")),
        Some(_) | None => Ok(()),
    };
    if let Some(after) = &after {
        of_family("after", after)?;
    }
    let Some(prefix) = prefix else {
        if longest {
            return senseless("longest=true needs a prefix".to_owned());
        }
        let families = match (family, &after) {
            (Some(family), _) => vec![family],
            (None, Some(after)) => Family::ALL[Family::of(after).index()..].to_vec(),
            (None, None) => Family::ALL.to_vec(),
        };
        return Ok(Ask::Page { families, of, after, limit });
    };
    of_family("prefix", &prefix)?;
    Ok(Ask::One { prefix, longest, of })
}

fn senseless<T>(sentence: String) -> Result<T, Refused> {
    Err(Refused::Senseless(sentence))
}

fn family(text: &str) -> Result<Family, Refused> {
    match text {
        "ipv4" | "ipv4unicast" => Ok(Family::Ipv4Unicast),
        "ipv6" | "ipv6unicast" => Ok(Family::Ipv6Unicast),
        other => senseless(format!("family={other}: use ipv4unicast or ipv6unicast")),
    }
}

fn prefix(name: &str, text: &str) -> Result<IpNet, Refused> {
    text.parse::<IpAddr>()
        .map(IpNet::from)
        .or_else(|_| text.parse::<IpNet>())
        .map(|prefix| prefix.trunc())
        .or_else(|_| senseless(format!("{name}={text}: neither an address nor a prefix")))
}

/// The engine's answer: destinations, and where the next page starts. `None` when the speaker has stopped.
pub(super) async fn answer(source: &impl Source, ask: &Ask) -> Option<(Vec<RouteView>, Option<IpNet>)> {
    match ask {
        Ask::Page { families, of, after, limit } => page(source, families, *of, *after, *limit).await,
        Ask::One { prefix, longest, of: Of::Router } => {
            let select = if *longest { Select::Longest(*prefix) } else { Select::Exact(*prefix) };
            let query = RouteQuery { family: Family::of(prefix), select, after: None, limit: 1 };
            Some((source.routes(query).await?, None))
        }
        Ask::One { prefix, longest, of } => {
            let found = find_among(source, *of, *prefix, *longest).await?;
            Some((found.into_iter().collect(), None))
        }
    }
}

async fn page(
    source: &impl Source,
    families: &[Family],
    of: Of,
    mut after: Option<IpNet>,
    limit: usize,
) -> Option<(Vec<RouteView>, Option<IpNet>)> {
    let mut routes = Vec::new();
    for family in families {
        let wanted = limit - routes.len();
        let query = RouteQuery { family: *family, select: of.select(), after: after.take(), limit: wanted };
        routes.extend(source.routes(query).await?);
        if routes.len() >= limit {
            break;
        }
    }
    let next = if routes.len() >= limit { routes.last().map(|route| route.prefix) } else { None };
    Some((routes, next))
}

/// One destination among a peer's routes. The engine selects by peer or by prefix, not by both: the whole
/// destination says whether it concerns the peer, and only what is sent must then be looked up in its place.
async fn find_among(source: &impl Source, of: Of, prefix: IpNet, longest: bool) -> Option<Option<RouteView>> {
    let shortest = if longest { 0 } else { prefix.prefix_len() };
    for length in (shortest..=prefix.prefix_len()).rev() {
        let candidate = IpNet::new(prefix.addr(), length).expect("shorter than a valid length").trunc();
        let family = Family::of(&candidate);
        let query = RouteQuery { family, select: Select::Exact(candidate), after: None, limit: 1 };
        let Some(mut route) = source.routes(query).await?.pop() else { continue };
        match of {
            Of::Router => return Some(Some(route)),
            Of::Received(peer) => {
                route.paths.retain(|path| path.peer == Some(peer));
                if !route.paths.is_empty() {
                    return Some(Some(route));
                }
            }
            Of::Advertised(peer) if route.advertised_to.contains(&peer) => {
                // In prefix order all prefixes with one network address stand together, and they are few.
                let limit = usize::from(candidate.max_prefix_len()) + 1;
                let query = RouteQuery { family, select: of.select(), after: before(candidate.addr()), limit };
                let sent = source.routes(query).await?.into_iter().find(|route| route.prefix == candidate);
                if sent.is_some() {
                    return Some(sent);
                }
            }
            Of::Advertised(_) => {}
        }
    }
    Some(None)
}

/// The last prefix in order before all those with this network address; `None` before the first.
fn before(network: IpAddr) -> Option<IpNet> {
    Some(match network {
        IpAddr::V4(address) => IpNet::V4(Ipv4Net::from(std::net::Ipv4Addr::from(u32::from(address).checked_sub(1)?))),
        IpAddr::V6(address) => IpNet::V6(Ipv6Net::from(std::net::Ipv6Addr::from(u128::from(address).checked_sub(1)?))),
    })
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;

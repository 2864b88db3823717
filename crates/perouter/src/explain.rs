//! `perouter explain`: the walk of a packet through host and router, by the kernel's own lookups.
//!
//! Owns nothing. Is told where to begin; asks the kernel ([`kernel::lookup`]) in one namespace after the other, as the veth pair
//! joins them. Emits a [`Walk`]. Does not know BGP: what it says of the address is added by `admin`.

use std::io;
use std::net::IpAddr;

use kernel::host::{PT_HOST, PT_NS};
use kernel::lookup::{self, Answer, Fate, Packet, Way};
use kernel::netns::Namespace;

use crate::admin::model::{Place, Step, Walk};

/// More lookups than a packet can need on one node: beyond, it goes in circles.
const LONGEST: usize = 6;

/// The two namespaces of a node, or the only one of a plain speaker.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// `None`: a plain speaker has no host.
    pub(crate) host: Option<Namespace>,
    /// The router's.
    pub(crate) router: Namespace,
}

/// Where a packet begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// In which namespace.
    pub(crate) place: Place,
    /// The link that it came over.
    pub(crate) input: Option<String>,
    /// Where it goes.
    pub(crate) destination: IpAddr,
    /// Where it comes from.
    pub(crate) source: Option<IpAddr>,
}

/// How a walk ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// At home.
    Here(Place),
    /// Over a link that leads away.
    Away(Place, String),
    /// Nowhere.
    Lost(String),
}

/// A walk with what else was learned on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    pub(crate) steps: Vec<Step>,
    pub(crate) end: End,
    /// The source: as asked, or the kernel's choice.
    pub(crate) source: Option<IpAddr>,
}

impl Walked {
    /// For the model. `wanted` says whether the end is a good one.
    pub(crate) fn into_model(self, wanted: impl FnOnce(&End) -> bool) -> Walk {
        Walk { good: wanted(&self.end), end: self.end.to_string(), steps: self.steps }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here(place) => write!(f, "it is for the {} itself", place.name()),
            Self::Away(Place::Host, link) => write!(f, "it leaves the host through {link}, past the router"),
            Self::Away(Place::Router, link) => write!(f, "it leaves to the fabric through {link}"),
            Self::Lost(why) => f.write_str(why),
        }
    }
}

impl Places {
    /// The links of a namespace by name.
    fn index(&self, place: Place, link: &str) -> io::Result<Option<u32>> {
        let links = kernel::monitor::links(self.namespace(place))?;
        Ok(links.into_iter().find(|one| one.name == link).map(|link| link.index))
    }

    fn namespace(&self, place: Place) -> &Namespace {
        match (place, &self.host) {
            (Place::Host, Some(host)) => host,
            (Place::Host, None) | (Place::Router, _) => &self.router,
        }
    }

    /// Follows a packet to where it leaves the node, is delivered or is lost. Blocks for netlink.
    ///
    /// # Errors
    /// The kernel cannot be asked.
    pub(crate) fn walk(&self, start: Start) -> io::Result<Walked> {
        let Start { mut place, mut input, destination, mut source } = start;
        let mut steps = Vec::new();
        while steps.len() < LONGEST {
            let link = match &input {
                Some(link) => match self.index(place, link)? {
                    Some(index) => Some(index),
                    None => {
                        let end = End::Lost(format!("{} has no link {link}", place.name()));
                        return Ok(Walked { steps, end, source });
                    }
                },
                None => None,
            };
            let answer = lookup::lookup(self.namespace(place), Packet { destination, source, input: link })?;
            let fate = answer.fate.clone();
            steps.push(step(place, input.take(), answer));
            let way = match fate {
                Fate::Local => return Ok(Walked { steps, end: End::Here(place), source }),
                Fate::Dropped(why) => {
                    let end = End::Lost(format!("the {} drops it: {why}", place.name()));
                    return Ok(Walked { steps, end, source });
                }
                Fate::Out(way) => way,
            };
            source = source.or(way.source);
            if let Some(end) = unanswered(&way, destination) {
                return Ok(Walked { steps, end, source });
            }
            (place, input) = match (place, way.name.as_str()) {
                (Place::Host, PT_HOST) => (Place::Router, Some(PT_NS.to_owned())),
                (Place::Router, PT_NS) if self.host.is_some() => (Place::Host, Some(PT_HOST.to_owned())),
                _ => return Ok(Walked { steps, end: End::Away(place, way.name), source }),
            };
        }
        let end = End::Lost("it goes in circles between host and router".to_owned());
        Ok(Walked { steps, end, source })
    }
}

fn unanswered(way: &Way, destination: IpAddr) -> Option<End> {
    way.neighbor.as_ref().filter(|neighbor| neighbor.is_dead())?;
    let next_hop = way.gateway.unwrap_or(destination);
    Some(End::Lost(format!("nobody answers at {next_hop} on {}", way.name)))
}

fn step(place: Place, input: Option<String>, answer: Answer) -> Step {
    let Answer { table, rule, route, fate } = answer;
    let (next_hop, link, neighbor, fate) = match fate {
        Fate::Local => (None, None, None, "delivered here".to_owned()),
        Fate::Dropped(why) => (None, None, None, format!("dropped: {why}")),
        Fate::Out(way) => {
            let neighbor = way.neighbor.as_ref().map(ToString::to_string);
            let words = match way.gateway {
                Some(gateway) => format!("to {gateway} through {}", way.name),
                None => format!("directly through {}", way.name),
            };
            (way.gateway, Some(way.name), neighbor, words)
        }
    };
    // Where the kernel names no rule, the table says as much.
    let rule = rule.or_else(|| (table > 0).then(|| format!("lookup {}", lookup::table_name(table))));
    Step {
        place,
        input,
        rule,
        route: route.map(|route| route.prefix),
        protocol: route.map(|route| route.protocol_name()),
        metric: route.map(|route| route.metric),
        next_hop,
        link,
        neighbor,
        fate,
    }
}

#[cfg(test)]
mod tests {
    use kernel::lookup::{Matched, Neighbor};

    use super::*;

    fn way(name: &str, state: &'static str) -> Way {
        Way {
            link: 4,
            name: name.to_owned(),
            gateway: Some(IpAddr::from([192, 168, 11, 2])),
            source: None,
            neighbor: Some(Neighbor { state, address: None }),
        }
    }

    #[test]
    fn a_step_says_rule_route_next_hop_link_and_neighbour() {
        let route = Matched { prefix: "10.1.0.0/16".parse().unwrap(), protocol: 168, metric: 20 };
        let answer = Answer {
            table: 254,
            rule: Some("32766: from all lookup main".to_owned()),
            route: Some(route),
            fate: Fate::Out(way("eth1", "REACHABLE")),
        };
        let step = step(Place::Router, Some("pt-ns".to_owned()), answer);
        assert_eq!((step.protocol.as_deref(), step.link.as_deref()), (Some("perouter"), Some("eth1")));
        assert_eq!(step.fate, "to 192.168.11.2 through eth1");
        assert_eq!(step.neighbor.as_deref(), Some("REACHABLE"));
    }

    #[test]
    fn a_next_hop_that_failed_is_nobody() {
        let destination = IpAddr::from([10, 1, 0, 1]);
        let end = unanswered(&way("eth1", "FAILED"), destination).unwrap();
        assert_eq!(end.to_string(), "nobody answers at 192.168.11.2 on eth1");
        assert_eq!(unanswered(&way("eth1", "STALE"), destination), None);
    }
}

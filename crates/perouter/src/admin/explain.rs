//! `/v1/explain`: a packet's walk, the answer's, and what BGP says of both ends.

use std::net::IpAddr;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use engine::snapshot::PeerState;
use engine::{Family, RouteQuery, RouteView, Select, Snapshot};
use ipnet::IpNet;
use kernel::netns::Namespace;
use serde::Deserialize;

use super::Source;
use super::convert::{self, Names};
use super::model::{Announced, Explanation, Place, Side};
use super::server::{App, Refuse};
use crate::explain::{End, Places, Start, Walked};
use crate::status::Mode;

/// What is asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    address: String,
    from: Option<Side>,
    source: Option<String>,
}

pub(super) async fn get<S: Source>(
    State(app): State<App<S>>,
    params: Result<Query<Params>, QueryRejection>,
) -> Result<Json<Explanation>, Refuse> {
    let Query(params) = params.map_err(|error| Refuse(StatusCode::BAD_REQUEST, error.body_text()))?;
    let address = parse("address", &params.address)?;
    let source = params.source.as_deref().map(|source| parse("source", source)).transpose()?;
    if source.is_some_and(|source| source.is_ipv4() != address.is_ipv4()) {
        return Err(Refuse(StatusCode::BAD_REQUEST, "address and source are of different families".to_owned()));
    }
    let snapshot = app.source.snapshot().await.ok_or_else(Refuse::stopped)?;
    let from = params.from.unwrap_or(Side::Host);
    let data = app.status.read();
    let entry = entry(&snapshot, address, &data.nics);
    let (mode, namespace) = (data.mode, data.namespace);
    let walked = tokio::task::spawn_blocking(move || {
        let places = places(mode, namespace.as_deref())?;
        walks(&places, from, address, source, entry)
    });
    let cannot = |why: String| Refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("the kernel cannot be asked: {why}"));
    let (there, back) =
        walked.await.map_err(|error| cannot(error.to_string()))?.map_err(|error| cannot(error.to_string()))?;

    let route = longest(&app.source, address).await?;
    let names = Names::of(&snapshot);
    let announced = match (from, there.source) {
        (Side::Host, Some(source)) => {
            longest(&app.source, source).await?.map(|view| announced(&snapshot, &names, &view))
        }
        (Side::Host, None) | (Side::Fabric, _) => None,
    };
    let route = route.map(|view| convert::route(&names, &view));
    Ok(Json(explanation(from, address, source.is_none(), there, back, route, announced)))
}

fn parse(name: &str, text: &str) -> Result<IpAddr, Refuse> {
    text.parse().map_err(|_| Refuse(StatusCode::BAD_REQUEST, format!("{name}={text}: not an address")))
}

/// Where the fabric's packets come in, and from whom: the first session with it that is up and carries the family, else a NIC.
fn entry(snapshot: &Snapshot, address: IpAddr, nics: &[String]) -> (Option<IpAddr>, Option<String>) {
    let fabric = snapshot.peers.iter().filter(|peer| peer.role == engine::intent::Role::Fabric);
    let up = fabric.filter(|peer| peer.state == PeerState::Established && peer.address.is_ipv4() == address.is_ipv4());
    // A link-local address says nothing beyond its link.
    let source = up.map(|peer| peer.address).find(|address| !is_link_local(*address));
    (source, nics.first().cloned())
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

fn places(mode: Mode, namespace: Option<&str>) -> std::io::Result<Places> {
    let here = Namespace::current()?;
    match (mode, namespace) {
        (Mode::Run, Some(name)) => {
            let gone = || std::io::Error::other(format!("there is no network namespace {name}"));
            Ok(Places { host: Some(here), router: Namespace::open(name)?.ok_or_else(gone)? })
        }
        (Mode::Run | Mode::Speak, _) => Ok(Places { host: None, router: here }),
    }
}

/// The way there and, when somebody gets it and would answer, the way back.
fn walks(
    places: &Places,
    from: Side,
    address: IpAddr,
    source: Option<IpAddr>,
    entry: (Option<IpAddr>, Option<String>),
) -> std::io::Result<(Walked, Option<Walked>)> {
    let start = match from {
        Side::Host => Start { place: Place::Host, input: None, destination: address, source },
        Side::Fabric => {
            let source = source.or(entry.0);
            let input = incoming(places, source)?.or(entry.1);
            Start { place: Place::Router, input, destination: address, source }
        }
    };
    let start = if places.host.is_none() { Start { place: Place::Router, ..start } } else { start };
    let there = places.walk(start)?;
    let (Some(source), true) = (there.source, arrives(from, &there.end)) else { return Ok((there, None)) };
    let start = match (&there.end, from) {
        (End::Away(Place::Router, link), Side::Host) => {
            Start { place: Place::Router, input: Some(link.clone()), destination: source, source: Some(address) }
        }
        (End::Away(Place::Host, link), Side::Fabric) => {
            Start { place: Place::Host, input: Some(link.clone()), destination: source, source: Some(address) }
        }
        (End::Here(place), Side::Fabric) => {
            Start { place: *place, input: None, destination: source, source: Some(address) }
        }
        // To itself, or past the router: there is nothing of ours on the way back.
        (End::Here(_) | End::Away(..) | End::Lost(_), _) => return Ok((there, None)),
    };
    let back = places.walk(start)?;
    Ok((there, Some(back)))
}

/// The link over which the fabric's packets of this source come: the one that the router would answer over.
fn incoming(places: &Places, source: Option<IpAddr>) -> std::io::Result<Option<String>> {
    let Some(source) = source else { return Ok(None) };
    let start = Start { place: Place::Router, input: None, destination: source, source: None };
    match places.walk(start)?.end {
        End::Away(Place::Router, link) => Ok(Some(link)),
        End::Away(Place::Host, _) | End::Here(_) | End::Lost(_) => Ok(None),
    }
}

/// Whether the end of a walk from there is what was meant.
fn arrives(from: Side, end: &End) -> bool {
    match (from, end) {
        (_, End::Lost(_)) => false,
        (Side::Host, End::Here(_) | End::Away(..)) => true,
        // What the fabric sends here and leaves to it again is not for us.
        (Side::Fabric, End::Away(place, _)) => *place == Place::Host,
        (Side::Fabric, End::Here(_)) => true,
    }
}

/// The longest match of an address, with whom it is told to.
async fn longest(source: &impl Source, address: IpAddr) -> Result<Option<RouteView>, Refuse> {
    let prefix = IpNet::from(address);
    let query = RouteQuery { family: Family::of(&prefix), select: Select::Longest(prefix), after: None, limit: 1 };
    Ok(source.routes(query).await.ok_or_else(Refuse::stopped)?.pop())
}

fn announced(snapshot: &Snapshot, names: &Names, view: &RouteView) -> Announced {
    let fabric = |address: &&IpAddr| {
        snapshot.peers.iter().any(|peer| peer.address == **address && peer.role == engine::intent::Role::Fabric)
    };
    let to = view.advertised_to.iter().filter(fabric).map(|address| names.peer(*address)).collect();
    Announced { prefix: view.prefix, to }
}

/// The end of a walk, as whoever began it there sees it.
fn sentence(from: Side, end: &End) -> String {
    match (from, end) {
        (Side::Fabric, End::Away(Place::Host, link)) => {
            format!("it arrives at the host, which passes it on through {link}")
        }
        (Side::Fabric, End::Away(Place::Router, _)) => format!("{end}: it is not for this node"),
        (_, end) => end.to_string(),
    }
}

/// `assumed`: nobody named the source.
fn explanation(
    from: Side,
    address: IpAddr,
    assumed: bool,
    there: Walked,
    back: Option<Walked>,
    route: Option<super::model::Route>,
    announced: Option<Announced>,
) -> Explanation {
    let source = there.source;
    let through_router = there.steps.iter().any(|step| step.place == Place::Router);
    let leaves = matches!(there.end, End::Away(Place::Router, _));
    // A speaker alone is its own host: what comes back to it has arrived.
    let alone = from == Side::Host && there.steps.iter().all(|step| step.place == Place::Router);
    let mut verdicts = vec![sentence(from, &there.end)];
    let walk = there.into_model(|end| arrives(from, end));
    let back = back.map(|back| {
        back.into_model(|end| match (from, end) {
            (_, End::Lost(_)) => false,
            (Side::Host, End::Here(_)) if alone => true,
            (Side::Host, End::Here(place) | End::Away(place, _)) => *place == Place::Host,
            (Side::Fabric, End::Here(_)) => false,
            (Side::Fabric, End::Away(place, _)) => *place == Place::Router,
        })
    });
    // A fabric peer's own address stands for the fabric on the way here, but hosts need no route to it.
    let nobodys = assumed && from == Side::Fabric && back.as_ref().is_some_and(|back| !back.good);
    if nobodys {
        verdicts.push("whether the answer comes back depends on where it goes: name it with --source".to_owned());
    }
    let back = back.filter(|_| !nobodys);
    if let (Some(back), Some(source)) = (&back, source) {
        let words = if back.good { "the answer finds its way back" } else { "the answer does not come back" };
        let why = if back.good { String::new() } else { format!(": {}", back.end) };
        verdicts.push(format!("{words} to {source}{why}"));
    }
    // Only what leaves through the router needs the fabric to know the way back; the links of a speaker alone are its own affair.
    let announced = announced.filter(|_| leaves && through_router && !alone);
    let told = announced.as_ref().is_none_or(|announced| !announced.to.is_empty());
    if !told {
        verdicts.push(format!(
            "no fabric peer is told a route to {}: answers do not find this node",
            source.map(|source| source.to_string()).unwrap_or_default()
        ));
    }
    let good = walk.good && told && back.as_ref().is_none_or(|back| back.good);
    Explanation { address, from, source, good, verdicts, walk, back, route, announced }
}

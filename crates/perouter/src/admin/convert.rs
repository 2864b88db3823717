//! From the engine's snapshots and the daemon's status to the model. Pure: the time is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use config::verdict;
use engine::bfd::{Reason, Side, State};
use engine::snapshot::{DrainSnapshot, FamilySnapshot, PathView, PeerSnapshot, PeerState, Snapshot};
use engine::{Level, RouteView};
use kernel::monitor::LinkInfo;

use super::time::rfc3339;
use super::{health, model};
use crate::bfd::View;
use crate::journal::{About, EventRecord, Page};
use crate::moment::Moment;
use crate::status::{Mode, StatusData};

fn seconds_from(now: Moment, then: Instant) -> u64 {
    now.since(then).as_secs()
}

/// Rounded up: what is left is not over.
fn seconds_until(now: Moment, then: Instant) -> u64 {
    then.saturating_duration_since(now.instant).as_millis().div_ceil(1000) as u64
}

/// The whole status. `snapshot` is `None` when the speaker has stopped.
pub(super) fn status(
    now: Moment,
    data: &StatusData,
    warnings: &[EventRecord],
    snapshot: Option<&Snapshot>,
    bfd: &[View],
) -> model::Status {
    let mut verdicts: Vec<_> = data.verdicts.iter().map(verdict).collect();
    verdicts.sort_by_key(|verdict| verdict.outcome);
    let mut status = model::Status {
        version: data.version.to_owned(),
        mode: match data.mode {
            Mode::Run => model::Mode::Run,
            Mode::Speak => model::Mode::Speak,
        },
        pid: std::process::id(),
        started: rfc3339(data.started.wall),
        uptime_seconds: seconds_from(now, data.started.instant),
        healthy: false,
        problems: Vec::new(),
        warnings: Vec::new(),
        drain: snapshot.and_then(|snapshot| Some(drain(now, snapshot.drain.as_ref()?))),
        node: data.node.as_ref().map(|node| model::Node { name: node.name.clone(), index: node.index }),
        no_config: data.no_config.clone(),
        namespace: data.namespace.clone(),
        router: snapshot.map(router),
        verdicts,
        links: data.links.iter().map(link).collect(),
        host_errors: data
            .host_errors
            .iter()
            .map(|error| model::HostError { object: error.object.clone(), message: error.message.clone() })
            .collect(),
        host_warnings: data.host_warnings.clone(),
        peers: snapshot.map(|snapshot| peers(now, snapshot, bfd)).unwrap_or_default(),
        events: warnings.iter().map(|record| event(now, record)).collect(),
    };
    status.problems = health::problems(&status, data.waiting.as_deref(), &data.left_out);
    status.problems.extend(data.withheld.clone());
    status.warnings = health::warnings(&status.peers);
    status.warnings.extend_from_slice(&data.cluster_troubles);
    status.healthy = status.problems.is_empty();
    status
}

fn router(snapshot: &Snapshot) -> model::Router {
    // An engine without intent has neither; 0 and 0.0.0.0 are no valid values (RFC 7607, RFC 6286).
    let configured = snapshot.asn != 0;
    model::Router {
        asn: configured.then_some(snapshot.asn),
        router_id: configured.then_some(snapshot.router_id),
        destinations: snapshot
            .destinations
            .iter()
            .map(|(of, count)| model::Destinations {
                family: family(*of),
                count: *count as u64,
                paths: paths(snapshot, *of),
            })
            .collect(),
        attribute_sets: snapshot.attribute_sets as u64,
        fib: model::Fib {
            installed: snapshot.fib.installed as u64,
            pending: snapshot.fib.pending as u64,
            failed: snapshot.fib.failed as u64,
            groups: snapshot.fib.groups as u64,
        },
    }
}

fn paths(snapshot: &Snapshot, family: wire::Family) -> u64 {
    let of_family = snapshot.peers.iter().flat_map(|peer| &peer.families).filter(|counts| counts.family == family);
    of_family.map(|counts| counts.received as u64).sum()
}

/// How far draining is.
pub(super) fn drain(now: Moment, drain: &DrainSnapshot) -> model::Drain {
    let state = if drain.until.is_some() { model::DrainState::Draining } else { model::DrainState::Drained };
    model::Drain {
        state,
        since_seconds: seconds_from(now, drain.since),
        left_seconds: drain.until.map(|until| seconds_until(now, until)),
        message: drain.message.clone(),
    }
}

/// A family.
pub(super) fn family(family: wire::Family) -> model::Family {
    match family {
        wire::Family::Ipv4Unicast => model::Family::Ipv4Unicast,
        wire::Family::Ipv6Unicast => model::Family::Ipv6Unicast,
    }
}

/// A verdict.
pub(crate) fn verdict(verdict: &verdict::Verdict) -> model::Verdict {
    let (mut file, mut line, mut namespace, mut generation) = (None, None, None, None);
    match &verdict.object.source {
        verdict::Source::File { path, line: at } => {
            file = Some(path.display().to_string());
            line = (*at > 0).then_some(*at as u64);
        }
        verdict::Source::Cluster { namespace: of, generation: at } => {
            namespace = Some(of.clone());
            generation = Some(*at);
        }
    }
    let mut model = model::Verdict {
        kind: verdict.object.kind.clone(),
        name: verdict.object.name.clone(),
        file,
        line,
        namespace,
        generation,
        outcome: model::Outcome::Applied,
        warnings: Vec::new(),
        reason: None,
        field: None,
        message: None,
    };
    match &verdict.outcome {
        verdict::Outcome::Applied { warnings } => model.warnings.clone_from(warnings),
        verdict::Outcome::Rejected { reason, field, message } => {
            model.outcome = model::Outcome::Rejected;
            model.reason = Some((*reason).to_owned());
            model.field.clone_from(field);
            model.message = Some(message.clone());
        }
    }
    model
}

/// A path attribute as its specification calls it.
fn attribute(code: u8) -> String {
    match wire::attr_code::name(code) {
        Some(name) => name.to_owned(),
        None if code == 0 => "UPDATE".to_owned(),
        None => format!("attribute {code}"),
    }
}

fn link(link: &LinkInfo) -> model::Link {
    model::Link {
        name: link.name.clone(),
        index: link.index,
        kind: link.kind.clone(),
        up: link.up,
        carrier: link.carrier,
        mtu: link.mtu,
        addresses: link.addresses.clone(),
    }
}

/// A page of events of a daemon that was started then.
pub(super) fn events(now: Moment, started: Moment, page: &Page) -> model::EventPage {
    model::EventPage {
        events: page.events.iter().map(|record| event(now, record)).collect(),
        last: page.last,
        missed: page.missed,
        started: rfc3339(started.wall),
    }
}

fn event(now: Moment, record: &EventRecord) -> model::Event {
    let (peer, object) = match &record.about {
        About::Router => (None, None),
        About::Peer(peer) => (Some(*peer), None),
        About::Object(object) => (None, Some(object.clone())),
    };
    model::Event {
        number: record.number,
        at: rfc3339(record.at.wall),
        age_seconds: seconds_from(now, record.at.instant),
        level: match record.level {
            Level::Info => model::Level::Info,
            Level::Warn => model::Level::Warn,
        },
        peer,
        object,
        text: record.text.clone(),
    }
}

/// All peers.
pub(super) fn peers(now: Moment, snapshot: &Snapshot, bfd: &[View]) -> Vec<model::Peer> {
    snapshot.peers.iter().map(|one| peer(now, one, bfd)).collect()
}

fn peer(now: Moment, peer: &PeerSnapshot, bfd: &[View]) -> model::Peer {
    // Without a link of its own a link-local peer is on that of its address.
    let its =
        |view: &&View| view.wanted.peer == peer.address && (peer.link.is_none() || view.wanted.scope_link == peer.link);
    model::Peer {
        name: peer.name.clone(),
        address: peer.address,
        link: peer.link.clone(),
        range: peer.range,
        asn: peer.asn,
        role: match peer.role {
            engine::intent::Role::Fabric => model::Role::Fabric,
            engine::intent::Role::Host => model::Role::Host,
            engine::intent::Role::Peer => model::Role::Peer,
        },
        state: match peer.state {
            PeerState::Idle => model::PeerState::Idle,
            PeerState::Connect => model::PeerState::Connect,
            PeerState::Active => model::PeerState::Active,
            PeerState::OpenSent => model::PeerState::OpenSent,
            PeerState::OpenConfirm => model::PeerState::OpenConfirm,
            PeerState::Established => model::PeerState::Established,
        },
        since_seconds: seconds_from(now, peer.since),
        flaps: peer.flaps,
        local: peer.endpoints.map(|(local, _)| local),
        remote: peer.endpoints.map(|(_, remote)| remote),
        router_id: peer.router_id,
        hold_time_seconds: peer.hold_time.map(|time| time.as_secs()),
        capabilities: peer.capabilities.clone(),
        families: peer.families.iter().map(counts).collect(),
        messages_received: messages(&peer.received),
        messages_sent: messages(&peer.sent),
        malformed: peer.malformed,
        malformed_attributes: peer
            .malformed_attributes
            .iter()
            .map(|(code, count)| (attribute(*code), *count))
            .collect(),
        graceful_restart: peer.restart.as_ref().map(|agreed| model::GracefulRestart {
            restart_seconds: agreed.time.as_secs(),
            families: agreed.families.iter().map(|of| family(*of)).collect(),
            covers_notifications: agreed.notification,
        }),
        routes_kept_seconds: peer.kept_until.map(|until| seconds_until(now, until)),
        bfd: bfd.iter().find(its).map(|view| session(now, view)),
        last_error: peer.last_error.clone(),
        shut_down: peer.shut_down,
    }
}

/// A BFD session.
fn session(now: Moment, View { wanted, session, trouble }: &View) -> model::Bfd {
    let ms = |time: Duration| time.as_millis() as u64;
    model::Bfd {
        since_seconds: seconds_from(now, session.since),
        reason: session.reason.to_string(),
        times_lost: session.downs,
        multihop: wanted.multihop(),
        held_down_by_peer: session.reason == Reason::RemoteAdminDown,
        transmit_interval_ms: session.transmit_interval.map(ms),
        receive_interval_ms: session.receive_interval.map(ms),
        detection_time_ms: session.detection_time.map(ms),
        local: side(&session.local),
        remote: (session.remote.discriminator != 0).then(|| side(&session.remote)),
        received: session.received,
        sent: session.sent,
        trouble: trouble.clone(),
    }
}

fn side(side: &Side) -> model::BfdSide {
    model::BfdSide {
        state: match side.state {
            State::AdminDown => model::BfdState::AdminDown,
            State::Down => model::BfdState::Down,
            State::Init => model::BfdState::Init,
            State::Up => model::BfdState::Up,
        },
        diagnostic: side.diagnostic.to_string(),
        discriminator: side.discriminator,
        desired_min_tx_ms: side.desired_min_tx.as_millis() as u64,
        required_min_rx_ms: side.required_min_rx.as_millis() as u64,
        multiplier: side.multiplier,
        control_plane_independent: side.control_plane_independent,
    }
}

fn counts(counts: &FamilySnapshot) -> model::FamilyCounts {
    model::FamilyCounts {
        family: family(counts.family),
        received: counts.received as u64,
        accepted: counts.accepted as u64,
        advertised: counts.advertised as u64,
        own_as_in_path: counts.looping as u64,
        end_of_rib: counts.end_of_rib,
    }
}

/// Counters by the wire's type code (RFC 4271 4.1, RFC 2918).
fn messages(by_code: &[u64; 6]) -> model::Messages {
    let [_, open, update, notification, keepalive, route_refresh] = *by_code;
    model::Messages { open, update, notification, keepalive, route_refresh }
}

/// Names of peers, to be shown beside their addresses in routes.
#[derive(Debug)]
pub(super) struct Names(HashMap<IpAddr, String>);

impl Names {
    /// Those of a snapshot.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self(snapshot.peers.iter().map(|peer| (peer.address, peer.name.clone())).collect())
    }

    pub(super) fn peer(&self, address: IpAddr) -> model::PeerRef {
        // A peer that left between the snapshot and the page has only its address.
        model::PeerRef { name: self.0.get(&address).cloned().unwrap_or_default(), address }
    }
}

/// A destination.
pub(super) fn route(names: &Names, view: &RouteView) -> model::Route {
    model::Route {
        prefix: view.prefix,
        kernel: match view.installed {
            Some(true) => model::Kernel::Installed,
            Some(false) => model::Kernel::NotInstalled,
            None => model::Kernel::NotWanted,
        },
        paths: view.paths.iter().map(|one| path(names, one)).collect(),
        kernel_error: view.refusal.clone(),
        advertised_to: view.advertised_to.iter().map(|address| names.peer(*address)).collect(),
        withheld: view
            .withheld
            .iter()
            .map(|(address, reason)| model::Withheld { peer: names.peer(*address), reason: reason.clone() })
            .collect(),
    }
}

/// Adds the peers that get nothing at all to what is known of one destination.
pub(super) fn without_session(snapshot: &Snapshot, route: &mut model::Route) {
    for peer in snapshot.peers.iter().filter(|peer| peer.state != PeerState::Established) {
        let reason = format!("there is no session: {}", peer.state.name());
        let peer = model::PeerRef { name: peer.name.clone(), address: peer.address };
        route.withheld.push(model::Withheld { peer, reason });
    }
}

fn path(names: &Names, path: &PathView) -> model::Path {
    model::Path {
        from: path.peer.map(|address| names.peer(address)),
        path_id: path.path_id,
        stale: path.stale,
        usable: path.usable,
        best: path.best,
        multipath: path.multipath,
        reason: path.reason.clone(),
        next_hop: path.next_hop,
        link: path.link.clone(),
        as_path: path.as_path.clone(),
        origin: path.origin.to_owned(),
        med: path.med,
        local_pref: path.local_pref,
        communities: path.communities.clone(),
    }
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;

//! What is not as it should be, in sentences that end with the remedy where there is one. Pure.

use super::model;

/// How long BFD may take to come up before somebody is told: ten packets of a session that is not up (RFC 5880 6.8.3).
const BFD_PATIENCE: u64 = 10;

/// One sentence for each thing that is not as it should be, gravest first.
pub(super) fn problems(status: &model::Status, waiting: Option<&str>, left_out: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(reason) = waiting {
        problems.push(format!("waiting to start: {reason}"));
    } else if status.router.is_none() {
        problems.push("the BGP speaker has stopped; the daemon's log says why".to_owned());
    }
    problems.extend(status.drain.as_ref().map(drain));
    for verdict in status.verdicts.iter().filter(|verdict| verdict.outcome == model::Outcome::Rejected) {
        let message = verdict.message.as_deref().unwrap_or("no reason given");
        problems.push(format!("{} {} is rejected: {message}", verdict.kind, verdict.name));
    }
    problems.extend_from_slice(left_out);
    for error in &status.host_errors {
        problems.push(format!("{}: {}", error.object, error.message));
    }
    problems.extend(missed(status).map(session));
    problems.extend(status.peers.iter().filter_map(bfd));
    if let Some(failed) = status.router.as_ref().map(|router| router.fib.failed).filter(|failed| *failed > 0) {
        let routes = if failed == 1 { "route" } else { "routes" };
        problems.push(format!("the kernel refused {failed} {routes}; the daemon's log says why"));
    }
    problems
}

/// The peers whose session is wanted and not there.
pub(super) fn missed(status: &model::Status) -> impl Iterator<Item = &model::Peer> {
    status.peers.iter().filter(|peer| is_missed(status, peer))
}

/// One sentence for each thing that is on its way back, or that the other side wants so.
pub(super) fn warnings(peers: &[model::Peer]) -> Vec<String> {
    let restart = |peer: &model::Peer| Some(format!("{}: {}", peer.title(), peer.kept()?));
    let held = |peer: &model::Peer| {
        let bfd = peer.bfd.as_ref().filter(|bfd| bfd.held_down_by_peer)?;
        Some(format!("BFD with {}: {}; a failure is noticed by the hold time only", peer.title(), bfd.reason))
    };
    peers.iter().filter_map(restart).chain(peers.iter().filter_map(held)).collect()
}

fn drain(drain: &model::Drain) -> String {
    match drain.left_seconds {
        Some(left) => format!(
            "draining: peers are asked to move their traffic, and every session ends in {left} s; `perouter drain --undo` stops it"
        ),
        None => "drained: every session was ended on purpose; `perouter drain --undo` brings them back".to_owned(),
    }
}

/// Whether the absence of its session is told. One reason for all of them is told once, and a peer whose routes are kept while
/// it restarts is on its way back.
fn is_missed(status: &model::Status, peer: &model::Peer) -> bool {
    let drained = status.drain.as_ref().is_some_and(|drain| drain.state == model::DrainState::Drained);
    let expected = !drained && peer.routes_kept_seconds.is_none() && !stands_in(&status.peers, peer);
    !peer.is_up() && (peer.shut_down || expected)
}

fn session(peer: &model::Peer) -> String {
    let why = peer.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    let back = || format!("; `perouter clear {}` brings it back", peer.handle());
    let remedy = if peer.shut_down { back() } else { String::new() };
    format!("session with {} is {}{why}{remedy}", peer.title(), peer.state.name())
}

/// BFD that is down beside a session that is up. Where both are, the session's own sentence is enough.
fn bfd(peer: &model::Peer) -> Option<String> {
    let bfd = peer.bfd.as_ref().filter(|bfd| peer.is_up() && !bfd.is_up() && !bfd.held_down_by_peer)?;
    if bfd.times_lost == 0 && bfd.since_seconds < BFD_PATIENCE {
        return None;
    }
    let (title, handle) = (peer.title(), peer.handle());
    let why = bfd.trouble.as_ref().unwrap_or(&bfd.reason);
    let (port, hops) = if bfd.multihop { (4784, ", and is minimumTTL low enough") } else { (3784, "") };
    Some(format!(
        "BFD with {title} is down: {why}; has the neighbour a BFD session with this address, does UDP port {port} get through{hops}? `perouter peers {handle}` shows both sides"
    ))
}

/// Whether the host's speaker is connected from another of the node's addresses than the one that is expected: as good.
fn stands_in(peers: &[model::Peer], missing: &model::Peer) -> bool {
    let same = |peer: &&model::Peer| {
        let families =
            missing.families.iter().all(|wanted| peer.families.iter().any(|has| has.family == wanted.family));
        peer.is_up() && peer.role == missing.role && peer.link == missing.link && families
    };
    missing.role == model::Role::Host && missing.link.is_some() && peers.iter().find(same).is_some()
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;

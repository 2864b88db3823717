//! From the daemon's own view to the status of the node. Pure.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use config::types::{
    Condition, ConditionStatus, FailedKind, FailedReason, FailedResource, LinkStatus, NodeStatus, NotServed,
    ResourceStatus, RouterStatus, SessionFamily, SessionStatus,
};
use config::verdict::{Outcome, Source, Verdict};
use ipnet::IpNet;
use k8s_openapi::jiff::Timestamp;

use crate::admin;
use crate::admin::model::{self, BfdState, DrainState, Family, Peer};
use crate::moment::Moment;
use crate::source::cluster::index::NodeFacts;
use crate::status::StatusData;

/// Longest message of a failed resource, in characters: what upstream's definition takes.
const MESSAGE: usize = 500;
/// The same for our own list.
const LONG_MESSAGE: usize = 2000;
/// Most sentences about problems.
const PROBLEMS: usize = 50;

/// Everything that the status is made of.
pub(super) struct Facts {
    pub(super) status: model::Status,
    pub(super) data: StatusData,
    pub(super) node: Option<NodeFacts>,
    pub(super) not_served: Vec<(&'static str, usize)>,
}

/// When something began, by what it is about: kept so that it does not seem to begin anew at each look.
#[derive(Debug, Default)]
pub(super) struct Times {
    conditions: BTreeMap<&'static str, (ConditionStatus, String)>,
    /// Whether it is up, how often it was lost, and since when, in seconds since 1970.
    sessions: BTreeMap<String, (bool, u32, u64)>,
}

impl Times {
    fn condition(&mut self, kind: &'static str, status: ConditionStatus, now: &str) -> String {
        let kept = self.conditions.entry(kind).or_insert_with(|| (status, now.to_owned()));
        if kept.0 != status {
            *kept = (status, now.to_owned());
        }
        kept.1.clone()
    }

    /// A session's age in seconds becomes a moment, which is the same at each look though ages are rounded.
    fn session(&mut self, peer: &Peer, now: u64) -> String {
        let since = now.saturating_sub(peer.since_seconds);
        let new = (peer.is_up(), peer.flaps, since);
        let kept = self.sessions.entry(peer.place()).or_insert(new);
        if (kept.0, kept.1) != (new.0, new.1) || kept.2.abs_diff(since) > 2 {
            *kept = new;
        }
        moment(kept.2)
    }
}

/// The status.
pub(super) fn report(facts: &Facts, times: &mut Times) -> NodeStatus {
    let now = seconds(Moment::now().wall);
    let list = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let sessions: Vec<_> = facts.status.peers.iter().map(|peer| session(peer, now, times)).collect();
    times.sessions.retain(|place, _| sessions.iter().any(|session| session.peer == *place));
    NodeStatus {
        conditions: Some(conditions(facts, &moment(now), times)),
        failed_resources: Some(facts.data.verdicts.iter().filter_map(failed).collect()),
        resources: Some(facts.data.verdicts.iter().map(|verdict| resource(verdict, facts.data.applying)).collect()),
        not_served: Some(facts.not_served.iter().map(not_served).collect()),
        router: Some(router(facts)),
        sessions: Some(sessions),
        links: Some(facts.status.links.iter().filter(|link| link.name != "lo").map(link).collect()),
        problems: list(problems(facts)),
    }
}

/// What `perouter status` says too, without what changes from second to second and what other fields say.
fn problems(facts: &Facts) -> Vec<String> {
    let data = &facts.data;
    let drain = facts.status.drain.as_ref().map(|drain| match drain.state {
        DrainState::Draining => "draining: peers are asked to move their traffic".to_owned(),
        DrainState::Drained => "drained: every session was ended on purpose".to_owned(),
    });
    let refused = facts.status.router.as_ref().is_some_and(|router| router.fib.failed > 0);
    let refused = refused.then(|| "the kernel refused routes; the log of perouter says why".to_owned());
    let host = facts.status.host_errors.iter().map(|error| format!("{}: {}", error.object, error.message));
    let mut problems: Vec<_> = data.waiting.iter().chain(&data.withheld).cloned().chain(drain).collect();
    problems.extend(data.left_out.iter().cloned().chain(host).chain(refused).chain(data.host_warnings.iter().cloned()));
    problems.iter().take(PROBLEMS).map(|problem| cut(problem, LONG_MESSAGE)).collect()
}

/// `status` without what changes all the time: counts of routes.
pub(super) fn without_counts(status: &NodeStatus) -> NodeStatus {
    let mut status = status.clone();
    for session in status.sessions.iter_mut().flatten() {
        for family in session.families.iter_mut().flatten() {
            (family.received, family.accepted, family.advertised) = (0, 0, 0);
        }
    }
    if let Some(router) = &mut status.router {
        router.routes_installed = None;
    }
    status
}

/// Whether what was written is in force: status, reason and message as upstream has them.
fn readiness(facts: &Facts) -> (bool, &'static str, String) {
    let failed = |reason, message: &str| (false, reason, message.to_owned());
    let verdicts = || facts.data.verdicts.iter();
    let is_underlay = |verdict: &&Verdict| verdict.object.kind == "Underlay";
    if verdicts().any(|verdict| !verdict.is_applied()) {
        let underlay_failed = verdicts().filter(is_underlay).any(|verdict| !verdict.is_applied());
        if underlay_failed && !verdicts().filter(is_underlay).any(Verdict::is_applied) {
            return failed("UnderlayFailed", "Underlay failed validation, existing configuration left as-is");
        }
        let message = "Some resources failed validation, see status.failedResources for details";
        return failed("ConfigurationFailed", message);
    }
    if let Some(why) = facts.data.withheld.as_ref().or(facts.data.waiting.as_ref()) {
        return failed("ConfigurationFailed", why);
    }
    if facts.data.applying {
        return failed("ConfigurationFailed", "The configuration is being put in force");
    }
    if let Some(error) = facts.status.host_errors.first() {
        return failed("ConfigurationFailed", &format!("{}: {}", error.object, error.message));
    }
    if let Some(left_out) = facts.data.left_out.first() {
        return failed("ConfigurationFailed", left_out);
    }
    (true, "ConfigurationSuccessful", "All configuration applied successfully".to_owned())
}

fn conditions(facts: &Facts, now: &str, times: &mut Times) -> Vec<Condition> {
    let (ready, reason, message) = readiness(facts);
    let (established, why, sessions) = established(&facts.status);
    let of = |holds| if holds { ConditionStatus::True } else { ConditionStatus::False };
    let conditions = [
        ("Ready", of(ready), reason, message.clone()),
        ("Degraded", of(!ready), reason, message),
        ("SessionsEstablished", of(established), why, sessions),
    ];
    let condition = |(kind, status, reason, message): (&'static str, ConditionStatus, &str, String)| Condition {
        kind: kind.to_owned(),
        status,
        observed_generation: None,
        last_transition_time: times.condition(kind, status, now),
        reason: reason.to_owned(),
        message: cut(&message, LONG_MESSAGE),
    };
    conditions.map(condition).into()
}

fn established(status: &model::Status) -> (bool, &'static str, String) {
    if status.peers.is_empty() {
        return (false, "NoSessions", "No session is configured".to_owned());
    }
    let missing: Vec<_> = admin::missed(status).iter().map(|peer| peer.place()).collect();
    match missing[..] {
        [] => (true, "AllEstablished", "Every session is established".to_owned()),
        _ => (false, "SessionsMissing", format!("Not established: {}", missing.join(", "))),
    }
}

fn failed(verdict: &Verdict) -> Option<FailedResource> {
    let Outcome::Rejected { reason, .. } = &verdict.outcome else { return None };
    let kind = match verdict.object.kind.as_str() {
        "Underlay" => FailedKind::Underlay,
        "L3Passthrough" => FailedKind::L3Passthrough,
        "L2VNI" => FailedKind::L2VNI,
        "L3VNI" => FailedKind::L3VNI,
        "L3VPN" => FailedKind::L3VPN,
        "RawFRRConfig" => FailedKind::RawFRRConfig,
        _ => FailedKind::File,
    };
    let reason = match *reason {
        "DependencyFailed" => FailedReason::DependencyFailed,
        _ => FailedReason::ValidationFailed,
    };
    let message = why(&verdict.outcome).map(|message| cut(&message, MESSAGE));
    Some(FailedResource { kind, name: cut(&verdict.object.name, 253), reason, message })
}

/// Why an object is not in force, or what there is to know about it.
pub(super) fn why(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Rejected { field: Some(field), message, .. } => Some(format!("{field}: {message}")),
        Outcome::Rejected { field: None, message, .. } => Some(message.clone()),
        Outcome::Applied { warnings } => (!warnings.is_empty()).then(|| warnings.join("; ")),
    }
}

fn resource(verdict: &Verdict, applying: bool) -> ResourceStatus {
    let (namespace, generation) = match &verdict.object.source {
        Source::Cluster { namespace, generation } => (Some(namespace.clone()), Some(*generation)),
        Source::File { .. } => (None, None),
    };
    let reason = match &verdict.outcome {
        Outcome::Rejected { reason, .. } => Some((*reason).to_owned()),
        Outcome::Applied { .. } => applying.then(|| "Applying".to_owned()),
    };
    ResourceStatus {
        kind: verdict.object.kind.clone(),
        namespace,
        name: verdict.object.name.clone(),
        observed_generation: generation,
        applied: verdict.is_applied() && !applying,
        reason,
        message: why(&verdict.outcome).map(|message| cut(&message, LONG_MESSAGE)),
    }
}

fn not_served((kind, objects): &(&'static str, usize)) -> NotServed {
    let message = format!("{}: these objects have no effect here", config::files::why(kind));
    NotServed { kind: (*kind).to_owned(), objects: number(*objects as u64), message }
}

fn router(facts: &Facts) -> RouterStatus {
    let router = facts.status.router.as_ref();
    RouterStatus {
        version: facts.status.version.clone(),
        node_index: facts.data.node.as_ref().filter(|_| facts.data.withheld.is_none()).map(|node| node.index.into()),
        asn: router.and_then(|router| router.asn).map(i64::from),
        router_id: router.and_then(|router| router.router_id).map(|id| id.to_string()),
        routes_installed: router.map(|router| number(router.fib.installed)),
    }
}

fn session(peer: &Peer, now: u64, times: &mut Times) -> SessionStatus {
    let family = |counts: &model::FamilyCounts| SessionFamily {
        kind: match counts.family {
            Family::Ipv4Unicast => "ipv4unicast".to_owned(),
            Family::Ipv6Unicast => "ipv6unicast".to_owned(),
        },
        received: number(counts.received),
        accepted: number(counts.accepted),
        advertised: number(counts.advertised),
    };
    let bfd = |state| match state {
        BfdState::AdminDown => "AdminDown",
        BfdState::Down => "Down",
        BfdState::Init => "Init",
        BfdState::Up => "Up",
    };
    SessionStatus {
        peer: peer.place(),
        role: peer.role.name().to_owned(),
        asn: peer.asn.map(i64::from),
        state: if peer.is_up() { "Established" } else { connecting(peer) }.to_owned(),
        since: times.session(peer, now),
        lost: peer.flaps.into(),
        families: peer.is_up().then(|| peer.families.iter().map(family).collect()),
        last_error: peer.last_error.as_ref().map(|error| cut(error, MESSAGE)),
        bfd: peer.bfd.as_ref().map(|session| bfd(session.local.state).to_owned()),
    }
}

/// The states on the way to a session follow each other every few seconds, and tell apart nothing that a reader could act
/// on: a session is down on purpose, or it is being tried.
fn connecting(peer: &Peer) -> &'static str {
    if peer.shut_down { "Idle" } else { "Active" }
}

fn link(link: &model::Link) -> LinkStatus {
    let is_link_local = |address: &IpNet| match address {
        IpNet::V6(address) => address.addr().is_unicast_link_local(),
        IpNet::V4(_) => false,
    };
    let addresses = link.addresses.iter().filter(|address| !is_link_local(address)).map(ToString::to_string);
    LinkStatus {
        name: link.name.clone(),
        up: link.up && link.carrier,
        mtu: link.mtu.into(),
        addresses: addresses.collect(),
    }
}

/// Seconds since the beginning of 1970.
fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A point in time as Kubernetes writes it: RFC 3339 with whole seconds.
fn moment(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or_default();
    Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

/// At most so many characters.
pub(super) fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest - 1).chain(['…']).collect()
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;

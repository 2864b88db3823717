use std::collections::BTreeMap;
use std::time::Duration;

use config::node::Node;
use config::verdict::{ObjectRef, Outcome, Source, Verdict};
use kernel::host::HostError;

use super::super::tests::{peer as peer_snapshot, route as route_view, snapshot};
use super::*;
use crate::status::Status;

fn data() -> StatusData {
    Status::new(Mode::Run).read()
}

fn rejected(line: usize) -> Verdict {
    Verdict {
        object: ObjectRef {
            kind: "L3Passthrough".into(),
            name: "pt".into(),
            source: Source::File { path: "/etc/x.yaml".into(), line },
        },
        outcome: Outcome::Rejected {
            reason: "ValidationFailed",
            field: Some("spec.hostSession.asn".into()),
            message: "64999 differs".into(),
        },
    }
}

fn applied() -> Verdict {
    Verdict { outcome: Outcome::Applied { warnings: vec!["careful".into()] }, ..rejected(0) }
}

#[test]
fn a_router_where_everything_is_up_is_healthy() {
    let snapshot = snapshot(vec![peer_snapshot("fabric", "192.168.11.2", PeerState::Established)]);
    let mut data = data();
    data.verdicts = vec![applied()];
    data.no_config = Some("no files".into());
    data.node = Some(Node { name: "n1".into(), labels: BTreeMap::new(), index: 3, log_level: None, http: None });
    let status = status(Moment::now(), &data, &[], Some(&snapshot), &[]);
    assert!(status.healthy, "{:?}", status.problems);
    assert_eq!(status.node, Some(model::Node { name: "n1".into(), index: 3 }));
}

/// Upstream has one word for each of five situations; here each problem is a sentence of its own (design 6.1).
#[test]
fn case_132_every_kind_of_problem_is_told_gravest_first() {
    let mut snapshot = snapshot(vec![
        peer_snapshot("fabric", "192.168.11.2", PeerState::Active),
        peer_snapshot("host", "192.169.10.2", PeerState::Established),
    ]);
    snapshot.fib.failed = 1;
    let mut data = data();
    data.verdicts = vec![applied(), rejected(3)];
    data.host_errors = vec![HostError::said("eth1", "no such link")];
    let status = status(Moment::now(), &data, &[], Some(&snapshot), &[]);
    assert!(!status.healthy);
    assert_eq!(
        status.problems,
        [
            "L3Passthrough pt is rejected: 64999 differs",
            "eth1: no such link",
            "session with fabric (192.168.11.2) is Active: connection refused",
            "the kernel refused 1 route; the daemon's log says why",
        ]
    );
    assert_eq!(status.verdicts[0].outcome, model::Outcome::Rejected, "rejected ones first");
}

#[test]
fn a_verdict_keeps_its_place_and_its_words() {
    let model = verdict(&rejected(3));
    assert_eq!((model.file.as_deref(), model.line), (Some("/etc/x.yaml"), Some(3)));
    assert_eq!(model.reason.as_deref(), Some("ValidationFailed"));
    assert_eq!(model.field.as_deref(), Some("spec.hostSession.asn"));
    assert_eq!(verdict(&rejected(0)).line, None, "0 is an unknown line");
    assert_eq!(verdict(&applied()).warnings, ["careful"]);
}

#[test]
fn times_are_told_relative_to_the_answer() {
    let mut data = data();
    let now = Moment::now();
    data.started = now;
    let warning = EventRecord {
        number: 7,
        at: Moment { instant: now.instant + Duration::from_secs(56), ..now },
        level: Level::Warn,
        about: "eth1".into(),
        text: "x".into(),
    };
    let mut one = peer_snapshot("a", "10.0.0.1", PeerState::Established);
    one.since = now.instant;
    // The wall clock was set back meanwhile.
    let wall = now.wall - Duration::from_secs(3600);
    let later = Moment { instant: now.instant + Duration::from_secs(61), wall };
    let status = status(later, &data, &[warning], Some(&snapshot(vec![one])), &[]);
    assert_eq!(status.uptime_seconds, 61);
    let event = &status.events[0];
    assert_eq!((event.number, event.age_seconds, event.peer, event.object.as_deref()), (7, 5, None, Some("eth1")));
    assert_eq!(status.peers[0].since_seconds, 61);
}

#[test]
fn message_counters_go_to_their_names() {
    let peer = peer(Moment::now(), &peer_snapshot("a", "10.0.0.1", PeerState::Established), &[]);
    let expected = model::Messages { open: 10, update: 20, notification: 30, keepalive: 40, route_refresh: 50 };
    assert_eq!(peer.messages_sent, expected);
    assert_eq!(peer.messages_received.open, 1);
}

#[test]
fn an_engine_without_configuration_has_no_as_and_no_identifier() {
    let mut empty = snapshot(vec![]);
    empty.asn = 0;
    let router = router(&empty);
    assert_eq!((router.asn, router.router_id), (None, None));
}

#[test]
fn a_route_keeps_the_fate_of_its_paths() {
    let names = Names::of(&snapshot(vec![peer_snapshot("fabric", "192.168.11.2", PeerState::Established)]));
    let mut view = route_view("10.0.0.0/24");
    view.installed = None;
    let mut lost = view.paths[0].clone();
    (lost.usable, lost.best) = (false, false);
    view.paths.push(lost);
    let route = route(&names, &view);
    assert_eq!([route.paths[0].usable, route.paths[1].usable], [true, false]);
    assert_eq!(route.kernel, model::Kernel::NotWanted);
    assert_eq!(route.paths[0].from.as_ref().unwrap().name, "fabric");
    assert_eq!(route.advertised_to[0].name, "", "a peer that has left has only its address");
}

#[test]
fn json_names_are_stable() {
    let snapshot = snapshot(vec![peer_snapshot("fabric", "192.168.11.2", PeerState::OpenSent)]);
    let json = serde_json::to_value(status(Moment::now(), &data(), &[], Some(&snapshot), &[])).unwrap();
    assert_eq!(json["mode"], "run");
    assert_eq!(json["peers"][0]["state"], "open_sent");
    assert_eq!(json["peers"][0]["shut_down"], false);
    assert_eq!(json["peers"][0]["families"][0]["family"], "ipv4unicast");
    assert_eq!(json["router"]["router_id"], "10.0.0.4");
    assert_eq!(json["router"]["fib"]["installed"], 4);
    assert_eq!(json["no_config"], serde_json::Value::Null);
    let page = model::RoutePage {
        routes: vec![route(&Names::of(&snapshot), &route_view("10.0.0.0/24"))],
        next: Some("10.0.0.0/24".parse().unwrap()),
    };
    let json = serde_json::to_value(page).unwrap();
    assert_eq!(json["next"], "10.0.0.0/24");
    assert_eq!(json["routes"][0]["kernel"], "installed");
    assert_eq!(json["routes"][0]["paths"][0]["from"]["address"], "192.168.11.2");
}

#[test]
fn a_peer_that_an_operator_shut_down_is_a_problem_with_its_remedy() {
    let mut down = peer_snapshot("fabric", "192.168.11.2", PeerState::Idle);
    down.shut_down = true;
    down.last_error = Some("shut down by an operator: disk change".into());
    let problems = status(Moment::now(), &data(), &[], Some(&snapshot(vec![down.clone()])), &[]).problems;
    assert_eq!(
        problems,
        [
            "session with fabric (192.168.11.2) is Idle: shut down by an operator: disk change; `perouter clear fabric` brings it back"
        ]
    );
    // What a shell would take apart is told by its address.
    down.name = "host@0.0.0.0/0 192.168.11.2".into();
    let problems = status(Moment::now(), &data(), &[], Some(&snapshot(vec![down])), &[]).problems;
    assert!(problems[0].ends_with("`perouter clear 192.168.11.2` brings it back"), "{problems:?}");
}

#[test]
fn a_session_that_is_left_out_is_a_problem() {
    let mut data = data();
    data.left_out = vec!["Underlay u: spec.neighbors[0].passwordFile: cannot read it".into()];
    let status = status(Moment::now(), &data, &[], Some(&snapshot(Vec::new())), &[]);
    assert_eq!(status.problems, data.left_out);
}

/// The host's speaker may connect from any of the node's addresses: then nobody misses it at the expected one.
#[test]
fn a_host_that_speaks_from_another_address_is_not_missed() {
    let mut expected = peer_snapshot("host-ipv4", "192.169.10.2", PeerState::Active);
    expected.role = engine::intent::Role::Host;
    expected.link = Some("pt-ns".into());
    let mut other = peer_snapshot("host@0.0.0.0/0", "198.51.100.1", PeerState::Established);
    other.role = engine::intent::Role::Host;
    other.link = Some("pt-ns".into());
    let both = status(Moment::now(), &data(), &[], Some(&snapshot(vec![expected.clone(), other.clone()])), &[]);
    assert!(both.healthy, "{:?}", both.problems);
    let alone = status(Moment::now(), &data(), &[], Some(&snapshot(vec![expected.clone()])), &[]);
    assert!(!alone.healthy);
    // Unless somebody wanted it down.
    expected.shut_down = true;
    assert!(!status(Moment::now(), &data(), &[], Some(&snapshot(vec![expected, other])), &[]).healthy);
}

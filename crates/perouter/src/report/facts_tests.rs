use config::node::Node;
use config::verdict::ObjectRef;
use kernel::host::HostError;
use serde_json::json;

use super::*;
use crate::status::{Mode, Status};

/// What `perouter status` would show of a node with one fabric peer.
fn status(state: &str, since_seconds: u64, received: u64) -> model::Status {
    let messages = json!({ "open": 1, "update": 1, "notification": 0, "keepalive": 9, "route_refresh": 0 });
    let families = json!([{ "family": "ipv4unicast", "received": received, "accepted": received, "advertised": 2,
        "own_as_in_path": 0, "end_of_rib": true }]);
    let peer = json!({
        "name": "fabric", "address": "192.168.11.2", "link": null, "range": null, "asn": 64512, "role": "fabric",
        "state": state, "since_seconds": since_seconds, "flaps": 1, "local": null, "remote": null, "router_id": null,
        "hold_time_seconds": 180, "capabilities": [], "families": families, "messages_received": messages,
        "messages_sent": messages, "malformed": 0, "malformed_attributes": {}, "graceful_restart": null,
        "routes_kept_seconds": null, "bfd": null, "last_error": null, "shut_down": false,
    });
    let link = |name: &str, addresses: &[&str]| json!({ "name": name, "index": 2, "kind": "", "up": true, "carrier": true, "mtu": 1500, "addresses": addresses });
    let router = json!({ "asn": 64514, "router_id": "10.0.0.1", "destinations": [], "attribute_sets": 1,
        "fib": { "installed": received, "pending": 0, "failed": 0, "groups": 1 } });
    let status = json!({
        "version": "0.1.0", "mode": "run", "pid": 1, "started": "2026-11-29T18:00:00Z", "uptime_seconds": 60,
        "healthy": true, "problems": [], "warnings": [], "drain": null, "node": null, "no_config": null,
        "namespace": "perouter", "router": router, "verdicts": [],
        "links": [link("lo", &["127.0.0.1/8"]), link("eth1", &["192.168.11.3/24", "fe80::1/64"])],
        "host_errors": [], "host_warnings": [], "peers": [peer], "events": [],
    });
    serde_json::from_value(status).expect("a status")
}

fn facts(verdicts: Vec<Verdict>) -> Facts {
    let mut data = Status::new(Mode::Run).read();
    data.verdicts = verdicts;
    data.node = Some(Node::new("n", 3));
    Facts { status: status("established", 60, 7), data, node: None, not_served: vec![("L3VNI", 2)] }
}

fn verdict(kind: &str, name: &str, outcome: Outcome) -> Verdict {
    let source = Source::Cluster { namespace: "routers".into(), generation: 5 };
    Verdict { object: ObjectRef { kind: kind.into(), name: name.into(), source }, outcome }
}

fn applied(kind: &str) -> Verdict {
    verdict(kind, "good", Outcome::Applied { warnings: Vec::new() })
}

fn rejected(kind: &str) -> Verdict {
    let message = "x".repeat(700);
    verdict(kind, "bad", Outcome::Rejected { reason: "ValidationFailed", field: Some("spec.asn".into()), message })
}

/// Status and reason of `Ready`, and what `Degraded` says.
fn readiness_of(facts: &Facts) -> (ConditionStatus, String, ConditionStatus) {
    let conditions = report(facts, &mut Times::default()).conditions.expect("conditions");
    assert_eq!((conditions[0].kind.as_str(), conditions[1].kind.as_str()), ("Ready", "Degraded"));
    assert_eq!((&conditions[0].reason, &conditions[0].message), (&conditions[1].reason, &conditions[1].message));
    (conditions[0].status, format!("{}: {}", conditions[0].reason, conditions[0].message), conditions[1].status)
}

#[test]
fn case_132_ready_and_degraded_have_upstreams_reasons() {
    use ConditionStatus::{False, True};
    let good = facts(vec![applied("Underlay"), applied("L3Passthrough")]);
    let text = "ConfigurationSuccessful: All configuration applied successfully";
    assert_eq!(readiness_of(&good), (True, text.into(), False));

    let text = "UnderlayFailed: Underlay failed validation, existing configuration left as-is";
    assert_eq!(readiness_of(&facts(vec![rejected("Underlay")])), (False, text.into(), True));

    let text = "ConfigurationFailed: Some resources failed validation, see status.failedResources for details";
    for some in [vec![applied("Underlay"), rejected("Underlay")], vec![applied("Underlay"), rejected("L3Passthrough")]]
    {
        assert_eq!(readiness_of(&facts(some)), (False, text.into(), True));
    }

    let mut broken = facts(vec![applied("Underlay")]);
    broken.status.host_errors = vec![model::HostError { object: "eth1".into(), message: "no such link".into() }];
    assert_eq!(readiness_of(&broken), (False, "ConfigurationFailed: eth1: no such link".into(), True));
    let mut waiting = facts(Vec::new());
    waiting.data.withheld = Some("node n has no index annotation".into());
    assert_eq!(readiness_of(&waiting), (False, "ConfigurationFailed: node n has no index annotation".into(), True));
}

#[test]
fn an_object_is_applied_when_it_is_in_force_and_not_before() {
    let mut facts = facts(vec![applied("Underlay"), rejected("L3Passthrough")]);
    facts.data.applying = true;
    let resources = |facts: &Facts| report(facts, &mut Times::default()).resources.expect("resources");
    assert_eq!((resources(&facts)[0].applied, resources(&facts)[0].reason.as_deref()), (false, Some("Applying")));
    assert_eq!(readiness_of(&facts).0, ConditionStatus::False);
    facts.data.applying = false;
    let now = resources(&facts);
    assert_eq!((now[0].applied, now[0].observed_generation, now[0].reason.as_deref()), (true, Some(5), None));
    assert_eq!(
        (now[1].applied, now[1].observed_generation, now[1].reason.as_deref()),
        (false, Some(5), Some("ValidationFailed"))
    );
    assert_eq!(now[1].namespace.as_deref(), Some("routers"));
}

#[test]
fn a_long_message_is_cut_to_what_the_definition_takes() {
    let failed = report(&facts(vec![rejected("Underlay")]), &mut Times::default()).failed_resources.expect("one");
    let message = failed[0].message.as_ref().expect("a message");
    assert!(message.starts_with("spec.asn: xxx") && message.ends_with('…'), "{message}");
    assert_eq!(message.chars().count(), MESSAGE);
}

#[test]
fn time_that_passes_and_routes_that_come_and_go_are_no_change_of_state() {
    let mut times = Times::default();
    let mut facts = facts(vec![applied("Underlay")]);
    let before = report(&facts, &mut times);
    facts.status = status("established", 61, 7);
    facts.status.uptime_seconds = 61;
    assert_eq!(report(&facts, &mut times), before, "ages are rounded");
    facts.status = status("established", 60, 8);
    let counted = report(&facts, &mut times);
    assert_ne!(counted, before);
    assert_eq!(without_counts(&counted), without_counts(&before));
    facts.status = status("active", 0, 0);
    assert_ne!(without_counts(&report(&facts, &mut times)), without_counts(&before), "a lost session is one");
    let down = report(&facts, &mut times);
    facts.status = status("connect", 1, 0);
    assert_eq!(report(&facts, &mut times), down, "the steps of an attempt are none");
}

#[test]
fn sessions_links_router_and_what_is_not_served_are_told() {
    let mut facts = facts(vec![applied("Underlay")]);
    let told = report(&facts, &mut Times::default());
    let session = &told.sessions.as_ref().expect("sessions")[0];
    assert_eq!(
        (session.peer.as_str(), session.role.as_str(), session.state.as_str()),
        ("192.168.11.2", "fabric", "Established")
    );
    let family = &session.families.as_ref().expect("families")[0];
    assert_eq!((family.kind.as_str(), family.received, family.accepted, family.advertised), ("ipv4unicast", 7, 7, 2));
    let links = told.links.expect("links");
    assert_eq!(
        (links.len(), links[0].name.as_str(), &links[0].addresses[..]),
        (1, "eth1", &["192.168.11.3/24".to_owned()][..])
    );
    let router = told.router.expect("a router");
    assert_eq!((router.node_index, router.asn, router.router_id.as_deref()), (Some(3), Some(64514), Some("10.0.0.1")));
    let not_served = &told.not_served.expect("a list")[0];
    assert_eq!((not_served.kind.as_str(), not_served.objects), ("L3VNI", 2));

    facts.data.host_errors = vec![HostError::said("eth1", "no such link")];
    facts.status = status("active", 0, 0);
    let conditions = report(&facts, &mut Times::default()).conditions.expect("conditions");
    assert_eq!((conditions[2].kind.as_str(), conditions[2].status), ("SessionsEstablished", ConditionStatus::False));
    assert_eq!(conditions[2].message, "Not established: 192.168.11.2");
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let mut times = Times::default();
    use ConditionStatus::{False, True};
    assert_eq!(times.condition("Ready", True, "1"), "1");
    assert_eq!(times.condition("Ready", True, "2"), "1");
    assert_eq!(times.condition("Ready", False, "3"), "3");
}

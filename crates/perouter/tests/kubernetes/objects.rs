//! Objects of all sorts beside each other: each gets its verdict, and none stops another.

use std::time::Instant;

use serde_json::{Value, json};
use testbed::Node;

use crate::agent::{Agent, lab, node, passthrough, underlay};
use crate::cluster::{Cluster, condition, resource};

/// Whether an object is in force in this generation.
fn is_applied(status: &Value, kind: &str, name: &str, generation: i64) -> bool {
    let found = resource(status, kind, name);
    found["applied"] == true && found["observedGeneration"] == generation
}

fn generation(object: &kube::api::DynamicObject) -> i64 {
    object.metadata.generation.unwrap()
}

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn a_bad_object_gets_its_verdict_names_its_field_and_stops_nothing_else() {
    let (cluster, lab) = (Cluster::shared(), lab());
    let node = node(&lab);
    cluster.node("verdicts", Some(0), &[]);
    let _agent = Agent::start(&node, "verdicts", &cluster);
    let good = generation(&cluster.apply("Underlay", "verdicts-good", &underlay("verdicts")).unwrap());
    cluster
        .status("verdicts", "the Underlay is applied", |status| is_applied(status, "Underlay", "verdicts-good", good));

    // What the schema lets through and makes no sense.
    let mut bad = underlay("verdicts");
    bad["neighbors"] = json!([{ "asn": 1, "address": "192.0.2.1" }, { "asn": 2, "address": "192.0.2.1" }]);
    let begin = Instant::now();
    cluster.apply("Underlay", "verdicts-bad", &bad).unwrap();
    let status = cluster.status("verdicts", "the bad one is rejected", |status| {
        resource(status, "Underlay", "verdicts-bad")["reason"] == "ValidationFailed"
            && is_applied(status, "Underlay", "verdicts-good", good)
    });
    println!("measured: a verdict after {} ms", begin.elapsed().as_millis());
    assert_eq!(condition(&status, "Ready"), ("False".into(), "ConfigurationFailed".into()));
    let failed = &status["failedResources"][0];
    assert_eq!((&failed["kind"], &failed["reason"]), (&"Underlay".into(), &"ValidationFailed".into()), "{status:#}");
    assert_eq!(failed["name"], "verdicts-bad");

    // A passthrough whose AS is not the router's names its field.
    let mut other_as = passthrough("verdicts");
    other_as["hostSession"]["asn"] = json!(64999);
    cluster.apply("L3Passthrough", "verdicts-as", &other_as).unwrap();
    cluster.status("verdicts", "it names its field", |status| {
        let message = &resource(status, "L3Passthrough", "verdicts-as")["message"];
        message.as_str().is_some_and(|text| text.contains("spec.hostSession.asn"))
            && is_applied(status, "Underlay", "verdicts-good", good)
    });

    cluster.delete("Underlay", "verdicts-bad");
    let repaired = generation(&cluster.apply("L3Passthrough", "verdicts-as", &passthrough("verdicts")).unwrap());
    cluster.status("verdicts", "Ready again", |status| {
        condition(status, "Ready").0 == "True" && is_applied(status, "L3Passthrough", "verdicts-as", repaired)
    });

    let events = events_of(&cluster, "verdicts-bad");
    assert!(
        events.iter().any(|event| event["reason"] == "ValidationFailed" && event["type"] == "Warning"),
        "{events:#?}"
    );
    for (kind, name) in [("L3Passthrough", "verdicts-as"), ("Underlay", "verdicts-good")] {
        cluster.delete(kind, name);
    }
    cluster.status("verdicts", "nothing is left", |status| status["resources"].as_array().is_some_and(Vec::is_empty));
}

/// Events about an object, as `kubectl describe` lists them.
pub(crate) fn events_of(cluster: &Cluster, name: &str) -> Vec<Value> {
    use k8s_openapi::api::events::v1::Event;
    let api: kube::Api<Event> = kube::Api::namespaced(cluster.client.clone(), crate::cluster::NAMESPACE);
    let events = cluster.wait(api.list(&kube::api::ListParams::default())).unwrap();
    let of = |event: &Event| event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some(name);
    events.items.iter().filter(|event| of(event)).map(|event| serde_json::to_value(event).unwrap()).collect()
}

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn an_object_that_cannot_be_decoded_is_judged_beside_good_ones() {
    // An API server whose definition lets anything through, as another version of it may.
    let (cluster, lab) = (Cluster::own(), lab());
    let node = node(&lab);
    cluster.node("strange", Some(0), &[]);
    cluster.loosen("Underlay");
    cluster.eventually("the definition is loose", || {
        cluster.apply("Underlay", "absurd", &json!({ "asn": "many" })).map(drop)
    });
    let _agent = Agent::start(&node, "strange", &cluster);
    let good = generation(&cluster.apply("Underlay", "good", &underlay("strange")).unwrap());
    let status =
        cluster.status("strange", "the good one is applied", |status| is_applied(status, "Underlay", "good", good));
    let absurd = resource(&status, "Underlay", "absurd");
    assert_eq!((&absurd["applied"], &absurd["reason"]), (&false.into(), &"ValidationFailed".into()), "{status:#}");
    assert!(absurd["message"].as_str().unwrap().contains("asn must be a whole number"), "{absurd:#}");
    // The watch lives: what comes later is seen, and a bad one can be deleted.
    cluster.apply("Underlay", "absurd", &json!({ "asn": ["none"], "neighbors": 7 })).unwrap();
    cluster.status("strange", "it is judged again", |status| {
        resource(status, "Underlay", "absurd")["observedGeneration"] == 2
    });
    cluster.delete("Underlay", "absurd");
    cluster.status("strange", "it is gone", |status| {
        resource(status, "Underlay", "absurd").is_null() && condition(status, "Ready").0 == "True"
    });
}

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn of_two_passthroughs_the_older_stays_in_force_and_the_other_takes_its_place() {
    let (cluster, lab) = (Cluster::shared(), lab());
    let node = node(&lab);
    cluster.node("older", Some(3), &[]);
    let agent = Agent::start(&node, "older", &cluster);
    cluster.apply("Underlay", "older", &underlay("older")).unwrap();
    // Of the same second the name decides; the first one comes first either way.
    let first = generation(&cluster.apply("L3Passthrough", "older-a", &passthrough("older")).unwrap());
    cluster.status("older", "the first is applied", |status| is_applied(status, "L3Passthrough", "older-a", first));
    let mut second = passthrough("older");
    second["hostSession"]["localCIDR"] = json!({ "ipv4": "192.169.99.0/24" });
    let other = generation(&cluster.apply("L3Passthrough", "older-b", &second).unwrap());
    cluster.status("older", "the second is rejected", |status| {
        let message = &resource(status, "L3Passthrough", "older-b")["message"];
        message.as_str().is_some_and(|text| text.contains("more than one"))
            && is_applied(status, "L3Passthrough", "older-a", first)
    });
    let addresses =
        |node: &Node| testbed::ip::link_named(&node.ns, "pt-host").map(|link| format!("{:?}", link.addresses));
    assert!(addresses(agent.node).unwrap().contains("192.169.10.5"));
    cluster.delete("L3Passthrough", "older-a");
    cluster
        .status("older", "the second takes its place", |status| is_applied(status, "L3Passthrough", "older-b", other));
    cluster.eventually("its addresses do too", || {
        let seen = addresses(agent.node).map_err(|error| error.to_string())?;
        if seen.contains("192.169.99.5") && !seen.contains("192.169.10.5") { Ok(()) } else { Err(seen) }
    });
    cluster.delete("L3Passthrough", "older-b");
    cluster.delete("Underlay", "older");
    cluster.eventually("nothing is left on the host", || match addresses(agent.node) {
        Err(_) => Ok(()),
        Ok(seen) => Err(seen),
    });
}

use serde_json::{Value as Json, json};

use super::*;

fn node(name: &str, labels: &[(&str, &str)]) -> Node {
    let mut node = Node::new(name, 0);
    node.labels.extend(labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    node
}

fn underlay(selector: Json) -> Json {
    json!({
        "asn": 64514,
        "nodeSelector": selector,
        "interfaces": [{ "type": "NetworkDevice", "networkDevice": { "interfaceName": "eth1" } }],
        "neighbors": [{ "asn": 64512, "address": "192.168.11.2" }],
    })
}

fn passthrough(ipv4: &str, selector: Json) -> Json {
    let session = json!({ "asn": 64514, "hostASN": 64515, "localCIDR": { "ipv4": ipv4 } });
    json!({ "nodeSelector": selector, "hostSession": session })
}

fn stored<'a>(kind: Kind, name: &'a str, spec: &'a Json) -> Stored<'a> {
    Stored { kind, namespace: "openperouter-system", name, generation: 1, spec }
}

fn ask(kind: Kind, spec: &Json, before: Option<&Json>, others: &[Stored<'_>], nodes: &[Node]) -> Answer {
    answer(&Request { object: stored(kind, "new", spec), before, mirrored: false }, others, nodes)
}

/// The sentence that refuses it.
fn refused(kind: Kind, spec: &Json, before: Option<&Json>, others: &[Stored<'_>], nodes: &[Node]) -> String {
    ask(kind, spec, before, others, nodes).refusal.map(|refused| refused.message).unwrap_or_default()
}

const NODE1: [(&str, &str); 1] = [("nodeName", "node1")];

#[test]
fn a_passthrough_for_a_node_is_stored() {
    let spec = passthrough("192.0.2.0/24", json!({ "matchLabels": { "nodeName": "node1" } }));
    assert_eq!(refused(Kind::L3Passthrough, &spec, None, &[], &[node("node1", &NODE1)]), "");
}

#[test]
fn the_second_of_its_kind_on_a_node_is_refused_and_the_first_is_named() {
    let nodes = [node("node1", &NODE1), node("node2", &[])];
    for (kind, of_node, everywhere, sentence) in [
        (
            Kind::L3Passthrough,
            passthrough("192.0.2.0/24", json!({ "matchLabels": { "nodeName": "node1" } })),
            passthrough("192.0.3.0/24", Json::Null),
            "can't have more than one l3passthrough per node",
        ),
        (
            Kind::Underlay,
            underlay(json!({ "matchLabels": { "nodeName": "node1" } })),
            underlay(json!({})),
            "can't have more than one underlay per node",
        ),
    ] {
        let message = refused(kind, &everywhere, None, &[stored(kind, "old", &of_node)], &nodes);
        assert!(
            message.contains(sentence) && message.contains("node \"node1\"") && message.contains("\"old\""),
            "{message}"
        );
        let apart = [("nodeName", "node2")];
        let nodes = [node("node2", &apart)];
        assert_eq!(refused(kind, &everywhere, None, &[stored(kind, "old", &of_node)], &nodes), "", "they do not meet");
        // Another kind is no neighbour of this one.
        let other = if kind == Kind::Underlay { Kind::L3Passthrough } else { Kind::Underlay };
        assert_eq!(refused(kind, &everywhere, None, &[stored(other, "old", &of_node)], &nodes), "");
    }
}

#[test]
fn without_nodes_two_that_select_everything_meet_all_the_same() {
    let (first, second) = (underlay(Json::Null), underlay(json!({ "matchLabels": {} })));
    let some = underlay(json!({ "matchLabels": { "rack": "1" } }));
    let old = [stored(Kind::Underlay, "old", &first)];
    let message = refused(Kind::Underlay, &second, None, &old, &[]);
    assert!(message.contains("can't have more than one underlay per node"), "{message}");
    assert_eq!(refused(Kind::Underlay, &some, None, &old, &[]), "", "whether they meet is not known yet");
    let bad = json!({ "asn": 64514, "interfaces": [], "neighbors": [] });
    assert!(
        !refused(Kind::Underlay, &bad, None, &[], &[]).is_empty(),
        "what no node can use is refused before there is one"
    );
}

#[test]
fn two_that_met_before_can_be_edited_but_not_moved_together() {
    let nodes = [node("node1", &NODE1), node("node2", &[("nodeName", "node2")])];
    let old_spec = underlay(Json::Null);
    let old = [stored(Kind::Underlay, "old", &old_spec)];
    let on = |name: &str| underlay(json!({ "matchLabels": { "nodeName": name } }));
    let mut edited = on("node1");
    edited["neighbors"][0]["asn"] = json!(64999);
    assert_eq!(refused(Kind::Underlay, &edited, Some(&on("node1")), &old, &nodes), "");
    let moved = refused(Kind::Underlay, &on("node2"), Some(&on("node1")), &old, &nodes);
    assert!(moved.contains("node \"node2\""), "{moved}");
}

#[test]
fn what_mirrors_a_file_is_stored_beside_another_one() {
    let (spec, other) = (underlay(Json::Null), underlay(Json::Null));
    let object = stored(Kind::Underlay, "static-node1-underlay-0", &spec);
    let others = [stored(Kind::Underlay, "old", &other)];
    let answer = answer(&Request { object, before: None, mirrored: true }, &others, &[node("node1", &NODE1)]);
    assert_eq!(answer.refusal, None);
}

#[test]
fn upstreams_sentences_say_what_is_wrong_with_a_passthrough() {
    let mut none = passthrough("192.0.2.0/24", Json::Null);
    none["hostSession"]["localCIDR"] = json!({});
    for (spec, sentence) in [
        (none, "at least one"),
        (passthrough("not-a-cidr", Json::Null), "invalid local CIDR not-a-cidr for l3passthrough new"),
        (
            passthrough("192.0.2.0/24", json!({ "matchExpressions": [{ "key": "a", "operator": "InvalidOp" }] })),
            "\"InvalidOp\" is not a valid label selector operator",
        ),
    ] {
        let message = refused(Kind::L3Passthrough, &spec, None, &[], &[]);
        assert!(message.contains(sentence), "{message}");
    }
}

#[test]
fn upstreams_sentences_say_what_is_wrong_with_an_underlay() {
    let with = |pointer: &str, value: Json| {
        let mut spec = underlay(Json::Null);
        spec[pointer] = value;
        spec
    };
    let neighbor = json!({ "asn": 64512, "address": "192.168.11.2" });
    for (spec, sentence) in [
        (with("tunnelEndpoint", json!({ "cidrs": ["nonsense"] })), "all entries must be valid CIDRs"),
        (
            with("neighbors", json!([neighbor, neighbor])),
            "underlay new has duplicate neighbor address: duplicate entry 192.168.11.2",
        ),
        (with("neighbors", json!([{ "address": "192.168.11.2" }])), "either ASN or Type must be set"),
        (
            with("neighbors", json!([{ "asn": 100, "type": "External", "address": "192.168.11.2" }])),
            "ASN and Type cannot be set together",
        ),
        (
            with(
                "neighbors",
                json!([{ "asn": 1, "listenRange": "10.0.0.0/24" }, { "asn": 1, "listenRange": "10.0.0.128/25" }]),
            ),
            "underlay new: listenRange 10.0.0.0/24 overlaps with listenRange 10.0.0.128/25",
        ),
    ] {
        let message = refused(Kind::Underlay, &spec, None, &[], &[]);
        assert!(message.contains(sentence), "{message}");
    }
    let four = (1..=4).map(|n| json!({ "asn": 65000 + n, "address": format!("192.168.1.{n}") }));
    let mut several = with("neighbors", four.collect());
    several["interfaces"] = ["eth1", "eth2"]
        .map(|name| json!({ "type": "NetworkDevice", "networkDevice": { "interfaceName": name } }))
        .into_iter()
        .collect();
    assert_eq!(refused(Kind::Underlay, &several, None, &[], &[]), "");
}

#[test]
fn the_addresses_of_a_passthrough_stay() {
    let (before, after) = (passthrough("10.50.0.0/24", Json::Null), passthrough("10.60.0.0/24", Json::Null));
    assert_eq!(refused(Kind::L3Passthrough, &after, Some(&before), &[], &[]), "LocalCIDR can't be changed");
    assert_eq!(refused(Kind::L3Passthrough, &before, Some(&before), &[], &[]), "");
}

#[test]
fn what_a_plugin_made_stays_and_a_new_name_is_a_new_interface() {
    let device = |name: &str| json!({ "type": "NetworkDevice", "networkDevice": { "interfaceName": name } });
    let cni = |name: &str, raw: &str, runtime: Option<&str>| {
        let mut device = json!({ "type": "RawConfig", "interfaceName": name, "rawConfig": { "type": raw } });
        if let Some(runtime) = runtime {
            device["runtimeConfig"] = json!({ "mac": runtime });
        }
        json!({ "type": "CNIDevice", "cniDevice": device })
    };
    let with = |interface: Json| {
        let mut spec = underlay(Json::Null);
        spec["interfaces"] = json!([interface]);
        spec
    };
    let type_changed = "type of interface \"net1\" is immutable";
    let raw_changed =
        "cni rawConfig for interface \"net1\" is immutable, delete and recreate the Underlay to change it";
    let runtime_changed = "cni runtimeConfig for interface \"net1\" is immutable";
    for (before, after, sentence) in [
        (device("net1"), device("net1"), ""),
        (device("net1"), device("net2"), ""),
        (device("net1"), cni("net1", "macvlan", None), type_changed),
        (cni("net1", "macvlan", None), device("net1"), type_changed),
        (cni("net1", "macvlan", None), device("eth1"), ""),
        (cni("net1", "macvlan", None), cni("net1", "macvlan", None), ""),
        (cni("net1", "macvlan", None), cni("net1", "ipvlan", None), raw_changed),
        (cni("net1", "macvlan", None), cni("net2", "ipvlan", None), ""),
        (cni("net1", "macvlan", Some("a")), cni("net1", "macvlan", Some("a")), ""),
        (cni("net1", "macvlan", Some("a")), cni("net1", "macvlan", Some("b")), runtime_changed),
        (cni("net1", "macvlan", None), cni("net1", "macvlan", Some("a")), runtime_changed),
        (cni("net1", "macvlan", Some("a")), cni("net1", "macvlan", None), runtime_changed),
    ] {
        let (before, after) = (with(before), with(after));
        let message = refused(Kind::Underlay, &after, Some(&before), &[], &[]);
        assert!(message.contains(sentence) && message.is_empty() == sentence.is_empty(), "{sentence:?}: {message:?}");
    }
}

#[test]
fn what_depends_on_other_objects_is_a_remark_and_an_underlay_may_leave_a_passthrough_behind() {
    let nodes = [node("node1", &NODE1)];
    let spec = passthrough("192.0.2.0/24", Json::Null);
    let early = ask(Kind::L3Passthrough, &spec, None, &[], &nodes);
    assert_eq!(early.refusal, None);
    assert!(matches!(&early.remarks[..], [one] if one.contains("no Underlay selects node")), "{early:?}");
    let mut other_as = underlay(Json::Null);
    other_as["asn"] = json!(65000);
    let others = [stored(Kind::Underlay, "fabric", &other_as)];
    let apart = ask(Kind::L3Passthrough, &spec, None, &others, &nodes);
    assert_eq!(apart.refusal, None);
    assert!(matches!(&apart.remarks[..], [one] if one.contains("hostSession.asn is 64514")), "{apart:?}");
    let behind = ask(
        Kind::Underlay,
        &other_as,
        Some(&underlay(Json::Null)),
        &[stored(Kind::L3Passthrough, "pt", &spec)],
        &nodes,
    );
    assert_eq!(behind.refusal, None);
}

#[test]
fn a_range_that_is_too_small_for_one_node_is_a_remark() {
    let fabric = underlay(Json::Null);
    let others = [stored(Kind::Underlay, "fabric", &fabric)];
    let far = Node { index: 9, ..node("node9", &[]) };
    let answer =
        ask(Kind::L3Passthrough, &passthrough("10.0.0.0/29", Json::Null), None, &others, &[node("node1", &NODE1), far]);
    assert_eq!(answer.refusal, None);
    assert!(matches!(&answer.remarks[..], [one] if one.starts_with("node node9: ")), "{answer:?}");
}

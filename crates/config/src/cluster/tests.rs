use serde_json::json;

use super::*;
use crate::compile;
use crate::node::Node;

fn underlay(name: &str, spec: Json) -> (Kind, String, Json) {
    (Kind::Underlay, name.to_owned(), spec)
}

fn spec(neighbor: Json) -> Json {
    json!({
        "asn": 64514,
        "interfaces": [{ "type": "NetworkDevice", "networkDevice": { "interfaceName": "eth1" } }],
        "neighbors": [neighbor],
    })
}

fn read_all(
    written: &[(Kind, String, Json)],
    secret: &dyn Fn(&str) -> Result<String, String>,
) -> (Objects, Vec<Verdict>) {
    let (mut objects, mut verdicts) = (Objects::default(), Vec::new());
    for (kind, name, spec) in written {
        let stored = Stored { kind: *kind, namespace: "routers", name, generation: 3, spec };
        add(&stored, secret, &mut objects, &mut verdicts);
    }
    (objects, verdicts)
}

fn no_secret(name: &str) -> Result<String, String> {
    Err(format!("the Secret \"{name}\" does not exist"))
}

#[test]
fn an_object_that_cannot_be_read_gets_a_verdict_and_stops_no_other() {
    let good = spec(json!({ "asn": 64512, "address": "192.168.11.2" }));
    let wrong = spec(json!({ "asn": 64512, "address": "192.168.11.2", "interface": "eth1" }));
    let absurd = json!({ "asn": "many", "neighbors": 7 });
    let written =
        [underlay("absurd", absurd), underlay("wrong", wrong), underlay("good", good), underlay("none", Json::Null)];
    let (objects, verdicts) = read_all(&written, &no_secret);
    let names: Vec<_> = objects.underlays.iter().map(|object| object.reference.name.as_str()).collect();
    assert_eq!(names, ["good"]);
    assert_eq!(objects.unreadable_underlays, ["absurd", "wrong", "none"]);
    let texts: Vec<_> = verdicts.iter().map(ToString::to_string).collect();
    assert!(
        texts[0].contains("Underlay absurd: rejected (ValidationFailed): spec.asn: asn must be a whole number"),
        "{texts:?}"
    );
    assert!(!texts[0].contains("line 0"), "{texts:?}");
    assert_eq!(
        texts[1],
        "namespace routers: Underlay wrong: rejected (ValidationFailed): spec.neighbors[0]: \
         Address and Interface cannot be set together for Neighbor"
    );
    assert!(texts[2].ends_with("spec: spec is required"), "{texts:?}");
}

#[test]
fn a_field_of_another_version_is_a_remark() {
    let neighbor = json!({ "asn": 64512, "address": "192.168.11.2", "warp": { "factor": 9 } });
    let (objects, verdicts) = read_all(&[underlay("u", spec(neighbor))], &no_secret);
    assert_eq!(verdicts, []);
    assert_eq!(
        objects.underlays[0].warnings,
        ["spec.neighbors[0].warp: this version does not know the field: it has no effect"]
    );
    assert_eq!(objects.underlays[0].spec.router_id_cidr, "10.0.0.0/24", "defaults hold without an API server too");
}

#[test]
fn a_key_comes_from_its_secret_and_one_that_is_missing_concerns_its_session_only() {
    let secret = |name: &str| match name {
        "fabric" => Ok("s3cret".to_owned()),
        "spaces" => Ok("not one".to_owned()),
        other => no_secret(other),
    };
    let mut spec = spec(json!({ "asn": 64512, "address": "192.168.11.2", "passwordSecret": "fabric" }));
    let others = [("192.168.11.3", "gone"), ("192.168.11.4", "spaces")];
    let neighbors = spec["neighbors"].as_array_mut().expect("a list");
    neighbors.extend(others.map(|(address, secret)| json!({ "asn": 1, "address": address, "passwordSecret": secret })));
    assert_eq!(secret_names(&spec), ["fabric", "gone", "spaces"].map(str::to_owned).into());

    let (objects, _) = read_all(&[underlay("u", spec)], &secret);
    let compiled = compile::compile(&objects, &Node::new("n", 0));
    let intent = compiled.intent.expect("the others work");
    let peers: Vec<_> = intent.peers.keys().map(ToString::to_string).collect();
    assert_eq!(peers, ["192.168.11.2"]);
    assert_eq!(
        intent.peers.values().next().and_then(|peer| peer.password.clone()).map(|key| key.0),
        Some("s3cret".into())
    );
    assert!(
        compiled.left_out[0].contains("passwordSecret: the Secret \"gone\" does not exist"),
        "{:?}",
        compiled.left_out
    );
    assert!(
        compiled.left_out[1]
            .contains("passwordSecret: the key in the Secret \"spaces\" cannot be used: password must not"),
        "{:?}",
        compiled.left_out
    );
}

#[test]
fn the_oldest_is_in_force_and_the_others_name_it() {
    let of = |address: &str| spec(json!({ "asn": 64512, "address": address }));
    let (objects, _) = read_all(&[underlay("older", of("192.0.2.1")), underlay("newer", of("192.0.2.2"))], &no_secret);
    let compiled = compile::compile(&objects, &Node::new("n", 0));
    assert_eq!(compiled.in_force.underlay.map(|object| object.name).as_deref(), Some("older"));
    let text = compiled.verdicts[1].to_string();
    assert!(
        text.contains("can't have more than one underlay per node: \"older\" (namespace routers) is in force"),
        "{text}"
    );
}

#[test]
fn a_selector_is_read_without_the_rest_of_the_object() {
    let selector = node_selector(&json!({ "asn": "x", "nodeSelector": { "matchLabels": { "rack": "1" } } }));
    let labels = [("rack".to_owned(), "1".to_owned())].into();
    assert_eq!(selector.expect("a selector").expect("is there").matches(&labels), Ok(true));
    assert_eq!(node_selector(&json!({})), Ok(None));
    assert!(node_selector(&json!({ "nodeSelector": { "matchLabels": [1] } })).is_err());
}

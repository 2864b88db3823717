//! Cases 13 to 53: which objects are in force, which are rejected, and in what words.

use super::*;

fn select(labels: &[(&str, &str)]) -> Json {
    let labels: serde_json::Map<_, _> = labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    json!({ "nodeSelector": { "matchLabels": labels } })
}

fn with_passthroughs(selectors: &[Option<Json>]) -> Compiled {
    let objects = selectors.iter().enumerate().map(|(index, selector)| {
        let spec = merged(session(json!({})), selector.clone().unwrap_or(json!({})));
        passthrough(&format!("pt-{}", index + 1), spec)
    });
    compiled(vec![underlay("u", base())], objects.collect())
}

fn veth(compiled: &Compiled) -> bool {
    compiled.host.as_ref().is_some_and(|host| host.veth.is_some())
}

#[test]
fn case_013_no_passthrough_is_fine() {
    let compiled = with_passthroughs(&[]);
    assert!(compiled.verdicts.iter().all(Verdict::is_applied) && !veth(&compiled));
}

#[test]
fn case_014_a_passthrough_without_selector_is_for_every_node() {
    let compiled = with_passthroughs(&[None]);
    assert!(compiled.verdicts.iter().all(|verdict| sentence(verdict).is_empty()) && veth(&compiled));
}

/// design.md 6.1: the first stays in force.
#[test]
fn case_015_018_and_020_of_two_passthroughs_the_first_stays() {
    let compiled = with_passthroughs(&[None, Some(select(&[("rack", "rack-1")]))]);
    assert!(veth(&compiled));
    assert!(compiled.verdicts[1].is_applied());
    assert_eq!(
        sentence(&compiled.verdicts[2]),
        "can't have more than one l3passthrough per node: \"pt-1\" (x.yaml:1) is in force; \
         remove one of them or narrow its nodeSelector"
    );
}

#[test]
fn case_016_and_017_a_passthrough_for_other_nodes_does_nothing_here() {
    let compiled = with_passthroughs(&[Some(select(&[("rack", "rack-99")])), Some(select(&[("rack", "rack-1")]))]);
    let wanted = "its nodeSelector does not select node \"node-1\": nothing to do here";
    assert_eq!(sentence(&compiled.verdicts[1]), wanted);
    assert!(compiled.verdicts[2].is_applied() && veth(&compiled));
    assert!(!veth(&with_passthroughs(&[Some(select(&[("rack", "rack-99")]))])));
}

#[test]
fn case_019_an_operator_that_does_not_exist() {
    let expressions = json!([{ "key": "rack", "operator": "InvalidOp", "values": ["a"] }]);
    let bad = json!({ "nodeSelector": { "matchExpressions": expressions } });
    let compiled = with_passthroughs(&[Some(bad.clone()), None]);
    let wanted = "for node \"node-1\": \"InvalidOp\" is not a valid label selector operator";
    assert_eq!(sentence(&compiled.verdicts[1]), format!("failed to filter l3passthroughs {wanted}"));
    assert!(veth(&compiled), "the other passthrough is used");
    let underlays = super::compiled(vec![underlay("u", base_with(bad))], vec![]);
    assert_eq!(sentence(&underlays.verdicts[0]), format!("failed to filter underlays {wanted}"));
}

#[test]
fn selectors_match_as_in_kubernetes() {
    let matches = |selector: Json| {
        let selector: LabelSelector = serde_json::from_value(selector).unwrap();
        selector.matches(&node(&[("rack", "a"), ("zone", "z")], 0).labels).unwrap()
    };
    let expression = |operator: &str, key: &str| {
        matches(json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": ["a"] }] }))
    };
    assert!(matches(json!({})));
    assert!(matches(json!({ "matchLabels": { "rack": "a", "zone": "z" } })));
    assert!(!matches(json!({ "matchLabels": { "rack": "a", "zone": "y" } })));
    assert!(expression("In", "rack") && !expression("In", "zone") && !expression("In", "none"));
    assert!(!expression("NotIn", "rack") && expression("NotIn", "zone") && expression("NotIn", "none"));
    assert!(expression("Exists", "rack") && !expression("Exists", "none"));
    assert!(!expression("DoesNotExist", "rack") && expression("DoesNotExist", "none"));
}

fn session_sentence(fields: Json) -> String {
    let compiled = compiled(vec![underlay("u", base())], vec![passthrough("pt", session(fields))]);
    assert!(compiled.intent.is_some(), "the Underlay stays in force");
    sentence(&compiled.verdicts[1])
}

#[test]
fn case_021_026_027_and_028_host_sessions() {
    assert_eq!(session_sentence(json!({})), "");
    assert_eq!(session_sentence(json!({ "hostASN": 65000 })), "");
    for (cidrs, wanted) in [
        (json!({ "ipv4": "not-a-cidr" }), "invalid local CIDR not-a-cidr for l3passthrough pt"),
        (json!({ "ipv6": "not-a-cidr" }), "invalid local CIDR not-a-cidr for l3passthrough pt"),
        (json!({ "ipv4": "2001:db8::/64" }), "2001:db8::/64 is an IPv6 CIDR, an IPv4 one belongs here"),
        (json!({}), "at least one local CIDR (IPv4 or IPv6) must be provided for l3passthrough pt"),
        (json!({ "ipv4": "10.0.0.0/32" }), "10.0.0.0/32 has no address for node index 0: it serves no node at all"),
    ] {
        let got = session_sentence(json!({ "localCIDR": cidrs }));
        assert!(got.contains(wanted), "{got}");
    }
}

#[test]
fn a_full_cidr_rejects_the_passthrough_only() {
    let objects = Objects {
        underlays: vec![underlay("u", base())],
        passthroughs: vec![passthrough("pt", session(json!({})))],
        ..Objects::default()
    };
    let compiled = compile(&objects, &node(&[], 253));
    assert!(compiled.verdicts[0].is_applied() && !veth(&compiled));
    let wanted =
        "192.168.2.0/24 has no address for node index 253: it serves node indexes 0 to 252; use a shorter prefix";
    assert_eq!(sentence(&compiled.verdicts[1]), wanted);
    assert_eq!(compiled.intent.unwrap().router_id.to_string(), "10.0.0.254");
}

/// design.md 6.2.
#[test]
fn an_asn_unlike_the_underlays_is_rejected_and_both_are_named() {
    assert_eq!(
        session_sentence(json!({ "asn": 64999 })),
        "hostSession.asn is 64999, but the Underlay \"u\" of this node has asn 65000: \
         the router has one AS, write the same number in both"
    );
}

#[test]
fn a_passthrough_needs_a_usable_underlay() {
    let reason = |underlays: Vec<Object<UnderlaySpec>>| {
        let compiled = compiled(underlays, vec![passthrough("pt", session(json!({})))]);
        assert!(compiled.intent.is_none() && compiled.host.is_none());
        let last = compiled.verdicts.last().unwrap();
        assert!(matches!(last.outcome, Outcome::Rejected { reason: "DependencyFailed", .. }), "{last:?}");
        sentence(last)
    };
    assert!(reason(vec![]).starts_with("no Underlay selects node \"node-1\""));
    let broken = underlay("broken", base_with(json!({ "asn": 0 })));
    assert!(reason(vec![broken]).starts_with("the Underlay \"broken\" of this node is rejected"));
}

fn nic(name: &str) -> Json {
    json!({ "type": "NetworkDevice", "networkDevice": { "interfaceName": name } })
}

#[test]
fn case_030_031_036_037_038_042_and_053_good_underlays() {
    for fields in [
        json!({}),
        json!({ "interfaces": [nic("eth0"), nic("eth1")] }),
        json!({ "interfaces": [nic("eno2.161")] }),
        json!({ "neighbors": [{ "asn": 65000, "address": "192.168.1.1" }] }),
        json!({ "neighbors": [{ "type": "External", "address": "192.168.1.1" }] }),
        json!({ "neighbors": [{ "type": "Internal", "address": "2001:db8::2" }] }),
    ] {
        let compiled = compiled(vec![underlay("", base_with(fields.clone()))], vec![]);
        assert_eq!(sentence(&compiled.verdicts[0]), "", "{fields}");
        assert!(compiled.intent.is_some());
    }
}

#[track_caller]
fn rejected(cases: &[(Json, &str)]) {
    for (fields, wanted) in cases {
        let compiled = compiled(vec![underlay("", base_with(fields.clone()))], vec![]);
        let got = sentence(&compiled.verdicts[0]);
        assert!(!compiled.verdicts[0].is_applied() && got.contains(wanted), "{fields}\n{got}");
        assert!(compiled.intent.is_none());
    }
}

#[test]
fn case_032_033_034_and_046_bad_overlay_fields() {
    let cidrs = |cidr: &str| json!({ "tunnelEndpoint": { "cidrs": [cidr] } });
    let invalid = "invalid tunnel endpoint CIDRs for underlay : ";
    let named = format!("{invalid}[invalidCIDR] - invalid cidr: invalid CIDR address: invalidCIDR");
    let empty = format!("{invalid}[] - invalid cidr: invalid CIDR address:");
    rejected(&[
        (cidrs("invalidCIDR"), &named),
        (cidrs(""), &empty),
        (json!({ "tunnelEndpoint": {} }), "underlay : tunnel endpoint CIDRs must be specified"),
        (json!({ "srv6": { "locator": { "format": "usid-finvalid" } } }), "invalid locator format \"usid-finvalid\""),
    ]);
}

#[test]
fn case_035_039_040_041_and_048_bad_interfaces() {
    let cni = json!({ "type": "CNIDevice", "cniDevice": { "type": "RawConfig", "rawConfig": {} } });
    let only = |interfaces: &[Json]| json!({ "interfaces": interfaces });
    let dollar = "underlay  has invalid interfaces: invalid interface name 1$^&invalid: \
                  interface name 1$^&invalid contains invalid characters";
    rejected(&[
        (only(&[nic("1$^&invalid")]), dollar),
        (only(&[nic(".eth0")]), "interface name .eth0 contains invalid characters"),
        (only(&[nic("verylongname.123")]), "interface name verylongname.123 can't be longer than 15 characters"),
        (only(&[nic("eth0.100!")]), "interface name eth0.100! contains invalid characters"),
        (only(&[nic("eth0"), nic("eth0")]), "duplicate underlay interface name eth0"),
        (only(&[cni.clone(), cni.clone()]), "duplicate underlay interface name net1"),
        (only(&[nic("eth0"), cni]), "all interfaces must be of the same type"),
    ]);
}

#[test]
fn case_044_045_and_050_neighbors_that_clash() {
    let neighbors = |key: &str, values: [&str; 2]| {
        let list: Vec<_> = values.iter().map(|value| json!({ "asn": 1, key: value })).collect();
        json!({ "neighbors": list })
    };
    let twice = "underlay  has duplicate neighbor interface names, \
                 only one peer is allowed per interface: duplicate entry eth0";
    rejected(&[
        (neighbors("interface", ["eth0", "eth0"]), twice),
        (
            neighbors("address", ["192.168.1.1", "192.168.1.1"]),
            "underlay  has duplicate neighbor address: duplicate entry 192.168.1.1",
        ),
        (neighbors("address", ["2001:db8::1", "2001:DB8:0::1"]), "duplicate entry 2001:DB8:0::1"),
        (
            neighbors("listenRange", ["192.168.10.0/24", "192.168.10.0/24"]),
            "listenRange 192.168.10.0/24 overlaps with listenRange 192.168.10.0/24",
        ),
        (
            neighbors("listenRange", ["192.168.10.0/24", "192.168.10.128/25"]),
            "listenRange 192.168.10.0/24 overlaps with listenRange 192.168.10.128/25",
        ),
        (neighbors("listenRange", ["192.168.10.1/24", "192.168.10.0/24"]), "overlaps with listenRange"),
        (neighbors("listenRange", ["10.0.0.0/8", "192.168.10.5"]), "invalid listenRange 192.168.10.5"),
    ]);
}

#[test]
fn case_052_bad_numbers_ranges_and_keys() {
    let password = |key: &str| json!({ "neighbors": [{ "asn": 1, "address": "192.168.1.1", "password": key }] });
    rejected(&[
        (json!({ "asn": 0 }), "underlay  must have a valid ASN"),
        (json!({ "neighbors": [] }), "underlay  must have at least one neighbor configured"),
        (json!({ "routerIDCIDR": "x" }), "failed to get router id for node 0 from cidr x: "),
        (json!({ "routerIDCIDR": "10.0.0.1/32" }), "failed to get router id for node 0 from cidr 10.0.0.1/32: "),
        (password("a b"), "password must not be empty and must not contain whitespace"),
        (password(&"x".repeat(81)), "password has 81 bytes, TCP-MD5 in Linux takes at most 80"),
    ]);
}

#[test]
fn case_043_and_044_ranges_and_links_that_do_not_clash() {
    let list = json!([
        { "asn": 1, "listenRange": "192.168.10.0/24" }, { "asn": 1, "listenRange": "192.168.11.0/24" },
        { "asn": 1, "listenRange": "fd00:10::/64" }, { "asn": 1, "address": "192.168.10.3" },
        { "asn": 1, "interface": "eth0" }, { "asn": 1, "interface": "eth1" },
    ]);
    let fields = json!({ "neighbors": list, "interfaces": [nic("eth0"), nic("eth1")] });
    let compiled = compiled(vec![underlay("u", base_with(fields))], vec![]);
    assert_eq!(sentence(&compiled.verdicts[0]), "");
    let intent = compiled.intent.unwrap();
    assert_eq!((intent.peers.len(), intent.unnumbered.len(), intent.ranges.len()), (1, 2, 3));
}

/// design.md 6.1: the first stays in force, and the passthrough with it.
#[test]
fn case_049_and_051_of_two_underlays_the_first_stays() {
    let second = underlay("second", base_with(select(&[("rack", "rack-1")])));
    let both = compiled(vec![underlay("first", base()), second], vec![passthrough("pt", session(json!({})))]);
    assert!(both.intent.is_some() && veth(&both));
    let wanted = "can't have more than one underlay per node: \"first\" (x.yaml:1) is in force";
    assert!(sentence(&both.verdicts[1]).starts_with(wanted));
    let elsewhere = underlay("elsewhere", base_with(select(&[("rack", "rack-2")])));
    let one = compiled(vec![elsewhere, underlay("here", base_with(json!({ "nodeSelector": {} })))], vec![]);
    assert!(one.intent.is_some() && one.verdicts.iter().all(Verdict::is_applied));
}

#[test]
fn a_rejected_underlay_leaves_its_place_to_the_next() {
    let broken = underlay("broken", base_with(json!({ "asn": 0 })));
    let compiled = compiled(vec![broken, underlay("good", base())], vec![passthrough("pt", session(json!({})))]);
    assert!(!compiled.verdicts[0].is_applied());
    assert!(compiled.intent.is_some() && veth(&compiled));
}

#[test]
fn a_rejection_points_at_the_line_of_its_field() {
    let mut object = underlay("u", base_with(json!({ "asn": 0 })));
    object.lines = BTreeMap::from([("spec".into(), 2), ("spec.asn".into(), 7)]);
    let compiled = compiled(vec![object], vec![]);
    assert_eq!(
        compiled.verdicts[0].to_string(),
        "x.yaml:7: Underlay u: rejected (ValidationFailed): spec.asn: underlay u must have a valid ASN"
    );
}

/// design.md 6.1: the first of two stays in force, where upstream refuses both.
#[test]
fn case_083_111_and_131_no_underlay_two_underlays_two_passthroughs() {
    let none = compiled(vec![], vec![]);
    assert!(none.intent.is_none() && none.host.is_none());
    let both = compiled(
        vec![underlay("u1", base()), underlay("u2", base())],
        vec![passthrough("p1", session(json!({}))), passthrough("p2", session(json!({})))],
    );
    assert!(both.intent.is_some() && veth(&both));
    let applied: Vec<_> =
        both.verdicts.iter().map(|verdict| (verdict.object.name.as_str(), verdict.is_applied())).collect();
    assert_eq!(applied, [("u1", true), ("u2", false), ("p1", true), ("p2", false)]);
    for (verdict, winner) in [(1, "\"u1\" (x.yaml:1) is in force"), (3, "\"p1\" (x.yaml:1) is in force")] {
        let Outcome::Rejected { reason, message, .. } = &both.verdicts[verdict].outcome else { panic!() };
        assert_eq!(*reason, "ValidationFailed");
        assert!(message.contains(winner), "{message}");
    }
}

/// design.md 6.1: every wrong object has a verdict of its own, whatever else is wrong.
#[test]
fn case_134_every_error_is_reported_with_its_object() {
    let compiled = compiled(
        vec![underlay("broken", base_with(json!({ "asn": 0 }))), underlay("u", base()), underlay("late", base())],
        vec![
            passthrough("wrong", session(json!({ "asn": 1 }))),
            passthrough("full", session(json!({ "localCIDR": { "ipv4": "10.0.0.0/32" } }))),
            passthrough("pt", session(json!({}))),
        ],
    );
    let rejected: Vec<_> = compiled
        .verdicts
        .iter()
        .filter(|verdict| !verdict.is_applied())
        .map(|verdict| verdict.object.name.as_str())
        .collect();
    assert_eq!(rejected, ["broken", "late", "wrong", "full"]);
    assert!(compiled.intent.is_some() && veth(&compiled));
}

#[test]
fn case_135_selectors_of_underlays() {
    let in_force = |selectors: &[Json]| {
        let objects = selectors
            .iter()
            .enumerate()
            .map(|(index, fields)| underlay(&format!("u{index}"), base_with(fields.clone())));
        let compiled = compiled(objects.collect(), vec![]);
        compiled
            .intent
            .is_some()
            .then(|| compiled.verdicts.iter().position(|verdict| sentence(verdict).is_empty()).unwrap())
    };
    assert_eq!(in_force(&[json!({})]), Some(0), "no selector");
    assert_eq!(in_force(&[select(&[("rack", "rack-1")])]), Some(0), "matching");
    assert_eq!(in_force(&[select(&[("rack", "rack-2")])]), None, "not matching");
    assert_eq!(in_force(&[select(&[("rack", "rack-2")]), json!({})]), Some(1), "mixed");
    let two = select(&[("rack", "rack-1"), ("kubernetes.io/hostname", "node-1")]);
    assert_eq!(in_force(&[two]), Some(0), "two labels");
}

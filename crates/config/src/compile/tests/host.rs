//! The host's session, its routes, and the four combinations of internal and external neighbours.

use engine::FamilySet;
use engine::intent::{HostRoutes, MaxPrefixes, PrefixRule};
use kernel::host_table::HostTable;

use super::*;

fn with(fields: Json) -> Compiled {
    compiled(vec![underlay("u", base())], vec![passthrough("pt", session(fields))])
}

/// design.md 6.9.
#[test]
fn whoever_else_connects_over_the_veth_pair_is_a_host_with_the_same_parameters() {
    let compiled = with(json!({ "password": "h0st", "holdTimeSeconds": 90, "keepaliveTimeSeconds": 30 }));
    assert_eq!(sentence(&compiled.verdicts[1]), "");
    let intent = compiled.intent.unwrap();
    let shape = |range: &engine::intent::RangeIntent| (range.prefix.to_string(), range.link.clone(), range.limit);
    let pt_ns = || Some("pt-ns".to_owned());
    let ranges: Vec<_> = intent.ranges.iter().map(shape).collect();
    assert_eq!(ranges, [("0.0.0.0/0".into(), pt_ns(), Some(4)), ("::/0".into(), pt_ns(), Some(4))]);
    for (range, host) in intent.ranges.iter().zip(["192.168.2.2", "2001:db8::2"]) {
        let host = &intent.peers[&address(host)];
        let renamed = PeerIntent { name: host.name.clone(), ..range.peer.clone() };
        assert_eq!(renamed, *host);
        assert_ne!(range.peer.name, host.name);
        assert_eq!((host.role, host.hold_time.as_secs(), host.keepalive.as_secs()), (Role::Host, 90, 30));
        assert_eq!(host.password.as_ref().map(|key| key.0.as_str()), Some("h0st"));
    }
}

#[test]
fn a_host_of_one_family_has_one_range() {
    let intent = with(json!({ "localCIDR": { "ipv6": "2001:db8::/64" } })).intent.unwrap();
    assert_eq!(intent.ranges.iter().map(|range| range.prefix.to_string()).collect::<Vec<_>>(), ["::/0"]);
}

#[test]
fn options_of_the_host_session_reach_its_peers() {
    let intent = with(json!({
        "connectTimeSeconds": 30,
        "allowedPrefixes": [{ "prefix": "10.244.0.0/16", "le": 32 }],
        "maxPrefixes": [{ "type": "ipv4unicast", "limit": 100, "action": "Teardown" }, { "type": "ipv6unicast", "limit": 7 }],
        "asOverride": true,
        "rejectAsSets": true,
    }))
    .intent
    .unwrap();
    let rule = PrefixRule { prefix: "10.244.0.0/16".parse().unwrap(), ge: 16, le: 32 };
    for (at, family, limit) in [
        ("192.168.2.2", Family::Ipv4Unicast, MaxPrefixes { limit: 100, teardown: true, restart: None }),
        ("2001:db8::2", Family::Ipv6Unicast, MaxPrefixes { limit: 7, teardown: false, restart: None }),
    ] {
        let host = &intent.peers[&address(at)];
        assert_eq!((host.connect_retry.as_secs(), host.as_override, host.reject_as_sets), (30, true, true));
        // A list that names one family only allows nothing of the other.
        assert_eq!(host.allowed_prefixes, [rule]);
        assert_eq!(host.max_prefixes, BTreeMap::from([(family, limit)]));
    }
}

#[test]
fn bad_options_of_the_host_session_reject_the_passthrough_and_name_the_field() {
    let cases = [
        (json!({ "holdTimeSeconds": 2, "keepaliveTimeSeconds": 1 }), "spec.hostSession.holdTimeSeconds"),
        (json!({ "holdTimeSeconds": 9 }), "spec.hostSession.holdTimeSeconds"),
        (json!({ "connectTimeSeconds": 0 }), "spec.hostSession.connectTimeSeconds"),
        (json!({ "allowedPrefixes": [{ "prefix": "x" }] }), "spec.hostSession.allowedPrefixes[0].prefix"),
    ];
    for (fields, wanted) in cases {
        let compiled = with(fields);
        assert!(compiled.intent.is_some_and(|intent| intent.ranges.is_empty() && intent.peers.len() == 1));
        let Outcome::Rejected { field, .. } = &compiled.verdicts[1].outcome else { panic!("{:#?}", compiled.verdicts) };
        assert_eq!(field.as_deref(), Some(wanted));
    }
}

#[test]
fn a_secret_of_the_host_session_that_files_cannot_read_leaves_out_the_session_only() {
    let compiled = with(json!({ "passwordSecret": "bgp" }));
    assert_eq!(
        sentence(&compiled.verdicts[1]),
        "spec.hostSession.passwordSecret: the Secret \"bgp\" cannot be read from files, use passwordFile: \
         there is no session with the host, everything else works"
    );
    let intent = compiled.intent.unwrap();
    assert_eq!((intent.peers.len(), intent.ranges.len(), intent.networks.len()), (1, 0, 2));
    assert!(compiled.host.unwrap().veth.is_some());
}

#[test]
fn as_override_of_an_internal_host_says_that_it_does_nothing() {
    let compiled = with(json!({ "hostASN": 65000, "asOverride": true }));
    let wanted = "spec.hostSession.asOverride: has no effect: the host is in the router's own AS";
    assert_eq!(sentence(&compiled.verdicts[1]), wanted);
}

fn with_routes(routes: Json) -> Compiled {
    let spec = merged(session(json!({})), json!({ "hostRoutes": routes }));
    compiled(vec![underlay("u", base())], vec![passthrough("pt", spec)])
}

#[test]
fn host_routes_lead_to_the_routers_addresses() {
    let compiled = with_routes(json!({}));
    assert_eq!(compiled.intent.unwrap().host_routes, Some(HostRoutes { prefixes: vec![], allow_default: false }));
    let gateways = vec![address("192.168.2.1"), address("2001:db8::1")];
    let wanted = HostTable { table: 254, metric: 20, link: "pt-host".into(), gateways };
    assert_eq!(compiled.host_table, Some(wanted));

    let prefixes = json!([{ "prefix": "10.0.0.0/8", "le": 32 }]);
    let compiled = with_routes(json!({ "table": 100, "metric": 7, "prefixes": prefixes, "allowDefault": true }));
    let rule = PrefixRule { prefix: "10.0.0.0/8".parse().unwrap(), ge: 8, le: 32 };
    assert_eq!(compiled.intent.unwrap().host_routes, Some(HostRoutes { prefixes: vec![rule], allow_default: true }));
    assert_eq!(compiled.host_table.map(|table| (table.table, table.metric)), Some((100, 7)));

    let compiled = with(json!({}));
    assert_eq!((compiled.intent.unwrap().host_routes, compiled.host_table), (None, None));
}

#[test]
fn bad_host_routes_reject_the_passthrough_and_leave_no_table() {
    for (routes, wanted) in [
        (json!({ "table": 0 }), "table must be 1 to 4294967295, got 0"),
        (json!({ "metric": 4_294_967_296_i64 }), "metric must be 1 to 4294967295, got 4294967296"),
        (json!({ "prefixes": [{ "prefix": "10.0.0.0/33" }] }), "got \"10.0.0.0/33\": write address/length"),
    ] {
        let compiled = with_routes(routes);
        assert!(sentence(&compiled.verdicts[1]).contains(wanted), "{:#?}", compiled.verdicts);
        assert!(compiled.host_table.is_none() && compiled.intent.is_some_and(|intent| intent.host_routes.is_none()));
    }
}

/// design.md 6.4: an internal host is a client, with any fabric; the cluster id stays the router id.
#[test]
fn all_four_combinations_of_internal_and_external() {
    for (fabric_as, host_as) in [(65001, 65002), (65001, 65000), (65000, 65001), (65000, 65000)] {
        let fabric_fields = json!({ "neighbors": [{ "asn": fabric_as, "address": "192.168.1.1" }] });
        let compiled = compiled(
            vec![underlay("u", base_with(fabric_fields))],
            vec![passthrough("pt", session(json!({ "hostASN": host_as })))],
        );
        assert!(compiled.verdicts.iter().all(|verdict| sentence(verdict).is_empty()));
        let intent = compiled.intent.unwrap();
        assert_eq!(intent.cluster_id, None);
        let fabric = &intent.peers[&address("192.168.1.1")];
        let fabric_internal = fabric_as == 65000;
        assert_eq!((fabric.next_hop_self, fabric.reflector_client), (true, FamilySet::default()));
        assert_eq!(fabric.allow_own_as, if fabric_internal { 0 } else { 3 });
        assert_eq!(fabric.ttl, if fabric_internal { Ttl::System } else { Ttl::Direct });
        for (at, family) in [("192.168.2.2", Family::Ipv4Unicast), ("2001:db8::2", Family::Ipv6Unicast)] {
            let host = &intent.peers[&address(at)];
            assert_eq!((host.next_hop_self, host.ttl), (true, Ttl::System));
            let client = if host_as == 65000 { FamilySet::only(family) } else { FamilySet::default() };
            assert_eq!(host.reflector_client, client, "{fabric_as} {host_as}");
        }
    }
}

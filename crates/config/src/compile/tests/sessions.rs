//! Cases 76 to 97: what upstream renders as text, read as intent.

use engine::FamilySet;
use engine::intent::Secret;

use super::*;

fn with_session(underlay_fields: Json, session_fields: Json) -> Compiled {
    compiled(vec![underlay("u", base_with(underlay_fields))], vec![passthrough("pt", session(session_fields))])
}

fn intent_of(underlay_fields: Json, session_fields: Json) -> Intent {
    let compiled = with_session(underlay_fields, session_fields);
    compiled.intent.unwrap_or_else(|| panic!("{:#?}", compiled.verdicts))
}

fn neighbor(fields: Json) -> Json {
    json!({ "neighbors": [merged(json!({ "address": "192.168.1.1" }), fields)] })
}

fn fabric(fields: Json) -> PeerIntent {
    let intent = intent_of(neighbor(fields), json!({}));
    intent.peers.into_values().find(|peer| peer.role == Role::Fabric).unwrap()
}

#[test]
fn case_076_093_and_099_dual_stack_passthrough() {
    let compiled = with_session(json!({}), json!({}));
    let intent = compiled.intent.unwrap();
    assert_eq!((intent.asn, intent.router_id.to_string()), (65000, "10.0.0.1".into()));
    assert!(intent.fib);
    let networks: Vec<_> = intent.networks.iter().map(|n| (n.prefix.to_string(), n.while_link_up.as_deref())).collect();
    assert_eq!(networks, [("192.168.2.2/32".into(), Some("pt-ns")), ("2001:db8::2/128".into(), Some("pt-ns"))]);
    assert_eq!(intent.peers.len(), 3);

    let fabric = &intent.peers[&address("192.168.1.1")];
    assert_eq!((fabric.role, fabric.remote_as), (Role::Fabric, RemoteAs::Number(65001)));
    assert_eq!(fabric.families, Family::ALL);
    assert_eq!((fabric.allow_own_as, fabric.ttl, fabric.port), (3, Ttl::Direct, 179));
    assert_eq!((fabric.extended_next_hop, fabric.reflector_client), (false, FamilySet::default()));
    let times = [fabric.hold_time, fabric.keepalive, fabric.connect_retry].map(|time| time.as_secs());
    assert_eq!(times, [180, 60, 120]);

    for (at, family) in [("192.168.2.2", Family::Ipv4Unicast), ("2001:db8::2", Family::Ipv6Unicast)] {
        let host = &intent.peers[&address(at)];
        assert_eq!((host.role, host.remote_as), (Role::Host, RemoteAs::Number(65001)));
        assert_eq!(host.families, [family]);
        assert_eq!(host.connect_retry.as_secs(), 5);
        assert_eq!((host.ttl, host.allow_own_as, host.reflector_client), (Ttl::System, 0, FamilySet::default()));
        assert_eq!(host.link.as_deref(), Some("pt-ns"));
    }

    let host = compiled.host.unwrap();
    assert_eq!((host.namespace.as_str(), host.nics), ("perouter", vec!["eth0".to_owned()]));
    let veth = host.veth.unwrap();
    assert_eq!((veth.host_name.as_str(), veth.ns_name.as_str()), ("pt-host", "pt-ns"));
    let addresses = |nets: &[IpNet]| nets.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(addresses(&veth.host_addresses), ["192.168.2.2/24", "2001:db8::2/64"]);
    assert_eq!(addresses(&veth.ns_addresses), ["192.168.2.1/24", "2001:db8::1/64"]);
}

#[test]
fn case_077_078_and_093_one_family_only() {
    let v4 = intent_of(json!({}), json!({ "localCIDR": { "ipv4": "192.168.2.0/24" } }));
    assert_eq!(v4.peers.len(), 2);
    assert!(v4.peers.values().all(|peer| peer.families == [Family::Ipv4Unicast]));
    assert_eq!(v4.networks.len(), 1);
    let v6 = intent_of(
        neighbor(json!({ "asn": 1, "address": "2001:db8:1::1" })),
        json!({ "localCIDR": { "ipv6": "2001:db8::/64" } }),
    );
    assert!(v6.peers.values().all(|peer| peer.families == [Family::Ipv6Unicast] && !peer.extended_next_hop));
    assert_eq!(v6.networks[0].prefix.to_string(), "2001:db8::2/128");
}

#[test]
fn case_079_ipv4_over_an_ipv6_session_has_extended_next_hops() {
    let fields = json!({ "asn": 1, "address": "2001:db8:1::1", "addressFamilies": [{ "type": "ipv4unicast" }] });
    let peer = fabric(fields);
    assert_eq!((peer.families.as_slice(), peer.extended_next_hop), (&[Family::Ipv4Unicast][..], true));
    assert!(fabric(json!({ "asn": 1, "address": "2001:db8:1::1" })).extended_next_hop, "dual stack");
}

#[test]
fn case_081_and_093_host_types() {
    let remote_as = |kind: &str| {
        let mut spec = session(json!({ "hostType": kind }));
        spec["hostSession"].as_object_mut().unwrap().remove("hostASN");
        let intent = compiled(vec![underlay("u", base())], vec![passthrough("pt", spec)]).intent.unwrap();
        let host = &intent.peers[&address("192.168.2.2")];
        (host.remote_as, host.reflector_client)
    };
    assert_eq!(remote_as("External"), (RemoteAs::External, FamilySet::default()));
    assert_eq!(remote_as("Internal"), (RemoteAs::Internal, FamilySet::only(Family::Ipv4Unicast)));
}

#[test]
fn case_085_and_086_graceful_restart_times_and_quick_reconnects() {
    let restart = |fields: Json| intent_of(json!({ "gracefulRestart": fields }), json!({}));
    let times = |fields: Json| {
        let restart = restart(fields).peers.into_values().next().unwrap().graceful_restart.unwrap();
        (restart.restart_time.as_secs(), restart.stale_time.as_secs())
    };
    assert!(intent_of(json!({}), json!({})).peers.values().all(|peer| peer.graceful_restart.is_none()));
    assert_eq!(times(json!({})), (120, 360));
    assert_eq!(times(json!({ "restartTimeSeconds": 90, "stalePathTimeSeconds": 180 })), (90, 180));
    assert_eq!(times(json!({ "restartTimeSeconds": 60 })), (60, 360));
    assert!(restart(json!({})).peers.values().all(|peer| peer.connect_retry.as_secs() == 5));
    let explicit = merged(neighbor(json!({ "asn": 1, "connectTimeSeconds": 30 })), json!({ "gracefulRestart": {} }));
    let intent = intent_of(explicit, json!({}));
    assert_eq!(intent.peers[&address("192.168.1.1")].connect_retry.as_secs(), 30);
}

#[test]
fn case_087_route_reflector() {
    let cluster = |fields: Json| intent_of(fields, json!({})).cluster_id.map(|id| id.to_string());
    assert_eq!(cluster(json!({})), None);
    assert_eq!(cluster(json!({ "routeReflector": {} })).as_deref(), Some("192.0.2.1"));
    assert_eq!(cluster(json!({ "routeReflector": { "clusterID": "10.1.1.1" } })).as_deref(), Some("10.1.1.1"));
    let client = |with: bool| {
        let properties = if with { json!([{ "type": "routeReflectorClient" }]) } else { json!([]) };
        fabric(json!({ "type": "Internal", "addressFamilies": [{ "type": "ipv4unicast", "properties": properties }] }))
    };
    assert_eq!(client(true).reflector_client, FamilySet::only(Family::Ipv4Unicast));
    assert!(client(false).reflector_client.is_empty());
}

#[test]
fn case_091_multihop() {
    let ttl = |properties: Json| fabric(json!({ "asn": 1, "properties": properties })).ttl;
    assert_eq!(ttl(json!([])), Ttl::Direct);
    assert_eq!(ttl(json!([{ "type": "ebgpMultiHop" }])), Ttl::Multihop(255));
    assert_eq!(ttl(json!([{ "type": "ebgpMultiHop", "ebgpMultiHop": {} }])), Ttl::Multihop(255));
    assert_eq!(ttl(json!([{ "type": "ebgpMultiHop", "ebgpMultiHop": { "ttl": 5 } }])), Ttl::Multihop(5));
}

#[test]
fn case_094_ibgp_sessions_send_our_next_hop_and_tolerate_no_own_as() {
    let peer = fabric(json!({ "asn": 65000 }));
    assert_eq!((peer.next_hop_self, peer.allow_own_as, peer.ttl), (true, 0, Ttl::System));
    let intent = intent_of(json!({}), json!({ "hostASN": 65000 }));
    let host = &intent.peers[&address("192.168.2.2")];
    assert_eq!((host.next_hop_self, host.reflector_client), (true, FamilySet::only(Family::Ipv4Unicast)));
}

#[test]
fn case_097_no_configuration_is_no_router() {
    let Compiled { intent, host, verdicts, .. } = compiled(vec![], vec![]);
    assert!(intent.is_none() && host.is_none() && verdicts.is_empty());
}

#[test]
fn session_options_of_neighbors_reach_the_peer() {
    let peer = fabric(json!({
        "asn": 1, "port": 1790, "password": "s3cret",
        "holdTimeSeconds": 9, "keepaliveTimeSeconds": 3, "connectTimeSeconds": 7,
    }));
    let times = [peer.hold_time, peer.keepalive, peer.connect_retry].map(|time| time.as_secs());
    assert_eq!((times, peer.port), ([9, 3, 7], 1790));
    assert_eq!(peer.password, Some(Secret("s3cret".into())));
    assert_eq!(fabric(json!({ "asn": 1, "port": 0 })).port, 179);
}

#[test]
fn what_this_version_does_not_serve_is_named_and_holds_nothing_back() {
    let fields = json!({
        "neighbors": [
            { "asn": 1, "interface": "eth1" },
            { "asn": 1, "address": "192.168.1.9", "passwordSecret": "key" },
            { "asn": 1, "address": "192.168.1.8", "addressFamilies": [{ "type": "evpn" }] },
            { "asn": 1, "address": "192.168.1.7", "addressFamilies": [{ "type": "ipv4unicast" }, { "type": "evpn" }] },
            { "asn": 1, "address": "192.168.1.6", "bfd": {}, "bgpRole": "Customer", "addPath": "Both" },
        ],
        "tunnelEndpoint": { "cidrs": ["10.5.0.0/24"] },
        "isis": { "level": 1 },
        "srv6": {},
        "gracefulRestart": {},
    });
    let compiled = with_session(fields, json!({ "bfd": {}, "addPath": "Send", "gracefulRestart": {} }));
    let remarks = sentence(&compiled.verdicts[0]);
    for wanted in [
        "spec.tunnelEndpoint: it is for overlays",
        "spec.isis: it is for overlays",
        "spec.srv6: it is for overlays",
        "spec.neighbors[0].interface: eth1 is not among the interfaces that this Underlay takes (eth0): add it there",
        "spec.neighbors[1].passwordSecret: the Secret \"key\" cannot be read from files, use passwordFile: this neighbor",
        "spec.neighbors[2].addressFamilies: none of evpn is served",
        "spec.neighbors[3].addressFamilies: evpn is not served",
    ] {
        assert!(remarks.contains(wanted), "{wanted}\n{remarks}");
    }
    assert_eq!(sentence(&compiled.verdicts[1]), "");
    let peers: Vec<_> = compiled.intent.unwrap().peers.into_keys().map(|at| at.to_string()).collect();
    assert_eq!(peers, ["192.168.1.6", "192.168.1.7", "192.168.2.2", "2001:db8::2"]);
}

#[test]
fn a_cni_device_is_named_as_not_served() {
    let interfaces = json!([{ "type": "CNIDevice", "cniDevice": { "type": "RawConfig", "rawConfig": {} } }]);
    let compiled = with_session(json!({ "interfaces": interfaces }), json!({}));
    assert!(sentence(&compiled.verdicts[0]).contains("spec.interfaces[0].cniDevice: CNI devices are not served"));
    assert!(compiled.host.unwrap().nics.is_empty());
}

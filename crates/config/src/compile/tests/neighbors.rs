//! Cases 80 to 96 that are about kinds of neighbours, and the options that only perouter has.

use engine::FamilySet;
use engine::bfd::{Hops, Settings};
use engine::intent::{MaxPrefixes, Multipath, PrefixRule, RangeIntent};

use super::*;

const DUAL: &str = r#"{ "ipv4": "192.168.2.0/24", "ipv6": "2001:db8::/64" }"#;

fn cidrs(text: &str) -> Json {
    json!({ "localCIDR": serde_json::from_str::<Json>(text).unwrap() })
}

/// The node with these neighbours, joined to a host with these CIDRs.
fn with(neighbors: Json, cidrs: Json) -> Compiled {
    let fields = json!({ "neighbors": neighbors });
    compiled(vec![underlay("u", base_with(fields))], vec![passthrough("pt", session(cidrs))])
}

fn intent(neighbors: Json) -> Intent {
    let compiled = with(neighbors, json!({}));
    assert_eq!(sentence(&compiled.verdicts[0]), "");
    compiled.intent.unwrap()
}

fn fabric_ranges(intent: Intent) -> Vec<RangeIntent> {
    intent.ranges.into_iter().filter(|range| range.peer.role == Role::Fabric).collect()
}

fn unnumbered(fields: Json, cidrs: Json) -> PeerIntent {
    let neighbor = merged(json!({ "interface": "eth0" }), fields);
    with(json!([neighbor]), cidrs).intent.unwrap().unnumbered.remove("eth0").unwrap()
}

#[test]
fn case_082_address_interface_or_neither() {
    let rejected = |neighbor: Json| sentence(&with(json!([neighbor]), json!({})).verdicts[0]);
    assert_eq!(
        rejected(json!({ "asn": 1, "address": "192.168.1.1", "interface": "eth0" })),
        "Address and Interface cannot be set together for Neighbor"
    );
    assert_eq!(
        rejected(json!({ "asn": 1 })),
        "Either a valid Address, Interface name or ListenRange must be provided for Neighbor"
    );
    let peer = unnumbered(json!({ "asn": 1 }), cidrs(r#"{ "ipv4": "192.168.2.0/24" }"#));
    assert_eq!((peer.name.as_str(), peer.link.as_deref()), ("eth0", Some("eth0")));
    assert_eq!((peer.families.as_slice(), peer.extended_next_hop), (&[Family::Ipv4Unicast][..], true));
}

#[test]
fn unnumbered_neighbors_have_ipv6_too_when_the_host_does() {
    assert_eq!(unnumbered(json!({ "asn": 1 }), cidrs(DUAL)).families, Family::ALL);
    let listed = json!({ "asn": 1, "addressFamilies": [{ "type": "ipv6unicast" }] });
    let peer = unnumbered(listed, cidrs(DUAL));
    assert_eq!((peer.families.as_slice(), peer.extended_next_hop), (&[Family::Ipv6Unicast][..], true));
}

#[test]
fn case_096_unnumbered_ibgp_and_ebgp() {
    let internal = unnumbered(json!({ "type": "Internal" }), json!({}));
    assert_eq!((internal.remote_as, internal.next_hop_self, internal.allow_own_as), (RemoteAs::Internal, true, 0));
    let external = unnumbered(json!({ "type": "External" }), json!({}));
    assert_eq!((external.remote_as, external.ttl, external.allow_own_as), (RemoteAs::External, Ttl::Direct, 3));
}

#[test]
fn an_unnumbered_neighbor_on_a_link_that_the_router_does_not_take_is_left_out_and_named() {
    let compiled = with(json!([{ "asn": 1, "interface": "eth9" }, { "asn": 1, "interface": "eth0" }]), json!({}));
    assert_eq!(
        sentence(&compiled.verdicts[0]),
        "spec.neighbors[0].interface: eth9 is not among the interfaces that this Underlay takes (eth0): add it there: \
         this neighbor is left out, the others are not concerned"
    );
    assert_eq!(compiled.intent.unwrap().unnumbered.into_keys().collect::<Vec<_>>(), ["eth0"]);
}

#[test]
fn case_088_an_internal_range_and_its_families() {
    let ranges = |fields: Json, others: Json| {
        let neighbor = merged(json!({ "type": "Internal" }), fields);
        let fields = merged(json!({ "neighbors": [neighbor] }), others);
        let only_v4 = session(cidrs(r#"{ "ipv4": "192.168.2.0/24" }"#));
        let compiled = compiled(vec![underlay("u", base_with(fields))], vec![passthrough("pt", only_v4)]);
        let mut ranges = fabric_ranges(compiled.intent.unwrap());
        assert_eq!(ranges.len(), 1);
        ranges.remove(0)
    };
    let v4 = ranges(json!({ "listenRange": "192.168.10.0/24" }), json!({}));
    assert_eq!((v4.prefix.to_string(), v4.peer.name.as_str()), ("192.168.10.0/24".into(), "internal@192.168.10.0/24"));
    assert_eq!((v4.link, v4.limit, v4.peer.families.as_slice()), (None, None, &[Family::Ipv4Unicast][..]));
    assert!(!v4.peer.extended_next_hop);

    let tunnels = json!({ "tunnelEndpoint": { "cidrs": ["10.5.0.0/24"] } });
    let v6 = ranges(json!({ "listenRange": "fd00:10::/64" }), tunnels);
    assert_eq!((v6.peer.families.as_slice(), v6.peer.extended_next_hop), (&Family::ALL[..], true));

    let client = json!([{ "type": "routeReflectorClient" }]);
    let listed = json!([{ "type": "evpn", "properties": client }, { "type": "ipv4unicast", "properties": client }]);
    let reflected =
        ranges(json!({ "listenRange": "10.9.0.0/16", "addressFamilies": listed }), json!({ "routeReflector": {} }));
    assert_eq!(reflected.peer.families, [Family::Ipv4Unicast]);
    assert_eq!(reflected.peer.reflector_client, FamilySet::only(Family::Ipv4Unicast));
}

#[test]
fn case_088_the_listen_limit() {
    let limit = |fields: Json| compiled(vec![underlay("u", base_with(fields))], vec![]).intent.unwrap().listen_limit;
    assert_eq!(limit(json!({})), 65_535);
    assert_eq!(limit(json!({ "listenLimit": 512 })), 512);
}

#[test]
fn case_089_external_ranges_with_their_key() {
    let ranges = fabric_ranges(intent(json!([
        { "asn": 64512, "listenRange": "192.168.11.0/24", "password": "s3cret" },
        { "asn": 64513, "listenRange": "192.168.12.7/24", "holdTimeSeconds": 9, "keepaliveTimeSeconds": 3 },
    ])));
    let [first, second] = &ranges[..] else { panic!("{ranges:#?}") };
    assert_eq!((first.peer.name.as_str(), first.peer.allow_own_as), ("64512@192.168.11.0/24", 3));
    assert_eq!(first.peer.password.as_ref().map(|key| key.0.as_str()), Some("s3cret"));
    assert_eq!((second.prefix.to_string(), second.peer.remote_as), ("192.168.12.0/24".into(), RemoteAs::Number(64513)));
    assert_eq!((second.peer.hold_time.as_secs(), second.peer.password.as_ref()), (9, None));
}

#[test]
fn options_about_dialling_have_no_effect_on_ranges_and_say_so() {
    let neighbor = json!({ "type": "External", "listenRange": "10.9.0.0/16", "port": 1790, "connectTimeSeconds": 9 });
    let compiled = with(json!([neighbor]), json!({}));
    let remarks = sentence(&compiled.verdicts[0]);
    for field in ["port", "connectTimeSeconds"] {
        let wanted =
            format!("spec.neighbors[0].{field}: has no effect: we never connect to the neighbors of a listenRange");
        assert!(remarks.contains(&wanted), "{remarks}");
    }
}

/// RFC 5880 with the defaults of the field; several hops where a least TTL, or the neighbour, says so (RFC 5883).
#[test]
fn case_090_bfd_and_its_defaults() {
    let fabric = |fields: Json| {
        let neighbor = merged(json!({ "asn": 1, "address": "192.168.1.1" }), fields);
        intent(json!([neighbor])).peers.into_values().find(|peer| peer.role == Role::Fabric).unwrap()
    };
    let bfd = |bfd: Json| fabric(json!({ "bfd": bfd })).bfd.unwrap();
    let of = |settings: Settings| {
        let millis = [settings.transmit, settings.receive].map(|interval| interval.as_millis());
        (millis, settings.multiplier, settings.passive, settings.hops)
    };
    assert_eq!(of(bfd(json!({}))), ([300, 300], 3, false, Hops::Single));
    assert_eq!(of(bfd(json!({ "receiveInterval": 43 }))), ([300, 43], 3, false, Hops::Single));
    let passive = bfd(json!({ "sessionMode": "Passive", "minimumTTL": 5, "detectMultiplier": 9 }));
    assert_eq!(of(passive), ([300, 300], 9, true, Hops::Multi { minimum_ttl: 5 }));
    let far = fabric(json!({ "bfd": {}, "properties": [{ "type": "ebgpMultiHop" }] }));
    assert_eq!(far.bfd.unwrap().hops, Hops::Multi { minimum_ttl: 254 });
    assert_eq!(fabric(json!({})).bfd, None);
}

/// A number and a relation together are refused, as upstream's own API refuses them.
#[test]
fn case_092_peers_by_number_and_by_relation() {
    let remote_as = |fields: Json| {
        let neighbor = merged(json!({ "address": "192.168.1.1" }), fields);
        let compiled = with(json!([neighbor]), json!({}));
        compiled.intent.map(|intent| intent.peers[&address("192.168.1.1")].remote_as)
    };
    assert_eq!(remote_as(json!({ "asn": 10 })), Some(RemoteAs::Number(10)));
    assert_eq!(remote_as(json!({ "type": "External" })), Some(RemoteAs::External));
    assert_eq!(remote_as(json!({ "type": "Internal" })), Some(RemoteAs::Internal));
    assert_eq!(remote_as(json!({ "asn": 10, "type": "Internal" })), None);
    let internal = |remote_as| crate::session::is_internal(remote_as, 10);
    assert!(internal(RemoteAs::Number(10)) && !internal(RemoteAs::Number(11)));
    assert!(internal(RemoteAs::Internal) && !internal(RemoteAs::External));
}

/// We have no check of connectedness that could be disabled: a TTL of 1 keeps a direct session direct.
#[test]
fn case_095_only_multihop_leaves_the_link() {
    let ttl = |address: &str, multihop: bool| {
        let properties = if multihop { json!([{ "type": "ebgpMultiHop" }]) } else { json!([]) };
        let families = json!([{ "type": "ipv4unicast" }, { "type": "ipv6unicast" }]);
        let neighbor = json!({ "asn": 1, "address": address, "properties": properties, "addressFamilies": families });
        intent(json!([neighbor])).peers.into_values().find(|peer| peer.role == Role::Fabric).unwrap().ttl
    };
    for address in ["192.168.1.1", "2001:db8:1::1"] {
        assert_eq!(ttl(address, false), Ttl::Direct);
        assert_eq!(ttl(address, true), Ttl::Multihop(255));
    }
}

#[test]
fn a_client_flag_without_a_reflector_says_that_it_does_nothing() {
    let family = json!({ "type": "ipv4unicast", "properties": [{ "type": "routeReflectorClient" }] });
    let neighbors = json!([{ "type": "Internal", "address": "192.168.1.1", "addressFamilies": [family] }]);
    let wanted = "routeReflectorClient alone passes no routes on between neighbors: add routeReflector: {}";
    assert!(sentence(&with(neighbors, json!({})).verdicts[0]).ends_with(wanted));
}

#[test]
fn a_client_of_one_family_is_no_client_of_the_other() {
    let client = json!([{ "type": "routeReflectorClient" }]);
    let families = json!([{ "type": "ipv4unicast" }, { "type": "ipv6unicast", "properties": client }]);
    let neighbor = json!({ "type": "Internal", "address": "192.168.1.1", "addressFamilies": families });
    let fields = json!({ "neighbors": [neighbor], "routeReflector": {} });
    let compiled = compiled(vec![underlay("u", base_with(fields))], vec![]);
    assert_eq!(sentence(&compiled.verdicts[0]), "");
    let peer = &compiled.intent.unwrap().peers[&address("192.168.1.1")];
    assert_eq!(
        (peer.families.as_slice(), peer.reflector_client),
        (&Family::ALL[..], FamilySet::only(Family::Ipv6Unicast))
    );
}

fn rule(prefix: &str, ge: u8, le: u8) -> PrefixRule {
    PrefixRule { prefix: prefix.parse().unwrap(), ge, le }
}

#[test]
fn policies_and_guards_of_neighbors_reach_the_peer() {
    let peer = |fields: Json| {
        let neighbor = merged(json!({ "asn": 1, "address": "192.168.1.1" }), fields);
        intent(json!([neighbor])).peers.remove(&address("192.168.1.1")).unwrap()
    };
    let plain = peer(json!({}));
    assert_eq!((plain.allowed_prefixes.len(), plain.max_prefixes.len()), (0, 0));
    assert_eq!((plain.ttl_security, plain.enforce_first_as, plain.reject_as_sets), (None, true, false));
    let rules = json!([
        { "prefix": "10.0.0.0/8" }, { "prefix": "10.0.0.0/8", "le": 24 },
        { "prefix": "10.0.0.0/8", "ge": 16, "le": 32 }, { "prefix": "2001:db8::/32", "le": 128 },
    ]);
    let limits = json!([
        { "type": "ipv4unicast", "limit": 1000 },
        { "type": "ipv6unicast", "limit": 10, "action": "Teardown", "restartSeconds": 60 },
    ]);
    let guarded = peer(json!({
        "allowedPrefixes": rules, "maxPrefixes": limits, "ttlSecurity": { "hops": 2 }, "enforceFirstAS": false,
        "rejectAsSets": true,
    }));
    let wanted = [
        rule("10.0.0.0/8", 8, 8),
        rule("10.0.0.0/8", 8, 24),
        rule("10.0.0.0/8", 16, 32),
        rule("2001:db8::/32", 32, 128),
    ];
    assert_eq!(guarded.allowed_prefixes, wanted);
    let restart = Some(std::time::Duration::from_secs(60));
    let wanted = [
        (Family::Ipv4Unicast, MaxPrefixes { limit: 1000, teardown: false, restart: None }),
        (Family::Ipv6Unicast, MaxPrefixes { limit: 10, teardown: true, restart }),
    ];
    assert_eq!(guarded.max_prefixes, BTreeMap::from(wanted));
    assert_eq!((guarded.ttl_security, guarded.enforce_first_as, guarded.reject_as_sets), (Some(2), false, true));
    assert_eq!(peer(json!({ "ttlSecurity": {} })).ttl_security, Some(1));
}

#[test]
fn policies_that_make_no_sense_are_rejected_by_field() {
    let cases = [
        (json!({ "allowedPrefixes": [] }), "allowedPrefixes", "allowedPrefixes is empty: remove it"),
        (json!({ "allowedPrefixes": [{ "prefix": "10.0.0.1/8" }] }), "allowedPrefixes[0].prefix", "has host bits set"),
        (json!({ "allowedPrefixes": [{ "prefix": "10.0.0.0/8", "ge": 9 }] }), "allowedPrefixes[0].ge", "ge 9 needs le"),
        (
            json!({ "allowedPrefixes": [{ "prefix": "10.0.0.0/8", "le": 33 }] }),
            "allowedPrefixes[0].le",
            "ge 8 and le 33 do not fit 10.0.0.0/8: 8 <= ge <= le <= 32 is needed",
        ),
        (json!({ "allowedPrefixes": [{ "prefix": "10.0.0.0/8", "le": 7 }] }), "allowedPrefixes[0].le", "do not fit"),
        (
            json!({ "maxPrefixes": [{ "type": "ipv4unicast", "limit": 0 }] }),
            "maxPrefixes[0].limit",
            "at least 1, got 0",
        ),
        (
            json!({ "maxPrefixes": [{ "type": "ipv4unicast", "limit": 1, "restartSeconds": 5 }] }),
            "maxPrefixes[0].restartSeconds",
            "only be set when action is Teardown",
        ),
        (json!({ "ttlSecurity": { "hops": 255 } }), "ttlSecurity.hops", "hops must be 1 to 254, got 255"),
    ];
    for (fields, wanted_field, wanted) in cases {
        let neighbor = merged(json!({ "asn": 1, "address": "192.168.1.1" }), fields);
        let compiled = with(json!([neighbor]), json!({}));
        let Outcome::Rejected { field: Some(field), message, .. } = &compiled.verdicts[0].outcome else {
            panic!("{:#?}", compiled.verdicts)
        };
        assert_eq!(*field, format!("spec.neighbors[0].{wanted_field}"));
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn a_limit_of_a_family_that_is_not_exchanged_says_so() {
    let limits = json!([{ "type": "ipv6unicast", "limit": 1 }]);
    let neighbor = json!({ "asn": 1, "address": "192.168.1.1", "maxPrefixes": limits,
                           "addressFamilies": [{ "type": "ipv4unicast" }] });
    let wanted = "spec.neighbors[0].maxPrefixes[0].type: has no effect: ipv6 unicast is not exchanged in this session";
    assert_eq!(sentence(&with(json!([neighbor]), json!({})).verdicts[0]), wanted);
}

#[test]
fn the_oldest_path_is_preferred_only_when_asked_for() {
    let prefers = |fields: Json| compiled(vec![underlay("u", base_with(fields))], vec![]).intent.unwrap().prefer_oldest;
    assert!(!prefers(json!({})));
    assert!(!prefers(json!({ "bestPath": {} })));
    assert!(prefers(json!({ "bestPath": { "preferOldest": true } })));
}

#[test]
fn peers_wait_for_the_kernel_only_when_asked_for() {
    let waits = |fields: Json| compiled(vec![underlay("u", base_with(fields))], vec![]).intent.unwrap();
    assert!(!waits(json!({})).advertise_after_fib);
    assert!(waits(json!({ "advertiseAfterFib": true })).advertise_after_fib);
}

#[test]
fn multipath_is_on_unless_it_is_narrowed() {
    let multipath = |fields: Json| compiled(vec![underlay("u", base_with(fields))], vec![]).intent.unwrap().multipath;
    assert_eq!(multipath(json!({})), Multipath { max_paths: 64, relax: true });
    assert_eq!(multipath(json!({ "multipath": {} })), Multipath { max_paths: 64, relax: true });
    let narrowed = json!({ "multipath": { "maxPaths": 1, "relax": false } });
    assert_eq!(multipath(narrowed), Multipath { max_paths: 1, relax: false });
}

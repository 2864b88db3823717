use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::{Family, FamilySet, NextHop, attr_code, attributes, flag, write_attribute};

use super::{Origination, in_scope, may_pass, next_hop, write_attributes};
use crate::intent::Role;
use crate::policy::{Own, PeerFacts};
use crate::rib::attrs::AttrSet;
use crate::rib::nexthop::NextHops;

const OWN: Own = Own {
    asn: 64514,
    router_id: Ipv4Addr::new(10, 0, 0, 1),
    cluster_id: Ipv4Addr::new(10, 0, 0, 1),
    reflector: false,
    draining: false,
};
const V4: Family = Family::Ipv4Unicast;
const PEER_ID: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);

fn peer(role: Role, external: bool) -> PeerFacts {
    PeerFacts {
        address: IpAddr::V4(Ipv4Addr::new(192, 168, 11, 2)),
        role,
        external,
        asn: if external { 64512 } else { OWN.asn },
        router_id: PEER_ID,
        client: FamilySet::default(),
        next_hop_self: true,
        allow_own_as: 0,
        enforce_first_as: true,
        four_octet_as: true,
        extended_next_hop: false,
        max_message: 4096,
        link: None,
        own_v4: Some(Ipv4Addr::new(192, 168, 11, 3)),
        own_v6: None,
        own_link_local: None,
        allowed_prefixes: Vec::new(),
        as_override: false,
        bgp_role: None,
        shared: Vec::new(),
        add_path_receive: FamilySet::default(),
        add_path_send: FamilySet::default(),
        long_lived: false,
        reject_as_sets: false,
    }
}

fn internal(role: Role, client: bool) -> Origination {
    Origination::Internal { role, client, router_id: PEER_ID }
}

/// ORIGIN, AS_PATH 64512, MED 7, LOCAL_PREF 150, one community, two extended ones (the second not transitive),
/// one unknown transitive attribute.
fn set() -> AttrSet {
    let mut bytes = Vec::new();
    write_attribute(&mut bytes, flag::TRANSITIVE, attr_code::ORIGIN, &[0]);
    write_attribute(&mut bytes, flag::TRANSITIVE, attr_code::AS_PATH, &[2, 1, 0, 0, 0xFC, 0]);
    write_attribute(&mut bytes, flag::OPTIONAL, attr_code::MED, &7u32.to_be_bytes());
    write_attribute(&mut bytes, flag::TRANSITIVE, attr_code::LOCAL_PREF, &150u32.to_be_bytes());
    write_attribute(&mut bytes, flag::OPTIONAL | flag::TRANSITIVE, attr_code::COMMUNITIES, &[0xFC, 0, 0, 1]);
    let extended = [[0, 2, 0, 1, 0, 0, 0, 1], [0x40, 4, 0, 1, 0, 0, 0, 2]].concat();
    write_attribute(&mut bytes, flag::OPTIONAL | flag::TRANSITIVE, attr_code::EXTENDED_COMMUNITIES, &extended);
    write_attribute(&mut bytes, flag::OPTIONAL | flag::TRANSITIVE, 200, &[1, 2, 3]);
    AttrSet::detached(&bytes, NextHops::LOCAL)
}

fn written(from: Origination, to: &PeerFacts) -> Vec<(u8, u8, Vec<u8>)> {
    let mut out = Vec::new();
    write_attributes(&mut out, &OWN, &set(), from, to);
    attributes(&out).map(|attribute| (attribute.code, attribute.flags, attribute.value.to_vec())).collect()
}

fn value(attributes: &[(u8, u8, Vec<u8>)], code: u8) -> Option<&[u8]> {
    attributes.iter().find(|(own, ..)| *own == code).map(|(.., value)| value.as_slice())
}

/// docs/architecture.md, "roles".
#[test]
fn roles_say_who_hears_of_whom() {
    use Role::{Fabric, Host, Peer};
    let table = [(Fabric, [false, true, true]), (Host, [true, false, true]), (Peer, [true, true, true])];
    for (from, expected) in table {
        for (to, expected) in [Fabric, Host, Peer].into_iter().zip(expected) {
            let passes = may_pass(&OWN, Origination::External { role: from }, V4, &peer(to, true));
            assert_eq!(passes, expected, "{from:?} to {to:?}");
            assert!(may_pass(&OWN, Origination::Local, V4, &peer(to, true)));
        }
    }
}

/// RFC 4456 section 6.
#[test]
fn internal_routes_go_to_internal_peers_only_by_reflection() {
    let client = PeerFacts { client: FamilySet::ALL, ..peer(Role::Peer, false) };
    let other = peer(Role::Peer, false);
    assert!(!may_pass(&OWN, internal(Role::Peer, false), V4, &other));
    assert!(may_pass(&OWN, internal(Role::Peer, false), V4, &client));
    assert!(may_pass(&OWN, internal(Role::Peer, true), V4, &other));
    assert!(may_pass(&OWN, internal(Role::Peer, false), V4, &peer(Role::Peer, true)));
}

#[test]
fn fabric_peers_hear_of_each_other_only_through_a_configured_reflector() {
    let client = PeerFacts { client: FamilySet::ALL, ..peer(Role::Fabric, false) };
    assert!(!may_pass(&OWN, internal(Role::Fabric, true), V4, &client));
    let reflector = Own { reflector: true, ..OWN };
    assert!(may_pass(&reflector, internal(Role::Fabric, true), V4, &client));
    assert!(!may_pass(&reflector, Origination::External { role: Role::Fabric }, V4, &peer(Role::Fabric, true)));
}

/// RFC 1997.
#[test]
fn well_known_communities_keep_a_route_inside() {
    let scope = |community: u32| {
        let mut bytes = Vec::new();
        write_attribute(&mut bytes, 0xC0, attr_code::COMMUNITIES, &community.to_be_bytes());
        AttrSet::detached(&bytes, NextHops::LOCAL).scope
    };
    let (ebgp, ibgp) = (peer(Role::Peer, true), peer(Role::Peer, false));
    let table = [(0xFFFF_FF01, false, true), (0xFFFF_FF02, false, false), (0xFFFF_FF03, false, true), (1, true, true)];
    for (community, external, internal) in table {
        let scope = scope(community);
        assert_eq!((in_scope(scope, &ebgp), in_scope(scope, &ibgp)), (external, internal), "{community:x}");
    }
}

/// RFC 4271 5.1.2, 5.1.4, 5.1.5; RFC 4360 section 6.
#[test]
fn an_external_peer_sees_our_as_first_and_nothing_internal() {
    let sent = written(Origination::External { role: Role::Fabric }, &peer(Role::Host, true));
    let path = [2, 2, 0, 0, 0xFC, 2, 0, 0, 0xFC, 0];
    assert_eq!(value(&sent, attr_code::AS_PATH), Some(&path[..]));
    assert_eq!(value(&sent, attr_code::MED), None);
    assert_eq!(value(&sent, attr_code::LOCAL_PREF), None);
    assert_eq!(value(&sent, attr_code::COMMUNITIES), Some(&[0xFC, 0, 0, 1][..]));
    assert_eq!(value(&sent, attr_code::EXTENDED_COMMUNITIES).map(<[u8]>::len), Some(8));
}

#[test]
fn an_internal_peer_sees_path_med_and_preference_as_they_are() {
    let sent = written(Origination::External { role: Role::Fabric }, &peer(Role::Host, false));
    assert_eq!(value(&sent, attr_code::AS_PATH), Some(&[2, 1, 0, 0, 0xFC, 0][..]));
    assert_eq!(value(&sent, attr_code::MED), Some(&7u32.to_be_bytes()[..]));
    assert_eq!(value(&sent, attr_code::LOCAL_PREF), Some(&150u32.to_be_bytes()[..]));
    assert_eq!(value(&sent, attr_code::EXTENDED_COMMUNITIES).map(<[u8]>::len), Some(16));
    assert_eq!(value(&sent, attr_code::CLUSTER_LIST), None);
}

/// RFC 4456 section 8.
#[test]
fn a_reflected_route_names_its_originator_and_our_cluster() {
    let sent = written(internal(Role::Fabric, false), &PeerFacts { client: FamilySet::ALL, ..peer(Role::Host, false) });
    assert_eq!(value(&sent, attr_code::ORIGINATOR_ID), Some(&PEER_ID.octets()[..]));
    assert_eq!(value(&sent, attr_code::CLUSTER_LIST), Some(&OWN.cluster_id.octets()[..]));
}

/// RFC 4271 section 5.
#[test]
fn an_unknown_transitive_attribute_passes_with_the_partial_bit() {
    let sent = written(Origination::External { role: Role::Fabric }, &peer(Role::Host, true));
    let unknown = sent.iter().find(|(code, ..)| *code == 200).expect("passed on");
    assert_eq!(unknown.1, flag::OPTIONAL | flag::TRANSITIVE | flag::PARTIAL);
}

#[test]
fn attributes_leave_in_ascending_order_whatever_was_added() {
    for to in
        [peer(Role::Host, true), peer(Role::Host, false), PeerFacts { four_octet_as: false, ..peer(Role::Host, true) }]
    {
        for from in [Origination::External { role: Role::Fabric }, internal(Role::Fabric, false)] {
            let codes: Vec<u8> = written(from, &to).iter().map(|(code, ..)| *code).collect();
            assert!(codes.is_sorted(), "{codes:?}");
        }
    }
}

#[test]
fn the_next_hop_is_ours_where_the_session_has_an_address_of_the_family() {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3);
    let received = NextHop::V4(Ipv4Addr::new(192, 168, 50, 2));
    let from = Origination::External { role: Role::Fabric };
    let dual = PeerFacts { own_v6: Some(v6), ..peer(Role::Host, true) };
    let own_v4 = NextHop::V4(Ipv4Addr::new(192, 168, 11, 3));
    let own_v6 = NextHop::V6 { global: v6, link_local: None };
    assert_eq!(next_hop(from, received, Family::Ipv4Unicast, &dual), Some(own_v4));
    assert_eq!(next_hop(from, received, Family::Ipv6Unicast, &dual), Some(own_v6));
    assert_eq!(next_hop(from, received, Family::Ipv6Unicast, &peer(Role::Host, true)), None, "none to give");
    // RFC 8950: over IPv6, with the capability, IPv4 routes get our IPv6 address.
    let over_v6 = PeerFacts { address: IpAddr::V6(v6), extended_next_hop: true, own_v4: None, ..dual };
    assert_eq!(next_hop(from, received, Family::Ipv4Unicast, &over_v6), Some(own_v6));
}

/// RFC 4271 5.1.3: an internal peer gets the next hop as it was received, unless we are told to be it.
#[test]
fn the_next_hop_is_unchanged_for_an_internal_peer_without_next_hop_self() {
    let received = NextHop::V4(Ipv4Addr::new(192, 168, 50, 2));
    let to = PeerFacts { next_hop_self: false, ..peer(Role::Peer, false) };
    let from = Origination::External { role: Role::Peer };
    assert_eq!(next_hop(from, received, Family::Ipv4Unicast, &to), Some(received));
    let own = NextHop::V4(Ipv4Addr::new(192, 168, 11, 3));
    assert_eq!(next_hop(Origination::Local, received, Family::Ipv4Unicast, &to), Some(own));
}

/// docs/architecture.md, "roles": nodes share the host's AS, and the host takes its own AS for a loop.
#[test]
fn with_as_override_the_peer_does_not_find_its_own_as() {
    let mut bytes = Vec::new();
    write_attribute(&mut bytes, flag::TRANSITIVE, attr_code::ORIGIN, &[0]);
    // A sequence 64512 64514, a set with the peer's AS, 64512.
    let path = [2, 1, 0, 0, 0xFC, 2, 1, 2, 0, 0, 0xFC, 0, 0, 0, 0, 9];
    write_attribute(&mut bytes, flag::TRANSITIVE, attr_code::AS_PATH, &path);
    let set = AttrSet::detached(&bytes, NextHops::LOCAL);
    let to = PeerFacts { as_override: true, ..peer(Role::Host, true) };
    let mut out = Vec::new();
    write_attributes(&mut out, &OWN, &set, Origination::External { role: Role::Fabric }, &to);
    let sent = AttrSet::detached(&out, NextHops::LOCAL);
    assert_eq!(sent.as_path().to_string(), "64514 64514 {64514 9}");
}

/// RFC 5065 4.1 and 5: segments of a confederation do not leave it, and another AS would call the path malformed.
#[test]
fn confederation_segments_do_not_reach_another_as() {
    let path = [&[3, 1, 0, 0, 0xFD, 1][..], &[2, 1, 0, 0, 0xFC, 0], &[4, 1, 0, 0, 0xFD, 2]].concat();
    let mut bytes = Vec::new();
    write_attribute(&mut bytes, flag::TRANSITIVE, attr_code::AS_PATH, &path);
    let set = AttrSet::detached(&bytes, NextHops::LOCAL);
    let path_to = |to: &PeerFacts| {
        let mut out = Vec::new();
        write_attributes(&mut out, &OWN, &set, internal(Role::Peer, true), to);
        wire::attribute(&out, attr_code::AS_PATH).map(|attribute| attribute.value.to_vec())
    };
    assert_eq!(path_to(&peer(Role::Peer, true)), Some(vec![2, 2, 0, 0, 0xFC, 2, 0, 0, 0xFC, 0]));
    assert_eq!(path_to(&peer(Role::Peer, false)), Some(path));
}

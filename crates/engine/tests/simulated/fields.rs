//! What a change of each field of a peer does to its session: the table of the engine, field by field.

use std::collections::BTreeSet;

use engine::Family;
use engine::intent::{
    Effect, FIELDS, GracefulRestart, MaxPrefixes, PeerIntent, PrefixRule, RemoteAs, Role, Secret, Ttl, diff,
};
use engine::snapshot::PeerState;
use wire::{Capability, Open};

use crate::script::{ADDRESS, OWN, PEER, Script, open, own};
use crate::sim::SECOND;

/// Another value than the one that [`own`] has.
fn alter(field: &str, peer: &mut PeerIntent) {
    let restart = peer.graceful_restart.expect("before it is altered");
    match field {
        "name" => peer.name = "another".into(),
        "role" => peer.role = Role::Fabric,
        "AS" => peer.remote_as = RemoteAs::Number(PEER + 1),
        "address families" => drop(peer.families.pop()),
        "extended next hop" => peer.extended_next_hop = true,
        "hold time" => peer.hold_time = SECOND * 30,
        "keepalive interval" => peer.keepalive = SECOND * 10,
        "connect time" => peer.connect_retry = SECOND * 77,
        "port" => peer.port = 1179,
        "who dials" => peer.passive = true,
        "password" => peer.password = Some(Secret("secret".into())),
        "multihop" => peer.ttl = Ttl::Multihop(3),
        "local address" => peer.local_address = "192.0.2.1".parse().ok(),
        "own AS allowed" => peer.allow_own_as = 7,
        "first AS enforced" => peer.enforce_first_as = false,
        "route reflector client" => peer.reflector_client = engine::FamilySet::ALL,
        "next hop self" => peer.next_hop_self = true,
        "link" => peer.link = Some("eth0".into()),
        "allowed prefixes" => {
            peer.allowed_prefixes = vec![PrefixRule { prefix: "10.0.0.0/8".parse().expect("a prefix"), ge: 8, le: 32 }];
        }
        "maximum of prefixes" => {
            let most = MaxPrefixes { limit: 10, teardown: true, restart: None };
            peer.max_prefixes.insert(Family::Ipv4Unicast, most);
        }
        "AS override" => peer.as_override = true,
        "TTL security" => peer.ttl_security = Some(1),
        "restart time" => peer.graceful_restart = Some(GracefulRestart { restart_time: SECOND * 33, ..restart }),
        "stale path time" => peer.graceful_restart = Some(GracefulRestart { stale_time: SECOND * 33, ..restart }),
        "BFD" => peer.bfd = Some(engine::bfd::Settings::default()),
        "additional paths" => peer.add_path = Some(wire::AddPath::Both),
        "BGP role" => peer.bgp_role = Some(wire::Role::Peer),
        "AS_SETs refused" => peer.reject_as_sets = true,
        _ => panic!("{field}: how is it changed?"),
    }
}

fn gracefully(peer: &mut PeerIntent) {
    peer.graceful_restart = Some(GracefulRestart { restart_time: SECOND * 120, stale_time: SECOND * 360 });
}

#[test]
fn each_field_is_applied_as_the_table_says() {
    for field in FIELDS {
        let before = own(gracefully);
        let mut script = Script::new(before.clone());
        let conn = script.establish(&open("10.0.0.7", 90, &[Capability::RouteRefresh]));
        script.pass(SECOND);
        let after = own(|peer| {
            gracefully(peer);
            alter(field.name, peer);
        });
        let told: Vec<_> = diff(Some(&before), &after).into_iter().map(|change| (change.effect, change.what)).collect();
        assert_eq!(told, [(field.effect, format!("neighbor {ADDRESS} ({})", field.name))]);

        let said = script.said.len();
        script.tell(engine::Event::Intent(Box::new(after)));
        let goes_on = script.state() == PeerState::Established && !script.closed.contains(&conn);
        assert_eq!(goes_on, field.effect != Effect::NewSession, "{}", field.name);
        if goes_on {
            let told = script.kinds(said);
            assert!(told.is_empty(), "{}: there is no difference to tell, but {told:?}", field.name);
        }
    }
}

/// A field that is in no row of the table would be applied as nobody decided.
#[test]
fn the_table_has_every_field() {
    let peer = PeerIntent::new("a", Role::Peer, RemoteAs::External, Vec::new());
    let text = format!("{peer:#?}");
    let fields = text.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(':'));
    let fields: BTreeSet<&str> = fields.map(|(name, _)| name).filter(|name| !name.starts_with(' ')).collect();
    let rows: BTreeSet<&str> = FIELDS.iter().map(|row| row.field).collect();
    assert_eq!(rows, fields);
}

#[test]
fn several_fields_cost_as_much_as_the_dearest() {
    let (before, after) = (
        own(gracefully),
        own(|peer| {
            FIELDS.iter().for_each(|f| {
                gracefully(peer);
                alter(f.name, peer);
            })
        }),
    );
    let changes = diff(Some(&before), &after);
    assert!(matches!(changes.as_slice(), [one] if one.effect == Effect::NewSession), "{changes:?}");
    let soft = own(|peer| {
        gracefully(peer);
        ["connect time", "AS override"].into_iter().for_each(|name| alter(name, peer));
    });
    let changes = diff(Some(&before), &soft);
    let what = format!("neighbor {ADDRESS} (connect time, AS override)");
    assert!(matches!(changes.as_slice(), [one] if one.effect == Effect::SoftReset && one.what == what), "{changes:?}");
}

/// Identifiers must differ inside an AS, where ORIGINATOR_ID has them, too.
#[test]
fn another_router_id_ends_the_sessions_of_the_own_as_alone() {
    for (asn, goes_on) in [(PEER, true), (OWN, false)] {
        let before = own(|peer| peer.remote_as = RemoteAs::Number(asn));
        let mut after = before.clone();
        after.router_id = "10.0.0.6".parse().expect("an identifier");
        let mut script = Script::new(before.clone());
        let peer = Open { asn, capabilities: vec![Capability::FourOctetAs(asn)], ..open("10.0.0.7", 90, &[]) };
        let conn = script.establish(&peer);
        let told: Vec<_> = diff(Some(&before), &after).into_iter().map(|change| (change.effect, change.what)).collect();
        let of_peer = (Effect::NewSession, format!("neighbor {ADDRESS}"));
        assert_eq!(told.contains(&of_peer), !goes_on, "{told:?}");
        assert!(
            told.iter().any(|(effect, what)| *effect == Effect::Live && what.contains("10.0.0.5 becomes 10.0.0.6"))
        );

        script.tell(engine::Event::Intent(Box::new(after)));
        assert_eq!(script.state() == PeerState::Established && !script.closed.contains(&conn), goes_on, "AS {asn}");
    }
}

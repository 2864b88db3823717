use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use wire::{Capability, Family, Notification, Open, code};

use super::{OwnRestart, negotiate, offer};
use crate::intent::{Intent, Multipath, PeerIntent, RemoteAs, Role};

fn intent() -> Intent {
    Intent {
        asn: 64514,
        router_id: Ipv4Addr::new(10, 0, 0, 1),
        peers: BTreeMap::new(),
        networks: Vec::new(),
        unnumbered: BTreeMap::new(),
        host_routes: None,
        ranges: Vec::new(),
        listen_limit: 65_535,
        multipath: Multipath::default(),
        prefer_oldest: false,
        cluster_id: None,
        fib: true,
        advertise_after_fib: false,
    }
}

fn peer(remote_as: RemoteAs) -> PeerIntent {
    PeerIntent::new("leaf", Role::Fabric, remote_as, vec![Family::Ipv4Unicast, Family::Ipv6Unicast])
}

fn open(asn: u32, capabilities: Vec<Capability>) -> Open {
    Open { asn, hold_time: 90, router_id: Ipv4Addr::new(10, 0, 0, 9), capabilities }
}

fn subcode(result: Result<super::Agreed, Notification>) -> Option<(u8, u8)> {
    result.err().map(|error| (error.code, error.subcode))
}

#[test]
fn the_peer_as_must_be_the_configured_one() {
    let bad = Some((code::OPEN, code::open::BAD_PEER_AS));
    let table = [
        (RemoteAs::Number(64512), 64512, None),
        (RemoteAs::Number(64512), 64513, bad),
        (RemoteAs::Number(64512), 64514, bad),
        (RemoteAs::External, 1, None),
        (RemoteAs::External, 64514, bad),
        (RemoteAs::Internal, 64514, None),
        (RemoteAs::Internal, 64512, bad),
    ];
    for (remote_as, asn, expected) in table {
        let result = negotiate(&intent(), &peer(remote_as), &open(asn, Vec::new()));
        assert_eq!(subcode(result), expected, "{remote_as:?} and AS {asn}");
    }
}

/// RFC 6286 2.1.
#[test]
fn our_own_identifier_is_refused_from_an_internal_peer_only() {
    let mut same = open(64514, Vec::new());
    same.router_id = intent().router_id;
    let internal = negotiate(&intent(), &peer(RemoteAs::Internal), &same);
    assert_eq!(subcode(internal), Some((code::OPEN, code::open::BAD_BGP_IDENTIFIER)));
    same.asn = 64512;
    assert_eq!(subcode(negotiate(&intent(), &peer(RemoteAs::External), &same)), None);
}

/// RFC 4271 4.2.
#[test]
fn the_shorter_hold_time_wins_and_keepalives_fit_into_it() {
    let mut theirs = open(64512, Vec::new());
    theirs.hold_time = 9;
    let agreed = negotiate(&intent(), &peer(RemoteAs::External), &theirs).expect("a session");
    assert_eq!((agreed.hold_time, agreed.keepalive), (Duration::from_secs(9), Duration::from_secs(3)));
    theirs.hold_time = 0;
    let agreed = negotiate(&intent(), &peer(RemoteAs::External), &theirs).expect("a session");
    assert!(agreed.hold_time.is_zero());
}

/// RFC 4760 section 8, RFC 5492 section 3.
#[test]
fn a_peer_without_multiprotocol_speaks_ipv4_unicast_and_no_common_family_is_an_error() {
    let agreed = negotiate(&intent(), &peer(RemoteAs::External), &open(64512, Vec::new())).expect("a session");
    assert_eq!(agreed.families.iter().collect::<Vec<_>>(), [Family::Ipv4Unicast]);
    let mut only_v6 = peer(RemoteAs::External);
    only_v6.families = vec![Family::Ipv6Unicast];
    let result = negotiate(&intent(), &only_v6, &open(64512, Vec::new()));
    assert_eq!(subcode(result), Some((code::OPEN, code::open::UNSUPPORTED_CAPABILITY)));
}

#[test]
fn what_both_offer_is_agreed() {
    let mut peer = peer(RemoteAs::External);
    peer.extended_next_hop = true;
    let ours = offer(&intent(), &peer, OwnRestart::default());
    let agreed = negotiate(&intent(), &peer, &open(64512, ours.capabilities)).expect("a session");
    assert!(agreed.four_octet_as && agreed.enhanced_refresh && agreed.extended_message && agreed.extended_next_hop);
    assert_eq!(agreed.families.iter().count(), 2);
    peer.extended_next_hop = false;
    let theirs = vec![Capability::ExtendedNextHop(vec![(Family::Ipv4Unicast.code(), 2)])];
    let agreed = negotiate(&intent(), &peer, &open(64512, theirs)).expect("a session");
    assert!(!agreed.extended_next_hop, "only what we offer too");
}

/// RFC 9494 section 3.1.
#[test]
fn long_lived_graceful_restart_is_agreed_by_family_and_with_graceful_restart_only() {
    let restart = |families| {
        let families: Vec<(wire::AfiSafi, bool)> = families;
        Capability::GracefulRestart(wire::GracefulRestart { restarting: false, notification: false, time: 9, families })
    };
    let entry =
        |family: Family, preserved, stale_time| wire::LongLived { family: family.code(), preserved, stale_time };
    let long = Capability::LongLivedGracefulRestart(vec![
        entry(Family::Ipv4Unicast, true, 3600),
        entry(Family::Ipv6Unicast, false, 0),
    ]);
    let v4 = Capability::MultiProtocol(Family::Ipv4Unicast.code());
    let agreed = |capabilities: &[&Capability]| {
        let capabilities = capabilities.iter().copied().cloned().collect();
        negotiate(&intent(), &peer(RemoteAs::Number(64512)), &open(64512, capabilities)).expect("acceptable").long_lived
    };
    let both = restart(vec![(Family::Ipv4Unicast.code(), true)]);
    let said = agreed(&[&v4, &both, &long]).expect("agreed");
    assert_eq!(said.times, [Duration::from_secs(3600), Duration::ZERO]);
    assert!(said.preserved.contains(Family::Ipv4Unicast) && !said.preserved.contains(Family::Ipv6Unicast));
    assert_eq!(said.families().iter().collect::<Vec<_>>(), [Family::Ipv4Unicast]);
    // A family that is not spoken has nothing to keep.
    let v6 = Capability::MultiProtocol(Family::Ipv6Unicast.code());
    assert!(agreed(&[&v6, &both, &long]).expect("agreed").families().is_empty());
    assert_eq!(agreed(&[&v4, &long]), None, "it goes with graceful restart");
    assert_eq!(agreed(&[&v4, &both]), None);

    // Ours says that we understand, and keep nothing of our own.
    let offered = offer(&intent(), &peer(RemoteAs::Number(64512)), OwnRestart::default()).capabilities;
    assert!(offered.contains(&Capability::LongLivedGracefulRestart(Vec::new())), "{offered:?}");
}

//! Next hops: third parties, distance, and what else settles who is best.

use engine::intent::{Intent, Role};
use engine::{Event, UnderlyingRoute};
use wire::NextHop;

use crate::scripted::{Said, Scripted};
use crate::sim::{With, intent};

const PREFIX: &str = "10.1.0.0/16";

fn said<'a>(next_hop: &'a str, path: &'a [(bool, &'a [u32])]) -> Said<'a> {
    Said { prefix: PREFIX, next_hop, path, local_pref: None }
}

fn v4(address: &str) -> NextHop {
    NextHop::V4(address.parse().expect("an address"))
}

/// Two external peers on our network, both passive for us.
fn two(change: impl FnOnce(Intent) -> Intent) -> Scripted {
    let own = intent(64512, "10.0.0.1").peer("192.0.2.2", 65002, Role::Peer).peer("192.0.2.3", 65003, Role::Peer);
    let mut scripted = Scripted::new(&["192.0.2.1/24"], change(own));
    scripted.up("192.0.2.2", 65002);
    scripted.up("192.0.2.3", 65003);
    scripted
}

/// RFC 4271 5.1.3, 2: no detour through us for somebody on the same network.
#[test]
fn a_next_hop_on_the_shared_network_is_passed_on_to_an_external_peer() {
    let mut router = two(|own| own);
    router.say("192.0.2.2", &said("192.0.2.77", &[(false, &[65002])]));
    assert_eq!(router.heard("192.0.2.3"), [(PREFIX.parse().expect("a prefix"), v4("192.0.2.77"))]);
}

/// RFC 4271 5.1.3: never the peer's own address.
#[test]
fn a_peer_is_not_told_that_it_is_the_next_hop_itself() {
    let mut router = two(|own| own);
    router.say("192.0.2.2", &said("192.0.2.3", &[(false, &[65002])]));
    assert_eq!(router.heard("192.0.2.3"), [(PREFIX.parse().expect("a prefix"), v4("192.0.2.1"))]);
}

/// Design: towards the fabric and the host the router is the next hop.
#[test]
fn with_next_hop_self_there_are_no_third_parties() {
    let mut router = two(|mut own| {
        for peer in own.peers.values_mut() {
            peer.next_hop_self = true;
        }
        own
    });
    router.say("192.0.2.2", &said("192.0.2.77", &[(false, &[65002])]));
    assert_eq!(router.heard("192.0.2.3"), [(PREFIX.parse().expect("a prefix"), v4("192.0.2.1"))]);
}

/// RFC 4271 5.1.3, 3: a peer several hops away shares no network.
#[test]
fn a_distant_peer_gets_our_address() {
    let mut router = two(|own| own.peer("198.51.100.9", 65009, Role::Peer));
    router.up("198.51.100.9", 65009);
    router.say("192.0.2.2", &said("192.0.2.77", &[(false, &[65002])]));
    assert_eq!(router.heard("198.51.100.9"), [(PREFIX.parse().expect("a prefix"), v4("192.0.2.1"))]);
}

fn underlying(metrics: [u32; 2]) -> Event {
    let route = |(last, metric): (u8, u32)| UnderlyingRoute {
        prefix: format!("203.0.113.{last}/32").parse().expect("a prefix"),
        gateway: format!("192.0.2.{last}").parse().ok(),
        link: 1,
        metric,
    };
    Event::Underlying([2, 3].into_iter().zip(metrics).map(route).collect())
}

/// RFC 4271 9.1.2.2 e: the metric of the kernel's route is the interior cost.
#[test]
fn the_nearer_next_hop_wins_and_a_changed_metric_decides_again() {
    let own = intent(64512, "10.0.0.1").peer("192.0.2.2", 64512, Role::Peer).peer("192.0.2.3", 64512, Role::Peer);
    let mut router = Scripted::new(&["192.0.2.1/24"], own);
    router.up("192.0.2.2", 64512);
    router.up("192.0.2.3", 64512);
    router.engine.handle(router.now, underlying([20, 10]));
    router.say("192.0.2.2", &said("203.0.113.2", &[(false, &[65009])]));
    router.say("192.0.2.3", &said("203.0.113.3", &[(false, &[65009])]));
    let best = |router: &Scripted| {
        let route = router.route(PREFIX);
        let shared = route.paths.iter().filter(|path| path.multipath).count();
        (route.paths[0].peer.map(|peer| peer.to_string()), route.paths[0].reason.clone(), shared)
    };
    assert_eq!(best(&router), (Some("192.0.2.3".into()), "nearer next hop".into(), 0));
    router.engine.handle(router.now, underlying([5, 10]));
    assert_eq!(best(&router), (Some("192.0.2.2".into()), "nearer next hop".into(), 0));
    router.engine.handle(router.now, underlying([10, 10]));
    assert_eq!(best(&router), (Some("192.0.2.2".into()), "lower router id".into(), 2), "as near as each other: both");
}

/// The usual option of the field, off unless asked for.
#[test]
fn the_oldest_external_path_stays_the_best_where_that_is_configured() {
    for (oldest, expected) in [(false, "192.0.2.2"), (true, "192.0.2.3")] {
        let mut router = two(|own| Intent { prefer_oldest: oldest, ..own });
        router.say("192.0.2.3", &said("192.0.2.3", &[(false, &[65003])]));
        router.say("192.0.2.2", &said("192.0.2.2", &[(false, &[65002])]));
        assert_eq!(router.route(PREFIX).paths[0].peer, expected.parse().ok());
    }
}

/// RFC 9774: AS_SETs pass by default, and are taken for withdrawals where that is configured.
#[test]
fn a_path_with_an_as_set_passes_unless_it_is_to_be_refused() {
    let path: &[(bool, &[u32])] = &[(false, &[65002]), (true, &[65010, 65011])];
    let mut router = two(|own| own);
    router.say("192.0.2.2", &said("192.0.2.2", path));
    assert_eq!(router.route(PREFIX).paths[0].as_path, "65002 {65010 65011}");
    assert_eq!(router.heard("192.0.2.3").len(), 1);

    let mut strict = two(|mut own| {
        own.peers.values_mut().for_each(|peer| peer.reject_as_sets = true);
        own
    });
    strict.say("192.0.2.2", &said("192.0.2.2", &[(false, &[65002])]));
    assert_eq!(strict.heard("192.0.2.3").len(), 1);
    strict.say("192.0.2.2", &said("192.0.2.2", path));
    assert!(strict.heard("192.0.2.3").is_empty(), "withdrawn");
    assert!(strict.route(PREFIX).paths[0].reason.contains("AS_SET"), "it says why");
    assert!(!strict.route(PREFIX).paths[0].usable && strict.route(PREFIX).advertised_to.is_empty());
}

/// The best path moves to the leaf with the lower identifier, and the host has heard the same words already.
#[test]
fn what_several_leaves_say_alike_is_told_once() {
    let own = intent(64514, "10.0.0.1").peer("192.0.2.4", 64515, Role::Host);
    let leaves = ["192.0.2.8", "192.0.2.7", "192.0.2.6", "192.0.2.9"];
    let own = leaves.iter().fold(own, |own, leaf| own.peer(leaf, 64512, Role::Fabric));
    let mut router = Scripted::new(&["192.0.2.1/24"], own);
    router.up("192.0.2.4", 64515);
    let mut heard = 0;
    for leaf in leaves {
        router.up(leaf, 64512);
        router.say(leaf, &said(leaf, &[(false, &[64512])]));
        heard += router.heard("192.0.2.4").len();
    }
    assert_eq!(heard, 1);
    let paths = router.route("10.1.0.0/16").paths;
    let ways: Vec<String> = paths.iter().filter_map(|path| Some(path.peer?.to_string())).collect();
    assert_eq!(ways, ["192.0.2.6", "192.0.2.7", "192.0.2.8", "192.0.2.9"], "by identifier");
    assert!(paths.iter().all(|path| path.multipath));
    // Other words are told.
    router.say("192.0.2.6", &said("192.0.2.6", &[(false, &[64512, 64999])]));
    router.say("192.0.2.7", &said("192.0.2.7", &[(false, &[64512, 64999])]));
    assert_eq!(router.heard("192.0.2.4").len(), 0, "the third is as good as the first was");
    router.say("192.0.2.8", &said("192.0.2.8", &[(false, &[64512, 64999])]));
    router.say("192.0.2.9", &said("192.0.2.9", &[(false, &[64512, 64999])]));
    assert_eq!(router.heard("192.0.2.4").len(), 1);
}

//! What operators do with peers.

use std::net::IpAddr;

use engine::intent::{RangeIntent, Role};
use engine::snapshot::PeerState;
use engine::{Event, Order};
use ipnet::IpNet;
use wire::{Family, MessageType};

use crate::sim::{SECOND, Sim, With, intent};

const A: &str = "192.0.2.1";
const B: &str = "192.0.2.2";

/// Two routers with a network each.
fn pair(sim: &mut Sim) -> (usize, usize) {
    let a = intent(64512, "10.0.0.1").peer(B, 64513, Role::Peer).network("10.1.0.0/16");
    let b = intent(64513, "10.0.0.2").peer(A, 64512, Role::Peer).network("10.2.0.0/16");
    let a = sim.add(&[("eth0", &["192.0.2.1/24"])], a);
    let b = sim.add(&[("eth0", &["192.0.2.2/24"])], b);
    sim.run(SECOND * 10);
    assert!(sim.established(a, B));
    (a, b)
}

fn order(sim: &mut Sim, node: usize, peer: &str, order: Order) {
    let peer: IpAddr = peer.parse().expect("an address");
    assert_eq!(sim.nodes[node].engine.may_order(peer, None, &order), Ok(()));
    sim.tell(node, Event::Order { peer, link: None, order });
}

fn received(sim: &Sim, node: usize, peer: &str, kind: MessageType) -> u64 {
    sim.peer(node, peer).received[kind as usize]
}

/// RFC 4486 section 4, RFC 9003 section 2.
#[test]
fn a_reset_says_why_and_the_session_comes_back() {
    let mut sim = Sim::new(1);
    let (a, b) = pair(&mut sim);
    order(&mut sim, a, B, Order::Reset { message: Some("new optics".into()) });
    assert!(!sim.established(a, B));
    sim.run(SECOND);
    let told = "session with 192.0.2.1 lost: received Cease/Administrative Reset: new optics";
    assert!(sim.nodes[b].notes.iter().any(|note| note == told), "{:?}", sim.nodes[b].notes);
    sim.run(SECOND * 10);
    assert!(sim.established(a, B) && sim.established(b, A));
}

/// RFC 4486 section 4, RFC 9003 section 2.
#[test]
fn a_peer_that_was_shut_down_stays_down_until_a_reset() {
    let mut sim = Sim::new(2);
    let (a, b) = pair(&mut sim);
    order(&mut sim, a, B, Order::Shutdown { message: Some("maintenance".into()) });
    sim.run(SECOND * 60);
    let seen = sim.peer(b, A);
    assert!(seen.last_error.is_some_and(|error| error.contains("Administrative Shutdown: maintenance")));
    assert!(!sim.established(b, A), "its attempts are refused");
    let peer = sim.peer(a, B);
    assert_eq!((peer.state, peer.shut_down), (PeerState::Idle, true));
    assert_eq!(peer.last_error.as_deref(), Some("shut down by an operator: maintenance"));

    // A change of configuration does not lift it.
    let changed = intent(64512, "10.0.0.1").peer_with(B, 64513, Role::Peer, |peer| peer.hold_time = SECOND * 30);
    sim.configure(a, changed);
    sim.run(SECOND * 60);
    assert!(!sim.established(a, B));

    order(&mut sim, a, B, Order::Reset { message: None });
    sim.run(SECOND * 60);
    assert!(sim.established(a, B) && !sim.peer(a, B).shut_down);
}

#[test]
fn a_peer_of_a_range_that_was_shut_down_is_refused_until_a_reset() {
    let mut sim = Sim::new(3);
    let peer = engine::intent::PeerIntent::new(
        "range",
        Role::Host,
        engine::intent::RemoteAs::External,
        vec![Family::Ipv4Unicast],
    );
    let prefix: IpNet = "192.0.2.0/24".parse().expect("a prefix");
    let mut a = intent(64512, "10.0.0.1");
    a.ranges = vec![RangeIntent { prefix, link: None, limit: None, peer }];
    let a = sim.add(&[("eth0", &["192.0.2.1/24"])], a);
    let b = intent(64513, "10.0.0.2").peer(A, 64512, Role::Peer);
    let b = sim.add(&[("eth0", &["192.0.2.2/24"])], b);
    sim.run(SECOND * 10);
    order(&mut sim, a, B, Order::Shutdown { message: None });
    sim.run(SECOND * 60);
    assert!(!sim.established(b, A) && sim.peer(a, B).shut_down);
    order(&mut sim, a, B, Order::Reset { message: None });
    assert!(sim.nodes[a].engine.snapshot(sim.now).peers.is_empty(), "it goes until it connects again");
    sim.run(SECOND * 60);
    assert!(sim.established(b, A) && sim.established(a, B));
}

/// RFC 2918 section 4, RFC 7313 section 4.
#[test]
fn a_soft_reset_inwards_asks_per_family_and_resets_nothing() {
    let mut sim = Sim::new(4);
    let (a, b) = pair(&mut sim);
    let flaps = sim.peer(a, B).flaps;
    let before = received(&sim, a, B, MessageType::Update);
    order(&mut sim, a, B, Order::RefreshIn);
    sim.run(SECOND * 5);
    assert_eq!(received(&sim, b, A, MessageType::RouteRefresh), 2);
    assert!(received(&sim, a, B, MessageType::Update) > before, "the route again");
    assert_eq!(received(&sim, a, B, MessageType::RouteRefresh), 4, "a beginning and an end per family");
    assert_eq!(sim.peer(a, B).flaps, flaps);
    assert!(sim.route(a, "10.2.0.0/16").is_some());
}

/// RFC 7313 section 4.
#[test]
fn a_soft_reset_outwards_sends_everything_again() {
    let mut sim = Sim::new(5);
    let (a, b) = pair(&mut sim);
    let before = received(&sim, b, A, MessageType::Update);
    order(&mut sim, a, B, Order::RefreshOut);
    sim.run(SECOND * 5);
    assert!(received(&sim, b, A, MessageType::Update) > before);
    assert!(sim.route(b, "10.1.0.0/16").is_some() && sim.established(b, A));
}

#[test]
fn an_order_that_can_have_no_effect_says_why() {
    let mut sim = Sim::new(6);
    let (a, _) = pair(&mut sim);
    let refused = |sim: &Sim, peer: &str, order: Order| {
        sim.nodes[a].engine.may_order(peer.parse().expect("an address"), None, &order).unwrap_err()
    };
    assert_eq!(refused(&sim, "192.0.2.9", Order::RefreshIn), "there is no peer 192.0.2.9");
    order(&mut sim, a, B, Order::Shutdown { message: None });
    assert_eq!(refused(&sim, B, Order::RefreshOut), "there is no session with 192.0.2.2: nothing to refresh");
}

/// A link-local address may be that of neighbours on several links, and `::` that of all who were not heard yet.
#[test]
fn an_order_reaches_the_neighbour_on_its_link() {
    let mut sim = Sim::new(7);
    let mut own = intent(64512, "10.0.0.1");
    for link in ["eth1", "eth2"] {
        let families = vec![Family::Ipv4Unicast];
        let mut peer = engine::intent::PeerIntent::new(link, Role::Peer, engine::intent::RemoteAs::External, families);
        peer.extended_next_hop = true;
        peer.link = Some(link.into());
        own.unnumbered.insert(link.into(), peer);
    }
    let a = sim.add(&[("eth1", &["fe80::1/64"]), ("eth2", &["fe80::5/64"])], own);
    let other = intent(64513, "10.0.0.2").peer_with("fe80::1", 64512, Role::Peer, |peer| {
        peer.extended_next_hop = true;
        peer.families = vec![Family::Ipv4Unicast];
        peer.passive = true;
        peer.link = Some("eth0".into());
    });
    sim.add(&[("eth0", &["fe80::2/64"])], other);
    let shutdown = || Order::Shutdown { message: None };
    let order = |sim: &mut Sim, peer: &str, link: &str, order: Order| {
        let (peer, link) = (peer.parse().expect("an address"), Some(link.to_owned()));
        let may = sim.nodes[a].engine.may_order(peer, link.as_deref(), &order);
        sim.tell(a, Event::Order { peer, link, order });
        may
    };
    let down = |sim: &Sim| {
        let peers = sim.nodes[a].engine.snapshot(sim.now).peers.into_iter();
        peers.filter(|peer| peer.shut_down).filter_map(|peer| peer.link).collect::<Vec<_>>()
    };

    // Not heard yet: only a shutdown has anything to do, and then a reset.
    let nothing = order(&mut sim, "::", "eth1", Order::Reset { message: None });
    assert_eq!(nothing, Err("the neighbor on eth1 was not heard yet: there is nothing to reset".into()));
    let refused = order(&mut sim, "::", "eth1", Order::RefreshIn);
    assert_eq!(refused, Err("there is no session with the neighbor on eth1: nothing to refresh".into()));
    assert_eq!(order(&mut sim, "::", "eth3", shutdown()), Err("there is no neighbor on eth3".into()));
    assert_eq!(order(&mut sim, "::", "eth1", shutdown()), Ok(()));
    assert_eq!(down(&sim), ["eth1"]);

    let heard = |link: &str, index| Event::Neighbor { link: link.into(), index, address: "fe80::2".parse().ok() };
    sim.tell(a, heard("eth1", 1));
    sim.run(SECOND * 10);
    assert!(!sim.established(a, "fe80::2"), "it stays shut down");
    assert_eq!(order(&mut sim, "fe80::2", "eth1", Order::Reset { message: None }), Ok(()));
    sim.run(SECOND * 10);
    assert!(sim.established(a, "fe80::2"));

    // The same address on the other link.
    sim.tell(a, heard("eth2", 2));
    assert_eq!(order(&mut sim, "fe80::2", "eth2", shutdown()), Ok(()));
    assert_eq!(down(&sim), ["eth2"]);
    assert_eq!(order(&mut sim, "fe80::2", "eth1", Order::RefreshIn), Ok(()));
    let refused = order(&mut sim, "fe80::2", "eth2", Order::RefreshIn);
    assert_eq!(refused, Err("there is no session with fe80::2%eth2: nothing to refresh".into()));
}

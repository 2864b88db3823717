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
    assert_eq!(sim.nodes[node].engine.may_order(peer, &order), Ok(()));
    sim.tell(node, Event::Order { peer, order });
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
        sim.nodes[a].engine.may_order(peer.parse().expect("an address"), &order).unwrap_err()
    };
    assert_eq!(refused(&sim, "192.0.2.9", Order::RefreshIn), "there is no peer 192.0.2.9");
    order(&mut sim, a, B, Order::Shutdown { message: None });
    assert_eq!(refused(&sim, B, Order::RefreshOut), "there is no session with 192.0.2.2: nothing to refresh");
}

//! Behaviours of whole routers, in virtual time.

use crate::sim::{MS, SECOND, Sim, With, intent};
use engine::intent::{Intent, Network, PeerIntent, RangeIntent, Role};
use engine::snapshot::PeerState;
use engine::{ConnId, Engine, Event, Select};
use proptest::prelude::*;
use wire::Open;

const LEAF: u32 = 64512;
const ROUTER: u32 = 64514;
const HOST: u32 = 64515;

/// Leaf, router and host as the design draws them. Returns their numbers.
fn passthrough(sim: &mut Sim, leaf_as: u32, host_as: u32) -> (usize, usize, usize) {
    let leaf = intent(leaf_as, "10.1.0.1").peer("192.168.11.3", ROUTER, Role::Peer).network("192.170.20.0/24");
    let router = router(leaf_as, host_as);
    let host = intent(host_as, "10.2.0.1").peer("192.169.10.1", ROUTER, Role::Peer).network("10.244.1.0/24");
    let leaf = sim.add(&[("eth0", &["192.168.11.2/24", "2001:db8:11::2/64"])], leaf);
    let links: &[(&str, &[&str])] =
        &[("eth1", &["192.168.11.3/24", "2001:db8:11::3/64"]), ("pt-ns", &["192.169.10.1/24", "2001:db8:10::1/64"])];
    let router = sim.add(links, router);
    let host = sim.add(&[("pt-host", &["192.169.10.2/24", "2001:db8:10::2/64"])], host);
    (leaf, router, host)
}

fn router(leaf_as: u32, host_as: u32) -> Intent {
    let mut intent = intent(ROUTER, "10.0.0.1").peer("192.168.11.2", leaf_as, Role::Fabric).peer(
        "192.169.10.2",
        host_as,
        Role::Host,
    );
    let prefix = "192.169.10.2/32".parse().expect("a prefix");
    intent.networks.push(Network { prefix, while_link_up: Some("pt-ns".into()) });
    intent
}

#[test]
fn fabric_routes_reach_the_host_and_host_routes_the_fabric() {
    let mut sim = Sim::new(1);
    let (leaf, router, host) = passthrough(&mut sim, LEAF, HOST);
    sim.run(SECOND * 20);
    assert!(sim.established(router, "192.168.11.2") && sim.established(router, "192.169.10.2"));

    let at_host = sim.route(host, "192.170.20.0/24").expect("the leaf's prefix at the host");
    assert_eq!(at_host.paths[0].as_path, "64514 64512");
    assert_eq!(at_host.paths[0].next_hop, "192.169.10.1".parse().ok());
    let at_leaf = sim.route(leaf, "10.244.1.0/24").expect("the host's prefix at the leaf");
    assert_eq!(at_leaf.paths[0].as_path, "64514 64515");
    assert_eq!(at_leaf.paths[0].next_hop, "192.168.11.3".parse().ok());
    assert!(sim.route(leaf, "192.169.10.2/32").is_some(), "the host's own address is announced");

    assert_eq!(sim.gateways(router, "192.170.20.0/24"), ["192.168.11.2"]);
    assert_eq!(sim.gateways(router, "10.244.1.0/24"), ["192.169.10.2"]);
    assert!(sim.gateways(router, "192.169.10.2/32").is_empty(), "what is on-link needs no route");
    assert!(sim.nodes[router].fib.swept, "every peer has sent End-of-RIB");
}

#[test]
fn a_withdrawn_network_is_gone_everywhere() {
    let mut sim = Sim::new(2);
    let (leaf, router, host) = passthrough(&mut sim, LEAF, HOST);
    sim.run(SECOND * 20);
    assert!(sim.route(host, "192.170.20.0/24").is_some());
    sim.configure(leaf, intent(LEAF, "10.1.0.1").peer("192.168.11.3", ROUTER, Role::Peer));
    sim.run(SECOND);
    assert!(sim.route(host, "192.170.20.0/24").is_none());
    assert!(sim.gateways(router, "192.170.20.0/24").is_empty());
    assert!(sim.established(router, "192.168.11.2"), "the session stays");
}

#[test]
fn the_hosts_address_is_announced_only_while_the_veth_is_up() {
    let mut sim = Sim::new(3);
    let (leaf, router, _) = passthrough(&mut sim, LEAF, HOST);
    sim.run(SECOND * 20);
    assert!(sim.route(leaf, "192.169.10.2/32").is_some());
    sim.set_link(router, "pt-ns", false);
    sim.run(SECOND);
    assert!(sim.route(leaf, "192.169.10.2/32").is_none());
    assert!(sim.route(leaf, "10.244.1.0/24").is_none(), "the host's routes have no way any more");
    assert!(sim.nodes[router].fib.routes.keys().all(|prefix| prefix.to_string() == "192.170.20.0/24"));
    sim.set_link(router, "pt-ns", true);
    sim.run(SECOND);
    assert!(sim.route(leaf, "192.169.10.2/32").is_some());
    assert!(sim.route(leaf, "10.244.1.0/24").is_some());
    assert_eq!(sim.gateways(router, "10.244.1.0/24"), ["192.169.10.2"]);
}

/// A leaf tells our own announcements back, which nodes that share an AS have to believe. Of the host's address none is
/// true, and a route to it elsewhere would have the kernel refuse it as a next hop on the veth.
#[test]
fn nobody_else_is_a_way_to_the_hosts_address_while_the_veth_is_down() {
    let mut sim = Sim::new(3);
    let (leaf, router, _) = passthrough(&mut sim, LEAF, HOST);
    let echo = intent(LEAF, "10.1.0.1").peer("192.168.11.3", ROUTER, Role::Peer).network("192.169.10.2/32");
    sim.configure(leaf, echo.network("192.170.20.0/24"));
    sim.run(SECOND * 20);
    sim.set_link(router, "pt-ns", false);
    sim.run(SECOND);
    assert!(sim.route(router, "192.169.10.2/32").is_some_and(|route| route.paths[0].usable), "it is known");
    assert!(sim.gateways(router, "192.169.10.2/32").is_empty());
    assert_eq!(sim.gateways(router, "192.170.20.0/24"), ["192.168.11.2"]);
    // Once it is nobody's here, it is like any other.
    let mut plain = self::router(LEAF, HOST);
    plain.networks.clear();
    sim.configure(router, plain);
    sim.run(SECOND);
    assert_eq!(sim.gateways(router, "192.169.10.2/32"), ["192.168.11.2"]);
}

/// The other end of a veth is gone with it: whoever waits for the hold timer keeps the host's next connection out.
#[test]
fn a_session_ends_with_the_link_it_is_bound_to_and_comes_back_with_it() {
    let mut sim = Sim::new(3);
    let mut bound = router(LEAF, HOST);
    bound.peers.get_mut(&"192.169.10.2".parse().unwrap()).unwrap().link = Some("pt-ns".into());
    let (_, router, _) = passthrough(&mut sim, LEAF, HOST);
    sim.configure(router, bound);
    sim.run(SECOND * 20);
    let flaps = |sim: &Sim, address: &str| {
        let snapshot = sim.nodes[router].engine.snapshot(sim.now);
        let address: std::net::IpAddr = address.parse().unwrap();
        snapshot.peers.iter().find(|peer| peer.address == address).unwrap().flaps
    };
    let before = (flaps(&sim, "192.168.11.2"), flaps(&sim, "192.169.10.2"));
    // Down and up is no reason.
    sim.set_link(router, "pt-ns", false);
    sim.set_link(router, "pt-ns", true);
    sim.run(SECOND);
    assert_eq!((flaps(&sim, "192.168.11.2"), flaps(&sim, "192.169.10.2")), before);
    sim.replace_link(router, "pt-ns");
    assert!(!sim.established(router, "192.169.10.2"));
    let told = &sim.nodes[router].notes;
    assert!(told.iter().any(|note| note.contains("link pt-ns was removed")), "{told:?}");
    sim.run(SECOND * 20);
    assert!(sim.established(router, "192.169.10.2"));
    assert_eq!((flaps(&sim, "192.168.11.2"), flaps(&sim, "192.169.10.2")), (before.0, before.1 + 1));
    assert_eq!(sim.gateways(router, "10.244.1.0/24"), ["192.169.10.2"]);
}

#[test]
fn two_leaves_share_the_traffic_and_learn_nothing_of_each_other() {
    let mut sim = Sim::new(4);
    let first = intent(LEAF, "10.1.0.1").peer("192.168.11.3", ROUTER, Role::Peer).network("192.170.20.0/24");
    let second = intent(64513, "10.1.0.2")
        .peer("192.168.12.3", ROUTER, Role::Peer)
        .network("192.170.20.0/24")
        .network("192.170.21.0/24");
    let first = sim.add(&[("eth0", &["192.168.11.2/24"])], first);
    let second = sim.add(&[("eth0", &["192.168.12.2/24"])], second);
    let router = router(LEAF, HOST).peer("192.168.12.2", 64513, Role::Fabric);
    let links: &[(&str, &[&str])] =
        &[("eth1", &["192.168.11.3/24"]), ("eth2", &["192.168.12.3/24"]), ("pt-ns", &["192.169.10.1/24"])];
    let router = sim.add(links, router);
    sim.run(SECOND * 20);
    assert_eq!(sim.gateways(router, "192.170.20.0/24"), ["192.168.11.2", "192.168.12.2"]);
    let view = sim.route(router, "192.170.20.0/24").expect("a route");
    assert!(view.paths.iter().all(|path| path.multipath));
    assert!(sim.route(first, "192.170.21.0/24").is_none(), "no transit");
    assert_eq!(sim.peer(router, "192.168.11.2").families[0].advertised, 1, "only the host's address");

    // One next hop dies: the group changes, and the route follows.
    sim.set_link(router, "eth2", false);
    sim.run(SECOND);
    assert_eq!(sim.gateways(router, "192.170.20.0/24"), ["192.168.11.2"]);
    let _ = second;
}

#[test]
fn with_ibgp_on_both_sides_the_host_is_a_client_and_the_router_the_next_hop() {
    let mut sim = Sim::new(5);
    let (leaf, _, host) = passthrough(&mut sim, ROUTER, ROUTER);
    sim.run(SECOND * 20);
    let at_host = sim.route(host, "192.170.20.0/24").expect("the leaf's prefix at the host");
    assert_eq!(at_host.paths[0].as_path, "");
    assert_eq!(at_host.paths[0].next_hop, "192.169.10.1".parse().ok());
    let at_leaf = sim.route(leaf, "10.244.1.0/24").expect("the host's prefix at the leaf");
    assert_eq!(at_leaf.paths[0].next_hop, "192.168.11.3".parse().ok());
}

#[test]
fn ibgp_fabric_with_an_ebgp_host_gets_our_next_hop() {
    let mut sim = Sim::new(6);
    let (leaf, _, host) = passthrough(&mut sim, ROUTER, HOST);
    sim.run(SECOND * 20);
    let at_leaf = sim.route(leaf, "10.244.1.0/24").expect("the host's prefix at the leaf");
    assert_eq!(at_leaf.paths[0].next_hop, "192.168.11.3".parse().ok());
    assert_eq!(at_leaf.paths[0].as_path, "64515");
    assert_eq!(sim.route(host, "192.170.20.0/24").expect("a route").paths[0].as_path, "64514");
}

#[test]
fn a_wrong_as_is_refused_with_a_reason_and_tried_again() {
    let mut sim = Sim::new(7);
    let leaf = intent(64599, "10.1.0.1").peer("192.168.11.3", ROUTER, Role::Peer);
    sim.add(&[("eth0", &["192.168.11.2/24"])], leaf);
    let router = sim.add(&[("eth1", &["192.168.11.3/24"])], router(LEAF, HOST));
    sim.run(SECOND * 30);
    let peer = sim.peer(router, "192.168.11.2");
    assert_ne!(peer.state, PeerState::Established);
    let error = peer.last_error.expect("a reason");
    assert!(error.contains("Bad Peer AS") || error.contains("connection"), "{error}");
    assert!(peer.sent[1] >= 3, "it keeps trying: {} OPENs", peer.sent[1]);
    assert_eq!(peer.asn, Some(LEAF), "the refused number is in the reason, not in the peer's place");
}

#[test]
fn a_silent_peer_is_lost_when_the_hold_time_is_over_and_found_again() {
    let mut sim = Sim::new(8);
    let (leaf, router, host) = passthrough(&mut sim, LEAF, HOST);
    sim.run(SECOND * 20);
    sim.silence(leaf, router);
    // The last keepalive came up to 60 s before the silence.
    sim.run(SECOND * 115);
    assert!(sim.route(host, "192.170.20.0/24").is_some(), "the hold time is 180 s");
    sim.run(SECOND * 70);
    assert!(!sim.established(router, "192.168.11.2"));
    assert!(sim.peer(router, "192.168.11.2").last_error.is_some_and(|error| !error.is_empty()));
    assert!(sim.route(host, "192.170.20.0/24").is_none());
    sim.heal();
    sim.run(SECOND * 20);
    assert!(sim.established(router, "192.168.11.2"));
    assert!(sim.route(host, "192.170.20.0/24").is_some());
    assert_eq!(sim.peer(router, "192.168.11.2").flaps, 1);
}

#[test]
fn an_idle_session_is_kept_by_keepalives() {
    let mut sim = Sim::new(9);
    let (_, router, _) = passthrough(&mut sim, LEAF, HOST);
    sim.run(SECOND * 20);
    let since = sim.peer(router, "192.168.11.2").since;
    sim.run(SECOND * 3600);
    let peer = sim.peer(router, "192.168.11.2");
    assert_eq!((peer.since, peer.flaps), (since, 0), "{:?}", sim.nodes[router].notes);
    assert!((60..=90).contains(&peer.sent[4]), "about one keepalive a minute, {}", peer.sent[4]);
}

#[test]
fn a_change_of_one_neighbor_leaves_the_other_session_alone() {
    let mut sim = Sim::new(10);
    let (_, router_node, _) = passthrough(&mut sim, LEAF, HOST);
    sim.run(SECOND * 20);
    let since = sim.peer(router_node, "192.168.11.2").since;
    let before = sim.peer(router_node, "192.169.10.2").since;
    let mut changed = router(LEAF, HOST);
    if let Some(host) = changed.peers.get_mut(&"192.169.10.2".parse().expect("an address")) {
        host.hold_time = SECOND * 30;
        host.keepalive = SECOND * 10;
    }
    sim.configure(router_node, changed);
    sim.run(SECOND * 20);
    assert_eq!(sim.peer(router_node, "192.168.11.2").since, since);
    let host = sim.peer(router_node, "192.169.10.2");
    assert!(host.state == PeerState::Established && host.since > before);
    assert_eq!(host.hold_time, Some(SECOND * 30));
}

#[test]
fn a_removed_neighbor_takes_its_routes_along() {
    let mut sim = Sim::new(11);
    let (leaf, router_node, host) = passthrough(&mut sim, LEAF, HOST);
    sim.run(SECOND * 20);
    let mut changed = router(LEAF, HOST);
    changed.peers.remove(&"192.168.11.2".parse().expect("an address"));
    sim.configure(router_node, changed);
    sim.run(SECOND * 10);
    assert!(sim.route(host, "192.170.20.0/24").is_none());
    let error = sim.peer(leaf, "192.168.11.3").last_error.unwrap_or_default();
    assert!(!sim.established(leaf, "192.168.11.3"), "{error}");
}

#[test]
fn a_peer_that_does_not_read_gets_only_the_latest() {
    let mut sim = Sim::new(12);
    let (leaf, router, host) = passthrough(&mut sim, LEAF, HOST);
    sim.run(SECOND * 20);
    sim.nodes[router].stalled = true;
    let base = intent(LEAF, "10.1.0.1").peer("192.168.11.3", ROUTER, Role::Peer);
    for round in 0..50 {
        let changed = if round % 2 == 0 { base.clone() } else { base.clone().network("192.170.20.0/24") };
        sim.configure(leaf, changed.network("192.170.99.0/24"));
        sim.run(MS * 50);
    }
    let before = sim.nodes[router].sent;
    sim.unstall(router);
    sim.run(SECOND);
    assert!(sim.route(host, "192.170.20.0/24").is_some() && sim.route(host, "192.170.99.0/24").is_some());
    let said = sim.nodes[router].sent - before;
    assert!(said < 400, "50 changes of one route are told as one: {said} bytes");
}

/// RFC 9687.
#[test]
fn a_peer_that_never_reads_is_given_up_although_it_is_alive() {
    let start = Sim::new(17).now;
    let mut engine = Engine::new(1, start);
    let own = intent(ROUTER, "10.0.0.1").peer_with("192.0.2.2", LEAF, Role::Peer, |peer| peer.passive = true);
    engine.handle(start, Event::Intent(Box::new(own)));
    let conn = ConnId::Accepted(1);
    let (local, remote) = ("192.0.2.1:179".parse().expect("ours"), "192.0.2.2:40000".parse().expect("its"));
    engine.handle(start, Event::Accepted { conn, local, remote, link: None });
    let mut alive = Vec::new();
    wire::encode_keepalive(&mut alive);
    let mut first = Vec::new();
    let router_id = "10.1.0.1".parse().expect("an identifier");
    Open { asn: LEAF, hold_time: 90, router_id, capabilities: Vec::new() }.encode(&mut first);
    first.extend_from_slice(&alive);
    engine.handle(start, Event::Bytes { conn, data: first.into() });
    let state = |engine: &Engine, now| engine.snapshot(now).peers[0].state;
    // It says that it is alive every 20 s, and nobody ever takes what we have for it.
    let mut now = start;
    while now < start + SECOND * 460 {
        now += SECOND * 20;
        engine.handle(now, Event::Bytes { conn, data: alive.clone().into() });
        engine.handle_timeout(now);
        assert_eq!(state(&engine, now), PeerState::Established, "after {:?}", now - start);
    }
    while state(&engine, now) == PeerState::Established && now < start + SECOND * 700 {
        now += SECOND * 20;
        engine.handle(now, Event::Bytes { conn, data: alive.clone().into() });
        engine.handle_timeout(now);
    }
    let error = engine.snapshot(now).peers[0].last_error.clone().unwrap_or_default();
    assert!(error.contains("Send Hold Timer"), "{error}");
}

/// A router whose only peer passes on 203.0.113.0/24 with the next hop that it got itself, 192.168.50.2, to which the
/// router has no way. Returns the router.
pub(crate) fn behind_another_router(sim: &mut Sim) -> usize {
    let far = intent(ROUTER, "10.9.0.1")
        .peer_with("192.168.11.3", ROUTER, Role::Peer, |peer| peer.next_hop_self = false)
        .peer("192.168.50.2", 65001, Role::Peer);
    let origin = intent(65001, "10.9.0.2").peer("192.168.50.1", ROUTER, Role::Peer).network("203.0.113.0/24");
    sim.add(&[("eth0", &["192.168.11.2/24"]), ("eth1", &["192.168.50.1/24"])], far);
    sim.add(&[("eth0", &["192.168.50.2/24"])], origin);
    let router = intent(ROUTER, "10.0.0.1").peer("192.168.11.2", ROUTER, Role::Fabric);
    sim.add(&[("eth1", &["192.168.11.3/24"])], router)
}

/// The kernel has a way to that next hop now.
pub(crate) fn way_to_the_origin(gateway: &str) -> Event {
    let prefix = "192.168.50.0/24".parse().expect("a prefix");
    Event::Underlying(vec![engine::UnderlyingRoute { prefix, gateway: gateway.parse().ok(), link: 1, metric: 0 }])
}

#[test]
fn a_next_hop_that_leads_nowhere_is_not_used_and_views_say_so() {
    let mut sim = Sim::new(13);
    let router = behind_another_router(&mut sim);
    sim.run(SECOND * 20);
    let view = sim.route(router, "203.0.113.0/24").expect("kept in RIB-In");
    assert!(!view.paths[0].best);
    assert_eq!(view.paths[0].reason, "next hop 192.168.50.2 is not reachable");
    assert!(sim.gateways(router, "203.0.113.0/24").is_empty());
    sim.tell(router, way_to_the_origin("192.168.11.2"));
    sim.run(SECOND);
    assert_eq!(sim.gateways(router, "203.0.113.0/24"), ["192.168.11.2"]);
}

/// A host that speaks from an address of another link of its own need not answer for it on the veth.
#[test]
fn a_next_hop_outside_its_link_is_reached_through_the_neighbor_configured_there() {
    // The router's address, the planned ones of the host, the one that it speaks from, and its network.
    let table = [
        ("192.169.10.1/24", ["192.169.10.2", "192.169.10.3"], "192.168.18.2/15", "10.244.1.0/24", "0.0.0.0/0"),
        ("2001:db8:10::1/64", ["2001:db8:10::2", "2001:db8:10::3"], "2001:db8:18::2/32", "2001:db8:244::/64", "::/0"),
    ];
    for (own, planned, source, network, everybody) in table {
        let mut sim = Sim::new(17);
        let ip = |net: &'static str| net.split('/').next().expect("an address");
        let (own_ip, source_ip) = (ip(own), ip(source));
        let configured = |planned: &str| {
            let bound = |peer: &mut PeerIntent| peer.link = Some("pt-ns".into());
            let mut own = intent(ROUTER, "10.0.0.1").peer_with(planned, HOST, Role::Host, bound);
            let peer = own.peers.values().next().expect("one peer").clone();
            own.ranges.push(RangeIntent {
                prefix: everybody.parse().expect("a prefix"),
                link: None,
                limit: None,
                peer: PeerIntent { name: "others".into(), ..peer },
            });
            own
        };
        let router = sim.add(&[("pt-ns", &[own])], configured(planned[0]));
        let host = intent(HOST, "10.2.0.1").peer(own_ip, ROUTER, Role::Peer).network(network);
        sim.add(&[("eth0", &[source])], host);
        sim.run(SECOND * 20);
        assert!(sim.established(router, source_ip));
        assert_eq!(sim.gateways(router, network), [planned[0]]);
        let since = sim.peer(router, source_ip).since;
        sim.configure(router, configured(planned[1]));
        sim.run(SECOND);
        assert_eq!(sim.gateways(router, network), [planned[1]]);
        assert_eq!(sim.peer(router, source_ip).since, since, "its session is another matter");
    }
}

#[test]
fn our_as_is_tolerated_three_times_from_the_fabric_and_not_at_all_from_others() {
    let mut sim = Sim::new(14);
    // Two nodes share AS and host AS, as every real deployment has it.
    let leaf =
        intent(LEAF, "10.1.0.1").peer("192.168.11.3", ROUTER, Role::Peer).peer("192.168.11.4", ROUTER, Role::Peer);
    sim.add(&[("eth0", &["192.168.11.2/24"])], leaf);
    let one = sim.add(
        &[("eth1", &["192.168.11.3/24"])],
        intent(ROUTER, "10.0.0.1").peer("192.168.11.2", LEAF, Role::Fabric).network("10.244.1.0/24"),
    );
    let two = sim.add(
        &[("eth1", &["192.168.11.4/24"])],
        intent(ROUTER, "10.0.0.2")
            .peer_with("192.168.11.2", LEAF, Role::Peer, |peer| peer.next_hop_self = true)
            .network("10.244.2.0/24"),
    );
    sim.run(SECOND * 20);
    let tolerated = sim.route(one, "10.244.2.0/24").expect("a route");
    assert_eq!((tolerated.paths[0].best, tolerated.paths[0].as_path.as_str()), (true, "64512 64514"));
    let refused = sim.route(two, "10.244.1.0/24").expect("kept in RIB-In");
    assert!(!refused.paths[0].best && refused.paths[0].reason.contains("our AS 64514"), "{}", refused.paths[0].reason);
}

#[test]
fn what_the_kernel_lost_is_told_again() {
    let mut sim = Sim::new(15);
    let (_, router, _) = passthrough(&mut sim, LEAF, HOST);
    sim.run(SECOND * 20);
    let before = sim.nodes[router].fib.routes.clone();
    sim.nodes[router].fib.routes.clear();
    sim.nodes[router].fib.groups.clear();
    sim.tell(router, Event::FibLost);
    sim.run(SECOND);
    let after: Vec<_> = sim.nodes[router].fib.routes.keys().collect();
    assert_eq!(after, before.keys().collect::<Vec<_>>());
    assert_eq!(sim.gateways(router, "192.170.20.0/24"), ["192.168.11.2"]);
}

#[test]
fn shutting_down_tells_the_peers_why() {
    let mut sim = Sim::new(16);
    let (leaf, router, _) = passthrough(&mut sim, LEAF, HOST);
    sim.run(SECOND * 20);
    sim.tell(router, Event::Shutdown { graceful: false });
    sim.run(MS * 100);
    let error = sim.peer(leaf, "192.168.11.3").last_error.expect("a reason");
    assert!(error.contains("Administrative Shutdown"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Both sides dial at the same moment, bytes come one by one or in bulk: one session is left, and it stays.
    #[test]
    fn collisions_end_with_one_session(seed in any::<u64>(), segment in 1usize..200) {
        let mut sim = Sim::new(seed);
        sim.segment = segment;
        let a = sim.add(&[("eth0", &["10.0.0.1/24"])], intent(65001, "1.1.1.1").peer("10.0.0.2", 65002, Role::Peer).network("10.1.0.0/16"));
        let b = sim.add(&[("eth0", &["10.0.0.2/24"])], intent(65002, "2.2.2.2").peer("10.0.0.1", 65001, Role::Peer).network("10.2.0.0/16"));
        sim.run(SECOND * 30);
        prop_assert!(sim.established(a, "10.0.0.2") && sim.established(b, "10.0.0.1"));
        prop_assert_eq!(sim.peer(a, "10.0.0.2").flaps + sim.peer(b, "10.0.0.1").flaps, 0, "{:?} {:?}", sim.nodes[a].notes, sim.nodes[b].notes);
        prop_assert!(sim.route(a, "10.2.0.0/16").is_some() && sim.route(b, "10.1.0.0/16").is_some());
    }

    /// Whatever is announced, withdrawn, broken and restored: when it is quiet, RIB-Out of each router is
    /// RIB-In of its peer, and the FIB is the Loc-RIB.
    #[test]
    fn tables_agree_after_any_history(seed in any::<u64>(), steps in proptest::collection::vec((0u8..8, 0u8..16), 1..60)) {
        let mut sim = Sim::new(seed);
        let (leaf, router_node, host) = passthrough(&mut sim, LEAF, HOST);
        sim.run(SECOND * 10);
        sim.configure(leaf, intent(LEAF, "10.1.0.1").peer("192.168.11.3", ROUTER, Role::Peer));
        sim.configure(host, intent(HOST, "10.2.0.1").peer("192.169.10.1", ROUTER, Role::Peer));
        let mut announced = [0u16; 2];
        for (what, which) in steps {
            match what {
                0..=3 => {
                    let side = usize::from(what % 2);
                    announced[side] ^= 1 << which;
                    let base = if side == 0 {
                        intent(LEAF, "10.1.0.1").peer("192.168.11.3", ROUTER, Role::Peer)
                    } else {
                        intent(HOST, "10.2.0.1").peer("192.169.10.1", ROUTER, Role::Peer)
                    };
                    let own = (0..16).filter(|bit| announced[side] & (1 << bit) != 0);
                    let full = own.fold(base, |base, bit| base.network(&format!("10.{}.{bit}.0/24", 100 + side)));
                    sim.configure(if side == 0 { leaf } else { host }, full);
                }
                4 => sim.reset(leaf, router_node),
                5 => sim.reset(host, router_node),
                6 => sim.set_link(router_node, "eth1", which % 2 == 0),
                _ => sim.set_link(router_node, "pt-ns", which % 2 == 0),
            }
            let pause = MS * sim.random(400) as u32;
            sim.run(pause);
        }
        sim.set_link(router_node, "eth1", true);
        sim.set_link(router_node, "pt-ns", true);
        sim.run(SECOND * 60);
        let prefixes = |views: Vec<engine::RouteView>| views.into_iter().map(|view| view.prefix).collect::<Vec<_>>();
        for (node, address, from) in [(leaf, "192.168.11.3", "192.168.11.2"), (host, "192.169.10.1", "192.169.10.2")] {
            let received = prefixes(sim.routes(node, Select::Received(address.parse().expect("an address"))));
            let sent = prefixes(sim.routes(router_node, Select::Advertised(from.parse().expect("an address"))));
            prop_assert_eq!(received, sent);
        }
        let wanted: Vec<String> = (0..2)
            .flat_map(|side| (0..16).filter(move |bit| announced[side] & (1 << bit) != 0).map(move |bit| format!("10.{}.{bit}.0/24", 100 + side)))
            .collect();
        let mut forwarded: Vec<String> = sim.nodes[router_node].fib.routes.keys().map(|prefix| prefix.to_string()).collect();
        let mut wanted = wanted;
        wanted.sort();
        forwarded.sort();
        prop_assert_eq!(forwarded, wanted);
    }
}

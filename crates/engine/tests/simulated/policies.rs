//! Behaviours of dynamic, unnumbered and limited peers and of the host's table, in virtual time.

use crate::sim::{SECOND, Sim, With, intent};
use engine::intent::{
    Effect, HostRoutes, Intent, MaxPrefixes, PeerIntent, PrefixRule, RangeIntent, RemoteAs, Role, diff,
};
use engine::snapshot::PeerState;
use engine::{BgpRole, Event, Family, FamilySet, Select};

const LEAF: u32 = 64512;
const ROUTER: u32 = 64514;
const HOST: u32 = 64515;

fn range(prefix: &str, role: Role, remote_as: RemoteAs) -> RangeIntent {
    let families = vec![Family::Ipv4Unicast];
    RangeIntent {
        prefix: prefix.parse().expect("a prefix"),
        link: None,
        limit: None,
        peer: PeerIntent::new(format!("external@{prefix}"), role, remote_as, families),
    }
}

fn leaf(sim: &mut Sim, number: u32) -> usize {
    let address = format!("192.168.11.{number}/24");
    let own = intent(64000 + number, &format!("10.1.0.{number}"))
        .peer("192.168.11.1", ROUTER, Role::Peer)
        .network(&format!("10.200.{number}.0/24"));
    sim.add(&[("eth0", &[address.as_str()])], own)
}

fn ranged(limit: usize) -> Intent {
    let mut own = intent(ROUTER, "10.0.0.1");
    own.ranges = vec![range("192.168.11.0/24", Role::Fabric, RemoteAs::External)];
    own.listen_limit = limit;
    own
}

#[test]
fn peers_of_a_range_come_up_to_the_limit_and_go_with_their_connection() {
    let mut sim = Sim::new(1);
    let router = sim.add(&[("eth1", &["192.168.11.1/24"])], ranged(3));
    let leaves: Vec<usize> = (2..6).map(|number| leaf(&mut sim, number)).collect();
    sim.run(SECOND * 20);
    let peers = sim.nodes[router].engine.snapshot(sim.now).peers;
    let up = peers.iter().filter(|peer| peer.state == PeerState::Established).count();
    assert_eq!((peers.len(), up), (3, 3), "the fourth is refused");
    assert!(sim.nodes[router].notes.iter().any(|note| note.contains("which is its limit")));
    assert_eq!(peers[0].range, "192.168.11.0/24".parse().ok());

    let gone = leaves.iter().position(|&node| sim.established(node, "192.168.11.1")).expect("one is up");
    sim.silence(leaves[gone], router);
    sim.reset(leaves[gone], router);
    sim.run(SECOND * 130);
    let peers = sim.nodes[router].engine.snapshot(sim.now).peers;
    assert_eq!(peers.iter().filter(|peer| peer.state == PeerState::Established).count(), 3, "the fourth has the place");
}

#[test]
fn a_range_that_goes_closes_its_peers_and_a_range_that_stays_keeps_them() {
    let mut sim = Sim::new(2);
    let router = sim.add(&[("eth1", &["192.168.11.1/24"])], ranged(10));
    let node = leaf(&mut sim, 2);
    sim.run(SECOND * 20);
    let since = sim.peer(router, "192.168.11.2").since;
    sim.configure(router, ranged(10).network("203.0.113.0/24"));
    sim.run(SECOND * 5);
    assert_eq!(sim.peer(router, "192.168.11.2").since, since, "an unrelated change");
    sim.configure(router, intent(ROUTER, "10.0.0.1"));
    sim.run(SECOND);
    assert!(sim.nodes[router].engine.snapshot(sim.now).peers.is_empty());
    assert!(!sim.established(node, "192.168.11.1"));
    assert!(sim.routes(router, Select::All).is_empty());
}

/// A change of configuration costs only the sessions whose own parameters changed.
#[test]
fn a_peer_of_a_range_becomes_a_neighbor_with_its_session() {
    for (hold_time, kept) in [(180, true), (60, false)] {
        let mut sim = Sim::new(3);
        let router = sim.add(&[("eth1", &["192.168.11.1/24"])], ranged(10));
        let node = leaf(&mut sim, 2);
        sim.run(SECOND * 20);
        let mut own = ranged(10);
        let mut peer = own.ranges[0].peer.clone();
        peer.name = "leaf".into();
        peer.allow_own_as = 1;
        peer.hold_time = SECOND * hold_time;
        own.peers.insert("192.168.11.2".parse().expect("an address"), peer);
        let changes = diff(Some(&ranged(10)), &own);
        let expected = if kept { Effect::Added } else { Effect::NewSession };
        assert_eq!(changes.iter().map(|change| change.effect).collect::<Vec<_>>(), [expected], "{changes:?}");
        assert!(changes[0].what.contains("session by range 192.168.11.0/24"), "{changes:?}");
        sim.configure(router, own);
        sim.run(SECOND * 20);
        let peer = sim.peer(router, "192.168.11.2");
        assert_eq!((peer.state, peer.flaps == 0), (PeerState::Established, kept));
        assert_eq!((peer.name.as_str(), peer.range), ("leaf", None));
        // It is dialled from here on.
        sim.silence(node, router);
        sim.reset(node, router);
        assert!(sim.nodes[router].engine.poll_timeout().is_some_and(|(_, why)| why == "dial"));
    }
}

#[test]
fn the_range_of_the_link_wins_over_the_longer_one() {
    let mut sim = Sim::new(3);
    let mut own = ranged(10);
    let any = RangeIntent { link: Some("pt-ns".into()), ..range("0.0.0.0/0", Role::Host, RemoteAs::Number(HOST)) };
    own.ranges.push(any);
    let router = sim.add(&[("eth1", &["192.168.11.1/24"]), ("pt-ns", &["192.169.10.1/24"])], own);
    let remote = "192.168.11.77:40000".parse().expect("an address");
    let local = "192.169.10.1:179".parse().expect("an address");
    let conn = engine::ConnId::Accepted(1);
    sim.tell(router, Event::Accepted { conn, local, remote, link: Some("pt-ns".into()) });
    assert_eq!(sim.peer(router, "192.168.11.77").role, Role::Host);
}

#[test]
fn an_unnumbered_neighbor_is_dialled_when_it_is_heard_and_moves_with_its_address() {
    let mut sim = Sim::new(4);
    let mut own = intent(ROUTER, "10.0.0.1");
    let mut peer = PeerIntent::new("eth1", Role::Fabric, RemoteAs::External, vec![Family::Ipv4Unicast]);
    peer.extended_next_hop = true;
    peer.link = Some("eth1".into());
    own.unnumbered.insert("eth1".into(), peer);
    let router = sim.add(&[("eth1", &["fe80::1/64"])], own);
    let other = intent(LEAF, "10.1.0.1").network("192.170.20.0/24").peer_with("fe80::1", ROUTER, Role::Peer, |peer| {
        peer.extended_next_hop = true;
        peer.passive = true;
        peer.link = Some("eth0".into());
        peer.families = vec![Family::Ipv4Unicast];
    });
    let node = sim.add(&[("eth0", &["fe80::2/64"])], other);
    sim.run(SECOND * 5);
    assert_eq!(sim.peer(router, "::").state, PeerState::Active);
    let heard = |address: &str| Event::Neighbor { link: "eth1".into(), index: 1, address: address.parse().ok() };
    sim.tell(router, heard("fe80::2"));
    sim.run(SECOND * 5);
    assert!(sim.established(router, "fe80::2"));
    assert_eq!(sim.gateways(router, "192.170.20.0/24"), ["fe80::2"], "an IPv4 route over an IPv6 next hop");
    // Silence alone does not end what the hold timer watches.
    sim.tell(router, Event::Neighbor { link: "eth1".into(), index: 1, address: None });
    sim.run(SECOND);
    assert!(sim.established(router, "fe80::2"));
    // Nor does another router on the segment.
    sim.tell(router, heard("fe80::3"));
    sim.run(SECOND);
    assert!(sim.established(router, "fe80::2"));
    // When the session ends, the other one is the neighbor.
    sim.silence(node, router);
    sim.reset(node, router);
    sim.run(SECOND);
    assert_ne!(sim.peer(router, "fe80::3").state, PeerState::Established);
    assert!(sim.gateways(router, "192.170.20.0/24").is_empty());
}

fn pair(sim: &mut Sim, change: impl FnOnce(&mut PeerIntent)) -> (usize, usize) {
    let own = intent(ROUTER, "10.0.0.1").peer_with("192.168.11.2", LEAF, Role::Fabric, change);
    let router = sim.add(&[("eth1", &["192.168.11.1/24"])], own);
    let mut other = intent(LEAF, "10.1.0.1").peer("192.168.11.1", ROUTER, Role::Peer);
    for number in 0..5 {
        other = other.network(&format!("10.200.{number}.0/24"));
    }
    let leaf = sim.add(&[("eth0", &["192.168.11.2/24"])], other);
    (router, leaf)
}

#[test]
fn only_allowed_prefixes_are_used_and_the_others_say_why() {
    let mut sim = Sim::new(5);
    let rule = PrefixRule { prefix: "10.200.0.0/23".parse().expect("a prefix"), ge: 24, le: 24 };
    let (router, _) = pair(&mut sim, |peer| peer.allowed_prefixes = vec![rule]);
    sim.run(SECOND * 20);
    let family = sim.peer(router, "192.168.11.2").families[0];
    assert_eq!((family.received, family.accepted), (5, 2));
    assert_eq!(sim.nodes[router].fib.routes.len(), 2);
    let refused = sim.route(router, "10.200.4.0/24").expect("kept in RIB-In");
    assert_eq!(refused.paths[0].reason, "refused: not among the peer's allowed prefixes");
    // Taken back live, without a new session.
    let since = sim.peer(router, "192.168.11.2").since;
    sim.configure(router, intent(ROUTER, "10.0.0.1").peer("192.168.11.2", LEAF, Role::Fabric));
    sim.run(SECOND);
    assert_eq!((sim.peer(router, "192.168.11.2").since, sim.nodes[router].fib.routes.len()), (since, 5));
}

/// RFC 4271 6.7, RFC 4486 section 4.
#[test]
fn too_many_prefixes_are_warned_of_or_end_the_session_for_a_while() {
    let limit = |teardown| MaxPrefixes { limit: 3, teardown, restart: Some(SECOND * 60) };
    let mut sim = Sim::new(6);
    let (router, _) = pair(&mut sim, |peer| {
        peer.max_prefixes.insert(Family::Ipv4Unicast, limit(false));
    });
    sim.run(SECOND * 20);
    assert!(sim.established(router, "192.168.11.2"));
    assert!(sim.nodes[router].notes.iter().any(|note| note.contains("more than the 3 it may")));

    let mut sim = Sim::new(7);
    let (router, leaf) = pair(&mut sim, |peer| {
        peer.max_prefixes.insert(Family::Ipv4Unicast, limit(true));
    });
    sim.run(SECOND * 40);
    assert!(!sim.established(router, "192.168.11.2"));
    assert!(sim.nodes[router].fib.routes.is_empty());
    let told = &sim.nodes[leaf].notes;
    assert!(told.iter().any(|note| note.contains("Maximum Number of Prefixes")), "{told:?}");
    assert_eq!(sim.peer(router, "192.168.11.2").flaps, 1, "held down in between");
    sim.configure(leaf, intent(LEAF, "10.1.0.1").peer("192.168.11.1", ROUTER, Role::Peer));
    sim.run(SECOND * 200);
    assert!(sim.established(router, "192.168.11.2"), "back by itself");
}

#[test]
fn clients_of_a_configured_reflector_hear_of_each_other_per_family() {
    let mut sim = Sim::new(8);
    let client = |families: FamilySet| move |peer: &mut PeerIntent| peer.reflector_client = families;
    let mut own = intent(ROUTER, "10.0.0.1")
        .peer_with("192.168.11.2", ROUTER, Role::Fabric, client(FamilySet::only(Family::Ipv4Unicast)))
        .peer_with("192.168.11.3", ROUTER, Role::Fabric, client(FamilySet::only(Family::Ipv4Unicast)));
    own.cluster_id = "192.0.2.1".parse().ok();
    sim.add(&[("eth1", &["192.168.11.1/24", "2001:db8::1/64"])], own);
    let node = |number: u32| {
        intent(ROUTER, &format!("10.1.0.{number}"))
            .peer("192.168.11.1", ROUTER, Role::Peer)
            .network(&format!("10.200.{number}.0/24"))
            .network(&format!("2001:db8:{number}::/48"))
    };
    let one = sim.add(&[("eth0", &["192.168.11.2/24", "2001:db8::2/64"])], node(2));
    sim.add(&[("eth0", &["192.168.11.3/24", "2001:db8::3/64"])], node(3));
    sim.run(SECOND * 20);
    assert!(sim.route(one, "10.200.3.0/24").is_some());
    assert!(sim.route(one, "2001:db8:3::/48").is_none(), "no client in this family");
}

#[test]
fn the_hosts_table_gets_what_the_fabric_announces_and_nothing_of_its_own() {
    let mut sim = Sim::new(9);
    let mut own =
        intent(ROUTER, "10.0.0.1").peer("192.168.11.2", LEAF, Role::Fabric).peer("192.169.10.2", HOST, Role::Host);
    own.host_routes = Some(HostRoutes { prefixes: Vec::new(), allow_default: false });
    let router = sim.add(&[("eth1", &["192.168.11.1/24"]), ("pt-ns", &["192.169.10.1/24"])], own.clone());
    let other = intent(LEAF, "10.1.0.1")
        .peer("192.168.11.1", ROUTER, Role::Peer)
        .network("192.170.20.0/24")
        .network("0.0.0.0/0");
    let leaf = sim.add(&[("eth0", &["192.168.11.2/24"])], other);
    let host = intent(HOST, "10.2.0.1").peer("192.169.10.1", ROUTER, Role::Peer).network("10.244.1.0/24");
    sim.add(&[("pt-host", &["192.169.10.2/24"])], host);
    sim.run(SECOND * 20);
    let table = |sim: &mut Sim| {
        let batch = sim.nodes[router].engine.poll_host_routes().unwrap_or_default();
        sim.tell(router, Event::HostAck { id: batch.id, failed: Vec::new() });
        batch.routes.into_iter().map(|(prefix, wanted)| (prefix.to_string(), wanted)).collect::<Vec<_>>()
    };
    assert_eq!(table(&mut sim), [("192.170.20.0/24".to_string(), true)], "neither a default nor the host's own");
    assert_eq!(table(&mut sim), []);
    sim.tell(router, Event::HostLost);
    assert_eq!(table(&mut sim).len(), 1, "told again");
    sim.configure(leaf, intent(LEAF, "10.1.0.1").peer("192.168.11.1", ROUTER, Role::Peer).network("192.170.21.0/24"));
    sim.run(SECOND);
    let mut changes = table(&mut sim);
    changes.sort();
    assert_eq!(changes, [("192.170.20.0/24".to_string(), false), ("192.170.21.0/24".to_string(), true)]);
    own.host_routes = None;
    sim.configure(router, own);
    assert_eq!(table(&mut sim), [("192.170.21.0/24".to_string(), false)], "removing the option removes its routes");
}

#[test]
fn a_plan_names_what_would_reset_and_nothing_else() {
    let old =
        intent(ROUTER, "10.0.0.1").peer("192.168.11.2", LEAF, Role::Fabric).peer("192.168.12.2", LEAF, Role::Fabric);
    assert!(diff(Some(&old), &old).is_empty());
    let new = intent(ROUTER, "10.0.0.1")
        .peer_with("192.168.11.2", LEAF, Role::Fabric, |peer| peer.hold_time = SECOND * 9)
        .peer_with("192.168.12.2", LEAF, Role::Fabric, |peer| peer.allow_own_as = 1)
        .peer("192.168.13.2", LEAF, Role::Fabric)
        .network("203.0.113.0/24");
    let said: Vec<String> =
        diff(Some(&old), &new).iter().map(|change| format!("{:?} {}", change.effect, change.what)).collect();
    let expected = [
        "Added network 203.0.113.0/24",
        "NewSession neighbor 192.168.11.2 (hold time)",
        "SoftReset neighbor 192.168.12.2 (own AS allowed)",
        "Added neighbor 192.168.13.2",
    ];
    assert_eq!(said, expected);
    assert!(diff(Some(&new), &old).iter().any(|change| change.what == "neighbor 192.168.13.2"));
}

#[test]
fn what_is_only_judged_anew_resets_nothing() {
    let old = intent(ROUTER, "10.0.0.1").peer("192.168.11.2", LEAF, Role::Fabric);
    let mut new =
        intent(ROUTER, "10.0.0.1").peer_with("192.168.11.2", LEAF, Role::Fabric, |peer| peer.reject_as_sets = true);
    new.prefer_oldest = true;
    let said: Vec<_> = diff(Some(&old), &new).into_iter().map(|change| (change.effect, change.what)).collect();
    let soft = (Effect::SoftReset, "neighbor 192.168.11.2 (AS_SETs refused)".to_owned());
    assert_eq!(said, [(Effect::Live, "best path".to_owned()), soft]);
}

/// RFC 9234: our role towards each neighbour, and theirs towards us.
fn with_role(role: BgpRole) -> impl FnOnce(&mut PeerIntent) {
    move |peer| peer.bgp_role = Some(role)
}

/// RFC 9234 section 5.
#[test]
fn routes_of_a_provider_go_to_customers_and_not_to_peers() {
    let mut sim = Sim::new(10);
    let own = intent(ROUTER, "10.0.0.1")
        .peer_with("192.168.11.2", 65002, Role::Peer, with_role(BgpRole::Customer))
        .peer_with("192.168.11.3", 65003, Role::Peer, with_role(BgpRole::Provider))
        .peer_with("192.168.11.4", 65004, Role::Peer, with_role(BgpRole::Peer));
    sim.add(&[("eth1", &["192.168.11.1/24"])], own);
    let mut node = |number: u32, role| {
        let own = intent(65000 + number, &format!("10.1.0.{number}"))
            .peer_with("192.168.11.1", ROUTER, Role::Peer, with_role(role))
            .network(&format!("10.200.{number}.0/24"));
        let address = format!("192.168.11.{number}/24");
        sim.add(&[("eth0", &[address.as_str()])], own)
    };
    let (provider, customer, peer) = (node(2, BgpRole::Provider), node(3, BgpRole::Customer), node(4, BgpRole::Peer));
    sim.run(SECOND * 20);
    let sees = |node, number| sim.route(node, &format!("10.200.{number}.0/24")).is_some();
    assert!(sees(customer, 2) && sees(customer, 4), "a customer gets everything");
    assert!(sees(provider, 3) && sees(peer, 3), "a customer's routes go everywhere");
    assert!(!sees(peer, 2) && !sees(provider, 4), "neither transit for a peer nor for a provider");
}

/// RFC 9234 section 4.2.
#[test]
fn roles_that_do_not_match_end_in_a_notification_and_none_is_fine() {
    for (theirs, up) in [(Some(BgpRole::Peer), false), (Some(BgpRole::Customer), true), (None, true)] {
        let mut sim = Sim::new(11);
        let (router, _) = {
            let own =
                intent(ROUTER, "10.0.0.1").peer_with("192.168.11.2", LEAF, Role::Peer, with_role(BgpRole::Provider));
            let router = sim.add(&[("eth1", &["192.168.11.1/24"])], own);
            let other =
                intent(LEAF, "10.1.0.1").peer_with("192.168.11.1", ROUTER, Role::Peer, |peer| peer.bgp_role = theirs);
            (router, sim.add(&[("eth0", &["192.168.11.2/24"])], other))
        };
        sim.run(SECOND * 20);
        assert_eq!(sim.established(router, "192.168.11.2"), up, "{theirs:?}");
        if !up {
            let error = sim.peer(router, "192.168.11.2").last_error.unwrap_or_default();
            assert!(error.contains("Role Mismatch"), "{error}");
        }
    }
}

#[test]
fn a_change_of_policy_says_only_what_differs() {
    let mut sim = Sim::new(12);
    let own = |change: fn(&mut PeerIntent)| {
        intent(ROUTER, "10.0.0.1").peer("192.168.11.2", LEAF, Role::Fabric).peer_with(
            "192.169.10.2",
            HOST,
            Role::Host,
            change,
        )
    };
    let links: &[(&str, &[&str])] = &[("eth1", &["192.168.11.1/24"]), ("pt-ns", &["192.169.10.1/24"])];
    let router = sim.add(links, own(|_| {}));
    let mut leaf = intent(LEAF, "10.1.0.1").peer("192.168.11.1", ROUTER, Role::Peer);
    for number in 0..100 {
        leaf = leaf.network(&format!("10.200.{number}.0/24"));
    }
    sim.add(&[("eth0", &["192.168.11.2/24"])], leaf);
    let host = intent(HOST, "10.2.0.1").peer("192.169.10.1", ROUTER, Role::Peer);
    let host = sim.add(&[("pt-host", &["192.169.10.2/24"])], host);
    sim.run(SECOND * 20);
    let since = sim.peer(router, "192.169.10.2").since;
    let said = sim.nodes[router].sent;
    // What it may send us says nothing about what it is told.
    sim.configure(router, own(|peer| peer.allow_own_as = 2));
    sim.run(SECOND);
    assert_eq!(sim.nodes[router].sent, said, "nothing differs");
    // Its AS is in no path: overriding it changes nothing either.
    sim.configure(router, own(|peer| peer.as_override = true));
    sim.run(SECOND);
    assert_eq!(sim.nodes[router].sent, said, "nothing differs");
    // Another role does.
    sim.configure(router, own(|peer| peer.role = Role::Fabric));
    sim.run(SECOND);
    assert!(sim.route(host, "10.200.7.0/24").is_none(), "no transit");
    assert_eq!(sim.peer(router, "192.169.10.2").since, since, "and no new session");
}

/// Nodes share the host's AS: without asOverride the host refuses what comes from another node's host.
#[test]
fn views_say_why_a_host_does_not_use_routes_of_its_own_as() {
    let mut sim = Sim::new(13);
    let own = |change: fn(&mut PeerIntent)| {
        intent(ROUTER, "10.0.0.1").peer("192.168.11.2", LEAF, Role::Fabric).peer_with(
            "192.169.10.2",
            HOST,
            Role::Host,
            change,
        )
    };
    let links: &[(&str, &[&str])] = &[("eth1", &["192.168.11.1/24"]), ("pt-ns", &["192.169.10.1/24"])];
    let router = sim.add(links, own(|_| {}));
    let leaf = intent(LEAF, "10.1.0.1").peer("192.168.11.1", ROUTER, Role::Peer).peer("192.168.12.2", HOST, Role::Peer);
    sim.add(&[("eth0", &["192.168.11.2/24"]), ("eth1", &["192.168.12.1/24"])], leaf);
    let other = intent(HOST, "10.3.0.1").peer("192.168.12.1", LEAF, Role::Peer).network("10.244.2.0/24");
    sim.add(&[("eth0", &["192.168.12.2/24"])], other);
    let host = intent(HOST, "10.2.0.1").peer("192.169.10.1", ROUTER, Role::Peer);
    let host = sim.add(&[("pt-host", &["192.169.10.2/24"])], host);
    sim.run(SECOND * 20);
    assert_eq!(sim.peer(router, "192.169.10.2").families[0].looping, 1);
    let told = sim.routes(router, Select::Advertised("192.169.10.2".parse().expect("an address")));
    assert!(told[0].paths[0].reason.contains("own AS 64515"), "{}", told[0].paths[0].reason);
    assert!(!sim.route(host, "10.244.2.0/24").expect("kept in RIB-In").paths[0].best);

    sim.configure(router, own(|peer| peer.as_override = true));
    sim.run(SECOND);
    assert_eq!(sim.peer(router, "192.169.10.2").families[0].looping, 0);
    let at_host = sim.route(host, "10.244.2.0/24").expect("a route");
    assert_eq!((at_host.paths[0].best, at_host.paths[0].as_path.as_str()), (true, "64514 64512 64514"));
}

#[test]
fn strangers_do_not_fill_the_log() {
    let mut sim = Sim::new(14);
    let router = sim.add(&[("eth1", &["192.168.11.1/24"])], intent(ROUTER, "10.0.0.1"));
    for number in 0..1000 {
        let conn = engine::ConnId::Accepted(number);
        let remote = format!("192.168.11.9:{}", 10_000 + number).parse().expect("an address");
        let local = "192.168.11.1:179".parse().expect("an address");
        sim.tell(router, Event::Accepted { conn, local, remote, link: None });
    }
    let notes = &sim.nodes[router].notes;
    assert!((10..20).contains(&notes.len()), "{} lines for 1000 connections", notes.len());
}

/// That it is held down was told when it was: each further attempt says nothing new.
#[test]
fn a_peer_that_is_held_down_does_not_fill_the_log() {
    let mut sim = Sim::new(18);
    let (router, leaf) = pair(&mut sim, |peer| {
        peer.max_prefixes.insert(Family::Ipv4Unicast, limited(3, Some(SECOND * 300)));
    });
    sim.run(SECOND * 20);
    assert!(sim.peer(router, "192.168.11.2").last_error.is_some_and(|error| error.contains("Maximum Number")));
    let refusals = |sim: &Sim| {
        let notes = sim.nodes[router].notes.iter();
        notes.filter(|note| note.contains("it announced too many prefixes")).cloned().collect::<Vec<_>>()
    };
    let before = refusals(&sim).len();
    for number in 0..1000 {
        let conn = engine::ConnId::Accepted(1_000_000 + number);
        let remote = "192.168.11.2:10000".parse().expect("an address");
        let local = "192.168.11.1:179".parse().expect("an address");
        sim.tell(router, Event::Accepted { conn, local, remote, link: None });
    }
    let told = refusals(&sim);
    assert!((1..=4).contains(&told.len()) && told.len() - before >= 2, "{told:?}");
    assert_eq!(told[0], "connection from 192.168.11.2 refused: it announced too many prefixes");
    assert!(
        told[1].ends_with("(10 so far)") && told.last().is_some_and(|last| last.ends_with("(1000 so far)")),
        "{told:?}"
    );

    // The next time it is news again.
    sim.run(SECOND * 320);
    let told = refusals(&sim);
    let firsts = told.iter().filter(|text| !text.contains("so far")).count();
    assert!(sim.peer(router, "192.168.11.2").flaps >= 2 && firsts >= 2, "{told:?}");
    assert!(sim.peer(leaf, "192.168.11.1").last_error.is_some());
}

fn limited(limit: usize, restart: Option<std::time::Duration>) -> MaxPrefixes {
    MaxPrefixes { limit, teardown: true, restart }
}

#[test]
fn a_peer_of_a_range_that_announces_too_much_stays_away_as_long_as_it_must() {
    let mut sim = Sim::new(15);
    let mut own = ranged(10);
    own.ranges[0].peer.max_prefixes.insert(Family::Ipv4Unicast, limited(2, Some(SECOND * 60)));
    sim.add(&[("eth1", &["192.168.11.1/24"])], own);
    let mut other = intent(64002, "10.1.0.2").peer("192.168.11.1", ROUTER, Role::Peer);
    for number in 0..3 {
        other = other.network(&format!("10.200.{number}.0/24"));
    }
    let node = sim.add(&[("eth0", &["192.168.11.2/24"])], other);
    sim.run(SECOND * 30);
    let flaps = sim.peer(node, "192.168.11.1").flaps;
    assert_eq!(flaps, 1, "not again and again");
    sim.configure(node, intent(64002, "10.1.0.2").peer("192.168.11.1", ROUTER, Role::Peer));
    sim.run(SECOND * 60);
    assert!(sim.established(node, "192.168.11.1"), "and then it may come back");
}

#[test]
fn a_raised_limit_lets_a_peer_back_that_was_sent_away_for_good() {
    let mut sim = Sim::new(16);
    let (router, _) = pair(&mut sim, |peer| {
        peer.max_prefixes.insert(Family::Ipv4Unicast, limited(3, None));
    });
    sim.run(SECOND * 200);
    assert!(!sim.established(router, "192.168.11.2"));
    let raised = intent(ROUTER, "10.0.0.1").peer_with("192.168.11.2", LEAF, Role::Fabric, |peer| {
        peer.max_prefixes.insert(Family::Ipv4Unicast, limited(9, None));
    });
    sim.configure(router, raised);
    sim.run(SECOND * 20);
    assert!(sim.established(router, "192.168.11.2"));
    // And a lowered one counts at once, on a quiet session too.
    let lowered = intent(ROUTER, "10.0.0.1").peer_with("192.168.11.2", LEAF, Role::Fabric, |peer| {
        peer.max_prefixes.insert(Family::Ipv4Unicast, limited(1, None));
    });
    sim.configure(router, lowered);
    assert!(!sim.established(router, "192.168.11.2"));
}

#[test]
fn what_was_withdrawn_while_the_hosts_table_was_lost_is_swept() {
    let mut sim = Sim::new(17);
    let mut own = intent(ROUTER, "10.0.0.1").peer("192.168.11.2", LEAF, Role::Fabric);
    own.host_routes = Some(HostRoutes { prefixes: Vec::new(), allow_default: false });
    let router = sim.add(&[("eth1", &["192.168.11.1/24"])], own);
    let other = intent(LEAF, "10.1.0.1").peer("192.168.11.1", ROUTER, Role::Peer);
    let leaf = sim.add(&[("eth0", &["192.168.11.2/24"])], other.clone().network("192.170.20.0/24"));
    sim.run(SECOND * 20);
    let now = sim.now;
    let engine = &mut sim.nodes[router].engine;
    let batch = engine.poll_host_routes().expect("a batch");
    engine.handle(now, Event::HostAck { id: batch.id, failed: Vec::new() });
    assert!(batch.sweep && batch.routes.len() == 1);
    sim.configure(leaf, other);
    sim.run(SECOND);
    let engine = &mut sim.nodes[router].engine;
    engine.handle(now, Event::HostLost);
    let batch = engine.poll_host_routes().expect("a batch");
    assert!(batch.sweep, "nobody else removes it: {batch:?}");
}

#[test]
fn a_removal_that_the_hosts_table_refused_is_tried_again() {
    let mut sim = Sim::new(18);
    let mut own = intent(ROUTER, "10.0.0.1").peer("192.168.11.2", LEAF, Role::Fabric);
    own.host_routes = Some(HostRoutes { prefixes: Vec::new(), allow_default: false });
    let router = sim.add(&[("eth1", &["192.168.11.1/24"])], own);
    let other = intent(LEAF, "10.1.0.1").peer("192.168.11.1", ROUTER, Role::Peer);
    let leaf = sim.add(&[("eth0", &["192.168.11.2/24"])], other.clone().network("192.170.20.0/24"));
    sim.run(SECOND * 20);
    let answer = |sim: &mut Sim, refuse: bool| {
        let now = sim.now;
        let engine = &mut sim.nodes[router].engine;
        let batch = engine.poll_host_routes().expect("a batch");
        let refused = batch.routes.iter().filter(|_| refuse).map(|(prefix, _)| (*prefix, "busy".to_string()));
        engine.handle(now, Event::HostAck { id: batch.id, failed: refused.collect() });
        batch.routes
    };
    assert_eq!(answer(&mut sim, false).len(), 1);
    sim.configure(leaf, other);
    sim.run(SECOND);
    let removal = answer(&mut sim, true);
    assert!(!removal[0].1);
    sim.run(SECOND * 10);
    assert_eq!(answer(&mut sim, false), removal);
}

//! Two leaves, active at once, in different autonomous systems (design.md 6.3, 6.5).

use std::net::IpAddr;

use ipnet::IpNet;
use testbed::passthrough::{HOST_ASN, ROUTER_ASN, addresses_of};
use testbed::{Daemon, Family, LabError, Layout, Passthrough, Peer, ip, traffic};

use crate::fabric::{
    flaps, healthy, kernel_route, knows, learns, net, packets_pass, peers, reaches, session, sessions_up,
};
use crate::yaml::Yaml;

struct TwoLeaves {
    net: Passthrough,
    leaves: [Peer; 2],
    host: Peer,
}

fn start(daemons: [Daemon; 2], host: Daemon) -> TwoLeaves {
    println!("lab: {} and {} as leaves, perouter, {host} as host", daemons[0], daemons[1]);
    let net = net(Layout { leaves: 2, ..Layout::default() });
    let leaf = |l: u8| {
        let mut config = net.leaf_config(l);
        config.networks.extend(Family::ALL.map(shared));
        let ns = &net.leaves[usize::from(l)];
        for f in Family::ALL {
            net.lab.loopback_address(ns, IpNet::from(shared_server(f))).unwrap();
        }
        Peer::start(&net.lab, daemons[usize::from(l)], ns, config).unwrap()
    };
    let leaves = [leaf(0), leaf(1)];
    let host = net.start_host(host).unwrap();
    TwoLeaves { net, leaves, host }
}

/// A network behind both leaves.
fn shared(family: Family) -> IpNet {
    match family {
        Family::Ipv4 => "203.0.113.0/24".parse().unwrap(),
        Family::Ipv6 => "2001:db8:113::/64".parse().unwrap(),
    }
}

fn shared_server(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => "203.0.113.1".parse().unwrap(),
        Family::Ipv6 => "2001:db8:113::1".parse().unwrap(),
    }
}

/// Case 140 (E-1), 145 (E-8).
#[test]
fn case_140_145_two_leaves_carry_one_route_together_and_never_learn_from_each_other() {
    let lab = start([Daemon::Frr, Daemon::Bird], Daemon::Bird);
    lab.net.node().write_config("openpe_lab.yaml", &Yaml::with_leaves(2, &Family::ALL).to_string()).unwrap();
    lab.net.node().start_router().unwrap();
    for peer in [&lab.leaves[0], &lab.leaves[1], &lab.host] {
        sessions_up(&lab.net.lab, peer);
    }
    for family in Family::ALL {
        one_route_with_two_members(&lab, family);
        flows_are_spread(&lab, family);
        leaves_learn_only_the_host(&lab, family);
    }
    one_leaf_stops(lab);
}

fn one_route_with_two_members(lab: &TwoLeaves, family: Family) {
    let gateways = [0, 1].map(|l| addresses_of(family, l, 0).leaf);
    let ns = &lab.net.node().router_ns;
    reaches(&lab.net.lab, ns, shared(family), Some(&gateways));
    let route = kernel_route(ns, shared(family)).unwrap().unwrap();
    assert!(route.grouped, "a next-hop group: {route:?}");
    let of_this_prefix = ip::routes(ns, family).unwrap().into_iter().filter(|r| r.prefix == shared(family)).count();
    assert_eq!(of_this_prefix, 1, "one route");
    // The host is told of the prefix once, by the router.
    let best = addresses_of(family, 0, 0);
    lab.net.lab.wait_until("the host has it once", crate::fabric::PATIENCE, || {
        let all = lab.host.routes(family)?;
        let learned: Vec<_> = all.into_iter().filter(|r| r.prefix == shared(family)).collect();
        let right = matches!(learned.as_slice(), [one] if one.next_hop == best.router);
        if right { Ok(()) } else { Err(LabError::new(format!("{learned:?}"))) }
    });
    for l in [0, 1] {
        let a = addresses_of(family, l, 0);
        learns(&lab.net.lab, &lab.host, a.leaf_network, Some((a.router, &[ROUTER_ASN, 64512 + u32::from(l)])));
    }
}

/// Two flows in five may fall on one side by chance; one in ten does not.
fn flows_are_spread(lab: &TwoLeaves, family: Family) {
    const FLOWS: usize = 400;
    let node = lab.net.node();
    reaches(&lab.net.lab, &node.ns, shared(family), Some(&[addresses_of(family, 0, 0).router]));
    let sent = || ["eth1", "eth2"].map(|nic| ip::packets_sent(&node.router_ns, nic).unwrap());
    let before = sent();
    traffic::flows(&node.ns, addresses_of(family, 0, 0).host_server, shared_server(family), FLOWS).unwrap();
    lab.net.lab.wait_until("every datagram has left over one of the NICs", crate::fabric::PATIENCE, || {
        let now = sent();
        let more = [0, 1].map(|i| now[i] - before[i]);
        if more[0] + more[1] >= FLOWS as u64 { Ok(()) } else { Err(format!("{more:?}")) }
    });
    let now = sent();
    let more = [0, 1].map(|i| now[i] - before[i]);
    assert!(more.iter().all(|m| *m >= FLOWS as u64 / 10), "{family:?}: {more:?} packets over the two NICs");
}

/// The host's routes come after the leaf's own would have: both have passed through the same router.
fn leaves_learn_only_the_host(lab: &TwoLeaves, family: Family) {
    for (l, leaf) in (0..).zip(&lab.leaves) {
        let a = addresses_of(family, l, 0);
        learns(&lab.net.lab, leaf, a.host_network, Some((a.nic.addr(), &[ROUTER_ASN, HOST_ASN])));
        let mut learned: Vec<_> = leaf.routes(family).unwrap().into_iter().map(|r| r.prefix).collect();
        // What both announce is on each leaf its own.
        learned.retain(|p| *p != a.leaf_network && *p != shared(family));
        let mut wanted = vec![a.host_network, a.host_route()];
        learned.sort();
        wanted.sort();
        assert_eq!(learned, wanted, "leaf {l} of {family:?}");
    }
}

/// E-8: its prefix disappears, the other leaf's stays; and so does what both have, over the one that is left.
fn one_leaf_stops(mut lab: TwoLeaves) {
    for family in Family::ALL {
        let [a, b] = [0, 1].map(|l| addresses_of(family, l, 0));
        lab.leaves[1].withdraw(b.leaf_network).unwrap();
        lab.leaves[1].withdraw(shared(family)).unwrap();
        learns(&lab.net.lab, &lab.host, b.leaf_network, None);
        reaches(&lab.net.lab, &lab.net.node().router_ns, shared(family), Some(&[a.leaf]));
        knows(&lab.net.lab, &lab.host, a.leaf_network);
        learns(&lab.net.lab, &lab.host, shared(family), Some((a.router, &[ROUTER_ASN, 64512])));
        packets_pass(&lab.net.lab, (&lab.net.node().ns, a.host_server), (&lab.net.leaves[0], a.leaf_server));
    }
}

/// The new leaf may try twice until it is up.
fn is_of_the_new_leaf(peer: &serde_json::Value) -> bool {
    let address = peer["address"].as_str().unwrap_or_default();
    Family::ALL.iter().any(|family| addresses_of(*family, 1, 0).leaf.to_string() == address)
}

/// Case 149 (E-12).
#[test]
fn case_149_a_second_leaf_with_its_nic_is_added_while_the_first_works_on() {
    let lab = start([Daemon::Bird, Daemon::Frr], Daemon::Bird);
    let router = lab.net.node().start_router().unwrap();
    for peer in [&lab.leaves[0], &lab.host] {
        sessions_up(&lab.net.lab, peer);
    }
    lab.net.node().write_config("openpe_lab.yaml", &Yaml::with_leaves(2, &Family::ALL).to_string()).unwrap();
    sessions_up(&lab.net.lab, &lab.leaves[1]);
    for family in Family::ALL {
        one_route_with_two_members(&lab, family);
    }
    let before: Vec<_> = peers(lab.net.node()).into_iter().filter(|peer| !is_of_the_new_leaf(peer)).collect();
    assert_eq!(before.len(), 4);
    assert!(before.iter().all(|peer| peer["flaps"] == 0), "no session that was up was reset: {before:?}");
    assert_eq!(lab.net.lab.exit_status(router), None, "the router was not restarted");
    healthy(lab.net.node());
    assert_eq!(peers(lab.net.node()).len(), 6);

    // And taken away again.
    lab.net.node().write_config("openpe_lab.yaml", &Yaml::new().to_string()).unwrap();
    for family in Family::ALL {
        let [a, b] = [0, 1].map(|l| addresses_of(family, l, 0));
        session(&lab.net.lab, &lab.leaves[1], b.nic.addr(), false);
        reaches(&lab.net.lab, &lab.net.node().router_ns, shared(family), Some(&[a.leaf]));
    }
    lab.net.lab.wait_until("eth2 is back with its addresses", crate::fabric::PATIENCE, || {
        let link = ip::link_named(&lab.net.node().ns, "eth2").map_err(|e| e.to_string())?;
        let mut wanted = Family::ALL.map(|f| addresses_of(f, 1, 0).nic).to_vec();
        wanted.sort();
        if link.up && link.addresses == wanted { Ok(()) } else { Err(format!("{link:?}")) }
    });
    assert_eq!(flaps(lab.net.node()), 0, "no other session was reset");
}

/// `multipath: {maxPaths: 1}` is one leaf at a time.
#[test]
fn with_one_path_at_most_the_other_leaf_is_in_reserve() {
    let lab = start([Daemon::Bird, Daemon::Bird], Daemon::Bird);
    let yaml = Yaml::with_leaves(2, &Family::ALL).underlay("multipath: {maxPaths: 1}");
    lab.net.node().write_config("openpe_lab.yaml", &yaml.to_string()).unwrap();
    lab.net.node().start_router().unwrap();
    for peer in [&lab.leaves[0], &lab.leaves[1], &lab.host] {
        sessions_up(&lab.net.lab, peer);
    }
    let ns = &lab.net.node().router_ns;
    for family in Family::ALL {
        let [a, b] = [0, 1].map(|l| addresses_of(family, l, 0));
        knows(&lab.net.lab, &lab.host, b.leaf_network);
        // Equal paths are settled by router id (design.md 6.13).
        reaches(&lab.net.lab, ns, shared(family), Some(&[a.leaf]));
    }
    lab.net.node().write_config("openpe_lab.yaml", &Yaml::with_leaves(2, &Family::ALL).to_string()).unwrap();
    for family in Family::ALL {
        one_route_with_two_members(&lab, family);
    }
    assert_eq!(flaps(lab.net.node()), 0, "applied live");
}

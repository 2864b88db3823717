//! Two nodes on one leaf, with the same autonomous systems on both, as every real deployment has it.

use testbed::passthrough::{HOST_ASN, LEAF_ASN, ROUTER_ASN, addresses_of};
use testbed::{Daemon, Family, Layout, Node, Passthrough, Peer};

use crate::fabric::{PATIENCE, knows, learns, net, packets_pass, sessions_up};
use crate::yaml::Yaml;

struct TwoNodes {
    net: Passthrough,
    leaf: Peer,
    hosts: [Peer; 2],
}

fn start(leaf: Daemon, host: Daemon, yaml: &Yaml) -> TwoNodes {
    println!("lab: {leaf} as leaf, two nodes with perouter and {host}");
    let net = net(Layout { nodes: 2, ..Layout::default() });
    let leaf = net.start_leaf(leaf).unwrap();
    let hosts = [0, 1].map(|n| {
        let node = &net.nodes[usize::from(n)];
        let peer = Peer::start(&net.lab, host, &node.ns, net.host_config(n)).unwrap();
        node.write_config("openpe_lab.yaml", &yaml.to_string()).unwrap();
        node.start_router().unwrap();
        peer
    });
    let lab = TwoNodes { net, leaf, hosts };
    for peer in [&lab.leaf, &lab.hosts[0], &lab.hosts[1]] {
        sessions_up(&lab.net.lab, peer);
    }
    lab
}

fn nodes_reach_each_other(leaf: Daemon, host: Daemon) {
    let lab = start(leaf, host, &Yaml::new().session("asOverride: true"));
    for family in Family::ALL {
        let [a, b] = [0, 1].map(|n| addresses_of(family, 0, n));
        // The other host's AS is replaced by ours.
        let path = [ROUTER_ASN, LEAF_ASN, ROUTER_ASN, ROUTER_ASN];
        learns(&lab.net.lab, &lab.hosts[0], b.host_network, Some((a.router, &path)));
        learns(&lab.net.lab, &lab.hosts[1], a.host_network, Some((b.router, &path)));
        // Towards the fabric nothing is replaced.
        learns(&lab.net.lab, &lab.leaf, a.host_network, Some((a.nic.addr(), &[ROUTER_ASN, HOST_ASN])));
        learns(&lab.net.lab, &lab.leaf, b.host_network, Some((b.nic.addr(), &[ROUTER_ASN, HOST_ASN])));
        let [of_a, of_b] = [0, 1].map(|n: usize| lab.net.nodes[n].ns.as_str());
        packets_pass(&lab.net.lab, (of_a, a.host_server), (of_b, b.host_server));
        // And the host's own addresses, which are announced for as long as the veth is up.
        packets_pass(&lab.net.lab, (of_a, a.host), (of_b, b.host));
    }
}

#[test]
fn with_as_override_hosts_that_share_an_as_reach_each_other_frr() {
    nodes_reach_each_other(Daemon::Frr, Daemon::Frr);
}

#[test]
fn with_as_override_hosts_that_share_an_as_reach_each_other_bird() {
    nodes_reach_each_other(Daemon::Bird, Daemon::Bird);
}

/// Both routers have the other's routes (the leaf's path holds our own AS, which is tolerated), the host drops them
/// because its own AS is in the path, and the views say so.
#[test]
fn without_as_override_the_router_says_why_the_host_has_no_route_to_the_other_host() {
    let lab = start(Daemon::Frr, Daemon::Bird, &Yaml::new());
    let node = lab.net.node();
    for family in Family::ALL {
        let [a, b] = [0, 1].map(|n| addresses_of(family, 0, n));
        knows(&lab.net.lab, &lab.hosts[0], a.leaf_network);
        let path = format!("{LEAF_ASN} {ROUTER_ASN} {HOST_ASN}");
        says(node, &["routes", &b.host_network.to_string()], &[&path]);
        // What the host is sent, and why it will not take it.
        let host = a.host.to_string();
        says(node, &["routes", "--advertised", &host], &[&b.host_network.to_string(), "asOverride"]);
        says(node, &["routes", "--advertised", &host, &b.host_network.to_string()], &["asOverride"]);
        says(node, &["peers", &host], &["asOverride"]);
        assert!(lab.hosts[0].routes(family).unwrap().iter().all(|r| r.prefix != b.host_network));
    }
}

#[track_caller]
fn says(node: &Node, question: &[&str], words: &[&str]) {
    node.lab.wait_until(&format!("{question:?} says {words:?}"), PATIENCE, || {
        let said = node.ask(question).map_err(|e| e.to_string())?;
        if words.iter().all(|w| said.stdout.contains(w)) { Ok(()) } else { Err(said.stdout + &said.stderr) }
    });
}

//! One of two nodes is drained: packets for what both have go through the other one, before the sessions end.
//!
//! ```text
//!   leaf --- [ router ] --- host,  which announces ANYCAST
//!        \-- [ router ] --- host1, which announces ANYCAST
//! ```

use std::net::IpAddr;

use ipnet::IpNet;
use testbed::passthrough::{Addresses, HOST_ASN, ROUTER_ASN, addresses_of};
use testbed::{Daemon, Family, Layout, Passthrough, Peer, ip, traffic};

use crate::fabric::{self, PATIENCE, flaps, healthy, learns, session, sessions_up};
use crate::harness::SOME;
use crate::table::Row;
use crate::traffic::{Loss, Stream};
use crate::yaml::Yaml;

/// Announced by both hosts, and an address in it that both have.
fn anycast(family: Family) -> (IpNet, IpAddr) {
    let (net, address) = match family {
        Family::Ipv4 => ("198.51.100.0/24", "198.51.100.1"),
        Family::Ipv6 => ("2001:db8:5110::/64", "2001:db8:5110::1"),
    };
    (net.parse().unwrap(), address.parse().unwrap())
}

/// One path at a time, and always the first node's if it is as good, so that traffic has to move; a route that is about to
/// go is the last choice (RFC 8326 section 4), which FRR knows by itself.
fn leaf(net: &Passthrough, daemon: Daemon) -> Peer {
    let mut config = net.leaf_config(0);
    if daemon == Daemon::Frr {
        let one = |family| format!(" address-family {family} unicast\n  maximum-paths 1\n exit-address-family\n");
        config.lines = format!(" bgp bestpath compare-routerid\n{}{}", one("ipv4"), one("ipv6"));
    } else {
        let honour = "import filter { if (65535, 0) ~ bgp_community then bgp_local_pref = 0; accept; };";
        config.family_lines = vec![honour.to_owned()];
    }
    Peer::start(&net.lab, daemon, net.leaf_ns(), config).unwrap()
}

#[test]
fn one_of_two_nodes_is_drained() {
    for daemon in [Daemon::Frr, Daemon::Bird] {
        let net = fabric::net(Layout { nodes: 2, ..Layout::default() });
        let leaf = leaf(&net, daemon);
        for node in &net.nodes {
            let mut config = net.host_config(node.index);
            config.networks.extend(Family::ALL.map(|family| anycast(family).0));
            for family in Family::ALL {
                net.lab.loopback_address(&node.ns, IpNet::from(anycast(family).1)).unwrap();
            }
            Peer::start(&net.lab, Daemon::Bird, &node.ns, config).unwrap();
            node.write_config("openpe_lab.yaml", &Yaml::new().to_string()).unwrap();
            node.start_router().unwrap();
        }
        sessions_up(&net.lab, &leaf);
        net.nodes.iter().for_each(healthy);
        for a in Family::ALL.map(|family| addresses_of(family, 0, 1)) {
            learns(&net.lab, &leaf, a.host_network, Some((a.nic.addr(), &[ROUTER_ASN, HOST_ASN])));
            net.lab.wait_until("the other host reaches the leaf", PATIENCE, || {
                traffic::ping(&net.nodes[1].ns, a.host_server, a.leaf_server)
            });
        }
        best_through(&net, &leaf, 0);

        let traffic = Traffic::start(&net);
        traffic.goes_through(0);
        // Ends with the sessions; the wait is the time that the fabric has.
        let said = net.node().ask(&["drain", "--wait", "5s", "--message", "new kernel"]).unwrap();
        assert!(said.ok(), "{}{}", said.stdout, said.stderr);
        for family in Family::ALL {
            session(&net.lab, &leaf, addresses_of(family, 0, 0).nic.addr(), false);
        }
        traffic.goes_through(1);
        traffic.nothing_lost(
            daemon,
            "`perouter drain` of one of two nodes",
            "moved to the other node before the sessions ended",
        );

        let traffic = Traffic::start(&net);
        traffic.goes_through(1);
        let said = net.node().ask(&["drain", "--undo"]).unwrap();
        assert!(said.ok(), "{}{}", said.stdout, said.stderr);
        sessions_up(&net.lab, &leaf);
        healthy(net.node());
        best_through(&net, &leaf, 0);
        traffic.goes_through(0);
        assert_eq!(flaps(&net.nodes[1]), 0, "the other node has no part in it");
        traffic.nothing_lost(daemon, "`perouter drain --undo`", "moved back");
    }
}

/// Waits until the leaf's best path to what both have is that of this node.
#[track_caller]
fn best_through(net: &Passthrough, leaf: &Peer, node: u8) {
    for family in Family::ALL {
        let path = [ROUTER_ASN, HOST_ASN];
        learns(&net.lab, leaf, anycast(family).0, Some((addresses_of(family, 0, node).nic.addr(), &path)));
    }
}

/// From the leaf to what both hosts have, and from the second host to the leaf.
struct Traffic<'a> {
    net: &'a Passthrough,
    to_host: Vec<Stream>,
    to_fabric: Vec<Stream>,
}

impl<'a> Traffic<'a> {
    fn start(net: &'a Passthrough) -> Self {
        let hosts: Vec<&str> = net.nodes.iter().map(|node| node.ns.as_str()).collect();
        let plans = Family::ALL.map(|family| addresses_of(family, 0, 1));
        let down = |a: &Addresses| Stream::start((net.leaf_ns(), a.leaf_server), &hosts, anycast(a.family).1);
        let up = |a: &Addresses| Stream::start((hosts[1], a.host_server), &[net.leaf_ns()], a.leaf_server);
        let traffic =
            Self { net, to_host: plans.iter().map(down).collect(), to_fabric: plans.iter().map(up).collect() };
        traffic.passes(SOME);
        traffic
    }

    #[track_caller]
    fn passes(&self, packets: u64) {
        let all = || self.to_host.iter().chain(&self.to_fabric).map(Stream::arrived);
        let wanted: Vec<u64> = all().map(|arrived| arrived + packets).collect();
        self.net.lab.wait_until("packets arrive", PATIENCE, || {
            if all().zip(&wanted).all(|(now, wanted)| now >= *wanted) { Ok(()) } else { Err(format!("{wanted:?}")) }
        });
    }

    /// Waits until one node alone has the packets to the hosts.
    #[track_caller]
    fn goes_through(&self, node: usize) {
        let sent = || [0, 1].map(|n| ip::packets_sent(&self.net.nodes[n].router_ns, "pt-ns").unwrap());
        self.net.lab.wait_until(&format!("node {node} has the traffic"), PATIENCE, || {
            let before = sent();
            self.passes(SOME);
            let now = sent();
            let grown = [0, 1].map(|n| now[n] - before[n]);
            // One packet of each family at a time, and hardly any of others.
            if grown[node] >= 2 * SOME && grown[1 - node] < SOME { Ok(()) } else { Err(format!("{grown:?}")) }
        });
    }

    #[track_caller]
    fn nothing_lost(self, daemon: Daemon, event: &str, held: &str) {
        let worst = |streams: Vec<Stream>| streams.into_iter().map(Stream::finish).reduce(Loss::worse).unwrap();
        let (to_host, to_fabric) = (worst(self.to_host), worst(self.to_fabric));
        let peers = format!("{daemon} / {0} + {0}", Daemon::Bird);
        Row { event: event.to_owned(), peers, to_host, to_fabric, held: format!("0 lost; {held}") }.report();
        assert_eq!((to_host.lost, to_fabric.lost), (0, 0), "{daemon}: {to_host:?} {to_fabric:?}");
    }
}

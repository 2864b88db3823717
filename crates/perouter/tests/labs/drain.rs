//! Draining one of two nodes: the fabric moves the traffic first, and the sessions end afterwards.

use std::net::IpAddr;

use ipnet::IpNet;
use rustix::process::Signal;
use testbed::passthrough::addresses_of;
use testbed::{Daemon, Family, Layout, Passthrough, Peer, ip, traffic};

use crate::fabric::{PATIENCE, healthy, kernel_route, net, session, sessions_up, status_says};
use crate::yaml::Yaml;

/// Announced by the hosts of both nodes.
fn shared(family: Family) -> IpNet {
    match family {
        Family::Ipv4 => "198.51.100.0/24".parse().unwrap(),
        Family::Ipv6 => "2001:db8:5110::/48".parse().unwrap(),
    }
}

/// An address in it that both hosts have.
fn server(family: Family) -> IpAddr {
    shared(family).hosts().next().unwrap()
}

struct Drained {
    net: Passthrough,
    leaves: [Peer; 2],
}

/// A BIRD that does what FRR does by itself (RFC 8326 section 4).
const HONOUR: &str = "import filter { if (65535, 0) ~ bgp_community then bgp_local_pref = 0; accept; };";

impl Drained {
    fn new() -> Self {
        println!("lab: FRR and BIRD as leaves of two nodes, whose hosts announce the same networks");
        let net = net(Layout { leaves: 2, nodes: 2, ..Layout::default() });
        let leaves = [(0, Daemon::Frr), (1, Daemon::Bird)].map(|(leaf, daemon)| {
            let mut config = net.leaf_config(leaf);
            match daemon {
                // Else the older of two paths stays best.
                Daemon::Frr => config.lines = " bgp bestpath compare-routerid\n".to_owned(),
                Daemon::Bird | Daemon::Gobgp | Daemon::Perouter => config.family_lines = vec![HONOUR.to_owned()],
            }
            Peer::start(&net.lab, daemon, &net.leaves[usize::from(leaf)], config).unwrap()
        });
        for node in &net.nodes {
            let mut config = net.host_config(node.index);
            config.networks.extend(Family::ALL.map(shared));
            for family in Family::ALL {
                net.lab.loopback_address(&node.ns, IpNet::from(server(family))).unwrap();
            }
            Peer::start(&net.lab, Daemon::Bird, &node.ns, config).unwrap();
            node.write_config("openpe_lab.yaml", &Yaml::with_leaves(2, &Family::ALL).to_string()).unwrap();
            node.start_router().unwrap();
        }
        let drained = Self { net, leaves };
        drained.leaves.iter().for_each(|leaf| sessions_up(&drained.net.lab, leaf));
        drained.net.nodes.iter().for_each(healthy);
        drained
    }

    /// Whether the first node is the best way to what both have, at both leaves; it is the second one if not, also in the
    /// kernel, which may use both before.
    #[track_caller]
    fn used(&self, wanted: bool) {
        for (leaf, (peer, ns)) in (0..).zip(self.leaves.iter().zip(&self.net.leaves)) {
            for family in Family::ALL {
                let [first, second] = [0, 1].map(|node| addresses_of(family, leaf, node).nic.addr());
                let best = if wanted { first } else { second };
                self.net.lab.wait_until(&format!("leaf {leaf} goes through {best}"), PATIENCE, || {
                    let routes = peer.routes(family).map_err(|error| error.to_string())?;
                    let found = routes.iter().find(|route| route.prefix == shared(family)).map(|route| route.next_hop);
                    let gateways = kernel_route(ns, shared(family))?.map(|route| route.gateways).unwrap_or_default();
                    // FRR gives the kernel link-local next hops in IPv6.
                    let alone = gateways == [second] || (family == Family::Ipv6 && gateways.len() == 1);
                    let done = found == Some(best) && (wanted || alone);
                    if done { Ok(()) } else { Err(format!("{found:?}, kernel {gateways:?}")) }
                });
            }
        }
    }

    /// Whether the first node's sessions with both leaves are up.
    #[track_caller]
    fn sessions(&self, up: bool) {
        for (leaf, peer) in (0..).zip(&self.leaves) {
            for family in Family::ALL {
                session(&self.net.lab, peer, addresses_of(family, leaf, 0).nic.addr(), up);
            }
        }
    }

    /// What both have answers both leaves.
    #[track_caller]
    fn answers(&self) {
        for (leaf, ns) in (0..).zip(&self.net.leaves) {
            for family in Family::ALL {
                let from = addresses_of(family, leaf, 0).leaf_server;
                self.net.lab.wait_until("the server answers", PATIENCE, || traffic::ping(ns, from, server(family)));
            }
        }
    }
}

#[test]
fn traffic_moves_before_the_sessions_end_and_everything_comes_back() {
    let lab = Drained::new();
    let node = lab.net.node();
    lab.used(true);
    lab.answers();

    // Whoever ordered it goes away: the daemon does not mind.
    let state = node.state_dir();
    let args = ["--state-dir", state.to_str().unwrap(), "drain", "--wait", "1h", "--message", "new kernel"];
    let log = node.lab.dir().join("drain.log");
    let command = node.lab.spawn(&node.ns, node.lab.perouter(), &args, &log).unwrap();
    lab.used(false);
    node.lab.wait_until("it says what it does", PATIENCE, || {
        let said = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
        let wanted = "peers are asked to move their traffic; sessions end in 3600 s";
        if said.contains(wanted) { Ok(()) } else { Err(said) }
    });
    node.lab.end(command, Signal::TERM, PATIENCE).unwrap();
    lab.sessions(true);
    assert_eq!(crate::fabric::flaps(node), 0, "traffic has moved, and no session has ended");
    status_says(node, &["NOT HEALTHY", "draining: peers are asked to move their traffic"]);
    lab.answers();

    // Sessions end, and the kernel forwards what still comes.
    let said = node.ask(&["drain", "--wait", "0", "--message", "new kernel"]).unwrap();
    assert!(
        said.ok() && said.stdout.starts_with("drained: every session was ended with the message: new kernel"),
        "{}",
        said.stdout
    );
    lab.sessions(false);
    lab.answers();
    let status = node.ask(&["status"]).unwrap();
    assert_eq!(status.code, Some(1), "{}", status.stdout);
    let sentence = "drained: every session was ended on purpose; `perouter drain --undo` brings them back";
    assert!(status.stdout.contains(sentence), "{}", status.stdout);
    let told = lab.leaves[0].ask(&["show bgp neighbors json"]).unwrap();
    assert!(told.contains("\"lastShutdownDescription\":\"new kernel\""), "{told}");
    for family in Family::ALL {
        let a = addresses_of(family, 0, 0);
        let routes = ip::routes(&node.router_ns, family).unwrap();
        let kept = |prefix: IpNet| routes.iter().any(|route| route.prefix == prefix);
        assert!(kept(a.leaf_network) && kept(a.host_network) && kept(shared(family)), "{routes:?}");
    }

    let said = node.ask(&["drain", "--undo"]).unwrap();
    assert!(said.ok(), "{}{}", said.stdout, said.stderr);
    lab.sessions(true);
    healthy(node);
    lab.used(true);
    lab.answers();
}

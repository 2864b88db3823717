//! The life of one node: started, withdrawn from, restarted, torn down; and the demonstration itself.

use testbed::passthrough::{LEAF_ASN, ROUTER_ASN};
use testbed::{Daemon, Family, Lab, ip, run};

use crate::fabric::{Fabric, PATIENCE, kernel_route};

/// Everything that the mission promises of one node, with these two daemons around it.
fn passthrough_works(leaf: Daemon, host: Daemon) {
    let mut fabric = Fabric::new(leaf, host);
    let nic_before = ip::link_named(&fabric.node().ns, "eth1").unwrap();
    let router = fabric.node().start_router().unwrap();

    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
    }
    routes_point_at_next_hop_groups(&fabric);
    fabric.help_the_kernels();
    for a in fabric.plans() {
        fabric.packets_pass(&a);
    }
    withdrawn_routes_vanish_everywhere(&mut fabric);

    let router = restart_adopts_what_is_there(&fabric, router);
    for a in fabric.plans() {
        fabric.packets_pass(&a);
    }

    fabric.node().stop_router(router).unwrap();
    let said = fabric.node().teardown().unwrap();
    assert!(said.ok(), "{said:?}");
    let nic_after = ip::link_named(&fabric.node().ns, "eth1").unwrap();
    assert_eq!((nic_after.up, nic_after.mtu, &nic_after.addresses), (true, nic_before.mtu, &nic_before.addresses));
    assert!(!ip::has_namespace(&fabric.node().router_ns));
    let links = ip::links(&fabric.node().ns).unwrap();
    let names: Vec<_> = links.iter().map(|l| l.name.as_str()).filter(|n| !is_kernels_own(n)).collect();
    assert_eq!(names, ["lo", "eth1"], "nothing else is left");
}

/// Some kernels put devices of their own into each new namespace.
fn is_kernels_own(link: &str) -> bool {
    ["sit0", "tunl0", "gre0", "gretap0", "erspan0", "ip6tnl0", "ip6gre0", "ip_vti0", "ip6_vti0", "ifb0", "ifb1"]
        .contains(&link)
}

fn routes_point_at_next_hop_groups(fabric: &Fabric) {
    for a in fabric.plans() {
        for prefix in [a.leaf_network, a.host_network] {
            let route = kernel_route(&fabric.node().router_ns, prefix).unwrap().unwrap();
            assert!(route.nexthop_id.is_some() && route.grouped, "{route:?}");
        }
    }
}

fn withdrawn_routes_vanish_everywhere(fabric: &mut Fabric) {
    for a in fabric.plans() {
        fabric.leaf.withdraw(a.leaf_network).unwrap();
        fabric.learns(&fabric.host, a.leaf_network, None);
        fabric.kernel_route(&fabric.node().router_ns, a.leaf_network, None);

        fabric.host.withdraw(a.host_network).unwrap();
        fabric.learns(&fabric.leaf, a.host_network, None);
        fabric.kernel_route(&fabric.node().router_ns, a.host_network, None);
        if fabric.leaf.daemon().installs_routes() {
            fabric.kernel_route(fabric.net.leaf_ns(), a.host_network, None);
        }
    }
    for a in fabric.plans() {
        fabric.leaf.announce(a.leaf_network).unwrap();
        fabric.host.announce(a.host_network).unwrap();
        fabric.routes_pass(&a);
    }
}

/// SIGTERM leaves links and routes; the next process takes them over without touching them.
fn restart_adopts_what_is_there(fabric: &Fabric, router: u32) -> u32 {
    let ns = &fabric.node().router_ns;
    let state = || {
        let link = ip::link_named(ns, "pt-ns").unwrap();
        let routes = fabric.plans().into_iter().map(|a| {
            [a.leaf_network, a.host_network].map(|prefix| kernel_route(ns, prefix).unwrap().map(|r| r.gateways))
        });
        let routes: Vec<_> = routes.collect();
        (link, routes)
    };
    let before = state();
    // A witness: the kernel's own word on every route that is removed in between.
    let log = fabric.net.lab.dir().join("monitor.log");
    let args = ["-n", ns.as_str(), "monitor", "route", "link"];
    let ip_program = testbed::find_program("ip").unwrap();
    let witness = fabric.net.lab.spawn(&fabric.node().ns, &ip_program, &args, &log).unwrap();
    witness_is_listening(&fabric.net.lab, witness);

    fabric.node().stop_router(router).unwrap();
    assert_eq!(state(), before, "SIGTERM leaves the data plane");
    let router = fabric.node().start_router().unwrap();
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
    }
    assert_eq!(state(), before, "the restart adopts it");

    let seen = std::fs::read_to_string(&log).unwrap();
    let networks: Vec<_> =
        fabric.plans().iter().flat_map(|a| [a.leaf_network.to_string(), a.host_network.to_string()]).collect();
    let removed: Vec<_> =
        seen.lines().filter(|l| l.starts_with("Deleted") && networks.iter().any(|n| l.contains(n.as_str()))).collect();
    assert!(removed.is_empty(), "no route was removed in between, but: {removed:?}");
    fabric.net.lab.end(witness, rustix::process::Signal::TERM, PATIENCE).unwrap();
    router
}

/// `ip monitor` says nothing when it is ready; its netlink socket with groups shows that it is.
fn witness_is_listening(lab: &Lab, pid: u32) {
    lab.wait_until("ip monitor listens", PATIENCE, || {
        let sockets = std::fs::read_to_string(format!("/proc/{pid}/net/netlink")).map_err(|e| e.to_string())?;
        let mine = sockets.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()).any(|f| {
            f.get(2) == Some(&pid.to_string().as_str()) && f.get(3).is_some_and(|groups| *groups != "00000000")
        });
        if mine { Ok(()) } else { Err("not yet".to_owned()) }
    });
}

#[test]
fn frr_as_leaf_and_bird_as_host() {
    passthrough_works(Daemon::Frr, Daemon::Bird);
}

#[test]
fn frr_as_leaf_and_gobgp_as_host() {
    passthrough_works(Daemon::Frr, Daemon::Gobgp);
}

#[test]
fn bird_as_leaf_and_frr_as_host() {
    passthrough_works(Daemon::Bird, Daemon::Frr);
}

#[test]
fn perouter_as_leaf_and_as_host() {
    passthrough_works(Daemon::Perouter, Daemon::Perouter);
}

/// Case 93, 94 read as behaviour: what upstream's golden configuration sets up, seen from outside.
#[test]
fn case_93_dual_stack_host_sessions_carry_one_family_each_and_the_host_routes_reach_the_fabric() {
    let fabric = Fabric::new(Daemon::Frr, Daemon::Bird);
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
        // The local CIDR itself is nobody's business but the node's.
        let cidr: ipnet::IpNet = match a.family {
            Family::Ipv4 => "192.169.10.0/24".parse().unwrap(),
            Family::Ipv6 => "2001:db8:10::/64".parse().unwrap(),
        };
        assert!(fabric.leaf.routes(a.family).unwrap().iter().all(|r| r.prefix != cidr));
        // Nothing of the leaf's comes back to the leaf.
        assert!(fabric.leaf.routes(a.family).unwrap().iter().all(|r| !r.as_path.contains(&LEAF_ASN)));
        assert!(fabric.host.routes(a.family).unwrap().iter().all(|r| r.as_path.first() == Some(&ROUTER_ASN)));
    }
    let peers = fabric.node().ask(&["-o", "json", "peers"]).unwrap();
    assert!(peers.ok(), "all sessions are up, so `peers` says so: {peers:?}");
    let peers: serde_json::Value = serde_json::from_str(&peers.stdout).unwrap();
    for a in fabric.plans() {
        let wanted = match a.family {
            Family::Ipv4 => "ipv4unicast",
            Family::Ipv6 => "ipv6unicast",
        };
        let address = a.host.to_string();
        let peer = peers.as_array().unwrap().iter().find(|p| p["address"] == address.as_str()).unwrap();
        let families: Vec<_> = peer["families"].as_array().unwrap().iter().map(|f| &f["family"]).collect();
        assert_eq!(families, [wanted]);
    }
}

/// The command that the README shows, with nothing but this binary on both sides.
#[test]
fn the_demonstration_works_and_leaves_nothing_behind() {
    let before = namespaces();
    let said = run(None, env!("CARGO_BIN_EXE_perouter"), &["lab", "--leaf", "perouter", "--host", "perouter"]).unwrap();
    let last = said.stdout.lines().last().unwrap_or_default();
    assert!(said.ok() && last.starts_with("passthrough works:"), "{}{}", said.stdout, said.stderr);
    let name = said.stdout.split_whitespace().find_map(|w| w.strip_suffix("-leaf")).unwrap().to_owned();
    let left: Vec<_> = namespaces().into_iter().filter(|n| !before.contains(n) && n.starts_with(&name)).collect();
    assert_eq!(left, Vec::<String>::new());
}

fn namespaces() -> Vec<String> {
    let entries = std::fs::read_dir("/var/run/netns").into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

//! What strangers do to the router's routes in the kernel, and the namespace that is lost altogether.

use std::fs;
use std::net::IpAddr;

use ipnet::IpNet;
use rustix::process::Signal;
use testbed::{Daemon, End, Family, PeerConfig, ip, run};

use crate::fabric::{PATIENCE, healthy, kernel_route, reaches, status_says};
use crate::harness::{Plan, SOME, Site};
use crate::journal::Since;

/// What `ip` calls our protocol number.
const OURS: &str = "168";

fn inside(site: &Site, args: &str) {
    ip::change(&site.node().router_ns, &args.split(' ').collect::<Vec<_>>()).unwrap();
}

/// Waits until the kernel has our own route to this prefix.
#[track_caller]
fn ours_is_back(site: &Site, prefix: IpNet) {
    let ns = &site.node().router_ns;
    site.net.lab.wait_until(&format!("our route to {prefix} is back"), PATIENCE, || {
        let routes = ip::routes(ns, Family::of(prefix)).map_err(|error| error.to_string())?;
        let found = routes.iter().any(|route| route.prefix == prefix && route.protocol == OURS && route.grouped);
        if found { Ok(()) } else { Err(format!("{routes:?}")) }
    });
}

#[test]
fn routes_are_changed_by_hand() {
    let site = Plan::new(&[Daemon::Frr], Daemon::Bird).start();
    let [v4, v6] = Site::addresses(0);
    inside(&site, "route add 198.18.0.0/24 via 192.168.11.2");
    inside(&site, "route add 203.0.113.0/24 via 192.168.11.2 metric 500");
    for (event, change) in [
        ("a route of ours deleted", "route delete 192.170.20.0/24 metric 20"),
        ("all next hops of ours deleted", "nexthop flush proto 168"),
        ("another route in place of ours", "route replace 192.170.20.0/24 via 192.168.11.9 metric 20"),
    ] {
        let watch = site.watch();
        inside(&site, change);
        ours_is_back(&site, v4.leaf_network);
        ours_is_back(&site, v6.leaf_network);
        watch.passes(SOME);
        watch.row(event, "ours back").report();
    }

    let watch = site.watch();
    inside(&site, "route add 198.18.1.0/24 via 192.168.11.2 metric 20 proto 168");
    let ns = &site.node().router_ns;
    site.net.lab.wait_until("what only looks like ours is removed", PATIENCE, || {
        match kernel_route(ns, "198.18.1.0/24".parse().unwrap())? {
            None => Ok(()),
            Some(route) => Err(format!("{route:?}")),
        }
    });
    watch.passes(SOME);
    watch.nothing_lost("a route with our protocol number added", "removed");

    // More notifications than the router's socket holds while it does not read them, and one that matters among them.
    let mut script = "route delete 192.170.20.0/24 metric 20\n".to_owned();
    script.extend((0..60_000u32).map(|n| format!("route add 10.{}.{}.0/24 dev eth1 table 77\n", n >> 8, n & 255)));
    let file = site.net.lab.dir().join("routes.batch");
    fs::write(&file, script).unwrap();
    let watch = site.watch();
    site.net.lab.signal(site.router, Signal::STOP).unwrap();
    let batch = run(None, "ip", &["-n", ns, "-batch", &file.to_string_lossy()]);
    site.net.lab.signal(site.router, Signal::CONT).unwrap();
    assert!(batch.unwrap().ok());
    assert!(notifications_lost(&site) > 0, "the kernel had more to say than the router's socket holds");
    ours_is_back(&site, v4.leaf_network);
    watch.passes(SOME);
    let event = "a route deleted among 60,000 notifications while the router is stopped (ENOBUFS)";
    watch.row(event, "ours back as soon as it runs; strangers' routes untouched").report();

    let others = ip::routes(ns, Family::Ipv4).unwrap();
    for (prefix, metric) in [("198.18.0.0/24", 0), ("203.0.113.0/24", 500)] {
        let prefix: IpNet = prefix.parse().unwrap();
        assert!(others.iter().any(|route| route.prefix == prefix && route.metric == metric), "{prefix}: {others:?}");
    }
}

/// What the kernel could not tell the router's sockets in its namespace.
fn notifications_lost(site: &Site) -> u64 {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", site.router)).unwrap();
    let targets = descriptors.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    let sockets: Vec<_> = targets.map(|target| target.to_string_lossy().into_owned()).collect();
    let table = run(Some(&site.node().router_ns), "cat", &["/proc/net/netlink"]).unwrap().stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let [drops, inode] = ["Drops", "Inode"].map(|name| rows[0].iter().position(|column| *column == name).unwrap());
    let ours = rows[1..].iter().filter(|row| sockets.contains(&format!("socket:[{}]", row[inode])));
    ours.map(|row| row[drops].parse::<u64>().unwrap()).sum()
}

/// The kernel takes a gateway for a broadcast address. The route that needs it waits, and no other: one that comes with it goes in.
#[test]
fn the_kernel_refuses_a_next_hop() {
    let mut site = Plan::new(&[Daemon::Bird], Daemon::Frr).start();
    let refused: IpAddr = "192.168.11.77".parse().unwrap();
    let [waiting, other]: [IpNet; 2] = ["10.77.0.0/24".parse().unwrap(), "10.78.0.0/24".parse().unwrap()];
    let broadcast = format!("broadcast {refused} dev eth1 table local");
    inside(&site, &format!("route add {broadcast}"));
    let since = Since::now(site.net.node());
    let watch = site.watch();
    let change = |config: &mut PeerConfig| {
        config.export = format!("if net = {waiting} then bgp_next_hop = {refused};");
        config.networks.extend([waiting, other]);
    };
    site.leaves[0].reconfigure(change).unwrap();
    let (lab, ns) = (&site.net.lab, &site.node().router_ns);
    let words = format!("cannot use next hop {refused}");
    since.says(&words);
    reaches(lab, ns, other, Some(&[Site::addresses(0)[0].leaf]));
    status_says(site.node(), &["the kernel refused 1 route"]);
    reaches(lab, ns, waiting, None);
    watch.passes(SOME);
    inside(&site, &format!("route delete {broadcast}"));
    reaches(lab, ns, waiting, Some(&[refused]));
    healthy(site.node());
    since.said_once(&words);
    watch.nothing_lost("the kernel refuses a next hop", "told once, tried again; the other routes go in");
}

/// A veth that stands in for the NIC goes with the namespace; a real NIC comes back to the node by itself.
#[test]
fn the_namespace_is_lost_with_the_router() {
    let mut site = Plan::new(&[Daemon::Frr], Daemon::Bird).start();
    let lab = site.net.lab.clone();
    // Without traffic: what records the kernel's state meanwhile would keep the namespace.
    lab.end(site.router, Signal::KILL, PATIENCE).unwrap();
    let name = site.node().router_ns.clone();
    assert!(run(None, "ip", &["netns", "delete", &name]).unwrap().ok());
    lab.wait_until("the NIC is lost with it", PATIENCE, || {
        if ip::link_named(site.net.leaf_ns(), "tonode").is_err() { Ok(()) } else { Err("it is there") }
    });
    let addresses = Site::addresses(0).map(|a| IpNet::new(a.leaf, a.nic.prefix_len()).unwrap()).to_vec();
    let leaf = End { ns: site.net.leaf_ns(), name: "tonode", addresses };
    // As new: what its addresses were only the state directory knows.
    lab.link(&leaf, &End { ns: &site.node().ns, name: "eth1", addresses: Vec::new() }, 1500).unwrap();
    site.router = site.node().start_router().unwrap();
    site.works();
}

//! Another plan of addresses, and another index of the node: old addresses go, and what does not hang on them goes on.

use std::net::IpAddr;

use testbed::passthrough::addresses_of;
use testbed::{Daemon, Family, ip};

use crate::fabric::{PATIENCE, peers, session};
use crate::harness::{Plan, SOME, Site};

/// What a session of the router's keeps as long as it goes on.
fn goes_on(site: &Site, address: IpAddr) -> (u64, u64) {
    let peers = peers(site.node());
    let peer = peers.iter().find(|peer| peer["address"] == address.to_string().as_str());
    let peer = peer.unwrap_or_else(|| panic!("{address}: {peers:#?}"));
    (peer["flaps"].as_u64().unwrap(), peer["messages_received"]["open"].as_u64().unwrap())
}

/// Waits until both ends of the veth pair have these addresses of a family and no others.
#[track_caller]
fn veth_has(site: &Site, family: Family, router: &str, host: &str) {
    for (ns, link, wanted) in [(&site.node().router_ns, "pt-ns", router), (&site.node().ns, "pt-host", host)] {
        site.net.lab.wait_until(&format!("{link} has {wanted} alone"), PATIENCE, || {
            let link = ip::link_named(ns, link).map_err(|e| e.to_string())?;
            let has: Vec<_> = link.addresses.iter().filter(|net| Family::of(**net) == family).collect();
            if matches!(has[..], [one] if one.to_string() == wanted) { Ok(()) } else { Err(format!("{has:?}")) }
        });
    }
}

/// The passthrough's network of one family becomes another one: neither the fabric nor the other family hears of it.
#[test]
fn another_plan_for_one_family_leaves_the_other_alone() {
    for (changed, other) in [(Family::Ipv4, Family::Ipv6), (Family::Ipv6, Family::Ipv4)] {
        let mut site = Plan::new(&[Daemon::Frr], Daemon::Bird).start();
        let (before, after, router, host) = match changed {
            Family::Ipv4 => ("192.169.10.0/24", "192.169.20.0/24", "192.169.20.1/24", "192.169.20.2/24"),
            Family::Ipv6 => ("2001:db8:10::/64", "2001:db8:20::/64", "2001:db8:20::1/64", "2001:db8:20::2/64"),
        };
        let [a, b] = [changed, other].map(|family| addresses_of(family, 0, 0));
        let same = || [a.leaf, b.leaf, b.host].map(|address| goes_on(&site, address));
        let sessions = same();
        let (touched, untouched) = (site.watch_family(changed), site.watch_family(other));
        let yaml = site.yaml.to_string().replace(before, after);
        site.node().write_config("openpe_lab.yaml", &yaml).unwrap();
        veth_has(&site, changed, router, host);
        assert_eq!(same(), sessions, "the fabric's sessions and the host's other one go on");
        // The host's speaker is told by whoever tells the router.
        let address: IpAddr = router.split('/').next().unwrap().parse().unwrap();
        site.host
            .reconfigure(|config| {
                config.neighbors.iter_mut().filter(|n| n.address == a.router).for_each(|n| n.address = address)
            })
            .unwrap();
        session(&site.net.lab, &site.host, address, true);
        untouched.passes(SOME);
        touched.passes(SOME);
        site.works();
        assert_eq!([a.leaf, b.leaf, b.host].map(|address| goes_on(&site, address)), sessions);
        let left = peers(site.node()).iter().filter(|peer| peer["address"] == a.host.to_string().as_str()).count();
        assert_eq!(left, 0, "nothing is left of the old session");
        let event = format!("another address plan for {changed:?}");
        touched.row(&format!("{event}: {changed:?}"), "old addresses gone, the host's session made anew").report();
        untouched.nothing_lost(&format!("{event}: {other:?}"), "the fabric's sessions and the host's other one go on");
    }
}

/// The host's address and the router id follow the index; external peers hear the latter with their next session.
#[test]
fn another_node_index() {
    let site = Plan::new(&[Daemon::Frr], Daemon::Bird).start();
    let nic = |site: &Site| ip::link_named(&site.node().router_ns, "eth1").unwrap();
    let before = nic(&site);
    let leaf = [Family::Ipv4, Family::Ipv6].map(|family| addresses_of(family, 0, 0).leaf);
    let sessions = leaf.map(|address| goes_on(&site, address));
    let watch = site.watch();
    site.node().write_index(1).unwrap();
    veth_has(&site, Family::Ipv4, "192.169.10.1/24", "192.169.10.3/24");
    veth_has(&site, Family::Ipv6, "2001:db8:10::1/64", "2001:db8:10::3/64");
    site.net.lab.wait_until("the router has the other identifier", PATIENCE, || {
        let status = site.node().ask_json(&["status"]).map_err(|e| e.to_string())?;
        if status["router"]["router_id"] == "10.0.0.2" { Ok(()) } else { Err(status.to_string()) }
    });
    site.works();
    watch.passes(SOME);
    assert_eq!(nic(&site), before, "the NIC is as it was");
    assert_eq!(leaf.map(|address| goes_on(&site, address)), sessions, "the fabric's sessions go on");
    let held = "old addresses gone, the host's sessions made anew; the NIC and the fabric's sessions untouched";
    watch.row("another node index", held).report();
}

//! A fabric neighbour that is known by its link alone, against FRR's `neighbor IF interface`.

use std::net::IpAddr;
use std::time::Instant;

use serde_json::Value;
use testbed::passthrough::{HOST_ASN, LEAF_ASN, ROUTER_ASN, addresses};
use testbed::{Daemon, Family, Layout, Passthrough, Peer, PeerConfig, ip};

use crate::fabric::{PATIENCE, flaps, healthy, kernel_route, learns, net, packets_pass, peers, sessions_up};
use crate::yaml::Yaml;

/// FRR as a leaf that has nothing but the link `tonode`.
fn leaf(net: &Passthrough, asn: u32, remote: &str) -> Peer {
    let family = |f: &str| format!(" address-family {f} unicast\n  neighbor tonode activate\n exit-address-family\n");
    let config = PeerConfig {
        asn,
        neighbors: Vec::new(),
        lines: format!(
            " neighbor tonode interface remote-as {remote}\n neighbor tonode timers 3 9\n \
             neighbor tonode timers connect 1\n{}{}",
            family("ipv4"),
            family("ipv6")
        ),
        ..net.leaf_config(0)
    };
    Peer::start(&net.lab, Daemon::Frr, net.leaf_ns(), config).unwrap()
}

fn established(leaf: &Peer) -> Result<(), String> {
    let answer = leaf.ask(&["show bgp neighbors tonode json"]).map_err(|e| e.to_string())?;
    let answer: Value = serde_json::from_str(&answer).map_err(|e| e.to_string())?;
    if answer["tonode"]["bgpState"] == "Established" { Ok(()) } else { Err(answer["tonode"]["bgpState"].to_string()) }
}

/// Case 147 (E-10): IPv4 and IPv6 over one session between link-local addresses.
fn works(leaf_asn: u32, router_asn: u32, neighbor: &str) {
    println!("lab: FRR AS {leaf_asn} without addresses as leaf, perouter AS {router_asn}, BIRD as host");
    let net = net(Layout { numbered: false, ..Layout::default() });
    let remote = if leaf_asn == router_asn { "internal" } else { "external" };
    let leaf = leaf(&net, leaf_asn, remote);
    let mut host = net.host_config(0);
    host.neighbors.iter_mut().for_each(|n| n.asn = router_asn);
    let host = Peer::start(&net.lab, Daemon::Bird, &net.node().ns, host).unwrap();
    let yaml = Yaml { asn: router_asn, ..Yaml::new() }.neighbors([format!("{neighbor}, interface: eth1")]);
    net.node().write_config("openpe_lab.yaml", &yaml.to_string()).unwrap();
    let started = Instant::now();
    net.node().start_router().unwrap();
    net.lab.wait_until("FRR has its unnumbered session", PATIENCE, || established(&leaf));
    println!("session after {:?}", started.elapsed());
    sessions_up(&net.lab, &host);
    let external = leaf_asn != router_asn;
    let to_host: Vec<u32> = if external { vec![router_asn, leaf_asn] } else { vec![router_asn] };
    for a in Family::ALL.map(addresses) {
        learns(&net.lab, &host, a.leaf_network, Some((a.router, &to_host)));
        over_link_local(&net, &net.node().router_ns, a.leaf_network);
        over_link_local(&net, net.leaf_ns(), a.host_network);
        packets_pass(&net.lab, (&net.node().ns, a.host_server), (net.leaf_ns(), a.leaf_server));
    }
    let shown = peers(net.node());
    let fabric = shown.iter().find(|p| p["role"] == "fabric").unwrap();
    assert!(fabric["name"].as_str().unwrap().contains("eth1"), "known by its link: {fabric}");
    assert_eq!(fabric["asn"], leaf_asn);
    healthy(net.node());
    assert_eq!(flaps(net.node()), 0);
}

/// IPv4 and IPv6 alike go to a link-local address of IPv6 (RFC 8950).
#[track_caller]
fn over_link_local(net: &Passthrough, ns: &str, prefix: ipnet::IpNet) {
    net.lab.wait_until(&format!("{ns} reaches {prefix} over a link-local address"), PATIENCE, || {
        let gateways = kernel_route(ns, prefix)?.map(|r| r.gateways).unwrap_or_default();
        match gateways.as_slice() {
            [IpAddr::V6(one)] if one.is_unicast_link_local() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

#[test]
fn case_147_an_external_neighbour_behind_a_link() {
    works(LEAF_ASN, ROUTER_ASN, "type: External");
}

#[test]
fn case_147_a_neighbour_behind_a_link_by_number() {
    works(LEAF_ASN, ROUTER_ASN, &format!("asn: {LEAF_ASN}"));
}

/// Case 96 (B-21).
#[test]
fn case_96_an_internal_neighbour_behind_a_link() {
    works(ROUTER_ASN, ROUTER_ASN, "type: Internal");
}

/// The leaf is exchanged: another link-local address behind the same NIC.
#[test]
fn another_router_behind_the_same_link_is_found() {
    println!("lab: FRR without addresses as leaf whose link-local address changes, perouter");
    let net = net(Layout { numbered: false, ..Layout::default() });
    let leaf = leaf(&net, LEAF_ASN, "external");
    let yaml = Yaml::new().neighbors(["type: External, interface: eth1"]);
    net.node().write_config("openpe_lab.yaml", &yaml.to_string()).unwrap();
    net.node().start_router().unwrap();
    net.lab.wait_until("FRR has its unnumbered session", PATIENCE, || established(&leaf));
    let a = addresses(Family::Ipv4);
    over_link_local(&net, &net.node().router_ns, a.leaf_network);
    let before = kernel_route(&net.node().router_ns, a.leaf_network).unwrap().unwrap().gateways;

    ip::change(net.leaf_ns(), &["link", "set", "tonode", "down"]).unwrap();
    // FRR's daemons lose their way when a link is back before all of them have seen that it was gone: one knows the neighbour
    // then, and the other one waits for it for ever.
    net.lab.wait_until("FRR has lost its session and its neighbour", PATIENCE, || {
        let seen = leaf.ask_links(&["show interface tonode"]).map_err(|error| error.to_string())?;
        let is_gone = seen.contains("tonode is down") && !seen.contains("Neighbor address");
        if is_gone && established(&leaf).is_err() { Ok(()) } else { Err(seen) }
    });
    ip::change(net.leaf_ns(), &["link", "set", "tonode", "address", "02:00:00:00:99:99"]).unwrap();
    ip::change(net.leaf_ns(), &["link", "set", "tonode", "up"]).unwrap();
    net.lab.wait_until("the route leads to the other address", PATIENCE, || {
        let now = kernel_route(&net.node().router_ns, a.leaf_network)?.map(|r| r.gateways).unwrap_or_default();
        if !now.is_empty() && now != before { Ok(()) } else { Err(format!("{now:?}")) }
    });
    let learned = leaf.routes(Family::Ipv4).unwrap();
    assert!(learned.iter().all(|r| r.as_path != [HOST_ASN]), "{learned:?}");
}

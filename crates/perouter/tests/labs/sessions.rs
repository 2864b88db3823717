//! Parameters of a fabric session: authentication, hops, ports, timers, families.

use ipnet::IpNet;
use testbed::passthrough::{LEAF_ASN, ROUTER_ASN, addresses};
use testbed::{Daemon, End, Family, Layout, NeighborConfig, Peer, PeerConfig};

use crate::fabric::{
    Fabric, PATIENCE, healthy, kernel_route, learns, net, packets_pass, peer_is, peers, reaches, sessions_up,
};
use crate::yaml::{Yaml, address};

/// A lab whose leaf has these further lines of configuration.
fn with_leaf(daemon: Daemon, lines: &str) -> Fabric {
    println!("lab: {daemon} as leaf with {lines:?}, perouter, BIRD as host");
    let net = net(Layout::default());
    let config = PeerConfig { lines: lines.to_owned(), ..net.leaf_config(0) };
    let leaf = Peer::start(&net.lab, daemon, net.leaf_ns(), config).unwrap();
    let host = net.start_host(Daemon::Bird).unwrap();
    Fabric { net, leaf, host, asns: Default::default(), families: Family::ALL.to_vec() }
}

/// Both sessions of a leaf, each with these fields.
fn leaf(fields: &str) -> Vec<String> {
    Family::ALL.map(|f| format!("asn: 64512, {}, {fields}", address(0, f))).to_vec()
}

/// Both routers of the leaf as FRR sees them, each with this property.
fn frr(property: &str) -> String {
    Family::ALL.map(|f| format!(" neighbor {} {property}\n", addresses(f).nic.addr())).concat()
}

fn starts_and_passes(fabric: &Fabric) {
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
        fabric.packets_pass(&a);
    }
    healthy(fabric.node());
}

#[test]
fn a_password_on_both_sides_lets_sessions_up() {
    let fabric = with_leaf(Daemon::Frr, &frr("password correct-horse"));
    fabric.configure(&Yaml::new().neighbors(leaf("password: correct-horse")));
    starts_and_passes(&fabric);
    changing_the_password_of_one_neighbour_concerns_that_one_only(&fabric);
}

fn changing_the_password_of_one_neighbour_concerns_that_one_only(fabric: &Fabric) {
    let [a, b] = Family::ALL.map(addresses);
    let mut neighbors = leaf("password: correct-horse");
    neighbors[0] = format!("asn: 64512, {}, password: another", address(0, Family::Ipv4));
    fabric.configure(&Yaml::new().neighbors(neighbors));
    let of_leaf = format!("neighbor {} password another", a.nic.addr());
    fabric.leaf.ask(&["configure terminal", "router bgp 64512", &of_leaf]).unwrap();
    fabric.wait("the session is another one", || {
        let peer = peer_is(fabric.node(), a.leaf, "established");
        if peer["flaps"] == 1 { Ok(()) } else { Err(peer.to_string()) }
    });
    fabric.routes_pass(&a);
    assert_eq!(peer_is(fabric.node(), b.leaf, "established")["flaps"], 0);
}

/// The password of a file beside the configuration (design.md 6.10).
#[test]
fn a_password_from_a_file_lets_sessions_up() {
    let fabric = with_leaf(Daemon::Frr, &frr("password from-a-file"));
    let file = fabric.node().config_dir().join("secret");
    std::fs::write(&file, "from-a-file\n").unwrap();
    fabric.configure(&Yaml::new().neighbors(leaf(&format!("passwordFile: {}", file.display()))));
    starts_and_passes(&fabric);
    assert!(!fabric.node().ask(&["-o", "json", "status"]).unwrap().stdout.contains("from-a-file"), "never shown");
}

#[test]
fn a_password_on_a_range_lets_its_peers_up() {
    let fabric = with_leaf(Daemon::Frr, &frr("password of-a-range"));
    let range = |r: &str| format!("asn: 64512, listenRange: \"{r}\", password: of-a-range");
    fabric.configure(&Yaml::new().neighbors([range("192.168.11.0/24"), range("2001:db8:11::/64")]));
    starts_and_passes(&fabric);
}

/// RFC 5082 on both sides.
#[test]
fn ttl_security_with_frr() {
    let fabric = with_leaf(Daemon::Frr, &frr("ttl-security hops 1"));
    fabric.configure(&Yaml::new().neighbors(leaf("ttlSecurity: {hops: 1}")));
    starts_and_passes(&fabric);
}

/// The other side's packets arrive with TTL 1, as from anywhere: they are not let in, so that no session comes up
/// here, whatever the other side makes of our answer. The neighbour without the option works.
#[test]
fn ttl_security_keeps_out_whoever_does_not_send_255() {
    let fabric = with_leaf(Daemon::Frr, "");
    let mut neighbors = leaf("connectTimeSeconds: 1");
    neighbors[0].push_str(", ttlSecurity: {hops: 1}");
    fabric.configure(&Yaml::new().neighbors(neighbors));
    fabric.node().start_router().unwrap();
    let [a, b] = Family::ALL.map(addresses);
    fabric.session(&fabric.leaf, b.nic.addr(), true);
    fabric.routes_pass(&b);
    let of_leaf = peers(fabric.node()).into_iter().find(|p| p["address"] == a.leaf.to_string().as_str()).unwrap();
    assert_ne!(of_leaf["state"], "established", "{of_leaf}");
    assert_eq!(kernel_route(&fabric.node().router_ns, a.leaf_network).unwrap(), None);
    // Without it, it would have been up by now: and it is, once the option goes.
    fabric.configure(&Yaml::new().neighbors(leaf("connectTimeSeconds: 1")));
    fabric.session(&fabric.leaf, a.nic.addr(), true);
    assert_eq!(peer_is(fabric.node(), b.leaf, "established")["flaps"], 0);
}

/// The lower hold time wins, and both ends keep to it.
#[test]
fn timers_are_negotiated() {
    let fabric = with_leaf(Daemon::Frr, "");
    fabric.configure(&Yaml::new().neighbors([
        format!("asn: 64512, {}, holdTimeSeconds: 30, keepaliveTimeSeconds: 10", address(0, Family::Ipv4)),
        format!("asn: 64512, {}, holdTimeSeconds: 6, keepaliveTimeSeconds: 2", address(0, Family::Ipv6)),
    ]));
    starts_and_passes(&fabric);
    for (a, wanted) in fabric.plans().iter().zip([9, 6]) {
        assert_eq!(peer_is(fabric.node(), a.leaf, "established")["hold_time_seconds"], wanted);
        let said = fabric.leaf.ask(&[&format!("show bgp neighbors {}", a.nic.addr())]).unwrap();
        assert!(said.contains(&format!("Hold time is {wanted} seconds")), "{said}");
    }
}

/// BIRD listens on a port of its own and does not dial: the router must find it there.
#[test]
fn a_neighbour_is_dialled_on_its_port() {
    let fabric = with_leaf(Daemon::Bird, "  local port 1179;\n  passive yes;\n");
    fabric.configure(&Yaml::new().neighbors(leaf("port: 1179, connectTimeSeconds: 1")));
    starts_and_passes(&fabric);
    for a in fabric.plans() {
        let peer = peer_is(fabric.node(), a.leaf, "established");
        assert!(peer["remote"].as_str().unwrap().ends_with(":1179"), "{peer}");
    }
}

/// Case 150 (E-13): both families, listed, over one session; IPv4 goes over an IPv6 next hop (RFC 8950).
#[test]
fn case_150_79_ipv4_over_an_ipv6_session() {
    println!("lab: FRR as leaf with one IPv6 session for both families, perouter, BIRD as host");
    let net = net(Layout::default());
    let [v4, v6] = Family::ALL.map(addresses);
    let neighbor = NeighborConfig { address: v6.nic.addr(), asn: ROUTER_ASN, families: Family::ALL.to_vec() };
    let config = PeerConfig {
        neighbors: vec![neighbor],
        lines: format!(" neighbor {} capability extended-nexthop\n", v6.nic.addr()),
        ..net.leaf_config(0)
    };
    let leaf = Peer::start(&net.lab, Daemon::Frr, net.leaf_ns(), config).unwrap();
    let host = net.start_host(Daemon::Bird).unwrap();
    let both = "addressFamilies: [{type: ipv4unicast}, {type: ipv6unicast}]";
    let yaml = Yaml::new().neighbors([format!("asn: 64512, {}, {both}", address(0, Family::Ipv6))]);
    net.node().write_config("openpe_lab.yaml", &yaml.to_string()).unwrap();
    net.node().start_router().unwrap();
    sessions_up(&net.lab, &leaf);
    sessions_up(&net.lab, &host);
    for a in [v4, v6] {
        learns(&net.lab, &host, a.leaf_network, Some((a.router, &[ROUTER_ASN, LEAF_ASN])));
        net.lab.wait_until("the kernel goes over IPv6", PATIENCE, || {
            let route = kernel_route(&net.node().router_ns, a.leaf_network)?;
            let over = route.iter().flat_map(|r| &r.gateways).collect::<Vec<_>>();
            if matches!(over.as_slice(), [one] if one.is_ipv6()) { Ok(()) } else { Err(format!("{route:?}")) }
        });
        packets_pass(&net.lab, (&net.node().ns, a.host_server), (net.leaf_ns(), a.leaf_server));
    }
}

/// A speaker one hop behind the leaf. The way there is a route of the kernel that somebody made by hand: next hops are
/// looked up among the routes that are not ours.
#[test]
fn case_91_multihop_with_a_ttl_that_is_just_enough() {
    let fabric = with_leaf(Daemon::Frr, "");
    let lab = &fabric.net.lab;
    let spine = lab.namespace("spine").unwrap();
    let between: IpNet = "10.99.0.0/24".parse().unwrap();
    let end = |ns, name, address: &str| End { ns, name, addresses: vec![address.parse().unwrap()] };
    lab.link(&end(fabric.net.leaf_ns(), "tospine", "10.99.0.1/24"), &end(&spine, "eth1", "10.99.0.2/24"), 1450)
        .unwrap();
    let v4 = addresses(Family::Ipv4);
    lab.add_route(&spine, v4.nic.trunc(), "10.99.0.1".parse().unwrap()).unwrap();
    lab.loopback_address(&spine, "198.51.100.1/32".parse().unwrap()).unwrap();
    let neighbor = NeighborConfig { address: v4.nic.addr(), asn: ROUTER_ASN, families: vec![Family::Ipv4] };
    let config = PeerConfig {
        neighbors: vec![neighbor],
        networks: vec!["198.51.100.0/24".parse().unwrap()],
        lines: "  multihop 2;\n".to_owned(),
        install: false,
        ..PeerConfig::new("spine", 64600, "10.99.0.2".parse().unwrap())
    };
    let spine_peer = Peer::start(lab, Daemon::Bird, &spine, config).unwrap();
    let mut neighbors = leaf("connectTimeSeconds: 1");
    let multihop = "properties: [{type: ebgpMultiHop, ebgpMultiHop: {ttl: 2}}]";
    neighbors.push(format!("asn: 64600, address: 10.99.0.2, connectTimeSeconds: 1, {multihop}"));
    fabric.configure(&Yaml::new().neighbors(neighbors));
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    lab.add_route(&fabric.node().router_ns, between, v4.leaf).unwrap();
    sessions_up(lab, &spine_peer);
    let behind: IpNet = "198.51.100.0/24".parse().unwrap();
    learns(lab, &fabric.host, behind, Some((v4.router, &[ROUTER_ASN, 64600])));
    // The next hop is two hops away: the kernel is given the way to it.
    reaches(lab, &fabric.node().router_ns, behind, Some(&[v4.leaf]));
    learns(lab, &spine_peer, v4.host_network, Some((v4.nic.addr(), &[ROUTER_ASN, 64515])));
    healthy(fabric.node());
}

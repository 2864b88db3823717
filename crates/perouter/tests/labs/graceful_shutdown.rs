//! The community GRACEFUL_SHUTDOWN (RFC 8326): a leaf that is about to go empties itself.

use std::net::IpAddr;

use ipnet::IpNet;
use testbed::passthrough::{LEAF_ASN, addresses_of};
use testbed::{Daemon, Family, LabError, Layout, Passthrough, Peer};

use crate::fabric::{PATIENCE, knows, net, reaches, sessions_up};
use crate::yaml::Yaml;

/// Announced by both leaves.
fn shared(family: Family) -> IpNet {
    match family {
        Family::Ipv4 => "198.51.100.0/24".parse().unwrap(),
        Family::Ipv6 => "2001:db8:5110::/48".parse().unwrap(),
    }
}

/// The router's kernel reaches what both leaves announce through these.
#[track_caller]
fn goes_through(net: &Passthrough, leaves: &[u8]) {
    for family in Family::ALL {
        let gateways: Vec<IpAddr> = leaves.iter().map(|l| addresses_of(family, *l, 0).leaf).collect();
        reaches(&net.lab, &net.node().router_ns, shared(family), Some(&gateways));
    }
}

/// What the host, a BIRD, has of a prefix contains these words, and none of those.
#[track_caller]
fn at_host(net: &Passthrough, host: &Peer, prefix: IpNet, words: &[&str], without: &str) {
    let question = ["show", "route", "for", &prefix.to_string(), "all"];
    net.lab.wait_until(&format!("the host has {words:?} and not {without:?} of {prefix}"), PATIENCE, || {
        let said = host.ask(&question)?;
        let right = words.iter().all(|word| said.contains(word)) && (without.is_empty() || !said.contains(without));
        if right { Ok(()) } else { Err(LabError::new(said)) }
    });
}

const TAG: &str = "(65535,0)";

#[test]
fn a_leaf_that_tags_its_routes_is_used_last_and_the_host_sees_the_tag() {
    println!("lab: FRR and BIRD as leaves of one prefix, perouter, BIRD as host");
    let net = net(Layout { leaves: 2, ..Layout::default() });
    let [frr, mut bird] = [(0, Daemon::Frr), (1, Daemon::Bird)].map(|(l, daemon)| {
        let mut config = net.leaf_config(l);
        config.networks.extend(Family::ALL.map(shared));
        Peer::start(&net.lab, daemon, &net.leaves[usize::from(l)], config).unwrap()
    });
    let host = net.start_host(Daemon::Bird).unwrap();
    net.node().write_config("openpe_lab.yaml", &Yaml::with_leaves(2, &Family::ALL).to_string()).unwrap();
    net.node().start_router().unwrap();
    for peer in [&frr, &bird, &host] {
        sessions_up(&net.lab, peer);
    }
    goes_through(&net, &[0, 1]);

    // FRR is going: what BIRD has too goes there, what only FRR has stays and says so.
    tag(&frr, true);
    goes_through(&net, &[1]);
    for family in Family::ALL {
        at_host(&net, &host, shared(family), &[&format!("64514 {}", LEAF_ASN + 1)], TAG);
        at_host(&net, &host, addresses_of(family, 0, 0).leaf_network, &[TAG, "64514 64512"], "");
        let paths = net.node().ask(&["routes", &shared(family).to_string()]).unwrap().stdout;
        assert!(paths.contains("lower local preference"), "{paths}");
    }
    // Both are going: as good as neither.
    bird.reconfigure(|c| c.export = "bgp_community.add((65535,0));".into()).unwrap();
    goes_through(&net, &[0, 1]);
    for family in Family::ALL {
        at_host(&net, &host, shared(family), &[TAG], "");
    }
    // FRR has come back, BIRD is still going.
    tag(&frr, false);
    goes_through(&net, &[0]);
    for family in Family::ALL {
        at_host(&net, &host, shared(family), &["64514 64512"], TAG);
        knows(&net.lab, &host, addresses_of(family, 1, 0).leaf_network);
    }
    bird.reconfigure(|c| c.export.clear()).unwrap();
    goes_through(&net, &[0, 1]);
    assert_eq!(crate::fabric::flaps(net.node()), 0);
}

/// Has an FRR leaf tag what it announces, or no longer.
fn tag(frr: &Peer, wanted: bool) {
    let no = if wanted { "" } else { "no " };
    let router = format!("router bgp {}", frr.config().asn);
    let mut commands = vec![
        "configure terminal".to_owned(),
        "route-map going permit 10".to_owned(),
        "set community graceful-shutdown additive".to_owned(),
        router,
    ];
    for n in &frr.config().neighbors {
        let family = if n.address.is_ipv4() { "ipv4" } else { "ipv6" };
        commands.push(format!("address-family {family} unicast"));
        commands.push(format!("{no}neighbor {} route-map going out", n.address));
        commands.push("exit-address-family".to_owned());
    }
    commands.extend(["end".to_owned(), "clear bgp * soft out".to_owned()]);
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    frr.ask(&commands).unwrap();
}

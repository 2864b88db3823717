//! A configured route reflector (RFC 4456), the one way in which a leaf learns what another leaf has.

use std::net::IpAddr;

use testbed::passthrough::{ROUTER_ASN, addresses_of};
use testbed::{Daemon, Family, Layout, Peer};

use crate::fabric::{knows, learns, net, sessions_up};
use crate::star::{Star, in_frr, network, says, spoke, spoke_config};
use crate::yaml::{Yaml, address, word};

/// IPv4 is reflected and IPv6 is not: the flag belongs to the family.
#[test]
fn clients_learn_from_each_other_in_the_family_that_has_the_flag() {
    println!("lab: two FRR as reflector's clients, perouter, BIRD as host");
    let net = net(Layout { leaves: 2, ..Layout::default() });
    let leaves = [0, 1].map(|l| {
        let mut config = net.leaf_config(l);
        config.asn = 64514;
        Peer::start(&net.lab, Daemon::Frr, &net.leaves[usize::from(l)], config).unwrap()
    });
    let host = net.start_host(Daemon::Bird).unwrap();
    let neighbor = |l: u8, f: Family| {
        let flag = if f == Family::Ipv4 { ", properties: [{type: routeReflectorClient}]" } else { "" };
        format!("type: Internal, {}, addressFamilies: [{{type: {}{flag}}}]", address(l, f), word(f))
    };
    let yaml = Yaml::with_leaves(2, &Family::ALL)
        .neighbors([0, 1].into_iter().flat_map(|l| Family::ALL.map(|f| neighbor(l, f))))
        .underlay("routeReflector: {clusterID: 10.1.1.1}");
    net.node().write_config("openpe_lab.yaml", &yaml.to_string()).unwrap();
    net.node().start_router().unwrap();
    for peer in [&leaves[0], &leaves[1], &host] {
        sessions_up(&net.lab, peer);
    }
    for (l, leaf) in (0..2).zip(&leaves) {
        let other = addresses_of(Family::Ipv4, 1 - l, 0);
        let own = addresses_of(Family::Ipv4, l, 0);
        learns(&net.lab, leaf, other.leaf_network, Some((own.nic.addr(), &[])));
        let detail = leaf.ask(&[&format!("show bgp ipv4 unicast {} json", other.leaf_network)]).unwrap();
        assert!(detail.contains("10.1.1.1"), "the cluster list names the reflector: {detail}");
        assert!(detail.contains(&other.leaf.to_string()), "the originator is the other leaf: {detail}");
    }
    for (l, leaf) in (0..2).zip(&leaves) {
        let other = addresses_of(Family::Ipv6, 1 - l, 0);
        knows(&net.lab, &host, other.leaf_network);
        knows(&net.lab, leaf, other.host_network);
        assert!(leaf.routes(Family::Ipv6).unwrap().iter().all(|r| r.prefix != other.leaf_network));
    }
}

/// FRR and BIRD as clients, GoBGP and another BIRD as ordinary internal peers: RFC 4456 section 6, 8 and 10.
#[test]
fn a_reflector_of_clients_and_others() {
    let star = Star::new(4);
    let entry = |i: u8| {
        let flag = if i < 2 { ", properties: [{type: routeReflectorClient}]" } else { "" };
        let families = format!("addressFamilies: [{{type: ipv4unicast{flag}}}]");
        format!("{{type: Internal, address: {}, role: peer, {families}}}", spoke(Family::Ipv4, i))
    };
    let neighbors = [0, 1, 2, 3].map(entry);
    let router = star.router(&neighbors, "kernelRoutes: false\nrouteReflector: {clusterID: 10.7.7.7}");
    let daemons = [Daemon::Frr, Daemon::Bird, Daemon::Gobgp, Daemon::Bird];
    let start = |(i, daemon)| {
        let mut config = spoke_config(i, ROUTER_ASN);
        if daemon == Daemon::Bird {
            // The next hops are other spokes, which it must not expect on its own link.
            config.lines = "  multihop;\n".into();
        }
        star.start(i, daemon, config)
    };
    let mut peers: Vec<Peer> = (0..4).zip(daemons).map(start).collect();
    peers.iter().for_each(|peer| sessions_up(&star.lab, peer));

    let v4 = Family::Ipv4;
    // Everybody hears of clients, clients hear of everybody; the next hop is whoever announced it.
    for (of, to) in [(0, 1_usize), (0, 2), (0, 3), (1, 0), (1, 2), (1, 3), (2, 0), (2, 1), (3, 0), (3, 1)] {
        learns(&star.lab, &peers[to], network(v4, of), Some((spoke(v4, of), &[])));
    }
    // The others do not hear of each other: what came later has come.
    for (of, to) in [(2, 3), (3, 2)] {
        assert!(peers[to].routes(v4).unwrap().iter().all(|r| r.prefix != network(v4, of)));
    }
    let seen = in_frr(&star.lab, &peers[0], network(v4, 1));
    assert_eq!(seen["originatorId"], "10.0.1.2", "{seen}");
    assert_eq!(seen["clusterList"]["list"], serde_json::json!(["10.7.7.7"]), "{seen}");
    let words = ["BGP.originator_id: 10.0.2.2", "BGP.cluster_list: 10.7.7.7"];
    says(&star.lab, &peers[1], &["show", "route", "for", &network(v4, 2).to_string(), "all"], &words);

    // What went through our cluster already is refused, and not passed on.
    peers[1].reconfigure(|c| c.export = "bgp_cluster_list.add(10.7.7.7);".into()).unwrap();
    star.paths_are(&router, network(v4, 1), "refused", |paths| {
        let why = "went through our cluster 10.7.7.7";
        matches!(paths, [one] if one["usable"] == false && one["reason"].as_str().unwrap().contains(why))
    });
    for to in [0, 2, 3] {
        learns(&star.lab, &peers[to], network(v4, 1), None::<(IpAddr, &[u32])>);
    }
    // Through another one: both are listed, the last first.
    peers[1].reconfigure(|c| c.export = "bgp_cluster_list.add(10.6.6.6);".into()).unwrap();
    learns(&star.lab, &peers[0], network(v4, 1), Some((spoke(v4, 1), &[])));
    let seen = in_frr(&star.lab, &peers[0], network(v4, 1));
    assert_eq!(seen["clusterList"]["list"], serde_json::json!(["10.7.7.7", "10.6.6.6"]), "{seen}");
}

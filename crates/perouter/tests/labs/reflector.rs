//! A configured route reflector (RFC 4456), the one way in which a leaf learns what another leaf has.

use testbed::passthrough::addresses_of;
use testbed::{Daemon, Family, Layout, Peer};

use crate::fabric::{knows, learns, net, sessions_up};
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

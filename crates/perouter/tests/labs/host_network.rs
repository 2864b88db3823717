//! What happens to the node's own network: NICs taken and given back, MTU, addresses that are no longer right.

use testbed::passthrough::{addresses, addresses_of};
use testbed::{Daemon, Family, LabError, Layout, Passthrough, Peer, ip};

use crate::fabric::{Fabric, PATIENCE, flaps, healthy, net, session, sessions_up, status_says};
use crate::yaml::Yaml;

/// A link is there with these addresses and this MTU, up.
#[track_caller]
fn link_is(net: &Passthrough, ns: &str, name: &str, addresses: &[ipnet::IpNet], mtu: u64) {
    let mut wanted = addresses.to_vec();
    wanted.sort();
    net.lab.wait_until(&format!("{name} in {ns} has {wanted:?}, MTU {mtu}"), PATIENCE, || {
        let link = ip::link_named(ns, name)?;
        let right = link.up && link.addresses == wanted && link.mtu == mtu;
        if right { Ok(()) } else { Err(LabError::new(format!("{link:?}"))) }
    });
}

fn on_nic(leaf: u8) -> Vec<ipnet::IpNet> {
    Family::ALL.map(|f| addresses_of(f, leaf, 0).nic).to_vec()
}

/// Case 143 (E-6), 141 (E-2), 153 (E-16): objects that go take with them what they made, and nothing else.
#[test]
fn case_141_143_153_deleted_objects_give_back_what_they_took() {
    let fabric = Fabric::new(Daemon::Frr, Daemon::Bird);
    let router = fabric.node().start_router().unwrap();
    fabric.sessions_up();
    let net = &fabric.net;

    // The passthrough: its session and its links end, the leaf's session does not.
    fabric.configure(&Yaml { local: String::new(), ..Yaml::new() });
    for a in fabric.plans() {
        fabric.session(&fabric.host, a.router, false);
        fabric.learns(&fabric.leaf, a.host_network, None);
        fabric.learns(&fabric.leaf, a.host_route(), None);
    }
    fabric.wait("the veth pair is gone", || match ip::link_named(&fabric.node().ns, "pt-host") {
        Err(_) => Ok(()),
        Ok(link) => Err(format!("{link:?}")),
    });
    for a in fabric.plans() {
        assert!(fabric.leaf.established(a.nic.addr()).unwrap());
    }
    assert_eq!(crate::fabric::peers(fabric.node()).len(), 2);

    // And back.
    fabric.configure(&Yaml::new());
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
    }

    // The underlay: everything ends, and the NIC is the node's again.
    fabric.node().remove_config("openpe_lab.yaml").unwrap();
    for a in fabric.plans() {
        fabric.session(&fabric.leaf, a.nic.addr(), false);
        fabric.session(&fabric.host, a.router, false);
    }
    link_is(net, &fabric.node().ns, "eth1", &on_nic(0), 1450);
    assert_eq!(net.lab.exit_status(router), None, "the router waits for its next configuration");

    fabric.configure(&Yaml::new());
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
        fabric.packets_pass(&a);
    }
}

/// Case 154 (E-17), 104 (H-9).
#[test]
fn case_154_a_nic_is_exchanged_for_another_while_the_router_runs() {
    println!("lab: two BIRD as leaves of which one at a time is configured, perouter, BIRD as host");
    let net = net(Layout { leaves: 2, ..Layout::default() });
    let leaf = |l: u8| Peer::start(&net.lab, Daemon::Bird, &net.leaves[usize::from(l)], net.leaf_config(l)).unwrap();
    let leaves = [leaf(0), leaf(1)];
    let host = net.start_host(Daemon::Bird).unwrap();
    let router = net.node().start_router().unwrap();
    sessions_up(&net.lab, &leaves[0]);
    sessions_up(&net.lab, &host);

    let two = Yaml::with_leaves(2, &Family::ALL);
    let second = Yaml { nics: two.nics[1..].to_vec(), neighbors: two.neighbors[2..].to_vec(), ..two };
    net.node().write_config("openpe_lab.yaml", &second.to_string()).unwrap();
    sessions_up(&net.lab, &leaves[1]);
    link_is(&net, &net.node().ns, "eth1", &on_nic(0), 1450);
    link_is(&net, &net.node().router_ns, "eth2", &on_nic(1), 1450);
    for family in Family::ALL {
        session(&net.lab, &leaves[0], addresses(family).nic.addr(), false);
        crate::fabric::learns(&net.lab, &host, addresses(family).leaf_network, None);
        crate::fabric::knows(&net.lab, &host, addresses_of(family, 1, 0).leaf_network);
    }
    assert_eq!(net.lab.exit_status(router), None, "the router was not restarted");
    healthy(net.node());
}

/// design.md 6.7: the smallest MTU of the NICs.
#[test]
fn the_mtu_of_the_veth_follows_the_nics() {
    println!("lab: jumbo frames; no peers");
    let net = net(Layout { leaves: 2, mtu: 9000, ..Layout::default() });
    net.node().write_config("openpe_lab.yaml", &Yaml::new().to_string()).unwrap();
    net.node().start_router().unwrap();
    let [router, host] = [
        Family::ALL.map(|f| ipnet::IpNet::new(addresses(f).router, addresses(f).nic.prefix_len()).unwrap()),
        Family::ALL.map(|f| ipnet::IpNet::new(addresses(f).host, addresses(f).nic.prefix_len()).unwrap()),
    ];
    link_is(&net, &net.node().router_ns, "pt-ns", &router, 9000);
    link_is(&net, &net.node().ns, "pt-host", &host, 9000);

    // A second NIC with less.
    ip::change(&net.node().ns, &["link", "set", "eth2", "mtu", "1450"]).unwrap();
    net.node().write_config("openpe_lab.yaml", &Yaml::with_leaves(2, &Family::ALL).to_string()).unwrap();
    link_is(&net, &net.node().router_ns, "pt-ns", &router, 1450);
    link_is(&net, &net.node().ns, "pt-host", &host, 1450);

    // And one whose MTU is changed under the router's hands.
    ip::change(&net.node().router_ns, &["link", "set", "eth2", "mtu", "4000"]).unwrap();
    link_is(&net, &net.node().router_ns, "pt-ns", &router, 4000);
    link_is(&net, &net.node().ns, "pt-host", &host, 4000);
}

/// Upstream forbids the change in its API; a file can always be changed, and then nothing of the old plan stays.
#[test]
fn addresses_of_another_local_cidr_replace_the_old_ones() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    fabric.configure(&Yaml { local: "ipv4: 192.169.77.0/24".to_owned(), ..Yaml::new() });
    let net = &fabric.net;
    link_is(net, &fabric.node().router_ns, "pt-ns", &["192.169.77.1/24".parse().unwrap()], 1450);
    link_is(net, &fabric.node().ns, "pt-host", &["192.169.77.2/24".parse().unwrap()], 1450);
    for a in fabric.plans() {
        fabric.learns(&fabric.leaf, a.host_route(), None);
        assert!(fabric.leaf.established(a.nic.addr()).unwrap());
    }
    fabric.learns(
        &fabric.leaf,
        "192.169.77.2/32".parse().unwrap(),
        Some((addresses(Family::Ipv4).nic.addr(), &[64514])),
    );

    fabric.configure(&Yaml::new());
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
        fabric.packets_pass(&a);
    }
    fabric.learns(&fabric.leaf, "192.169.77.2/32".parse().unwrap(), None);
    // The leaf's sessions saw nothing of all this.
    let shown = crate::fabric::peers(fabric.node());
    let lost: u64 = shown.iter().filter(|p| p["role"] == "fabric").filter_map(|p| p["flaps"].as_u64()).sum();
    assert_eq!(lost, 0, "{shown:?}");
}

/// What somebody does to the router's links by hand is undone (design.md 6.7).
#[test]
fn strange_addresses_and_sysctls_do_not_stay() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    let router_ns = &fabric.node().router_ns;
    ip::change(router_ns, &["address", "add", "192.0.2.77/24", "dev", "pt-ns"]).unwrap();
    ip::change(&fabric.node().ns, &["address", "del", "192.169.10.2/24", "dev", "pt-host"]).unwrap();
    let [v4, v6] = Family::ALL.map(addresses);
    let plan = |a: std::net::IpAddr, b: std::net::IpAddr| {
        [format!("{a}/24").parse().unwrap(), format!("{b}/64").parse().unwrap()]
    };
    link_is(&fabric.net, router_ns, "pt-ns", &plan(v4.router, v6.router), 1450);
    link_is(&fabric.net, &fabric.node().ns, "pt-host", &plan(v4.host, v6.host), 1450);
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
        fabric.packets_pass(&a);
    }
}

/// Case 155 (E-18).
#[test]
fn case_155_a_nic_that_is_missing_is_reported_until_its_name_is_right() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    fabric.configure(&Yaml { nics: vec!["foo".to_owned()], ..Yaml::new() });
    fabric.node().start_router().unwrap();
    status_says(fabric.node(), &["foo"]);
    assert_eq!(fabric.node().ask(&["status"]).unwrap().code, Some(1));
    fabric.configure(&Yaml::new());
    fabric.sessions_up();
    healthy(fabric.node());
    for a in fabric.plans() {
        fabric.routes_pass(&a);
    }
    assert_eq!(flaps(fabric.node()), 0);
}

/// design.md 6.15: a NIC that the node itself lives on is taken only with a loud warning.
#[test]
fn a_nic_with_the_nodes_default_route_is_taken_with_a_warning() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    let leaf = addresses(Family::Ipv4).leaf.to_string();
    ip::change(&fabric.node().ns, &["route", "add", "default", "via", &leaf, "dev", "eth1"]).unwrap();
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    status_says(fabric.node(), &["eth1", "default route"]);
}

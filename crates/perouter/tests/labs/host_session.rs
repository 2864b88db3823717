//! What the host session can be told beyond upstream (design.md 6.10).

use testbed::passthrough::addresses;
use testbed::{Daemon, Family, Layout, Peer, PeerConfig};

use crate::fabric::{Fabric, healthy, knows, net, peer_is};
use crate::yaml::Yaml;

#[test]
fn a_host_session_with_password_and_timers() {
    println!("lab: BIRD as leaf, perouter, FRR with a password as host");
    let net = net(Layout::default());
    let leaf = net.start_leaf(Daemon::Bird).unwrap();
    let lines = Family::ALL.map(|f| format!(" neighbor {} password between-us\n", addresses(f).router)).concat();
    let config = PeerConfig { lines, ..net.host_config(0) };
    let host = Peer::start(&net.lab, Daemon::Frr, &net.node().ns, config).unwrap();
    let fabric = Fabric { net, leaf, host, asns: Default::default(), families: Family::ALL.to_vec() };
    let timers = ["holdTimeSeconds: 6", "keepaliveTimeSeconds: 2", "connectTimeSeconds: 1", "password: between-us"];
    fabric.configure(&timers.iter().fold(Yaml::new(), |yaml, field| yaml.session(field)));
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
        assert_eq!(peer_is(fabric.node(), a.host, "established")["hold_time_seconds"], 6);
    }
    healthy(fabric.node());
}

/// What the host may announce; applied live both ways.
#[test]
fn allowed_prefixes_keep_the_rest_out_of_the_fabric() {
    let mut fabric = Fabric::new(Daemon::Frr, Daemon::Bird);
    let stranger = "10.99.0.0/16".parse().unwrap();
    fabric.host.announce(stranger).unwrap();
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    knows(&fabric.net.lab, &fabric.leaf, stranger);
    let rules = "{prefix: 10.244.0.0/16, ge: 24, le: 24}, {prefix: \"2001:db8:244::/48\", ge: 64, le: 64}";
    fabric.configure(&Yaml::new().session(&format!("allowedPrefixes: [{rules}]")));
    fabric.learns(&fabric.leaf, stranger, None);
    for a in fabric.plans() {
        fabric.routes_pass(&a);
    }
    fabric.configure(&Yaml::new());
    knows(&fabric.net.lab, &fabric.leaf, stranger);
    assert_eq!(fabric.flaps(), 0, "applied live");
}

/// Too many prefixes end the session where the user says so, in words on both sides; the rest of the node works.
#[test]
fn a_host_beyond_its_limit_is_torn_down_and_the_router_says_why() {
    let mut fabric = Fabric::new(Daemon::Bird, Daemon::Frr);
    let limit = "maxPrefixes: [{type: ipv4unicast, limit: 3, action: Teardown}]";
    fabric.configure(&Yaml::new().session(limit));
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    for n in 0..4 {
        fabric.host.announce(format!("10.9{n}.0.0/16").parse().unwrap()).unwrap();
    }
    let [v4, v6] = Family::ALL.map(addresses);
    fabric.session(&fabric.host, v4.router, false);
    let said = fabric.status_says(&["192.169.10.2", "aximum"]);
    assert!(said.lines().any(|l| l.contains("192.169.10.2") && l.contains("refixes")), "{said}");
    fabric.learns(&fabric.leaf, v4.host_network, None);
    fabric.routes_pass(&v6);
    assert_eq!(peer_is(fabric.node(), v6.host, "established")["flaps"], 0);
}

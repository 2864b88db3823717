//! The lab itself, with real daemons speaking to each other and no router of ours between them: what it says
//! about sessions, routes and packets must be true before it can judge anybody.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failing unwrap is a failing test

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use testbed::{Daemon, End, Family, Lab, LabError, NeighborConfig, Peer, PeerConfig, ip, traffic};

const PATIENCE: Duration = Duration::from_secs(60);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn config(name: &str, asn: u32, id: u8, neighbors: [&str; 2], remote: u32, networks: [&str; 2]) -> PeerConfig {
    let families = Family::ALL.into_iter();
    PeerConfig {
        neighbors: families
            .zip(neighbors)
            .map(|(f, a)| NeighborConfig { address: ip(a), asn: remote, families: vec![f] })
            .collect(),
        networks: networks.map(net).to_vec(),
        ..PeerConfig::new(name, asn, Ipv4Addr::new(10, 0, 0, id))
    }
}

/// Two namespaces and two daemons: routes appear with the right next hop and path, end up in the kernel where
/// the daemon installs them, carry packets, and vanish when they are withdrawn.
fn speak_to_each_other(left: Daemon, right: Daemon) {
    println!("lab: {left} and {right} without a router between them");
    let lab = Lab::new(Path::new("perouter")).unwrap();
    let (a, b) = (lab.namespace("a").unwrap(), lab.namespace("b").unwrap());
    let end = |ns, addresses: [&str; 2]| End { ns, name: "eth1", addresses: addresses.map(net).to_vec() };
    lab.link(&end(&a, ["10.9.0.1/24", "2001:db8:9::1/64"]), &end(&b, ["10.9.0.2/24", "2001:db8:9::2/64"]), 1500)
        .unwrap();
    for (ns, address) in
        [(&a, "10.1.0.1/32"), (&b, "10.2.0.1/32"), (&a, "2001:db8:1::1/128"), (&b, "2001:db8:2::1/128")]
    {
        lab.loopback_address(ns, net(address)).unwrap();
    }
    let of_a = config("left", 65001, 1, ["10.9.0.2", "2001:db8:9::2"], 65002, ["10.1.0.0/24", "2001:db8:1::/64"]);
    let of_b = config("right", 65002, 2, ["10.9.0.1", "2001:db8:9::1"], 65001, ["10.2.0.0/24", "2001:db8:2::/64"]);
    let mut a_peer = Peer::start(&lab, left, &a, of_a).unwrap();
    let b_peer = Peer::start(&lab, right, &b, of_b).unwrap();

    for peer in [&a_peer, &b_peer] {
        for n in &peer.config().neighbors {
            lab.wait_until(&format!("{} has a session with {}", peer.daemon(), n.address), PATIENCE, || {
                match peer.established(n.address) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err("not established".to_owned()),
                    Err(e) => Err(e.to_string()),
                }
            });
        }
    }
    let learned = |peer: &Peer, prefix: &str, wanted: Option<&str>| {
        let what = format!("{} has for {prefix}: {wanted:?}", peer.daemon());
        lab.wait_until(&what, PATIENCE, || {
            let routes = peer.routes(Family::of(net(prefix)))?;
            let found = routes.iter().find(|r| r.prefix == net(prefix)).map(ToString::to_string);
            if found.as_deref() == wanted { Ok(()) } else { Err(LabError::new(format!("{found:?}"))) }
        });
    };
    learned(&b_peer, "10.1.0.0/24", Some("10.1.0.0/24 via 10.9.0.1 path 65001"));
    learned(&b_peer, "2001:db8:1::/64", Some("2001:db8:1::/64 via 2001:db8:9::1 path 65001"));
    learned(&a_peer, "10.2.0.0/24", Some("10.2.0.0/24 via 10.9.0.2 path 65002"));
    learned(&a_peer, "2001:db8:2::/64", Some("2001:db8:2::/64 via 2001:db8:9::2 path 65002"));

    for (peer, ns, prefix, via) in [
        (&a_peer, &a, "10.2.0.0/24", "10.9.0.2"),
        (&a_peer, &a, "2001:db8:2::/64", "2001:db8:9::2"),
        (&b_peer, &b, "10.1.0.0/24", "10.9.0.1"),
        (&b_peer, &b, "2001:db8:1::/64", "2001:db8:9::1"),
    ] {
        if !peer.daemon().installs_routes() {
            lab.add_route(ns, net(prefix), ip(via)).unwrap();
        }
        lab.wait_until(&format!("{ns} reaches {prefix}"), PATIENCE, || {
            let routes = ip::routes(ns, Family::of(net(prefix)))?;
            let found = routes.iter().find(|r| r.prefix == net(prefix));
            if found.is_some_and(|r| r.gateways.len() == 1) {
                Ok(())
            } else {
                Err(LabError::new(format!("{found:?} among {routes:?}")))
            }
        });
    }
    for (source, target) in [("10.1.0.1", "10.2.0.1"), ("2001:db8:1::1", "2001:db8:2::1")] {
        traffic::ping(&a, ip(source), ip(target)).unwrap();
        traffic::tcp((&a, ip(source)), (&b, ip(target))).unwrap();
        traffic::tcp((&b, ip(target)), (&a, ip(source))).unwrap();
    }
    assert!(traffic::ping(&a, ip("10.1.0.1"), ip("10.2.0.77")).is_err(), "nobody has 10.2.0.77");

    for prefix in ["10.1.0.0/24", "2001:db8:1::/64"] {
        a_peer.withdraw(net(prefix)).unwrap();
        learned(&b_peer, prefix, None);
    }
    a_peer.announce(net("10.1.0.0/24")).unwrap();
    learned(&b_peer, "10.1.0.0/24", Some("10.1.0.0/24 via 10.9.0.1 path 65001"));
}

#[test]
fn frr_and_bird_speak_to_each_other() {
    speak_to_each_other(Daemon::Frr, Daemon::Bird);
}

#[test]
fn bird_and_gobgp_speak_to_each_other() {
    speak_to_each_other(Daemon::Bird, Daemon::Gobgp);
}

#[test]
fn gobgp_and_frr_speak_to_each_other() {
    speak_to_each_other(Daemon::Gobgp, Daemon::Frr);
}

#[test]
fn a_lab_leaves_nothing_behind_when_its_user_panics() {
    let (names, dir) = std::thread::spawn(|| {
        let lab = Lab::new(Path::new("perouter")).unwrap();
        let ns = lab.namespace("a").unwrap();
        let dir = lab.dir().to_owned();
        let pid = lab.spawn(&ns, Path::new("/bin/sleep"), &["1000"], &dir.join("sleep.log")).unwrap();
        assert!(ip::has_namespace(&ns) && dir.exists());
        let seen = ((ns, pid), dir);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _in_use = lab;
            panic!("on purpose");
        }));
        assert!(caught.is_err());
        seen
    })
    .join()
    .unwrap();
    let (ns, pid) = names;
    assert!(!ip::has_namespace(&ns) && !dir.exists());
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the program was ended and reaped");
}

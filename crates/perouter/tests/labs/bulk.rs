//! `perouter speak` between two real speakers: a hundred thousand routes from the leaf to the host.

use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use testbed::{Daemon, End, Family, LabError, NeighborConfig, Peer, PeerConfig, ip, run};

const ROUTES: u32 = 100_000;
/// For the whole table through two daemons and a kernel on a small machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn speak_passes_100_000_routes_from_leaf_to_host() {
    let lab = crate::fabric::lab();
    let [leaf, middle, host] = ["leaf", "speak", "host"].map(|part| lab.namespace(part).unwrap());
    let end = |ns, name, address: &str| End { ns, name, addresses: vec![address.parse().unwrap()] };
    lab.link(&end(&leaf, "eth1", "192.168.11.2/24"), &end(&middle, "eth1", "192.168.11.3/24"), 1500).unwrap();
    lab.link(&end(&host, "eth1", "192.169.10.2/24"), &end(&middle, "eth2", "192.169.10.1/24"), 1500).unwrap();
    let neighbor =
        |address: &str| NeighborConfig { address: address.parse().unwrap(), asn: 64514, families: vec![Family::Ipv4] };
    let config = |name: &str, asn, id, address: &str, networks| PeerConfig {
        neighbors: vec![neighbor(address)],
        networks,
        install: false,
        ..PeerConfig::new(name, asn, Ipv4Addr::new(10, 0, 0, id))
    };
    let networks: Vec<_> = (0..ROUTES).map(prefix).collect();
    println!("lab: BIRD as leaf with {ROUTES} routes, perouter speak, BIRD as host");
    let _leaf = Peer::start(&lab, Daemon::Bird, &leaf, config("leaf", 64512, 1, "192.168.11.3", networks)).unwrap();
    let host_peer = Peer::start(&lab, Daemon::Bird, &host, config("host", 64515, 2, "192.169.10.1", vec![])).unwrap();

    let dir = lab.dir().join("speak");
    std::fs::create_dir(&dir).unwrap();
    let file = dir.join("speak.yaml");
    let state = dir.join("state");
    std::fs::write(
        &file,
        format!(
            "asn: 64514\nrouterID: 10.0.0.3\nconnectRetrySeconds: 1\nstateDir: {}\nneighbors:\n  \
             - {{name: fabric, address: 192.168.11.2, asn: 64512, role: fabric, addressFamilies: [ipv4unicast]}}\n  \
             - {{name: host, address: 192.169.10.2, asn: 64515, role: host, addressFamilies: [ipv4unicast]}}\n",
            state.display()
        ),
    )
    .unwrap();
    let args = ["speak", file.to_str().unwrap()];
    let speaker = lab.spawn(&middle, lab.perouter(), &args, &dir.join("perouter.log")).unwrap();

    lab.wait_until("the host has every route", PATIENCE, || match host_peer.count(Family::Ipv4)? {
        n if n == ROUTES as usize => Ok(()),
        n => Err(LabError::new(format!("{n} routes"))),
    });
    let last = host_peer.routes(Family::Ipv4).unwrap().pop().unwrap();
    assert_eq!(last.to_string(), format!("{} via 192.169.10.1 path 64514 64512", prefix(ROUTES - 1)));
    lab.wait_until("the kernel of the speaker has every route", PATIENCE, || {
        let routes = ip::routes(&middle, Family::Ipv4)?;
        let gateway: std::net::IpAddr = "192.168.11.2".parse().unwrap();
        match routes.iter().filter(|r| r.gateways == [gateway]).count() {
            n if n == ROUTES as usize => Ok(()),
            n => Err(LabError::new(format!("{n} routes"))),
        }
    });
    let said = run(None, lab.perouter(), &["--state-dir", state.to_str().unwrap(), "peers"]).unwrap();
    assert!(said.ok() && said.stdout.contains("100000"), "{}{}", said.stdout, said.stderr);

    let status = lab.end(speaker, rustix::process::Signal::TERM, PATIENCE).unwrap();
    assert!(status.success(), "SIGTERM stops it in order: {status}");
    lab.wait_until("the host has lost every route", PATIENCE, || match host_peer.count(Family::Ipv4)? {
        0 => Ok(()),
        n => Err(LabError::new(format!("{n} routes"))),
    });
}

/// 20.0.0.0/24, 20.0.1.0/24, .. in order.
fn prefix(number: u32) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from((20 << 24) + (number << 8)), 24))
}

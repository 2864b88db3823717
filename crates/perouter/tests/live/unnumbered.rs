//! Neighbours without addresses: two speakers that know only the link.

use std::fs;

use crate::support::{Daemon, Namespace, has, ip, perouter, wait_until};

#[test]
fn two_speakers_that_know_only_their_link_find_each_other() {
    let (left, right) = (Namespace::new("ul"), Namespace::new("ur"));
    let folder = tempfile::tempdir().unwrap();
    ip(&format!("link add name veth0 netns {left} type veth peer name veth0 netns {right}"));
    let mut daemons = Vec::new();
    for (number, namespace) in [(1, &left), (2, &right)] {
        ip(&format!("-n {namespace} link set veth0 up"));
        let file = folder.path().join(format!("{number}.yaml"));
        let state = folder.path().join(format!("{number}-state"));
        let text = format!(
            "asn: 6500{number}\nrouterID: 10.0.0.{number}\nconnectRetrySeconds: 1\nnetworks: [10.{number}.0.0/24, \
             \"2001:db8:{number}::/48\"]\nneighbors:\n  - {{name: other, interface: veth0, type: External, role: peer, addressFamilies: [ipv4unicast, ipv6unicast]}}\nstateDir: {}\n",
            state.display()
        );
        fs::write(&file, text).unwrap();
        daemons.push(Daemon::start(
            namespace,
            &folder.path().join(format!("{number}.log")),
            &["speak".as_ref(), &file],
        ));
    }
    wait_until("IPv4 and IPv6 routes are there", || {
        has(&left.0, "10.2.0.0/24") && has(&left.0, "2001:db8:2::/48") && has(&right.0, "10.1.0.0/24")
    });
    let peers = perouter(&left, &folder.path().join("1-state"), &["peers"]);
    assert!(peers.text.contains("%veth0") && peers.text.contains("Established"), "{peers:?}");

    // The link goes: so does the session, and comes back with it.
    ip(&format!("-n {left} link set veth0 down"));
    wait_until("the peer forgets", || !has(&right.0, "10.1.0.0/24"));
    ip(&format!("-n {left} link set veth0 up"));
    wait_until("the routes are back", || has(&left.0, "10.2.0.0/24") && has(&right.0, "10.1.0.0/24"));
    for daemon in daemons {
        daemon.stop();
    }
}

//! How many prefixes a peer may announce, on our side and on the other (RFC 4271 6.7, RFC 4486 section 4).

use ipnet::IpNet;
use testbed::{Daemon, Family, LabError, Peer, PeerConfig};

use crate::fabric::{knows, sessions_up};
use crate::star::{Star, neighbor, network, peer, says, spoke, spoke_config};

const ASN: u32 = 64601;
const OTHER_ASN: u32 = 64602;
const OVER_LIMIT: &str = "Cease/Maximum Number of Prefixes Reached";

fn more(n: u8) -> IpNet {
    format!("10.200.{n}.0/24").parse().unwrap()
}

/// The router, a BIRD that may announce two prefixes and does (or a FRR), and another peer that is not concerned.
fn start(daemon: Daemon, action: &str) -> (Star, Peer, Peer, Peer) {
    let star = Star::new(2);
    let limit = format!("maxPrefixes: [{{type: ipv4unicast, limit: 2{action}}}]");
    let neighbors = [neighbor(0, ASN, &limit), neighbor(1, OTHER_ASN, "")];
    let router = star.router(&neighbors, "kernelRoutes: false");
    let mut config = spoke_config(0, ASN);
    config.networks.push(more(0));
    let limited = star.start(0, daemon, config);
    // It announces nothing: what FRR is told it may tell back, and that would count.
    let mut quiet = spoke_config(1, OTHER_ASN);
    quiet.networks.clear();
    let other = star.start(1, Daemon::Frr, quiet);
    sessions_up(&star.lab, &limited);
    sessions_up(&star.lab, &other);
    knows(&star.lab, &other, more(0));
    (star, router, limited, other)
}

/// The other session is the one that it was, as both of its ends see it.
fn other_is_untouched(star: &Star, router: &Peer, other: &Peer) {
    let seen = peer(router, spoke(Family::Ipv4, 1));
    assert_eq!((&seen["state"], &seen["flaps"]), (&"established".into(), &0.into()), "{seen}");
    let frr = says(&star.lab, other, &["show bgp neighbors 10.0.1.1 json"], &["Established"]);
    assert!(frr.contains("\"connectionsDropped\":0"), "{frr}");
}

#[test]
fn beyond_a_limit_that_warns_the_session_stays_and_the_operator_is_told() {
    let (star, router, mut limited, other) = start(Daemon::Bird, "");
    limited.announce(more(1)).unwrap();
    says(&star.lab, &router, &["status"], &["announces 3 ipv4 unicast prefixes, more than the 2 it may"]);
    knows(&star.lab, &other, more(1));
    let seen = peer(&router, spoke(Family::Ipv4, 0));
    assert_eq!((&seen["state"], &seen["flaps"]), (&"established".into(), &0.into()), "{seen}");
    other_is_untouched(&star, &router, &other);
}

/// `reason` is what the daemon was told, or what it was told a second later when it tried again.
fn tears_down(daemon: Daemon, question: &[&str], reason: [&str; 2]) {
    let (star, router, mut limited, other) = start(daemon, ", action: Teardown");
    limited.announce(more(1)).unwrap();
    let seen = star.peer_is(&router, spoke(Family::Ipv4, 0), "down", |p| p["state"] != "established");
    assert!(seen["last_error"].as_str().unwrap().contains(OVER_LIMIT), "{seen}");
    star.lab.wait_until("it was told why", crate::fabric::PATIENCE, || {
        let said = limited.ask(question)?;
        if reason.iter().any(|words| said.contains(words)) { Ok(()) } else { Err(LabError::new(said)) }
    });
    says(&star.lab, &router, &["status"], &["announces 3 ipv4 unicast prefixes, more than the 2 it may"]);
    crate::fabric::learns(&star.lab, &other, more(0), None);
    other_is_untouched(&star, &router, &other);
}

#[test]
fn beyond_a_limit_that_tears_down_bird_is_told_why() {
    tears_down(
        Daemon::Bird,
        &["show", "protocols", "all", "n0"],
        ["Maximum number of prefixes reached", "Connection rejected"],
    );
}

#[test]
fn beyond_a_limit_that_tears_down_frr_is_told_why() {
    tears_down(
        Daemon::Frr,
        &["show bgp neighbors 10.0.0.1"],
        ["Cease/Maximum Number of Prefixes Reached", "Cease/Connection Rejected"],
    );
}

/// It connects again by itself, and goes again as long as nothing has changed.
#[test]
fn a_peer_that_was_over_its_limit_is_back_after_the_pause_once_it_has_less() {
    let (star, router, mut limited, other) = start(Daemon::Bird, ", action: Teardown, restartSeconds: 2");
    limited.announce(more(1)).unwrap();
    let address = spoke(Family::Ipv4, 0);
    star.peer_is(&router, address, "down for the second time", |p| p["flaps"].as_u64() >= Some(2));
    limited.withdraw(more(1)).unwrap();
    sessions_up(&star.lab, &limited);
    knows(&star.lab, &other, more(0));
    star.peer_is(&router, address, "established", |p| p["state"] == "established");
    other_is_untouched(&star, &router, &other);
}

/// The other way round: FRR has had enough of us.
#[test]
fn the_reason_is_shown_when_frr_tears_the_session_down() {
    let star = Star::new(2);
    let neighbors = [neighbor(0, ASN, ""), neighbor(1, OTHER_ASN, "")];
    let router = star.router(&neighbors, "kernelRoutes: false\nnetworks: [10.1.0.0/16, 10.2.0.0/16]");
    let family_lines = vec!["maximum-prefix 3".to_owned()];
    let limits = star.start(0, Daemon::Frr, PeerConfig { family_lines, ..spoke_config(0, ASN) });
    let mut other = star.start(1, Daemon::Frr, spoke_config(1, OTHER_ASN));
    sessions_up(&star.lab, &limits);
    sessions_up(&star.lab, &other);
    knows(&star.lab, &limits, network(Family::Ipv4, 1));
    for n in 0..2 {
        other.announce(more(n)).unwrap();
    }
    star.peer_is(&router, spoke(Family::Ipv4, 0), "down and says why", |p| {
        p["state"] != "established" && p["last_error"].as_str().is_some_and(|e| e.contains(OVER_LIMIT))
    });
    says(&star.lab, &router, &["peers", "10.0.0.2"], &[OVER_LIMIT]);
    says(&star.lab, &limits, &["show bgp neighbors 10.0.0.1"], &["Maximum"]);
    other_is_untouched(&star, &router, &other);
}

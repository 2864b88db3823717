//! Roles (RFC 9234) against FRR and BIRD: they match or there is no session, and a leak goes nowhere.

use testbed::{Daemon, Family, PeerConfig};

use crate::fabric::{knows, sessions_up};
use crate::star::{Star, in_frr, neighbor, network, peer, says, spoke, spoke_config};

const ASNS: [u32; 3] = [64601, 64602, 64603];
const MISMATCH: &str = "OPEN Message Error/Role Mismatch";

fn config(index: u8, daemon: Daemon, role: &str) -> PeerConfig {
    let asn = ASNS[usize::from(index)];
    let lines = match daemon {
        Daemon::Frr => format!(" neighbor 10.0.{index}.1 local-role {role}\n"),
        Daemon::Bird | Daemon::Gobgp | Daemon::Perouter => format!("  local role {role};\n"),
    };
    PeerConfig { lines, ..spoke_config(index, asn) }
}

fn ours(index: u8, role: &str) -> String {
    neighbor(index, ASNS[usize::from(index)], &format!("bgpRole: {role}"))
}

/// We are a customer of FRR and of BIRD, and FRR's provider on the third link: what came from above goes down and not
/// up again.
#[test]
fn roles_that_match_let_sessions_up_and_keep_routes_from_leaking() {
    let star = Star::new(3);
    let neighbors = [ours(0, "Customer"), ours(1, "Customer"), ours(2, "Provider")];
    let _router = star.router(&neighbors, "kernelRoutes: false");
    let above = star.start(0, Daemon::Frr, config(0, Daemon::Frr, "provider"));
    let beside = star.start(1, Daemon::Bird, config(1, Daemon::Bird, "provider"));
    let below = star.start(2, Daemon::Frr, config(2, Daemon::Frr, "customer"));
    for peer in [&above, &beside, &below] {
        sessions_up(&star.lab, peer);
    }
    let v4 = Family::Ipv4;
    // Down: marked as only for customers by who sold it.
    let down = in_frr(&star.lab, &below, network(v4, 0));
    assert_eq!(down["otc"], ASNS[0], "{down}");
    knows(&star.lab, &below, network(v4, 1));
    // Up: what the customer has.
    for peer in [&above, &beside] {
        knows(&star.lab, peer, network(v4, 2));
    }
    // Across: not. That what comes later has arrived shows that this will not.
    for (peer, others) in [(&above, 1), (&beside, 0)] {
        assert!(peer.routes(v4).unwrap().iter().all(|r| r.prefix != network(v4, others)));
    }
    let bird = says(&star.lab, &beside, &["show", "protocols", "all", "n0"], &["Established"]);
    assert!(bird.contains("Role: customer"), "{bird}");
}

/// A customer that sends on what another provider sold to it (it claims so itself) has leaked.
#[test]
fn a_leak_is_refused_and_shown() {
    let star = Star::new(2);
    let neighbors = [ours(0, "Provider"), ours(1, "Provider")];
    let mut router = star.router(&neighbors, "kernelRoutes: false");
    // BIRD checks what it sends itself; a session without a role on its side does not.
    let mut leaks = spoke_config(0, ASNS[0]);
    leaks.export = "bgp_otc = 64999;".into();
    let leaks = star.start(0, Daemon::Bird, leaks);
    let below = star.start(1, Daemon::Frr, config(1, Daemon::Frr, "customer"));
    sessions_up(&star.lab, &leaks);
    sessions_up(&star.lab, &below);
    star.paths_are(&router, network(Family::Ipv4, 0), "a leak", |paths| {
        matches!(paths, [one] if one["usable"] == false && one["reason"].as_str().unwrap().contains("route leak"))
    });
    // What the router announces after that arrives, and the leak has not.
    let text = star.router_text(&neighbors, "kernelRoutes: false\nnetworks: [10.1.0.0/16]");
    router.reconfigure(|c| c.text = Some(text)).unwrap();
    knows(&star.lab, &below, "10.1.0.0/16".parse().unwrap());
    assert!(below.routes(Family::Ipv4).unwrap().iter().all(|r| r.prefix != network(Family::Ipv4, 0)));
}

fn mismatch(daemon: Daemon, role: &str, question: &[&str], words: &[&str]) {
    let star = Star::new(1);
    let router = star.router(&[ours(0, "Customer")], "kernelRoutes: false");
    let other = star.start(0, daemon, config(0, daemon, role));
    let seen = star.peer_is(&router, spoke(Family::Ipv4, 0), "refused for its role", |p| {
        p["last_error"].as_str().is_some_and(|e| e.contains(MISMATCH))
    });
    assert_ne!(seen["state"], "established");
    says(&star.lab, &router, &["peers", "10.0.0.2"], &[MISMATCH]);
    says(&star.lab, &other, question, words);
    assert_eq!(peer(&router, spoke(Family::Ipv4, 0))["flaps"], 0, "it never came up");
}

#[test]
fn roles_that_do_not_match_are_explained_on_both_sides_frr() {
    mismatch(Daemon::Frr, "customer", &["show bgp neighbors 10.0.0.1"], &["Role Mismatch"]);
}

#[test]
fn roles_that_do_not_match_are_explained_on_both_sides_bird() {
    mismatch(Daemon::Bird, "peer", &["show", "protocols", "all", "n0"], &["Role mismatch"]);
}

//! Keys (RFC 2385), distance (RFC 5082, multihop) and both together, against FRR and BIRD.

use std::net::IpAddr;

use serde_json::Value;
use testbed::passthrough::ROUTER_ASN;
use testbed::{Daemon, Family, NeighborConfig, Peer, PeerConfig};

use crate::fabric::{knows, learns, session, sessions_up};
use crate::star::{Star, far, hub, in_frr, neighbor, network, peer, spoke, spoke_config};

const ASN: u32 = 64601;
const OTHER_ASN: u32 = 64602;

/// A peer with one session per family, each with these lines.
fn dual(lines: impl Fn(IpAddr) -> String) -> PeerConfig {
    let neighbor = |f| NeighborConfig { address: hub(f, 0), asn: ROUTER_ASN, families: vec![f] };
    PeerConfig {
        neighbors: Family::ALL.map(neighbor).to_vec(),
        networks: Family::ALL.map(|f| network(f, 0)).to_vec(),
        lines: Family::ALL.map(|f| lines(hub(f, 0))).concat(),
        ..spoke_config(0, ASN)
    }
}

/// FRR two hops away, with one session per family.
fn behind(star: &Star, property: &str, password: &str) -> Peer {
    let ns = star.behind_spoke_0();
    let lines = |n| format!(" neighbor {n} {property}\n neighbor {n} password {password}\n");
    println!("lab: FRR two hops away with {property}, a key, and perouter as a speaker");
    Peer::start(&star.lab, Daemon::Frr, &ns, dual(lines)).unwrap_or_else(|e| panic!("{e}"))
}

fn neighbors(address: impl Fn(Family) -> IpAddr, fields: [&str; 2]) -> Vec<String> {
    let one = |(f, fields): (Family, &str)| {
        format!("{{asn: {ASN}, address: \"{}\", password: long-and-secret, {fields}}}", address(f))
    };
    Family::ALL.into_iter().zip(fields).map(one).collect()
}

fn routes_come(star: &Star, router: &Peer) {
    for family in Family::ALL {
        star.paths_are(
            router,
            network(family, 0),
            "usable",
            |paths| matches!(paths, [one] if one["usable"] == true && one["as_path"] == "64601"),
        );
    }
}

#[test]
fn multihop_in_both_families_with_a_key() {
    let star = Star::new(1);
    let fields = "properties: [{type: ebgpMultiHop, ebgpMultiHop: {ttl: 2}}]";
    let router = star
        .router(&neighbors(far, [fields; 2]), "kernelRoutes: false\nnetworks: [10.1.0.0/16, \"2001:db8:1000::/48\"]");
    let frr = behind(&star, "ebgp-multihop 2", "long-and-secret");
    sessions_up(&star.lab, &frr);
    routes_come(&star, &router);
    learns(&star.lab, &frr, "10.1.0.0/16".parse().unwrap(), Some((hub(Family::Ipv4, 0), &[ROUTER_ASN])));
    // A link-local address would mean nothing there (RFC 2545 section 3).
    let seen = in_frr(&star.lab, &frr, "2001:db8:1000::/48".parse().unwrap());
    let hops = seen["nexthops"].as_array().unwrap();
    assert!(matches!(hops.as_slice(), [one] if one["scope"] == "global"), "{seen}");
}

/// What is sent with 255 arrives with 254 from two hops away: too little where one hop is allowed.
#[test]
fn ttl_security_over_two_hops_with_a_key_and_not_over_more_than_is_allowed() {
    let star = Star::new(1);
    let (near, enough) = ("ttlSecurity: {hops: 1}", "ttlSecurity: {hops: 2}");
    let lines = "kernelRoutes: false";
    let mut router = star.router(&neighbors(far, [near, enough]), lines);
    let frr = behind(&star, "ttl-security hops 2", "long-and-secret");
    let [v4, v6] = Family::ALL;
    session(&star.lab, &frr, hub(v6, 0), true);
    star.paths_are(&router, network(v6, 0), "there", |paths| paths.len() == 1);
    assert_ne!(peer(&router, far(v4))["state"], "established");
    let text = star.router_text(&neighbors(far, [enough; 2]), lines);
    router.reconfigure(|c| c.text = Some(text)).unwrap();
    sessions_up(&star.lab, &frr);
    routes_come(&star, &router);
    assert_eq!(peer(&router, far(v6))["flaps"], 0, "the other neighbour is not concerned");
}

#[test]
fn a_key_and_ttl_security_together_with_bird_in_both_families() {
    let star = Star::new(1);
    let address = |f| spoke(f, 0);
    let router = star.router(&neighbors(address, ["ttlSecurity: {hops: 1}"; 2]), "kernelRoutes: false");
    let lines = "  password \"long-and-secret\";\n  ttl security on;\n".to_owned();
    let bird = star.start(0, Daemon::Bird, PeerConfig { lines, ..dual(|_| String::new()) });
    sessions_up(&star.lab, &bird);
    routes_come(&star, &router);
    for family in Family::ALL {
        assert_eq!(peer(&router, spoke(family, 0))["flaps"], Value::from(0));
    }
}

/// One key for everybody in a range; who has another one is left waiting, alone.
#[test]
fn who_has_the_wrong_key_of_a_range_waits_and_the_others_do_not() {
    let star = Star::new(2);
    let range = "{type: External, listenRange: 10.0.0.0/16, password: long-and-secret}".to_owned();
    let router = star.router(&[range], "kernelRoutes: false");
    let lines = " neighbor 10.0.0.1 password long-and-secret\n".to_owned();
    let right = star.start(0, Daemon::Frr, PeerConfig { lines, ..spoke_config(0, ASN) });
    let lines = "  password \"another\";\n".to_owned();
    let mut wrong = star.start(1, Daemon::Bird, PeerConfig { lines, ..spoke_config(1, OTHER_ASN) });
    sessions_up(&star.lab, &right);
    star.paths_are(&router, network(Family::Ipv4, 0), "there", |paths| paths.len() == 1);
    assert!(!wrong.established(hub(Family::Ipv4, 1)).unwrap());
    assert_eq!(peer(&router, spoke(Family::Ipv4, 1)), Value::Null, "not even a connection");
    wrong.reconfigure(|c| c.lines = "  password \"long-and-secret\";\n".into()).unwrap();
    sessions_up(&star.lab, &wrong);
    knows(&star.lab, &right, network(Family::Ipv4, 1));
    assert_eq!(peer(&router, spoke(Family::Ipv4, 0))["flaps"], Value::from(0));
}

/// A neighbour of its own inside a range keeps its own key.
#[test]
fn a_neighbour_inside_a_range_has_its_own_key() {
    let star = Star::new(2);
    let range = "{type: External, listenRange: 10.0.0.0/16, password: of-the-range}".to_owned();
    let own = neighbor(1, OTHER_ASN, "password: its-own, connectTimeSeconds: 1");
    let _router = star.router(&[range, own], "kernelRoutes: false");
    let lines = " neighbor 10.0.0.1 password of-the-range\n".to_owned();
    let ranged = star.start(0, Daemon::Frr, PeerConfig { lines, ..spoke_config(0, ASN) });
    let lines = "  password \"its-own\";\n".to_owned();
    let named = star.start(1, Daemon::Bird, PeerConfig { lines, ..spoke_config(1, OTHER_ASN) });
    sessions_up(&star.lab, &ranged);
    sessions_up(&star.lab, &named);
    knows(&star.lab, &ranged, network(Family::Ipv4, 1));
    knows(&star.lab, &named, network(Family::Ipv4, 0));
}

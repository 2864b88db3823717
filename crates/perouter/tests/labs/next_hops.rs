//! Next hops of one family over sessions of the other (RFC 4760, 2545, 8950).

use serde_json::Value;
use testbed::passthrough::ROUTER_ASN;
use testbed::{Daemon, Family, NeighborConfig, Peer, PeerConfig};

use crate::fabric::{knows, learns, sessions_up};
use crate::star::{Star, hub, in_frr, network, paths, spoke, spoke_config};

const ASNS: [u32; 2] = [64601, 64602];

/// A spoke with one session over `over`, for both families.
fn both(index: u8, over: Family) -> PeerConfig {
    let asn = ASNS[usize::from(index)];
    let address = hub(over, index);
    PeerConfig {
        neighbors: vec![NeighborConfig { address, asn: ROUTER_ASN, families: Family::ALL.to_vec() }],
        networks: Family::ALL.map(|f| network(f, index)).to_vec(),
        ..spoke_config(index, asn)
    }
}

/// FRR and BIRD, each with one session over `over`; every route passes, with a next hop of its own or of the session's
/// family.
fn start(over: Family, frr: &str, bird: &[&str]) -> (Star, Peer, [Peer; 2]) {
    let star = Star::new(2);
    let neighbors = [0, 1].map(|i| {
        let families = "addressFamilies: [ipv4unicast, ipv6unicast]";
        format!("{{asn: {}, address: \"{}\", {families}}}", ASNS[usize::from(i)], spoke(over, i))
    });
    let router = star.router(&neighbors, "kernelRoutes: false");
    let frr = star.start(0, Daemon::Frr, PeerConfig { lines: frr.to_owned(), ..both(0, over) });
    let family_lines = bird.iter().map(|l| (*l).to_owned()).collect();
    let bird = star.start(1, Daemon::Bird, PeerConfig { family_lines, ..both(1, over) });
    sessions_up(&star.lab, &frr);
    sessions_up(&star.lab, &bird);
    (star, router, [frr, bird])
}

fn own_next_hop(router: &Peer, index: u8, family: Family) -> String {
    let found = paths(router, network(family, index));
    found.first().and_then(|p| p["next_hop"].as_str()).unwrap_or_default().to_owned()
}

#[test]
fn ipv6_routes_over_an_ipv4_session() {
    let (star, router, [frr, bird]) = start(Family::Ipv4, "", &[]);
    for family in Family::ALL {
        let path = |of: usize| [ROUTER_ASN, ASNS[of]];
        learns(&star.lab, &frr, network(family, 1), Some((hub(family, 0), &path(1))));
        learns(&star.lab, &bird, network(family, 0), Some((hub(family, 1), &path(0))));
        assert_eq!(own_next_hop(&router, 0, family), spoke(family, 0).to_string());
        assert_eq!(own_next_hop(&router, 1, family), spoke(family, 1).to_string());
    }
}

#[test]
fn ipv4_routes_over_an_ipv6_session() {
    let extended = format!(" neighbor {} capability extended-nexthop\n", hub(Family::Ipv6, 0));
    let (star, router, [frr, bird]) = start(Family::Ipv6, &extended, &["extended next hop on;"]);
    for family in Family::ALL {
        let path = |of: usize| [ROUTER_ASN, ASNS[of]];
        learns(&star.lab, &frr, network(family, 1), Some((hub(Family::Ipv6, 0), &path(1))));
        learns(&star.lab, &bird, network(family, 0), Some((hub(Family::Ipv6, 1), &path(0))));
        assert_eq!(own_next_hop(&router, 0, family), spoke(Family::Ipv6, 0).to_string());
        assert_eq!(own_next_hop(&router, 1, family), spoke(Family::Ipv6, 1).to_string());
    }
    for index in [0, 1] {
        let seen = star.peer_is(&router, spoke(Family::Ipv6, index), "up", |p| p["state"] == "established");
        assert!(seen["capabilities"].to_string().contains("extended next hop"), "{seen}");
    }
}

/// RFC 2545 section 3: on a shared link the link-local address goes beside the global one, in both directions.
#[test]
fn ipv6_routes_carry_the_link_local_next_hop_beside_the_global_one() {
    let extended = format!(" neighbor {} capability extended-nexthop\n", hub(Family::Ipv6, 0));
    let (star, _router, [frr, bird]) = start(Family::Ipv6, &extended, &["extended next hop on;"]);
    let seen = in_frr(&star.lab, &frr, network(Family::Ipv6, 1));
    let scopes: Vec<&Value> = seen["nexthops"].as_array().unwrap().iter().map(|h| &h["scope"]).collect();
    assert_eq!(scopes, ["global", "link-local"], "{seen}");
    knows(&star.lab, &bird, network(Family::Ipv6, 0));
    let said = bird.ask(&["show", "route", "for", &network(Family::Ipv6, 0).to_string(), "all"]).unwrap();
    let hops = said.lines().find(|l| l.contains("BGP.next_hop:")).unwrap();
    let global = hub(Family::Ipv6, 1).to_string();
    assert!(hops.contains(&format!("{global} fe80::")), "{said}");
}

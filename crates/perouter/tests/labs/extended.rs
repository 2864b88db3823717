//! Messages of more than 4096 octets (RFC 8654): they reach whoever takes them, and nobody else suffers.

use std::fmt::Write as _;

use serde_json::Value;
use testbed::{Daemon, Family, Peer, PeerConfig};

use crate::fabric::{knows, sessions_up};
use crate::star::{Star, neighbor, network, peer, says, spoke, spoke_config};

/// Large communities of the route in question, 12 octets each: beyond 4096 with the rest of the message.
const MANY: usize = 400;
const FIRST_ASN: u32 = 64601;

fn asn(index: u8) -> u32 {
    FIRST_ASN + u32::from(index)
}

fn large_communities() -> String {
    (0..MANY).fold(String::new(), |mut out, n| {
        let _ = writeln!(out, "bgp_large_community.add((64601, 7, {n}));");
        out
    })
}

fn with_extended(index: u8) -> PeerConfig {
    PeerConfig { lines: "  enable extended messages yes;\n".into(), ..spoke_config(index, asn(index)) }
}

fn agreed(router: &Peer, index: u8) -> bool {
    let found = peer(router, spoke(Family::Ipv4, index));
    found["capabilities"].as_array().into_iter().flatten().any(|c| c == "extended message")
}

#[test]
fn a_route_that_needs_a_long_message_reaches_those_that_take_one() {
    let star = Star::new(3);
    let neighbors: Vec<String> = (0..3).map(|i| neighbor(i, asn(i), "")).collect();
    let router = star.router(&neighbors, "kernelRoutes: false");
    let mut from = star.start(0, Daemon::Bird, with_extended(0));
    let takes = star.start(1, Daemon::Bird, with_extended(1));
    let refuses = star.start(2, Daemon::Bird, spoke_config(2, asn(2)));
    for peer in [&from, &takes, &refuses] {
        sessions_up(&star.lab, peer);
    }
    for i in 0..3 {
        star.peer_is(&router, spoke(Family::Ipv4, i), "up", |peer| peer["state"] == "established");
    }
    assert_eq!([0, 1, 2].map(|i| agreed(&router, i)), [true, true, false]);
    let v4 = Family::Ipv4;
    // With few attributes everybody has it.
    knows(&star.lab, &takes, network(v4, 0));
    knows(&star.lab, &refuses, network(v4, 0));

    from.reconfigure(|c| c.export = large_communities()).unwrap();
    let last = format!("(64601, 7, {})", MANY - 1);
    let said = says(&star.lab, &takes, &["show", "route", "for", "10.10.0.0/16", "all"], &["(64601, 7, 0)", &last]);
    assert_eq!(said.matches("(64601, 7, ").count(), MANY, "every one, once");
    star.paths_are(&router, network(v4, 0), "all of its communities", |paths| {
        paths.iter().any(|p| p["communities"].as_array().is_some_and(|c| c.len() == MANY))
    });
    // Who does not take it must not keep the older version, is told what fits, and the operator is told of the rest.
    star.lab.wait_until("the other one has lost it", crate::fabric::PATIENCE, || {
        let routes = refuses.routes(v4).map_err(|e| e.to_string())?;
        if routes.iter().all(|r| r.prefix != network(v4, 0)) { Ok(()) } else { Err(format!("{routes:?}")) }
    });
    knows(&star.lab, &refuses, network(v4, 1));
    says(&star.lab, &router, &["status"], &["could not be announced to", "10.0.2.2"]);

    // And it is back as soon as it fits.
    from.reconfigure(|c| c.export.clear()).unwrap();
    knows(&star.lab, &refuses, network(v4, 0));
    for index in 0..3 {
        let peer = star.peer_is(&router, spoke(v4, index), "established", |p| p["state"] == "established");
        assert_eq!((&peer["flaps"], &peer["malformed"]), (&Value::from(0), &Value::from(0)), "{peer}");
    }
}

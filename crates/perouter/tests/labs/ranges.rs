//! Listen ranges: leaves that dial, from addresses that nobody configured one by one.

use testbed::passthrough::addresses;
use testbed::{Daemon, Family};

use crate::fabric::{Asns, Fabric, PATIENCE, healthy, peer_is, peers};
use crate::yaml::Yaml;

const RANGES: [&str; 2] = ["192.168.11.0/24", "2001:db8:11::/64"];

fn ranges(who: &str) -> Vec<String> {
    RANGES.map(|r| format!("{who}, listenRange: \"{r}\"")).to_vec()
}

fn works(leaf: Daemon, asns: Asns, who: &str) {
    let fabric = Fabric::with(leaf, Daemon::Bird, &Family::ALL, asns);
    fabric.configure(&Yaml { asn: asns.router, ..Yaml::new() }.neighbors(ranges(who)));
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
        fabric.packets_pass(&a);
        let peer = peer_is(fabric.node(), a.leaf, "established");
        // The leaf dialled: it comes from a port of its choice to ours.
        assert!(peer["local"].as_str().unwrap().ends_with(":179"), "{peer}");
    }
    healthy(fabric.node());

    // Without its range the peer is closed, and nobody dials it.
    fabric.configure(&Yaml { asn: asns.router, ..Yaml::new() }.neighbors(ranges(who).into_iter().skip(1)));
    let [a, b] = Family::ALL.map(addresses);
    fabric.session(&fabric.leaf, a.nic.addr(), false);
    fabric.wait("the router has forgotten it", || {
        let shown = peers(fabric.node());
        if shown.iter().all(|p| p["address"] != a.leaf.to_string().as_str()) {
            Ok(())
        } else {
            Err(format!("{shown:?}"))
        }
    });
    fabric.learns(&fabric.host, a.leaf_network, None);
    // The other range's peer has not noticed.
    assert_eq!(peer_is(fabric.node(), b.leaf, "established")["flaps"], 0);
    fabric.routes_pass(&b);

    // And with it again it is back.
    fabric.configure(&Yaml { asn: asns.router, ..Yaml::new() }.neighbors(ranges(who)));
    fabric.session(&fabric.leaf, a.nic.addr(), true);
    fabric.routes_pass(&a);
}

/// Case 147 (E-10), 89 (B-14).
#[test]
fn case_147_89_frr_dials_ranges_of_both_families_by_number() {
    works(Daemon::Frr, Asns::default(), "asn: 64512");
}

#[test]
fn bird_dials_ranges_of_type_external() {
    works(Daemon::Bird, Asns::default(), "type: External");
}

/// Case 88 (B-13).
#[test]
fn case_88_frr_dials_ranges_of_type_internal() {
    works(Daemon::Frr, Asns { leaf: 64514, ..Asns::default() }, "type: Internal");
}

/// A peer of another AS than the range's is told so, and the router says it in words.
#[test]
fn a_range_does_not_let_in_another_system() {
    let fabric = Fabric::new(Daemon::Frr, Daemon::Bird);
    let neighbors =
        [format!("asn: 64999, listenRange: \"{}\"", RANGES[0]), format!("asn: 64512, listenRange: \"{}\"", RANGES[1])];
    fabric.configure(&Yaml::new().neighbors(neighbors));
    fabric.node().start_router().unwrap();
    let [a, b] = Family::ALL.map(addresses);
    fabric.session(&fabric.leaf, b.nic.addr(), true);
    fabric.routes_pass(&b);
    // FRR repeats the NOTIFICATION that it was sent: bad peer AS.
    fabric.wait("FRR was told that its AS is wrong", || {
        let said = fabric.leaf.ask(&[&format!("show bgp neighbors {}", a.nic.addr())]).map_err(|e| e.to_string())?;
        if said.contains("Bad Peer AS") { Ok(()) } else { Err(said) }
    });
    fabric.status_says(&["192.168.11.2", "64999"]);
}

/// One peer too many is refused and the router says so; the others work.
#[test]
fn a_full_limit_refuses_the_next_peer_and_says_so() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    fabric.configure(&Yaml::new().neighbors(ranges("asn: 64512")).underlay("listenLimit: 1"));
    fabric.node().start_router().unwrap();
    let plans = fabric.plans();
    // Whoever comes first.
    let first = fabric.net.lab.wait_until("one of the two sessions is up", PATIENCE, || {
        let up = |i: usize| fabric.leaf.established(plans[i].nic.addr()).map_err(|e| e.to_string());
        match (up(0)?, up(1)?) {
            (true, false) => Ok(0),
            (false, true) => Ok(1),
            other => Err(format!("{other:?}")),
        }
    });
    fabric.routes_pass(&plans[first]);
    fabric.status_says(&["limit"]);
    assert!(!fabric.leaf.established(plans[1 - first].nic.addr()).unwrap());

    // Room for both.
    fabric.configure(&Yaml::new().neighbors(ranges("asn: 64512")));
    fabric.sessions_up();
    for a in &plans {
        fabric.routes_pass(a);
    }
    assert_eq!(fabric.flaps(), 0, "the first session was not reset");
}

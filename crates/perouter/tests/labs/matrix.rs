//! Every daemon as leaf with every daemon as host, over IPv4, IPv6 and both; and the four ways in which a router
//! can share its AS with its neighbours (design.md 6.4).

use testbed::Daemon::{self, Bird, Frr, Gobgp};
use testbed::Family::{self, Ipv4, Ipv6};

use crate::fabric::{Asns, Fabric};
use crate::yaml::{Yaml, address, local};

/// Sessions, routes and packets both ways with one family, as upstream's users write it: without
/// `addressFamilies` (reference 2.6).
fn one_family(leaf: Daemon, host: Daemon, family: Family) {
    let fabric = Fabric::with(leaf, host, &[family], Asns::default());
    fabric.configure(
        &Yaml { local: local(&[family]), ..Yaml::new() }.neighbors([format!("asn: 64512, {}", address(0, family))]),
    );
    everything_passes(&fabric);
    let other = if family == Ipv4 { Ipv6 } else { Ipv4 };
    assert_eq!(fabric.leaf.routes(other).unwrap(), [], "nothing of the other family");
}

/// Both families over sessions of their own, again without `addressFamilies`.
fn both(leaf: Daemon, host: Daemon) {
    let fabric = Fabric::new(leaf, host);
    let neighbors = [Ipv4, Ipv6].map(|f| format!("asn: 64512, {}", address(0, f)));
    fabric.configure(&Yaml::new().neighbors(neighbors));
    everything_passes(&fabric);
}

fn everything_passes(fabric: &Fabric) {
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    fabric.help_the_kernels();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
        fabric.packets_pass(&a);
    }
}

macro_rules! pairs {
    ($scenario:expr, $($name:ident: $leaf:ident and $host:ident,)*) => {
        $(#[test] fn $name() { ($scenario)($leaf, $host); })*
    };
    ($scenario:expr) => {
        pairs! {
            $scenario,
            frr_as_leaf_and_frr_as_host: Frr and Frr,
            frr_as_leaf_and_bird_as_host: Frr and Bird,
            frr_as_leaf_and_gobgp_as_host: Frr and Gobgp,
            bird_as_leaf_and_frr_as_host: Bird and Frr,
            bird_as_leaf_and_bird_as_host: Bird and Bird,
            bird_as_leaf_and_gobgp_as_host: Bird and Gobgp,
            gobgp_as_leaf_and_frr_as_host: Gobgp and Frr,
            gobgp_as_leaf_and_bird_as_host: Gobgp and Bird,
            gobgp_as_leaf_and_gobgp_as_host: Gobgp and Gobgp,
        }
    };
}

mod ipv4 {
    use super::*;
    pairs!(|leaf, host| one_family(leaf, host, Ipv4));
}

mod ipv6 {
    use super::*;
    pairs!(|leaf, host| one_family(leaf, host, Ipv6));
}

mod dual_stack {
    use super::*;
    pairs!(both);
}

/// Both sides announce, both sides learn, whoever shares the router's AS. `host` is how the YAML names it.
fn as_combination(daemons: (Daemon, Daemon), asns: Asns, neighbor: &str, host: &str) {
    let fabric = Fabric::with(daemons.0, daemons.1, &Family::ALL, asns);
    let neighbors = Family::ALL.map(|f| format!("{neighbor}, {}", address(0, f)));
    fabric.configure(&Yaml { asn: asns.router, host: host.to_owned(), ..Yaml::new() }.neighbors(neighbors));
    everything_passes(&fabric);
}

/// Case 142 (E-3), 144 (E-7).
#[test]
fn case_142_144_other_systems_by_type_external() {
    as_combination((Frr, Bird), Asns::default(), "type: External", "hostType: External");
}

/// Case 142 (E-4).
#[test]
fn case_142_a_host_in_the_routers_system_by_type_internal() {
    as_combination((Bird, Frr), Asns { host: 64514, ..Asns::default() }, "asn: 64512", "hostType: Internal");
}

/// Case 142 (E-5).
#[test]
fn case_142_a_host_in_the_routers_system_by_number() {
    as_combination((Frr, Gobgp), Asns { host: 64514, ..Asns::default() }, "asn: 64512", "hostASN: 64514");
}

/// Case 144 (E-7).
#[test]
fn case_144_a_leaf_in_the_routers_system_by_type_internal() {
    let asns = Asns { router: 64512, ..Asns::default() };
    as_combination((Frr, Bird), asns, "type: Internal", "hostASN: 64515");
}

/// Case 144 (E-7).
#[test]
fn case_144_a_leaf_in_the_routers_system_by_number() {
    let asns = Asns { router: 64512, ..Asns::default() };
    as_combination((Bird, Frr), asns, "asn: 64512", "hostASN: 64515");
}

/// Upstream passes no routes here (reference 2.6); design.md 6.4 does.
#[test]
fn leaf_and_host_in_the_routers_system() {
    let asns = Asns { leaf: 64514, router: 64514, host: 64514 };
    as_combination((Frr, Frr), asns, "type: Internal", "hostType: Internal");
}

#[test]
fn bird_and_gobgp_in_the_routers_system() {
    let asns = Asns { leaf: 64514, router: 64514, host: 64514 };
    as_combination((Bird, Gobgp), asns, "asn: 64514", "hostASN: 64514");
}

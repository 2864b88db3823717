use std::net::IpAddr;

use ipnet::IpNet;
use kernel::host_table::{HostRoutes, HostTable, remove_others};

use crate::lab::{Pair, ip};

const COUNT: u32 = 3_000;

fn table(gateways: &[&str]) -> HostTable {
    let gateways = gateways.iter().map(|gateway| gateway.parse().unwrap()).collect();
    HostTable { table: 254, metric: 20, link: "va".to_owned(), gateways }
}

fn dual() -> HostTable {
    table(&["10.0.0.2", "fd00::2"])
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// Half of them IPv4, half IPv6.
fn many() -> Vec<(IpNet, bool)> {
    let v4 = |n: u32| net(&format!("172.16.{}.{}/32", n >> 8, n & 255));
    let v6 = |n: u32| net(&format!("2001:db8:{n:x}::/48"));
    (0..COUNT / 2).flat_map(|n| [(v4(n), true), (v6(n), true)]).collect()
}

/// Applies what nothing may refuse.
fn apply(routes: &mut HostRoutes, changes: &[(IpNet, bool)]) {
    assert_eq!(routes.apply(changes).unwrap(), []);
}

fn gateway(routes: &mut HostRoutes, prefix: &str) -> Option<IpAddr> {
    routes.routes().unwrap().into_iter().find(|(found, _)| *found == net(prefix)).map(|(_, gateway)| gateway)
}

#[test]
fn thousands_of_routes_come_and_go_and_nothing_else() {
    let pair = Pair::new();
    let before = (ip(&pair.left, "route show table all"), ip(&pair.left, "-6 route show table all"));
    let mut routes = HostRoutes::open(&pair.left, dual()).unwrap();
    apply(&mut routes, &many());
    assert_eq!(routes.routes().unwrap().len(), COUNT as usize);
    let seen = ip(&pair.left, "route show 172.16.1.1");
    assert!(seen.contains("via 10.0.0.2 dev va proto 168 metric 20 onlink"), "{seen}");
    let seen = ip(&pair.left, "-6 route show 2001:db8:7::/48");
    assert!(seen.contains("via fd00::2 dev va proto 168 metric 20 onlink"), "{seen}");
    assert_eq!(ip(&pair.left, "nexthop"), "", "next-hop objects are the host's");

    // Again, and with host bits: it is there already.
    apply(&mut routes, &many());
    apply(&mut routes, &[(net("2001:db8:7::1/48"), true)]);
    assert_eq!(routes.routes().unwrap().len(), COUNT as usize);

    let absent: Vec<_> = many().into_iter().map(|(prefix, _)| (prefix, false)).collect();
    apply(&mut routes, &absent);
    apply(&mut routes, &absent);
    let after = (ip(&pair.left, "route show table all"), ip(&pair.left, "-6 route show table all"));
    assert_eq!(before, after);
}

#[test]
fn an_ipv4_route_goes_via_an_ipv6_gateway_when_there_is_no_other() {
    let pair = Pair::new();
    let mut routes = HostRoutes::open(&pair.left, table(&["fd00::2"])).unwrap();
    apply(&mut routes, &[(net("10.7.0.0/16"), true), (net("0.0.0.0/0"), true)]);
    let seen = ip(&pair.left, "route show 10.7.0.0/16");
    assert!(seen.contains("via inet6 fd00::2 dev va proto 168 metric 20 onlink"), "{seen}");
    apply(&mut routes, &[(net("10.7.0.0/16"), false)]);
    assert_eq!(routes.routes().unwrap().len(), 1);
    // The other way round does not exist.
    let mut routes = HostRoutes::open(&pair.left, table(&["10.0.0.2"])).unwrap();
    let failed = routes.apply(&[(net("2001:db8::/32"), true)]).unwrap();
    assert!(failed[0].1.contains("no IPv6 address on the passthrough"), "{failed:?}");
}

#[test]
fn another_table_and_metric_are_used() {
    let pair = Pair::new();
    for number in [100, 100_000] {
        let mut routes = HostRoutes::open(&pair.left, HostTable { table: number, metric: 5_000, ..dual() }).unwrap();
        apply(&mut routes, &[(net("10.7.0.0/16"), true), (net("2001:db8::/32"), true)]);
        for family in ["-4", "-6"] {
            let seen = ip(&pair.left, &format!("{family} route show table {number}"));
            assert!(seen.lines().count() == 1 && seen.contains("metric 5000"), "{seen}");
            assert!(!ip(&pair.left, &format!("{family} route")).contains("168"), "not in main");
        }
        routes.clear().unwrap();
        assert_eq!(ip(&pair.left, &format!("route show table {number}")), "");
    }
}

#[test]
fn a_route_of_somebody_else_is_never_replaced_nor_removed() {
    let pair = Pair::new();
    let foreign = [
        "route add 10.7.0.0/16 via 10.0.0.9 proto bgp metric 20",
        "route add blackhole 10.8.0.0/16 metric 20",
        "-6 route add 2001:db8::/32 via fd00::9 dev va metric 20",
        // By its protocol it could be ours, but it leads elsewhere.
        "route add 10.6.0.0/16 dev lo proto 168 metric 20",
        // Beside ours: another metric.
        "route add 10.9.0.0/16 via 10.0.0.9",
    ];
    for route in foreign {
        ip(&pair.left, route);
    }
    let before = (ip(&pair.left, "route"), ip(&pair.left, "-6 route"));
    let mut routes = HostRoutes::open(&pair.left, dual()).unwrap();
    let taken = ["10.7.0.0/16", "10.8.0.0/16", "2001:db8::/32", "10.6.0.0/16"];
    let mut all: Vec<_> = taken.iter().map(|prefix| (net(prefix), true)).collect();
    all.push((net("10.9.0.0/16"), true));
    let failed = routes.apply(&all).unwrap();
    let told = |prefix: &str| {
        let found = failed.iter().find(|(failed, _)| *failed == net(prefix));
        found.map(|(_, sentence)| sentence.as_str()).unwrap_or_default()
    };
    assert_eq!(failed.len(), taken.len(), "{failed:?}");
    assert_eq!(
        told("10.7.0.0/16"),
        "cannot install route 10.7.0.0/16 in the host's table main: a route of protocol 186 (bgp) via 10.0.0.9 on va \
         has the same metric 20; choose another metric or table for the host's routes, or remove that one"
    );
    assert!(told("2001:db8::/32").contains("via fd00::9 on va"), "{failed:?}");
    assert!(told("10.8.0.0/16").contains("protocol 3 (boot"), "{failed:?}");
    assert!(told("10.6.0.0/16").contains("over another link) on lo"), "{failed:?}");

    all.iter_mut().for_each(|(_, present)| *present = false);
    apply(&mut routes, &all);
    routes.sweep().unwrap();
    routes.clear().unwrap();
    remove_others(&pair.left, "va", None).unwrap();
    assert_eq!(before, (ip(&pair.left, "route"), ip(&pair.left, "-6 route")));
}

#[test]
fn a_later_process_adopts_without_a_message_and_sweeps_the_rest() {
    let pair = Pair::new();
    let mut routes = HostRoutes::open(&pair.left, dual()).unwrap();
    apply(&mut routes, &many());
    drop(routes);

    let mut routes = HostRoutes::open(&pair.left, dual()).unwrap();
    let half: Vec<_> = many().into_iter().take(COUNT as usize / 2).collect();
    apply(&mut routes, &half);
    assert_eq!(routes.messages(), 0);
    assert_eq!(routes.routes().unwrap().len(), COUNT as usize, "in force until swept");
    routes.sweep().unwrap();
    assert_eq!(routes.routes().unwrap().len(), COUNT as usize / 2);
    let before = routes.messages();
    routes.sweep().unwrap();
    assert_eq!(routes.messages(), before, "nothing is left to sweep");
}

#[test]
fn another_gateway_replaces_the_one_of_an_earlier_process() {
    let pair = Pair::new();
    let prefixes = [(net("10.7.0.0/16"), true), (net("2001:db8::/32"), true)];
    apply(&mut HostRoutes::open(&pair.left, table(&["10.0.0.3", "fd00::3"])).unwrap(), &prefixes);
    let mut adopting = HostRoutes::open(&pair.left, dual()).unwrap();
    apply(&mut adopting, &prefixes);
    assert_eq!(gateway(&mut adopting, "10.7.0.0/16"), Some("10.0.0.2".parse().unwrap()));
    assert_eq!(gateway(&mut adopting, "2001:db8::/32"), Some("fd00::2".parse().unwrap()));

    // Not known from the start, but met on the way.
    let mut late = HostRoutes::open(&pair.left, table(&["10.0.0.3", "fd00::3"])).unwrap();
    adopting.clear().unwrap();
    late.sweep().unwrap();
    apply(&mut adopting, &prefixes);
    apply(&mut late, &prefixes);
    assert_eq!(gateway(&mut late, "10.7.0.0/16"), Some("10.0.0.3".parse().unwrap()));
    assert_eq!(late.routes().unwrap().len(), 2);
}

#[test]
fn routes_that_went_with_the_link_can_be_applied_again() {
    let pair = Pair::new();
    let mut routes = HostRoutes::open(&pair.left, dual()).unwrap();
    apply(&mut routes, &many());
    ip(&pair.left, "link set va down");
    let failed = routes.apply(&[(net("10.7.0.0/16"), true), (net("10.9.0.0/16"), false)]).unwrap();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].1.contains("via 10.0.0.2 on va") && failed[0].1.contains("the link is down"), "{failed:?}");
    ip(&pair.left, "link set va up");
    apply(&mut routes, &many());
    assert_eq!(routes.routes().unwrap().len(), COUNT as usize);

    ip(&pair.left, "link del va");
    let failed = routes.apply(&[(net("10.7.0.0/16"), true), (net("10.9.0.0/16"), false)]).unwrap();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].1.contains("there is no link va; it is tried again when it appears"), "{failed:?}");
    routes.sweep().unwrap();
    routes.clear().unwrap();
    ip(&pair.left, "link add va type veth peer name vb");
    ip(&pair.left, "link set vb up");
    ip(&pair.left, "link set va up");
    apply(&mut routes, &many());
    assert_eq!(routes.routes().unwrap().len(), COUNT as usize);
}

#[test]
fn a_flap_before_adoption_does_not_lose_routes() {
    let pair = Pair::new();
    apply(&mut HostRoutes::open(&pair.left, dual()).unwrap(), &many());
    let mut routes = HostRoutes::open(&pair.left, dual()).unwrap();
    ip(&pair.left, "link set va down");
    ip(&pair.left, "link set va up");
    apply(&mut routes, &many());
    assert_eq!(routes.routes().unwrap().len(), COUNT as usize);
}

#[test]
fn what_was_configured_otherwise_is_removed_from_every_table() {
    let pair = Pair::new();
    let kept = HostTable { table: 100, ..dual() };
    let prefixes = [(net("10.7.0.0/16"), true), (net("2001:db8::/32"), true)];
    for table in [dual(), HostTable { metric: 30, ..kept.clone() }, kept.clone()] {
        apply(&mut HostRoutes::open(&pair.left, table).unwrap(), &prefixes);
    }
    remove_others(&pair.left, "va", Some(&kept)).unwrap();
    assert!(!ip(&pair.left, "route").contains("168") && !ip(&pair.left, "-6 route").contains("168"));
    assert_eq!(ip(&pair.left, "route show table 100").lines().count(), 1);
    remove_others(&pair.left, "va", None).unwrap();
    assert_eq!(ip(&pair.left, "route show table 100").lines().count(), 0);
    remove_others(&pair.left, "no-such", None).unwrap();
}

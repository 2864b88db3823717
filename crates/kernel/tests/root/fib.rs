use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use kernel::fib::{Batch, Fib, Hop};

use crate::lab::{Pair, eventually, ip};

const COUNT: u32 = 10_000;

fn hop(pair: &Pair, gateway: &str) -> Hop {
    Hop { gateway: gateway.parse().unwrap(), link: pair.link }
}

fn v4(n: u32) -> IpNet {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 16, 0, 0)) + (n << 8));
    Ipv4Net::new(address, 24).unwrap().into()
}

fn v6(n: u32) -> IpNet {
    let address = Ipv6Addr::from(u128::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0)) + (u128::from(n) << 64));
    Ipv6Net::new(address, 64).unwrap().into()
}

/// Half of them IPv4, half IPv6, in groups 1 and 2.
fn many() -> Vec<(IpNet, Option<u32>)> {
    (0..COUNT / 2).flat_map(|n| [(v4(n), Some(1)), (v6(n), Some(2))]).collect()
}

fn groups(pair: &Pair, last: u8) -> Vec<(u32, Vec<Hop>)> {
    vec![(1, vec![hop(pair, &format!("10.0.0.{last}"))]), (2, vec![hop(pair, &format!("fd00::{last}"))])]
}

/// Applies a batch of which nothing may fail.
fn apply(fib: &mut Fib, batch: Batch) {
    let outcome = fib.apply(&batch).unwrap();
    assert_eq!(outcome, kernel::fib::Outcome::default());
}

/// The gateways of one route as the kernel has it.
fn gateways(fib: &mut Fib, prefix: IpNet) -> Vec<IpAddr> {
    let routes = fib.routes().unwrap();
    let found = routes.into_iter().find(|(found, _)| *found == prefix);
    found.map(|(_, hops)| hops.into_iter().map(|hop| hop.gateway).collect()).unwrap_or_default()
}

#[test]
fn ten_thousand_routes_are_installed_replaced_and_deleted() {
    let pair = Pair::new();
    let mut fib = Fib::open(&pair.left).unwrap();
    apply(&mut fib, Batch { set_groups: groups(&pair, 2), routes: many(), ..Batch::default() });
    assert_eq!(fib.len().unwrap(), COUNT as usize);
    // From outside: our protocol, our metric, a group in between, one object behind it.
    let seen = ip(&pair.left, "route show 172.16.9.0/24");
    assert!(seen.contains("proto 168") && seen.contains("metric 20") && seen.contains("nhid"), "{seen}");
    let seen = ip(&pair.left, "nexthop");
    assert!(seen.contains("group") && seen.contains("via 10.0.0.2 dev va") && seen.contains("onlink"), "{seen}");

    // Half of the routes move to other groups.
    let moved: Vec<_> = (0..COUNT / 2).step_by(2).flat_map(|n| [(v4(n), Some(3)), (v6(n), Some(4))]).collect();
    let others = vec![(3, vec![hop(&pair, "10.0.0.3")]), (4, vec![hop(&pair, "fd00::3")])];
    apply(&mut fib, Batch { set_groups: others, routes: moved, ..Batch::default() });
    assert_eq!(fib.len().unwrap(), COUNT as usize, "replaced, not added");
    assert_eq!(gateways(&mut fib, v4(4)), ["10.0.0.3".parse::<IpAddr>().unwrap()]);
    assert_eq!(gateways(&mut fib, v6(5)), ["fd00::2".parse::<IpAddr>().unwrap()]);

    let deleted = many().into_iter().map(|(prefix, _)| (prefix, None)).collect();
    apply(&mut fib, Batch { routes: deleted, delete_groups: vec![1, 2, 3, 4], ..Batch::default() });
    assert!(fib.is_empty().unwrap());
    assert_eq!(ip(&pair.left, "nexthop"), "", "no object is left");
}

#[test]
fn a_group_is_replaced_in_place_with_few_messages() {
    let pair = Pair::new();
    let mut fib = Fib::open(&pair.left).unwrap();
    apply(&mut fib, Batch { set_groups: groups(&pair, 2), routes: many(), ..Batch::default() });
    let before = fib.messages();
    let both = vec![hop(&pair, "10.0.0.3"), hop(&pair, "10.0.0.4"), hop(&pair, "10.0.0.3")];
    apply(&mut fib, Batch { set_groups: vec![(1, both)], ..Batch::default() });
    // Two next hops, one group, one deletion of the next hop that nobody uses any more.
    assert_eq!(fib.messages() - before, 4);
    assert_eq!(fib.len().unwrap(), COUNT as usize);
    let wanted: Vec<IpAddr> = vec!["10.0.0.3".parse().unwrap(), "10.0.0.4".parse().unwrap()];
    assert_eq!(gateways(&mut fib, v4(7)), wanted);
    assert!(!ip(&pair.left, "nexthop").contains("10.0.0.2 "));
}

#[test]
fn next_hops_are_shared_between_groups() {
    let pair = Pair::new();
    let mut fib = Fib::open(&pair.left).unwrap();
    let (a, b) = (hop(&pair, "10.0.0.2"), hop(&pair, "10.0.0.3"));
    apply(&mut fib, Batch { set_groups: vec![(1, vec![a]), (2, vec![a, b])], ..Batch::default() });
    let singles = |text: &str| text.lines().filter(|line| line.contains("via")).count();
    assert_eq!(singles(&ip(&pair.left, "nexthop")), 2);
    apply(&mut fib, Batch { delete_groups: vec![2, 99], ..Batch::default() });
    assert_eq!(singles(&ip(&pair.left, "nexthop")), 1);
}

#[test]
fn an_ipv4_route_goes_over_an_ipv6_next_hop() {
    let pair = Pair::new();
    let mut fib = Fib::open(&pair.left).unwrap();
    let set_groups = vec![(1, vec![hop(&pair, "fe80::1")])];
    apply(&mut fib, Batch { set_groups, routes: vec![(v4(1), Some(1))], ..Batch::default() });
    assert_eq!(gateways(&mut fib, v4(1)), ["fe80::1".parse::<IpAddr>().unwrap()]);
}

#[test]
fn a_refused_route_stops_nothing_and_is_told_with_a_sentence() {
    let pair = Pair::new();
    let mut fib = Fib::open(&pair.left).unwrap();
    let mut routes = many();
    // IPv6 over an IPv4 next hop does not exist; nor does group 9.
    routes[700] = (v6(50_000), Some(1));
    routes[5_000] = (v4(5_000), Some(9));
    let outcome = fib.apply(&Batch { set_groups: groups(&pair, 2), routes, ..Batch::default() }).unwrap();
    assert_eq!(fib.len().unwrap(), COUNT as usize - 2);
    assert_eq!(outcome.failed_groups, []);
    let mut failed = outcome.failed_routes;
    failed.sort();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert_eq!(failed[0].0, v4(5_000));
    assert!(failed[0].1.contains("group 9 is not in the kernel"), "{}", failed[0].1);
    assert_eq!(failed[1].0, v6(50_000));
    let sentence = &failed[1].1;
    assert!(sentence.starts_with(&format!("cannot install route {} via 10.0.0.2 on link", v6(50_000))), "{sentence}");
    assert!(sentence.contains("kernel: "), "{sentence}");
}

#[test]
fn deleting_what_is_not_there_is_fine_and_host_bits_are_masked() {
    let pair = Pair::new();
    let mut fib = Fib::open(&pair.left).unwrap();
    let prefix: IpNet = "172.16.1.7/24".parse().unwrap();
    let routes = vec![(v4(77), None), (v6(77), None), (prefix, Some(1))];
    apply(&mut fib, Batch { set_groups: groups(&pair, 2), routes, ..Batch::default() });
    assert_eq!(fib.routes().unwrap().len(), 1);
    apply(&mut fib, Batch { routes: vec![(prefix, None)], ..Batch::default() });
    assert!(fib.is_empty().unwrap());
}

#[test]
fn a_later_process_adopts_what_is_equal_without_a_message_and_sweeps_the_rest() {
    let pair = Pair::new();
    let mut fib = Fib::open(&pair.left).unwrap();
    let mut set_groups = groups(&pair, 2);
    set_groups.push((3, vec![hop(&pair, "10.0.0.7")]));
    let mut routes = many();
    routes.push((v4(60_000), Some(3)));
    apply(&mut fib, Batch { set_groups, routes, ..Batch::default() });
    drop(fib);

    let mut fib = Fib::open(&pair.left).unwrap();
    // The caller's numbers are others this time.
    let set_groups = vec![(12, vec![hop(&pair, "fd00::2")]), (11, vec![hop(&pair, "10.0.0.2")])];
    let half: Vec<_> = (0..COUNT / 4).flat_map(|n| [(v4(n), Some(11)), (v6(n), Some(12))]).collect();
    apply(&mut fib, Batch { set_groups, routes: half, ..Batch::default() });
    assert_eq!(fib.messages(), 0);
    assert_eq!(fib.len().unwrap(), COUNT as usize + 1, "in force until swept");

    apply(&mut fib, Batch { sweep: true, ..Batch::default() });
    assert_eq!(fib.len().unwrap(), COUNT as usize / 2);
    assert!(!ip(&pair.left, "nexthop").contains("10.0.0.7"));
    let before = fib.messages();
    apply(&mut fib, Batch { sweep: true, ..Batch::default() });
    assert_eq!(fib.messages(), before, "nothing is left to sweep");
}

#[test]
fn what_others_own_is_left_alone() {
    let pair = Pair::new();
    ip(&pair.left, "nexthop add id 7 via 10.0.0.9 dev va");
    ip(&pair.left, "route add 10.8.0.0/16 nhid 7");
    ip(&pair.left, "route add 10.9.0.0/16 via 10.0.0.9 proto bgp metric 20");
    let mut fib = Fib::open(&pair.left).unwrap();
    apply(&mut fib, Batch { set_groups: groups(&pair, 2), routes: many(), sweep: true, ..Batch::default() });
    fib.clear().unwrap();
    assert!(fib.is_empty().unwrap());
    let seen = ip(&pair.left, "route");
    assert!(seen.contains("10.8.0.0/16") && seen.contains("10.9.0.0/16"), "{seen}");
    assert_eq!(ip(&pair.left, "nexthop").lines().count(), 1);
}

#[test]
fn a_link_that_was_down_gets_its_routes_back() {
    let pair = Pair::new();
    let mut fib = Fib::open(&pair.left).unwrap();
    let batch =
        Batch { set_groups: groups(&pair, 2), routes: vec![(v4(1), Some(1)), (v6(1), Some(2))], ..Batch::default() };
    apply(&mut fib, batch.clone());
    ip(&pair.left, "link set va down");
    assert!(fib.is_empty().unwrap(), "the kernel drops them");

    let outcome = fib.apply(&batch).unwrap();
    assert_eq!(outcome.failed_groups.len(), 2);
    assert!(outcome.failed_groups[0].1.contains("it is tried again when the link is up"), "{outcome:?}");
    assert_eq!(outcome.failed_routes.len(), 2);
    assert!(outcome.failed_routes[0].1.contains("the link is down"), "{outcome:?}");

    ip(&pair.left, "link set va up");
    eventually("carrier", || ip(&pair.left, "-br link show va").contains("LOWER_UP"));
    apply(&mut fib, batch);
    assert_eq!(fib.len().unwrap(), 2);
}

#[test]
fn a_flap_between_two_batches_is_noticed_and_repaired() {
    let pair = Pair::new();
    let mut fib = Fib::open(&pair.left).unwrap();
    apply(&mut fib, Batch { set_groups: groups(&pair, 2), routes: vec![(v4(1), Some(1))], ..Batch::default() });
    ip(&pair.left, "link set va down");
    ip(&pair.left, "link set va up");
    let outcome = fib.apply(&Batch { routes: vec![(v4(2), Some(1))], ..Batch::default() }).unwrap();
    assert!(outcome.failed_routes[0].1.contains("the kernel has dropped its next-hop group 1"), "{outcome:?}");
    apply(&mut fib, Batch { set_groups: groups(&pair, 2), routes: vec![(v4(2), Some(1))], ..Batch::default() });
    assert_eq!(fib.len().unwrap(), 1);
}

#[test]
fn a_group_with_one_unusable_next_hop_works_with_the_other() {
    let pair = Pair::new();
    let mut fib = Fib::open(&pair.left).unwrap();
    let hops = vec![hop(&pair, "10.0.0.2"), Hop { gateway: "10.0.0.3".parse().unwrap(), link: 4_000 }];
    let batch = Batch { set_groups: vec![(1, hops)], routes: vec![(v4(1), Some(1))], ..Batch::default() };
    let outcome = fib.apply(&batch).unwrap();
    assert_eq!((outcome.failed_groups.len(), outcome.failed_routes.len()), (0, 0));
    assert!(outcome.degraded_groups[0].1.contains("cannot use next hop 10.0.0.3 on link 4000"), "{outcome:?}");
    assert_eq!(gateways(&mut fib, v4(1)), ["10.0.0.2".parse::<IpAddr>().unwrap()]);
}

#[test]
fn a_flap_before_adoption_does_not_lose_routes() {
    let pair = Pair::new();
    let mut fib = Fib::open(&pair.left).unwrap();
    let routes = vec![(v4(1), Some(1)), (v4(2), Some(1)), (v4(3), Some(1))];
    apply(&mut fib, Batch { set_groups: groups(&pair, 2), routes: routes.clone(), ..Batch::default() });
    drop(fib);
    let mut fib = Fib::open(&pair.left).unwrap();
    ip(&pair.left, "link set va down");
    ip(&pair.left, "link set va up");
    apply(&mut fib, Batch { set_groups: groups(&pair, 2), routes, ..Batch::default() });
    assert_eq!(fib.len().unwrap(), 3);
}

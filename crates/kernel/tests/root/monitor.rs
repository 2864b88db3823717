use std::thread;

use kernel::fib::{Batch, Fib, Hop};
use kernel::monitor::{self, Changes, Monitor};

use crate::lab::{Pair, ip, run};

/// Waits until `seen` is satisfied by the union of what the monitor tells.
fn wait_for(monitor: &mut Monitor, seen: impl Fn(Changes) -> bool) -> Changes {
    let mut all = Changes::default();
    while !seen(all) {
        let changes = monitor.wait().unwrap();
        assert_ne!(changes, Changes::default(), "not stopped");
        all = Changes {
            links: all.links || changes.links,
            routes: all.routes || changes.routes,
            resync: all.resync || changes.resync,
        };
    }
    all
}

#[test]
fn links_show_state_kind_and_addresses() {
    let pair = Pair::new();
    let links = monitor::links(&pair.left).unwrap();
    let link = links.iter().find(|link| link.name == "va").unwrap();
    assert!(link.up && link.carrier);
    assert_eq!((link.kind.as_str(), link.mtu), ("veth", 1500));
    for address in ["10.0.0.1/24", "fd00::1/64"] {
        assert!(link.addresses.contains(&address.parse().unwrap()), "{address}");
    }
}

/// The way back to the host: nothing else tells that it is gone.
#[test]
fn the_loss_of_our_rule_and_of_a_route_in_its_table_is_noticed() {
    let pair = Pair::new();
    ip(&pair.left, "-6 rule add oif va lookup 20168 priority 20168 protocol 168");
    ip(&pair.left, "-6 rule add oif va lookup 7 priority 7");
    ip(&pair.left, "-6 route add default via fd00::2 dev va table 20168 protocol 168");
    let mut monitor = Monitor::open(&pair.left).unwrap();
    ip(&pair.left, "-6 rule del priority 7");
    ip(&pair.left, "-6 route add 2001:db8::/32 via fd00::2");
    assert!(!wait_for(&mut monitor, |changes| changes.routes).links, "somebody else's rule");
    ip(&pair.left, "-6 rule del priority 20168");
    wait_for(&mut monitor, |changes| changes.links);
    ip(&pair.left, "-6 route flush table 20168");
    let seen = wait_for(&mut monitor, |changes| changes.links);
    assert!(!seen.resync, "the FIB is not concerned: {seen:?}");
}

#[test]
fn foreign_routes_are_all_but_ours() {
    let pair = Pair::new();
    ip(&pair.left, "route add default via 10.0.0.2");
    ip(&pair.left, "route add 10.7.0.0/16 nexthop via 10.0.0.2 nexthop via 10.0.0.3");
    ip(&pair.left, "-6 route add 2001:db8::/32 via fd00::2");
    ip(&pair.left, "nexthop add id 7 via 10.0.0.9 dev va");
    ip(&pair.left, "route add 10.8.0.0/16 nhid 7 metric 77");
    ip(&pair.left, "route add 10.9.0.0/16 via inet6 fd00::2 dev va");
    let mut fib = Fib::open(&pair.left).unwrap();
    let hop = Hop { gateway: "10.0.0.2".parse().unwrap(), link: pair.link };
    let ours = "172.16.0.0/12".parse().unwrap();
    fib.apply(&Batch { set_groups: vec![(1, vec![hop])], routes: vec![(ours, Some(1))], ..Batch::default() }).unwrap();
    let routes = monitor::foreign_routes(&pair.left).unwrap();
    assert!(routes.iter().all(|route| route.prefix != ours));
    for (prefix, gateway, metric) in [
        ("0.0.0.0/0", Some("10.0.0.2"), 0),
        ("10.0.0.0/24", None, 0),
        ("fd00::/64", None, 256),
        ("10.7.0.0/16", Some("10.0.0.2"), 0),
        ("10.7.0.0/16", Some("10.0.0.3"), 0),
        ("10.8.0.0/16", Some("10.0.0.9"), 77),
        ("10.9.0.0/16", Some("fd00::2"), 0),
        ("2001:db8::/32", Some("fd00::2"), 1024),
    ] {
        let wanted = monitor::RouteInfo {
            prefix: prefix.parse().unwrap(),
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            link: pair.link,
            metric,
        };
        assert!(routes.contains(&wanted), "{wanted:?} in {routes:?}");
    }
}

#[test]
fn addresses_and_foreign_routes_wake_it() {
    let pair = Pair::new();
    let mut monitor = Monitor::open(&pair.left).unwrap();
    ip(&pair.left, "address add 10.0.5.1/24 dev va");
    let seen = wait_for(&mut monitor, |changes| changes.links && changes.routes);
    assert!(!seen.resync);
}

#[test]
fn a_link_that_goes_down_asks_for_a_resync_also_when_it_is_back_at_once() {
    let pair = Pair::new();
    let mut monitor = Monitor::open(&pair.left).unwrap();
    ip(&pair.left, "link set va down");
    ip(&pair.left, "link set va up");
    wait_for(&mut monitor, |changes| changes.resync && changes.links);
    // The other end takes the carrier away.
    ip(&pair.right, "link set vb down");
    wait_for(&mut monitor, |changes| changes.resync && changes.links);
}

#[test]
fn our_own_routes_do_not_wake_it_and_stop_ends_the_wait() {
    let pair = Pair::new();
    let mut monitor = Monitor::open(&pair.left).unwrap();
    let mut fib = Fib::open(&pair.left).unwrap();
    let hop = Hop { gateway: "10.0.0.2".parse().unwrap(), link: pair.link };
    // So many that their notifications, were they queued, would overflow and ask for a resync.
    let routes: Vec<_> = (0..60_000u32)
        .map(|n| (format!("172.{}.{}.{}/32", 16 + (n >> 16), (n >> 8) & 255, n & 255).parse().unwrap(), Some(1)))
        .collect();
    let deletions = routes.iter().map(|(prefix, _)| (*prefix, None)).collect();
    fib.apply(&Batch { set_groups: vec![(1, vec![hop])], routes, ..Batch::default() }).unwrap();
    fib.apply(&Batch { routes: deletions, delete_groups: vec![1], ..Batch::default() }).unwrap();
    let stopper = monitor.stopper();
    // What is queued is looked at through a change that must come alone.
    ip(&pair.left, "address add 10.0.6.1/32 dev va");
    let seen = wait_for(&mut monitor, |changes| changes.links);
    assert!(!seen.routes && !seen.resync, "{seen:?}");
    let waiting = thread::spawn(move || monitor.wait());
    stopper.stop().unwrap();
    assert_eq!(waiting.join().unwrap().unwrap(), Changes::default());
}

#[test]
fn lost_notifications_are_everything() {
    let pair = Pair::new();
    let mut monitor = Monitor::open(&pair.left).unwrap();
    // More than the buffer holds: each notification costs about a kilobyte of it.
    let script: String = (0..100_000u32)
        .map(|n| format!("route add 172.{}.{}.{}/32 via 10.0.0.2\n", 16 + (n >> 16), (n >> 8) & 255, n & 255))
        .collect();
    let file = std::env::temp_dir().join(format!("kernel-test-routes-{}", std::process::id()));
    std::fs::write(&file, script).unwrap();
    ip(&pair.left, &format!("-batch {}", file.display()));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(monitor.wait().unwrap(), Changes { links: true, routes: true, resync: true });
}

#[test]
fn routes_and_next_hops_of_ours_that_somebody_deletes_ask_for_a_resync() {
    let pair = Pair::new();
    let mut monitor = Monitor::open(&pair.left).unwrap();
    let mut fib = Fib::open(&pair.left).unwrap();
    let hop = Hop { gateway: "10.0.0.2".parse().unwrap(), link: pair.link };
    for (prefix, deletion) in [
        ("172.16.0.0/16", "route del 172.16.0.0/16 metric 20"),
        ("2001:db8::/32", "-6 route del 2001:db8::/32 metric 20"),
        ("172.16.0.0/16", "nexthop flush proto 168"),
    ] {
        let prefix: ipnet::IpNet = prefix.parse().unwrap();
        let gateway = if prefix.addr().is_ipv4() { hop.gateway } else { "fd00::2".parse().unwrap() };
        let set_groups = vec![(1, vec![Hop { gateway, ..hop }])];
        fib.apply(&Batch { set_groups, routes: vec![(prefix, Some(1))], ..Batch::default() }).unwrap();
        assert!(!fib.is_empty().unwrap());
        ip(&pair.left, deletion);
        wait_for(&mut monitor, |changes| changes.resync);
    }
}

#[test]
fn routes_that_somebody_puts_among_ours_or_in_place_of_one_ask_for_a_resync() {
    let pair = Pair::new();
    let mut fib = Fib::open(&pair.left).unwrap();
    let hop = Hop { gateway: "10.0.0.2".parse().unwrap(), link: pair.link };
    let prefix: ipnet::IpNet = "172.16.0.0/16".parse().unwrap();
    fib.apply(&Batch { set_groups: vec![(1, vec![hop])], routes: vec![(prefix, Some(1))], ..Batch::default() })
        .unwrap();
    let mut monitor = Monitor::open(&pair.left).unwrap();
    // Beside ours.
    ip(&pair.left, "route add 172.16.0.0/16 via 10.0.0.3");
    ip(&pair.left, "route add 172.17.0.0/16 via 10.0.0.3 metric 20");
    let seen = wait_for(&mut monitor, |changes| changes.routes);
    assert!(!seen.resync, "{seen:?}");
    ip(&pair.left, "route replace 172.16.0.0/16 via 10.0.0.3 metric 20");
    wait_for(&mut monitor, |changes| changes.resync);
    ip(&pair.left, "route add 172.18.0.0/16 via 10.0.0.3 metric 20 proto 168");
    wait_for(&mut monitor, |changes| changes.resync);
    assert!(fib.len().unwrap() == 1, "ours was replaced, and the other one has our number");
}

#[test]
fn settings_that_stop_forwarding_are_noticed() {
    let pair = Pair::new();
    for setting in [
        "net.ipv4.conf.all.forwarding",
        "net.ipv6.conf.all.forwarding",
        "net.ipv4.conf.all.rp_filter",
        "net.ipv4.conf.va.rp_filter",
    ] {
        run(&pair.left, "sysctl", &format!("-q -w {setting}=0"));
        let mut monitor = Monitor::open(&pair.left).unwrap();
        run(&pair.left, "sysctl", &format!("-q -w {setting}=1"));
        wait_for(&mut monitor, |changes| changes.links);
    }
}

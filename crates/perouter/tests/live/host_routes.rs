//! `hostRoutes`: the host's own table, for a speaker that installs nothing.

use crate::site::{PASSTHROUGH, Site, UNDERLAY};
use crate::support::{Daemon, has, ip, wait_until};

/// The host's speaker, which leaves the kernel alone.
fn host(site: &Site) -> Daemon {
    site.speak_with(&site.node, "host", 64515, "192.169.10.1", "198.51.100.0/24", "kernelRoutes: false\n")
}

#[test]
fn routes_come_with_the_option_and_exactly_they_go_with_it() {
    let site = Site::new();
    let with = format!("{PASSTHROUGH}  hostRoutes: {{metric: 77}}\n");
    site.write("a", UNDERLAY);
    site.write("b", &with);
    let (_leaf, _host, mut run) = (site.leaf(), host(&site), site.run("run.log"));
    wait_until("a packet goes there and back", || site.ping());
    let route = || ip(&format!("-n {} route show 203.0.113.0/24", site.node));
    assert!(route().contains("via 192.169.10.1 dev pt-host") && route().contains("metric 77"), "{}", route());

    // A stranger's route beside ours, and one that takes ours away.
    ip(&format!("-n {} route add 203.0.113.0/24 via 192.169.10.1 dev pt-host metric 500", site.node));
    ip(&format!("-n {} route delete 203.0.113.0/24 metric 77", site.node));
    wait_until("ours is back", || route().contains("metric 77"));
    // The link made anew takes all routes along.
    ip(&format!("-n {} link delete pt-host", site.node));
    wait_until("ours is back on the new link", || route().contains("metric 77"));
    wait_until("a packet goes there and back again", || site.ping());
    ip(&format!("-n {} route add 203.0.113.0/24 via 192.169.10.1 dev pt-host metric 500", site.node));

    // A killed daemon leaves them, and the next one takes them over.
    run.kill();
    assert!(route().contains("metric 77"));
    let run = site.run("again.log");
    wait_until("the sessions are back", || site.ask(&["peers"]).code == Some(0));
    assert!(route().contains("metric 77"));

    site.write("b", PASSTHROUGH);
    wait_until("ours goes", || !route().contains("metric 77"));
    assert!(route().contains("metric 500"), "the stranger's stays: {}", route());
    assert!(has(&site.router.0, "203.0.113.0/24"));
    run.stop();
}

#[test]
fn an_option_that_goes_while_nobody_runs_leaves_no_routes() {
    let site = Site::new();
    site.write("a", UNDERLAY);
    site.write("b", &format!("{PASSTHROUGH}  hostRoutes: {{table: 1234}}\n"));
    let (_leaf, _host, run) = (site.leaf(), host(&site), site.run("run.log"));
    let routes = || {
        let output = crate::support::command("ip", &["-n", &site.node.0, "route", "show", "table", "1234"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    wait_until("the route is there", || routes().contains("203.0.113.0/24"));
    run.stop();
    assert!(routes().contains("203.0.113.0/24"), "a stop leaves the data plane: {}", routes());
    site.write("b", PASSTHROUGH);
    let run = site.run("again.log");
    wait_until("the route goes", || !routes().contains("203.0.113.0/24"));

    // Back again, for teardown.
    site.write("b", &format!("{PASSTHROUGH}  hostRoutes: {{table: 1234}}\n"));
    wait_until("the route is there again", || routes().contains("203.0.113.0/24"));
    run.stop();
    let answer = site.ask(&["teardown", "--namespace", &site.router.0]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(answer.text.contains("removed our routes from the host's table"), "{answer:?}");
    assert!(!routes().contains("203.0.113.0/24") && site.link(&site.node, "eth1"));
}

#[test]
fn a_host_that_dials_from_another_of_its_addresses_is_one_more_host_session() {
    let site = Site::new();
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    let run = site.run("run.log");
    let addresses = || ip(&format!("-n {} address show up", site.node));
    wait_until("the veth is up", || addresses().contains("192.169.10.2/24"));
    ip(&format!("-n {} route replace 192.169.10.1/32 dev pt-host src 198.51.100.1", site.node));
    let _host = host(&site);
    let mut said = String::new();
    wait_until("the session is up under the address that it came from", || {
        let peers = site.ask(&["-o", "json", "peers"]).json();
        said = format!("{peers:#}");
        let found = peers.as_array().unwrap().iter().find(|peer| peer["address"] == "198.51.100.1").cloned();
        found.is_some_and(|peer| peer["state"] == "established" && peer["role"] == "host" && peer["link"] == "pt-ns")
    });
    wait_until("its prefix is in the router", || has(&site.router.0, "198.51.100.0/24"));
    run.stop();
}

#[test]
fn routes_that_stay_are_taken_over_and_others_of_ours_go_when_everything_is_told_again() {
    let site = Site::new();
    site.write("a", UNDERLAY);
    site.write("b", &format!("{PASSTHROUGH}  hostRoutes: {{metric: 77}}\n"));
    let (_leaf, _host, run) = (site.leaf(), host(&site), site.run("run.log"));
    let route = |prefix: &str| ip(&format!("-n {} route show {prefix}", site.node)).contains("metric 77");
    // Also the sweep after the start is over then: it takes what looks like an earlier process's.
    wait_until("the route is there", || route("203.0.113.0/24"));

    // Looks like one of ours that was never removed. A pod's link goes, which may have taken routes along.
    ip(&format!("-n {} route add 192.0.2.0/24 via 192.169.10.1 dev pt-host proto 168 metric 77 onlink", site.node));
    wait_until("what nobody asks for is gone after a pod's link has gone", || {
        ip(&format!("-n {} link add pod0 up type veth peer name pod1", site.node));
        ip(&format!("-n {} link set pod1 up", site.node));
        ip(&format!("-n {} link delete pod0", site.node));
        !route("192.0.2.0/24")
    });
    assert!(route("203.0.113.0/24"), "what is wanted stays");

    // All routes over the link go along, without a word.
    run.signal("-STOP");
    ip(&format!("-n {} link set pt-host down", site.node));
    assert!(!route("203.0.113.0/24"));
    ip(&format!("-n {} link set pt-host up", site.node));
    run.signal("-CONT");
    wait_until("it is back on the link that came back", || route("203.0.113.0/24"));
    run.stop();
}

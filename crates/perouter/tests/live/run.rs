//! `perouter run`: what it makes of a node, and how it keeps it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::site::{PASSTHROUGH, Site, UNDERLAY};
use crate::support::{Namespace, command, has, ip, routes, wait_until};

#[test]
fn yaml_becomes_a_working_router_and_its_removal_gives_the_nic_back() {
    let site = Site::new();
    let (_leaf, _host) = (site.leaf(), site.host());
    let run = site.run("run.log");
    wait_until("the daemon waits for files", || run.log().contains("waiting for configuration"));

    site.write("a", UNDERLAY);
    site.write("b", PASSTHROUGH);
    wait_until("the leaf's prefix is with the host", || has(&site.node.0, "203.0.113.0/24"));
    wait_until("the host's prefix is with the leaf", || has(&site.leaf.0, "198.51.100.0/24"));
    wait_until("a packet goes there and back", || site.ping());
    assert!(!site.link(&site.node, "eth1"), "the NIC belongs to the router");

    // A bad file beside the good ones takes nothing down.
    site.write("c", "underlays: 7\n");
    wait_until("the bad file is reported", || run.log().contains("openpe_c.yaml"));
    assert!(site.ping());

    // An accident in the Underlay's file neither.
    site.write("a", "underlays: [\n");
    wait_until("the accident is reported", || run.log().contains("the router stays as it is"));
    assert!(site.ping());

    // A mistake in the passthrough neither.
    site.write("a", UNDERLAY);
    site.write("b", &PASSTHROUGH.replace("hostASN", "hostAsn"));
    wait_until("the mistake is reported", || run.log().contains("the passthrough in force stays as it is"));
    assert!(site.ping() && site.link(&site.node, "pt-host"));
    site.write("b", PASSTHROUGH);

    // Removal is meant.
    site.remove("c");
    site.remove("a");
    wait_until("the NIC is back with its address", || {
        site.link(&site.node, "eth1") && ip(&format!("-n {} address", site.node)).contains("192.168.11.3/24")
    });
    wait_until("the veth is gone", || !site.link(&site.node, "pt-host"));
    wait_until("the leaf forgets", || !has(&site.leaf.0, "198.51.100.0/24"));

    // And all of it comes back.
    site.write("a", UNDERLAY);
    wait_until("a packet goes there and back again", || site.ping());
    run.stop();
}

#[test]
fn a_stopped_router_leaves_the_data_plane_and_the_next_one_repeats_nothing() {
    let site = Site::new();
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    let run = site.run("first.log");
    let leaf = site.leaf();
    wait_until("the router has the leaf's prefix", || {
        fs::exists(format!("/var/run/netns/{}", site.router)).unwrap() && has(&site.router.0, "203.0.113.0/24")
    });
    run.stop();
    assert!(has(&site.router.0, "203.0.113.0/24"), "{}", routes(&site.router.0));
    assert!(site.link(&site.node, "pt-host") && !site.link(&site.node, "eth1"));
    assert!(!site.path("run-state/perouter.sock").exists());

    // Index and name: the state of a fresh veth pair settles by itself.
    let index = |link: &str| {
        let all = ip(&format!("-n {} -o link show dev {link}", site.node));
        all.split(": ").take(2).collect::<Vec<_>>().join(" ")
    };
    let before = index("pt-host");
    let again = site.run("second.log");
    wait_until("the session is back", || leaf.log().matches("stablished").count() >= 2);
    assert!(has(&site.router.0, "203.0.113.0/24"));
    assert_eq!(index("pt-host"), before, "the veth was made anew");
    assert!(!again.log().contains("create veth"), "{}", again.log());
    again.stop();
}

/// Upstream configures its routing daemon before the data path, because of a bug of that daemon. Here the host comes first:
/// sessions find their links, and nothing waits for a retry (design section 5).
#[test]
fn case_129_the_host_is_made_before_its_sessions_begin() {
    let site = Site::new();
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    let (_leaf, _host, run) = (site.leaf(), site.host(), site.run("run.log"));
    wait_until("both sessions are up", || run.log().matches(") established").count() >= 2);
    let log = run.log();
    let at = |what: &str| log.find(what).unwrap_or_else(|| panic!("no `{what}` in {log}"));
    assert!(at("move NIC eth1") < at(") established") && at("create veth pair") < at(") established"));
    assert!(!log.contains("Network is unreachable"), "{log}");
    run.stop();
}

#[test]
fn what_strangers_remove_is_repaired() {
    let site = Site::new();
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    let (_leaf, _host, run) = (site.leaf(), site.host(), site.run("run.log"));
    wait_until("a packet goes there and back", || site.ping());

    ip(&format!("-n {} link delete pt-host", site.node));
    wait_until("the veth is back", || site.link(&site.node, "pt-host"));
    wait_until("packets flow again", || site.ping());

    ip(&format!("-n {} address delete 192.169.10.2/24 dev pt-host", site.node));
    wait_until("the address is back", || ip(&format!("-n {} address", site.node)).contains("192.169.10.2/24"));

    ip(&format!("netns delete {}", site.router));
    wait_until("the namespace has its name again", || {
        command("ip", &["-n", &site.router.0, "link", "show", "dev", "pt-ns"]).status.success()
    });
    wait_until("packets still flow", || site.ping());
    run.stop();
}

#[test]
fn another_namespace_under_our_name_is_reported_and_left_alone() {
    let site = Site::new();
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    let (_leaf, _host, run) = (site.leaf(), site.host(), site.run("run.log"));
    wait_until("a packet goes there and back", || site.ping());
    // Held back by a process of the old one's, the daemon; both at once, so that it cannot be quicker.
    run.signal("-STOP");
    ip(&format!("netns delete {}", site.router));
    ip(&format!("netns add {}", site.router));
    run.signal("-CONT");
    wait_until("it is reported", || site.ask(&["status"]).text.contains("to another network namespace"));
    assert!(site.ping(), "the router goes on");
    assert!(!site.link(&site.router, "pt-ns"), "nothing is made in the other one");
    ip(&format!("netns delete {}", site.router));
    wait_until("the name is ours again", || site.link(&site.router, "pt-ns") && site.link(&site.router, "eth1"));
    assert!(site.ping());
    run.stop();
}

#[test]
fn another_node_index_replaces_the_addresses_and_leaves_the_nic() {
    let site = Site::new();
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    let (_leaf, run) = (site.leaf(), site.run("run.log"));
    let addresses = || ip(&format!("-n {} address show dev pt-host", site.node));
    wait_until("the veth is there", || site.link(&site.node, "pt-host") && addresses().contains("192.169.10.2/24"));
    fs::write(site.path("node-config.yaml"), "nodeIndex:\n  index: 1\nnodeName: worker-1\n").unwrap();
    wait_until("the address is another one", || {
        addresses().contains("192.169.10.3/24") && !addresses().contains("192.169.10.2/24")
    });
    wait_until("the host session is another one", || {
        let peers = site.ask(&["peers"]).text;
        peers.contains("192.169.10.3") && !peers.contains("192.169.10.2 ")
    });
    wait_until("the leaf is back under the other router id", || has(&site.router.0, "203.0.113.0/24"));
    assert_eq!(run.log().matches("move NIC").count(), 1, "{}", run.log());
    run.stop();
}

#[test]
fn another_address_plan_makes_the_host_session_anew_and_touches_nothing_else() {
    let site = Site::new();
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    let (_leaf, host, run) = (site.leaf(), site.host(), site.run("run.log"));
    wait_until("a packet goes there and back", || site.ping());
    let leaf = || {
        let peers = site.ask(&["-o", "json", "peers"]).json();
        let peer = peers.as_array().unwrap().iter().find(|peer| peer["address"] == "192.168.11.2").unwrap().clone();
        (peer["flaps"].as_u64().unwrap(), peer["messages_received"]["open"].as_u64().unwrap())
    };
    let before = leaf();
    site.write("a", &format!("{UNDERLAY}{}", PASSTHROUGH.replace("192.169.10.0", "192.169.20.0")));
    let addresses = |at: &Namespace, link: &str| ip(&format!("-n {at} address show dev {link}"));
    wait_until("the addresses are other ones", || {
        let (host, router) = (addresses(&site.node, "pt-host"), addresses(&site.router, "pt-ns"));
        host.contains("192.169.20.2/24") && router.contains("192.169.20.1/24")
    });
    for (at, link) in [(&site.node, "pt-host"), (&site.router, "pt-ns")] {
        assert!(!addresses(at, link).contains("192.169.10."), "{}", addresses(at, link));
    }
    // It is told while its address is there: it need not wait for its hold timer to look for the router elsewhere.
    wait_until("the host's speaker is told", || host.log().contains("Peer De-configured"));
    // Two speakers on one host would take the routes from each other.
    host.stop();
    let _host = site.speak(&site.node, "host-anew", 64515, "192.169.20.1", "198.51.100.0/24");
    wait_until("a packet goes there and back again", || site.ping());
    let peers = site.ask(&["peers"]).text;
    assert!(peers.contains("192.169.20.2") && !peers.contains("192.169.10.2"), "{peers}");
    assert_eq!(leaf(), before, "the leaf's session is the one it was");
    assert_eq!(run.log().matches("move NIC").count() + run.log().matches("create veth").count(), 2, "{}", run.log());
    run.stop();
}

#[test]
fn what_happens_can_be_followed_over_a_restart() {
    let site = Site::new();
    let run = site.run("run.log");
    wait_until("it answers", || site.ask(&["events"]).text.contains("waiting for configuration"));
    let followed = site.path("events.log");
    let mut args: Vec<PathBuf> = vec!["--state-dir".into(), site.path("run-state"), "-o".into(), "json".into()];
    args.extend(["events", "-f", "-n", "0"].map(PathBuf::from));
    let follower = Command::new(env!("CARGO_BIN_EXE_perouter"))
        .args(&args)
        .stdout(File::create(&followed).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let follower = Killed(follower);
    let events = || fs::read_to_string(&followed).unwrap();
    // Only what comes after it has begun: until then, something new each time.
    let mut times = 0;
    wait_until("the follower sees what happens", || {
        times += 1;
        site.write("a", &format!("underlays: {times}\n"));
        events().contains("underlays")
    });
    assert!(!events().contains("waiting for configuration"), "{}", events());
    let first = run.id();
    run.stop();
    let run = site.run("again.log");
    wait_until("the follower sees the next one", || events().contains(&format!("started (pid {})", run.id())));
    assert!(!events().contains(&format!("(pid {first})")), "{}", events());
    let lines: Vec<serde_json::Value> = events().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let at = |event: &serde_json::Value| event["at"].as_str().is_some_and(|at| at.ends_with('Z'));
    assert!(lines.iter().all(|event| at(event) && event["number"].is_u64() && event["level"].is_string()), "{lines:?}");
    drop(follower);
    run.stop();
}

/// A child that ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_nic_that_does_not_exist_is_named_and_taken_when_it_comes() {
    let site = Site::new();
    ip(&format!("-n {} link set eth1 down", site.node));
    ip(&format!("-n {} link set eth1 name other", site.node));
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    ip(&format!("-n {} link set other up", site.node));
    ip(&format!("-n {} route add default via 192.168.11.2 dev other", site.node));
    let run = site.run("run.log");
    wait_until("the missing NIC is named", || run.log().contains("eth1"));
    wait_until("what does not depend on it is there", || site.link(&site.node, "pt-host"));
    ip(&format!("-n {} link set other name eth1", site.node));
    wait_until("the NIC is taken", || !site.link(&site.node, "eth1"));
    wait_until("a lost default route is told", || run.log().contains("NIC eth1 carries a default route of the host"));
    run.stop();
}

#[test]
fn a_second_run_and_a_missing_node_file_are_refused_in_one_sentence() {
    let site = Site::new();
    let run = site.run("first.log");
    wait_until("the first one is up", || site.path("run-state/perouter.sock").exists());
    let text = site.run("second.log").refusal();
    assert!(text.contains(&format!("another `perouter run` is active on this node (pid {}", run.id())), "{text}");
    // Nor with a state directory of its own: the two would take the veth pair from each other.
    let text = site.run_in("other-state", "other.log", &[]).refusal();
    assert!(text.contains(&format!("another perouter run is active on this host (pid {}", run.id())), "{text}");
    run.stop();
    fs::remove_file(site.path("node-config.yaml")).unwrap();
    let text = site.run("third.log").refusal();
    assert!(text.contains("node-config.yaml"), "{text}");
}

//! What the daemon may do, and the namespace that somebody else makes for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::site::{PASSTHROUGH, Site, UNDERLAY};
use crate::support::{Daemon, Namespace, ip, wait_until};

/// CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN and CAP_SYS_NICE, by their numbers.
const KEPT: u64 = 1 << 10 | 1 << 12 | 1 << 13 | 1 << 21 | 1 << 23;

/// The values that a line of the status has in the threads of a process.
fn values(process: &Daemon, key: &str) -> BTreeSet<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
    // A thread may end meanwhile.
    let texts = threads.filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).ok());
    texts
        .filter_map(|text| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t").map(str::to_owned)))
        .collect()
}

fn assert_reduced(process: &Daemon) {
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"] {
        for value in values(process, set) {
            let more = u64::from_str_radix(&value, 16).unwrap() & !KEPT;
            assert_eq!(more, 0, "{set} is {value}");
        }
    }
    assert_eq!(values(process, "NoNewPrivs"), BTreeSet::from(["1".to_owned()]));
    assert_eq!(values(process, "Seccomp"), BTreeSet::from(["2".to_owned()]));
}

#[test]
fn every_thread_of_a_working_router_has_what_it_needs_and_no_more() {
    let site = Site::new();
    let (leaf, host) = (site.leaf(), site.host());
    site.write(
        "a",
        &format!("{UNDERLAY}{PASSTHROUGH}").replace("connectTimeSeconds: 1", "connectTimeSeconds: 1\n        bfd: {}"),
    );
    let run = site.run("run.log");
    wait_until("a packet goes there and back", || site.ping());
    for process in [&run, &leaf, &host] {
        assert!(fs::read_dir(format!("/proc/{}/task", process.id())).unwrap().count() > 2);
        assert_reduced(process);
    }
    assert!(!run.log().contains("cannot give up"), "{}", run.log());
    run.stop();
}

fn netns(site: &Site, log: &str, more: &[&str]) -> Daemon {
    let args = ["netns", "--namespace", &site.router.0];
    let args: Vec<&Path> = args.iter().chain(more).map(Path::new).collect();
    Daemon::start(&site.node, &site.path(log), &args)
}

fn inode(namespace: &Namespace) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(format!("/var/run/netns/{namespace}")).ok().map(|metadata| metadata.ino())
}

#[test]
fn a_prepared_router_uses_a_namespace_whose_name_others_keep() {
    let site = Site::new();
    let (_leaf, _host) = (site.leaf(), site.host());
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    let text = site.run_with("early.log", &["--prepared"]).refusal();
    assert!(text.contains("there is no network namespace") && text.contains("perouter netns"), "{text}");

    netns(&site, "once.log", &[]).end();
    let made = inode(&site.router);
    assert!(made.is_some());
    let mut keeper = netns(&site, "keep.log", &["--keep"]);
    wait_until("the keeper has found it", || keeper.log().contains("is there"));
    let run = site.run_with("run.log", &["--prepared"]);
    wait_until("a packet goes there and back", || site.ping());
    assert_reduced(&run);

    ip(&format!("netns delete {}", site.router));
    wait_until("the name comes back", || inode(&site.router) == made);
    assert!(site.ping());

    // Without a keeper the router says who is to do it, and leaves the name alone.
    keeper.kill();
    ip(&format!("netns delete {}", site.router));
    wait_until("the router says so", || {
        run.log().contains("has lost its name") && run.log().contains("perouter netns")
    });
    assert!(inode(&site.router).is_none_or(|found| Some(found) != made));
    assert!(site.ping());
    run.stop();
}

#[test]
fn a_keeper_ends_when_the_router_was_torn_down() {
    let site = Site::new();
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    let keeper = netns(&site, "keep.log", &["--keep"]);
    wait_until("the namespace is there", || keeper.log().contains("made namespace"));
    let run = site.run_with("run.log", &["--prepared"]);
    wait_until("the NIC is taken", || !site.link(&site.node, "eth1"));
    run.stop();
    let answer = site.ask(&["teardown", "--namespace", &site.router.0]);
    assert!(answer.text.contains("gave eth1 back"), "{answer:?}");
    keeper.end();
    assert_eq!(inode(&site.router), None);
}

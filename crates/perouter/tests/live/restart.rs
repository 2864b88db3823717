//! A new process takes over from one that died.

use std::fs;

use crate::site::{PASSTHROUGH, Site, UNDERLAY};
use crate::support::{Namespace, has, perouter, wait_until};

/// A peer of a range is known only when it connects. Whoever had a session is noted, so that the next process knows when it
/// has heard everybody, and need not wait for its time to be over.
#[test]
fn peers_of_a_range_are_waited_for_after_a_crash_and_no_longer_than_until_they_are_back() {
    let site = Site::new();
    let underlay = UNDERLAY
        .replace("    neighbors:\n", "    gracefulRestart: {}\n    neighbors:\n")
        .replace("address: \"192.168.11.2\"\n", "listenRange: \"192.168.11.0/24\"\n");
    site.write("a", &format!("{underlay}{PASSTHROUGH}"));
    let (_leaf, _host, mut run) = (site.leaf(), site.host(), site.run("run.log"));
    wait_until("a packet goes there and back", || site.ping());
    let note = site.path("run-state/forwarding.json");
    let noted = || {
        let note: serde_json::Value = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
        note["peers"].to_string()
    };
    wait_until("both are noted", || noted() == r#"["192.168.11.2","192.169.10.2"]"#);

    run.kill();
    assert!(site.ping(), "the kernel forwards");
    let mut run = site.run("again.log");
    wait_until("the restart is over", || run.log().contains("restarted gracefully"));
    assert!(run.log().contains("after every peer has said what it has"), "{}", run.log());
    assert!(site.ping() && has(&site.router.0, "203.0.113.0/24"));

    // Whatever stands in the note, it is never worse than no note. First the peers hear that the last restart is over.
    let settled = |at: &Namespace, name: &str| {
        let peers = perouter(at, &site.path(&format!("{name}-state")), &["-o", "json", "peers"]).json();
        peers[0]["state"] == "established" && peers[0]["routes_kept_seconds"].is_null()
    };
    wait_until("nothing is kept any more", || settled(&site.leaf, "leaf") && settled(&site.node, "host"));
    run.kill();
    fs::write(&note, "{\"boot\": 7, \"peers\": [\"nobody\"").unwrap();
    let run = site.run("third.log");
    wait_until("both are noted again", || {
        fs::read_to_string(&note).unwrap().contains(r#""peers":["192.168.11.2","192.169.10.2"]"#)
    });
    assert!(site.ping() && has(&site.router.0, "203.0.113.0/24"));
    run.stop();
}

//! `perouter speak`: two processes in two network namespaces joined by a veth pair.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::{Daemon, Namespace, has, ip, perouter, routes, wait_until};

/// Two namespaces, `left` 10.9.0.1 and 2001:db8:9::1, `right` 10.9.0.2 and 2001:db8:9::2; removed when dropped.
pub(crate) struct Pair {
    pub(crate) left: Namespace,
    pub(crate) right: Namespace,
    folder: TempDir,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let pair = Self { left: Namespace::new("l"), right: Namespace::new("r"), folder: tempfile::tempdir().unwrap() };
        ip(&format!("link add name veth0 netns {} type veth peer name veth0 netns {}", pair.left, pair.right));
        for (namespace, host) in [(&pair.left, 1), (&pair.right, 2)] {
            ip(&format!("-n {namespace} address add 10.9.0.{host}/24 dev veth0"));
            ip(&format!("-n {namespace} address add 2001:db8:9::{host}/64 dev veth0 nodad"));
            ip(&format!("-n {namespace} link set veth0 up"));
        }
        pair
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a configuration with its own state directory.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.file(&format!("{name}.yaml"));
        let state = self.file(&format!("{name}-state"));
        fs::write(&file, format!("{text}stateDir: {}\n", state.display())).unwrap();
        file
    }

    pub(crate) fn start(&self, namespace: &Namespace, name: &str, text: &str) -> Daemon {
        let file = self.write(name, text);
        Daemon::start(namespace, &self.file(&format!("{name}.log")), &["speak".as_ref(), &file])
    }
}

/// A configuration: host `own` on the wire talks to host `peer`.
pub(crate) fn config(own: u8, peer: u8, networks: &str, more: &str) -> String {
    let peer_asn = 65000 + u32::from(peer);
    format!(
        "asn: {}\nrouterID: 10.9.0.{own}\nconnectRetrySeconds: 1\nneighbors:\n  - name: other\n    address: 10.9.0.{peer}\n    \
         asn: {peer_asn}\n    role: peer\n    addressFamilies: [ipv4unicast]\n{more}  - name: other6\n    \
         address: \"2001:db8:9::{peer}\"\n    asn: {peer_asn}\n    role: peer\n    addressFamilies: [ipv6unicast]\n{more}networks: [{networks}]\n",
        65000 + u32::from(own)
    )
}

#[test]
fn two_speakers_exchange_networks_and_follow_changes_of_their_files() {
    let pair = Pair::new();
    let left = pair.start(&pair.left, "left", &config(1, 2, "10.1.0.0/24, \"2001:db8:1::/48\"", ""));
    let right = pair.start(&pair.right, "right", &config(2, 1, "10.2.0.0/24, \"2001:db8:2::/48\"", ""));
    for (namespace, prefixes) in
        [(&pair.left, ["10.2.0.0/24", "2001:db8:2::/48"]), (&pair.right, ["10.1.0.0/24", "2001:db8:1::/48"])]
    {
        for prefix in prefixes {
            wait_until(&format!("{namespace} has {prefix}"), || has(&namespace.0, prefix));
        }
    }

    // Here the speaker is the host: an answer to its own address has come back.
    let walk = perouter(&pair.left, &pair.file("left-state"), &["explain", "10.2.0.1"]);
    assert!(walk.code == Some(0) && walk.text.contains("the answer finds its way back"), "{}", walk.text);

    // Another network comes, the first one goes; the session stays.
    pair.write("left", &config(1, 2, "10.3.0.0/24", ""));
    left.signal("-HUP");
    wait_until("the new network arrives", || has(&pair.right.0, "10.3.0.0/24"));
    wait_until("the old ones go", || !has(&pair.right.0, "10.1.0.0/24") && !has(&pair.right.0, "2001:db8:1::/48"));
    assert!(has(&pair.left.0, "10.2.0.0/24"));

    // A bad file changes nothing, and is what is wrong until it is mended.
    pair.write("left", "asn: none\n");
    left.signal("-HUP");
    let status = || perouter(&pair.left, &pair.file("left-state"), &["status"]);
    wait_until("the bad file is reported", || left.log().contains("The previous configuration stays in force"));
    wait_until("it is a problem", || {
        let said = status();
        let words = ["NOT HEALTHY", "The previous configuration stays in force"];
        said.code == Some(1) && words.iter().all(|words| said.text.contains(words))
    });
    assert!(has(&pair.right.0, "10.3.0.0/24") && has(&pair.left.0, "10.2.0.0/24"));
    pair.write("left", &config(1, 2, "10.3.0.0/24", ""));
    left.signal("-HUP");
    wait_until("all is well again", || status().code == Some(0));

    // SIGTERM: the peer is told, our own routes leave the kernel, the socket file goes.
    left.stop();
    assert!(!has(&pair.left.0, "10.2.0.0/24"), "a plain speaker takes its routes away: {}", routes(&pair.left.0));
    assert!(!pair.file("left-state").join("perouter.sock").exists());
    wait_until("the peer forgets", || !has(&pair.right.0, "10.3.0.0/24"));
    right.stop();
}

#[test]
fn a_killed_speaker_leaves_its_routes_and_the_next_one_takes_them_over() {
    let pair = Pair::new();
    let _right = pair.start(&pair.right, "right", &config(2, 1, "10.2.0.0/24, 10.4.0.0/24", ""));
    let mut left = pair.start(&pair.left, "left", &config(1, 2, "10.1.0.0/24", ""));
    wait_until("the routes are there", || has(&pair.left.0, "10.2.0.0/24") && has(&pair.left.0, "10.4.0.0/24"));
    left.kill();
    assert!(has(&pair.left.0, "10.2.0.0/24"));
    wait_until("the peer notices", || !has(&pair.right.0, "10.1.0.0/24"));

    // Watched from here on: no adopted route may vanish while the new process finds its feet.
    let left = pair.start(&pair.left, "left", &config(1, 2, "10.1.0.0/24", ""));
    wait_until("the session is back", || {
        assert!(has(&pair.left.0, "10.2.0.0/24") && has(&pair.left.0, "10.4.0.0/24"), "{}", routes(&pair.left.0));
        has(&pair.right.0, "10.1.0.0/24")
    });
    left.stop();
    assert!(!has(&pair.left.0, "10.2.0.0/24"));
}

#[test]
fn a_password_must_match_on_both_sides() {
    let pair = Pair::new();
    let secret = |word: &str| format!("    password: {word}\n");
    let left = pair.start(&pair.left, "left", &config(1, 2, "10.1.0.0/24, \"2001:db8:1::/48\"", &secret("right")));
    let _right = pair.start(&pair.right, "right", &config(2, 1, "10.2.0.0/24", &secret("wrong")));
    // The kernel drops what is signed wrongly, so that an attempt ends by retransmission only: what can be waited
    // for is the repair.
    wait_until("the left speaker is up", || pair.file("left-state").join("perouter.sock").exists());
    assert!(!has(&pair.right.0, "10.1.0.0/24"));
    pair.write("left", &config(1, 2, "10.1.0.0/24, \"2001:db8:1::/48\"", &secret("wrong")));
    left.signal("-HUP");
    wait_until("the session comes up", || has(&pair.right.0, "10.1.0.0/24") && has(&pair.right.0, "2001:db8:1::/48"));
}

#[test]
fn a_link_that_goes_down_and_up_brings_the_routes_back() {
    let pair = Pair::new();
    let _left = pair.start(&pair.left, "left", &config(1, 2, "10.1.0.0/24", ""));
    let _right = pair.start(&pair.right, "right", &config(2, 1, "10.2.0.0/24", ""));
    wait_until("the route is there", || has(&pair.left.0, "10.2.0.0/24"));
    ip(&format!("-n {} link set veth0 down", pair.left));
    assert!(!has(&pair.left.0, "10.2.0.0/24"), "the kernel flushes them at once");
    ip(&format!("-n {} link set veth0 up", pair.left));
    wait_until("the route is back", || has(&pair.left.0, "10.2.0.0/24"));
}

#[test]
fn a_second_speaker_is_refused_in_one_sentence() {
    let pair = Pair::new();
    let first = pair.start(&pair.left, "left", &config(1, 2, "10.1.0.0/24", ""));
    wait_until("the first one is up", || pair.file("left-state").join("perouter.sock").exists());
    let text = pair.start(&pair.left, "left", &config(1, 2, "10.1.0.0/24", "")).refusal();
    assert!(text.contains("another `perouter speak` is active on this node (pid "), "{text}");
    assert!(text.contains(&first.id().to_string()), "{text}");
    let text = pair.start(&pair.left, "other", &config(1, 2, "10.1.0.0/24", "")).refusal();
    assert!(text.contains("cannot listen on 0.0.0.0:179: Address already in use; another program"), "{text}");
    assert!(pair.file("left-state").join("perouter.sock").exists(), "the refused one must not remove it");
    first.stop();
}

#[test]
fn twenty_thousand_networks_pass() {
    let pair = Pair::new();
    let mut networks = String::new();
    for number in 0..20_000_u32 {
        let separator = if number == 0 { "" } else { ", " };
        let _ = write!(networks, "{separator}11.{}.{}.0/24", number >> 8, number & 255);
    }
    let _left = pair.start(&pair.left, "left", &config(1, 2, &networks, ""));
    let _right = pair.start(&pair.right, "right", &config(2, 1, "10.2.0.0/24", ""));
    wait_until("all are in the kernel", || {
        routes(&pair.right.0).lines().filter(|line| line.starts_with("11.")).count() == 20_000
    });
}

#[test]
fn with_graceful_restart_a_stop_is_silent_and_leaves_the_routes() {
    let pair = Pair::new();
    let graceful = |text: String| format!("{text}gracefulRestart: {{}}\n");
    let left = pair.start(&pair.left, "left", &graceful(config(1, 2, "10.1.0.0/24", "")));
    let right = pair.start(&pair.right, "right", &graceful(config(2, 1, "10.2.0.0/24", "")));
    wait_until("the routes are there", || has(&pair.left.0, "10.2.0.0/24") && has(&pair.right.0, "10.1.0.0/24"));
    left.stop();
    assert!(has(&pair.left.0, "10.2.0.0/24"), "{}", routes(&pair.left.0));
    wait_until("the peer notices", || right.log().contains("lost"));
    // A Cease of a collision before the session came up is another matter.
    assert!(!right.log().contains("lost: received Cease"), "{}", right.log());
}

/// A process that is killed leaves its routes, and the next one is a restart in the sense of RFC 4724: the peer keeps using
/// them. What was withdrawn in between is swept.
#[test]
fn a_killed_speaker_with_routes_in_the_kernel_restarts_gracefully() {
    let pair = Pair::new();
    let gracefully = |text: String| format!("{text}gracefulRestart: {{}}\n");
    let ours = gracefully(config(1, 2, "10.101.0.0/16", ""));
    let theirs = |networks: &str| gracefully(config(2, 1, networks, ""));
    let mut left = pair.start(&pair.left, "left", &ours);
    let right = pair.start(&pair.right, "right", &theirs("10.102.0.0/16, 10.103.0.0/16"));
    wait_until("routes are there", || {
        ["10.102.0.0/16", "10.103.0.0/16"].iter().all(|prefix| has(&pair.left.0, prefix))
            && has(&pair.right.0, "10.101.0.0/16")
    });
    left.kill();
    assert!(has(&pair.left.0, "10.102.0.0/16"));
    pair.write("right", &theirs("10.102.0.0/16"));
    right.signal("-HUP");
    wait_until("the peer has read its file", || right.log().contains("applying the difference"));
    let again = pair.start(&pair.left, "again", &ours);
    wait_until("it says that it is a restart", || again.log().contains("restarted gracefully"));
    wait_until("what was withdrawn meanwhile is swept", || !has(&pair.left.0, "10.103.0.0/16"));
    assert!(has(&pair.left.0, "10.102.0.0/16") && has(&pair.right.0, "10.101.0.0/16"));
    assert!(right.log().contains("routes are kept for"), "{}", right.log());
    again.stop();
    right.stop();
}

//! Against FRR's bfdd and BIRD: they send every 60 ms, can take a packet every 70 ms and have a multiplier of 20. They
//! are ordinary processes, which a busy machine may keep waiting.

use std::net::Ipv4Addr;

use engine::bfd::Reason;
use rustix::process::Signal;
use testbed::ip::change;
use testbed::{Daemon, Peer, PeerConfig, Result};

use super::*;

const FRR: &str = "bfd
 profile all
  transmit-interval 60
  receive-interval 70
  detect-multiplier 20
  minimum-ttl 254
 exit
 peer 10.9.0.1
  profile all
 exit
 peer 2001:db8:9::1
  profile all
 exit
 peer fe80::9:1 local-address fe80::9:2 interface eth1
  profile all
 exit
 peer 10.1.0.1 multihop local-address 10.2.0.1
  profile all
 exit
exit
";

const BIRD: &str = "log stderr all;
router id 10.9.0.2;
protocol device { scan time 1; }
protocol bfd {
  interface \"eth1\" { min tx interval 60 ms; min rx interval 70 ms; multiplier 20; };
  multihop { min tx interval 60 ms; min rx interval 70 ms; multiplier 20; };
  neighbor 10.9.0.1 dev \"eth1\";
  neighbor 2001:db8:9::1 dev \"eth1\";
  neighbor fe80::9:1 dev \"eth1\";
  neighbor 10.1.0.1 local 10.2.0.1 multihop on;
}
";

/// Their sessions as we see them, and ours as they do.
const PEERS: [(&str, &str); 4] = [
    ("10.9.0.2", "10.9.0.1"),
    ("2001:db8:9::2", "2001:db8:9::1"),
    ("fe80::9:2", "fe80::9:1"),
    ("10.2.0.1", "10.1.0.1"),
];

/// FRR's words of its session with us.
fn frr_session(peer: &Peer, address: &str) -> Result<serde_json::Value> {
    let answer = peer.ask_bfd(&["show bfd peers json"])?;
    let sessions: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let mut sessions = sessions.as_array().into_iter().flatten();
    Ok(sessions.find(|session| session["peer"] == address).cloned().unwrap_or_default())
}

/// What the daemon says of its session with us. FRR: state, our two intervals, our multiplier. BIRD: state, the interval in
/// which it sends, its detection time.
fn says(peer: &Peer, address: &str) -> Result<String> {
    if peer.daemon() == Daemon::Bird {
        let answer = peer.ask_bfd(&["show", "bfd", "sessions"])?;
        let line = answer.lines().find(|line| line.split_whitespace().next() == Some(address)).unwrap_or_default();
        let word = |at| line.split_whitespace().nth(at).unwrap_or_default();
        return Ok(format!("{} {} {}", word(2), word(4), word(5)));
    }
    let session = frr_session(peer, address)?;
    let [receive, transmit, multiplier] =
        ["receive-interval", "transmit-interval", "detect-multiplier"].map(|what| &session[format!("remote-{what}")]);
    Ok(format!("{} {receive} {transmit} {multiplier}", session["status"].as_str().unwrap_or_default()))
}

#[track_caller]
fn until_says(lab: &Lab, peer: &Peer, address: &str, wanted: &str) {
    lab.wait_until(&format!("{} says of {address}: {wanted}", peer.daemon()), PATIENCE, || {
        let said = says(peer, address).map_err(|error| error.to_string())?;
        if said.starts_with(wanted) { Ok(()) } else { Err(said) }
    });
}

/// Cuts or restores what the second namespace sends to the first, without a word to anybody: to a station that is not there.
fn silence(ns: &str, silent: bool) {
    for address in ["10.9.0.1", "2001:db8:9::1", "fe80::9:1"] {
        let neighbor = ["neighbour", if silent { "replace" } else { "del" }, address, "dev", "eth1"];
        let nobody: &[_] = if silent { &["lladdr", "02:00:00:00:00:99", "nud", "permanent"] } else { &[] };
        change(ns, &[&neighbor, nobody].concat()).unwrap();
    }
}

fn speaks(daemon: Daemon) {
    let (lab, [a, b]) = pair();
    let config = PeerConfig {
        text: (daemon == Daemon::Bird).then(|| BIRD.to_owned()),
        bfd: (daemon == Daemon::Frr).then(|| FRR.to_owned()),
        ..PeerConfig::new("peer", 65001, Ipv4Addr::new(10, 9, 0, 2))
    };
    let peer = Peer::start(&lab, daemon, &b, config).unwrap();
    let mut ours = Driver::start(&lab, &a);
    let (up, slower, down) = match daemon {
        Daemon::Bird => ("Up 0.060 1.050", "Up 0.100 1.500", "Down"),
        Daemon::Frr | Daemon::Gobgp | Daemon::Perouter => ("up 50 50 15", "up 100 100 15", "down"),
    };
    let sessions = |interval| {
        let mut sessions = every_kind(1, settings(interval, 15));
        if daemon == Daemon::Bird {
            // Over several hops it sends with the system's TTL, which is 64.
            sessions[3].settings.hops = Hops::Multi { minimum_ttl: 64 };
        }
        sessions
    };

    ours.want(&sessions(50));
    for (theirs, own) in PEERS {
        ours.until_up(theirs, 70, 1200);
        until_says(&lab, &peer, own, up);
    }
    let before = PEERS.map(|(theirs, _)| ours.view(theirs).session);
    assert_eq!(before.map(|session| session.downs), [0; 4]);
    // Alone, without a BGP session that asks for it, neither claims to outlive its control plane.
    assert_eq!(before.map(|session| session.remote.control_plane_independent), [false; 4]);

    // Other intervals: by polls, without going down.
    ours.want(&sessions(100));
    for ((theirs, own), before) in PEERS.into_iter().zip(before) {
        let after = ours.until_up(theirs, 100, 2000).session;
        until_says(&lab, &peer, own, slower);
        assert_eq!((after.since, after.downs), (before.since, 0));
    }
    ours.last_reports(PEERS.len(), true);

    // Silence.
    silence(&b, true);
    for report in ours.last_reports(PEERS.len(), false) {
        assert_eq!(report.reason, "nothing was heard for 2000 ms");
    }
    for (theirs, _) in PEERS {
        assert!(is_expired(&ours.view(theirs)));
    }
    for (_, own) in PEERS {
        until_says(&lab, &peer, own, down);
    }
    silence(&b, false);
    for (theirs, own) in PEERS {
        ours.until_up(theirs, 100, 2000);
        until_says(&lab, &peer, own, slower);
    }
    ours.last_reports(PEERS.len(), true);

    // A process that does not run does not answer.
    lab.signal(peer.bfd_pid(), Signal::STOP).unwrap();
    for (theirs, _) in PEERS {
        ours.until(theirs, "is down", is_expired);
    }
    lab.signal(peer.bfd_pid(), Signal::CONT).unwrap();
    for (theirs, _) in PEERS {
        ours.until_up(theirs, 100, 2000);
    }

    // We hold it down, on purpose.
    ours.want(&[]);
    for (_, own) in PEERS {
        until_says(&lab, &peer, own, down);
        if daemon == Daemon::Frr {
            let said = frr_session(&peer, own).unwrap();
            let diagnostics = [&said["diagnostic"], &said["remote-diagnostic"]];
            assert_eq!(diagnostics, ["neighbor signaled session down", "administratively down"]);
        }
    }
}

#[test]
fn frr_agrees_on_states_and_timers() {
    speaks(Daemon::Frr);
}

#[test]
fn bird_agrees_on_states_and_timers() {
    speaks(Daemon::Bird);
}

#[test]
fn what_frr_holds_down_on_purpose_is_not_taken_for_a_broken_path() {
    let (lab, [a, b]) = pair();
    let config = PeerConfig { bfd: Some(FRR.to_owned()), ..PeerConfig::new("peer", 65001, Ipv4Addr::new(10, 9, 0, 2)) };
    let peer = Peer::start(&lab, Daemon::Frr, &b, config).unwrap();
    let mut ours = Driver::start(&lab, &a);
    ours.want(&every_kind(1, settings(50, 15))[..1]);
    ours.reports_up("10.9.0.2");
    let switch = |no: &str| {
        let shutdown = format!("{no}shutdown");
        peer.ask_bfd(&["configure terminal", "bfd", "peer 10.9.0.1", &shutdown]).unwrap();
    };
    switch("");
    let report = ours.reports_down("10.9.0.2", "the neighbour holds its session down on purpose");
    assert!(report.admin_down_by_peer);
    let session = ours.until("10.9.0.2", "is down", |view| view.session.local.state == State::Down).session;
    assert_eq!((session.reason, session.remote.state), (Reason::RemoteAdminDown, State::AdminDown));
    switch("no ");
    ours.reports_up("10.9.0.2");
}

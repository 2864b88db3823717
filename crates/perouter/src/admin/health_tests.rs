use std::time::{Duration, Instant};

use engine::bfd::{Diagnostic, Hops, Reason, Settings, Side, Snapshot, State};
use engine::snapshot::{DrainSnapshot, PeerState};

use super::super::convert::status;
use super::super::tests::{peer as peer_snapshot, snapshot};
use super::*;
use crate::bfd::{View, Wanted};
use crate::moment::Moment;
use crate::status::{Mode, Status};

fn side(state: State, discriminator: u32) -> Side {
    Side {
        state,
        diagnostic: Diagnostic::NONE,
        discriminator,
        desired_min_tx: Duration::from_millis(300),
        required_min_rx: Duration::from_millis(250),
        multiplier: 3,
        control_plane_independent: false,
        demand: false,
    }
}

/// A session with the peer of these tests that has been in its state for so long.
fn view(state: State, reason: Reason, downs: u64, seconds: u64) -> View {
    View {
        wanted: Wanted {
            peer: "192.168.11.2".parse().unwrap(),
            scope_link: None,
            local: None,
            settings: Settings::default(),
        },
        session: Snapshot {
            local: side(state, 7),
            remote: side(state, if state == State::Up { 9 } else { 0 }),
            transmit_interval: Some(Duration::from_millis(300)),
            receive_interval: None,
            detection_time: Some(Duration::from_millis(900)),
            polling: false,
            sent: 5,
            received: 4,
            downs,
            since: Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap(),
            reason,
        },
        trouble: None,
    }
}

fn with(state: PeerState, views: &[View]) -> model::Status {
    let snapshot = snapshot(vec![peer_snapshot("fabric", "192.168.11.2", state)]);
    status(Moment::now(), &Status::new(Mode::Run).read(), &[], Some(&snapshot), views)
}

#[test]
fn bfd_that_is_down_beside_a_session_is_a_problem_with_its_remedy() {
    let lost = view(State::Down, Reason::Expired { after: Duration::from_millis(900) }, 1, 0);
    let told = with(PeerState::Established, std::slice::from_ref(&lost));
    assert_eq!(
        told.problems,
        [
            "BFD with fabric (192.168.11.2) is down: nothing was heard for 900 ms; has the neighbour a BFD session with this address, does UDP port 3784 get through? `perouter peers fabric` shows both sides"
        ]
    );
    // The session that it took along has that reason itself.
    let problems = with(PeerState::Idle, &[lost]).problems;
    assert_eq!(problems, ["session with fabric (192.168.11.2) is Idle: connection refused"]);
    let mut far = view(State::Down, Reason::Started, 0, 11);
    far.wanted.settings.hops = Hops::Multi { minimum_ttl: 254 };
    let problems = with(PeerState::Established, &[far]).problems;
    assert!(problems[0].contains("UDP port 4784") && problems[0].contains("minimumTTL"), "{problems:?}");
}

#[test]
fn bfd_may_take_some_seconds_to_come_up() {
    for (seconds, healthy) in [(0, true), (8, true), (11, false)] {
        let told = with(PeerState::Established, &[view(State::Down, Reason::Started, 0, seconds)]);
        assert_eq!(told.healthy, healthy, "{seconds} s: {:?}", told.problems);
    }
}

/// RFC 5882 section 3.2.
#[test]
fn bfd_that_the_neighbour_holds_down_is_a_warning() {
    let told = with(PeerState::Established, &[view(State::Down, Reason::RemoteAdminDown, 1, 60)]);
    assert!(told.healthy, "{:?}", told.problems);
    assert!(told.warnings[0].contains("holds its session down on purpose"), "{:?}", told.warnings);
}

#[test]
fn both_sides_of_a_bfd_session_are_told() {
    let told = with(PeerState::Established, &[view(State::Up, Reason::Agreed, 2, 60)]);
    assert!(told.healthy && told.warnings.is_empty(), "{:?}", told.problems);
    let bfd = told.peers[0].bfd.clone().unwrap();
    let remote = bfd.remote.clone().unwrap();
    assert_eq!((bfd.local.discriminator, remote.discriminator, bfd.times_lost), (7, 9, 2));
    assert_eq!((remote.desired_min_tx_ms, remote.required_min_rx_ms, remote.multiplier), (300, 250, 3));
    assert_eq!((bfd.detection_time_ms, bfd.receive_interval_ms), (Some(900), None));
    // That of a neighbour with the same address on another link is not its own.
    let mut peer = peer_snapshot("fabric", "192.168.11.2", PeerState::Established);
    peer.link = Some("eth2".into());
    let mut view = view(State::Up, Reason::Agreed, 0, 60);
    for (link, its) in [("eth1", false), ("eth2", true)] {
        view.wanted.scope_link = Some(link.into());
        let data = Status::new(Mode::Run).read();
        let told = status(Moment::now(), &data, &[], Some(&snapshot(vec![peer.clone()])), std::slice::from_ref(&view));
        assert_eq!(told.peers[0].bfd.is_some(), its, "{link}");
    }
}

#[test]
fn a_peer_that_restarts_is_a_warning_as_long_as_its_routes_are_kept() {
    for (state, words) in
        [(PeerState::Active, "for it to restart"), (PeerState::Established, "for it to say them again")]
    {
        let mut peer = peer_snapshot("fabric", "192.168.11.2", state);
        let now = Moment::now();
        peer.kept_until = Some(now.instant + Duration::from_millis(92_500));
        let told = status(now, &Status::new(Mode::Run).read(), &[], Some(&snapshot(vec![peer])), &[]);
        assert!(told.healthy, "{:?}", told.problems);
        assert_eq!(told.warnings, [format!("fabric (192.168.11.2): routes kept for 93 s more, {words}")]);
    }
}

#[test]
fn a_drained_router_is_one_problem_with_its_remedy() {
    let now = Moment::now();
    let mut snapshot = snapshot(vec![peer_snapshot("fabric", "192.168.11.2", PeerState::Idle)]);
    let data = Status::new(Mode::Run).read();
    snapshot.drain = Some(DrainSnapshot { since: now.instant, until: None, message: None });
    let told = status(now, &data, &[], Some(&snapshot), &[]);
    assert_eq!(told.drain.map(|drain| drain.state), Some(model::DrainState::Drained));
    assert_eq!(
        told.problems,
        ["drained: every session was ended on purpose; `perouter drain --undo` brings them back"]
    );
    // Before the end, a session that is down is down for its own reason.
    let until = Some(now.instant + Duration::from_secs(7));
    snapshot.drain = Some(DrainSnapshot { since: now.instant, until, message: None });
    let problems = status(now, &data, &[], Some(&snapshot), &[]).problems;
    assert!(problems[0].contains("ends in 7 s; `perouter drain --undo` stops it"), "{problems:?}");
    assert_eq!(problems.len(), 2);
}

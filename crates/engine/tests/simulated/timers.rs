//! Timers over minutes, hours and years, of which nobody waits a second.

use std::time::Duration;

use engine::Event;
use engine::intent::{Intent, MaxPrefixes, PeerIntent};
use engine::snapshot::PeerState;
use wire::{Family, MessageType};

use crate::routes::announce;
use crate::script::{ADDRESS, HOLD, Script, keepalive, open, open_bytes, own};
use crate::sim::SECOND;

const ID: &str = "10.0.0.1";
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A neighbour that only accepts: nothing but the session's own timers runs.
fn passive(change: impl FnOnce(&mut PeerIntent)) -> Intent {
    own(|peer| {
        peer.passive = true;
        change(peer);
    })
}

/// RFC 4271 8.2.2, OpenSent: four minutes for the OPEN, and not a moment less.
#[test]
fn an_open_is_waited_for_four_minutes() {
    let mut script = Script::new(passive(|_| {}));
    script.accept(ADDRESS);
    script.pass(SECOND * 240 - Duration::from_nanos(1));
    assert_eq!((script.state(), script.closed.len()), (PeerState::OpenSent, 0));
    script.pass(Duration::from_nanos(1));
    assert_eq!((script.kinds(1), script.closed.len()), (vec!["4/0".to_string()], 1));
}

/// RFC 4271 4.2, 6.5: the lower of both hold times, counted from the last KEEPALIVE or UPDATE.
#[test]
fn a_session_ends_when_the_lower_hold_time_is_over() {
    for (ours, theirs) in [(180, 90), (30, 90), (3, 180), (180, 3), (u16::MAX, u16::MAX)] {
        let mut script = Script::new(passive(|peer| peer.hold_time = SECOND * u32::from(ours)));
        let conn = script.establish(&open(ID, theirs, &[]));
        let hold = SECOND * u32::from(ours.min(theirs));
        assert_eq!(script.peer().hold_time, Some(hold));
        for alive in [keepalive(), announce("198.51.100.0/24", &[crate::script::PEER])] {
            script.pass(hold - SECOND);
            script.send(conn, alive);
        }
        script.pass(hold - Duration::from_nanos(1));
        assert_eq!(script.state(), PeerState::Established, "hold times {ours} and {theirs}");
        script.pass(Duration::from_nanos(1));
        let last = script.said.last().map(|said| said.name());
        assert_eq!((last.as_deref(), script.peer().flaps), (Some("4/0"), 1), "hold times {ours} and {theirs}");
    }
}

/// RFC 4271 4.4, 10: at most a third of the hold time apart, jittered by up to a quarter, never more than one a second.
#[test]
fn keepalives_come_in_time_with_jitter() {
    // Hold time and our configured interval; what follows.
    for (hold, interval, expected) in [(90, 60, 30), (180, 60, 60), (180, 10, 10), (9, 60, 3), (3, 60, 1), (3, 1, 1)] {
        let mut script = Script::new(passive(|peer| peer.keepalive = SECOND * interval));
        let conn = script.establish(&open(ID, hold, &[]));
        for _ in 0..u32::from(hold) * 40 {
            script.pass(SECOND);
            script.send(conn, keepalive());
        }
        let sent: Vec<_> =
            script.said.iter().filter(|said| said.kind == MessageType::Keepalive).map(|said| said.at).collect();
        let gaps: Vec<Duration> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let least = (SECOND * expected).mul_f64(0.75).max(SECOND);
        assert!(gaps.len() > 40, "hold time {hold}: {}", gaps.len());
        assert!(gaps.iter().all(|gap| (least..=SECOND * expected).contains(gap)), "hold time {hold}: {gaps:?}");
        // Spread over most of the range, else peers that began together would stay together.
        let (shortest, longest) = (gaps.iter().min().expect("some"), gaps.iter().max().expect("some"));
        assert!(*longest - *shortest >= (SECOND * expected - least).mul_f64(0.6), "hold time {hold}: {gaps:?}");
    }
}

/// RFC 4271 4.2: a hold time of zero on either side, and nobody sends or expects KEEPALIVEs, for ten years.
#[test]
fn a_session_without_hold_time_never_times_out() {
    for (ours, theirs) in [(0, 90), (180, 0), (0, 0)] {
        let mut script = Script::new(passive(|peer| peer.hold_time = SECOND * ours));
        let conn = script.establish(&open(ID, theirs, &[]));
        let said = script.said.len();
        assert_eq!(script.engine.poll_timeout(), None);
        script.pass(YEAR * 10);
        assert_eq!((script.state(), script.said.len()), (PeerState::Established, said));
        // Nor does what the peer does not read end it: RFC 9687 section 4 needs a hold time.
        script.deaf = true;
        script.send(conn, keepalive());
        script.pass(YEAR);
        assert_eq!(script.state(), PeerState::Established);
    }
}

/// RFC 4271 8.2.2, OpenConfirm: without a hold time the peer must still answer our OPEN.
#[test]
fn without_hold_time_the_first_keepalive_is_waited_for_four_minutes() {
    let mut script = Script::new(passive(|peer| peer.hold_time = Duration::ZERO));
    let conn = script.accept(ADDRESS);
    script.send(conn, open_bytes(ID));
    assert_eq!(script.engine.poll_timeout(), Some((script.now + SECOND * 240, "hold")));
    script.pass(SECOND * 240);
    assert_eq!(script.kinds(2), ["4/0"]);
}

/// RFC 4271 8.1.1, 10: each wait is twice the one before, up to the connect retry time, shortened by up to a quarter.
#[test]
fn dials_are_repeated_ever_more_rarely_and_soon_after_a_lost_session() {
    let mut script = Script::new(own(|peer| peer.connect_retry = SECOND * 120));
    let refuse = |script: &mut Script| {
        let (conn, dials) = (script.dialled(), script.dials.len());
        let since = script.now;
        script.tell(Event::Closed { conn, error: Some("connection refused".into()) });
        while script.dials.len() == dials {
            script.next_deadline();
        }
        script.now - since
    };
    script.next_deadline();
    for expected in [2, 4, 8, 16, 32, 64, 120, 120, 120] {
        let waited = refuse(&mut script);
        let bounds = (SECOND * expected).mul_f64(0.75)..=SECOND * expected;
        assert!(bounds.contains(&waited), "{waited:?} instead of {expected} s");
    }
    let conn = script.connected();
    script.send(conn, [open_bytes(ID), keepalive()].concat());
    assert_eq!(script.state(), PeerState::Established);
    let waited = refuse(&mut script);
    assert!((SECOND.mul_f64(0.75)..=SECOND).contains(&waited), "{waited:?}");
}

/// RFC 4271 8.2.2: a failure after the connection was open counts as much as one before.
#[test]
fn a_peer_that_ends_every_session_at_once_is_not_dialled_faster_than_once_a_second() {
    let mut script = Script::new(own(|_| {}));
    script.next_deadline();
    let start = script.now;
    for _ in 0..20 {
        let (conn, dials) = (script.connected(), script.dials.len());
        script.send(conn, [open_bytes(ID), keepalive()].concat());
        script.tell(Event::Closed { conn, error: None });
        while script.dials.len() == dials {
            script.next_deadline();
        }
    }
    assert!(script.now - start >= SECOND * 15, "{:?}", script.now - start);
    assert_eq!(script.peer().flaps, 20);
}

/// RFC 9687 section 4: eight minutes, or twice the hold time where that is more, counted from the first message that the
/// peer did not take. We look when a KEEPALIVE is due.
#[test]
fn a_peer_that_takes_nothing_is_given_up_after_the_send_hold_time() {
    for (hold, expected) in [(90, 480), (180, 480), (300, 600), (1200, 2400)] {
        let mut script = Script::new(passive(|peer| peer.hold_time = SECOND * u32::from(hold)));
        let conn = script.establish(&open(ID, hold, &[]));
        script.deaf = true;
        let (start, mut ended) = (script.now, None);
        while ended.is_none() && script.now < start + SECOND * 5000 {
            script.send(conn, keepalive());
            script.pass(SECOND);
            ended = (script.state() != PeerState::Established).then_some(script.now - start);
        }
        let ended = ended.expect("given up");
        // The first KEEPALIVE goes out after an interval, and the last look is up to one later.
        let interval = SECOND * 60;
        assert!(
            (SECOND * expected..=SECOND * expected + interval * 2 + SECOND).contains(&ended),
            "hold {hold}: {ended:?}"
        );
        let error = script.peer().last_error.unwrap_or_default();
        assert!(error.contains("Send Hold Timer"), "{error}");
    }
}

/// RFC 9687 section 4: a peer that reads at last is not given up, however slow it is.
#[test]
fn a_peer_that_reads_now_and_then_is_kept() {
    let mut script = Script::new(passive(|_| {}));
    let conn = script.establish(&open(ID, HOLD, &[]));
    for second in 0..3600 {
        script.deaf = second % 400 != 0;
        if !script.deaf {
            while script.engine.poll_transmit(conn).is_some() {}
        }
        script.send(conn, keepalive());
        script.pass(SECOND);
    }
    assert_eq!((script.state(), script.peer().flaps), (PeerState::Established, 0));
}

/// RFC 4271 6.7, RFC 4486 section 4: a peer that announced too much is refused for as long as configured, to the moment.
#[test]
fn too_many_prefixes_keep_a_peer_away_for_the_configured_time() {
    let limit = MaxPrefixes { limit: 1, teardown: true, restart: Some(SECOND * 300) };
    for dials in [false, true] {
        let change = |peer: &mut PeerIntent| {
            peer.passive = !dials;
            peer.max_prefixes.insert(Family::Ipv4Unicast, limit);
        };
        let mut script = Script::new(own(change));
        let conn = script.establish(&open(ID, HOLD, &[]));
        script.send(conn, announce("198.51.100.0/24", &[crate::script::PEER]));
        assert_eq!(script.state(), PeerState::Established);
        let said = script.said.len();
        script.send(conn, announce("203.0.113.0/24", &[crate::script::PEER]));
        assert_eq!(script.kinds(said), ["6/1"]);
        let (_, _, last) = (script.said.len(), said, script.said.last().expect("said"));
        // RFC 4486 section 4: family and limit as data.
        assert_eq!(last.body[2..], [0, 1, 1, 0, 0, 0, 1]);
        let before = script.dials.len();
        script.pass(SECOND * 300 - Duration::from_nanos(1));
        assert_eq!(script.dials.len(), before);
        let refused = script.accept(ADDRESS);
        assert!(script.closed.contains(&refused));
        script.pass(Duration::from_nanos(1));
        assert_eq!(script.dials.len(), before + usize::from(dials));
        let taken = script.accept(ADDRESS);
        assert!(!script.closed.contains(&taken));
    }
}

/// RFC 4724 section 4.1 and docs/architecture.md: what an earlier process left is swept when every peer has sent its
/// End-of-RIB, or after two minutes.
#[test]
fn the_tables_count_as_converged_with_the_last_end_of_rib_or_after_two_minutes() {
    for answered in [false, true] {
        let mut intent = passive(|peer| peer.hold_time = Duration::ZERO);
        intent.fib = true;
        let mut script = Script::new(intent);
        let conn = script.establish(&open(ID, 0, &[]));
        let swept = |script: &mut Script| script.engine.poll_fib().is_some_and(|batch| batch.sweep);
        script.pass(SECOND * 120 - Duration::from_nanos(1));
        assert!(!swept(&mut script));
        if answered {
            let mut end = Vec::new();
            wire::encode_end_of_rib(&mut end, Family::Ipv4Unicast);
            script.send(conn, end);
        } else {
            assert_eq!(script.engine.poll_timeout().map(|(_, why)| why), Some("convergence"));
            script.pass(Duration::from_nanos(1));
        }
        assert!(swept(&mut script));
        assert_eq!(script.engine.poll_timeout(), None, "and never again");
    }
}

/// A clock that is years ahead: nothing overflows, and what is due is done.
#[test]
fn years_pass_in_one_step() {
    let mut script = Script::new(own(|peer| peer.connect_retry = YEAR * 100));
    script.now += YEAR * 50;
    script.next_deadline();
    let conn = script.connected();
    script.send(conn, [open_bytes(ID), keepalive()].concat());
    script.now += YEAR * 50;
    script.engine.handle_timeout(script.now);
    script.drain();
    assert_eq!((script.state(), script.peer().flaps), (PeerState::Active, 1));
    // Refused for a century: the wait has its cap however often that happened.
    for _ in 0..40 {
        while script.state() != PeerState::Connect {
            script.next_deadline();
        }
        let conn = script.dialled();
        script.tell(Event::Closed { conn, error: None });
    }
    let (at, why) = script.engine.poll_timeout().expect("a dial");
    assert!(why == "dial" && at - script.now <= SECOND * 1024);
}

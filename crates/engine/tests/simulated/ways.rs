//! What the engine does when the way to a peer comes back, and when it could not read for a while.

use std::time::Duration;

use engine::snapshot::PeerState;
use engine::{Event, Link};

use crate::script::{ADDRESS, Script, keepalive, open, own};
use crate::sim::SECOND;

const ID: &str = "10.0.0.1";

fn links(script: &mut Script, up: bool, addresses: &[&str]) {
    let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
    script.tell(Event::Links(vec![Link { index: 1, name: "eth0".into(), up, addresses }]));
}

/// Whoever waits for a timer loses traffic: the peer is there as soon as the link is.
#[test]
fn a_peer_is_dialled_at_once_when_its_link_or_our_address_comes_back() {
    for (up, addresses) in [(false, &["192.0.2.1/24"][..]), (true, &[])] {
        let mut script = Script::new(own(|_| {}));
        for _ in 0..5 {
            script.next_deadline();
            let conn = script.dialled();
            script.tell(Event::Closed { conn, error: Some("No route to host".into()) });
        }
        links(&mut script, up, addresses);
        let before = script.dials.len();
        links(&mut script, true, &["192.0.2.1/24"]);
        script.next_deadline();
        let dial = script.dials.last().expect("a dial");
        assert_eq!((script.dials.len(), dial.1), (before + 1, script.now), "up {up}");
        // The peer may need a moment, and is not made to wait for it.
        let (conn, began) = *dial;
        script.tell(Event::Closed { conn, error: Some("Connection refused".into()) });
        script.next_deadline();
        assert!(script.dials.len() == before + 2 && script.now - began <= SECOND / 10, "up {up}");
    }
}

/// It may refuse for as long as a timer of its own lasts (BIRD's `error wait time`): we add nothing to that.
#[test]
fn a_peer_that_refuses_after_its_link_came_back_is_asked_often_for_some_seconds_and_then_as_ever() {
    let mut script = Script::new(own(|_| {}));
    links(&mut script, false, &["192.0.2.1/24"]);
    links(&mut script, true, &["192.0.2.1/24"]);
    let began = script.now;
    let (mut soon, mut late) = (Vec::new(), Vec::new());
    while script.now - began < SECOND * 30 {
        let asked = script.now;
        script.next_deadline();
        let waits = if asked - began < SECOND * 10 { &mut soon } else { &mut late };
        waits.push(script.now - asked);
        let conn = script.dialled();
        script.tell(Event::Closed { conn, error: Some("Connection refused".into()) });
    }
    assert!(soon.len() >= 100 && soon.iter().all(|wait| *wait <= SECOND / 10), "{soon:?}");
    assert!(late.len() > 2 && late.iter().all(|wait| *wait >= SECOND), "{late:?}");
}

/// What was sent into a dead link is sent again by TCP, seconds later.
#[test]
fn a_dial_from_before_the_link_was_there_is_given_up_for_a_new_one() {
    let mut script = Script::new(own(|_| {}));
    script.next_deadline();
    let old = script.dialled();
    links(&mut script, false, &["192.0.2.1/24"]);
    links(&mut script, true, &["192.0.2.1/24"]);
    script.next_deadline();
    assert!(script.closed.contains(&old) && script.dialled() != old);
}

/// A peer that has given the session up while the link was away says so only when it hears from us.
#[test]
fn a_session_over_a_link_that_comes_back_is_tried_with_a_keepalive_and_goes_on() {
    let mut script = Script::new(own(|peer| peer.passive = true));
    let conn = script.establish(&open(ID, 90, &[]));
    script.pass(SECOND);
    let before = script.said.len();
    links(&mut script, false, &["192.0.2.1/24"]);
    script.pass(SECOND);
    links(&mut script, true, &["192.0.2.1/24"]);
    script.pass(Duration::ZERO);
    assert_eq!(script.kinds(before), ["KEEPALIVE"]);
    script.send(conn, keepalive());
    assert_eq!((script.state(), script.peer().flaps), (PeerState::Established, 0));
}

/// Links and addresses that have nothing to do with a peer do not disturb it.
#[test]
fn other_links_and_addresses_are_no_reason() {
    let mut script = Script::new(own(|_| {}));
    script.next_deadline();
    let conn = script.dialled();
    script.tell(Event::Closed { conn, error: None });
    let before = script.dials.len();
    let link = |index, name: &str, addresses: &[&str]| {
        let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        Link { index, name: name.into(), up: true, addresses }
    };
    script.tell(Event::Links(vec![
        link(1, "eth0", &["192.0.2.1/24", "2001:db8::1/64", "198.51.100.1/24"]),
        link(2, "eth1", &["203.0.113.1/24"]),
    ]));
    script.pass(Duration::ZERO);
    assert_eq!(script.dials.len(), before);
}

/// A process that was stopped must not take its own silence for the peer's: KEEPALIVEs wait in the socket.
#[test]
fn a_hold_timer_waits_for_what_has_arrived_and_was_not_read() {
    for read in [true, false] {
        let mut script = Script::new(own(|peer| peer.passive = true));
        let conn = script.establish(&open(ID, 9, &[]));
        assert_eq!(script.engine.expiring(script.now + SECOND * 8).count(), 0);
        script.now += SECOND * 60;
        assert_eq!(script.engine.expiring(script.now).collect::<Vec<_>>(), [conn]);
        script.tell(Event::Unread { conn });
        assert_eq!(script.engine.expiring(script.now).count(), 0);
        script.engine.handle_timeout(script.now);
        script.drain();
        assert_eq!(script.state(), PeerState::Established);
        if read {
            script.send(conn, keepalive());
            script.pass(SECOND * 8);
            assert_eq!((script.state(), script.peer().flaps), (PeerState::Established, 0));
        }
        script.pass(SECOND * 2);
        assert_eq!(script.peer().flaps, 1, "silence is silence");
    }
}

/// Nobody can prolong a session by that which has time enough.
#[test]
fn unread_bytes_do_not_put_a_distant_hold_timer_off() {
    let mut script = Script::new(own(|peer| peer.passive = true));
    let conn = script.establish(&open(ID, 9, &[]));
    script.pass(SECOND * 2);
    script.tell(Event::Unread { conn });
    script.pass(SECOND * 7);
    assert_eq!(script.peer().flaps, 1);
    let stranger = script.accept(ADDRESS);
    script.tell(Event::Unread { conn });
    assert!(!script.closed.contains(&stranger), "a connection that is gone is nobody's");
}

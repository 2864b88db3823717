//! Hold and keepalive timers (RFC 4271 4.4, 6.5, 8.2.2 and 10). Nothing here measures time: it counts what happens before
//! something else does.

use crate::bytes::{self, KEEPALIVE, OPEN, Open};
use crate::hostile::alone;
use crate::lab::{Lab, PEER_ASN, everybody, host, neighbor};
use crate::peer::{Peer, Seen, usual};
use crate::support::wait_until;

fn short(number: u16) -> Open {
    Open::new(PEER_ASN, 3, host(number))
}

/// RFC 4271 section 6.5: nothing for the hold time ends the session with Hold Timer Expired. Until then the other side's
/// own KEEPALIVEs come, about three per hold time: with the jitter of section 10 (0.75 to 1) not fewer than 2 and not more
/// than 4 after the first, which answers the OPEN.
#[test]
fn silence_for_the_hold_time_ends_the_session() {
    let _alone = alone();
    let lab = Lab::new(&neighbor(1, ""));
    for confirmed in [true, false] {
        // In OpenConfirm the timer is the same (section 8.2.2).
        let mut peer = if confirmed { Peer::established(&lab, 1, &short(1)) } else { Peer::opened(&lab, 1, &short(1)) };
        let mut keepalives = 0;
        let reason = loop {
            match peer.next() {
                Seen::Message(KEEPALIVE, _) => keepalives += 1,
                Seen::Message(bytes::NOTIFICATION, body) => break body,
                Seen::Message(..) => {}
                Seen::Closed => panic!("closed without a word"),
            }
        };
        assert_eq!(reason, [4, 0]);
        let answer = usize::from(!confirmed);
        assert!((2 + answer..=4 + answer).contains(&keepalives), "{keepalives}");
    }
    let said = lab.peer(1)["last_error"].as_str().unwrap().to_owned();
    assert!(said.contains("Hold Timer Expired"), "{said}");
}

/// RFC 4271 section 4.4: a KEEPALIVE or an UPDATE keeps the session; each of ours is answered here, so that only the other
/// side's cadence drives it. A route passes after several hold times.
#[test]
fn keepalives_keep_the_session_and_come_at_a_third_of_the_hold_time() {
    let _alone = alone();
    let lab = Lab::new(&everybody(""));
    let mut paced = Peer::established(&lab, 1, &short(1));
    let mut updating = Peer::established(&lab, 2, &short(2));
    for _ in 0..8 {
        while !matches!(paced.next(), Seen::Message(KEEPALIVE, _)) {}
        paced.send(&bytes::keepalive());
        updating.send(&bytes::announce(&bytes::mandatory(PEER_ASN, host(2)), host(0x100)));
    }
    for number in [1, 2] {
        assert_eq!(lab.peer(number)["state"], "established");
        assert_eq!(lab.peer(number)["hold_time_seconds"], 3);
    }
    // It was told as often as it takes KEEPALIVEs, within the jitter of section 10.
    let sent = lab.peer(2)["messages_sent"]["keepalive"].as_u64().unwrap();
    assert!((6..=13).contains(&sent), "{sent}");
}

/// RFC 4271 sections 4.2 and 8.2.2: with hold time 0 neither side sends KEEPALIVEs, and the session lives: nothing but the
/// first KEEPALIVE comes while a neighbour with hold time 3 s is sent six and then lost for its silence.
#[test]
fn without_a_hold_time_there_are_no_keepalives() {
    let _alone = alone();
    let lab = Lab::new(&everybody(""));
    let mut quiet = Peer::established(&lab, 1, &Open::new(PEER_ASN, 0, host(1)));
    let mut clock = Peer::established(&lab, 2, &short(2));
    for _ in 0..3 {
        while !matches!(clock.next(), Seen::Message(KEEPALIVE, _)) {}
        clock.send(&bytes::keepalive());
    }
    assert_eq!(clock.end(), Some((4, 0, vec![])));
    let peer = lab.peer(1);
    assert_eq!((&peer["state"], &peer["hold_time_seconds"]), (&"established".into(), &0.into()));
    assert_eq!(peer["messages_sent"]["keepalive"], 1, "the answer to the OPEN only");
    // And it still carries routes.
    clock = Peer::established(&lab, 2, &usual(2));
    clock.send(&bytes::announce(&bytes::mandatory(PEER_ASN, host(2)), host(0x100)));
    quiet.announcement("10.10.1.0/24");
}

/// A process that could not run for longer than the hold time reads what has arrived before it calls its peers silent.
#[test]
fn a_process_that_was_stopped_finds_the_keepalives_that_came_meanwhile() {
    let _alone = alone();
    let (lab, running) = (Lab::new(&everybody("")), Lab::new(&everybody("")));
    let mut clock = Peer::established(&running, 1, &short(1));
    let mut peers: Vec<Peer> = (1..=30).map(|number| Peer::established(&lab, number, &short(number))).collect();
    // Another process's KEEPALIVEs are at least 0.75 s apart: eight take longer than the hold time of 3 s.
    for beats in [3, 8, 8] {
        lab.daemon.signal("-STOP");
        for _ in 0..beats {
            while !matches!(clock.next(), Seen::Message(KEEPALIVE, _)) {}
            clock.send(&bytes::keepalive());
            peers.iter_mut().for_each(|peer| peer.send(&bytes::keepalive()));
        }
        lab.daemon.signal("-CONT");
        // The second one is of after the stop.
        for _ in 0..2 {
            for peer in &mut peers {
                while let Seen::Message(kind, body) = peer.next() {
                    assert_ne!(kind, bytes::NOTIFICATION, "{body:?}");
                    if kind == KEEPALIVE {
                        break;
                    }
                }
                peer.send(&bytes::keepalive());
            }
            clock.send(&bytes::keepalive());
        }
    }
    assert_eq!(lab.established(), peers.len());
    assert!(lab.peers().iter().all(|peer| peer["flaps"] == 0));
}

/// RFC 4271 section 8.2.2, Idle: whoever cannot be reached is dialled again and again, with pauses that do not grow beyond
/// the configured retry time (1 s in this lab).
#[test]
fn a_neighbour_that_refuses_is_dialled_again() {
    let _alone = alone();
    let lab = Lab::new(&neighbor(1, ""));
    let listener = crate::peer::listen(&lab, 1);
    for _ in 0..4 {
        let mut peer = crate::peer::accept(&listener);
        peer.expect(OPEN);
        peer.reset();
    }
    let mut peer = crate::peer::accept(&listener);
    peer.expect(OPEN);
    peer.send(&usual(1).message());
    peer.expect(KEEPALIVE);
    peer.send(&bytes::keepalive());
    wait_until("the session is up", || lab.peer(1)["state"] == "established");
}

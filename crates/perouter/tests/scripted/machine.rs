//! The state machine from outside: unexpected messages, odd segments, and ends in every state (RFC 4271 8.2.2).

use std::net::Shutdown;

use crate::bytes::{self, KEEPALIVE, NOTIFICATION, OPEN, ROUTE_REFRESH, UPDATE};
use crate::lab::{Lab, PEER_ASN, everybody, host, neighbor};
use crate::peer::{Peer, Seen, usual};
use crate::support::wait_until;

/// How far a stranger goes before it does something odd.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// TCP only: the other side is in OpenSent.
    Open,
    /// OPEN sent and accepted: OpenConfirm.
    Confirm,
    Established,
}

const STAGES: [Stage; 3] = [Stage::Open, Stage::Confirm, Stage::Established];

fn at(lab: &Lab, number: u16, stage: Stage) -> Peer {
    let mut peer = Peer::dial(lab, number);
    peer.expect(OPEN);
    if matches!(stage, Stage::Open) {
        return peer;
    }
    peer.send(&usual(number).message());
    match peer.next() {
        Seen::Message(KEEPALIVE, _) => {}
        // The end of the connection before has not been seen yet, and an established one wins (section 6.8).
        Seen::Message(NOTIFICATION, reason) if reason == [6, 7] => return at(lab, number, stage),
        other @ (Seen::Message(..) | Seen::Closed) => panic!("{other:?}"),
    }
    if matches!(stage, Stage::Established) {
        peer.send(&bytes::keepalive());
    }
    peer
}

/// RFC 4271 section 8.2.2 and RFC 6608 sections 3 and 4: the subcode names the state, the data the type of the message.
#[test]
fn an_unexpected_message_is_answered_with_the_state_and_its_type() {
    let lab = Lab::new(&everybody(""));
    let update = bytes::announce(&bytes::mandatory(PEER_ASN, host(1)), host(1));
    let refresh = bytes::message(ROUTE_REFRESH, &[0, 1, 0, 1]);
    let open = usual(1).message();
    let table = [
        (Stage::Open, bytes::keepalive(), (5, 1, vec![KEEPALIVE])),
        (Stage::Open, update.clone(), (5, 1, vec![UPDATE])),
        (Stage::Open, refresh.clone(), (5, 1, vec![ROUTE_REFRESH])),
        (Stage::Confirm, update, (5, 2, vec![UPDATE])),
        (Stage::Confirm, refresh, (5, 2, vec![ROUTE_REFRESH])),
        (Stage::Confirm, open.clone(), (5, 2, vec![OPEN])),
        (Stage::Established, open, (5, 3, vec![OPEN])),
    ];
    for (stage, message, answer) in table {
        let mut peer = at(&lab, 1, stage);
        peer.send(&message);
        assert_eq!(peer.end(), Some(answer.clone()), "{stage:?} {answer:?}");
    }
}

/// RFC 4271 section 6.4: a NOTIFICATION is never answered, whatever is in it, and ends the connection in every state.
#[test]
fn a_notification_ends_the_connection_without_an_answer() {
    let lab = Lab::new(&neighbor(1, ""));
    for stage in STAGES {
        for body in [&[6, 4, 5, b'l', b'a', b't', b'e', b'r'][..], &[0, 0], &[200, 200, 1]] {
            let mut peer = at(&lab, 1, stage);
            peer.send(&bytes::message(NOTIFICATION, body));
            assert_eq!(peer.end(), None, "{stage:?} {body:?}");
        }
    }
    // The reason can be read afterwards, with the text that the other operator wrote (RFC 9003).
    let mut peer = at(&lab, 1, Stage::Established);
    peer.send(&bytes::message(NOTIFICATION, &[6, 2, 5, b'l', b'a', b't', b'e', b'r']));
    assert_eq!(peer.end(), None);
    wait_until("the reason is shown", || {
        lab.peer(1)["last_error"].as_str().is_some_and(|said| said.contains("Shutdown") && said.contains("later"))
    });
}

/// TCP is a stream (RFC 793): one octet per segment, everything in one segment, a message cut at every place.
#[test]
fn segments_mean_nothing() {
    let lab = Lab::new(&everybody(""));
    let mut witness = Peer::established(&lab, 50, &usual(50));
    let whole = |number: u16| {
        let update = bytes::announce(&bytes::mandatory(PEER_ASN, host(number)), host(number));
        [usual(number).message(), bytes::keepalive(), update, bytes::keepalive()].concat()
    };
    let arrives = |witness: &mut Peer, number: u16| {
        let [a, b, c, _] = host(number).octets();
        witness.announcement(&format!("{a}.{b}.{c}.0/24"));
    };

    // Numbers of different /24s.
    let mut peer = Peer::dial(&lab, 0x101);
    for octet in whole(0x101) {
        peer.send(&[octet]);
    }
    arrives(&mut witness, 0x101);

    let mut peer = Peer::dial(&lab, 0x201);
    peer.send(&whole(0x201));
    arrives(&mut witness, 0x201);

    // Cut at every place. The first part goes in one segment with a whole message, whose effect shows that both were read.
    let message = bytes::announce(&bytes::mandatory(PEER_ASN, host(0x301)), host(0x301));
    let mut peer = Peer::established(&lab, 0x301, &usual(0x301));
    peer.send(&message);
    arrives(&mut witness, 0x301);
    for cut in 1..message.len() {
        let (first, second) = message.split_at(cut);
        peer.send(&[&bytes::withdraw(host(0x301)), first].concat());
        witness.withdrawal("10.10.3.0/24");
        peer.send(second);
        arrives(&mut witness, 0x301);
    }
}

/// RFC 4271 section 8.2.2, TcpConnectionFails in each state: RST and FIN end the connection, and the next one is accepted at
/// once; what was announced is withdrawn.
#[test]
fn a_reset_or_a_close_in_every_state_makes_room_for_the_next() {
    let lab = Lab::new(&everybody(""));
    let mut witness = Peer::established(&lab, 50, &usual(50));
    let route = |number| bytes::announce(&bytes::mandatory(PEER_ASN, host(number)), host(0x101));
    for stage in STAGES {
        at(&lab, 1, stage).reset();
        let mut peer = at(&lab, 1, stage);
        peer.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(peer.end(), None, "{stage:?}");
        // In the middle of a message.
        let mut peer = at(&lab, 1, stage);
        peer.send(&usual(1).message()[..25]);
        peer.reset();
        let mut peer = at(&lab, 1, Stage::Established);
        peer.send(&route(1));
        witness.announcement("10.10.1.0/24");
        if matches!(stage, Stage::Open) {
            peer.reset()
        } else {
            drop(peer)
        }
        witness.withdrawal("10.10.1.0/24");
    }
}

/// A TCP connection on which nothing is said keeps nobody out, neither other addresses nor its own. (That it is closed after
/// the four minutes of RFC 4271 section 8.2.2 is the simulator's to show.)
#[test]
fn silent_connections_keep_nobody_out() {
    let lab = Lab::new(&everybody(""));
    let silent: Vec<Peer> = (1..=40).map(|number| Peer::dial(&lab, number)).collect();
    let _other = Peer::established(&lab, 100, &usual(100));
    wait_until("another address is up", || lab.established() == 1);
    let _same = Peer::established(&lab, 1, &usual(1));
    wait_until("the same address is up", || lab.established() == 2);
    drop(silent);
}

/// RFC 4271 section 8.2.1.1: reconnecting at once, many times in a row, comes to a session every time.
#[test]
fn a_peer_that_reconnects_at_once_is_accepted_every_time() {
    let lab = Lab::new(&neighbor(1, ""));
    for round in 0..20 {
        let mut peer = at(&lab, 1, Stage::Established);
        // End-of-RIB: the session is up on the other side.
        peer.update(|update| *update == bytes::Update::default());
        if round % 2 == 0 { peer.reset() } else { drop(peer) }
    }
    wait_until("all of them are counted", || lab.peer(1)["flaps"] == 20);
}

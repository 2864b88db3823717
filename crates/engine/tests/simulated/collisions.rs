//! Two connections with one peer: which one stays (RFC 4271 6.8, RFC 6286 2.3).

use engine::snapshot::PeerState;
use engine::{ConnId, Event};
use wire::{Capability, Open};

use crate::script::{ADDRESS, HOLD, OWN, Script, keepalive, own};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    ByUs,
    ByThem,
}

use Opened::{ByThem, ByUs};

/// The peer's identifier and AS, ours being 10.0.0.5 and 64512; and who has the higher ones.
const IDENTITIES: [(&str, u32, Opened); 4] = [
    ("10.0.0.1", 64513, ByUs),
    ("10.0.0.9", 64513, ByThem),
    // RFC 6286 2.3: with equal identifiers the AS decides.
    ("10.0.0.5", OWN - 1, ByUs),
    ("10.0.0.5", OWN + 1, ByThem),
];

fn open(identity: (&str, u32, Opened)) -> Vec<u8> {
    let (router_id, asn, _) = identity;
    let router_id = router_id.parse().expect("an identifier");
    let mut bytes = Vec::new();
    let capabilities = vec![Capability::FourOctetAs(asn)];
    Open { asn, hold_time: HOLD, router_id, capabilities }.encode(&mut bytes);
    bytes
}

fn begin(identity: (&str, u32, Opened)) -> Script {
    let mut script = Script::new(own(|peer| peer.remote_as = engine::intent::RemoteAs::Number(identity.1)));
    script.next_deadline();
    script
}

fn connect(script: &mut Script, opened: Opened) -> ConnId {
    if opened == ByUs { script.connected() } else { script.accept(ADDRESS) }
}

/// Exactly the loser was closed, with Cease 6/7, and the session comes up on the other one.
fn settle(script: &mut Script, stays: ConnId, goes: ConnId, identity: (&str, u32, Opened), what: &str) {
    assert_eq!(script.closed, [goes], "{what}");
    let said = script.said.iter().filter(|said| said.conn == goes).map(|said| said.name()).next_back();
    assert_eq!(said.as_deref(), Some("6/7"), "{what}");
    if script.state() == PeerState::OpenSent {
        script.send(stays, open(identity));
    }
    if script.state() == PeerState::OpenConfirm {
        script.send(stays, keepalive());
    }
    assert_eq!((script.state(), script.peer().flaps), (PeerState::Established, 0), "{what}");
    assert_eq!(script.closed, [goes], "{what}");
}

/// RFC 4271 6.8: both connections are in OpenSent, and the OPEN arrives on either of them first.
#[test]
fn with_both_in_open_sent_the_higher_identifier_keeps_what_it_opened() {
    for identity in IDENTITIES {
        for (first, open_on) in [(ByUs, ByUs), (ByUs, ByThem), (ByThem, ByUs), (ByThem, ByThem)] {
            let mut script = begin(identity);
            let one = connect(&mut script, first);
            let other = connect(&mut script, if first == ByUs { ByThem } else { ByUs });
            let of = |opened| if opened == first { one } else { other };
            script.send(of(open_on), open(identity));
            let goes = if identity.2 == ByUs { ByThem } else { ByUs };
            settle(&mut script, of(identity.2), of(goes), identity, &format!("{identity:?} {first:?} {open_on:?}"));
        }
    }
}

/// RFC 4271 6.8: the first connection is further than the second when that one's OPEN arrives. An established session
/// stays whatever the identifiers say.
#[test]
fn a_later_connection_loses_to_an_established_session_and_else_by_identifier() {
    for identity in IDENTITIES {
        for established in [false, true] {
            let mut script = begin(identity);
            let first = connect(&mut script, ByUs);
            script.send(first, open(identity));
            if established {
                script.send(first, keepalive());
            }
            let second = connect(&mut script, ByThem);
            script.send(second, open(identity));
            let (stays, goes) = if established || identity.2 == ByUs { (first, second) } else { (second, first) };
            settle(&mut script, stays, goes, identity, &format!("{identity:?}, established: {established}"));
        }
    }
}

/// RFC 4271 6.8, the other order: a connection of the peer's is further than our dial. There is no second connection
/// then: the dial is given up with the peer's OPEN, and an answer that comes too late is closed without a word.
#[test]
fn a_dial_is_given_up_for_a_connection_that_has_its_open() {
    for identity in IDENTITIES {
        for established in [false, true] {
            let mut script = begin(identity);
            let dial = script.dialled();
            let first = connect(&mut script, ByThem);
            script.send(first, open(identity));
            assert_eq!(script.closed, [dial]);
            if established {
                script.send(first, keepalive());
            }
            script.connected();
            assert_eq!(script.closed, [dial, dial]);
            script.send(dial, open(identity));
            assert!(script.said.iter().all(|said| said.conn == first));
            if !established {
                script.send(first, keepalive());
            }
            assert_eq!((script.state(), script.peer().flaps), (PeerState::Established, 0));
        }
    }
}

/// RFC 4271 6.8: a peer that dials twice has given its first connection up, unless that one is a session.
#[test]
fn of_two_connections_of_the_peer_the_later_one_stays_until_there_is_a_session() {
    for steps in 0..3 {
        let identity = IDENTITIES[0];
        let mut script = Script::new(own(|peer| peer.passive = true));
        let first = script.accept(ADDRESS);
        if steps > 0 {
            script.send(first, open(identity));
        }
        if steps > 1 {
            script.send(first, keepalive());
        }
        let second = script.accept(ADDRESS);
        script.send(second, open(identity));
        let (stays, goes) = if steps > 1 { (first, second) } else { (second, first) };
        settle(&mut script, stays, goes, identity, &format!("after {steps} messages"));
    }
}

/// RFC 4271 6.8: the loser's own end may come later; it ends nothing.
#[test]
fn what_still_arrives_on_the_loser_ends_nothing() {
    let identity = IDENTITIES[0];
    let mut script = begin(identity);
    let ours = connect(&mut script, ByUs);
    let theirs = connect(&mut script, ByThem);
    script.send(theirs, open(identity));
    script.send(theirs, crate::script::notification(6, 7));
    script.tell(Event::Closed { conn: theirs, error: None });
    settle(&mut script, ours, theirs, identity, "late");
}

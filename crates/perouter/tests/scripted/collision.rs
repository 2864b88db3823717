//! Two connections with one peer (RFC 4271 section 6.8, RFC 6286 section 2.3).

use std::net::Ipv4Addr;

use crate::bytes::{self, KEEPALIVE, OPEN, Open};
use crate::lab::{Lab, PEER_ASN, neighbor};
use crate::peer::{Peer, accept, listen, usual};
use crate::support::wait_until;

/// Cease, Connection Collision Resolution (RFC 4486 section 4).
const LOST: Option<(u8, u8, Vec<u8>)> = Some((6, 7, vec![]));
const LOWER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const HIGHER: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);

/// Both sides dial before either has said anything.
fn both(identifier: Ipv4Addr) -> (Lab, Peer, Peer, Open) {
    let lab = Lab::new("  []\n");
    let listener = listen(&lab, 1);
    lab.reload(&neighbor(1, ""));
    let mut theirs = accept(&listener);
    let mut ours = Peer::dial(&lab, 1);
    theirs.expect(OPEN);
    ours.expect(OPEN);
    (lab, theirs, ours, Open::new(PEER_ASN, 90, identifier))
}

/// Finishes the greeting on the connection that was kept.
fn carries_the_session(lab: &Lab, mut peer: Peer) -> Peer {
    peer.expect(KEEPALIVE);
    peer.send(&bytes::keepalive());
    wait_until("the session is up", || lab.peer(1)["state"] == "established");
    let our_end = peer.stream.local_addr().unwrap().to_string();
    assert_eq!(lab.peer(1)["remote"], our_end, "the connection that was kept");
    peer
}

/// The connection of the side with the higher identifier stays, whichever OPEN comes first: ours is higher.
#[test]
fn the_connection_that_we_dialled_stays_when_our_identifier_is_higher() {
    for first in ["theirs", "ours"] {
        let (lab, mut dialled_by_them, mut dialled_by_us, open) = both(HIGHER);
        if first == "theirs" {
            dialled_by_them.send(&open.message());
            assert_eq!(dialled_by_them.end(), LOST);
            dialled_by_us.send(&open.message());
        } else {
            dialled_by_us.send(&open.message());
            assert_eq!(dialled_by_them.end(), LOST);
        }
        let _session = carries_the_session(&lab, dialled_by_us);
    }
}

/// And the other way round: the process under test has the higher one.
#[test]
fn the_connection_that_it_dialled_stays_when_its_identifier_is_higher() {
    for first in ["theirs", "ours"] {
        let (lab, mut dialled_by_them, mut dialled_by_us, open) = both(LOWER);
        if first == "ours" {
            dialled_by_us.send(&open.message());
            assert_eq!(dialled_by_us.end(), LOST);
            dialled_by_them.send(&open.message());
        } else {
            dialled_by_them.send(&open.message());
            assert_eq!(dialled_by_us.end(), LOST);
        }
        let _session = carries_the_session(&lab, dialled_by_them);
    }
}

/// RFC 4271 section 6.8: an Established session is kept, whatever the identifiers say, and the new connection is told so.
#[test]
fn an_established_session_wins_every_collision() {
    let lab = Lab::new(&neighbor(1, ""));
    for identifier in [LOWER, HIGHER] {
        let open = Open::new(PEER_ASN, 90, identifier);
        let first = Peer::established(&lab, 1, &open);
        wait_until("the first is up", || lab.peer(1)["state"] == "established");
        for _ in 0..10 {
            let mut second = Peer::opened(&lab, 1, &open);
            assert_eq!(second.end(), LOST);
        }
        assert_eq!(lab.peer(1)["remote"], first.stream.local_addr().unwrap().to_string());
        drop(first);
        wait_until("it is gone", || lab.peer(1)["state"] != "established");
    }
    assert_eq!(lab.peer(1)["flaps"], 2);
}

/// Many connections of one peer at once, none of which says anything before all are open: one session results, and the
/// others are closed.
#[test]
fn many_connections_at_once_come_to_one_session() {
    let lab = Lab::new(&neighbor(1, ""));
    let mut peers: Vec<Peer> = (0..20).map(|_| Peer::dial(&lab, 1)).collect();
    let mut last = peers.pop().unwrap();
    last.expect(OPEN);
    // One that dials again has given up its earlier attempt.
    for mut peer in peers {
        assert_eq!(peer.end(), LOST);
    }
    last.send(&usual(1).message());
    let _session = carries_the_session(&lab, last);
    assert_eq!(lab.peer(1)["flaps"], 0);
}

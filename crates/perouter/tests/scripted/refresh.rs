//! ROUTE-REFRESH (RFC 2918, 7313).

use crate::bytes::{self, ENHANCED_REFRESH, KEEPALIVE, Open, REFRESH, ROUTE_REFRESH, UPDATE, Update};
use crate::lab::{Lab, PEER_ASN, host};
use crate::peer::{Peer, Seen, usual};

/// One neighbour range with both families, two networks of our own in each.
fn lab() -> Lab {
    Lab::new(
        "  - {name: all, listenRange: 10.10.0.0/16, type: External, addressFamilies: [ipv4unicast, ipv6unicast]}\n\
         networks: [10.1.0.0/24, 10.2.0.0/24, \"2001:db8:1::/48\"]\n",
    )
}

fn open(number: u16, refresh: &[u8]) -> Open {
    let (v4, v6, asn) = (bytes::ipv4_unicast(), bytes::ipv6_unicast(), bytes::four_octet_as(PEER_ASN.into()));
    let refresh: Vec<u8> = refresh.iter().flat_map(|code| bytes::capability(*code, &[])).collect();
    usual(number).offering(&[&v4, &v6, &asn, &refresh])
}

/// Reads until nothing can come any more: a second refresh of IPv6 is the mark.
fn until_established(peer: &mut Peer) {
    let mut ends = 0;
    while ends < 2 {
        if let Seen::Message(UPDATE, body) = peer.next() {
            let end_of_v6 = body == [0, 0, 0, 6, 0x80, 15, 3, 0, 2, 1];
            ends += usize::from(body == [0; 4] || end_of_v6);
        }
    }
}

/// What comes until (and with) the message that satisfies, without KEEPALIVEs.
fn until(peer: &mut Peer, last: impl Fn(u8, &[u8]) -> bool) -> Vec<(u8, Vec<u8>)> {
    let mut seen = Vec::new();
    loop {
        match peer.next() {
            Seen::Message(KEEPALIVE, _) => {}
            Seen::Message(kind, body) => {
                let over = last(kind, &body);
                seen.push((kind, body));
                if over {
                    return seen;
                }
            }
            Seen::Closed => panic!("closed after {seen:?}"),
        }
    }
}

/// RFC 7313 section 4: with the capability on both sides the answer stands between a beginning and an end of that family.
#[test]
fn a_refresh_is_answered_for_its_family_between_marks() {
    let lab = lab();
    let mut peer = Peer::established(&lab, 1, &open(1, &[REFRESH, ENHANCED_REFRESH]));
    until_established(&mut peer);
    peer.send(&bytes::message(ROUTE_REFRESH, &[0, 1, 0, 1]));
    let seen = until(&mut peer, |kind, body| kind == ROUTE_REFRESH && body == [0, 1, 2, 1]);
    assert_eq!(seen[0], (ROUTE_REFRESH, vec![0, 1, 1, 1]), "{seen:?}");
    let routes: Vec<String> =
        seen[1..seen.len() - 1].iter().flat_map(|(_, body)| Update::read(body).announced).collect();
    assert_eq!(routes.len(), 2, "{seen:?}");

    peer.send(&bytes::message(ROUTE_REFRESH, &[0, 2, 0, 1]));
    let seen = until(&mut peer, |kind, body| kind == ROUTE_REFRESH && body == [0, 2, 2, 1]);
    assert_eq!(seen[0], (ROUTE_REFRESH, vec![0, 2, 1, 1]), "{seen:?}");
    let update = Update::read(&seen[1].1);
    assert!(update.attribute(14).is_some_and(|reach| reach[..3] == [0, 2, 1]), "{update:?}");
}

/// RFC 2918 section 4: without the capability of RFC 7313 the routes come again and no marks.
#[test]
fn a_refresh_without_the_enhancement_is_answered_without_marks() {
    let lab = lab();
    let mut peer = Peer::established(&lab, 1, &open(1, &[REFRESH]));
    until_established(&mut peer);
    peer.send(&bytes::message(ROUTE_REFRESH, &[0, 1, 0, 1]));
    let mut routes = Vec::new();
    while routes.len() < 2 {
        match peer.next() {
            Seen::Message(UPDATE, body) => routes.extend(Update::read(&body).announced),
            Seen::Message(KEEPALIVE, _) => {}
            other @ (Seen::Message(..) | Seen::Closed) => panic!("{other:?}"),
        }
    }
    // RFC 2918 section 4: a family that was not negotiated is ignored; RFC 7313 section 5: so is an unknown subtype.
    peer.send(&bytes::message(ROUTE_REFRESH, &[0, 25, 0, 70]));
    peer.send(&bytes::message(ROUTE_REFRESH, &[0, 1, 9, 1]));
    peer.send(&bytes::message(ROUTE_REFRESH, &[0, 2, 0, 1]));
    let seen = until(&mut peer, |kind, _| kind == UPDATE);
    assert_eq!(seen.len(), 1, "nothing but the answer to the last: {seen:?}");
    assert!(Update::read(&seen[0].1).attribute(14).is_some());
}

/// RFC 7313 section 4.2, as a receiver: what is not repeated between beginning and end is gone for everybody else.
#[test]
fn what_a_refresh_does_not_repeat_is_withdrawn() {
    let lab = lab();
    let mut witness = Peer::established(&lab, 2, &usual(2));
    let mut peer = Peer::established(&lab, 1, &open(1, &[REFRESH, ENHANCED_REFRESH]));
    let attributes = bytes::mandatory(PEER_ASN, host(1));
    for number in [0x100, 0x200] {
        peer.send(&bytes::announce(&attributes, host(number)));
        witness.announcement(&format!("{}/24", host(number)));
    }
    peer.send(&bytes::message(ROUTE_REFRESH, &[0, 1, 1, 1]));
    peer.send(&bytes::announce(&attributes, host(0x200)));
    peer.send(&bytes::message(ROUTE_REFRESH, &[0, 1, 2, 1]));
    let gone = witness.withdrawal("10.10.1.0/24");
    assert_eq!(gone.withdrawn, ["10.10.1.0/24"]);
    // RFC 7313 section 5: a mark of a wrong length ends the session with the message as data.
    let long = bytes::message(ROUTE_REFRESH, &[0, 1, 1, 1, 0]);
    peer.send(&long);
    assert_eq!(peer.end(), Some((7, 1, long)));
}

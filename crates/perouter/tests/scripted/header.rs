//! The message header, and lengths (RFC 4271 4.1 and 6.1, RFC 8654).

use crate::bytes::{self, EXTENDED_MESSAGE, HEADER, KEEPALIVE, NOTIFICATION, OPEN, ROUTE_REFRESH, UPDATE, with_length};
use crate::lab::{Lab, PEER_ASN, everybody, host};
use crate::peer::{Peer, Reason, usual};

/// RFC 4271 section 6.1 on a session that is up: marker, length, type, each with its subcode and data. RFC 6.1 asks for the
/// erroneous length or type as data, two octets and one.
#[test]
fn every_error_of_a_header_is_answered_exactly() {
    let lab = Lab::new(&everybody(""));
    let mut marker = bytes::keepalive();
    marker[15] = 0xfe;
    let zeros = [&[0; 16][..], &bytes::keepalive()[16..]].concat();
    let length = |kind, length: u16| (with_length(kind, length, &[]), (1, 2, length.to_be_bytes().to_vec()));
    let kind = |kind| (bytes::message(kind, &[]), (1, 3, vec![kind]));
    let table: &[(&str, (Vec<u8>, Reason))] = &[
        ("one wrong octet in the marker", (marker, (1, 1, vec![]))),
        ("no marker", (zeros, (1, 1, vec![]))),
        ("text", (b"GET / HTTP/1.1\r\n\r\n".to_vec(), (1, 1, vec![]))),
        ("length 0", length(KEEPALIVE, 0)),
        ("length 18", length(KEEPALIVE, 18)),
        ("length 4097", length(UPDATE, 4097)),
        ("length 65535", length(UPDATE, 65535)),
        ("KEEPALIVE of 20", length(KEEPALIVE, 20)),
        ("OPEN of 28", length(OPEN, 28)),
        ("UPDATE of 22", length(UPDATE, 22)),
        ("NOTIFICATION of 20", length(NOTIFICATION, 20)),
        ("type 0", kind(0)),
        ("type 6", kind(6)),
        ("type 255", kind(255)),
    ];
    for (number, (what, (bytes, answer))) in (1..).zip(table) {
        let mut peer = Peer::established(&lab, number, &usual(number));
        peer.send(bytes);
        assert_eq!(peer.end().as_ref(), Some(answer), "{what}");
    }
    // Before an OPEN the answers are the same.
    let mut peer = Peer::dial(&lab, 100);
    peer.send(&with_length(OPEN, 4097, &[]));
    assert_eq!(peer.end(), Some((1, 2, 4097_u16.to_be_bytes().to_vec())));
}

/// RFC 8654 sections 3 and 4: with the capability on both sides an UPDATE may have 65535 octets; OPEN and KEEPALIVE may not
/// grow with it. The longest one without it has 4096.
#[test]
fn extended_messages_count_when_both_offered_them() {
    let lab = Lab::new(&everybody(""));
    let number = 1;
    let mut witness = Peer::established(&lab, 50, &usual(50));
    let extended = bytes::capability(EXTENDED_MESSAGE, &[]);
    let asn = bytes::four_octet_as(PEER_ASN.into());
    let open = usual(number).offering(&[&bytes::ipv4_unicast(), &asn, &extended]);
    let mut peer = Peer::established(&lab, number, &open);
    peer.send(&filled(65535, number));
    witness.announcement("10.200.0.0/24");
    peer.send(&with_length(KEEPALIVE, 4097, &[]));
    assert_eq!(peer.end(), Some((1, 2, 4097_u16.to_be_bytes().to_vec())));
    witness.withdrawal("10.200.0.0/24");

    // An OPEN comes before anything is agreed.
    let mut peer = Peer::dial(&lab, 2);
    peer.expect(OPEN);
    peer.send(&with_length(OPEN, 4097, &[]));
    assert_eq!(peer.end(), Some((1, 2, 4097_u16.to_be_bytes().to_vec())));

    let mut peer = Peer::established(&lab, 3, &usual(3));
    peer.send(&filled(4096, 3));
    witness.announcement("10.200.0.0/24");
    peer.send(&filled(4097, 3));
    assert_eq!(peer.end(), Some((1, 2, 4097_u16.to_be_bytes().to_vec())));
}

/// An UPDATE of exactly `length` octets that announces 10.200.0.0/24 and, for the rest, the same again and again.
fn filled(length: usize, number: u16) -> Vec<u8> {
    let attributes = bytes::mandatory(PEER_ASN, host(number));
    let room = length - HEADER - 4 - attributes.len();
    let mut nlri = Vec::with_capacity(room);
    while nlri.len() + 4 <= room {
        nlri.extend([24, 10, 200, 0]);
    }
    // 0.0.0.0/0 is one octet.
    nlri.resize(room, 0);
    let update = bytes::message(UPDATE, &bytes::update_body(&[], &attributes, &nlri));
    assert_eq!(update.len(), length);
    update
}

/// RFC 7313 section 5: a ROUTE-REFRESH that is too short has a code of its own, with the whole message as data.
#[test]
fn a_short_route_refresh_is_answered_with_the_whole_message() {
    let lab = Lab::new(&everybody(""));
    let mut peer = Peer::established(&lab, 1, &usual(1));
    let short = bytes::message(ROUTE_REFRESH, &[0, 1, 0]);
    peer.send(&short);
    assert_eq!(peer.end(), Some((7, 1, short)));
}

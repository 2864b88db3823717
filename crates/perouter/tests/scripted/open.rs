//! OPEN: what is accepted, what is refused and how (RFC 4271 4.2 and 6.2, 5492, 6286, 6793, 7607, 9072).

use crate::bytes::{
    self, ENHANCED_REFRESH, EXTENDED_MESSAGE, FOUR_OCTET_AS, KEEPALIVE, MULTIPROTOCOL, OPEN, Open, REFRESH,
};
use crate::lab::{Lab, PEER_ASN, ROUTER, everybody, host, neighbor};
use crate::peer::{Peer, Reason, usual};
use crate::support::wait_until;

/// What an OPEN is answered with, as the body of the message.
fn refusal(lab: &Lab, number: u16, body: &[u8]) -> Option<Reason> {
    let mut peer = Peer::dial(lab, number);
    peer.expect(OPEN);
    peer.send(&bytes::message(OPEN, body));
    peer.end()
}

/// RFC 4271 section 6.2, each check with code, subcode and data; RFC 7607 section 2 and RFC 6793 section 4.2.2 for AS 0 in
/// either place, RFC 6286 section 2.1 for the identifier 0, RFC 5492 section 3 for families that nobody shares.
#[test]
fn every_check_of_an_open_is_answered_exactly() {
    let lab = Lab::new(&(neighbor(1, "") + &neighbor(2, ", holdTimeSeconds: 30, keepaliveTimeSeconds: 10")));
    let good = usual(1);
    let body = |change: fn(&mut Open)| {
        let mut open = good.clone();
        change(&mut open);
        open.body()
    };
    let long = good.fixed();
    let table: &[(&str, Vec<u8>, Reason)] = &[
        ("version 3", body(|open| open.version = 3), (2, 1, vec![0, 4])),
        ("version 5", body(|open| open.version = 5), (2, 1, vec![0, 4])),
        ("another AS", body(|open| *open = Open::new(65002, 90, open.id)), (2, 2, vec![])),
        ("AS 0 in the fixed part", body(|open| open.asn = 0), (2, 2, vec![])),
        (
            "AS 0 in the capability",
            good.clone().offering(&[&bytes::ipv4_unicast(), &bytes::four_octet_as(0)]).body(),
            (2, 2, vec![]),
        ),
        (
            "another AS in the capability",
            good.clone().offering(&[&bytes::ipv4_unicast(), &bytes::four_octet_as(4_200_000_000)]).body(),
            (2, 2, vec![]),
        ),
        ("identifier 0", body(|open| open.id = std::net::Ipv4Addr::UNSPECIFIED), (2, 3, vec![])),
        ("hold time 1", body(|open| open.hold = 1), (2, 6, vec![])),
        ("hold time 2", body(|open| open.hold = 2), (2, 6, vec![])),
        ("parameter 1, deprecated", body(|open| open.parameters = vec![1, 1, 0]), (2, 4, vec![])),
        ("parameter 77, unknown", body(|open| open.parameters.extend([77, 0])), (2, 4, vec![])),
        ("a parameter beyond the parameters", body(|open| open.parameters = vec![2, 9, 2, 0]), (2, 0, vec![])),
        ("a capability beyond its parameter", body(|open| open.parameters = vec![2, 2, 65, 4]), (2, 0, vec![])),
        ("parameters that are missing", [&long[..], &[4]].concat(), (2, 0, vec![])),
        ("parameters beyond their length", [&long[..], &[0, 2, 0]].concat(), (2, 0, vec![])),
        ("IPv6 only", good.clone().offering(&[&bytes::ipv6_unicast()]).body(), (2, 7, bytes::ipv4_unicast())),
    ];
    for (what, body, answer) in table {
        assert_eq!(refusal(&lab, 1, body).as_ref(), Some(answer), "{what}");
    }
    let said = lab.peer(1)["last_error"].as_str().unwrap().to_owned();
    assert!(said.contains("Unsupported Capability"), "{said}");
    // None of it did any harm.
    let _session = Peer::established(&lab, 1, &good);
    wait_until("a good OPEN is accepted", || lab.peer(1)["state"] == "established");
}

/// RFC 6286 section 2.1: our own identifier is refused from an internal peer only.
#[test]
fn our_own_identifier_is_refused_from_inside_our_as_only() {
    let internal = format!("  - {{address: {}, type: Internal, addressFamilies: [ipv4unicast]}}\n", host(1));
    let lab = Lab::new(&(internal + &neighbor(2, "")));
    let own = |asn| Open::new(asn, 90, ROUTER);
    assert_eq!(refusal(&lab, 1, &own(crate::lab::ASN).body()), Some((2, 3, vec![])));
    let mut peer = Peer::opened(&lab, 2, &own(PEER_ASN));
    peer.expect(KEEPALIVE);
}

/// RFC 4271 section 4.2: the lower of both hold times is used, in either direction.
#[test]
fn the_lower_hold_time_counts() {
    let lab = Lab::new(&everybody(", holdTimeSeconds: 30, keepaliveTimeSeconds: 10"));
    for (number, theirs, agreed) in [(1, 90, 30), (2, 12, 12), (3, 0, 0), (4, 3, 3), (5, 65535, 30)] {
        let mut peer = Peer::dial(&lab, number);
        let body = peer.expect(OPEN);
        assert_eq!(body[3..5], [0, 30], "what is offered does not depend on the other side");
        peer.send(&Open::new(PEER_ASN, theirs, host(number)).message());
        peer.expect(KEEPALIVE);
        peer.send(&bytes::keepalive());
        wait_until("the session is up", || lab.peer(number)["state"] == "established");
        assert_eq!(lab.peer(number)["hold_time_seconds"], agreed, "{theirs}");
    }
}

/// RFC 5492 sections 3 to 5: unknown capabilities are ignored, capabilities may stand in one parameter or in many, repeat,
/// and a known one with a value of the wrong length does no harm. RFC 4760 section 8 and RFC 4271: an OPEN without any is
/// an IPv4 speaker's.
#[test]
fn capabilities_that_nobody_knows_are_ignored() {
    let lab = Lab::new(&everybody(""));
    let (v4, asn) = (bytes::ipv4_unicast(), bytes::four_octet_as(PEER_ASN.into()));
    let unknown = bytes::capability(211, &[1, 2, 3]);
    let one_each = [&v4, &unknown, &asn].map(|capability| bytes::capabilities(&[capability])).concat();
    let cases = [
        ("none", vec![]),
        ("an empty parameter", vec![2, 0]),
        ("unknown", bytes::capabilities(&[&v4, &unknown, &asn])),
        ("one parameter each", one_each),
        ("twice the same", bytes::capabilities(&[&v4, &v4, &asn, &asn])),
        ("of a wrong length", bytes::capabilities(&[&v4, &bytes::capability(FOUR_OCTET_AS, &[1]), &asn])),
        ("another family too", bytes::capabilities(&[&bytes::capability(MULTIPROTOCOL, &[0, 25, 0, 70]), &v4])),
    ];
    for (number, (what, parameters)) in (1..).zip(cases) {
        let mut peer = Peer::opened(&lab, number, &Open { parameters, ..usual(number) });
        assert!(peer.expect(KEEPALIVE).is_empty(), "{what}");
    }
}

/// RFC 9072 section 2: the extended form is read, whatever the classic length octet says, for few parameters and for more
/// than 255 octets of them. Ours never has it: speakers in use hang up on it.
#[test]
fn extended_optional_parameters_are_read_and_never_sent() {
    let lab = Lab::new(&everybody(""));
    let parameter = |value: &[u8]| {
        let length = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[2][..], &length, value].concat()
    };
    let extended = |parameters: &[u8], classic: u8| {
        let length = u16::try_from(parameters.len()).unwrap().to_be_bytes();
        [&[classic, 255][..], &length, parameters].concat()
    };
    let known = [bytes::ipv4_unicast(), bytes::four_octet_as(PEER_ASN.into())].concat();
    let many: Vec<u8> = (0..100).flat_map(|_| bytes::capability(211, &[7; 20])).chain(known.clone()).collect();
    let table = [extended(&parameter(&known), 255), extended(&parameter(&known), 1), extended(&parameter(&many), 255)];
    for (number, tail) in (1..).zip(table) {
        let mut peer = Peer::dial(&lab, number);
        // Panics on anything but classic parameters of capabilities.
        let ours = bytes::offered(&peer.expect(OPEN));
        let codes: Vec<u8> = ours.iter().map(|(code, _)| *code).collect();
        for code in [MULTIPROTOCOL, REFRESH, EXTENDED_MESSAGE, FOUR_OCTET_AS, ENHANCED_REFRESH] {
            assert!(codes.contains(&code), "{codes:?}");
        }
        peer.send(&bytes::message(OPEN, &[&usual(number).fixed()[..], &tail].concat()));
        peer.expect(KEEPALIVE);
    }
    // A parameter of another type is as unsupported in the extended form; a length that lies is malformed.
    let unsupported = [&usual(9).fixed()[..], &extended(&[77, 0, 0], 255)].concat();
    assert_eq!(refusal(&lab, 9, &unsupported), Some((2, 4, vec![])));
    let lying = [&usual(9).fixed()[..], &[255, 255, 0, 9, 2, 0, 0]].concat();
    assert_eq!(refusal(&lab, 9, &lying), Some((2, 0, vec![])));
}

/// RFC 6793 section 4.2.2: a speaker with a four-octet AS number says AS_TRANS in the fixed part; one without the capability
/// is known by the fixed part.
#[test]
fn as_numbers_of_two_and_of_four_octets_are_understood() {
    let big = 4_200_000_001_u32;
    let exactly = format!("  - {{address: {}, asn: {big}, addressFamilies: [ipv4unicast]}}\n", host(1));
    let lab = Lab::new(&(exactly + &neighbor(2, "")));
    let trans = Open::new(23456, 90, host(1)).offering(&[&bytes::ipv4_unicast(), &bytes::four_octet_as(big)]);
    let _first = Peer::established(&lab, 1, &trans);
    let _second = Peer::established(&lab, 2, &usual(2).offering(&[&bytes::ipv4_unicast()]));
    wait_until("both are up", || lab.established() == 2);
    assert_eq!((&lab.peer(1)["asn"], &lab.peer(2)["asn"]), (&big.into(), &PEER_ASN.into()));
}

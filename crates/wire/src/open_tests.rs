use super::*;
use crate::Family;

/// Version 4, AS 65001, hold time 180, identifier 10.0.0.1, and these parameters.
fn body(parameters: &[u8]) -> Vec<u8> {
    let len = u8::try_from(parameters.len()).unwrap();
    [&[4, 0xfd, 0xe9, 0, 180, 10, 0, 0, 1, len], parameters].concat()
}

fn error(subcode: u8) -> Result<Open, Notification> {
    Err(Notification::new(2, subcode))
}

fn open(asn: u32, capabilities: Vec<Capability>) -> Open {
    Open { asn, hold_time: 180, router_id: Ipv4Addr::new(10, 0, 0, 1), capabilities }
}

/// RFC 4271 4.2, RFC 5492 4.
#[test]
fn bytes_and_back() {
    let capabilities = vec![Capability::MultiProtocol(Family::Ipv4Unicast.code()), Capability::FourOctetAs(65001)];
    let open = open(65001, capabilities);
    let mut out = Vec::new();
    open.encode(&mut out);
    assert_eq!(out[16..19], [0, 43, 1]);
    assert_eq!(out[19..], body(&[2, 12, 1, 4, 0, 1, 0, 1, 65, 4, 0, 0, 0xfd, 0xe9]));
    assert_eq!(Open::decode(&out[19..]), Ok(open));
}

/// RFC 6793 4.1 and 9: AS_TRANS in the field of two octets.
#[test]
fn a_large_as_number_stands_in_the_capability() {
    let open = open(4_200_000_000, vec![Capability::FourOctetAs(4_200_000_000)]);
    let mut out = Vec::new();
    open.encode(&mut out);
    assert_eq!(out[20..22], AS_TRANS.to_be_bytes());
    assert_eq!(Open::decode(&out[19..]), Ok(open));
}

/// RFC 4271 4.2.
#[test]
fn no_parameters_at_all() {
    assert_eq!(Open::decode(&body(&[])), Ok(open(65001, vec![])));
    let mut out = Vec::new();
    open(65001, vec![]).encode(&mut out);
    assert_eq!(out[19..], body(&[]));
}

/// RFC 5492 4: in one parameter or several, and more than once.
#[test]
fn capabilities_may_be_spread_over_parameters() {
    let spread = open(65001, vec![Capability::RouteRefresh, Capability::ExtendedMessage, Capability::RouteRefresh]);
    assert_eq!(Open::decode(&body(&[2, 2, 2, 0, 2, 0, 2, 4, 6, 0, 2, 0])), Ok(spread));
}

/// RFC 9072 2.
#[test]
fn extended_parameters_are_read() {
    // RFC 9072: the one-octet length says nothing.
    for len in [255, 1, 9] {
        let mut bytes = body(&[255, 0, 7, 2, 0, 4, 2, 0, 6, 0]);
        bytes[9] = len;
        let expected = open(65001, vec![Capability::RouteRefresh, Capability::ExtendedMessage]);
        assert_eq!(Open::decode(&bytes), Ok(expected), "{len}");
    }
    // With a length of 0 there are no parameters, extended or not, and what follows does not belong there.
    let mut bytes = body(&[255, 0, 2, 2, 0]);
    bytes[9] = 0;
    assert_eq!(Open::decode(&bytes), error(0));
    // More than 255 octets.
    let mut bytes = body(&[]);
    bytes[9] = 255;
    bytes.extend_from_slice(&[255, 1, 5, 2, 1, 2]);
    bytes.extend_from_slice(&[99, 254]);
    bytes.extend_from_slice(&[7; 254]);
    bytes.extend_from_slice(&[2, 0]);
    let capabilities = vec![Capability::Unknown { code: 99, value: vec![7; 254] }, Capability::RouteRefresh];
    assert_eq!(Open::decode(&bytes), Ok(open(65001, capabilities)));
}

/// RFC 5492 3 and 5.
#[test]
fn a_malformed_known_capability_is_no_reason_to_refuse() {
    let expected = open(65001, vec![Capability::Unknown { code: 65, value: vec![0, 1] }]);
    assert_eq!(Open::decode(&body(&[2, 4, 65, 2, 0, 1])), Ok(expected));
}

/// RFC 4271 6.2, RFC 6286 2.2, RFC 7607 2: sub-code and data of each.
#[test]
fn what_no_speaker_may_say() {
    let patched = |at: usize, octets: &[u8]| {
        let mut bytes = body(&[]);
        bytes[at..at + octets.len()].copy_from_slice(octets);
        Open::decode(&bytes)
    };
    assert_eq!(patched(0, &[3]), Err(Notification::with_data(2, 1, vec![0, 4])));
    assert_eq!(patched(1, &[0, 0]), error(2));
    assert_eq!(Open::decode(&body(&[2, 6, 65, 4, 0, 0, 0, 0])), error(2)); // RFC 7607
    assert_eq!(patched(3, &[0, 1]), error(6));
    assert_eq!(patched(3, &[0, 2]), error(6));
    assert_eq!(patched(5, &[0, 0, 0, 0]), error(3));
    assert!(patched(3, &[0, 3]).is_ok());
    assert!(patched(3, &[0, 0]).is_ok());
    assert_eq!(Open::decode(&body(&[1, 1, 0])), error(4)); // authentication, of old
}

/// RFC 4271 6.2: an optional parameter that is malformed, 2/0.
#[test]
fn lengths_that_contradict_each_other() {
    let table: [&[u8]; 5] = [&[2], &[2, 3, 2, 0], &[2, 1, 2], &[2, 2, 65, 4], &[255, 0, 9, 2, 0, 2, 2, 0]];
    for parameters in table {
        assert_eq!(Open::decode(&body(parameters)), error(0), "{parameters:?}");
    }
    let whole = body(&[2, 2, 2, 0]);
    for len in 1..whole.len() {
        assert_eq!(Open::decode(&whole[..len]), error(0), "{len} octets");
    }
    let longer = [&whole[..], &[0]].concat();
    assert_eq!(Open::decode(&longer), error(0));
}

/// RFC 4271 4.2: 255 octets of parameters; RFC 9072 is never sent.
#[test]
fn capabilities_that_do_not_fit_are_left_out() {
    let big = |code| Capability::Unknown { code, value: vec![1; 200] };
    let mut out = Vec::new();
    open(65001, vec![big(90), big(91), Capability::RouteRefresh]).encode(&mut out);
    assert_eq!(Open::decode(&out[19..]), Ok(open(65001, vec![big(90), Capability::RouteRefresh])));
}

use super::*;
use crate::Family;

/// RFC 2918 3, RFC 7313 3.2.
#[test]
fn bytes_and_back() {
    let table = [(Refresh::Request, 0), (Refresh::Begin, 1), (Refresh::End, 2), (Refresh::Other(9), 9)];
    for (subtype, octet) in table {
        let refresh = RouteRefresh { family: Family::Ipv6Unicast.code(), subtype };
        let mut out = Vec::new();
        refresh.encode(&mut out);
        assert_eq!(out[16..], [0, 23, 5, 0, 2, octet, 1]);
        assert_eq!(RouteRefresh::decode(&out[19..]), Ok(refresh));
    }
}

/// RFC 7313 5: 7/1.
#[test]
fn a_wrong_length_comes_back_with_the_whole_message() {
    for body in [&[][..], &[0, 1, 0], &[0, 1, 1, 1, 0], &[0, 1, 2, 1, 0, 0]] {
        let error = RouteRefresh::decode(body).unwrap_err();
        assert_eq!((error.code, error.subcode), (7, 1));
        assert_eq!(error.data[..16], [0xff; 16]);
        assert_eq!(usize::from(error.data[17]), 19 + body.len());
        assert_eq!(&error.data[19..], body);
    }
}

/// RFC 5291 4.
#[test]
fn filters_after_a_request_are_passed_over() {
    let refresh = RouteRefresh::decode(&[0, 1, 0, 1, 1, 64, 0, 1, 0x80]).unwrap();
    assert_eq!(refresh.subtype, Refresh::Request);
}

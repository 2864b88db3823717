use super::*;

fn header(len: u16, kind: u8) -> Vec<u8> {
    let [hi, lo] = len.to_be_bytes();
    [&[0xff; 16][..], &[hi, lo, kind]].concat()
}

/// RFC 4271 4.4.
#[test]
fn a_keepalive_is_its_header() {
    let mut out = Vec::new();
    encode_keepalive(&mut out);
    assert_eq!(out, header(19, 4));
    let frame = next_frame(&out, MAX_LEN).unwrap().unwrap();
    assert_eq!(frame, Frame { kind: MessageType::Keepalive, body: &[], len: 19 });
}

/// RFC 4271 4.1: messages one after the other in a stream.
#[test]
fn a_frame_waits_for_its_last_octet() {
    let mut message = header(23, 2);
    message.extend_from_slice(&[0; 4]);
    for len in 0..message.len() {
        assert_eq!(next_frame(&message[..len], MAX_LEN), Ok(None), "{len} octets");
    }
    message.push(0xff); // the next message
    let frame = next_frame(&message, MAX_LEN).unwrap().unwrap();
    assert_eq!((frame.kind, frame.body, frame.len), (MessageType::Update, &[0; 4][..], 23));
}

/// RFC 4271 6.1: 1/1.
#[test]
fn a_wrong_marker_is_seen_with_its_first_wrong_octet() {
    let error = Notification::new(1, 1);
    assert_eq!(next_frame(&[0xff, 0xfe], MAX_LEN), Err(error.clone()));
    assert_eq!(next_frame(b"GET / HTTP/1.1\r\n\r\n", MAX_LEN), Err(error));
    assert_eq!(next_frame(&[0xff; 16], MAX_LEN), Ok(None));
}

/// RFC 4271 6.1, RFC 8654 4, RFC 7313 5: 1/2, with the length as data.
#[test]
fn each_type_has_its_lengths() {
    // Length, type, limit: accepted?
    let table = [
        (18, 4, MAX_LEN, false),
        (19, 4, MAX_LEN, true),
        (20, 4, MAX_LEN, false),
        (28, 1, MAX_LEN, false),
        (29, 1, MAX_LEN, true),
        (4096, 1, MAX_LEN_EXTENDED, true),
        (4097, 1, MAX_LEN_EXTENDED, false), // RFC 8654: never an OPEN
        (22, 2, MAX_LEN, false),
        (23, 2, MAX_LEN, true),
        (4096, 2, MAX_LEN, true),
        (4097, 2, MAX_LEN, false),
        (65535, 2, MAX_LEN_EXTENDED, true),
        (20, 3, MAX_LEN, false),
        (21, 3, MAX_LEN, true),
        (19, 5, MAX_LEN, true), // answered by RFC 7313's own error
        (23, 5, MAX_LEN, true),
    ];
    for (len, kind, max_len, accepted) in table {
        let got = next_frame(&header(len, kind), max_len).map(|_| ());
        let error = Notification::with_data(1, 2, len.to_be_bytes().to_vec());
        assert_eq!(got, if accepted { Ok(()) } else { Err(error) }, "type {kind}, {len} octets");
    }
}

/// RFC 4271 6.1: 1/3.
#[test]
fn an_unknown_type_comes_back_as_data() {
    for kind in [0, 6, 255] {
        assert_eq!(next_frame(&header(19, kind), MAX_LEN), Err(Notification::with_data(1, 3, vec![kind])));
    }
}

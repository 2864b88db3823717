use super::*;

fn cease(subcode: u8, data: &[u8]) -> Notification {
    Notification::with_data(code::CEASE, subcode, data.to_vec())
}

/// RFC 4271 4.5.
#[test]
fn bytes_and_back() {
    let mut out = Vec::new();
    let notification = Notification::with_data(2, 2, vec![0xfd, 0xe8]);
    notification.encode(&mut out);
    assert_eq!(out[16..], [0, 23, 3, 2, 2, 0xfd, 0xe8]);
    assert_eq!(Notification::decode(&out[19..]), notification);
    assert_eq!(Notification::decode(&[]), Notification::new(0, 0));
}

/// RFC 4271 4.1, RFC 8654 4: a NOTIFICATION that every peer can read.
#[test]
fn data_that_no_peer_must_accept_is_cut() {
    let mut out = Vec::new();
    Notification::with_data(3, 1, vec![7; 60000]).encode(&mut out);
    assert_eq!(out.len(), 4096);
    assert_eq!(out[16..18], 4096_u16.to_be_bytes());
}

/// RFC 4271 6, RFC 4486, RFC 6608, RFC 7313 5, RFC 8538 3, RFC 9003, RFC 9384: codes by name.
#[test]
fn words() {
    let table = [
        (Notification::new(1, 1), "Message Header Error/Connection Not Synchronized"),
        (Notification::with_data(2, 2, vec![0, 0, 0xfd, 0xe8]), "OPEN Message Error/Bad Peer AS (data 0000fde8)"),
        (Notification::new(2, 0), "OPEN Message Error/Unspecific"),
        (Notification::new(3, 11), "UPDATE Message Error/Malformed AS_PATH"),
        (Notification::new(4, 0), "Hold Timer Expired"),
        (Notification::new(5, 3), "Finite State Machine Error/Unexpected Message in Established State"),
        (Notification::cease(10), "Cease/BFD Down"),
        (Notification::cease(99), "Cease/subcode 99"),
        (Notification::new(7, 1), "ROUTE-REFRESH Message Error/Invalid Message Length"),
        (Notification::new(42, 3), "code 42/subcode 3"),
        (Notification::new(42, 0), "code 42"),
        (cease(2, b"\x05maint"), "Cease/Administrative Shutdown: maint"),
        (cease(2, b"\x00"), "Cease/Administrative Shutdown (data 00)"),
        (cease(9, b"\x06\x04\x02ok"), "Cease/Hard Reset: Cease/Administrative Reset: ok"),
        (cease(9, &[6, 9, 6, 9]), "Cease/Hard Reset (data 06090609)"),
    ];
    for (notification, words) in table {
        assert_eq!(notification.to_string(), words);
    }
    let long = cease(8, &[0xab; 100]).to_string();
    assert!(long.ends_with("abab.. 100 octets)"), "{long}");
}

/// RFC 9003 2: UTF-8 of up to 255 octets, from whoever is on the other side.
#[test]
fn a_shutdown_text_is_safe_to_log() {
    assert_eq!(cease(4, b"\x03a\nb").shutdown_text().unwrap(), "a\\nb");
    assert_eq!(cease(4, b"\x03\x1b[H").shutdown_text().unwrap(), "\\u{1b}[H");
    assert_eq!(cease(2, b"\x02\xc3(").shutdown_text().unwrap(), "\u{fffd}(");
    assert_eq!(cease(2, "\u{4}né!".as_bytes()).shutdown_text().unwrap(), "né!");
    // What follows the text is not part of it.
    assert_eq!(cease(2, b"\x01abc").shutdown_text().unwrap(), "a");
}

/// RFC 9003 2.
#[test]
fn no_shutdown_text_where_there_is_none() {
    for none in [cease(2, b""), cease(2, b"\x00"), cease(2, b"\x05abc"), cease(6, b"\x01a")] {
        assert_eq!(none.shutdown_text(), None, "{none:?}");
    }
}

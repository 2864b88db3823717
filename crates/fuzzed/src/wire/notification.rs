//! NOTIFICATION (RFC 4271 4.5), in bytes and in words.

use wire::{Notification, code};

use super::{assert_loggable, assert_sendable};

/// A whole message of 4096 octets has so many of data.
const MAX_DATA: usize = 4096 - 19 - 2;
/// Far more than any log line needs: text of 255 octets, each escaped, and names.
const LONGEST_LINE: usize = 255 * 8 + 400;

pub(crate) fn run(body: &[u8]) {
    let notification = Notification::decode(body);
    let octet = |at: usize| body.get(at).copied().unwrap_or(0);
    assert_eq!((notification.code, notification.subcode), (octet(0), octet(1)));
    assert_eq!(notification.data, body.get(2..).unwrap_or_default());
    assert_sendable(&notification);
    assert!(notification.to_string().len() <= LONGEST_LINE);

    let mut out = Vec::new();
    notification.encode(&mut out);
    assert_eq!(out.len(), 21 + notification.data.len().min(MAX_DATA));

    if let Some(text) = notification.shutdown_text() {
        assert_loggable(&text);
        assert_eq!(notification.code, code::CEASE);
        assert!(notification.to_string().ends_with(&text));
    }
}

//! The message header: cutting messages off a stream, and putting headers on (RFC 4271 4.1 and 6.1, RFC 8654).
//!
//! Owns marker, length and type. Is told the bytes read so far; emits frames or the NOTIFICATION for a broken header.
//! Does not look into bodies.

use crate::Notification;
use crate::notification::code;

/// Octets of marker, length and type.
pub const HEADER_LEN: usize = 19;
/// The longest message without the extended message capability, header included (RFC 4271 4.1).
pub const MAX_LEN: usize = 4096;
/// The longest message with it (RFC 8654).
pub const MAX_LEN_EXTENDED: usize = 65535;

const MARKER: [u8; 16] = [0xff; 16];

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageType {
    /// RFC 4271 4.2
    Open = 1,
    /// RFC 4271 4.3
    Update = 2,
    /// RFC 4271 4.5
    Notification = 3,
    /// RFC 4271 4.4
    Keepalive = 4,
    /// RFC 2918
    RouteRefresh = 5,
}

impl MessageType {
    fn from_code(code: u8) -> Option<Self> {
        [Self::Open, Self::Update, Self::Notification, Self::Keepalive, Self::RouteRefresh]
            .into_iter()
            .find(|kind| *kind as u8 == code)
    }

    /// The lengths that this type may have, header included. A ROUTE-REFRESH that is too short has an error code of its
    /// own (RFC 7313 5) and is left to [`crate::RouteRefresh::decode`].
    fn lengths(self, max_len: usize) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Open => 29..=max_len.min(MAX_LEN), // RFC 8654 4: OPEN and KEEPALIVE stay within 4096
            Self::Update => 23..=max_len,
            Self::Notification => 21..=max_len,
            Self::Keepalive => HEADER_LEN..=HEADER_LEN,
            Self::RouteRefresh => HEADER_LEN..=max_len,
        }
    }
}

/// One whole message in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: MessageType,
    /// What follows the header.
    pub body: &'a [u8],
    /// Octets of the whole message, header included: how far to advance.
    pub len: usize,
}

/// The first message in `buf`; `None` when more bytes are needed. `max_len` is [`MAX_LEN`] or, once negotiated,
/// [`MAX_LEN_EXTENDED`].
///
/// # Errors
/// The NOTIFICATION of RFC 4271 6.1, as early as the bytes allow: a wrong marker with its first wrong octet, a bad
/// length (the length as data) or type (the type as data) with the header's last.
pub fn next_frame(buf: &[u8], max_len: usize) -> Result<Option<Frame<'_>>, Notification> {
    let seen = buf.len().min(MARKER.len());
    if buf[..seen] != MARKER[..seen] {
        return Err(Notification::new(code::MESSAGE_HEADER, code::header::CONNECTION_NOT_SYNCHRONIZED));
    }
    let Some(&[hi, lo, kind]) = buf.get(MARKER.len()..HEADER_LEN) else {
        return Ok(None);
    };
    let len = usize::from(u16::from_be_bytes([hi, lo]));
    let bad_length = || Notification::with_data(code::MESSAGE_HEADER, code::header::BAD_MESSAGE_LENGTH, vec![hi, lo]);
    if !(HEADER_LEN..=max_len).contains(&len) {
        return Err(bad_length());
    }
    let Some(kind) = MessageType::from_code(kind) else {
        return Err(Notification::with_data(code::MESSAGE_HEADER, code::header::BAD_MESSAGE_TYPE, vec![kind]));
    };
    if !kind.lengths(max_len).contains(&len) {
        return Err(bad_length());
    }
    Ok(buf.get(HEADER_LEN..len).map(|body| Frame { kind, body, len }))
}

/// Appends a KEEPALIVE.
pub fn encode_keepalive(out: &mut Vec<u8>) {
    let message = Message::begin(out, MessageType::Keepalive);
    message.finish(out);
}

/// A message being appended: knows where its length has to be filled in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    start: usize,
}

impl Message {
    pub(crate) fn begin(out: &mut Vec<u8>, kind: MessageType) -> Self {
        let start = out.len();
        out.extend_from_slice(&MARKER);
        out.extend_from_slice(&[0, 0, kind as u8]);
        Self { start }
    }

    /// Octets so far.
    pub(crate) fn len(self, out: &[u8]) -> usize {
        out.len() - self.start
    }

    /// Fills in the length. Every caller keeps to 65535 octets; a longer message would be cut by its receiver.
    pub(crate) fn finish(self, out: &mut [u8]) {
        let len = self.len(out);
        debug_assert!(len <= MAX_LEN_EXTENDED, "callers keep messages within 65535 octets");
        put_u16(out, self.start + MARKER.len(), len);
    }
}

/// Fills in a length that was left open at `at`.
pub(crate) fn put_u16(out: &mut [u8], at: usize, value: usize) {
    let value = u16::try_from(value).unwrap_or(u16::MAX);
    if let Some(place) = out.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;

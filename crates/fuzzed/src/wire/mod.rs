//! The decoders and encoders of BGP messages.

pub(crate) mod attributes;
pub(crate) mod frame;
pub(crate) mod notification;
pub(crate) mod open;
pub(crate) mod refresh;
pub(crate) mod update;

use wire::{MAX_LEN, MessageType, Notification, next_frame};

/// A NOTIFICATION that a decoder answers with can be sent: one message that every peer takes, with the same code.
pub(crate) fn assert_sendable(answer: &Notification) {
    let mut out = Vec::new();
    answer.encode(&mut out);
    let frame = next_frame(&out, MAX_LEN).expect("a good header").expect("a whole message");
    assert_eq!((frame.kind, frame.len), (MessageType::Notification, out.len()));
    let again = Notification::decode(frame.body);
    assert_eq!((again.code, again.subcode), (answer.code, answer.subcode));
    assert!(answer.data.starts_with(&again.data), "data is cut at its end only");
    assert_loggable(&answer.to_string());
}

/// Text made of a peer's bytes goes into logs: one line, and no control of a terminal.
pub(crate) fn assert_loggable(text: &str) {
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
}

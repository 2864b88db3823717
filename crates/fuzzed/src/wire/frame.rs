//! Cutting a stream into messages (RFC 4271 4.1 and 6.1, RFC 8654).

use wire::{HEADER_LEN, MAX_LEN, MAX_LEN_EXTENDED, MessageType, Notification, next_frame};

use super::assert_sendable;

/// Messages of a stream, and how it ends: `Ok` with the octets that wait, or the answer to a broken header.
type Cut = (Vec<(MessageType, Vec<u8>)>, Result<usize, Notification>);

pub(crate) fn run(data: &[u8]) {
    for max_len in [MAX_LEN, MAX_LEN_EXTENDED] {
        one(data, max_len);
        let whole = cut(data, max_len, data.len());
        for step in [1, 7] {
            assert_eq!(cut(data, max_len, step), whole, "in segments of {step}");
        }
    }
    if let Ok(Some(short)) = next_frame(data, MAX_LEN) {
        // What fits without extended messages means the same with them.
        assert_eq!(next_frame(data, MAX_LEN_EXTENDED), Ok(Some(short)));
    }
}

fn one(data: &[u8], max_len: usize) {
    match next_frame(data, max_len) {
        Ok(Some(frame)) => {
            assert_eq!(frame.len, HEADER_LEN + frame.body.len());
            assert!(frame.len <= max_len && frame.len <= data.len());
            assert!(data[..16].iter().all(|octet| *octet == 0xff));
            assert_eq!(usize::from(u16::from_be_bytes([data[16], data[17]])), frame.len);
            assert_eq!(data[18], frame.kind as u8);
            assert_eq!(frame.body, &data[HEADER_LEN..frame.len]);
            assert_eq!(next_frame(&data[..frame.len], max_len), Ok(Some(frame)));
            assert_eq!(next_frame(&data[..frame.len - 1], max_len), Ok(None));
        }
        Ok(None) => assert!(data.len() < max_len, "a whole message of any length is one"),
        Err(answer) => {
            assert_eq!(answer.code, wire::code::MESSAGE_HEADER);
            assert_sendable(&answer);
            // More octets do not heal it.
            let more = [data, &[0xff; 32]].concat();
            assert_eq!(next_frame(&more, max_len), Err(answer));
        }
    }
}

/// The stream as it arrives in segments of `step` octets.
fn cut(data: &[u8], max_len: usize, step: usize) -> Cut {
    let (mut messages, mut buffer) = (Vec::new(), Vec::new());
    for segment in data.chunks(step.max(1)) {
        buffer.extend_from_slice(segment);
        loop {
            match next_frame(&buffer, max_len) {
                Ok(Some(frame)) => {
                    messages.push((frame.kind, frame.body.to_vec()));
                    let taken = frame.len;
                    buffer.drain(..taken);
                }
                Ok(None) => break,
                Err(answer) => return (messages, Err(answer)),
            }
        }
    }
    (messages, Ok(buffer.len()))
}

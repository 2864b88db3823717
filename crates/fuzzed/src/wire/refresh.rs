//! ROUTE-REFRESH (RFC 2918, RFC 7313).

use wire::{MAX_LEN, MessageType, Refresh, RouteRefresh, code, next_frame};

use super::assert_sendable;

pub(crate) fn run(body: &[u8]) {
    let refresh = match RouteRefresh::decode(body) {
        Ok(refresh) => refresh,
        Err(answer) => {
            assert_eq!(
                (answer.code, answer.subcode),
                (code::ROUTE_REFRESH, code::route_refresh::INVALID_MESSAGE_LENGTH)
            );
            assert!(answer.data.ends_with(body), "the message comes back as data (RFC 7313 5)");
            return assert_sendable(&answer);
        }
    };
    let marks = matches!(refresh.subtype, Refresh::Begin | Refresh::End);
    assert!(body.len() == 4 || (!marks && body.len() > 4));
    let mut out = Vec::new();
    refresh.encode(&mut out);
    let frame = next_frame(&out, MAX_LEN).expect("a good header").expect("a whole message");
    assert_eq!((frame.kind, frame.len), (MessageType::RouteRefresh, out.len()));
    assert_eq!(frame.body, &body[..4]);
    assert_eq!(RouteRefresh::decode(frame.body), Ok(refresh));
}

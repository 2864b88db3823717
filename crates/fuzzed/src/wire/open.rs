//! OPEN and capabilities (RFC 4271 4.2, RFC 5492, RFC 9072).

use wire::{Capability, MAX_LEN, MessageType, Open, code, next_frame};

use super::{assert_loggable, assert_sendable};

/// Octets of an OPEN without capabilities, and of a parameter's header.
const BARE: usize = 29;
const PARAMETER: usize = 2;
/// What one classic parameter holds.
const ROOM: usize = 253;

pub(crate) fn run(body: &[u8]) {
    let open = match Open::decode(body) {
        Ok(open) => open,
        Err(answer) => {
            assert_eq!(answer.code, code::OPEN);
            return assert_sendable(&answer);
        }
    };
    assert!(open.asn != 0 && !open.router_id.is_unspecified() && !matches!(open.hold_time, 1 | 2));
    open.capabilities.iter().for_each(|capability| assert_loggable(&capability.to_string()));
    for len in 0..body.len() {
        assert!(Open::decode(&body[..len]).is_err(), "cut at {len}");
    }

    let again = there_and_back(&open);
    let needed: usize = open.capabilities.iter().map(|capability| size(&open, capability)).sum();
    if needed <= ROOM {
        assert_eq!(again, open);
    } else {
        // What did not fit was left out, and nothing else happened to the rest.
        let mut left = open.capabilities.iter();
        assert!(again.capabilities.iter().all(|kept| left.any(|one| one == kept)), "{again:?} of {open:?}");
        assert_eq!((again.hold_time, again.router_id), (open.hold_time, open.router_id));
        assert_eq!(there_and_back(&again), again);
    }
}

fn there_and_back(open: &Open) -> Open {
    let mut out = Vec::new();
    open.encode(&mut out);
    let frame = next_frame(&out, MAX_LEN).expect("a good header").expect("a whole message");
    assert_eq!((frame.kind, frame.len), (MessageType::Open, out.len()));
    Open::decode(frame.body).expect("what we say is well formed")
}

/// Octets that a capability takes.
fn size(open: &Open, capability: &Capability) -> usize {
    let mut out = Vec::new();
    Open { capabilities: vec![capability.clone()], ..open.clone() }.encode(&mut out);
    // One that does not even fit alone says so.
    if out.len() > BARE + PARAMETER { out.len() - BARE - PARAMETER } else { ROOM + 1 }
}

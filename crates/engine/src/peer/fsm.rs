//! What a connection does with what arrives: RFC 4271 section 8.2.2 from OpenSent on.
//!
//! ```text
//!   (TCP open, OPEN sent)      OPEN ok, KEEPALIVE sent        KEEPALIVE
//!         OpenSent ------------------> OpenConfirm ----------------> Established
//!             \____________________________|_____________________________/
//!                                          | error, NOTIFICATION, hold timer, close
//!                                          v
//!                                         end
//! ```
//!
//! Idle, Connect and Active concern the peer as a whole, because a peer can have two connections: they are
//! [`super::Dialler`]. Collisions are [`super::collision`]. This function is pure: (phase, input) to verdict.

use wire::{MessageType, Notification, code};

/// The states of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    OpenSent,
    OpenConfirm,
    Established,
}

/// What happens to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// An OPEN that is acceptable.
    Open,
    Keepalive,
    Update,
    RouteRefresh,
    /// The peer says why it ends the session.
    Notification(Notification),
    /// Something arrived that must be answered with this.
    Malformed(Notification),
    HoldExpired,
    KeepaliveDue,
    /// We end it: configuration, operator, collision.
    Stop(Notification),
    /// The TCP connection is gone.
    Closed,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send KEEPALIVE, start the negotiated timers, go to OpenConfirm.
    Confirm,
    /// Restart the hold timer and go to Established.
    Establish,
    /// Restart the hold timer.
    Alive,
    /// Restart the hold timer and hand the message to the RIB.
    Deliver,
    /// Send KEEPALIVE and restart its timer.
    SendKeepalive,
    /// Nothing.
    Ignore,
    /// The connection ends, with a NOTIFICATION where one is due.
    End(Option<Notification>),
}

/// RFC 6608 section 4: the subcode names the state, the data the type of the message.
fn unexpected(phase: Phase, kind: MessageType) -> Verdict {
    let subcode = match phase {
        Phase::OpenSent => code::fsm::IN_OPEN_SENT,
        Phase::OpenConfirm => code::fsm::IN_OPEN_CONFIRM,
        Phase::Established => code::fsm::IN_ESTABLISHED,
    };
    Verdict::End(Some(Notification::with_data(code::FSM, subcode, vec![kind as u8])))
}

/// RFC 4271 8.2.2.
pub(crate) fn step(phase: Phase, input: Input) -> Verdict {
    use Phase::{Established, OpenConfirm, OpenSent};
    match (phase, input) {
        (OpenSent, Input::Open) => Verdict::Confirm,
        (OpenSent, Input::Keepalive) => unexpected(phase, MessageType::Keepalive),
        (OpenSent | OpenConfirm, Input::Update) => unexpected(phase, MessageType::Update),
        (OpenSent | OpenConfirm, Input::RouteRefresh) => unexpected(phase, MessageType::RouteRefresh),
        (OpenSent, Input::KeepaliveDue) => Verdict::Ignore,

        (OpenConfirm, Input::Keepalive) => Verdict::Establish,
        (OpenConfirm | Established, Input::Open) => unexpected(phase, MessageType::Open),
        (OpenConfirm, Input::KeepaliveDue) => Verdict::SendKeepalive,

        (Established, Input::Keepalive) => Verdict::Alive,
        (Established, Input::Update | Input::RouteRefresh) => Verdict::Deliver,
        (Established, Input::KeepaliveDue) => Verdict::SendKeepalive,

        (OpenSent | OpenConfirm | Established, Input::HoldExpired) => {
            Verdict::End(Some(Notification::new(code::HOLD_TIMER, 0)))
        }
        (OpenSent | OpenConfirm | Established, Input::Malformed(answer) | Input::Stop(answer)) => {
            Verdict::End(Some(answer))
        }
        (OpenSent | OpenConfirm | Established, Input::Notification(_) | Input::Closed) => Verdict::End(None),
    }
}

#[cfg(test)]
#[path = "fsm_tests.rs"]
mod tests;

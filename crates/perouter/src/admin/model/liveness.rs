//! Who is reached, who comes back, who goes: BFD, restarts, draining.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A BFD session (RFC 5880).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Bfd {
    /// How long it has been in its state.
    pub(crate) since_seconds: u64,
    /// Why it is in its state.
    pub(crate) reason: String,
    /// How often it was lost.
    pub(crate) times_lost: u64,
    /// Over several hops (RFC 5883).
    pub(crate) multihop: bool,
    /// The neighbour holds it down on purpose: no sign of a broken path.
    pub(crate) held_down_by_peer: bool,
    /// Interval in which we send, before jitter; `null` while we must not.
    pub(crate) transmit_interval_ms: Option<u64>,
    /// Interval in which the neighbour is to send; `null` before it is heard.
    pub(crate) receive_interval_ms: Option<u64>,
    /// How long nothing may be heard; `null` before the neighbour is heard.
    pub(crate) detection_time_ms: Option<u64>,
    /// We.
    pub(crate) local: BfdSide,
    /// The neighbour; `null` before it is heard.
    pub(crate) remote: Option<BfdSide>,
    /// Packets received.
    pub(crate) received: u64,
    /// Packets sent.
    pub(crate) sent: u64,
    /// Why packets cannot be sent, if they cannot.
    pub(crate) trouble: Option<String>,
}

impl Bfd {
    /// Whether both sides hear each other.
    pub(crate) fn is_up(&self) -> bool {
        self.local.state == BfdState::Up
    }
}

/// One end of a BFD session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct BfdSide {
    /// Its state.
    pub(crate) state: BfdState,
    /// Why it last left Up.
    pub(crate) diagnostic: String,
    /// Its number of the session.
    pub(crate) discriminator: u32,
    /// Interval in which it wants to send.
    pub(crate) desired_min_tx_ms: u64,
    /// Shortest interval in which it can receive.
    pub(crate) required_min_rx_ms: u64,
    /// Packets that may be lost in a row.
    pub(crate) multiplier: u8,
    /// It survives the loss of its control plane (the C bit, RFC 5882 section 4.3).
    pub(crate) control_plane_independent: bool,
}

/// States of RFC 5880 section 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BfdState {
    /// Held down on purpose.
    AdminDown,
    /// No contact, or it was lost.
    Down,
    /// The other side is heard; whether it hears us is not known.
    Init,
    /// Both sides hear each other.
    Up,
}

impl BfdState {
    /// The RFC's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        }
    }
}

/// What was agreed about restarts (RFC 4724).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct GracefulRestart {
    /// How long the peer's restart may take; 0: it only bears with ours.
    pub(crate) restart_seconds: u64,
    /// Families whose routes are kept meanwhile.
    pub(crate) families: Vec<super::Family>,
    /// They are kept after most NOTIFICATIONs too (RFC 8538).
    pub(crate) covers_notifications: bool,
}

/// How far draining is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Drain {
    /// Whether sessions have ended.
    pub(crate) state: DrainState,
    /// How long ago it began.
    pub(crate) since_seconds: u64,
    /// When the sessions end; `null` once they have.
    pub(crate) left_seconds: Option<u64>,
    /// What peers are told then.
    pub(crate) message: Option<String>,
}

/// Before and after the end of the sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DrainState {
    /// Peers are asked to move their traffic (RFC 8326).
    Draining,
    /// There are no sessions.
    Drained,
}

/// What `drain` is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DrainOrder {
    /// How long peers have to move their traffic; `null`: 10 s.
    pub(crate) wait_seconds: Option<u64>,
    /// A text for the peers' operators (RFC 9003), at most 255 octets of UTF-8.
    pub(crate) message: Option<String>,
    /// Bring every session back instead; not with the others.
    pub(crate) undo: bool,
}

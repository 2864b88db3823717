//! What a session tells about itself.

use std::fmt;
use std::time::{Duration, Instant};

use super::packet::{Diagnostic, State};

/// Why a session is in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has just begun.
    Started,
    /// Both sides hear each other.
    Agreed,
    /// The neighbour is heard; its word that it hears us is awaited.
    Heard,
    /// Nothing came within the detection time.
    Expired {
        /// The detection time.
        after: Duration,
    },
    /// The neighbour says that its session is down, and why.
    RemoteDown(Diagnostic),
    /// The neighbour holds its session down on purpose.
    RemoteAdminDown,
    /// We hold it down on purpose.
    AdminDown,
    /// We no longer do.
    Enabled,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("the neighbour has not been heard yet"),
            Self::Agreed => f.write_str("both sides hear each other"),
            Self::Heard => f.write_str("the neighbour is heard; it does not say yet that it hears us"),
            Self::Expired { after } => write!(f, "nothing was heard for {} ms", after.as_millis()),
            Self::RemoteDown(diagnostic) if *diagnostic == Diagnostic::NONE => {
                f.write_str("the neighbour says that its session is down: it has probably restarted")
            }
            Self::RemoteDown(diagnostic) => write!(f, "the neighbour says that its session is down: {diagnostic}"),
            Self::RemoteAdminDown => f.write_str("the neighbour holds its session down on purpose"),
            Self::AdminDown => f.write_str("held down on purpose"),
            Self::Enabled => f.write_str("no longer held down; the neighbour has not been heard yet"),
        }
    }
}

/// A new state, or the neighbour's going to or leaving AdminDown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Our state.
    pub state: State,
    /// Why we last left Up.
    pub diagnostic: Diagnostic,
    /// The neighbour's state, as it last said; Down when it is not heard.
    pub remote_state: State,
    /// Why the neighbour last left Up.
    pub remote_diagnostic: Diagnostic,
    /// Whether the neighbour's session survives the loss of its control plane (RFC 5882 section 4.3), as it last said.
    pub remote_control_plane_independent: bool,
    /// Why.
    pub reason: Reason,
}

/// One end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// Its state.
    pub state: State,
    /// Why it last left Up.
    pub diagnostic: Diagnostic,
    /// Its number of the session; 0 while it is not known.
    pub discriminator: u32,
    /// Interval in which it wants to send, as said in packets.
    pub desired_min_tx: Duration,
    /// Shortest interval in which it can receive, as said in packets; zero: it wants no periodic packets.
    pub required_min_rx: Duration,
    /// Its detection multiplier; 0 while it is not known.
    pub multiplier: u8,
    /// Its C bit.
    pub control_plane_independent: bool,
    /// Its D bit.
    pub demand: bool,
}

/// A session at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// We.
    pub local: Side,
    /// The neighbour.
    pub remote: Side,
    /// Interval in which we send, before jitter; `None` while we must not send periodically.
    pub transmit_interval: Option<Duration>,
    /// Interval in which the neighbour is expected to send, before jitter; `None` before it is heard.
    pub receive_interval: Option<Duration>,
    /// How long nothing may be heard; `None` before the neighbour is heard.
    pub detection_time: Option<Duration>,
    /// Whether a Poll sequence is in progress.
    pub polling: bool,
    /// Packets sent.
    pub sent: u64,
    /// Packets received and not discarded.
    pub received: u64,
    /// How often it left Up.
    pub downs: u64,
    /// Since when it is in its state.
    pub since: Instant,
    /// Why it is in its state.
    pub reason: Reason,
}

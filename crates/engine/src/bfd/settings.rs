//! What the user of a session wants.

use std::time::Duration;

/// How far away the neighbour is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hops {
    /// On the same link (RFC 5881): packets have TTL 255 when they arrive.
    Single,
    /// Some routers away (RFC 5883).
    Multi {
        /// Least TTL or hop limit of packets that arrive.
        minimum_ttl: u8,
    },
}

/// Parameters of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Interval in which we want to send, 10 ms to 60 s; used once the session is up, and never less than the
    /// neighbour can take. Before that it is at least a second (RFC 5880 section 6.8.3).
    pub transmit: Duration,
    /// Shortest interval in which we can receive, 10 ms to 60 s.
    pub receive: Duration,
    /// Packets of ours that must be lost in a row before the neighbour takes the session down, 2 to 255.
    pub multiplier: u8,
    /// Whether to stay silent until the neighbour is heard (RFC 5880 section 6.1).
    pub passive: bool,
    /// What we say about ourselves: whether this session survives the loss of our control plane (the C bit, RFC 5882
    /// section 4.3). A session that ends with the process that speaks BGP must not claim it.
    pub control_plane_independent: bool,
    /// How far away the neighbour is; for the driver.
    pub hops: Hops,
}

impl Default for Settings {
    /// 300 ms both ways and three packets, active, on the same link.
    fn default() -> Self {
        Self {
            transmit: Duration::from_millis(300),
            receive: Duration::from_millis(300),
            multiplier: 3,
            passive: false,
            control_plane_independent: false,
            hops: Hops::Single,
        }
    }
}

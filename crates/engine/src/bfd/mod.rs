//! Bidirectional forwarding detection: one session with one neighbour, without I/O (RFC 5880, 5881, 5882, 5883).
//!
//! ```text
//!              Down heard, or AdminDown heard, or nothing heard for the detection time
//!        +-------------------------------+----------------------------+
//!        v                               |                            |
//!       Down --- Down heard ---> Init --- Init or Up heard ---> Up ---+
//!        |                                                      ^
//!        +--- Init heard ---------------------------------------+
//! ```
//!
//! Owns the variables and timers of a [`Session`]. Is told packets that were found to be its own ([`Packet::decode`]
//! has checked them), deadlines and the wishes of its user; emits packets and changes. Asynchronous mode only: demand
//! mode is honoured when the neighbour asks for it and never asked for; there is no echo and no authentication.
//!
//! Does not: know addresses, ports, TTLs and which packet belongs to which session. All that is the driver's.

mod packet;
mod session;
mod settings;
mod timers;
mod view;

pub use packet::{Diagnostic, Invalid, LENGTH, Packet, State};
pub use session::Session;
pub use settings::{Hops, Settings};
pub use view::{Change, Reason, Side, Snapshot};

//! A stranger's peer against the real process: raw TCP, bytes written by hand, odd timing, malformed and hostile input.
//!
//! [`bytes`] spells messages from the RFCs' text and shares no code with the speaker under test; [`peer`] is one connection
//! of the stranger, [`speaker`] one that behaves and remembers; [`lab`] is the process in a namespace with a second one
//! full of addresses beside it. The other modules are the questions. Needs root and iproute2.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails where it stands, and says why")]

mod bytes;
mod collision;
mod errors;
mod header;
mod hostile;
mod lab;
mod lost;
mod machine;
mod open;
mod peer;
mod range;
mod refresh;
mod refused;
mod speaker;
mod strangers;
#[path = "../live/support.rs"]
#[allow(dead_code, reason = "shared with the live tests, which need more of it")]
mod support;
mod timers;

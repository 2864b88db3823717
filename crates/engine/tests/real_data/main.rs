//! Real messages and tables through the router: what comes out is what went in, apart from what the RFCs say must change.
//!
//! The expectation ([`expect`]) is computed from the octets of the input by the text of the RFCs, with a reading of its own
//! ([`update`]). The samples kept beside the codec always run; the whole collection runs where it is
//! ([`collection::collection`]), which it must be in CI.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../../wire/tests/common/collection.rs"]
mod collection;
#[path = "../../../wire/tests/common/mod.rs"]
mod common;
#[allow(dead_code, reason = "of the codec's own tests only the words are needed")]
#[path = "../../../wire/tests/common/differences.rs"]
mod differences;
mod expect;
#[allow(dead_code, reason = "only the configuration is needed")]
#[path = "../simulated/intents.rs"]
mod intents;
#[allow(dead_code, reason = "only the configuration is needed")]
#[path = "../simulated/kernel.rs"]
mod kernel;
mod messages;
mod router;
#[allow(dead_code, reason = "of the codec's own tests only UPDATEs are needed")]
#[path = "../../../wire/tests/common/rustbgpd.rs"]
mod rustbgpd;
#[allow(dead_code, reason = "only the configuration is needed")]
#[path = "../simulated/sim.rs"]
mod sim;
mod tables;
mod update;

//! The router itself, without I/O: events in, actions and bytes out.
pub mod action;
pub mod event;
pub mod fib;
pub mod intent;
pub mod snapshot;

use std::time::Instant;

use bytes::Bytes;

pub use action::{Action, Admission, Dial, Level, Note};
pub use event::{ConnId, Event, Link, UnderlyingRoute};
pub use fib::FibBatch;
pub use intent::Intent;
pub use snapshot::{RouteQuery, RouteView, Select, Snapshot};

/// The router.
pub struct Engine {}

impl Engine {
    /// A router without configuration. `seed` feeds jitter and hashing; any value, unpredictable in production.
    pub fn new(_seed: u64, _now: Instant) -> Self {
        Self {}
    }
    /// Takes a fact.
    pub fn handle(&mut self, _now: Instant, _event: Event) {}
    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, _now: Instant) {}
    /// When `handle_timeout` wants to be called next, and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        None
    }
    /// The next request to the driver.
    pub fn poll_action(&mut self) -> Option<Action> {
        None
    }
    /// Bytes for a connection that can be written: whole messages, at most about 64 KiB. `None` when there is
    /// nothing; an [`Action::Transmit`] says when there is again.
    pub fn poll_transmit(&mut self, _conn: ConnId) -> Option<Bytes> {
        None
    }
    /// The next FIB batch, when none is in flight and something is to be done.
    pub fn poll_fib(&mut self) -> Option<FibBatch> {
        None
    }
    /// The state of everything but the routes.
    pub fn snapshot(&self, _now: Instant) -> Snapshot {
        unimplemented!()
    }
    /// One page of routes in prefix order.
    pub fn routes(&self, _query: &RouteQuery) -> Vec<RouteView> {
        Vec::new()
    }
}

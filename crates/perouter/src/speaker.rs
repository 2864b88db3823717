//! Stand-in for the speaker's handle.
#![allow(dead_code)]

use std::net::IpAddr;

/// Talks to the running speaker.
#[derive(Clone, Debug)]
pub(crate) struct SpeakerHandle {}

impl SpeakerHandle {
    /// The router at this moment; `None` when the speaker has stopped.
    pub(crate) async fn snapshot(&self) -> Option<engine::Snapshot> {
        None
    }
    /// One page of routes; `None` when the speaker has stopped.
    pub(crate) async fn routes(
        &self,
        _query: engine::RouteQuery,
    ) -> Option<Vec<engine::RouteView>> {
        None
    }
    /// Puts an intent in force.
    pub(crate) async fn apply(&self, _intent: engine::Intent) {}
    /// Ends a session.
    pub(crate) async fn reset(&self, _peer: IpAddr) {}
}

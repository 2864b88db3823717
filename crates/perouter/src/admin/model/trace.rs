//! Messages of a traced peer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A message as it passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TracedMessage {
    /// When.
    pub(crate) at: String,
    /// Which way.
    pub(crate) direction: Direction,
    /// `OPEN`, `UPDATE`, `NOTIFICATION`, `KEEPALIVE` or `ROUTE-REFRESH`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Its length, header included.
    pub(crate) octets: u64,
    /// In few words.
    pub(crate) summary: String,
    /// Prefixes announced, with their path identifiers where they have some.
    pub(crate) announced: Vec<String>,
    /// Prefixes withdrawn.
    pub(crate) withdrawn: Vec<String>,
    /// Attributes of what is announced, or capabilities of an OPEN.
    pub(crate) attributes: Vec<String>,
    /// What was wrong with it.
    pub(crate) problems: Vec<String>,
    /// Pieces of the stream before it that the tracer was too slow for.
    pub(crate) lost: u64,
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    /// The peer's.
    Received,
    /// Ours.
    Sent,
}

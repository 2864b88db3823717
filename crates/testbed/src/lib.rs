//! Labs out of network namespaces, with real routing daemons in them.
//!
//! Owns: namespaces, links and processes of a [`Lab`], and their end, whatever ends it. Is told: which daemon
//! plays which part ([`peer`]) and what it announces. Emits: what a daemon or a kernel says ([`Peer::routes`],
//! [`ip`]), whether packets flow ([`traffic`]). Does not know how BGP works, nor anything of the router under
//! test beyond the path of its binary and the command line that a person would type.
//!
//! Nothing here waits for a time to pass: [`Lab::wait_until`] waits for a condition and, when the condition
//! does not come, says what was seen last and shows the logs.

pub mod ip;
pub mod kube;
mod lab;
mod node;
pub mod passthrough;
pub mod peer;
mod process;
mod record;
pub mod scripted;
pub mod traffic;
mod wait;

pub use lab::{End, Lab, WeakLab};
pub use node::Node;
pub use passthrough::{Layout, Passthrough};
pub use peer::{Daemon, Family, LearnedRoute, NeighborConfig, Peer, PeerConfig};
pub use process::{Output, find_program, is_root, run};
pub use record::remove_all;
pub use scripted::Scripted;

use std::fmt;

/// Why a lab cannot be built or asked: one sentence that names the object and the remedy where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabError(String);

impl LabError {
    /// An error from its sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LabError {}

/// Result of everything here.
pub type Result<T> = std::result::Result<T, LabError>;

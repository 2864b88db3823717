//! Objects and node to intent, desired host and one verdict per object. Pure.
use crate::files::Objects;
use crate::node::Node;
use crate::verdict::Verdict;

/// What a node is to be.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The router; `None` without a usable Underlay.
    pub intent: Option<engine::Intent>,
    /// The host; `None` without a usable Underlay.
    pub host: Option<kernel::host::DesiredHost>,
    /// One per object.
    pub verdicts: Vec<Verdict>,
}

/// Compiles.
pub fn compile(_objects: &Objects, _node: &Node) -> Compiled { todo!() }

//! Static files: `openpe_*.yaml` in a directory.
use std::path::Path;
use crate::node::Node;
use crate::verdict::Verdict;

/// Objects, in order of precedence.
#[derive(Clone, Debug, Default)]
pub struct Objects {}

/// What a directory holds.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// What could be read.
    pub objects: Objects,
    /// Rejections of what could not.
    pub verdicts: Vec<Verdict>,
    /// Why there is no configuration at all: directory missing or without files. Not an error.
    pub none: Option<String>,
}

/// Reads every `openpe_*.yaml` of `dir`, by name.
pub fn load(_dir: &Path, _node: &Node) -> Loaded { todo!() }

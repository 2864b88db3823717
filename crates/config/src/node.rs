//! The node: who we are.
use std::collections::BTreeMap;
use std::path::Path;

/// A file that cannot be used, in words that name file, line, field, value and remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// The node that objects are compiled for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its index, from 0.
    pub index: u32,
    /// `logLevel` of its file, if set.
    pub log_level: Option<String>,
}

/// Reads `node-config.yaml`.
pub fn load(_path: &Path) -> Result<Node, ConfigError> { todo!() }

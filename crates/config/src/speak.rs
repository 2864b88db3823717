//! The file of `perouter speak`.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use crate::node::ConfigError;

/// A speaker without a node.
#[derive(Clone, Debug)]
pub struct Speak {
    /// The router.
    pub intent: engine::Intent,
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Directory of sockets and restart state.
    pub state_dir: PathBuf,
}

/// Reads the file.
pub fn load(_path: &Path) -> Result<Speak, ConfigError> { todo!() }

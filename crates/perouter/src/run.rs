//! Stand-in for the daemon.
#![allow(dead_code)]

use std::path::PathBuf;

/// What `perouter run` was told.
#[derive(Clone, Debug)]
pub(crate) struct RunOptions {
    pub(crate) config_dir: PathBuf,
    pub(crate) node_config: PathBuf,
    pub(crate) state_dir: PathBuf,
    pub(crate) namespace: Option<String>,
}

/// Why it ended.
#[derive(Debug)]
pub(crate) struct RunError(pub(crate) String);

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) async fn run(_options: RunOptions) -> Result<(), RunError> {
    Err(RunError("the daemon is not built in".into()))
}

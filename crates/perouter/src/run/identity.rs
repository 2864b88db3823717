//! Who this node is: what its file says and, in a cluster, what the API server says.

use std::path::Path;

use config::node::{Node, Written};

use super::{RunError, RunOptions};
use crate::daemon::blocking;
use crate::source::cluster::Cluster;
use crate::speaker::SpeakerHandle;
use crate::status::Status;

/// The node.
pub(super) enum Identity {
    /// As its file says.
    Alone(Node),
    /// As its file, if there is one, and the API server say together.
    InCluster(Written, Cluster),
}

impl Identity {
    /// Reads the file and, in a cluster, begins to ask the API server.
    pub(super) async fn find(options: &RunOptions, speaker: &SpeakerHandle, status: &Status) -> Result<Self, RunError> {
        let Some(cluster) = options.cluster.clone() else {
            return Ok(Self::Alone(read(&options.node_config).await?));
        };
        let written = read_written(&options.node_config).await?;
        // Nobody takes a router that has not begun for one that is as it should be.
        status.update(|data| data.withheld = Some("the objects were not read yet".to_owned()));
        let cluster = Cluster::start(cluster, &written, speaker.clone(), status.clone()).map_err(RunError)?;
        Ok(Self::InCluster(written, cluster))
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// It cannot be used; the node stays as it was.
    pub(super) async fn reload(&mut self, file: &Path) -> Result<(), RunError> {
        match self {
            Self::Alone(node) => *node = read(file).await?,
            Self::InCluster(written, _) => *written = read_written(file).await?,
        }
        Ok(())
    }

    /// The node, and why it cannot be one that objects are compiled for.
    pub(super) fn node(&self) -> (Node, Result<(), String>) {
        match self {
            Self::Alone(node) => (node.clone(), Ok(())),
            Self::InCluster(written, cluster) => cluster.node(written),
        }
    }

    /// The cluster, if the node is part of one.
    pub(super) fn cluster(&self) -> Option<&Cluster> {
        match self {
            Self::Alone(_) => None,
            Self::InCluster(_, cluster) => Some(cluster),
        }
    }

    /// Waits until the keys of the cluster's sessions are known, though not for long.
    pub(super) async fn secrets_known(&mut self) {
        let node = self.node().0;
        if let Self::InCluster(_, cluster) = self {
            cluster.secrets_known(&node).await;
        }
    }

    /// Waits until the cluster's objects are known, though not for long.
    pub(super) async fn known(&mut self) {
        if let Self::InCluster(written, cluster) = self {
            cluster.known(written).await;
        }
    }
}

async fn read(file: &Path) -> Result<Node, RunError> {
    let file = file.to_owned();
    blocking(move || config::node::load(&file)).await?.map_err(|error| RunError(error.to_string()))
}

async fn read_written(file: &Path) -> Result<Written, RunError> {
    let file = file.to_owned();
    blocking(move || config::node::load_written(&file)).await?.map_err(|error| RunError(error.to_string()))
}

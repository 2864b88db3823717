//! Writes the status: server-side apply, only when it differs from what was written last.
//!
//! Owns: what was written last, only to save writes; a change of the process forgets it and nothing is lost. States are
//! written at the next look, counts of routes alone more rarely.

use std::collections::VecDeque;
use std::time::Duration;

use config::types::{NodeStatus, RouterNodeConfigurationStatus};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Error, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use super::facts::without_counts;
use crate::apiserver::ApiServer;
use crate::source::cluster::index::NodeFacts;

/// Whose fields they are.
const MANAGER: &str = "perouter";
/// Shortest time between two writes of counts alone.
const COUNTS: Duration = Duration::from_secs(30);
/// Versions of the object that are known to be of our making.
const VERSIONS: usize = 16;

/// Writes one node's status.
pub(super) struct Writer {
    api: Api<DynamicObject>,
    name: String,
    namespace: String,
    /// What is there.
    written: Option<NodeStatus>,
    at: Instant,
    /// Owner of the object that is there; `None`: there is none, as far as we know.
    made_for: Option<Option<String>>,
    versions: VecDeque<String>,
}

impl Writer {
    pub(super) fn new(server: &ApiServer, name: &str) -> Self {
        let resource = ApiResource::erase::<RouterNodeConfigurationStatus>(&());
        Self {
            api: Api::namespaced_with(server.client.clone(), &server.namespace, &resource),
            name: name.to_owned(),
            namespace: server.namespace.clone(),
            written: None,
            at: Instant::now(),
            made_for: None,
            versions: VecDeque::new(),
        }
    }

    /// Somebody deleted the object.
    pub(super) fn removed(&mut self) {
        self.made_for = None;
        self.written = None;
    }

    /// The object is there in this version. One that we did not make is written over.
    pub(super) fn seen(&mut self, version: Option<&str>) {
        if version.is_some_and(|version| !self.versions.iter().any(|ours| ours == version)) {
            self.written = None;
        }
    }

    /// Writes `status`, unless it is there.
    pub(super) async fn write(&mut self, status: NodeStatus, node: Option<&NodeFacts>) -> Result<(), Error> {
        let owner = node.map(|node| node.uid.clone());
        if self.made_for.as_ref().is_none_or(|made_for| owner.is_some() && *made_for != owner) {
            self.make(owner).await?;
        }
        if let Some(written) = &self.written {
            let only_counts = || without_counts(written) == without_counts(&status);
            if *written == status || (self.at.elapsed() < COUNTS && only_counts()) {
                return Ok(());
            }
        }
        let body = json!({
            "apiVersion": "network.openperouter.io/v1alpha1",
            "kind": "RouterNodeConfigurationStatus",
            "metadata": { "name": self.name, "namespace": self.namespace },
            "status": status,
        });
        match self.api.patch_status(&self.name, &apply(), &Patch::Apply(body)).await {
            Ok(object) => {
                self.remember(&object);
                self.written = Some(status);
                self.at = Instant::now();
                Ok(())
            }
            Err(Error::Api(answer)) if answer.is_not_found() => {
                // Made anew at the next look.
                self.removed();
                Ok(())
            }
            Err(error) => {
                self.written = None;
                Err(error)
            }
        }
    }

    /// Makes the object, or says whose it is.
    async fn make(&mut self, owner: Option<String>) -> Result<(), Error> {
        let owners =
            owner.iter().map(|uid| json!({ "apiVersion": "v1", "kind": "Node", "name": self.name, "uid": uid }));
        let body = json!({
            "apiVersion": "network.openperouter.io/v1alpha1",
            "kind": "RouterNodeConfigurationStatus",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "ownerReferences": owners.collect::<Vec<_>>(),
            },
        });
        let object = self.api.patch(&self.name, &apply(), &Patch::Apply(body)).await?;
        self.remember(&object);
        self.made_for = Some(owner);
        Ok(())
    }

    fn remember(&mut self, object: &DynamicObject) {
        if let Some(version) = object.resource_version() {
            self.versions.push_back(version);
            if self.versions.len() > VERSIONS {
                self.versions.pop_front();
            }
        }
    }
}

/// The fields are ours, whoever wrote them.
fn apply() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}

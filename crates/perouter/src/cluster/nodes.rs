//! The cluster's Nodes, as far as they matter: name, age, labels and index.
//!
//! Owns: one watch of their metadata. Emits: a number that grows with each change.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use config::node::Node;
use futures::StreamExt;
use k8s_openapi::api::core::v1;
use k8s_openapi::jiff::Timestamp;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::index::ANNOTATION;

/// One Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// When it was made.
    pub(super) created: Option<Timestamp>,
    /// The version that this was read from.
    pub(super) version: Option<String>,
    /// Its labels.
    pub(super) labels: BTreeMap<String, String>,
    /// Its index, as it is written.
    pub(super) index: Option<String>,
}

impl Seen {
    fn of(node: &PartialObjectMeta<v1::Node>) -> Self {
        Self {
            created: node.creation_timestamp().map(|time| time.0),
            version: node.resource_version(),
            labels: node.labels().clone(),
            index: node.annotations().get(ANNOTATION).cloned(),
        }
    }
}

/// Access to them. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Nodes {
    all: Arc<Mutex<BTreeMap<String, Seen>>>,
    /// Changes so far; 0 until all were listed once.
    changes: watch::Receiver<u64>,
}

impl Nodes {
    /// Begins to follow them.
    pub(super) fn follow(client: Client, tasks: &mut JoinSet<()>) -> Self {
        let (changed, changes) = watch::channel(0);
        let all = Arc::new(Mutex::new(BTreeMap::new()));
        tasks.spawn(follow(client, Arc::clone(&all), changed));
        Self { all, changes }
    }

    /// Whether all were listed once.
    pub(super) fn known(&self) -> bool {
        *self.changes.borrow() > 0
    }

    /// Waits for a change that was not seen yet.
    pub(super) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The watch has ended, and with it the process soon.
            std::future::pending::<()>().await;
        }
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> BTreeMap<String, Seen> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As objects are held against them. One without an index counts as the first.
    pub(super) fn for_objects(&self) -> Vec<Node> {
        let node = |(name, seen): (&String, &Seen)| {
            let index = seen.index.as_ref().and_then(|index| index.parse().ok()).unwrap_or_default();
            let mut node = Node::new(name, index);
            node.labels.clone_from(&seen.labels);
            node
        };
        self.all.lock().unwrap_or_else(PoisonError::into_inner).iter().map(node).collect()
    }
}

async fn follow(client: Client, all: Arc<Mutex<BTreeMap<String, Seen>>>, changed: watch::Sender<u64>) {
    let api: Api<PartialObjectMeta<v1::Node>> = Api::all(client);
    let mut events = pin!(watcher(api, watcher::Config::default().page_size(100)).default_backoff());
    let mut listed = BTreeMap::new();
    let mut complete = false;
    while let Some(event) = events.next().await {
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.clone();
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(node)) => drop(listed.insert(node.name_any(), Seen::of(&node))),
            Ok(Event::InitDone) => {
                *all = std::mem::take(&mut listed);
                complete = true;
            }
            Ok(Event::Apply(node)) => drop(all.insert(node.name_any(), Seen::of(&node))),
            Ok(Event::Delete(node)) => drop(all.remove(&node.name_any())),
            Err(error) => tracing::warn!(%error, "cannot follow the Nodes; trying again"),
        }
        if complete && (*changed.borrow() == 0 || *all != before) {
            changed.send_modify(|changes| *changes += 1);
        }
    }
}

//! Objects from a cluster's API server: the second source beside files.
//!
//! Owns: an [`Index`] of what was said last, and one task per watch. Is told by the API server: Underlays and
//! L3Passthroughs of all namespaces, our Node, the Secrets that they name in our namespace, and how many objects there
//! are that we do not serve. Emits: a wake-up per burst of changes that concern this node, and a [`View`] of the index
//! when it is asked for one. Does not: compile, or put anything in force; `run` does.
//!
//! The router never depends on the API server. Where nobody answers, what was said last holds, for as long as that
//! takes, and at the next start what was kept of it in the state directory ([`memory`]). An object is gone only when it
//! was deleted, for which a watch event or its absence from a list are no proof ([`gone`]).
//!
//! | from -> to | kind, capacity | when full |
//! |---|---|---|
//! | watches -> index | a lock held for one object | - |
//! | index -> `run` | a number that grows with each change | latest wins |
//! | `run` -> keeper of Secrets, mirror | the latest names, the latest objects | latest wins |

mod connection;
mod gone;
pub(crate) mod index;
mod memory;
mod mirror;
mod node;
mod not_served;
mod objects;
mod patience;
mod secrets;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use config::cluster::Kind;
use config::compile::InForce;
use config::files::Objects;
use config::node::{Node, Written};
use config::verdict::{ObjectRef, Source};
use engine::Level;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use crate::apiserver::ApiServerArgs;
use crate::report;
use crate::speaker::SpeakerHandle;
use crate::status::Status;
pub(crate) use connection::words;
use index::{Index, Key, NodeFacts, Standing, View};
use mirror::Mirrored;

/// This much quiet ends a burst of changes.
const QUIET: Duration = Duration::from_millis(100);
/// A burst that does not end is reported nevertheless.
const LONGEST_BURST: Duration = Duration::from_millis(500);
/// How long a configuration waits for the keys of its sessions.
const SECRETS: Duration = Duration::from_secs(1);
/// How long the first configuration waits for the API server when nothing is known of the cluster.
const FIRST: Duration = Duration::from_secs(10);

/// How this node takes part in a cluster.
#[derive(Clone, Debug)]
pub(crate) struct ClusterOptions {
    /// The API server.
    pub(crate) api: ApiServerArgs,
    /// Name of the node there; else as `node-config.yaml` or the host says.
    pub(crate) node_name: Option<String>,
    /// Where what was said last is kept.
    pub(crate) state_dir: PathBuf,
}

/// Access to what the API server said. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Cluster {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    /// When the burst that has begun is reported at the latest.
    burst_limit: Option<Instant>,
    _tasks: Arc<Tasks>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("node", &self.shared.name).finish_non_exhaustive()
    }
}

/// Ends the tasks with the last handle.
struct Tasks(AbortHandle);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What all tasks have in common.
struct Shared {
    options: ClusterOptions,
    /// Name of our node.
    name: String,
    index: Mutex<Index>,
    /// Which of the watches have listed everything once.
    listed: Mutex<BTreeSet<&'static str>>,
    /// Whether the index began with what was kept.
    remembered: bool,
    changed: watch::Sender<u64>,
    secrets: watch::Sender<BTreeSet<String>>,
    mirrored: watch::Sender<Mirrored>,
    connection: connection::Health,
    status: Status,
    speaker: SpeakerHandle,
}

/// Watches without which nothing of the cluster is known.
const ESSENTIAL: [&str; 3] = ["Underlays", "L3Passthroughs", "Node"];

/// What the API server said, for one compilation.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// The objects that select the node.
    pub(crate) view: View,
    /// Whether that is everything: `Err` says what is still to come.
    pub(crate) complete: Result<(), String>,
}

impl Cluster {
    /// Begins to ask, as the node that `written` says we are. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// A sentence when the node has no name.
    pub(crate) fn start(
        options: ClusterOptions,
        written: &Written,
        speaker: SpeakerHandle,
        status: Status,
    ) -> Result<Self, String> {
        let name = match options.node_name.clone().or_else(|| written.name.clone()) {
            Some(name) => name,
            None => config::node::host_name().map_err(|error| error.to_string())?,
        };
        let memory = memory::load(&options.state_dir, &name);
        if let Err(why) = &memory {
            status.note(Level::Warn, None, why.clone());
        }
        let memory = memory.ok().flatten();
        let (changed, changes) = watch::channel(0);
        let shared = Arc::new(Shared {
            options,
            name,
            remembered: memory.is_some(),
            index: Mutex::new(memory.map(Index::remembering).unwrap_or_default()),
            listed: Mutex::default(),
            changed,
            secrets: watch::Sender::default(),
            mirrored: watch::Sender::default(),
            connection: connection::Health::new(status.clone()),
            status,
            speaker,
        });
        let task = tokio::spawn(run(shared.clone()));
        Ok(Self { shared, changes, burst_limit: None, _tasks: Arc::new(Tasks(task.abort_handle())) })
    }

    /// Waits until the cluster's objects are known, though not for long.
    pub(crate) async fn known(&mut self, written: &Written) {
        let known = async {
            loop {
                let said = self.said(&self.node(written).0);
                self.shared.want_secrets(&said.view);
                if said.complete.is_ok() {
                    return;
                }
                // The sender is ours.
                let _ = self.changes.changed().await;
            }
        };
        let _ = timeout(FIRST, known).await;
    }

    /// Waits until the Secrets that `node`'s objects name were looked for, though not for long: a session that has a key
    /// does not end because the same key is now in a Secret.
    pub(crate) async fn secrets_known(&mut self, node: &Node) {
        let known = async {
            loop {
                let view = self.said(node).view;
                self.shared.want_secrets(&view);
                if self.shared.index().knows_secrets(&view.secrets) {
                    return;
                }
                let _ = self.changes.changed().await;
            }
        };
        let _ = timeout(SECRETS, known).await;
    }

    /// Waits for the end of the next burst of changes. Safe to cancel.
    pub(crate) async fn burst(&mut self) {
        // A burst that has begun goes on where it was cancelled: its first change was taken already.
        let limit = match self.burst_limit {
            Some(limit) => limit,
            None => {
                let _ = self.changes.changed().await;
                *self.burst_limit.insert(Instant::now() + LONGEST_BURST)
            }
        };
        loop {
            let quiet = (Instant::now() + QUIET).min(limit);
            tokio::select! {
                biased;
                () = sleep_until(quiet) => break,
                _ = self.changes.changed() => {}
            }
        }
        self.burst_limit = None;
    }

    /// Our node, as the file and the API server say together, and why it cannot be one: its index is not known.
    pub(crate) fn node(&self, written: &Written) -> (Node, Result<(), String>) {
        node::merged(&self.shared.name, written, self.shared.index().node())
    }

    /// What concerns `node`.
    pub(crate) fn said(&self, node: &Node) -> Said {
        let index = self.shared.index();
        let view = index.view(&node.labels);
        let listed = self.shared.listed();
        let missing: Vec<_> = ESSENTIAL.into_iter().filter(|watch| !listed.contains(watch)).collect();
        let complete = if !self.shared.remembered && !missing.is_empty() {
            Err(format!("the API server has not said yet what there is of: {}", missing.join(", ")))
        } else if !index.knows_secrets(&view.secrets) {
            Err("the API server has not given the Secrets yet".to_owned())
        } else {
            Ok(())
        };
        Said { view, complete }
    }

    /// What became of it: which Secrets are needed from here on, and which objects are in force.
    pub(crate) fn applied(&self, said: &Said, node: &Node, in_force: &InForce) {
        self.shared.want_secrets(&said.view);
        self.shared.forget_orphans(in_force);
        if said.complete.is_ok() {
            let memory = self.shared.index().memory(&node.labels);
            memory::keep(self.shared.options.state_dir.clone(), self.shared.name.clone(), memory);
        }
    }

    /// These are the objects of static files: they are shown in the cluster. `has_place`: there is a folder for them.
    pub(crate) fn mirror(&self, objects: &Objects, has_place: bool) {
        let mirrored = Mirrored::of(objects, &self.shared.name, has_place);
        self.shared.mirrored.send_if_modified(|before| {
            let changed = *before != mirrored;
            *before = mirrored;
            changed
        });
    }
}

/// Connects, then runs everything that talks to the API server. Ends with the last handle.
async fn run(shared: Arc<Shared>) {
    let server = connection::connect(&shared).await;
    let mut tasks = JoinSet::new();
    for kind in Kind::ALL {
        tasks.spawn(objects::follow(shared.clone(), server.clone(), kind));
    }
    tasks.spawn(node::follow(shared.clone(), server.clone()));
    tasks.spawn(secrets::follow(shared.clone(), server.clone()));
    tasks.spawn(not_served::follow(shared.clone(), server.clone()));
    tasks.spawn(mirror::keep(shared.clone(), server.clone()));
    tasks.spawn(report::run(Reporting(shared.clone()), server));
    while let Some(ended) = tasks.join_next().await {
        // They run for ever: this one has panicked.
        if let Err(error) = ended {
            tracing::error!(%error, "a task that talks to the API server has ended");
        }
    }
}

impl Shared {
    // Every holder leaves it whole, so a panic elsewhere does not make it unusable.
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listed(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the index. What concerns this node wakes `run`.
    fn change(&self, change: impl FnOnce(&mut Index) -> bool) {
        // Not held while others are woken.
        let concerns = change(&mut self.index());
        if concerns {
            self.changed.send_modify(|number| *number += 1);
        }
    }

    /// This watch has listed everything that there is.
    fn has_listed(&self, watch: &'static str) {
        if self.listed().insert(watch) {
            self.changed.send_modify(|number| *number += 1);
        }
    }

    fn want_secrets(&self, view: &View) {
        self.secrets.send_if_modified(|before| {
            let changed = *before != view.secrets;
            before.clone_from(&view.secrets);
            changed
        });
    }

    /// An orphan is in force until another object is.
    fn forget_orphans(&self, in_force: &InForce) {
        let mut index = self.index();
        for (kind, chosen) in [(Kind::Underlay, &in_force.underlay), (Kind::L3Passthrough, &in_force.passthrough)] {
            if let Some(chosen) = chosen {
                index.forget_orphans(kind, key(chosen).as_ref());
            }
        }
    }
}

fn key(object: &ObjectRef) -> Option<Key> {
    match &object.source {
        Source::Cluster { namespace, .. } => Some(Key { namespace: namespace.clone(), name: object.name.clone() }),
        Source::File { .. } => None,
    }
}

/// What the report needs of the cluster.
pub(crate) struct Reporting(Arc<Shared>);

impl Reporting {
    /// Name of our node.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Our node, as the API server knows it.
    pub(crate) fn node(&self) -> Option<NodeFacts> {
        self.0.index().node().filter(|node| !node.uid.is_empty()).cloned()
    }

    /// Kinds that are not served and have objects.
    pub(crate) fn not_served(&self) -> Vec<(&'static str, usize)> {
        self.0.index().not_served().collect()
    }

    /// The uid of an object of the cluster that is there.
    pub(crate) fn uid(&self, object: &ObjectRef) -> Option<String> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == object.kind)?;
        let index = self.0.index();
        let entry = index.get(kind, &key(object)?)?;
        (entry.standing == Standing::Live).then(|| entry.uid.clone())
    }

    /// What the daemon knows about itself.
    pub(crate) fn status(&self) -> &Status {
        &self.0.status
    }

    /// The sessions.
    pub(crate) fn speaker(&self) -> &SpeakerHandle {
        &self.0.speaker
    }

    /// Whether talking to the API server works, for what `what` names.
    pub(crate) fn trouble(&self, what: &'static str, trouble: Option<String>) {
        self.0.connection.set(what, trouble);
    }
}

#[cfg(test)]
mod tests;

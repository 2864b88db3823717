//! Reads one kind of object from one watch until the end of the process.
//!
//! Objects come as they are stored, without being decoded: one that makes no sense stops no other ([`config::cluster`]
//! judges it). Those that are copies of static files are left out.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use config::cluster::Kind;
use config::types::{L3Passthrough, Underlay};
use futures::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource, ResourceExt};
use tokio::time::{Instant, sleep_until};

use super::connection::watch_words;
use super::gone::{self, Fate};
use super::index::{Entry, Key, Standing};
use super::patience::{Patience, answered};
use super::{Shared, mirror};
use crate::apiserver::ApiServer;

/// Objects of a list that are in memory at a time.
const PAGE: u32 = 100;
/// Longest wait after an error.
const LONGEST: Duration = Duration::from_secs(10);

/// What is watched of a kind.
struct Watched {
    kind: Kind,
    /// As events and the status call it.
    title: &'static str,
    /// The definition's name.
    definition: &'static str,
    resource: ApiResource,
}

impl Watched {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Underlay => Self {
                kind,
                title: "Underlays",
                definition: "underlays.network.openperouter.io",
                resource: ApiResource::erase::<Underlay>(&()),
            },
            Kind::L3Passthrough => Self {
                kind,
                title: "L3Passthroughs",
                definition: "l3passthroughs.network.openperouter.io",
                resource: ApiResource::erase::<L3Passthrough>(&()),
            },
        }
    }
}

/// Follows a kind.
pub(super) async fn follow(shared: Arc<Shared>, server: ApiServer, kind: Kind) {
    let watched = Watched::of(kind);
    let api: Api<DynamicObject> = Api::all_with(server.client.clone(), &watched.resource);
    let config = watcher::Config::default().labels(mirror::NOT_MIRRORED).page_size(PAGE);
    let mut events = pin!(watcher(api, config));
    let mut follower = Follower {
        shared,
        client: server.client,
        watched,
        epoch: None,
        listed: BTreeSet::new(),
        doubtful: BTreeSet::new(),
        doubts: Patience::of(LONGEST),
        again: Instant::now(),
    };
    let mut patience = Patience::of(LONGEST);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => {
                    if answered(&event) {
                        patience.reset();
                        follower.shared.connection.set(follower.watched.title, None);
                    }
                    follower.event(event).await;
                }
                Some(Err(error)) => {
                    follower.shared.connection.set(follower.watched.title, Some(watch_words(&error)));
                    patience.wait().await;
                }
                None => return,
            },
            () = sleep_until(follower.again), if !follower.doubtful.is_empty() => follower.settle().await,
        }
    }
}

struct Follower {
    shared: Arc<Shared>,
    client: Client,
    watched: Watched,
    /// Identity of the definition; `None` when it is not known.
    epoch: Option<String>,
    /// Seen since the beginning of the list that is being read.
    listed: BTreeSet<Key>,
    /// Not seen any more, and nobody said what became of them.
    doubtful: BTreeSet<Key>,
    doubts: Patience,
    /// When to ask about them again.
    again: Instant,
}

impl Follower {
    async fn event(&mut self, event: Event<DynamicObject>) {
        match event {
            Event::Init => {
                self.listed.clear();
                // On an error objects are taken for as old as they were.
                if let Ok(definition) = gone::definition(&self.client, self.watched.definition).await {
                    self.epoch = definition.map(|definition| definition.uid);
                }
            }
            Event::InitApply(object) => {
                self.listed.insert(key(&object));
                self.seen(object);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                self.doubtful.extend(self.shared.index().beside(self.watched.kind, &listed));
                self.settle().await;
                self.shared.has_listed(self.watched.title);
            }
            Event::Apply(object) => self.seen(object),
            Event::Delete(object) => {
                self.doubtful.insert(key(&object));
                self.settle().await;
            }
        }
    }

    /// An object is there.
    fn seen(&mut self, object: DynamicObject) {
        let key = key(&object);
        self.doubtful.remove(&key);
        let entry = entry(&object, self.epoch.clone());
        self.shared.change(|index| index.apply(self.watched.kind, key, entry));
    }

    /// Finds out what became of those in doubt, of some perhaps later.
    async fn settle(&mut self) {
        for key in self.doubtful.clone() {
            let before = self.shared.index().get(self.watched.kind, &key).cloned();
            let Watched { kind, definition, resource, .. } = &self.watched;
            let kind = *kind;
            match gone::ask(&self.client, resource, definition, &key, before.as_ref()).await {
                Fate::Here(object) if !mirror::is_mirrored(&object) => self.seen(*object),
                Fate::Here(_) | Fate::Deleted => self.shared.change(|index| index.delete(kind, &key)),
                Fate::Lost => {
                    tracing::warn!(kind = kind.name(), name = key.name, "went without being deleted");
                    self.shared.change(|index| index.orphan(kind, &key));
                }
                Fate::Unknown(why) => {
                    tracing::debug!(kind = kind.name(), name = key.name, why, "not seen any more");
                    continue;
                }
            }
            self.doubtful.remove(&key);
        }
        match self.doubtful.is_empty() {
            true => self.doubts.reset(),
            false => self.again = Instant::now() + self.doubts.lost(),
        }
    }
}

fn key(object: &DynamicObject) -> Key {
    Key { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

fn entry(object: &DynamicObject, epoch: Option<String>) -> Entry {
    let created = object.meta().creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
    Entry {
        uid: object.uid().unwrap_or_default(),
        generation: object.meta().generation.unwrap_or_default(),
        created,
        spec: object.data.get("spec").map(ToString::to_string).unwrap_or_else(|| "null".to_owned()).into_boxed_str(),
        epoch,
        standing: Standing::Live,
    }
}

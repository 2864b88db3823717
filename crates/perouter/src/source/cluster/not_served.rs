//! Counts the objects of upstream's kinds that are not served, where these kinds exist. They are left alone; the status
//! says that they have no effect.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use config::files::NOT_SERVED;
use futures::StreamExt;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::task::JoinSet;

use super::patience::{Patience, answered};
use super::{Shared, mirror};
use crate::apiserver::ApiServer;

/// Longest wait after an error: the kinds usually do not exist.
const LONGEST: Duration = Duration::from_secs(300);

/// Counts all of them.
pub(super) async fn follow(shared: Arc<Shared>, server: ApiServer) {
    let mut tasks = JoinSet::new();
    for (plural, kind) in NOT_SERVED {
        tasks.spawn(count(shared.clone(), server.clone(), kind, plural));
    }
    while tasks.join_next().await.is_some() {}
}

async fn count(shared: Arc<Shared>, server: ApiServer, kind: &'static str, plural: &'static str) {
    let gvk = GroupVersionKind::gvk("network.openperouter.io", "v1alpha1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(server.client, &resource);
    let config = watcher::Config::default().labels(mirror::NOT_MIRRORED).page_size(500);
    let mut events = pin!(watcher(api, config));
    let mut patience = Patience::of(LONGEST);
    let mut there = BTreeSet::new();
    let key = |object: &PartialObjectMeta<DynamicObject>| (object.namespace(), object.name_any());
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if answered(&event) {
                    patience.reset();
                }
                match event {
                    Event::Init => there.clear(),
                    Event::InitApply(object) => drop(there.insert(key(&object))),
                    Event::Apply(object) => drop(there.insert(key(&object))),
                    Event::Delete(object) => drop(there.remove(&key(&object))),
                    Event::InitDone => {}
                }
                shared.change(|index| {
                    index.set_not_served(kind, there.len());
                    // Nothing that the router is made of.
                    false
                });
            }
            Err(_) => patience.wait().await,
        }
    }
}

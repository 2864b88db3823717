//! Static files shown in the cluster: a read-only object for each of theirs, with upstream's names and labels, so that
//! `kubectl get` lists them and the webhook sees what else would clash with them.
//!
//! Owns: the objects that carry our node's label, and no others. Made anew when somebody deletes them, put right when
//! somebody edits them, removed when their file is. They are never read as configuration: the files are.
//!
//! Keys are not shown: an object of a cluster is readable by more people than a file of root.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use config::cluster::Kind;
use config::files::{Object, Objects};
use config::types::{L3Passthrough, Underlay};
use futures::StreamExt;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::Shared;
use super::connection::words;
use super::patience::Patience;
use crate::apiserver::ApiServer;

/// Says that an object is a copy of a static one.
const SOURCE: &str = "openperouter.github.io/source";
/// Says of which node.
const NODE: &str = "openperouter.github.io/static-node";
/// Selects everything else.
pub(super) const NOT_MIRRORED: &str = "openperouter.github.io/source!=static";
const TITLE: &str = "copies of static files";
/// Shortest time between two rounds.
const PACE: Duration = Duration::from_secs(1);
/// Longest wait after an error.
const LONGEST: Duration = Duration::from_secs(30);

/// Whether an object is a copy.
pub(super) fn is_mirrored(object: &DynamicObject) -> bool {
    object.labels().get(SOURCE).is_some_and(|source| source == "static")
}

/// What is to be shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Mirrored {
    /// There is a place for static files: only then are copies looked for at all.
    active: bool,
    objects: Vec<(Kind, String, Json)>,
}

impl Mirrored {
    /// Those of `objects` that stand in files.
    pub(super) fn of(objects: &Objects, node: &str, active: bool) -> Self {
        let underlays = objects.underlays.iter().filter_map(|object| copy(Kind::Underlay, object, node));
        let passthroughs = objects.passthroughs.iter().filter_map(|object| copy(Kind::L3Passthrough, object, node));
        let objects: Vec<_> = underlays.chain(passthroughs).collect();
        Self { active: active || !objects.is_empty(), objects }
    }
}

fn copy<T: Serialize>(kind: Kind, object: &Object<T>, node: &str) -> Option<(Kind, String, Json)> {
    if !object.reference.is_static() {
        return None;
    }
    let mut spec = serde_json::to_value(&object.spec).ok()?;
    spec["nodeSelector"] = json!({ "matchLabels": { "kubernetes.io/hostname": node } });
    let neighbors = spec.get_mut("neighbors").and_then(Json::as_array_mut);
    neighbors.into_iter().flatten().for_each(hide);
    spec.get_mut("hostSession").into_iter().for_each(hide);
    let name = &object.reference.name;
    let prefix = format!("static-{node}-");
    let name = if name.starts_with(&prefix) { name.clone() } else { format!("{prefix}{name}") };
    Some((kind, name.to_lowercase(), spec))
}

fn hide(session: &mut Json) {
    if let Some(fields) = session.as_object_mut() {
        fields.remove("password");
    }
}

/// Keeps the copies as they should be.
pub(super) async fn keep(shared: Arc<Shared>, server: ApiServer) {
    let mut wanted = shared.mirrored.subscribe();
    if wanted.wait_for(|mirrored| mirrored.active).await.is_err() {
        return;
    }
    let watch = |kind| {
        let api: Api<PartialObjectMeta<DynamicObject>> =
            Api::namespaced_with(server.client.clone(), &server.namespace, &resource(kind));
        watcher(api, watcher::Config::default().labels(&format!("{NODE}={}", shared.name)))
    };
    let mut events = pin!(futures::stream::select(watch(Kind::Underlay), watch(Kind::L3Passthrough)));
    let mut patience = Patience::of(LONGEST);
    loop {
        let mirrored = wanted.borrow_and_update().clone();
        match round(&server, &shared.name, &mirrored).await {
            Ok(()) => {
                shared.connection.set(TITLE, None);
                patience.reset();
                tokio::time::sleep(PACE).await;
            }
            Err(error) => {
                shared.connection.set(TITLE, Some(words(&error)));
                patience.wait().await;
                continue;
            }
        }
        // Whatever happened to one of them: a round that finds everything in its place changes nothing.
        loop {
            tokio::select! {
                changed = wanted.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                event = events.next() => match event {
                    Some(Ok(Event::Apply(_) | Event::Delete(_) | Event::InitDone)) => break,
                    Some(Ok(Event::Init | Event::InitApply(_))) => {}
                    Some(Err(_)) => patience.wait().await,
                    None => return,
                },
            }
        }
    }
}

fn resource(kind: Kind) -> ApiResource {
    match kind {
        Kind::Underlay => ApiResource::erase::<Underlay>(&()),
        Kind::L3Passthrough => ApiResource::erase::<L3Passthrough>(&()),
    }
}

/// Applies what is wanted and deletes the rest.
async fn round(server: &ApiServer, node: &str, mirrored: &Mirrored) -> Result<(), kube::Error> {
    for kind in Kind::ALL {
        let resource = resource(kind);
        let api: Api<DynamicObject> = Api::namespaced_with(server.client.clone(), &server.namespace, &resource);
        let mine: Vec<_> = mirrored.objects.iter().filter(|(of, _, _)| *of == kind).collect();
        for (_, name, spec) in &mine {
            let object = json!({
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "metadata": { "name": name, "labels": { SOURCE: "static", NODE: node } },
                "spec": spec,
            });
            api.patch(name, &PatchParams::apply(&format!("perouter-{node}")).force(), &Patch::Apply(object)).await?;
        }
        let names: BTreeSet<_> = mine.iter().map(|(_, name, _)| name.as_str()).collect();
        let there = api.list_metadata(&ListParams::default().labels(&format!("{NODE}={node}"))).await?;
        for stale in there.items.iter().filter(|object| !names.contains(object.name_any().as_str())) {
            match api.delete(&stale.name_any(), &DeleteParams::default()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use config::node::Node;

    use super::*;

    const TEXT: &str = "\
underlays:
  - asn: 64514
    interfaces: [{type: NetworkDevice, networkDevice: {interfaceName: eth1}}]
    neighbors: [{asn: 64512, address: 192.168.11.2, password: s3cret}]
bgppassthrough:
  hostSession: {asn: 64514, hostASN: 64517, localCIDR: {ipv4: 192.169.100.0/24}}
---
apiVersion: network.openperouter.io/v1alpha1
kind: Underlay
metadata: {name: Fabric}
spec:
  asn: 64514
  interfaces: [{type: NetworkDevice, networkDevice: {interfaceName: eth1}}]
  neighbors: [{asn: 64512, address: 192.168.11.2}]
";

    #[test]
    fn copies_have_upstreams_names_select_only_their_node_and_hold_no_keys() {
        let objects = config::files::parse(Path::new("openpe_a.yaml"), TEXT, &Node::new("worker-1", 0)).objects;
        let mirrored = Mirrored::of(&objects, "worker-1", false);
        let names: Vec<_> = mirrored.objects.iter().map(|(_, name, _)| name.as_str()).collect();
        assert_eq!(names, ["static-worker-1-underlay-0", "static-worker-1-fabric", "static-worker-1-l3passthrough"]);
        for (_, name, spec) in &mirrored.objects {
            assert_eq!(spec["nodeSelector"]["matchLabels"]["kubernetes.io/hostname"], "worker-1", "{name}");
            assert!(!spec.to_string().contains("s3cret"), "{spec}");
        }
        assert!(mirrored.active && !Mirrored::of(&Objects::default(), "worker-1", false).active);
    }
}

//! Our own Node: its labels, which objects select it by, and its index.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use config::node::{Node, Written};
use futures::StreamExt;
use k8s_openapi::api::core::v1;
use kube::ResourceExt;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};

use super::connection::watch_words;
use super::index::{INDEX, NodeFacts};
use super::patience::{Patience, answered};
use super::{ESSENTIAL, Shared};
use crate::apiserver::ApiServer;

const TITLE: &str = ESSENTIAL[2];
/// Longest wait after an error.
const LONGEST: Duration = Duration::from_secs(10);

/// Follows the node. One that is not there any more stays as it was: the router is on it nevertheless.
pub(super) async fn follow(shared: Arc<Shared>, server: ApiServer) {
    let api: Api<PartialObjectMeta<v1::Node>> = Api::all(server.client);
    let only_ours = watcher::Config::default().fields(&format!("metadata.name={}", shared.name));
    let mut events = pin!(watcher(api, only_ours));
    let mut patience = Patience::of(LONGEST);
    let mut found = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if answered(&event) {
                    patience.reset();
                }
                let trouble = match event {
                    Event::Init => {
                        found = false;
                        continue;
                    }
                    Event::InitApply(node) | Event::Apply(node) => {
                        found = true;
                        let facts = facts(&shared.name, &node);
                        shared.change(|index| index.set_node(facts));
                        None
                    }
                    Event::InitDone => {
                        shared.has_listed(TITLE);
                        (!found).then(|| format!("there is no Node \"{}\"", shared.name))
                    }
                    Event::Delete(_) => Some(format!("there is no Node \"{}\" any more", shared.name)),
                };
                shared.connection.set(TITLE, trouble);
            }
            Err(error) => {
                shared.connection.set(TITLE, Some(watch_words(&error)));
                patience.wait().await;
            }
        }
    }
}

fn facts(name: &str, node: &PartialObjectMeta<v1::Node>) -> NodeFacts {
    let index = index(name, node.metadata.annotations.as_ref());
    NodeFacts {
        uid: node.uid().unwrap_or_default(),
        labels: node.labels().clone(),
        trouble: index.as_ref().err().cloned(),
        index: index.ok(),
    }
}

/// The index, in upstream's words where there is none.
fn index(name: &str, annotations: Option<&BTreeMap<String, String>>) -> Result<u32, String> {
    let annotations = annotations.ok_or_else(|| format!("node {name} has no annotations"))?;
    let text = annotations.get(INDEX).ok_or_else(|| format!("node {name} has no index annotation"))?;
    text.parse().map_err(|_| format!("failed to parse index {text}"))
}

/// What the file and the API server say together. The file has the last word on the index: it is the owner's. `Err` when
/// nobody says it.
pub(super) fn merged(name: &str, written: &Written, facts: Option<&NodeFacts>) -> (Node, Result<(), String>) {
    let index = written.index.or_else(|| facts?.index);
    let mut node = Node::new(name, index.unwrap_or_default());
    node.log_level.clone_from(&written.log_level);
    node.http.clone_from(&written.http);
    if let Some(facts) = facts.filter(|facts| !facts.labels.is_empty()) {
        node.labels.clone_from(&facts.labels);
    }
    let known = match (index, facts.and_then(|facts| facts.trouble.as_ref())) {
        (Some(_), _) => Ok(()),
        (None, Some(trouble)) => Err(format!("{trouble} ({INDEX}): `perouter cluster` gives it one")),
        (None, None) => Err(format!("the index of node {name} is not known yet")),
    };
    (node, known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(INDEX.to_owned(), value.to_owned())])
    }

    #[test]
    fn an_index_is_a_number_in_the_annotation_and_anything_else_is_said_as_upstream_does() {
        assert_eq!(index("n", Some(&annotated("7"))), Ok(7));
        assert_eq!(index("n", None), Err("node n has no annotations".into()));
        assert_eq!(index("n", Some(&BTreeMap::new())), Err("node n has no index annotation".into()));
        for wrong in ["-1", "foo", "", "4294967296"] {
            assert_eq!(index("n", Some(&annotated(wrong))), Err(format!("failed to parse index {wrong}")));
        }
    }

    #[test]
    fn the_file_has_the_last_word_on_the_index_and_the_cluster_on_the_labels() {
        let labels = BTreeMap::from([("rack".to_owned(), "1".to_owned())]);
        let facts = NodeFacts { uid: "u".into(), labels: labels.clone(), index: Some(3), trouble: None };
        let (node, known) = merged("n", &Written::default(), Some(&facts));
        assert_eq!((node.index, node.labels, known), (3, labels, Ok(())));
        let (node, known) = merged("n", &Written { index: Some(9), ..Written::default() }, Some(&facts));
        assert_eq!((node.index, known), (9, Ok(())));
        let (node, known) = merged("n", &Written { index: Some(9), ..Written::default() }, None);
        assert_eq!((node.labels["kubernetes.io/hostname"].as_str(), known), ("n", Ok(())));
    }

    #[test]
    fn without_an_index_there_is_no_router_and_a_sentence() {
        let facts = NodeFacts { trouble: Some("node n has no index annotation".into()), ..NodeFacts::default() };
        let (_, known) = merged("n", &Written::default(), Some(&facts));
        assert!(known.expect_err("no index").starts_with("node n has no index annotation (openpe.io/nodeindex)"));
        let (_, known) = merged("n", &Written::default(), None);
        assert!(known.expect_err("nobody knows").contains("not known yet"));
    }
}

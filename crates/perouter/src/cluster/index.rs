//! Every Node's index: the annotation that the addresses of a node follow from.
//!
//! The lowest free number, and it stays. Of two nodes with the same one the older keeps it; what is no number is replaced.
//! A write names the version of the Node that was looked at, so that nothing is overwritten that was not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::nodes::{Nodes, Seen};

/// Upstream's name of the annotation.
pub(super) const ANNOTATION: &str = "openpe.io/nodeindex";
/// Wait after a write that failed.
const AGAIN: Duration = Duration::from_secs(2);

/// Gives every node its index, for ever.
pub(super) async fn keep(client: Client, mut nodes: Nodes) {
    let api: Api<Node> = Api::all(client);
    // What was written and is not seen yet: by node, the number.
    let mut written: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let mut failed = false;
        if nodes.known() {
            let mut all = nodes.all();
            written.retain(|name, index| all.get(name).is_some_and(|seen| seen.index.as_ref() != Some(index)));
            for (name, index) in &written {
                if let Some(seen) = all.get_mut(name) {
                    seen.index = Some(index.clone());
                }
            }
            for (name, index) in due(&all) {
                let version = all.get(&name).and_then(|seen| seen.version.clone());
                match write(&api, &name, index, version).await {
                    Ok(()) => drop(written.insert(name, index.to_string())),
                    Err(error) => {
                        failed = true;
                        // What stood there may have been replaced meanwhile: the next look decides.
                        written.remove(&name);
                        tracing::warn!(node = %name, %error, "cannot write the node's index; trying again");
                    }
                }
            }
        }
        tokio::select! {
            () = nodes.changed() => {}
            () = tokio::time::sleep(AGAIN), if failed => {}
        }
    }
}

async fn write(api: &Api<Node>, name: &str, index: u32, version: Option<String>) -> kube::Result<()> {
    let patch = json!({ "metadata": { "resourceVersion": version, "annotations": { ANNOTATION: index.to_string() } } });
    match api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => {
            tracing::info!(node = name, index, "gave the node its index");
            Ok(())
        }
        // It has changed, or is gone; the watch says which.
        Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => {
            tracing::debug!(node = name, "the node has changed meanwhile");
            Err(kube::Error::Api(status))
        }
        Err(error) => Err(error),
    }
}

/// Who needs which index, the oldest node first.
fn due(nodes: &BTreeMap<String, Seen>) -> Vec<(String, u32)> {
    let mut by_age: Vec<_> = nodes.iter().collect();
    by_age.sort_by_key(|(name, seen)| (seen.created, (*name).clone()));
    let listed: Vec<_> = by_age.iter().map(|(name, seen)| (name.as_str(), seen.index.as_deref())).collect();
    assign(&listed)
}

/// Gives the lowest free numbers to those that have none, an unusable one or one that an earlier one has too.
fn assign(nodes: &[(&str, Option<&str>)]) -> Vec<(String, u32)> {
    let mut taken = BTreeSet::new();
    let keeps = |index: &Option<&str>, taken: &mut BTreeSet<u32>| {
        index.and_then(|index| index.parse().ok()).is_some_and(|index| taken.insert(index))
    };
    let without: Vec<&str> =
        nodes.iter().filter(|(_, index)| !keeps(index, &mut taken)).map(|(name, _)| *name).collect();
    let mut free = (0..).filter(|index| !taken.contains(index));
    without.into_iter().zip(&mut free).map(|(name, index)| (name.to_owned(), index)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Indices after [`assign`], in order.
    fn settled(before: &[&str]) -> Vec<String> {
        let names: Vec<String> = (0..before.len()).map(|number| format!("n{number}")).collect();
        let nodes: Vec<_> =
            names.iter().zip(before).map(|(n, i)| (n.as_str(), Some(*i).filter(|i| !i.is_empty()))).collect();
        let given: BTreeMap<_, _> = assign(&nodes).into_iter().collect();
        let after = nodes.iter().map(|(name, index)| match given.get(*name) {
            Some(index) => index.to_string(),
            None => index.unwrap_or("none").to_owned(),
        });
        after.collect()
    }

    #[test]
    fn the_lowest_free_number_is_given_and_what_was_given_stays() {
        for (before, after) in [
            (vec!["0", "1", ""], vec!["0", "1", "2"]),
            (vec!["", ""], vec!["0", "1"]),
            (vec!["2", "0", ""], vec!["2", "0", "1"]),
            (vec!["2", "5", "foo", "7", ""], vec!["2", "5", "0", "7", "1"]),
            (vec!["", "", "0", "1"], vec!["2", "3", "0", "1"]),
            (vec!["", "", "1", "1"], vec!["0", "2", "1", "3"]),
            (vec!["-1", "4294967296"], vec!["0", "1"]),
            (vec![], vec![]),
        ] {
            assert_eq!(settled(&before), after, "{before:?}");
            let again: Vec<&str> = after.clone();
            assert_eq!(settled(&again), after, "nothing is due twice");
        }
    }

    #[test]
    fn of_two_with_the_same_number_the_older_keeps_it_whatever_their_names() {
        let seen = |age: i64, index: &str| Seen {
            created: Some(k8s_openapi::jiff::Timestamp::from_second(age).unwrap()),
            version: None,
            labels: BTreeMap::new(),
            index: Some(index.to_owned()),
        };
        let nodes = BTreeMap::from([("a".to_owned(), seen(20, "0")), ("b".to_owned(), seen(10, "0"))]);
        assert_eq!(due(&nodes), [("a".to_owned(), 1)]);
    }
}

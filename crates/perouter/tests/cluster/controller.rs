//! Indices and leadership, on an API server without other controllers.

use std::collections::BTreeMap;

use rustix::process::Signal;
use serde_json::{Value as Json, json};
use testbed::kube::{Kube, Mode};

use crate::support::{NAMESPACE, Replica, apply, get, namespace, wait_until};

const INDEX: &str = "openpe.io/nodeindex";

fn node(name: &str, index: Option<&str>) -> Json {
    let annotations = index.map(|index| json!({ INDEX: index }));
    json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "annotations": annotations } })
}

fn indices(kube: &Kube) -> Result<BTreeMap<String, String>, String> {
    let nodes = get(kube, &["nodes"])?;
    let one = |node: &Json| {
        let index = node["metadata"]["annotations"][INDEX].as_str().unwrap_or("none");
        (node["metadata"]["name"].as_str().unwrap_or_default().to_owned(), index.to_owned())
    };
    Ok(nodes["items"].as_array().into_iter().flatten().map(one).collect())
}

fn until_indices(kube: &Kube, wanted: &[(&str, &str)]) {
    let wanted: BTreeMap<_, _> = wanted.iter().map(|(name, index)| ((*name).to_owned(), (*index).to_owned())).collect();
    wait_until("every node has its index", || {
        let seen = indices(kube)?;
        if seen == wanted { Ok(()) } else { Err(format!("{seen:?}")) }
    });
}

fn leader(kube: &Kube) -> Result<String, String> {
    let lease = get(kube, &["lease", "-n", NAMESPACE, "perouter-cluster"])?;
    Ok(lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
}

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn every_node_gets_the_lowest_free_index_and_the_next_leader_goes_on() {
    // One of its own: its Nodes are this test's.
    let kube = Kube::start(Mode::Api).unwrap();
    apply(&kube, &[namespace(), node("a", Some("2")), node("b", Some("foo")), node("c", Some("0")), node("d", None)]);
    let start = |name: &str| Replica::launch(&kube, name, &kube.kubeconfig(), &["--webhook-mode", "disabled"]);
    let mut replicas = BTreeMap::from([("one".to_owned(), start("one")), ("two".to_owned(), start("two"))]);
    until_indices(&kube, &[("a", "2"), ("b", "1"), ("c", "0"), ("d", "3")]);

    // A duplicate, a value that is no number, a node that goes and one that comes.
    kube.ask(&["annotate", "--overwrite", "node/d", &format!("{INDEX}=0")]).unwrap();
    kube.ask(&["annotate", "--overwrite", "node/a", &format!("{INDEX}=-5")]).unwrap();
    until_indices(&kube, &[("a", "2"), ("b", "1"), ("c", "0"), ("d", "3")]);
    kube.ask(&["delete", "node", "b", "--wait=false"]).unwrap();
    apply(&kube, &[node("e", None)]);
    until_indices(&kube, &[("a", "2"), ("c", "0"), ("d", "3"), ("e", "1")]);

    // The leader ends in order, and the other one leads at once; then it is killed, and a third one takes over.
    let first = leader(&kube).unwrap();
    replicas.remove(&first).unwrap_or_else(|| panic!("{first} is none of ours")).stop();
    apply(&kube, &[node("f", None)]);
    until_indices(&kube, &[("a", "2"), ("c", "0"), ("d", "3"), ("e", "1"), ("f", "4")]);
    let second = leader(&kube).unwrap();
    assert_ne!(first, second);
    let _third = start("three");
    replicas.remove(&second).unwrap().signal(Signal::KILL);
    apply(&kube, &[node("g", None)]);
    until_indices(&kube, &[("a", "2"), ("c", "0"), ("d", "3"), ("e", "1"), ("f", "4"), ("g", "5")]);
    assert_eq!(leader(&kube).unwrap(), "three");
}

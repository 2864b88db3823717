//! What thousands of objects and hundreds of nodes cost an agent that they are not for.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::json;

use crate::agent::{Agent, lab, node, passthrough, underlay};
use crate::cluster::{Cluster, condition, resource};

const OBJECTS: usize = 2000;
const NODES: usize = 500;

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn two_thousand_objects_and_five_hundred_nodes_leave_an_agent_small_and_idle() {
    let (cluster, lab) = (Cluster::own(), lab());
    let node = node(&lab);
    cluster.node("scaled", Some(0), &[]);
    let mut agent = Agent::start(&node, "scaled", &cluster);
    cluster.apply("Underlay", "ours", &underlay("scaled")).unwrap();
    let generation = cluster.apply("L3Passthrough", "ours", &passthrough("scaled")).unwrap().metadata.generation;
    let ours = |status: &serde_json::Value| {
        let found = resource(status, "L3Passthrough", "ours");
        found["applied"] == true && found["observedGeneration"] == json!(generation)
    };
    cluster.status("scaled", "ours is applied", ours);
    // Its own: the pages of its program come and go.
    let before = agent.memory("RssAnon");

    let begin = (Instant::now(), agent.cpu_ms());
    cluster.wait(fill(&cluster)).unwrap();
    // Its own watch is through with all of them when it sees what came last.
    cluster.apply("Underlay", "last", &json_with(underlay("scaled"), "asn", json!(64999))).unwrap();
    cluster.status("scaled", "the last one is seen", |status| resource(status, "Underlay", "last")["applied"] == false);
    let (took, cpu) = (begin.0.elapsed(), agent.cpu_ms() - begin.1);
    let filled = agent.memory("RssAnon");
    println!("measured: {before} KB with two objects, {filled} KB with {OBJECTS} and {NODES} nodes");
    println!("measured: {cpu} ms of CPU for {OBJECTS} objects in {:.1} s", took.as_secs_f64());

    // A start among all of them reads and forgets what is not its own.
    agent.stop();
    agent.pid = agent.run();
    cluster.status("scaled", "it is back", |status| condition(status, "Ready").0 == "False" && ours(status));
    cluster.eventually("its watches have listed everything", || {
        let said = node.ask(&["status"]).map_err(|error| error.to_string())?.stdout;
        if said.contains("ours") { Ok(()) } else { Err(said) }
    });
    let idle = agent.cpu_ms();
    let quiet = Duration::from_secs(10);
    std::thread::sleep(quiet); // what is measured is a time in which nothing happens
    let (rss, peak, used) = (agent.memory("RssAnon"), agent.memory("VmHWM"), agent.cpu_ms() - idle);
    println!(
        "measured: {rss} KB (peak {peak} KB) after a start among them, {used} ms of CPU in {} s of quiet",
        quiet.as_secs()
    );
    // A few KB for each object of others at most, whatever a build without optimisation takes by itself.
    assert!(rss < before + 16 * 1024, "{rss} KB, after {before} KB with two objects");
}

fn json_with(mut spec: serde_json::Value, field: &str, value: serde_json::Value) -> serde_json::Value {
    spec[field] = value;
    spec
}

/// Makes objects for other nodes, and these nodes, several at a time.
async fn fill(cluster: &Cluster) -> Result<(), kube::Error> {
    let nodes: Api<KubeNode> = Api::all(cluster.client.clone());
    let post = PostParams::default();
    let node = |number: usize| {
        let labels =
            json!({ "kubernetes.io/hostname": format!("other-{number}"), "rack": format!("rack-{}", number % 20) });
        let node = json!({ "metadata": { "name": format!("other-{number}"), "labels": labels } });
        let node: KubeNode = serde_json::from_value(node).expect("a Node");
        let (nodes, post) = (nodes.clone(), post.clone());
        async move { nodes.create(&post, &node).await.map(drop) }
    };
    futures::stream::iter((0..NODES).map(node)).buffer_unordered(16).try_collect::<()>().await?;
    let object = |number: usize| {
        let name = format!("other-{number}");
        let (kind, spec) = match number % 2 {
            0 => ("Underlay", underlay(&name)),
            _ => ("L3Passthrough", passthrough(&name)),
        };
        let (api, post) = (cluster.objects(kind), post.clone());
        let object = json!({ "apiVersion": "network.openperouter.io/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec });
        let object: DynamicObject = serde_json::from_value(object).expect("an object");
        async move { api.create(&post, &object).await.map(drop) }
    };
    futures::stream::iter((0..OBJECTS).map(object)).buffer_unordered(16).try_collect::<()>().await
}

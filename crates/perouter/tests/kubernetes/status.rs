//! The status of a node: whose it is, that it comes back, and that nobody else's writing stays in it.

use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Node as KubeNode, Secret};
use kube::api::{Api, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;
use testbed::Node;

use crate::agent::{Agent, lab, node, passthrough, underlay};
use crate::cluster::{Cluster, NAMESPACE, as_user, condition, resource};

const KIND: &str = "RouterNodeConfigurationStatus";

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn case_157_one_status_per_node_owned_by_it_and_made_anew_when_it_is_deleted() {
    let (cluster, lab) = (Cluster::shared(), lab());
    let node = node(&lab);
    cluster.node("owned", Some(0), &[]);
    let _agent = Agent::start(&node, "owned", &cluster);
    let ready =
        |status: &serde_json::Value| condition(status, "Ready") == ("True".into(), "ConfigurationSuccessful".into());
    let status = cluster.status("owned", "Ready without any object", ready);
    assert_eq!(condition(&status, "Degraded"), ("False".into(), "ConfigurationSuccessful".into()));
    assert_eq!(status["router"]["nodeIndex"], 0);

    let nodes: Api<KubeNode> = Api::all(cluster.client.clone());
    let uid = cluster.wait(nodes.get("owned")).unwrap().metadata.uid.unwrap();
    let made = cluster.wait(cluster.objects(KIND).get("owned")).unwrap();
    let owner = &made.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.name.as_str(), &owner.uid), ("Node", "owned", &uid));

    cluster.delete(KIND, "owned");
    cluster.eventually("it is there again", || {
        let again = cluster.wait(cluster.objects(KIND).get("owned"))?;
        if again.metadata.uid != made.metadata.uid { Ok(()) } else { Err("the old one".into()) }
    });
    cluster.status("owned", "with everything in it", ready);

    // Somebody writes into it, with force: it is put right.
    let edit = json!({ "status": { "conditions": [{ "type": "Ready", "status": "Unknown", "reason": "Edited",
        "message": "by hand", "lastTransitionTime": "2026-01-01T00:00:00Z" }], "links": [] } });
    let merge = PatchParams { field_manager: Some("somebody".into()), ..PatchParams::default() };
    cluster.wait(cluster.objects(KIND).patch_status("owned", &merge, &Patch::Merge(edit))).unwrap();
    cluster.status("owned", "put right", ready);
}

/// Two looks at nothing new write once (upstream's issue: 85 patches in 30 s).
#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn case_133_what_has_not_changed_is_not_written_again() {
    let (cluster, lab) = (Cluster::shared(), lab());
    let node = Node::build(&lab, 0).unwrap();
    cluster.node("quiet", Some(0), &[]);
    let _agent = Agent::start(&node, "quiet", &cluster);
    cluster.apply("Underlay", "quiet", &underlay("quiet")).unwrap();
    // The NIC does not exist: the router tries again and again, and the status says so once.
    cluster.status("quiet", "the Underlay is applied", |status| {
        resource(status, "Underlay", "quiet")["applied"] == true && condition(status, "Ready").0 == "False"
    });
    let object = cluster.wait(cluster.objects(KIND).get("quiet")).unwrap();
    // Labels that select nothing: the agent looks again at all of them, and nothing is different.
    for turn in 0..20 {
        cluster.node("quiet", Some(0), &[("turn", &turn.to_string())]);
    }
    let generation = cluster.apply("L3Passthrough", "quiet", &passthrough("quiet")).unwrap().metadata.generation;
    cluster.status("quiet", "a real change is written", |status| {
        let found = resource(status, "L3Passthrough", "quiet");
        found["observedGeneration"] == json!(generation)
            && found["reason"].is_string() != found["applied"].as_bool().unwrap()
    });
    let written = versions(&cluster, &object.metadata.resource_version.unwrap());
    assert!(written <= 6, "{written} writes");
    cluster.delete("L3Passthrough", "quiet");
    cluster.delete("Underlay", "quiet");
}

/// How often the object was written after this version of it. That a slow reading is told, and then its end, does not count.
fn versions(cluster: &Cluster, after: &str) -> usize {
    let params = WatchParams::default().fields("metadata.name=quiet").timeout(1);
    let api = cluster.objects(KIND);
    cluster.runtime.block_on(async {
        let events = api.watch(&params, after).await.unwrap();
        let all: Vec<_> = events.collect().await;
        let weigh = |event: &_| match event {
            Ok(WatchEvent::Modified(object)) if applying(object) => -1,
            Ok(WatchEvent::Modified(_)) => 1,
            _ => 0,
        };
        usize::try_from(all.iter().map(weigh).sum::<isize>()).unwrap_or_default()
    })
}

fn applying(object: &kube::api::DynamicObject) -> bool {
    object.data["status"]["resources"].as_array().into_iter().flatten().any(|found| found["reason"] == "Applying")
}

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn a_session_gets_its_key_from_a_secret_and_keeps_it_when_the_secret_goes() {
    let (cluster, lab) = (Cluster::shared(), lab());
    let node = node(&lab);
    cluster.node("keyed", Some(0), &[]);
    let agent = Agent::start(&node, "keyed", &cluster);
    let mut spec = underlay("keyed");
    spec["neighbors"][0]["passwordSecret"] = json!("keyed-fabric");
    cluster.apply("Underlay", "keyed", &spec).unwrap();
    let status = cluster.status("keyed", "the key is missed", |status| {
        condition(status, "Ready").0 == "False"
            && status["problems"].to_string().contains("keyed-fabric")
            // The rest of the object is in force.
            && resource(status, "Underlay", "keyed")["applied"] == true
    });
    assert!(status["sessions"].as_array().unwrap().is_empty(), "no session without its key: {status:#}");

    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let secret = |key: &str| {
        let data = json!({ "password": ByteString(key.as_bytes().to_vec()) });
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "keyed-fabric" }, "data": data })
    };
    cluster.wait(secrets.patch("keyed-fabric", &as_user(), &Patch::Apply(secret("one")))).unwrap();
    cluster.status("keyed", "the session is there", |status| {
        status["sessions"].as_array().is_some_and(|all| all.len() == 1)
    });
    cluster.wait(secrets.patch("keyed-fabric", &as_user(), &Patch::Apply(secret("two")))).unwrap();
    cluster.eventually("the new key is in force", || {
        let said = agent.node.ask(&["events"]).map_err(|error| error.to_string())?;
        if said.stdout.contains("192.168.11.2 (password): changed") { Ok(()) } else { Err(said.stdout) }
    });
    cluster.wait(secrets.delete("keyed-fabric", &kube::api::DeleteParams::default())).unwrap();
    cluster.apply("L3Passthrough", "keyed", &passthrough("keyed")).unwrap();
    let status = cluster.status("keyed", "something later is in force", |status| {
        resource(status, "L3Passthrough", "keyed")["applied"] == true
    });
    assert!(status["sessions"].to_string().contains("192.168.11.2"), "the session stays: {status:#}");
    cluster.delete("L3Passthrough", "keyed");
    cluster.delete("Underlay", "keyed");
}

/// Upstream's other kinds, where they are installed: this router does not serve them, says so, and leaves them alone.
#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn objects_of_kinds_that_are_not_served_are_named_and_left_alone() {
    let (cluster, lab) = (Cluster::own(), lab());
    let node = node(&lab);
    cluster.node("foreign", Some(1), &[]);
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "l3vnis.network.openperouter.io" },
        "spec": {
            "group": "network.openperouter.io", "scope": "Namespaced",
            "names": { "kind": "L3VNI", "plural": "l3vnis", "singular": "l3vni" },
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
            }],
        },
    });
    cluster.kube.apply(&definition.to_string()).unwrap();
    let spec = json!({ "vrf": "red", "vni": 100 });
    cluster.eventually("the kind is served", || cluster.apply("L3VNI", "red", &spec).map(drop));
    let before = cluster.wait(cluster.objects("L3VNI").get("red")).unwrap();

    let agent = Agent::start(&node, "foreign", &cluster);
    cluster.apply("Underlay", "foreign", &underlay("foreign")).unwrap();
    let status = cluster.status("foreign", "it names the kind", |status| {
        status["notServed"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"] == "L3VNI"))
            && resource(status, "Underlay", "foreign")["applied"] == true
    });
    let told = &status["notServed"][0];
    assert_eq!((told["objects"].clone(), told["message"].is_string()), (json!(1), true), "{told}");
    assert_eq!(cluster.wait(cluster.objects("L3VNI").get("red")).unwrap(), before, "left alone");
    cluster.delete("L3VNI", "red");
    cluster.status("foreign", "the kind has no objects any more", |status| {
        status["notServed"].as_array().is_none_or(Vec::is_empty)
    });
    agent.stop();
}

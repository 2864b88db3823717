//! The chart and the plain manifests: what they say, and that Kubernetes' own types know every field of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Namespace, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use crate::support::{documents, find, perouter, rendered};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn packaged(name: &str) -> String {
    let path = root().join("packaging/kubernetes").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A field that the type does not know, or knows under another type, does not come back.
fn known<T: DeserializeOwned + Serialize>(document: &Json) {
    let read: T = serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{error}: {document:#}"));
    let back = serde_json::to_value(read).unwrap();
    assert_eq!(without_nothing(back), without_nothing(document.clone()));
}

/// Without empty values, which types leave out, and with every number written in one way.
fn without_nothing(value: Json) -> Json {
    match value {
        Json::Object(map) => {
            let kept = map.into_iter().map(|(key, value)| (key, without_nothing(value)));
            Json::Object(kept.filter(|(_, value)| !value.is_null() && *value != json!({})).collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(without_nothing).collect()),
        // Bounds of a schema are fractions to the type: 1 comes back as 1.0.
        Json::Number(number) => json!(number.as_f64()),
        other @ (Json::Null | Json::Bool(_) | Json::String(_)) => other,
    }
}

fn known_by_kind(document: &Json) {
    match document["kind"].as_str().unwrap() {
        "ClusterRole" => known::<ClusterRole>(document),
        "ClusterRoleBinding" => known::<ClusterRoleBinding>(document),
        "CustomResourceDefinition" => known::<CustomResourceDefinition>(document),
        "DaemonSet" => known::<DaemonSet>(document),
        "Deployment" => known::<Deployment>(document),
        "Namespace" => known::<Namespace>(document),
        "PodDisruptionBudget" => known::<PodDisruptionBudget>(document),
        "Role" => known::<Role>(document),
        "RoleBinding" => known::<RoleBinding>(document),
        "Secret" => known::<Secret>(document),
        "Service" => known::<Service>(document),
        "ServiceAccount" => known::<ServiceAccount>(document),
        "ValidatingWebhookConfiguration" => known::<ValidatingWebhookConfiguration>(document),
        other => panic!("the chart makes a {other}"),
    }
}

/// With every value that changes what is rendered.
fn everything() -> Json {
    json!({
        "fullnameOverride": "edge",
        "openperouter": {
            "logLevel": "debug",
            "image": { "repository": "registry.example/perouter", "tag": "7", "pullPolicy": "Never" },
            "updateStrategy": { "type": "OnDelete" },
            "serviceAccounts": { "annotations": { "a": "b" }, "controller": { "name": "c" }, "perouter": { "name": "p" } },
            "tolerations": [{ "key": "edge", "operator": "Exists" }],
            "priorityClassName": "edge-critical",
            "affinity": { "nodeAffinity": {} },
            "runtimeClassName": "runc",
            "podAnnotations": { "x": "y" },
            "labels": { "team": "net" },
            "controller": { "resources": { "limits": { "memory": "128Mi" } }, "probePeriodSeconds": 7 },
            "nodemarker": { "resources": { "requests": { "cpu": "10m" } }, "replicas": 3, "hostNetwork": true },
            "passwordSecrets": ["fabric-key"],
        },
        "crds": { "validationFailurePolicy": "Ignore" },
    })
}

#[test]
fn the_packaged_definitions_are_those_of_the_types() {
    let printed = perouter(&["crds"]);
    assert_eq!(
        packaged("chart/files/crds.yaml"),
        printed,
        "perouter crds > packaging/kubernetes/chart/files/crds.yaml"
    );
    documents(&printed).iter().for_each(known_by_kind);
}

#[test]
fn every_field_of_the_plain_manifests_is_known_to_kubernetes() {
    let all = documents(&packaged("kustomize/perouter.yaml"));
    assert!(all.len() > 10);
    all.iter().for_each(known_by_kind);
    documents(&packaged("kustomize/namespace.yaml")).iter().for_each(known_by_kind);
    // And the check can fail.
    let mut wrong = find(&all, "DaemonSet", "openperouter-router").clone();
    wrong["spec"]["template"]["spec"]["hostNetwrok"] = json!(true);
    assert!(std::panic::catch_unwind(|| known_by_kind(&wrong)).is_err());
}

#[test]
#[ignore = "needs Helm's engine: scripts/install-kube"]
fn every_field_that_the_chart_renders_is_known_to_kubernetes() {
    for values in [json!({}), everything(), json!({ "webhook": { "enabled": false }, "rbac": { "create": false } })] {
        rendered(&values).iter().for_each(known_by_kind);
    }
}

#[test]
#[ignore = "needs Helm's engine: scripts/install-kube"]
fn the_plain_manifests_are_those_of_the_chart() {
    let output = Command::new(root().join("scripts/render-chart")).arg("--kustomize").output().unwrap();
    let command = "scripts/render-chart --kustomize > packaging/kubernetes/kustomize/perouter.yaml";
    assert_eq!(packaged("kustomize/perouter.yaml"), String::from_utf8(output.stdout).unwrap(), "{command}");
}

#[test]
#[ignore = "needs kubectl: scripts/install-kube"]
fn kubectl_makes_one_installation_of_the_plain_manifests() {
    let output =
        Command::new("kubectl").arg("kustomize").arg(root().join("packaging/kubernetes/kustomize")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made = documents(&String::from_utf8(output.stdout).unwrap());
    find(&made, "CustomResourceDefinition", "underlays.network.openperouter.io");
    find(&made, "Namespace", "openperouter-system");
    let router = find(&made, "DaemonSet", "openperouter-router");
    let image = router["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
    assert_eq!(image, concat!("quay.io/openperouter/perouter:", env!("CARGO_PKG_VERSION")));
}

#[test]
#[ignore = "needs Helm's engine: scripts/install-kube"]
fn values_of_upstream_mean_the_same() {
    let made = rendered(&everything());
    let router = &find(&made, "DaemonSet", "edge-router")["spec"];
    assert_eq!(router["updateStrategy"], json!({ "type": "OnDelete" }));
    let pod = &router["template"]["spec"];
    assert_eq!((&pod["priorityClassName"], &pod["runtimeClassName"]), (&json!("edge-critical"), &json!("runc")));
    assert_eq!(pod["serviceAccountName"], "p");
    assert!(pod["tolerations"].as_array().unwrap().contains(&json!({ "key": "edge", "operator": "Exists" })));
    let container = &pod["containers"][0];
    assert_eq!(
        (&container["image"], &container["imagePullPolicy"]),
        (&json!("registry.example/perouter:7"), &json!("Never"))
    );
    assert_eq!(container["args"][0], "--log-level=debug");
    assert_eq!(container["resources"], json!({ "limits": { "memory": "128Mi" } }));
    let controller = &find(&made, "Deployment", "edge-controller")["spec"];
    assert_eq!((&controller["replicas"], &controller["template"]["spec"]["hostNetwork"]), (&json!(3), &json!(true)));
    let hooks = find(&made, "ValidatingWebhookConfiguration", "openpe-validating-webhook-configuration");
    assert!(hooks["webhooks"].as_array().unwrap().iter().all(|hook| hook["failurePolicy"] == "Ignore"));
    let secrets = &find(&made, "Role", "edge-router")["rules"][3];
    assert_eq!((&secrets["resources"], &secrets["resourceNames"]), (&json!(["secrets"]), &json!(["fabric-key"])));
    let definition = find(&made, "CustomResourceDefinition", "underlays.network.openperouter.io");
    assert_eq!(definition["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");

    let without = rendered(&json!({ "webhook": { "enabled": false }, "openperouter": { "runOnMaster": false } }));
    assert!(!without.iter().any(|document| document["kind"] == "ValidatingWebhookConfiguration"));
    let controller =
        &find(&without, "Deployment", "openperouter-controller")["spec"]["template"]["spec"]["containers"][0];
    assert!(controller["args"].as_array().unwrap().contains(&json!("--webhook-mode=disabled")));
    let pod = &find(&without, "DaemonSet", "openperouter-router")["spec"]["template"]["spec"];
    let tolerations = pod["tolerations"].to_string();
    assert!(!tolerations.contains("control-plane"), "{tolerations}");
    assert!(pod["affinity"]["nodeAffinity"].to_string().contains("node-role.kubernetes.io/control-plane"));
}

#[test]
#[ignore = "needs Helm's engine: scripts/install-kube"]
fn a_value_that_makes_no_sense_is_refused() {
    let output = Command::new(root().join("scripts/render-chart"))
        .args(["--values", r#"{"crds": {"validationFailurePolicy": "Maybe"}}"#])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("validationFailurePolicy"), "{said}");
}

/// The router's container is not privileged, and the one that is ends before it.
#[test]
fn only_the_init_container_is_privileged() {
    let all = documents(&packaged("kustomize/perouter.yaml"));
    let pod = &find(&all, "DaemonSet", "openperouter-router")["spec"]["template"]["spec"];
    let router = &pod["containers"][0]["securityContext"];
    assert_eq!(router["privileged"], false);
    assert_eq!(router["capabilities"]["drop"], json!(["ALL"]));
    let added = json!(["NET_ADMIN", "NET_RAW", "NET_BIND_SERVICE", "SYS_ADMIN", "SYS_NICE"]);
    assert_eq!(router["capabilities"]["add"], added);
    assert_eq!((pod["containers"].as_array().unwrap().len(), pod["hostPID"].is_null()), (1, true));
    assert_eq!(pod["initContainers"][0]["args"], json!(["netns"]));
    let controller = &find(&all, "Deployment", "openperouter-controller")["spec"]["template"]["spec"];
    assert_eq!(controller["securityContext"]["runAsNonRoot"], true);
    assert_eq!(controller["containers"][0]["securityContext"]["capabilities"], json!({ "drop": ["ALL"] }));
}

//! An API server with our definitions, and the questions put to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use serde_json::{Value, json};
use testbed::kube::{Kube, Mode};
use tokio::runtime::{Builder, Runtime};

/// Where perouter would be installed.
pub(crate) const NAMESPACE: &str = "openperouter-system";
/// How long anything may take that needs no retry timers of daemons.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An API server, and a client that waits for its answers.
pub(crate) struct Cluster {
    pub(crate) kube: Arc<Kube>,
    pub(crate) client: Client,
    /// The API server's port on this machine.
    pub(crate) port: u16,
    pub(crate) runtime: Runtime,
}

impl Cluster {
    /// The one that tests share. Their objects select nodes of their own.
    pub(crate) fn shared() -> Self {
        Self::with(Kube::shared(Mode::Api).unwrap_or_else(|e| panic!("{e}")))
    }

    /// One of its own, for a test whose objects select every node, or that takes it down.
    pub(crate) fn own() -> Self {
        Self::with(Arc::new(Kube::start(Mode::Api).unwrap_or_else(|e| panic!("{e}"))))
    }

    fn with(kube: Arc<Kube>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (client, port) = runtime.block_on(async {
            let kubeconfig = Kubeconfig::read_from(kube.kubeconfig()).unwrap();
            let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
            let port = config.cluster_url.port_u16().expect("a port");
            (Client::try_from(config).unwrap(), port)
        });
        let cluster = Self { kube, client, port, runtime };
        cluster.install();
        cluster
    }

    /// What `perouter crds` prints, and our namespace.
    pub(crate) fn install(&self) {
        for definition in definitions() {
            let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
            self.apply_as("apiextensions.k8s.io", "v1", "CustomResourceDefinition", None, &name, &definition).unwrap();
        }
        for kind in ["Underlay", "L3Passthrough", "RouterNodeConfigurationStatus"] {
            self.eventually(&format!("{kind} is served"), || {
                let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &ours(kind));
                self.wait(all.list(&ListParams::default())).map(drop)
            });
        }
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
        let api: Api<Namespace> = Api::all(self.client.clone());
        self.wait(api.patch(NAMESPACE, &as_user(), &Patch::Apply(namespace))).unwrap();
    }

    /// Waits for an answer.
    pub(crate) fn wait<T>(&self, answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, String> {
        self.runtime.block_on(answer).map_err(|error| {
            let status = if let kube::Error::Api(status) = &error { status.message.clone() } else { String::new() };
            if status.is_empty() { error.to_string() } else { status }
        })
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.kube.kubeconfig()
    }

    /// Applies an object of ours as a person does.
    pub(crate) fn apply(&self, kind: &str, name: &str, spec: &Value) -> Result<DynamicObject, String> {
        let object = json!({
            "apiVersion": "network.openperouter.io/v1alpha1", "kind": kind,
            "metadata": { "name": name, "namespace": NAMESPACE }, "spec": spec,
        });
        self.apply_as("network.openperouter.io", "v1alpha1", kind, Some(NAMESPACE), name, &object)
    }

    fn apply_as(
        &self,
        group: &str,
        version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
        object: &Value,
    ) -> Result<DynamicObject, String> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        self.wait(api.patch(name, &as_user(), &Patch::Apply(object)))
    }

    /// Has the API server take anything for an object of this kind.
    pub(crate) fn loosen(&self, kind: &str) {
        let mut definition = definitions().into_iter().find(|found| found["spec"]["names"]["kind"] == kind).unwrap();
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
            json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
        self.apply_as("apiextensions.k8s.io", "v1", "CustomResourceDefinition", None, &name, &definition).unwrap();
    }

    /// Removes the definition of a kind, and with it every object.
    pub(crate) fn remove_definition(&self, plural: &str) {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let name = format!("{plural}.network.openperouter.io");
        self.wait(definitions.delete(&name, &DeleteParams::default())).unwrap();
        self.eventually(&format!("{name} is gone"), || match self.wait(definitions.get_opt(&name))? {
            None => Ok(()),
            Some(_) => Err("it is still there".into()),
        });
    }

    pub(crate) fn delete(&self, kind: &str, name: &str) {
        self.wait(self.objects(kind).delete(name, &DeleteParams::default())).unwrap();
    }

    pub(crate) fn objects(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), NAMESPACE, &ours(kind))
    }

    /// A Node with this index and these labels, `kubernetes.io/hostname` among them.
    pub(crate) fn node(&self, name: &str, index: Option<u32>, labels: &[(&str, &str)]) {
        let mut all: BTreeMap<_, _> = labels.iter().copied().collect();
        all.insert("kubernetes.io/hostname", name);
        let annotations: BTreeMap<_, _> =
            index.map(|index| ("openpe.io/nodeindex", index.to_string())).into_iter().collect();
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": all, "annotations": annotations },
        });
        let api: Api<Node> = Api::all(self.client.clone());
        self.wait(api.patch(name, &as_user(), &Patch::Apply(node))).unwrap();
    }

    /// The status of a node, once it is like this.
    #[track_caller]
    pub(crate) fn status(&self, node: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        self.eventually(&format!("the status of {node}: {what}"), || {
            let object = self.wait(self.objects("RouterNodeConfigurationStatus").get(node))?;
            let status = object.data["status"].clone();
            if is(&status) { Ok(status) } else { Err(format!("{status:#}")) }
        })
    }

    /// Waits for a condition.
    #[track_caller]
    pub(crate) fn eventually<T>(&self, what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
        let begin = std::time::Instant::now();
        loop {
            match condition() {
                Ok(value) => return value,
                Err(seen) if begin.elapsed() > PATIENCE => panic!("{what}: not within {PATIENCE:?}; seen last: {seen}"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

/// The definitions that the program prints.
pub(crate) fn definitions() -> Vec<Value> {
    let output = Command::new(perouter()).args(["crds", "-o", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    list["items"].as_array().unwrap().clone()
}

pub(crate) fn perouter() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_perouter"))
}

fn ours(kind: &str) -> ApiResource {
    let plural = match kind {
        "RouterNodeConfigurationStatus" => "routernodeconfigurationstatuses".to_owned(),
        other => format!("{}s", other.to_lowercase()),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("network.openperouter.io", "v1alpha1", kind), &plural)
}

pub(crate) fn as_user() -> PatchParams {
    PatchParams::apply("a-person").force()
}

/// Status and reason of a condition.
pub(crate) fn condition(status: &Value, kind: &str) -> (String, String) {
    let all = status["conditions"].as_array();
    let found = all.into_iter().flatten().find(|condition| condition["type"] == kind).cloned().unwrap_or_default();
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

/// The report on one object.
pub(crate) fn resource(status: &Value, kind: &str, name: &str) -> Value {
    let all = status["resources"].as_array();
    let found = all.into_iter().flatten().find(|resource| resource["kind"] == kind && resource["name"] == name);
    found.cloned().unwrap_or_default()
}

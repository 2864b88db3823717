//! A cluster with our definitions and manifests, and the controller beside it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};
use testbed::kube::Kube;

pub(crate) const NAMESPACE: &str = "openperouter-system";
/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until a condition holds; `Err` says what was seen instead.
#[track_caller]
pub(crate) fn wait_until<T>(what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match condition() {
            Ok(value) => return value,
            Err(seen) => assert!(Instant::now() < deadline, "waited in vain: {what}; last seen: {seen}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What the API server has, as JSON.
pub(crate) fn get(kube: &Kube, args: &[&str]) -> Result<Json, String> {
    let said = kube.ask(&[&["get", "-o", "json"], args].concat()).map_err(|error| error.to_string())?;
    serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))
}

/// What `perouter ARGS` prints.
pub(crate) fn perouter(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_perouter")).args(args).output().unwrap();
    assert!(output.status.success(), "perouter {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The definitions as an API server of 1.20 takes them: without rules, which it drops anyway.
pub(crate) fn old_definitions() -> Json {
    fn strip(value: &mut Json) {
        match value {
            Json::Object(map) => {
                for name in ["x-kubernetes-validations", "selectableFields"] {
                    map.remove(name);
                }
                map.values_mut().for_each(strip);
            }
            Json::Array(items) => items.iter_mut().for_each(strip),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
    let mut definitions = serde_json::from_str(&perouter(&["-o", "json", "crds"])).unwrap();
    strip(&mut definitions);
    definitions
}

/// Applies JSON documents one after the other.
pub(crate) fn apply(kube: &Kube, documents: &[Json]) {
    for document in documents {
        kube.apply(&document.to_string()).unwrap_or_else(|error| panic!("{error}: {document}"));
    }
}

pub(crate) fn namespace() -> Json {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } })
}

/// The chart's manifests for these values, by Helm's own engine.
pub(crate) fn rendered(values: &Json) -> Vec<Json> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output =
        Command::new(root.join("scripts/render-chart")).args(["--values", &values.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    documents(&String::from_utf8(output.stdout).unwrap())
}

/// YAML documents as JSON, by kubectl, which asks no server for it.
pub(crate) fn documents(yaml: &str) -> Vec<Json> {
    let documents =
        yaml.split("\n---\n").filter(|text| text.lines().any(|line| !line.starts_with('#') && !line.trim().is_empty()));
    let read = |text: &str| serde_saphyr::from_str::<Json>(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    documents.map(read).collect()
}

/// The manifests as an API server of 1.20 takes them.
pub(crate) fn old(mut documents: Vec<Json>) -> Vec<Json> {
    for document in documents.iter_mut().filter(|document| document["kind"] == "PodDisruptionBudget") {
        document["apiVersion"] = json!("policy/v1beta1");
    }
    documents
}

/// One document of a list.
pub(crate) fn find<'a>(documents: &'a [Json], kind: &str, name: &str) -> &'a Json {
    let mut found =
        documents.iter().filter(|document| document["kind"] == kind && document["metadata"]["name"] == name);
    found.next().unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

/// A kubeconfig of a service account, by its own token.
pub(crate) fn kubeconfig_of(kube: &Kube, account: &str) -> PathBuf {
    let token = wait_until("a token", || {
        let secrets = get(kube, &["secrets", "-n", NAMESPACE])?;
        let of_account = |secret: &&Json| {
            secret["type"] == "kubernetes.io/service-account-token"
                && secret["metadata"]["annotations"]["kubernetes.io/service-account.name"] == account
        };
        let secret = secrets["items"].as_array().into_iter().flatten().find(of_account);
        let token = secret.and_then(|secret| secret["data"]["token"].as_str()).map(str::to_owned);
        token.ok_or_else(|| format!("no Secret of {account}"))
    });
    let admin: Json = serde_saphyr::from_str(&fs::read_to_string(kube.kubeconfig()).unwrap()).unwrap();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "clusters": admin["clusters"],
        "users": [{ "name": "it", "user": { "token": decoded(&token) } }],
        "contexts": [{ "name": "it", "context": { "cluster": admin["clusters"][0]["name"], "user": "it" } }],
        "current-context": "it",
    });
    let path = kube.dir().join(format!("{account}.kubeconfig"));
    fs::write(&path, config.to_string()).unwrap();
    path
}

/// Base64 to text.
pub(crate) fn decoded(base64: &str) -> String {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters: Vec<u8> = base64.bytes().filter(|byte| *byte != b'=').collect();
    let bytes = letters.chunks(4).flat_map(|letters| {
        let bits = letters.iter().fold(0_u32, |bits, letter| bits << 6 | u32::from(value(*letter)));
        let bits = bits << (6 * (4 - letters.len()));
        bits.to_be_bytes()[1..letters.len()].to_vec()
    });
    String::from_utf8(bytes.collect()).unwrap()
}

/// Ports that nobody uses at the moment, no two the same.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// A replica of `perouter cluster`. It ends with its value.
pub(crate) struct Replica {
    child: Child,
    pub(crate) webhook_port: u16,
    log: PathBuf,
}

impl Replica {
    /// Starts one, whose webhook is reached at 127.0.0.1, and waits until it is ready.
    pub(crate) fn start(kube: &Kube, identity: &str, kubeconfig: &Path, more: &[&str]) -> Self {
        let replica = Self::launch(kube, identity, kubeconfig, more);
        wait_until("the replica is ready", || {
            let text = fs::read_to_string(&replica.log).unwrap();
            text.contains("answering with the certificate").then_some(()).ok_or(text)
        });
        replica
    }

    /// Starts one.
    pub(crate) fn launch(kube: &Kube, identity: &str, kubeconfig: &Path, more: &[&str]) -> Self {
        let [webhook_port, health_port] = free_ports();
        let log = kube.dir().join(format!("log/{identity}-{webhook_port}.log"));
        let file = File::create(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_perouter"))
            .args(["--log-format", "text", "cluster", "--identity", identity, "--webhook-name", "127.0.0.1"])
            .args(["--pod-namespace", NAMESPACE, "--kubeconfig"])
            .arg(kubeconfig)
            .args(["--webhook-port", &webhook_port.to_string(), "--health-port", &health_port.to_string()])
            .args(more)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, webhook_port, log }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it in order, and waits for the end.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- {}\n{}", self.log.display(), self.log());
        }
    }
}

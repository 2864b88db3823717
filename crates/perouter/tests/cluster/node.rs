//! A node whose kubelet runs what the chart installs, from our image: the way of a user, with a fabric of FRR and a speaker
//! on the host that FRR is for frr-k8s.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value as Json, json};
use testbed::kube::{Kube, Mode};
use testbed::{Daemon, End, Family, Lab, NeighborConfig, Peer, PeerConfig, ip};

use crate::support::{NAMESPACE, apply, get, namespace, old, old_definitions, rendered, wait_until};
use crate::traffic::Stream;

const IMAGE: &str = "docker.io/perouter/perouter";
const NIC: &str = "fabric0";
const LEAF_SERVER: &str = "192.170.20.1";
const HOST_SERVER: &str = "10.200.1.1";
const ROUTER: &str = "192.169.10.1";
const DAEMONSET: &str = "daemonset/openperouter-router";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Builds our image around the static binary that `scripts/build-image` built, and puts it on the node.
fn image(kube: &Kube, tag: &str) {
    let binary = root().join(format!("target/{}-unknown-linux-gnu/release/perouter", std::env::consts::ARCH));
    assert!(binary.is_file(), "{} is missing: run scripts/build-image", binary.display());
    let archive = kube.dir().join(format!("perouter-{tag}.tar"));
    let output = Command::new(root().join("scripts/build-image"))
        .args(["--name", &format!("{IMAGE}:{tag}"), "--set-label", &format!("test={tag}"), "--binary"])
        .arg(binary)
        .arg("--output")
        .arg(&archive)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("{}", String::from_utf8_lossy(&output.stdout).trim());
    kube.import_image(&archive).unwrap();
}

/// The leaf: FRR that keeps the routes of who restarts.
fn leaf(lab: &Lab, ns: &str) -> Peer {
    let router = NeighborConfig { address: address("192.168.11.3"), asn: 64514, families: vec![Family::Ipv4] };
    let config = PeerConfig {
        neighbors: vec![router],
        networks: vec!["192.170.20.0/24".parse().unwrap()],
        lines: " bgp graceful-restart\n".to_owned(),
        ..PeerConfig::new("leaf", 64512, "192.168.11.2".parse().unwrap())
    };
    Peer::start(lab, Daemon::Frr, ns, config).unwrap()
}

/// The host's speaker, as frr-k8s configures it for `toReceive: all`, `toAdvertise: all` and `connectTime: 1s`.
fn speaker(lab: &Lab, ns: &str) -> Peer {
    let text = format!(
        "log stdout informational\nfrr defaults traditional\nhostname node1\nip nht resolve-via-default\n\
         ip prefix-list everything seq 1 permit any\n\
         route-map {ROUTER}-in permit 3\nexit\nroute-map {ROUTER}-out permit 1\nexit\n\
         router bgp 64515\n no bgp ebgp-requires-policy\n no bgp network import-check\n no bgp default ipv4-unicast\n \
         bgp graceful-restart preserve-fw-state\n bgp router-id 10.200.1.1\n neighbor {ROUTER} remote-as 64514\n \
         neighbor {ROUTER} timers 3 9\n neighbor {ROUTER} timers connect 1\n address-family ipv4 unicast\n  \
         network 10.200.1.0/24\n  neighbor {ROUTER} activate\n  neighbor {ROUTER} route-map {ROUTER}-in in\n  \
         neighbor {ROUTER} route-map {ROUTER}-out out\n exit-address-family\n"
    );
    let router = NeighborConfig { address: address(ROUTER), asn: 64514, families: vec![Family::Ipv4] };
    let config = PeerConfig {
        neighbors: vec![router],
        networks: vec!["10.200.1.0/24".parse().unwrap()],
        // As frr-k8s starts it: `bgpd -p 0`.
        listen: false,
        text: Some(text),
        ..PeerConfig::new("host", 64515, "10.200.1.1".parse().unwrap())
    };
    Peer::start(lab, Daemon::Frr, ns, config).unwrap()
}

/// The kit's containerd runs with a umask of 077: nobody but root can enter the root of a container there.
fn as_root(mut object: Json) -> Json {
    if object["kind"] == "Deployment" {
        object["spec"]["template"]["spec"]["securityContext"] = json!({ "runAsUser": 0 });
    }
    object
}

fn object(kind: &str, name: &str, spec: Json) -> Json {
    let metadata = json!({ "name": name, "namespace": NAMESPACE });
    json!({ "apiVersion": "network.openperouter.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec })
}

fn underlay() -> Json {
    let spec = json!({
        "asn": 64514, "routerIDCIDR": "10.0.0.0/24", "gracefulRestart": {},
        "interfaces": [{ "type": "NetworkDevice", "networkDevice": { "interfaceName": NIC } }],
        "neighbors": [{ "asn": 64512, "address": "192.168.11.2", "holdTimeSeconds": 9, "keepaliveTimeSeconds": 3 }],
    });
    object("Underlay", "underlay", spec)
}

fn passthrough(cidr: &str) -> Json {
    let session = json!({ "asn": 64514, "hostASN": 64515, "localCIDR": { "ipv4": cidr } });
    object("L3Passthrough", "passthrough", json!({ "hostSession": session }))
}

/// In the order in which they end.
struct Site {
    leaf: Peer,
    host: Peer,
    lab: Lab,
    node: String,
    kube: Kube,
}

impl Site {
    /// A node, a fabric and everything that the chart installs; no object yet.
    fn start() -> Self {
        let kube = Kube::start(Mode::Node).unwrap();
        let node = kube.node_namespace().unwrap().to_owned();
        image(&kube, "1");
        image(&kube, "2");
        let lab = Lab::new(Path::new(env!("CARGO_BIN_EXE_perouter"))).unwrap();
        let leaf_ns = lab.namespace("leaf").unwrap();
        lab.forwards(&leaf_ns).unwrap();
        let end = |ns, name, net: &str| End { ns, name, addresses: vec![net.parse().unwrap()] };
        lab.link(&end(&leaf_ns, "tonode", "192.168.11.2/24"), &end(&node, NIC, "192.168.11.3/24"), 1500).unwrap();
        lab.loopback_address(&leaf_ns, format!("{LEAF_SERVER}/32").parse().unwrap()).unwrap();
        lab.loopback_address(&node, format!("{HOST_SERVER}/32").parse().unwrap()).unwrap();
        let (leaf, host) = (leaf(&lab, &leaf_ns), speaker(&lab, &node));
        let values = json!({
            "openperouter": {
                "image": { "repository": IMAGE, "tag": "1", "pullPolicy": "Never" },
                "nodemarker": { "replicas": 1 },
                "logLevel": "debug",
                "staticConfigDir": kube.dir().join("static"),
            },
            "crds": { "enabled": false },
        });
        apply(&kube, &[namespace(), old_definitions()]);
        apply(&kube, &old(rendered(&values)).into_iter().map(as_root).collect::<Vec<_>>());
        Self { leaf, host, lab, node, kube }
    }

    /// The router's pod, once it is the only one and ready, and its image.
    fn router(&self) -> Result<(String, String), String> {
        let pods = get(&self.kube, &["pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=router"])?;
        let [pod] = pods["items"].as_array().map(Vec::as_slice).unwrap_or_default() else {
            return Err("not one pod".to_owned());
        };
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let ready =
            conditions.filter(|condition| condition["type"] == "Ready").any(|condition| condition["status"] == "True");
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let (name, image) = (text(&pod["metadata"]["name"]), text(&pod["spec"]["containers"][0]["image"]));
        if ready { Ok((name, image)) } else { Err(pod["status"].to_string()) }
    }

    /// `perouter ARGS` in the router's pod.
    fn inside(&self, args: &[&str]) -> String {
        let (pod, _) = self.router().unwrap();
        let exec = ["exec", "-n", NAMESPACE, &pod, "-c", "router", "--", "/perouter"];
        self.kube.kubectl(&[&exec[..], args].concat()).map(|said| said.stdout).unwrap()
    }

    fn until<T>(&self, what: &str, condition: impl FnMut() -> Result<T, String>) -> T {
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait_until(what, condition)));
        found.unwrap_or_else(|_| {
            let logs = |component: &str| {
                let label = format!("app.kubernetes.io/component={component}");
                let args = ["logs", "-n", NAMESPACE, "-l", &label, "--all-containers", "--tail=60"];
                self.kube.kubectl(&args).map(|said| said.stdout + &said.stderr).unwrap_or_default()
            };
            let (routers, controller) = (logs("router"), logs("controller"));
            panic!("{what}\n--- router\n{routers}\n--- controller\n{controller}\n{}", self.lab.diagnostics())
        })
    }

    /// Both sessions of the router, and what each side announces in the other's kernel.
    fn works(&self) {
        for (peer, neighbor) in [(&self.host, ROUTER), (&self.leaf, "192.168.11.3")] {
            self.until("the session is there", || {
                let up = peer.established(address(neighbor)).map_err(|error| error.to_string())?;
                if up { Ok(()) } else { Err(format!("no session with {neighbor}")) }
            });
        }
        for (ns, prefix) in [(self.node.as_str(), "192.170.20.0/24"), (self.leaf_ns().as_str(), "10.200.1.0/24")] {
            self.until("the route is there", || {
                let routes = ip::routes(ns, Family::Ipv4).map_err(|error| error.to_string())?;
                let found = routes.iter().any(|route| route.prefix.to_string() == prefix);
                if found { Ok(()) } else { Err(format!("{ns}: {routes:?}")) }
            });
        }
    }

    fn leaf_ns(&self) -> String {
        format!("{}-leaf", self.lab.id())
    }
}

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn a_node_joins_the_fabric_and_an_update_of_the_image_loses_no_packet() {
    let site = Site::start();
    let kube = &site.kube;
    site.until("the controller answers the webhook", || {
        let said = kube.kubectl_as(&kube.kubeconfig(), &["apply", "-f", "-"], &passthrough("not-a-cidr").to_string());
        let said = said.map_err(|error| error.to_string())?;
        if said.stderr.contains("invalid local CIDR not-a-cidr") { Ok(()) } else { Err(said.stderr) }
    });
    apply(kube, &[underlay(), passthrough("192.169.10.0/24")]);
    site.works();
    let (first, image) = site.until("the router's pod is ready", || site.router());
    assert_eq!(image, format!("{IMAGE}:1"));
    site.until("the node's status is ready", || {
        let status = get(kube, &["routernodeconfigurationstatus", "node1", "-n", NAMESPACE])?;
        let conditions = status["status"]["conditions"].as_array().into_iter().flatten();
        let ready =
            conditions.filter(|condition| condition["type"] == "Ready").any(|condition| condition["status"] == "True");
        if ready { Ok(()) } else { Err(status["status"].to_string()) }
    });
    println!("{}", site.inside(&["status"]));

    // Another image, while packets flow.
    let (leaf, node) = (site.leaf_ns(), site.node.as_str());
    let to_host = Stream::start((&leaf, address(LEAF_SERVER)), &[node], address(HOST_SERVER));
    let to_fabric = Stream::start((node, address(HOST_SERVER)), &[&leaf], address(LEAF_SERVER));
    site.until("packets flow both ways", || {
        let arrived = (to_host.arrived(), to_fabric.arrived());
        if arrived.0.min(arrived.1) > 500 { Ok(()) } else { Err(format!("{arrived:?}")) }
    });
    let next = format!("{IMAGE}:2");
    let images = [format!("netns={next}"), format!("router={next}")];
    kube.ask(&["set", "image", "-n", NAMESPACE, DAEMONSET, &images[0], &images[1]]).unwrap();
    let second = site.until("the next router is ready", || {
        let (pod, image) = site.router()?;
        if image == next && pod != first { Ok(pod) } else { Err(format!("{pod} with {image}")) }
    });
    site.works();
    for (direction, stream) in [("to the host", to_host), ("to the fabric", to_fabric)] {
        let loss = stream.finish();
        println!("update of the image, {direction}: {loss:?}");
        assert_eq!((loss.lost, loss.repeated), (0, 0), "{direction}\n{}", site.inside(&["events", "-n", "200"]));
    }
    site.until("the restart is over", || {
        let log = kube.ask(&["logs", "-n", NAMESPACE, &second, "-c", "router"]).map_err(|error| error.to_string())?;
        if log.contains("restarted gracefully") { Ok(()) } else { Err(log) }
    });

    // Without objects the node has its NIC back, with its address.
    kube.ask(&["delete", "-n", NAMESPACE, "underlay,l3passthrough", "--all"]).unwrap();
    site.until("the NIC is back", || {
        let links = ip::links(node).map_err(|error| error.to_string())?;
        let nic = links.iter().find(|link| link.name == NIC).map(|link| format!("{:?}", link.addresses));
        let host_end = links.iter().any(|link| link.name == "pt-host");
        match nic {
            Some(addresses) if addresses.contains("192.168.11.3") && !host_end => Ok(()),
            other => Err(format!("{other:?}, pt-host: {host_end}")),
        }
    });
}

//! The webhook, asked by a real API server over TLS.

use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};
use testbed::Output;
use testbed::kube::{Kube, Mode};

use crate::support::{NAMESPACE, Replica, apply, find, get, namespace, perouter, rendered, wait_until};

const CONFIGURATION: &str = "openpe-validating-webhook-configuration";

/// An API server with our definitions, a Secret for the certificate and the chart's webhook, which is reached at a port of
/// this machine.
struct Site {
    kube: Kube,
    replica: Replica,
}

impl Site {
    fn start(more: &[&str]) -> Self {
        let kube = Kube::start(Mode::Api).unwrap();
        let chart = rendered(&json!({}));
        apply(&kube, &[namespace(), find(&chart, "Secret", "openpe-webhook-server-cert").clone()]);
        kube.apply(&perouter(&["crds"])).unwrap();
        let replica = Replica::start(&kube, "one", &kube.kubeconfig(), more);
        let mut configuration = find(&chart, "ValidatingWebhookConfiguration", CONFIGURATION).clone();
        for hook in configuration["webhooks"].as_array_mut().unwrap() {
            let path = hook["clientConfig"]["service"]["path"].as_str().unwrap();
            hook["clientConfig"] = json!({ "url": format!("https://127.0.0.1:{}{path}", replica.webhook_port) });
        }
        apply(&kube, &[configuration]);
        let site = Self { kube, replica };
        site.until_trusted();
        site
    }

    fn bundles(&self) -> Vec<String> {
        let configuration = get(&self.kube, &["validatingwebhookconfiguration", CONFIGURATION]).unwrap();
        let hooks = configuration["webhooks"].as_array().into_iter().flatten();
        hooks.map(|hook| hook["clientConfig"]["caBundle"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn until_trusted(&self) {
        wait_until("the API server trusts the webhook", || {
            let said = self.dry_run(&underlay("probe", json!({ "matchLabels": { "nobody": "there" } })));
            // One that trusts what it still remembers is not enough.
            if said.ok() && self.bundles().iter().all(|bundle| !bundle.is_empty()) { Ok(()) } else { Err(said.stderr) }
        });
    }

    fn dry_run(&self, object: &Json) -> Output {
        let args = ["apply", "--dry-run=server", "-f", "-"];
        self.kube.kubectl_as(&self.kube.kubeconfig(), &args, &object.to_string()).unwrap()
    }

    fn store(&self, object: &Json) -> Output {
        let args = ["apply", "-f", "-"];
        self.kube.kubectl_as(&self.kube.kubeconfig(), &args, &object.to_string()).unwrap()
    }

    #[track_caller]
    fn stores(&self, object: &Json) -> String {
        let said = self.store(object);
        assert!(said.ok(), "{}", said.stderr);
        said.stderr
    }

    #[track_caller]
    fn refuses(&self, object: &Json, sentence: &str) {
        let said = self.store(object);
        assert!(!said.ok(), "stored: {object}");
        assert!(said.stderr.contains(sentence), "{sentence:?} is not in: {}", said.stderr);
    }
}

fn object(kind: &str, name: &str, spec: Json) -> Json {
    let metadata = json!({ "name": name, "namespace": NAMESPACE });
    json!({ "apiVersion": "network.openperouter.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec })
}

fn underlay(name: &str, selector: Json) -> Json {
    let spec = json!({
        "asn": 64514, "nodeSelector": selector,
        "interfaces": [{ "type": "NetworkDevice", "networkDevice": { "interfaceName": "eth1" } }],
        "neighbors": [{ "asn": 64512, "address": "192.168.11.2" }],
    });
    object("Underlay", name, spec)
}

fn passthrough(name: &str, ipv4: &str, selector: Json) -> Json {
    let session = json!({ "asn": 64514, "hostASN": 64515, "localCIDR": { "ipv4": ipv4 } });
    object("L3Passthrough", name, json!({ "nodeSelector": selector, "hostSession": session }))
}

fn on(node: &str) -> Json {
    json!({ "matchLabels": { "kubernetes.io/hostname": node } })
}

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn what_no_node_could_use_is_refused_with_upstreams_sentences() {
    let site = Site::start(&[]);
    // Before there is a node.
    let everywhere = underlay("fabric", json!({}));
    site.refuses(&passthrough("bad", "not-a-cidr", json!({})), "invalid local CIDR not-a-cidr");
    site.stores(&everywhere);
    site.refuses(&underlay("second", json!({})), "can't have more than one underlay per node");
    let denied = "denied the request: validation failed: spec.neighbors[1].address: underlay fabric has duplicate neighbor address: duplicate entry 192.168.11.2";
    let mut twice = everywhere.clone();
    twice["spec"]["neighbors"] = json!([everywhere["spec"]["neighbors"][0], everywhere["spec"]["neighbors"][0]]);
    site.refuses(&twice, denied);

    for name in ["node1", "node2"] {
        let labels = json!({ "kubernetes.io/hostname": name });
        apply(
            &site.kube,
            &[json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": labels } })],
        );
    }
    wait_until("the controller has seen the nodes", || {
        let node = get(&site.kube, &["node", "node2"])?;
        let index = node["metadata"]["annotations"]["openpe.io/nodeindex"].as_str().map(str::to_owned);
        index.ok_or_else(|| node.to_string())
    });
    let said = site.stores(&passthrough("one", "192.0.2.0/24", on("node1")));
    assert_eq!(said, "", "nothing to remark");
    site.refuses(
        &passthrough("two", "192.0.3.0/24", json!({})),
        "failed to validate l3passthroughs for node \"node1\": can't have more than one l3passthrough per node",
    );
    site.stores(&passthrough("two", "192.0.3.0/24", on("node2")));
    site.refuses(&passthrough("one", "10.60.0.0/24", on("node1")), "LocalCIDR can't be changed");
    let mut other_as = passthrough("two", "192.0.3.0/24", on("node2"));
    other_as["spec"]["hostSession"]["asn"] = json!(65000);
    let said = site.stores(&other_as);
    assert!(said.contains("Warning: ") && said.contains("hostSession.asn is 65000"), "{said}");

    // A copy of a file is stored whatever else there is: the file is in force.
    let mut copy = underlay("static-node1-underlay-0", on("node1"));
    copy["metadata"]["labels"] = json!({ "openperouter.github.io/source": "static" });
    site.stores(&copy);
    site.kube.ask(&["delete", "underlay,l3passthrough", "--all", "-n", NAMESPACE]).unwrap();
}

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn the_certificate_is_renewed_and_no_question_meets_one_that_is_not_trusted() {
    let site = Site::start(&["--certificate-lifetime", "45s"]);
    let object = underlay("probe", json!({ "matchLabels": { "nobody": "there" } }));
    let mut seen = site.bundles();
    let mut asked = 0;
    // Two renewals.
    for _ in 0..2 {
        wait_until("the certificate is renewed", || {
            let said = site.dry_run(&object);
            assert!(said.ok(), "after {asked} questions: {}\n{}", said.stderr, site.replica.log());
            asked += 1;
            let bundles = site.bundles();
            let renewed = bundles != seen && site.replica.log().matches("answering with the certificate").count() > 1;
            if !renewed {
                return Err("the same".to_owned());
            }
            seen = bundles;
            Ok(())
        });
    }
    println!("{asked} questions answered over two renewals");
    // Who removes the trust has it back.
    let patch = r#"[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]"#;
    site.kube.ask(&["patch", "validatingwebhookconfiguration", CONFIGURATION, "--type=json", "-p", patch]).unwrap();
    site.until_trusted();
    // So has who empties the Secret, and a damaged certificate is replaced.
    let secret = ["patch", "secret", "-n", NAMESPACE, "openpe-webhook-server-cert", "--type=merge", "-p"];
    for data in [r#"{"data": null}"#, r#"{"data": {"tls.crt": "bm9uc2Vuc2U="}}"#] {
        site.kube.ask(&[&secret[..], &[data]].concat()).unwrap();
        wait_until("the Secret holds a certificate again", || {
            let secret = get(&site.kube, &["secret", "-n", NAMESPACE, "openpe-webhook-server-cert"])?;
            let begins = secret["data"]["tls.crt"].as_str().is_some_and(|text| text.starts_with("LS0tLS1CRUdJTi"));
            if begins { Ok(()) } else { Err(secret["data"].to_string()) }
        });
        site.until_trusted();
    }
}

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn the_failure_policy_decides_while_nobody_answers() {
    let Site { kube, replica } = Site::start(&[]);
    let bundle_of_nobody = replica.webhook_port;
    drop(replica);
    assert!(std::net::TcpStream::connect(("127.0.0.1", bundle_of_nobody)).is_err(), "the webhook is gone");
    let store =
        |object: &Json| kube.kubectl_as(&kube.kubeconfig(), &["apply", "-f", "-"], &object.to_string()).unwrap();
    let refused = store(&underlay("fabric", json!({})));
    assert!(!refused.ok() && refused.stderr.contains("failed calling webhook"), "{}", refused.stderr);
    let policy = r#"[{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]"#;
    kube.ask(&["patch", "validatingwebhookconfiguration", CONFIGURATION, "--type=json", "-p", policy]).unwrap();
    wait_until("the object is stored", || {
        let said = store(&underlay("fabric", json!({})));
        if said.ok() { Ok(()) } else { Err(said.stderr) }
    });
}

/// Whoever asks without TLS, or asks nonsense, gets an answer or none, and the webhook goes on.
#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn nonsense_is_answered_as_nonsense() {
    let site = Site::start(&[]);
    let url = format!("https://127.0.0.1:{}/validate", site.replica.webhook_port);
    let curl = |args: &[&str]| {
        let output = Command::new(Path::new("curl"))
            .args(["-sk", "-o", "/dev/null", "-w", "%{http_code}", "-m", "10"])
            .args(args)
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert_eq!(curl(&["-d", "nonsense", &url]), "400");
    assert_eq!(curl(&["-d", "{}", &url]), "400");
    assert_eq!(curl(&[&url]), "405");
    assert_eq!(curl(&["-d", "x", &url.replace("https", "http")]), "000");
    site.until_trusted();
}

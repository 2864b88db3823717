//! What routers and controller may do, asked of an API server with RBAC, and done with their own tokens.
//!
//! The lists here are those of docs/kubernetes.md, and complete: the API server is asked for all rules of an account.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value as Json, json};
use testbed::kube::{Kube, Mode};

use crate::support::{
    NAMESPACE, Replica, apply, get, kubeconfig_of, namespace, old, old_definitions, rendered, wait_until,
};

const ROUTER: &str = "openperouter-router";
const CONTROLLER: &str = "openperouter-controller";

/// Rules of the whole cluster, and those that the namespace of the installation has beside them: group, resource, names,
/// verbs.
type Rules = &'static [(&'static str, &'static str, &'static [&'static str], &'static str)];

const OURS: &str = "network.openperouter.io";
const DEFINITIONS: &[&str] = &["l3passthroughs.network.openperouter.io", "underlays.network.openperouter.io"];

const ROUTER_EVERYWHERE: Rules = &[
    (OURS, "underlays", &[], "get list watch"),
    (OURS, "l3passthroughs", &[], "get list watch"),
    (OURS, "l3vnis", &[], "list watch"),
    (OURS, "l2vnis", &[], "list watch"),
    (OURS, "l3vpns", &[], "list watch"),
    (OURS, "rawfrrconfigs", &[], "list watch"),
    ("", "nodes", &[], "list watch"),
    ("apiextensions.k8s.io", "customresourcedefinitions", DEFINITIONS, "get"),
    ("events.k8s.io", "events", &[], "create patch"),
];
const ROUTER_AT_HOME: Rules = &[
    (OURS, "underlays", &[], "create delete patch"),
    (OURS, "l3passthroughs", &[], "create delete patch"),
    (OURS, "routernodeconfigurationstatuses", &[], "create get list patch watch"),
    (OURS, "routernodeconfigurationstatuses/status", &[], "patch"),
    ("", "secrets", &[], "get list watch"),
];
const CONTROLLER_EVERYWHERE: Rules = &[
    ("", "nodes", &[], "list patch watch"),
    (OURS, "underlays", &[], "list"),
    (OURS, "l3passthroughs", &[], "list"),
    (
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        &["openpe-validating-webhook-configuration"],
        "list patch watch",
    ),
];
const CONTROLLER_AT_HOME: Rules = &[
    ("", "secrets", &["openpe-webhook-server-cert"], "get list update watch"),
    ("coordination.k8s.io", "leases", &[], "create"),
    ("coordination.k8s.io", "leases", &["perouter-cluster"], "get update"),
];

/// One line per rule.
fn lines(rules: &[Rules]) -> BTreeSet<String> {
    let all = rules.iter().copied().flatten();
    all.map(|(group, resource, names, verbs)| format!("{group} {resource} {names:?} {verbs}")).collect()
}

/// What the API server says that an account may do in a namespace, beside what everybody may.
fn rules_of(kube: &Kube, account: &str, namespace: &str) -> BTreeSet<String> {
    let account = format!("--as=system:serviceaccount:{NAMESPACE}:{account}");
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": { "namespace": namespace },
    });
    let args = ["create", &account, "-o", "json", "-f", "-"];
    let said = kube.kubectl_as(&kube.kubeconfig(), &args, &review.to_string()).unwrap();
    let review: Json = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}", said.stderr));
    assert_eq!(review["status"]["incomplete"], false);
    let texts = |value: &Json| -> BTreeSet<String> {
        value.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
    };
    let mut lines = BTreeSet::new();
    for rule in review["status"]["resourceRules"].as_array().unwrap() {
        let (names, verbs) = (texts(&rule["resourceNames"]), texts(&rule["verbs"]));
        let verbs = verbs.into_iter().collect::<Vec<_>>().join(" ");
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                // To ask what one may do.
                if group != "authorization.k8s.io" {
                    lines.insert(format!("{group} {resource} {:?} {verbs}", names.iter().collect::<Vec<_>>()));
                }
            }
        }
    }
    lines
}

struct Site {
    kube: Kube,
}

impl Site {
    fn start() -> Self {
        let kube = Kube::start(Mode::Control).unwrap();
        apply(&kube, &[namespace(), old_definitions()]);
        apply(&kube, &old(rendered(&json!({ "crds": { "enabled": false } }))));
        Self { kube }
    }

    /// Does it with a kubeconfig, and expects to be refused.
    #[track_caller]
    fn forbidden(&self, kubeconfig: &Path, args: &[&str]) {
        let said = self.kube.kubectl_as(kubeconfig, args, "").unwrap();
        assert!(!said.ok() && said.stderr.contains("orbidden"), "{args:?}: {} {}", said.stdout, said.stderr);
    }

    #[track_caller]
    fn allowed(&self, kubeconfig: &Path, args: &[&str]) {
        let said = self.kube.kubectl_as(kubeconfig, args, "").unwrap();
        assert!(said.ok(), "{args:?}: {}", said.stderr);
    }
}

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn accounts_may_do_what_is_listed_and_nothing_else() {
    let site = Site::start();
    let kube = &site.kube;
    for (account, everywhere, at_home) in
        [(ROUTER, ROUTER_EVERYWHERE, ROUTER_AT_HOME), (CONTROLLER, CONTROLLER_EVERYWHERE, CONTROLLER_AT_HOME)]
    {
        for (namespace, wanted) in [("kube-system", lines(&[everywhere])), (NAMESPACE, lines(&[everywhere, at_home]))] {
            wait_until("the rules are known", || match rules_of(kube, account, namespace) {
                rules if rules == wanted => Ok(()),
                rules => Err(format!("{account} in {namespace}: {rules:#?}")),
            });
        }
    }

    kube.ask(&["create", "secret", "generic", "key", "-n", "kube-system", "--from-literal=password=x"]).unwrap();
    apply(kube, &[json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "node1" } })]);
    let router = kubeconfig_of(kube, ROUTER);
    site.allowed(&router, &["get", "secrets", "-n", NAMESPACE]);
    site.allowed(&router, &["get", "nodes"]);
    site.forbidden(&router, &["get", "secret", "key", "-n", "kube-system"]);
    site.forbidden(&router, &["get", "secrets", "-A"]);
    site.forbidden(&router, &["annotate", "node", "node1", "openpe.io/nodeindex=7"]);
    site.forbidden(&router, &["label", "node", "node1", "a=b"]);
    site.forbidden(&router, &["delete", "node", "node1"]);
    site.forbidden(&router, &["create", "secret", "generic", "key", "-n", NAMESPACE, "--from-literal=password=x"]);
    site.forbidden(&router, &["get", "pods", "-n", NAMESPACE]);
    site.forbidden(&router, &["get", "customresourcedefinitions"]);
    let controller = kubeconfig_of(kube, CONTROLLER);
    site.forbidden(&controller, &["get", "secrets", "-n", NAMESPACE]);
    site.forbidden(
        &controller,
        &["delete", "validatingwebhookconfiguration", "openpe-validating-webhook-configuration"],
    );
    site.forbidden(&controller, &["get", "validatingwebhookconfigurations"]);
    site.forbidden(&controller, &["create", "secret", "generic", "key", "-n", NAMESPACE, "--from-literal=password=x"]);

    // What it is permitted is enough for its work.
    let replica = Replica::start(kube, "one", &controller, &[]);
    wait_until("the node has its index and the API server its trust", || {
        let node = get(kube, &["node", "node1"])?;
        let hooks = get(kube, &["validatingwebhookconfiguration", "openpe-validating-webhook-configuration"])?;
        let index = node["metadata"]["annotations"]["openpe.io/nodeindex"] == "0";
        let hooks = hooks["webhooks"].as_array().into_iter().flatten();
        let trusted = hooks.map(|hook| &hook["clientConfig"]["caBundle"]).all(Json::is_string);
        if index && trusted { Ok(()) } else { Err(format!("index {index}, trusted {trusted}\n{}", replica.log())) }
    });
    replica.signal(Signal::TERM);
    wait_until("the lease is given up", || {
        let lease = get(kube, &["lease", "-n", NAMESPACE, "perouter-cluster"])?;
        if lease["spec"]["holderIdentity"] == "" { Ok(()) } else { Err(lease["spec"].to_string()) }
    });
    let log = replica.log();
    assert!(!log.contains("orbidden"), "{log}");
}

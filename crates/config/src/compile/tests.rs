use serde_json::{Value as Json, json};

use std::net::IpAddr;

use engine::intent::{PeerIntent, RemoteAs, Ttl};

use super::*;
use crate::files::Secrets;
use crate::types::{L3PassthroughSpec, LabelSelector, UnderlaySpec};
use crate::verdict::{ObjectRef, Outcome, Source};

mod choice;
mod host;
mod neighbors;
mod sessions;

/// An object of a cluster: no file, no lines.
fn object<T: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: Json) -> Object<T> {
    let source = Source::File { path: "x.yaml".into(), line: 1 };
    Object {
        reference: ObjectRef { kind: kind.into(), name: name.into(), source },
        spec: serde_json::from_value(spec).unwrap(),
        warnings: Vec::new(),
        lines: BTreeMap::new(),
        secrets: Secrets::default(),
    }
}

fn underlay(name: &str, spec: Json) -> Object<UnderlaySpec> {
    object("Underlay", name, spec)
}

fn passthrough(name: &str, spec: Json) -> Object<L3PassthroughSpec> {
    object("L3Passthrough", name, spec)
}

/// Upstream's base: asn 65000, neighbour 65001 at 192.168.1.1, eth0.
fn base() -> Json {
    json!({
        "asn": 65000,
        "interfaces": [{ "type": "NetworkDevice", "networkDevice": { "interfaceName": "eth0" } }],
        "neighbors": [{ "asn": 65001, "address": "192.168.1.1" }],
    })
}

/// `base` with other values for some fields.
fn base_with(fields: Json) -> Json {
    merged(base(), fields)
}

fn merged(mut json: Json, fields: Json) -> Json {
    json.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json
}

fn session(fields: Json) -> Json {
    let session =
        json!({ "asn": 65000, "hostASN": 65001, "localCIDR": { "ipv4": "192.168.2.0/24", "ipv6": "2001:db8::/64" } });
    json!({ "hostSession": merged(session, fields) })
}

fn node(labels: &[(&str, &str)], index: u32) -> Node {
    let mut node = Node::new("node-1", index);
    node.labels.extend(labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    node
}

fn compiled(underlays: Vec<Object<UnderlaySpec>>, passthroughs: Vec<Object<L3PassthroughSpec>>) -> Compiled {
    compile(&Objects { underlays, passthroughs, ..Objects::default() }, &node(&[("rack", "rack-1")], 0))
}

/// The sentence of the only verdict; empty when applied without remarks.
fn sentence(verdict: &Verdict) -> String {
    match &verdict.outcome {
        Outcome::Applied { warnings } => warnings.join("; "),
        Outcome::Rejected { message, .. } => message.clone(),
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

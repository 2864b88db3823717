//! Whether the API server may store an object: what the admission webhook answers. Pure.
//!
//! Is told: the object, what it was before, the others of the cluster and its nodes. Emits: a refusal or none, and remarks.
//! What it refuses is what no node could use, and what would be the second of its kind on a node; the checks are those of
//! [`super::compile()`], which every node makes again. What depends on other objects (a passthrough without its Underlay, or
//! with another `asn` than that) is a remark: objects are written one after the other. So is what a single node lacks, such
//! as an address in a range that is too small.
//!
//! Without nodes there is nobody to ask, and yet two objects without a selector meet on the first one that comes.

use serde_json::Value as Json;

use super::choose::{Refusal, invalid};
use super::joint::join;
use super::{Router, compile, router};
use crate::cluster::{self, Kind, Stored};
use crate::files::{Object, Objects};
use crate::node::Node;
use crate::types::{InterfaceKind, L3PassthroughSpec, LabelSelector, UnderlayInterface, UnderlaySpec};
use crate::verdict::{Outcome, Verdict};

/// Most remarks of an answer.
const REMARKS: usize = 8;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The object as it is to be.
    pub object: Stored<'a>,
    /// Its specification before; `None` for a new one.
    pub before: Option<&'a Json>,
    /// It mirrors a file of a node, where it is in force whatever else there is.
    pub mirrored: bool,
}

/// What is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Why the object is refused.
    pub refusal: Option<Refused>,
    /// What the user should know nevertheless. One sentence each.
    pub remarks: Vec<String>,
}

/// Why an object is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The field in question.
    pub field: Option<String>,
    /// One sentence, in upstream's words.
    pub message: String,
}

/// Answers. `others` are the cluster's objects of both kinds without this one, the oldest first.
pub fn answer(request: &Request<'_>, others: &[Stored<'_>], nodes: &[Node]) -> Answer {
    match judge(request, others, nodes) {
        Ok(object) => Answer { refusal: None, remarks: remarks(object, others, nodes) },
        Err(Refusal { field, message, .. }) => {
            Answer { refusal: Some(Refused { field, message }), remarks: Vec::new() }
        }
    }
}

/// The object, if it may be stored.
fn judge(request: &Request<'_>, others: &[Stored<'_>], nodes: &[Node]) -> Result<Objects, Refusal> {
    let read = read(&[request.object]).map_err(|outcome| match outcome {
        Outcome::Rejected { reason, field, message } => Refusal { reason, field, message },
        Outcome::Applied { .. } => invalid("spec", "spec is required"),
    })?;
    // Any node does: what is looked at here is the same on all of them.
    let node = Node::new("", 0);
    for object in &read.underlays {
        router(object, &node)?;
        kept_underlay(&object.spec, request.before)?;
    }
    for object in &read.passthroughs {
        joins(object, &node)?;
        kept_passthrough(&object.spec, request.before)?;
    }
    let kind = request.object.kind;
    let selector = selector(request.object.spec).map_err(|what| bad_selector(kind, &what))?;
    if !request.mirrored {
        let before = request.before.map(|before| cluster::node_selector(before).ok());
        alone(request, selector.as_ref(), before.as_ref(), others, nodes)?;
    }
    Ok(read)
}

/// Whether a passthrough can join some router to its host.
fn joins(object: &Object<L3PassthroughSpec>, node: &Node) -> Result<(), Refusal> {
    // Its own AS: whether an Underlay has the same one is a question about two objects.
    let asn = u32::try_from(object.spec.host_session.asn)
        .map_err(|_| invalid("spec.hostSession.asn", "asn must be 1 to 4294967295"))?;
    join(object, &Router { asn, router_id: std::net::Ipv4Addr::LOCALHOST }, "", node).map(drop)
}

fn read(stored: &[Stored<'_>]) -> Result<Objects, Outcome> {
    let (mut objects, mut verdicts) = (Objects::default(), Vec::new());
    for stored in stored {
        // A Secret may come later than the object that names it.
        cluster::add(stored, &|_| Ok("unread".to_owned()), &mut objects, &mut verdicts);
    }
    match verdicts.into_iter().next() {
        None => Ok(objects),
        Some(Verdict { outcome, .. }) => Err(outcome),
    }
}

/// Which nodes; an operator that does not exist is found on any of them.
fn selector(spec: &Json) -> Result<Option<LabelSelector>, String> {
    let selector = cluster::node_selector(spec)?;
    if let Some(selector) = &selector {
        selector.matches(&Node::new("", 0).labels).map_err(|error| error.to_string())?;
    }
    Ok(selector)
}

fn bad_selector(kind: Kind, what: &str) -> Refusal {
    let kinds = plural(kind);
    invalid("spec.nodeSelector", format!("failed to filter {kinds} for any node: {what}"))
}

fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Underlay => "underlays",
        Kind::L3Passthrough => "l3passthroughs",
    }
}

/// Refuses the second of its kind on a node, unless it was that before.
fn alone(
    request: &Request<'_>,
    selector: Option<&LabelSelector>,
    before: Option<&Option<Option<LabelSelector>>>,
    others: &[Stored<'_>],
    nodes: &[Node],
) -> Result<(), Refusal> {
    let kind = request.object.kind;
    // Whoever cannot be read selects nothing, and an earlier self that cannot be read was nowhere.
    let before = |node: &Node| match before {
        Some(Some(before)) => selects(before.as_ref(), node),
        Some(None) | None => false,
    };
    for other in others.iter().filter(|other| other.kind == kind) {
        let Ok(theirs) = cluster::node_selector(other.spec) else { continue };
        let meets = |node: &&Node| selects(selector, node) && selects(theirs.as_ref(), node) && !before(node);
        let unborn = Node::new("", 0);
        let (place, met) = match nodes.iter().find(meets) {
            Some(node) => (format!("node \"{}\"", node.name), true),
            None => {
                let unborn =
                    nodes.is_empty() && everywhere(selector) && everywhere(theirs.as_ref()) && !before(&unborn);
                ("any node".to_owned(), unborn)
            }
        };
        if met {
            let word = plural(kind).trim_end_matches('s');
            let message = format!(
                "failed to validate {} for {place}: can't have more than one {word} per node: \"{}\" selects it too; remove one of them or narrow its nodeSelector",
                plural(kind),
                other.name
            );
            return Err(Refusal { reason: "ValidationFailed", field: Some("spec.nodeSelector".into()), message });
        }
    }
    Ok(())
}

fn selects(selector: Option<&LabelSelector>, node: &Node) -> bool {
    selector.is_none_or(|selector| selector.matches(&node.labels).unwrap_or(false))
}

fn everywhere(selector: Option<&LabelSelector>) -> bool {
    let none = |selector: &LabelSelector| {
        selector.match_labels.iter().flatten().count() + selector.match_expressions.iter().flatten().count() == 0
    };
    selector.is_none_or(none)
}

/// What may not change in a passthrough. The definition has the rule too, which API servers before 1.25 do not know.
fn kept_passthrough(spec: &L3PassthroughSpec, before: Option<&Json>) -> Result<(), Refusal> {
    let before = before.and_then(|before| before.pointer("/hostSession/localCIDR")).cloned();
    let before = before.and_then(|before| serde_json::from_value(before).ok());
    match before {
        Some(before) if spec.host_session.local_cidr != before => {
            Err(invalid("spec.hostSession.localCIDR", "LocalCIDR can't be changed"))
        }
        Some(_) | None => Ok(()),
    }
}

/// What may not change in an Underlay: the interfaces that a plugin makes.
fn kept_underlay(spec: &UnderlaySpec, before: Option<&Json>) -> Result<(), Refusal> {
    let before = before.and_then(|before| before.get("interfaces")).cloned();
    let before: Vec<UnderlayInterface> =
        before.and_then(|before| serde_json::from_value(before).ok()).unwrap_or_default();
    for (index, interface) in spec.interfaces.iter().enumerate() {
        let Some(was) = before.iter().find(|was| link(was) == link(interface)) else { continue };
        let (name, remedy) = (link(interface), "delete and recreate the Underlay to change it");
        let field = |field: &str| format!("spec.interfaces[{index}].{field}");
        if was.kind != interface.kind {
            let (from, to) = (word(was.kind), word(interface.kind));
            let message = format!("type of interface \"{name}\" is immutable ({from} to {to}), {remedy}");
            return Err(invalid(&field("type"), message));
        }
        if let (Some(was), Some(is)) = (&was.cni_device, &interface.cni_device) {
            let parts = [
                ("rawConfig", &was.raw_config, &is.raw_config),
                ("runtimeConfig", &was.runtime_config, &is.runtime_config),
            ];
            if let Some((part, _, _)) = parts.iter().find(|(_, was, is)| was != is) {
                let message = format!("cni {part} for interface \"{name}\" is immutable, {remedy}");
                return Err(invalid(&field(&format!("cniDevice.{part}")), message));
            }
        }
    }
    Ok(())
}

fn link(interface: &UnderlayInterface) -> &str {
    let device = interface.network_device.as_ref().map(|device| device.interface_name.as_str());
    device.or(interface.cni_device.as_ref().map(|device| device.interface_name.as_str())).unwrap_or_default()
}

fn word(kind: InterfaceKind) -> &'static str {
    match kind {
        InterfaceKind::NetworkDevice => "NetworkDevice",
        InterfaceKind::CniDevice => "CNIDevice",
    }
}

/// What becomes of the object on the nodes that it selects, as far as that is worth a word.
fn remarks(mut object: Objects, others: &[Stored<'_>], nodes: &[Node]) -> Vec<String> {
    let reference = object.underlays.first().map(|object| object.reference.clone());
    let Some(reference) = reference.or(object.passthroughs.first().map(|object| object.reference.clone())) else {
        return Vec::new();
    };
    for other in others {
        // What cannot be read is in nobody's way.
        if let Ok(read) = read(&[*other]) {
            object.underlays.extend(read.underlays);
            object.passthroughs.extend(read.passthroughs);
        }
    }
    let mut remarks: Vec<String> = Vec::new();
    let unborn = [Node::new("", 0)];
    for node in if nodes.is_empty() { &unborn[..] } else { nodes } {
        let outcome = compile(&object, node).verdicts.into_iter().find(|verdict| verdict.object == reference);
        let said = match outcome.map(|verdict| verdict.outcome) {
            Some(Outcome::Applied { warnings }) => warnings,
            Some(Outcome::Rejected { message, .. }) if !nodes.is_empty() => {
                vec![format!("node {}: {message}", node.name)]
            }
            Some(Outcome::Rejected { .. }) | None => Vec::new(),
        };
        let elsewhere = |remark: &String| !remark.starts_with("its nodeSelector does not select");
        for remark in said.into_iter().filter(elsewhere) {
            if remarks.len() == REMARKS {
                return remarks;
            }
            if !remarks.contains(&remark) {
                remarks.push(remark);
            }
        }
    }
    remarks
}

#[cfg(test)]
mod tests;

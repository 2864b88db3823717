//! Objects and node to intent, desired host and one verdict per object. Pure.
//!
//! Objects come in order of precedence. The first Underlay that selects this node and is valid makes the router; the
//! first L3Passthrough that does and that fits this router joins the host to it. Every other object of the kind that
//! selects the node is rejected and named; nothing that is wrong takes down anything that is right.
//!
//! Does not read files or the kernel, and does not compare with what is in force: engine and host do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use engine::intent::{Network, PeerIntent, RangeIntent, Role};
use engine::{Family, Intent};
use ipnet::IpNet;
use kernel::host::{DesiredHost, DesiredVeth};

use crate::files::{Object, Objects};
use crate::node::Node;
use crate::schema::kept::{PASSTHROUGH, UNDERLAY};
use crate::session::{self, Surroundings, Trouble};
use crate::types::{L3PassthroughSpec, UnderlaySpec};
use crate::verdict::{ObjectRef, Verdict};
use crate::{addresses, idle, validate};

pub mod admission;
mod choose;
mod joint;

use choose::{Chosen, Refusal, choose, invalid};
use joint::{Joint, join};

/// Name of the router's network namespace.
pub const NAMESPACE: &str = "perouter";
/// Name of the host's end of the veth pair.
pub const HOST_LINK: &str = "pt-host";
/// Name of the router's end of the veth pair.
pub const ROUTER_LINK: &str = "pt-ns";

/// Most neighbours because of ranges unless the Underlay says so.
pub(crate) const LISTEN_LIMIT: usize = 65_535;

/// What a node is to be.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// The router; `None` without a usable Underlay.
    pub intent: Option<Intent>,
    /// Where the host's routes go, when `hostRoutes` asks for them.
    pub host_table: Option<kernel::host_table::HostTable>,
    /// The host; `None` without a usable Underlay.
    pub host: Option<DesiredHost>,
    /// One per object.
    pub verdicts: Vec<Verdict>,
    /// Sessions of objects in force that nevertheless are not: a key that cannot be read, a link that is not there, a
    /// family that is not served. One sentence each, which is among the verdict's remarks too.
    pub left_out: Vec<String>,
    /// Files that hold session keys, readable or not: a change of one is a change of the configuration.
    pub secret_files: Vec<PathBuf>,
    /// The objects that the router is made of.
    pub in_force: InForce,
}

/// The objects that a router is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// The Underlay.
    pub underlay: Option<ObjectRef>,
    /// The L3Passthrough.
    pub passthrough: Option<ObjectRef>,
}

/// Compiles.
pub fn compile(objects: &Objects, node: &Node) -> Compiled {
    compile_beside(objects, node, &[])
}

/// Compiles for a router that is joined to the host with these addresses although no passthrough says so: fabric
/// neighbours have the families that they would have with it.
pub fn compile_beside(objects: &Objects, node: &Node, kept: &[IpNet]) -> Compiled {
    let mut underlays = choose(
        &objects.underlays,
        node,
        "underlay",
        |spec| spec.node_selector.as_ref(),
        |underlay| router(underlay, node),
    );
    let rejected = underlays.verdicts.iter().find(|verdict| !verdict.is_applied()).map(|verdict| &verdict.object.name);
    let unusable = rejected.or(objects.unreadable_underlays.first());
    let mut passthroughs = choose(
        &objects.passthroughs,
        node,
        "l3passthrough",
        |spec| spec.node_selector.as_ref(),
        |passthrough| match &underlays.chosen {
            Some(chosen) => join(passthrough, &chosen.product, &chosen.object.reference.name, node),
            None => Err(no_underlay(unusable, node)),
        },
    );

    let joint = passthroughs.chosen.as_ref().map(|chosen| &chosen.product);
    let mut left_out = Vec::new();
    let (intent, host) = match &underlays.chosen {
        Some(Chosen { object, product, .. }) => {
            let (intent, remarks, without) = intent(object, *product, joint, kept);
            let name = &object.reference.name;
            left_out.extend(without.into_iter().map(|sentence| format!("Underlay {name}: {sentence}")));
            let host = host(&object.spec, joint);
            underlays.remark(remarks);
            (Some(intent), Some(host))
        }
        None => (None, None),
    };
    let host_table = joint.and_then(|joint| joint.routes.as_ref()).map(|(_, table)| table.clone());
    if let Some((field, what)) = joint.and_then(|joint| joint.host.absent.as_ref()) {
        let name = passthroughs.chosen.as_ref().map_or("", |chosen| &chosen.object.reference.name);
        left_out.push(format!("L3Passthrough {name}: {field}: {what}"));
    }
    let remarks = passthroughs.chosen.as_ref().map(passthrough_remarks);
    passthroughs.remark(remarks.into_iter().flatten());
    let in_force = InForce {
        underlay: underlays.chosen.as_ref().map(|chosen| chosen.object.reference.clone()),
        passthrough: passthroughs.chosen.as_ref().map(|chosen| chosen.object.reference.clone()),
    };
    let mut verdicts = underlays.verdicts;
    verdicts.extend(passthroughs.verdicts);
    Compiled { intent, host_table, host, verdicts, left_out, secret_files: secret_files(objects), in_force }
}

fn passthrough_remarks(chosen: &Chosen<'_, L3PassthroughSpec, Joint>) -> Vec<String> {
    let written = serde_json::to_value(&chosen.object.spec).unwrap_or_default();
    let mut remarks = idle::remarks(&PASSTHROUGH, &written, "spec");
    let about = &chosen.product.host.remarks;
    remarks.extend(about.iter().map(|(field, message)| format!("{field}: {message}")));
    remarks
}

fn secret_files(objects: &Objects) -> Vec<PathBuf> {
    let underlays = objects.underlays.iter().flat_map(|object| &object.secrets.files);
    let passthroughs = objects.passthroughs.iter().flat_map(|object| &object.secrets.files);
    let files: BTreeSet<_> = underlays.chain(passthroughs).cloned().collect();
    files.into_iter().collect()
}

fn no_underlay(unusable: Option<&String>, node: &Node) -> Refusal {
    let message = match unusable {
        Some(name) => format!("the Underlay \"{name}\" of this node is rejected, a passthrough needs it: repair it"),
        None => format!("no Underlay selects node \"{}\", a passthrough needs one: add it", node.name),
    };
    Refusal { reason: "DependencyFailed", field: None, message }
}

/// What an Underlay alone settles.
#[derive(Clone, Copy)]
struct Router {
    asn: u32,
    router_id: std::net::Ipv4Addr,
}

fn router(underlay: &Object<UnderlaySpec>, node: &Node) -> Result<Router, Refusal> {
    let Object { reference, spec, .. } = underlay;
    validate::underlay(&reference.name, spec).map_err(|fault| invalid(&fault.field, fault.message))?;
    let asn = u32::try_from(spec.asn).map_err(|_| invalid("spec.asn", "asn must be 1 to 4294967295"))?;
    let router_id = addresses::router_id(&spec.router_id_cidr, node.index).map_err(|error| {
        let (index, cidr) = (node.index, &spec.router_id_cidr);
        let message = format!("failed to get router id for node {index} from cidr {cidr}: {error}");
        invalid("spec.routerIDCIDR", message)
    })?;
    if router_id.is_unspecified() {
        return Err(invalid("spec.routerIDCIDR", "the router id would be 0.0.0.0: choose another range"));
    }
    if let Some(reflector) = &spec.route_reflector
        && reflector.cluster_id.parse::<std::net::Ipv4Addr>().is_err()
    {
        let message = format!("clusterID must be a valid IPv4 address, got \"{}\"", reflector.cluster_id);
        return Err(invalid("spec.routeReflector.clusterID", message));
    }
    let around = surroundings(spec, asn, None, &[]);
    for (index, neighbor) in spec.neighbors.iter().enumerate() {
        if let Err(Trouble::Invalid((field, message))) = session::build(neighbor, None, Role::Fabric, None, &around) {
            let dot = if field.is_empty() { "" } else { "." };
            return Err(invalid(&format!("spec.neighbors[{index}]{dot}{field}"), message));
        }
    }
    Ok(Router { asn, router_id })
}

fn intent(
    underlay: &Object<UnderlaySpec>,
    router: Router,
    joint: Option<&Joint>,
    kept: &[IpNet],
) -> (Intent, Vec<String>, Vec<String>) {
    let spec = &underlay.spec;
    let written = serde_json::to_value(spec).unwrap_or_default();
    let mut remarks = idle::remarks(&UNDERLAY, &written, "spec");
    let around = surroundings(spec, router.asn, joint, kept);
    let mut intent = Intent {
        asn: router.asn,
        router_id: router.router_id,
        peers: BTreeMap::new(),
        unnumbered: BTreeMap::new(),
        ranges: Vec::new(),
        listen_limit: spec.listen_limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LISTEN_LIMIT),
        networks: Vec::new(),
        multipath: session::options::multipath(spec.multipath.as_ref()),
        prefer_oldest: spec.best_path.as_ref().is_some_and(|best_path| best_path.prefer_oldest),
        host_routes: joint.and_then(|joint| joint.routes.as_ref()).map(|(routes, _)| routes.clone()),
        cluster_id: spec.route_reflector.as_ref().and_then(|reflector| reflector.cluster_id.parse().ok()),
        fib: true,
        advertise_after_fib: spec.advertise_after_fib,
    };
    let mut left_out = Vec::new();
    for (index, neighbor) in spec.neighbors.iter().enumerate() {
        let path = format!("spec.neighbors[{index}]");
        let unreadable = underlay.secrets.unreadable.get(&path).map(String::as_str);
        let about = match session::build(neighbor, None, Role::Fabric, unreadable, &around) {
            Ok(built) => built.add_to(&mut intent),
            Err(Trouble::LeftOut(remark) | Trouble::Invalid(remark)) => {
                let (field, message) = &remark;
                left_out.push(format!("{path}.{field}: {message}"));
                vec![remark]
            }
        };
        remarks.extend(about.into_iter().map(|(field, message)| format!("{path}.{field}: {message}")));
    }
    if let Some(Joint { plans, host, .. }) = joint {
        for plan in plans {
            let prefix = IpNet::from(plan.host.addr());
            intent.networks.push(Network { prefix, while_link_up: Some(ROUTER_LINK.into()) });
        }
        // The router restarts as a whole: what the host session does not say for itself is as on the fabric.
        let with_restart = |peer: &PeerIntent| {
            let graceful_restart = peer.graceful_restart.or(around.graceful_restart);
            PeerIntent { graceful_restart, ..peer.clone() }
        };
        for (address, peer) in &host.peers {
            if intent.peers.insert(*address, with_restart(peer)).is_some() {
                let what = "is this node's own host: left out, the host session stays";
                remarks.push(format!("spec.neighbors: {address} {what}"));
            }
        }
        let ranges = host.ranges.iter();
        intent.ranges.extend(ranges.map(|range| RangeIntent { peer: with_restart(&range.peer), ..range.clone() }));
    }
    (intent, remarks, left_out)
}

fn surroundings(spec: &UnderlaySpec, asn: u32, joint: Option<&Joint>, kept: &[IpNet]) -> Surroundings {
    Surroundings {
        asn,
        graceful_restart: spec.graceful_restart.as_ref().map(session::options::graceful_restart),
        reflects: spec.route_reflector.is_some(),
        extra_families: extra_families(spec, joint, kept),
        links: Some(nics(spec).collect()),
    }
}

fn nics(spec: &UnderlaySpec) -> impl Iterator<Item = String> {
    let devices = spec.interfaces.iter().filter_map(|interface| interface.network_device.as_ref());
    devices.map(|device| device.interface_name.clone())
}

/// Families that fabric neighbours get beside that of their own address: those of the passthrough and of tunnels.
fn extra_families(spec: &UnderlaySpec, joint: Option<&Joint>, kept: &[IpNet]) -> Vec<Family> {
    let kept = if joint.is_some() { &[] } else { kept };
    let of_host = joint.iter().flat_map(|joint| &joint.plans).map(|plan| plan.host).chain(kept.iter().copied());
    let tunnels = spec.tunnel_endpoint.iter().flat_map(|endpoint| endpoint.cidrs.iter().flatten());
    of_host.chain(tunnels.filter_map(|cidr| cidr.parse().ok())).map(|net| Family::of(&net)).collect()
}

fn host(spec: &UnderlaySpec, joint: Option<&Joint>) -> DesiredHost {
    DesiredHost {
        namespace: NAMESPACE.into(),
        nics: nics(spec).collect(),
        veth: joint.map(|joint| DesiredVeth {
            host_name: HOST_LINK.into(),
            ns_name: ROUTER_LINK.into(),
            host_addresses: joint.plans.iter().map(|plan| plan.host).collect(),
            ns_addresses: joint.plans.iter().map(|plan| plan.router).collect(),
        }),
        // The daemon puts its own here.
        state_dir: crate::speak::DEFAULT_STATE_DIR.into(),
    }
}

#[cfg(test)]
mod tests;

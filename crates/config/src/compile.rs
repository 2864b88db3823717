//! Objects and node to intent, desired host and one verdict per object. Pure.
//!
//! Objects come in order of precedence. The first Underlay that selects this node and is valid makes the router; the
//! first L3Passthrough that does and that fits this router joins the host to it. Every other object of the kind that
//! selects the node is rejected and named; nothing that is wrong takes down anything that is right.
//!
//! Does not read files or the kernel, and does not compare with what is in force: engine and host do.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use engine::Family;
use engine::Intent;
use engine::intent::{GracefulRestart, Multipath, Network, PeerIntent, RemoteAs, Role, Ttl};
use ipnet::IpNet;
use kernel::host::{DesiredHost, DesiredVeth};

use crate::addresses::{self, Plan};
use crate::files::{Object, Objects};
use crate::node::Node;
use crate::schema::line_of;
use crate::session::{self, Built, Surroundings};
use crate::types::{L3PassthroughSpec, LabelSelector, PeerType, UnderlaySpec};
use crate::validate;
use crate::verdict::{ObjectRef, Outcome, Source, Verdict};

/// Name of the router's network namespace.
pub const NAMESPACE: &str = "perouter";
/// Name of the host's end of the veth pair.
pub const HOST_LINK: &str = "pt-host";
/// Name of the router's end of the veth pair.
pub const ROUTER_LINK: &str = "pt-ns";

/// Longest wait between two attempts to reach the host's speaker.
const HOST_CONNECT_RETRY: Duration = Duration::from_secs(5);

/// What a node is to be.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The router; `None` without a usable Underlay.
    pub intent: Option<Intent>,
    /// Where the host's routes go, when `hostRoutes` asks for them.
    pub host_table: Option<kernel::host_table::HostTable>,
    /// The host; `None` without a usable Underlay.
    pub host: Option<DesiredHost>,
    /// One per object.
    pub verdicts: Vec<Verdict>,
}

/// Compiles.
pub fn compile(objects: &Objects, node: &Node) -> Compiled {
    let mut underlays = choose(
        &objects.underlays,
        node,
        "underlay",
        |spec| spec.node_selector.as_ref(),
        |underlay| router(underlay, node),
    );
    let rejected = underlays.verdicts.iter().find(|verdict| !verdict.is_applied()).map(|verdict| &verdict.object.name);
    let unusable = rejected.or(objects.unreadable_underlays.first());
    let passthroughs = choose(
        &objects.passthroughs,
        node,
        "l3passthrough",
        |spec| spec.node_selector.as_ref(),
        |passthrough| match &underlays.chosen {
            Some(chosen) => join(passthrough, &chosen.product, &chosen.object.reference.name, node),
            None => Err(no_underlay(unusable, node)),
        },
    );

    let (intent, host) = match underlays.chosen.take() {
        Some(Chosen { object, product: router, verdict }) => {
            let joint = passthroughs.chosen.map(|chosen| chosen.product);
            let (intent, remarks) = intent(&object.spec, router, joint.as_ref());
            if let Some(Verdict { outcome: Outcome::Applied { warnings }, .. }) = underlays.verdicts.get_mut(verdict) {
                warnings.extend(remarks);
            }
            (Some(intent), Some(host(&object.spec, joint.as_ref())))
        }
        None => (None, None),
    };
    let mut verdicts = underlays.verdicts;
    verdicts.extend(passthroughs.verdicts);
    Compiled { intent, host_table: None, host, verdicts }
}

/// Why an object is not in force.
struct Refusal {
    reason: &'static str,
    field: Option<String>,
    message: String,
}

fn invalid(field: &str, message: impl Into<String>) -> Refusal {
    Refusal { reason: "ValidationFailed", field: Some(field.into()), message: message.into() }
}

fn no_underlay(unusable: Option<&String>, node: &Node) -> Refusal {
    let message = match unusable {
        Some(name) => format!("the Underlay \"{name}\" of this node is rejected, a passthrough needs it: repair it"),
        None => format!("no Underlay selects node \"{}\", a passthrough needs one: add it", node.name),
    };
    Refusal { reason: "DependencyFailed", field: None, message }
}

/// The object in force, what was made of it and where its verdict is.
struct Chosen<'a, T, P> {
    object: &'a Object<T>,
    product: P,
    verdict: usize,
}

struct Choice<'a, T, P> {
    chosen: Option<Chosen<'a, T, P>>,
    verdicts: Vec<Verdict>,
}

/// Takes the first object that selects the node and that something can be made of.
fn choose<'a, T, P>(
    objects: &'a [Object<T>],
    node: &Node,
    kind: &str,
    selector: impl Fn(&T) -> Option<&LabelSelector>,
    mut make: impl FnMut(&'a Object<T>) -> Result<P, Refusal>,
) -> Choice<'a, T, P> {
    let mut chosen: Option<Chosen<'a, T, P>> = None;
    let mut verdicts = Vec::with_capacity(objects.len());
    for object in objects {
        let selected = selector(&object.spec).map_or(Ok(true), |selector| selector.matches(&node.labels));
        let made = match (selected, &chosen) {
            (Err(error), _) => {
                let message = format!("failed to filter {kind}s for node \"{}\": {error}", node.name);
                Err(invalid("spec.nodeSelector", message))
            }
            (Ok(false), _) => Ok(None),
            (Ok(true), Some(first)) => Err(Refusal {
                reason: "ValidationFailed",
                field: None,
                message: format!(
                    "can't have more than one {kind} per node: \"{}\" is in force; remove one of them or narrow its nodeSelector",
                    first.object.reference.name
                ),
            }),
            (Ok(true), None) => make(object).map(Some),
        };
        let outcome = match made {
            Ok(Some(product)) => {
                chosen = Some(Chosen { object, product, verdict: verdicts.len() });
                Outcome::Applied { warnings: object.warnings.clone() }
            }
            Ok(None) => {
                let remark = format!("its nodeSelector does not select node \"{}\": nothing to do here", node.name);
                Outcome::Applied { warnings: object.warnings.iter().cloned().chain([remark]).collect() }
            }
            Err(Refusal { reason, field, message }) => Outcome::Rejected { reason, field, message },
        };
        verdicts.push(Verdict { object: place(object, &outcome), outcome });
    }
    Choice { chosen, verdicts }
}

/// The object, with the line of the field that its rejection is about.
fn place<T>(object: &Object<T>, outcome: &Outcome) -> ObjectRef {
    let mut reference = object.reference.clone();
    if let Outcome::Rejected { field: Some(field), .. } = outcome
        && !object.lines.is_empty()
    {
        let Source::File { line, .. } = &mut reference.source;
        *line = line_of(&object.lines, field);
    }
    reference
}

/// What an Underlay alone settles.
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
    let around = Surroundings { asn, graceful_restart: false, extra_families: Vec::new() };
    for (index, neighbor) in spec.neighbors.iter().enumerate() {
        if let Built::Invalid((field, message)) = session::build(neighbor, None, Role::Fabric, &around) {
            let dot = if field.is_empty() { "" } else { "." };
            return Err(invalid(&format!("spec.neighbors[{index}]{dot}{field}"), message));
        }
    }
    Ok(Router { asn, router_id })
}

/// What joins the router to the host.
struct Joint {
    plans: Vec<Plan>,
    remote_as: RemoteAs,
}

fn join(
    passthrough: &Object<L3PassthroughSpec>,
    router: &Router,
    underlay: &str,
    node: &Node,
) -> Result<Joint, Refusal> {
    const SESSION: &str = "spec.hostSession";
    let session = &passthrough.spec.host_session;
    if session.asn != i64::from(router.asn) {
        let message = format!(
            "hostSession.asn is {}, but the Underlay \"{underlay}\" of this node has asn {}: the router has one AS, write the same number in both",
            session.asn, router.asn
        );
        return Err(invalid(&format!("{SESSION}.asn"), message));
    }
    let remote_as = match (session.host_asn, session.host_type) {
        (Some(_), Some(_)) => {
            return Err(invalid(SESSION, "HostASN and HostType cannot be set together"));
        }
        (None, None) => return Err(invalid(SESSION, "either HostASN or HostType must be set")),
        (None, Some(PeerType::External)) => RemoteAs::External,
        (None, Some(PeerType::Internal)) => RemoteAs::Internal,
        (Some(asn), None) => match u32::try_from(asn) {
            Ok(asn) if asn > 0 => RemoteAs::Number(asn),
            Ok(_) | Err(_) => {
                let message = format!("hostASN must be 1 to 4294967295, got {asn}");
                return Err(invalid(&format!("{SESSION}.hostASN"), message));
            }
        },
    };
    let name = &passthrough.reference.name;
    let cidrs = [(4_u8, "ipv4", &session.local_cidr.ipv4), (6, "ipv6", &session.local_cidr.ipv6)];
    let mut plans = Vec::new();
    for (family, key, cidr) in cidrs {
        let Some(cidr) = cidr else { continue };
        let field = format!("{SESSION}.localCIDR.{key}");
        let net = addresses::parse_family(cidr, family)
            .map_err(|error| invalid(&field, format!("invalid local CIDR {cidr} for l3passthrough {name}: {error}")))?;
        plans.push(addresses::plan(net, node.index).map_err(|error| invalid(&field, error.to_string()))?);
    }
    if plans.is_empty() {
        let message = format!("at least one local CIDR (IPv4 or IPv6) must be provided for l3passthrough {name}");
        return Err(invalid(&format!("{SESSION}.localCIDR"), message));
    }
    Ok(Joint { plans, remote_as })
}

fn intent(spec: &UnderlaySpec, router: Router, joint: Option<&Joint>) -> (Intent, Vec<String>) {
    let mut remarks = not_served(spec);
    let around = Surroundings {
        asn: router.asn,
        graceful_restart: spec.graceful_restart.is_some(),
        extra_families: extra_families(spec, joint),
    };
    let mut peers = BTreeMap::new();
    for (index, neighbor) in spec.neighbors.iter().enumerate() {
        let mut remark = |field: &str, message: String| {
            remarks.push(format!("spec.neighbors[{index}].{field}: {message}"));
        };
        match session::build(neighbor, None, Role::Fabric, &around) {
            Built::Peer(address, peer, about) => {
                about.into_iter().for_each(|(field, message)| remark(field, message));
                peers.insert(address, *peer);
            }
            Built::NotServed((field, message)) | Built::Invalid((field, message)) => remark(field, message),
        }
    }
    let mut networks = Vec::new();
    for plan in joint.iter().flat_map(|joint| &joint.plans) {
        let address = plan.host.addr();
        networks.push(Network { prefix: IpNet::from(address), while_link_up: Some(ROUTER_LINK.into()) });
        let remote_as = joint.map_or(RemoteAs::External, |joint| joint.remote_as);
        if peers.insert(address, host_peer(address, remote_as, router.asn)).is_some() {
            remarks
                .push(format!("spec.neighbors: {address} is this node's own host: left out, the host session stays"));
        }
    }
    let seconds = |value: i64| Duration::from_secs(u64::try_from(value).unwrap_or(1).clamp(1, 4095));
    let intent = Intent {
            unnumbered: BTreeMap::new(),
            host_routes: None,
            ranges: Vec::new(),
            listen_limit: 65_535,
        asn: router.asn,
        router_id: router.router_id,
        peers,
        networks,
        graceful_restart: spec.graceful_restart.as_ref().map(|times| GracefulRestart {
            restart_time: seconds(times.restart_time_seconds),
            stale_time: seconds(times.stale_path_time_seconds),
        }),
        multipath: Multipath::default(),
        cluster_id: spec.route_reflector.as_ref().and_then(|reflector| reflector.cluster_id.parse().ok()),
        fib: true,
    };
    (intent, remarks)
}

fn host_peer(address: IpAddr, remote_as: RemoteAs, asn: u32) -> PeerIntent {
    let (name, family) = match address {
        IpAddr::V4(_) => ("host-ipv4", Family::Ipv4Unicast),
        IpAddr::V6(_) => ("host-ipv6", Family::Ipv6Unicast),
    };
    let mut peer = PeerIntent::new(name, Role::Host, remote_as, vec![family]);
    peer.connect_retry = HOST_CONNECT_RETRY;
    peer.ttl = Ttl::System;
    peer.allow_own_as = 0;
    // With iBGP on both sides routes would otherwise stop here (RFC 4456).
    peer.next_hop_self = true;
    // A speaker on the node may name any of the node's addresses: all of them are behind the veth.
    peer.link = Some(ROUTER_LINK.into());
    peer
}

/// Families that fabric neighbours get beside that of their own address: those of the passthrough and of tunnels.
fn extra_families(spec: &UnderlaySpec, joint: Option<&Joint>) -> Vec<Family> {
    let of_host = joint.iter().flat_map(|joint| &joint.plans).map(|plan| plan.host);
    let tunnels = spec.tunnel_endpoint.iter().flat_map(|endpoint| endpoint.cidrs.iter().flatten());
    of_host.chain(tunnels.filter_map(|cidr| cidr.parse().ok())).map(|net| Family::of(&net)).collect()
}

/// Fields that this version understands and does nothing with.
fn not_served(spec: &UnderlaySpec) -> Vec<String> {
    let mut remarks = Vec::new();
    let fields = [
        ("tunnelEndpoint", spec.tunnel_endpoint.is_some()),
        ("isis", spec.isis.is_some()),
        ("srv6", spec.srv6.is_some()),
    ];
    for (field, _) in fields.into_iter().filter(|(_, set)| *set) {
        remarks.push(format!("spec.{field}: is for overlays, which perouter does not serve: it has no effect"));
    }
    for (index, device) in spec.interfaces.iter().enumerate() {
        if let Some(device) = &device.cni_device {
            remarks.push(format!(
                "spec.interfaces[{index}].cniDevice: CNI devices are not served by this version: {} is not made; use a NetworkDevice",
                device.interface_name
            ));
        }
    }
    remarks
}

fn host(spec: &UnderlaySpec, joint: Option<&Joint>) -> DesiredHost {
    let devices = spec.interfaces.iter().filter_map(|interface| interface.network_device.as_ref());
    DesiredHost {
        namespace: NAMESPACE.into(),
        nics: devices.map(|device| device.interface_name.clone()).collect(),
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

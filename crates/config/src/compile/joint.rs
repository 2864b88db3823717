//! What joins the router to the host: addresses of the veth pair, the host's session, routes on the host.

use engine::intent::{HostRoutes, RemoteAs};
use kernel::host_table::HostTable;

use super::choose::{Refusal, invalid};
use super::{HOST_LINK, Router};
use crate::addresses::{self, Plan};
use crate::files::Object;
use crate::node::Node;
use crate::session::host::Host;
use crate::session::{self, options};
use crate::types::{self, HostSession, L3PassthroughSpec};
use crate::validate;

const SESSION: &str = "spec.hostSession";

/// What a passthrough settles.
pub(super) struct Joint {
    pub(super) plans: Vec<Plan>,
    pub(super) host: Host,
    pub(super) routes: Option<(HostRoutes, HostTable)>,
}

/// Fits a passthrough to the router that the Underlay `underlay` makes.
pub(super) fn join(
    passthrough: &Object<L3PassthroughSpec>,
    router: &Router,
    underlay: &str,
    node: &Node,
) -> Result<Joint, Refusal> {
    let session = &passthrough.spec.host_session;
    if session.asn != i64::from(router.asn) {
        let message = format!(
            "hostSession.asn is {}, but the Underlay \"{underlay}\" of this node has asn {}: the router has one AS, write the same number in both",
            session.asn, router.asn
        );
        return Err(invalid(&format!("{SESSION}.asn"), message));
    }
    if let Some(key) = &session.password {
        validate::password(key).map_err(|message| invalid(&format!("{SESSION}.password"), message))?;
    }
    let remote_as = remote_as(session)?;
    let plans = plans(&passthrough.reference.name, session, node)?;
    let unreadable = passthrough.secrets.unreadable.get(SESSION).map(String::as_str);
    let mut host = session::host::build(session, remote_as, router.asn, &plans, unreadable)
        .map_err(|(field, message)| invalid(&format!("{SESSION}.{field}"), message))?;
    for (field, _) in &mut host.remarks {
        *field = format!("{SESSION}.{field}");
    }
    let routes = passthrough.spec.host_routes.as_ref().map(|routes| host_routes(routes, &plans)).transpose()?;
    Ok(Joint { plans, host, routes })
}

fn remote_as(session: &HostSession) -> Result<RemoteAs, Refusal> {
    session::remote_as(session.host_asn, session.host_type).ok_or_else(|| {
        let (field, message) = match (session.host_asn, session.host_type) {
            (Some(_), Some(_)) => ("", "HostASN and HostType cannot be set together".into()),
            (None, _) => ("", "either HostASN or HostType must be set".into()),
            (Some(asn), None) => (".hostASN", format!("hostASN must be 1 to 4294967295, got {asn}")),
        };
        invalid(&format!("{SESSION}{field}"), message)
    })
}

fn plans(name: &str, session: &HostSession, node: &Node) -> Result<Vec<Plan>, Refusal> {
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
    Ok(plans)
}

fn host_routes(routes: &types::HostRoutes, plans: &[Plan]) -> Result<(HostRoutes, HostTable), Refusal> {
    const FIELD: &str = "spec.hostRoutes";
    let number = |key: &str, value: i64| {
        u32::try_from(value)
            .ok()
            .filter(|value| *value > 0)
            .ok_or_else(|| invalid(&format!("{FIELD}.{key}"), format!("{key} must be 1 to 4294967295, got {value}")))
    };
    let prefixes = options::prefix_rules(routes.prefixes.as_deref(), "prefixes")
        .map_err(|(field, message)| invalid(&format!("{FIELD}.{field}"), message))?;
    let table = HostTable {
        table: number("table", routes.table)?,
        metric: number("metric", routes.metric)?,
        link: HOST_LINK.into(),
        gateways: plans.iter().map(|plan| plan.router.addr()).collect(),
    };
    Ok((HostRoutes { prefixes, allow_default: routes.allow_default }, table))
}

//! What the kernel of a namespace holds, as `ip -j` tells it: a witness from outside for what the router claims.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use serde_json::Value;

use crate::process;
use crate::{Family, LabError, Result};

/// A unicast route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub prefix: IpNet,
    /// Gateways, resolved through the next-hop object if the route points at one; empty for on-link.
    pub gateways: Vec<IpAddr>,
    /// Next-hop object that the route points at.
    pub nexthop_id: Option<u64>,
    /// Whether that object is a group.
    pub grouped: bool,
    /// Metric; 0 when the kernel names none.
    pub metric: u64,
    /// Who installed it, as `ip` names it (`kernel`, `bird`, a number, ..).
    pub protocol: String,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Kernel index.
    pub index: u64,
    /// Name.
    pub name: String,
    /// Administratively up.
    pub up: bool,
    /// MTU in bytes.
    pub mtu: u64,
    /// Addresses except link-local ones, sorted.
    pub addresses: Vec<IpNet>,
}

/// Whether a namespace of this name exists.
pub fn has_namespace(name: &str) -> bool {
    Path::new("/var/run/netns").join(name).exists()
}

/// Changes something: `ip ARGS` in a namespace.
pub fn change(ns: &str, args: &[&str]) -> Result<()> {
    process::ip(&[&["-n", ns], args].concat()).map(drop)
}

/// Routes of the main table.
pub fn routes(ns: &str, family: Family) -> Result<Vec<Route>> {
    routes_of(ns, family, "main")
}

/// Routes of a table, by number or name.
pub fn routes_of(ns: &str, family: Family, table: &str) -> Result<Vec<Route>> {
    let nexthops = json(&["-n", ns, "-j", "nexthop"])?;
    let routes = json(&["-n", ns, "-j", family_flag(family), "route", "show", "table", table])?;
    Ok(routes.iter().filter_map(|r| route(r, &nexthops, family)).collect())
}

/// Links with their addresses.
pub fn links(ns: &str) -> Result<Vec<Link>> {
    Ok(json(&["-n", ns, "-j", "address"])?.iter().filter_map(link).collect())
}

/// One link by name.
pub fn link_named(ns: &str, name: &str) -> Result<Link> {
    let found = links(ns)?.into_iter().find(|l| l.name == name);
    found.ok_or_else(|| LabError::new(format!("namespace {ns} has no link {name}")))
}

/// Packets that a link has sent so far.
pub fn packets_sent(ns: &str, name: &str) -> Result<u64> {
    let links = json(&["-n", ns, "-s", "-j", "link", "show", "dev", name])?;
    let sent = links.first().and_then(|l| l["stats64"]["tx"]["packets"].as_u64());
    sent.ok_or_else(|| LabError::new(format!("link {name} in {ns} has no counters")))
}

fn family_flag(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "-4",
        Family::Ipv6 => "-6",
    }
}

fn json(args: &[&str]) -> Result<Vec<Value>> {
    let text = process::ip(args)?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    match serde_json::from_str(&text) {
        Ok(Value::Array(values)) => Ok(values),
        other => Err(LabError::new(format!("ip {}: not a JSON list: {other:?}", args.join(" ")))),
    }
}

fn route(value: &Value, nexthops: &[Value], family: Family) -> Option<Route> {
    let nexthop_id = value["nhid"].as_u64();
    let object = |id: u64| nexthops.iter().find(|n| n["id"].as_u64() == Some(id));
    let gateway = |v: &Value| v["gateway"].as_str().or_else(|| v["via"]["host"].as_str())?.parse().ok();
    let group = nexthop_id.and_then(object).and_then(|n| n["group"].as_array());
    let gateways = match (nexthop_id, group, value["nexthops"].as_array()) {
        (_, Some(members), _) => {
            members.iter().filter_map(|m| m["id"].as_u64()).filter_map(object).filter_map(gateway).collect()
        }
        (Some(id), None, _) => object(id).and_then(gateway).into_iter().collect(),
        (None, None, Some(hops)) => hops.iter().filter_map(gateway).collect(),
        (None, None, None) => gateway(value).into_iter().collect(),
    };
    Some(Route {
        prefix: prefix(value["dst"].as_str()?, family)?,
        gateways,
        nexthop_id,
        grouped: group.is_some(),
        metric: value["metric"].as_u64().unwrap_or_default(),
        protocol: value["protocol"].as_str().unwrap_or_default().to_owned(),
    })
}

fn link(value: &Value) -> Option<Link> {
    let mut addresses: Vec<IpNet> = value["addr_info"]
        .as_array()?
        .iter()
        .filter(|a| a["scope"] != "link")
        .filter_map(|a| format!("{}/{}", a["local"].as_str()?, a["prefixlen"]).parse().ok())
        .collect();
    addresses.sort();
    Some(Link {
        index: value["ifindex"].as_u64()?,
        name: value["ifname"].as_str()?.to_owned(),
        up: value["flags"].as_array()?.iter().any(|f| f == "UP"),
        mtu: value["mtu"].as_u64()?,
        addresses,
    })
}

/// `ip` leaves the length out for single addresses and says `default` for everything.
fn prefix(text: &str, family: Family) -> Option<IpNet> {
    if text == "default" {
        return match family {
            Family::Ipv4 => "0.0.0.0/0".parse().ok(),
            Family::Ipv6 => "::/0".parse().ok(),
        };
    }
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

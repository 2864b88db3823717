//! What a schema cannot say about an Underlay, in upstream's sentences. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::addresses;
use crate::types::{InterfaceKind, Neighbor, UnderlaySpec};

/// The longest key that Linux takes for TCP-MD5.
const LONGEST_KEY: usize = 80;

/// A field and what is wrong with it.
pub(crate) struct Fault {
    pub(crate) field: String,
    pub(crate) message: String,
}

fn fault(field: impl Into<String>, message: impl Into<String>) -> Fault {
    Fault { field: field.into(), message: message.into() }
}

/// Checks an Underlay named `name`; the first fault found, from the top of the object down.
pub(crate) fn underlay(name: &str, spec: &UnderlaySpec) -> Result<(), Fault> {
    if !(1..=i64::from(u32::MAX)).contains(&spec.asn) {
        return Err(fault("spec.asn", format!("underlay {name} must have a valid ASN")));
    }
    if spec.neighbors.is_empty() {
        let message = format!("underlay {name} must have at least one neighbor configured");
        return Err(fault("spec.neighbors", message));
    }
    neighbors(name, &spec.neighbors)?;
    interfaces(name, spec)?;
    overlay(name, spec)
}

fn neighbors(name: &str, neighbors: &[Neighbor]) -> Result<(), Fault> {
    let mut addresses = BTreeSet::new();
    let mut links = BTreeSet::new();
    let mut ranges: Vec<(&str, IpNet)> = Vec::new();
    for (index, neighbor) in neighbors.iter().enumerate() {
        let field = |field: &str| format!("spec.neighbors[{index}].{field}");
        if let Some(text) = &neighbor.address
            && let Ok(address) = text.parse::<IpAddr>()
            && !addresses.insert(address)
        {
            let message = format!("underlay {name} has duplicate neighbor address: duplicate entry {text}");
            return Err(fault(field("address"), message));
        }
        if let Some(link) = &neighbor.interface
            && !links.insert(link)
        {
            let message = format!(
                "underlay {name} has duplicate neighbor interface names, only one peer is allowed per interface: duplicate entry {link}"
            );
            return Err(fault(field("interface"), message));
        }
        if let Some(text) = &neighbor.listen_range {
            let Ok(range) = text.parse::<IpNet>() else {
                let message = format!("underlay {name}: invalid listenRange {text}: write it as address/length");
                return Err(fault(field("listenRange"), message));
            };
            let range = range.trunc();
            let clash = ranges.iter().find(|(_, other)| other.contains(&range) || range.contains(other));
            if let Some((other, _)) = clash {
                let message = format!("underlay {name}: listenRange {other} overlaps with listenRange {text}");
                return Err(fault(field("listenRange"), message));
            }
            ranges.push((text, range));
        }
        if let Some(key) = &neighbor.password {
            password(key).map_err(|message| fault(field("password"), message))?;
        }
    }
    Ok(())
}

/// Checks a TCP-MD5 key. Never repeats it.
pub(crate) fn password(key: &str) -> Result<(), String> {
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err("password must not be empty and must not contain whitespace".into());
    }
    if key.len() > LONGEST_KEY {
        let length = key.len();
        return Err(format!("password has {length} bytes, TCP-MD5 in Linux takes at most {LONGEST_KEY}: shorten it"));
    }
    Ok(())
}

fn interfaces(name: &str, spec: &UnderlaySpec) -> Result<(), Fault> {
    let mut seen = BTreeSet::new();
    for (index, interface) in spec.interfaces.iter().enumerate() {
        let device = interface.network_device.as_ref().map(|device| ("networkDevice", &device.interface_name));
        let cni = interface.cni_device.as_ref().map(|device| ("cniDevice", &device.interface_name));
        let (part, link) = match (interface.kind, device, cni) {
            (InterfaceKind::NetworkDevice, Some(found), None) | (InterfaceKind::CniDevice, None, Some(found)) => found,
            (InterfaceKind::NetworkDevice, _, _) => {
                let what = "type/config mismatch: networkDevice must be set if and only if type is 'NetworkDevice'";
                return Err(fault(format!("spec.interfaces[{index}]"), what));
            }
            (InterfaceKind::CniDevice, _, _) => {
                let what = "type/config mismatch: cniDevice must be set if and only if type is 'CNIDevice'";
                return Err(fault(format!("spec.interfaces[{index}]"), what));
            }
        };
        let field = format!("spec.interfaces[{index}].{part}.interfaceName");
        let invalid = |what: String| format!("underlay {name} has invalid interfaces: {what}");
        if let Err(what) = link_name(link) {
            return Err(fault(field, invalid(format!("invalid interface name {link}: {what}"))));
        }
        if !seen.insert(link) {
            return Err(fault(field, invalid(format!("duplicate underlay interface name {link}"))));
        }
        if spec.interfaces.first().is_some_and(|first| first.kind != interface.kind) {
            let what = invalid("all interfaces must be of the same type".into());
            return Err(fault(format!("spec.interfaces[{index}].type"), what));
        }
    }
    Ok(())
}

fn link_name(link: &str) -> Result<(), String> {
    if link.len() > 15 {
        return Err(format!("interface name {link} can't be longer than 15 characters"));
    }
    let mut characters = link.chars();
    let begins = characters.next().is_some_and(|first| first.is_ascii_alphabetic());
    let goes_on = characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if begins && goes_on { Ok(()) } else { Err(format!("interface name {link} contains invalid characters")) }
}

fn overlay(name: &str, spec: &UnderlaySpec) -> Result<(), Fault> {
    if let Some(endpoint) = &spec.tunnel_endpoint {
        let cidrs = endpoint.cidrs.as_deref().unwrap_or_default();
        if cidrs.is_empty() {
            let message = format!("underlay {name}: tunnel endpoint CIDRs must be specified");
            return Err(fault("spec.tunnelEndpoint.cidrs", message));
        }
        for (index, cidr) in cidrs.iter().enumerate() {
            if addresses::parse(cidr).is_err() {
                let message = format!(
                    "invalid tunnel endpoint CIDRs for underlay {name}: [{}] - invalid cidr: invalid CIDR address: {cidr}",
                    cidrs.join(" ")
                );
                return Err(fault(format!("spec.tunnelEndpoint.cidrs[{index}]"), message));
            }
        }
    }
    let format = spec.srv6.as_ref().and_then(|srv6| srv6.locator.as_ref()).and_then(|locator| locator.format.as_ref());
    match format {
        Some(format) if format != "usid-f3216" => {
            Err(fault("spec.srv6.locator.format", format!("invalid locator format \"{format}\"")))
        }
        Some(_) | None => Ok(()),
    }
}

//! Which addresses follow from a CIDR and a node's index.
//!
//! Per family: mask the CIDR; if the last byte of the network address is 0, the router is network + 1 and the host
//! network + index + 2, else the router is the network address itself and the host network + index + 1. Both keep
//! the prefix length, and the router's address is the same on every node. An IPv4 broadcast address is never handed
//! out. A /31 (RFC 3021) or /127 (RFC 6164) has room for one node: the router is the network address, the host the
//! other one. Pure arithmetic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Both ends of the veth pair in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The router's end.
    pub router: IpNet,
    /// The host's end.
    pub host: IpNet,
}

/// A CIDR that cannot serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither family has a CIDR.
    #[error("at least one pool must be provided (IPv4 or IPv6)")]
    NoPool,
    /// Not a CIDR.
    #[error("invalid CIDR \"{0}\": write it as address/length, such as 192.169.10.0/24 or 2001:db8::/64")]
    Invalid(String),
    /// A CIDR of the other family.
    #[error("{0} is an IPv{1} CIDR, an IPv{2} one belongs here")]
    WrongFamily(IpNet, u8, u8),
    /// No address left for this node.
    #[error("{cidr} has no address for node index {index}: it serves {}; use a shorter prefix", nodes(*capacity))]
    Exhausted {
        /// The CIDR, masked.
        cidr: IpNet,
        /// The node's index.
        index: u32,
        /// How many nodes it serves: indexes 0 to capacity - 1.
        capacity: u128,
    },
}

fn nodes(capacity: u128) -> String {
    match capacity {
        0 => "no node at all".into(),
        1 => "only node index 0".into(),
        _ => format!("node indexes 0 to {}", capacity - 1),
    }
}

/// Reads a CIDR.
pub fn parse(cidr: &str) -> Result<IpNet, AddressError> {
    cidr.parse::<IpNet>().map_err(|_| AddressError::Invalid(cidr.to_owned()))
}

/// The plan of one family for the node with this index.
pub fn plan(cidr: IpNet, index: u32) -> Result<Plan, AddressError> {
    let cidr = cidr.trunc();
    let exhausted = AddressError::Exhausted { cidr, index, capacity: capacity(cidr) };
    if u128::from(index) >= capacity(cidr) {
        return Err(exhausted);
    }
    let (router, host) = first_offsets(cidr);
    let address = |offset: u128| nth(cidr, offset).ok_or_else(|| exhausted.clone());
    Ok(Plan { router: address(router)?, host: address(host + u128::from(index))? })
}

/// The plans of both families; an error if neither is given.
pub fn plans(ipv4: Option<&str>, ipv6: Option<&str>, index: u32) -> Result<Vec<Plan>, AddressError> {
    let mut plans = Vec::new();
    for (pool, family) in [(ipv4, 4), (ipv6, 6)] {
        if let Some(pool) = pool {
            plans.push(plan(parse_family(pool, family)?, index)?);
        }
    }
    if plans.is_empty() { Err(AddressError::NoPool) } else { Ok(plans) }
}

/// Reads a CIDR that must be of IPv4 (4) or IPv6 (6).
pub fn parse_family(cidr: &str, family: u8) -> Result<IpNet, AddressError> {
    let net = parse(cidr)?;
    let got = if net.addr().is_ipv4() { 4 } else { 6 };
    if got == family { Ok(net) } else { Err(AddressError::WrongFamily(net, got, family)) }
}

/// How many nodes a CIDR serves.
fn capacity(cidr: IpNet) -> u128 {
    let host_bits = u32::from(cidr.max_prefix_len() - cidr.prefix_len());
    match host_bits {
        0 => return 0,
        1 => return 1,
        _ => {}
    }
    // Saturates for ::/0 only, one short of the truth.
    let size = 1_u128.checked_shl(host_bits).unwrap_or(u128::MAX);
    let broadcast = u128::from(cidr.addr().is_ipv4());
    let (_, host) = first_offsets(cidr);
    size - broadcast - host
}

/// Offsets of the router and of node 0's host from the network address.
fn first_offsets(cidr: IpNet) -> (u128, u128) {
    let pair = cidr.max_prefix_len() - cidr.prefix_len() == 1;
    let last_byte_zero = match cidr.network() {
        IpAddr::V4(address) => address.octets()[3] == 0,
        IpAddr::V6(address) => address.octets()[15] == 0,
    };
    if last_byte_zero && !pair { (1, 2) } else { (0, 1) }
}

/// Address number `offset` of a CIDR with the CIDR's prefix length; `None` beyond its end.
pub fn nth(cidr: IpNet, offset: u128) -> Option<IpNet> {
    let address = match cidr.network() {
        IpAddr::V4(network) => IpAddr::V4(Ipv4Addr::from(u32::from(network).checked_add(u32::try_from(offset).ok()?)?)),
        IpAddr::V6(network) => IpAddr::V6(Ipv6Addr::from(u128::from(network).checked_add(offset)?)),
    };
    if cidr.contains(&address) { IpNet::new(address, cidr.prefix_len()).ok() } else { None }
}

/// The router id of the node with this index: host number index + 1.
pub fn router_id(cidr: &str, index: u32) -> Result<Ipv4Addr, AddressError> {
    let net = parse_family(cidr, 4)?.trunc();
    match nth(net, u128::from(index) + 1).map(|id| id.addr()) {
        Some(IpAddr::V4(id)) => Ok(id),
        Some(IpAddr::V6(_)) | None => {
            let size = 1_u128 << (32 - u32::from(net.prefix_len()));
            Err(AddressError::Exhausted { cidr: net, index, capacity: size - 1 })
        }
    }
}

/// The tunnel end of the node with this index: host number index, as a /32 or /128.
pub fn tunnel_endpoint(cidr: &str, index: u32) -> Result<IpNet, AddressError> {
    let net = parse(cidr)?.trunc();
    nth(net, u128::from(index)).map(|address| IpNet::from(address.addr())).ok_or_else(|| {
        let host_bits = u32::from(net.max_prefix_len() - net.prefix_len());
        AddressError::Exhausted { cidr: net, index, capacity: 1_u128.checked_shl(host_bits).unwrap_or(u128::MAX) }
    })
}

/// Block number `index` of `size` addresses, each with the CIDR's prefix length; `None` beyond its end.
pub fn block(cidr: IpNet, size: u32, index: u32) -> Option<Vec<IpNet>> {
    let first = u128::from(size) * u128::from(index);
    (0..u128::from(size)).map(|offset| nth(cidr, first + offset)).collect()
}

#[cfg(test)]
mod tests;

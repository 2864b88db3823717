//! The decoders, for `fuzzed` alone: what reads bytes of the kernel, of other routers and of state files is private
//! otherwise.
//!
//! A module and no feature: what is fuzzed is then what is shipped, built once. Everything here is plain values.

use std::collections::HashSet;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::IpNet;

use crate::advertise::packet::Packet;
use crate::host::saved;
use crate::monitor::{self, Changes};
use crate::netlink::constants::{
    NLMSG_DONE, NLMSG_ERROR, RTM_DELADDR, RTM_DELLINK, RTM_DELNEXTHOP, RTM_DELROUTE, RTM_DELRULE, RTM_NEWADDR,
    RTM_NEWLINK, RTM_NEWNEXTHOP, RTM_NEWROUTE, RTM_NEWRULE,
};
use crate::netlink::{self, Attributes, Message};
use crate::{link, route, rule};

/// One netlink message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Netlink<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// What follows `nlmsghdr`.
    pub body: &'a [u8],
}

/// The messages of a datagram.
pub fn messages(datagram: &[u8]) -> Vec<Netlink<'_>> {
    netlink::messages(datagram).map(|Message { kind, flags, body, .. }| Netlink { kind, flags, body }).collect()
}

/// Type and value of each attribute.
pub fn attributes(bytes: &[u8]) -> Vec<(u16, &[u8])> {
    netlink::attributes(bytes).collect()
}

/// A whole message: the family's fixed header, then the attributes.
pub fn encode(kind: u16, flags: u16, header: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    netlink::encode(&mut out, kind, flags, |body: &mut Attributes<'_>| {
        body.raw(header);
        attributes.iter().for_each(|(kind, value)| body.bytes(*kind, value));
    });
    out
}

/// What a message is read as; `None` when it is not one of those that are read, or cannot be.
pub fn read(message: Netlink<'_>) -> Option<String> {
    let Netlink { kind, flags, body } = message;
    let whole = Message { kind, flags, sequence: 0, port: 0, body };
    Some(match kind {
        NLMSG_ERROR => format!("{:?}", netlink::verdict(&whole)),
        NLMSG_DONE => format!("{:?}", netlink::done(&whole)),
        RTM_NEWLINK | RTM_DELLINK => format!("{:?}", link::parse(body)?),
        RTM_NEWADDR | RTM_DELADDR => format!("{:?}", link::parse_address(body)?),
        RTM_NEWROUTE | RTM_DELROUTE => format!("{:?}", route::parse(body)?),
        RTM_NEWNEXTHOP | RTM_DELNEXTHOP => format!("{:?}", route::parse_next_hop(body)?),
        RTM_NEWRULE | RTM_DELRULE => format!("{:?}", rule::parse(body)?),
        _ => return None,
    })
}

/// What a monitor makes of a datagram.
pub fn changes(datagram: &[u8]) -> Changes {
    let mut changes = Changes::default();
    let mut holding = HashSet::new();
    netlink::messages(datagram).for_each(|message| monitor::note(&message, &mut holding, &mut changes));
    changes
}

/// What a router, or a host that looks for one, says: the lifetime of an advertisement, `None` inside for a
/// solicitation. With our own spelling of the same.
pub fn advertisement(source: Ipv6Addr, bytes: &[u8]) -> Option<(Option<Duration>, Vec<u8>)> {
    let packet = Packet::parse(source, bytes)?;
    let lifetime = match packet {
        Packet::Solicitation => None,
        Packet::Advertisement { lifetime } => Some(lifetime),
    };
    Some((lifetime, packet.encode(None)))
}

/// The saved addresses of a NIC, when the text was written in this boot.
pub fn saved(text: &str, boot: &str) -> Option<Vec<IpNet>> {
    saved::parse(text, boot)
}

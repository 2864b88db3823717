//! Policy rules, as netlink tells and changes them. `linux/fib_rules.h`.

use std::fmt;

use rustix::io::Errno;

use crate::netlink::constants::*;
use crate::netlink::{Attributes, Fields, Refusal, Socket, attributes};
use crate::route::PROTOCOL;

/// Mark of the packets that sockets of [`crate::sock`] send: what leaves their port without it was sent by the kernel
/// itself, for want of a socket.
pub(crate) const MARK: u32 = 1;
/// `IPPROTO_TCP`.
const TCP: u8 = 6;

/// A rule of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// IPv6: what leaves over a link is looked up in a table.
    Lookup {
        /// Its place among the rules.
        priority: u32,
        /// Name of the link; empty for any.
        link: String,
        /// The table.
        table: u32,
    },
    /// What leaves a TCP port without our mark is dropped: who connects while nobody listens is not refused, and goes on
    /// trying.
    Silence {
        /// Its place among the rules.
        priority: u32,
        /// For IPv6, else for IPv4.
        ipv6: bool,
        /// The port.
        port: u16,
    },
}

impl Rule {
    fn family(&self) -> u8 {
        match self {
            Self::Lookup { .. } | Self::Silence { ipv6: true, .. } => AF_INET6,
            Self::Silence { ipv6: false, .. } => AF_INET,
        }
    }

    /// What it is about, in a word.
    pub(crate) fn object(&self) -> &str {
        match self {
            Self::Lookup { link, .. } => link,
            Self::Silence { .. } => "BGP port",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup { priority, link, table } => write!(f, "IPv6 rule {priority}: oif {link} lookup {table}"),
            Self::Silence { priority, ipv6, port } => {
                let family = if *ipv6 { "IPv6" } else { "IPv4" };
                write!(f, "{family} rule {priority}: sport {port} without our mark blackhole")
            }
        }
    }
}

/// Whether the body of `RTM_NEWRULE` or `RTM_DELRULE` is one of ours. `FRA_PROTOCOL` came with Linux 4.17, before the
/// next-hop objects that we need anyway.
pub(crate) fn is_ours(body: &[u8]) -> bool {
    attributes(body.tail(12)).any(|(kind, value)| kind == FRA_PROTOCOL && value.u8_at(0) == Some(PROTOCOL))
}

pub(crate) fn parse(body: &[u8]) -> Option<Rule> {
    let ipv6 = body.u8_at(0)? == AF_INET6;
    let (mut priority, mut link, mut table, mut port) = (0, String::new(), body.u8_at(4)?.into(), 0);
    for (kind, value) in attributes(body.tail(12)) {
        match kind {
            FRA_PRIORITY => priority = value.number()?,
            FRA_TABLE => table = value.number()?,
            FRA_OIFNAME => link = value.text(),
            FRA_SPORT_RANGE => port = u16::from_ne_bytes([value.u8_at(0)?, value.u8_at(1)?]),
            _ => {}
        }
    }
    Some(match body.u8_at(7)? {
        FR_ACT_BLACKHOLE => Rule::Silence { priority, ipv6, port },
        _ => Rule::Lookup { priority, link, table },
    })
}

/// Our rules of both families; none of one that the kernel does not have.
pub(crate) fn ours(socket: &mut Socket) -> Result<Vec<Rule>, Refusal> {
    let mut rules = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let mut header = [0; 12];
        header[0] = family;
        match socket.dump(RTM_GETRULE, |a| a.raw(&header), |body| is_ours(body).then(|| parse(body))?) {
            Ok(found) => rules.extend(found),
            Err(refusal) if matches!(refusal.errno, Errno::AFNOSUPPORT | Errno::OPNOTSUPP) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(rules)
}

/// Adds a rule of ours; fine when it is there.
pub(crate) fn add(socket: &mut Socket, rule: &Rule) -> Result<(), Refusal> {
    match socket.change(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, |a| request(a, rule)) {
        Err(refusal) if refusal.errno != Errno::EXIST => Err(refusal),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes a rule of ours; fine when it is gone.
pub(crate) fn delete(socket: &mut Socket, rule: &Rule) -> Result<(), Refusal> {
    match socket.change(RTM_DELRULE, 0, |a| request(a, rule)) {
        Err(refusal) if refusal.errno != Errno::NOENT => Err(refusal),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn request(a: &mut Attributes<'_>, rule: &Rule) {
    let mut header = [0; 12];
    header[0] = rule.family();
    header[7] = match rule {
        Rule::Lookup { .. } => FR_ACT_TO_TBL,
        Rule::Silence { .. } => FR_ACT_BLACKHOLE,
    };
    a.raw(&header);
    a.bytes(FRA_PROTOCOL, &[PROTOCOL]);
    match rule {
        Rule::Lookup { priority, link, table } => {
            a.u32(FRA_PRIORITY, *priority);
            a.u32(FRA_TABLE, *table);
            if !link.is_empty() {
                a.text(FRA_OIFNAME, link);
            }
        }
        Rule::Silence { priority, port, .. } => {
            a.u32(FRA_PRIORITY, *priority);
            a.u32(FRA_FWMARK, 0);
            a.u32(FRA_FWMASK, MARK);
            a.bytes(FRA_IP_PROTO, &[TCP]);
            let [low, high] = port.to_ne_bytes();
            a.bytes(FRA_SPORT_RANGE, &[low, high, low, high]);
        }
    }
}

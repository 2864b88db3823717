//! What the kernel would do with a packet: asked of its own lookup, so that rules, tables and next-hop objects count as they do
//! for packets. Changes nothing.

use std::cmp::Reverse;
use std::fmt;
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use rustix::io::Errno;

use crate::host_table::conflict::protocol_name;
use crate::netlink::constants::*;
use crate::netlink::{Attributes, Fields, Refusal, Socket, attributes, prefix};
use crate::netns::Namespace;
use crate::route;

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where it goes.
    pub destination: IpAddr,
    /// Where it comes from; `None`: the kernel chooses, as for a program that does not say.
    pub source: Option<IpAddr>,
    /// The link that it arrives over; `None`: it is sent from here.
    pub input: Option<u32>,
}

/// What happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The table that decided.
    pub table: u32,
    /// The rule that led to the table, as `ip rule` shows it.
    pub rule: Option<String>,
    /// The route that decided, with its protocol and metric; `None` where the kernel does not tell (before Linux 4.20).
    pub route: Option<Matched>,
    /// What becomes of it.
    pub fate: Fate,
}

/// The route that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Its prefix.
    pub prefix: IpNet,
    /// Whose it is (`rtm_protocol`).
    pub protocol: u8,
    /// Its metric.
    pub metric: u32,
}

impl Matched {
    /// Whose it is, in a word: `perouter` for ours, else as iproute2 names the protocol, or its number.
    pub fn protocol_name(&self) -> String {
        if self.protocol == route::PROTOCOL {
            return "perouter".to_owned();
        }
        protocol_name(self.protocol).map_or_else(|| self.protocol.to_string(), str::to_owned)
    }
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is for this namespace.
    Local,
    /// It leaves.
    Out(Way),
    /// It is dropped, and the sender told or not: `blackhole`, `unreachable`, `prohibit` or another kind of route.
    Dropped(String),
}

/// How it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Kernel index of the link.
    pub link: u32,
    /// Its name.
    pub name: String,
    /// The next hop; `None`: the destination itself.
    pub gateway: Option<IpAddr>,
    /// Source address, where the kernel chose it.
    pub source: Option<IpAddr>,
    /// What is known of the next hop on the link; `None`: nothing yet, it is asked for with the first packet.
    pub neighbor: Option<Neighbor>,
}

/// An entry of the neighbour table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// As `ip neigh` calls it: `REACHABLE`, `STALE`, `FAILED`, ..
    pub state: &'static str,
    /// Link-layer address, where it is known.
    pub address: Option<String>,
}

impl Neighbor {
    /// Whether nobody answers there.
    pub fn is_dead(&self) -> bool {
        self.state == "FAILED"
    }
}

impl fmt::Display for Neighbor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => write!(f, "{address} {}", self.state),
            None => f.write_str(self.state),
        }
    }
}

/// Asks what would become of a packet in a namespace.
///
/// # Errors
/// The kernel cannot be asked. That there is no route is an answer.
pub fn lookup(ns: &Namespace, packet: Packet) -> io::Result<Answer> {
    let mut socket = ns.run(Socket::open)??;
    let ipv6 = packet.destination.is_ipv6();
    // IPv6 says the table anyway, and knows no flag for it.
    let chosen = match ask(&mut socket, packet, if ipv6 { 0 } else { RTM_F_LOOKUP_TABLE }) {
        Ok(Some(chosen)) => chosen,
        Ok(None) => return Err(io::Error::other("the kernel does not say where the packet goes")),
        Err(refusal) => return dropped(&refusal),
    };
    // The entry of the table itself, whose prefix the first answer does not have.
    let mut matched = ask(&mut socket, packet, RTM_F_FIB_MATCH).ok().flatten();
    if ipv6 && matched.as_ref().is_none_or(|route| route.object.is_some()) {
        matched = longest(&mut socket, packet.destination, chosen.table).ok().flatten();
    }
    let route = matched.map(|route| Matched { prefix: route.prefix, protocol: route.protocol, metric: route.metric });
    let links = crate::monitor::links(ns)?;
    let name = |index: u32| links.iter().find(|link| link.index == index).map(|link| link.name.clone());
    let fate = match (chosen.kind, chosen.exits.first()) {
        (RTN_LOCAL | RTN_BROADCAST, _) => Fate::Local,
        (RTN_UNICAST | RTN_ANYCAST | RTN_MULTICAST, Some(exit)) => {
            let neighbor = neighbor(&mut socket, exit.link, exit.gateway.unwrap_or(packet.destination))?;
            let name = name(exit.link).unwrap_or_else(|| exit.link.to_string());
            Fate::Out(Way { link: exit.link, name, gateway: exit.gateway, source: chosen.source, neighbor })
        }
        (kind, _) => Fate::Dropped(name_of(kind).to_owned()),
    };
    let input = packet.input.and_then(name);
    let rule = rule(&mut socket, packet, input.as_deref(), chosen.table)?;
    Ok(Answer { table: chosen.table, rule, route, fate })
}

/// The entry of an IPv6 table that decides about an address, looked for among all of them: where routes share a next-hop object
/// the kernel keeps one answer for all of them on each processor, and names a route that has nothing to do with the question.
/// Routes for some sources only have no such objects.
fn longest(socket: &mut Socket, address: IpAddr, table: u32) -> Result<Option<route::Route>, Refusal> {
    let mut header = [0; 12];
    header[0] = AF_INET6;
    header[4] = u8::try_from(table).unwrap_or_default();
    let covering = |body: &[u8]| {
        let fits = |route: &route::Route| route.table == table && route.prefix.contains(&address);
        route::parse(body).filter(|route| body.u8_at(2) == Some(0) && route.flags & RTM_F_CLONED == 0 && fits(route))
    };
    let all = socket.dump(RTM_GETROUTE, |a| a.raw(&header), covering)?;
    Ok(all.into_iter().max_by_key(|route| (route.prefix.prefix_len(), Reverse(route.metric))))
}

fn dropped(refusal: &Refusal) -> io::Result<Answer> {
    let why = match refusal.errno {
        Errno::NETUNREACH => "there is no route",
        Errno::HOSTUNREACH => "a route says unreachable",
        Errno::ACCESS => "a route says prohibit",
        Errno::INVAL => "a route says blackhole, or the source is not one that may arrive there",
        Errno::XDEV => "the reverse-path filter drops it: the way back to its source is over another link",
        _ => return Err(io::Error::from(refusal.errno)),
    };
    Ok(Answer { table: 0, rule: None, route: None, fate: Fate::Dropped(why.to_owned()) })
}

fn name_of(kind: u8) -> &'static str {
    match kind {
        RTN_BLACKHOLE => "a route says blackhole",
        RTN_UNREACHABLE => "a route says unreachable",
        RTN_PROHIBIT => "a route says prohibit",
        _ => "a route of an unusual kind",
    }
}

/// One lookup, with the flags of `struct rtmsg`.
fn ask(socket: &mut Socket, packet: Packet, flags: u32) -> Result<Option<route::Route>, Refusal> {
    let (family, length) = match packet.destination {
        IpAddr::V4(_) => (AF_INET, 32),
        IpAddr::V6(_) => (AF_INET6, 128),
    };
    let mut header = [0; 12];
    (header[0], header[1]) = (family, length);
    if packet.source.is_some() {
        header[2] = length;
    }
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    let question = |a: &mut Attributes<'_>| {
        a.raw(&header);
        a.address(RTA_DST, packet.destination);
        if let Some(source) = packet.source {
            a.address(RTA_SRC, source);
        }
        if let Some(link) = packet.input {
            a.u32(RTA_IIF, link);
        }
    };
    socket.get(RTM_GETROUTE, question, |kind, body| (kind == RTM_NEWROUTE).then(|| route::parse(body))?)
}

/// What is known of an address on a link.
fn neighbor(socket: &mut Socket, link: u32, address: IpAddr) -> Result<Option<Neighbor>, Refusal> {
    let mut header = [0; 12];
    header[0] = if address.is_ipv4() { AF_INET } else { AF_INET6 };
    let all = socket.dump(RTM_GETNEIGH, |a| a.raw(&header), |body| parse_neighbor(body, link, address))?;
    Ok(all.into_iter().next())
}

fn parse_neighbor(body: &[u8], link: u32, address: IpAddr) -> Option<Neighbor> {
    if body.u32_at(4)? != link {
        return None;
    }
    let state = match body.u16_at(8)? {
        0x01 => "INCOMPLETE",
        0x02 => "REACHABLE",
        0x04 => "STALE",
        0x08 => "DELAY",
        0x10 => "PROBE",
        0x20 => "FAILED",
        0x40 => "NOARP",
        0x80 => "PERMANENT",
        _ => "NONE",
    };
    let (mut found, mut known) = (false, None);
    for (kind, value) in attributes(body.tail(12)) {
        match kind {
            NDA_DST => found = value.ip() == Some(address),
            NDA_LLADDR => {
                known = Some(value.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":"));
            }
            _ => {}
        }
    }
    found.then_some(Neighbor { state, address: known })
}

/// The first rule that leads such a packet to the table.
fn rule(socket: &mut Socket, packet: Packet, input: Option<&str>, table: u32) -> Result<Option<String>, Refusal> {
    let mut header = [0; 12];
    header[0] = if packet.destination.is_ipv4() { AF_INET } else { AF_INET6 };
    let parse = |body: &[u8]| parse_rule(body).filter(|rule| rule.table == table && rule.is_for(&packet, input));
    let rules = socket.dump(RTM_GETRULE, |a| a.raw(&header), parse)?;
    Ok(rules.into_iter().min_by_key(|rule| rule.priority).map(|rule| rule.to_string()))
}

/// A policy rule, as far as packets are told apart by it here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    priority: u32,
    from: Option<IpNet>,
    to: Option<IpNet>,
    input: Option<String>,
    table: u32,
}

impl Rule {
    fn is_for(&self, packet: &Packet, input: Option<&str>) -> bool {
        let from = self.from.is_none_or(|net| packet.source.is_some_and(|source| net.contains(&source)));
        let to = self.to.is_none_or(|net| net.contains(&packet.destination));
        from && to && self.input.as_deref().is_none_or(|wanted| input == Some(wanted))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(from) => write!(f, "{}: from {from}", self.priority)?,
            None => write!(f, "{}: from all", self.priority)?,
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        if let Some(input) = &self.input {
            write!(f, " iif {input}")?;
        }
        write!(f, " lookup {}", table_name(self.table))
    }
}

/// As `ip route` calls a table.
pub fn table_name(table: u32) -> String {
    match table {
        253 => "default".to_owned(),
        254 => "main".to_owned(),
        255 => "local".to_owned(),
        other => other.to_string(),
    }
}

/// Reads the body of `RTM_NEWRULE`; `None` also for rules about packets that are marked or sent over a link, which this packet
/// is not.
fn parse_rule(body: &[u8]) -> Option<Rule> {
    body.get(..12)?; // the whole of `fib_rule_hdr`
    let (family, to_length, from_length) = (body.u8_at(0)?, body.u8_at(1)?, body.u8_at(2)?);
    let mut rule = Rule { priority: 0, from: None, to: None, input: None, table: body.u8_at(4)?.into() };
    for (kind, value) in attributes(body.tail(12)) {
        match kind {
            FRA_PRIORITY => rule.priority = value.number()?,
            FRA_TABLE => rule.table = value.number()?,
            FRA_DST => rule.to = prefix(family, Some(value), to_length),
            FRA_SRC => rule.from = prefix(family, Some(value), from_length),
            FRA_IIFNAME => rule.input = Some(value.text()),
            FRA_FWMARK if value.number()? != 0 => return None,
            FRA_OIFNAME => return None,
            _ => {}
        }
    }
    Some(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(from: Option<&str>, input: Option<&str>) -> Rule {
        let from = from.map(|from| from.parse().unwrap());
        Rule { priority: 100, from, to: None, input: input.map(str::to_owned), table: 254 }
    }

    #[test]
    fn a_rule_is_for_the_packets_that_it_names() {
        let packet = Packet {
            destination: IpAddr::from([10, 1, 0, 1]),
            source: Some(IpAddr::from([10, 2, 0, 1])),
            input: Some(4),
        };
        assert!(rule(None, None).is_for(&packet, None));
        assert!(rule(Some("10.2.0.0/16"), Some("eth1")).is_for(&packet, Some("eth1")));
        assert!(!rule(Some("10.3.0.0/16"), None).is_for(&packet, None));
        assert!(!rule(None, Some("eth1")).is_for(&packet, Some("pt-ns")));
        assert_eq!(rule(Some("10.2.0.0/16"), Some("eth1")).to_string(), "100: from 10.2.0.0/16 iif eth1 lookup main");
    }

    #[test]
    fn torn_bytes_are_no_rule_and_no_neighbour() {
        for length in 0..12 {
            assert_eq!(parse_rule(&vec![2; length]), None);
            assert_eq!(parse_neighbor(&vec![2; length], 1, IpAddr::from([10, 0, 0, 1])), None);
        }
    }
}

//! As much of netlink as a witness needs: it reads routes and next-hop objects, and writes them as fast as the kernel
//! takes them, for the raw floor that a router is compared with.
//!
//! Shares no code with the router's own layer. Numbers are those of `linux/rtnetlink.h` and `linux/nexthop.h`.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use testbed::Family;

use crate::routes::Prefix;

const NEWLINK: u16 = 16;
const SETLINK: u16 = 19;
pub(crate) const NEWROUTE: u16 = 24;
pub(crate) const DELROUTE: u16 = 25;
const GETROUTE: u16 = 26;
pub(crate) const NEWNEXTHOP: u16 = 104;
pub(crate) const DELNEXTHOP: u16 = 105;
const GETNEXTHOP: u16 = 106;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
/// Create, and fail when it is there.
pub(crate) const CREATE: u16 = 0x600;
const LOWER_UP: u32 = 0x1_0000;
const MAIN: u8 = 254;
/// `RTPROT_STATIC`: what a person would have added.
pub(crate) const PROTOCOL: u8 = 4;
const UNICAST: u8 = 1;
const CLONED: u32 = 0x200;
const LOOKUP_TABLE: u32 = 0x1000;
const FIB_MATCH: u32 = 0x2000;
const RECEIVE_BUFFER: usize = 64 << 20;

/// A socket of the namespace of the thread that opened it.
pub(crate) struct Netlink {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
    /// What next-hop objects lead to, as far as it was needed.
    known: HashMap<u32, Gateways>,
}

/// Addresses that a route leads to, in octets.
pub(crate) type Gateways = Vec<Vec<u8>>;

/// A unicast route of the main table.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) prefix: Prefix,
    pub(crate) gateways: Gateways,
    pub(crate) object: Option<u32>,
}

impl Netlink {
    /// `groups`: which notifications it hears, as a mask.
    pub(crate) fn open(groups: u32) -> io::Result<Self> {
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_recv_buffer_size_force(&fd, RECEIVE_BUFFER)?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self { fd, sequence: 0, buffer: vec![0; 1 << 18], known: HashMap::new() })
    }

    /// Notifications about routes of a family; a read waits for a tenth of a second.
    pub(crate) fn listen(family: Family) -> io::Result<Self> {
        let group = match family {
            Family::Ipv4 => 7,
            Family::Ipv6 => 11,
        };
        Self::patient(1 << (group - 1), Duration::from_millis(100))
    }

    /// Notifications about links; a read waits for some seconds.
    pub(crate) fn listen_to_links() -> io::Result<Self> {
        Self::patient(1, Duration::from_secs(5))
    }

    fn patient(groups: u32, patience: Duration) -> io::Result<Self> {
        let socket = Self::open(groups)?;
        sockopt::set_socket_timeout(&socket.fd, sockopt::Timeout::Recv, Some(patience))?;
        Ok(socket)
    }

    /// The next notifications: prefixes that came or went. None when a while passed without any.
    pub(crate) fn changes(&mut self, family: Family) -> io::Result<Vec<(Prefix, bool)>> {
        let mut changes = Vec::new();
        let length = match self.receive() {
            Ok(length) => length,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return Ok(changes),
            Err(e) => return Err(e),
        };
        for (kind, body) in messages(&self.buffer[..length]) {
            if let (NEWROUTE | DELROUTE, Some(route)) = (kind, route(body, family, &HashMap::new())) {
                changes.push((route.prefix, kind == NEWROUTE));
            }
        }
        Ok(changes)
    }

    /// Where exactly this prefix leads, when it is what its first address is forwarded by; else nowhere. Of IPv6: where its first
    /// address leads, by whatever entry.
    pub(crate) fn gateways(&mut self, family: Family, prefix: Prefix) -> io::Result<Gateways> {
        let (full, flags) = match family {
            Family::Ipv4 => (32, FIB_MATCH | LOOKUP_TABLE),
            // Which entry it is that matches, the kernel confuses between routes with one next-hop object.
            Family::Ipv6 => (128, 0),
        };
        let mut out = Vec::new();
        let address = prefix.bits.to_be_bytes();
        self.sequence += 1;
        let header = route_header(family, full, flags);
        encode(&mut out, GETROUTE, REQUEST, self.sequence, &header, &[(1, &address[..usize::from(full) / 8])]);
        self.send(&out)?;
        let length = self.receive()?;
        let found = messages(&self.buffer[..length]).find(|(kind, _)| *kind == NEWROUTE);
        let found = found
            .and_then(|(_, body)| route(body, family, &self.known))
            .filter(|r| family == Family::Ipv6 || r.prefix == prefix);
        let Some(mut route) = found else { return Ok(Gateways::new()) };
        // An object that was not there when the objects were read last, or has changed since.
        if let (true, Some(object)) = (route.gateways.is_empty(), route.object) {
            self.known = self.objects()?;
            route.gateways = self.known.get(&object).cloned().unwrap_or_default();
        }
        route.gateways.sort();
        Ok(route.gateways)
    }

    /// Forgets what objects lead to, because they may have changed.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }

    /// Every route of the main table, with the gateways that it leads to.
    pub(crate) fn dump(&mut self, family: Family, mut each: impl FnMut(Route)) -> io::Result<()> {
        let objects = self.objects()?;
        let header = route_header(family, 0, 0);
        self.each_answer(GETROUTE, &header, |body| {
            if let Some(route) = route(body, family, &objects) {
                each(route);
            }
        })
    }

    /// Gateways of every next-hop object; those of a group are its members'.
    pub(crate) fn objects(&mut self) -> io::Result<HashMap<u32, Gateways>> {
        let (mut single, mut groups) = (HashMap::new(), Vec::new());
        self.each_answer(GETNEXTHOP, &[0; 8], |body| {
            let (mut id, mut gateways, mut members) = (0, Vec::new(), Vec::new());
            for (kind, value) in attributes(body.get(8..).unwrap_or_default()) {
                match kind {
                    1 => id = native(value),
                    2 => members = value.chunks_exact(8).map(native).collect(),
                    6 => gateways.push(value.to_vec()),
                    _ => {}
                }
            }
            if members.is_empty() {
                single.insert(id, gateways);
            } else {
                groups.push((id, members));
            }
        })?;
        for (id, members) in groups {
            let all = members.iter().filter_map(|member| single.get(member)).flatten().cloned().collect();
            single.insert(id, all);
        }
        Ok(single)
    }

    fn each_answer(&mut self, kind: u16, header: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut out = Vec::new();
        self.sequence += 1;
        encode(&mut out, kind, REQUEST | DUMP, self.sequence, header, &[]);
        self.send(&out)?;
        loop {
            let length = self.receive()?;
            for (kind, body) in messages(&self.buffer[..length]) {
                match kind {
                    DONE => return Ok(()),
                    ERROR => return Err(io::Error::from_raw_os_error(-native(body).cast_signed())),
                    _ => each(body),
                }
            }
        }
    }

    /// Index of a link.
    pub(crate) fn link(&mut self, name: &str) -> io::Result<u32> {
        let name = [name.as_bytes(), &[0]].concat();
        let mut out = Vec::new();
        self.sequence += 1;
        encode(&mut out, NEWLINK + 2, REQUEST, self.sequence, &[0; 16], &[(3, &name)]);
        self.send(&out)?;
        let length = self.receive()?;
        match messages(&self.buffer[..length]).next() {
            Some((NEWLINK, body)) => Ok(native(body.get(4..).unwrap_or_default())),
            Some(_) | None => Err(io::Error::other("there is no such link")),
        }
    }

    /// Takes a link down.
    pub(crate) fn take_down(&mut self, link: u32) -> io::Result<()> {
        let mut header = [0; 16];
        header[4..8].copy_from_slice(&link.to_ne_bytes());
        header[12..].copy_from_slice(&1u32.to_ne_bytes()); // ifi_change: IFF_UP, which ifi_flags does not have
        self.change(&[Change { kind: SETLINK, flags: 0, header: header.to_vec(), attributes: Vec::new() }])
    }

    /// Waits until the kernel says that a link has lost its carrier; the socket is one that listens to links.
    pub(crate) fn carrier_lost(&mut self, link: u32) -> io::Result<()> {
        loop {
            let length = self.receive()?;
            let lost = messages(&self.buffer[..length]).any(|(kind, body)| {
                let field = |at: usize| native(body.get(at..).unwrap_or_default());
                kind == NEWLINK && field(4) == link && field(8) & LOWER_UP == 0
            });
            if lost {
                return Ok(());
            }
        }
    }

    /// Sends changes in one piece, and waits for the verdict on the last one; any refusal is an error.
    pub(crate) fn change(&mut self, changes: &[Change]) -> io::Result<()> {
        let mut out = Vec::new();
        for (i, change) in changes.iter().enumerate() {
            self.sequence += 1;
            let ack = if i + 1 == changes.len() { ACK } else { 0 };
            let borrowed: Vec<_> = change.attributes.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
            encode(&mut out, change.kind, REQUEST | ack | change.flags, self.sequence, &change.header, &borrowed);
        }
        self.submit(&out)
    }

    /// Sends encoded requests of which the last one asks for an acknowledgement.
    pub(crate) fn submit(&mut self, requests: &[u8]) -> io::Result<()> {
        self.send(requests)?;
        let length = self.receive()?;
        // Refusals come before the acknowledgement, each in a datagram of its own.
        match messages(&self.buffer[..length]).next() {
            Some((ERROR, body)) if native(body) == 0 => Ok(()),
            Some((ERROR, body)) => Err(io::Error::from_raw_os_error(-native(body).cast_signed())),
            Some(_) | None => Err(io::Error::other("no acknowledgement")),
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        rustix::net::send(&self.fd, bytes, SendFlags::empty())?;
        Ok(())
    }

    fn receive(&mut self) -> io::Result<usize> {
        let (length, _) =
            rustix::io::retry_on_intr(|| rustix::net::recv(&self.fd, &mut self.buffer[..], RecvFlags::empty()))?;
        Ok(length)
    }
}

/// One request.
pub(crate) struct Change {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) header: Vec<u8>,
    pub(crate) attributes: Vec<(u16, Vec<u8>)>,
}

/// Requests for many routes through one next-hop object, in pieces of `per_send`.
pub(crate) fn route_requests(
    family: Family,
    prefixes: impl Iterator<Item = Prefix>,
    adding: bool,
    object: u32,
    per_send: usize,
) -> Vec<Vec<u8>> {
    let prefixes: Vec<_> = prefixes.collect();
    let id = object.to_ne_bytes();
    let width = if family == Family::Ipv4 { 4 } else { 16 };
    let piece = |piece: &[Prefix]| {
        let mut out = Vec::new();
        for (i, prefix) in piece.iter().enumerate() {
            let address = prefix.bits.to_be_bytes();
            let header = route_header(family, prefix.length, 0);
            let ack = if i + 1 == piece.len() { ACK } else { 0 };
            let (kind, flags) = if adding { (NEWROUTE, CREATE) } else { (DELROUTE, 0) };
            encode(&mut out, kind, REQUEST | flags | ack, 1, &header, &[(1, &address[..width]), (30, &id)]);
        }
        out
    };
    prefixes.chunks(per_send).map(piece).collect()
}

fn route_header(family: Family, length: u8, flags: u32) -> Vec<u8> {
    let number = match family {
        Family::Ipv4 => 2,
        Family::Ipv6 => 10,
    };
    [&[number, length, 0, 0, MAIN, PROTOCOL, 0, UNICAST][..], &flags.to_ne_bytes()].concat()
}

fn encode(out: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, header: &[u8], attributes: &[(u16, &[u8])]) {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend([0; 4]);
    out.extend(header);
    for (kind, value) in attributes {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        out.extend(length.to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend(*value);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

fn native(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |b| u32::from_ne_bytes(*b))
}

/// Kind and body of each message of a datagram.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.first_chunk::<16>()?;
        let length = native(header) as usize;
        let body = bytes.get(16..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([header[4], header[5]]), body))
    })
}

/// Kind, without flags, and value of each attribute.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([header[2], header[3]]) & 0x3fff, value))
    })
}

/// A route of the main table that leads somewhere.
fn route(body: &[u8], family: Family, objects: &HashMap<u32, Gateways>) -> Option<Route> {
    let (header, rest) = body.split_at_checked(12)?;
    let wanted = route_header(family, 0, 0);
    if header[0] != wanted[0] || header[4] != MAIN || header[7] != UNICAST || native(&header[8..]) & CLONED != 0 {
        return None;
    }
    let mut route = Route { prefix: Prefix { bits: 0, length: header[1] }, gateways: Vec::new(), object: None };
    for (kind, value) in attributes(rest) {
        match kind {
            1 => {
                let mut octets = [0; 16];
                octets.get_mut(..value.len())?.copy_from_slice(value);
                route.prefix.bits = u128::from_be_bytes(octets);
            }
            5 => route.gateways.push(value.to_vec()),
            9 => route.gateways.extend(multipath(value)),
            18 => route.gateways.extend(value.get(2..).map(<[u8]>::to_vec)),
            30 => route.object = Some(native(value)),
            _ => {}
        }
    }
    // With `nexthop_compat_mode` off the object is all that a route says.
    if let (true, Some(object)) = (route.gateways.is_empty(), route.object) {
        route.gateways = objects.get(&object).cloned().unwrap_or_default();
    }
    Some(route)
}

/// Gateways of RTA_MULTIPATH.
fn multipath(mut value: &[u8]) -> Gateways {
    let mut gateways = Vec::new();
    while let Some(header) = value.first_chunk::<8>() {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let Some(hop) = value.get(8..length) else { break };
        gateways.extend(attributes(hop).filter(|(kind, _)| *kind == 5).map(|(_, gateway)| gateway.to_vec()));
        value = value.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    gateways
}

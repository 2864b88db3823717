//! Routes and next-hop objects, as netlink tells them. `linux/rtnetlink.h`, `linux/nexthop.h`.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use rustix::io::Errno;

use crate::netlink::constants::*;
use crate::netlink::{Attributes, Fields, Refusal, Socket, attributes, family, prefix};

/// The `rtm_protocol` and `nhm_protocol` of everything that we put into the kernel. Free in `linux/rtnetlink.h`
/// and in iproute2's `rt_protos`, whose daemons end at 192 with gaps; `ip route show proto 168` lists ours.
pub const PROTOCOL: u8 = 168;

/// Where `struct rtmsg` has the protocol.
const PROTOCOL_AT: usize = 5;

/// A way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) link: u32,
}

impl Exit {
    pub(crate) fn via(gateway: IpAddr, link: u32) -> Self {
        Self { gateway: Some(gateway), link }
    }
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) prefix: IpNet,
    pub(crate) protocol: u8,
    pub(crate) table: u32,
    /// RTN_UNICAST and others.
    pub(crate) kind: u8,
    pub(crate) flags: u32,
    pub(crate) metric: u32,
    /// Next-hop object or group.
    pub(crate) object: Option<u32>,
    /// What the route itself says; empty when it names an object and `nexthop_compat_mode` is off.
    pub(crate) exits: Vec<Exit>,
    /// The source that the kernel gives packets which have none.
    pub(crate) source: Option<IpAddr>,
}

/// A next-hop object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NextHop {
    pub(crate) id: u32,
    pub(crate) protocol: u8,
    /// `None` for a group.
    pub(crate) exit: Option<Exit>,
    /// Members of a group.
    pub(crate) members: Vec<u32>,
}

/// Reads the body of `RTM_NEWROUTE` or `RTM_DELROUTE`.
pub(crate) fn parse(body: &[u8]) -> Option<Route> {
    let (family, length) = (body.u8_at(0)?, body.u8_at(1)?);
    let mut route = Route {
        prefix: prefix(family, None, 0)?,
        protocol: body.u8_at(PROTOCOL_AT)?,
        table: body.u8_at(4)?.into(),
        kind: body.u8_at(7)?,
        flags: body.u32_at(8)?,
        metric: 0,
        object: None,
        exits: Vec::new(),
        source: None,
    };
    let (mut destination, mut gateway, mut link) = (None, None, None);
    for (kind, value) in attributes(body.tail(12)) {
        match kind {
            RTA_DST => destination = Some(value),
            RTA_TABLE => route.table = value.number()?,
            RTA_PRIORITY => route.metric = value.number()?,
            RTA_NH_ID => route.object = value.number(),
            RTA_OIF => link = value.number(),
            RTA_GATEWAY => gateway = value.ip(),
            RTA_VIA => gateway = via(value),
            RTA_PREFSRC => route.source = value.ip(),
            RTA_MULTIPATH => route.exits = multipath(value),
            _ => {}
        }
    }
    route.prefix = prefix(family, destination, length)?;
    route.exits.extend(link.map(|link| Exit { gateway, link }));
    Some(route)
}

/// `struct rtvia`: a gateway of another family than the route's (RFC 8950).
fn via(value: &[u8]) -> Option<IpAddr> {
    value.tail(2).ip()
}

/// A row of `struct rtnexthop`, each with attributes.
fn multipath(mut bytes: &[u8]) -> Vec<Exit> {
    let mut exits = Vec::new();
    while let (Some(length), Some(link)) = (bytes.u16_at(0).map(usize::from), bytes.u32_at(4)) {
        let Some(inner) = bytes.get(8..length) else {
            break;
        };
        let mut gateway = None;
        for (kind, value) in attributes(inner) {
            match kind {
                RTA_GATEWAY => gateway = value.ip(),
                RTA_VIA => gateway = via(value),
                _ => {}
            }
        }
        exits.push(Exit { gateway, link });
        bytes = bytes.tail(length.next_multiple_of(4));
    }
    exits
}

/// Reads the body of `RTM_NEWNEXTHOP` or `RTM_DELNEXTHOP`.
pub(crate) fn parse_next_hop(body: &[u8]) -> Option<NextHop> {
    let (mut id, mut gateway, mut link, mut members) = (None, None, None, Vec::new());
    for (kind, value) in attributes(body.tail(8)) {
        match kind {
            NHA_ID => id = value.number(),
            NHA_OIF => link = value.number(),
            NHA_GATEWAY => gateway = value.ip(),
            // struct nexthop_grp is 8 bytes; the id comes first.
            NHA_GROUP => members = value.chunks_exact(8).filter_map(Fields::number).collect(),
            _ => {}
        }
    }
    Some(NextHop { id: id?, protocol: body.u8_at(2)?, exit: link.map(|link| Exit { gateway, link }), members })
}

/// Which routes to ask for; the kernel filters, so a large table costs little.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filter {
    /// Zero is every table.
    pub(crate) table: u32,
    /// Zero is every protocol.
    pub(crate) protocol: u8,
    /// Only routes over this link.
    pub(crate) link: Option<u32>,
    /// Leave ours out. The kernel cannot filter by what a route is not, and walks the whole table for each filter
    /// that it can (100,000 routes: 20 ms for IPv4, 40 ms for IPv6, four times that with all of them told), so
    /// asking protocol by protocol is no faster; but ours need not be decoded.
    pub(crate) foreign: bool,
}

impl Filter {
    /// Routes of the main table.
    pub(crate) const MAIN: Self = Self { table: RT_TABLE_MAIN as u32, protocol: 0, link: None, foreign: false };
}

/// Unicast routes that pass a filter.
pub(crate) fn routes(socket: &mut Socket, filter: Filter) -> Result<Vec<Route>, Refusal> {
    let mut all = every_kind(socket, filter)?;
    all.retain(|route| route.kind == RTN_UNICAST);
    Ok(all)
}

/// As [`routes`], with black holes and the like.
pub(crate) fn every_kind(socket: &mut Socket, filter: Filter) -> Result<Vec<Route>, Refusal> {
    let mut all = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let mut header = [0; 12];
        header[0] = family;
        header[4] = small_table(filter.table);
        header[PROTOCOL_AT] = filter.protocol;
        // The kernel filters by the header because the socket asks for strict checking; what it lets through
        // (cached exceptions) is sorted out here.
        let wanted = |body: &[u8]| {
            if filter.foreign && body.u8_at(PROTOCOL_AT) == Some(PROTOCOL) {
                return None;
            }
            parse(body).filter(|route| {
                (filter.table == 0 || route.table == filter.table)
                    && route.flags & RTM_F_CLONED == 0
                    && (filter.protocol == 0 || route.protocol == filter.protocol)
            })
        };
        let request = |a: &mut Attributes<'_>| {
            a.raw(&header);
            a.u32(RTA_TABLE, filter.table);
            if let Some(link) = filter.link {
                a.u32(RTA_OIF, link);
            }
        };
        match socket.dump(RTM_GETROUTE, request, wanted) {
            Ok(routes) => all.extend(routes),
            // A table without routes need not exist yet, and a link that somebody saw may be gone by now: a NIC that moves to
            // another namespace takes its routes along.
            Err(refusal) if matches!(refusal.errno, Errno::NOENT | Errno::NODEV) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(all)
}

/// Writes what identifies a unicast route of ours but its metric: the header, the destination and the table.
pub(crate) fn identify(a: &mut Attributes<'_>, prefix: IpNet, table: u32, flags: u32) {
    let family = family(prefix.addr());
    let scope = RT_SCOPE_UNIVERSE;
    a.raw(&[family, prefix.prefix_len(), 0, 0, small_table(table), PROTOCOL, scope, RTN_UNICAST]);
    a.raw(&flags.to_ne_bytes());
    a.address(RTA_DST, prefix.network());
    if small_table(table) == 0 {
        a.u32(RTA_TABLE, table);
    }
}

/// The number of a table where there is room for one byte; zero means that it is told by attribute.
fn small_table(table: u32) -> u8 {
    u8::try_from(table).unwrap_or(0)
}

/// All next-hop objects and groups.
pub(crate) fn next_hops(socket: &mut Socket) -> Result<Vec<NextHop>, Refusal> {
    socket.dump(RTM_GETNEXTHOP, |a| a.raw(&[0; 8]), parse_next_hop)
}

/// Resolves objects to ways out, through groups.
#[derive(Debug, Default)]
pub(crate) struct Objects(HashMap<u32, NextHop>);

impl Objects {
    pub(crate) fn new(objects: Vec<NextHop>) -> Self {
        Self(objects.into_iter().map(|object| (object.id, object)).collect())
    }

    pub(crate) fn contains(&self, id: u32) -> bool {
        self.0.contains_key(&id)
    }

    pub(crate) fn exits(&self, id: u32) -> Vec<Exit> {
        let Some(object) = self.0.get(&id) else {
            return Vec::new();
        };
        // Groups hold no groups.
        let members = object.members.iter().filter_map(|member| self.0.get(member)?.exit);
        object.exit.into_iter().chain(members).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_is_gone_and_a_table_that_is_not_there_have_no_routes() {
        let mut socket = Socket::open().expect("anybody may ask");
        // Numbers that nobody has: links are counted from 1, and no route was ever put into this table.
        for filter in [
            Filter { link: Some(i32::MAX.unsigned_abs()), ..Filter::MAIN },
            Filter { table: u32::MAX - 7, ..Filter::default() },
        ] {
            assert_eq!(routes(&mut socket, filter).map(|routes| routes.len()), Ok(0), "{filter:?}");
        }
    }
}

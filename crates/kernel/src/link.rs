//! Links and their addresses, as netlink tells and changes them.
//!
//! One struct for each object, one function for each request; nothing here knows why. `linux/if_link.h`,
//! `linux/if_addr.h`.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use ipnet::IpNet;
use rustix::io::Errno;

use crate::netlink::constants::*;
use crate::netlink::{Attributes, Fields, Refusal, Socket, attributes, family};
use crate::netns::Namespace;

/// Operational states of RFC 2863 in which packets can flow (`linux/if.h`).
const OPERSTATE_UNKNOWN: u8 = 0;
const OPERSTATE_UP: u8 = 6;
/// Longest name of a link in bytes (IFNAMSIZ without the zero byte).
pub(crate) const NAME_MAX: usize = 15;

/// A link as the kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) flags: u32,
    pub(crate) mtu: u32,
    pub(crate) operstate: u8,
    /// Its Ethernet address.
    pub(crate) hardware: Option<[u8; 6]>,
    pub(crate) kind: String,
    pub(crate) group: u32,
    /// How often the carrier came or went.
    pub(crate) carrier_changes: u32,
    /// Index of the other end of a veth, in the namespace `peer_nsid`.
    pub(crate) peer: Option<u32>,
    /// Number, local to the link's namespace, of the namespace of the other end; `None` is the same one.
    pub(crate) peer_nsid: Option<u32>,
}

impl Link {
    pub(crate) fn up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    pub(crate) fn carrier(&self) -> bool {
        self.up() && matches!(self.operstate, OPERSTATE_UNKNOWN | OPERSTATE_UP)
    }

    /// Whether the kernel keeps next hops on it: it drops them when this turns false.
    pub(crate) fn keeps_next_hops(&self) -> bool {
        self.up() && self.flags & (IFF_RUNNING | IFF_LOWER_UP) != 0
    }
}

/// An address on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) link: u32,
    pub(crate) net: IpNet,
    pub(crate) scope: u8,
    pub(crate) flags: u32,
}

/// The fixed header of link messages, `struct ifinfomsg`.
fn header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

/// Reads the body of `RTM_NEWLINK` or `RTM_DELLINK`.
pub(crate) fn parse(body: &[u8]) -> Option<Link> {
    let mut link = Link {
        index: body.u32_at(4)?,
        name: String::new(),
        flags: body.u32_at(8)?,
        mtu: 0,
        operstate: OPERSTATE_UNKNOWN,
        hardware: None,
        kind: String::new(),
        group: 0,
        carrier_changes: 0,
        peer: None,
        peer_nsid: None,
    };
    for (kind, value) in attributes(body.tail(16)) {
        match kind {
            IFLA_IFNAME => link.name = value.text(),
            IFLA_ADDRESS => link.hardware = value.try_into().ok(),
            IFLA_MTU => link.mtu = value.number()?,
            IFLA_OPERSTATE => link.operstate = value.u8_at(0)?,
            IFLA_GROUP => link.group = value.number()?,
            IFLA_CARRIER_CHANGES => link.carrier_changes = value.number()?,
            IFLA_LINK => link.peer = value.number().filter(|index| *index != 0),
            IFLA_LINK_NETNSID => link.peer_nsid = value.number(),
            IFLA_LINKINFO => {
                if let Some((_, kind)) = attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND) {
                    link.kind = kind.text();
                }
            }
            _ => {}
        }
    }
    Some(link)
}

/// Reads the body of `RTM_NEWADDR`.
pub(crate) fn parse_address(body: &[u8]) -> Option<Address> {
    let length = body.u8_at(1)?;
    let mut flags = u32::from(body.u8_at(2)?);
    let (mut local, mut address) = (None, None);
    for (kind, value) in attributes(body.tail(8)) {
        match kind {
            IFA_LOCAL => local = value.ip(),
            IFA_ADDRESS => address = value.ip(),
            IFA_FLAGS => flags = value.number()?,
            _ => {}
        }
    }
    // With a peer address the local one is in IFA_LOCAL; IPv6 without one has only IFA_ADDRESS.
    let net = IpNet::new(local.or(address)?, length).ok()?;
    Some(Address { link: body.u32_at(4)?, net, scope: body.u8_at(3)?, flags })
}

/// All links of the socket's namespace.
pub(crate) fn links(socket: &mut Socket) -> Result<Vec<Link>, Refusal> {
    socket.dump(RTM_GETLINK, |a| a.raw(&header(0, 0, 0)), parse)
}

/// All addresses of the socket's namespace, in the order in which the kernel holds them.
pub(crate) fn addresses(socket: &mut Socket) -> Result<Vec<Address>, Refusal> {
    socket.dump(RTM_GETADDR, |a| a.raw(&[0; 8]), parse_address)
}

/// The link with this name.
pub(crate) fn find(socket: &mut Socket, name: &str) -> Result<Option<Link>, Refusal> {
    if name.len() > NAME_MAX {
        return Ok(None);
    }
    let request = |a: &mut Attributes<'_>| {
        a.raw(&header(0, 0, 0));
        a.text(IFLA_IFNAME, name);
    };
    match socket.get(RTM_GETLINK, request, |kind, body| (kind == RTM_NEWLINK).then(|| parse(body))?) {
        Err(refusal) if refusal.errno == Errno::NODEV => Ok(None),
        result => result,
    }
}

/// Changes one link: flags under the mask `change`, and attributes.
pub(crate) fn set(
    socket: &mut Socket,
    index: u32,
    flags: u32,
    change: u32,
    body: impl FnOnce(&mut Attributes<'_>),
) -> Result<(), Refusal> {
    socket.change(RTM_SETLINK, 0, |a| {
        a.raw(&header(index, flags, change));
        body(a);
    })
}

/// Sets a link up by name.
pub(crate) fn set_up(socket: &mut Socket, name: &str) -> io::Result<()> {
    let link = find(socket, name)?.ok_or_else(|| io::Error::from(Errno::NODEV))?;
    if link.up() { Ok(()) } else { Ok(set(socket, link.index, IFF_UP, IFF_UP, |_| {})?) }
}

/// Moves a link into another namespace. It arrives down and without addresses.
pub(crate) fn move_to(socket: &mut Socket, index: u32, target: &Namespace) -> Result<(), Refusal> {
    set(socket, index, 0, 0, |a| a.u32(IFLA_NET_NS_FD, descriptor(target)))
}

/// Removes a link.
pub(crate) fn delete(socket: &mut Socket, index: u32) -> Result<(), Refusal> {
    socket.change(RTM_DELLINK, 0, |a| a.raw(&header(index, 0, 0)))
}

/// Makes a veth pair in one step: one end here, the other end already in `peer_ns`.
pub(crate) fn create_veth(
    socket: &mut Socket,
    name: &str,
    peer_name: &str,
    peer_ns: &Namespace,
    mtu: u32,
) -> Result<(), Refusal> {
    socket.change(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, |a| {
        a.raw(&header(0, 0, 0));
        a.text(IFLA_IFNAME, name);
        a.u32(IFLA_MTU, mtu);
        a.nest(IFLA_LINKINFO, |a| {
            a.text(IFLA_INFO_KIND, "veth");
            a.nest(IFLA_INFO_DATA, |a| {
                a.nest(VETH_INFO_PEER, |a| {
                    a.raw(&header(0, 0, 0));
                    a.text(IFLA_IFNAME, peer_name);
                    a.u32(IFLA_MTU, mtu);
                    a.u32(IFLA_NET_NS_FD, descriptor(peer_ns));
                });
            });
        });
    })
}

/// Adds an address. IPv6 without duplicate address detection (RFC 4862 section 5.4): it is usable at once.
pub(crate) fn add_address(socket: &mut Socket, index: u32, net: IpNet) -> Result<(), Refusal> {
    socket.change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, |a| {
        address_request(a, index, net);
        match net {
            // The broadcast address is what `ip address add` and network managers give as well.
            IpNet::V4(net) if net.prefix_len() < 31 => a.address(IFA_BROADCAST, IpAddr::V4(net.broadcast())),
            IpNet::V4(_) => {}
            IpNet::V6(_) => a.u32(IFA_FLAGS, IFA_F_NODAD),
        }
    })
}

/// Removes an address.
pub(crate) fn delete_address(socket: &mut Socket, index: u32, net: IpNet) -> Result<(), Refusal> {
    socket.change(RTM_DELADDR, 0, |a| address_request(a, index, net))
}

fn address_request(a: &mut Attributes<'_>, index: u32, net: IpNet) {
    let mut header = [0; 8];
    header[0] = family(net.addr());
    header[1] = net.prefix_len();
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    a.raw(&header);
    a.address(IFA_LOCAL, net.addr());
    a.address(IFA_ADDRESS, net.addr());
}

/// The number that the socket's namespace gives to `other`, by which links name the namespace of their peer.
/// `None` when it has given none.
pub(crate) fn namespace_number(socket: &mut Socket, other: &Namespace) -> Result<Option<u32>, Refusal> {
    let request = |a: &mut Attributes<'_>| {
        a.raw(&[AF_UNSPEC, 0, 0, 0]);
        a.u32(NETNSA_FD, descriptor(other));
    };
    let parse = |kind: u16, body: &[u8]| {
        let value = attributes(body.tail(4)).find(|(kind, _)| *kind == NETNSA_NSID)?.1.number()?;
        // NETNSA_NSID_NOT_ASSIGNED is -1.
        (kind == RTM_NEWNSID && value != u32::MAX).then_some(value)
    };
    socket.get(RTM_GETNSID, request, parse)
}

fn descriptor(namespace: &Namespace) -> u32 {
    u32::try_from(namespace.as_fd().as_raw_fd()).expect("an open descriptor is not negative")
}

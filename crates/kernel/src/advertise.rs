//! Router advertisements (RFC 4861) on links with unnumbered neighbours: ours are sent, so that the other side finds
//! us, and theirs are read, so that we find it.
//!
//! Owns a raw ICMPv6 socket and a netlink socket that hears links and addresses, both in one namespace. Told the names
//! of links ([`Handle::set_links`]); emits which router is on which of them ([`Heard`]). A link counts while it exists,
//! has carrier and a link-local address that has passed duplicate address detection.
//!
//! What is sent is what FRR sends for `neighbor IF interface`: a lifetime of 30 seconds, no prefix, the sender's
//! Ethernet address, every 10 seconds. Packets that crossed a router (hop limit below 255) are refused in the kernel.
//! Nothing is sent at the end: a restart must not take the other side's session down.
//!
//! Does not touch the kernel's own reading of advertisements: `accept_ra=0` on the links is the host plan's
//! ([`crate::host`]), as is forwarding, without which the kernel does not answer for a router.

pub(crate) mod packet;
mod routers;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, Protocol, SockFilter, Type};

use crate::link;
use crate::netlink::Socket;
use crate::netlink::constants::*;
use crate::netns::Namespace;
use packet::{ADVERTISEMENT, Packet, SOLICITATION};
use routers::{JITTER, Routers, Transmit, Usable};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Of all packets: they are valid only on their link (RFC 4861 section 6.1).
const HOP_LIMIT: u8 = 255;
/// Largest packet that we read; options beyond it do not matter.
const RECEIVE: usize = 2048;
/// Packets that are read before anything else is looked at.
const RECEIVES: usize = 64;

/// A router that was heard on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Name of the link.
    pub link: String,
    /// Kernel index of the link.
    pub index: u32,
    /// Its link-local address; `None`: it was not heard of for its lifetime, it said goodbye (lifetime zero), or the
    /// link cannot be used any more.
    pub router: Option<Ipv6Addr>,
}

/// What other threads want.
#[derive(Debug, Default)]
struct Wanted {
    links: Vec<String>,
    stopped: bool,
}

#[derive(Debug)]
struct Shared {
    wanted: Mutex<Wanted>,
    wake: OwnedFd,
}

/// Steers an [`Advertiser`] from another thread.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

impl Handle {
    /// Replaces the set of links. Those that do not exist yet are taken up when they appear.
    ///
    /// # Errors
    /// When the thread that waits cannot be woken.
    pub fn set_links(&self, links: &[String]) -> io::Result<()> {
        self.change(|wanted| wanted.links = links.to_vec())
    }

    /// From here on every [`Advertiser::wait`] returns at once, with nothing.
    ///
    /// # Errors
    /// When the thread that waits cannot be woken.
    pub fn stop(&self) -> io::Result<()> {
        self.change(|wanted| wanted.stopped = true)
    }

    fn change(&self, change: impl FnOnce(&mut Wanted)) -> io::Result<()> {
        change(&mut self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        match rustix::io::write(&self.0.wake, &1u64.to_ne_bytes()) {
            // A full counter wakes as well.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The links, or `None` when it was stopped.
    fn wanted(&self) -> Option<Vec<String>> {
        let wanted = self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        (!wanted.stopped).then(|| wanted.links.clone())
    }
}

/// Sends and reads on a set of links of a namespace, on a thread of the caller.
#[derive(Debug)]
pub struct Advertiser {
    namespace: Namespace,
    handle: Handle,
    socket: socket2::Socket,
    notifications: Socket,
    routers: Routers,
    /// Links on which the socket hears solicitations.
    joined: HashSet<u32>,
    /// Link-local addresses of the namespace: two of our links may share a segment.
    own: HashSet<Ipv6Addr>,
    random: RandomState,
    drawn: u64,
    /// Told by the next [`Self::wait`].
    heard: Vec<Heard>,
}

impl Advertiser {
    /// Opens the sockets in `ns`. Links that do not exist yet are taken up when they appear.
    ///
    /// # Errors
    /// When the kernel gives no raw ICMPv6 socket.
    pub fn open(ns: &Namespace, links: &[String]) -> io::Result<Self> {
        let (socket, notifications) = ns.run(|| Ok::<_, io::Error>((open_raw()?, open_notifications()?)))??;
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let wanted = Mutex::new(Wanted { links: links.to_vec(), stopped: false });
        let mut advertiser = Self {
            namespace: ns.clone(),
            handle: Handle(Arc::new(Shared { wanted, wake })),
            socket,
            notifications,
            routers: Routers::default(),
            joined: HashSet::new(),
            own: HashSet::new(),
            random: RandomState::new(),
            drawn: 0,
            heard: Vec::new(),
        };
        advertiser.look(links)?;
        Ok(advertiser)
    }

    /// A handle for other threads.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Sends what is due, and blocks until a router was heard that was not known, or one was lost. Nothing at all
    /// means that it was stopped.
    ///
    /// # Errors
    /// When a socket fails for good.
    pub fn wait(&mut self) -> io::Result<Vec<Heard>> {
        loop {
            self.heard.extend(self.routers.expire(Instant::now()));
            self.send();
            let Some(wanted) = self.handle.wanted() else {
                return Ok(Vec::new());
            };
            if !self.heard.is_empty() {
                return Ok(std::mem::take(&mut self.heard));
            }
            let mut polled = [
                PollFd::new(&self.handle.0.wake, PollFlags::IN),
                PollFd::new(&self.notifications, PollFlags::IN),
                PollFd::new(&self.socket, PollFlags::IN),
            ];
            let timeout = self.routers.deadline().map(|at| timespec(at.saturating_duration_since(Instant::now())));
            match rustix::event::poll(&mut polled, timeout.as_ref()) {
                Err(Errno::INTR) => continue,
                result => result?,
            };
            let [woken, notified, received] = polled.map(|fd| !fd.revents().is_empty());
            if woken {
                // The set of links is read after that, so no change is missed.
                let _ = rustix::io::read(&self.handle.0.wake, &mut [0; 8]);
            }
            if notified {
                self.drain_notifications()?;
            }
            if woken || notified {
                self.look(&self.handle.wanted().unwrap_or(wanted))?;
            }
            if received {
                self.receive()?;
            }
        }
    }

    /// What was told does not matter: everything is read anew.
    fn drain_notifications(&mut self) -> io::Result<()> {
        loop {
            match self.notifications.try_receive(|_| {}).map_err(|error| (Errno::from_io_error(&error), error)) {
                Ok(()) | Err((Some(Errno::NOBUFS), _)) => {}
                Err((Some(Errno::AGAIN), _)) => return Ok(()),
                Err((_, error)) => return Err(error),
            }
        }
    }

    /// Reads which of the wanted links can be used.
    fn look(&mut self, wanted: &[String]) -> io::Result<()> {
        let mut socket = self.namespace.socket()?;
        let links = link::links(&mut socket)?;
        let mut speaking = HashSet::new();
        self.own.clear();
        for address in link::addresses(&mut socket)? {
            if let IpAddr::V6(own) = address.net.addr()
                && own.is_unicast_link_local()
                && address.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) == 0
            {
                self.own.insert(own);
                speaking.insert(address.link);
            }
        }
        let usable: Vec<Usable> = links
            .into_iter()
            .filter(|link| wanted.contains(&link.name) && link.carrier() && speaking.contains(&link.index))
            .map(|link| Usable { name: link.name, index: link.index, hardware: link.hardware })
            .collect();
        self.heard.extend(self.routers.set_links(Instant::now(), usable));
        self.join();
        Ok(())
    }

    /// Solicitations go to all routers, a group which the socket must join on each link.
    fn join(&mut self) {
        let indexes: HashSet<u32> = self.routers.indexes().collect();
        // A link that is gone has taken its groups along; a refusal costs only speed, since we speak anyway.
        for gone in self.joined.difference(&indexes) {
            let _ = self.socket.leave_multicast_v6(&ALL_ROUTERS, *gone);
        }
        for new in indexes.difference(&self.joined) {
            let _ = self.socket.join_multicast_v6(&ALL_ROUTERS, *new);
        }
        self.joined = indexes;
    }

    fn send(&mut self) {
        let Self { routers, random, drawn, .. } = self;
        let jitter = || {
            *drawn += 1;
            JITTER.mul_f64(random.hash_one(*drawn) as f64 / u64::MAX as f64)
        };
        for Transmit { index, packet, hardware } in routers.transmit(Instant::now(), jitter) {
            let group = if packet == Packet::Solicitation { ALL_ROUTERS } else { ALL_NODES };
            let target = SocketAddrV6::new(group, 0, 0, index);
            // A link that went down, or a firewall: it is tried again when the next one is due.
            let _ = rustix::net::sendto(&self.socket, &packet.encode(hardware), SendFlags::empty(), &target);
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; RECEIVE];
        // Under a flood our own packets still go out.
        for _ in 0..RECEIVES {
            let (length, source) = match rustix::net::recvfrom(&self.socket, &mut buffer, RecvFlags::empty()) {
                Ok((length, _, source)) => (length, source),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let Some(source) = source.and_then(|source| SocketAddrV6::try_from(source).ok()) else {
                continue;
            };
            // The scope of a link-local source is the link.
            let (address, index) = (*source.ip(), source.scope_id());
            let packet = Packet::parse(address, buffer.get(..length).unwrap_or_default());
            if let Some(packet) = packet
                && !self.own.contains(&address)
            {
                self.heard.extend(self.routers.receive(Instant::now(), index, address, packet));
            }
        }
        Ok(())
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec { tv_sec: i64::from(i32::MAX), tv_nsec: 0 })
}

fn open_raw() -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.set_nonblocking(true)?;
    socket.attach_filter(&filter())?;
    socket.set_unicast_hops_v6(HOP_LIMIT.into())?;
    socket.set_multicast_hops_v6(HOP_LIMIT.into())?;
    socket.set_multicast_loop_v6(false)?;
    // What came before the filter was there is not filtered.
    while rustix::net::recvfrom(&socket, &mut [0; 1], RecvFlags::empty()).is_ok() {}
    Ok(socket)
}

fn open_notifications() -> io::Result<Socket> {
    let groups = [RTNLGRP_LINK, RTNLGRP_IPV6_IFADDR];
    Socket::bound(groups.into_iter().fold(0, |mask, group| mask | 1 << (group - 1)), 0)
}

/// Lets solicitations and advertisements through whose hop limit is 255. The packet starts with the ICMPv6 type; the
/// hop limit is in the IPv6 header before it. The kernel has checked the checksum (RFC 3542 section 3.1).
fn filter() -> [SockFilter; 7] {
    const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    /// `linux/filter.h`: offsets from here on count from the network header.
    const NETWORK_HEADER: u32 = (-0x10_0000_i32).cast_unsigned();
    const HOP_LIMIT_AT: u32 = 7;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, 0),
        SockFilter::new(JUMP_EQUAL, 1, 0, SOLICITATION.into()),
        SockFilter::new(JUMP_EQUAL, 0, 3, ADVERTISEMENT.into()),
        SockFilter::new(LOAD_BYTE, 0, 0, NETWORK_HEADER + HOP_LIMIT_AT),
        SockFilter::new(JUMP_EQUAL, 0, 1, HOP_LIMIT.into()),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

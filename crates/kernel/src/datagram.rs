//! UDP sockets for protocols that look at more than the bytes: where a packet arrived, and with which TTL.
//!
//! As in [`crate::sock`], a socket is made inside the namespace and is non-blocking. One [`Receiver`] hears everything that comes
//! to a port; a [`Sender`] has a source address, a port and, if wanted, a link of its own. All packets go out with TTL 255 and
//! DSCP CS6.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::netns::Namespace;
use crate::{link, sock, sys};

/// A packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Its bytes, cut off at the end of the buffer.
    pub payload: &'a [u8],
    /// Who sent it.
    pub source: IpAddr,
    /// To which address of ours.
    pub destination: IpAddr,
    /// Index of the link over which it came.
    pub link: u32,
    /// Its TTL or hop limit.
    pub ttl: u8,
}

/// Hears a port on all addresses of one family.
#[derive(Debug)]
pub struct Receiver(Socket);

impl Receiver {
    /// Opens it in `ns`.
    ///
    /// # Errors
    /// When another socket has the port.
    pub fn open(ns: &Namespace, ipv6: bool, port: u16) -> io::Result<Self> {
        ns.run(move || {
            let socket = new_socket(ipv6)?;
            if ipv6 {
                sys::set_int(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)?;
                sys::set_int(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
            } else {
                sys::set_int(&socket, libc::IPPROTO_IP, libc::IP_RECVTTL, 1)?;
                sys::set_int(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
            }
            socket.bind(&SockAddr::from(SocketAddr::new(any(ipv6), port)))?;
            Ok(Self(socket))
        })?
    }

    /// The next packet; `None` when there is none.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<Received<'a>>> {
        loop {
            let arrival = match sys::receive(&self.0, buffer) {
                Ok(arrival) => arrival,
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN) => return Ok(None),
                    Some(Errno::INTR) => continue,
                    _ => return Err(error),
                },
            };
            // All of them are there: the options were set before the port was.
            if let (Some(source), Some(destination), Some(ttl)) = (arrival.source, arrival.destination, arrival.ttl) {
                let payload = buffer.get(..arrival.length).unwrap_or_default();
                return Ok(Some(Received { payload, source, destination, link: arrival.link, ttl }));
            }
        }
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// From where a [`Sender`] sends, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Target.
    pub remote: IpAddr,
    /// Port of the target.
    pub port: u16,
    /// Our address; it need not be there yet. `None`: the one that the kernel chooses.
    pub local: Option<IpAddr>,
    /// Name of the link to which the socket is bound. Link-local addresses need one.
    pub link: Option<String>,
}

/// Sends to one address from a port of its own.
#[derive(Debug)]
pub struct Sender {
    socket: Socket,
    target: SocketAddr,
    link: Option<u32>,
}

impl Sender {
    /// Opens it in `ns` with a source port from `ports`, of which `first` is tried first: any number will do.
    ///
    /// # Errors
    /// When the link does not exist, or every port is taken.
    pub fn open(ns: &Namespace, way: &Way, ports: RangeInclusive<u16>, first: u16) -> io::Result<Self> {
        let way = way.clone();
        ns.run(move || {
            let ipv6 = way.remote.is_ipv6();
            let socket = new_socket(ipv6)?;
            let mut link = None;
            if let Some(name) = &way.link {
                link = Some(index(name)?);
                socket.bind_device(Some(name.as_bytes()))?;
            }
            // Nobody reads what arrives here.
            socket.set_recv_buffer_size(0)?;
            if ipv6 {
                socket.set_unicast_hops_v6(u8::MAX.into())?;
                socket.set_freebind_v6(true)?;
            } else {
                socket.set_ttl_v4(u8::MAX.into())?;
                socket.set_freebind_v4(true)?;
            }
            sock::set_class(&socket, ipv6)?;
            let address = way.local.unwrap_or(any(ipv6));
            bind_within(&socket, scoped(address, 0, link), ports, first)?;
            Ok(Self { socket, target: scoped(way.remote, way.port, link), link })
        })?
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// What the kernel says at once; that nobody hears it is no error.
    pub fn send(&self, payload: &[u8]) -> io::Result<()> {
        self.socket.send_to(payload, &SockAddr::from(self.target)).map(drop)
    }

    /// Index of the link, as it was when the socket was opened.
    pub fn link(&self) -> Option<u32> {
        self.link
    }

    /// Source address and port.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an IP socket"))
    }
}

fn new_socket(ipv6: bool) -> io::Result<Socket> {
    let domain = if ipv6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if ipv6 {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn bind_within(socket: &Socket, mut at: SocketAddr, ports: RangeInclusive<u16>, first: u16) -> io::Result<()> {
    let first = if ports.contains(&first) { first } else { *ports.start() };
    for port in (first..=*ports.end()).chain(*ports.start()..first) {
        at.set_port(port);
        match socket.bind(&SockAddr::from(at)) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::ADDRINUSE) => {}
            result => return result,
        }
    }
    Err(Errno::ADDRINUSE.into())
}

fn any(ipv6: bool) -> IpAddr {
    if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

/// Only link-local addresses have a scope.
fn scoped(address: IpAddr, port: u16, link: Option<u32>) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => SocketAddrV6::new(v6, port, 0, link.unwrap_or_default()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => SocketAddr::new(address, port),
    }
}

/// Index of a link in the namespace of the calling thread.
fn index(name: &str) -> io::Result<u32> {
    let found = link::find(&mut crate::netlink::Socket::open()?, name)?;
    Ok(found.ok_or_else(|| io::Error::from(Errno::NODEV))?.index)
}

//! TCP sockets with the options that routing sessions need.
//!
//! Each socket is made inside the namespace ([`Namespace::run`]) and belongs to it for ever; the caller's
//! threads never move. Every socket is non-blocking. IPv6 link-local peers carry their link as the scope id of
//! `SocketAddrV6`. TCP-MD5: RFC 2385; the keys are matched on the SYN, so a listening socket must know them
//! before the peer calls. TTL: RFC 5082 asks for 255 and [`require_ttl`] on the other end; eBGP without it uses 1.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use ipnet::IpNet;
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::netns::Namespace;
use crate::rule::MARK;
use crate::sys;

/// Traffic class of routing protocols: DSCP CS6 (RFC 4594 section 3.1).
const CS6: u32 = 0xc0;
/// Connections that wait for `accept`.
const BACKLOG: i32 = 1024;

/// How to open a connection.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Target.
    pub remote: SocketAddr,
    /// Source address.
    pub local: Option<IpAddr>,
    /// TTL or hop limit of our packets; `None` leaves the system's.
    pub ttl: Option<u8>,
    /// TCP-MD5 key, at most 80 bytes (RFC 2385).
    pub md5: Option<String>,
}

/// Starts a non-blocking connect from inside `ns`; the stream becomes writable when it is open or has failed.
/// DSCP CS6, TCP_NODELAY.
pub fn dial(ns: &Namespace, dial: &Dial) -> io::Result<TcpStream> {
    dial_on(ns, dial, None)
}

/// As [`dial`], bound to the link with this name (SO_BINDTODEVICE): neither a route nor an address elsewhere can
/// pull the session away from it.
pub fn dial_on(ns: &Namespace, dial: &Dial, link: Option<&str>) -> io::Result<TcpStream> {
    let dial = dial.clone();
    let link = link.map(str::to_owned);
    ns.run(move || {
        let socket = new_socket(dial.remote, link.as_deref())?;
        mark(&socket, dial.remote.is_ipv6(), dial.ttl)?;
        if let Some(key) = &dial.md5 {
            let (address, length) = host(dial.remote.ip());
            sys::set_md5(&socket, address, length, Some(key))?;
        }
        if let Some(local) = dial.local {
            let mut source = SocketAddr::new(local, 0);
            if let (SocketAddr::V6(source), SocketAddr::V6(remote)) = (&mut source, dial.remote) {
                source.set_scope_id(remote.scope_id());
            }
            socket.bind(&SockAddr::from(source))?;
        }
        match socket.connect(&SockAddr::from(dial.remote)) {
            Ok(()) => {}
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(TcpStream::from(socket))
    })?
}

/// A non-blocking listening socket in `ns` (SO_REUSEADDR; IPV6_V6ONLY for IPv6 addresses).
pub fn listen(ns: &Namespace, address: SocketAddr) -> io::Result<TcpListener> {
    listen_on(ns, address, None)
}

/// As [`listen`], but hears only what arrives over the link with this name (SO_BINDTODEVICE). It may have the same
/// address as a listening socket of [`listen`] that was there before it, and is then preferred for what arrives over
/// its link.
pub fn listen_on(ns: &Namespace, address: SocketAddr, link: Option<&str>) -> io::Result<TcpListener> {
    let link = link.map(str::to_owned);
    ns.run(move || {
        let socket = new_socket(address, link.as_deref())?;
        socket.set_reuse_address(true)?;
        // The SYN-ACK is sent with this socket's class and TTL, before the accepted one is tuned; a peer that asks for
        // 255 (RFC 5082) would not see a smaller one.
        mark(&socket, address.is_ipv6(), Some(u8::MAX))?;
        // The kernel lets a socket that is bound to a link beside one that is not only when both allow it. The latter
        // allows it after its own bind, so that a second process is still refused.
        socket.set_reuse_port(link.is_some())?;
        socket.bind(&SockAddr::from(address))?;
        socket.listen(BACKLOG)?;
        socket.set_reuse_port(true)?;
        Ok(TcpListener::from(socket))
    })?
}

/// Installs or removes (`None`) the TCP-MD5 key for connections from `peer` on a listening socket.
/// Removing a key that is not there is fine.
pub fn set_md5(listener: &TcpListener, peer: IpAddr, key: Option<&str>) -> io::Result<()> {
    set_md5_range(listener, IpNet::from(peer), key)
}

/// As [`set_md5`], for every peer within `peers`; the longest match counts.
pub fn set_md5_range(listener: &TcpListener, peers: IpNet, key: Option<&str>) -> io::Result<()> {
    let result = sys::set_md5(listener, peers.network(), peers.prefix_len(), key);
    match result {
        Err(error) if key.is_none() && Errno::from_io_error(&error) == Some(Errno::NOENT) => Ok(()),
        Ok(()) | Err(_) => result,
    }
}

/// Sets TTL / hop limit, DSCP CS6 and TCP_NODELAY on an accepted stream.
pub fn tune(stream: &TcpStream, ttl: Option<u8>) -> io::Result<()> {
    mark(&SockRef::from(stream), is_ipv6(stream)?, ttl)
}

/// Drops packets that arrive with a TTL or hop limit below `ttl` (RFC 5082 section 3; 255 means "on this link").
pub fn require_ttl(stream: &TcpStream, ttl: u8) -> io::Result<()> {
    sys::set_min_ttl(stream, is_ipv6(stream)?, ttl)
}

/// User and process at the other end: those that connected, or called `listen`. The process is 0 when it is in another
/// PID namespace.
///
/// # Errors
/// When the kernel cannot tell.
pub fn peer_credentials(stream: &UnixStream) -> io::Result<(u32, i32)> {
    sys::peer_credentials(stream)
}

fn is_ipv6(stream: &TcpStream) -> io::Result<bool> {
    Ok(SockRef::from(stream).local_addr()?.is_ipv6())
}

fn new_socket(address: SocketAddr, link: Option<&str>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if let Some(link) = link {
        socket.bind_device(Some(link.as_bytes()))?;
    }
    Ok(socket)
}

fn mark(socket: &Socket, ipv6: bool, ttl: Option<u8>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    set_class(socket, ipv6)?;
    // Marks belong to whoever may change routing; without that permission nobody has made a rule about them either.
    match socket.set_mark(MARK) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::PERM) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    match ttl {
        Some(ttl) if ipv6 => socket.set_unicast_hops_v6(ttl.into()),
        Some(ttl) => socket.set_ttl_v4(ttl.into()),
        None => Ok(()),
    }
}

pub(crate) fn set_class(socket: impl AsFd, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        SockRef::from(&socket.as_fd()).set_tclass_v6(CS6)
    } else {
        SockRef::from(&socket.as_fd()).set_tos_v4(CS6)
    }
}

fn host(address: IpAddr) -> (IpAddr, u8) {
    let net = IpNet::from(address);
    (address, net.prefix_len())
}

//! TCP sockets with the options that routing sessions need.
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use crate::netns::Namespace;

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
pub fn dial(_ns: &Namespace, _dial: &Dial) -> io::Result<TcpStream> { todo!() }
/// A non-blocking listening socket in `ns` (SO_REUSEADDR; IPV6_V6ONLY for IPv6 addresses).
pub fn listen(_ns: &Namespace, _address: SocketAddr) -> io::Result<TcpListener> { todo!() }
/// Installs or removes (`None`) the TCP-MD5 key for connections from `peer` on a listening socket.
pub fn set_md5(_listener: &TcpListener, _peer: IpAddr, _key: Option<&str>) -> io::Result<()> { todo!() }
/// Sets TTL / hop limit, DSCP CS6 and TCP_NODELAY on an accepted stream.
pub fn tune(_stream: &TcpStream, _ttl: Option<u8>) -> io::Result<()> { todo!() }

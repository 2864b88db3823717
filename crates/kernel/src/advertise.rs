//! Router advertisements (RFC 4861) on links with unnumbered neighbours: ours are sent, so that the other side finds
//! us, and theirs are read, so that we find it.

use std::io;
use std::net::Ipv6Addr;

use crate::netns::Namespace;

/// A router that was heard on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Name of the link.
    pub link: String,
    /// Kernel index of the link.
    pub index: u32,
    /// Its link-local address; `None`: not heard of for its lifetime, or it said goodbye (lifetime zero).
    pub router: Option<Ipv6Addr>,
}

/// Sends and reads on a set of links of a namespace, on a thread of the caller.
#[derive(Debug)]
pub struct Advertiser {}

impl Advertiser {
    /// Opens the sockets in `ns`. Links that do not exist yet are taken up when they appear.
    ///
    /// # Errors
    /// When the kernel gives no raw ICMPv6 socket.
    pub fn open(_ns: &Namespace, _links: &[String]) -> io::Result<Self> {
        todo!()
    }

    /// Replaces the set of links. May be called from another thread than [`Self::wait`] through a clone of a handle.
    pub fn set_links(&self, _links: &[String]) {
        todo!()
    }

    /// Sends what is due, and blocks until a router was heard that was not known, changed or was lost.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub fn wait(&mut self) -> io::Result<Vec<Heard>> {
        todo!()
    }
}

//! What the engine asks for.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::event::ConnId;
use crate::intent::{Secret, Ttl};

/// A request to the driver, or a fact worth telling people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a TCP connection; answered by `Connected` or `Closed`.
    Dial {
        /// Number of the connection to be.
        conn: ConnId,
        /// How.
        dial: Dial,
    },
    /// [`crate::Engine::poll_transmit`] has bytes for this connection.
    Transmit(ConnId),
    /// Write what `poll_transmit` still yields, then close. The engine forgets the connection at once
    /// after the last byte was pulled.
    Close(ConnId),
    /// Sockets must know these peers' options before a connection arrives (TCP-MD5 keys are checked on SYN).
    /// Sent whenever the set changes; replaces the previous one.
    Admit(Vec<Admission>),
    /// Keep exactly these BFD sessions. Sent whenever the set changes; replaces the previous one.
    Bfd(Vec<BfdPeer>),
    /// Whom a later process is to wait for if this one ends now ([`crate::Event::Restarted`]): who has a session, or is expected
    /// back. Sent whenever the set changes; replaces the previous one. Not while we stop.
    Sessions(BTreeSet<IpAddr>),
    /// The FIB was switched off: remove every route of ours from the kernel.
    ClearFib,
    /// Something that an operator wants to read.
    Note(Note),
}

/// How to open a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Target; for a link-local address with its scope.
    pub remote: SocketAddr,
    /// Source address.
    pub local: Option<IpAddr>,
    /// TTL of our packets.
    pub ttl: Ttl,
    /// TCP-MD5 key.
    pub password: Option<Secret>,
    /// Bind to the link of this name.
    pub link: Option<String>,
    /// Accept only packets that came over at most this many hops (RFC 5082).
    pub ttl_security: Option<u8>,
}

/// What the listening socket must know of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The peer's address, or those of a range.
    pub prefix: IpNet,
    /// Only over the link of this name: a listening socket is bound to it.
    pub link: Option<String>,
    /// TCP-MD5 key.
    pub password: Option<Secret>,
    /// TTL of our packets on accepted connections.
    pub ttl: Ttl,
    /// Accept only packets that came over at most this many hops (RFC 5082).
    pub ttl_security: Option<u8>,
}

/// A BFD session to keep ([`crate::bfd`]); what it says comes back as [`crate::Event::Liveness`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdPeer {
    /// The neighbour.
    pub peer: IpAddr,
    /// Name of the link behind which it is, if it is bound to one.
    pub link: Option<String>,
    /// Our address, if it is configured.
    pub local: Option<IpAddr>,
    /// How.
    pub settings: crate::bfd::Settings,
}

/// A state change, told once, when it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The peer it concerns.
    pub peer: Option<IpAddr>,
    /// How grave it is.
    pub level: Level,
    /// One sentence with the object, the value and, where one exists, the remedy.
    pub text: String,
}

/// Gravity of a [`Note`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Ordinary progress.
    Info,
    /// Something that a person should look at.
    Warn,
}

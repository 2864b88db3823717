//! What the engine is told.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;

use crate::fib::GroupId;
use crate::intent::Intent;

/// A TCP connection. Dialled ones are numbered by the engine, accepted ones by the driver; a number is not
/// used twice in the life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnId {
    /// We dialled it.
    Dialled(u32),
    /// The peer dialled us.
    Accepted(u32),
}

/// A fact for the engine. Plain values, so that a run can be recorded and replayed.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Before the first configuration: an earlier process was this router, and the kernel still forwards as that one had it
    /// (RFC 4724 section 4.1).
    Restarted {
        /// The peers that it had sessions with, which are waited for; `None`: not known, so every configured one is.
        peers: Option<Vec<IpAddr>>,
    },
    /// The configuration to be in force from here on.
    Intent(Box<Intent>),
    /// A connection that we dialled is open.
    Connected {
        /// Which one, from [`crate::Action::Dial`].
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
    },
    /// A connection arrived at our listening socket.
    Accepted {
        /// The driver's number for it ([`ConnId::Accepted`]).
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
        /// The peer's end; for a link-local address with its scope.
        remote: SocketAddr,
        /// Name of the link that it arrived over, when the listening socket is bound to one.
        link: Option<String>,
    },
    /// The router on the other end of a link, found by its router advertisements: an unnumbered neighbour
    /// ([`Intent::unnumbered`]). Told again when it changes; `None` when it has not been heard of for its
    /// lifetime.
    Neighbor {
        /// Name of the link.
        link: String,
        /// Kernel index of the link.
        index: u32,
        /// Its link-local address.
        address: Option<Ipv6Addr>,
    },
    /// Bytes arrived, in any segmentation. A driver with a buffer of its own uses [`crate::Engine::received`].
    Bytes {
        /// On which connection.
        conn: ConnId,
        /// What arrived.
        data: Bytes,
    },
    /// Bytes of a connection that [`crate::Engine::expiring`] has named wait to be read: its peer is not silent, we are late.
    Unread {
        /// Which one.
        conn: ConnId,
    },
    /// The connection ended, or a dial failed. Not sent for connections that the engine closed.
    Closed {
        /// Which one.
        conn: ConnId,
        /// The system's reason, `None` for an orderly end of stream.
        error: Option<String>,
    },
    /// All links of the router's namespace as they are, replacing what was known.
    Links(Vec<Link>),
    /// All routes of the kernel that are not ours, replacing what was known. Used to resolve next hops.
    Underlying(Vec<UnderlyingRoute>),
    /// A FIB batch was carried out, or not begun because the kernel was lost meanwhile ([`Event::FibLost`]).
    FibAck {
        /// [`crate::fib::FibBatch::id`].
        id: u64,
        /// Routes that the kernel refused.
        failed: Vec<(IpNet, String)>,
        /// Groups that the kernel refused: they are not there, nor are the routes that pointed at them.
        failed_groups: Vec<(GroupId, String)>,
        /// Groups that are there without some of their members.
        degraded_groups: Vec<(GroupId, String)>,
    },
    /// A [`crate::fib::HostBatch`] was carried out.
    HostAck {
        /// Its number.
        id: u64,
        /// Routes that the kernel refused.
        failed: Vec<(IpNet, String)>,
    },
    /// The host's table lost what it was told, or is another one: everything is to be told again.
    HostLost,
    /// Start again from nothing in the kernel's FIB: the kernel dropped our routes without telling which.
    FibLost,
    /// BFD came up or went down ([`crate::Action::Bfd`]).
    Liveness(Liveness),
    /// Before the node goes: everything is told with GRACEFUL_SHUTDOWN (RFC 8326), so that peers move their traffic while we
    /// still forward, and after a while every session ends. `None` undoes it, also afterwards.
    Drain(Option<Drain>),
    /// An operator wants something done with a peer ([`crate::Engine::may_order`]).
    Order {
        /// Its address; `::` for an unnumbered neighbour that was not heard yet.
        peer: IpAddr,
        /// Its link ([`crate::snapshot::PeerSnapshot::link`]). Without one every peer of the address is meant, several only
        /// when a link-local address exists on several links; those not heard yet are found by their link alone.
        link: Option<String>,
        /// What.
        order: Order,
    },
    /// Stop in order. `graceful`: sessions with graceful restart are closed without a NOTIFICATION, so that their peers keep
    /// our routes.
    Shutdown {
        /// See above.
        graceful: bool,
    },
}

/// How the router goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long peers have to move their traffic.
    pub wait: Duration,
    /// Told to them at the end of their sessions (RFC 9003), at most 255 octets; longer ones are cut.
    pub message: Option<String>,
}

/// What BFD says of the way to a neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// The neighbour.
    pub peer: IpAddr,
    /// Name of its link, as in [`crate::action::BfdPeer`].
    pub link: Option<String>,
    /// Whether the session is up.
    pub up: bool,
    /// The neighbour holds it down on purpose.
    pub admin_down: bool,
    /// The neighbour's C bit (RFC 5882 section 4.3): its BFD survives the loss of its control plane.
    pub control_plane_independent: bool,
    /// Why, in words.
    pub reason: String,
}

/// What an operator can do with a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// End the session and begin again: Cease, administrative reset (RFC 4486). Ends [`Order::Shutdown`] too.
    Reset {
        /// Told to the peer (RFC 9003), at most 255 octets; longer ones are cut.
        message: Option<String>,
    },
    /// End the session and have none until [`Order::Reset`]: Cease, administrative shutdown (RFC 4486).
    Shutdown {
        /// As above.
        message: Option<String>,
    },
    /// Ask the peer to send everything again (RFC 2918).
    RefreshIn,
    /// Send everything to the peer again.
    RefreshOut,
}

/// A link of the router's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Kernel index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Administratively up and with carrier.
    pub up: bool,
    /// Addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
}

/// A route of the kernel that is not ours: connected, static or default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderlyingRoute {
    /// Destination.
    pub prefix: IpNet,
    /// Gateway; `None` is on-link.
    pub gateway: Option<IpAddr>,
    /// Outgoing link.
    pub link: u32,
    /// Its metric: what breaks a tie between BGP next hops (RFC 4271 9.1.2.2 e).
    pub metric: u32,
}

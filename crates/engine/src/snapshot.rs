//! What can be read from a running engine: plain values for views, metrics and status.
//!
//! [`crate::Engine::snapshot`] costs as much as there are peers, never as much as there are routes. Route
//! listings are paged: a page is bounded and the next one starts where the last one ended.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use wire::Family;

use crate::intent::Role;

/// The router at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Our AS.
    pub asn: u32,
    /// Our identifier.
    pub router_id: Ipv4Addr,
    /// Peers in order of address.
    pub peers: Vec<PeerSnapshot>,
    /// Destinations per family, in the order of `Family::ALL`: those with a path, and those whose last one is gone and
    /// that peers or the kernel still have to be told of.
    pub destinations: Vec<(Family, usize)>,
    /// Interned attribute sets.
    pub attribute_sets: usize,
    /// FIB totals.
    pub fib: FibSnapshot,
    /// It is being drained, or is.
    pub drain: Option<DrainSnapshot>,
}

/// How far draining is ([`crate::Event::Drain`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainSnapshot {
    /// When it began.
    pub since: Instant,
    /// When the sessions end; `None`: they have.
    pub until: Option<Instant>,
    /// What peers are told then.
    pub message: Option<String>,
}

/// FIB totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FibSnapshot {
    /// Routes that the kernel has acknowledged.
    pub installed: usize,
    /// Routes waiting to be sent or acknowledged.
    pub pending: usize,
    /// Routes that the kernel refused.
    pub failed: usize,
    /// Next-hop groups in use.
    pub groups: usize,
}

/// State of a peer as RFC 4271 8.2.2 names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerState {
    /// Waiting before the next attempt.
    Idle,
    /// A TCP connection is being opened.
    Connect,
    /// Waiting for the peer to connect, or for the next attempt.
    Active,
    /// OPEN sent.
    OpenSent,
    /// OPEN received, waiting for the KEEPALIVE.
    OpenConfirm,
    /// Routes flow.
    Established,
}

impl PeerState {
    /// The RFC's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Connect => "Connect",
            Self::Active => "Active",
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
        }
    }
}

/// One peer at one moment.
#[derive(Clone, Debug)]
pub struct PeerSnapshot {
    /// The address it is known by; `::` for an unnumbered neighbour that was not heard yet.
    pub address: IpAddr,
    /// Link that it is bound to, or that its link-local address is on.
    pub link: Option<String>,
    /// The range that it connected from, if it is not configured itself.
    pub range: Option<IpNet>,
    /// Its configured name.
    pub name: String,
    /// What it is to us.
    pub role: Role,
    /// Its AS: of the session, else as configured, else from its last OPEN; `None`: `External` and not yet seen.
    pub asn: Option<u32>,
    /// State of the better of its connections.
    pub state: PeerState,
    /// Since when the session is up, or since when it is not.
    pub since: Instant,
    /// How often an established session was lost.
    pub flaps: u32,
    /// Both ends, when established.
    pub endpoints: Option<(SocketAddr, SocketAddr)>,
    /// The peer's identifier, when established.
    pub router_id: Option<Ipv4Addr>,
    /// Negotiated hold time, when established.
    pub hold_time: Option<Duration>,
    /// What both sides agreed on, when established, in words ("4-octet AS", "route refresh", ..).
    pub capabilities: Vec<String>,
    /// Counts per negotiated family (configured families when not established).
    pub families: Vec<FamilySnapshot>,
    /// Messages received, by wire type code 1..=5 (index 0 unused).
    pub received: [u64; 6],
    /// Messages sent, likewise.
    pub sent: [u64; 6],
    /// Why the last session or attempt ended, in words.
    pub last_error: Option<String>,
    /// Attributes discarded or routes treated as withdrawn because of errors (RFC 7606).
    pub malformed: u64,
    /// Of these, by attribute type code; 0 for messages as a whole.
    pub malformed_attributes: BTreeMap<u8, u64>,
    /// Its session is lost, and its paths are kept until this moment for it to restart (RFC 4724); or it is back, and those
    /// that it has not said again are.
    pub kept_until: Option<Instant>,
    /// What was agreed about restarts, when established.
    pub restart: Option<RestartSnapshot>,
    /// What BFD says of the way to it; `None` where it is not asked for, or has not been heard yet.
    pub bfd: Option<BfdSnapshot>,
    /// An operator shut it down ([`crate::Order::Shutdown`]).
    pub shut_down: bool,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender<'a> {
    /// The peer's address.
    pub peer: IpAddr,
    /// As [`PeerSnapshot::link`].
    pub link: Option<&'a str>,
}

/// Graceful restart as both sides of a session agreed on it (RFC 4724).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartSnapshot {
    /// How long the peer's restart may take; zero: it only bears with ours.
    pub time: Duration,
    /// Families whose paths are kept meanwhile.
    pub families: Vec<Family>,
    /// A NOTIFICATION ends nothing that is kept (RFC 8538).
    pub notification: bool,
}

/// What BFD says of the way to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdSnapshot {
    /// Whether the session is up.
    pub up: bool,
    /// The peer holds it down on purpose.
    pub admin_down: bool,
    /// Since when.
    pub since: Instant,
    /// Why, in words.
    pub reason: String,
}

/// Counts of one family of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilySnapshot {
    /// Which one.
    pub family: Family,
    /// Paths received and held in RIB-In, refused ones included.
    pub received: usize,
    /// Of these, accepted by import policy.
    pub accepted: usize,
    /// Paths advertised to the peer.
    pub advertised: usize,
    /// Of these, those with the peer's own AS in the path: it refuses them unless it allows its own AS.
    pub looping: usize,
    /// The peer's End-of-RIB marker has arrived.
    pub end_of_rib: bool,
}

/// Which routes a listing is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteQuery {
    /// The family to list.
    pub family: Family,
    /// Which of its destinations.
    pub select: Select,
    /// Resume after this prefix (the last one of the previous page).
    pub after: Option<IpNet>,
    /// Most destinations in the answer.
    pub limit: usize,
}

/// Selection of destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// Every destination with a path.
    All,
    /// Exactly this prefix.
    Exact(IpNet),
    /// The longest prefix that contains this address or prefix.
    Longest(IpNet),
    /// Paths received from this peer.
    Received(IpAddr),
    /// What is advertised to this peer.
    Advertised(IpAddr),
}

/// One destination with its paths, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteView {
    /// Destination.
    pub prefix: IpNet,
    /// In the kernel: `Some(true)` acknowledged, `Some(false)` waiting or refused, `None` not meant to be.
    pub installed: Option<bool>,
    /// All paths; for `Select::Advertised` those that are sent, with the attributes that are sent.
    pub paths: Vec<PathView>,
    /// Why the kernel refused it, if it did.
    pub refusal: Option<String>,
    /// Peers that it is advertised to (empty for `Select::Advertised`).
    pub advertised_to: Vec<IpAddr>,
    /// The other peers with a session, each with the reason; for `Select::Exact` and `Select::Longest` only.
    pub withheld: Vec<(IpAddr, String)>,
}

/// One path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathView {
    /// The peer it came from, `None` for our own.
    pub peer: Option<IpAddr>,
    /// Path identifier (RFC 7911), where the peer sends several paths: its own, or, for what is advertised, ours.
    pub path_id: Option<u32>,
    /// Kept from before a restart or refresh of the peer, which has not said it again.
    pub stale: bool,
    /// Takes part in the decision: not refused by import policy, next hop reachable.
    pub usable: bool,
    /// Selected as best.
    pub best: bool,
    /// Used for forwarding together with the best.
    pub multipath: bool,
    /// Why it is not the best ("longer AS path", "next hop 10.0.0.1 not reachable", ..); for the best, what
    /// decided ("only path", "shorter AS path", ..).
    pub reason: String,
    /// Next hop.
    pub next_hop: Option<IpAddr>,
    /// Name of the link it is reached through.
    pub link: Option<String>,
    /// AS_PATH in the usual notation: `64514 64512 {1 2}`.
    pub as_path: String,
    /// `igp`, `egp` or `incomplete`.
    pub origin: &'static str,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    /// Communities of all three kinds in their usual notation.
    pub communities: Vec<String>,
}

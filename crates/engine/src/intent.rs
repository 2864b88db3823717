//! What the router is told to be: the only configuration type that the engine knows.
//!
//! `config` compiles user objects into an [`Intent`], `perouter speak` compiles its file into one. The engine
//! compares a new intent with the one in force and resets only the sessions whose own parameters changed
//! ([`FIELDS`]); everything else is applied live.

mod fields;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;
use wire::{Family, FamilySet};

pub use fields::{FIELDS, Field};

/// The complete configuration of the router. A value, compared field by field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Our autonomous system, 1..=4294967295.
    pub asn: u32,
    /// BGP identifier, not 0.0.0.0 (RFC 6286).
    pub router_id: Ipv4Addr,
    /// Peers by the address that they are known by.
    pub peers: BTreeMap<IpAddr, PeerIntent>,
    /// Peers that are whoever answers on a link, by the link's name: unnumbered neighbours. The driver finds
    /// their link-local address ([`crate::Event::Neighbor`]).
    pub unnumbered: BTreeMap<String, PeerIntent>,
    /// Sources whose connections are accepted without being configured one by one.
    pub ranges: Vec<RangeIntent>,
    /// Most peers that exist because of [`Self::ranges`] at a time, those with a limit of their own apart.
    pub listen_limit: usize,
    /// Prefixes that we originate.
    pub networks: Vec<Network>,
    /// How many equal paths are used at once.
    pub multipath: Multipath,
    /// Among otherwise equal external paths the one that has been the best stays so (RFC 5004); else the lowest router
    /// id decides, and the result does not depend on history.
    pub prefer_oldest: bool,
    /// Routes for the host's own table, for speakers that install none; `None` is off.
    pub host_routes: Option<HostRoutes>,
    /// Cluster id for reflected routes (RFC 4456); the router id when unset.
    pub cluster_id: Option<Ipv4Addr>,
    /// Whether routes are given to the kernel. Without a FIB every next hop counts as usable,
    /// which is what a route reflector needs.
    pub fib: bool,
    /// Whether peers hear of a route only once it is in the kernel: nobody sends packets here that cannot be forwarded yet.
    /// Means nothing without [`Self::fib`].
    pub advertise_after_fib: bool,
}

/// Addresses from which connections are accepted: each becomes a peer as long as its connection lasts. We never
/// dial them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeIntent {
    /// The addresses; the longest matching range wins.
    pub prefix: IpNet,
    /// Only connections that arrive over the link of this name.
    pub link: Option<String>,
    /// Most peers of this range at a time; unset: they count towards [`Intent::listen_limit`].
    pub limit: Option<usize>,
    /// What each of them is. `name` is the range's; `passive` is implied.
    pub peer: PeerIntent,
}

/// Prefixes of `prefix` with lengths from `ge` to `le`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PrefixRule {
    /// What they are inside of.
    pub prefix: IpNet,
    /// Shortest length.
    pub ge: u8,
    /// Longest length.
    pub le: u8,
}

impl PrefixRule {
    /// Whether a prefix is one of them.
    pub fn matches(&self, prefix: &IpNet) -> bool {
        self.prefix.contains(prefix) && (self.ge..=self.le).contains(&prefix.prefix_len())
    }
}

/// Which of the routes that the host is told of go into its own table as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRoutes {
    /// Which; empty: all.
    pub prefixes: Vec<PrefixRule>,
    /// Default routes too.
    pub allow_default: bool,
}

/// How many prefixes a peer may announce in a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPrefixes {
    /// The limit, refused routes included.
    pub limit: usize,
    /// Beyond it: end the session (Cease, maximum number of prefixes reached: RFC 4486); else say so.
    pub teardown: bool,
    /// After a teardown, connect again after this long; unset: not before an operator's reset.
    pub restart: Option<Duration>,
}

/// A prefix that we originate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    /// The prefix, host bits zero.
    pub prefix: IpNet,
    /// Originate only while the link of this name is up; `None` is always.
    pub while_link_up: Option<String>,
}

/// RFC 4724 timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// Restart time told to peers, 1..=4095 s.
    pub restart_time: Duration,
    /// How long a restarted peer's stale paths are kept, 1..=4095 s.
    pub stale_time: Duration,
}

/// How many equally good paths are used at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multipath {
    /// 1..=64.
    pub max_paths: u16,
    /// Paths through different neighbouring ASes count as equal when they are equally long.
    pub relax: bool,
}

impl Multipath {
    /// The most paths that are used at once.
    pub(crate) fn most(self) -> usize {
        usize::from(self.max_paths.clamp(1, 64))
    }
}

impl Default for Multipath {
    fn default() -> Self {
        Self { max_paths: 64, relax: true }
    }
}

/// What a peer is to this router: decides which routes pass (docs/architecture.md, "roles").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The data centre fabric: gets the host's routes and ours, never another fabric peer's.
    Fabric,
    /// A speaker on the node: gets the fabric's routes and ours.
    Host,
    /// An ordinary peer: to and from everybody.
    Peer,
}

/// The AS that a peer must present in its OPEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteAs {
    /// Exactly this one; iBGP when it is ours.
    Number(u32),
    /// Any but ours.
    External,
    /// Ours.
    Internal,
}

/// IP TTL (hop limit) policy of a session's TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// The system's default: iBGP, and sessions whose path length must not matter.
    System,
    /// Directly connected eBGP: packets leave with TTL 1.
    Direct,
    /// eBGP over at most this many hops.
    Multihop(u8),
}

/// A TCP-MD5 key (RFC 2385). Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One configured peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIntent {
    /// How people call it; unique.
    pub name: String,
    /// What it is to us.
    pub role: Role,
    /// The AS it must present.
    pub remote_as: RemoteAs,
    /// Families that we offer, each once.
    pub families: Vec<Family>,
    /// Offer IPv4 routes with IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// Proposed hold time: zero, or at least 3 s.
    pub hold_time: Duration,
    /// Our keepalive interval; lowered to a third of the negotiated hold time when that is shorter.
    pub keepalive: Duration,
    /// Longest wait between two attempts to connect.
    pub connect_retry: Duration,
    /// TCP port that we dial.
    pub port: u16,
    /// Only accept, never dial.
    pub passive: bool,
    /// TCP-MD5 key.
    pub password: Option<Secret>,
    /// TTL of our packets.
    pub ttl: Ttl,
    /// Address that we dial from.
    pub local_address: Option<IpAddr>,
    /// Own AS occurrences tolerated in a received path.
    pub allow_own_as: u8,
    /// Refuse paths whose leftmost AS is not the eBGP peer's (RFC 4271 6.3).
    pub enforce_first_as: bool,
    /// iBGP: families in which it is a route-reflector client (RFC 4456).
    pub reflector_client: FamilySet,
    /// iBGP: send our own address as next hop, also for reflected routes.
    pub next_hop_self: bool,
    /// Name of the link that this peer's next hops are on, whatever the routing table says. Unset: they are
    /// looked up. Connections are bound to it too.
    pub link: Option<String>,
    /// What it may announce; empty: everything.
    pub allowed_prefixes: Vec<PrefixRule>,
    /// How much it may announce.
    pub max_prefixes: BTreeMap<Family, MaxPrefixes>,
    /// Replace its AS by ours in the paths that it is sent, so that peers that share an AS reach each other.
    pub as_override: bool,
    /// Accept only packets that came over at most this many hops (RFC 5082).
    pub ttl_security: Option<u8>,
    /// Graceful restart (RFC 4724) of ours. Unset: we still keep the paths of a peer that restarts gracefully.
    pub graceful_restart: Option<GracefulRestart>,
    /// Watch the way to it with BFD (RFC 5880).
    pub bfd: Option<crate::bfd::Settings>,
    /// Several paths per prefix (RFC 7911), as far as the peer offers them too; unset: not offered.
    pub add_path: Option<wire::AddPath>,
    /// eBGP: what we are to this neighbour (RFC 9234); unset: no role is offered and none is looked for.
    pub bgp_role: Option<wire::Role>,
    /// Treat its routes whose path has an AS_SET or AS_CONFED_SET as withdrawn (RFC 9774).
    pub reject_as_sets: bool,
}

impl PeerIntent {
    /// A peer with the defaults of this family of software: hold 180 s, keepalive 60 s, connect retry 120 s,
    /// port 179, everything optional off.
    pub fn new(name: impl Into<String>, role: Role, remote_as: RemoteAs, families: Vec<Family>) -> Self {
        Self {
            name: name.into(),
            role,
            remote_as,
            families,
            extended_next_hop: false,
            hold_time: Duration::from_secs(180),
            keepalive: Duration::from_secs(60),
            connect_retry: Duration::from_secs(120),
            port: 179,
            passive: false,
            password: None,
            ttl: Ttl::Direct,
            local_address: None,
            allow_own_as: match role {
                Role::Fabric => 3,
                Role::Host | Role::Peer => 0,
            },
            enforce_first_as: true,
            reflector_client: FamilySet::default(),
            next_hop_self: role != Role::Peer,
            link: None,
            allowed_prefixes: Vec::new(),
            max_prefixes: BTreeMap::new(),
            as_override: false,
            ttl_security: None,
            graceful_restart: None,
            bfd: None,
            add_path: None,
            bgp_role: None,
            reject_as_sets: false,
        }
    }
}

impl Intent {
    /// Whether some peer was, or would be, told of our graceful restart.
    pub fn restarts_gracefully(&self) -> bool {
        let ranges = self.ranges.iter().map(|range| &range.peer);
        let mut peers = self.peers.values().chain(self.unnumbered.values()).chain(ranges);
        peers.any(|peer| peer.graceful_restart.is_some())
    }

    /// Whether a peer must hear by a new OPEN who we have become. The identifier must be right where it is compared with those of
    /// the AS (RFC 6286 section 2.1) and stands in ORIGINATOR_ID: among internal peers. To external ones it breaks a tie at most,
    /// for which no session ends.
    pub(crate) fn is_new_to(&self, old: &Self, peer: &PeerIntent) -> bool {
        old.asn != self.asn || old.router_id != self.router_id && peer.is_internal(self.asn)
    }
}

impl PeerIntent {
    /// Whether it is configured to be of our AS, `own`.
    pub(crate) fn is_internal(&self, own: u32) -> bool {
        match self.remote_as {
            RemoteAs::Internal => true,
            RemoteAs::Number(asn) => asn == own,
            RemoteAs::External => false,
        }
    }
}

/// What a change of configuration does to the running router; what costs more comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// A session ends and begins again.
    NewSession,
    /// The routes of a session are looked at again, and the difference is told; the session goes on.
    SoftReset,
    /// Applied to what runs; nothing is reset.
    Live,
    /// Something new.
    Added,
    /// Something goes.
    Removed,
}

/// One difference between two configurations, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The neighbour or range that it concerns, by name; `None` for the router as a whole.
    pub peer: Option<String>,
    /// What changes, in words; keys are never shown.
    pub what: String,
    /// What follows from it.
    pub effect: Effect,
}

/// What would happen if `new` took the place of `old`. Empty when nothing would.
pub fn diff(old: Option<&Intent>, new: &Intent) -> Vec<Change> {
    let mut changes = Vec::new();
    if let Some(old) = old {
        diff_router(old, new, &mut changes);
    } else {
        let what = format!("AS {}, router id {}", new.asn, new.router_id);
        changes.push(Change { peer: None, what, effect: Effect::Added });
    }
    let named = |intent: &Intent| -> BTreeMap<String, PeerIntent> {
        let peers = intent.peers.iter().map(|(address, peer)| (format!("neighbor {address}"), peer.clone()));
        let links = intent.unnumbered.iter().map(|(link, peer)| (format!("neighbor on {link}"), peer.clone()));
        let ranges = intent.ranges.iter().map(|range| {
            let on = range.link.as_ref().map_or_else(String::new, |link| format!(" on {link}"));
            (format!("range {}{on}", range.prefix), range.peer.clone())
        });
        peers.chain(links).chain(ranges).collect()
    };
    let before = old.map(named).unwrap_or_default();
    let after = named(new);
    for (what, peer) in &before {
        if !after.contains_key(what) {
            changes.push(Change { peer: Some(peer.name.clone()), what: what.clone(), effect: Effect::Removed });
        }
    }
    for (what, peer) in &after {
        let name = Some(peer.name.clone());
        let identity = old.is_some_and(|old| new.is_new_to(old, peer));
        match before.get(what) {
            None => changes.push(match so_far(old, new, &peer.name) {
                Some(range) => taken_over(what, range, peer),
                None => Change { peer: name, what: what.clone(), effect: Effect::Added },
            }),
            Some(old) => {
                let fields: Vec<_> = old.changed(peer).collect();
                let own = identity.then_some(Effect::NewSession);
                let Some(effect) = fields.iter().map(|field| field.effect).chain(own).min() else { continue };
                let names: Vec<_> = fields.iter().map(|field| field.name).collect();
                let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
                changes.push(Change { peer: name, what: format!("{what}{names}"), effect });
            }
        }
    }
    changes
}

/// The range by which a neighbour that is new could have a session already.
fn so_far<'a>(old: Option<&'a Intent>, new: &Intent, name: &str) -> Option<&'a RangeIntent> {
    let (address, peer) = new.peers.iter().find(|(_, peer)| peer.name == name)?;
    let fits =
        |range: &&RangeIntent| range.prefix.contains(address) && (range.link.is_none() || range.link == peer.link);
    old?.ranges.iter().filter(fits).max_by_key(|range| (range.link.is_some(), range.prefix.prefix_len()))
}

/// A session by a range goes on as the neighbour's, unless its parameters are others.
fn taken_over(what: &str, range: &RangeIntent, peer: &PeerIntent) -> Change {
    // A range's peers are waited for in any case.
    let fields = range.peer.changed(peer).filter(|field| field.field != "passive");
    let other: Vec<&str> = fields.filter(|field| field.effect == Effect::NewSession).map(|field| field.name).collect();
    let (what, effect) = match other.as_slice() {
        [] => (format!("{what} (with its session by range {})", range.prefix), Effect::Added),
        other => {
            (format!("{what} (a session by range {} ends: {})", range.prefix, other.join(", ")), Effect::NewSession)
        }
    };
    Change { peer: Some(peer.name.clone()), what, effect }
}

/// The parts that belong to no neighbour.
fn diff_router(old: &Intent, new: &Intent, changes: &mut Vec<Change>) {
    let mut change = |what: String, effect| changes.push(Change { peer: None, what, effect });
    if old.asn != new.asn {
        change(format!("AS {} becomes {}", old.asn, new.asn), Effect::NewSession);
    }
    if old.router_id != new.router_id {
        let what = format!("router id {} becomes {}", old.router_id, new.router_id);
        change(format!("{what}, for external peers with their next session"), Effect::Live);
    }
    for network in new.networks.iter().filter(|network| !old.networks.contains(network)) {
        change(format!("network {}", network.prefix), Effect::Added);
    }
    for network in old.networks.iter().filter(|network| !new.networks.contains(network)) {
        change(format!("network {}", network.prefix), Effect::Removed);
    }
    let live = [
        (old.multipath != new.multipath, "multipath"),
        (old.prefer_oldest != new.prefer_oldest, "best path"),
        (old.host_routes != new.host_routes, "host routes"),
        (old.cluster_id != new.cluster_id, "cluster id"),
        (old.listen_limit != new.listen_limit, "listen limit"),
        (old.fib != new.fib, "routes in the kernel"),
        (old.advertise_after_fib != new.advertise_after_fib, "advertising after the kernel"),
        (limits(old) != limits(new), "limits of ranges"),
    ];
    for (_, what) in live.into_iter().filter(|(changed, _)| *changed) {
        change(what.into(), Effect::Live);
    }
}

fn limits(intent: &Intent) -> Vec<(IpNet, Option<usize>)> {
    intent.ranges.iter().map(|range| (range.prefix, range.limit)).collect()
}

//! The router itself, without I/O: events in, actions and bytes out.
//!
//! Six verbs ([`Engine`]): it is told facts and the time, and asked for actions, bytes, FIB batches and the next
//! deadline. It never reads a clock, opens a socket or waits; a run can be recorded as its events and replayed
//! ([`Engine::received`] is the event [`Event::Bytes`]).
//!
//! ```text
//!  events -> sessions (peer/) -> rib/ : RIB-In, decision, Loc-RIB, RIB-Out -> bytes
//!                                  |  \-> fib/ -> batches
//!                                policy/, rib::nexthop
//! ```
//!
//! Hard rules: no I/O, no clocks, no async, no configuration text; nothing a peer sends can make it panic;
//! hash-map order decides nothing.

pub mod action;
pub mod bfd;
mod configure;
mod drain;
pub mod event;
pub mod fib;
pub mod intent;
mod lifecycle;
mod links;
mod liveness;
mod operator;
mod peer;
mod policy;
mod restart;
mod retry;
mod rib;
mod sessions;
pub mod snapshot;
mod telling;
mod views;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipnet::IpNet;

pub use action::{Action, Admission, BfdPeer, Dial, Level, Note};
pub use event::{ConnId, Drain, Event, Link, Liveness, Order, UnderlyingRoute};
pub use fib::{FibBatch, GroupChange, GroupId, Hop, RouteChange};
pub use intent::Intent;
pub use snapshot::{RouteQuery, RouteView, Select, Snapshot};

/// Families are part of the configuration, which others make.
pub use wire::{AddPath, Family, FamilySet, Role as BgpRole};

use drain::Draining;
use intent::{PeerIntent, Role};
use peer::{Peer, PeerAddress};
use policy::Own;
use restart::Deferral;
use retry::Retry;
use rib::Rib;
use rib::table::PeerId;
use telling::Telling;

/// How long after the first configuration the tables count as converged although not every peer has said so: what an earlier
/// process left in the kernel is swept then.
const CONVERGENCE: Duration = Duration::from_secs(120);

/// The first of several deadlines, and what it is for. A plain loop: it is asked for with every change.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Earliest(pub(crate) Option<(Instant, &'static str)>);

impl Earliest {
    pub(crate) fn consider(&mut self, at: Option<Instant>, what: &'static str) {
        if let Some(at) = at
            && self.0.is_none_or(|(earliest, _)| at < earliest)
        {
            self.0 = Some((at, what));
        }
    }
}

/// The router.
#[derive(Debug)]
pub struct Engine {
    intent: Option<Intent>,
    peers: BTreeMap<PeerId, Peer>,
    by_address: BTreeMap<PeerAddress, PeerId>,
    /// Unnumbered neighbours by the name of their link.
    by_link: BTreeMap<String, PeerId>,
    /// The peer of every connection, dials included.
    connections: BTreeMap<ConnId, PeerId>,
    /// Last words of connections that are closed.
    closing: BTreeMap<ConnId, Vec<u8>>,
    rib: Rib,
    actions: VecDeque<Action>,
    next_conn: u32,
    random: u64,
    /// Until when a sweep of the FIB waits for peers.
    converging: Option<Instant>,
    /// It was asked for.
    converged: bool,
    /// The kernel's routes have survived a restart of ours.
    preserved: bool,
    /// The peers of the process before, as far as they are known.
    awaited: Option<Vec<IpAddr>>,
    /// After a restart: nothing is told to peers and kernel yet.
    deferral: Option<Deferral>,
    draining: Draining,
    /// The latest time that we were told.
    now: Instant,
    fib_retry: Retry,
    host_retry: Retry,
    /// `None` before the first configuration.
    admitted: Option<Vec<Admission>>,
    /// The BFD sessions that the driver was told of, and whether others may be wanted by now.
    bfd: Vec<BfdPeer>,
    bfd_changed: bool,
    /// Whom a later process is to wait for, as the driver was told. `None`: nothing more is to be told.
    sessions: Option<BTreeSet<IpAddr>>,
    sessions_changed: bool,
    /// Connections refused since the start: told ever more rarely.
    refusals: u64,
    telling: Telling,
}

impl Engine {
    /// A router without configuration. `seed` feeds jitter; any value will do.
    pub fn new(seed: u64, now: Instant) -> Self {
        let unset = Ipv4Addr::UNSPECIFIED;
        Self {
            intent: None,
            peers: BTreeMap::new(),
            by_address: BTreeMap::new(),
            by_link: BTreeMap::new(),
            connections: BTreeMap::new(),
            closing: BTreeMap::new(),
            rib: Rib::new(Own { asn: 0, router_id: unset, cluster_id: unset, reflector: false, draining: false }),
            actions: VecDeque::new(),
            next_conn: 0,
            random: seed ^ 0x9E37_79B9_7F4A_7C15,
            converging: None,
            converged: false,
            preserved: false,
            awaited: None,
            deferral: None,
            draining: Draining::No,
            now,
            fib_retry: Retry::default(),
            host_retry: Retry::default(),
            admitted: None,
            bfd: Vec::new(),
            bfd_changed: false,
            sessions: Some(BTreeSet::new()),
            sessions_changed: false,
            refusals: 0,
            telling: Telling::default(),
        }
    }

    /// Takes a fact.
    pub fn handle(&mut self, now: Instant, event: Event) {
        self.now = self.now.max(now);
        match event {
            Event::Restarted { peers } => {
                self.preserved = true;
                self.awaited = peers;
                self.sessions_changed = true;
            }
            Event::Intent(intent) => self.set_intent(now, *intent),
            Event::Connected { conn, local } => self.connected(now, conn, local),
            Event::Accepted { conn, local, remote, link } => self.accepted(now, conn, local, remote, link.as_deref()),
            Event::Neighbor { link, index, address } => self.neighbor(now, &link, index, address),
            Event::Bytes { conn, data } => {
                self.bytes_arrived(now, conn, &data);
            }
            Event::Unread { conn } => self.spare(now, conn),
            Event::Closed { conn, error } => self.connection_closed(now, conn, error),
            Event::Links(links) => self.links_changed(now, links),
            Event::Underlying(routes) => self.rib.set_underlying(routes),
            Event::FibAck { id, failed, failed_groups, degraded_groups } => {
                self.fib_acknowledged(now, id, failed, failed_groups, degraded_groups);
            }
            Event::HostAck { id, failed } => self.host_acknowledged(now, id, &failed),
            Event::HostLost => self.rib.host_lost(),
            Event::FibLost => self.rib.fib_lost(),
            Event::Liveness(said) => self.liveness(now, said),
            Event::Drain(wanted) => self.drain(now, wanted),
            Event::Order { peer, link, order } => self.order(now, peer, link.as_deref(), &order),
            Event::Shutdown { graceful } => self.shutdown(now, graceful),
        }
        self.say_what_follows();
    }

    /// As [`Event::Bytes`], for a driver that keeps its buffer. Returns how many UPDATEs were among the messages.
    pub fn received(&mut self, now: Instant, conn: ConnId, data: &[u8]) -> u64 {
        self.now = self.now.max(now);
        let updates = self.bytes_arrived(now, conn, data);
        self.say_what_follows();
        updates
    }

    /// What a driver is told after each fact.
    fn say_what_follows(&mut self) {
        self.want_bfd();
        self.tell_sessions();
        self.announce_output();
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.rib.work();
        self.session_timeouts(now);
        self.deferral_timeout(now);
        self.drain_timeout(now);
        if self.converging.is_some_and(|at| at <= now) {
            self.sweep();
        }
        if self.fib_retry.take_due(now) {
            self.rib.fib_retry();
        }
        if self.host_retry.take_due(now) {
            self.rib.host_retry();
        }
        self.say_what_follows();
    }

    /// When `handle_timeout` wants to be called next, and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let mut next = Earliest::default();
        self.peers.values().for_each(|peer| peer.deadlines(&mut next));
        next.consider(self.converging, "convergence");
        next.consider(self.fib_retry.deadline(), "FIB retry");
        next.consider(self.host_retry.deadline(), "host table retry");
        next.consider(self.rib.has_backlog().then_some(self.now), "tables");
        let kernel = self.rib.fib.is_interrupted() && !self.deferring() && !self.kernel_stays();
        next.consider(kernel.then_some(self.now), "kernel routes");
        next.consider(self.deferral_deadline(), "graceful restart");
        next.consider(self.drain_deadline(), "drain");
        next.0
    }

    /// The connections whose peers [`Self::handle_timeout`] would take for silent. A driver that could not run for a while asks
    /// before it calls that, and names those with something to read ([`Event::Unread`]).
    pub fn expiring(&self, now: Instant) -> impl Iterator<Item = ConnId> {
        let open = self.peers.values().flat_map(|peer| &peer.connections);
        open.filter(move |open| open.hold_deadline().is_some_and(|at| at <= now)).map(|open| open.id)
    }

    /// The next request to the driver.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Bytes for a connection that can be written: whole messages, about 128 KiB at most. `None` when there is
    /// nothing; an [`Action::Transmit`] says when there is again.
    pub fn poll_transmit(&mut self, conn: ConnId) -> Option<Bytes> {
        if let Some(last_words) = self.closing.remove(&conn) {
            return (!last_words.is_empty()).then(|| Bytes::from(last_words));
        }
        self.session_output(conn)
    }

    /// Whether routes go to the kernel.
    pub fn programs_kernel(&self) -> bool {
        self.rib.fib.enabled
    }

    /// The next FIB batch, when something is to be done and no more are on their way than [`fib`] says.
    pub fn poll_fib(&mut self) -> Option<FibBatch> {
        if self.deferring() || self.kernel_stays() {
            return None;
        }
        self.rib.poll_fib()
    }

    /// The next batch for the host's own table, when none is in flight and something is to be done.
    pub fn poll_host_routes(&mut self) -> Option<fib::HostBatch> {
        if self.deferring() || self.kernel_stays() {
            return None;
        }
        self.rib.poll_host()
    }

    /// The tables have converged: what an earlier process left and nobody wants can go.
    fn sweep(&mut self) {
        self.converging = None;
        self.awaited = None;
        self.sessions_changed = true;
        self.converged = true;
        self.rib.fib.request_sweep();
        self.rib.host_sweep();
    }

    fn host_acknowledged(&mut self, now: Instant, id: u64, failed: &[(IpNet, String)]) {
        let problem = failed.first().map(|(prefix, error)| {
            let more = if failed.len() > 1 { format!(" (and {} more)", failed.len() - 1) } else { String::new() };
            format!("the host's table and route {prefix}: {error}{more}; trying again")
        });
        self.rib.host_acknowledged(id, failed);
        let left = self.rib.host_has_failures();
        if let Some(text) = self.host_retry.outcome(now, problem, left) {
            self.note(None, Level::Warn, text);
        }
    }

    /// The peers with this address: several only when a link-local address exists on several links.
    fn ids_of(&self, address: IpAddr) -> Vec<PeerId> {
        let same = self.by_address.iter().filter(|(own, _)| own.ip == address);
        same.map(|(_, id)| *id).collect()
    }

    fn fib_acknowledged(
        &mut self,
        now: Instant,
        id: u64,
        failed: Vec<(ipnet::IpNet, String)>,
        failed_groups: Vec<(GroupId, String)>,
        degraded: Vec<(GroupId, String)>,
    ) {
        let void = self.rib.fib.is_void(id);
        let (failed, failed_groups, degraded) =
            if void { Default::default() } else { (failed, failed_groups, degraded) };
        let refused = failed_groups.iter().chain(&degraded);
        let reports = refused.map(|(group, error)| format!("next-hop group {}: {error}", group.0));
        let routes = failed.iter().map(|(prefix, error)| format!("route {prefix} not installed: {error}"));
        // One sentence is enough to look: the rest are in the views.
        let total = failed.len() + failed_groups.len() + degraded.len();
        let first = reports.chain(routes).next();
        let more = if total > 1 { format!(" (and {} more)", total - 1) } else { String::new() };
        let problem = first.map(|first| format!("{first}{more}; trying again"));
        self.rib.fib.degraded(degraded.into_iter().map(|(group, _)| group));
        self.rib.fib_acknowledged(id, failed, failed_groups);
        let left = self.rib.fib.has_failures();
        if let Some(text) = self.fib_retry.outcome(now, problem, left) {
            self.note(None, Level::Warn, text);
        }
    }

    fn note(&mut self, peer: Option<IpAddr>, level: Level, text: String) {
        self.actions.push_back(Action::Note(Note { peer, level, text }));
    }

    /// Notes what became of a peer's session, which is the peer's to repeat: not more often than people can read.
    fn tell(&mut self, now: Instant, peer: IpAddr, level: Level, text: String) {
        if let Some(text) = self.telling.say(now, peer, text) {
            self.note(Some(peer), level, text);
        }
    }

    /// A number in 0.0..1.0 (splitmix64).
    fn portion(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The families in which an internal peer is a route-reflector client.
    fn clients(intent: &PeerIntent) -> FamilySet {
        // With iBGP on both sides the host would otherwise get nothing from the fabric.
        if intent.role == Role::Host { FamilySet::ALL } else { intent.reflector_client }
    }
}

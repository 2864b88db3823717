//! What the admin API says, and what `-o json` prints: a stable interface of its own, converted from the engine's
//! snapshots and the daemon's status (`convert`).
//!
//! Names are snake_case, families are spelled as in the configuration, durations are whole seconds, points in
//! time are RFC 3339 in UTC. Fields may be added; readers ignore the ones that they do not know. Absent values
//! are `null`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod explain;
mod liveness;
mod trace;

pub(crate) use explain::{Announced, Explanation, Place, Side, Step, Walk};
pub(crate) use liveness::{Bfd, BfdSide, BfdState, Drain, DrainOrder, DrainState, GracefulRestart};
pub(crate) use trace::{Direction, TracedMessage};

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Refusal {
    /// One sentence.
    pub(crate) error: String,
}

/// Everything on one screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Status {
    /// Version of the running daemon.
    pub(crate) version: String,
    /// What it is.
    pub(crate) mode: Mode,
    /// Its process.
    pub(crate) pid: u32,
    /// Since when.
    pub(crate) started: String,
    /// For how long.
    pub(crate) uptime_seconds: u64,
    /// Nothing is listed in `problems`.
    pub(crate) healthy: bool,
    /// One sentence for each thing that is not as it should be.
    pub(crate) problems: Vec<String>,
    /// One sentence for each thing that is on its way back, or that somebody else wants so.
    pub(crate) warnings: Vec<String>,
    /// Draining or drained; `null` when not.
    pub(crate) drain: Option<Drain>,
    /// The node that objects are compiled for.
    pub(crate) node: Option<Node>,
    /// Why there is no configuration, when there is none.
    pub(crate) no_config: Option<String>,
    /// The router's network namespace; `null` is the daemon's own.
    pub(crate) namespace: Option<String>,
    /// The router; `null` when the speaker has stopped.
    pub(crate) router: Option<Router>,
    /// What became of each object.
    pub(crate) verdicts: Vec<Verdict>,
    /// Links of the router's namespace.
    pub(crate) links: Vec<Link>,
    /// What could not be done to the host.
    pub(crate) host_errors: Vec<HostError>,
    /// What a person should know about the host.
    pub(crate) host_warnings: Vec<String>,
    /// Sessions, in order of address.
    pub(crate) peers: Vec<Peer>,
    /// The latest warnings, oldest first, at most 50. `/v1/events` has everything.
    pub(crate) events: Vec<Event>,
}

/// What a daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// The whole node: `perouter run`.
    Run,
    /// Only the speaker: `perouter speak`.
    Speak,
}

/// The node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Node {
    /// Its name.
    pub(crate) name: String,
    /// Its index, from 0.
    pub(crate) index: u32,
}

/// The router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Router {
    /// Its AS; `null` without configuration.
    pub(crate) asn: Option<u32>,
    /// Its BGP identifier; `null` without configuration.
    pub(crate) router_id: Option<Ipv4Addr>,
    /// Destinations with at least one path.
    pub(crate) destinations: Vec<Destinations>,
    /// Different attribute sets in memory.
    pub(crate) attribute_sets: u64,
    /// What the kernel holds.
    pub(crate) fib: Fib,
}

/// Destinations of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Destinations {
    /// Which one.
    pub(crate) family: Family,
    /// How many.
    pub(crate) count: u64,
    /// Paths that peers have sent for them, refused ones included.
    pub(crate) paths: u64,
}

/// Totals of the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Fib {
    /// Routes that the kernel has acknowledged.
    pub(crate) installed: u64,
    /// Routes on their way to the kernel.
    pub(crate) pending: u64,
    /// Routes that the kernel refused.
    pub(crate) failed: u64,
    /// Next-hop groups.
    pub(crate) groups: u64,
}

/// Address families, as in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Family {
    /// IPv4 unicast.
    Ipv4Unicast,
    /// IPv6 unicast.
    Ipv6Unicast,
}

impl Family {
    /// Short, for tables.
    pub(crate) fn short(self) -> &'static str {
        match self {
            Self::Ipv4Unicast => "ipv4",
            Self::Ipv6Unicast => "ipv6",
        }
    }
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Verdict {
    /// "Underlay", "L3Passthrough", .., or "File" when the text could not be read as objects.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
    /// The file that it stands in.
    pub(crate) file: Option<String>,
    /// The line of the object or of the field in question, from 1.
    pub(crate) line: Option<u64>,
    /// Its namespace in the cluster.
    pub(crate) namespace: Option<String>,
    /// The generation of the cluster's object that this is about.
    pub(crate) generation: Option<i64>,
    /// In force or not.
    pub(crate) outcome: Outcome,
    /// Remarks on an object in force.
    pub(crate) warnings: Vec<String>,
    /// Why not, in one word.
    pub(crate) reason: Option<String>,
    /// Path of the field in question.
    pub(crate) field: Option<String>,
    /// Why not, in one sentence.
    pub(crate) message: Option<String>,
}

/// Whether an object is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It is not.
    Rejected,
    /// It is.
    Applied,
}

/// A link of the router's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Link {
    /// Its name.
    pub(crate) name: String,
    /// Its kernel index.
    pub(crate) index: u32,
    /// Its kind as the kernel names it, empty for hardware.
    pub(crate) kind: String,
    /// Administratively up.
    pub(crate) up: bool,
    /// Has carrier.
    pub(crate) carrier: bool,
    /// In bytes.
    pub(crate) mtu: u32,
    /// With prefix lengths.
    #[schemars(with = "Vec<String>")]
    pub(crate) addresses: Vec<IpNet>,
}

/// What could not be done to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct HostError {
    /// A link, namespace, address or sysctl.
    pub(crate) object: String,
    /// One sentence.
    pub(crate) message: String,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Event {
    /// Its number in the life of this daemon, from 1, without gaps.
    pub(crate) number: u64,
    /// When.
    pub(crate) at: String,
    /// How long ago.
    pub(crate) age_seconds: u64,
    /// How grave.
    pub(crate) level: Level,
    /// The peer it concerns.
    pub(crate) peer: Option<IpAddr>,
    /// The link, namespace, kernel setting, file or object of the configuration that it concerns. Without this and a
    /// peer it concerns the router.
    pub(crate) object: Option<String>,
    /// One sentence.
    pub(crate) text: String,
}

/// Some of what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EventPage {
    /// Oldest first.
    pub(crate) events: Vec<Event>,
    /// What to ask `after` for those that follow. Numbers begin anew with each start of the daemon; one that was not
    /// reached yet counts as 0.
    pub(crate) last: u64,
    /// How many events after the one that was asked for are no longer kept.
    pub(crate) missed: u64,
    /// Since when the daemon runs, to notice a restart.
    pub(crate) started: String,
}

/// Gravity of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// Ordinary progress.
    Info,
    /// Something that a person should look at.
    Warn,
}

/// A peer in few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PeerRef {
    /// Its configured name.
    pub(crate) name: String,
    /// The address it is known by.
    pub(crate) address: IpAddr,
}

impl fmt::Display for PeerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() || self.name == self.address.to_string() {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{} ({})", self.name, self.address)
        }
    }
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Peer {
    /// Its configured name.
    pub(crate) name: String,
    /// The address it is known by; `::` for an unnumbered neighbour that was not heard yet.
    pub(crate) address: IpAddr,
    /// The link that its session is bound to.
    pub(crate) link: Option<String>,
    /// The range that it connected from, when it is not configured itself.
    #[schemars(with = "Option<String>")]
    pub(crate) range: Option<IpNet>,
    /// Its AS: from its OPEN, else as configured; `null` when any is accepted and none was seen.
    pub(crate) asn: Option<u32>,
    /// What it is to us.
    pub(crate) role: Role,
    /// State of its better connection.
    pub(crate) state: PeerState,
    /// How long the session has been up, or down.
    pub(crate) since_seconds: u64,
    /// How often an established session was lost.
    pub(crate) flaps: u32,
    /// Our end, when established.
    pub(crate) local: Option<SocketAddr>,
    /// Its end, when established.
    pub(crate) remote: Option<SocketAddr>,
    /// Its BGP identifier, when established.
    pub(crate) router_id: Option<Ipv4Addr>,
    /// Negotiated, when established; 0 is without keepalives.
    pub(crate) hold_time_seconds: Option<u64>,
    /// What both sides agreed on, in words.
    pub(crate) capabilities: Vec<String>,
    /// Counts per family.
    pub(crate) families: Vec<FamilyCounts>,
    /// Messages received.
    pub(crate) messages_received: Messages,
    /// Messages sent.
    pub(crate) messages_sent: Messages,
    /// Attributes discarded or routes treated as withdrawn because of errors (RFC 7606).
    pub(crate) malformed: u64,
    /// Of these, by attribute: its name, or its type code where we know none; `UPDATE` for messages as a whole.
    pub(crate) malformed_attributes: BTreeMap<String, u64>,
    /// What both sides agreed on about restarts; `null` when not established or not agreed.
    pub(crate) graceful_restart: Option<GracefulRestart>,
    /// Its routes are kept for this long, for it to restart or, once it is back, to say them again.
    pub(crate) routes_kept_seconds: Option<u64>,
    /// The BFD session with it; `null` where none is wanted.
    pub(crate) bfd: Option<Bfd>,
    /// Why the last session or attempt ended, in words.
    pub(crate) last_error: Option<String>,
    /// An operator shut it down: there is no session before a `clear`, or before the daemon starts anew.
    pub(crate) shut_down: bool,
}

impl Peer {
    /// Its address, with the link where the address alone says too little.
    pub(crate) fn place(&self) -> String {
        match (&self.link, self.address) {
            (Some(link), IpAddr::V6(address)) if address.is_unspecified() => format!("on {link}"),
            (Some(link), IpAddr::V6(address)) if address.is_unicast_link_local() => format!("{address}%{link}"),
            (_, address) => address.to_string(),
        }
    }

    /// Name and address.
    pub(crate) fn title(&self) -> String {
        let place = self.place();
        if self.name.is_empty() || self.name == place { place } else { format!("{} ({place})", self.name) }
    }

    /// In few words.
    pub(crate) fn reference(&self) -> PeerRef {
        PeerRef { name: self.name.clone(), address: self.address }
    }

    /// What it is called on a command line: its name, unless a shell or `clear` would read that differently.
    pub(crate) fn handle(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:/@%".contains(c);
        let usable = !self.name.is_empty() && self.name != "all" && self.name.chars().all(plain);
        if usable { self.name.clone() } else { self.address.to_string() }
    }

    /// That its routes are kept, for how long and what for.
    pub(crate) fn kept(&self) -> Option<String> {
        let left = self.routes_kept_seconds?;
        let what = if self.is_up() { "say them again" } else { "restart" };
        Some(format!("routes kept for {left} s more, for it to {what}"))
    }

    /// Whether routes flow.
    pub(crate) fn is_up(&self) -> bool {
        self.state == PeerState::Established
    }
}

/// What a peer is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// The data centre fabric.
    Fabric,
    /// A speaker on the node.
    Host,
    /// An ordinary peer.
    Peer,
}

impl Role {
    /// As it is spelled in files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fabric => "fabric",
            Self::Host => "host",
            Self::Peer => "peer",
        }
    }
}

/// States of RFC 4271 8.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PeerState {
    /// Waiting before the next attempt.
    Idle,
    /// A TCP connection is being opened.
    Connect,
    /// Waiting for the peer to connect, or for the next attempt.
    Active,
    /// OPEN sent.
    OpenSent,
    /// OPEN received.
    OpenConfirm,
    /// Routes flow.
    Established,
}

impl PeerState {
    /// The RFC's name.
    pub(crate) fn name(self) -> &'static str {
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

/// Counts of one family of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FamilyCounts {
    /// Which one.
    pub(crate) family: Family,
    /// Routes received, refused ones included.
    pub(crate) received: u64,
    /// Of these, accepted by import policy.
    pub(crate) accepted: u64,
    /// Routes advertised.
    pub(crate) advertised: u64,
    /// Of these, those with the peer's own AS in the path, which it refuses unless it allows its own AS.
    pub(crate) own_as_in_path: u64,
    /// The peer's End-of-RIB has arrived.
    pub(crate) end_of_rib: bool,
}

/// Messages by type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Messages {
    /// OPEN.
    pub(crate) open: u64,
    /// UPDATE.
    pub(crate) update: u64,
    /// NOTIFICATION.
    pub(crate) notification: u64,
    /// KEEPALIVE.
    pub(crate) keepalive: u64,
    /// ROUTE-REFRESH (RFC 2918).
    pub(crate) route_refresh: u64,
}

/// A bounded part of a listing, in prefix order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RoutePage {
    /// Destinations.
    pub(crate) routes: Vec<Route>,
    /// `after` of the next page; `null` after the last one.
    #[schemars(with = "Option<String>")]
    pub(crate) next: Option<IpNet>,
}

/// A destination with its paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Route {
    /// The destination.
    #[schemars(with = "String")]
    pub(crate) prefix: IpNet,
    /// Where it is in the kernel.
    pub(crate) kernel: Kernel,
    /// Paths, best first; in a listing of what is advertised the one that is sent, as it is sent.
    pub(crate) paths: Vec<Path>,
    /// Why the kernel refused it; `null` when it did not.
    pub(crate) kernel_error: Option<String>,
    /// Peers that it is advertised to.
    pub(crate) advertised_to: Vec<PeerRef>,
    /// The other peers, each with the reason. Empty in listings: only a question about one destination is answered with it.
    pub(crate) withheld: Vec<Withheld>,
}

/// Why a peer does not get a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Withheld {
    /// Who.
    pub(crate) peer: PeerRef,
    /// One clause.
    pub(crate) reason: String,
}

/// Where a route is in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kernel {
    /// Acknowledged.
    Installed,
    /// Waiting or refused.
    NotInstalled,
    /// Not meant to be there.
    NotWanted,
}

/// One path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Path {
    /// Where it came from; `null` is this router.
    pub(crate) from: Option<PeerRef>,
    /// Path identifier where several paths are exchanged (RFC 7911): as received, or as sent; `null` elsewhere.
    pub(crate) path_id: Option<u32>,
    /// Kept from before a restart or a refresh of the peer, which has not said it again.
    pub(crate) stale: bool,
    /// Could be used: not refused by import policy, next hop reachable.
    pub(crate) usable: bool,
    /// Is the best.
    pub(crate) best: bool,
    /// Is used together with the best.
    pub(crate) multipath: bool,
    /// Why it won or lost.
    pub(crate) reason: String,
    /// Next hop.
    pub(crate) next_hop: Option<IpAddr>,
    /// The link that it is reached through.
    pub(crate) link: Option<String>,
    /// `64514 64512 {1 2}`.
    pub(crate) as_path: String,
    /// `igp`, `egp` or `incomplete`.
    pub(crate) origin: String,
    /// MULTI_EXIT_DISC.
    pub(crate) med: Option<u32>,
    /// LOCAL_PREF.
    pub(crate) local_pref: Option<u32>,
    /// Communities of all three kinds.
    pub(crate) communities: Vec<String>,
}

/// What `clear` is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clear {
    /// Exchange routes again and keep the session; `null`: end it and begin again.
    pub(crate) soft: Option<Soft>,
    /// A text for the peer's operator (RFC 9003), at most 255 octets of UTF-8; not with `soft`.
    pub(crate) message: Option<String>,
}

/// Which routes are exchanged again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Soft {
    /// The peer's (RFC 2918).
    In,
    /// Ours.
    Out,
    /// Both sides'.
    Both,
}

/// What `shutdown` is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShutDown {
    /// As above.
    pub(crate) message: Option<String>,
}

/// What became of an order for one peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Ordered {
    /// Which.
    pub(crate) peer: PeerRef,
    /// What was done; nothing when it was refused.
    pub(crate) done: Vec<Deed>,
    /// Why not; only when the order was for all peers.
    pub(crate) refused: Option<String>,
}

/// What was done with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Deed {
    /// The session ends and begins again; a peer that was shut down may come up again.
    Reset,
    /// The session ends, and there is none before a reset.
    Shutdown,
    /// It was asked to send its routes again.
    RefreshIn,
    /// It is sent our routes again.
    RefreshOut,
}

/// What would change if the files were put in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Plan {
    /// The folder that was read.
    pub(crate) config_dir: String,
    /// A daemon runs and the comparison is with what it has in force; else everything is new.
    pub(crate) running: bool,
    /// There is something in `kernel` or `bgp`.
    pub(crate) changes: bool,
    /// What would be done to links, addresses and settings, in order.
    pub(crate) kernel: Vec<PlanStep>,
    /// What would be done to the router and its peers.
    pub(crate) bgp: Vec<PlanChange>,
    /// Peers whose session would end and be opened anew.
    pub(crate) resets: Vec<String>,
    /// What a person should know before.
    pub(crate) remarks: Vec<String>,
    /// Objects that would not be in force.
    pub(crate) rejected: Vec<Verdict>,
}

/// One step in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PlanStep {
    /// A link, namespace or setting.
    pub(crate) object: String,
    /// One sentence.
    pub(crate) text: String,
}

/// One change in BGP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PlanChange {
    /// The peer; `null` is the router.
    pub(crate) peer: Option<String>,
    /// What it costs.
    pub(crate) effect: PlanEffect,
    /// One sentence.
    pub(crate) text: String,
}

/// What a change costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PlanEffect {
    /// The session ends and is opened anew.
    NewSession,
    /// The routes of the session are looked at again, and the peer is told what differs.
    SoftReset,
    /// Nothing: it takes effect as it is.
    Live,
    /// It is new.
    Added,
    /// It goes away.
    Removed,
}

impl PlanEffect {
    /// For tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NewSession => "new session",
            Self::SoftReset => "soft reset",
            Self::Live => "live",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}

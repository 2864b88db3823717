//! `/metrics` in OpenMetrics 1.0: what the daemon knows of itself, as numbers.
//!
//! A scrape is made of the same snapshot as `perouter status`, of counters, and of the process; nothing in it scales with the
//! table. docs/metrics.md lists the names; a test makes its table of what is said here.

mod histogram;
mod process;

pub(crate) use histogram::Histogram;
pub(crate) use process::Process;

use std::fmt;
use std::time::UNIX_EPOCH;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::admin::model::{self, BfdState, DrainState, Messages, Outcome, Peer, PeerState};
use crate::speaker::Measured;
use crate::status::Tallies;

/// What the text is.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The daemon at one moment.
#[derive(Debug)]
pub(crate) struct Scrape {
    /// Everything on one screen.
    pub(crate) status: model::Status,
    /// What was counted and timed.
    pub(crate) measured: Measured,
    /// How often what was done.
    pub(crate) tallies: Tallies,
    /// Ordinary events, and warnings.
    pub(crate) events: (u64, u64),
    /// The process.
    pub(crate) process: Process,
}

/// A scrape as text.
pub(crate) fn text(scrape: Scrape) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

/// Labels of one series.
type Labels = Vec<(&'static str, String)>;

/// Writes families of series.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn gauges(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = (Labels, f64)>) -> fmt::Result {
        let (name, unit) = unit(name);
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        series.into_iter().try_for_each(|(labels, value)| of(&mut family, &labels, |one| one.encode_gauge(&value)))
    }

    fn counters(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = (Labels, f64)>) -> fmt::Result {
        let (name, unit) = unit(name);
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        let write = |one: &mut MetricEncoder<'_>, value: f64| one.encode_counter::<NoLabelSet, _, u64>(&value, None);
        series.into_iter().try_for_each(|(labels, value)| of(&mut family, &labels, |one| write(one, value)))
    }

    fn histograms<'h>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels, &'h Histogram)>,
    ) -> fmt::Result {
        let (name, unit) = unit(name);
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
        series.into_iter().try_for_each(|(labels, histogram)| {
            let (sum, count, buckets) = (histogram.sum(), histogram.count(), histogram.buckets());
            of(&mut family, &labels, |one| one.encode_histogram::<NoLabelSet>(sum, count, &buckets, None))
        })
    }

    /// Facts as labels; the name is written with `_info` behind it.
    fn facts(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = Labels>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Info)?;
        series.into_iter().try_for_each(|labels| family.encode_info(&labels))
    }
}

/// The unit that a name ends in, which is written apart.
fn unit(name: &str) -> (&str, Option<Unit>) {
    let units = [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes)];
    let found = units.into_iter().find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, unit)));
    found.map_or((name, None), |(name, unit)| (name, Some(unit)))
}

/// One series of a family.
fn of(
    family: &mut MetricEncoder<'_>,
    labels: &Labels,
    write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if labels.is_empty() { write(family) } else { write(&mut family.encode_family(labels)?) }
}

fn labels<const N: usize>(labels: [(&'static str, &str); N]) -> Labels {
    labels.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

/// One series without labels.
fn one(value: f64) -> [(Labels, f64); 1] {
    [(Vec::new(), value)]
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.daemon(&mut page)?;
        self.configuration(&mut page)?;
        self.host(&mut page)?;
        self.peers(&mut page)?;
        self.messages(&mut page)?;
        self.bfd(&mut page)?;
        self.tables(&mut page)?;
        self.kernel(&mut page)?;
        self.process(&mut page)
    }
}

impl Scrape {
    fn daemon(&self, page: &mut Page<'_>) -> fmt::Result {
        let status = &self.status;
        let mode = if status.mode == model::Mode::Run { "run" } else { "speak" };
        let build = labels([("version", status.version.as_str()), ("mode", mode)]);
        page.facts("perouter_build", "The daemon: its version, and whether it is `run` or `speak`", [build])?;
        let router = status.router.as_ref().map(|router| {
            let node = status.node.as_ref().map_or("", |node| node.name.as_str());
            let (asn, id) = (text_of(router.asn), text_of(router.router_id));
            labels([
                ("node", node),
                ("namespace", status.namespace.as_deref().unwrap_or_default()),
                ("asn", &asn),
                ("router_id", &id),
            ])
        });
        page.facts("perouter_router", "The router; absent when the speaker has stopped", router)?;
        page.gauges("perouter_healthy", "Whether `perouter status` is healthy", one(flag(status.healthy)))?;
        let problems = one(status.problems.len() as f64);
        page.gauges(
            "perouter_problems",
            "Things that are not as they should be; `perouter status` names them",
            problems,
        )?;
        let warnings = one(status.warnings.len() as f64);
        page.gauges("perouter_warnings", "Things on their way back, or that somebody else wants so", warnings)?;
        let is = |wanted| flag(status.drain.as_ref().is_some_and(|drain| drain.state == wanted));
        let drain = [("draining", DrainState::Draining), ("drained", DrainState::Drained)];
        let drain = drain.map(|(name, state)| (labels([("state", name)]), is(state)));
        page.gauges(
            "perouter_drain",
            "Whether peers are asked to move their traffic, or have no session any more",
            drain,
        )?;
        let (ordinary, warned) = self.events;
        let events = [("info", ordinary), ("warn", warned)];
        let events = events.map(|(level, count)| (labels([("level", level)]), count as f64));
        page.counters("perouter_events", "What happened; `perouter events` has the last thousand in words", events)
    }

    fn configuration(&self, page: &mut Page<'_>) -> fmt::Result {
        let mut objects: Vec<(Labels, f64)> = Vec::new();
        for verdict in &self.status.verdicts {
            let outcome = if verdict.outcome == Outcome::Applied { "applied" } else { "rejected" };
            let labels = labels([("kind", verdict.kind.as_str()), ("outcome", outcome)]);
            match objects.iter_mut().find(|(known, _)| *known == labels) {
                Some((_, count)) => *count += 1.0,
                None => objects.push((labels, 1.0)),
            }
        }
        page.gauges("perouter_config_objects", "Objects of the configuration by verdict", objects)?;
        let tallies = &self.tallies;
        let loads = [("applied", tallies.config_applied), ("kept", tallies.config_kept)];
        let loads = loads.map(|(result, count)| (labels([("result", result)]), count as f64));
        page.counters(
            "perouter_config_loads",
            "Configurations put in force (`applied`), or unusable, so that the router stayed as it was (`kept`)",
            loads,
        )?;
        let at = tallies.config_applied_at.and_then(|at| at.wall.duration_since(UNIX_EPOCH).ok());
        let at = at.map(|at| (Vec::new(), at.as_secs_f64()));
        page.gauges(
            "perouter_config_applied_timestamp_seconds",
            "When a configuration was last put in force, since 1970",
            at,
        )
    }

    fn host(&self, page: &mut Page<'_>) -> fmt::Result {
        let (tallies, status) = (&self.tallies, &self.status);
        let looks =
            [("unchanged", tallies.host_untouched), ("changed", tallies.host_changed), ("failed", tallies.host_failed)];
        let looks = looks.map(|(result, count)| (labels([("result", result)]), count as f64));
        page.counters(
            "perouter_host_reconciles",
            "Comparisons of links, addresses and settings with what they should be",
            looks,
        )?;
        let repairs = one(tallies.host_repairs as f64);
        page.counters("perouter_host_repairs", "Steps done again because somebody else undid them", repairs)?;
        let errors = one(status.host_errors.len() as f64);
        page.gauges("perouter_host_errors", "What could not be done to the host at the last attempt", errors)?;
        let warnings = one(status.host_warnings.len() as f64);
        page.gauges("perouter_host_warnings", "What about the host deserves a look although it works", warnings)?;
        let link = |link: &model::Link| labels([("link", link.name.as_str())]);
        let up = status.links.iter().map(|one| (link(one), flag(one.up && one.carrier)));
        page.gauges("perouter_link_up", "Whether a link of the router's namespace is up and has carrier", up)?;
        let mtu = status.links.iter().map(|one| (link(one), f64::from(one.mtu)));
        page.gauges("perouter_link_mtu_bytes", "MTU of a link of the router's namespace", mtu)
    }

    fn peers(&self, page: &mut Page<'_>) -> fmt::Result {
        let peers = &self.status.peers;
        let facts = peers.iter().map(|peer| {
            let asn = text_of(peer.asn);
            let link = peer.link.as_deref().unwrap_or_default();
            with(peer, [("role", peer.role.name()), ("asn", &asn), ("link", link)])
        });
        page.facts("perouter_peer", "A peer: what it is to us, its AS, the link that it is bound to", facts)?;
        let up = peers.iter().map(|peer| (with(peer, []), flag(peer.is_up())));
        page.gauges("perouter_peer_up", "Whether the session is established", up)?;
        let states = peers.iter().flat_map(|peer| {
            STATES.iter().map(|state| (with(peer, [("state", state.name())]), flag(peer.state == *state)))
        });
        page.gauges(
            "perouter_peer_state",
            "State of the session (RFC 4271 8.2.2): 1 for the one that it is in",
            states,
        )?;
        let uptime =
            peers.iter().map(|peer| (with(peer, []), if peer.is_up() { peer.since_seconds as f64 } else { 0.0 }));
        page.gauges("perouter_peer_uptime_seconds", "How long the session has been established", uptime)?;
        let flaps = peers.iter().map(|peer| (with(peer, []), f64::from(peer.flaps)));
        page.counters("perouter_peer_flaps", "Established sessions that were lost", flaps)?;
        let down = peers.iter().map(|peer| (with(peer, []), flag(peer.shut_down)));
        page.gauges("perouter_peer_shut_down", "Whether an operator shut the session down", down)?;
        let prefixes = peers.iter().flat_map(|peer| {
            peer.families.iter().flat_map(move |counts| {
                let family = counts.family.short();
                [("received", counts.received), ("accepted", counts.accepted), ("advertised", counts.advertised)]
                    .map(|(stage, count)| (with(peer, [("family", family), ("stage", stage)]), count as f64))
            })
        });
        page.gauges(
            "perouter_peer_prefixes",
            "Routes of a session: received, of these accepted by import policy, and advertised to it",
            prefixes,
        )
    }

    fn messages(&self, page: &mut Page<'_>) -> fmt::Result {
        let peers = &self.status.peers;
        let of = |which: fn(&Peer) -> &Messages| {
            peers.iter().flat_map(move |peer| {
                let Messages { open, update, notification, keepalive, route_refresh } = *which(peer);
                let by_type = [
                    ("open", open),
                    ("update", update),
                    ("notification", notification),
                    ("keepalive", keepalive),
                    ("route_refresh", route_refresh),
                ];
                by_type.map(|(kind, count)| (with(peer, [("type", kind)]), count as f64))
            })
        };
        page.counters("perouter_peer_messages_received", "Messages from a peer", of(|peer| &peer.messages_received))?;
        page.counters("perouter_peer_messages_sent", "Messages to a peer", of(|peer| &peer.messages_sent))?;
        let malformed = peers.iter().flat_map(|peer| {
            let each = peer.malformed_attributes.iter();
            each.map(move |(attribute, count)| (with(peer, [("attribute", attribute)]), *count as f64))
        });
        page.counters(
            "perouter_peer_malformed",
            "Attributes left out, or routes taken for withdrawn, because of errors of the peer (RFC 7606)",
            malformed,
        )?;
        let latency = peers
            .iter()
            .filter_map(|peer| Some((with(peer, []), self.measured.of(peer.address, peer.link.as_deref())?)));
        page.histograms(
            "perouter_peer_update_latency_seconds",
            "UPDATEs of a peer: from being found in the socket until their routes are decided and queued for peers and kernel",
            latency,
        )
    }

    fn bfd(&self, page: &mut Page<'_>) -> fmt::Result {
        let sessions = || self.status.peers.iter().filter_map(|peer| Some((peer, peer.bfd.as_ref()?)));
        let up = sessions().map(|(peer, bfd)| (with(peer, []), flag(bfd.local.state == BfdState::Up)));
        page.gauges("perouter_bfd_up", "Whether the BFD session with a peer is up", up)?;
        let lost = sessions().map(|(peer, bfd)| (with(peer, []), bfd.times_lost as f64));
        page.counters("perouter_bfd_losses", "BFD sessions that were lost", lost)?;
        let received = sessions().map(|(peer, bfd)| (with(peer, []), bfd.received as f64));
        page.counters("perouter_bfd_packets_received", "BFD packets received", received)?;
        let sent = sessions().map(|(peer, bfd)| (with(peer, []), bfd.sent as f64));
        page.counters("perouter_bfd_packets_sent", "BFD packets sent", sent)?;
        let detection =
            sessions().filter_map(|(peer, bfd)| Some((with(peer, []), bfd.detection_time_ms? as f64 / 1000.0)));
        page.gauges(
            "perouter_bfd_detection_time_seconds",
            "Silence after which the path is taken for broken",
            detection,
        )
    }

    fn tables(&self, page: &mut Page<'_>) -> fmt::Result {
        let router = self.status.router.as_ref();
        let tables = || router.into_iter().flat_map(|router| &router.destinations);
        let destinations = tables().map(|of| (labels([("family", of.family.short())]), of.count as f64));
        page.gauges("perouter_rib_destinations", "Destinations with at least one path", destinations)?;
        let paths = tables().map(|of| (labels([("family", of.family.short())]), of.paths as f64));
        page.gauges("perouter_rib_paths", "Paths received from peers, refused ones included", paths)?;
        let sets = router.map(|router| (Vec::new(), router.attribute_sets as f64));
        page.gauges("perouter_rib_attribute_sets", "Different sets of path attributes in memory", sets)
    }

    fn kernel(&self, page: &mut Page<'_>) -> fmt::Result {
        let fib = self.status.router.as_ref().map(|router| &router.fib);
        let routes = fib.into_iter().flat_map(|fib| {
            [("installed", fib.installed), ("pending", fib.pending), ("refused", fib.failed)]
                .map(|(state, count)| (labels([("state", state)]), count as f64))
        });
        page.gauges("perouter_fib_routes", "Routes of the kernel's table: there, on their way, refused by it", routes)?;
        let groups = fib.map(|fib| (Vec::new(), fib.groups as f64));
        page.gauges("perouter_fib_groups", "Next-hop groups in use", groups)?;
        let tables = [("router", &self.measured.fib), ("host", &self.measured.host)];
        let changes = tables.iter().flat_map(|(table, done)| {
            [("set", done.set), ("removed", done.removed)]
                .map(|(change, count)| (labels([("table", table), ("change", change)]), count as f64))
        });
        page.counters("perouter_fib_route_changes", "Routes that the kernel was told to set or to remove", changes)?;
        let of = |table: &str| labels([("table", table)]);
        let refused = tables.iter().map(|(table, done)| (of(table), done.refused as f64));
        page.counters("perouter_fib_refusals", "Routes and next-hop groups that the kernel refused", refused)?;
        let lost = tables.iter().map(|(table, done)| (of(table), done.lost as f64));
        page.counters(
            "perouter_fib_resyncs",
            "How often the kernel's table was read and told anew, because it was not certain what it holds",
            lost,
        )?;
        let latency = tables.iter().map(|(table, done)| (of(table), &done.latency));
        page.histograms(
            "perouter_fib_install_latency_seconds",
            "Batches of routes: from being handed over, perhaps behind another one, until the kernel has acknowledged them",
            latency,
        )
    }

    fn process(&self, page: &mut Page<'_>) -> fmt::Result {
        let process = &self.process;
        let cpu = one(process.cpu_seconds);
        page.counters("process_cpu_seconds", "User and system CPU time", cpu)?;
        page.gauges("process_resident_memory_bytes", "Resident memory", one(process.resident_bytes as f64))?;
        page.gauges("process_virtual_memory_bytes", "Virtual memory", one(process.virtual_bytes as f64))?;
        page.gauges("process_threads", "Threads", one(process.threads as f64))?;
        page.gauges("process_open_fds", "Open file descriptors", one(process.open_files as f64))?;
        page.gauges("process_max_fds", "Limit of open file descriptors", one(process.file_limit as f64))?;
        let started = one(process.started_seconds);
        page.gauges("process_start_time_seconds", "When the process started, since 1970", started)
    }
}

const STATES: [PeerState; 6] = [
    PeerState::Idle,
    PeerState::Connect,
    PeerState::Active,
    PeerState::OpenSent,
    PeerState::OpenConfirm,
    PeerState::Established,
];

/// The labels that tell a peer from every other one, and more.
fn with<const N: usize>(peer: &Peer, more: [(&'static str, &str); N]) -> Labels {
    let place = peer.place();
    let name = if peer.name.is_empty() { &place } else { &peer.name };
    let own = labels([("peer", name.as_str()), ("address", place.as_str())]);
    own.into_iter().chain(labels(more)).collect()
}

fn text_of<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests;

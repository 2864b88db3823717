//! What each figure means, in which unit, and what it should be.

use crate::routers::Router;

/// What a figure of ours must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// So much at most, in the figure's unit. Holds for the full size; a quick run has no such goal where size matters.
    AtMost(f64),
    /// As `AtMost`, whatever the size.
    Always(f64),
    /// So many times what the kernel alone takes, at most.
    Kernel(f64),
    /// This share of what BIRD takes, at most.
    Bird(f64),
}

pub(crate) struct Meaning {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) goals: &'static [Goal],
}

const fn of(name: &'static str, what: &'static str, unit: &'static str, goals: &'static [Goal]) -> Meaning {
    Meaning { name, what, unit, goals }
}

use Goal::{Always, AtMost, Bird, Kernel};

/// Every figure that is reported, in order.
pub(crate) const MEANINGS: [Meaning; 67] = [
    of("full.fib", "1,000,000 IPv4: all in the kernel FIB", "s", &[Kernel(1.5), Bird(1.0 / 3.0)]),
    of("full.host", "same: all at the host peer", "s", &[AtMost(2.5)]),
    of("full.cpu", "same: CPU of all daemons", "s", &[Bird(1.0 / 2.5)]),
    of("full.peak", "same: peak memory", "MiB", &[AtMost(120.0)]),
    of("full.withdraw", "withdraw all: gone from the FIB", "s", &[Kernel(1.5), Bird(1.0 / 3.0)]),
    of("full.unhost", "withdraw all: gone from the host peer", "s", &[]),
    of("nofib.host", "1,000,000 IPv4 without FIB: all at the host peer", "s", &[Bird(0.5)]),
    of("nofib.cpu", "same: CPU", "s", &[Bird(1.0 / 1.7)]),
    of("nofib.peak", "same: peak memory", "MiB", &[]),
    of("strict.fib", "1,000,000 IPv4, advertised after the FIB's answer: all in the FIB", "s", &[]),
    of("strict.host", "same: all at the host peer", "s", &[]),
    of("strict.cpu", "same: CPU", "s", &[]),
    of("close.fib", "feeder's TCP closes, 100,000 routes: FIB empty", "s", &[Kernel(1.5)]),
    of("close.host", "same: host told", "s", &[Always(0.05)]),
    of("linkdown.fib", "the kernel says that the link is down, 100,000 routes: FIB empty", "s", &[Always(0.05)]),
    of("linkdown.host", "same: host told", "s", &[Always(0.05)]),
    of("change.p50", "one change on 500,000 routes: at the host peer, p50", "ms", &[Always(0.3)]),
    of("change.p99", "same: p99", "ms", &[Bird(1.0)]),
    of("change.kernel", "same: in the kernel, p50", "ms", &[Always(0.25)]),
    of("change.cpu", "same: CPU per change", "ms", &[Always(0.1)]),
    of("services.fabric", "1,000 routes of the host: at the fabric peer", "ms", &[Always(3.0)]),
    of("ecmp.fib", "16 fabric peers with the same 100,000: FIB complete with 16 next hops", "s", &[AtMost(1.5)]),
    of("ecmp.peak", "same: peak memory", "MiB", &[AtMost(100.0)]),
    of("ecmp.cpu", "same: CPU", "s", &[]),
    of("ecmp.twice", "same: routes advertised again", "", &[Always(0.0)]),
    of("ecmp.groups", "same: next-hop objects that routes point at", "", &[Always(1.0)]),
    of("paths.further", "memory of a further path", "bytes", &[AtMost(24.0)]),
    of("paths.first", "memory of a route with one path, attributes included", "bytes", &[]),
    of("ipv6.fib", "200,000 IPv6: all in the FIB", "s", &[Kernel(1.5)]),
    of("ipv6.cpu", "same: CPU", "s", &[Bird(0.5)]),
    of("ipv6.host", "same: all at the host peer", "s", &[]),
    of("churn.cpu", "5,000 prefix events a second on 100,000 routes: CPU per event", "us", &[Always(12.0)]),
    of("flap.p99", "1,000 prefixes at 1,000 changes a second for 60 s: p99", "ms", &[Always(20.0)]),
    of("flap.growth", "same: growth of memory", "MiB", &[Always(1.0)]),
    of("cold.fib", "cold start: process start to the first route in the FIB", "ms", &[Bird(1.0)]),
    of("cold.host", "same: at the host peer", "ms", &[Bird(1.0)]),
    of("restart.kill", "graceful restart, everything killed: time with routes missing", "ms", &[Always(0.0)]),
    of("restart.term", "graceful restart, everything stopped: time with routes missing", "ms", &[Always(0.0)]),
    of("idle.memory", "two sessions without routes: memory", "MiB", &[Always(8.0)]),
    of("idle.cpu", "same: CPU", "% of a core", &[Always(0.05)]),
    of("range.hosts", "100 host peers in a range: 10,000 routes at every one of them", "s", &[]),
    of("range.fabric", "same: their 10,000 routes at the fabric peer", "s", &[]),
    of("range.cpu", "same: CPU for the fabric's routes to all of them", "s", &[Bird(1.0)]),
    of("range.peer", "same: CPU that a further host peer adds", "ms", &[Bird(1.0)]),
    of("range.peak", "same: peak memory", "MiB", &[]),
    of("range.session", "same: memory that a further host peer adds", "KiB", &[]),
    of(
        "slow.time",
        "a host peer that reads a byte a second: time until the other has all, by that without",
        "",
        &[Always(1.25)],
    ),
    of("slow.memory", "same: memory that it adds", "MiB", &[Always(16.0)]),
    of("slow.held", "same: growth with every further round of the table", "MiB", &[Always(8.0)]),
    of(
        "listing.stop",
        "`perouter routes` on 1,000,000: what a change waits longer meanwhile, p99",
        "ms",
        &[Always(2.0)],
    ),
    of("listing.worst", "same: the worst", "ms", &[]),
    of("listing.time", "same: time of the listing", "s", &[]),
    of("listing.growth", "same: growth of the router's memory", "MiB", &[Always(16.0)]),
    of("scale.cost", "CPU per route from 10,000 to 2,000,000: dearest by cheapest", "", &[Always(1.5)]),
    of("scale.fib.2000000", "2,000,000 IPv4: all in the kernel FIB", "s", &[]),
    of("scale.peak.2000000", "same: peak memory", "MiB", &[]),
    of("forwarding.direct.tcp", "TCP over a direct veth", "Gbit/s", &[]),
    of("forwarding.routed.tcp", "TCP through the router", "Gbit/s", &[]),
    of("forwarding.direct.kpps", "64-byte packets over a direct veth", "kpps", &[]),
    of("forwarding.routed.kpps", "64-byte packets through the router", "kpps", &[]),
    of("forwarding.direct.rtt", "round trip over a direct veth, p50", "us", &[]),
    of("forwarding.routed.rtt", "round trip through the router, p50", "us", &[]),
    of("forwarding.share.tcp", "TCP, routed by direct", "", &[]),
    of("forwarding.share.kpps", "64-byte packets, routed by direct", "", &[]),
    of("forwarding.share.rtt", "round trip, routed by direct", "", &[]),
    of("scale.fib.10000", "10,000 IPv4: all in the kernel FIB", "s", &[]),
    of("scale.peak.10000", "same: peak memory", "MiB", &[]),
];

impl Goal {
    /// The limit in the figure's unit; `value` knows the figures of the others. None where there is nothing to compare with.
    pub(crate) fn limit(self, quick: bool, value: impl Fn(Option<Router>) -> Option<f64>) -> Option<f64> {
        match self {
            AtMost(limit) => (!quick).then_some(limit),
            Always(limit) => Some(limit),
            Kernel(times) => value(None).map(|kernel| kernel * times),
            Bird(share) => value(Some(Router::Bird)).map(|bird| bird * share),
        }
    }
}

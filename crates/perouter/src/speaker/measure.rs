//! What the owner counts and times, for metrics: nothing here grows with the table.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use engine::Snapshot;
use engine::fib::{FibBatch, HostBatch};

use crate::metrics::Histogram;

/// Counts and times since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// UPDATEs by peer (address, and link where it has one): from the moment that they were found in the socket until their
    /// routes were decided, and what follows was queued for peers and kernel.
    updates: BTreeMap<IpAddr, Vec<(Option<String>, Histogram)>>,
    /// The kernel's table.
    pub(crate) fib: Programming,
    /// The host's own table.
    pub(crate) host: Programming,
}

impl Measured {
    /// So many UPDATEs of a peer took so long.
    pub(crate) fn updates(&mut self, peer: IpAddr, link: Option<&str>, number: u64, took: Duration) {
        let of_address = self.updates.entry(peer).or_default();
        let at = of_address.iter().position(|(of, _)| of.as_deref() == link).unwrap_or_else(|| {
            of_address.push((link.map(str::to_owned), Histogram::default()));
            of_address.len() - 1
        });
        of_address[at].1.add(took, number);
    }

    /// Forgets the peers that are no more.
    pub(super) fn keep(&mut self, snapshot: &Snapshot) {
        self.updates.retain(|address, of_address| {
            of_address
                .retain(|(link, _)| snapshot.peers.iter().any(|peer| peer.address == *address && peer.link == *link));
            !of_address.is_empty()
        });
    }

    /// Those of one peer.
    pub(crate) fn of(&self, peer: IpAddr, link: Option<&str>) -> Option<&Histogram> {
        self.updates.get(&peer)?.iter().find(|(of, _)| of.as_deref() == link).map(|(_, histogram)| histogram)
    }
}

/// Batches for one table of the kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Programming {
    /// From handing a batch over to its answer.
    pub(crate) latency: Histogram,
    /// Routes that were set, again or for the first time.
    pub(crate) set: u64,
    /// Routes that were removed.
    pub(crate) removed: u64,
    /// Routes and groups that were refused.
    pub(crate) refused: u64,
    /// How often what was in the table had to be told again.
    pub(crate) lost: u64,
    /// When those were handed over that were not answered, in order.
    since: VecDeque<Instant>,
}

impl Programming {
    pub(super) fn begin(&mut self, now: Instant, batch: &FibBatch) {
        let removed = batch.routes.iter().filter(|route| route.group.is_none()).count();
        self.begins(now, batch.routes.len(), removed);
    }

    pub(super) fn begin_host(&mut self, now: Instant, batch: &HostBatch) {
        let removed = batch.routes.iter().filter(|(_, wanted)| !wanted).count();
        self.begins(now, batch.routes.len(), removed);
    }

    fn begins(&mut self, now: Instant, routes: usize, removed: usize) {
        self.set += (routes - removed) as u64;
        self.removed += removed as u64;
        self.since.push_back(now);
    }

    pub(super) fn end(&mut self, now: Instant, refused: usize) {
        self.refused += refused as u64;
        if let Some(since) = self.since.pop_front() {
            self.latency.add(now.saturating_duration_since(since), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_with_one_link_local_address_are_told_apart() {
        let address = "fe80::1".parse().unwrap();
        let mut measured = Measured::default();
        measured.updates(address, Some("eth1"), 2, Duration::from_millis(1));
        measured.updates(address, Some("eth2"), 1, Duration::from_millis(1));
        measured.updates(address, Some("eth1"), 1, Duration::from_millis(1));
        let count = |link| measured.of(address, link).map(Histogram::count);
        assert_eq!((count(Some("eth1")), count(Some("eth2")), count(None)), (Some(3), Some(1), None));
    }
}

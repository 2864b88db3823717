//! Long work in slices: what a lost peer or a moved next hop means for every destination.
//!
//! The FIB has moved before, group by group. Between two slices the tables are consistent, only not yet up to date:
//! a path of a peer that is gone is not usable, and counts until it is removed.

use wire::Family;

use super::Rib;
use super::decide::Standing;
use super::nexthop::NextHopId;
use super::table::PeerId;

/// Destinations in a slice: a fraction of a millisecond, so that other peers keep their latency.
const SLICE: usize = 4096;

/// One thing to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Take away all paths that a peer has for these destinations.
    Gone { peer: PeerId, family: Family, slots: Vec<u32> },
    /// Decide every destination from this slot on that has a path with one of these next hops.
    Moved { next_hops: Vec<NextHopId>, family: Family, slot: u32 },
}

impl Rib {
    /// Queues a job; little ones are done at once.
    pub(super) fn queue(&mut self, job: Job) {
        let little = match &job {
            Job::Gone { slots, .. } => slots.len() <= SLICE,
            Job::Moved { family, .. } => self.tables[family.index()].dests.slots() as usize <= SLICE,
        };
        // Of several moves that wait for the same walk one walk is enough.
        if let (Some(Job::Moved { next_hops, family, slot: 0 }), Job::Moved { next_hops: more, family: of, .. }) =
            (self.backlog.back_mut(), &job)
            && *family == *of
        {
            next_hops.extend(more.iter().filter(|id| !next_hops.contains(id)).copied().collect::<Vec<_>>());
            return;
        }
        self.backlog.push_back(job);
        if little && self.backlog.len() == 1 {
            self.work();
        }
    }

    /// Whether [`Self::work`] has something to do.
    pub(crate) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Does everything that is left.
    pub(super) fn finish_backlog(&mut self) {
        while self.has_backlog() {
            self.work();
        }
    }

    /// Does a slice of what is left.
    pub(crate) fn work(&mut self) {
        let Some(job) = self.backlog.pop_front() else { return };
        let rest = match job {
            Job::Gone { peer, family, slots } => self.remove_some(peer, family, slots),
            Job::Moved { next_hops, family, slot } => self.decide_some(next_hops, family, slot),
        };
        if let Some(rest) = rest {
            self.backlog.push_front(rest);
        }
    }

    fn remove_some(&mut self, peer: PeerId, family: Family, mut slots: Vec<u32>) -> Option<Job> {
        for _ in 0..SLICE {
            let slot = slots.pop()?;
            // The last path may have taken the whole table along.
            if slot < self.tables[family.index()].dests.slots() {
                self.remove_paths(family, slot, peer, |_, _| true);
            }
        }
        Some(Job::Gone { peer, family, slots })
    }

    fn decide_some(&mut self, next_hops: Vec<NextHopId>, family: Family, from: u32) -> Option<Job> {
        let mut slot = from;
        while (slot - from) < SLICE as u32 {
            let table = &self.tables[family.index()];
            if slot >= table.dests.slots() {
                return None;
            }
            let dest = &table.dests[slot];
            let concerned = dest.paths.iter().any(|path| next_hops.contains(&self.attrs.get(path.attr).next_hop));
            if concerned {
                let before = Standing::of(dest);
                let gone = self.fib.is_gone(dest);
                self.decide(family, slot, &before);
                if gone {
                    // It was taken along by its group, whether or not it looks the same as before.
                    let dest = &mut self.tables[family.index()].dests[slot];
                    self.fib.touch(family, slot, dest);
                }
            }
            slot += 1;
        }
        Some(Job::Moved { next_hops, family, slot })
    }
}

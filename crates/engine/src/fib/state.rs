//! The engine's side of the FIB: which group each destination was last told to use, what waits, what failed.
//!
//! Groups are keyed by the tracked next hops of the paths that share the traffic, so that a next hop that moves
//! changes one group and no route. A group's number is not used again before the batch that deleted it is
//! acknowledged.
//!
//! A group that lost its last next hop is *gone*: no route is put into it any more. Those in it leave one by one as they are
//! decided again, for another group where there is a way left; the rest is told nothing, and goes with the group in one message
//! once nobody here names it. Until then the kernel forwards as before, which may still work.
//!
//! So does a group whose routes all wait to be deleted, when they are many: the kernel drops a route with its group in a
//! tenth of the time that a deletion takes. It looks through its whole table for them, so that few routes are deleted.
//!
//! While a batch is in flight, a second one is made behind it if it is a large one, so that the kernel does not wait for us
//! between the two. Few changes wait for the answer, and the latest wins.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ipnet::IpNet;
use smallvec::SmallVec;
use wire::Family;

use super::{FibBatch, GroupChange, GroupId, Hop, RouteChange};
use crate::rib::bits::{BitSet, Pending};
use crate::rib::key::Key;
use crate::rib::nexthop::{NextHopId, NextHops, Resolution};
use crate::rib::slab::Slab;
use crate::rib::table::{Dest, Table};

/// Most routes of a family in a batch: large enough to keep the kernel busy, small enough to answer to changes.
const BATCH: usize = 8192;

/// So many destinations must wait for a batch behind one that is in flight.
const BEHIND: usize = if cfg!(test) { 1 } else { BATCH / 2 };

/// Most batches in flight.
const FLIGHTS: usize = 2;

/// A group that all want to leave goes at once if it has at least so many routes, and at least one in [`MANY_OF`] of all.
const MANY: u32 = 4096;
const MANY_OF: usize = 16;

/// In [`Dest::fib`]: the kernel has not yet acknowledged it.
const UNACKED: u32 = 1 << 31;

/// In [`Dest::fib`], beside the other: nor what came after that. It is in both batches that are in flight.
const AGAIN: u32 = 1 << 30;

/// In [`Dest::fib`]: the kernel refused a change, and may have the route as it was before.
const UNCERTAIN: u32 = AGAIN - 1;

/// Of a [`Dest::fib`]: the group that the kernel was last told, plus one, zero for none; or [`UNCERTAIN`].
fn told(fib: u32) -> u32 {
    fib & !(UNACKED | AGAIN)
}

/// Of a [`Dest::fib`]: the group that the kernel was last told, if it is known to have been told one.
fn group_of(fib: u32) -> Option<u32> {
    let told = told(fib);
    (told != 0 && told != UNCERTAIN).then(|| told - 1)
}

/// Of a [`Dest::fib`]: which answers are still to come.
fn unanswered(fib: u32) -> u32 {
    fib & (UNACKED | AGAIN)
}

/// How far the kernel is with a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has what it should have.
    Done,
    /// It has not yet answered, or not yet been told.
    Waiting,
    /// It refused.
    Refused,
}

/// Whether the kernel is known to have the route of a [`Dest::fib`].
pub(crate) fn is_installed(fib: u32) -> bool {
    fib != 0 && fib & UNACKED == 0 && fib != UNCERTAIN
}

type GroupKey = SmallVec<[NextHopId; 2]>;

#[derive(Debug, Default)]
struct Group {
    key: GroupKey,
    hops: Vec<Hop>,
    routes: u32,
    /// Of these, those that wait to be deleted.
    leaving: u32,
    /// It has no next hop left, or nobody who wants it.
    gone: bool,
}

#[derive(Debug)]
struct Flight {
    id: u64,
    /// By family.
    slots: [Vec<u32>; 2],
    deleted: Vec<u32>,
    /// See [`FibState::is_void`].
    void: bool,
}

/// See the module page.
#[derive(Debug, Default)]
pub(crate) struct FibState {
    pub(crate) enabled: bool,
    batches: u64,
    /// In order; at most [`FLIGHTS`].
    flights: VecDeque<Flight>,
    pending: [Pending; 2],
    groups: Slab<Group>,
    index: BTreeMap<GroupKey, u32>,
    /// Groups whose members the kernel must be told.
    dirty: BTreeSet<u32>,
    /// Groups that lost their last route since the last batch, perhaps to get another one.
    unused: Vec<u32>,
    failed: BTreeMap<IpNet, Arc<str>>,
    /// Groups that lack members in the kernel: set again with the next retry.
    degraded: BTreeSet<u32>,
    /// Destinations with a group that wait to be deleted.
    leaving: [BitSet; 2],
    /// Destinations with a group.
    held: usize,
    sweep: bool,
    /// A sweep was asked for once: what is in the kernel and not in our tables is nobody's any more.
    converged: bool,
    /// The last look at what waits found nothing to do and was not the end of it.
    interrupted: bool,
    /// Whether peers wait for the kernel: [`Self::settled`] is noted.
    pub(crate) awaited: bool,
    /// Destinations with which the kernel is done, for now or for good, since somebody last asked.
    settled: Vec<(Family, u32)>,
}

impl FibState {
    /// Notes that a destination's forwarding paths changed.
    pub(crate) fn touch(&mut self, family: Family, slot: u32, dest: &mut Dest) {
        if self.enabled && self.pending[family.index()].push(slot) {
            dest.pending += 1;
        }
        let Some(group) = group_of(dest.fib) else { return };
        let leaving = &mut self.leaving[family.index()];
        if dest.ways > 0 {
            self.groups[group].leaving -= u32::from(leaving.remove(slot));
        } else if leaving.insert(slot) {
            self.groups[group].leaving += 1;
            self.desert(group);
        }
    }

    /// A group goes if all its routes are about to, and are worth it.
    fn desert(&mut self, id: u32) {
        let group = &mut self.groups[id];
        let all = group.leaving == group.routes && !group.gone;
        if all && group.routes >= MANY && group.routes as usize >= self.held / MANY_OF {
            group.gone = true;
            self.held -= group.routes as usize;
            self.index.remove(&group.key);
            self.dirty.remove(&id);
        }
    }

    /// How far the kernel is with a destination.
    pub(crate) fn progress(&self, family: Family, slot: u32, dest: &Dest) -> Progress {
        if !self.enabled {
            Progress::Done
        } else if dest.fib & UNACKED != 0 || self.pending[family.index()].contains(slot) {
            Progress::Waiting
        } else if dest.fib == UNCERTAIN {
            Progress::Refused
        } else {
            Progress::Done
        }
    }

    /// Whether [`Self::poll`] found nothing to tell and has more to look at.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted && self.flights.is_empty()
    }

    /// The destinations that [`Progress`] was made with since the last question, while it is [`Self::awaited`].
    pub(crate) fn take_settled(&mut self) -> Vec<(Family, u32)> {
        std::mem::take(&mut self.settled)
    }

    fn settle(&mut self, family: Family, slots: &[u32]) {
        if self.awaited {
            self.settled.extend(slots.iter().map(|slot| (family, *slot)));
        }
    }

    /// Asks for a sweep with the batch after which nothing waits any more. While the FIB is switched off it waits until it
    /// is on again.
    pub(crate) fn request_sweep(&mut self) {
        self.sweep = self.enabled;
        self.converged = true;
    }

    pub(crate) fn snapshot(&self) -> crate::snapshot::FibSnapshot {
        // A destination in two batches counts twice, for as long as it takes.
        let in_flight: usize = self.flights.iter().flat_map(|flight| &flight.slots).map(Vec::len).sum();
        crate::snapshot::FibSnapshot {
            installed: self.held.saturating_sub(in_flight),
            pending: self.pending.iter().map(Pending::len).sum::<usize>() + in_flight,
            failed: self.failed.len(),
            groups: self.groups.live(),
        }
    }

    pub(crate) fn failure(&self, prefix: &IpNet) -> Option<&str> {
        self.failed.get(prefix).map(|error| &**error)
    }

    pub(crate) fn has_failures(&self) -> bool {
        !self.failed.is_empty() || !self.degraded.is_empty()
    }

    /// Next hops changed: the groups that hold them have other members.
    pub(crate) fn next_hops_changed(&mut self, changed: &[NextHopId], next_hops: &NextHops) {
        if changed.is_empty() {
            return;
        }
        let Self { groups, index, dirty, held, .. } = self;
        index.retain(|key, &mut id| {
            if !key.iter().any(|next_hop| changed.contains(next_hop)) {
                return true;
            }
            let hops = members(key, next_hops);
            let group = &mut groups[id];
            if hops.is_empty() {
                // An empty group cannot exist in the kernel. Who wants its next hops again gets a new one.
                group.gone = true;
                *held -= group.routes as usize;
                dirty.remove(&id);
            } else if hops != group.hops {
                group.hops = hops;
                dirty.insert(id);
            }
            !group.gone
        });
    }

    /// Whether a destination's route goes with its group.
    pub(crate) fn is_gone(&self, dest: &Dest) -> bool {
        group_of(dest.fib).is_some_and(|group| self.groups[group].gone)
    }

    /// The next batch. `desired` says which next hops a destination should use, empty for none.
    pub(crate) fn poll(
        &mut self,
        tables: &mut [Table; 2],
        next_hops: &mut NextHops,
        desired: impl Fn(Family, &Dest, &NextHops) -> GroupKey,
    ) -> Option<FibBatch> {
        let are_few = || self.pending.iter().map(Pending::len).sum::<usize>() < BEHIND;
        let is_busy = !self.flights.is_empty() && (self.flights.len() >= FLIGHTS || are_few());
        if is_busy || !self.enabled {
            return None;
        }
        let mut batch = FibBatch::default();
        let mut slots = [Vec::new(), Vec::new()];
        for family in Family::ALL {
            let table = &mut tables[family.index()];
            let mut taken = 0;
            let mut settled = Vec::new();
            // Each family has its share: neither waits behind the other's churn.
            while taken < BATCH {
                taken += 1;
                let Some(slot) = self.pending[family.index()].pop() else {
                    break;
                };
                let dest = &mut table.dests[slot];
                dest.pending -= 1;
                let key = desired(family, dest, next_hops);
                let group = if key.is_empty() { 0 } else { self.group(key, next_hops) + 1 };
                if !self.assign(family, slot, dest, group) {
                    settled.push(slot);
                    continue;
                }
                slots[family.index()].push(slot);
                let prefix = dest.key.prefix(family);
                self.failed.remove(&prefix);
                batch.routes.push(RouteChange { prefix, group: group.checked_sub(1).map(GroupId) });
            }
            self.settle(family, &settled);
            table.release_unused(&settled);
        }
        for id in std::mem::take(&mut self.dirty) {
            if id >= self.groups.slots() {
                continue;
            }
            let group = &self.groups[id];
            if group.routes > 0 && !group.gone {
                batch.groups.push(GroupChange::Set(GroupId(id), group.hops.clone()));
            }
        }
        let deleted = self.collect_unused(next_hops, &mut batch);
        if self.sweep && self.pending.iter().all(Pending::is_empty) {
            self.sweep = false;
            batch.sweep = true;
        }
        // An answer may come at once, and would wake nobody.
        self.interrupted = self.pending.iter().any(|pending| !pending.is_empty());
        if batch.routes.is_empty() && batch.groups.is_empty() && !batch.sweep {
            return None;
        }
        self.batches += 1;
        batch.id = self.batches;
        self.flights.push_back(Flight { id: batch.id, slots, deleted, void: false });
        Some(batch)
    }

    /// Gives a destination to a group (plus one; zero for none). Returns whether the kernel must be told; then the slot lives until
    /// the acknowledgement.
    fn assign(&mut self, family: Family, slot: u32, dest: &mut Dest, group: u32) -> bool {
        if group == told(dest.fib) {
            return false;
        }
        let old = group_of(dest.fib);
        let held = old.is_some_and(|old| !self.groups[old].gone);
        self.held = self.held + usize::from(group != 0) - usize::from(held);
        if group != 0 {
            self.groups[group - 1].routes += 1;
        }
        if let Some(old) = old {
            self.drop_route(family, slot, old);
        }
        if group == 0 && old.is_some() && !held {
            // The kernel drops it with its group.
            dest.fib = unanswered(dest.fib);
            return false;
        }
        let again = if dest.fib & UNACKED != 0 { AGAIN } else { 0 };
        dest.fib = group | UNACKED | again;
        dest.pending += 1;
        true
    }

    /// Takes an acknowledgement. What failed is in doubt until it is tried again ([`Self::retry_failed`]): a refused
    /// change may have left the route as it was. The routes of a refused group went with it.
    pub(crate) fn acknowledge(
        &mut self,
        tables: &mut [Table; 2],
        id: u64,
        failed: Vec<(IpNet, String)>,
        groups: Vec<(GroupId, String)>,
    ) {
        let Some(flight) = self.flights.pop_front_if(|flight| flight.id == id) else { return };
        // Once it is switched off there is nothing to be in doubt of.
        let (failed, groups) = if self.enabled { (failed, groups) } else { (Vec::new(), Vec::new()) };
        for (prefix, error) in failed {
            let family = Family::of(&prefix);
            let table = &mut tables[family.index()];
            // What became of it the next answer says.
            let last = |slot: &u32| table.dests[*slot].fib & AGAIN == 0;
            if let Some(slot) = table.find(&Key::new(&prefix)).filter(last) {
                self.doubt(family, slot, &mut table.dests[slot]);
                self.failed.insert(prefix, error.into());
            }
        }
        for (GroupId(group), error) in groups {
            self.lose_group(tables, group, &error.into());
        }
        for (family, slots) in Family::ALL.into_iter().zip(&flight.slots) {
            let table = &mut tables[family.index()];
            for slot in slots {
                let dest = &mut table.dests[*slot];
                dest.fib &= if dest.fib & AGAIN == 0 { !UNACKED } else { !AGAIN };
                dest.pending -= 1;
            }
            self.settle(family, slots);
            table.release_unused(slots);
        }
        for id in flight.deleted {
            self.groups.release(id);
        }
    }

    /// Whether the kernel has lost what it was told since this batch was made: what it says of it means nothing then.
    pub(crate) fn is_void(&self, id: u64) -> bool {
        self.flights.iter().any(|flight| flight.id == id && flight.void)
    }

    /// The kernel took these groups without some of their members.
    pub(crate) fn degraded(&mut self, groups: impl Iterator<Item = GroupId>) {
        self.degraded.extend(groups.map(|GroupId(id)| id));
    }

    /// The kernel refused a group, and dropped whatever pointed at it.
    fn lose_group(&mut self, tables: &mut [Table; 2], group: u32, error: &Arc<str>) {
        self.dirty.insert(group);
        for family in Family::ALL {
            let table = &mut tables[family.index()];
            let on_it = |slot: &u32| group_of(table.dests[*slot].fib) == Some(group);
            let slots: Vec<u32> = table.slots().filter(on_it).collect();
            for slot in slots {
                let dest = &mut table.dests[slot];
                self.doubt(family, slot, dest);
                self.failed.insert(dest.key.prefix(family), Arc::clone(error));
                self.settle(family, &[slot]);
            }
        }
    }

    /// What the kernel has of a destination is not known any more.
    fn doubt(&mut self, family: Family, slot: u32, dest: &mut Dest) {
        if let Some(group) = group_of(dest.fib) {
            self.held -= usize::from(!self.groups[group].gone);
            self.drop_route(family, slot, group);
        }
        dest.fib = unanswered(dest.fib) | UNCERTAIN;
    }

    /// Tries the routes again that the kernel refused.
    pub(crate) fn retry_failed(&mut self, tables: &mut [Table; 2]) {
        self.dirty.append(&mut self.degraded);
        for prefix in std::mem::take(&mut self.failed).into_keys() {
            let family = Family::of(&prefix);
            let table = &mut tables[family.index()];
            if let Some(slot) = table.find(&Key::new(&prefix)) {
                self.touch(family, slot, &mut table.dests[slot]);
            }
        }
    }

    /// The kernel lost what it was told: everything is to be told again. What waited to be deleted, or was in a batch
    /// that failed, is not in the tables any more and may still be in the kernel, so that a sweep comes last.
    pub(crate) fn forget(&mut self, tables: &mut [Table; 2]) {
        self.sweep |= self.converged;
        self.flights.iter_mut().for_each(|flight| flight.void = true);
        // Also one that no destination is told to use just now: the next one may be.
        self.dirty.extend(self.index.values());
        for (family, slot) in self.unset(tables) {
            self.touch(family, slot, &mut tables[family.index()].dests[slot]);
        }
    }

    /// The FIB is switched off: nothing is installed, nothing waits.
    pub(crate) fn abandon(&mut self, tables: &mut [Table; 2], next_hops: &mut NextHops) {
        for family in Family::ALL {
            let table = &mut tables[family.index()];
            while let Some(slot) = self.pending[family.index()].pop() {
                table.dests[slot].pending -= 1;
                // One that was only waiting is in nobody's list any more.
                table.release_if_unused(slot);
            }
        }
        for (family, slot) in self.unset(tables) {
            tables[family.index()].release_if_unused(slot);
        }
        self.failed.clear();
        self.dirty.clear();
        self.sweep = false;
        for id in self.collect_unused(next_hops, &mut FibBatch::default()) {
            self.groups.release(id);
        }
    }

    /// Takes every destination's group away; returns all slots.
    fn unset(&mut self, tables: &mut [Table; 2]) -> Vec<(Family, u32)> {
        let mut all = Vec::new();
        for family in Family::ALL {
            let table = &mut tables[family.index()];
            let slots: Vec<u32> = table.slots().collect();
            for slot in slots {
                let dest = &mut table.dests[slot];
                let group = group_of(dest.fib);
                dest.fib = unanswered(dest.fib);
                if let Some(group) = group {
                    self.held -= usize::from(!self.groups[group].gone);
                    self.drop_route(family, slot, group);
                }
                all.push((family, slot));
            }
        }
        all
    }

    /// The number of the group with this key, made if there is none.
    fn group(&mut self, key: GroupKey, next_hops: &mut NextHops) -> u32 {
        if let Some(&id) = self.index.get(&key) {
            return id;
        }
        for &next_hop in &key {
            next_hops.retain(next_hop);
        }
        let hops = members(&key, next_hops);
        let id = self.groups.insert(Group { key: key.clone(), hops, routes: 0, leaving: 0, gone: false });
        self.index.insert(key, id);
        self.dirty.insert(id);
        id
    }

    fn drop_route(&mut self, family: Family, slot: u32, id: u32) {
        let group = &mut self.groups[id];
        group.routes -= 1;
        group.leaving -= u32::from(self.leaving[family.index()].remove(slot));
        if group.routes == 0 {
            self.unused.push(id);
        }
    }

    /// Deletes the groups that nothing uses any more.
    fn collect_unused(&mut self, next_hops: &mut NextHops, batch: &mut FibBatch) -> Vec<u32> {
        let mut deleted = Vec::new();
        for id in std::mem::take(&mut self.unused) {
            if self.groups[id].routes > 0 || deleted.contains(&id) {
                continue;
            }
            let key = std::mem::take(&mut self.groups[id].key);
            if !self.groups[id].gone {
                self.index.remove(&key);
            }
            batch.groups.push(GroupChange::Delete(GroupId(id)));
            for next_hop in key {
                next_hops.release(next_hop);
            }
            deleted.push(id);
        }
        deleted
    }
}

/// The hops of a group's usable next hops, each once, in order.
fn members(key: &GroupKey, next_hops: &NextHops) -> Vec<Hop> {
    let hops = key.iter().filter_map(|&id| match next_hops.resolution(id) {
        Resolution::Via(hop) => Some(hop),
        Resolution::Local | Resolution::Unchecked | Resolution::Own | Resolution::Unreachable => None,
    });
    let set: BTreeSet<Hop> = hops.collect();
    set.into_iter().collect()
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;

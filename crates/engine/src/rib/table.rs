//! All destinations of one family, each with all its paths.
//!
//! A destination lives in a slab slot as long as it has a path or somebody still has to be told that it has
//! none; the slot number is what RIB-In, RIB-Out and FIB bit sets are indexed by.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;
use smallvec::SmallVec;

use super::attrs::AttrId;
use super::index::{Index, Place};
use super::key::Key;
use super::slab::Slab;

/// How many are looked for before something is done about the first one: see [`Sought`].
pub(crate) const AHEAD: usize = 16;

/// Where a path came from: an index of [`super::Rib`]'s peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PeerId(pub(crate) u16);

impl PeerId {
    /// Paths that we originate.
    pub(crate) const LOCAL: Self = Self(0);
}

pub(crate) use wire::PathId;

/// Why import policy refused a path. Refused paths stay in RIB-In, so that views can say why and a change of
/// policy needs no refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    OwnAs,
    FirstAs,
    OwnOriginator,
    OwnCluster,
    OwnNextHop,
    NotAllowed,
    Leak,
    AsSet,
}

/// One path: eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) attr: AttrId,
    pub(crate) peer: PeerId,
    pub(crate) refusal: Option<Refusal>,
    /// Of the peer's generation when it said so: what is of an older one has not been said again since a restart
    /// (RFC 4724) or the beginning of a refresh (RFC 7313).
    pub(crate) generation: u8,
}

/// A destination.
#[derive(Debug)]
pub(crate) struct Dest {
    pub(crate) key: Key,
    /// How many of the first paths are used for forwarding; zero when none is usable. `paths[0]` is the best
    /// when this is not zero.
    pub(crate) ways: u8,
    /// How many pending sets hold this slot.
    pub(crate) pending: u16,
    /// The group that the kernel was last told, plus one; zero for none.
    pub(crate) fib: u32,
    pub(crate) paths: SmallVec<[Path; 2]>,
}

impl Dest {
    /// Whether anybody refers to it: else its slot is free, or about to be.
    pub(crate) fn is_used(&self) -> bool {
        !self.paths.is_empty() || self.pending > 0 || self.fib != 0
    }

    pub(crate) fn best(&self) -> Option<Path> {
        (self.ways > 0).then(|| self.paths[0])
    }
}

/// A destination that was looked for. Places in a large table are far apart in memory: who looks for several before doing
/// something about the first waits for all of them once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sought {
    key: Key,
    hash: u64,
    slot: Option<u32>,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    index: Index,
    hasher: DefaultHashBuilder,
    pub(crate) dests: Slab<Dest>,
}

impl Table {
    pub(crate) fn find(&self, key: &Key) -> Option<u32> {
        self.look(self.hasher.hash_one(key), key)
    }

    pub(crate) fn find_or_insert(&mut self, key: Key) -> u32 {
        self.found_or_insert(&self.seek(key))
    }

    fn look(&self, hash: u64, key: &Key) -> Option<u32> {
        self.index.find(hash, |slot| self.dests[slot].key == *key)
    }

    /// Looks for a destination, for [`Self::found`] and [`Self::found_or_insert`] later.
    pub(crate) fn seek(&self, key: Key) -> Sought {
        let hash = self.hasher.hash_one(key);
        Sought { key, hash, slot: self.look(hash, &key) }
    }

    /// Where it is now: it may have come or gone since it was looked for.
    pub(crate) fn found(&self, sought: &Sought) -> Option<u32> {
        let is_it = |slot: &u32| {
            // A table that was empty meanwhile has begun anew, with fewer slots.
            *slot < self.dests.slots() && self.dests[*slot].key == sought.key && self.dests[*slot].is_used()
        };
        sought.slot.filter(is_it).or_else(|| self.look(sought.hash, &sought.key))
    }

    pub(crate) fn found_or_insert(&mut self, sought: &Sought) -> u32 {
        if let Some(slot) = self.found(sought) {
            return slot;
        }
        let (key, hash) = (sought.key, sought.hash);
        let dest = Dest { key, ways: 0, pending: 0, fib: 0, paths: SmallVec::new() };
        let slot = self.dests.insert(dest);
        let (dests, hasher) = (&self.dests, &self.hasher);
        self.index.insert(hash, slot, |slot| hasher.hash_one(dests[slot].key));
        slot
    }

    /// Frees the slot when nothing refers to it any more.
    pub(crate) fn release_if_unused(&mut self, slot: u32) {
        if slot < self.dests.slots() && !self.dests[slot].is_used() {
            self.release_unused(&[slot]);
        }
    }

    /// Frees those of these slots that nothing refers to any more. Each is named once.
    pub(crate) fn release_unused(&mut self, slots: &[u32]) {
        for some in slots.chunks(AHEAD) {
            let unused = some.iter().filter(|slot| **slot < self.dests.slots() && !self.dests[**slot].is_used());
            let place = |slot: &u32| {
                let hash = self.hasher.hash_one(self.dests[*slot].key);
                Some((*slot, hash, self.index.place(hash, |other| other == *slot)?))
            };
            let placed: SmallVec<[(u32, u64, Place); AHEAD]> = unused.filter_map(place).collect();
            for (slot, hash, place) in placed {
                self.dests[slot].paths = SmallVec::new();
                self.index.remove(hash, place);
                self.dests.release(slot);
            }
        }
        if self.index.is_empty() {
            // A withdrawn full table gives its memory back.
            self.index = Index::default();
            self.dests = Slab::default();
        }
    }

    /// Destinations in the table.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Slots in use, in no particular order of prefixes.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.dests.slots()).filter(|&slot| self.dests[slot].is_used())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(prefix: &str) -> Key {
        Key::new(&prefix.parse().expect("a prefix"))
    }

    /// Puts a destination in as one that is used.
    fn put(table: &mut Table, sought: &Sought) -> u32 {
        let slot = table.found_or_insert(sought);
        table.dests[slot].pending = 1;
        slot
    }

    fn take(table: &mut Table, slot: u32) {
        table.dests[slot].pending = 0;
        table.release_if_unused(slot);
    }

    #[test]
    fn a_table_that_grows_keeps_what_it_has_and_nothing_else() {
        let mut table = Table::default();
        let key = |n: u32| key(&format!("10.{}.{}.0/24", n >> 8, n & 255));
        let add = |table: &mut Table, n| {
            let sought = table.seek(key(n));
            put(table, &sought)
        };
        let slots: Vec<u32> = (0..100).map(|n| add(&mut table, n)).collect();
        slots[..60].iter().for_each(|slot| take(&mut table, *slot));
        for n in 100..5000 {
            add(&mut table, n);
        }
        assert_eq!(table.len(), 4940);
        assert!((0..60).all(|n| table.find(&key(n)).is_none()));
        let is_there = |n: u32| table.find(&key(n)).is_some_and(|slot| table.dests[slot].key == key(n));
        assert!((60..5000).all(is_there));
        assert!((60..100).all(|n| table.find(&key(n)) == Some(slots[n as usize])), "nobody has moved");
    }

    #[test]
    fn what_was_looked_for_is_where_it_is_now() {
        let mut table = Table::default();
        let (one, two) = (key("10.1.0.0/16"), key("10.2.0.0/16"));
        // Not there, and then it is: looked for twice, as a message may name it twice.
        let [absent, again] = [table.seek(one); 2];
        let slot = put(&mut table, &absent);
        assert_eq!((table.found(&again), table.found_or_insert(&again), table.len()), (Some(slot), slot, 1));
        let other = table.find_or_insert(two);
        table.dests[other].pending = 1;
        // There, and then it is gone; its slot keeps the key until somebody else has it.
        let sought = table.seek(one);
        take(&mut table, slot);
        assert_eq!((table.found(&sought), table.found(&absent)), (None, None));
        // Somebody else has it, and it is elsewhere.
        let three = table.seek(key("10.3.0.0/16"));
        assert_eq!(put(&mut table, &three), slot, "the free slot is used again");
        assert_eq!(table.found(&sought), None);
        let moved = put(&mut table, &sought);
        assert_eq!((table.found(&sought), table.find(&one)), (Some(moved), Some(moved)));
        // Everything went, and the memory with it.
        [slot, other, moved].into_iter().for_each(|slot| take(&mut table, slot));
        assert_eq!((table.len(), table.found(&sought), table.found(&three)), (0, None, None));
    }
}

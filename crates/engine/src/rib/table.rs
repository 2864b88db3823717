//! All destinations of one family, each with all its paths.
//!
//! A destination lives in a slab slot as long as it has a path or somebody still has to be told that it has
//! none; the slot number is what RIB-In, RIB-Out and FIB bit sets are indexed by.

use hashbrown::{DefaultHashBuilder, HashTable};
use smallvec::SmallVec;
use std::hash::BuildHasher;

use super::attrs::AttrId;
use super::key::Key;
use super::slab::Slab;

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
    pub(crate) fn best(&self) -> Option<Path> {
        (self.ways > 0).then(|| self.paths[0])
    }
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    pub(crate) dests: Slab<Dest>,
}

impl Table {
    pub(crate) fn find(&self, key: &Key) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |&slot| self.dests[slot].key == *key).copied()
    }

    pub(crate) fn find_or_insert(&mut self, key: Key) -> u32 {
        let hash = self.hasher.hash_one(key);
        let dests = &self.dests;
        if let Some(&slot) = self.index.find(hash, |&slot| dests[slot].key == key) {
            return slot;
        }
        let dest = Dest { key, ways: 0, pending: 0, fib: 0, paths: SmallVec::new() };
        let slot = self.dests.insert(dest);
        let (dests, hasher) = (&self.dests, &self.hasher);
        self.index.insert_unique(hash, slot, |&slot| hasher.hash_one(dests[slot].key));
        slot
    }

    /// Frees the slot when nothing refers to it any more.
    pub(crate) fn release_if_unused(&mut self, slot: u32) {
        if slot >= self.dests.slots() {
            return;
        }
        let dest = &mut self.dests[slot];
        if !dest.paths.is_empty() || dest.pending > 0 || dest.fib != 0 {
            return;
        }
        dest.paths = SmallVec::new();
        let hash = self.hasher.hash_one(dest.key);
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == slot) {
            entry.remove();
            self.dests.release(slot);
        }
        if self.index.is_empty() {
            // A withdrawn full table gives its memory back.
            self.index = HashTable::new();
            self.dests = Slab::default();
        }
    }

    /// Destinations in the table.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Slots in use, in no particular order of prefixes.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.dests.slots()).filter(|&slot| {
            let dest = &self.dests[slot];
            !dest.paths.is_empty() || dest.pending > 0 || dest.fib != 0
        })
    }
}

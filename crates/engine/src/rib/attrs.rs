//! Interned attribute sets.
//!
//! A set is the canonical bytes of its attributes (`wire::Update::write_canonical`), its next hop and path identifier. Equal
//! sets are stored once and counted; a path holds a four-byte handle. What several peers say of the same routes differs in
//! the next hop alone, so the other attributes are stored once for all such sets. What decision and policy need is
//! read from the bytes once, when they are first seen.

use std::hash::BuildHasher;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use wire::{AsPath, Community, Origin, attr_code, attributes, communities};

use super::index::Index;
use super::nexthop::NextHopId;
use super::slab::Slab;
use super::table::PathId;

/// A handle of an attribute set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AttrId(pub(crate) u32);

/// Well-known communities that decide whether a route may leave (RFC 1997, 8326, 9494).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) no_export: bool,
    pub(crate) no_advertise: bool,
    /// LLGR_STALE is there: the last choice, and only for peers that know so (RFC 9494 section 4.3).
    pub(crate) last_choice: bool,
    /// NO_LLGR is there: not to be kept for long (RFC 9494 section 3.3).
    pub(crate) not_for_long: bool,
    /// ONLY_TO_CUSTOMER is there (RFC 9234 section 5): not to providers, peers and route servers.
    pub(crate) only_to_customer: bool,
}

/// An interned set.
#[derive(Debug)]
pub(crate) struct AttrSet {
    attributes: Arc<Attributes>,
    pub(crate) next_hop: NextHopId,
    /// As received (RFC 7911); zero where there is none. With it a path needs no room for one of its own.
    pub(crate) path_id: PathId,
    /// Never zero. Changes whenever the slot is given to another set, so that caches keyed by handle can tell.
    pub(crate) stamp: u32,
    refs: u32,
}

impl Deref for AttrSet {
    type Target = Attributes;
    fn deref(&self) -> &Attributes {
        &self.attributes
    }
}

/// What a set has besides its next hop.
#[derive(Debug)]
pub(crate) struct Attributes {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) origin: Origin,
    pub(crate) as_path_length: u32,
    /// Leftmost AS, zero for an empty path or one that starts with a set.
    pub(crate) neighbor_as: u32,
    pub(crate) med: u32,
    pub(crate) local_pref: u32,
    pub(crate) originator: Option<Ipv4Addr>,
    pub(crate) cluster_list_length: u16,
    pub(crate) scope: Scope,
}

/// LOCAL_PREF of a path that has none.
const DEFAULT_LOCAL_PREF: u32 = 100;

impl AttrSet {
    /// A set that is not in the store: for views of what is sent.
    pub(crate) fn detached(bytes: &[u8], next_hop: NextHopId) -> Self {
        Self { attributes: Arc::new(Attributes::read(bytes)), next_hop, path_id: 0, stamp: 0, refs: 0 }
    }
}

impl Attributes {
    fn read(bytes: &[u8]) -> Self {
        let mut set = Self {
            bytes: bytes.into(),
            origin: Origin::Incomplete,
            as_path_length: 0,
            neighbor_as: 0,
            med: 0,
            local_pref: DEFAULT_LOCAL_PREF,
            originator: None,
            cluster_list_length: 0,
            scope: Scope::default(),
        };
        let mut shutting_down = false;
        let mut preferred = false;
        for attribute in attributes(bytes) {
            let value = attribute.value;
            match attribute.code {
                attr_code::ORIGIN => {
                    set.origin =
                        value.first().and_then(|&byte| Origin::try_from(byte).ok()).unwrap_or(Origin::Incomplete);
                }
                attr_code::AS_PATH => {
                    let path = AsPath::new(value);
                    set.as_path_length = path.length();
                    set.neighbor_as = path.first().unwrap_or(0);
                }
                attr_code::MED => set.med = word(value).unwrap_or(0),
                attr_code::LOCAL_PREF => {
                    preferred = true;
                    set.local_pref = word(value).unwrap_or(DEFAULT_LOCAL_PREF);
                }
                attr_code::ORIGINATOR_ID => set.originator = word(value).map(Ipv4Addr::from),
                attr_code::CLUSTER_LIST => set.cluster_list_length = (value.len() / 4) as u16,
                attr_code::COMMUNITIES => {
                    set.scope = Scope { only_to_customer: set.scope.only_to_customer, ..scope(value) };
                    shutting_down = communities(value).any(|value| Community(value) == Community::GRACEFUL_SHUTDOWN);
                }
                attr_code::OTC => set.scope.only_to_customer = true,
                _ => {}
            }
        }
        // RFC 8326 section 4: a route that is about to go loses to every other. Inside the AS the preference is explicit.
        if shutting_down && !preferred {
            set.local_pref = 0;
        }
        set
    }

    /// The value of one attribute.
    pub(crate) fn value(&self, code: u8) -> Option<&[u8]> {
        attributes(&self.bytes).find(|attribute| attribute.code == code).map(|attribute| attribute.value)
    }

    pub(crate) fn as_path(&self) -> AsPath<'_> {
        AsPath::new(self.value(attr_code::AS_PATH).unwrap_or_default())
    }
}

fn word(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

fn scope(value: &[u8]) -> Scope {
    let mut scope = Scope::default();
    for community in communities(value) {
        match Community(community) {
            // Without confederations the sub-confederation is the AS.
            Community::NO_EXPORT | Community::NO_EXPORT_SUBCONFED => scope.no_export = true,
            Community::NO_ADVERTISE => scope.no_advertise = true,
            Community::LLGR_STALE => scope.last_choice = true,
            Community::NO_LLGR => scope.not_for_long = true,
            _ => {}
        }
    }
    scope
}

/// The store.
#[derive(Debug)]
pub(crate) struct AttrStore {
    sets: Slab<AttrSet>,
    index: Index,
    /// Those of all sets, each once.
    attributes: HashTable<Arc<Attributes>>,
    /// Those of a free slot.
    none: Arc<Attributes>,
    hasher: DefaultHashBuilder,
    stamps: u32,
}

impl Default for AttrStore {
    fn default() -> Self {
        Self {
            sets: Slab::default(),
            index: Index::default(),
            attributes: HashTable::new(),
            none: Arc::new(Attributes::read(&[])),
            hasher: DefaultHashBuilder::default(),
            stamps: 0,
        }
    }
}

impl AttrStore {
    /// The handle of a set, which is stored if it is new. A reference is taken; `fresh` tells whether it is new,
    /// so that the caller takes a reference on its next hop.
    pub(crate) fn intern(&mut self, bytes: &[u8], next_hop: NextHopId, path_id: PathId) -> (AttrId, bool) {
        let hash = self.hasher.hash_one(bytes);
        let of_set = hash_of_set(&self.hasher, hash, next_hop, path_id);
        let sets = &self.sets;
        let same = |set: &AttrSet| set.next_hop == next_hop && set.path_id == path_id && *set.bytes == *bytes;
        if let Some(slot) = self.index.find(of_set, |slot| same(&sets[slot])) {
            self.sets[slot].refs += 1;
            return (AttrId(slot), false);
        }
        self.stamps = self.stamps.checked_add(1).unwrap_or(1);
        let attributes = self.share(hash, bytes);
        let slot = self.sets.insert(AttrSet { attributes, next_hop, path_id, stamp: self.stamps, refs: 1 });
        let (sets, hasher) = (&self.sets, &self.hasher);
        self.index.insert(of_set, slot, |slot| {
            let set = &sets[slot];
            hash_of_set(hasher, hasher.hash_one(&*set.bytes), set.next_hop, set.path_id)
        });
        (AttrId(slot), true)
    }

    /// The attributes that these bytes are.
    fn share(&mut self, hash: u64, bytes: &[u8]) -> Arc<Attributes> {
        if let Some(known) = self.attributes.find(hash, |known| *known.bytes == *bytes) {
            return Arc::clone(known);
        }
        let new = Arc::new(Attributes::read(bytes));
        let hasher = &self.hasher;
        self.attributes.insert_unique(hash, Arc::clone(&new), |known| hasher.hash_one(&*known.bytes));
        new
    }

    /// Takes one more reference.
    pub(crate) fn retain(&mut self, id: AttrId) {
        self.sets[id.0].refs += 1;
    }

    /// Gives a reference back. Returns the next hop of a set that went with its last one.
    pub(crate) fn release(&mut self, id: AttrId) -> Option<NextHopId> {
        let set = &mut self.sets[id.0];
        set.refs -= 1;
        if set.refs > 0 {
            return None;
        }
        let hash = self.hasher.hash_one(&*set.bytes);
        let of_set = hash_of_set(&self.hasher, hash, set.next_hop, set.path_id);
        let next_hop = set.next_hop;
        let attributes = std::mem::replace(&mut set.attributes, Arc::clone(&self.none));
        // The table's own and this one.
        if Arc::strong_count(&attributes) == 2
            && let Ok(entry) = self.attributes.find_entry(hash, |known| Arc::ptr_eq(known, &attributes))
        {
            entry.remove();
        }
        if let Some(place) = self.index.place(of_set, |slot| slot == id.0) {
            self.index.remove(of_set, place);
        }
        self.sets.release(id.0);
        if self.index.is_empty() {
            self.index = Index::default();
            self.attributes = HashTable::new();
            self.sets = Slab::default();
        }
        Some(next_hop)
    }

    pub(crate) fn get(&self, id: AttrId) -> &AttrSet {
        &self.sets[id.0]
    }

    pub(crate) fn len(&self) -> usize {
        self.sets.live()
    }
}

/// The hash of a set whose attributes have that one.
fn hash_of_set(hasher: &DefaultHashBuilder, attributes: u64, next_hop: NextHopId, path_id: PathId) -> u64 {
    hasher.hash_one((attributes, next_hop, path_id))
}

#[cfg(test)]
#[path = "attrs_tests.rs"]
mod tests;

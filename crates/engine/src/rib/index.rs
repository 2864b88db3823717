//! Slots by the hash of what they hold.
//!
//! The index of a full table fits no cache of a processor: what counts is how often memory is waited for, and here that is once,
//! whether somebody looks, adds or removes. A bucket is one line of the cache with room for twelve slots, and an octet of each
//! one's hash beside them. Who finds a bucket full goes into the next one, and is counted where it went by: whoever looks
//! knows by that whether to go on. Nothing moves when something is removed.

use super::bits::BitSet;

/// Slots in a bucket.
const ROOM: usize = 12;
/// In the average bucket when there are to be twice as many: more would be in a bucket that is not theirs.
const FULL: usize = 10;
/// In every octet the lowest bit, and all but the highest.
const LOWEST: u128 = u128::MAX / 0xFF;
const ALL_BUT_HIGHEST: u128 = LOWEST * 0x7F;

/// 64 octets.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Bucket {
    /// Of each slot an octet of its hash; zero where there is none.
    tags: [u8; ROOM],
    /// How many are further on because this one was full.
    passed: u32,
    slots: [u32; ROOM],
}

impl Bucket {
    /// The places with a tag.
    fn tagged(&self, tag: u8) -> impl Iterator<Item = usize> + use<> {
        let mut tags = [0; 16];
        tags[..ROOM].copy_from_slice(&self.tags);
        // Zero where it is the one that is looked for.
        let differences = u128::from_le_bytes(tags) ^ (LOWEST * u128::from(tag));
        let differ = ((differences & ALL_BUT_HIGHEST) + ALL_BUT_HIGHEST) | differences | ALL_BUT_HIGHEST;
        let mut left = !differ & u128::MAX >> (8 * (16 - ROOM));
        std::iter::from_fn(move || {
            let place = (left != 0).then(|| left.trailing_zeros() as usize / 8);
            left &= left.wrapping_sub(1);
            place
        })
    }
}

/// Where a slot is, until it is removed or the index grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    bucket: usize,
    place: usize,
}

/// See the module page.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// A power of two, or none.
    buckets: Vec<Bucket>,
    len: usize,
}

fn tag(hash: u64) -> u8 {
    (hash as u8).max(1)
}

impl Index {
    /// Where the slot with this hash is that `is_it` says yes to.
    pub(super) fn place(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<Place> {
        for at in self.way(hash) {
            let bucket = &self.buckets[at];
            if let Some(place) = bucket.tagged(tag(hash)).find(|place| is_it(bucket.slots[*place])) {
                return Some(Place { bucket: at, place });
            }
            if bucket.passed == 0 {
                break;
            }
        }
        None
    }

    /// The slot with this hash that `is_it` says yes to.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.place(hash, is_it).map(|Place { bucket, place }| self.buckets[bucket].slots[place])
    }

    /// Adds a slot that is not there. `hash_of` says the hashes of those that are.
    pub(super) fn insert(&mut self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64) {
        if self.len >= self.buckets.len() * FULL {
            self.grow(hash_of);
        }
        self.put(hash, slot);
    }

    fn put(&mut self, hash: u64, slot: u32) {
        for at in self.way(hash) {
            let bucket = &mut self.buckets[at];
            if let Some(place) = bucket.tagged(0).next() {
                bucket.tags[place] = tag(hash);
                bucket.slots[place] = slot;
                self.len += 1;
                return;
            }
            bucket.passed += 1;
        }
        unreachable!("an index is never full");
    }

    /// Removes the slot at a place, which was found with this hash.
    pub(super) fn remove(&mut self, hash: u64, Place { bucket, place }: Place) {
        for at in self.way(hash).take_while(|at| *at != bucket) {
            self.buckets[at].passed -= 1;
        }
        self.buckets[bucket].tags[place] = 0;
        self.len -= 1;
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All buckets, from the one where a slot with this hash belongs.
    fn way(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let (first, buckets) = ((hash >> 8) as usize, self.buckets.len());
        (0..buckets).map(move |step| first.wrapping_add(step) & (buckets - 1))
    }

    /// Makes the index anew with twice as many buckets. In the order of the slots, so that what they hold is read from one end to the
    /// other; the old buckets are in the order of hashes, and gone before the new ones are made.
    fn grow(&mut self, hash_of: impl Fn(u32) -> u64) {
        let mut held = BitSet::default();
        for bucket in &self.buckets {
            for (slot, _) in bucket.slots.iter().zip(bucket.tags).filter(|(_, tag)| *tag != 0) {
                held.insert(*slot);
            }
        }
        let buckets = (self.buckets.len() * 2).max(1);
        *self = Self::default();
        self.buckets = vec![Bucket::default(); buckets];
        for slot in held.iter() {
            self.put(hash_of(slot), slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What an index should be, with few different hashes: buckets overflow and tags collide.
    fn hash_of(slot: u32) -> u64 {
        u64::from(slot % 7) << 8 | u64::from(slot % 3)
    }

    #[test]
    fn a_bucket_is_a_line_of_the_cache() {
        assert_eq!((size_of::<Bucket>(), align_of::<Bucket>()), (64, 64));
    }

    #[test]
    fn an_empty_one_has_nothing() {
        assert_eq!(Index::default().find(0, |_| true), None);
    }

    #[test]
    fn tags_are_found_wherever_they_are() {
        let bucket = Bucket { tags: [1, 0, 255, 1, 0x80, 0x7F, 0x81, 0, 2, 3, 254, 1], ..Bucket::default() };
        for tag in 0..=255 {
            let places: Vec<usize> = (0..ROOM).filter(|place| bucket.tags[*place] == tag).collect();
            assert_eq!(bucket.tagged(tag).collect::<Vec<_>>(), places, "{tag}");
        }
    }

    proptest! {
        #[test]
        fn it_has_what_was_put_there_and_not_removed(steps in proptest::collection::vec((any::<bool>(), 0u32..200), 0..600)) {
            let (mut index, mut model) = (Index::default(), BTreeSet::new());
            for (add, slot) in steps {
                let hash = hash_of(slot);
                let place = index.place(hash, |other| other == slot);
                prop_assert_eq!(place.is_some(), model.contains(&slot));
                match (place, add) {
                    (None, true) => {
                        index.insert(hash, slot, hash_of);
                        model.insert(slot);
                    }
                    (Some(place), false) => {
                        index.remove(hash, place);
                        model.remove(&slot);
                    }
                    (None, false) | (Some(_), true) => {}
                }
                prop_assert_eq!(index.len(), model.len());
            }
            for slot in 0..200 {
                let found = index.find(hash_of(slot), |other| other == slot);
                prop_assert_eq!(found, model.contains(&slot).then_some(slot));
            }
            for slot in model {
                let place = index.place(hash_of(slot), |other| other == slot).unwrap();
                index.remove(hash_of(slot), place);
            }
            // Whoever went by is counted no more.
            prop_assert!(index.is_empty() && index.buckets.iter().all(|bucket| bucket.passed == 0));
        }
    }
}

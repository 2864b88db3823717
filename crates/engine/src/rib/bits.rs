//! Sets of destination slots: one bit per destination, and a queue of those that changed.

use std::collections::VecDeque;

/// Room for so many slots is kept by a queue that is empty.
const KEPT: usize = 64;

/// A set of slots.
#[derive(Debug, Default)]
pub(crate) struct BitSet {
    words: Vec<u64>,
    len: usize,
}

impl BitSet {
    /// Adds a slot; whether it was new.
    pub(crate) fn insert(&mut self, slot: u32) -> bool {
        let word = slot as usize / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let bit = 1 << (slot % 64);
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += usize::from(new);
        new
    }

    /// Removes a slot; whether it was there.
    pub(crate) fn remove(&mut self, slot: u32) -> bool {
        let Some(word) = self.words.get_mut(slot as usize / 64) else {
            return false;
        };
        let bit = 1 << (slot % 64);
        let was = *word & bit != 0;
        *word &= !bit;
        self.len -= usize::from(was);
        was
    }

    pub(crate) fn contains(&self, slot: u32) -> bool {
        self.words.get(slot as usize / 64).is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All slots in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                if left == 0 {
                    return None;
                }
                let bit = left.trailing_zeros();
                left &= left - 1;
                Some(index as u32 * 64 + bit)
            })
        })
    }
}

/// Slots that changed, each at most once, in the order of their first change. What the change is, is read
/// when the slot is taken: the latest wins.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    members: BitSet,
    order: VecDeque<u32>,
}

impl Pending {
    /// Adds a slot; whether it was new.
    pub(crate) fn push(&mut self, slot: u32) -> bool {
        let new = self.members.insert(slot);
        if new {
            self.order.push_back(slot);
        }
        new
    }

    pub(crate) fn pop(&mut self) -> Option<u32> {
        let slot = self.order.pop_front()?;
        self.members.remove(slot);
        if self.order.is_empty() && self.order.capacity() > KEPT {
            // A full table's queue is megabytes; an idle session should not keep them.
            self.order = VecDeque::new();
        }
        Some(slot)
    }

    pub(crate) fn contains(&self, slot: u32) -> bool {
        self.members.contains(slot)
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

//! A slab in chunks: handles are `u32`, growth never moves what is there and never doubles memory.

use std::ops::{Index, IndexMut};

const CHUNK_BITS: u32 = 12;
const CHUNK: usize = 1 << CHUNK_BITS;

#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
    len: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    /// Stores a value in a free slot or a new one.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            self[slot] = value;
            return slot;
        }
        if self.len as usize == self.chunks.len() * CHUNK {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let slot = self.len;
        self.chunks[(slot >> CHUNK_BITS) as usize].push(value);
        self.len += 1;
        slot
    }

    /// Marks a slot as free. The value stays until the slot is used again: the caller empties it.
    pub(crate) fn release(&mut self, slot: u32) {
        self.free.push(slot);
    }

    /// Slots ever used, free ones included.
    pub(crate) fn slots(&self) -> u32 {
        self.len
    }

    /// Slots in use.
    pub(crate) fn live(&self) -> usize {
        self.len as usize - self.free.len()
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;
    fn index(&self, slot: u32) -> &T {
        &self.chunks[(slot >> CHUNK_BITS) as usize][slot as usize & (CHUNK - 1)]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, slot: u32) -> &mut T {
        &mut self.chunks[(slot >> CHUNK_BITS) as usize][slot as usize & (CHUNK - 1)]
    }
}

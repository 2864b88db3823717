//! What one pull of a RIB-Out collects, and how that becomes messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::{Family, NextHop, NlriItem};

use super::attrs::AttrId;
use super::out::Source;
use super::table::PeerId;
use super::{PeerRib, Rib};

/// Room in bytes for a message with one prefix: mostly about 100 are needed.
const MESSAGE: usize = 256;

/// What goes out with the same attributes and next hop.
pub(super) struct Batch {
    pub(super) attributes: Arc<[u8]>,
    pub(super) next_hop: NextHop,
    /// The peer may take it for a loop. Of several paths that is asked for a destination (`compare`).
    pub(super) looping: bool,
}

/// What is announced of a destination.
struct Entry<T> {
    /// Number of the batch that it goes out with.
    batch: usize,
    slot: u32,
    item: T,
}

/// A set and whom it is from: one batch for each.
type Key = (AttrId, Source);

/// Prefixes, or paths of prefixes, of one family for one peer.
#[derive(Default)]
pub(super) struct Collected<T> {
    batches: Vec<Batch>,
    /// What arrived together is told together: mostly it is the batch of the one before.
    latest: Option<(Key, usize)>,
    /// Where the others are: a single change needs none of this.
    index: BTreeMap<Key, usize>,
    entries: Vec<Entry<T>>,
    withdrawn: Vec<T>,
}

impl<T> Collected<T> {
    /// The number of a set's batch, which `make` makes where there is none yet; `None` when it makes none.
    pub(super) fn batch_of(&mut self, key: Key, make: impl FnOnce() -> Option<Batch>) -> Option<usize> {
        if let Some((latest, number)) = self.latest {
            if latest == key {
                return Some(number);
            }
            self.index.insert(latest, number);
        }
        let number = match self.index.get(&key) {
            Some(number) => *number,
            None => {
                self.batches.push(make()?);
                self.batches.len() - 1
            }
        };
        self.latest = Some((key, number));
        Some(number)
    }

    pub(super) fn is_looping(&self, batch: usize) -> bool {
        self.batches[batch].looping
    }

    pub(super) fn announce(&mut self, batch: usize, slot: u32, item: T) {
        self.entries.push(Entry { batch, slot, item });
    }

    pub(super) fn withdraw(&mut self, item: T) {
        self.withdrawn.push(item);
    }
}

impl Rib {
    /// Appends the messages to `out`, and returns how many they are. What cannot be told, because the attributes do not fit
    /// into a message, is withdrawn, so that the peer does not keep an older version; `untell` notes that it has none.
    pub(super) fn write<T: NlriItem + Copy>(
        &mut self,
        id: PeerId,
        family: Family,
        collected: Collected<T>,
        untell: impl Fn(&mut PeerRib, u32, T),
        out: &mut Vec<u8>,
    ) -> usize {
        let Collected { batches, mut entries, mut withdrawn, .. } = collected;
        let Some(peer) = self.peer_mut(id).filter(|_| !entries.is_empty() || !withdrawn.is_empty()) else {
            return 0;
        };
        let max = peer.facts.max_message;
        entries.sort_by_key(|entry| entry.batch);
        let mut reach = Vec::with_capacity(if entries.is_empty() { 0 } else { MESSAGE });
        let mut messages = 0;
        for entries in entries.chunk_by(|one, next| one.batch == next.batch) {
            let Batch { attributes, next_hop, looping: _ } = &batches[entries[0].batch];
            let items = entries.iter().map(|entry| entry.item);
            let written = wire::encode_reach(&mut reach, max, attributes, next_hop, family, items);
            if written == 0 {
                let rib = &mut peer.ribs[family.index()];
                for entry in entries {
                    untell(rib, entry.slot, entry.item);
                    withdrawn.push(entry.item);
                }
                rib.oversized += entries.len();
            }
            messages += written;
        }
        if !withdrawn.is_empty() {
            messages += wire::encode_unreach(out, max, family, withdrawn.into_iter());
        }
        if out.is_empty() {
            std::mem::swap(out, &mut reach);
        } else {
            out.append(&mut reach);
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_has_one_batch_whatever_comes_in_between() {
        let mut collected = Collected::<ipnet::IpNet>::default();
        let mut made = 0;
        let mut batch_of = |set, fits: bool| {
            let batch = || {
                made += 1;
                fits.then(|| Batch {
                    attributes: [].into(),
                    next_hop: NextHop::V4([192, 0, 2, 1].into()),
                    looping: false,
                })
            };
            collected.batch_of((AttrId(set), Source::External), batch)
        };
        let numbers = [1, 1, 2, 1, 3, 2, 1].map(|set| batch_of(set, true));
        assert_eq!(numbers, [0, 0, 1, 0, 2, 1, 0].map(Some));
        assert_eq!(batch_of(4, false), None);
        assert_eq!([3, 4, 4].map(|set| batch_of(set, true)), [2, 3, 3].map(Some));
        assert_eq!(made, 5);
    }
}

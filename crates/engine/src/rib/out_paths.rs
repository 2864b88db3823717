//! RIB-Out of peers that take several paths per prefix (RFC 7911): every usable path that may pass, each with an
//! identifier of ours.
//!
//! An identifier belongs to a prefix and a source (a peer, and its own identifier if it sends several), as long as the
//! path is told: the lowest that is free. A path that is replaced by its source keeps it.

use smallvec::SmallVec;
use wire::Family;

use super::attrs::AttrId;
use super::collected::Collected;
use super::held::Hearing;
use super::out::{MESSAGE_BYTES, PREFIX_BYTES, PULL_BYTES, Source, loops, passing};
use super::table::{PathId, PeerId};
use super::{PeerRib, Rib};
use crate::policy::export::{self, Origination};

/// A path that a peer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Our identifier.
    pub(super) id: PathId,
    pub(super) peer: PeerId,
    /// Its source's identifier.
    pub(super) received: PathId,
    /// Of the set that was told; [`Told::AGAIN`]: to be told again whatever it is.
    pub(super) stamp: u32,
}

impl Told {
    /// No set has this stamp.
    pub(super) const AGAIN: u32 = 0;
}

/// What a peer was told of one destination.
pub(super) type ToldPaths = SmallVec<[Told; 2]>;

/// What is to be said about one destination.
#[derive(Default)]
struct Saying {
    announced: SmallVec<[(PathId, AttrId, Origination); 2]>,
    withdrawn: SmallVec<[PathId; 2]>,
}

impl Rib {
    /// The paths of a destination that a peer is to have, with their sources.
    pub(super) fn exported_paths(
        &self,
        family: Family,
        slot: u32,
        id: PeerId,
    ) -> SmallVec<[(AttrId, Origination, PeerId); 4]> {
        let Some(to) = self.peer(id) else { return SmallVec::new() };
        let dest = &self.tables[family.index()].dests[slot];
        let paths =
            dest.paths.iter().filter(|path| super::decide::usable(&self.attrs, &self.next_hops, &self.peers, path));
        let wanted = paths.filter_map(|path| {
            let (attr, from) = passing(&self.own, &self.peers, &self.attrs, path, family, id)?;
            let received = self.next_hops.next_hop(self.attrs.get(attr).next_hop);
            export::next_hop(from, received, family, &to.facts)?;
            Some((attr, from, path.peer))
        });
        wanted.collect()
    }

    /// As `pull_family`, for a peer that takes several paths.
    pub(super) fn pull_paths(&mut self, id: PeerId, family: Family, out: &mut Vec<u8>) -> usize {
        let mut collected = Collected::default();
        let mut bytes = 0;
        while bytes < PULL_BYTES {
            let Some(slot) = self.pop(id, family) else { break };
            bytes += PREFIX_BYTES;
            let prefix = self.tables[family.index()].dests[slot].key.prefix(family);
            let mut wanted = self.exported_paths(family, slot, id);
            if !wanted.is_empty() {
                match self.hearing(id, family, slot) {
                    Hearing::Now => {}
                    Hearing::Later => continue,
                    Hearing::Not => wanted.clear(),
                }
            }
            let Saying { announced, withdrawn: gone } = self.compare(id, family, slot, &wanted);
            gone.into_iter().for_each(|path| collected.withdraw((path, prefix)));
            for (path, attr, from) in announced {
                bytes += PREFIX_BYTES;
                let batch = collected.batch_of((attr, Source::of(from)), || {
                    let batch = self.batch(id, family, attr, from)?;
                    bytes += MESSAGE_BYTES + batch.attributes.len();
                    Some(batch)
                });
                if let Some(batch) = batch {
                    collected.announce(batch, slot, (path, prefix));
                }
            }
            self.tables[family.index()].release_if_unused(slot);
        }
        self.write(id, family, collected, |rib, slot, (path, _)| rib.untell_path(slot, path), out)
    }

    /// Compares what a peer is to have of a destination with what it was told, and notes that it is told.
    fn compare(&mut self, id: PeerId, family: Family, slot: u32, wanted: &[(AttrId, Origination, PeerId)]) -> Saying {
        let (peers, attrs) = (&mut self.peers, &self.attrs);
        let Some(peer) = peers.get_mut(usize::from(id.0)).and_then(Option::as_mut) else { return Saying::default() };
        let rib = &mut peer.ribs[family.index()];
        let mut told = rib.told.remove(&slot).unwrap_or_default();
        let before = told.len();
        let mut saying = Saying::default();
        told.retain(|old| {
            let same =
                |(attr, _, from): &(AttrId, _, PeerId)| *from == old.peer && attrs.get(*attr).path_id == old.received;
            let stays = wanted.iter().any(same);
            if !stays {
                saying.withdrawn.push(old.id);
            }
            stays
        });
        for &(attr, from, source) in wanted {
            let set = attrs.get(attr);
            let known = told.iter_mut().find(|old| old.peer == source && old.received == set.path_id);
            let path = match known {
                Some(old) if old.stamp == set.stamp => continue,
                Some(old) => {
                    old.stamp = set.stamp;
                    old.id
                }
                None => {
                    let free = (1..).find(|id| told.iter().all(|old| old.id != *id)).unwrap_or(PathId::MAX);
                    told.push(Told { id: free, peer: source, received: set.path_id, stamp: set.stamp });
                    free
                }
            };
            saying.announced.push((path, attr, from));
        }
        rib.told_paths = rib.told_paths + told.len() - before;
        if wanted.iter().any(|(attr, ..)| loops(attrs.get(*attr), &peer.facts)) {
            rib.looping.insert(slot);
        } else {
            rib.looping.remove(slot);
        }
        if told.is_empty() {
            rib.advertised.remove(slot);
        } else {
            rib.advertised.insert(slot);
            rib.told.insert(slot, told);
        }
        saying
    }

    /// A path counts as not told, so that it is told again.
    pub(super) fn tell_path_again(&mut self, id: PeerId, family: Family, slot: u32, source: (PeerId, PathId)) {
        let Some(rib) = self.peer_mut(id).map(|peer| &mut peer.ribs[family.index()]) else { return };
        let told = rib.told.get_mut(&slot).into_iter().flatten();
        for told in told.filter(|told| (told.peer, told.received) == source) {
            told.stamp = Told::AGAIN;
        }
    }

    /// Everything told of a family counts as not told, so that it is told again.
    pub(super) fn tell_paths_again(&mut self, id: PeerId, family: Family) {
        let Some(rib) = self.peer_mut(id).map(|peer| &mut peer.ribs[family.index()]) else { return };
        for told in rib.told.values_mut().flatten() {
            told.stamp = Told::AGAIN;
        }
    }
}

impl PeerRib {
    /// The peer does not have one of a destination's paths.
    fn untell_path(&mut self, slot: u32, path: PathId) {
        let Some(told) = self.told.get_mut(&slot) else { return };
        let before = told.len();
        told.retain(|told| told.id != path);
        self.told_paths -= before - told.len();
        if told.is_empty() {
            self.told.remove(&slot);
            self.untell(slot);
        }
    }
}

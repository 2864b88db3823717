//! Graceful restart (RFC 4724): the paths of a peer that restarts are kept, and go when it does not repeat them.

use wire::{Family, FamilySet};

use super::Rib;
use super::table::{Path, PeerId};

impl Rib {
    /// A session ended and the peer may be restarting: in these families its paths are kept, those that it had not repeated
    /// since an earlier restart (`again`) excepted (RFC 4724 section 4.2). Returns the families in which something is kept.
    pub(crate) fn peer_restarts(&mut self, id: PeerId, keep: FamilySet, again: bool) -> FamilySet {
        self.silence(id);
        for family in Family::ALL {
            if keep.contains(family) {
                if again {
                    self.sweep_stale(id, family);
                }
                self.mark_stale(id, family);
            } else {
                self.drop_family(id, family);
            }
        }
        self.kept(id)
    }

    /// The families of a peer with paths.
    pub(crate) fn kept(&self, id: PeerId) -> FamilySet {
        let Some(peer) = self.peer(id) else { return FamilySet::NONE };
        Family::ALL.into_iter().filter(|family| peer.ribs[family.index()].paths > 0).collect()
    }

    /// A restarted peer is back: in the other families its forwarding state did not survive, and what it had goes.
    pub(crate) fn peer_returns(&mut self, id: PeerId, preserved: FamilySet) {
        for family in Family::ALL.into_iter().filter(|family| !preserved.contains(*family)) {
            self.drop_family(id, family);
        }
    }

    fn drop_family(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.peer(id) else { return };
        let slots: Vec<u32> = peer.ribs[family.index()].received.iter().collect();
        for slot in slots {
            self.remove_paths(family, slot, id, |_, _| true);
        }
    }

    /// What the peer has said of a family is in doubt until it says it again. As often as it likes: nothing is walked through,
    /// but once in 255 times.
    pub(super) fn mark_stale(&mut self, id: PeerId, family: Family) {
        let Some(rib) = self.peer_mut(id).map(|peer| &mut peer.ribs[family.index()]) else { return };
        let before = rib.generation;
        rib.generation = before.wrapping_add(1);
        if rib.raised < u8::MAX {
            rib.raised += 1;
            return;
        }
        // What is as old as that would look new.
        let slots: Vec<u32> = rib.received.iter().collect();
        let table = &mut self.tables[family.index()];
        for slot in slots {
            for path in table.dests[slot].paths.iter_mut().filter(|path| path.peer == id) {
                path.generation = before;
            }
        }
    }

    /// What it has not said again goes.
    pub(crate) fn sweep_stale(&mut self, id: PeerId, family: Family) {
        let Some(rib) = self.peer_mut(id).map(|peer| &mut peer.ribs[family.index()]) else { return };
        if std::mem::take(&mut rib.raised) == 0 {
            return;
        }
        let generation = rib.generation;
        let Some(peer) = self.peer(id) else { return };
        let table = &self.tables[family.index()];
        let old = |path: &Path| path.peer == id && path.generation != generation;
        let stale = |slot: &u32| table.dests[*slot].paths.iter().any(old);
        let slots: Vec<u32> = peer.ribs[family.index()].received.iter().filter(stale).collect();
        for slot in slots {
            self.remove_paths(family, slot, id, |_, path| path.generation != generation);
        }
    }

    /// Whether a path has not been said again.
    pub(super) fn is_stale(&self, family: Family, path: &Path) -> bool {
        self.peer(path.peer).is_some_and(|peer| peer.ribs[family.index()].generation != path.generation)
    }
}

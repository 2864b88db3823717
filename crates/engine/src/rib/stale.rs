//! Graceful restart (RFC 4724): the paths of a peer that restarts are kept, and go when it does not repeat them.

use wire::{Family, FamilySet};

use super::Rib;
use super::table::PeerId;

impl Rib {
    /// A session ended and the peer may be restarting: in these families its paths are kept, those that it had not repeated
    /// since an earlier restart excepted (RFC 4724 section 4.2). Returns the families in which something is kept.
    pub(crate) fn peer_restarts(&mut self, id: PeerId, keep: FamilySet) -> FamilySet {
        self.silence(id);
        for family in Family::ALL {
            if keep.contains(family) {
                self.sweep_stale(id, family);
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

    /// What the peer has said of a family is in doubt until it says it again.
    pub(super) fn mark_stale(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.peer(id) else { return };
        let slots: Vec<u32> = peer.ribs[family.index()].received.iter().collect();
        let table = &mut self.tables[family.index()];
        for slot in slots {
            for path in table.dests[slot].paths.iter_mut().filter(|path| path.peer == id) {
                path.stale = true;
            }
        }
    }

    /// What it has not said again goes.
    pub(crate) fn sweep_stale(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.peer(id) else { return };
        let table = &self.tables[family.index()];
        let stale = |slot: &u32| table.dests[*slot].paths.iter().any(|path| path.peer == id && path.stale);
        let slots: Vec<u32> = peer.ribs[family.index()].received.iter().filter(stale).collect();
        for slot in slots {
            self.remove_paths(family, slot, id, |_, path| path.stale);
        }
    }
}

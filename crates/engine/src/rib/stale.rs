//! Graceful restart (RFC 4724): the paths of a peer that restarts are kept, and go when it does not repeat them; with the
//! long-lived kind (RFC 9494) they first become the last choice.

use std::collections::BTreeMap;

use smallvec::SmallVec;
use wire::{Community, Family, FamilySet, attr_code, attributes, flag, write_attribute};

use super::Rib;
use super::attrs::AttrId;
use super::table::{Path, PeerId};

const COMMUNITY_FLAGS: u8 = flag::OPTIONAL | flag::TRANSITIVE;

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

    /// It did not come back in time. In these families what is kept of it is the last choice from here on, what must not be kept
    /// for long excepted (RFC 9494 section 4.2); in the others nothing is kept.
    pub(crate) fn last_choice(&mut self, id: PeerId, families: FamilySet) {
        for family in Family::ALL {
            if families.contains(family) {
                self.demote(id, family);
            } else {
                self.drop_family(id, family);
            }
        }
    }

    fn demote(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.peer(id) else { return };
        let slots: Vec<u32> = peer.ribs[family.index()].received.iter().collect();
        let mut demoted: BTreeMap<AttrId, AttrId> = BTreeMap::new();
        for slot in slots {
            self.remove_paths(family, slot, id, |attrs, path| attrs.get(path.attr).scope.not_for_long);
            if !self.peer(id).is_some_and(|peer| peer.ribs[family.index()].received.contains(slot)) {
                continue;
            }
            let paths = self.tables[family.index()].dests[slot].paths.iter().filter(|path| path.peer == id);
            for path in paths.copied().collect::<SmallVec<[Path; 2]>>() {
                let set = self.attrs.get(path.attr);
                // Its handle may be one that was another set's before.
                if set.scope.last_choice {
                    continue;
                }
                let attr = match demoted.get(&path.attr) {
                    Some(attr) => *attr,
                    None => {
                        let (bytes, next_hop, path_id) = (stale_for_long(&set.bytes), set.next_hop, set.path_id);
                        let attr = self.intern(&bytes, next_hop, path_id);
                        demoted.insert(path.attr, attr);
                        attr
                    }
                };
                self.set_path(family, slot, Path { attr, ..path });
            }
        }
        demoted.into_values().for_each(|attr| self.release(attr));
    }

    /// The paths of a family go.
    pub(crate) fn drop_family(&mut self, id: PeerId, family: Family) {
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

/// Canonical attributes with LLGR_STALE among the communities (RFC 9494 section 3.2).
fn stale_for_long(canonical: &[u8]) -> Vec<u8> {
    let Community(mark) = Community::LLGR_STALE;
    let mut bytes = Vec::with_capacity(canonical.len() + 7);
    let mut marked = false;
    for attribute in attributes(canonical) {
        if attribute.code > attr_code::COMMUNITIES && !std::mem::replace(&mut marked, true) {
            write_attribute(&mut bytes, COMMUNITY_FLAGS, attr_code::COMMUNITIES, &mark.to_be_bytes());
        }
        if attribute.code == attr_code::COMMUNITIES {
            marked = true;
            let value = [attribute.value, &mark.to_be_bytes()].concat();
            write_attribute(&mut bytes, attribute.flags, attribute.code, &value);
        } else {
            write_attribute(&mut bytes, attribute.flags, attribute.code, attribute.value);
        }
    }
    if !marked {
        write_attribute(&mut bytes, COMMUNITY_FLAGS, attr_code::COMMUNITIES, &mark.to_be_bytes());
    }
    bytes
}

//! What of the tables a peer must be told, or told again: everything, what a peer's routes are, what policy changed.

use std::collections::BTreeMap;

use wire::{Family, NextHop};

use super::attrs::AttrId;
use super::out::{Source, exported};
use super::table::PeerId;
use super::{Asked, Rib, origination};
use crate::policy::export::{self, Origination, may_pass};
use crate::policy::{Own, PeerFacts};

impl Rib {
    /// The peer asked for everything again (RFC 2918). `enhanced`: with markers (RFC 7313).
    pub(crate) fn refresh_requested(&mut self, id: PeerId, family: Family, enhanced: bool) {
        let Some(peer) = self.peer_mut(id).filter(|peer| peer.families.contains(family)) else {
            return;
        };
        // Whoever asks a thousand times is answered once, after what is under way.
        peer.ribs[family.index()].asked_again = Some(Asked { enhanced });
    }

    /// Begins to answer a request, if there is one and everything before is told.
    pub(super) fn answer_request(&mut self, id: PeerId, family: Family) {
        let Some(rib) = self.peer_mut(id).map(|peer| &mut peer.ribs[family.index()]) else { return };
        // Before our End-of-RIB the initial routes are the answer.
        let busy = !rib.pending.is_empty() || !rib.held.is_empty() || rib.owes_end_of_refresh;
        if busy && !rib.owes_end_of_rib {
            return;
        }
        let Some(Asked { enhanced }) = rib.asked_again.take() else { return };
        // RFC 7313 section 4: no BoRR before our End-of-RIB, which then answers as well.
        let enhanced = enhanced && !rib.owes_end_of_rib;
        rib.owes_begin_of_refresh |= enhanced;
        rib.owes_end_of_refresh |= enhanced;
        self.tell_paths_again(id, family);
        self.advertise_all(id, family);
    }

    /// Marks what is used of a peer's routes as to be told to the others: whom they may pass to has changed.
    pub(super) fn advertise_from(&mut self, id: PeerId, family: Family) {
        let Some(from) = self.peer(id) else { return };
        let table = &self.tables[family.index()];
        let several = self.add_path_peers > 0;
        let best = |slot: &u32| several || table.dests[*slot].best().is_some_and(|best| best.peer == id);
        let slots: Vec<u32> = from.ribs[family.index()].received.iter().filter(best).collect();
        let dests = &mut self.tables[family.index()].dests;
        let to = self.peers.iter_mut().flatten().filter(|peer| peer.families.contains(family));
        for peer in to {
            for &slot in &slots {
                // Whether it goes out, and whether it went out before, is looked at when it is taken.
                if peer.ribs[family.index()].pending.push(slot) {
                    dests[slot].pending += 1;
                }
            }
        }
    }

    /// Marks everything that concerns a peer as to be told.
    pub(super) fn advertise_all(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.peers.get(usize::from(id.0)).and_then(Option::as_ref) else {
            return;
        };
        let table = &self.tables[family.index()];
        let several = peer.facts.add_path_send.contains(family);
        let concerned = |slot: &u32| {
            let wanted = several && table.dests[*slot].ways > 0;
            let wanted = wanted
                || table.dests[*slot].best().is_some_and(|best| {
                    let from = origination(&self.peers, best.peer, family);
                    best.peer != id && from.is_some_and(|from| may_pass(&self.own, from, family, &peer.facts))
                });
            wanted || peer.ribs[family.index()].advertised.contains(*slot)
        };
        let slots: Vec<u32> = table.slots().filter(concerned).collect();
        self.mark(id, family, slots);
    }

    /// Policy changed from `old_own` and `old` to what is in force: marks what the peer would be told otherwise, and
    /// nothing else.
    pub(super) fn readvertise(&mut self, id: PeerId, family: Family, old_own: &Own, old: &PeerFacts) {
        let Some(peer) = self.peer(id) else { return };
        if peer.facts.add_path_send.contains(family) {
            return self.readvertise_paths(id, family, old_own, old);
        }
        let (advertised, facts) = (&peer.ribs[family.index()].advertised, &peer.facts);
        let table = &self.tables[family.index()];
        let mut same: BTreeMap<(AttrId, Source), bool> = BTreeMap::new();
        let mut changed = |slot: &u32| {
            let route = exported(&self.own, &self.peers, &self.attrs, &table.dests[*slot], family, id);
            let Some((attr, from)) = route else { return advertised.contains(*slot) };
            let equal =
                || self.image(attr, from, family, old_own, old) == self.image(attr, from, family, &self.own, facts);
            !advertised.contains(*slot) || !*same.entry((attr, Source::of(from))).or_insert_with(equal)
        };
        let slots: Vec<u32> = table.slots().filter(|slot| changed(slot)).collect();
        self.mark(id, family, slots);
    }

    /// [`Self::readvertise`] for a peer that takes several paths.
    fn readvertise_paths(&mut self, id: PeerId, family: Family, old_own: &Own, old: &PeerFacts) {
        let Some(facts) = self.peer(id).map(|peer| peer.facts.clone()) else { return };
        let mut same: BTreeMap<(AttrId, Source), bool> = BTreeMap::new();
        let slots: Vec<u32> = self.tables[family.index()].slots().collect();
        for slot in slots {
            let wanted = self.exported_paths(family, slot, id);
            for &(attr, from, source) in &wanted {
                let equal = || {
                    self.image(attr, from, family, old_own, old) == self.image(attr, from, family, &self.own, &facts)
                };
                if !*same.entry((attr, Source::of(from))).or_insert_with(equal) {
                    let received = self.attrs.get(attr).path_id;
                    self.tell_path_again(id, family, slot, (source, received));
                }
            }
            // What is told and what is not is compared when the slot is taken.
            if !wanted.is_empty()
                || self.peer(id).is_some_and(|peer| peer.ribs[family.index()].advertised.contains(slot))
            {
                self.mark(id, family, vec![slot]);
            }
        }
    }

    /// What a peer sees of a path.
    fn image(
        &self,
        attr: AttrId,
        from: Origination,
        family: Family,
        own: &Own,
        to: &PeerFacts,
    ) -> (Option<NextHop>, Vec<u8>) {
        let set = self.attrs.get(attr);
        let mut bytes = Vec::new();
        export::write_attributes(&mut bytes, own, set, from, to);
        (export::next_hop(from, self.next_hops.next_hop(set.next_hop), family, to), bytes)
    }

    /// Adds destinations to what a peer must be told.
    pub(super) fn mark(&mut self, id: PeerId, family: Family, slots: Vec<u32>) {
        let Some(peer) = self.peers.get_mut(usize::from(id.0)).and_then(Option::as_mut) else { return };
        let dests = &mut self.tables[family.index()].dests;
        for slot in slots {
            if peer.ribs[family.index()].pending.push(slot) {
                dests[slot].pending += 1;
            }
        }
    }
}

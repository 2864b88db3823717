//! Routes that wait for the kernel: where it is asked for, a peer hears of a route once packets to it can be forwarded.
//!
//! What is pending for a peer is looked at when its socket can take it, and held then if the kernel has not answered; with
//! the answer it is pending again. A withdrawal never waits. A route that the kernel refused is withdrawn until it is there.

use wire::Family;

use super::Rib;
use super::table::PeerId;
use crate::fib::state::Progress;

/// What to do with a route that a peer is to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    Now,
    /// It was noted, and comes again.
    Later,
    /// As if there were no route.
    Not,
}

impl Rib {
    /// Whether a peer may hear of the route of a destination.
    pub(super) fn hearing(&mut self, id: PeerId, family: Family, slot: u32) -> Hearing {
        if !self.fib.awaited {
            return Hearing::Now;
        }
        let progress = self.fib.progress(family, slot, &self.tables[family.index()].dests[slot]);
        let Some(rib) = self.peer_mut(id).map(|peer| &mut peer.ribs[family.index()]) else { return Hearing::Not };
        match progress {
            Progress::Done => Hearing::Now,
            Progress::Refused => {
                rib.withheld.insert(slot);
                Hearing::Not
            }
            Progress::Waiting => {
                rib.held.insert(slot);
                Hearing::Later
            }
        }
    }

    /// Marks as to be told what waited for the kernel's answers since the last call, and what it refused.
    pub(super) fn tell_settled(&mut self) {
        for (family, slot) in self.fib.take_settled() {
            let dests = &mut self.tables[family.index()].dests;
            // The last destination may have taken the whole table along.
            let used = slot < dests.slots() && dests[slot].is_used();
            let refused = used && self.fib.progress(family, slot, &dests[slot]) == Progress::Refused;
            for peer in self.peers.iter_mut().flatten() {
                let rib = &mut peer.ribs[family.index()];
                let (held, withheld) = (rib.held.remove(slot), rib.withheld.remove(slot));
                let concerned = held || withheld || refused && rib.advertised.contains(slot);
                if concerned && used && rib.pending.push(slot) {
                    dests[slot].pending += 1;
                }
            }
        }
    }

    /// Nobody waits any more.
    pub(super) fn tell_held(&mut self) {
        for family in Family::ALL {
            let dests = &mut self.tables[family.index()].dests;
            for peer in self.peers.iter_mut().flatten() {
                let rib = &mut peer.ribs[family.index()];
                let (held, withheld) = (std::mem::take(&mut rib.held), std::mem::take(&mut rib.withheld));
                for slot in held.iter().chain(withheld.iter()) {
                    if slot < dests.slots() && dests[slot].is_used() && rib.pending.push(slot) {
                        dests[slot].pending += 1;
                    }
                }
            }
        }
    }
}

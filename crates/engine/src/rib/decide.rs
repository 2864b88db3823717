//! Loc-RIB: a path comes or goes, the destination is decided again, and whoever is concerned is marked.

use std::num::NonZero;

use smallvec::SmallVec;
use wire::{Family, NextHop, attr_code};

use super::attrs::{AttrId, AttrStore};
use super::backlog::Job;
use super::decision::{self, Candidate};
use super::nexthop::{Moved, NextHops};
use super::table::{Dest, Path, PathId, PeerId};
use super::{Rib, RibPeer, origination};
use crate::policy::export::{self, Origination, may_pass};
use crate::policy::{PeerFacts, import};

/// Most paths that one peer may have for one destination (RFC 7911 sets no limit): further ones are dropped and counted.
/// As many as can share traffic.
pub(crate) const MAX_PATHS: usize = 64;

/// What matters of a destination for others: the paths that are used, the best one first. Compared before and after a change.
///
/// It is made twice for every path that comes. Each of the first two is one word: what is made of smaller pieces and copied at
/// once waits until the pieces have left the processor's queue of writes, behind a destination that is new to its caches.
#[derive(PartialEq, Eq)]
pub(super) struct Standing {
    first: Option<Way>,
    second: Option<Way>,
    further: Vec<Way>,
}

/// A path and whose it is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Way(NonZero<u64>);

impl Way {
    fn of(path: &Path) -> Self {
        let word = u64::from(path.attr.0) << 16 | u64::from(path.peer.0);
        Self(NonZero::<u64>::MIN | word << 1)
    }

    fn attr(self) -> AttrId {
        AttrId((self.0.get() >> 17) as u32)
    }

    fn peer(self) -> PeerId {
        PeerId((self.0.get() >> 1) as u16)
    }
}

impl Standing {
    #[inline]
    pub(super) fn of(dest: &Dest) -> Self {
        let mut ways = dest.paths[..usize::from(dest.ways)].iter().map(Way::of);
        let (first, second) = (ways.next(), ways.next());
        Self { first, second, further: ways.collect() }
    }

    fn ways(&self) -> impl Iterator<Item = Way> + '_ {
        self.first.into_iter().chain(self.second).chain(self.further.iter().copied())
    }
}

/// A best path with the attributes of the one before, from the like of the peer before.
struct SameWords {
    family: Family,
    from: Origination,
    source: PeerId,
    /// Of both.
    next_hops: [NextHop; 2],
}

impl SameWords {
    /// `None` when it is another one to everybody.
    fn of(
        attrs: &AttrStore,
        next_hops: &NextHops,
        peers: &[Option<RibPeer>],
        family: Family,
        before: Option<Way>,
        after: Option<Way>,
    ) -> Option<Self> {
        let (before, after) = (before?, after?);
        let (old_source, source) = (before.peer(), after.peer());
        let (old, new) = (attrs.get(before.attr()), attrs.get(after.attr()));
        if old.bytes != new.bytes {
            return None;
        }
        let from = origination(peers, source, family)?;
        let next_hops = [old, new].map(|set| next_hops.next_hop(set.next_hop));
        (origination(peers, old_source, family)? == from).then_some(Self { family, from, source, next_hops })
    }

    /// Whether a peer that was told of the one before was told the same as it would be now.
    fn heard_by(&self, index: usize, to: &PeerFacts) -> bool {
        let [old, new] = self.next_hops.map(|next_hop| export::next_hop(self.from, next_hop, self.family, to));
        usize::from(self.source.0) != index && old == new
    }
}

impl Rib {
    /// Puts a path in place of the peer's earlier one, if any: of the one with the same path identifier where the peer
    /// sends several (RFC 7911 section 5).
    pub(super) fn set_path(&mut self, family: Family, slot: u32, path: Path) {
        let several = self.peer(path.peer).is_some_and(|peer| peer.facts.add_path_receive.contains(family));
        let attrs = &self.attrs;
        let path_id = attrs.get(path.attr).path_id;
        let dest = &mut self.tables[family.index()].dests[slot];
        let before = Standing::of(dest);
        let replaces = |old: &Path| old.peer == path.peer && (!several || attrs.get(old.attr).path_id == path_id);
        let place = dest.paths.iter().position(replaces);
        let old = match place {
            Some(place) if dest.paths[place] == path => return,
            Some(place) => Some(std::mem::replace(&mut dest.paths[place], path)),
            None if several && dest.paths.iter().filter(|old| old.peer == path.peer).count() >= MAX_PATHS => {
                if let Some(peer) = self.peer_mut(path.peer) {
                    peer.ribs[family.index()].overflowing += 1;
                }
                return;
            }
            None => {
                dest.paths.push(path);
                None
            }
        };
        self.attrs.retain(path.attr);
        self.next_hops.used(self.attrs.get(path.attr).next_hop, path.peer);
        if let Some(peer) = self.peer_mut(path.peer) {
            let rib = &mut peer.ribs[family.index()];
            rib.received.insert(slot);
            rib.paths += usize::from(old.is_none());
            rib.refused += usize::from(path.refusal.is_some());
            rib.refused -= usize::from(old.is_some_and(|old| old.refusal.is_some()));
        }
        if old.is_some() || !self.join(family, slot) {
            self.rank(family, slot, &before);
        }
        self.decided(family, slot, &before);
        if let Some(old) = old {
            self.let_go(&old);
        }
    }

    /// A path is in no table any more.
    fn let_go(&mut self, path: &Path) {
        self.next_hops.unused(self.attrs.get(path.attr).next_hop, path.peer);
        self.release(path.attr);
    }

    /// Takes those of a peer's paths away that `which` picks.
    pub(super) fn remove_paths(
        &mut self,
        family: Family,
        slot: u32,
        id: PeerId,
        which: impl Fn(&AttrStore, &Path) -> bool,
    ) {
        let attrs = &self.attrs;
        let dest = &mut self.tables[family.index()].dests[slot];
        let picked = |path: &Path| path.peer == id && which(attrs, path);
        let removed: SmallVec<[Path; 2]> = dest.paths.iter().filter(|path| picked(path)).copied().collect();
        if removed.is_empty() {
            return;
        }
        let before = Standing::of(dest);
        dest.paths.retain(|path| !picked(path));
        // Only the order of the rest is kept; who is best is decided below.
        dest.ways = 0;
        let others = dest.paths.iter().any(|path| path.peer == id);
        if let Some(peer) = self.peer_mut(id) {
            let rib = &mut peer.ribs[family.index()];
            rib.paths -= removed.len();
            rib.refused -= removed.iter().filter(|path| path.refusal.is_some()).count();
            if !others {
                rib.received.remove(slot);
            }
        }
        self.decide(family, slot, &before);
        for path in removed {
            self.let_go(&path);
        }
        self.tables[family.index()].release_if_unused(slot);
    }

    /// Decides a destination again and tells whoever is concerned.
    pub(super) fn decide(&mut self, family: Family, slot: u32, before: &Standing) {
        self.rank(family, slot, before);
        self.decided(family, slot, before);
    }

    /// Tells whoever is concerned how a destination was decided.
    fn decided(&mut self, family: Family, slot: u32, before: &Standing) {
        let dest = &mut self.tables[family.index()].dests[slot];
        let after = Standing::of(dest);
        let attrs = &self.attrs;
        let next_hop = |way: Way| attrs.get(way.attr()).next_hop;
        let moves = || !after.ways().map(next_hop).eq(before.ways().map(next_hop));
        // What the kernel is told is where to send packets, and nothing else. A group that is gone leads nowhere.
        if after != *before && (self.fib.is_gone(dest) || moves()) {
            self.fib.touch(family, slot, dest);
        }
        let best_changed = after.first != before.first;
        if best_changed {
            if let Some(host) = &mut self.host {
                host.touch(family, slot, dest);
            }
        } else if self.add_path_peers == 0 {
            return;
        }
        let source = after.first.map(Way::peer);
        let from = source.and_then(|id| origination(&self.peers, id, family).map(|from| (id, from)));
        let same = SameWords::of(attrs, &self.next_hops, &self.peers, family, before.first, after.first);
        for (index, peer) in self.peers.iter_mut().enumerate() {
            let Some(peer) = peer.as_mut().filter(|peer| peer.families.contains(family)) else {
                continue;
            };
            let rib = &mut peer.ribs[family.index()];
            let wanted = if peer.facts.add_path_send.contains(family) {
                // Which of the paths concern the peer is looked at when the slot is taken.
                dest.ways > 0
            } else if best_changed {
                // Who was told of the one before has heard it already.
                if same.as_ref().is_some_and(|same| rib.advertised.contains(slot) && same.heard_by(index, &peer.facts))
                {
                    continue;
                }
                let passes = |(id, from): (PeerId, _)| {
                    usize::from(id.0) != index && may_pass(&self.own, from, family, &peer.facts)
                };
                from.is_some_and(passes)
            } else {
                continue;
            };
            if (wanted || rib.advertised.contains(slot)) && rib.pending.push(slot) {
                dest.pending += 1;
            }
        }
    }

    /// Puts a path that was added at the end where it belongs, if that is easy to say: a path like the best one from one more
    /// neighbour is the usual reason for a table to come several times. Whether it was.
    fn join(&mut self, family: Family, slot: u32) -> bool {
        // What is decided already counts only as long as nothing waits to be decided again.
        if !self.backlog.is_empty() {
            return false;
        }
        let Self { attrs, next_hops, peers, .. } = self;
        let dest = &mut self.tables[family.index()].dests[slot];
        let ways = usize::from(dest.ways);
        let (Some((new, others)), true) = (dest.paths.split_last(), ways > 0 && ways < self.rules.multipath.most())
        else {
            return false;
        };
        if !usable(attrs, next_hops, peers, new) {
            return true;
        }
        let see = |path: &Path| candidate(attrs, next_hops, peers, path, None);
        let new = see(new);
        if !new.joins(&see(&others[0]), self.rules) {
            return false;
        }
        let place = others[..ways].partition_point(|path| see(path).tie() < new.tie());
        dest.paths[place..].rotate_right(1);
        dest.ways += 1;
        true
    }

    /// Orders the paths of a destination.
    fn rank(&mut self, family: Family, slot: u32, before: &Standing) {
        let dest = &mut self.tables[family.index()].dests[slot];
        match dest.paths.as_slice() {
            [] => return dest.ways = 0,
            [path] => return dest.ways = u8::from(usable(&self.attrs, &self.next_hops, &self.peers, path)),
            _ => {}
        }
        dest.paths.sort_by_key(|path| !usable(&self.attrs, &self.next_hops, &self.peers, path));
        let incumbent = before.first.map(|way| (way.peer(), self.attrs.get(way.attr()).path_id));
        let candidates = candidates(&self.attrs, &self.next_hops, &self.peers, &dest.paths, incumbent);
        if candidates.is_empty() {
            dest.ways = 0;
            return;
        }
        let decision = decision::decide(&candidates, self.rules);
        let paths = dest.paths.clone();
        for (place, &index) in decision.order.iter().enumerate() {
            dest.paths[place] = paths[usize::from(index)];
        }
        dest.ways = decision.ways;
    }

    /// Decides every destination again that has a path which `concerned` picks.
    pub(super) fn decide_all(&mut self, concerned: impl Fn(&AttrStore, &Path) -> bool) {
        for family in Family::ALL {
            let table = &self.tables[family.index()];
            let picked = |slot: &u32| table.dests[*slot].paths.iter().any(|path| concerned(&self.attrs, path));
            let slots: Vec<u32> = table.slots().filter(picked).collect();
            for slot in slots {
                let before = Standing::of(&self.tables[family.index()].dests[slot]);
                self.decide(family, slot, &before);
            }
        }
    }

    pub(super) fn next_hops_moved(&mut self, moved: &Moved) {
        if moved.ids.is_empty() {
            return;
        }
        // The groups first: one message moves all their routes; the routes follow one by one.
        self.fib.next_hops_changed(&moved.ids, &self.next_hops);
        if moved.own {
            for id in self.ids() {
                for family in Family::ALL {
                    self.judge_again(id, family);
                }
            }
        }
        for family in Family::ALL {
            self.queue(Job::Moved { next_hops: moved.ids.clone(), family, slot: 0 });
        }
    }

    /// Applies import policy again to everything received from a peer.
    pub(super) fn judge_again(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.peer(id) else { return };
        let facts = peer.facts.clone();
        let slots: Vec<u32> = peer.ribs[family.index()].received.iter().collect();
        for slot in slots {
            let dest = &self.tables[family.index()].dests[slot];
            let prefix = dest.key.prefix(family);
            let own: SmallVec<[Path; 2]> = dest.paths.iter().filter(|path| path.peer == id).copied().collect();
            for path in own {
                let set = self.attrs.get(path.attr);
                let by_attributes = import::refusal(&self.own, &facts, set, self.next_hops.resolution(set.next_hop));
                let refusal = by_attributes.or_else(|| import::prefix_refusal(&facts, &prefix));
                self.set_path(family, slot, Path { refusal, ..path });
            }
        }
    }
}

/// Whether a path may be chosen.
pub(super) fn usable(attrs: &AttrStore, next_hops: &NextHops, peers: &[Option<RibPeer>], path: &Path) -> bool {
    // Of a peer that is gone something may be left for a moment.
    let known = path.peer == PeerId::LOCAL || peers.get(usize::from(path.peer.0)).is_some_and(Option::is_some);
    path.refusal.is_none() && known && next_hops.resolution(attrs.get(path.attr).next_hop).usable()
}

/// The usable paths at the head of `paths`, as the decision sees them. `incumbent` was the best so far.
pub(super) fn candidates<'a>(
    attrs: &'a AttrStore,
    next_hops: &NextHops,
    peers: &[Option<RibPeer>],
    paths: &[Path],
    incumbent: Option<(PeerId, PathId)>,
) -> SmallVec<[Candidate<'a>; 4]> {
    let usable = paths.iter().take_while(|path| usable(attrs, next_hops, peers, path));
    usable.map(|path| candidate(attrs, next_hops, peers, path, incumbent)).collect()
}

fn candidate<'a>(
    attrs: &'a AttrStore,
    next_hops: &NextHops,
    peers: &[Option<RibPeer>],
    path: &Path,
    incumbent: Option<(PeerId, PathId)>,
) -> Candidate<'a> {
    let set = attrs.get(path.attr);
    let facts = peers.get(usize::from(path.peer.0)).and_then(Option::as_ref).map(|peer| &peer.facts);
    let identifier = facts.map_or(0, |facts| u32::from(facts.router_id));
    Candidate {
        local: path.peer == PeerId::LOCAL,
        last_choice: set.scope.last_choice,
        local_pref: set.local_pref,
        as_path: set.value(attr_code::AS_PATH).unwrap_or_default(),
        as_path_length: set.as_path_length,
        origin: set.origin,
        neighbor_as: set.neighbor_as,
        med: set.med,
        external: facts.is_some_and(|facts| facts.external),
        cost: next_hops.cost(set.next_hop),
        incumbent: incumbent == Some((path.peer, set.path_id)),
        router_id: set.originator.map_or(identifier, u32::from),
        cluster_list_length: set.cluster_list_length,
        peer: facts.map(|facts| facts.address),
        path_id: set.path_id,
    }
}

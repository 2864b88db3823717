//! The routing tables: RIB-In, Loc-RIB and RIB-Out in one structure per destination.
//!
//! A destination holds every path that was received for it ([`table`]); RIB-In of a peer is the set of
//! destinations that have a path of it, Loc-RIB is the first paths of each destination as [`decision`] ordered
//! them, RIB-Out of a peer is the set of destinations that it was told of and the set of those that it must be
//! told of. What a peer is told is computed when its socket can take it: a slow peer coalesces, never queues.
//!
//! Told: updates, sessions up and down, links. Emits: bytes for peers ([`Rib::pull`]), FIB batches.
//! Does not: sessions, timers. RFC 4271 section 3.2 and 9; RFC 4456; RFC 7313.

pub(crate) mod attrs;
pub(crate) mod bits;
pub(crate) mod decision;
mod host;
pub(crate) mod key;
pub(crate) mod nexthop;
mod out;
pub(crate) mod slab;
pub(crate) mod table;
mod views;

use std::collections::BTreeMap;

use ipnet::IpNet;
use smallvec::SmallVec;
use wire::{Family, FamilySet, NextHop, Update, attr_code, flag, write_attribute};

use crate::fib::state::FibState;
use crate::fib::{FibBatch, GroupId};
use crate::intent::Multipath;
use crate::policy::export::{Origination, may_pass};
use crate::policy::{Own, PeerFacts, import};
use attrs::{AttrId, AttrStore};
use bits::{BitSet, Pending};
use decision::Candidate;
use host::HostTable;
use key::Key;
use nexthop::{Moved, Neighbors, NextHopId, NextHopKey, NextHops, Resolution};
use out::UpdateGroups;
use table::{Dest, Path, PeerId, Refusal, Table};

/// What a peer has of one family.
#[derive(Debug, Default)]
pub(crate) struct PeerRib {
    received: BitSet,
    refused: usize,
    advertised: BitSet,
    /// Of those advertised: the path contains the peer's own AS, so that it may take them for loops.
    looping: BitSet,
    pending: Pending,
    /// Routes that did not fit into a message and were not told, since somebody last asked.
    oversized: usize,
    /// Our End-of-RIB is owed once `pending` is drained (RFC 4724 section 2).
    owes_end_of_rib: bool,
    /// We announced a refresh and owe its end (RFC 7313).
    owes_end_of_refresh: bool,
    /// A refresh is to be announced before the next update.
    owes_begin_of_refresh: bool,
    pub(crate) end_of_rib_received: bool,
}

/// A peer with an established session.
#[derive(Debug)]
pub(crate) struct RibPeer {
    pub(crate) facts: PeerFacts,
    families: FamilySet,
    group: usize,
    ribs: [PeerRib; 2],
}

/// The routing tables.
#[derive(Debug)]
pub(crate) struct Rib {
    pub(crate) own: Own,
    multipath: Multipath,
    attrs: AttrStore,
    pub(crate) next_hops: NextHops,
    tables: [Table; 2],
    /// By [`PeerId`]; index 0 stays empty.
    peers: Vec<Option<RibPeer>>,
    groups: UpdateGroups,
    pub(crate) fib: FibState,
    /// The host's own table, when it is asked for.
    host: Option<HostTable>,
    /// What we originate, by prefix.
    local: BTreeMap<IpNet, AttrId>,
    /// For the canonical bytes of the update at hand.
    scratch: Vec<u8>,
}

/// What matters of a destination for others: compared before and after a change.
struct Standing {
    best: Option<(AttrId, PeerId)>,
    ways: SmallVec<[(AttrId, PeerId); 2]>,
}

impl Standing {
    fn of(dest: &Dest) -> Self {
        let ways = &dest.paths[..usize::from(dest.ways)];
        Self {
            best: dest.best().map(|path| (path.attr, path.peer)),
            ways: ways.iter().map(|path| (path.attr, path.peer)).collect(),
        }
    }
}

impl Rib {
    pub(crate) fn new(own: Own) -> Self {
        Self {
            own,
            multipath: Multipath::default(),
            attrs: AttrStore::default(),
            next_hops: NextHops::new(),
            tables: Default::default(),
            peers: Vec::new(),
            groups: UpdateGroups::default(),
            fib: FibState::default(),
            host: None,
            local: BTreeMap::new(),
            scratch: Vec::new(),
        }
    }

    pub(crate) fn peer(&self, id: PeerId) -> Option<&RibPeer> {
        self.peers.get(usize::from(id.0))?.as_ref()
    }

    fn peer_mut(&mut self, id: PeerId) -> Option<&mut RibPeer> {
        self.peers.get_mut(usize::from(id.0))?.as_mut()
    }

    /// A session is up: the peer is to be told everything that concerns it.
    pub(crate) fn peer_up(&mut self, id: PeerId, facts: PeerFacts, families: FamilySet) {
        let index = usize::from(id.0);
        if index >= self.peers.len() {
            self.peers.resize_with(index + 1, || None);
        }
        let group = self.groups.join(&facts);
        let mut ribs: [PeerRib; 2] = Default::default();
        for family in families.iter() {
            ribs[family.index()].owes_end_of_rib = true;
        }
        self.peers[index] = Some(RibPeer { facts, families, group, ribs });
        for family in families.iter() {
            self.advertise_all(id, family);
        }
    }

    /// A session ended: its paths go, and what was to be told to it.
    pub(crate) fn peer_down(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(usize::from(id.0)).and_then(Option::take) else {
            return;
        };
        self.groups.leave(peer.group);
        for (family, mut rib) in Family::ALL.into_iter().zip(peer.ribs) {
            let table = &mut self.tables[family.index()];
            while let Some(slot) = rib.pending.pop() {
                table.dests[slot].pending -= 1;
                table.release_if_unused(slot);
            }
            for slot in rib.received.iter() {
                self.remove_path(family, slot, id);
            }
        }
    }

    /// What policy knows of an established peer changed: its paths are judged again, and what it is told too.
    pub(crate) fn set_facts(&mut self, id: PeerId, facts: PeerFacts) {
        let Some(peer) = self.peers.get_mut(usize::from(id.0)).and_then(Option::as_mut) else {
            return;
        };
        if peer.facts == facts {
            return;
        }
        let (group, families) = (peer.group, peer.families);
        peer.group = self.groups.join(&facts);
        let old = std::mem::replace(&mut peer.facts, facts);
        let facts = peer.facts.clone();
        self.groups.leave(group);
        let own = self.own;
        for family in families.iter() {
            self.judge_again(id, family);
            self.readvertise(id, family, &own, &old);
            if Origination::of(&old, family) != Origination::of(&facts, family) {
                self.advertise_from(id, family);
            }
        }
    }

    /// Changes of ourselves that need no new session.
    pub(crate) fn set_own(&mut self, own: Own, multipath: Multipath) {
        if self.own == own && self.multipath == multipath {
            return;
        }
        let old = std::mem::replace(&mut self.own, own);
        self.multipath = multipath;
        self.decide_all(|_, _| true);
        if old == own {
            return;
        }
        for id in self.ids() {
            for family in self.families(id).iter() {
                self.judge_again(id, family);
                if let Some(facts) = self.peer(id).map(|peer| peer.facts.clone()) {
                    self.readvertise(id, family, &old, &facts);
                }
            }
        }
    }

    /// Switches the FIB on or off. Off forgets what is installed: the driver removes it ([`crate::Action::ClearFib`]).
    pub(crate) fn set_fib(&mut self, enabled: bool) {
        let was = std::mem::replace(&mut self.fib.enabled, enabled);
        if was && !enabled {
            self.fib.abandon(&mut self.tables, &mut self.next_hops);
        }
        let moved = self.next_hops.set_checked(enabled);
        self.next_hops_moved(&moved);
        if enabled && !was {
            self.fib.forget(&mut self.tables);
        }
    }

    /// Takes an UPDATE of an established peer.
    pub(crate) fn receive(&mut self, id: PeerId, update: &Update<'_>) {
        for nlri in update.withdrawn() {
            let family = nlri.family();
            for prefix in nlri {
                if let Some(slot) = self.tables[family.index()].find(&Key::new(&prefix)) {
                    if let Some(rib) = self.peer_mut(id).map(|peer| &mut peer.ribs[family.index()]) {
                        rib.received.remove(slot);
                    }
                    self.remove_path(family, slot, id);
                }
            }
        }
        let mut canonical = std::mem::take(&mut self.scratch);
        let mut written = false;
        for (nlri, next_hop) in update.announced() {
            if !std::mem::replace(&mut written, true) {
                canonical.clear();
                update.write_canonical(&mut canonical);
                if let Some(peer) = self.peer(id).filter(|peer| peer.facts.bgp_role.is_some()) {
                    import::mark_only_to_customer(&peer.facts, &mut canonical);
                }
            }
            self.announce(id, nlri, next_hop, &canonical);
        }
        self.scratch = canonical;
    }

    fn announce(&mut self, id: PeerId, nlri: wire::Nlri<'_>, next_hop: NextHop, canonical: &[u8]) {
        let Some(peer) = self.peers.get(usize::from(id.0)).and_then(Option::as_ref) else {
            return;
        };
        let key = NextHopKey { next_hop, via: via(&peer.facts, &next_hop, &self.next_hops) };
        let tracked = self.next_hops.track(key);
        let (attr, fresh) = self.attrs.intern(canonical, tracked);
        if fresh {
            self.next_hops.retain(tracked);
        }
        let resolution = self.next_hops.resolution(tracked);
        let refusal = import::refusal(&self.own, &peer.facts, self.attrs.get(attr), resolution);
        let family = nlri.family();
        let filtered = !peer.facts.allowed_prefixes.is_empty();
        let path = Path { attr, peer: id, refusal, stale: false };
        for prefix in nlri {
            let refusal = if filtered { path.refusal.or_else(|| self.prefix_refusal(id, &prefix)) } else { refusal };
            let path = Path { refusal, ..path };
            let slot = self.tables[family.index()].find_or_insert(Key::new(&prefix));
            self.set_path(family, slot, path);
        }
        self.release(attr);
    }

    fn prefix_refusal(&self, id: PeerId, prefix: &IpNet) -> Option<Refusal> {
        self.peer(id).and_then(|peer| import::prefix_refusal(&peer.facts, prefix))
    }

    /// How many routes a peer has announced in a family, refused ones included.
    pub(crate) fn received(&self, id: PeerId, family: Family) -> usize {
        self.peer(id).map_or(0, |peer| peer.ribs[family.index()].received.len())
    }

    /// The peer's End-of-RIB marker arrived.
    pub(crate) fn end_of_rib(&mut self, id: PeerId, family: Family) {
        if let Some(peer) = self.peer_mut(id) {
            peer.ribs[family.index()].end_of_rib_received = true;
        }
    }

    /// Whether the peer has sent all it had in every family.
    pub(crate) fn synchronised(&self, id: PeerId) -> bool {
        self.peer(id)
            .is_some_and(|peer| peer.families.iter().all(|family| peer.ribs[family.index()].end_of_rib_received))
    }

    /// The peer asked for everything again (RFC 2918). `enhanced`: with markers (RFC 7313).
    pub(crate) fn refresh_requested(&mut self, id: PeerId, family: Family, enhanced: bool) {
        let Some(peer) = self.peer_mut(id).filter(|peer| peer.families.contains(family)) else {
            return;
        };
        let rib = &mut peer.ribs[family.index()];
        // RFC 7313 section 4: no BoRR before our End-of-RIB, which then answers as well.
        let enhanced = enhanced && !rib.owes_end_of_rib;
        rib.owes_begin_of_refresh |= enhanced;
        rib.owes_end_of_refresh |= enhanced;
        self.advertise_all(id, family);
    }

    /// The peer begins to send everything again: what it does not repeat by the end is gone (RFC 7313).
    pub(crate) fn refresh_begins(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.peer(id) else { return };
        let slots: Vec<u32> = peer.ribs[family.index()].received.iter().collect();
        let table = &mut self.tables[family.index()];
        for slot in slots {
            for path in table.dests[slot].paths.iter_mut().filter(|path| path.peer == id) {
                path.stale = true;
            }
        }
    }

    /// See [`Self::refresh_begins`].
    pub(crate) fn refresh_ends(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.peer(id) else { return };
        let table = &self.tables[family.index()];
        let stale = |slot: &u32| table.dests[*slot].paths.iter().any(|path| path.peer == id && path.stale);
        let slots: Vec<u32> = peer.ribs[family.index()].received.iter().filter(stale).collect();
        for slot in slots {
            if let Some(peer) = self.peer_mut(id) {
                peer.ribs[family.index()].received.remove(slot);
            }
            self.remove_path(family, slot, id);
        }
    }

    /// Originates exactly these prefixes.
    pub(crate) fn set_local(&mut self, prefixes: impl Iterator<Item = IpNet>) {
        let mut wanted: BTreeMap<IpNet, AttrId> = BTreeMap::new();
        for prefix in prefixes {
            wanted.insert(prefix, AttrId(0));
        }
        let gone: Vec<IpNet> = self.local.keys().filter(|prefix| !wanted.contains_key(prefix)).copied().collect();
        for prefix in gone {
            self.local.remove(&prefix);
            let family = Family::of(&prefix);
            if let Some(slot) = self.tables[family.index()].find(&Key::new(&prefix)) {
                self.remove_path(family, slot, PeerId::LOCAL);
            }
        }
        for prefix in wanted.into_keys() {
            if self.local.contains_key(&prefix) {
                continue;
            }
            let attr = self.intern(&originated(), NextHops::LOCAL);
            self.local.insert(prefix, attr);
            let family = Family::of(&prefix);
            let slot = self.tables[family.index()].find_or_insert(Key::new(&prefix));
            self.set_path(family, slot, Path { attr, peer: PeerId::LOCAL, refusal: None, stale: false });
            self.release(attr);
        }
    }

    /// The links as they are.
    pub(crate) fn set_links(&mut self, links: Vec<crate::event::Link>) {
        let moved = self.next_hops.set_links(links);
        self.next_hops_moved(&moved);
    }

    /// The configured neighbours of links, by the links' names.
    pub(crate) fn set_neighbors(&mut self, neighbors: BTreeMap<String, Neighbors>) {
        let moved = self.next_hops.set_neighbors(neighbors);
        self.next_hops_moved(&moved);
    }

    /// The kernel's other routes as they are.
    pub(crate) fn set_underlying(&mut self, routes: Vec<crate::event::UnderlyingRoute>) {
        let moved = self.next_hops.set_underlying(routes);
        self.next_hops_moved(&moved);
    }

    pub(crate) fn poll_fib(&mut self) -> Option<FibBatch> {
        let attrs = &self.attrs;
        self.fib.poll(&mut self.tables, &mut self.next_hops, |dest, next_hops| {
            let ways = &dest.paths[..usize::from(dest.ways)];
            let mut key: SmallVec<[NextHopId; 2]> = ways
                .iter()
                .map(|path| attrs.get(path.attr).next_hop)
                .filter(|&next_hop| matches!(next_hops.resolution(next_hop), Resolution::Via(_)))
                .collect();
            key.sort_unstable();
            key.dedup();
            key
        })
    }

    pub(crate) fn fib_acknowledged(&mut self, id: u64, failed: Vec<(IpNet, String)>, groups: Vec<(GroupId, String)>) {
        self.fib.acknowledge(&mut self.tables, id, failed, groups);
    }

    pub(crate) fn fib_retry(&mut self) {
        self.fib.retry_failed(&mut self.tables);
    }

    pub(crate) fn fib_lost(&mut self) {
        self.fib.forget(&mut self.tables);
    }

    fn ids(&self) -> Vec<PeerId> {
        let up = self.peers.iter().enumerate().filter(|(_, peer)| peer.is_some());
        up.map(|(index, _)| PeerId(index as u16)).collect()
    }

    fn families(&self, id: PeerId) -> FamilySet {
        self.peer(id).map_or_else(FamilySet::default, |peer| peer.families)
    }

    fn intern(&mut self, bytes: &[u8], next_hop: NextHopId) -> AttrId {
        let (attr, fresh) = self.attrs.intern(bytes, next_hop);
        if fresh {
            self.next_hops.retain(next_hop);
        }
        attr
    }

    fn release(&mut self, attr: AttrId) {
        if let Some(next_hop) = self.attrs.release(attr) {
            self.next_hops.release(next_hop);
        }
    }

    /// Puts a path in place of the peer's earlier one, if any.
    fn set_path(&mut self, family: Family, slot: u32, path: Path) {
        let dest = &mut self.tables[family.index()].dests[slot];
        let before = Standing::of(dest);
        let old = match dest.paths.iter_mut().find(|old| old.peer == path.peer) {
            Some(old) if *old == path => return,
            Some(old) => Some(std::mem::replace(old, path)),
            None => {
                dest.paths.push(path);
                None
            }
        };
        self.attrs.retain(path.attr);
        if let Some(peer) = self.peer_mut(path.peer) {
            let rib = &mut peer.ribs[family.index()];
            rib.received.insert(slot);
            rib.refused += usize::from(path.refusal.is_some());
            rib.refused -= usize::from(old.is_some_and(|old| old.refusal.is_some()));
        }
        self.decide(family, slot, &before);
        if let Some(old) = old {
            self.release(old.attr);
        }
    }

    /// Takes a peer's path away. The caller keeps RIB-In's bit.
    fn remove_path(&mut self, family: Family, slot: u32, id: PeerId) {
        let dest = &mut self.tables[family.index()].dests[slot];
        let Some(index) = dest.paths.iter().position(|path| path.peer == id) else {
            return;
        };
        let before = Standing::of(dest);
        let old = dest.paths.remove(index);
        // Only the order of the rest is kept; who is best is decided below.
        dest.ways = 0;
        if let Some(peer) = self.peer_mut(id) {
            peer.ribs[family.index()].refused -= usize::from(old.refusal.is_some());
        }
        self.decide(family, slot, &before);
        self.release(old.attr);
        self.tables[family.index()].release_if_unused(slot);
    }

    /// Decides a destination again and tells whoever is concerned.
    fn decide(&mut self, family: Family, slot: u32, before: &Standing) {
        self.rank(family, slot);
        let dest = &mut self.tables[family.index()].dests[slot];
        let after = Standing::of(dest);
        if after.ways != before.ways {
            self.fib.touch(family, slot, dest);
        }
        if after.best == before.best {
            return;
        }
        if let Some(host) = &mut self.host {
            host.touch(family, slot, dest);
        }
        let from = after.best.and_then(|(_, id)| origination(&self.peers, id, family).map(|from| (id, from)));
        for (index, peer) in self.peers.iter_mut().enumerate() {
            let Some(peer) = peer.as_mut().filter(|peer| peer.families.contains(family)) else {
                continue;
            };
            let rib = &mut peer.ribs[family.index()];
            let wanted = from
                .is_some_and(|(id, from)| usize::from(id.0) != index && may_pass(&self.own, from, family, &peer.facts));
            if (wanted || rib.advertised.contains(slot)) && rib.pending.push(slot) {
                dest.pending += 1;
            }
        }
    }

    /// Orders the paths of a destination.
    fn rank(&mut self, family: Family, slot: u32) {
        let dest = &mut self.tables[family.index()].dests[slot];
        if let [path] = dest.paths.as_slice() {
            dest.ways = u8::from(usable(&self.attrs, &self.next_hops, path));
            return;
        }
        dest.paths.sort_by_key(|path| !usable(&self.attrs, &self.next_hops, path));
        let candidates = candidates(&self.attrs, &self.next_hops, &self.peers, &dest.paths);
        if candidates.is_empty() {
            dest.ways = 0;
            return;
        }
        let decision = decision::decide(&candidates, self.multipath);
        let paths = dest.paths.clone();
        for (place, &index) in decision.order.iter().enumerate() {
            dest.paths[place] = paths[usize::from(index)];
        }
        dest.ways = decision.ways;
    }

    /// Decides every destination again that has a path which `concerned` picks.
    fn decide_all(&mut self, concerned: impl Fn(&AttrStore, &Path) -> bool) {
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

    fn next_hops_moved(&mut self, moved: &Moved) {
        if moved.ids.is_empty() {
            return;
        }
        // The groups first: one message moves all their routes; the routes follow one by one.
        self.fib.next_hops_changed(&moved.ids, &self.next_hops);
        if moved.own {
            for id in self.ids() {
                for family in self.families(id).iter() {
                    self.judge_again(id, family);
                }
            }
        }
        self.decide_all(|attrs, path| moved.ids.contains(&attrs.get(path.attr).next_hop));
    }

    /// Applies import policy again to everything received from a peer.
    fn judge_again(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.peer(id) else { return };
        let facts = peer.facts.clone();
        let slots: Vec<u32> = peer.ribs[family.index()].received.iter().collect();
        for slot in slots {
            let Some(path) = self.tables[family.index()].dests[slot].paths.iter().find(|path| path.peer == id) else {
                continue;
            };
            let set = self.attrs.get(path.attr);
            let by_attributes = import::refusal(&self.own, &facts, set, self.next_hops.resolution(set.next_hop));
            let prefix = self.tables[family.index()].dests[slot].key.prefix(family);
            let refusal = by_attributes.or_else(|| import::prefix_refusal(&facts, &prefix));
            let path = Path { refusal, ..*path };
            self.set_path(family, slot, path);
        }
    }

    /// Marks what is used of a peer's routes as to be told to the others: whom they may pass to has changed.
    fn advertise_from(&mut self, id: PeerId, family: Family) {
        let Some(from) = self.peer(id) else { return };
        let table = &self.tables[family.index()];
        let best = |slot: &u32| table.dests[*slot].best().is_some_and(|best| best.peer == id);
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
    fn advertise_all(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.peers.get(usize::from(id.0)).and_then(Option::as_ref) else {
            return;
        };
        let table = &self.tables[family.index()];
        let concerned = |slot: &u32| {
            let wanted = table.dests[*slot].best().is_some_and(|best| {
                let from = origination(&self.peers, best.peer, family);
                best.peer != id && from.is_some_and(|from| may_pass(&self.own, from, family, &peer.facts))
            });
            wanted || peer.ribs[family.index()].advertised.contains(*slot)
        };
        let slots: Vec<u32> = table.slots().filter(concerned).collect();
        self.mark(id, family, slots);
    }
}

/// Whether a path may be chosen.
fn usable(attrs: &AttrStore, next_hops: &NextHops, path: &Path) -> bool {
    path.refusal.is_none() && next_hops.resolution(attrs.get(path.attr).next_hop).usable()
}

/// The usable paths at the head of `paths`, as the decision sees them.
fn candidates<'a>(
    attrs: &'a AttrStore,
    next_hops: &NextHops,
    peers: &[Option<RibPeer>],
    paths: &[Path],
) -> SmallVec<[Candidate<'a>; 4]> {
    let usable = paths.iter().take_while(|path| usable(attrs, next_hops, path));
    let candidates = usable.map(|path| {
        let set = attrs.get(path.attr);
        let facts = peers.get(usize::from(path.peer.0)).and_then(Option::as_ref).map(|peer| &peer.facts);
        let identifier = facts.map_or(0, |facts| u32::from(facts.router_id));
        Candidate {
            local: path.peer == PeerId::LOCAL,
            local_pref: set.local_pref,
            as_path: set.value(attr_code::AS_PATH).unwrap_or_default(),
            as_path_length: set.as_path_length,
            origin: set.origin,
            neighbor_as: set.neighbor_as,
            med: set.med,
            external: facts.is_some_and(|facts| facts.external),
            router_id: set.originator.map_or(identifier, u32::from),
            cluster_list_length: set.cluster_list_length,
            peer: facts.map(|facts| facts.address),
        }
    });
    candidates.collect()
}

/// Where a path came from; `None` when its peer is gone.
fn origination(peers: &[Option<RibPeer>], id: PeerId, family: Family) -> Option<Origination> {
    if id == PeerId::LOCAL {
        return Some(Origination::Local);
    }
    peers.get(usize::from(id.0))?.as_ref().map(|peer| Origination::of(&peer.facts, family))
}

/// The link that a next hop of this peer is bound to.
fn via(facts: &PeerFacts, next_hop: &NextHop, next_hops: &NextHops) -> Option<String> {
    if let Some(link) = &facts.link {
        return Some(link.clone());
    }
    // A link-local address means something only on the session's link.
    let link_local = match next_hop {
        NextHop::V6 { global, .. } => global.is_unicast_link_local() || global.is_unspecified(),
        NextHop::V4(_) => false,
    };
    let own = facts.own_v6.map(std::net::IpAddr::V6).or(facts.own_v4.map(std::net::IpAddr::V4));
    link_local.then(|| own.and_then(|own| next_hops.link_of(own)).map(|link| link.name.clone())).flatten()
}

/// The attributes of what we originate: ORIGIN igp, an empty AS_PATH.
fn originated() -> Vec<u8> {
    let mut bytes = Vec::new();
    write_attribute(&mut bytes, flag::TRANSITIVE, attr_code::ORIGIN, &[0]);
    write_attribute(&mut bytes, flag::TRANSITIVE, attr_code::AS_PATH, &[]);
    bytes
}

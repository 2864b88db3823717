//! The routing tables: RIB-In, Loc-RIB and RIB-Out in one structure per destination.
//!
//! A destination holds every path that was received for it ([`table`]); RIB-In of a peer is the set of
//! destinations that have a path of it, Loc-RIB is the first paths of each destination as [`decision`] ordered
//! them, RIB-Out of a peer is the set of destinations that it was told of and the set of those that it must be
//! told of. What a peer is told is computed when its socket can take it: a slow peer coalesces, never queues.
//!
//! Told: updates, sessions up and down, links. Emits: bytes for peers ([`Rib::pull`]), FIB batches.
//! Does not: sessions, timers. RFC 4271 section 3.2 and 9; RFC 4456; RFC 7313.

mod advertise;
pub(crate) mod attrs;
mod backlog;
pub(crate) mod bits;
mod collected;
mod decide;
pub(crate) mod decision;
mod held;
mod host;
mod index;
pub(crate) mod key;
pub(crate) mod nexthop;
mod out;
mod out_paths;
mod receive;
pub(crate) mod slab;
mod stale;
pub(crate) mod table;
mod views;
mod withheld;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hashbrown::HashMap;
use ipnet::IpNet;
use smallvec::SmallVec;
use wire::{Family, FamilySet, attr_code, flag, write_attribute};

use crate::fib::state::FibState;
use crate::fib::{FibBatch, GroupId};
use crate::policy::export::Origination;
use crate::policy::{Own, PeerFacts};
pub(crate) use decide::MAX_PATHS;

use attrs::{AttrId, AttrStore};
use backlog::Job;
use bits::{BitSet, Pending};
use decision::Rules;
use host::HostTable;
use key::Key;
use nexthop::{Neighbors, NextHopId, NextHops, Resolution};
use out::UpdateGroups;
use out_paths::ToldPaths;
use table::{Path, PathId, PeerId, Table};

/// What a peer has of one family.
#[derive(Debug, Default)]
pub(crate) struct PeerRib {
    /// Destinations with a path of it.
    received: BitSet,
    /// Its paths: more than destinations where it sends several (RFC 7911).
    paths: usize,
    refused: usize,
    /// Counts restarts and refreshes, and wraps.
    generation: u8,
    /// How often it was raised since nothing was of an older one.
    raised: u8,
    advertised: BitSet,
    /// Of those advertised: the path contains the peer's own AS, so that it may take them for loops.
    looping: BitSet,
    pending: Pending,
    /// Destinations of which it is told once the kernel has them.
    held: BitSet,
    /// Destinations of which it is not told because the kernel refused them.
    withheld: BitSet,
    /// Of a peer that takes several paths: which, by slot.
    told: HashMap<u32, ToldPaths>,
    /// How many these are.
    told_paths: usize,
    /// Routes that did not fit into a message and were not told, since somebody last asked.
    oversized: usize,
    /// Paths that were too many for one destination and dropped, likewise.
    overflowing: usize,
    /// Our End-of-RIB is owed once `pending` is drained (RFC 4724 section 2).
    owes_end_of_rib: bool,
    /// We announced a refresh and owe its end (RFC 7313).
    owes_end_of_refresh: bool,
    /// The peer asked for everything again: done when all before is told.
    asked_again: Option<Asked>,
    /// A refresh is to be announced before the next update.
    owes_begin_of_refresh: bool,
    pub(crate) end_of_rib_received: bool,
}

/// How a peer asked for everything again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    /// With markers (RFC 7313).
    enhanced: bool,
}

/// A peer with an established session, or one whose paths are kept while it restarts.
#[derive(Debug)]
pub(crate) struct RibPeer {
    pub(crate) facts: PeerFacts,
    /// Negotiated; none while it restarts.
    families: FamilySet,
    /// Its update group; none while it restarts.
    group: Option<usize>,
    ribs: [PeerRib; 2],
}

/// The routing tables.
#[derive(Debug)]
pub(crate) struct Rib {
    pub(crate) own: Own,
    rules: Rules,
    attrs: AttrStore,
    pub(crate) next_hops: NextHops,
    tables: [Table; 2],
    /// By [`PeerId`]; index 0 stays empty.
    peers: Vec<Option<RibPeer>>,
    groups: UpdateGroups,
    /// What is still to be done, in order.
    backlog: VecDeque<Job>,
    /// How many peers take several paths.
    add_path_peers: usize,
    pub(crate) fib: FibState,
    /// The host's own table, when it is asked for.
    host: Option<HostTable>,
    /// What we originate, by prefix.
    local: BTreeMap<IpNet, AttrId>,
    /// What is on a link of ours, also while that is down: whoever else announces it has it from us. The kernel is told
    /// no other way there, which would lead in a circle, and for as long as it is there refuse what is on the link as a
    /// next hop.
    attached: BTreeSet<IpNet>,
    /// For the canonical bytes of the update at hand.
    scratch: Vec<u8>,
}

impl Rib {
    pub(crate) fn new(own: Own) -> Self {
        Self {
            own,
            rules: Rules::default(),
            attrs: AttrStore::default(),
            next_hops: NextHops::new(),
            tables: Default::default(),
            peers: Vec::new(),
            groups: UpdateGroups::default(),
            backlog: VecDeque::new(),
            add_path_peers: 0,
            fib: FibState::default(),
            host: None,
            local: BTreeMap::new(),
            attached: BTreeSet::new(),
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
        // Its number may have been another peer's, whose paths are still being removed.
        self.finish_backlog();
        let group = self.groups.join(&facts);
        let kept = self.peers[index].take();
        let changed = kept.as_ref().is_some_and(|kept| kept.facts != facts);
        let mut ribs = kept.map(|kept| kept.ribs).unwrap_or_default();
        for family in families.iter() {
            ribs[family.index()].owes_end_of_rib = true;
        }
        self.add_path_peers += usize::from(!facts.add_path_send.is_empty());
        self.peers[index] = Some(RibPeer { facts, families, group: Some(group), ribs });
        for family in families.iter() {
            if changed {
                self.judge_again(id, family);
            }
            self.advertise_all(id, family);
        }
    }

    /// A session ended: its paths go, and what was to be told to it. What only its paths led to counts as unreachable at once,
    /// so that the FIB moves with one message; the paths follow as there is time ([`Self::work`]).
    pub(crate) fn peer_down(&mut self, id: PeerId) {
        self.silence(id);
        let Some(peer) = self.peers.get_mut(usize::from(id.0)).and_then(Option::take) else { return };
        let moved = self.next_hops.orphan(id);
        self.fib.next_hops_changed(&moved.ids, &self.next_hops);
        for (family, rib) in Family::ALL.into_iter().zip(peer.ribs) {
            self.queue(Job::Gone { peer: id, family, slots: rib.received.iter().collect() });
        }
    }

    /// Nothing more is told to a peer, and nothing is known any more of what it was told.
    fn silence(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(usize::from(id.0)).and_then(Option::as_mut) else { return };
        let Some(group) = peer.group.take() else { return };
        self.groups.leave(group);
        self.add_path_peers -= usize::from(!peer.facts.add_path_send.is_empty());
        peer.families = FamilySet::NONE;
        for family in Family::ALL {
            let old = std::mem::take(&mut peer.ribs[family.index()]);
            let PeerRib { received, paths, refused, generation, raised, mut pending, .. } = old;
            peer.ribs[family.index()] = PeerRib { received, paths, refused, generation, raised, ..PeerRib::default() };
            let table = &mut self.tables[family.index()];
            while let Some(slot) = pending.pop() {
                table.dests[slot].pending -= 1;
                table.release_if_unused(slot);
            }
        }
    }

    /// What policy knows of a peer changed: its paths are judged again, and what it is told too, unless it is away.
    pub(crate) fn set_facts(&mut self, id: PeerId, facts: PeerFacts) {
        let Some(peer) = self.peers.get_mut(usize::from(id.0)).and_then(Option::as_mut) else {
            return;
        };
        if peer.facts == facts {
            return;
        }
        let told = peer.families;
        if let Some(group) = peer.group {
            peer.group = Some(self.groups.join(&facts));
            self.groups.leave(group);
        }
        let old = std::mem::replace(&mut peer.facts, facts);
        let facts = peer.facts.clone();
        let own = self.own;
        for family in Family::ALL {
            self.judge_again(id, family);
            if told.contains(family) {
                self.readvertise(id, family, &own, &old);
            }
            if Origination::of(&old, family) != Origination::of(&facts, family) {
                self.advertise_from(id, family);
            }
        }
    }

    pub(crate) fn rules(&self) -> Rules {
        self.rules
    }

    /// Changes of ourselves that need no new session.
    pub(crate) fn set_own(&mut self, own: Own, rules: Rules) {
        if self.own == own && self.rules == rules {
            return;
        }
        let old = std::mem::replace(&mut self.own, own);
        self.rules = rules;
        self.decide_all(|_, _| true);
        if old == own {
            return;
        }
        for id in self.ids() {
            for family in Family::ALL {
                self.judge_again(id, family);
                if let Some(facts) =
                    self.peer(id).filter(|peer| peer.families.contains(family)).map(|peer| peer.facts.clone())
                {
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
            self.tell_held();
        }
        let moved = self.next_hops.set_checked(enabled);
        self.next_hops_moved(&moved);
        if enabled && !was {
            self.fib.forget(&mut self.tables);
        }
    }

    /// How many routes a peer has announced in a family, refused ones included.
    pub(crate) fn received(&self, id: PeerId, family: Family) -> usize {
        self.peer(id).map_or(0, |peer| peer.ribs[family.index()].paths)
    }

    /// Whether the peer has sent all it had in every family.
    pub(crate) fn synchronised(&self, id: PeerId) -> bool {
        self.peer(id).is_some_and(|peer| {
            peer.group.is_some() && peer.families.iter().all(|family| peer.ribs[family.index()].end_of_rib_received)
        })
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
                self.remove_paths(family, slot, PeerId::LOCAL, |_, _| true);
            }
        }
        for prefix in wanted.into_keys() {
            if self.local.contains_key(&prefix) {
                continue;
            }
            let attr = self.intern(&originated(), NextHops::LOCAL, 0);
            self.local.insert(prefix, attr);
            let family = Family::of(&prefix);
            let slot = self.tables[family.index()].find_or_insert(Key::new(&prefix));
            self.set_path(family, slot, Path { attr, peer: PeerId::LOCAL, refusal: None, generation: 0 });
            self.release(attr);
        }
    }

    /// What is on links of ours, whether they are up or not.
    pub(crate) fn set_attached(&mut self, attached: BTreeSet<IpNet>) {
        let before = std::mem::replace(&mut self.attached, attached);
        for prefix in before.symmetric_difference(&self.attached) {
            let family = Family::of(prefix);
            let table = &mut self.tables[family.index()];
            if let Some(slot) = table.find(&Key::new(prefix)) {
                self.fib.touch(family, slot, &mut table.dests[slot]);
            }
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

    /// Whether peers are told of a route only once the kernel has it.
    pub(crate) fn set_advertise_after_fib(&mut self, wanted: bool) {
        if std::mem::replace(&mut self.fib.awaited, wanted) && !wanted {
            self.fib.take_settled();
            self.tell_held();
        }
    }

    pub(crate) fn poll_fib(&mut self) -> Option<FibBatch> {
        let batch = self.next_fib_batch();
        self.tell_settled();
        batch
    }

    fn next_fib_batch(&mut self) -> Option<FibBatch> {
        let (attrs, attached) = (&self.attrs, &self.attached);
        self.fib.poll(&mut self.tables, &mut self.next_hops, |family, dest, next_hops| {
            if !attached.is_empty() && attached.contains(&dest.key.prefix(family)) {
                return SmallVec::new();
            }
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
        self.tell_settled();
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

    fn intern(&mut self, bytes: &[u8], next_hop: NextHopId, path_id: PathId) -> AttrId {
        let (attr, fresh) = self.attrs.intern(bytes, next_hop, path_id);
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
}

/// Where a path came from; `None` when its peer is gone.
fn origination(peers: &[Option<RibPeer>], id: PeerId, family: Family) -> Option<Origination> {
    if id == PeerId::LOCAL {
        return Some(Origination::Local);
    }
    peers.get(usize::from(id.0))?.as_ref().map(|peer| Origination::of(&peer.facts, family))
}

/// The attributes of what we originate: ORIGIN igp, an empty AS_PATH.
fn originated() -> Vec<u8> {
    let mut bytes = Vec::new();
    write_attribute(&mut bytes, flag::TRANSITIVE, attr_code::ORIGIN, &[0]);
    write_attribute(&mut bytes, flag::TRANSITIVE, attr_code::AS_PATH, &[]);
    bytes
}

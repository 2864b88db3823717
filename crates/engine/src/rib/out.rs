//! RIB-Out: from pending destinations to UPDATE messages.
//!
//! Peers that must see the same attributes form an update group; a set is rewritten and encoded once per group.
//! What is packed is computed at the moment when a peer's socket can take it, so that a change that was
//! overtaken is never sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use wire::{Family, Refresh, RouteRefresh};

use super::attrs::{AttrId, AttrSet, AttrStore};
use super::collected::{Batch, Collected};
use super::decide::{Standing, usable};
use super::held::Hearing;
use super::table::{Dest, Path, PeerId};
use super::{PeerRib, Rib, RibPeer, origination};
use crate::policy::export::{self, Origination};
use crate::policy::{Own, PeerFacts};

/// Stop collecting of a family for one pull at about this many bytes: enough to fill a socket buffer, little enough that
/// a change does not wait behind it.
pub(super) const PULL_BYTES: usize = 64 * 1024;
/// What a message and a prefix count towards that, its attributes apart.
pub(super) const MESSAGE_BYTES: usize = 32;
pub(super) const PREFIX_BYTES: usize = 8;

/// A set is remembered up to this size: a peer must not fill our memory with a few large ones.
const CACHED_BYTES: usize = 1024;

/// Encoded sets remembered per group, at most; a power of two. Peers of a group drain the same changes at about the same time.
const CACHE: usize = 4096;

/// What the encoding of a route for a peer depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GroupKey {
    external: bool,
    next_hop_self: bool,
    four_octet_as: bool,
    extended_next_hop: bool,
    over_v6: bool,
    own_v4: Option<Ipv4Addr>,
    own_v6: Option<Ipv6Addr>,
    own_link_local: Option<Ipv6Addr>,
    /// The AS that is replaced by ours.
    overridden: Option<u32>,
    bgp_role: Option<wire::Role>,
}

impl GroupKey {
    fn of(facts: &PeerFacts) -> Self {
        Self {
            external: facts.external,
            next_hop_self: facts.next_hop_self,
            four_octet_as: facts.four_octet_as,
            extended_next_hop: facts.extended_next_hop,
            over_v6: matches!(facts.address, IpAddr::V6(_)),
            own_v4: facts.own_v4,
            own_v6: facts.own_v6,
            own_link_local: facts.own_link_local,
            bgp_role: facts.bgp_role,
            overridden: facts.as_override.then_some(facts.asn),
        }
    }
}

/// An encoded set and what it was made from.
#[derive(Clone, Debug)]
struct Encoded {
    attr: AttrId,
    stamp: u32,
    from: Source,
    own: Own,
    bytes: Arc<[u8]>,
}

/// What of a path's origin shows in its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Local,
    External,
    Internal(Ipv4Addr),
}

impl Source {
    pub(super) fn of(from: Origination) -> Self {
        match from {
            Origination::Local => Self::Local,
            Origination::External { .. } => Self::External,
            Origination::Internal { router_id, .. } => Self::Internal(router_id),
        }
    }
}

#[derive(Debug)]
struct Group {
    key: GroupKey,
    members: usize,
    cache: Vec<Option<Encoded>>,
}

/// All update groups. A group without members is reused.
#[derive(Debug, Default)]
pub(super) struct UpdateGroups {
    groups: Vec<Group>,
    /// For the set at hand.
    scratch: Vec<u8>,
}

impl UpdateGroups {
    /// The group of a peer, which becomes a member.
    pub(super) fn join(&mut self, facts: &PeerFacts) -> usize {
        let key = GroupKey::of(facts);
        let found = self.groups.iter().position(|group| group.key == key);
        let index = found.or_else(|| self.groups.iter().position(|group| group.members == 0));
        let index = index.unwrap_or_else(|| {
            self.groups.push(Group { key: key.clone(), members: 0, cache: Vec::new() });
            self.groups.len() - 1
        });
        let group = &mut self.groups[index];
        if group.key != key {
            group.key = key;
            group.cache = Vec::new();
        }
        group.members += 1;
        index
    }

    pub(super) fn leave(&mut self, index: usize) {
        let group = &mut self.groups[index];
        group.members -= 1;
        if group.members == 0 {
            group.cache = Vec::new();
        }
    }

    /// The attributes of a set as this group's peers see them.
    fn encoded(
        &mut self,
        index: usize,
        own: &Own,
        attrs: &AttrStore,
        attr: AttrId,
        from: Origination,
        to: &PeerFacts,
    ) -> Arc<[u8]> {
        let Self { groups, scratch } = self;
        let cache = &mut groups[index].cache;
        let slot = attr.0 as usize % CACHE;
        if slot >= cache.len() {
            // Sets are numbered from 0: few of them need few places.
            cache.resize((slot + 1).next_power_of_two(), None);
        }
        let set = attrs.get(attr);
        let entry = &mut cache[slot];
        let current = |hit: &&mut Encoded| {
            hit.attr == attr && hit.stamp == set.stamp && hit.from == Source::of(from) && hit.own == *own
        };
        if let Some(hit) = entry.as_mut().filter(current) {
            return Arc::clone(&hit.bytes);
        }
        scratch.clear();
        export::write_attributes(scratch, own, set, from, to);
        let bytes: Arc<[u8]> = scratch.as_slice().into();
        let from = Source::of(from);
        if bytes.len() <= CACHED_BYTES {
            *entry = Some(Encoded { attr, stamp: set.stamp, from, own: *own, bytes: Arc::clone(&bytes) });
        }
        bytes
    }
}

/// Whether an external peer finds its own AS in what it is sent: RFC 4271 9.1.2 lets it take that for a loop.
pub(super) fn loops(set: &AttrSet, to: &PeerFacts) -> bool {
    to.external && !to.as_override && set.as_path().count(to.asn) > 0
}

/// What of a destination's best path a peer is to see.
pub(super) fn exported(
    own: &Own,
    peers: &[Option<RibPeer>],
    attrs: &AttrStore,
    dest: &Dest,
    family: Family,
    id: PeerId,
) -> Option<(AttrId, Origination)> {
    passing(own, peers, attrs, &dest.best()?, family, id)
}

/// What of a path a peer is to see.
pub(super) fn passing(
    own: &Own,
    peers: &[Option<RibPeer>],
    attrs: &AttrStore,
    path: &Path,
    family: Family,
    id: PeerId,
) -> Option<(AttrId, Origination)> {
    let to = &peers.get(usize::from(id.0))?.as_ref()?.facts;
    let from = origination(peers, path.peer, family)?;
    let passes = path.peer != id && export::may_pass(own, from, family, to);
    (passes && export::in_scope(attrs.get(path.attr).scope, to)).then_some((path.attr, from))
}

impl Rib {
    /// Whether [`Self::pull`] has something for this peer.
    pub(crate) fn has_output(&self, id: PeerId) -> bool {
        let Some(peer) = self.peer(id) else {
            return false;
        };
        peer.ribs.iter().any(|rib| !rib.pending.is_empty() || rib.owes_marker())
    }

    /// How many routes could not be told to a peer since the last question, because their attributes fill a message.
    pub(crate) fn take_oversized(&mut self, id: PeerId) -> usize {
        let ribs = self.peer_mut(id).map(|peer| &mut peer.ribs);
        ribs.map_or(0, |ribs| ribs.iter_mut().map(|rib| std::mem::take(&mut rib.oversized)).sum())
    }

    /// Appends the next messages for a peer to `out`. Returns how many UPDATEs and ROUTE-REFRESHes they are.
    pub(crate) fn pull(&mut self, id: PeerId, out: &mut Vec<u8>) -> (usize, usize) {
        let (mut updates, mut refreshes) = (0, 0);
        for family in Family::ALL {
            self.answer_request(id, family);
            let Some(peer) = self.peer_mut(id) else {
                return (updates, refreshes);
            };
            if std::mem::take(&mut peer.ribs[family.index()].owes_begin_of_refresh) {
                RouteRefresh { family: family.code(), subtype: Refresh::Begin }.encode(out);
                refreshes += 1;
            }
            let several = peer.facts.add_path_send.contains(family);
            updates += if several { self.pull_paths(id, family, out) } else { self.pull_family(id, family, out) };
            let Some(peer) = self.peer_mut(id) else {
                return (updates, refreshes);
            };
            let rib = &mut peer.ribs[family.index()];
            if !rib.pending.is_empty() || !rib.held.is_empty() {
                continue;
            }
            if std::mem::take(&mut rib.owes_end_of_rib) {
                wire::encode_end_of_rib(out, family);
                updates += 1;
            }
            if std::mem::take(&mut rib.owes_end_of_refresh) {
                RouteRefresh { family: family.code(), subtype: Refresh::End }.encode(out);
                refreshes += 1;
            }
        }
        (updates, refreshes)
    }

    fn pull_family(&mut self, id: PeerId, family: Family, out: &mut Vec<u8>) -> usize {
        let mut collected = Collected::default();
        let mut unused: Vec<u32> = Vec::new();
        let mut bytes = 0;
        while bytes < PULL_BYTES {
            let Some(slot) = self.pop(id, family) else {
                break;
            };
            bytes += PREFIX_BYTES;
            let dest = &self.tables[family.index()].dests[slot];
            let prefix = dest.key.prefix(family);
            if !dest.is_used() {
                unused.push(slot);
            }
            let mut route = exported(&self.own, &self.peers, &self.attrs, dest, family, id);
            if route.is_some() {
                match self.hearing(id, family, slot) {
                    Hearing::Now => {}
                    Hearing::Later => continue,
                    Hearing::Not => route = None,
                }
            }
            let placed = route.and_then(|(attr, from)| {
                collected.batch_of((attr, Source::of(from)), || {
                    let batch = self.batch(id, family, attr, from)?;
                    bytes += MESSAGE_BYTES + batch.attributes.len();
                    Some(batch)
                })
            });
            let Some(rib) = self.peer_mut(id).map(|peer| &mut peer.ribs[family.index()]) else {
                break;
            };
            match placed {
                Some(batch) => {
                    rib.advertised.insert(slot);
                    if collected.is_looping(batch) {
                        rib.looping.insert(slot);
                    } else {
                        rib.looping.remove(slot);
                    }
                    collected.announce(batch, slot, prefix);
                }
                None if rib.advertised.remove(slot) => {
                    rib.looping.remove(slot);
                    collected.withdraw(prefix);
                }
                None => {}
            }
        }
        self.tables[family.index()].release_unused(&unused);
        self.write(id, family, collected, |rib, slot, _| rib.untell(slot), out)
    }

    pub(super) fn pop(&mut self, id: PeerId, family: Family) -> Option<u32> {
        loop {
            let slot = self.peer_mut(id)?.ribs[family.index()].pending.pop()?;
            let dest = &mut self.tables[family.index()].dests[slot];
            dest.pending -= 1;
            let outdated = |best: Path| !usable(&self.attrs, &self.next_hops, &self.peers, &best);
            if !dest.best().is_some_and(outdated) {
                return Some(slot);
            }
            // It waits to be decided again: who is best then is what the peer is to hear.
            let before = Standing::of(dest);
            self.decide(family, slot, &before);
            if !self.peer(id)?.ribs[family.index()].pending.contains(slot) {
                return Some(slot);
            }
        }
    }

    /// An empty batch for a set as a peer sees it; `None` when we have no next hop to send with it.
    pub(super) fn batch(&mut self, id: PeerId, family: Family, attr: AttrId, from: Origination) -> Option<Batch> {
        let peer = self.peers.get(usize::from(id.0))?.as_ref()?;
        let set = self.attrs.get(attr);
        let next_hop = export::next_hop(from, self.next_hops.next_hop(set.next_hop), family, &peer.facts)?;
        let attributes = self.groups.encoded(peer.group?, &self.own, &self.attrs, attr, from, &peer.facts);
        Some(Batch { attributes, next_hop, looping: loops(set, &peer.facts) })
    }
}

impl PeerRib {
    /// The peer has nothing of a destination.
    pub(super) fn untell(&mut self, slot: u32) {
        self.advertised.remove(slot);
        self.looping.remove(slot);
    }

    /// Whether there is one to be sent before the next route.
    fn owes_marker(&self) -> bool {
        let at_the_end = self.owes_end_of_rib || self.owes_end_of_refresh || self.asked_again.is_some();
        self.owes_begin_of_refresh || at_the_end && self.held.is_empty()
    }
}

//! Route listings: destinations with the decision explained.

use std::net::IpAddr;

use ipnet::IpNet;
use wire::{Family, attr_code};

use super::attrs::{AttrId, AttrSet};
use super::bits::BitSet;
use super::decide::{candidates, usable};
use super::key::Key;
use super::nexthop::Resolution;
use super::out::{exported, loops};
use super::table::{Dest, Path, PeerId};
use super::{Rib, decision};
use crate::fib::state::is_installed;
use crate::policy::PeerFacts;
use crate::policy::export::{self, Origination};
use crate::snapshot::{FamilySnapshot, PathView, RouteQuery, RouteView, Select};

/// What a listing is about.
enum Listed<'a> {
    All,
    Received(IpAddr, &'a BitSet),
    Advertised(PeerId, &'a BitSet),
}

impl Listed<'_> {
    fn has(&self, slot: u32, dest: &Dest) -> bool {
        match self {
            Self::All => !dest.paths.is_empty(),
            Self::Received(_, slots) | Self::Advertised(_, slots) => slots.contains(slot),
        }
    }
}

impl Rib {
    /// Counts of a peer, per negotiated family.
    pub(crate) fn counts(&self, id: PeerId) -> Vec<FamilySnapshot> {
        let Some(peer) = self.peer(id) else {
            return Vec::new();
        };
        let count = |family: Family| {
            let rib = &peer.ribs[family.index()];
            FamilySnapshot {
                family,
                received: rib.paths,
                accepted: rib.paths - rib.refused,
                advertised: if peer.facts.add_path_send.contains(family) {
                    rib.told_paths
                } else {
                    rib.advertised.len()
                },
                looping: rib.looping.len(),
                end_of_rib: rib.end_of_rib_received,
            }
        };
        let families = if peer.group.is_some() { peer.families } else { self.kept(id) };
        families.iter().map(count).collect()
    }

    /// Destinations with a path, per family.
    pub(crate) fn sizes(&self) -> Vec<(Family, usize)> {
        Family::ALL.into_iter().map(|family| (family, self.tables[family.index()].len())).collect()
    }

    pub(crate) fn attribute_sets(&self) -> usize {
        self.attrs.len()
    }

    /// One page of a listing. Looks at the whole table for it.
    pub(crate) fn routes(&self, query: &RouteQuery, id_of: impl Fn(IpAddr) -> Option<PeerId>) -> Vec<RouteView> {
        let family = query.family;
        match &query.select {
            Select::Exact(prefix) => {
                let found = self.tables[family.index()].find(&Key::new(prefix));
                found
                    .filter(|_| Family::of(prefix) == family)
                    .map(|slot| self.whole(family, slot))
                    .into_iter()
                    .collect()
            }
            Select::Longest(prefix) if Family::of(prefix) == family => self.longest(prefix).into_iter().collect(),
            Select::Longest(_) => Vec::new(),
            Select::All | Select::Received(_) | Select::Advertised(_) => {
                let (mut prefixes, _) = self.prefixes(family, &query.select, 0, u32::MAX, &id_of);
                prefixes.sort_unstable();
                prefixes.retain(|prefix| query.after.is_none_or(|after| after < *prefix));
                prefixes.truncate(query.limit);
                self.routes_of(family, &query.select, &prefixes, &id_of)
            }
        }
    }

    /// The prefixes of a listing that lie in the next `look` places from `from`, in no order, and where to go on.
    pub(crate) fn prefixes(
        &self,
        family: Family,
        select: &Select,
        from: u32,
        look: u32,
        id_of: impl Fn(IpAddr) -> Option<PeerId>,
    ) -> (Vec<IpNet>, Option<u32>) {
        let Some(listed) = self.listed(family, select, id_of) else { return (Vec::new(), None) };
        let dests = &self.tables[family.index()].dests;
        let end = from.saturating_add(look).min(dests.slots());
        let wanted = (from..end).filter(|&slot| listed.has(slot, &dests[slot]));
        let prefixes = wanted.map(|slot| dests[slot].key.prefix(family)).collect();
        (prefixes, (end < dests.slots()).then_some(end))
    }

    /// Those of the destinations with these prefixes that a listing is about.
    pub(crate) fn routes_of(
        &self,
        family: Family,
        select: &Select,
        prefixes: &[IpNet],
        id_of: impl Fn(IpAddr) -> Option<PeerId>,
    ) -> Vec<RouteView> {
        let Some(listed) = self.listed(family, select, id_of) else { return Vec::new() };
        let table = &self.tables[family.index()];
        let found = prefixes.iter().filter_map(|prefix| table.find(&Key::new(prefix)));
        let wanted = found.filter(|&slot| listed.has(slot, &table.dests[slot]));
        let views = wanted.filter_map(|slot| match &listed {
            Listed::All => Some(self.view(family, slot)),
            Listed::Received(from, _) => {
                let mut view = self.view(family, slot);
                view.paths.retain(|path| path.peer == Some(*from));
                Some(view)
            }
            Listed::Advertised(id, _) => self.advertised_view(family, slot, *id),
        });
        views.collect()
    }

    /// What a listing is about; `None` for an unknown peer, and for what is no listing.
    fn listed(&self, family: Family, select: &Select, id_of: impl Fn(IpAddr) -> Option<PeerId>) -> Option<Listed<'_>> {
        let rib = |address: IpAddr| {
            let id = id_of(address)?;
            Some((id, &self.peer(id)?.ribs[family.index()]))
        };
        match *select {
            Select::All => Some(Listed::All),
            Select::Received(from) => rib(from).map(|(_, rib)| Listed::Received(from, &rib.received)),
            Select::Advertised(to) => rib(to).map(|(id, rib)| Listed::Advertised(id, &rib.advertised)),
            Select::Exact(_) | Select::Longest(_) => None,
        }
    }

    fn longest(&self, prefix: &IpNet) -> Option<RouteView> {
        let family = Family::of(prefix);
        let table = &self.tables[family.index()];
        (0..=prefix.prefix_len()).rev().find_map(|length| {
            let covering = IpNet::new(prefix.addr(), length).ok()?.trunc();
            let slot = table.find(&Key::new(&covering))?;
            (!table.dests[slot].paths.is_empty()).then(|| self.whole(family, slot))
        })
    }

    /// With what a listing leaves out.
    fn whole(&self, family: Family, slot: u32) -> RouteView {
        RouteView { withheld: self.withheld(family, slot), ..self.view(family, slot) }
    }

    fn view(&self, family: Family, slot: u32) -> RouteView {
        let dest = &self.tables[family.index()].dests[slot];
        let prefix = dest.key.prefix(family);
        // As decided now: the tables may have something left to do.
        let known = |path: &&Path| path.peer == PeerId::LOCAL || self.peer(path.peer).is_some();
        let mut paths: Vec<Path> = dest.paths.iter().filter(known).copied().collect();
        paths.sort_by_key(|path| !usable(&self.attrs, &self.next_hops, &self.peers, path));
        let incumbent = dest.best().map(|best| (best.peer, self.attrs.get(best.attr).path_id));
        let candidates = candidates(&self.attrs, &self.next_hops, &self.peers, &paths, incumbent);
        let decision = (!candidates.is_empty()).then(|| decision::decide(&candidates, self.rules));
        let order = decision.iter().flat_map(|decision| &decision.order).map(|index| usize::from(*index));
        let order: Vec<usize> = order.chain(candidates.len()..paths.len()).collect();
        let ways = decision.as_ref().map_or(0, |decision| usize::from(decision.ways));
        let paths = order.into_iter().enumerate().map(|(place, index)| {
            let path = &paths[index];
            let lost = decision.as_ref().and_then(|decision| decision.lost.get(index).copied());
            let best = place == 0 && ways > 0;
            let reason = match (best, lost) {
                (true, _) => decision.as_ref().map_or("", |decision| decision.settled.won()).to_string(),
                (false, Some(reason)) => reason.lost().to_string(),
                (false, None) => self.unusable(path),
            };
            let multipath = ways > 1 && place < ways;
            PathView { usable: lost.is_some(), best, multipath, reason, ..self.path_view(family, path) }
        });
        let told = |(index, peer): (usize, &Option<super::RibPeer>)| {
            let peer = peer.as_ref()?;
            peer.ribs[family.index()].advertised.contains(slot).then_some((index, peer.facts.address))
        };
        let mut advertised_to: Vec<IpAddr> =
            self.peers.iter().enumerate().filter_map(told).map(|(_, address)| address).collect();
        advertised_to.sort_unstable();
        RouteView {
            prefix,
            installed: self.installed(dest, &prefix),
            refusal: self.fib.failure(&prefix).map(str::to_owned),
            paths: paths.collect(),
            advertised_to,
            withheld: Vec::new(),
        }
    }

    fn installed(&self, dest: &Dest, prefix: &IpNet) -> Option<bool> {
        if !self.fib.enabled {
            return None;
        }
        if self.fib.failure(prefix).is_some() {
            return Some(false);
        }
        let forwards = dest.best().is_some_and(|best| best.peer != PeerId::LOCAL);
        forwards.then_some(is_installed(dest.fib) && !self.fib.is_gone(dest))
    }

    fn unusable(&self, path: &Path) -> String {
        if let Some(refusal) = path.refusal {
            return refusal.text(&self.own);
        }
        let next_hop = self.attrs.get(path.attr).next_hop;
        debug_assert!(!usable(&self.attrs, &self.next_hops, &self.peers, path));
        format!("next hop {} is not reachable", self.next_hops.next_hop(next_hop).address())
    }

    fn path_view(&self, family: Family, path: &Path) -> PathView {
        let set = self.attrs.get(path.attr);
        let local = path.peer == PeerId::LOCAL;
        let link = match self.next_hops.resolution(set.next_hop) {
            Resolution::Via(hop) => {
                self.next_hops.links().iter().find(|link| link.index == hop.link).map(|link| link.name.clone())
            }
            Resolution::Local | Resolution::Unchecked | Resolution::Own | Resolution::Unreachable => None,
        };
        let next_hop = (!local).then(|| self.next_hops.next_hop(set.next_hop).address());
        let peer = self.peer(path.peer);
        let several = peer.is_some_and(|peer| peer.facts.add_path_receive.contains(family));
        let (path_id, peer) = (several.then_some(set.path_id), peer.map(|peer| peer.facts.address));
        attributes_view(
            set,
            PathView { peer, path_id, stale: self.is_stale(family, path), next_hop, link, ..PathView::default() },
        )
    }

    /// What a peer is told of a destination, as it is sent.
    fn advertised_view(&self, family: Family, slot: u32, id: PeerId) -> Option<RouteView> {
        let dest = &self.tables[family.index()].dests[slot];
        let prefix = dest.key.prefix(family);
        let peer = self.peer(id)?;
        let paths: Vec<PathView> = if peer.facts.add_path_send.contains(family) {
            let told = peer.ribs[family.index()].told.get(&slot).into_iter().flatten();
            let wanted = self.exported_paths(family, slot, id);
            let sent = told.filter_map(|told| {
                let source = |(attr, _, from): &&(AttrId, _, PeerId)| {
                    *from == told.peer && self.attrs.get(*attr).path_id == told.received
                };
                let &(attr, from, source) = wanted.iter().find(source)?;
                let view = self.sent_view(family, attr, from, source, &peer.facts)?;
                Some(PathView { path_id: Some(told.id), ..view })
            });
            sent.collect()
        } else {
            let (attr, from) = exported(&self.own, &self.peers, &self.attrs, dest, family, id)?;
            self.sent_view(family, attr, from, dest.best()?.peer, &peer.facts).into_iter().collect()
        };
        let (installed, refusal) = (self.installed(dest, &prefix), self.fib.failure(&prefix).map(str::to_owned));
        let (advertised_to, withheld) = (Vec::new(), Vec::new());
        (!paths.is_empty()).then_some(RouteView { prefix, installed, refusal, paths, advertised_to, withheld })
    }

    /// A path as a peer sees it.
    fn sent_view(
        &self,
        family: Family,
        attr: AttrId,
        from: Origination,
        source: PeerId,
        to: &PeerFacts,
    ) -> Option<PathView> {
        let set = self.attrs.get(attr);
        let next_hop = export::next_hop(from, self.next_hops.next_hop(set.next_hop), family, to)?;
        let mut bytes = Vec::new();
        export::write_canonical(&mut bytes, &self.own, set, from, to);
        let view = PathView {
            peer: self.peer(source).map(|peer| peer.facts.address),
            usable: true,
            best: true,
            reason: if loops(set, to) { refused_as_loop(to.asn) } else { String::new() },
            next_hop: Some(next_hop.address()),
            ..PathView::default()
        };
        Some(attributes_view(&AttrSet::detached(&bytes, set.next_hop), view))
    }
}

/// Fills in what the attributes say.
fn attributes_view(set: &AttrSet, view: PathView) -> PathView {
    let word = |code| set.value(code).and_then(|value| value.try_into().ok()).map(u32::from_be_bytes);
    let mut communities = Vec::new();
    if let Some(value) = set.value(attr_code::COMMUNITIES) {
        communities.extend(wire::communities(value).map(|value| wire::Community(value).to_string()));
    }
    if let Some(value) = set.value(attr_code::EXTENDED_COMMUNITIES) {
        communities.extend(wire::extended_communities(value).map(|value| wire::ExtendedCommunity(value).to_string()));
    }
    if let Some(value) = set.value(attr_code::LARGE_COMMUNITIES) {
        communities.extend(wire::large_communities(value).map(|(a, b, c)| format!("{a}:{b}:{c}")));
    }
    PathView {
        as_path: set.as_path().to_string(),
        origin: set.origin.name(),
        med: word(attr_code::MED),
        local_pref: word(attr_code::LOCAL_PREF),
        communities,
        ..view
    }
}

fn refused_as_loop(asn: u32) -> String {
    format!(
        "the peer's own AS {asn} is in the path: it refuses this as a loop unless it allows its own AS, or asOverride is set"
    )
}

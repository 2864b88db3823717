//! RIB-In: from UPDATE messages to paths, and the refresh of what a peer has said.

use ipnet::IpNet;
use smallvec::SmallVec;
use wire::{Family, NextHop, Update};

use super::Rib;
use super::key::Key;
use super::nexthop::{NextHopKey, NextHops};
use super::table::{AHEAD, Path, PathId, PeerId, Refusal, Sought};
use crate::policy::{PeerFacts, import};

/// Prefixes of a message, looked for before the first one is dealt with.
type Ahead<T> = SmallVec<[T; AHEAD]>;

impl Rib {
    /// Takes an UPDATE of an established peer.
    pub(crate) fn receive(&mut self, id: PeerId, update: &Update<'_>) {
        for nlri in update.withdrawn() {
            let family = nlri.family();
            let mut paths = nlri.paths();
            loop {
                let table = &self.tables[family.index()];
                let seek = |(path_id, prefix)| (path_id, table.seek(Key::new(&prefix)));
                let some: Ahead<(PathId, Sought)> = paths.by_ref().take(AHEAD).map(seek).collect();
                for (path_id, sought) in &some {
                    if let Some(slot) = self.tables[family.index()].found(sought) {
                        // Without path identifiers both are zero.
                        self.remove_paths(family, slot, id, |attrs, path| attrs.get(path.attr).path_id == *path_id);
                    }
                }
                if some.len() < AHEAD {
                    break;
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
        let moved = self.next_hops.adopt(tracked);
        self.fib.next_hops_changed(moved.as_slice(), &self.next_hops);
        let Some(peer) = self.peers.get(usize::from(id.0)).and_then(Option::as_ref) else { return };
        let filtered = !peer.facts.allowed_prefixes.is_empty();
        let family = nlri.family();
        let mut paths = nlri.paths().peekable();
        // One set for all prefixes that follow each other with the same identifier: for all, where there are none.
        while let Some(&(path_id, _)) = paths.peek() {
            let Some(peer) = self.peers.get(usize::from(id.0)).and_then(Option::as_ref) else { return };
            let (attr, fresh) = self.attrs.intern(canonical, tracked, path_id);
            if fresh {
                self.next_hops.retain(tracked);
            }
            let resolution = self.next_hops.resolution(tracked);
            let refusal = import::refusal(&self.own, &peer.facts, self.attrs.get(attr), resolution);
            let generation = peer.ribs[family.index()].generation;
            let path = Path { attr, peer: id, refusal, generation };
            loop {
                let table = &self.tables[family.index()];
                let next = || paths.next_if(|(next, _)| *next == path_id);
                let seek = |(_, prefix)| (prefix, table.seek(Key::new(&prefix)));
                let some: Ahead<(IpNet, Sought)> = std::iter::from_fn(next).take(AHEAD).map(seek).collect();
                for (prefix, sought) in &some {
                    let refusal = if filtered { refusal.or_else(|| self.prefix_refusal(id, prefix)) } else { refusal };
                    let path = Path { refusal, ..path };
                    let slot = self.tables[family.index()].found_or_insert(sought);
                    self.set_path(family, slot, path);
                }
                if some.len() < AHEAD {
                    break;
                }
            }
            self.release(attr);
        }
    }

    /// How many of a peer's paths were dropped since the last question, because a destination had too many.
    pub(crate) fn take_overflowing(&mut self, id: PeerId) -> usize {
        let ribs = self.peer_mut(id).map(|peer| &mut peer.ribs);
        ribs.map_or(0, |ribs| ribs.iter_mut().map(|rib| std::mem::take(&mut rib.overflowing)).sum())
    }

    fn prefix_refusal(&self, id: PeerId, prefix: &IpNet) -> Option<Refusal> {
        self.peer(id).and_then(|peer| import::prefix_refusal(&peer.facts, prefix))
    }

    /// The peer's End-of-RIB marker arrived.
    pub(crate) fn end_of_rib(&mut self, id: PeerId, family: Family) {
        if let Some(peer) = self.peer_mut(id) {
            peer.ribs[family.index()].end_of_rib_received = true;
        }
    }

    /// The peer begins to send everything again: what it does not repeat by the end is gone (RFC 7313).
    pub(crate) fn refresh_begins(&mut self, id: PeerId, family: Family) {
        self.mark_stale(id, family);
    }

    /// See [`Self::refresh_begins`].
    pub(crate) fn refresh_ends(&mut self, id: PeerId, family: Family) {
        self.sweep_stale(id, family);
    }
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

//! Configuration: from one intent to the next, resetting only what must be.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use ipnet::{IpNet, Ipv6Net};
use wire::{Notification, code};

use crate::action::{Action, Admission, Level};
use crate::intent::{Intent, Network, PeerIntent};
use crate::peer::{Dialler, HeldDown, Origin, Peer, PeerAddress};
use crate::policy::Own;
use crate::rib::decision::Rules;
use crate::rib::nexthop::Neighbors;
use crate::rib::table::PeerId;
use crate::{CONVERGENCE, Engine};

impl Engine {
    /// A new configuration: only the sessions whose own parameters changed are reset.
    pub(crate) fn set_intent(&mut self, now: Instant, new: Intent) {
        let own = Own {
            asn: new.asn,
            router_id: new.router_id,
            cluster_id: new.cluster_id.unwrap_or(new.router_id),
            reflector: new.cluster_id.is_some(),
            draining: self.rib.own.draining,
        };
        self.remove_unwanted(now, &new);
        if self.rib.fib.enabled && !new.fib {
            self.actions.push_back(Action::ClearFib);
        }
        self.rib.set_fib(new.fib);
        self.rib.set_advertise_after_fib(new.advertise_after_fib);
        if new.fib && !self.converged && self.converging.is_none() {
            self.converging = Some(now + CONVERGENCE);
        }
        let table_changed = self.intent.as_ref().is_some_and(|old| old.host_routes != new.host_routes);
        self.rib.set_host_routes(new.host_routes.clone());
        if self.converged && table_changed {
            self.rib.host_sweep();
        }
        let old = self.intent.replace(new.clone());
        match old {
            None => self.begin_deferral(now),
            Some(old) => self.introduce(now, &old, &new),
        }
        self.rib.set_neighbors(neighbors(&new));
        self.rib.set_own(own, Rules { multipath: new.multipath, prefer_oldest: new.prefer_oldest });
        self.refresh_local();
        for (address, peer) in new.peers {
            self.set_peer(now, address, peer);
        }
        for (link, peer) in new.unnumbered {
            self.set_unnumbered(now, link, peer);
        }
        self.set_ranges(now);
        self.refresh_facts();
        self.bfd_changed = true;
        self.admit();
    }

    /// Says by new sessions who we have become, to those who must know. An OPEN that is under way says what we were.
    fn introduce(&mut self, now: Instant, old: &Intent, new: &Intent) {
        if (old.asn, old.router_id) == (new.asn, new.router_id) {
            return;
        }
        let is_opening = |peer: &Peer| !peer.connections.is_empty() && peer.established().is_none();
        let must = |peer: &&Peer| is_opening(peer) || new.is_new_to(old, &peer.intent);
        for id in self.peers.values().filter(must).map(|peer| peer.id).collect::<Vec<_>>() {
            self.restart(now, id, &Notification::cease(code::cease::OTHER_CONFIGURATION_CHANGE));
        }
    }

    /// Takes away the peers that the new intent does not have. One of a range whose very address is configured from here on
    /// becomes that neighbour, with its session.
    fn remove_unwanted(&mut self, now: Instant, new: &Intent) {
        for peer in self.peers.values_mut().filter(|peer| matches!(peer.origin, Origin::Range(..))) {
            let Some(configured) = new.peers.get(&peer.address.ip).filter(|_| peer.address.scope == 0) else {
                continue;
            };
            peer.origin = Origin::Configured;
            // Who dials is settled: there is a connection, or it is dialled from here on.
            peer.intent.passive = configured.passive;
            if peer.connections.is_empty() && peer.dials() && peer.held_down.is_none() {
                peer.dialler = Dialler::Waiting(now);
            }
        }
        let unwanted = |peer: &&Peer| match &peer.origin {
            Origin::Configured => !new.peers.contains_key(&peer.address.ip),
            Origin::Range(prefix, link) => {
                !new.ranges.iter().any(|range| range.prefix == *prefix && range.link == *link)
            }
            Origin::Link => false,
        };
        let gone: Vec<PeerId> = self.peers.values().filter(unwanted).map(|peer| peer.id).collect();
        for id in gone {
            // Nor does anybody wait for it after a restart.
            if let (Some(peer), Some(awaited)) = (self.peers.get(&id), &mut self.awaited) {
                awaited.retain(|address| *address != peer.address.ip);
            }
            self.remove_peer(now, id);
        }
        let links: Vec<String> =
            self.by_link.keys().filter(|link| !new.unnumbered.contains_key(*link)).cloned().collect();
        for link in links {
            if let Some(id) = self.by_link.remove(&link) {
                self.remove_peer(now, id);
            }
        }
    }

    fn set_peer(&mut self, now: Instant, address: IpAddr, new: PeerIntent) {
        let address = PeerAddress::global(address);
        match self.by_address.get(&address) {
            Some(&id) => self.change_peer(now, id, new),
            None => {
                let Some(id) = self.free_id() else { return };
                self.by_address.insert(address, id);
                let mut peer = Peer::new(id, address, new, now);
                if matches!(peer.dialler, Dialler::Waiting(_)) {
                    peer.dialler = Dialler::Waiting(self.first_dial(now));
                }
                self.peers.insert(id, peer);
            }
        }
    }

    fn change_peer(&mut self, now: Instant, id: PeerId, new: PeerIntent) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let reset = peer.intent.session_changed(&new);
        let limits_changed = peer.intent.max_prefixes != new.max_prefixes;
        peer.intent = new;
        if reset || (limits_changed && matches!(peer.held_down, Some(HeldDown::TooMany { .. }))) {
            self.restart(now, id, &Notification::cease(code::cease::OTHER_CONFIGURATION_CHANGE));
        } else if limits_changed {
            peer.warned = [false; 2];
            self.check_limits(now, id);
        }
    }

    /// An unnumbered neighbour: its address is not known before it was heard.
    fn set_unnumbered(&mut self, now: Instant, link: String, new: PeerIntent) {
        if let Some(&id) = self.by_link.get(&link) {
            return self.change_peer(now, id, new);
        }
        let Some(id) = self.free_id() else { return };
        let mut peer = Peer::new(id, PeerAddress::UNKNOWN, new, now);
        peer.origin = Origin::Link;
        peer.dialler = Dialler::Resting;
        self.by_link.insert(link, id);
        self.peers.insert(id, peer);
    }

    /// A router was heard, or lost, on the link of an unnumbered neighbour.
    pub(crate) fn neighbor(&mut self, now: Instant, link: &str, index: u32, address: Option<Ipv6Addr>) {
        let Some(&id) = self.by_link.get(link) else { return };
        let Some(peer) = self.peers.get(&id) else { return };
        let Some(address) = address else {
            // Advertisements may get lost; a session that is up knows better.
            if peer.connections.is_empty() {
                self.move_peer(now, id, PeerAddress::UNKNOWN);
            }
            return;
        };
        let address = PeerAddress { ip: IpAddr::V6(address), scope: index };
        let (name, up) = (peer.intent.name.clone(), peer.established().is_some());
        if peer.address == address {
            return self.set_moving(id, None);
        }
        if up {
            // Somebody else on the segment, or a new address of the same: the hold timer tells.
            return self.set_moving(id, Some(address));
        }
        self.note(Some(address.ip), Level::Info, format!("{name} is {} on {link}", address.ip));
        self.move_peer(now, id, address);
    }

    fn set_moving(&mut self, id: PeerId, address: Option<PeerAddress>) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.moving = address;
        }
    }

    /// Gives an unnumbered neighbour another address: what was there before is over.
    pub(crate) fn move_peer(&mut self, now: Instant, id: PeerId, address: PeerAddress) {
        self.set_moving(id, None);
        self.stop(now, id, Some(&Notification::cease(code::cease::OTHER_CONFIGURATION_CHANGE)));
        self.drop_stale(id);
        self.unmap(id);
        let dial = self.first_dial(now);
        // A peer that was made from a range for this address gives way.
        if let Some(other) = self.by_address.get(&address).copied() {
            self.remove_peer(now, other);
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.failures = 0;
        peer.bfd = None;
        peer.address = address;
        self.bfd_changed = true;
        if address == PeerAddress::UNKNOWN {
            peer.dialler = Dialler::Resting;
        } else {
            self.by_address.insert(address, id);
            peer.dialler = if peer.dials() { Dialler::Waiting(dial) } else { Dialler::Resting };
        }
    }

    /// Forgets which peer an address belongs to.
    pub(crate) fn unmap(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(&id) else { return };
        if self.by_address.get(&peer.address) == Some(&id) {
            self.by_address.remove(&peer.address);
        }
    }

    /// Passes changes of ranges on to the peers that exist because of them.
    fn set_ranges(&mut self, now: Instant) {
        for id in self.ids() {
            let Some(peer) = self.peers.get(&id) else { continue };
            let Origin::Range(prefix, link) = &peer.origin else { continue };
            let Some(range) = self.range_named(*prefix, link) else { continue };
            let name = format!("{} {}", range.peer.name, peer.address.ip);
            let intent = PeerIntent { name, passive: true, ..range.peer.clone() };
            self.change_peer(now, id, intent);
        }
    }

    /// The lowest number that no peer has; 0 is ourselves.
    pub(crate) fn free_id(&self) -> Option<PeerId> {
        (1..=u16::MAX).map(PeerId).find(|id| !self.peers.contains_key(id))
    }

    pub(crate) fn ids(&self) -> Vec<PeerId> {
        self.peers.keys().copied().collect()
    }

    /// Originates what is to be originated while its link is up.
    pub(crate) fn refresh_local(&mut self) {
        let Some(intent) = &self.intent else { return };
        let up =
            |network: &&Network| network.while_link_up.as_ref().is_none_or(|link| self.rib.next_hops.link_up(link));
        let prefixes: Vec<_> = intent.networks.iter().filter(up).map(|network| network.prefix.trunc()).collect();
        self.rib.set_local(prefixes.into_iter());
        let attached = intent.networks.iter().filter(|network| network.while_link_up.is_some());
        self.rib.set_attached(attached.map(|network| network.prefix.trunc()).collect());
    }

    /// Tells the listening sockets whose connections to expect, and with which options.
    fn admit(&mut self) {
        let Some(intent) = &self.intent else { return };
        let admission = |prefix: IpNet, link: Option<&String>, peer: &PeerIntent| Admission {
            prefix,
            link: link.cloned(),
            password: peer.password.clone(),
            ttl: peer.ttl,
            ttl_security: peer.ttl_security,
        };
        let peers =
            intent.peers.iter().map(|(address, peer)| admission(IpNet::from(*address), peer.link.as_ref(), peer));
        let ranges = intent.ranges.iter().map(|range| admission(range.prefix, range.link.as_ref(), &range.peer));
        let link_local = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10));
        let unnumbered = intent.unnumbered.iter().map(|(link, peer)| admission(link_local, Some(link), peer));
        let admitted: Vec<Admission> = peers.chain(ranges).chain(unnumbered).collect();
        if self.admitted.as_ref() != Some(&admitted) {
            self.admitted = Some(admitted.clone());
            self.actions.push_back(Action::Admit(admitted));
        }
    }
}

/// The configured neighbours of the links that peers are bound to. Where a link has several of a family, the one with
/// the lowest address.
fn neighbors(intent: &Intent) -> BTreeMap<String, Neighbors> {
    let mut all: BTreeMap<String, Neighbors> = BTreeMap::new();
    for (address, peer) in &intent.peers {
        let Some(link) = &peer.link else { continue };
        let of_link = all.entry(link.clone()).or_default();
        match *address {
            IpAddr::V4(address) => of_link.v4 = of_link.v4.or(Some(address)),
            IpAddr::V6(address) => of_link.v6 = of_link.v6.or(Some(address)),
        }
    }
    all
}

//! Reading the engine: snapshots and route pages. Never part of a decision.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use ipnet::IpNet;
use wire::{DecodeContext, Family, FamilySet};

use crate::intent::RemoteAs;
use crate::peer::negotiate::PeerRestart;
use crate::peer::{Origin, Peer};
use crate::rib::table::PeerId;
use crate::snapshot::{
    BfdSnapshot, FamilySnapshot, PeerSnapshot, PeerState, RestartSnapshot, RouteQuery, RouteView, Select, Sender,
    Snapshot,
};
use crate::{ConnId, Engine};

impl Engine {
    /// The state of everything but the routes. Costs as much as there are peers.
    pub fn snapshot(&self, _now: Instant) -> Snapshot {
        let own = self.rib.own;
        let mut peers: Vec<PeerSnapshot> = self.peers.values().map(|peer| self.peer_snapshot(peer)).collect();
        peers.sort_by(|one, other| (one.address, &one.link, &one.name).cmp(&(other.address, &other.link, &other.name)));
        Snapshot {
            asn: own.asn,
            router_id: own.router_id,
            peers,
            destinations: self.rib.sizes(),
            attribute_sets: self.rib.attribute_sets(),
            fib: self.rib.fib.snapshot(),
            drain: self.drain_snapshot(),
        }
    }

    /// Whom a connection is with.
    pub fn sender(&self, conn: ConnId) -> Option<Sender<'_>> {
        let peer = self.peers.get(self.connections.get(&conn)?)?;
        Some(Sender { peer: peer.address.ip, link: self.link_of(peer) })
    }

    /// How messages on a connection are read: the peer's, and ours as the peer reads them. Before both OPENs are there, as
    /// if nothing had been agreed.
    pub fn contexts(&self, conn: ConnId) -> [DecodeContext; 2] {
        let nothing = DecodeContext {
            four_octet_as: true,
            external: false,
            families: Family::ALL.into_iter().collect(),
            extended_next_hop: true,
            add_path: FamilySet::default(),
        };
        let peer = self.connections.get(&conn).and_then(|id| self.peers.get(id));
        let connection = peer.and_then(|peer| peer.connections.iter().find(|connection| connection.id == conn));
        let Some(session) = connection.and_then(|connection| connection.state.session()) else { return [nothing; 2] };
        let agreed = &session.agreed;
        let theirs = DecodeContext {
            four_octet_as: agreed.four_octet_as,
            external: agreed.external,
            families: agreed.families,
            extended_next_hop: agreed.extended_next_hop,
            add_path: agreed.add_path_receive,
        };
        // Nothing is left out of what we say, whatever the peer makes of it.
        [theirs, DecodeContext { external: false, add_path: agreed.add_path_send, ..theirs }]
    }

    /// One page of routes in prefix order. A listing costs a look at the whole table for each page: who must not hold the
    /// router up asks for [`Self::prefixes`] and [`Self::routes_of`] instead.
    pub fn routes(&self, query: &RouteQuery) -> Vec<RouteView> {
        self.rib.routes(query, |address| self.first_of(address))
    }

    /// A part of the prefixes of a listing ([`Select::All`], `Received` or `Advertised`), in no order: those in the next
    /// `look` places of the table from `from`, zero for the first, and where the next part begins.
    pub fn prefixes(&self, family: Family, select: &Select, from: u32, look: u32) -> (Vec<IpNet>, Option<u32>) {
        self.rib.prefixes(family, select, from, look, |address| self.first_of(address))
    }

    /// The routes of a listing to these prefixes, in their order; what has gone in the meantime is left out.
    pub fn routes_of(&self, family: Family, select: &Select, prefixes: &[IpNet]) -> Vec<RouteView> {
        self.rib.routes_of(family, select, prefixes, |address| self.first_of(address))
    }

    fn first_of(&self, address: IpAddr) -> Option<PeerId> {
        self.ids_of(address).first().copied()
    }

    /// The link that a peer is bound to, or that its link-local address is on.
    pub(crate) fn link_of<'a>(&'a self, peer: &'a Peer) -> Option<&'a str> {
        let bound = peer.intent.link.as_deref();
        let unnumbered = || self.by_link.iter().find(|(_, id)| **id == peer.id).map(|(link, _)| link.as_str());
        let links = self.rib.next_hops.links();
        let scope = || links.iter().find(|link| link.index == peer.address.scope).map(|link| link.name.as_str());
        bound.or_else(unnumbered).or_else(scope)
    }

    /// As [`Peer::state`]; nobody is waited for while the router is drained.
    fn state_of(&self, peer: &Peer) -> PeerState {
        let state = peer.state();
        if state == PeerState::Active && self.drained().is_some() { PeerState::Idle } else { state }
    }

    fn peer_snapshot(&self, peer: &Peer) -> PeerSnapshot {
        let established = peer.established();
        let agreed = established.map(|(_, session)| &session.agreed);
        let configured = match peer.intent.remote_as {
            RemoteAs::Number(asn) => Some(asn),
            RemoteAs::Internal => Some(self.rib.own.asn),
            RemoteAs::External => None,
        };
        let idle = |family: &Family| FamilySnapshot {
            family: *family,
            received: 0,
            accepted: 0,
            advertised: 0,
            looping: 0,
            end_of_rib: false,
        };
        PeerSnapshot {
            address: peer.address.ip,
            link: self.link_of(peer).map(str::to_owned),
            range: match &peer.origin {
                Origin::Range(prefix, _) => Some(*prefix),
                Origin::Configured | Origin::Link => None,
            },
            name: peer.intent.name.clone(),
            role: peer.intent.role,
            asn: agreed.map(|agreed| agreed.asn).or(configured).or(peer.asn),
            state: self.state_of(peer),
            since: peer.since,
            flaps: peer.flaps,
            endpoints: established.map(|(connection, _)| (connection.local, connection.remote)),
            router_id: agreed.map(|agreed| agreed.router_id).filter(|id| *id != Ipv4Addr::UNSPECIFIED),
            hold_time: agreed.map(|agreed| agreed.hold_time),
            capabilities: agreed.map(|agreed| agreed.capabilities()).unwrap_or_default(),
            families: match agreed {
                None if peer.stale_until.is_some() => self.rib.counts(peer.id),
                Some(_) => self.rib.counts(peer.id),
                None => peer.intent.families.iter().map(idle).collect(),
            },
            received: peer.received,
            sent: peer.sent,
            last_error: peer.last_error.clone(),
            malformed: peer.malformed,
            malformed_attributes: peer.malformed_attributes.clone(),
            kept_until: peer.stale_until,
            restart: agreed.and_then(|agreed| {
                let PeerRestart { time, families, .. } = agreed.restart?;
                Some(RestartSnapshot { time, families: families.iter().collect(), notification: agreed.notification })
            }),
            bfd: peer.bfd.as_ref().map(|bfd| BfdSnapshot {
                up: bfd.up,
                admin_down: bfd.admin_down,
                since: bfd.since,
                reason: bfd.reason.clone(),
            }),
            shut_down: peer.is_shut_down(),
        }
    }
}

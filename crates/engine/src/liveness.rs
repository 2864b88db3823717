//! What BFD (RFC 5880) says of the way to a peer, and what follows for BGP (RFC 5882).
//!
//! The driver keeps the BFD sessions ([`crate::bfd`]); here is which ones are wanted, and what their going down means. A session
//! that goes down takes the BGP session along: the way is broken, so nothing is kept of the peer. Where the peer is already
//! restarting gracefully (its TCP connection died first), BFD going down too is what such a restart looks like, unless the
//! peer says that its BFD does not share the fate of its control plane (the C bit, RFC 5882 section 4.3).

use std::net::IpAddr;
use std::time::Instant;

use wire::{Notification, code};

use crate::Engine;
use crate::action::{Action, BfdPeer, Level};
use crate::event::Liveness;
use crate::peer::{Peer, PeerAddress};
use crate::rib::table::PeerId;

/// What is known of the way to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bfd {
    pub(crate) up: bool,
    /// The peer holds it down on purpose.
    pub(crate) admin_down: bool,
    pub(crate) since: Instant,
    pub(crate) reason: String,
}

impl Engine {
    /// Tells the driver which sessions are wanted, when that has changed.
    pub(crate) fn want_bfd(&mut self) {
        if !std::mem::take(&mut self.bfd_changed) {
            return;
        }
        let wanted: Vec<BfdPeer> = self.peers.values().filter_map(|peer| self.bfd_peer(peer)).collect();
        for peer in self.peers.values_mut().filter(|peer| peer.intent.bfd.is_none()) {
            peer.bfd = None;
        }
        if wanted != self.bfd {
            self.bfd.clone_from(&wanted);
            self.actions.push_back(Action::Bfd(wanted));
        }
    }

    fn bfd_peer(&self, peer: &Peer) -> Option<BfdPeer> {
        let settings = peer.intent.bfd?;
        if peer.address == PeerAddress::UNKNOWN || peer.is_shut_down() || self.drained().is_some() {
            return None;
        }
        Some(BfdPeer {
            peer: peer.address.ip,
            link: self.link_of(peer).map(str::to_owned),
            local: peer.intent.local_address,
            settings,
        })
    }

    /// BFD has something to say.
    pub(crate) fn liveness(&mut self, now: Instant, said: Liveness) {
        let concerned = |peer: &&Peer| {
            peer.intent.bfd.is_some() && peer.address.ip == said.peer && self.link_of(peer) == said.link.as_deref()
        };
        let ids: Vec<PeerId> = self.peers.values().filter(concerned).map(|peer| peer.id).collect();
        for id in ids {
            self.liveness_of(now, id, &said);
        }
    }

    fn liveness_of(&mut self, now: Instant, id: PeerId, said: &Liveness) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let before = peer.bfd.as_ref().map(|bfd| (bfd.up, bfd.admin_down));
        peer.bfd = Some(Bfd { up: said.up, admin_down: said.admin_down, since: now, reason: said.reason.clone() });
        if before == Some((said.up, said.admin_down)) {
            return;
        }
        let (name, address) = (peer.intent.name.clone(), peer.address.ip);
        if said.up {
            return self.tell(now, address, Level::Info, format!("BFD with {name} is up"));
        }
        self.tell(now, address, Level::Warn, format!("BFD with {name} is down: {}", said.reason));
        // RFC 5882 section 3.2: on purpose is no sign of a broken path.
        if !said.admin_down {
            self.path_lost(now, id, said);
        }
    }

    fn path_lost(&mut self, now: Instant, id: PeerId, said: &Liveness) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if let Some((connection, _)) = peer.established() {
            let conn = connection.id;
            peer.failed(format!("BFD is down: {}", said.reason));
            // RFC 9384.
            let notification = Notification::cease(code::cease::BFD_DOWN);
            return self.end(now, id, conn, Some(notification), None);
        }
        let kept = peer.stale_until.is_some();
        if kept && said.control_plane_independent {
            let (name, address): (String, IpAddr) = (peer.intent.name.clone(), peer.address.ip);
            self.drop_stale(id);
            let text = format!("{name} forwards no more while it restarts: its routes are gone");
            self.tell(now, address, Level::Warn, text);
        }
    }
}

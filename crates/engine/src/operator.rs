//! What operators do with peers: reset, shut down, refresh.

use std::net::IpAddr;
use std::time::Instant;

use wire::{Family, MessageType, Notification, Refresh, RouteRefresh, code};

use crate::Engine;
use crate::event::Order;
use crate::peer::{Dialler, HeldDown, Origin, Peer, PeerAddress};
use crate::rib::table::PeerId;
use crate::sessions::count;

impl Engine {
    /// Whether [`crate::Event::Order`] would have an effect: the arguments are its fields.
    ///
    /// # Errors
    /// One sentence that says why not: there is no such peer, or what is asked for needs a session, or a capability.
    pub fn may_order(&self, address: IpAddr, link: Option<&str>, order: &Order) -> Result<(), String> {
        let ids = self.ids_for(address, link);
        let name = in_words(address, link);
        if ids.is_empty() {
            return Err(match link {
                Some(link) if address.is_unspecified() => format!("there is no neighbor on {link}"),
                _ => format!("there is no peer {name}"),
            });
        }
        let mut peers = ids.iter().filter_map(|id| self.peers.get(id));
        match order {
            Order::Reset { .. } if self.drained().is_some() => {
                return Err("the router is drained: there is no session before that is undone".into());
            }
            Order::Reset { .. }
                if peers.all(|peer| peer.address == PeerAddress::UNKNOWN && peer.held_down.is_none()) =>
            {
                return Err(format!("{name} was not heard yet: there is nothing to reset"));
            }
            Order::Reset { .. } | Order::Shutdown { .. } => return Ok(()),
            Order::RefreshIn | Order::RefreshOut => {}
        }
        let agreed = |id: &PeerId| Some(&self.peers.get(id)?.established()?.1.agreed);
        let agreed: Vec<_> = ids.iter().filter_map(agreed).collect();
        if agreed.is_empty() {
            return Err(format!("there is no session with {name}: nothing to refresh"));
        }
        if *order == Order::RefreshIn && !agreed.iter().any(|agreed| agreed.route_refresh) {
            return Err(format!(
                "{name} did not offer route refresh (RFC 2918): only a reset makes it send its routes again"
            ));
        }
        Ok(())
    }

    /// The peers that an order names.
    fn ids_for(&self, address: IpAddr, link: Option<&str>) -> Vec<PeerId> {
        let named = |peer: &&Peer| match link {
            Some(link) => self.link_of(peer) == Some(link),
            None => peer.address != PeerAddress::UNKNOWN,
        };
        let peers = self.peers.values().filter(|peer| peer.address.ip == address);
        peers.filter(named).map(|peer| peer.id).collect()
    }

    pub(crate) fn order(&mut self, now: Instant, address: IpAddr, link: Option<&str>, order: &Order) {
        self.bfd_changed = true;
        for id in self.ids_for(address, link) {
            match order {
                Order::Reset { message } => {
                    let Some(peer) = self.peers.get_mut(&id) else { continue };
                    peer.held_down = None;
                    self.restart(now, id, &cease(code::cease::ADMINISTRATIVE_RESET, message.as_deref()));
                    self.forget_if_gone(id);
                }
                Order::Shutdown { message } => self.shut_down(now, id, message.as_deref()),
                Order::RefreshIn => self.ask_again(id),
                Order::RefreshOut => self.send_again(id),
            }
        }
    }

    /// A peer of a range goes with its last connection; one that was shut down stayed, to be refused.
    fn forget_if_gone(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(&id) else { return };
        if peer.connections.is_empty() && matches!(peer.origin, Origin::Range(..)) {
            self.forget(id);
        }
    }

    fn shut_down(&mut self, now: Instant, id: PeerId, message: Option<&str>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let notification = cease(code::cease::ADMINISTRATIVE_SHUTDOWN, message);
        peer.hold_down(HeldDown::Operator(notification.clone()));
        self.stop(now, id, Some(&notification));
        self.drop_stale(id);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.dialler = Dialler::Resting;
        // Also when no session was there to end.
        let text = message.filter(|message| !message.is_empty()).map(|message| format!(": {message}"));
        peer.last_error = Some(format!("shut down by an operator{}", text.unwrap_or_default()));
    }

    /// RFC 2918 section 4: a request per family.
    fn ask_again(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some((connection, session)) = peer.established() else { return };
        let (conn, families, able) = (connection.id, session.agreed.families, session.agreed.route_refresh);
        for family in Family::ALL.into_iter().filter(|family| able && families.contains(*family)) {
            let request = RouteRefresh { family: family.code(), subtype: Refresh::Request };
            if let Some(connection) = peer.connection(conn) {
                request.encode(&mut connection.out);
            }
            count(&mut peer.sent, MessageType::RouteRefresh, 1);
        }
    }

    fn send_again(&mut self, id: PeerId) {
        let Some((_, session)) = self.peers.get(&id).and_then(|peer| peer.established()) else { return };
        let (families, enhanced) = (session.agreed.families, session.agreed.enhanced_refresh);
        for family in families.iter() {
            self.rib.refresh_requested(id, family, enhanced);
        }
    }
}

/// A peer as its operator calls it.
fn in_words(address: IpAddr, link: Option<&str>) -> String {
    match (address, link) {
        (IpAddr::V6(v6), Some(link)) if v6.is_unspecified() => format!("the neighbor on {link}"),
        (IpAddr::V6(v6), Some(link)) if v6.is_unicast_link_local() => format!("{address}%{link}"),
        _ => address.to_string(),
    }
}

/// A Cease with a text for the operator on the other side: one octet of length, UTF-8 (RFC 9003 section 2).
pub(crate) fn cease(subcode: u8, message: Option<&str>) -> Notification {
    let Some(message) = message.filter(|message| !message.is_empty()) else { return Notification::cease(subcode) };
    let text = &message[..message.floor_char_boundary(usize::from(u8::MAX))];
    let mut data = vec![text.len() as u8];
    data.extend_from_slice(text.as_bytes());
    Notification::with_data(code::CEASE, subcode, data)
}

//! Why a destination is not told to a peer: the rules of [`crate::policy::export`] in the order in which they are asked, for
//! views.

use std::net::IpAddr;

use wire::Family;

use super::table::{Dest, PeerId};
use super::{Rib, RibPeer, origination};
use crate::intent::Role;
use crate::policy::export::{self, Origination};

impl Rib {
    /// The peers with a session that are not told of a destination, in order of address, each with the reason.
    pub(super) fn withheld(&self, family: Family, slot: u32) -> Vec<(IpAddr, String)> {
        let dest = &self.tables[family.index()].dests[slot];
        let up = self.peers.iter().enumerate().filter_map(|(index, peer)| Some((index, peer.as_ref()?)));
        let missing =
            up.filter(|(_, peer)| peer.group.is_some() && !peer.ribs[family.index()].advertised.contains(slot));
        let mut withheld: Vec<(IpAddr, String)> = missing
            .map(|(index, peer)| {
                let id = PeerId(u16::try_from(index).expect("peers are numbered by it"));
                (peer.facts.address, self.why_withheld(family, slot, dest, id, peer))
            })
            .collect();
        withheld.sort();
        withheld
    }

    fn why_withheld(&self, family: Family, slot: u32, dest: &Dest, id: PeerId, peer: &RibPeer) -> String {
        let to = &peer.facts;
        if !peer.families.contains(family) {
            return format!("the session does not carry {family}");
        }
        let Some(best) = dest.best() else { return "no path is usable".to_owned() };
        if best.peer == id {
            return "the best path came from this peer".to_owned();
        }
        let Some(from) = origination(&self.peers, best.peer, family) else {
            return "the peer that it came from has just left".to_owned();
        };
        if !export::may_pass(&self.own, from, family, to) {
            return barrier(from, to.role, to.external).to_owned();
        }
        let set = self.attrs.get(best.attr);
        if !export::in_scope(set.scope, to) {
            let mark = if set.scope.no_advertise {
                "the community NO_ADVERTISE (RFC 1997)"
            } else if set.scope.no_export && to.external {
                "the community NO_EXPORT (RFC 1997)"
            } else {
                "ONLY_TO_CUSTOMER, and the peer is no customer (RFC 9234)"
            };
            return format!("its best path carries {mark}");
        }
        if export::next_hop(from, self.next_hops.next_hop(set.next_hop), family, to).is_none() {
            return format!("there is no next hop for {family} that this peer could use");
        }
        if peer.ribs[family.index()].pending.contains(slot) {
            return "about to be sent".to_owned();
        }
        "its attributes do not fit into a message".to_owned()
    }
}

/// Which boundary of roles or AS keeps a route from a peer.
fn barrier(from: Origination, to: Role, external: bool) -> &'static str {
    let (role, internal) = match from {
        Origination::Local => return "originated here, and not for this peer",
        Origination::External { role } => (role, false),
        Origination::Internal { role, .. } => (role, true),
    };
    match (role, to) {
        (Role::Host, Role::Host) => "it came from the host, which has it",
        (Role::Fabric, Role::Fabric) => "it came from the fabric: the node is no transit between fabric peers",
        _ if internal && !external => {
            "between internal peers only a route reflector passes routes on, and neither is its client (RFC 4456)"
        }
        (Role::Fabric | Role::Host | Role::Peer, Role::Fabric | Role::Host | Role::Peer) => {
            "roles keep it from this peer"
        }
    }
}

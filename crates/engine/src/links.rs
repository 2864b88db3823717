//! What becomes of sessions when links go, and come.
//!
//! A link that is down may come back with everything on it, and so may its sessions: their timers decide, or BFD. A link
//! that is gone does not: a session bound to it would only wait for its hold timer, and the peer's next connection with it.
//!
//! When a link or its address comes back, nobody waits for a timer: its peers are dialled at once, and those with a session
//! are sent a KEEPALIVE. One that has given the session up meanwhile answers with a reset, and is dialled then. One that
//! refuses, because a timer of its own has begun when the link went (BIRD's `error wait time`), is dialled several times a
//! second for some seconds.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;

use crate::Engine;
use crate::event::Link;
use crate::peer::{Dialler, Peer};
use crate::rib::table::PeerId;

impl Engine {
    /// The links as they are.
    pub(crate) fn links_changed(&mut self, now: Instant, links: Vec<Link>) {
        let before = self.rib.next_hops.links();
        let gone = |link: &&Link| !links.iter().any(|other| other.index == link.index);
        let gone: BTreeSet<String> = before.iter().filter(gone).map(|link| link.name.clone()).collect();
        let returned = returned(before, &links);
        self.rib.set_links(links);
        self.refresh_local();
        self.refresh_facts();
        for id in self.ids() {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            let Some(link) = peer.intent.link.clone().filter(|link| gone.contains(link)) else { continue };
            if !peer.connections.is_empty() {
                peer.failed(format!("link {link} was removed"));
                self.stop(now, id, None);
            }
        }
        if !returned.is_empty() {
            self.ways_return(now, &returned);
        }
    }

    /// The peers behind links that are usable again.
    fn ways_return(&mut self, now: Instant, returned: &[Returned]) {
        let behind = |peer: &&Peer| {
            let link = self.link_of(peer);
            returned.iter().any(|way| match link {
                Some(link) => way.link == link && (way.whole || way.contains(&peer.address.ip)),
                None => way.contains(&peer.address.ip),
            })
        };
        let behind: Vec<PeerId> = self.peers.values().filter(behind).map(|peer| peer.id).collect();
        for id in behind {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            peer.way_returns(now);
            // What was sent when there was no way is sent again by the kernel, but not soon.
            if matches!(peer.dialler, Dialler::Dialling(..)) {
                self.abandon_dial(id);
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.dialler = Dialler::Waiting(now);
                }
            }
        }
    }
}

/// A link that came up, or has addresses that it had not.
#[derive(Debug)]
struct Returned {
    link: String,
    /// It was not up before.
    whole: bool,
    networks: Vec<IpNet>,
}

impl Returned {
    fn contains(&self, address: &IpAddr) -> bool {
        self.networks.iter().any(|net| net.contains(address))
    }
}

fn returned(before: &[Link], after: &[Link]) -> Vec<Returned> {
    let way = |link: &Link| {
        let was = before.iter().find(|old| old.index == link.index && old.up);
        let new = |net: &&IpNet| was.is_none_or(|old| !old.addresses.contains(net));
        let networks = link.addresses.iter().filter(new).copied().collect();
        Returned { link: link.name.clone(), whole: was.is_none(), networks }
    };
    let ways = after.iter().filter(|link| link.up).map(way);
    ways.filter(|way| way.whole || !way.networks.is_empty()).collect()
}

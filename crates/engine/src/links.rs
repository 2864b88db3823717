//! What becomes of sessions when links go.
//!
//! A link that is down may come back with everything on it, and so may its sessions: their timers decide, or BFD. A link
//! that is gone does not: a session bound to it would only wait for its hold timer, and the peer's next connection with it.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::Engine;
use crate::event::Link;

impl Engine {
    /// The links as they are.
    pub(crate) fn links_changed(&mut self, now: Instant, links: Vec<Link>) {
        let gone = |link: &&Link| !links.iter().any(|other| other.index == link.index);
        let gone: BTreeSet<String> =
            self.rib.next_hops.links().iter().filter(gone).map(|link| link.name.clone()).collect();
        self.rib.set_links(links);
        self.refresh_local();
        self.refresh_facts();
        if gone.is_empty() {
            return;
        }
        for id in self.ids() {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            let Some(link) = peer.intent.link.clone().filter(|link| gone.contains(link)) else { continue };
            if !peer.connections.is_empty() {
                peer.failed(format!("link {link} was removed"));
                self.stop(now, id, None);
            }
        }
    }
}

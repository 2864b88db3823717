//! The host's own table: what the host would be told by a session, for hosts whose speaker installs nothing.
//!
//! It is a peer without a session: a set of destinations it was told of, and a set it must be told of. Every route
//! leads to the router, so only the prefixes matter.

use std::collections::BTreeMap;

use ipnet::IpNet;
use wire::Family;

use super::bits::{BitSet, Pending};
use super::key::Key;
use super::table::{Dest, PeerId};
use super::{Rib, RibPeer};
use crate::fib::HostBatch;
use crate::intent::{HostRoutes, Role};

/// Most routes in a batch.
const BATCH: usize = 4096;

/// See the module page.
#[derive(Debug, Default)]
pub(super) struct HostTable {
    rules: Option<HostRoutes>,
    told: [BitSet; 2],
    pending: [Pending; 2],
    batches: u64,
    in_flight: Option<u64>,
    /// What the kernel refused, and whether it was to be there.
    failed: BTreeMap<IpNet, bool>,
    flight: BTreeMap<IpNet, bool>,
    sweep: bool,
    /// A sweep was asked for once: what is there and not in our tables is nobody's any more.
    converged: bool,
}

impl HostTable {
    pub(super) fn touch(&mut self, family: Family, slot: u32, dest: &mut Dest) {
        if self.pending[family.index()].push(slot) {
            dest.pending += 1;
        }
    }
}

/// Whether a destination belongs into the host's table: it comes from others than the host itself.
fn wanted(rules: Option<&HostRoutes>, peers: &[Option<RibPeer>], dest: &Dest, prefix: &IpNet) -> bool {
    let Some(rules) = rules else { return false };
    let from = dest.best().filter(|best| best.peer != PeerId::LOCAL);
    let role = from.and_then(|best| peers.get(usize::from(best.peer.0))?.as_ref()).map(|peer| peer.facts.role);
    let listed = rules.prefixes.is_empty() || rules.prefixes.iter().any(|rule| rule.matches(prefix));
    let default = prefix.prefix_len() == 0;
    role.is_some_and(|role| role != Role::Host) && listed && (!default || rules.allow_default)
}

impl Rib {
    /// Which routes the host's table gets. Off takes away what is there.
    pub(crate) fn set_host_routes(&mut self, rules: Option<HostRoutes>) {
        let current = self.host.as_ref().and_then(|host| host.rules.as_ref());
        if current == rules.as_ref() {
            return;
        }
        self.host.get_or_insert_default().rules = rules;
        self.host_touch_all();
    }

    /// The host's table was lost: everything is to be told again.
    pub(crate) fn host_lost(&mut self) {
        if let Some(host) = &mut self.host {
            host.told = Default::default();
            host.in_flight = None;
            // What waited to be removed is in no table any more, and may still be there.
            host.sweep |= host.converged;
            self.host_touch_all();
        }
    }

    /// Asks for a sweep with the batch after which nothing waits any more.
    pub(crate) fn host_sweep(&mut self) {
        if let Some(host) = &mut self.host {
            host.sweep = true;
            host.converged = true;
        }
    }

    fn host_touch_all(&mut self) {
        let Some(host) = &mut self.host else { return };
        for family in Family::ALL {
            let table = &mut self.tables[family.index()];
            let slots: Vec<u32> = table.slots().collect();
            for slot in slots {
                host.touch(family, slot, &mut table.dests[slot]);
            }
        }
    }

    /// The next batch.
    pub(crate) fn poll_host(&mut self) -> Option<HostBatch> {
        let host = self.host.as_mut().filter(|host| host.in_flight.is_none())?;
        let mut batch = HostBatch::default();
        for family in Family::ALL {
            let table = &mut self.tables[family.index()];
            while batch.routes.len() < BATCH {
                let Some(slot) = host.pending[family.index()].pop() else { break };
                let dest = &mut table.dests[slot];
                dest.pending -= 1;
                let prefix = dest.key.prefix(family);
                let wanted = wanted(host.rules.as_ref(), &self.peers, dest, &prefix);
                let told = &mut host.told[family.index()];
                let changed = if wanted { told.insert(slot) } else { told.remove(slot) };
                if changed {
                    batch.routes.push((prefix, wanted));
                }
                table.release_if_unused(slot);
            }
        }
        if host.sweep && host.pending.iter().all(Pending::is_empty) {
            host.sweep = false;
            batch.sweep = true;
        }
        if batch.routes.is_empty() && !batch.sweep {
            return None;
        }
        host.batches += 1;
        batch.id = host.batches;
        host.in_flight = Some(batch.id);
        host.flight = BTreeMap::new();
        host.flight.extend(batch.routes.iter().copied());
        Some(batch)
    }

    /// Takes an acknowledgement. What failed counts as not done.
    pub(crate) fn host_acknowledged(&mut self, id: u64, failed: &[(IpNet, String)]) {
        let Some(host) = self.host.as_mut().filter(|host| host.in_flight == Some(id)) else { return };
        host.in_flight = None;
        let flight = std::mem::take(&mut host.flight);
        for (prefix, _) in failed {
            let wanted = flight.get(prefix).copied().unwrap_or(true);
            let family = Family::of(prefix);
            if wanted && let Some(slot) = self.tables[family.index()].find(&Key::new(prefix)) {
                host.told[family.index()].remove(slot);
            }
            host.failed.insert(*prefix, wanted);
        }
    }

    /// Whether routes of the host's table are to be tried again.
    pub(crate) fn host_has_failures(&self) -> bool {
        self.host.as_ref().is_some_and(|host| !host.failed.is_empty())
    }

    /// Tries them again. A removal that failed has perhaps nobody else who remembers the destination.
    pub(crate) fn host_retry(&mut self) {
        let Some(host) = &mut self.host else { return };
        for (prefix, wanted) in std::mem::take(&mut host.failed) {
            let family = Family::of(&prefix);
            let table = &mut self.tables[family.index()];
            let key = Key::new(&prefix);
            let slot = if wanted { table.find(&key) } else { Some(table.find_or_insert(key)) };
            let Some(slot) = slot else { continue };
            if !wanted {
                host.told[family.index()].insert(slot);
            }
            host.touch(family, slot, &mut table.dests[slot]);
        }
    }
}

//! The kernel's FIB of a simulated node: takes batches, refuses some changes, loses what points at a link that is down.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Event, FibBatch, GroupChange, GroupId, Hop};
use ipnet::IpNet;

/// The kernel of a node, as far as it is told.
#[derive(Debug, Default)]
pub(crate) struct Fib {
    pub(crate) groups: BTreeMap<u32, Vec<Hop>>,
    pub(crate) routes: BTreeMap<IpNet, u32>,
    /// Routes of an earlier process.
    pub(crate) left: BTreeSet<IpNet>,
    /// Routes of which a change was refused: the engine does not know what became of them.
    pub(crate) doubtful: BTreeSet<IpNet>,
    /// Groups that lack members.
    pub(crate) degraded: BTreeSet<u32>,
    pub(crate) swept: bool,
    pub(crate) messages: usize,
}

impl Fib {
    /// Does what it is told, except where `refuses`. Returns the acknowledgement.
    pub(crate) fn carry_out(&mut self, batch: &FibBatch, mut refuses: impl FnMut() -> bool) -> Event {
        let (mut failed, mut failed_groups, mut degraded_groups) = (Vec::new(), Vec::new(), Vec::new());
        let refused = || "refused".to_string();
        self.messages += batch.groups.len() + batch.routes.len();
        for change in &batch.groups {
            let GroupChange::Set(GroupId(id), hops) = change else { continue };
            assert!(!hops.is_empty(), "an empty group cannot exist in the kernel");
            self.degraded.remove(id);
            if refuses() {
                self.drop_group(*id);
                failed_groups.push((GroupId(*id), refused()));
                continue;
            }
            let mut hops = hops.clone();
            if hops.len() > 1 && refuses() {
                hops.pop();
                self.degraded.insert(*id);
                degraded_groups.push((GroupId(*id), refused()));
            }
            self.groups.insert(*id, hops);
        }
        for change in &batch.routes {
            let missing = change.group.filter(|group| !self.groups.contains_key(&group.0));
            if let Some(group) = missing {
                let known = failed_groups.iter().any(|(failed, _)| *failed == group);
                assert!(known, "route {} without its group {}", change.prefix, group.0);
            }
            if missing.is_some() || refuses() {
                failed.push((change.prefix, refused()));
                self.doubtful.insert(change.prefix);
                continue;
            }
            self.doubtful.remove(&change.prefix);
            self.left.remove(&change.prefix);
            match change.group {
                Some(group) => self.routes.insert(change.prefix, group.0),
                None => self.routes.remove(&change.prefix),
            };
        }
        for change in &batch.groups {
            if let GroupChange::Delete(GroupId(id)) = change {
                // Routes that still point there go along: that is how a lost next hop takes its routes away at once.
                self.drop_group(*id);
            }
        }
        if batch.sweep {
            self.swept = true;
            self.left.clear();
        }
        Event::FibAck { id: batch.id, failed, failed_groups, degraded_groups }
    }

    /// A group goes with the routes that point at it.
    fn drop_group(&mut self, id: u32) {
        self.groups.remove(&id);
        self.degraded.remove(&id);
        self.routes.retain(|_, group| *group != id);
    }

    /// Linux drops the next hops of a link that goes down, and the groups that become empty, without a word.
    pub(crate) fn link_down(&mut self, link: u32) {
        for hops in self.groups.values_mut() {
            hops.retain(|hop| hop.link != link);
        }
        let empty: Vec<u32> = self.groups.iter().filter(|(_, hops)| hops.is_empty()).map(|(id, _)| *id).collect();
        empty.into_iter().for_each(|id| self.drop_group(id));
    }

    /// Another process takes over what is there.
    pub(crate) fn inherit(&mut self) {
        let routes = std::mem::take(&mut self.routes);
        self.left.extend(routes.into_keys());
        self.groups.clear();
        self.degraded.clear();
        self.doubtful.clear();
        self.swept = false;
    }
}

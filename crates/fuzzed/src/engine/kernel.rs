//! The kernel's side of the FIB and of the host's table: refuses some changes, loses some, and keeps the engine to what
//! the documentation of a batch promises.

use std::collections::{BTreeMap, BTreeSet};

use engine::fib::HostBatch;
use engine::{Event, FibBatch, GroupChange, GroupId, Hop};
use ipnet::IpNet;

use crate::input::Input;

#[derive(Debug, Default)]
pub(crate) struct Kernel {
    /// By the engine's number.
    pub(crate) groups: BTreeMap<u32, Vec<Hop>>,
    pub(crate) routes: BTreeMap<IpNet, u32>,
    /// Routes that were there when the engine was told that everything is lost, and that it has not mentioned since.
    pub(crate) adopted: BTreeSet<IpNet>,
    /// Routes of which a change was refused, and that no later change has settled.
    doubtful: BTreeSet<IpNet>,
    pub(crate) flight: Option<Event>,
    last: u64,
    pub(crate) host: BTreeSet<IpNet>,
    host_adopted: BTreeSet<IpNet>,
    pub(crate) host_flight: Option<Event>,
    host_last: u64,
}

const WHY: &str = "refused";

/// Mostly no.
fn refuses(input: &mut Input<'_>, trouble: bool) -> bool {
    trouble && input.u8() & 3 == 3
}

impl Kernel {
    /// Carries a batch out; the answer waits in [`Self::flight`].
    pub(crate) fn apply(&mut self, batch: &FibBatch, trouble: bool, input: &mut Input<'_>) {
        assert!(self.flight.is_none(), "one batch is in flight");
        assert!(batch.id > self.last, "{} after {}", batch.id, self.last);
        self.last = batch.id;
        let (mut failed, mut failed_groups, mut degraded_groups) = (Vec::new(), Vec::new(), Vec::new());
        for change in &batch.groups {
            let GroupChange::Set(GroupId(id), hops) = change else { continue };
            assert!(!hops.is_empty() && hops.is_sorted_by(|one, other| one < other), "{hops:?}");
            if refuses(input, trouble) {
                self.groups.remove(id);
                self.routes.retain(|_, group| group != id);
                failed_groups.push((GroupId(*id), WHY.to_owned()));
            } else {
                if refuses(input, trouble) {
                    degraded_groups.push((GroupId(*id), WHY.to_owned()));
                }
                self.groups.insert(*id, hops.clone());
            }
        }
        let mut seen = BTreeSet::new();
        for change in &batch.routes {
            let prefix = change.prefix;
            assert!(seen.insert(prefix), "{prefix} twice in a batch");
            assert_eq!(prefix.trunc(), prefix);
            self.adopted.remove(&prefix);
            let there = match change.group {
                Some(GroupId(group)) if !self.groups.contains_key(&group) => {
                    let known = failed_groups.iter().any(|(failed, _)| failed.0 == group);
                    assert!(known, "route {prefix} points at group {group}, which was not set");
                    false
                }
                Some(_) | None => !refuses(input, trouble),
            };
            if !there {
                self.doubtful.insert(prefix);
                failed.push((prefix, WHY.to_owned()));
                continue;
            }
            self.doubtful.remove(&prefix);
            match change.group {
                Some(GroupId(group)) => drop(self.routes.insert(prefix, group)),
                None => drop(self.routes.remove(&prefix)),
            }
        }
        for change in &batch.groups {
            let GroupChange::Delete(GroupId(id)) = change else { continue };
            // Routes that still point there go along.
            self.routes.retain(|_, group| group != id);
            self.groups.remove(id);
        }
        if batch.sweep {
            self.adopted.clear();
        }
        self.flight = Some(Event::FibAck { id: batch.id, failed, failed_groups, degraded_groups });
    }

    /// Everything of ours is removed, as [`engine::Action::ClearFib`] asks.
    pub(crate) fn clear(&mut self) {
        self.groups.clear();
        self.routes.clear();
        self.adopted.clear();
        self.doubtful.clear();
    }

    /// What the engine was told of the kernel is void; `gone`: and what was there is gone.
    pub(crate) fn lose(&mut self, gone: bool) {
        self.groups.clear();
        self.doubtful.clear();
        let routes = std::mem::take(&mut self.routes);
        if gone {
            self.adopted.clear();
        } else {
            self.adopted.extend(routes.into_keys());
        }
    }

    /// Carries a batch for the host's table out.
    pub(crate) fn apply_host(&mut self, batch: &HostBatch, trouble: bool, input: &mut Input<'_>) {
        assert!(batch.id > self.host_last);
        self.host_last = batch.id;
        let mut failed = Vec::new();
        for (prefix, wanted) in &batch.routes {
            self.host_adopted.remove(prefix);
            if refuses(input, trouble) {
                failed.push((*prefix, WHY.to_owned()));
            } else if *wanted {
                self.host.insert(*prefix);
            } else {
                self.host.remove(prefix);
            }
        }
        if batch.sweep {
            self.host_adopted.clear();
        }
        self.host_flight = Some(Event::HostAck { id: batch.id, failed });
    }

    /// The host's table is another one.
    pub(crate) fn lose_host(&mut self) {
        self.host_adopted.extend(std::mem::take(&mut self.host));
        self.host_flight = None;
    }
}

//! Next-hop objects and groups: which exist, who uses them, and under which ids.
//!
//! Invariant: a next hop's `users` are the groups here that have it as a member. One without users is deleted at
//! the end of the batch, after the groups that had it were changed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::Range;

use rustix::io::Errno;

use super::{GROUP_IDS, HOP_IDS, Hop};
use crate::errno::explain;
use crate::netlink::constants::*;
use crate::netlink::{Attributes, Refusal, Socket, family};
use crate::route::{self, NextHop, PROTOCOL};

#[derive(Debug)]
struct Object {
    id: u32,
    users: usize,
}

#[derive(Debug)]
struct Group {
    id: u32,
    /// What the kernel has, in order, without duplicates.
    members: Vec<Hop>,
}

/// Hands out ids of a range, none twice.
#[derive(Debug)]
struct Ids {
    range: Range<u32>,
    next: u32,
    used: HashSet<u32>,
}

impl Ids {
    fn new(range: Range<u32>) -> Self {
        Self { next: range.start, range, used: HashSet::new() }
    }

    fn take(&mut self) -> u32 {
        loop {
            let id = self.next;
            self.next = if id + 1 < self.range.end { id + 1 } else { self.range.start };
            if self.used.insert(id) {
                return id;
            }
        }
    }
}

/// What became of a request to set a group.
#[derive(Debug, Default)]
pub(super) struct SetGroup {
    /// The kernel's id, if the kernel was told.
    pub(super) resent: Option<u32>,
    /// What went wrong. The group is in the kernel all the same if it has an id.
    pub(super) problem: Option<String>,
}

/// All next-hop objects and groups of ours.
#[derive(Debug)]
pub(super) struct Groups {
    hops: HashMap<Hop, Object>,
    /// Few, and asked for with every route: an ordered map gets by without hashing.
    groups: BTreeMap<u32, Group>,
    /// Groups that an earlier process left.
    adopted: Vec<Group>,
    /// Objects of ours that fit nothing: deleted by the sweep, groups first.
    orphans: Vec<u32>,
    hop_ids: Ids,
    group_ids: Ids,
}

impl Default for Groups {
    fn default() -> Self {
        Self::adopt(Vec::new())
    }
}

impl Groups {
    /// Takes over what the kernel has.
    pub(super) fn adopt(objects: Vec<NextHop>) -> Self {
        let mut all = Self {
            hops: HashMap::new(),
            groups: BTreeMap::new(),
            adopted: Vec::new(),
            orphans: Vec::new(),
            hop_ids: Ids::new(HOP_IDS),
            group_ids: Ids::new(GROUP_IDS),
        };
        let mut by_id = HashMap::new();
        let (mut orphaned_groups, mut orphaned_hops) = (Vec::new(), Vec::new());
        // Ids of others in our ranges are avoided, too.
        for object in &objects {
            all.hop_ids.used.insert(object.id);
            all.group_ids.used.insert(object.id);
        }
        for object in objects.iter().filter(|object| object.protocol == PROTOCOL && object.members.is_empty()) {
            let hop = object.exit.and_then(|exit| Some(Hop { gateway: exit.gateway?, link: exit.link }));
            match hop.filter(|hop| HOP_IDS.contains(&object.id) && !all.hops.contains_key(hop)) {
                Some(hop) => {
                    by_id.insert(object.id, hop);
                    all.hops.insert(hop, Object { id: object.id, users: 0 });
                }
                None => orphaned_hops.push(object.id),
            }
        }
        for object in objects.iter().filter(|object| object.protocol == PROTOCOL && !object.members.is_empty()) {
            let members: Option<Vec<Hop>> = object.members.iter().map(|id| by_id.get(id).copied()).collect();
            match members.filter(|_| GROUP_IDS.contains(&object.id)) {
                Some(members) => {
                    all.use_hops(&members);
                    all.adopted.push(Group { id: object.id, members });
                }
                None => orphaned_groups.push(object.id),
            }
        }
        orphaned_groups.append(&mut orphaned_hops);
        all.orphans = orphaned_groups;
        all
    }

    /// The kernel's id of a group that is there.
    pub(super) fn id(&self, number: u32) -> Option<u32> {
        Some(self.groups.get(&number)?.id)
    }

    /// The next hops of a group, for people.
    pub(super) fn describe(&self, number: u32) -> String {
        let members = self.groups.get(&number).map(|group| group.members.as_slice()).unwrap_or_default();
        members.iter().map(describe).collect::<Vec<_>>().join(", ")
    }

    /// Makes the group be there with these members: by adoption, by replacement in place, or anew.
    pub(super) fn set(&mut self, socket: &mut Socket, number: u32, hops: &[Hop]) -> io::Result<SetGroup> {
        let mut members: Vec<Hop> = Vec::with_capacity(hops.len());
        for hop in hops {
            if !members.contains(hop) {
                members.push(*hop);
            }
        }
        if !self.groups.contains_key(&number) && self.take_adopted(socket, number, &members)? {
            return Ok(SetGroup::default());
        }
        let (mut usable, mut problems) = self.ensure_hops(socket, &members, false)?;
        let id = self.id(number).unwrap_or_else(|| self.group_ids.take());
        let mut told = send_group(socket, id, &self.ids(&usable));
        if !usable.is_empty() && told.is_err() {
            // A member vanished with its link: all are made again.
            (usable, problems) = self.ensure_hops(socket, &members, true)?;
            told = send_group(socket, id, &self.ids(&usable));
        }
        // The new members count before the old ones are released, so that shared ones are not deleted.
        self.use_hops(&usable);
        if let Some(old) = self.groups.remove(&number) {
            self.release_hops(&old.members);
        }
        if let Err(refusal) = &told
            && !usable.is_empty()
        {
            problems.push(explain(&format!("cannot make next-hop group {number}"), refusal));
        }
        if usable.is_empty() || told.is_err() {
            self.release_hops(&usable);
            // With the old members it would forward to where nobody wants it any more.
            delete(socket, id)?;
            self.group_ids.used.remove(&id);
            if members.is_empty() {
                problems.push(format!("next-hop group {number} has no members"));
            }
        } else {
            self.groups.insert(number, Group { id, members: usable });
        }
        let problem = (!problems.is_empty()).then(|| problems.join("; "));
        Ok(SetGroup { resent: Some(id), problem })
    }

    /// Takes a group with these members over from an earlier process, if the kernel still has it so.
    fn take_adopted(&mut self, socket: &mut Socket, number: u32, members: &[Hop]) -> io::Result<bool> {
        let wanted = sorted(members);
        let Some(at) = self.adopted.iter().position(|group| sorted(&group.members) == wanted) else {
            return Ok(false);
        };
        let group = self.adopted.swap_remove(at);
        let parse = |kind: u16, body: &[u8]| (kind == RTM_NEWNEXTHOP).then(|| route::parse_next_hop(body))?;
        let now = match socket.get(RTM_GETNEXTHOP, |a| delete_request(a, group.id), parse) {
            Ok(now) => now,
            Err(refusal) if refusal.errno == Errno::NOENT => None,
            Err(refusal) => return Err(refusal.into()),
        };
        let intact = now.is_some_and(|now| now.members == self.ids(&group.members));
        // If it is damaged it keeps its id and is sent anew.
        self.groups.insert(number, group);
        Ok(intact)
    }

    /// Makes the next hops be there; `again` also those that should be. Says which are, and what is wrong with the
    /// others.
    fn ensure_hops(&mut self, socket: &mut Socket, hops: &[Hop], again: bool) -> io::Result<(Vec<Hop>, Vec<String>)> {
        let missing: Vec<Hop> = hops.iter().filter(|hop| again || !self.hops.contains_key(hop)).copied().collect();
        let mut batch = socket.batch();
        for hop in &missing {
            let id = match self.hops.get(hop) {
                Some(object) => object.id,
                None => self.hop_ids.take(),
            };
            self.hops.entry(*hop).or_insert(Object { id, users: 0 });
            batch.push(RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_REPLACE, |a| hop_request(a, id, *hop))?;
        }
        let mut usable = hops.to_vec();
        let mut problems = Vec::new();
        for (at, refusal) in batch.finish()? {
            let Some(hop) = missing.get(at) else { continue };
            problems.push(explain(&format!("cannot use next hop {}", describe(hop)), &refusal));
            usable.retain(|other| other != hop);
            // Other groups may count on it; without users it was never there.
            if self.hops.get(hop).is_some_and(|object| object.users == 0)
                && let Some(object) = self.hops.remove(hop)
            {
                self.hop_ids.used.remove(&object.id);
            }
        }
        Ok((usable, problems))
    }

    /// Forgets and removes a group; fine when there is none.
    pub(super) fn delete(&mut self, socket: &mut Socket, number: u32) -> io::Result<()> {
        let Some(group) = self.groups.remove(&number) else {
            return Ok(());
        };
        self.release_hops(&group.members);
        self.group_ids.used.remove(&group.id);
        delete(socket, group.id)
    }

    /// Deletes what an earlier process left and nobody has taken over.
    pub(super) fn sweep(&mut self, socket: &mut Socket) -> io::Result<()> {
        for group in std::mem::take(&mut self.adopted) {
            self.release_hops(&group.members);
            self.group_ids.used.remove(&group.id);
            delete(socket, group.id)?;
        }
        for id in std::mem::take(&mut self.orphans) {
            delete(socket, id)?;
        }
        Ok(())
    }

    /// Deletes next hops that no group uses.
    pub(super) fn purge(&mut self, socket: &mut Socket) -> io::Result<()> {
        let mut unused = Vec::new();
        self.hops.retain(|_, object| {
            if object.users == 0 {
                unused.push(object.id);
            }
            object.users > 0
        });
        for id in unused {
            self.hop_ids.used.remove(&id);
            delete(socket, id)?;
        }
        Ok(())
    }

    fn ids(&self, hops: &[Hop]) -> Vec<u32> {
        hops.iter().filter_map(|hop| Some(self.hops.get(hop)?.id)).collect()
    }

    fn use_hops(&mut self, hops: &[Hop]) {
        for hop in hops {
            if let Some(object) = self.hops.get_mut(hop) {
                object.users += 1;
            }
        }
    }

    fn release_hops(&mut self, hops: &[Hop]) {
        for hop in hops {
            if let Some(object) = self.hops.get_mut(hop) {
                object.users = object.users.saturating_sub(1);
            }
        }
    }
}

fn sorted(hops: &[Hop]) -> Vec<Hop> {
    let mut hops = hops.to_vec();
    hops.sort_unstable();
    hops
}

fn describe(hop: &Hop) -> String {
    format!("{} on link {}", hop.gateway, hop.link)
}

fn send_group(socket: &mut Socket, id: u32, members: &[u32]) -> Result<(), Refusal> {
    if members.is_empty() {
        return Err(Refusal { errno: Errno::INVAL, text: None });
    }
    socket.change(RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_REPLACE, |a| {
        a.raw(&[AF_UNSPEC, 0, PROTOCOL, 0, 0, 0, 0, 0]);
        a.u32(NHA_ID, id);
        // struct nexthop_grp: id, weight - 1, three reserved bytes.
        let row = |id: &u32| id.to_ne_bytes().into_iter().chain([0; 4]);
        a.bytes(NHA_GROUP, &members.iter().flat_map(row).collect::<Vec<u8>>());
    })
}

fn hop_request(a: &mut Attributes<'_>, id: u32, hop: Hop) {
    a.raw(&[family(hop.gateway), 0, PROTOCOL, 0]);
    a.raw(&RTNH_F_ONLINK.to_ne_bytes());
    a.u32(NHA_ID, id);
    a.u32(NHA_OIF, hop.link);
    a.address(NHA_GATEWAY, hop.gateway);
}

/// The body of a request that names one object: to delete it, or to ask for it.
pub(super) fn delete_request(a: &mut Attributes<'_>, id: u32) {
    a.raw(&[0; 8]);
    a.u32(NHA_ID, id);
}

/// Deletes an object; fine when it is gone already.
fn delete(socket: &mut Socket, id: u32) -> io::Result<()> {
    match socket.change(RTM_DELNEXTHOP, 0, |a| delete_request(a, id)) {
        Err(refusal) if refusal.errno != Errno::NOENT => Err(refusal.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

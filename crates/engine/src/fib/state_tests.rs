use std::collections::VecDeque;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use proptest::prelude::*;
use wire::NextHop;

use super::*;
use crate::event::Link;
use crate::rib::nexthop::NextHopKey;

const FAMILY: Family = Family::Ipv4Unicast;
const SLOTS: u32 = 6;
const NEXT_HOPS: u8 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// A destination is to use these next hops, one bit each; none: it is to have no route.
    Want(u32, u8),
    Poll,
    /// The oldest batch is carried out and answered; the kernel refuses where these bits say so.
    Answer(u32),
    Retry,
    /// The kernel loses everything.
    Lose,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..SLOTS, 0..1u8 << NEXT_HOPS).prop_map(|(slot, hops)| Step::Want(slot, hops)),
        4 => Just(Step::Poll),
        3 => prop_oneof![3 => Just(0), 1 => any::<u32>()].prop_map(Step::Answer),
        1 => Just(Step::Retry),
        1 => Just(Step::Lose),
    ]
}

struct World {
    fib: FibState,
    tables: [Table; 2],
    next_hops: NextHops,
    ids: Vec<NextHopId>,
    wanted: Vec<u8>,
    /// On the way to the kernel, in order.
    batches: VecDeque<FibBatch>,
    most: usize,
    groups: BTreeMap<u32, Vec<Hop>>,
    /// Those that were refused, and not taken since.
    refused: BTreeSet<u32>,
    routes: BTreeMap<IpNet, u32>,
}

impl World {
    fn new() -> Self {
        let mut next_hops = NextHops::new();
        let addresses = vec!["192.0.2.1/24".parse().unwrap()];
        next_hops.set_links(vec![Link { name: "eth1".into(), index: 4, up: true, addresses }]);
        let track = |last| {
            let next_hop = NextHop::V4(Ipv4Addr::new(192, 0, 2, last));
            let id = next_hops.track(NextHopKey { next_hop, via: None });
            next_hops.retain(id);
            id
        };
        let ids = (0..NEXT_HOPS).map(|n| 10 + n).map(track).collect();
        let mut tables: [Table; 2] = Default::default();
        for slot in 0..SLOTS {
            let table = &mut tables[FAMILY.index()];
            assert_eq!(table.find_or_insert(Key::new(&prefix(slot))), slot);
            // Somebody always refers to it.
            table.dests[slot].pending = 1;
        }
        Self {
            fib: FibState { enabled: true, ..FibState::default() },
            tables,
            next_hops,
            ids,
            wanted: vec![0; SLOTS as usize],
            batches: VecDeque::new(),
            most: 0,
            groups: BTreeMap::new(),
            refused: BTreeSet::new(),
            routes: BTreeMap::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Want(slot, hops) => {
                self.wanted[slot as usize] = hops;
                let dest = &mut self.tables[FAMILY.index()].dests[slot];
                dest.ways = hops.count_ones() as u8;
                self.fib.touch(FAMILY, slot, dest);
            }
            Step::Poll => {
                self.poll();
            }
            Step::Answer(refused) => self.answer(refused),
            Step::Retry => self.fib.retry_failed(&mut self.tables),
            Step::Lose => {
                self.groups.clear();
                self.refused.clear();
                self.routes.clear();
                self.fib.forget(&mut self.tables);
            }
        }
    }

    fn poll(&mut self) -> bool {
        let (ids, wanted) = (&self.ids, &self.wanted);
        let slots: BTreeMap<IpNet, usize> = (0..SLOTS).map(|slot| (prefix(slot), slot as usize)).collect();
        let batch = self.fib.poll(&mut self.tables, &mut self.next_hops, |family, dest, _| {
            let hops = wanted[slots[&dest.key.prefix(family)]];
            (0..NEXT_HOPS).filter(|n| hops & 1 << n != 0).map(|n| ids[usize::from(n)]).collect()
        });
        self.batches.extend(batch.clone());
        self.most = self.most.max(self.batches.len());
        batch.is_some()
    }

    fn answer(&mut self, refused: u32) {
        let Some(batch) = self.batches.pop_front() else { return };
        if self.fib.is_void(batch.id) {
            // It was not begun.
            return self.fib.acknowledge(&mut self.tables, batch.id, Vec::new(), Vec::new());
        }
        let mut verdicts = (0..32).map(|bit| refused & 1 << bit != 0);
        let mut refuses = || verdicts.next().unwrap_or(false);
        let (mut failed, mut failed_groups) = (Vec::new(), Vec::new());
        for change in &batch.groups {
            let GroupChange::Set(GroupId(id), hops) = change else { continue };
            if refuses() {
                self.groups.remove(id);
                self.routes.retain(|_, group| group != id);
                self.refused.insert(*id);
                failed_groups.push((GroupId(*id), "refused".to_owned()));
            } else {
                self.refused.remove(id);
                self.groups.insert(*id, hops.clone());
            }
        }
        for RouteChange { prefix, group } in &batch.routes {
            let known = group.is_none_or(|GroupId(group)| self.groups.contains_key(&group));
            let refused = group.is_some_and(|GroupId(group)| self.refused.contains(&group));
            assert!(known || refused, "{group:?} of {prefix} was never set");
            if !known || refuses() {
                failed.push((*prefix, "refused".to_owned()));
            } else if let Some(GroupId(group)) = group {
                self.routes.insert(*prefix, *group);
            } else {
                self.routes.remove(prefix);
            }
        }
        for change in &batch.groups {
            let GroupChange::Delete(GroupId(id)) = change else { continue };
            self.groups.remove(id);
            self.routes.retain(|_, group| group != id);
        }
        self.fib.acknowledge(&mut self.tables, batch.id, failed, failed_groups);
    }

    /// Nothing is refused any more, and everything is answered.
    fn settle(&mut self) {
        loop {
            while self.poll() {}
            if !self.batches.is_empty() {
                self.answer(0);
            } else if self.fib.has_failures() {
                self.fib.retry_failed(&mut self.tables);
            } else if !self.fib.is_interrupted() {
                return;
            }
        }
    }
}

fn prefix(slot: u32) -> IpNet {
    IpNet::V4(Ipv4Net::new(Ipv4Addr::from(10 << 24 | slot << 8), 24).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_kernel_has_in_the_end_what_is_wanted(steps in proptest::collection::vec(step(), 0..80)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            prop_assert!(world.batches.len() <= FLIGHTS);
        }
        world.settle();
        let hop = |n: u8| Hop { gateway: Ipv4Addr::new(192, 0, 2, 10 + n).into(), link: 4 };
        for slot in 0..SLOTS {
            let wanted = world.wanted[slot as usize];
            let hops: Vec<Hop> = (0..NEXT_HOPS).filter(|n| wanted & 1 << n != 0).map(hop).collect();
            let has = world.routes.get(&prefix(slot)).map(|group| world.groups[group].clone());
            prop_assert_eq!(has.unwrap_or_default(), hops, "slot {}", slot);
            let dest = &world.tables[FAMILY.index()].dests[slot];
            prop_assert_eq!((dest.pending, unanswered(dest.fib)), (1, 0));
        }
        let held = world.wanted.iter().filter(|hops| **hops != 0).count();
        prop_assert_eq!((world.fib.held, world.routes.len(), world.fib.groups.live()), (held, held, world.groups.len()));
        prop_assert!(world.groups.values().all(|hops| !hops.is_empty()));
    }
}

/// A destination is in both batches, and the kernel refuses what was overtaken.
#[test]
fn of_a_change_that_was_overtaken_only_the_later_one_counts() {
    let mut world = World::new();
    for (slot, hops) in [(0, 1), (1, 1)] {
        world.take(&Step::Want(slot, hops));
    }
    assert!(world.poll());
    world.take(&Step::Want(0, 2));
    assert!(world.poll() && !world.poll(), "two are in flight");
    // The group is taken, the first route is not.
    world.answer(2);
    assert_eq!(
        (world.fib.has_failures(), world.fib.progress(FAMILY, 0, &world.tables[0].dests[0])),
        (false, Progress::Waiting)
    );
    world.answer(0);
    assert_eq!(world.fib.progress(FAMILY, 0, &world.tables[0].dests[0]), Progress::Done);
    assert_eq!(world.routes.len(), 2);
}

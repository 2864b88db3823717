use proptest::prelude::*;
use wire::Origin;

use super::{Candidate, Decision, Reason, Rules, decide};
use crate::intent::Multipath;

fn path() -> Candidate<'static> {
    Candidate {
        local: false,
        last_choice: false,
        local_pref: 100,
        as_path: &[],
        as_path_length: 2,
        origin: Origin::Igp,
        neighbor_as: 64512,
        med: 0,
        external: true,
        cost: 0,
        incumbent: false,
        router_id: 10,
        cluster_list_length: 0,
        peer: "10.0.0.10".parse().ok(),
        path_id: 0,
    }
}

fn decided(paths: &[Candidate<'_>]) -> Decision {
    decide(paths, Rules::default())
}

fn sharing(max_paths: u16, relax: bool) -> Rules {
    Rules { multipath: Multipath { max_paths, relax }, prefer_oldest: false }
}

/// RFC 4271 9.1.2.2 and the usual order of the field, one stage after the other: the second path is better at the
/// stage and worse at every later one.
#[test]
fn each_stage_decides_before_those_after_it() {
    let worse = Candidate { router_id: 99, cluster_list_length: 9, peer: "10.0.0.99".parse().ok(), ..path() };
    let table: [(Reason, Candidate<'_>, Candidate<'_>); 12] = [
        (Reason::Local, path(), Candidate { local: true, local_pref: 1, ..worse }),
        (Reason::LastChoice, Candidate { last_choice: true, local_pref: 300, ..path() }, worse),
        (Reason::LocalPref, path(), Candidate { local_pref: 200, as_path_length: 9, ..worse }),
        (Reason::AsPathLength, path(), Candidate { as_path_length: 1, origin: Origin::Incomplete, ..worse }),
        (Reason::Origin, Candidate { origin: Origin::Egp, ..path() }, Candidate { med: 9, ..worse }),
        (Reason::Med, Candidate { med: 5, ..path() }, Candidate { external: false, ..worse }),
        (Reason::External, Candidate { external: false, ..path() }, Candidate { cost: 9, ..worse }),
        (Reason::NextHopCost, Candidate { cost: 20, ..path() }, Candidate { cost: 10, ..worse }),
        (Reason::RouterId, path(), Candidate { router_id: 9, cluster_list_length: 9, ..worse }),
        (
            Reason::ClusterListLength,
            Candidate { cluster_list_length: 3, ..path() },
            Candidate { router_id: 10, cluster_list_length: 2, ..worse },
        ),
        (Reason::PeerAddress, path(), Candidate { peer: "10.0.0.9".parse().ok(), path_id: 7, ..path() }),
        (Reason::PathId, Candidate { path_id: 2, ..path() }, Candidate { path_id: 1, ..path() }),
    ];
    for (reason, first, second) in table {
        let decision = decided(&[first, second]);
        assert_eq!((decision.order[0], decision.settled), (1, reason));
        assert_eq!(decision.lost[0], reason);
    }
}

#[test]
fn the_only_path_is_the_best() {
    let decision = decided(&[path()]);
    assert_eq!((decision.ways, decision.settled), (1, Reason::OnlyPath));
}

/// The classic example: pairwise comparison has no answer here, filtering by neighbouring AS has.
#[test]
fn med_is_compared_inside_a_neighbouring_as_only() {
    let one = Candidate { neighbor_as: 1, med: 10, router_id: 3, ..path() };
    let two = Candidate { neighbor_as: 2, med: 5, router_id: 2, ..path() };
    let three = Candidate { neighbor_as: 1, med: 1, router_id: 4, ..path() };
    let decision = decided(&[one, two, three]);
    assert_eq!(decision.order[0], 1, "the lower router id among those that MED left");
    assert_eq!(decision.lost[0], Reason::Med);
}

#[test]
fn equal_paths_share_traffic_up_to_the_limit() {
    let paths: Vec<_> = (0..5u8)
        .map(|id| Candidate { router_id: 10 - u32::from(id), neighbor_as: id.into(), as_path: &[][..], ..path() })
        .collect();
    assert_eq!(decided(&paths).ways, 5);
    let limited = decide(&paths, sharing(2, true));
    assert_eq!((limited.ways, &limited.order[..2]), (2, &[4, 3][..]));
    let longer = Candidate { as_path_length: 3, ..path() };
    assert_eq!(decided(&[path(), longer]).ways, 1);
}

#[test]
fn without_the_relaxed_rule_only_the_same_as_path_shares() {
    let one = Candidate { as_path: &[2, 1, 0, 0, 0, 1], ..path() };
    let two = Candidate { as_path: &[2, 1, 0, 0, 0, 2], router_id: 11, ..path() };
    assert_eq!(decide(&[one, two], sharing(64, false)).ways, 1);
    assert_eq!(decide(&[one, one, two], sharing(64, false)).ways, 2);
    assert_eq!(decide(&[one, two], sharing(64, true)).ways, 2);
}

/// Off unless asked for, and then for external paths only.
#[test]
fn the_oldest_path_stays_the_best_when_that_is_asked_for() {
    let old = Candidate { incumbent: true, router_id: 11, ..path() };
    let rules = Rules { prefer_oldest: true, ..Rules::default() };
    assert_eq!(decided(&[path(), old]).settled, Reason::RouterId);
    let decision = decide(&[path(), old], rules);
    assert_eq!((decision.order[0], decision.settled, decision.ways), (1, Reason::Oldest, 2));
    let internal = [Candidate { external: false, ..path() }, Candidate { external: false, ..old }];
    assert_eq!(decide(&internal, rules).settled, Reason::RouterId);
}

fn any_path() -> impl Strategy<Value = Candidate<'static>> {
    let small = 0u32..3;
    (small.clone(), small.clone(), small.clone(), small.clone(), any::<bool>(), small).prop_map(
        |(pref, length, neighbor, med, external, router_id)| Candidate {
            local_pref: 100 + pref,
            as_path_length: length,
            neighbor_as: neighbor,
            med,
            external,
            router_id,
            ..path()
        },
    )
}

proptest! {
    /// The result never depends on the order in which paths arrived.
    #[test]
    fn the_order_of_arrival_does_not_matter(mut paths in proptest::collection::vec(any_path(), 1..12), turn in 0usize..12) {
        for (index, path) in paths.iter_mut().enumerate() {
            path.peer = format!("10.0.0.{index}").parse().ok();
        }
        let names = |paths: &[Candidate<'_>], decision: &Decision| {
            let ways = usize::from(decision.ways);
            decision.order[..ways].iter().map(|index| paths[usize::from(*index)].peer).collect::<Vec<_>>()
        };
        let before = names(&paths, &decided(&paths));
        let by = turn % paths.len();
        paths.rotate_left(by);
        let turned = names(&paths, &decided(&paths));
        prop_assert_eq!(&before, &turned);
        paths.reverse();
        prop_assert_eq!(before, names(&paths, &decided(&paths)));
    }

    /// Every path but the best has a reason for which it lost.
    #[test]
    fn whoever_loses_knows_why(mut paths in proptest::collection::vec(any_path(), 1..12)) {
        for (index, path) in paths.iter_mut().enumerate() {
            path.peer = format!("10.0.0.{index}").parse().ok();
        }
        let decision = decided(&paths);
        prop_assert_eq!(decision.order.len(), paths.len());
        for (index, reason) in decision.lost.iter().enumerate() {
            prop_assert_eq!(*reason == Reason::OnlyPath, index == usize::from(decision.order[0]));
        }
    }
}

/// RFC 4456 section 11: with reflectors that forward, traffic must not be shared with a path that was reflected more often
/// than the best one.
#[test]
fn paths_that_were_reflected_more_often_share_no_traffic() {
    let reflected =
        |router_id, cluster_list_length| Candidate { external: false, router_id, cluster_list_length, ..path() };
    for (clusters, ways) in [(0, 2), (1, 2), (2, 1)] {
        assert_eq!(decided(&[reflected(1, 1), reflected(2, clusters)]).ways, ways, "{clusters} clusters");
    }
}

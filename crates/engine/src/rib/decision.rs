//! The decision process: RFC 4271 section 9.1.2, by stages, with a reason for every path that loses.
//!
//! Each stage filters the set of paths that are still in the running; a path that falls out keeps the stage's
//! name. There is no ordering of paths: MED compares only paths of the same neighbouring AS, so none exists.
//! The last stages settle every tie by identity, never by age: the result does not depend on history. Only with
//! [`Rules::prefer_oldest`] it does, which is what that option is for.

use std::net::IpAddr;

use smallvec::SmallVec;
use wire::Origin;

use super::table::PathId;
use crate::intent::Multipath;

/// What a stage looks at. Only usable paths that import policy accepted become candidates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) local: bool,
    /// Marked LLGR_STALE (RFC 9494).
    pub(crate) last_choice: bool,
    pub(crate) local_pref: u32,
    pub(crate) as_path: &'a [u8],
    pub(crate) as_path_length: u32,
    pub(crate) origin: Origin,
    pub(crate) neighbor_as: u32,
    pub(crate) med: u32,
    pub(crate) external: bool,
    /// Of the way to the next hop (RFC 4271 9.1.2.2 e): the metric of the kernel's route to it, zero on a connected network.
    pub(crate) cost: u32,
    /// It was the best before.
    pub(crate) incumbent: bool,
    /// ORIGINATOR_ID, else the peer's identifier (RFC 4456 section 9).
    pub(crate) router_id: u32,
    pub(crate) cluster_list_length: u16,
    pub(crate) peer: Option<IpAddr>,
    /// As received (RFC 7911); zero where there is none.
    pub(crate) path_id: PathId,
}

impl Candidate<'_> {
    /// What settles who is best of equals: the lowest (RFC 4271 9.1.2.2 f and g, RFC 4456 section 9).
    pub(crate) fn tie(&self) -> (u32, u16, Option<IpAddr>, PathId) {
        (self.router_id, self.cluster_list_length, self.peer, self.path_id)
    }

    /// Whether a path that comes along is as good as the best one up to [`Self::tie`], whatever else there is, so that it
    /// joins those that share the traffic. `false` says nothing.
    pub(crate) fn joins(&self, best: &Candidate<'_>, rules: Rules) -> bool {
        let rank = |path: &Candidate<'_>| {
            let lengths = (path.as_path_length, path.cluster_list_length);
            let first = (path.local, path.last_choice, path.local_pref);
            (first, lengths, path.origin, path.external, path.cost)
        };
        // With the MED of the best, of the same neighbour, it survives what the best survived and beats nobody else.
        let med = |path: &Candidate<'_>| (path.neighbor_as, path.med);
        let through = rules.multipath.relax || self.as_path == best.as_path;
        !rules.prefer_oldest && through && rank(self) == rank(best) && med(self) == med(best)
    }
}

/// How the decision is configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) multipath: Multipath,
    /// Among external paths that are equal up to here, the one that was the best stays it.
    pub(crate) prefer_oldest: bool,
}

/// The stage at which a path lost, or that made the best one the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    OnlyPath,
    Local,
    LastChoice,
    LocalPref,
    AsPathLength,
    Origin,
    Med,
    External,
    NextHopCost,
    Oldest,
    RouterId,
    ClusterListLength,
    PeerAddress,
    PathId,
}

impl Reason {
    /// In words, as said of the path that lost.
    pub(crate) fn lost(self) -> &'static str {
        match self {
            Self::OnlyPath => "",
            Self::Local => "another path is originated here",
            Self::LastChoice => "stale for long (LLGR_STALE)",
            Self::LocalPref => "lower local preference",
            Self::AsPathLength => "longer AS path",
            Self::Origin => "worse origin",
            Self::Med => "higher MED from the same neighbouring AS",
            Self::External => "internal, and an external path exists",
            Self::NextHopCost => "farther next hop",
            Self::Oldest => "younger",
            Self::RouterId => "higher router id",
            Self::ClusterListLength => "longer cluster list",
            Self::PeerAddress => "higher peer address",
            Self::PathId => "higher path id",
        }
    }

    /// In words, as said of the path that won at this stage.
    pub(crate) fn won(self) -> &'static str {
        match self {
            Self::OnlyPath => "only usable path",
            Self::Local => "originated here",
            Self::LastChoice => "the others are stale for long (LLGR_STALE)",
            Self::LocalPref => "higher local preference",
            Self::AsPathLength => "shorter AS path",
            Self::Origin => "better origin",
            Self::Med => "lower MED",
            Self::External => "external over internal",
            Self::NextHopCost => "nearer next hop",
            Self::Oldest => "older",
            Self::RouterId => "lower router id",
            Self::ClusterListLength => "shorter cluster list",
            Self::PeerAddress => "lower peer address",
            Self::PathId => "lower path id",
        }
    }
}

/// 64 paths of each of a thousand peers.
type Indices = SmallVec<[u16; 8]>;

/// The outcome for a set of candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Candidates in order: the best, the others that share the traffic, then the losers.
    pub(crate) order: Indices,
    /// How many of the first in `order` share the traffic, at least one.
    pub(crate) ways: u8,
    /// The stage that settled who is best.
    pub(crate) settled: Reason,
    /// Per candidate, the stage at which it lost; `OnlyPath` for the best.
    pub(crate) lost: SmallVec<[Reason; 8]>,
}

struct Stages<'a> {
    candidates: &'a [Candidate<'a>],
    live: Indices,
    decision: Decision,
}

impl Stages<'_> {
    /// Keeps the candidates for which `key` is smallest.
    fn keep_min<K: Ord>(&mut self, reason: Reason, key: impl Fn(&Candidate<'_>) -> K) {
        if self.live.len() < 2 {
            return;
        }
        let candidates = self.candidates;
        let Some(least) = self.live.iter().map(|&index| key(&candidates[usize::from(index)])).min() else {
            return;
        };
        self.keep(reason, |index| key(&candidates[usize::from(index)]) == least);
    }

    fn keep(&mut self, reason: Reason, keeps: impl Fn(u16) -> bool) {
        let before = self.live.len();
        let lost = &mut self.decision.lost;
        self.live.retain(|index| {
            let stays = keeps(*index);
            if !stays {
                lost[usize::from(*index)] = reason;
            }
            stays
        });
        if self.live.len() < before {
            self.decision.settled = reason;
        }
    }

    /// RFC 4271 9.1.2.2 c: a path loses to a lower MED of the same neighbouring AS, whoever else is in the set.
    fn compare_med(&mut self) {
        if self.live.len() < 2 {
            return;
        }
        let candidates = self.candidates;
        let mut least: SmallVec<[(u32, u32); 8]> = self
            .live
            .iter()
            .map(|&index| &candidates[usize::from(index)])
            .map(|path| (path.neighbor_as, path.med))
            .collect();
        least.sort_unstable();
        least.dedup_by_key(|(neighbor_as, _)| *neighbor_as);
        self.keep(Reason::Med, |index| {
            let own = &candidates[usize::from(index)];
            least
                .binary_search_by_key(&own.neighbor_as, |(neighbor_as, _)| *neighbor_as)
                .is_ok_and(|at| least[at].1 == own.med)
        });
    }
}

/// Decides. `candidates` must not be empty and hold at most 65535 (more are ignored: they lose unseen).
pub(crate) fn decide(candidates: &[Candidate<'_>], rules: Rules) -> Decision {
    let multipath = rules.multipath;
    let count = candidates.len().min(usize::from(u16::MAX));
    let candidates = &candidates[..count];
    let decision = Decision {
        order: Indices::new(),
        ways: 1,
        settled: Reason::OnlyPath,
        lost: SmallVec::from_elem(Reason::OnlyPath, count),
    };
    let mut stages = Stages { candidates, live: (0..count as u16).collect(), decision };
    stages.keep_min(Reason::Local, |path| !path.local);
    // RFC 9494 section 4.3: less preferred than any other.
    stages.keep_min(Reason::LastChoice, |path| path.last_choice);
    stages.keep_min(Reason::LocalPref, |path| u32::MAX - path.local_pref);
    stages.keep_min(Reason::AsPathLength, |path| path.as_path_length);
    stages.keep_min(Reason::Origin, |path| path.origin as u8);
    stages.compare_med();
    stages.keep_min(Reason::External, |path| !path.external);
    stages.keep_min(Reason::NextHopCost, |path| path.cost);
    let equal = stages.live.clone();
    if rules.prefer_oldest {
        stages.keep_min(Reason::Oldest, |path| !(path.external && path.incumbent));
    }
    stages.keep_min(Reason::RouterId, |path| path.router_id);
    stages.keep_min(Reason::ClusterListLength, |path| path.cluster_list_length);
    stages.keep_min(Reason::PeerAddress, |path| path.peer);
    stages.keep_min(Reason::PathId, |path| path.path_id);

    let Stages { live, mut decision, .. } = stages;
    let best = live[0];
    let mut sharing: Indices = equal.into_iter().filter(|&index| index != best).collect();
    if !multipath.relax {
        // Without the relaxed rule only paths through the same ASes share traffic.
        let path = candidates[usize::from(best)].as_path;
        sharing.retain(|index| candidates[usize::from(*index)].as_path == path);
    }
    // A reflector that is its routes' next hop forwards by its own choice: were a path that was reflected more often to
    // share the traffic, two of them could send it to each other.
    let clusters = candidates[usize::from(best)].cluster_list_length;
    sharing.retain(|index| candidates[usize::from(*index)].cluster_list_length <= clusters);
    sharing.sort_by_key(|&index| candidates[usize::from(index)].tie());
    sharing.truncate(multipath.most() - 1);
    decision.ways = 1 + sharing.len() as u8;
    decision.order.push(best);
    decision.order.extend_from_slice(&sharing);
    let mut placed: SmallVec<[bool; 16]> = SmallVec::from_elem(false, count);
    decision.order.iter().for_each(|&index| placed[usize::from(index)] = true);
    decision.order.extend((0..count as u16).filter(|&index| !placed[usize::from(index)]));
    decision
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;

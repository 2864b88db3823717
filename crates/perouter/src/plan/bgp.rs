//! The BGP part of a plan. Pure.

use engine::Intent;
use engine::intent::{Change, Effect};

use crate::admin::model::{PlanChange, PlanEffect};
use crate::run::without_peers;

/// From one router to another; `None` is a router without anybody to talk to.
pub(super) fn changes(before: Option<&Intent>, after: Option<&Intent>) -> Vec<PlanChange> {
    let changes = match (before, after) {
        (None, None) => Vec::new(),
        (before, Some(after)) => engine::intent::diff(before, after),
        (Some(before), None) => engine::intent::diff(Some(before), &without_peers(before.clone())),
    };
    changes.into_iter().map(change).collect()
}

fn change(change: Change) -> PlanChange {
    let effect = match change.effect {
        Effect::NewSession => PlanEffect::NewSession,
        Effect::SoftReset => PlanEffect::SoftReset,
        Effect::Live => PlanEffect::Live,
        Effect::Added => PlanEffect::Added,
        Effect::Removed => PlanEffect::Removed,
    };
    PlanChange { peer: change.peer, effect, text: change.what }
}

/// Peers whose session ends, for good or to be opened anew, each once. Ranges have no session of their own.
pub(super) fn resets(changes: &[PlanChange]) -> Vec<String> {
    let mut peers: Vec<String> = changes
        .iter()
        .filter(|change| matches!(change.effect, PlanEffect::NewSession | PlanEffect::Removed))
        .filter(|change| !change.text.starts_with("range "))
        .filter_map(|change| change.peer.clone())
        .collect();
    peers.sort();
    peers.dedup();
    peers
}

//! Events on the cluster's objects: what was rejected on this node and why, and which sessions were lost.
//!
//! Each rejection is told once, when it begins or its reason changes, and its end once. A session is told of when it is
//! lost. What there are more of than anybody reads is not told: the status has it.

use std::collections::BTreeMap;

use config::verdict::{ObjectRef, Outcome, Source, Verdict};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Error;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::time::{Duration, Instant};

use super::facts::{Facts, cut, why};
use crate::admin::model::{Peer, Role};
use crate::apiserver::ApiServer;
use crate::source::cluster::Reporting;

/// Events in a row.
const BURST: u32 = 20;
/// One more after each of these.
const REFILL: Duration = Duration::from_secs(10);
/// Longest text of an event, in bytes; the API server takes 1024.
const NOTE: usize = 900;

/// Tells events.
pub(super) struct Events {
    recorder: Recorder,
    budget: Budget,
    told: Told,
}

/// What there is to tell: on which object, what, in one word and in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
struct News {
    object: ObjectRef,
    warning: bool,
    reason: String,
    text: String,
}

/// What was told already.
#[derive(Debug, Default)]
struct Told {
    rejections: BTreeMap<ObjectRef, String>,
    /// Sessions by place: how often each was lost.
    lost: BTreeMap<String, u32>,
}

impl Events {
    pub(super) fn new(server: &ApiServer) -> Self {
        let reporter = Reporter { controller: "perouter".to_owned(), instance: None };
        Self { recorder: Recorder::new(server.client.clone(), reporter), budget: Budget::new(), told: Told::default() }
    }

    /// Tells what is new.
    pub(super) async fn publish(&mut self, facts: &Facts, reporting: &Reporting) -> Result<(), Error> {
        for News { object, warning, reason, text } in self.told.news(&facts.data.verdicts, &facts.status.peers) {
            let Some(reference) = reference(&object, reporting) else { continue };
            if !self.budget.allows(Instant::now()) {
                tracing::debug!(reason, text, "too many events: not told to the cluster");
                continue;
            }
            let event = Event {
                type_: if warning { EventType::Warning } else { EventType::Normal },
                reason,
                note: Some(cut(&format!("node {}: {text}", reporting.name()), NOTE / 2)),
                action: "Configure".to_owned(),
                secondary: None,
            };
            self.recorder.publish(&event, &reference).await?;
        }
        Ok(())
    }
}

fn reference(object: &ObjectRef, reporting: &Reporting) -> Option<ObjectReference> {
    let Source::Cluster { namespace, .. } = &object.source else { return None };
    Some(ObjectReference {
        api_version: Some("network.openperouter.io/v1alpha1".to_owned()),
        kind: Some(object.kind.clone()),
        name: Some(object.name.clone()),
        namespace: Some(namespace.clone()),
        uid: Some(reporting.uid(object)?),
        ..ObjectReference::default()
    })
}

impl Told {
    fn news(&mut self, verdicts: &[Verdict], peers: &[Peer]) -> Vec<News> {
        let mut news = self.verdicts(verdicts);
        news.extend(self.sessions(verdicts, peers));
        news
    }

    fn verdicts(&mut self, verdicts: &[Verdict]) -> Vec<News> {
        let mut news = Vec::new();
        let mut rejections = BTreeMap::new();
        for Verdict { object, outcome } in verdicts {
            let identity = identity(object);
            let before = self.rejections.get(&identity);
            let text = why(outcome).unwrap_or_default();
            match outcome {
                Outcome::Rejected { reason, .. } => {
                    if before != Some(&text) {
                        let (object, reason, text) = (object.clone(), (*reason).to_owned(), text.clone());
                        news.push(News { object, warning: true, reason, text });
                    }
                    rejections.insert(identity, text);
                }
                Outcome::Applied { .. } if before.is_some() => {
                    let (object, reason, text) = (object.clone(), "Applied".to_owned(), "in force".to_owned());
                    news.push(News { object, warning: false, reason, text });
                }
                Outcome::Applied { .. } => {}
            }
        }
        self.rejections = rejections;
        news
    }

    fn sessions(&mut self, verdicts: &[Verdict], peers: &[Peer]) -> Vec<News> {
        let in_force = |kind: &str| {
            let of_kind = |verdict: &&Verdict| verdict.is_applied() && verdict.object.kind == kind;
            verdicts.iter().find(of_kind).map(|verdict| verdict.object.clone())
        };
        let mut news = Vec::new();
        for peer in peers {
            let before = self.lost.insert(peer.place(), peer.flaps).unwrap_or(0);
            let object = match peer.role {
                Role::Host => in_force("L3Passthrough"),
                Role::Fabric | Role::Peer => in_force("Underlay"),
            };
            if let (true, Some(object)) = (peer.flaps > before, object) {
                let why = peer.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
                let text = format!("session with {} was lost{why}", peer.title());
                news.push(News { object, warning: true, reason: "SessionLost".to_owned(), text });
            }
        }
        self.lost.retain(|place, _| peers.iter().any(|peer| peer.place() == *place));
        news
    }
}

/// The object, whatever has changed in it.
fn identity(object: &ObjectRef) -> ObjectRef {
    let source = match &object.source {
        Source::Cluster { namespace, .. } => Source::Cluster { namespace: namespace.clone(), generation: 0 },
        Source::File { path, .. } => Source::File { path: path.clone(), line: 0 },
    };
    ObjectRef { source, ..object.clone() }
}

/// So many events, and then no more than people can read.
#[derive(Debug)]
struct Budget {
    left: u32,
    at: Option<Instant>,
}

impl Budget {
    fn new() -> Self {
        Self { left: BURST, at: None }
    }

    fn allows(&mut self, now: Instant) -> bool {
        let at = self.at.get_or_insert(now);
        while self.left < BURST && now.duration_since(*at) >= REFILL {
            *at += REFILL;
            self.left += 1;
        }
        if self.left == BURST {
            *at = now;
        }
        let allows = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allows
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;

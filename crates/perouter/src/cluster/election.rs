//! One replica leads: who holds the Lease, and renews it.
//!
//! Owns: the Lease of a name, as far as it is ours. Emits: whether we lead. A holder is alive as long as its Lease changes;
//! for how long it did not is measured by our own clock, so that clocks need not agree. Whoever could not renew in time
//! stops to lead before anybody else may begin. Every write names the version that was read: of two that write at once, one
//! fails.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::apiserver::ApiServer;

/// A Lease that has not changed for so long is anybody's.
const EXPIRES: Duration = Duration::from_secs(15);
/// Whoever could not renew for so long does not lead any more.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two looks, and two renewals.
const PERIOD: Duration = Duration::from_secs(3);
/// Longest that a request may take.
const LIMIT: Duration = Duration::from_secs(4);

/// Who wants to lead what.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Name of the Lease.
    pub(super) name: String,
    /// Ours.
    pub(super) identity: String,
}

/// What a look at the Lease asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// There is none.
    Create,
    /// It is free, or its holder has not been heard of for too long.
    Take,
    /// It is ours.
    Renew,
    /// It is somebody else's.
    Wait,
}

/// Decides. Pure.
fn step(lease: Option<&LeaseSpec>, unchanged: Duration, identity: &str) -> Step {
    let Some(lease) = lease else {
        return Step::Create;
    };
    match lease.holder_identity.as_deref() {
        None | Some("") => Step::Take,
        Some(holder) if holder == identity => Step::Renew,
        Some(_) if unchanged >= EXPIRES => Step::Take,
        Some(_) => Step::Wait,
    }
}

/// Runs until `ended`, and gives the Lease up then.
pub(super) async fn run(
    server: ApiServer,
    candidate: Candidate,
    leads: watch::Sender<bool>,
    mut ended: watch::Receiver<bool>,
) {
    let mut election = Election {
        api: Api::namespaced(server.client, &server.namespace),
        candidate,
        seen: None,
        seen_at: Instant::now(),
        renewed: None,
        trouble: None,
    };
    loop {
        election.turn(&leads).await;
        tokio::select! {
            () = sleep(PERIOD) => {}
            _ = ended.wait_for(|ended| *ended) => break,
        }
    }
    let led = leads.send_replace(false);
    if led && let Err(error) = election.release().await {
        tracing::warn!(error, "cannot give the lease up");
    }
}

struct Election {
    api: Api<Lease>,
    candidate: Candidate,
    /// Version of the Lease when it was last looked at, and when it began to be that one.
    seen: Option<String>,
    seen_at: Instant,
    /// When the last renewal that succeeded was begun.
    renewed: Option<Instant>,
    trouble: Option<String>,
}

impl Election {
    async fn turn(&mut self, leads: &watch::Sender<bool>) {
        self.tell(leads);
        let began = Instant::now();
        // Not beyond the time at which we stop to lead.
        let limit = self.renewed.map_or(LIMIT, |renewed| LIMIT.min(DEADLINE.saturating_sub(renewed.elapsed())));
        match timeout(limit, self.attempt()).await.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(ours) => {
                self.renewed = ours.then_some(began);
                self.trouble = None;
            }
            Err(error) => {
                if self.trouble.as_ref() != Some(&error) {
                    tracing::warn!(error, lease = self.candidate.name, "cannot look after the lease; trying again");
                }
                self.trouble = Some(error);
            }
        }
        self.tell(leads);
    }

    fn tell(&mut self, leads: &watch::Sender<bool>) {
        // Whoever was late once has to win again, with all the time there is.
        self.renewed = self.renewed.filter(|renewed| renewed.elapsed() < DEADLINE);
        let leading = self.renewed.is_some();
        let changed = leads.send_if_modified(|leads| std::mem::replace(leads, leading) != leading);
        if changed {
            tracing::info!(leading, identity = self.candidate.identity, "leadership has changed");
        }
    }

    /// One look and what follows from it: whether the Lease is ours now. `Err` says why nobody knows.
    async fn attempt(&mut self) -> Result<bool, String> {
        let found = self.api.get_opt(&self.candidate.name).await.map_err(|error| error.to_string())?;
        let version = found.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        if self.seen != version {
            (self.seen, self.seen_at) = (version, Instant::now());
        }
        let spec = found.as_ref().map(|lease| lease.spec.clone().unwrap_or_default());
        let step = step(spec.as_ref(), self.seen_at.elapsed(), &self.candidate.identity);
        let before = spec.unwrap_or_default();
        match (step, found) {
            (Step::Wait, _) => Ok(false),
            (Step::Create, _) | (_, None) => {
                let metadata = ObjectMeta { name: Some(self.candidate.name.clone()), ..ObjectMeta::default() };
                let lease = Lease { metadata, spec: Some(self.spec(&before, true)) };
                Self::won(self.api.create(&PostParams::default(), &lease).await)
            }
            (Step::Take | Step::Renew, Some(lease)) => {
                let lease = Lease { spec: Some(self.spec(&before, step == Step::Take)), ..lease };
                Self::won(self.api.replace(&self.candidate.name, &PostParams::default(), &lease).await)
            }
        }
    }

    /// Somebody else was faster: no error.
    fn won(result: kube::Result<Lease>) -> Result<bool, String> {
        match result {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    fn spec(&self, before: &LeaseSpec, taken: bool) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.candidate.identity.clone()),
            lease_duration_seconds: i32::try_from(EXPIRES.as_secs()).ok(),
            acquire_time: if taken { Some(now.clone()) } else { before.acquire_time.clone() },
            renew_time: Some(now),
            lease_transitions: Some(before.lease_transitions.unwrap_or_default() + i32::from(taken)),
            ..LeaseSpec::default()
        }
    }

    /// Lets the next one begin at once.
    async fn release(&self) -> Result<(), String> {
        let give_up = async {
            let lease = self.api.get(&self.candidate.name).await?;
            let spec = lease.spec.clone().unwrap_or_default();
            if spec.holder_identity.as_deref() != Some(&self.candidate.identity) {
                return Ok(());
            }
            let spec = LeaseSpec { holder_identity: Some(String::new()), ..spec };
            self.api
                .replace(&self.candidate.name, &PostParams::default(), &Lease { spec: Some(spec), ..lease })
                .await
                .map(drop)
        };
        let result = timeout(LIMIT, give_up).await.map_err(|_| "no answer in time".to_owned())?;
        result.map_err(|error: kube::Error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec { holder_identity: Some(holder.to_owned()), ..LeaseSpec::default() }
    }

    #[test]
    fn a_lease_is_taken_when_it_is_free_or_its_holder_is_silent() {
        let (fresh, old) = (Duration::ZERO, EXPIRES);
        for (lease, unchanged, expected) in [
            (None, fresh, Step::Create),
            (Some(LeaseSpec::default()), fresh, Step::Take),
            (Some(held_by("")), fresh, Step::Take),
            (Some(held_by("me")), fresh, Step::Renew),
            (Some(held_by("me")), old, Step::Renew),
            (Some(held_by("other")), fresh, Step::Wait),
            (Some(held_by("other")), old - Duration::from_millis(1), Step::Wait),
            (Some(held_by("other")), old, Step::Take),
        ] {
            assert_eq!(step(lease.as_ref(), unchanged, "me"), expected, "{lease:?} {unchanged:?}");
        }
    }

    #[test]
    fn whoever_leads_stops_before_another_may_begin() {
        // A request ends at the deadline at the latest, and the pause after it may begin just before.
        assert!(DEADLINE + PERIOD < EXPIRES);
        assert!(PERIOD + LIMIT < DEADLINE, "one request that fails is not the end");
    }
}

//! What the cluster sees of this node: one RouterNodeConfigurationStatus, and events on its objects.
//!
//! Is told: nothing; it looks once a second at what `perouter status` shows. Emits: the status, by server-side apply, when
//! something in it has changed ([`writer`]), and an event for each object that is rejected and each session that is lost
//! ([`events`]). What both say follows from the daemon alone, never from what was written before, and nothing waits for
//! them: an API server that does not answer costs a report, not a session.

mod events;
mod facts;
mod writer;

use std::pin::pin;
use std::time::Duration;

use config::types::RouterNodeConfigurationStatus;
use futures::StreamExt;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::admin;
use crate::apiserver::ApiServer;
use crate::source::cluster::{Reporting, words};
use events::Events;
use facts::{Facts, Times};
use writer::Writer;

/// Shortest time between two looks, and so between two writes.
const PACE: Duration = Duration::from_secs(1);
/// How long a look waits for a configuration that is just being put in force.
const APPLYING: Duration = Duration::from_millis(700);
/// How often it looks whether that is over.
const APPLYING_STEP: Duration = Duration::from_millis(20);
/// Nobody waits longer than this for the API server to take a status.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// Reports until the end of the process.
pub(crate) async fn run(reporting: Reporting, server: ApiServer) {
    let mut writer = Writer::new(&server, reporting.name());
    let mut events = Events::new(&server);
    let mut times = Times::default();
    let own = watcher::Config::default().fields(&format!("metadata.name={}", reporting.name()));
    let api: Api<PartialObjectMeta<RouterNodeConfigurationStatus>> =
        Api::namespaced(server.client.clone(), &server.namespace);
    let mut seen = pin!(watcher(api, own).default_backoff());
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = pace.tick() => {
                settled(&reporting).await;
                let facts = Facts {
                    status: admin::status(reporting.speaker(), reporting.status()).await,
                    data: reporting.status().read(),
                    node: reporting.node(),
                    not_served: reporting.not_served(),
                };
                let report = facts::report(&facts, &mut times);
                let written = timeout(WRITE_LIMIT, async {
                    writer.write(report, facts.node.as_ref()).await?;
                    events.publish(&facts, &reporting).await
                });
                let trouble = match written.await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(words(&error)),
                    Err(_) => Some(format!("no answer within {} s", WRITE_LIMIT.as_secs())),
                };
                reporting.trouble("the status of this node", trouble);
            }
            event = seen.next() => match event {
                // Whoever removes or edits it finds it as it was.
                Some(Ok(Event::Delete(_))) => writer.removed(),
                Some(Ok(Event::Apply(object))) => writer.seen(object.metadata.resource_version.as_deref()),
                Some(Ok(Event::Init | Event::InitApply(_) | Event::InitDone) | Err(_)) => {}
                None => return,
            },
        }
    }
}

/// Waits for what is being put in force, a little.
async fn settled(reporting: &Reporting) {
    let settled = async {
        while reporting.status().read().applying {
            sleep(APPLYING_STEP).await;
        }
    };
    let _ = timeout(APPLYING, settled).await;
}

//! `perouter cluster`: what a cluster needs beside its nodes' routers. Every node has its index, and an object that no node
//! could use is refused as soon as it is written.
//!
//! | part | who | what |
//! |---|---|---|
//! | [`nodes`] | every replica | follows the Nodes |
//! | [`election`] | every replica | one of them leads, by a Lease |
//! | [`index`] | the leader | writes the annotation that a node's addresses follow from |
//! | [`webhook`] | every replica | answers the API server's questions about objects |
//! | [`secret`] | every replica | follows the certificate that it answers with |
//! | [`trust`] | the leader | makes the certificate, renews it, and has the API server trust it |
//! | [`health`] | every replica | probes |
//!
//! No router depends on any of this: nodes judge every object themselves, and an index that was given stays.
//!
//! Start: signals, client, tasks. Stop: not ready, the lease given up, and after a while, in which requests still arrive
//! and are answered, the end.

mod certificate;
mod election;
mod health;
mod index;
mod nodes;
mod review;
mod secret;
mod trust;
mod webhook;

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::apiserver::{self, ApiServer};
use crate::cli::{ClusterArgs, WebhookMode};
use crate::daemon::{RunError, Signals, Wish};
use nodes::Nodes;

/// How long requests may arrive after the end was announced: until the last node knows that we are no endpoint any more.
const LINGER: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(args: ClusterArgs) -> Result<(), RunError> {
    let mut signals = Signals::catch()?;
    let server = apiserver::connect(&args.api_server).await.map_err(RunError)?;
    let identity = identity(&args)?;
    tracing::info!(%identity, namespace = %server.namespace, version = env!("CARGO_PKG_VERSION"), "perouter cluster started");

    let mut tasks = JoinSet::new();
    let nodes = Nodes::follow(server.client.clone(), &mut tasks);
    let certificate = match args.webhook_mode {
        WebhookMode::Disabled => None,
        WebhookMode::Enabled | WebhookMode::Webhookonly => {
            let certificate = secret::follow(&server, &args.webhook_secret, &mut tasks);
            webhook::serve(&server, nodes.clone(), certificate.clone(), args.webhook_port, &mut tasks).await?;
            Some(certificate)
        }
    };
    let (ending, ended) = watch::channel(false);
    health::serve(args.health_port, nodes.clone(), certificate.clone(), ended.clone(), &mut tasks).await?;
    let (leads, leading) = watch::channel(false);
    let candidate = election::Candidate { name: args.lease.clone(), identity };
    let election = tokio::spawn(election::run(server.clone(), candidate, leads, ended));
    tasks.spawn(lead(args, server, nodes, certificate, leading));

    loop {
        tokio::select! {
            wish = signals.next() => if wish == Wish::Stop { break },
            Some(end) = tasks.join_next() => {
                let why = end.err().map_or_else(|| "a task ended".to_owned(), |error| error.to_string());
                return Err(RunError(format!("perouter cluster cannot go on: {why}")));
            }
        }
    }
    tracing::info!("stopping");
    let _ = ending.send(true);
    tokio::time::sleep(LINGER).await;
    if tokio::time::timeout(Duration::from_secs(1), election).await.is_err() {
        tracing::warn!("the lease could not be given up: the next leader waits until it has expired");
    }
    Ok(())
}

/// Who this replica is among the others.
fn identity(args: &ClusterArgs) -> Result<String, RunError> {
    const HOST: &str = "/proc/sys/kernel/hostname";
    let name = match &args.identity {
        Some(identity) => identity.clone(),
        None => std::fs::read_to_string(HOST)
            .map(|name| format!("{}-{}", name.trim(), std::process::id()))
            .map_err(|error| RunError::io(format_args!("cannot read {HOST}"), &error))?,
    };
    Ok(name)
}

/// Does what one replica does for all, as long as we lead.
async fn lead(
    args: ClusterArgs,
    server: ApiServer,
    nodes: Nodes,
    certificate: Option<secret::Certificates>,
    mut leading: watch::Receiver<bool>,
) {
    // The sender lives as long as the election does.
    while leading.wait_for(|leads| *leads).await.is_ok() {
        let mut duties = JoinSet::new();
        if args.webhook_mode != WebhookMode::Webhookonly {
            duties.spawn(index::keep(server.client.clone(), nodes.clone()));
        }
        if let Some(certificate) = certificate.clone() {
            let wanted = trust::Wanted::new(&args, &server.namespace);
            duties.spawn(trust::keep(server.clone(), certificate, wanted));
        }
        let lost = async { drop(leading.wait_for(|leads| !*leads).await) };
        tokio::select! {
            () = lost => {}
            // A duty that panicked begins anew; one after the other, not as fast as it can fail.
            Some(end) = duties.join_next() => {
                tracing::error!(?end, "a duty of the leader ended: beginning anew");
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        }
        // The others end with the set.
    }
}

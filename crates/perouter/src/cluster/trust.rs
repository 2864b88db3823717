//! The certificate's life: made, trusted, renewed. Done by the leader.
//!
//! Owns: what the Secret holds, and the `caBundle` of the webhook's configuration. A certificate is renewed when two thirds
//! of its life are over, in this order, so that no question of the API server meets a certificate that it does not trust:
//! it is told to trust the next authority beside the present one; after a while, in which every API server has heard of
//! it, the certificate goes into the Secret, which all replicas follow. What somebody else did to either is put right as
//! soon as it is seen.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::json;

use super::certificate::Certificate;
use super::secret::{self, Certificates, Held};
use crate::apiserver::ApiServer;
use crate::cli::ClusterArgs;
use crate::moment::Moment;

/// How long an API server may take to hear of a `caBundle`.
const SETTLES: Duration = Duration::from_secs(10);
/// Wait after something that failed.
const AGAIN: Duration = Duration::from_secs(5);

/// What the leader keeps up.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    secret: String,
    configuration: String,
    /// What the API server may call the webhook.
    names: Vec<String>,
    lifetime: Duration,
}

impl Wanted {
    pub(super) fn new(args: &ClusterArgs, namespace: &str) -> Self {
        let service = format!("{}.{namespace}", args.webhook_service);
        let ours = [format!("{service}.svc"), service.clone(), format!("{service}.svc.cluster.local")];
        Self {
            secret: args.webhook_secret.clone(),
            configuration: args.webhook_configuration.clone(),
            names: ours.into_iter().chain(args.webhook_name.iter().cloned()).collect(),
            lifetime: args.certificate_lifetime,
        }
    }

    /// Whether a certificate need not be renewed yet.
    fn is_kept(&self, certificate: &Certificate) -> bool {
        certificate.holds(&self.names, Moment::now().wall + self.lifetime / 3)
    }
}

/// Keeps it up, for ever.
pub(super) async fn keep(server: ApiServer, mut certificates: Certificates, wanted: Wanted) {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(server.client.clone());
    let only = watcher::Config::default().fields(&format!("metadata.name={}", wanted.configuration));
    let mut changes = pin!(watcher(configurations.clone(), only).default_backoff());
    let mut keeper = Keeper {
        secrets: Api::namespaced(server.client, &server.namespace),
        configurations,
        configuration: None,
        next: None,
        wanted,
    };
    let often = (keeper.wanted.lifetime / 30).clamp(Duration::from_secs(1), Duration::from_secs(3_600));
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            event = changes.next() => match event {
                Some(Ok(event)) => keeper.seen(event),
                Some(Err(error)) => tracing::warn!(%error, "cannot follow the webhook's configuration; trying again"),
                None => return,
            },
            changed = certificates.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
        let held = certificates.borrow_and_update().clone();
        wait = match keeper.settle(&held).await {
            Ok(()) => {
                keeper.next.as_ref().map_or(often, |(_, at)| at.saturating_duration_since(tokio::time::Instant::now()))
            }
            Err(error) => {
                tracing::warn!(error, "the webhook's certificate is not as it should be; trying again");
                AGAIN
            }
        };
    }
}

struct Keeper {
    secrets: Api<Secret>,
    configurations: Api<ValidatingWebhookConfiguration>,
    configuration: Option<ValidatingWebhookConfiguration>,
    /// The next certificate, and when it may be used.
    next: Option<(Certificate, tokio::time::Instant)>,
    wanted: Wanted,
}

impl Keeper {
    fn seen(&mut self, event: Event<ValidatingWebhookConfiguration>) {
        match event {
            Event::InitApply(configuration) | Event::Apply(configuration) => self.configuration = Some(configuration),
            Event::Init | Event::Delete(_) => self.configuration = None,
            Event::InitDone => {}
        }
    }

    /// One step towards what is wanted.
    async fn settle(&mut self, held: &Held) -> Result<(), String> {
        if !held.known {
            return Ok(());
        }
        let Some(present) = &held.certificate else {
            // Nobody can have asked yet, or nobody got an answer: there is nothing to keep up.
            self.next = None;
            let first = Certificate::new(&self.wanted.names, Moment::now().wall, self.wanted.lifetime)?;
            tracing::info!("made the webhook's first certificate");
            return self.store(held, &first).await;
        };
        if self.wanted.is_kept(present) {
            self.next = None;
            return self.trust(&present.authorities).await;
        }
        let (next, usable) = match self.next.take() {
            Some(next) => next,
            None => {
                let next = Certificate::new(&self.wanted.names, Moment::now().wall, self.wanted.lifetime)?;
                let settles = SETTLES.min(self.wanted.lifetime / 10);
                tracing::info!("made the webhook's next certificate");
                (next.after(present), tokio::time::Instant::now() + settles)
            }
        };
        self.next = Some((next.clone(), usable));
        self.trust(&next.authorities).await?;
        if usable <= tokio::time::Instant::now() {
            self.store(held, &next).await?;
            self.next = None;
        }
        Ok(())
    }

    async fn store(&self, held: &Held, certificate: &Certificate) -> Result<(), String> {
        let name = &self.wanted.secret;
        if held.version.is_none() {
            return Err(format!("there is no Secret {name}: apply perouter's manifests again, it is among them"));
        }
        let mut found =
            self.secrets.get(name).await.map_err(|error| format!("cannot read the Secret {name}: {error}"))?;
        if found.resource_version() != held.version {
            return Err(format!("the Secret {name} has changed meanwhile"));
        }
        secret::fill(&mut found, certificate);
        let replaced = self.secrets.replace(name, &PostParams::default(), &found).await;
        replaced.map(drop).map_err(|error| format!("cannot write the Secret {name}: {error}"))
    }

    /// Has the API server trust these authorities.
    async fn trust(&mut self, authorities: &str) -> Result<(), String> {
        let name = &self.wanted.configuration;
        // Not there: the webhook is not asked.
        let Some(configuration) = &self.configuration else { return Ok(()) };
        let bundle = ByteString(authorities.as_bytes().to_vec());
        let hooks = configuration.webhooks.iter().flatten();
        let patches: Vec<_> = hooks
            .filter(|hook| hook.client_config.ca_bundle.as_ref() != Some(&bundle))
            .map(|hook| json!({ "name": hook.name, "clientConfig": { "caBundle": bundle } }))
            .collect();
        if patches.is_empty() {
            return Ok(());
        }
        let patch = Patch::Strategic(json!({ "webhooks": patches }));
        match self.configurations.patch(name, &PatchParams::default(), &patch).await {
            Ok(configuration) => {
                tracing::info!(configuration = name, "the API server trusts the webhook's certificate");
                self.configuration = Some(configuration);
                Ok(())
            }
            Err(error) => Err(format!("cannot write the caBundle of {name}: {error}")),
        }
    }
}

//! The certificate in its Secret, as the API server has it.
//!
//! Owns: one watch of one Secret. Emits: the certificate, whenever it is another one.

use std::pin::pin;

use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::certificate::Certificate;
use crate::apiserver::ApiServer;

/// What the Secret holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Whether the API server has said what there is.
    pub(super) known: bool,
    /// Version of the Secret; `None` when there is none.
    pub(super) version: Option<String>,
    /// The certificate in it.
    pub(super) certificate: Option<Certificate>,
}

/// The newest of what the Secret holds.
pub(super) type Certificates = watch::Receiver<Held>;

/// Keys of the Secret.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";

impl Held {
    fn of(secret: &Secret) -> Self {
        let text = |key: &str| {
            let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
            String::from_utf8(bytes.clone()).ok().filter(|text| !text.is_empty())
        };
        let certificate =
            || Some(Certificate { certificate: text(CERTIFICATE)?, key: text(KEY)?, authorities: text(AUTHORITIES)? });
        Self { known: true, version: secret.resource_version(), certificate: certificate() }
    }
}

/// Puts a certificate into a Secret.
pub(super) fn fill(secret: &mut Secret, certificate: &Certificate) {
    let data = secret.data.get_or_insert_default();
    for (key, text) in
        [(CERTIFICATE, &certificate.certificate), (KEY, &certificate.key), (AUTHORITIES, &certificate.authorities)]
    {
        data.insert(key.to_owned(), ByteString(text.clone().into_bytes()));
    }
}

/// Begins to follow it.
pub(super) fn follow(server: &ApiServer, name: &str, tasks: &mut JoinSet<()>) -> Certificates {
    let (held, newest) = watch::channel(Held::default());
    let api: Api<Secret> = Api::namespaced(server.client.clone(), &server.namespace);
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    tasks.spawn(async move {
        let mut events = pin!(watcher(api, only).default_backoff());
        let mut listed = Held::default();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed = Held { known: true, ..Held::default() },
                Ok(Event::InitApply(secret)) => listed = Held::of(&secret),
                Ok(Event::InitDone) => drop(held.send_replace(std::mem::take(&mut listed))),
                Ok(Event::Apply(secret)) => drop(held.send_replace(Held::of(&secret))),
                Ok(Event::Delete(_)) => drop(held.send_replace(Held { known: true, ..Held::default() })),
                Err(error) => tracing::warn!(%error, "cannot follow the certificate's Secret; trying again"),
            }
        }
    });
    newest
}

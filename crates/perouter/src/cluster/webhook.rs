//! Answers the API server's questions about objects, over TLS.
//!
//! Is told: the certificate, whenever it is another one; the Nodes. Asks the API server for the other objects each time,
//! since what was written a moment ago counts: a copy would be behind. Emits: answers ([`review`](super::review)), which
//! `config` gives. Where the others cannot be asked for, the object is judged alone, and the answer says so.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use config::cluster::{Kind, Stored};
use config::compile::admission::{self, Answer, Request};
use config::types::{L3Passthrough, Underlay};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::{Client, ResourceExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::health::listen;
use super::nodes::Nodes;
use super::review::{Asked, Question};
use super::secret::Certificates;
use crate::apiserver::ApiServer;
use crate::daemon::RunError;

/// Where questions are sent to.
pub(crate) const PATH: &str = "/validate";
/// Longest question, in bytes: an API server stores no larger object, and sends two of them.
const LARGEST: usize = 8 << 20;
/// Longest that a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest that the list of the others may take: less than an API server waits for us.
const LIST: Duration = Duration::from_secs(4);
/// Most connections at a time; each API server needs one or two.
const CONNECTIONS: usize = 256;

#[derive(Clone)]
struct App {
    client: Client,
    nodes: Nodes,
}

/// Listens.
///
/// # Errors
/// When the port is taken.
pub(super) async fn serve(
    server: &ApiServer,
    nodes: Nodes,
    certificates: Certificates,
    port: u16,
    tasks: &mut JoinSet<()>,
) -> Result<(), RunError> {
    let listener = listen(port).await?;
    let app = Router::new()
        .route(PATH, post(validate))
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(App { client: server.client.clone(), nodes });
    tasks.spawn(accept(listener, app, certificates));
    Ok(())
}

/// Takes connections until the end of the process.
async fn accept(listener: TcpListener, app: Router, mut certificates: Certificates) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut acceptor = newest(&mut certificates);
    loop {
        let (connection, place) = tokio::select! {
            // First, so that a connection meets the newest certificate.
            biased;
            changed = certificates.changed() => {
                if changed.is_err() {
                    return;
                }
                acceptor = newest(&mut certificates).or(acceptor);
                continue;
            }
            connection = async {
                let place = Arc::clone(&room).acquire_owned().await;
                (listener.accept().await, place)
            } => connection,
        };
        let (Ok(place), Some(acceptor)) = (place, acceptor.clone()) else { continue };
        match connection {
            Ok((stream, from)) => {
                let app = app.clone();
                tokio::spawn(async move {
                    if let Err(error) = connected(stream, &acceptor, app).await {
                        tracing::debug!(%from, %error, "a connection to the webhook failed");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Too many open files, say: a while later there may be fewer.
                tracing::warn!(%error, "cannot accept a connection to the webhook");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn newest(certificates: &mut Certificates) -> Option<TlsAcceptor> {
    let certificate = certificates.borrow_and_update().certificate.clone()?;
    match certificate.server() {
        Ok(config) => {
            tracing::info!("answering with the certificate in the Secret");
            Some(TlsAcceptor::from(Arc::new(config)))
        }
        Err(error) => {
            tracing::error!(error, "the certificate in the Secret cannot be used");
            None
        }
    }
}

async fn connected(stream: TcpStream, acceptor: &TlsAcceptor, app: Router) -> io::Result<()> {
    let stream = timeout(HANDSHAKE, acceptor.accept(stream)).await.map_err(io::Error::other)??;
    let http = hyper::server::conn::http1::Builder::new();
    http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)).await.map_err(io::Error::other)
}

async fn validate(State(app): State<App>, body: Bytes) -> Response {
    let asked = match Asked::read(&body) {
        Ok(asked) => asked,
        Err(error) => return (StatusCode::BAD_REQUEST, error).into_response(),
    };
    let answer = match asked.question() {
        Some(question) => judge(&app, &question).await,
        None => Answer::default(),
    };
    if let Some(refusal) = &answer.refusal {
        tracing::info!(object = asked.title(), refusal = refusal.message, "refused");
    }
    Json(asked.answer(&answer)).into_response()
}

async fn judge(app: &App, question: &Question<'_>) -> Answer {
    let (others, trouble) = match timeout(LIST, others(&app.client, question)).await {
        Ok(Ok(others)) => (others, None),
        Ok(Err(error)) => (Vec::new(), Some(error.to_string())),
        Err(_) => (Vec::new(), Some("no answer in time".to_owned())),
    };
    let stored: Vec<_> = others.iter().map(Other::stored).collect();
    let &Question { kind, namespace, name, generation, spec, before, mirrored } = question;
    let object = Stored { kind, namespace, name, generation, spec };
    let mut answer = admission::answer(&Request { object, before, mirrored }, &stored, &app.nodes.for_objects());
    if let Some(trouble) = trouble {
        tracing::warn!(error = trouble, "cannot list the other objects: judging this one alone");
        answer.remarks.push(format!("whether it fits the other objects was not checked: {trouble}"));
    }
    answer
}

/// An object beside the one in question.
struct Other {
    kind: Kind,
    object: DynamicObject,
}

impl Other {
    fn stored(&self) -> Stored<'_> {
        Stored {
            kind: self.kind,
            namespace: self.object.metadata.namespace.as_deref().unwrap_or_default(),
            name: self.object.metadata.name.as_deref().unwrap_or_default(),
            generation: self.object.metadata.generation.unwrap_or_default(),
            spec: self.object.data.get("spec").unwrap_or(&serde_json::Value::Null),
        }
    }
}

/// All objects but the one in question, the oldest first.
async fn others(client: &Client, question: &Question<'_>) -> kube::Result<Vec<Other>> {
    let mut others = Vec::new();
    for kind in Kind::ALL {
        let resource = match kind {
            Kind::Underlay => ApiResource::erase::<Underlay>(&()),
            Kind::L3Passthrough => ApiResource::erase::<L3Passthrough>(&()),
        };
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let listed = api.list(&ListParams::default()).await?;
        others.extend(listed.items.into_iter().map(|object| Other { kind, object }));
    }
    others.retain(|other| {
        let stored = other.stored();
        (stored.kind, stored.namespace, stored.name) != (question.kind, question.namespace, question.name)
    });
    others.sort_by_key(|Other { object, .. }| {
        (object.creation_timestamp().map(|time| time.0), object.namespace(), object.name_any())
    });
    Ok(others)
}

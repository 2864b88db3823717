//! The daemon's side: HTTP to questions, answers to JSON. The socket takes orders, too; over TCP there are questions only.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use config::node::Http;
use serde::Deserialize;
use tokio::sync::watch;

use super::convert::{self, Names};
use super::query::{self, Ask, Of, Params, Refused};
use super::{Source, events, explain, http, model, openapi, orders, page, trace};
use crate::bfd::View;
use crate::metrics::{self, Process, Scrape};
use crate::moment::Moment;
use crate::plan::{Instead, Planner};
use crate::status::Status;

/// How long questions may still be answered after the end was announced.
const GRACE: Duration = Duration::from_secs(1);

/// Warnings in a status.
const WARNINGS: usize = 50;

/// Answers until `shutdown` turns true or its sender is gone.
pub(super) async fn serve<S: Source>(
    listener: UnixListener,
    http: Option<Http>,
    source: S,
    status: Status,
    planner: Option<Planner>,
    shutdown: watch::Receiver<bool>,
) {
    let app = App { source, status, planner, shutdown: shutdown.clone(), strangers: false };
    if let Some(http) = http {
        let questions = questions().merge(page::routes()).with_state(App { strangers: true, ..app.clone() });
        tokio::spawn(http::serve(http, questions, app.status.clone(), shutdown.clone()));
    }
    let listener = match listener.set_nonblocking(true).and_then(|()| tokio::net::UnixListener::from_std(listener)) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the admin socket cannot be used; status, peers and routes will not answer");
            return;
        }
    };
    let router = questions().merge(orders()).with_state(app);
    let service = axum::serve(listener, router).with_graceful_shutdown(ended(shutdown.clone()));
    tokio::select! {
        result = service.into_future() => if let Err(error) = result {
            tracing::error!(%error, "the admin socket has failed");
        },
        // A client that holds its connection open does not hold the daemon.
        () = async { ended(shutdown).await; tokio::time::sleep(GRACE).await } => {}
    }
}

/// Waits for the end of the daemon.
pub(super) async fn ended(mut shutdown: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is an end too.
    let _ = shutdown.wait_for(|ended| *ended).await;
}

#[derive(Clone)]
pub(super) struct App<S> {
    pub(super) source: S,
    pub(super) status: Status,
    planner: Option<Planner>,
    pub(super) shutdown: watch::Receiver<bool>,
    /// Whoever asks has not shown that it may read the node's files.
    strangers: bool,
}

/// What changes nothing.
fn questions<S: Source>() -> Router<App<S>> {
    Router::new()
        .route("/metrics", get(get_metrics::<S>))
        .route("/v1/openapi.json", get(async || Json(openapi::document())))
        .route("/v1/status", get(get_status::<S>))
        .route("/v1/events", get(events::get::<S>))
        .route("/v1/peers", get(get_peers::<S>))
        .route("/v1/drain", get(get_drain::<S>))
        .route("/v1/routes", get(get_routes::<S>))
        .route("/v1/explain", get(explain::get::<S>))
        .route("/v1/plan", get(get_plan::<S>))
        .fallback(async || {
            let paths = openapi::document()["paths"].as_object().into_iter().flatten();
            let paths: Vec<&str> = paths.map(|(path, _)| path.as_str()).collect();
            Refuse(StatusCode::NOT_FOUND, format!("there are {}", paths.join(", ")))
        })
}

/// What changes something, or costs something.
fn orders<S: Source>() -> Router<App<S>> {
    Router::new()
        .route("/v1/peers/{peer}/trace", get(trace::get::<S>))
        .route("/v1/peers/{peer}/clear", post(post_clear::<S>))
        .route("/v1/peers/{peer}/shutdown", post(post_shutdown::<S>))
        .route("/v1/drain", post(post_drain::<S>))
}

async fn get_metrics<S: Source>(State(app): State<App<S>>) -> Response {
    let (measured, bfd) = (app.source.measured().await, app.source.bfd().await);
    let (snapshot, measured) = measured.unzip();
    let status = screen(&app.status, snapshot.as_ref(), &bfd);
    let events = app.status.journal().counts();
    let tallies = app.status.read().tallies;
    let process = tokio::task::spawn_blocking(Process::read).await.unwrap_or_default();
    let text = metrics::text(Scrape { status, measured: measured.unwrap_or_default(), tallies, events, process });
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

async fn get_status<S: Source>(State(app): State<App<S>>) -> Json<model::Status> {
    Json(status(&app.source, &app.status).await)
}

/// Everything on one screen.
pub(super) async fn status<S: Source>(source: &S, status: &Status) -> model::Status {
    let (snapshot, bfd) = (source.snapshot().await, source.bfd().await);
    screen(status, snapshot.as_ref(), &bfd)
}

/// The same of what was asked already.
fn screen(status: &Status, snapshot: Option<&engine::Snapshot>, bfd: &[View]) -> model::Status {
    let warnings = status.journal().warnings(WARNINGS);
    convert::status(Moment::now(), &status.read(), &warnings, snapshot, bfd)
}

async fn get_peers<S: Source>(State(app): State<App<S>>) -> Result<Json<Vec<model::Peer>>, Refuse> {
    let snapshot = app.source.snapshot().await.ok_or_else(Refuse::stopped)?;
    Ok(Json(convert::peers(Moment::now(), &snapshot, &app.source.bfd().await)))
}

async fn get_drain<S: Source>(State(app): State<App<S>>) -> Result<Json<Option<model::Drain>>, Refuse> {
    let snapshot = app.source.snapshot().await.ok_or_else(Refuse::stopped)?;
    Ok(Json(snapshot.drain.map(|drain| convert::drain(Moment::now(), &drain))))
}

async fn post_drain<S: Source>(
    State(app): State<App<S>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Option<model::Drain>>, Refuse> {
    let body = body.map_err(|error| Refuse(StatusCode::BAD_REQUEST, error.body_text()))?;
    app.source.drain(orders::drain(&body)?).await;
    get_drain(State(app)).await
}

async fn post_clear<S: Source>(
    State(app): State<App<S>>,
    peer: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Vec<model::Ordered>>, Refuse> {
    let (peer, body) = order(peer, body)?;
    orders::one_or_all(&app.source, &peer, orders::clear(&body)?).await.map(Json)
}

async fn post_shutdown<S: Source>(
    State(app): State<App<S>>,
    peer: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Vec<model::Ordered>>, Refuse> {
    let (peer, body) = order(peer, body)?;
    orders::one(&app.source, &peer, orders::shut_down(&body)?).await.map(Json)
}

/// The two parts of an order.
fn order(
    peer: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(String, Bytes), Refuse> {
    let Path(peer) = peer.map_err(|error| Refuse(StatusCode::BAD_REQUEST, error.body_text()))?;
    let body = body.map_err(|error| Refuse(StatusCode::BAD_REQUEST, error.body_text()))?;
    Ok((peer, body))
}

async fn get_routes<S: Source>(
    State(app): State<App<S>>,
    params: Result<Query<Params>, QueryRejection>,
) -> Result<Json<model::RoutePage>, Refuse> {
    let Query(params) = params.map_err(|error| Refuse(StatusCode::BAD_REQUEST, error.body_text()))?;
    let snapshot = app.source.snapshot().await.ok_or_else(Refuse::stopped)?;
    let peers: Vec<_> =
        snapshot.peers.iter().map(|peer| model::PeerRef { name: peer.name.clone(), address: peer.address }).collect();
    let ask = query::parse(&params, &peers)?;
    let (views, next) = query::answer(&app.source, &ask).await.ok_or_else(Refuse::stopped)?;
    let names = Names::of(&snapshot);
    let mut routes: Vec<_> = views.iter().map(|view| convert::route(&names, view)).collect();
    if let Ask::One { of: Of::Router, .. } = ask {
        routes.iter_mut().for_each(|route| convert::without_session(&snapshot, route));
    }
    Ok(Json(model::RoutePage { routes, next }))
}

/// The files to read instead of the daemon's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanParams {
    config_dir: Option<PathBuf>,
    node_config: Option<PathBuf>,
}

async fn get_plan<S: Source>(
    State(app): State<App<S>>,
    params: Result<Query<PlanParams>, QueryRejection>,
) -> Result<Json<model::Plan>, Refuse> {
    let Query(params) = params.map_err(|error| Refuse(StatusCode::BAD_REQUEST, error.body_text()))?;
    if app.strangers && (params.config_dir.is_some() || params.node_config.is_some()) {
        let sentence = "files are named to the daemon's own socket only: `perouter plan --config-dir DIR` on the node";
        return Err(Refuse(StatusCode::FORBIDDEN, sentence.to_owned()));
    }
    let planner = app.planner.ok_or_else(|| {
        Refuse(
            StatusCode::NOT_FOUND,
            "this is a plain speaker, which keeps nothing but its file; `perouter plan` is for `perouter run`"
                .to_owned(),
        )
    })?;
    let instead = Instead { config_dir: params.config_dir, node_config: params.node_config };
    let answer = tokio::task::spawn_blocking(move || planner.plan(instead)).await;
    match answer.map_err(|error| error.to_string()).and_then(|answer| answer) {
        Ok(plan) => Ok(Json(plan)),
        Err(sentence) => Err(Refuse(StatusCode::INTERNAL_SERVER_ERROR, sentence)),
    }
}

/// An answer that is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refuse(pub(super) StatusCode, pub(super) String);

impl Refuse {
    /// To whatever needs a speaker.
    pub(super) fn stopped() -> Self {
        Self(
            StatusCode::SERVICE_UNAVAILABLE,
            "the BGP speaker does not run; `perouter status` and the daemon's log say why".to_owned(),
        )
    }
}

impl From<Refused> for Refuse {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Senseless(sentence) => Self(StatusCode::BAD_REQUEST, sentence),
            Refused::UnknownPeer(sentence) => Self(StatusCode::NOT_FOUND, sentence),
        }
    }
}

impl IntoResponse for Refuse {
    fn into_response(self) -> Response {
        (self.0, Json(model::Refusal { error: self.1 })).into_response()
    }
}

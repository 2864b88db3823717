//! `/v1/peers/{peer}/trace`: the messages of a peer as they pass, as server-sent events. On the socket only: it costs the router
//! a copy of everything.

use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use tokio::sync::mpsc;

use super::query::Refused;
use super::server::{App, Refuse, ended};
use super::time::rfc3339;
use super::{Source, find_peer, orders};
use crate::moment::Moment;
use crate::speaker::Tapped;
use crate::trace::Reader;

/// A stream says something at least this often: whoever has gone is noticed, and no more copies are made.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

pub(super) async fn get<S: Source>(
    State(app): State<App<S>>,
    peer: Result<Path<String>, PathRejection>,
) -> Result<Response, Refuse> {
    let Path(wanted) = peer.map_err(|error| Refuse(StatusCode::BAD_REQUEST, error.body_text()))?;
    let peers = app.source.snapshot().await.ok_or_else(Refuse::stopped)?.peers;
    let known: Vec<_> = peers.iter().map(orders::reference).collect();
    let at = find_peer(&wanted, &known).map_err(Refused::from)?;
    let tapped = app.source.trace(orders::whom(&peers[at])).await;
    let (sender, body) = Channel::<Bytes, std::convert::Infallible>::new(1);
    tokio::spawn(follow(app, tapped, sender));
    let head = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((head, Body::new(body)).into_response())
}

/// Tells message after message until the reader or the daemon goes.
async fn follow<S: Source>(app: App<S>, mut tapped: mpsc::Receiver<Tapped>, mut sender: Sender<Bytes>) {
    let mut reader = Reader::default();
    let mut text = ": tracing\n\n".to_owned();
    loop {
        let told = tokio::select! {
            told = sender.send_data(Bytes::from(std::mem::take(&mut text))) => told.is_ok(),
            () = ended(app.shutdown.clone()) => false,
        };
        if !told {
            return;
        }
        tokio::select! {
            piece = tapped.recv() => {
                let Some(piece) = piece else { return };
                for message in reader.take(&piece, &rfc3339(Moment::now().wall)) {
                    text.push_str("event: message\ndata: ");
                    text.push_str(&serde_json::to_string(&message).unwrap_or_default());
                    text.push_str("\n\n");
                }
            }
            () = tokio::time::sleep(SIGN_OF_LIFE) => text.push_str(": nothing new\n\n"),
            () = ended(app.shutdown.clone()) => return,
        }
    }
}

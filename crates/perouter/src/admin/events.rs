//! `/v1/events`: what happened, page by page or, for whoever accepts `text/event-stream`, as it happens (server-sent events).
//!
//! A stream begins with the newest events (`limit`), with those after a number (`after`), or where an earlier stream ended
//! (`Last-Event-ID`). The id names the start of the daemon besides the event's number: numbers begin anew with each start.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use serde::Deserialize;

use super::convert;
use super::server::{App, Refuse, ended};
use super::{Source, model};
use crate::journal::{KEPT, Page};
use crate::moment::Moment;

/// Events of a page when the question does not say.
const EVENTS: usize = 100;
/// Longest that a question waits for an event.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A stream says something at least this often, so that both ends notice when the other one is gone.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// Pages of a stream that wait for a slow reader.
const PAGES: usize = 2;

/// Which events, and for how long to wait for one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    /// Those after this number; without it the newest.
    after: Option<u64>,
    limit: Option<usize>,
    /// Seconds.
    wait: Option<u64>,
}

/// A page, or a stream of them.
pub(super) async fn get<S: Source>(
    State(app): State<App<S>>,
    headers: HeaderMap,
    params: Result<Query<Params>, QueryRejection>,
) -> Result<Response, Refuse> {
    let Query(params) = params.map_err(|error| Refuse(StatusCode::BAD_REQUEST, error.body_text()))?;
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepts.into_iter().any(|value| value.contains("text/event-stream")) {
        let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
        return Ok(stream(app, last, &params));
    }
    Ok(Json(page(&app, &params).await).into_response())
}

async fn page<S>(app: &App<S>, params: &Params) -> model::EventPage {
    let limit = params.limit.unwrap_or(EVENTS).min(KEPT);
    let journal = app.status.journal();
    let page = || params.after.map_or_else(|| journal.newest(limit), |after| journal.after(after, limit));
    let mut answer = page();
    if let (Some(after), Some(wait), true) = (params.after, params.wait, answer.events.is_empty() && limit > 0) {
        // Nobody who waits holds up the end of the daemon.
        tokio::select! {
            () = journal.beyond(after) => {}
            () = ended(app.shutdown.clone()) => {}
            () = tokio::time::sleep(Duration::from_secs(wait).min(LONGEST_WAIT)) => {}
        }
        answer = page();
    }
    convert::events(Moment::now(), app.status.read().started, &answer)
}

fn stream<S: Source>(app: App<S>, last: Option<&str>, params: &Params) -> Response {
    let life = life(&app);
    let journal = app.status.journal();
    let after = last.map(|id| resumed(id, &life)).or(params.after);
    let limit = params.limit.unwrap_or(EVENTS).min(KEPT);
    let first = after.map_or_else(|| journal.newest(limit), |after| journal.after(after, KEPT));
    let (sender, body) = Channel::<Bytes, std::convert::Infallible>::new(PAGES);
    tokio::spawn(follow(app, first, life, sender));
    let head = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (head, Body::new(body)).into_response()
}

/// Tells page after page until the reader or the daemon goes.
async fn follow<S: Source>(app: App<S>, first: Page, life: String, mut sender: Sender<Bytes>) {
    let mut page = first;
    // Browsers come back after this many milliseconds.
    let mut text = "retry: 2000\n\n".to_owned();
    loop {
        for_stream(&mut text, &life, &convert::events(Moment::now(), app.status.read().started, &page));
        let told = tokio::select! {
            told = sender.send_data(Bytes::from(std::mem::take(&mut text))) => told.is_ok(),
            () = ended(app.shutdown.clone()) => false,
        };
        if !told {
            return;
        }
        let journal = app.status.journal();
        tokio::select! {
            () = journal.beyond(page.last) => {}
            () = tokio::time::sleep(SIGN_OF_LIFE) => text.push_str(": nothing new\n\n"),
            () = ended(app.shutdown.clone()) => return,
        }
        page = journal.after(page.last, KEPT);
    }
}

/// A page as an event stream has it: `event` with an [`model::Event`], and `missed` with a number where some are lost.
fn for_stream(text: &mut String, life: &str, page: &model::EventPage) {
    if page.missed > 0 {
        let _ = write!(text, "event: missed\ndata: {}\n\n", page.missed);
    }
    for event in &page.events {
        // JSON has no line breaks outside of its strings, and escapes those inside.
        let data = serde_json::to_string(event).unwrap_or_default();
        let _ = write!(text, "id: {life}-{}\nevent: event\ndata: {data}\n\n", event.number);
    }
}

/// What tells the numbers of this process from those of others.
fn life<S>(app: &App<S>) -> String {
    let started = app.status.read().started.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    started.as_millis().to_string()
}

/// Where a stream goes on: everything is news to a reader of an earlier process.
fn resumed(id: &str, life: &str) -> u64 {
    let number = id.split_once('-').filter(|(of, _)| *of == life).and_then(|(_, number)| number.parse().ok());
    number.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_goes_on_where_it_ended_unless_the_daemon_is_another_one() {
        assert_eq!(resumed("1700-42", "1700"), 42);
        assert_eq!(resumed("1699-42", "1700"), 0);
        assert_eq!(resumed("nonsense", "1700"), 0);
    }

    #[test]
    fn lost_events_are_counted_before_those_that_are_there() {
        let event = model::Event {
            number: 7,
            at: String::new(),
            age_seconds: 0,
            level: model::Level::Info,
            peer: None,
            object: None,
            text: "two\nlines".to_owned(),
        };
        let mut text = String::new();
        for_stream(
            &mut text,
            "5",
            &model::EventPage { events: vec![event], last: 7, missed: 3, started: String::new() },
        );
        assert!(text.starts_with("event: missed\ndata: 3\n\nid: 5-7\nevent: event\ndata: {\"number\":7,"), "{text}");
        assert_eq!(text.matches('\n').count(), 7, "{text}");
    }
}

//! The same questions over TCP, for browsers and Prometheus: off unless somebody asks for it, and read-only.
//!
//! Owns: the listener, at most [`CONNECTIONS`] connections, and who may ask ([`super::token`]). Comes up as soon as its address
//! is there: a router does not wait for those who watch it. Ends with the daemon.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use config::node::Http;
use engine::Level;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::server::ended;
use super::token;
use crate::speaker::connection::words;
use crate::status::Status;

/// Connections at a time; more wait in the kernel.
const CONNECTIONS: usize = 64;
/// How long a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an answer may still take when the daemon ends.
const GRACE: Duration = Duration::from_secs(1);
/// Wait after the system refused a listener or a connection.
const RETRY: Duration = Duration::from_secs(2);

/// Answers until the daemon ends.
pub(super) async fn serve(http: Http, questions: Router, status: Status, shutdown: watch::Receiver<bool>) {
    tokio::select! {
        () = accept(http, questions, &status, &shutdown) => {}
        () = ended(shutdown.clone()) => {}
    }
}

async fn accept(http: Http, questions: Router, status: &Status, shutdown: &watch::Receiver<bool>) {
    let listener = listen(http.listen, status).await;
    let guard = Arc::new(http.token_file);
    let questions = questions.layer(middleware::from_fn(move |request: Request, next: Next| {
        let guard = Arc::clone(&guard);
        async move {
            private(match token::admit(guard.as_deref(), request.headers()).await {
                Ok(()) => next.run(request).await,
                Err(refusal) => refusal.into_response(),
            })
        }
    }));
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (questions, shutdown) = (questions.clone(), shutdown.clone());
                tokio::spawn(async move {
                    connection(stream, questions, shutdown).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot take a connection");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// An address may belong to a link that is not there yet, and the port to a process that is about to end.
async fn listen(address: SocketAddr, status: &Status) -> TcpListener {
    let mut told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                status.note(Level::Info, None, format!("metrics and the API are served at http://{address}"));
                return listener;
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    status.note(Level::Warn, None, cannot_listen(address, &error));
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    format!("cannot serve metrics and the API at {address}: {}; trying again", words(error))
}

async fn connection(stream: TcpStream, questions: Router, shutdown: watch::Receiver<bool>) {
    let service = TowerToHyperService::new(questions);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => {
            if let Err(error) = result {
                tracing::trace!(%error, "a client has gone");
            }
            return;
        }
        () = ended(shutdown) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(GRACE, connection).await;
}

/// Answers are of the moment and for whoever asked.
fn private(mut answer: Response) -> Response {
    let unauthorized = answer.status() == StatusCode::UNAUTHORIZED;
    let headers = answer.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if unauthorized {
        // Browsers ask for a password then, which is the token.
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"perouter\""));
    }
    answer
}

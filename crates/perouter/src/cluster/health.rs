//! Probes: `/healthz` says that the process lives, `/readyz` that it can answer what it is asked.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::nodes::Nodes;
use super::secret::Certificates;
use crate::daemon::RunError;

#[derive(Clone)]
struct Facts {
    nodes: Nodes,
    certificates: Option<Certificates>,
    ending: watch::Receiver<bool>,
}

impl Facts {
    /// Why not, or that it can.
    fn ready(&self) -> (StatusCode, &'static str) {
        let certificate = self.certificates.as_ref().is_none_or(|held| held.borrow().certificate.is_some());
        match (*self.ending.borrow(), self.nodes.known(), certificate) {
            (true, _, _) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
            (false, false, _) => (StatusCode::SERVICE_UNAVAILABLE, "the Nodes are not known yet\n"),
            (false, true, false) => (StatusCode::SERVICE_UNAVAILABLE, "the webhook has no certificate yet\n"),
            (false, true, true) => (StatusCode::OK, "ok\n"),
        }
    }
}

/// Listens.
///
/// # Errors
/// When the port is taken.
pub(super) async fn serve(
    port: u16,
    nodes: Nodes,
    certificates: Option<Certificates>,
    ending: watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<(), RunError> {
    let listener = listen(port).await?;
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(|State(facts): State<Facts>| async move { facts.ready() }))
        .with_state(Facts { nodes, certificates, ending });
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "the probes' port has failed");
        }
    });
    Ok(())
}

/// A listening socket for both families, or for IPv4 where there is no IPv6.
pub(super) async fn listen(port: u16) -> Result<TcpListener, RunError> {
    let both = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await;
    let listener = match both {
        Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        both => both,
    };
    listener.map_err(|error| RunError::io(format_args!("cannot listen on port {port}"), &error))
}

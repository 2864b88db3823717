//! Local API (placeholder: answers nobody).

use std::os::unix::net::UnixListener;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::speaker::SpeakerHandle;
use crate::status::Status;

/// Serves the views until `shutdown` turns true.
pub(crate) fn serve(
    listener: UnixListener,
    _speaker: SpeakerHandle,
    _status: Status,
    mut shutdown: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let _listener = listener;
        let _ = shutdown.wait_for(|stop| *stop).await;
    })
}

//! Whether the API server can be talked to, and about what not.
//!
//! Owns: one sentence per thing that does not work. Emits: an event when the first begins and when the last ends, and the
//! sentences to the status, where they are a warning: the router works without.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine::Level;

use super::Shared;
use super::patience::Patience;
use crate::apiserver::{self, ApiServer};
use crate::status::Status;

/// Longest wait for credentials.
const CREDENTIALS: Duration = Duration::from_secs(10);

/// What does not work.
#[derive(Debug)]
pub(super) struct Health {
    troubles: Mutex<BTreeMap<&'static str, String>>,
    status: Status,
}

impl Health {
    pub(super) fn new(status: Status) -> Self {
        Self { troubles: Mutex::default(), status }
    }

    /// `what` works, or does not.
    pub(super) fn set(&self, what: &'static str, trouble: Option<String>) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let before = troubles.clone();
        match trouble {
            Some(trouble) => drop(troubles.insert(what, trouble)),
            None => drop(troubles.remove(what)),
        }
        if *troubles == before {
            return;
        }
        if before.is_empty()
            && let Some((what, why)) = troubles.iter().next()
        {
            let text = format!("the API server cannot be asked about {what}: {why}. The router stays as it is");
            self.status.note(Level::Warn, None, text);
        } else if troubles.is_empty() {
            self.status.note(Level::Info, None, "the API server answers again");
        }
        let sentences =
            troubles.iter().map(|(what, why)| format!("the API server cannot be asked about {what}: {why}"));
        let sentences: Vec<_> = sentences.collect();
        self.status.update(|data| data.cluster_troubles = sentences);
    }
}

/// Makes a client, as soon as there are credentials.
pub(super) async fn connect(shared: &Shared) -> ApiServer {
    let mut patience = Patience::of(CREDENTIALS);
    loop {
        match apiserver::connect(&shared.options.api).await {
            Ok(server) => {
                shared.connection.set("anything", None);
                return server;
            }
            Err(error) => shared.connection.set("anything", Some(error)),
        }
        patience.wait().await;
    }
}

/// What went wrong, in words.
pub(crate) fn words(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error
        && !status.message.is_empty()
    {
        return status.message.clone();
    }
    innermost(error)
}

/// A watch's error, in words.
pub(super) fn watch_words(error: &kube::runtime::watcher::Error) -> String {
    use kube::runtime::watcher::Error;
    match error {
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => words(error),
        Error::WatchError(status) => status.message.clone(),
        Error::NoResourceVersion => error.to_string(),
    }
}

/// The last of a chain of causes says what happened; those before say only where.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let said = last.to_string();
    // As rustls words them. A certificate is out of its time more rarely than a clock is.
    let is_time = ["certificate not valid yet", "certificate expired"].iter().any(|words| said.contains(words));
    if is_time { format!("{said}; see whether the clock of this node is right") } else { said }
}

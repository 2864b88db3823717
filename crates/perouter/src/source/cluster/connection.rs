//! Whether the API server can be talked to, and about what not.
//!
//! Owns: one sentence per thing that does not work. Emits: an event when the first begins and when the last ends, and the
//! sentences to the status, where they are a warning: the router works without.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
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
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    match remedy(last) {
        Some(remedy) => format!("{last}; {remedy}"),
        None => last.to_string(),
    }
}

/// What helps where a certificate is out of its time.
fn remedy(error: &(dyn Error + 'static)) -> Option<&'static str> {
    use rustls::CertificateError as Certificate;
    // Each layer of the connection has put it into an error of I/O of its own.
    let mut inside = error;
    while let Some(next) = inside.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        inside = next;
    }
    let Some(rustls::Error::InvalidCertificate(why)) = inside.downcast_ref() else { return None };
    if matches!(why, Certificate::NotValidYet | Certificate::NotValidYetContext { .. }) {
        Some("see whether the clock of this node is right")
    } else if matches!(why, Certificate::Expired | Certificate::ExpiredContext { .. }) {
        Some("renew the API server's certificate, or see whether the clock of this node is right")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn a_certificate_out_of_its_time_comes_with_a_remedy() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let early = rustls::CertificateError::NotValidYetContext { time: at(1), not_before: at(2) };
        let late = rustls::CertificateError::ExpiredContext { time: at(2), not_after: at(1) };
        let unknown = rustls::CertificateError::UnknownIssuer;
        let remedies = [
            (early, Some("see whether the clock of this node is right")),
            (late, Some("renew the API server's certificate, or see whether the clock of this node is right")),
            (unknown, None),
        ];
        for (why, remedy) in remedies {
            let error = rustls::Error::InvalidCertificate(why);
            let wanted = remedy.map_or(error.to_string(), |remedy| format!("{error}; {remedy}"));
            let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error.clone()));
            assert_eq!(innermost(&error), wanted);
            assert_eq!(innermost(&wrapped), wanted);
        }
    }
}

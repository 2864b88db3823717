//! The map: every task and thread of a running perouter, what connects them, and in which order they start and
//! stop. `run` and `speak` are the two ways to start them; what both need is at the end of this file.
//!
//! | from -> to | kind, capacity | when full |
//! |---|---|---|
//! | file watcher -> `run` | channel of 1 "something changed", after 500 ms of quiet | says nothing new: dropped |
//! | kernel monitor threads -> `run`, `watch::follow` | [`crate::watch::News`]: flags | they add up |
//! | `run`, `speak`, `watch::follow`, admin -> engine owner | channel of 16 requests, answers by oneshot | the asker waits |
//! | sockets of peers -> engine owner | epoll: at most 8 connections in a turn, 64 KiB of each | TCP pushes back |
//! | engine owner -> sockets of peers | pulled by `poll_transmit` when the kernel has taken what came before | stays coalesced in RIB-Out |
//! | dialler, listener -> engine owner | channel of 16 facts | they wait |
//! | engine owner -> FIB thread | 2 batches in flight; a few routes the owner sets itself | stays coalesced in the engine |
//! | engine owner -> thread of the host's routes | 1 batch in flight, and changes of the table | stays coalesced in the engine |
//! | FIB thread, thread of the host's routes, finder of neighbours -> engine owner | channel of 8 facts | the thread waits |
//! | owner of a BFD thread -> BFD thread | the latest set of sessions; snapshots by oneshot | latest wins |
//! | BFD thread -> its owner | bounded channel of reports | kept per session: the last going down, and the coming up since |
//! | engine owner -> keeper of the note for the next process | `watch` of those who have a session | latest wins |
//! | everything -> status | a lock held for a copy | - |
//! | a configuration was read -> the one who tidies up ([`Tidy`]) | a timer | begins anew |
//!
//! Tasks: one per listener and dial, one that keeps the note for the next process ([`crate::restart`]), `watch::follow` and the
//! admin server, all of them on a worker; `run` or `speak` itself, which also keeps the host ([`crate::host`]), on the first thread.
//! Further threads: the engine's owner with its connections ([`crate::speaker`]), one for the FIB
//! ([`crate::fib`]), one for the host's routes ([`crate::host_routes`]), one that finds unnumbered neighbours, one per watched namespace ([`crate::watch`]), tokio's blocking ones for netlink and files.
//! The speaker's thread, those that it starts and the FIB's are preferred ([`kernel::priority`]), BFD's is a real-time one. No
//! task that owns state waits for an answer from another one; no thread stays in a foreign namespace.
//!
//! Start: lock, node file, admin socket, gate, namespace, listening sockets, monitor, speaker (with links and routes
//! as its first facts), host, first intent. Stop: engine (NOTIFICATION or, with graceful restart, silence;
//! bounded to 2 s), admin server and socket file, lock. The kernel's state stays, except for a plain `speak`.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::node::Http;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use crate::plan::Planner;
use crate::speaker::SpeakerHandle;
use crate::speaker::connection::words;
use crate::status::Status;

/// Name of the admin socket in the state directory.
pub(crate) const SOCKET: &str = "perouter.sock";
const LOCK: &str = "perouter.lock";
/// How long the admin server may take to finish its answers.
const ADMIN_LIMIT: Duration = Duration::from_secs(1);
/// How long the speaker may take beyond its own limits.
const SPEAKER_LIMIT: Duration = Duration::from_secs(40);

/// How long a configuration keeps the daemon busy: sessions have come up by then.
const TIDY_AFTER: Duration = Duration::from_secs(5);

/// Why the daemon could not start or had to end: one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunError(pub(crate) String);

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RunError {}

impl RunError {
    /// "`what`: `error`".
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        Self(format!("{what}: {}", words(error)))
    }
}

/// The state directory, ours alone as long as this value lives.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    // The lock ends with the descriptor, also when the process is killed.
    _lock: File,
}

impl StateDir {
    /// Makes the directory if it is missing, and locks it. `what` names the daemon for the one who comes second.
    pub(crate) fn take(path: &Path, what: &str) -> Result<Self, RunError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
            RunError::io(format_args!("cannot make the state directory {}", path.display()), &error)
        })?;
        let file = path.join(LOCK);
        let cannot = |error: &io::Error| RunError::io(format_args!("cannot lock {}", file.display()), error);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .map_err(|error| cannot(&error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder);
                return Err(RunError(active(path, holder.trim())));
            }
            Err(TryLockError::Error(error)) => return Err(cannot(&error)),
        }
        let record = format!("{what} {}\n", std::process::id());
        // A full disk keeps no router from starting: the lock takes no room, and who holds it is only said to a second one.
        let _ = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(record.as_bytes()));
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The admin socket, for root alone. A stale file is replaced: whoever made it does not hold the lock.
    pub(crate) fn listen(&self) -> Result<UnixListener, RunError> {
        let path = self.socket();
        let cannot = |error| RunError::io(format_args!("cannot make the admin socket {}", path.display()), &error);
        // Under another name first, so that nobody finds a socket that is open to all or not yet listening.
        let new = self.path.join(format!(".{SOCKET}.new"));
        let _ = fs::remove_file(&new);
        let listener = UnixListener::bind(&new).map_err(cannot)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))
            .and_then(|()| fs::rename(&new, &path))
            .and_then(|()| listener.set_nonblocking(true))
            .map_err(cannot)?;
        Ok(listener)
    }

    fn socket(&self) -> PathBuf {
        self.path.join(SOCKET)
    }
}

/// The sentence for a second daemon; `holder` is what the first wrote into the lock file.
fn active(path: &Path, holder: &str) -> String {
    match holder.rsplit_once(' ') {
        Some((what, pid)) => format!(
            "another `perouter {what}` is active on this node (pid {pid}, state directory {}); stop it first",
            path.display()
        ),
        None => format!("another perouter is active on this node (it holds {})", path.join(LOCK).display()),
    }
}

/// The running admin server.
#[derive(Debug)]
pub(crate) struct Admin {
    shutdown: watch::Sender<bool>,
    server: JoinHandle<()>,
    socket: PathBuf,
}

impl Admin {
    /// Starts it on the state directory's socket and, if wanted, over TCP.
    pub(crate) fn start(
        state: &StateDir,
        speaker: SpeakerHandle,
        status: Status,
        planner: Option<Planner>,
        http: Option<Http>,
    ) -> Result<Self, RunError> {
        let (shutdown, stop) = watch::channel(false);
        if let Some(file) = http.as_ref().and_then(|http| http.token_file.as_deref()) {
            crate::admin::check_token(file).map_err(RunError)?;
        }
        let server = crate::admin::serve(state.listen()?, http, speaker, status, planner, stop);
        Ok(Self { shutdown, server, socket: state.socket() })
    }

    /// Stops it and removes the socket file.
    pub(crate) async fn stop(self) {
        let _ = self.shutdown.send(true);
        if tokio::time::timeout(ADMIN_LIMIT, self.server).await.is_err() {
            tracing::debug!("an admin client is still connected");
        }
        let _ = fs::remove_file(&self.socket);
    }
}

/// Stops the speaker and waits for it, within limits.
pub(crate) async fn stop_speaker(speaker: &SpeakerHandle, task: JoinHandle<()>, graceful: bool, clear_fib: bool) {
    speaker.stop(graceful, clear_fib).await;
    match tokio::time::timeout(SPEAKER_LIMIT, task).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the speaker ended badly"),
        Err(_) => tracing::error!("the speaker did not stop in time"),
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGTERM or SIGINT: stop in order.
    Stop,
}

/// The signals that daemons listen to.
#[derive(Debug)]
pub(crate) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches them from here on. First of all: a SIGHUP must not kill a daemon that is starting.
    pub(crate) fn catch() -> Result<Self, RunError> {
        let catch = |kind| signal(kind).map_err(|error| RunError::io("cannot catch signals", &error));
        Ok(Self {
            hangup: catch(SignalKind::hangup())?,
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.hangup.recv() => Wish::Reload,
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
        }
    }

    /// Waits until the daemon is to stop: for starts, which read everything anyway. Safe to cancel.
    pub(crate) async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}

/// Every connection is a descriptor, and the usual limit of 1024 is less than a range of peers may need. The system's
/// own bound stays; without the permission to go there so does the limit.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::debug!(%error, "the limit of open files stays at {:?}", limit.current);
    }
}

/// That this process begins, for the journal.
pub(crate) fn started() -> String {
    format!("perouter {} started (pid {})", crate::VERSION, std::process::id())
}

/// Gives back the memory of code that only reading a configuration needs.
#[derive(Debug, Default)]
pub(crate) struct Tidy(Option<AbortHandle>);

impl Tidy {
    /// A configuration was read: once the daemon has had time to act on it, and no other one was read.
    pub(crate) fn soon(&mut self) {
        let tidy = tokio::spawn(async {
            tokio::time::sleep(TIDY_AFTER).await;
            if let Ok(Err(error)) = blocking(kernel::memory::forget_unused_code).await {
                tracing::debug!(%error, "code that is not used any more stays in memory");
            }
        });
        if let Some(earlier) = self.0.replace(tidy.abort_handle()) {
            earlier.abort();
        }
    }
}

/// Runs something that blocks (netlink, files) outside the runtime's workers.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RunError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| RunError(format!("a worker ended badly: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_daemon_learns_who_the_first_is() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("state");
        let first = StateDir::take(&path, "run").expect("nobody holds it");
        let refused = StateDir::take(&path, "speak").expect_err("the first holds it").to_string();
        assert!(refused.starts_with("another `perouter run` is active on this node"), "{refused}");
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        drop(first);
        StateDir::take(&path, "speak").expect("the first is gone");
    }

    #[test]
    fn the_admin_socket_is_private_and_replaces_a_stale_one() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::take(folder.path(), "run").expect("nobody holds it");
        drop(UnixListener::bind(state.socket()).expect("a stale socket"));
        let _listener = state.listen().expect("replaces it");
        let mode = fs::metadata(state.socket()).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::os::unix::net::UnixStream::connect(state.socket()).expect("somebody listens");
    }
}

//! Static files: tells when the directory of objects, the node file or a file of a session key changed, once per burst.
//!
//! Owns: an inotify watch on each of the paths, or on the nearest folder above that exists, so that a folder that
//! is made later is noticed; and on the folder above each, so that a removed and remade one is.
//! Emits: one wake-up per burst. Does not: read the files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::Level;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::status::Status;

/// This much quiet ends a burst.
const QUIET: Duration = Duration::from_millis(500);
/// The same for what changes in one step.
const EAGER: Duration = Duration::from_millis(10);
/// A burst that does not end is reported nevertheless.
const LONGEST_BURST: Duration = Duration::from_secs(5);

/// Watches files and folders; must be called inside a tokio runtime. The receiver gets one message per burst of changes. A second burst before the first
/// was taken says nothing new and is dropped. An error means that the system gives us no watch at all.
fn watch(paths: &[&Path], quiet: Duration) -> notify::Result<mpsc::Receiver<()>> {
    let mut files = Files::new(paths, quiet)?;
    let (sender, bursts) = mpsc::channel(1);
    // Ends when the receiver is dropped.
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = sender.closed() => return,
                () = files.changed() => drop(sender.try_send(())),
            }
        }
    });
    Ok(bursts)
}

/// A watch on fixed paths and on the files of session keys, which come and go with the configuration.
#[derive(Debug)]
pub(crate) struct Watched {
    fixed: Vec<PathBuf>,
    keys: Vec<PathBuf>,
    quiet: Duration,
    bursts: mpsc::Receiver<()>,
    status: Status,
}

impl Watched {
    /// Watches these from here on. Must be called inside a tokio runtime.
    pub(crate) fn new(fixed: Vec<PathBuf>, status: Status) -> Self {
        Self::with_quiet(fixed, status, QUIET)
    }

    /// The same, told at once: for what is not written in several steps.
    pub(crate) fn eager(fixed: Vec<PathBuf>, status: Status) -> Self {
        Self::with_quiet(fixed, status, EAGER)
    }

    fn with_quiet(fixed: Vec<PathBuf>, status: Status, quiet: Duration) -> Self {
        let mut watched = Self { fixed, keys: Vec::new(), quiet, bursts: mpsc::channel(1).1, status };
        watched.start();
        watched
    }

    /// Watches these files of keys and no others. Returns whether they are other ones than before: then what changed
    /// in them since they were read went unnoticed.
    pub(crate) fn follow(&mut self, keys: &[PathBuf]) -> bool {
        if self.keys == keys {
            return false;
        }
        self.keys = keys.to_vec();
        self.start();
        true
    }

    /// Waits for the end of the next burst of changes. Safe to cancel.
    pub(crate) async fn burst(&mut self) {
        if self.bursts.recv().await.is_none() {
            std::future::pending().await
        }
    }

    fn start(&mut self) {
        let keys = self.keys.iter().map(|key| around(key));
        let paths: Vec<PathBuf> = self.fixed.iter().cloned().chain(keys).collect();
        match watch(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>(), self.quiet) {
            Ok(bursts) => self.bursts = bursts,
            Err(error) => {
                let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
                let text = format!("cannot watch {}: {error}. SIGHUP reloads", names.join(", "));
                self.status.note(Level::Warn, None, text);
            }
        }
    }
}

/// What to watch for a file of a key. A link is followed when it is read, and what it leads to may be replaced
/// without touching it, as a cluster does with mounted secrets: then any change beside it counts.
fn around(key: &Path) -> PathBuf {
    let folder = key.is_symlink().then(|| key.parent()).flatten();
    folder.unwrap_or(key).to_owned()
}

#[derive(Debug)]
struct Files {
    paths: Vec<PathBuf>,
    watched: BTreeSet<PathBuf>,
    watcher: RecommendedWatcher,
    quiet: Duration,
    changes: mpsc::Receiver<()>,
}

impl Files {
    fn new(paths: &[&Path], quiet: Duration) -> notify::Result<Self> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| absolute(path)).collect();
        // One place: a second change before the first is taken says nothing new.
        let (sender, changes) = mpsc::channel(1);
        let of_interest = paths.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.as_ref().map_or(true, |event| concerns(event, &of_interest)) {
                let _ = sender.try_send(());
            }
        })?;
        let mut files = Self { paths, watched: BTreeSet::new(), watcher, quiet, changes };
        files.rearm();
        Ok(files)
    }

    /// Waits for the end of the next burst of changes. Not to be cancelled: a burst that was begun would be lost.
    async fn changed(&mut self) {
        debounce(&mut self.changes, self.quiet).await;
        // Before the caller reads the files: what changes after this is noticed again.
        self.rearm();
    }

    fn rearm(&mut self) {
        for path in std::mem::take(&mut self.watched) {
            // Fails for a folder that is gone, whose watch went with it.
            let _ = self.watcher.unwatch(&path);
        }
        for path in &self.paths {
            for folder in folders(path) {
                if !self.watched.contains(&folder) {
                    match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                        Ok(()) => drop(self.watched.insert(folder)),
                        Err(error) => {
                            tracing::warn!(path = %folder.display(), %error, "cannot watch this folder; SIGHUP reloads");
                        }
                    }
                }
            }
        }
    }
}

/// What to watch for `path`: itself if it is a folder, and the nearest existing folder above.
fn folders(path: &Path) -> Vec<PathBuf> {
    let own = path.is_dir().then(|| path.to_owned());
    let above = path.ancestors().skip(1).find(|folder| folder.is_dir()).map(Path::to_owned);
    own.into_iter().chain(above).collect()
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Whether an event can mean other contents of `paths`. Reading does not: we do that ourselves.
fn concerns(event: &notify::Event, paths: &[PathBuf]) -> bool {
    let changes = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    };
    let near = |changed: &PathBuf| paths.iter().any(|path| changed.starts_with(path) || path.starts_with(changed));
    changes && (event.need_rescan() || event.paths.iter().any(near))
}

/// Waits for a change and then for quiet.
async fn debounce(changes: &mut mpsc::Receiver<()>, quiet: Duration) {
    if changes.recv().await.is_none() {
        // The watcher is gone; nothing will change any more.
        return std::future::pending().await;
    }
    let limit = Instant::now() + LONGEST_BURST;
    loop {
        let quiet = (Instant::now() + quiet).min(limit);
        tokio::select! {
            biased;
            () = sleep_until(quiet) => return,
            Some(()) = changes.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::timeout;

    use super::*;

    async fn elapsed_until_report(changes: &mut mpsc::Receiver<()>) -> Duration {
        let begin = Instant::now();
        debounce(changes, QUIET).await;
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_reported_once_after_half_a_second_of_quiet() {
        let (sender, mut changes) = mpsc::channel(1);
        let writer = tokio::spawn(async move {
            for _ in 0..4 {
                sender.send(()).await.expect("the receiver is there");
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            sender
        });
        let took = elapsed_until_report(&mut changes).await;
        assert_eq!(took, Duration::from_millis(900) + QUIET);
        let _sender = writer.await.expect("the writer ends");
        assert!(timeout(Duration::from_secs(60), debounce(&mut changes, QUIET)).await.is_err(), "reported twice");
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_without_end_is_reported_nevertheless() {
        let (sender, mut changes) = mpsc::channel(1);
        tokio::spawn(async move {
            while sender.send(()).await.is_ok() {
                tokio::time::sleep(QUIET / 2).await
            }
        });
        assert_eq!(elapsed_until_report(&mut changes).await, LONGEST_BURST);
    }

    /// Far longer than any burst; only a watch that misses the change gets there.
    const MISSED: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_file_written_moved_or_removed_is_noticed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut bursts = watch(&[folder.path()], QUIET).expect("inotify is there");
        let file = folder.path().join("openpe_a.yaml");
        fs::write(&file, "one").expect("writes");
        timeout(MISSED, bursts.recv()).await.expect("creation");
        fs::write(folder.path().join("new"), "two").expect("writes");
        fs::rename(folder.path().join("new"), &file).expect("moves");
        timeout(MISSED, bursts.recv()).await.expect("replacement");
        fs::remove_file(&file).expect("removes");
        timeout(MISSED, bursts.recv()).await.expect("removal");
    }

    #[tokio::test]
    async fn a_folder_that_is_made_later_is_watched() {
        let above = tempfile::tempdir().expect("a temporary folder");
        let folder = above.path().join("etc").join("configs");
        let mut bursts = watch(&[&folder], QUIET).expect("inotify is there");
        fs::create_dir_all(&folder).expect("makes folders");
        timeout(MISSED, bursts.recv()).await.expect("the folder");
        fs::write(folder.join("openpe_a.yaml"), "one").expect("writes");
        timeout(MISSED, bursts.recv()).await.expect("a file in it");
        fs::remove_dir_all(&folder).expect("removes");
        timeout(MISSED, bursts.recv()).await.expect("its removal");
        fs::create_dir_all(&folder).expect("makes folders");
        timeout(MISSED, bursts.recv()).await.expect("the new folder");
    }

    #[test]
    fn reading_a_file_is_no_change_and_neighbours_do_not_matter() {
        let paths = [PathBuf::from("/etc/perouter/configs")];
        let event = |kind, path: &str| notify::Event::new(kind).add_path(path.into());
        let inside = "/etc/perouter/configs/openpe_a.yaml";
        assert!(concerns(&event(EventKind::Access(AccessKind::Close(AccessMode::Write)), inside), &paths));
        assert!(!concerns(&event(EventKind::Access(AccessKind::Open(AccessMode::Any)), inside), &paths));
        assert!(!concerns(&event(EventKind::Any, "/etc/perouter/other"), &paths));
        assert!(concerns(&event(EventKind::Any, "/etc/perouter"), &paths));
    }
}

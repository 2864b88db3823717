//! Whether this process takes over from an earlier one, with the kernel forwarding as that one had it: a restart in the sense
//! of RFC 4724, which peers are told of so that they keep our routes.
//!
//! Owns: a note in the state directory, that the router forwards, whether it has ever installed a route, and who has a session.
//! Asks the kernel for what an earlier process left. A note that is missing, damaged, of another boot or of another namespace says nothing.
//! Does not: judge links and addresses ([`crate::host`] does), nor compare routes (the FIB does, when it adopts them).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernel::netns::Namespace;
use serde::{Deserialize, Serialize};

const FILE: &str = "forwarding.json";

/// What stands in the file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Note {
    boot: String,
    /// Device and inode of the namespace.
    namespace: (u64, u64),
    installed: bool,
    /// Who has a session; an older version did not note it.
    #[serde(default)]
    peers: Option<BTreeSet<IpAddr>>,
}

/// What an earlier process left.
#[derive(Debug)]
pub(crate) struct Restart {
    /// The note to go on with.
    pub(crate) forwarding: Forwarding,
    /// Routes are as that process had them.
    pub(crate) preserved: bool,
    /// Whom it had sessions with, if that is known.
    pub(crate) peers: Option<BTreeSet<IpAddr>>,
}

/// The note of this process. Clones are the same note.
#[derive(Clone, Debug)]
pub(crate) struct Forwarding {
    path: PathBuf,
    note: Arc<Mutex<Note>>,
}

impl Forwarding {
    /// Looks at what an earlier process left, and takes over its note. Blocks for a file and netlink.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn take_over(state_dir: &Path, namespace: &Namespace) -> io::Result<Restart> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        let installed = kernel::fib::has_leftovers(namespace)?;
        let mut note = Note { boot, namespace: namespace.id()?, installed, peers: None };
        let path = state_dir.join(FILE);
        let before: Option<Note> = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let preserved = preserved(before.as_ref(), &note);
        let same = |before: &Note| (&before.boot, before.namespace) == (&note.boot, note.namespace);
        let peers = before.filter(same).and_then(|before| before.peers);
        // They are waited for from here on: whoever comes after this process waits for them, too.
        note.peers.clone_from(&peers);
        let forwarding = Self { path, note: Arc::new(Mutex::new(note)) };
        Ok(Restart { forwarding, preserved, peers })
    }

    /// Notes that the router forwards from here on, with what is in the kernel.
    pub(crate) fn begin(&self) {
        self.write(&self.note());
    }

    /// Notes that routes are in the kernel. Cheap when that is known.
    pub(crate) fn installed(&self) {
        let mut note = self.note();
        if !std::mem::replace(&mut note.installed, true) {
            self.write(&note);
        }
    }

    /// Notes who has a session.
    pub(crate) fn sessions(&self, peers: BTreeSet<IpAddr>) {
        let mut note = self.note();
        note.peers = Some(peers);
        self.write(&note);
    }

    /// Held while it is written, so that the file has the last word.
    fn note(&self) -> MutexGuard<'_, Note> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without the note a restart looks like a first start, which costs packets then and nothing before.
    fn write(&self, note: &Note) {
        // Whole or not at all.
        let new = self.path.with_extension("new");
        let text = serde_json::to_vec(note).map_err(io::Error::other);
        if let Err(error) = text.and_then(|text| fs::write(&new, text)).and_then(|()| fs::rename(&new, &self.path)) {
            tracing::warn!(path = %self.path.display(), %error, "cannot note what a restart is to find");
        }
    }
}

/// Whether what was noted is still so. Pure.
fn preserved(before: Option<&Note>, now: &Note) -> bool {
    match before {
        // Whoever installed routes still has some, and whoever had none has lost none.
        Some(before) if (&before.boot, before.namespace) == (&now.boot, now.namespace) => {
            now.installed || !before.installed
        }
        // Objects of ours are nobody else's.
        Some(_) | None => now.installed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(installed: bool) -> Note {
        Note { boot: "one".into(), namespace: (4, 17), installed, peers: None }
    }

    #[test]
    fn forwarding_was_preserved_when_what_was_installed_is_there() {
        let other_boot = |installed| Note { boot: "two".into(), ..note(installed) };
        let other_namespace = |installed| Note { namespace: (4, 18), ..note(installed) };
        for (before, now, expected) in [
            (Some(note(true)), note(true), true),
            (Some(note(true)), note(false), false),
            (Some(note(false)), note(false), true),
            (Some(note(false)), note(true), true),
            (None, note(false), false),
            (None, note(true), true),
            (Some(other_boot(false)), note(false), false),
            (Some(other_namespace(false)), note(false), false),
            (Some(other_namespace(true)), note(true), true),
        ] {
            assert_eq!(preserved(before.as_ref(), &now), expected, "{before:?} {now:?}");
        }
    }

    #[test]
    fn a_later_process_reads_what_this_one_noted_and_a_damaged_note_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let namespace = Namespace::current().unwrap();
        let take = || Forwarding::take_over(folder.path(), &namespace).unwrap();
        let Restart { forwarding: first, preserved, peers } = take();
        assert_eq!(preserved, first.note().installed, "without a note the kernel decides");
        assert_eq!(peers, None);
        first.note().installed = false;
        first.begin();
        let read = || serde_json::from_slice::<Note>(&fs::read(folder.path().join(FILE)).unwrap());
        assert_eq!(read().unwrap(), *first.note());
        assert!(take().preserved);
        let sessions = BTreeSet::from(["192.0.2.1".parse().unwrap(), "fe80::1".parse().unwrap()]);
        first.sessions(sessions.clone());
        first.installed();
        assert!(read().unwrap().installed);
        let second = take();
        assert_eq!(second.peers, Some(sessions.clone()));
        second.forwarding.begin();
        assert_eq!(
            take().peers,
            Some(sessions),
            "a process that dies before it knows more takes nothing from the next"
        );

        let old = Note { boot: "another".into(), ..second.forwarding.note().clone() };
        second.forwarding.write(&old);
        assert_eq!(take().peers, None, "of another boot");
        for damaged in ["{", "", "[]", r#"{"boot": 7}"#] {
            fs::write(folder.path().join(FILE), damaged).unwrap();
            let Restart { preserved, peers, .. } = take();
            assert_eq!((preserved, peers), (kernel::fib::has_leftovers(&namespace).unwrap(), None), "{damaged}");
        }
    }
}

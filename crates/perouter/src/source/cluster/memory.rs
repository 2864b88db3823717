//! What was said last, on disk: for a start while nobody answers.
//!
//! One file in the state directory, readable by its owner alone, since the keys of sessions are in it. It is replaced as a
//! whole. What it says holds until the API server has said what there is.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::index::Memory;

const FILE: &str = "cluster.json";

/// Name of the node, which a state directory may have been taken along from, and what concerns it.
#[derive(Serialize, Deserialize, PartialEq)]
struct Kept {
    name: String,
    memory: Memory,
}

/// What was kept for this node; `Ok(None)` when nothing was.
///
/// # Errors
/// A sentence when it cannot be read, which is as if nothing had been kept.
pub(super) fn load(state_dir: &Path, name: &str) -> Result<Option<Memory>, String> {
    let path = state_dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&path, &error)),
    };
    let kept: Kept = serde_json::from_str(&text).map_err(|error| unreadable(&path, &error))?;
    Ok((kept.name == name).then_some(kept.memory))
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> String {
    format!("what was known of the cluster cannot be read from {}: {error}. Waiting for the API server", path.display())
}

/// Keeps it, unless it is what is kept already. Does not wait for the disk.
pub(super) fn keep(state_dir: PathBuf, name: String, memory: Memory) {
    // One writer at a time, so that the last one wins.
    static WRITING: Mutex<()> = Mutex::new(());
    tokio::task::spawn_blocking(move || {
        let _turn = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        if load(&state_dir, &name).ok().flatten().as_ref() == Some(&memory) {
            return;
        }
        if let Err(error) = write(&state_dir, &Kept { name, memory }) {
            tracing::warn!(%error, "cannot keep what is known of the cluster");
        }
    });
}

fn write(state_dir: &Path, kept: &Kept) -> io::Result<()> {
    let new = state_dir.join(format!(".{FILE}.new"));
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(kept)?)?;
    fs::rename(&new, state_dir.join(FILE))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_kept_is_for_the_same_node_and_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(load(folder.path(), "n"), Ok(None));
        let kept = Kept { name: "n".into(), memory: Memory::default() };
        write(folder.path(), &kept).expect("it can be written");
        assert_eq!(load(folder.path(), "n"), Ok(Some(Memory::default())));
        assert_eq!(load(folder.path(), "another"), Ok(None));
        let mode = fs::metadata(folder.path().join(FILE)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(folder.path().join(FILE), "{").expect("it can be written");
        assert!(load(folder.path(), "n").expect_err("it is torn").contains("cluster.json"));
    }
}

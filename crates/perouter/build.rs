//! The version that `perouter --version` says: the package's and, of a release build, the commit.
//!
//! The commit is PEROUTER_COMMIT where that is set, for those who build from an archive, else what the repository says.
//! That is read as files, so git need not be installed; where there is none, the version goes without. A debug build names
//! no commit, so that a commit does not have everything linked anew.
//!
//! It also tells the linker of a release build where to put functions: those that a change of one route goes through lie together
//! (`change.ld`, made by `scripts/order`).

#![allow(clippy::print_stdout)] // how cargo is spoken to

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Digits of a commit: enough for any repository.
const DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PEROUTER_COMMIT");
    let version = env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    let given = env::var("PEROUTER_COMMIT").ok().filter(|commit| is_commit(commit));
    let release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = given.or_else(|| release.then(commit).flatten());
    let version = commit.map_or_else(|| version.clone(), |commit| format!("{version}+{}", &commit[..DIGITS]));
    println!("cargo::rustc-env=PEROUTER_VERSION={version}");
    if release && env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo::rerun-if-changed=change.ld");
        // GNU's linker and LLVM's read it in the same way.
        println!("cargo::rustc-link-arg-bins=-Wl,--script={}/change.ld", env!("CARGO_MANIFEST_DIR"));
    }
}

fn is_commit(text: &str) -> bool {
    text.len() >= DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The commit that the repository around this package is at.
fn commit() -> Option<String> {
    let (folder, common) = repository(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))?;
    let head = read(&folder.join("HEAD"))?;
    let commit = match head.strip_prefix("ref: ") {
        None => head,
        Some(branch) => read(&common.join(branch)).or_else(|| packed(&common.join("packed-refs"), branch))?,
    };
    Some(commit).filter(|commit| is_commit(commit))
}

/// The folder with HEAD, and the one with the branches: a worktree has the first for itself only.
fn repository(root: &Path) -> Option<(PathBuf, PathBuf)> {
    let git = root.join(".git");
    if git.is_dir() {
        return Some((git.clone(), git));
    }
    let folder = root.join(read(&git)?.strip_prefix("gitdir: ")?);
    let common = read(&folder.join("commondir")).map_or_else(|| folder.clone(), |common| folder.join(common));
    Some((folder, common))
}

fn packed(refs: &Path, branch: &str) -> Option<String> {
    let refs = read(refs)?;
    refs.lines().find_map(|line| line.strip_suffix(branch)?.strip_suffix(' ').map(str::to_owned))
}

/// A file without the end of its last line; cargo looks at it again when it changes.
fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    println!("cargo::rerun-if-changed={}", path.display());
    Some(text.trim_end().to_owned())
}

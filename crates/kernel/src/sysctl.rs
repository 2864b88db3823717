//! Kernel settings under /proc/sys/net, which show the namespace of the thread that opens them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::netns::Namespace;

/// A key is the path below /proc/sys, with slashes, because names of links may contain dots.
fn path(key: &str) -> PathBuf {
    Path::new("/proc/sys").join(key)
}

/// Reads the values of `keys` inside a namespace; `None` is one that this kernel does not have.
pub(crate) fn read(ns: &Namespace, keys: Vec<String>) -> io::Result<Vec<(String, Option<String>)>> {
    ns.run(move || keys.into_iter().map(|key| Ok((key.clone(), read_here(&key)?))).collect())?
}

/// Sets one inside a namespace. A setting that has the value already is not written: some start work even then.
pub(crate) fn write(ns: &Namespace, key: &str, value: &str) -> io::Result<()> {
    let (key, value) = (key.to_owned(), value.to_owned());
    ns.run(move || {
        if read_here(&key)?.as_deref() == Some(&value) {
            return Ok(());
        }
        // Not created when it is missing: procfs answers ENOENT.
        fs::write(path(&key), value)
    })?
}

fn read_here(key: &str) -> io::Result<Option<String>> {
    match fs::read_to_string(path(key)) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

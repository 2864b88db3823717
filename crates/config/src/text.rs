//! Reading the files that a daemon finds by itself, where nobody watches it wait.
//!
//! A FIFO under the name of a configuration file would hold the reader until somebody writes to it, and a file
//! without end would fill the memory. Neither can be what the user meant.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// More than any configuration needs: a ConfigMap cannot hold more than 1 MiB.
const LIMIT: u64 = 4 * 1024 * 1024;

/// The text of a regular file of a reasonable size.
pub(crate) fn read(path: &Path) -> Result<String> {
    let kind = std::fs::metadata(path)?.file_type();
    // Reading a directory fails with the system's own words.
    if !kind.is_file() && !kind.is_dir() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is a FIFO, a socket or a device, not a regular file"));
    }
    let mut text = String::new();
    if File::open(path)?.take(LIMIT + 1).read_to_string(&mut text)? as u64 > LIMIT {
        return Err(Error::new(ErrorKind::FileTooLarge, "it is larger than 4 MiB"));
    }
    Ok(text)
}

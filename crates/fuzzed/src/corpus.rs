//! The committed inputs: one file per target, each input behind its length.
//!
//! Thousands of small files weigh heavily on every checkout and say nothing in a diff, so what the fuzzer keeps in a
//! directory is packed. Inputs stand in order of length, then of content: the same inputs are the same file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The fuzzer's package.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// Where the inputs of a target are committed.
pub fn file(target: &str) -> PathBuf {
    directory().join("corpus").join(format!("{target}.pack"))
}

/// The committed inputs of a target.
///
/// # Errors
/// When the file cannot be read, or its lengths do not add up.
pub fn read(target: &str) -> io::Result<Vec<Vec<u8>>> {
    unpack(&fs::read(file(target))?).ok_or_else(|| io::Error::other("the lengths in the pack do not add up"))
}

/// The inputs that once failed, with their names; none without a directory.
///
/// # Errors
/// When they cannot be read.
pub fn regressions(target: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let entries = match fs::read_dir(directory().join("regressions").join(target)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry?;
        all.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?));
    }
    all.sort();
    Ok(all)
}

/// One file of all inputs, each once.
pub fn pack(mut inputs: Vec<Vec<u8>>) -> Vec<u8> {
    inputs.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    inputs.dedup();
    let mut out = Vec::new();
    for input in inputs {
        let length = u32::try_from(input.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&input);
    }
    out
}

/// The inputs in a file; `None` when its lengths do not add up.
pub fn unpack(mut pack: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut inputs = Vec::new();
    while !pack.is_empty() {
        let (length, rest) = pack.split_first_chunk()?;
        let (input, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        inputs.push(input.to_vec());
        pack = rest;
    }
    Some(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back_once_and_in_order() {
        let inputs: Vec<Vec<u8>> = [&b"long one"[..], b"", b"ab", b"ab", b"aa"].map(<[u8]>::to_vec).to_vec();
        let pack = pack(inputs);
        let expected: Vec<Vec<u8>> = [&b""[..], b"aa", b"ab", b"long one"].map(<[u8]>::to_vec).to_vec();
        assert_eq!(unpack(&pack), Some(expected));
        assert_eq!(unpack(&pack[..pack.len() - 1]), None);
    }
}

//! The archive: POSIX.1-1988 ustar, which every `tar` reads. Files only.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const BLOCK: usize = 512;

/// An archive in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Archive(Vec<u8>);

impl Archive {
    /// With one more file; its name has at most 100 octets.
    pub(super) fn with(mut self, name: &str, content: &[u8]) -> Self {
        let mut header = [0; BLOCK];
        put(&mut header, 0, &name.as_bytes()[..name.len().min(100)]);
        put(&mut header, 100, b"0000600\0");
        put(&mut header, 108, b"0000000\0");
        put(&mut header, 116, b"0000000\0");
        put(&mut header, 124, format!("{:011o}\0", content.len()).as_bytes());
        put(&mut header, 136, b"00000000000\0");
        // The sum counts its own field as blanks.
        put(&mut header, 148, b"        ");
        put(&mut header, 156, b"0");
        put(&mut header, 257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        put(&mut header, 148, format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    /// Its bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}

fn put(header: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    header[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Writes a new file that only its owner reads.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tar_reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.tar");
        let long = "x".repeat(1_000);
        let archive =
            Archive::default().with("one.txt", b"first").with("in/two.txt", long.as_bytes()).with("empty", b"");
        write(&file, &archive.finish()).unwrap();
        let tar = |words: &[&str]| {
            let output = std::process::Command::new("tar").args(words).arg(&file).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(tar(&["-tf"]), "one.txt\nin/two.txt\nempty\n");
        let output = std::process::Command::new("tar").arg("-xOf").arg(&file).arg("in/two.txt").output().unwrap();
        assert_eq!(output.stdout, long.as_bytes());
        assert!(write(&file, b"").is_err(), "what is there is not replaced");
    }
}

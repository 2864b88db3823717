//! Addresses of moved NICs, in files that outlive the process.
//!
//! One file per NIC, `state_dir/nics/NAME`: the first line is the boot in which it was written, each further line an
//! address. After a reboot nothing of ours is left and the system has configured the NIC itself, so files of another
//! boot do not count.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

const FOLDER: &str = "nics";
/// Ends the name of a file that is being written.
const UNFINISHED: &str = ".new~";

/// All that count. What cannot be one of ours (a directory, a name or a content that is no text) does not.
pub(super) fn read(state_dir: &Path) -> io::Result<BTreeMap<String, Vec<IpNet>>> {
    let folder = state_dir.join(FOLDER);
    entries(&folder).map_err(|error| naming("read the saved addresses", &folder, &error))
}

fn entries(folder: &Path) -> io::Result<BTreeMap<String, Vec<IpNet>>> {
    let mut all = BTreeMap::new();
    let boot = boot()?;
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.ends_with(UNFINISHED) || !entry.file_type()?.is_file() {
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(entry.path())?).into_owned();
        all.extend(parse(&text, &boot).map(|addresses| (name, addresses)));
    }
    Ok(all)
}

/// The addresses in a file; `None` when it was written in another boot.
pub(crate) fn parse(text: &str, boot: &str) -> Option<Vec<IpNet>> {
    let mut lines = text.lines();
    (lines.next() == Some(boot)).then(|| lines.filter_map(|line| line.parse().ok()).collect())
}

/// Writes one: after a return it is on the disk, before it the old one is.
pub(super) fn write(state_dir: &Path, nic: &str, addresses: &[IpNet]) -> io::Result<()> {
    let folder = state_dir.join(FOLDER);
    replace(&folder, nic, addresses).map_err(|error| naming("save its addresses", &folder.join(nic), &error))
}

fn replace(folder: &Path, nic: &str, addresses: &[IpNet]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let unfinished = folder.join(format!("{nic}{UNFINISHED}"));
    let mut file = File::create(&unfinished)?;
    writeln!(file, "{}", boot()?)?;
    for address in addresses {
        writeln!(file, "{address}")?;
    }
    file.sync_all()?;
    fs::rename(&unfinished, folder.join(nic))?;
    File::open(folder)?.sync_all()
}

/// Removes one; fine when there is none.
pub(super) fn forget(state_dir: &Path, nic: &str) -> io::Result<()> {
    let path: PathBuf = state_dir.join(FOLDER).join(nic);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(naming("remove its saved addresses", &path, &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Words, not an errno: the remedies of `errno` are about links and the kernel, not about files.
fn naming(what: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::other(format!("cannot {what} ({}): {error}; make the state directory usable", path.display()))
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

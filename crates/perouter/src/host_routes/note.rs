//! Which table an earlier process wrote to: one small file in the state directory.

use std::fs;
use std::io;
use std::path::Path;

use kernel::host_table::HostTable;
use serde::{Deserialize, Serialize};

const FILE: &str = "host-table.json";

#[derive(Deserialize, Serialize)]
struct Note {
    table: u32,
    metric: u32,
    link: String,
    gateways: Vec<std::net::IpAddr>,
}

/// The table of the note; `None` without a usable one.
pub(super) fn read(state_dir: &Path) -> Option<HostTable> {
    let text = fs::read(state_dir.join(FILE)).ok()?;
    let Note { table, metric, link, gateways } = serde_json::from_slice(&text).ok()?;
    Some(HostTable { table, metric, link, gateways })
}

/// Notes the table, or that there is none any more.
pub(super) fn write(state_dir: &Path, table: Option<&HostTable>) -> io::Result<()> {
    let path = state_dir.join(FILE);
    let Some(HostTable { table, metric, link, gateways }) = table.cloned() else {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        };
    };
    let text = serde_json::to_vec(&Note { table, metric, link, gateways })?;
    // Whole or not at all: half a note would be none.
    let new = state_dir.join(format!("{FILE}.new"));
    fs::write(&new, text)?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_process_finds_the_table_until_it_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), None);
        let gateways = vec!["192.169.10.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let table = HostTable { table: 254, metric: 20, link: "pt-host".into(), gateways };
        write(folder.path(), Some(&table)).unwrap();
        assert_eq!(read(folder.path()), Some(table));
        write(folder.path(), None).unwrap();
        write(folder.path(), None).unwrap();
        assert_eq!(read(folder.path()), None);
    }
}

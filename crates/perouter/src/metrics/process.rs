//! This process as the kernel sees it, under the names that every Prometheus client uses.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// Figures of this process; zero where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) threads: u64,
    pub(super) open_files: u64,
    pub(super) file_limit: u64,
    /// Since 1970.
    pub(super) started_seconds: f64,
}

impl Process {
    /// As of now.
    pub(crate) fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        let figures = Self::parse(&stat, &boot, clock_ticks_per_second() as f64, page_size() as u64);
        Self { open_files: open_files(), file_limit: getrlimit(Resource::Nofile).current.unwrap_or(0), ..figures }
    }

    /// From `/proc/self/stat` and `/proc/stat` (proc(5)).
    fn parse(stat: &str, boot: &str, ticks: f64, page: u64) -> Self {
        // The program's name may contain anything, also a closing bracket.
        let fields: Vec<f64> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0.0))
            .collect();
        // The first of these is the third field of the file.
        let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0.0);
        let booted = boot.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
        Self {
            cpu_seconds: (field(14) + field(15)) / ticks,
            threads: field(20) as u64,
            started_seconds: booted.unwrap_or(0.0) + field(22) / ticks,
            virtual_bytes: field(23) as u64,
            resident_bytes: field(24) as u64 * page,
            ..Self::default()
        }
    }
}

/// Kernels since 6.2 say it as the folder's size; every descriptor is a file in it.
fn open_files() -> u64 {
    const FOLDER: &str = "/proc/self/fd";
    match fs::metadata(FOLDER).map_or(0, |folder| folder.len()) {
        0 => fs::read_dir(FOLDER).map_or(0, |entries| entries.count() as u64),
        size => size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_proc_are_those_of_its_manual() {
        let stat =
            "7 (a) b) R 1 7 7 0 -1 4194560 300 0 0 0 150 50 0 0 20 0 9 0 1000 104857600 2560 18446744073709551615";
        let process = Process::parse(stat, "cpu 1 2\nbtime 1700000000\n", 100.0, 4096);
        let expected = Process {
            cpu_seconds: 2.0,
            resident_bytes: 2560 * 4096,
            virtual_bytes: 104_857_600,
            threads: 9,
            started_seconds: 1_700_000_010.0,
            ..Process::default()
        };
        assert_eq!(process, expected);
    }

    #[test]
    fn this_process_has_memory_files_and_a_past() {
        let process = Process::read();
        assert!(process.resident_bytes > 0 && process.open_files > 0 && process.threads > 0, "{process:?}");
        assert!(process.started_seconds > 1_600_000_000.0, "{process:?}");
    }
}

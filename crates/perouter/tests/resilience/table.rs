//! The table of results: each row is printed, and appended to the file that [`FILE`] names.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;

use crate::traffic::Loss;

/// The environment variable with the path of the file for rows.
const FILE: &str = "PEROUTER_RESILIENCE_ROWS";

/// One event and what it cost.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What happened.
    pub(crate) event: String,
    /// Among which daemons.
    pub(crate) peers: String,
    /// From the fabric to the host; of both families the one that is worse off.
    pub(crate) to_host: Loss,
    /// From the host to the fabric.
    pub(crate) to_fabric: Loss,
    /// What was asserted beside.
    pub(crate) held: String,
}

impl Row {
    /// Puts it into the table.
    pub(crate) fn report(&self) {
        let line = self.line();
        println!("{line}");
        let Some(file) = env::var_os(FILE) else { return };
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "{line}").unwrap();
    }

    /// As `scripts/resilience` heads it.
    fn line(&self) -> String {
        let Self { event, peers, to_host, to_fabric, held } = self;
        let longest = to_host.longest.max(to_fabric.longest).as_secs_f64() * 1e3;
        let (sent, down, up) = (to_host.sent.min(to_fabric.sent), to_host.lost, to_fabric.lost);
        format!("| {event} | {peers} | {sent} | {down} | {up} | {longest:.0} ms | {held} |")
    }
}

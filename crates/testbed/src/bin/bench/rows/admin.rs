//! Asking the router while it works.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;

use testbed::{Family, LabError};

use super::change::Prober;
use super::{Arena, Bench, Figure, Player, figures, quantile};
use crate::Result;
use crate::process::own_memory;
use crate::site::Plan;

/// Probes before the listing, for comparison.
const BEFORE: u32 = 50;

/// `perouter routes` on a full table, with single changes meanwhile: what they wait longer is what the listing stopped
/// the engine for, and what both processes took from each other on the machine's cores.
pub(super) fn listing(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    let table = bench.table(Family::Ipv4, bench.size(1_000_000));
    let arena = Arena::open(bench, player, Plan { prompt: true, ..Plan::default() }, &table)?;
    arena.fill(&table)?;
    let mut prober = Prober::new(&arena, None);
    promptly(|| (0..BEFORE).try_for_each(|i| prober.probe(i)))?;
    let usual = quantile(&mut std::mem::take(&mut prober.host), 0.5);
    let explain = |e: std::io::Error| LabError::new(format!("perouter routes: {e}"));
    let before = own_memory(&arena.running.pids);
    let begun = Instant::now();
    let mut listing = Command::new(&bench.perouter)
        .args(["--state-dir", &arena.site.dir().join("state").to_string_lossy(), "routes"])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(explain)?;
    let mut output = listing.stdout.take().ok_or_else(|| LabError::new("no output"))?;
    let reading = std::thread::spawn(move || lines(&mut output));
    let mut i = BEFORE;
    promptly(|| {
        while !reading.is_finished() {
            prober.probe(i)?;
            i += 1;
        }
        Ok(())
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let read = reading.join().unwrap_or_else(|_| Err(std::io::Error::other("the reader panicked"))).map_err(explain)?;
    listing.wait().map_err(explain)?;
    if read < table.prefixes.len() {
        return Err(LabError::new(format!("{read} lines for {} routes", table.prefixes.len())));
    }
    let grown = own_memory(&arena.running.pids) - before;
    let times = &mut prober.host;
    let worst = quantile(times, 1.0) - usual;
    Ok(figures(
        "listing",
        [("stop", quantile(times, 0.99) - usual), ("worst", worst), ("time", seconds), ("growth", grown)],
    ))
}

/// Does something in a thread that does not wait for a processor, as the peers.
fn promptly(work: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    let work =
        || kernel::priority::raise().map_err(|e| LabError::new(format!("no priority: {e}"))).and_then(|()| work());
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|_| Err(LabError::new("the prober panicked")))
}

fn lines(output: &mut impl Read) -> std::io::Result<usize> {
    let (mut buffer, mut lines) = (vec![0; 1 << 16], 0);
    loop {
        match output.read(&mut buffer)? {
            0 => return Ok(lines),
            n => lines += buffer[..n].iter().filter(|byte| **byte == b'\n').count(),
        }
    }
}

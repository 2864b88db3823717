//! Starts, restarts, and doing nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testbed::{Family, LabError};

use super::{Arena, Bench, Figure, PATIENCE, Player, empty, figures};
use crate::Result;
use crate::process::{Cpu, memory};
use crate::site::{self, Plan, Side};

/// Routes of a peer that waits for the router.
const WAITING: usize = 1000;
/// Routes that survive a restart.
const SURVIVING: usize = 10_000;

/// Peers dial already when the process starts.
pub(super) fn cold(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    let table = bench.table(Family::Ipv4, WAITING);
    let router = player.ok_or_else(|| LabError::new("the kernel speaks no BGP"))?;
    let site = bench.site(Plan::default())?;
    let greeting = site.announcement(Side::Fabric, 0, &table).into();
    let feeder = site.speaker(Side::Fabric, 0, &empty(Family::Ipv4), greeting)?;
    let sink = site.speaker(Side::Host, 0, &table, Arc::new([]))?;
    let fib = site.fib()?;
    let first = fib.note_first()?;
    [&feeder, &sink].into_iter().try_for_each(|speaker| speaker.wait_refused(PATIENCE))?;
    let begun = Instant::now();
    router.start(&site, false)?;
    let told = sink.wait("a route at the host", PATIENCE, |sink| sink.first)?;
    let installed = first.join().unwrap_or_else(|_| Err(std::io::Error::other("the watch panicked")));
    let installed = installed.map_err(|e| LabError::new(e.to_string()))?;
    sink.wait("every route at the host", PATIENCE, |sink| sink.complete().then_some(()))?;
    fib.watch(&table, &[site.peer(Side::Fabric, 0)]).wait(PATIENCE)?;
    drop(feeder);
    let ms = |at: Instant| at.saturating_duration_since(begun).as_secs_f64() * 1e3;
    Ok(figures("cold", [("fib", ms(installed)), ("host", ms(told))]))
}

/// Everything of the router ends at once and is started again; graceful restart on all sides.
pub(super) fn restart(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    let killed = gap(bench, player, Signal::KILL)?;
    let stopped = gap(bench, player, Signal::TERM)?;
    Ok(figures("restart", [("kill", killed), ("term", stopped)]))
}

/// Milliseconds in which routes were missing from the FIB.
fn gap(bench: &Bench, player: Player, signal: Signal) -> Result<f64> {
    let table = bench.table(Family::Ipv4, SURVIVING);
    let router = player.ok_or_else(|| LabError::new("the kernel speaks no BGP"))?;
    let site = bench.site(Plan { restarts: true, ..Plan::default() })?;
    let fib = site.fib()?;
    let running = router.start(&site, false)?;
    let greeting = site.announcement(Side::Fabric, 0, &table).into();
    let feeder = site.speaker(Side::Fabric, 0, &empty(Family::Ipv4), greeting)?;
    let sink = site.speaker(Side::Host, 0, &table, Arc::new([]))?;
    site::wait_up([&feeder, &sink])?;
    let gateway = [site.peer(Side::Fabric, 0)];
    fib.watch(&table, &gateway).wait(PATIENCE)?;
    sink.wait("every route at the host", PATIENCE, |sink| sink.complete().then_some(()))?;
    running.settle();
    let watch = fib.missing(table.prefixes.len(), Duration::from_secs(if bench.quick { 4 } else { 8 }));
    std::thread::sleep(Duration::from_millis(200));
    running.end(&site, signal)?;
    let again = router.start(&site, true)?;
    let missing = watch.join().unwrap_or_else(|_| Err(LabError::new("the watch panicked")))?;
    sink.wait("every route at the host again", PATIENCE, |sink| sink.complete().then_some(()))?;
    again.settle();
    fib.verify(&table, &gateway)?;
    Ok(missing)
}

/// Two sessions, and nothing to do.
pub(super) fn idle(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    let arena = Arena::open(bench, player, Plan::default(), &empty(Family::Ipv4))?;
    std::thread::sleep(Duration::from_secs(2));
    let (cpu, begun) = (Cpu::of(&arena.running.pids), Instant::now());
    std::thread::sleep(bench.time(10));
    let share = cpu.since() / begun.elapsed().as_secs_f64() * 100.0;
    Ok(figures("idle", [("memory", memory(&arena.running.pids).0), ("cpu", share)]))
}

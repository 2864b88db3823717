//! A whole table comes, and goes again.

use std::sync::Arc;
use std::time::Instant;

use testbed::Family;

use super::{Arena, Bench, Figure, PATIENCE, Player, figures};
use crate::Result;
use crate::bgp;
use crate::floor::{self, Leaving};
use crate::process::{Cpu, memory};
use crate::routes::Table;
use crate::site::{Plan, Side};

pub(super) fn full(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    measure(bench, player, "full", Plan::default(), bench.size(1_000_000))
}

pub(super) fn no_fib(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    measure(bench, player, "nofib", Plan { kernel: false, ..Plan::default() }, bench.size(1_000_000))
}

pub(super) fn strict(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    measure(bench, player, "strict", Plan { strict: true, ..Plan::default() }, bench.size(1_000_000))
}

pub(super) fn ipv6(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    measure(bench, player, "ipv6", Plan { family: Family::Ipv6, ..Plan::default() }, bench.size(200_000))
}

fn measure(bench: &Bench, player: Player, row: &str, plan: Plan, n: usize) -> Result<Vec<Figure>> {
    let table = bench.table(plan.family, n);
    if player.is_none() {
        let (came, gone) = floor::measure(&bench.site(plan)?, &table, Leaving::Routes)?;
        return Ok(figures(row, [("fib", came), ("withdraw", gone)]));
    }
    let arena = Arena::open(bench, player, plan, &table)?;
    let came = come(&arena, &table)?;
    let (fib, host) = go(&arena, &table)?;
    let mut all = figures(row, [("host", came.host), ("cpu", came.cpu), ("peak", came.peak), ("unhost", host)]);
    if let (Some(came), Some(gone)) = (came.fib, fib) {
        all.extend(figures(row, [("fib", came), ("withdraw", gone)]));
    }
    Ok(all)
}

/// What it cost that a table came; seconds and MiB.
pub(super) struct Came {
    /// Until the kernel had everything, where routes are installed.
    pub(super) fib: Option<f64>,
    /// Until the host's peer did.
    pub(super) host: f64,
    pub(super) cpu: f64,
    pub(super) peak: f64,
}

/// Announces a table and waits until everything is where it should be, and right.
pub(super) fn come(arena: &Arena, table: &Arc<Table>) -> Result<Came> {
    let Arena { site, running, .. } = arena;
    let gateway = [site.peer(Side::Fabric, 0)];
    let announcement = site.announcement(Side::Fabric, 0, table);
    let fib = site.fib()?;
    arena.sink().sink().watch(true);
    let cpu = Cpu::of(&running.pids);
    let watch = site.plan.kernel.then(|| fib.watch(table, &gateway));
    let begun = arena.feeder().send(&announcement)?;
    let told = arena.sink().wait("every route at the host", PATIENCE, |s| s.last.filter(|_| s.complete()))?;
    let installed = watch.map(|watch| watch.wait(PATIENCE)).transpose()?;
    running.settle();
    let (spent, (_, peak)) = (cpu.since(), memory(&running.pids));
    if site.plan.kernel {
        fib.verify(table, &gateway)?;
    }
    arena.faultless()?;
    let seconds = |at: Instant| at.saturating_duration_since(begun).as_secs_f64();
    Ok(Came { fib: installed.map(seconds), host: seconds(told), cpu: spent, peak })
}

/// Withdraws it again; seconds until the kernel and the host's peer have nothing.
fn go(arena: &Arena, table: &Arc<Table>) -> Result<(Option<f64>, f64)> {
    let withdrawal = bgp::withdraw(table.family, &table.in_order().collect::<Vec<_>>());
    let site = &arena.site;
    // The FIB of the beginning was without routes, too.
    let fib = site.plan.kernel.then(|| site.fib()).transpose()?.map(|fib| fib.without(table.prefixes.len()));
    arena.sink().sink().watch(false);
    let watch = fib.map(|fib| fib.watch(table, &[]));
    let begun = arena.feeder().send(&withdrawal)?;
    let told = arena.sink().wait("no route at the host", PATIENCE, |s| s.last.filter(|_| s.complete()))?;
    let gone = watch.map(|watch| watch.wait(PATIENCE)).transpose()?;
    arena.faultless()?;
    Ok((gone.map(|at| (at - begun).as_secs_f64()), (told - begun).as_secs_f64()))
}

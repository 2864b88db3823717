//! A single change, and a handful of services.

use std::sync::Arc;
use std::time::{Duration, Instant};

use testbed::Family;

use super::{Arena, Bench, Figure, PATIENCE, Player, figures, quantile};
use crate::Result;
use crate::bgp;
use crate::fib::Probes;
use crate::process::Cpu;
use crate::routes::{self, Set, Table};
use crate::site::{FABRIC_AS, Plan, Side};

/// Probes, each of which comes and goes.
const COUNT: u32 = 200;
/// Services of a host, and how often they come.
const SERVICES: u32 = 1000;
const ROUNDS: usize = 5;

/// Announces and withdraws single prefixes and notes how long each took.
pub(super) struct Prober<'a> {
    arena: &'a Arena,
    fib: Option<&'a Probes>,
    /// State of the numbers that pauses are drawn from.
    random: u32,
    /// Milliseconds.
    pub(super) host: Vec<f64>,
    pub(super) kernel: Vec<f64>,
}

impl<'a> Prober<'a> {
    pub(super) fn new(arena: &'a Arena, fib: Option<&'a Probes>) -> Self {
        Self { arena, fib, random: 1, host: Vec::new(), kernel: Vec::new() }
    }

    /// Probe `i` comes and goes.
    pub(super) fn probe(&mut self, i: u32) -> Result<()> {
        for up in [true, false] {
            let message = message(self.arena, i, up);
            let begun = self.arena.feeder().send(&message)?;
            let seen = |at: Instant| at.saturating_duration_since(begun).as_secs_f64() * 1e3;
            let host = self.arena.sink().wait("a probe at the host", PATIENCE, |sink| {
                sink.probes.iter().rev().find(|p| p.index == i && p.up == up && p.at >= begun).map(|p| p.at)
            })?;
            self.host.push(seen(host));
            if let Some(fib) = self.fib {
                self.kernel.push(seen(fib.wait(i, up, begun, PATIENCE)?));
            }
            self.pause();
        }
        Ok(())
    }

    /// 3 to 30 ms, so that no timer of a router falls in step.
    fn pause(&mut self) {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        std::thread::sleep(Duration::from_micros(3000 + u64::from(self.random >> 8) % 27_000));
    }
}

/// A probe's announcement or withdrawal.
pub(super) fn message(arena: &Arena, i: u32, up: bool) -> Vec<u8> {
    let prefixes = vec![routes::probe(i)];
    if !up {
        return bgp::withdraw(Family::Ipv4, &prefixes);
    }
    let set = Set { members: 0..1, path: vec![3001, 65001, 40_000 + i], communities: Vec::new(), med: None };
    let table = Table { family: Family::Ipv4, prefixes, sets: vec![set] };
    bgp::announce(&table, &table.sets, FABRIC_AS, arena.site.peer(Side::Fabric, 0))
}

pub(super) fn change(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    let table = bench.table(Family::Ipv4, bench.size(500_000));
    let arena = Arena::open(bench, player, Plan::default(), &table)?;
    arena.fill(&table)?;
    let probes = arena.site.fib()?.note_probes()?;
    let mut prober = Prober::new(&arena, Some(&probes));
    let cpu = Cpu::of(&arena.running.pids);
    let count = if bench.quick { COUNT / 4 } else { COUNT };
    (0..count).try_for_each(|i| prober.probe(i))?;
    let spent = cpu.since() * 1e3 / f64::from(count * 2);
    arena.faultless()?;
    let (host, kernel) = (&mut prober.host, &mut prober.kernel);
    let of_host = [quantile(host, 0.5), quantile(host, 0.99)];
    Ok(figures("change", [("p50", of_host[0]), ("p99", of_host[1]), ("kernel", quantile(kernel, 0.5)), ("cpu", spent)]))
}

pub(super) fn services(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    let table = Arc::new(Table::services(0, SERVICES));
    let nothing = super::empty(Family::Ipv4);
    let arena = Arena::open(bench, player, Plan { fabric_peers: 1, ..Plan::default() }, &nothing)?;
    // The fabric's peer expects something this time.
    drop(arena.feeders);
    let fabric = arena.site.speaker(Side::Fabric, 0, &table, Arc::new([]))?;
    crate::site::wait_up([&fabric])?;
    arena.running.settle();
    let announcement = arena.site.announcement(Side::Host, 0, &table);
    let withdrawal = bgp::withdraw(Family::Ipv4, &table.prefixes);
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        for (octets, coming) in [(&announcement, true), (&withdrawal, false)] {
            fabric.sink().watch(coming);
            let begun = arena.sinks[0].send(octets)?;
            let all = fabric.wait("every service at the fabric", PATIENCE, |s| s.last.filter(|_| s.complete()))?;
            if coming {
                times.push((all - begun).as_secs_f64() * 1e3);
            }
            arena.running.settle();
        }
    }
    Ok(figures("services", [("fabric", quantile(&mut times, 0.5))]))
}

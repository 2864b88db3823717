//! Routes that keep changing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use testbed::Family;

use super::{Arena, Bench, Figure, PATIENCE, Player, change, figures, quantile};
use crate::Result;
use crate::bgp;
use crate::process::{Cpu, own_memory};
use crate::site::{FABRIC_AS, Plan, Side};

/// Routes of the table, prefix events per second, and for how many seconds.
const ROUTES: usize = 100_000;
const RATE: f64 = 5000.0;
const SECONDS: u64 = 10;
/// Prefixes that flap, changes per second, and for how many seconds.
const FLAPPING: u32 = 1000;
const CHANGES: u32 = 1000;
const FLAP_SECONDS: u64 = 60;
/// Between two writes.
const STEP: Duration = Duration::from_millis(5);

/// Sets of a tenth of the table go and come back.
pub(super) fn churn(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    let table = bench.table(Family::Ipv4, ROUTES);
    let arena = Arena::open(bench, player, Plan::default(), &table)?;
    let fib = arena.site.fib()?;
    arena.fill(&table)?;
    let local = arena.site.peer(Side::Fabric, 0);
    let sets = &table.sets[..table.sets.len() / 10];
    let time = bench.time(SECONDS);
    let cpu = Cpu::of(&arena.running.pids);
    let (begun, mut events, mut next, mut away) = (Instant::now(), 0.0, 0, VecDeque::new());
    while begun.elapsed() < time {
        let mut octets = Vec::new();
        while events < begun.elapsed().as_secs_f64() * RATE {
            let set = &sets[next % sets.len()];
            next += 1;
            octets.extend(bgp::withdraw(Family::Ipv4, table.members(set)));
            away.push_back(set);
            events += set.members.len() as f64;
            if away.len() > sets.len() / 2
                && let Some(set) = away.pop_front()
            {
                octets.extend(bgp::announce(&table, [set], FABRIC_AS, local));
                events += set.members.len() as f64;
            }
        }
        arena.feeder().send(&octets)?;
        std::thread::sleep(STEP);
    }
    arena.sink().sink().watch(true);
    arena.feeder().send(&bgp::announce(&table, away, FABRIC_AS, local))?;
    arena.sink().wait("every route at the host again", PATIENCE, |sink| sink.complete().then_some(()))?;
    fib.watch(&table, &[local]).wait(PATIENCE)?;
    let spent = cpu.since();
    fib.verify(&table, &[local])?;
    arena.faultless()?;
    Ok(figures("churn", [("cpu", spent * 1e6 / events)]))
}

/// The same prefixes come and go for a minute, beside a loaded table.
pub(super) fn flap(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    let table = bench.table(Family::Ipv4, ROUTES);
    let arena = Arena::open(bench, player, Plan::default(), &table)?;
    arena.fill(&table)?;
    let messages: Vec<_> = (0..FLAPPING * 2).map(|i| change::message(&arena, i % FLAPPING, i < FLAPPING)).collect();
    let total = bench.time(FLAP_SECONDS).as_secs() as u32 * CHANGES;
    let (begun, mut sent, mut warm) = (Instant::now(), Vec::with_capacity(total as usize), None);
    while (sent.len() as u32) < total {
        let due = (begun.elapsed().as_secs_f64() * f64::from(CHANGES)) as u32;
        while (sent.len() as u32) < due.min(total) {
            let i = sent.len() as u32 % (FLAPPING * 2);
            sent.push((i, arena.feeder().send(&messages[i as usize])?));
        }
        if warm.is_none() && sent.len() as u32 > total / 6 {
            warm = Some(own_memory(&arena.running.pids));
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    let rounds = total / (FLAPPING * 2);
    arena.running.settle();
    let grown = own_memory(&arena.running.pids) - warm.unwrap_or_default();
    arena.faultless()?;
    // What came is in the order of what was sent, for each prefix.
    let mut waiting = vec![VecDeque::new(); FLAPPING as usize * 2];
    for probed in &arena.sink().sink().probes {
        waiting[(probed.index + if probed.up { 0 } else { FLAPPING }) as usize].push_back(probed.at);
    }
    let times = sent.iter().filter_map(|(i, begun)| {
        let seen = waiting[*i as usize].pop_front()?;
        Some(seen.saturating_duration_since(*begun).as_secs_f64() * 1e3)
    });
    let mut times: Vec<_> = times.collect();
    let lost = sent.len() - times.len();
    if lost > 0 && rounds > 0 {
        return Err(testbed::LabError::new(format!("{lost} of {} changes did not reach the host", sent.len())));
    }
    Ok(figures("flap", [("p99", quantile(&mut times, 0.99)), ("growth", grown)]))
}

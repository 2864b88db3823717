//! Many peers: several ways to the same prefixes, many hosts, and one host that hardly reads.

use std::sync::Arc;
use std::time::Instant;

use testbed::{Family, LabError};

use super::{Arena, Bench, Figure, PATIENCE, Player, figures};
use crate::Result;
use crate::process::{Cpu, memory, own_memory, settle_machine};
use crate::routes::Table;
use crate::site::{self, Plan, Side};
use crate::speaker::Speaker;

/// Fabric peers with the same table, and its size.
const WAYS: u16 = 16;
const ROUTES: usize = 100_000;
/// Host peers out of a range, and what each announces.
const HOSTS: u16 = 100;
const SERVICES: u32 = 100;
const FABRIC_ROUTES: usize = 10_000;

/// Each speaker sends its octets, all at once; returns when the first began.
fn send_all(speakers: &[Speaker], octets: &[Vec<u8>]) -> Result<Instant> {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let sending: Vec<_> =
            speakers.iter().zip(octets).map(|(speaker, octets)| scope.spawn(|| speaker.send(octets))).collect();
        let sent = sending.into_iter().map(|s| s.join().unwrap_or_else(|_| Err(LabError::new("a sender panicked"))));
        sent.collect::<Result<Vec<_>>>()
    })?;
    Ok(begun)
}

/// All fabric peers announce the same table at once.
pub(super) fn ecmp(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    let table = bench.table(Family::Ipv4, bench.size(ROUTES));
    let arena = Arena::open(bench, player, Plan { fabric_peers: WAYS, ..Plan::default() }, &table)?;
    let site = &arena.site;
    let gateways: Vec<_> = (0..WAYS).map(|i| site.peer(Side::Fabric, i)).collect();
    let octets: Vec<_> = (0..WAYS).map(|i| site.announcement(Side::Fabric, i, &table)).collect();
    let fib = site.fib()?;
    arena.sink().sink().watch(true);
    let cpu = Cpu::of(&arena.running.pids);
    let watch = fib.watch(&table, &gateways);
    let begun = send_all(&arena.feeders, &octets)?;
    let gone = watch.wait(PATIENCE)?;
    arena.sink().wait("every route at the host", PATIENCE, |sink| sink.complete().then_some(()))?;
    arena.running.settle();
    let (spent, (_, peak)) = (cpu.since(), memory(&arena.running.pids));
    let objects = fib.verify(&table, &gateways)?;
    arena.faultless()?;
    let seconds = gone.saturating_duration_since(begun).as_secs_f64();
    let twice = arena.sink().sink().repeated as f64;
    Ok(figures(
        "ecmp",
        [("fib", seconds), ("peak", peak), ("cpu", spent), ("twice", twice), ("groups", objects as f64)],
    ))
}

/// What a further path to a prefix costs in memory.
pub(super) fn paths(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    let table = bench.table(Family::Ipv4, bench.size(500_000));
    let arena = Arena::open(bench, player, Plan { fabric_peers: 4, ..Plan::default() }, &table)?;
    let site = &arena.site;
    let before = own_memory(&arena.running.pids);
    arena.fill(&table)?;
    let one = own_memory(&arena.running.pids);
    let octets: Vec<_> = (1..4).map(|i| site.announcement(Side::Fabric, i, &table)).collect();
    send_all(&arena.feeders[1..], &octets)?;
    let gateways: Vec<_> = (0..4).map(|i| site.peer(Side::Fabric, i)).collect();
    let fib = site.fib()?.without(table.prefixes.len());
    fib.watch(&table, &gateways).wait(PATIENCE)?;
    arena.running.settle();
    let four = own_memory(&arena.running.pids);
    let (n, mib) = (table.prefixes.len() as f64, 1024.0 * 1024.0);
    Ok(figures("paths", [("first", (one - before) * mib / n), ("further", (four - one) * mib / (3.0 * n))]))
}

/// A hundred host peers out of a range: the fabric's routes to each of them, and theirs to the fabric.
pub(super) fn range(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    let one = feed_hosts(bench, player, 1)?;
    settle_machine();
    let all = feed_hosts(bench, player, HOSTS)?;
    Ok(figures(
        "range",
        [
            ("hosts", all.hosts),
            ("fabric", all.fabric),
            ("cpu", all.cpu),
            ("peer", (all.cpu - one.cpu) * 1e3 / f64::from(HOSTS - 1)),
            ("peak", all.peak),
            ("session", (all.peak - one.peak) * 1024.0 / f64::from(HOSTS - 1)),
        ],
    ))
}

struct Fed {
    hosts: f64,
    fabric: f64,
    cpu: f64,
    peak: f64,
}

fn feed_hosts(bench: &Bench, player: Player, hosts: u16) -> Result<Fed> {
    let table = bench.table(Family::Ipv4, FABRIC_ROUTES);
    let services: Vec<_> = (0..u32::from(hosts)).map(|i| Table::services(i, SERVICES)).collect();
    let theirs = Arc::new(Table::joined(&services));
    let router = player.ok_or_else(|| LabError::new("the kernel speaks no BGP"))?;
    let site = bench.site(Plan { host_peers: hosts, range: true, ..Plan::default() })?;
    let running = router.start(&site, false)?;
    let feeder = site.speaker(Side::Fabric, 0, &theirs, Arc::new([]))?;
    let sinks = (0..hosts).map(|i| site.speaker(Side::Host, i, &table, Arc::new([]))).collect::<Result<Vec<_>>>()?;
    site::wait_up(sinks.iter().chain([&feeder]))?;
    running.settle();
    let cpu = Cpu::of(&running.pids);
    sinks.iter().for_each(|sink| sink.sink().watch(true));
    let begun = feeder.send(&site.announcement(Side::Fabric, 0, &table))?;
    let mut last = begun;
    for sink in &sinks {
        last = last.max(sink.wait("every route at every host", PATIENCE, |s| s.last.filter(|_| s.complete()))?);
    }
    running.settle();
    let (fed, (_, peak)) = (cpu.since(), memory(&running.pids));
    feeder.sink().watch(true);
    let octets: Vec<_> =
        services.iter().zip(0..hosts).map(|(table, i)| site.announcement(Side::Host, i, table)).collect();
    let sent = send_all(&sinks, &octets)?;
    let told = feeder.wait("every service at the fabric", PATIENCE, |s| s.last.filter(|_| s.complete()))?;
    Ok(Fed { hosts: (last - begun).as_secs_f64(), fabric: (told - sent).as_secs_f64(), cpu: fed, peak })
}

/// One of two host peers takes a byte a second.
pub(super) fn slow(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    let without = beside(bench, player, false)?;
    settle_machine();
    let with = beside(bench, player, true)?;
    Ok(figures("slow", [("time", with.0 / without.0), ("memory", with.1 - without.1), ("held", with.2)]))
}

/// Seconds until the other host peer has everything, peak memory, and what ten more rounds of the whole table add to it.
fn beside(bench: &Bench, player: Player, slow: bool) -> Result<(f64, f64, f64)> {
    let table = bench.table(Family::Ipv4, bench.size(300_000));
    let router = player.ok_or_else(|| LabError::new("the kernel speaks no BGP"))?;
    let site = bench.site(Plan { host_peers: 2, kernel: false, ..Plan::default() })?;
    let running = router.start(&site, false)?;
    let nothing = super::empty(Family::Ipv4);
    let feeder = site.speaker(Side::Fabric, 0, &nothing, Arc::new([]))?;
    let sink = site.speaker(Side::Host, 0, &table, Arc::new([]))?;
    let script = site.script(Side::Host, 1, &table, Arc::new([]));
    let other = Speaker::start(crate::speaker::Script { slow, ..script })?;
    site::wait_up([&feeder, &sink])?;
    other.wait_up(PATIENCE)?;
    running.settle();
    let announcement = site.announcement(Side::Fabric, 0, &table);
    let withdrawal = crate::bgp::withdraw(Family::Ipv4, &table.in_order().collect::<Vec<_>>());
    let mut first = None;
    let mut peak = 0.0;
    for _ in 0..3 {
        for (octets, coming) in [(&announcement, true), (&withdrawal, false)] {
            sink.sink().watch(coming);
            let begun = feeder.send(octets)?;
            let all = sink.wait("every route at the host", PATIENCE, |s| s.last.filter(|_| s.complete()))?;
            first.get_or_insert((all - begun).as_secs_f64());
            if !coming && peak == 0.0 {
                peak = memory(&running.pids).1;
            }
        }
    }
    let later = memory(&running.pids).1;
    Ok((first.unwrap_or(f64::NAN), peak, later - peak))
}

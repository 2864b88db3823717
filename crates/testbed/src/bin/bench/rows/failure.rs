//! The fabric peer dies: its connection closes, or its link goes down.

use std::io;
use std::time::{Duration, Instant};

use kernel::netns::Namespace;
use testbed::LabError;

use super::{Arena, Bench, Figure, PATIENCE, Player, figures};
use crate::Result;
use crate::floor::{self, Leaving};
use crate::netlink::Netlink;
use crate::site::{Plan, Site};

/// Routes that are lost.
const ROUTES: usize = 100_000;

pub(super) fn close(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    if player.is_none() {
        let table = bench.table(testbed::Family::Ipv4, ROUTES);
        let (_, gone) = floor::measure(&bench.site(Plan::default())?, &table, Leaving::Object)?;
        return Ok(figures("close", [("fib", gone)]));
    }
    measure(bench, player, "close", |arena| Ok(arena.feeder().close()))
}

pub(super) fn link_down(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    measure(bench, player, "linkdown", |arena| take_down(&arena.site))
}

/// Takes the fabric's end of the link down; returns when the kernel told the router's end. It takes up to a second over that,
/// by the time since the last such event, and has flushed its own routes by then.
fn take_down(site: &Site) -> Result<Instant> {
    let explain = |e: io::Error| LabError::new(format!("the link: {e}"));
    let open = |ns: &str| match Namespace::open(ns).map_err(explain)? {
        Some(namespace) => Ok(namespace),
        None => Err(LabError::new(format!("there is no namespace {ns}"))),
    };
    let (fabric, router) = (open(&site.fabric)?, open(&site.router)?);
    let heard = router.run(|| Ok((Netlink::open(0)?.link("eth1")?, Netlink::listen_to_links()?)));
    let (link, mut socket) = heard.and_then(|heard: io::Result<_>| heard).map_err(explain)?;
    let lost = std::thread::spawn(move || socket.carrier_lost(link).map(|()| Instant::now()));
    let down = fabric.run(|| {
        let mut netlink = Netlink::open(0)?;
        let link = netlink.link("fab0")?;
        netlink.take_down(link)
    });
    down.and_then(|done| done).map_err(explain)?;
    lost.join().unwrap_or_else(|_| Err(io::Error::other("the watch panicked"))).map_err(explain)
}

fn measure(
    bench: &Bench,
    player: Player,
    row: &str,
    event: impl FnOnce(&Arena) -> Result<Instant>,
) -> Result<Vec<Figure>> {
    let table = bench.table(testbed::Family::Ipv4, ROUTES);
    let arena = Arena::open(bench, player, Plan::default(), &table)?;
    let fib = arena.site.fib()?;
    arena.fill(&table)?;
    arena.sink().sink().watch(false);
    let watch = fib.watch(&table, &[]);
    let begun = event(&arena)?;
    let told = arena.sink().wait("no route at the host", PATIENCE, |s| s.last.filter(|_| s.complete()))?;
    let gone = watch.wait(Duration::from_secs(60))?;
    let seconds = |at: Instant| at.saturating_duration_since(begun).as_secs_f64();
    Ok(figures(row, [("fib", seconds(gone)), ("host", seconds(told))]))
}

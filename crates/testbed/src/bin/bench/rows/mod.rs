//! The rows: what is measured, with whom. Each module is a kind of event; a row is one function that builds a site,
//! measures one player once, checks that the result is right, and returns figures by name.

mod admin;
mod change;
mod dataplane;
mod failure;
mod flap;
mod load;
mod many;
mod scale;
mod start;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use testbed::{Family, LabError};

use crate::Result;
use crate::routers::{Router, Running};
use crate::routes::Table;
use crate::site::{self, Plan, Side, Site};
use crate::speaker::Speaker;

pub(crate) use dataplane::SETTINGS;
pub(crate) use scale::SIZES;

/// Longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A figure by its name, which `goals` knows.
pub(crate) type Figure = (String, f64);

/// Who takes part in a row: a router, or (`None`) the kernel alone, with routes from a raw loader.
pub(crate) type Player = Option<Router>;

const KERNEL: Player = None;
const OURS: Player = Some(Router::Perouter);
const BIRD: Player = Some(Router::Bird);
const FRR: Player = Some(Router::Frr);
const GOBGP: Player = Some(Router::Gobgp);

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) players: &'static [Player],
    pub(crate) run: fn(&Bench, Player) -> Result<Vec<Figure>>,
    /// Part of a quick run.
    pub(crate) quick: bool,
    /// More than one run tells nothing new.
    pub(crate) once: bool,
}

const fn row(name: &'static str, players: &'static [Player], run: fn(&Bench, Player) -> Result<Vec<Figure>>) -> Row {
    Row { name, players, run, quick: true, once: false }
}

/// Too long for a quick run.
const fn thorough(row: Row) -> Row {
    Row { quick: false, ..row }
}

const fn long(row: Row) -> Row {
    Row { quick: false, once: true, ..row }
}

/// Every row, in the order of the report.
pub(crate) const ROWS: [Row; 21] = [
    row("full", &[KERNEL, OURS, BIRD, FRR], load::full),
    row("nofib", &[OURS, BIRD, FRR, GOBGP], load::no_fib),
    thorough(row("strict", &[OURS], load::strict)),
    row("ipv6", &[KERNEL, OURS, BIRD, FRR], load::ipv6),
    row("close", &[KERNEL, OURS, BIRD, FRR], failure::close),
    thorough(row("linkdown", &[OURS, BIRD, FRR], failure::link_down)),
    row("change", &[OURS, BIRD, FRR], change::change),
    row("services", &[OURS, BIRD, FRR], change::services),
    row("ecmp", &[OURS, BIRD, FRR], many::ecmp),
    thorough(row("paths", &[OURS, BIRD, FRR], many::paths)),
    thorough(row("range", &[OURS, BIRD, FRR], many::range)),
    row("churn", &[OURS, BIRD, FRR], flap::churn),
    thorough(row("flap", &[OURS, BIRD], flap::flap)),
    row("cold", &[OURS, BIRD, FRR], start::cold),
    row("restart", &[OURS, BIRD, FRR], start::restart),
    row("idle", &[OURS, BIRD, FRR], start::idle),
    thorough(row("slow", &[OURS, BIRD, FRR], many::slow)),
    row("listing", &[OURS], admin::listing),
    long(row("scale", &[OURS], scale::scale)),
    thorough(row("forwarding", &[KERNEL], dataplane::forwarding)),
    long(row("options", &[KERNEL], dataplane::options)),
];

/// What all rows share.
pub(crate) struct Bench {
    pub(crate) perouter: PathBuf,
    pub(crate) quick: bool,
    tables: Mutex<HashMap<(bool, usize), Arc<Table>>>,
}

impl Bench {
    pub(crate) fn new(perouter: PathBuf, quick: bool) -> Self {
        Self { perouter, quick, tables: Mutex::new(HashMap::new()) }
    }

    /// A tenth in a quick run.
    pub(crate) fn size(&self, full: usize) -> usize {
        if self.quick { full / 10 } else { full }
    }

    /// A tenth in a quick run.
    pub(crate) fn time(&self, seconds: u64) -> Duration {
        Duration::from_millis(if self.quick { seconds * 100 } else { seconds * 1000 })
    }

    pub(crate) fn table(&self, family: Family, n: usize) -> Arc<Table> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tables.entry((family == Family::Ipv4, n)).or_insert_with(|| Arc::new(Table::public(family, n))))
    }

    fn site(&self, plan: Plan) -> Result<Site> {
        Site::build(&self.perouter, plan)
    }
}

/// A router with its speakers, sessions up and idle.
struct Arena {
    site: Site,
    running: Running,
    feeders: Vec<Speaker>,
    sinks: Vec<Speaker>,
}

impl Arena {
    /// Fabric peers expect nothing; host peers expect `table`.
    fn open(bench: &Bench, player: Player, plan: Plan, table: &Arc<Table>) -> Result<Self> {
        let router = player.ok_or_else(|| LabError::new("the kernel speaks no BGP"))?;
        let site = bench.site(plan)?;
        let running = router.start(&site, false)?;
        let nothing = empty(site.plan.family);
        let feeders = (0..site.plan.fabric_peers).map(|i| site.speaker(Side::Fabric, i, &nothing, Arc::new([])));
        let feeders = feeders.collect::<Result<Vec<_>>>()?;
        let sinks = (0..site.plan.host_peers).map(|i| site.speaker(Side::Host, i, table, Arc::new([])));
        let sinks = sinks.collect::<Result<Vec<_>>>()?;
        site::wait_up(feeders.iter().chain(&sinks))?;
        running.settle();
        Ok(Self { site, running, feeders, sinks })
    }

    /// The first of the fabric.
    fn feeder(&self) -> &Speaker {
        &self.feeders[0]
    }

    /// The first of the hosts.
    fn sink(&self) -> &Speaker {
        &self.sinks[0]
    }

    /// Everything loaded and right, without a figure.
    fn fill(&self, table: &Arc<Table>) -> Result<()> {
        let watch = self.site.plan.kernel.then_some(self.site.fib()?);
        self.feeder().send(&self.site.announcement(Side::Fabric, 0, table))?;
        for sink in &self.sinks {
            sink.wait("the table is loaded", PATIENCE, |sink| sink.complete().then_some(()))?;
        }
        if let Some(fib) = watch {
            fib.watch(table, &[self.site.peer(Side::Fabric, 0)]).wait(PATIENCE)?;
        }
        self.running.settle();
        Ok(())
    }

    /// Nobody was told anything that is wrong.
    fn faultless(&self) -> Result<()> {
        let wrong = self.feeders.iter().chain(&self.sinks).find_map(|speaker| speaker.sink().wrong.clone());
        wrong.map_or(Ok(()), |wrong| Err(LabError::new(wrong)))
    }
}

fn empty(family: Family) -> Arc<Table> {
    Arc::new(Table { family, prefixes: Vec::new(), sets: Vec::new() })
}

/// The value below which a share of the values lies.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = ((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1));
    values.get(place).copied().unwrap_or(f64::NAN)
}

fn figures<const N: usize>(row: &str, values: [(&str, f64); N]) -> Vec<Figure> {
    values.into_iter().map(|(name, value)| (format!("{row}.{name}"), value)).collect()
}

//! A witness of the kernel's FIB in a namespace: when all routes of a table are there (or gone), when a single one
//! came, and whether they are the right ones.
//!
//! An exact count of IPv4 routes is a walk in the kernel that takes 0.2 s for a million, so a few hundred prefixes
//! are looked up one by one first, in the order in which they were sent, and only then routes are counted. When the first
//! count is complete, the time of the last look-up is taken. Each watch is one thread that lives in the namespace.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kernel::netns::Namespace;
use testbed::{Family, LabError};

use crate::Result;
use crate::netlink::{Gateways, Netlink};
use crate::routes::{self, Prefix, Table};
use crate::sink::Probed;

/// How many prefixes are looked up before routes are counted.
const SAMPLES: usize = 400;
/// Between two look-ups of a prefix that is not there yet.
const PAUSE: Duration = Duration::from_millis(1);

/// A namespace whose FIB is watched.
#[derive(Clone, Debug)]
pub(crate) struct Fib {
    namespace: Namespace,
    family: Family,
    /// Routes that were there before.
    base: usize,
}

impl Fib {
    pub(crate) fn of(ns: &str, family: Family) -> Result<Self> {
        let namespace = Namespace::open(ns).map_err(|e| explain(&e))?;
        let namespace = namespace.ok_or_else(|| LabError::new(format!("there is no namespace {ns}")))?;
        let mut fib = Self { namespace, family, base: 0 };
        fib.base = fib.count()?;
        Ok(fib)
    }

    /// As if so many of the routes that are there had not been there at the beginning.
    pub(crate) fn without(self, routes: usize) -> Self {
        Self { base: self.base.saturating_sub(routes), ..self }
    }

    /// Routes beyond those of the beginning.
    pub(crate) fn count(&self) -> Result<usize> {
        let (family, base) = (self.family, self.base);
        self.inside(move || Ok(count(family)?.saturating_sub(base)))
    }

    /// Starts to watch for all of a table to lead to exactly these gateways, or with none of them, to be gone.
    pub(crate) fn watch(&self, table: &Arc<Table>, gateways: &[IpAddr]) -> Watch {
        let (fib, table, gateways) = (self.clone(), Arc::clone(table), sorted(gateways));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let watch = move || fib.clone().inside(move || fib.until(&table, &gateways, &stopped));
        Watch { stop, thread: std::thread::spawn(watch) }
    }

    fn until(&self, table: &Table, gateways: &Gateways, stop: &AtomicBool) -> io::Result<Instant> {
        let mut netlink = Netlink::open(0)?;
        let give_up = || {
            let have = count(self.family).unwrap_or_default().saturating_sub(self.base);
            Err(io::Error::other(format!("{have} of {} routes are in the FIB", table.prefixes.len())))
        };
        let mut last = Instant::now();
        for prefix in samples(table) {
            while netlink.gateways(self.family, prefix)? != *gateways {
                if stop.load(Ordering::Relaxed) {
                    return give_up();
                }
                netlink.forget();
                std::thread::sleep(PAUSE);
            }
            last = Instant::now();
        }
        let wanted = if gateways.is_empty() { 0 } else { table.prefixes.len() } + self.base;
        let mut first = true;
        loop {
            let begun = Instant::now();
            // A route that is there may still lead to some of several gateways only.
            let have = count(self.family)?;
            let counted = if gateways.is_empty() { have <= wanted } else { have >= wanted };
            if counted && (gateways.len() < 2 || compare(self.family, table, gateways).is_ok()) {
                return Ok(if first { last } else { begun });
            }
            if stop.load(Ordering::Relaxed) {
                return give_up();
            }
            first = false;
            std::thread::sleep(begun.elapsed().clamp(PAUSE, Duration::from_millis(100)));
        }
    }

    /// Starts to note when probes come and go.
    pub(crate) fn note_probes(&self) -> Result<Probes> {
        let family = self.family;
        let mut socket = self.inside(move || Netlink::listen(family))?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (stopped, noted) = (Arc::clone(&stop), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // An overflow loses notes, which whoever waits for them finds out.
                let changes = socket.changes(family).unwrap_or_default();
                let at = Instant::now();
                let probes = changes.into_iter().filter_map(|(prefix, up)| Some((routes::probe_index(prefix)?, up)));
                let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
                seen.extend(probes.map(|(index, up)| Probed { index, up, at }));
            }
        });
        Ok(Probes { seen, stop, thread: Some(thread) })
    }

    /// Starts to note when the first route comes.
    pub(crate) fn note_first(&self) -> Result<JoinHandle<io::Result<Instant>>> {
        let family = self.family;
        let mut socket = self.inside(move || Netlink::listen(family))?;
        Ok(std::thread::spawn(move || {
            let deadline = Instant::now() + Duration::from_secs(60);
            while Instant::now() < deadline {
                if socket.changes(family)?.iter().any(|(_, up)| *up) {
                    return Ok(Instant::now());
                }
            }
            Err(io::Error::other("no route came"))
        }))
    }

    /// Looks again and again for a time; returns in how many milliseconds of it fewer than `wanted` routes were there.
    pub(crate) fn missing(&self, wanted: usize, time: Duration) -> JoinHandle<Result<f64>> {
        let fib = self.clone();
        let (base, family) = (self.base, self.family);
        std::thread::spawn(move || {
            fib.inside(move || {
                let (begun, mut missing, mut last) = (Instant::now(), Duration::ZERO, Instant::now());
                while begun.elapsed() < time {
                    let short = count(family)?.saturating_sub(base) < wanted;
                    let now = Instant::now();
                    missing += if short { now - last } else { Duration::ZERO };
                    last = now;
                    std::thread::sleep(PAUSE);
                }
                Ok(missing.as_secs_f64() * 1e3)
            })
        })
    }

    /// Compares every route with the table: each prefix once, through exactly these gateways. Returns how many next-hop
    /// objects the routes point at.
    pub(crate) fn verify(&self, table: &Arc<Table>, gateways: &[IpAddr]) -> Result<usize> {
        let (family, table, gateways) = (self.family, Arc::clone(table), sorted(gateways));
        self.inside(move || compare(family, &table, &gateways))
    }

    fn inside<T: Send + 'static>(&self, f: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
        self.namespace.run(f).and_then(|answer| answer).map_err(|e| explain(&e))
    }
}

fn explain(error: &io::Error) -> LabError {
    LabError::new(format!("the kernel's FIB: {error}"))
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn sorted(gateways: &[IpAddr]) -> Gateways {
    let mut gateways: Gateways = gateways.iter().map(|gateway| octets(*gateway)).collect();
    gateways.sort();
    gateways
}

/// Every route of the thread's namespace against the table; how many next-hop objects they point at.
fn compare(family: Family, table: &Table, gateways: &Gateways) -> io::Result<usize> {
    let expected: HashSet<Prefix> = table.prefixes.iter().copied().collect();
    let (mut right, mut wrong, mut objects) = (0, None, HashSet::new());
    Netlink::open(0)?.dump(family, |mut route| {
        if !expected.contains(&route.prefix) {
            return;
        }
        route.gateways.sort();
        objects.extend(route.object);
        if route.gateways == *gateways {
            right += 1;
        } else {
            wrong.get_or_insert((route.prefix.show(family), route.gateways));
        }
    })?;
    match wrong {
        Some((prefix, seen)) => Err(io::Error::other(format!("{prefix} leads to {seen:?}, not {gateways:?}"))),
        None if right != expected.len() => {
            Err(io::Error::other(format!("{right} of {} routes are in the FIB", expected.len())))
        }
        None => Ok(objects.len()),
    }
}

/// Prefixes spread over the order of sending, which no longer prefix can hide from a look-up, and of IPv6 no shorter one either:
/// it would answer for them.
fn samples(table: &Table) -> Vec<Prefix> {
    let longest = if table.family == Family::Ipv4 { 24 } else { 48 };
    let covering = match table.family {
        Family::Ipv4 => HashSet::new(),
        Family::Ipv6 => table.prefixes.iter().filter(|prefix| prefix.length < longest).copied().collect(),
    };
    let lengths: BTreeSet<u8> = covering.iter().map(|prefix| prefix.length).collect();
    let shorter = |prefix: &Prefix, length: u8| Prefix { bits: prefix.bits & !(u128::MAX >> length), length };
    let alone = |prefix: &Prefix| !lengths.iter().any(|length| covering.contains(&shorter(prefix, *length)));
    let all: Vec<_> = table.in_order().filter(|prefix| prefix.length >= longest && alone(prefix)).collect();
    let count = SAMPLES.min(all.len());
    (1..=count).map(|i| all[i * all.len() / count - 1]).collect()
}

/// Routes in the tables of the thread's namespace: the main table of IPv4, all of IPv6.
fn count(family: Family) -> io::Result<usize> {
    let number = match family {
        Family::Ipv4 => {
            let text = fs::read_to_string("/proc/thread-self/net/fib_triestat")?;
            // Without rules of one's own the local table is part of the main one.
            let main = text.split("Main:").nth(1).map(str::to_owned);
            let line = main.as_deref().and_then(|t| t.lines().find_map(|l| l.trim().strip_prefix("Prefixes:")));
            line.and_then(|n| n.trim().parse().ok())
        }
        Family::Ipv6 => {
            let text = fs::read_to_string("/proc/thread-self/net/rt6_stats")?;
            text.split_whitespace().nth(3).and_then(|n| usize::from_str_radix(n, 16).ok())
        }
    };
    Ok(number.unwrap_or_default())
}

/// A watch that goes on.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Instant>>,
}

impl Watch {
    /// Waits for its end, at most until `patience` has passed, and returns when the FIB was as wanted.
    pub(crate) fn wait(self, patience: Duration) -> Result<Instant> {
        let deadline = Instant::now() + patience;
        while !self.thread.is_finished() {
            if Instant::now() > deadline {
                self.stop.store(true, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.thread.join().unwrap_or_else(|_| Err(LabError::new("the watch of the FIB panicked")))
    }
}

/// Notes of probes in the FIB.
#[derive(Debug)]
pub(crate) struct Probes {
    seen: Arc<Mutex<Vec<Probed>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Probes {
    /// When a probe came or went first, after `since`; waits for it.
    pub(crate) fn wait(&self, index: u32, up: bool, since: Instant, patience: Duration) -> Result<Instant> {
        let deadline = Instant::now() + patience;
        loop {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let found = seen.iter().find(|p| p.index == index && p.up == up && p.at >= since);
            if let Some(found) = found {
                return Ok(found.at);
            }
            drop(seen);
            if Instant::now() > deadline {
                return Err(LabError::new(format!("probe {index} did not reach the FIB within {patience:?}")));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it panicked with has been printed.
            let _ = thread.join();
        }
    }
}

//! Events of every kind in random order at one site with traffic: whatever happens, it heals, and nothing is left over.
//!
//! [`events`] is what can happen and when, [`deeds`] how, [`invariants`] what must hold in every calm in between. `make soak MINUTES=30` runs it for long;
//! a test run is short and always the same. A failure prints the seed and everything that happened.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failing unwrap is a failing test; what happens is printed

mod deeds;
mod events;
// Questions to a lab, the router's file and the site are those of other tests; not all of them are needed here.
#[allow(dead_code)]
#[path = "../labs/fabric.rs"]
mod fabric;
#[allow(dead_code)]
#[path = "../resilience/harness.rs"]
mod harness;
mod invariants;
mod leaf;
#[allow(dead_code)]
#[path = "../resilience/table.rs"]
mod table;
#[allow(dead_code)]
#[path = "../resilience/traffic.rs"]
mod traffic;
#[allow(dead_code)]
#[path = "../labs/yaml.rs"]
mod yaml;

use std::env;
use std::time::{Duration, Instant};

use crate::events::Storm;
use crate::harness::SOME;
use crate::invariants::Calm;

/// The environment variable with the seconds that events go on for.
const SECONDS: &str = "PEROUTER_SOAK_SECONDS";
const FEW_SECONDS: u64 = 20;
/// The environment variable with the seed.
const SEED: &str = "PEROUTER_SOAK_SEED";
/// Of the short run.
const FIXED: u64 = 7;
/// Events between two calms.
const ROUND: Duration = Duration::from_secs(20);
/// In one of so many rounds the router's process is replaced, again and again; in the others it is the same one.
const REPLACING: u64 = 4;

/// Among so many events each kind must have been.
const MANY: u64 = 1000;

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|e| panic!("{variable}={text}: {e}")))
}

#[test]
fn it_heals_whatever_happens() {
    let seed = number(SEED, FIXED);
    let start = Instant::now();
    let end = start + Duration::from_secs(number(SECONDS, FEW_SECONDS));
    println!("{SEED}={seed}");
    // What a failing test has printed is shown.
    let history = |line: String| println!("{:9.3} s  {line}", start.elapsed().as_secs_f64());
    let mut storm = Storm::start(seed);
    let mut calm = Calm::of(&storm.site);
    history(format!("begin: {}", calm.router));
    let (mut rounds, mut events, mut lost) = (0, 0u64, 0);
    while rounds == 0 || Instant::now() < end {
        let watch = storm.site.watch();
        storm.may_replace = rounds % REPLACING == 0;
        let round_end = end.min(Instant::now() + ROUND);
        while Instant::now() < round_end {
            for line in storm.step() {
                history(line);
                events += 1;
            }
            // Time passes by packets.
            watch.sends(storm.pause());
        }
        storm.heal().into_iter().for_each(history);
        storm.site.works();
        let router = calm.holds(&storm.site);
        watch.passes(SOME);
        let row = watch.row("soak", "");
        lost += row.to_host.lost + row.to_fabric.lost;
        history(format!("calm: everything holds; {router}"));
        rounds += 1;
    }
    println!("{events} events in {rounds} rounds and {:?}; {lost} packets lost meanwhile", start.elapsed());
    println!("{}", storm.counted());
    println!("router in the beginning: {}; most of all calms: {}", calm.router, calm.most);
    let never: Vec<_> = storm.counts.iter().filter(|(_, times)| **times == 0).collect();
    assert!(events < MANY || never.is_empty(), "of {events} events none was one of {never:?}");
}

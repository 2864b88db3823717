//! What a route costs, by the size of the table.

use testbed::Family;

use super::load::come;
use super::{Arena, Bench, Figure, Player};
use crate::Result;
use crate::process::settle_machine;
use crate::site::Plan;

/// Sizes of the plot.
pub(crate) const SIZES: [usize; 8] = [10_000, 30_000, 100_000, 200_000, 500_000, 1_000_000, 1_500_000, 2_000_000];

pub(super) fn scale(bench: &Bench, player: Player) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut costs = Vec::new();
    for n in SIZES {
        let table = bench.table(Family::Ipv4, n);
        let arena = Arena::open(bench, player, Plan::default(), &table)?;
        let came = come(&arena, &table)?;
        costs.push(came.cpu / n as f64);
        let values =
            [("fib", came.fib.unwrap_or(f64::NAN)), ("host", came.host), ("cpu", came.cpu), ("peak", came.peak)];
        figures.extend(values.map(|(name, value)| (format!("scale.{name}.{n}"), value)));
        drop(arena);
        settle_machine();
    }
    // The dearest size against the cheapest, so that any bend shows.
    let (low, high) = costs.iter().fold((f64::MAX, 0.0_f64), |(low, high), cost| (low.min(*cost), high.max(*cost)));
    figures.push(("scale.cost".to_owned(), high / low));
    Ok(figures)
}

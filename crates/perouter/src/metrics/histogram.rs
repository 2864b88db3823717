//! How long things took, in buckets that are fixed, so that adding is an increment.

use std::time::Duration;

/// Upper bounds of the buckets, in seconds: from what a decision takes to what somebody notices.
const BOUNDS: [f64; 14] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Counts by duration.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Histogram {
    /// By bound, and behind the last one.
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Histogram {
    /// `number` things took so long.
    pub(crate) fn add(&mut self, took: Duration, number: u64) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.counts[bucket] += number;
        self.sum += seconds * number as f64;
    }

    /// Things so far.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Seconds of all of them.
    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    /// Bounds with the number of things between each and the one before; the last bound is infinite.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        BOUNDS.into_iter().chain([f64::INFINITY]).zip(self.counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_below_the_first_bound_that_it_does_not_exceed() {
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_micros(100), 2);
        histogram.add(Duration::from_millis(2), 1);
        histogram.add(Duration::from_secs(60), 1);
        let counted: Vec<_> = histogram.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(0.0001, 2), (0.0025, 1), (f64::INFINITY, 1)]);
        assert_eq!(histogram.count(), 4);
        assert!((histogram.sum() - 60.0022).abs() < 1e-9, "{}", histogram.sum());
    }
}

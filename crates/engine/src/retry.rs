//! Trying again what the kernel refused: less and less often, and told once per reason.

use std::time::{Duration, Instant};

/// First wait.
const FIRST: Duration = Duration::from_secs(5);
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Retry {
    at: Option<Instant>,
    attempts: u32,
    told: Option<String>,
}

impl Retry {
    /// Takes the outcome of a batch: what is wrong with it, if anything, and whether something is left to be tried again.
    /// Returns the sentence to tell, if it is a new one.
    pub(crate) fn outcome(&mut self, now: Instant, problem: Option<String>, failures_left: bool) -> Option<String> {
        if !failures_left {
            *self = Self::default();
        } else if self.at.is_none() {
            self.at = Some(now + (FIRST * (1 << self.attempts.min(8))).min(LONGEST));
            self.attempts += 1;
        }
        let new = problem.filter(|problem| self.told.as_ref() != Some(problem))?;
        self.told = Some(new.clone());
        Some(new)
    }

    /// When it is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.at
    }

    /// Whether it is due; then it is no longer.
    pub(crate) fn take_due(&mut self, now: Instant) -> bool {
        self.at.take_if(|at| *at <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way")]
    fn a_lasting_failure_is_told_once_and_tried_ever_more_rarely() {
        let mut now = Instant::now();
        let mut retry = Retry::default();
        let mut waits = Vec::new();
        for attempt in 0..6 {
            let told = retry.outcome(now, Some("refused".into()), true);
            assert_eq!(told.is_some(), attempt == 0);
            let at = retry.deadline().expect("something to try again");
            assert!(!retry.take_due(now) && retry.take_due(at));
            waits.push((at - now).as_secs());
            now = at;
        }
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
        assert_eq!(retry.outcome(now, Some("another".into()), true).as_deref(), Some("another"));
        assert_eq!(retry.outcome(now, None, false), None);
        assert_eq!(retry.deadline(), None);
        assert!(retry.outcome(now, Some("another".into()), true).is_some(), "it had gone in between");
    }
}

//! When the host is looked at next: soon after a change, ever later after failures and in a fight. Pure: told the time.

use std::time::Duration;

use tokio::time::Instant;

/// Kernel changes come in bursts; a look at them waits this long for the rest.
const DEBOUNCE: Duration = Duration::from_millis(25);
/// Waits between attempts while the same steps fail, doubling in between.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// Attempts that changed something and follow each other more closely than this are a fight with another program:
/// the pause between them grows to [`LONGEST_PAUSE`].
const FIGHT: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A look without any cause, because the kernel does not tell of everything (most settings).
const AUDIT: Duration = Duration::from_secs(10);

/// When to try next. Pure: told the time.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The next attempt, if one is due at all.
    pub(super) due: Option<Instant>,
    /// Wait before the next attempt while things fail; `None` when nothing failed.
    pub(super) retry: Option<Duration>,
    /// When the last attempt that changed something ended.
    changed: Option<Instant>,
    pub(super) pause: Duration,
}

impl Pace {
    /// The kernel changed: soon, but after the burst and not in the middle of a pause.
    pub(super) fn kernel_changed(&mut self, now: Instant) {
        let earliest = now + DEBOUNCE.max(self.pause);
        // A retry that is far away is brought forward: the change may be what it waits for.
        if self.due.is_none_or(|due| due > earliest) {
            self.due = Some(earliest);
        }
    }

    /// An attempt ended.
    pub(super) fn attempted(&mut self, now: Instant, changed: bool, failed: bool) {
        if changed {
            let fight = self.changed.is_some_and(|before| now < before + FIGHT.max(self.pause * 2));
            self.pause = if fight { (self.pause * 2).clamp(DEBOUNCE * 2, LONGEST_PAUSE) } else { Duration::ZERO };
            self.changed = Some(now);
        }
        self.retry = failed.then(|| self.retry.map_or(FIRST_RETRY, |wait| (wait * 2).min(LONGEST_RETRY)));
        self.due = Some(now + self.retry.unwrap_or(AUDIT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(pace: &Pace, now: Instant) -> Option<Duration> {
        pace.due.map(|due| due - now)
    }

    #[test]
    fn a_burst_of_kernel_changes_is_one_attempt() {
        let now = Instant::now();
        let mut pace = Pace::default();
        pace.kernel_changed(now);
        pace.kernel_changed(now + DEBOUNCE / 2);
        assert_eq!(wait(&pace, now), Some(DEBOUNCE));
    }

    #[test]
    fn failures_are_retried_less_and_less_often_until_one_succeeds() {
        let now = Instant::now();
        let mut pace = Pace::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            pace.attempted(now, false, true);
            waits.push(wait(&pace, now).expect("a retry is due").as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        pace.attempted(now, false, false);
        assert_eq!(wait(&pace, now), Some(AUDIT));
        pace.attempted(now, false, true);
        assert_eq!(wait(&pace, now), Some(FIRST_RETRY));
    }

    #[test]
    fn a_kernel_change_brings_a_distant_retry_forward() {
        let now = Instant::now();
        let mut pace = Pace::default();
        (0..7).for_each(|_| pace.attempted(now, false, true));
        pace.kernel_changed(now);
        assert_eq!(wait(&pace, now), Some(DEBOUNCE));
    }

    #[test]
    fn a_fight_over_the_same_thing_slows_down_and_peace_ends_it() {
        let mut now = Instant::now();
        let mut pace = Pace::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            pace.attempted(now, true, false);
            pace.kernel_changed(now);
            let wait = wait(&pace, now).expect("an attempt is due");
            waits.push(wait.as_millis());
            now += wait;
        }
        assert_eq!(waits, [25, 50, 100, 200, 400, 800, 1600, 3200]);
        now += LONGEST_PAUSE * 3;
        pace.attempted(now, true, false);
        pace.kernel_changed(now);
        assert_eq!(wait(&pace, now), Some(DEBOUNCE));
    }
}

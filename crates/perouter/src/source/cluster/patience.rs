//! How long to wait before the next attempt.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use kube::runtime::watcher::Event;

/// The first wait.
const FIRST: Duration = Duration::from_millis(250);

/// Whether the API server has said something. The beginning of a list is said by the watch itself, before it asks.
pub(super) fn answered<K>(event: &Event<K>) -> bool {
    match event {
        Event::Init => false,
        Event::InitApply(_) | Event::InitDone | Event::Apply(_) | Event::Delete(_) => true,
    }
}

/// Waits that double, each a little different, so that the nodes of a cluster do not all come back at once.
#[derive(Debug)]
pub(super) struct Patience {
    next: Duration,
    longest: Duration,
}

impl Patience {
    /// At most `longest`, give or take a quarter.
    pub(super) fn of(longest: Duration) -> Self {
        Self { next: FIRST, longest }
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// It did not.
    pub(super) fn lost(&mut self) -> Duration {
        let wait = self.next;
        self.next = (self.next * 2).min(self.longest);
        // Chance enough for this, without a generator of its own.
        let quarter = RandomState::new().hash_one(0) % 512;
        wait.mul_f64(0.75 + quarter as f64 / 1024.0)
    }

    /// Waits.
    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.lost()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_after_success() {
        let mut patience = Patience::of(Duration::from_secs(10));
        let waits: Vec<_> = (0..9).map(|_| patience.lost().as_secs_f64()).collect();
        for (wait, whole) in waits.iter().zip([0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]) {
            assert!((0.75 * whole..1.25 * whole).contains(wait), "{waits:?}");
        }
        patience.reset();
        assert!(patience.lost() < Duration::from_millis(313));
    }
}

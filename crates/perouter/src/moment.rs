//! A point in time on both clocks. The only place that reads the wall clock, which `clippy.toml` bans everywhere else:
//! whoever sets it changes what is shown to people, and for how long certificates hold; nothing else.

use std::time::{Duration, Instant, SystemTime};

/// Both clocks at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The monotonic one, for whatever is counted or decided.
    pub(crate) instant: Instant,
    /// The wall clock, to be shown.
    pub(crate) wall: SystemTime,
}

impl Moment {
    /// This moment.
    #[allow(clippy::disallowed_methods)] // see the module page
    pub(crate) fn now() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }

    /// How long it has been since `then`; zero when `then` is yet to come.
    pub(crate) fn since(&self, then: Instant) -> Duration {
        self.instant.saturating_duration_since(then)
    }
}

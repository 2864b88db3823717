//! How often people are told about one address.
//!
//! Whoever connects decides how often its sessions come and go, and must not fill the log with it. Owns a budget for each
//! address: [`BURST`] notes, and one more for every [`REFILL`] that passes. Budgets that are whole again are forgotten, so
//! that addresses cost memory only while they are noisy; beyond [`ADDRESSES`] of them the rest share one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Notes about one address before it has to wait.
const BURST: u32 = 10;
/// The wait for each further one.
const REFILL: Duration = Duration::from_secs(10);
/// Addresses with a budget of their own.
const ADDRESSES: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Telling {
    budgets: BTreeMap<IpAddr, Budget>,
    others: Option<Budget>,
}

#[derive(Debug)]
struct Budget {
    /// When it is whole again.
    whole: Instant,
    /// Notes that were swallowed since the last one.
    unsaid: u64,
}

impl Telling {
    /// What to say about an address, if anything: the text, with what was left out meanwhile.
    pub(crate) fn say(&mut self, now: Instant, address: IpAddr, text: String) -> Option<String> {
        if self.budgets.len() >= ADDRESSES && !self.budgets.contains_key(&address) {
            self.budgets.retain(|_, budget| budget.whole > now);
        }
        let fresh = Budget { whole: now, unsaid: 0 };
        let budget = if self.budgets.len() < ADDRESSES || self.budgets.contains_key(&address) {
            self.budgets.entry(address).or_insert(fresh)
        } else {
            self.others.get_or_insert(fresh)
        };
        budget.say(now, text)
    }
}

impl Budget {
    fn say(&mut self, now: Instant, text: String) -> Option<String> {
        let whole = self.whole.max(now) + REFILL;
        if whole > now + REFILL * BURST {
            self.unsaid += 1;
            return None;
        }
        self.whole = whole;
        let last = whole + REFILL > now + REFILL * BURST;
        Some(match (std::mem::take(&mut self.unsaid), last) {
            (0, false) => text,
            (0, true) => format!("{text} (more of this is told every {} s at most)", REFILL.as_secs()),
            (unsaid, _) => format!("{text} ({unsaid} other changes since the last one told)"),
        })
    }
}

#[cfg(test)]
#[path = "telling_tests.rs"]
mod tests;

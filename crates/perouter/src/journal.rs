//! What happened: the last events of this process, numbered, for people who come later and for those who follow.
//!
//! Owns: a ring of [`KEPT`] events in memory. Is told by [`crate::status::Status::note`], which logs each one as well, once.
//! Emits: pages of them, and a wake-up when there is a new one. Does not: survive the process; its log does.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::Level;
use tokio::sync::watch;

use crate::moment::Moment;

/// Events kept.
pub(crate) const KEPT: usize = 1000;

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The router as a whole.
    Router,
    /// A peer.
    Peer(IpAddr),
    /// A link, a namespace, a kernel setting, a file or an object of the configuration.
    Object(String),
}

impl From<Option<IpAddr>> for About {
    fn from(peer: Option<IpAddr>) -> Self {
        peer.map_or(Self::Router, Self::Peer)
    }
}

impl From<&str> for About {
    fn from(object: &str) -> Self {
        Self::Object(object.to_owned())
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventRecord {
    /// Its number, from 1, without gaps.
    pub(crate) number: u64,
    /// When.
    pub(crate) at: Moment,
    /// How grave it is.
    pub(crate) level: Level,
    /// What it is about.
    pub(crate) about: About,
    /// One sentence.
    pub(crate) text: String,
}

/// Some events in a row, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// At most as many as were asked for.
    pub(crate) events: Vec<EventRecord>,
    /// Where the next page begins: the number of the last event here, or of the last one that a reader has.
    pub(crate) last: u64,
    /// Events that a reader of this page does not have, because they made room before it asked.
    pub(crate) missed: u64,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<EventRecord>,
    /// Warnings since the start, those that made room included.
    warned: u64,
}

/// The ring. Cheap to clone, all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    ring: Arc<Mutex<Ring>>,
    /// Number of the newest event; 0 before the first.
    newest: Arc<watch::Sender<u64>>,
}

impl Default for Journal {
    fn default() -> Self {
        Self { ring: Arc::default(), newest: Arc::new(watch::Sender::new(0)) }
    }
}

impl Journal {
    /// Adds one.
    pub(crate) fn add(&self, at: Moment, level: Level, about: About, text: String) {
        let mut ring = self.lock();
        let number = *self.newest.borrow() + 1;
        if ring.events.len() >= KEPT {
            ring.events.pop_front();
        }
        ring.warned += u64::from(level == Level::Warn);
        ring.events.push_back(EventRecord { number, at, level, about, text });
        // Under the lock, so that numbers stay in order.
        self.newest.send_replace(number);
    }

    /// The newest ones, at most `limit`.
    pub(crate) fn newest(&self, limit: usize) -> Page {
        let ring = &self.lock().events;
        let events: Vec<_> = ring.iter().skip(ring.len().saturating_sub(limit)).cloned().collect();
        Page { last: events.last().map_or(0, |event| event.number), events, missed: 0 }
    }

    /// Those after number `after`, the oldest ones of them first, at most `limit`. A number that was not reached yet is
    /// one of an earlier process: everything is news to whoever has it.
    pub(crate) fn after(&self, after: u64, limit: usize) -> Page {
        let ring = &self.lock().events;
        let after = if after > *self.newest.borrow() { 0 } else { after };
        let events: Vec<_> = ring.iter().filter(|event| event.number > after).take(limit).cloned().collect();
        let missed = events.first().map_or(0, |event| event.number - after - 1);
        Page { last: events.last().map_or(after, |event| event.number), events, missed }
    }

    /// The newest warnings, at most `limit`, oldest first.
    pub(crate) fn warnings(&self, limit: usize) -> Vec<EventRecord> {
        let ring = &self.lock().events;
        let mut warnings: Vec<_> =
            ring.iter().rev().filter(|event| event.level == Level::Warn).take(limit).cloned().collect();
        warnings.reverse();
        warnings
    }

    /// How many there were since the start: ordinary ones, and warnings.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let warned = self.lock().warned;
        (self.newest.borrow().saturating_sub(warned), warned)
    }

    /// Waits until there is news for whoever has everything up to `after`. Safe to cancel.
    pub(crate) async fn beyond(&self, after: u64) {
        let mut newest = self.newest.subscribe();
        // The sender is ours, so that this never fails.
        let _ = newest.wait_for(|newest| *newest != after).await;
    }

    // Every holder leaves it whole, so a panic elsewhere does not make it unusable.
    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(events: usize) -> Journal {
        let journal = Journal::default();
        for number in 1..=events {
            let level = if number % 10 == 0 { Level::Warn } else { Level::Info };
            journal.add(Moment::now(), level, About::Router, format!("event {number}"));
        }
        journal
    }

    fn numbers(page: &Page) -> Vec<u64> {
        page.events.iter().map(|event| event.number).collect()
    }

    #[test]
    fn the_oldest_event_makes_room_for_the_newest_and_whoever_comes_late_learns_it() {
        let journal = with(KEPT + 3);
        assert_eq!(journal.after(0, usize::MAX).events.len(), KEPT);
        let page = journal.after(0, 2);
        assert_eq!((numbers(&page), page.last, page.missed), (vec![4, 5], 5, 3));
        assert_eq!(page.events[0].text, "event 4");
        assert_eq!(journal.after(2, 1).missed, 1);
        assert_eq!(journal.after(3, 1).missed, 0);
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let journal = with(5);
        let (mut all, mut last) = (Vec::new(), 0);
        loop {
            let page = journal.after(last, 2);
            if page.events.is_empty() {
                break;
            }
            all.append(&mut numbers(&page));
            last = page.last;
        }
        assert_eq!((all, last), (vec![1, 2, 3, 4, 5], 5));
        assert_eq!(numbers(&journal.newest(2)), [4, 5]);
        assert_eq!((numbers(&with(0).newest(2)), with(0).newest(2).last), (vec![], 0));
    }

    #[test]
    fn the_number_of_an_earlier_process_means_everything() {
        assert_eq!(numbers(&with(2).after(70, 10)), [1, 2]);
    }

    #[test]
    fn every_event_is_counted_also_those_that_made_room() {
        assert_eq!(with(KEPT + 100).counts(), (990, 110));
    }

    #[test]
    fn warnings_are_found_behind_whatever_came_since() {
        let found: Vec<u64> = with(39).warnings(2).iter().map(|event| event.number).collect();
        assert_eq!(found, [20, 30]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_everything_waits_for_the_next_event() {
        let journal = with(3);
        journal.beyond(2).await;
        let waiting = journal.clone();
        let waiting = tokio::spawn(async move { waiting.beyond(3).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        journal.add(Moment::now(), Level::Info, About::Router, "more".into());
        waiting.await.unwrap();
    }
}

//! What the router says that happened, from a moment on.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use testbed::Node;

use crate::fabric::PATIENCE;

const DAY: u64 = 24 * 3_600_000;

/// An event of the router's.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// When, as it is shown.
    pub(crate) at: String,
    /// What.
    pub(crate) text: String,
}

impl Told {
    fn of(event: &Value) -> Self {
        let word = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        Self { at: word("at"), text: word("text") }
    }

    /// Milliseconds from a moment to this event.
    pub(crate) fn after(&self, moment: Moment) -> u64 {
        let time = self.at.split_once('T').and_then(|(_, time)| time.strip_suffix('Z')).unwrap();
        let parts = time.split([':', '.']).zip([3_600_000, 60_000, 1000, 1]);
        let of_day: u64 = parts.map(|(part, unit)| part.parse::<u64>().unwrap() * unit).sum();
        (of_day + DAY - moment.0) % DAY
    }
}

/// A millisecond of the day by the wall clock, which events are shown with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u64);

impl Moment {
    /// This one.
    #[allow(clippy::disallowed_methods)] // compared with what people are shown
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self(u64::try_from(since.as_millis()).unwrap() % DAY)
    }
}

/// The router's events after this was made.
pub(crate) struct Since<'a> {
    node: &'a Node,
    last: u64,
}

impl<'a> Since<'a> {
    /// From here on.
    pub(crate) fn now(node: &'a Node) -> Self {
        let last = node.ask_json(&["events", "-n", "1"]).unwrap()["last"].as_u64().unwrap();
        Self { node, last }
    }

    fn events(&self) -> Vec<Told> {
        let page = self.node.ask_json(&["events", "-n", "1000"]).unwrap_or_else(|e| panic!("{e}"));
        let events = page["events"].as_array().unwrap();
        let new = events.iter().filter(|event| event["number"].as_u64().is_some_and(|number| number > self.last));
        new.map(Told::of).collect()
    }

    /// Every event since, as a sentence.
    pub(crate) fn told(&self) -> Vec<String> {
        self.events().into_iter().map(|told| told.text).collect()
    }

    /// Waits until an event has these words, and returns it.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> Told {
        self.node.lab.wait_until(&format!("the router says `{words}`"), PATIENCE, || {
            let told = self.events();
            told.iter().find(|told| told.text.contains(words)).cloned().ok_or_else(|| format!("{told:#?}"))
        })
    }

    /// These words were said once until now, not again and again.
    #[track_caller]
    pub(crate) fn said_once(&self, words: &str) {
        let told = self.told();
        assert_eq!(told.iter().filter(|text| text.contains(words)).count(), 1, "{words}: {told:#?}");
    }
}

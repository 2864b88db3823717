//! What the router says that happened, from a moment on.

use testbed::Node;

use crate::fabric::PATIENCE;

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

    /// Every event since, as a sentence.
    pub(crate) fn told(&self) -> Vec<String> {
        let page = self.node.ask_json(&["events", "-n", "1000"]).unwrap_or_else(|e| panic!("{e}"));
        let events = page["events"].as_array().unwrap();
        let new = events.iter().filter(|event| event["number"].as_u64().is_some_and(|number| number > self.last));
        new.map(|event| event["text"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn count(told: &[String], words: &str) -> usize {
        told.iter().filter(|text| text.contains(words)).count()
    }

    /// Waits until an event has these words, and returns it.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> String {
        self.node.lab.wait_until(&format!("the router says `{words}`"), PATIENCE, || {
            let told = self.told();
            told.iter().find(|text| text.contains(words)).cloned().ok_or_else(|| format!("{told:#?}"))
        })
    }

    /// These words were said once until now, not again and again.
    #[track_caller]
    pub(crate) fn said_once(&self, words: &str) {
        let told = self.told();
        assert_eq!(Self::count(&told, words), 1, "{words}: {told:#?}");
    }
}

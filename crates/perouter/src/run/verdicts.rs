//! Tells what became of the objects: each change of a verdict once.
//!
//! Owns: what was told. Is told: the verdicts of each load. Emits: events.

use std::collections::BTreeMap;

use config::verdict::{Outcome, Verdict};
use engine::Level;

use crate::source::objects::place;
use crate::status::Status;

/// What was told already.
#[derive(Debug, Default)]
pub(crate) struct Told {
    verdicts: BTreeMap<(String, String), Vec<(Level, String)>>,
    none: Option<String>,
}

impl Told {
    /// Tells what is new in the verdicts of a load, and in the reason why there is no configuration.
    pub(crate) fn tell(&mut self, verdicts: &[Verdict], none: Option<&str>, status: &Status) {
        let mut new: BTreeMap<(String, String), Vec<(Level, String)>> = BTreeMap::new();
        for verdict in verdicts {
            let key = (verdict.object.kind.clone(), verdict.object.name.clone());
            new.entry(key).or_default().extend(sentences(verdict));
        }
        for (key, texts) in &new {
            let old = self.verdicts.get(key);
            for (level, text) in texts {
                if old.is_none_or(|old| !old.iter().any(|(_, told)| told == text)) {
                    status.note(*level, name(key).as_str(), text.clone());
                }
            }
        }
        for key in self.verdicts.keys().filter(|key| !new.contains_key(*key)) {
            let name = name(key);
            status.note(Level::Info, name.as_str(), format!("{name} is gone"));
        }
        self.verdicts = new;
        if let Some(none) = none
            && self.none.as_deref() != Some(none)
        {
            status.note(Level::Info, None, format!("waiting for configuration: {none}"));
        }
        self.none = none.map(str::to_owned);
    }
}

/// An object by kind and name.
fn name((kind, name): &(String, String)) -> String {
    format!("{kind} {name}")
}

fn sentences(verdict: &Verdict) -> Vec<(Level, String)> {
    let place = place(&verdict.object);
    match &verdict.outcome {
        Outcome::Applied { warnings } => {
            let warnings = warnings.iter().map(|warning| (Level::Warn, format!("{place}: {warning}")));
            std::iter::once((Level::Info, format!("{place}: applied"))).chain(warnings).collect()
        }
        Outcome::Rejected { reason, field, message } => {
            let field = field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
            vec![(Level::Warn, format!("{place}: rejected ({reason}): {field}{message}"))]
        }
    }
}

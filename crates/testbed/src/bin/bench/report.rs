//! Results: kept as lines of JSON, so that rows measured one after the other make one table, and shown as that table.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::goals::{Goal, MEANINGS, Meaning};
use crate::routers::Router;
use crate::rows::{Figure, SETTINGS};

/// What one player did in one run of a row.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) row: String,
    /// `kernel`, or a router's name.
    pub(crate) player: String,
    pub(crate) quick: bool,
    pub(crate) figures: Result<Vec<Figure>, String>,
}

/// Name of a player in results.
pub(crate) fn name(player: Option<Router>) -> &'static str {
    player.map_or("kernel", Router::name)
}

impl Outcome {
    /// Appends it to a file.
    pub(crate) fn append(&self, file: &Path) -> io::Result<()> {
        let mut line = json!({"row": self.row, "player": self.player, "quick": self.quick});
        match &self.figures {
            Ok(figures) => line["figures"] = figures.iter().map(|(k, v)| (k.clone(), json!(v))).collect::<Value>(),
            Err(error) => line["error"] = json!(error),
        }
        let mut out = OpenOptions::new().create(true).append(true).open(file)?;
        writeln!(out, "{line}")
    }

    fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let figures = match value["figures"].as_object() {
            Some(figures) => Ok(figures.iter().map(|(k, v)| (k.clone(), v.as_f64().unwrap_or(f64::NAN))).collect()),
            None => Err(text("error").unwrap_or_default()),
        };
        Some(Self { row: text("row")?, player: text("player")?, quick: value["quick"].as_bool()?, figures })
    }
}

/// Results of earlier parts; none where there is no such file.
pub(crate) fn read(file: &Path) -> io::Result<Vec<Outcome>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text.lines().filter_map(Outcome::parse).collect()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

/// Medians by figure and player.
#[derive(Debug, Default)]
pub(crate) struct Medians(BTreeMap<(String, String), f64>);

impl Medians {
    pub(crate) fn of(outcomes: &[Outcome]) -> Self {
        let mut values: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        for outcome in outcomes {
            for (figure, value) in outcome.figures.iter().flatten() {
                values.entry((figure.clone(), outcome.player.clone())).or_default().push(*value);
            }
        }
        let median = |mut all: Vec<f64>| {
            all.sort_by(f64::total_cmp);
            let middle = all.len() / 2;
            if all.len().is_multiple_of(2) { f64::midpoint(all[middle - 1], all[middle]) } else { all[middle] }
        };
        Self(values.into_iter().map(|(key, all)| (key, median(all))).collect())
    }

    pub(crate) fn get(&self, figure: &str, player: Option<Router>) -> Option<f64> {
        self.0.get(&(figure.to_owned(), name(player).to_owned())).copied()
    }
}

/// Who has a column beside ours.
const RIVALS: [Option<Router>; 4] = [None, Some(Router::Bird), Some(Router::Frr), Some(Router::Gobgp)];

/// The table, as Markdown, and how many goals were missed.
pub(crate) fn table(
    outcomes: &[Outcome],
    versions: &BTreeMap<&'static str, String>,
    out: &mut impl Write,
) -> io::Result<usize> {
    let medians = Medians::of(outcomes);
    let quick = outcomes.iter().any(|outcome| outcome.quick);
    write!(out, "| figure | goal | perouter |")?;
    for rival in RIVALS {
        write!(out, " {} {} |", name(rival), versions.get(name(rival)).map_or("", String::as_str))?;
    }
    writeln!(out, " |\n|---|---|---|{}---|", "---|".repeat(RIVALS.len()))?;
    let mut missed = 0;
    for meaning in &MEANINGS {
        // What has no player of ours is about the kernel: its figures are the site's.
        let player = if meaning.name.starts_with("forwarding") { None } else { Some(Router::Perouter) };
        let Some(ours) = medians.get(meaning.name, player) else { continue };
        let limit = limit(meaning, quick, &medians);
        let verdict = match limit {
            None => "",
            Some(limit) if ours <= limit => "met",
            Some(_) => {
                missed += 1;
                "**missed**"
            }
        };
        let goal = limit.map(|limit| format!("at most {}", show(limit, meaning.unit))).unwrap_or_default();
        write!(out, "| {} | {goal} | {} |", meaning.what, show(ours, meaning.unit))?;
        for rival in RIVALS {
            let theirs = medians.get(meaning.name, rival).filter(|_| player.is_some());
            write!(out, " {} |", theirs.map(|theirs| beside(theirs, ours, meaning.unit)).unwrap_or_default())?;
        }
        writeln!(out, " {verdict} |")?;
    }
    settings(&medians, out)?;
    for outcome in outcomes {
        if let Err(error) = &outcome.figures {
            writeln!(out, "\nFAILED: row {}, {}: {error}", outcome.row, outcome.player)?;
        }
    }
    Ok(missed)
}

/// What settings of links change about forwarding, where that was measured.
fn settings(medians: &Medians, out: &mut impl Write) -> io::Result<()> {
    const UNITS: [(&str, &str); 3] = [("tcp", "Gbit/s"), ("kpps", "kpps"), ("rtt", "us")];
    let value = |setting: &str, what: &str| medians.get(&format!("options.{setting}.{what}"), None);
    let plain: Vec<_> = UNITS.iter().filter_map(|(what, _)| value("plain", what)).collect();
    if plain.len() < UNITS.len() {
        return Ok(());
    }
    writeln!(out, "\n| setting of the router's links | TCP | 64-byte packets | round trip |\n|---|---|---|---|")?;
    for setting in SETTINGS {
        let all: Vec<_> = UNITS.iter().filter_map(|(what, unit)| Some((value(setting, what)?, unit))).collect();
        if all.len() == UNITS.len() {
            let cells = all.iter().zip(&plain);
            let cells =
                cells.map(|((value, unit), plain)| format!("{} ({})", show(*value, unit), times(value / plain)));
            writeln!(out, "| {setting} | {} |", cells.collect::<Vec<_>>().join(" | "))?;
        }
    }
    Ok(())
}

/// The strictest of a figure's goals that can be judged.
fn limit(meaning: &Meaning, quick: bool, medians: &Medians) -> Option<f64> {
    let one = |goal: &Goal| goal.limit(quick, |player| medians.get(meaning.name, player));
    meaning.goals.iter().filter_map(one).min_by(f64::total_cmp)
}

/// A rival's figure, and how many times ours it is.
fn beside(theirs: f64, ours: f64, unit: &str) -> String {
    let shown = show(theirs, unit);
    if ours <= 0.0 || theirs <= 0.0 { shown } else { format!("{shown} ({})", times(theirs / ours)) }
}

fn times(ratio: f64) -> String {
    if ratio >= 10.0 { format!("{ratio:.0}x") } else { format!("{ratio:.2}x") }
}

/// Three significant digits.
pub(crate) fn show(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        v if v == 0.0 || v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$} {unit}").trim_end().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn outcome(player: &str, value: f64) -> Outcome {
        let figures = Ok(vec![("full.fib".to_owned(), value)]);
        Outcome { row: "full".into(), player: player.into(), quick: false, figures }
    }

    fn rendered(outcomes: &[Outcome]) -> (String, usize) {
        let mut out = Vec::new();
        let missed = table(outcomes, &BTreeMap::new(), &mut out).unwrap();
        (String::from_utf8(out).unwrap(), missed)
    }

    #[test]
    fn the_strictest_goal_counts_and_medians_are_compared() {
        let runs = [3.0, 9.0, 3.2].map(|v| outcome("perouter", v));
        let others = [outcome("kernel", 2.0), outcome("BIRD", 9.9)];
        let (text, missed) = rendered(&[&runs[..], &others].concat());
        // 1.5 x 2.0 is 3.0, a third of 9.9 is 3.3.
        assert!(text.contains("| at most 3.00 s | 3.20 s | 2.00 s (0.62x) | 9.90 s (3.09x) |"), "{text}");
        assert_eq!(missed, 1);
    }

    #[test]
    fn a_row_that_failed_is_said() {
        let failed = Outcome { figures: Err("10 of 20 routes are in the FIB".into()), ..outcome("BIRD", 0.0) };
        assert!(rendered(&[failed]).0.contains("FAILED: row full, BIRD: 10 of 20 routes"));
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let dir = std::env::temp_dir().join(format!("bench-report-{}", std::process::id()));
        outcome("BIRD", 1.5).append(&dir).unwrap();
        let read = read(&dir).unwrap();
        std::fs::remove_file(&dir).unwrap();
        assert_eq!(Medians::of(&read).get("full.fib", Some(Router::Bird)), Some(1.5));
    }
}

//! The alert rules and the dashboard of packaging/monitoring: promtool accepts and tests them, and every metric and label that
//! they name is one that a running daemon has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::http::{get, serving};
use crate::site::Site;
use crate::support::{command, wait_until};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/monitoring").canonicalize().unwrap()
}

/// `promtool ARGS`, from the distribution's package prometheus, which must be content.
fn promtool(args: &[&str]) {
    let output = command("promtool", args);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {args:?}: {said}");
}

fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(folder().join("grafana-dashboard.json")).unwrap()).unwrap()
}

/// The expressions of the dashboard, with a value for each of its variables.
fn drawn(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let text = |target: &Value| target["expr"].as_str().unwrap().to_owned();
    targets.map(text).map(|expr| expr.replace("$__rate_interval", "5m").replace('$', "")).collect()
}

/// Expressions of the rules, a line each.
fn alerting() -> Vec<String> {
    let text = fs::read_to_string(folder().join("perouter.rules.yml")).unwrap();
    text.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned).collect()
}

#[test]
fn promtool_accepts_the_rules_and_their_own_tests() {
    promtool(&["check", "rules", &folder().join("perouter.rules.yml").display().to_string()]);
    promtool(&["test", "rules", &folder().join("perouter.rules.test.yml").display().to_string()]);
}

#[test]
fn promtool_accepts_every_expression_of_the_dashboard() {
    let scratch = tempfile::tempdir().unwrap();
    let expressions = drawn(&dashboard());
    let rules = expressions.iter().enumerate().map(|(index, expr)| {
        format!("      - record: drawn:{index}\n        expr: {}\n", serde_json::to_string(expr).unwrap())
    });
    let file = scratch.path().join("drawn.yml");
    fs::write(&file, format!("groups:\n  - name: drawn\n    rules:\n{}", rules.collect::<String>())).unwrap();
    promtool(&["check", "rules", &file.display().to_string()]);
    let legends = dashboard()["panels"].as_array().unwrap().len();
    assert!(legends > 20, "{legends} panels");
}

/// Names of samples that a scrape has or would have, from its types.
fn samples(scrape: &str) -> BTreeSet<String> {
    let families = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let named = families.flat_map(|(name, kind)| {
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
    });
    named.collect()
}

/// The labels of each metric, from the table in docs/metrics.md, which a test of its own makes.
fn labels() -> BTreeMap<String, BTreeSet<String>> {
    let page = fs::read_to_string(folder().join("../../docs/metrics.md")).unwrap();
    let (_, table) = page.split_once("<!-- metrics -->").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
    let ticked = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    cells.map(|cells| (ticked(cells[0])[0].clone(), ticked(cells[2]).into_iter().collect())).collect()
}

/// The metrics of an expression, each with the labels of its selector.
fn used(expr: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for prefix in ["perouter_", "process_"] {
        for (at, _) in expr.match_indices(prefix) {
            let inside = expr[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            if inside {
                continue;
            }
            let rest = &expr[at..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let selector =
                rest[end..].strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inner, _)| inner);
            let labels = selector.split("\",").filter_map(|one| one.split(['=', '!', '~']).next());
            let labels = labels.map(|label| label.trim().to_owned()).filter(|label| !label.is_empty());
            found.push((rest[..end].to_owned(), labels.collect()));
        }
    }
    found
}

#[test]
fn every_metric_that_is_drawn_or_alerted_on_is_there() {
    let site = Site::new();
    let (_leaf, _host, run) = (site.leaf(), site.host(), serving(&site, &[]));
    wait_until("it is scraped", || get(&site.node, "/metrics").status == 200);
    let there = samples(&get(&site.node, "/metrics").body);
    let labels = labels();
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let variables = variables.filter_map(|variable| variable["definition"].as_str().map(str::to_owned));
    let expressions: Vec<String> = drawn(&dashboard).into_iter().chain(alerting()).chain(variables).collect();
    assert!(expressions.len() > 40, "{} expressions", expressions.len());
    // Of every server that Prometheus asks, and of every histogram.
    let common = ["instance", "job", "le"];
    let mut complaints = Vec::new();
    for expr in &expressions {
        let metrics = used(expr);
        if metrics.is_empty() && !expr.starts_with("up{") {
            complaints.push(format!("{expr}: names no metric of ours"));
        }
        for (metric, selected) in metrics {
            if !there.contains(&metric) {
                complaints.push(format!("{expr}: there is no {metric}"));
            }
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| metric.strip_suffix(suffix));
            let known = labels.get(&metric).or_else(|| labels.get(family?));
            for label in selected.iter().filter(|label| !common.contains(&label.as_str())) {
                if !known.is_some_and(|known| known.contains(label)) {
                    complaints.push(format!("{expr}: {metric} has no label {label}"));
                }
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    // And what is documented is there, and nothing else.
    let documented: BTreeSet<&String> = labels.keys().collect();
    let families: BTreeSet<&String> =
        there.iter().filter(|name| !["_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end))).collect();
    let missing: Vec<_> = families.difference(&documented).collect();
    assert!(missing.is_empty(), "not in docs/metrics.md: {missing:?}");
    run.stop();
}

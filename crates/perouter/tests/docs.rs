//! What the documentation shows is valid: each YAML block whose first line names one of our files is read as that file.
//!
//! `# /etc/openperouter/configs/openpe_NAME.yaml` and `# speak.yaml` go through `perouter validate`, `# node-config.yaml`
//! does so beside objects. Remarks count as errors: nobody should copy a field that has no effect. Links lead somewhere, and
//! the tests that docs/conformance.md names exist.
#![allow(clippy::unwrap_used)] // a failing unwrap is a failing test

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A node that every page's objects fit.
const OBJECTS: &str = "\
underlays:
  - asn: 64514
    interfaces: [{type: NetworkDevice, networkDevice: {interfaceName: eth1}}]
    neighbors: [{asn: 64512, address: 192.168.11.2}]
";

/// Which of our files a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Objects,
    Node,
    Speak,
}

struct Block {
    /// Page and line.
    place: String,
    kind: Kind,
    text: String,
}

#[test]
fn every_configuration_in_the_documentation_is_valid() {
    let blocks = blocks();
    for kind in [Kind::Objects, Kind::Node, Kind::Speak] {
        assert!(blocks.iter().any(|block| block.kind == kind), "no {kind:?} block was found: are they still marked?");
    }
    let complaints: Vec<String> = blocks.iter().flat_map(complaints).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Every page that promises a configuration keeps the mark that lets this test find it.
#[test]
fn every_page_for_a_host_speaker_shows_the_routers_side() {
    let blocks = blocks();
    let pages = pages(&root().join("docs/hosts"));
    assert!(!pages.is_empty(), "there are no pages in docs/hosts");
    for page in pages {
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        let found = blocks.iter().any(|block| block.kind == Kind::Objects && block.place.contains(&name));
        assert!(found, "{name} has no block that begins with `# /etc/openperouter/configs/openpe_NAME.yaml`");
    }
}

/// docs/conformance.md promises a test for each rule: every rule once, with tests that exist.
#[test]
fn every_rule_has_tests_that_exist() {
    let text = fs::read_to_string(root().join("docs/conformance.md")).unwrap();
    let (rules, deviations) = text.split_once("\n## Deviations\n").expect("both tables");
    let (rules, deviations) = (rows(rules), rows(deviations));
    assert!(rules.len() > 60 && deviations.len() > 10, "{} and {} rows", rules.len(), deviations.len());
    let mut complaints = Vec::new();
    for (table, width) in [(&rules, 4), (&deviations, 3)] {
        let mut seen = BTreeSet::new();
        for row in table {
            if row.len() != width || row.iter().any(|cell| cell.is_empty()) {
                complaints.push(format!("{row:?}: not {width} cells with something in them"));
            }
            if !seen.insert(row[0]) {
                complaints.push(format!("{}: twice", row[0]));
            }
        }
    }
    for row in rules.iter().filter(|row| row.len() == 4) {
        let tests: Vec<&str> = row[3].split('`').skip(1).step_by(2).collect();
        if tests.is_empty() && !row[3].starts_with("not applicable: ") {
            complaints.push(format!("{}: no test", row[0]));
        }
        complaints.extend(tests.iter().filter(|test| !is_test(test)).map(|test| format!("{}: no test {test}", row[0])));
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// The cells of a page's tables, without heads and rulers.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    lines.filter(|line| !line.starts_with("RFC and section")).map(|line| line.split(" | ").collect()).collect()
}

/// Whether `crate::module::name`, or `folder::module::name` for the folders beside this file, is a test in the source.
fn is_test(path: &str) -> bool {
    let mut modules: Vec<&str> = path.split("::").collect();
    let (Some(name), true) = (modules.pop(), modules.len() > 1) else { return false };
    let package = root().join("crates").join(modules[0]);
    let (folders, modules) = if package.is_dir() {
        (vec![package.join("src"), package.join("tests")], &modules[1..])
    } else {
        (vec![root().join("crates/perouter/tests")], &modules[..])
    };
    let module = modules.join("/");
    // A module's tests stand in it, or beside it.
    let files = ["", "_tests", "/tests", "/mod"].map(|end| format!("{module}{end}.rs"));
    let files = folders.iter().flat_map(|folder| files.iter().map(|file| folder.join(file)));
    files.filter_map(|file| fs::read_to_string(file).ok()).any(|source| {
        let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
        let mut places = (0..lines.len()).filter(|&at| {
            let line = lines[at].strip_prefix("async ").unwrap_or(lines[at]);
            line.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with('('))
        });
        places.any(|at| {
            let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
            above.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
        })
    })
}

#[test]
fn links_between_pages_lead_somewhere() {
    for page in all_pages() {
        let text = fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = page.parent().unwrap().join(target);
            assert!(path.exists(), "{}: the link to {target} leads nowhere", page.display());
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn all_pages() -> Vec<PathBuf> {
    let mut all = pages(&root().join("docs"));
    all.push(root().join("README.md"));
    all
}

/// Markdown below a folder.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn blocks() -> Vec<Block> {
    all_pages().iter().flat_map(|page| blocks_of(page)).collect()
}

/// The marked YAML blocks of a page.
fn blocks_of(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).unwrap();
    let page = page.strip_prefix(root()).unwrap().display().to_string();
    let mut found = Vec::new();
    let mut open: Option<(usize, bool, String)> = None;
    for (index, line) in text.lines().enumerate() {
        match &mut open {
            None if line.starts_with("```") => open = Some((index + 1, line == "```yaml", String::new())),
            None => {}
            Some((start, yaml, text)) if line == "```" => {
                if let Some(kind) = kind_of(text).filter(|_| *yaml) {
                    found.push(Block { place: format!("{page}:{start}"), kind, text: text.clone() });
                }
                open = None;
            }
            Some((_, _, text)) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    assert!(open.is_none(), "{page}: a block is not closed");
    found
}

fn kind_of(text: &str) -> Option<Kind> {
    let name = text.lines().next()?.strip_prefix("# ")?;
    match name {
        "node-config.yaml" => Some(Kind::Node),
        "speak.yaml" => Some(Kind::Speak),
        _ => name.strip_prefix("/etc/openperouter/configs/openpe_")?.strip_suffix(".yaml").map(|_| Kind::Objects),
    }
}

/// What is said against a block, a sentence each with its place.
fn complaints(block: &Block) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for name in key_files(&block.text) {
        fs::write(dir.path().join(name), "a-key").unwrap();
    }
    let (objects, node) = match block.kind {
        Kind::Objects | Kind::Speak => (block.text.as_str(), "nodeName: n\n"),
        Kind::Node => (OBJECTS, block.text.as_str()),
    };
    let file = dir.path().join(if block.kind == Kind::Speak { "speak.yaml" } else { "openpe_docs.yaml" });
    fs::write(&file, objects).unwrap();
    let node_config = dir.path().join("node-config.yaml");
    fs::write(&node_config, node).unwrap();
    let answer = Command::new(env!("CARGO_BIN_EXE_perouter"))
        .args(["-o", "json", "validate", "--node-config"])
        .args([&node_config, &file])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    let verdicts: Vec<Value> = serde_json::from_slice(&answer.stdout).unwrap_or_default();
    if verdicts.is_empty() {
        return vec![format!("{}: no verdict: {said}", block.place)];
    }
    verdicts.iter().flat_map(|verdict| against(&block.place, verdict)).collect()
}

/// Rejections and remarks of one verdict.
fn against(place: &str, verdict: &Value) -> Vec<String> {
    let name = format!("{place}: {}", verdict["kind"].as_str().unwrap_or_default());
    let remarks = verdict["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut found: Vec<_> = remarks.map(|remark| format!("{name}: {remark}")).collect();
    if verdict["outcome"] != "applied" {
        found.push(format!("{name}: rejected: {} {}", verdict["field"], verdict["message"]));
    }
    found
}

/// Keys lie in files of their own, which the reader of a page has.
fn key_files(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.split("passwordFile:").nth(1)?.split_whitespace().next())
}

//! What the documentation shows is valid: each YAML block whose first line names one of our files is read as that file.
//!
//! `# /etc/openperouter/configs/openpe_NAME.yaml` and `# speak.yaml` go through `perouter validate`, `# node-config.yaml`
//! does so beside objects. Remarks count as errors: nobody should copy a field that has no effect. FRR and BIRD read what is shown
//! for them. Objects of others have the fields that their definitions have, shell
//! blocks are what a shell understands, links lead somewhere, every page is in the book, and the tests that
//! docs/conformance.md names exist. That commands of ours can be typed is checked beside them (src/cli_docs_tests.rs).
#![allow(clippy::unwrap_used)] // a failing unwrap is a failing test

#[path = "docs/others.rs"]
mod others;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testbed::{Daemon, find_program};

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
    for page in pages.iter().filter(|page| !page.ends_with("overview.md")) {
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

/// To files, and to headings in them. A page of the book leads nowhere outside of it: there the book's reader would be lost.
#[test]
fn links_between_pages_lead_somewhere() {
    let docs = root().join("docs");
    for page in all_pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (target, anchor) = link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
            let path = if target.is_empty() { page.clone() } else { page.parent().unwrap().join(target) };
            let path = path.canonicalize().unwrap_or_else(|_| panic!("{}: {link} leads nowhere", page.display()));
            assert!(!page.starts_with(&docs) || path.starts_with(&docs), "{}: {link} leaves the book", page.display());
            if let Some(anchor) = anchor {
                let found = anchors(&path).contains(anchor);
                assert!(found, "{}: {link}: no such heading in {}", page.display(), path.display());
            }
        }
    }
}

/// The names that headings of a page have, as mdBook and the code hosts make them.
fn anchors(page: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(page).unwrap();
    let mut in_block = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        }
        if let Some(heading) = line.strip_prefix('#').filter(|_| !in_block) {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            found.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    found
}

/// mdBook shows what SUMMARY.md names, and nothing else.
#[test]
fn every_page_is_in_the_book() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let named: BTreeSet<PathBuf> =
        summary.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(|name| docs.join(name)).collect();
    let there: BTreeSet<PathBuf> = pages(&docs).into_iter().filter(|page| !page.ends_with("SUMMARY.md")).collect();
    assert_eq!(named, there);
}

/// Shell blocks, also those within lists: a shell reads them without running them.
#[test]
fn every_shell_block_is_one_that_a_shell_understands() {
    let blocks: Vec<_> =
        all_pages().iter().flat_map(|page| fenced(page)).filter(|block| block.language == "sh").collect();
    assert!(blocks.len() > 20, "only {} blocks were found", blocks.len());
    for block in blocks {
        let answer = Command::new("sh").args(["-n", "-c", &block.text]).output().unwrap();
        assert!(answer.status.success(), "{}: {}", block.place, String::from_utf8_lossy(&answer.stderr));
    }
}

/// Configurations of FRR and BIRD: they themselves read them, and say what they do not know.
#[test]
fn frr_and_bird_understand_what_is_shown_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shown.conf");
    let path = file.to_str().unwrap();
    let (mut of_frr, mut of_bird) = (0, 0);
    for block in all_pages().iter().flat_map(|page| fenced(page)).filter(|block| block.language.is_empty()) {
        let begins = |words: &str| block.text.lines().any(|line| line.starts_with(words));
        let (daemon, args) = if begins("router bgp ") {
            of_frr += 1;
            (Daemon::Frr, ["vtysh", "-C", "-f", path])
        } else if begins("protocol bgp ") {
            of_bird += 1;
            (Daemon::Bird, ["bird", "-p", "-c", path])
        } else {
            continue;
        };
        daemon.require().unwrap();
        fs::write(&file, &block.text).unwrap();
        let answer = Command::new(find_program(args[0]).unwrap()).args(&args[1..]).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
        assert!(answer.status.success(), "{}: {daemon} says: {said}", block.place);
    }
    assert!(of_frr > 3 && of_bird > 3, "only {of_frr} and {of_bird} were found");
}

/// Objects of others are whole, and have only fields that their definitions know ([`others`] lists what we use of them).
#[test]
fn objects_of_others_are_what_their_definitions_take() {
    let blocks = all_pages().into_iter().flat_map(|page| fenced(&page)).filter(|block| block.language == "yaml");
    let (mut seen, mut complaints) = (0, Vec::new());
    for block in blocks.filter(|block| kind_of(&block.text).is_none()) {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&block.text).unwrap_or_else(|error| panic!("{}: {error}", block.place));
        for document in documents {
            let text = |key: &str| document[key].as_str().unwrap_or_default().to_owned();
            let mut kind = format!("{} {}", text("apiVersion"), text("kind"));
            if kind.ends_with(" BGPPeer") && block.place.contains("metallb-native.md") {
                kind.push_str(", native");
            }
            let shows_a_part = block.text.starts_with("# ") || document.get("spec").is_none();
            // One of ours belongs under the name of its file, where it is validated; configuration.md shows the form alone.
            let is_sketch =
                kind.starts_with("network.openperouter.io/") && block.place.starts_with("docs/configuration.md");
            if kind.trim().is_empty() && shows_a_part || is_sketch {
                continue;
            }
            seen += 1;
            complaints
                .extend(others::complaints(&kind, &document["spec"]).map(|what| format!("{}: {what}", block.place)));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    assert!(seen > 10, "only {seen} objects were found");
}

/// The examples of the package are configurations, too.
#[test]
fn the_packages_examples_are_valid() {
    let folder = root().join("packaging/debian/examples");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let kind =
            kind_of(&text).unwrap_or_else(|| panic!("{}: the first line does not say what it is", path.display()));
        let said = complaints(&Block { place: path.display().to_string(), kind, text });
        assert!(said.is_empty(), "{said:?}");
        seen += 1;
    }
    assert_eq!(seen, 2);
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
    let yaml = fenced(page).into_iter().filter(|block| block.language == "yaml");
    yaml.filter_map(|Fenced { place, text, .. }| kind_of(&text).map(|kind| Block { place, kind, text })).collect()
}

/// A block between fences.
struct Fenced {
    /// Page and line.
    place: String,
    /// What stands behind the fence.
    language: String,
    text: String,
}

/// All blocks of a page. Those within lists are indented.
fn fenced(page: &Path) -> Vec<Fenced> {
    let text = fs::read_to_string(page).unwrap();
    let page = page.strip_prefix(root()).unwrap().display().to_string();
    let mut found = Vec::new();
    let mut open: Option<(usize, Fenced)> = None;
    for (index, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        match &mut open {
            None => {
                if let Some(language) = bare.strip_prefix("```") {
                    let place = format!("{page}:{}", index + 1);
                    open = Some((
                        line.len() - bare.len(),
                        Fenced { place, language: language.to_owned(), text: String::new() },
                    ));
                }
            }
            Some(_) if bare == "```" => found.extend(open.take().map(|(_, block)| block)),
            Some((indent, block)) => {
                block.text.push_str(line.get(*indent..).unwrap_or_default());
                block.text.push('\n');
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

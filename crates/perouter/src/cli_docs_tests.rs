//! Every `perouter` command that the documentation, the units and the scripts of the package show is one that can be typed.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Markdown below a folder.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { pages(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
}

/// The commands of a page, each with its place: lines of `sh` blocks, and what follows `$ ` in others. A block may be indented.
fn commands(page: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(page).unwrap();
    let mut fence: Option<(usize, bool)> = None;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        match fence {
            None if bare.starts_with("```") => fence = Some((line.len() - bare.len(), bare == "```sh")),
            None => {}
            Some(_) if bare == "```" => fence = None,
            Some((indent, shell)) => {
                let line = line.get(indent..).unwrap_or_default();
                if let Some(command) = if shell { Some(line) } else { line.strip_prefix("$ ") } {
                    found.push((format!("{}:{}", page.display(), number + 1), command.to_owned()));
                }
            }
        }
    }
    found
}

/// The words of each `perouter` call in a line of shell: quotes are understood, whatever ends a call ends it.
fn calls(line: &str) -> Vec<Vec<String>> {
    let mut calls = vec![Vec::new()];
    let (mut word, mut quote) = (None::<String>, None);
    let end = |word: &mut Option<String>, calls: &mut Vec<Vec<String>>| {
        if let (Some(word), Some(call)) = (word.take(), calls.last_mut()) {
            call.push(word);
        }
    };
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '|' | ';' | '&' | '>' | '<' | '(' | ')') => {
                end(&mut word, &mut calls);
                calls.push(Vec::new());
            }
            (None, c) if c.is_whitespace() => end(&mut word, &mut calls),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    end(&mut word, &mut calls);
    calls.retain(|call| call.first().is_some_and(|program| program == "perouter" || program.ends_with("/perouter")));
    calls
}

#[test]
fn every_command_of_the_documentation_can_be_typed() {
    let mut pages = pages(&root().join("docs"));
    pages.push(root().join("README.md"));
    let mut seen = 0;
    for (place, line) in pages.iter().flat_map(|page| commands(page)) {
        for call in calls(&line) {
            seen += 1;
            // Values in capitals stand for a value of the reader's, which every argument takes as it takes a name.
            if let Err(error) = Cli::try_parse_from(&call) {
                assert!(error.exit_code() == 0, "{place}: {line}\n{error}");
            }
        }
    }
    assert!(seen > 40, "only {seen} commands were found: are they still in blocks?");
}

#[test]
fn calls_are_found_as_a_shell_finds_them() {
    let words = |line: &str| calls(line).into_iter().map(|call| call.join("|")).collect::<Vec<_>>();
    assert_eq!(words("perouter -o json status | jq .problems"), ["perouter|-o|json|status"]);
    assert_eq!(
        words("systemctl stop x && perouter clear a --message 'new optics' # why"),
        ["perouter|clear|a|--message|new optics"]
    );
    assert_eq!(
        words("target/debug/perouter lab down; perouter status >/dev/null"),
        ["target/debug/perouter|lab|down", "perouter|status"]
    );
    assert!(words("journalctl -u perouter").is_empty());
}

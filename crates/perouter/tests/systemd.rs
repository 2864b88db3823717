//! The units in packaging/systemd: systemd understands them, and what they run exists.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failing unwrap is a failing test; what cannot be checked is named

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the units expect the program.
const INSTALLED: &str = "/usr/local/bin/perouter";
const UNITS: [&str; 3] = ["perouter.service", "perouter-netns.service", "perouter-drain.service"];

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd")
}

/// The values of a key, in all units.
fn values(key: &str) -> Vec<String> {
    let texts = UNITS.map(|unit| fs::read_to_string(units().join(unit)).unwrap());
    let lines = texts.iter().flat_map(|text| text.lines());
    lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned).collect()
}

/// With the program where it is here, since systemd looks for it.
#[test]
fn systemd_understands_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let files = UNITS.map(|unit| {
        let text = fs::read_to_string(units().join(unit)).unwrap();
        assert!(text.contains(INSTALLED), "{unit}");
        let file = dir.path().join(unit);
        fs::write(&file, text.replace(INSTALLED, env!("CARGO_BIN_EXE_perouter"))).unwrap();
        file
    });
    match Command::new("systemd-analyze").arg("verify").args(&files).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "{said}");
        }
        // What the units run is checked below in any case.
        Err(error) if error.kind() == ErrorKind::NotFound => println!("systemd-analyze is not installed"),
        Err(error) => panic!("systemd-analyze: {error}"),
    }
}

#[test]
fn every_command_of_ours_is_one_that_the_program_has() {
    let commands: Vec<_> =
        ["ExecStartPre", "ExecStart", "ExecStop", "ExecReload"].into_iter().flat_map(values).collect();
    let ours: Vec<_> =
        commands.iter().filter_map(|line| line.trim_start_matches('-').strip_prefix(INSTALLED)).collect();
    assert_eq!(ours.len(), 4, "{commands:?}");
    for line in ours {
        // Options are read up to --help, so that wrong ones fail.
        // A text in quotes is one argument, and the last one.
        let (plain, text) = line.split_once('"').unwrap_or((line, ""));
        let text = text.strip_suffix('"').unwrap_or(text);
        let args: Vec<&str> = plain.split_whitespace().chain((!text.is_empty()).then_some(text)).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_perouter")).args(&args).arg("--help").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(&format!("perouter {}", args[0])), "{args:?}: {said}");
    }
}

/// Only the shutdown of the node drains: a stop, a restart and an upgrade of the router do not reach the unit that does.
#[test]
fn nothing_but_a_shutdown_stops_the_unit_that_drains() {
    let text = fs::read_to_string(units().join("perouter-drain.service")).unwrap();
    for tie in ["PartOf", "BindsTo", "Requires", "Requisite", "PropagatesStopTo", "DefaultDependencies"] {
        assert!(!text.lines().any(|line| line.starts_with(&format!("{tie}="))), "{tie}");
    }
    assert!(text.contains("\nAfter=perouter.service\n"), "stopped before the router is");
    assert!(text.contains("\nRemainAfterExit=yes\n"), "there to be stopped");
}

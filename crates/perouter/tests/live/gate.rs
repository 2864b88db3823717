//! The script that the start waits for.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::site::{Site, UNDERLAY};
use crate::support::wait_until;

#[test]
fn nothing_is_touched_until_the_script_allows_it() {
    let site = Site::new();
    site.write("a", UNDERLAY);
    let script = site.path("can_start.sh");
    let flag = site.path("flag");
    let text = format!("#!/bin/sh\ntest -e {} || {{ echo 'no flag yet' >&2; exit 7; }}\n", flag.display());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();

    let run = site.run_with("run.log", &["--can-start", &script.display().to_string()]);
    let mut said = String::new();
    wait_until("status says what it waits for", || {
        let answer = site.ask(&["status"]);
        said = answer.text;
        answer.code == Some(1)
            && said.contains("waiting to start")
            // Before that it may be busy: whoever is started at the same time has it open for a moment.
            && said.contains("exit status: 7: no flag yet")
    });
    assert!(site.link(&site.node, "eth1"), "the NIC is still the host's");
    assert!(!fs::exists(format!("/var/run/netns/{}", site.router)).unwrap());

    fs::write(flag, "").unwrap();
    wait_until("the NIC is taken", || !site.link(&site.node, "eth1"));
    assert_eq!(run.log().matches("no flag yet").count(), 1, "{}", run.log());
    let problems = site.ask(&["-o", "json", "status"]).json()["problems"].to_string();
    assert!(!problems.contains("waiting"), "{problems}");
    run.stop();
}

#[test]
fn a_daemon_that_waits_can_be_stopped() {
    let site = Site::new();
    let run = site.run_with("run.log", &["--can-start", "/bin/false"]);
    wait_until("it waits", || run.log().contains("waiting to start"));
    run.stop();
    assert!(!site.path("run-state/perouter.sock").exists());
}

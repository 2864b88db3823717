//! `perouter plan`: what would change, and that nothing does.

use std::fs;
use std::time::{Duration, Instant};

use crate::site::{PASSTHROUGH, Site, UNDERLAY};
use crate::support::{ip, wait_until};

#[test]
fn a_plan_names_what_would_change_and_changes_nothing() {
    let site = Site::new();
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    let folder = site.path("configs").display().to_string();
    let node = site.path("node-config.yaml").display().to_string();

    // Nobody runs: everything would be made, and nothing is.
    // Index and name: the state of a fresh veth pair settles by itself.
    let links = || {
        let all = ip(&format!("-n {} -o link", site.node));
        all.lines().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let before = links();
    let without = ["plan", "--config-dir", &folder, "--node-config", &node, "--namespace", &site.router.0];
    let answer = site.ask(&without);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    for word in ["no daemon runs", "eth1", "pt-host", "192.168.11.2"] {
        assert!(answer.text.contains(word), "no `{word}` in {answer:?}");
    }
    assert!(!fs::exists(format!("/var/run/netns/{}", site.router)).unwrap());
    assert!(!site.path("run-state").exists());
    assert_eq!(links(), before);

    let (_leaf, _host, run) = (site.leaf(), site.host(), site.run("run.log"));
    wait_until("a packet goes there and back", || site.ping());
    let nothing = || {
        let answer = site.ask(&["plan"]);
        answer.code == Some(0) && answer.text.starts_with("nothing would change")
    };
    wait_until("nothing would change", nothing);

    // Another folder: only the session whose hold time is another one would be reset.
    let other = site.path("other");
    fs::create_dir(&other).unwrap();
    let changed =
        UNDERLAY.replace("connectTime", "holdTimeSeconds: 30\n        keepaliveTimeSeconds: 10\n        connectTime");
    fs::write(other.join("openpe_a.yaml"), format!("{changed}{PASSTHROUGH}")).unwrap();
    let plan = site.ask(&["-o", "json", "plan", "--config-dir", &other.display().to_string()]).json();
    assert_eq!(plan["resets"].as_array().unwrap().len(), 1, "{plan:#}");
    assert!(plan["bgp"][0]["text"].as_str().unwrap().contains("192.168.11.2"), "{plan:#}");
    assert!(plan["kernel"].as_array().unwrap().is_empty(), "{plan:#}");

    // A file that is wrong would change nothing, and that is not fine.
    fs::write(other.join("openpe_a.yaml"), "underlays: 7\n").unwrap();
    let answer = site.ask(&["plan", "--config-dir", &other.display().to_string()]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.text.contains("rejected") && answer.text.contains("nothing would change"), "{answer:?}");

    // No files at all: the NIC would go back.
    fs::remove_file(other.join("openpe_a.yaml")).unwrap();
    let answer = site.ask(&["plan", "--config-dir", &other.display().to_string()]);
    assert!(answer.text.contains("give NIC eth1 back") && answer.text.contains("removed"), "{answer:?}");

    // What a stranger took away would be put back: it is, at once, so there is nothing to plan again.
    assert!(nothing());
    let peers = site.ask(&["-o", "json", "peers"]).json();
    assert!(peers.as_array().unwrap().iter().all(|peer| peer["flaps"] == 0), "{peers:#}");
    run.stop();
}

#[test]
fn case_128_and_133_a_burst_of_writes_is_read_once_and_the_same_again_tells_nothing() {
    let site = Site::new();
    site.write("a", UNDERLAY);
    let run = site.run("run.log");
    let reads = || run.log().matches("reading the configuration").count();
    wait_until("the NIC is taken", || run.log().contains("move NIC eth1") && reads() == 1);
    // Case 128: five writes, 40 ms apart.
    let (mut pauses, mut written) = (0, Instant::now());
    for _ in 0..5 {
        site.write("a", UNDERLAY);
        pauses += usize::from(written.elapsed() > Duration::from_millis(400));
        written = Instant::now();
        std::thread::sleep(Duration::from_millis(40));
    }
    // Once; once more for each pause that this test itself was made to take.
    let mut last = (reads(), Instant::now());
    wait_until("they are read, and nothing is any more", || {
        if last.0 != reads() {
            last = (reads(), Instant::now());
        }
        last.0 >= 2 && last.1.elapsed() > Duration::from_secs(1)
    });
    let before_signal = last.0;
    assert!(before_signal <= 2 + pauses, "{pauses} pauses: {}", run.log());
    let events = || site.ask(&["-o", "json", "status"]).json()["events"].as_array().unwrap().len();
    let before = events();
    // Case 133.
    run.signal("-HUP");
    wait_until("it is read again", || reads() > before_signal);
    assert_eq!(reads(), before_signal + 1, "{}", run.log());
    assert_eq!(run.log().matches(": applied").count(), 1, "{}", run.log());
    // Sessions tell of their attempts; objects do not.
    assert!(events() >= before);
    run.stop();
}

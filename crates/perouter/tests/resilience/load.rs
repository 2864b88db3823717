//! The machine is not at the router's disposal: processors taken by others, the process stopped, the clock set.

use std::fs;

use rustix::process::{Pid, Signal};
use testbed::{Daemon, find_program, ip};

use crate::fabric::{flaps, healthy, peers};
use crate::harness::{Plan, SOME, Site};
use crate::journal::Since;
use crate::liveness::{Interval, Verdict, watched};

/// Processes that each want a whole processor.
const BUSY: usize = 16;
/// Where Debian's package `libfaketime` has it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

const PEERS: [(Daemon, Daemon); 2] = [(Daemon::Frr, Daemon::Bird), (Daemon::Bird, Daemon::Frr)];

#[test]
fn others_take_all_processors() {
    for (leaf, host) in PEERS {
        let site = watched(Plan::new(&[leaf], host), Interval(300), Verdict::Plain).start();
        let real_time = real_time_threads(site.router);
        assert_eq!(real_time, ["bfd"], "the thread that must not be late");
        let lab = &site.net.lab;
        // What is tried is the router: its peers get their processors.
        for peer in site.leaves.iter().chain([&site.host]) {
            [peer.pid(), peer.bfd_pid()].into_iter().for_each(prefer);
        }
        let (since, before) = (Since::now(site.node()), flaps(site.node()));
        let watch = site.watch();
        let log = lab.dir().join("busy.log");
        let shell = find_program("sh").unwrap();
        let busy = || lab.spawn(&site.node().ns, &shell, &["-c", "while :; do :; done"], &log).unwrap();
        let busy: Vec<u32> = (0..BUSY).map(|_| busy()).collect();
        watch.sends(10_000);
        for pid in busy {
            lab.end(pid, Signal::KILL, crate::fabric::PATIENCE).unwrap();
        }
        watch.passes(SOME);
        // FRR may begin with a second connection, which ends the first.
        assert_eq!(flaps(site.node()), before, "{:#?}", since.told());
        let down = since.told().into_iter().find(|text| text.contains("BFD"));
        assert_eq!(down, None, "BFD stays up");
        watch.nothing_lost(
            &format!("{BUSY} busy processes for 10 s, BFD 3 x 300 ms"),
            "no session of BGP or BFD is lost; the BFD thread is a real-time one",
        );
    }
}

/// Has a process run before ordinary ones.
fn prefer(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    rustix::process::setpriority_process(pid, -20).unwrap();
}

/// Names of the threads of a process that the kernel schedules as real-time ones.
fn real_time_threads(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|task| task.unwrap().path());
    let real_time = tasks.filter(|task| {
        let stat = fs::read_to_string(task.join("stat")).unwrap();
        // proc(5): rt_priority is the 40th field, and the name in parentheses is the second.
        let after_name = stat.rsplit_once(')').unwrap().1;
        after_name.split_whitespace().nth(37).unwrap() != "0"
    });
    real_time.map(|task| fs::read_to_string(task.join("comm")).unwrap().trim().to_owned()).collect()
}

#[test]
fn it_is_stopped_for_two_seconds() {
    for (leaf, host) in PEERS {
        let site = Plan::new(&[leaf], host).start();
        let before = flaps(site.node());
        let watch = site.watch();
        stop(&site, || watch.sends(2000));
        watch.passes(SOME);
        // Whoever had given up would do so within the hold time.
        watch.sends(9000);
        assert_eq!(flaps(site.node()), before);
        watch.nothing_lost("SIGSTOP for 2 s, hold time 9 s", "no session is lost");
    }
}

#[test]
fn it_is_stopped_for_longer_than_bfd_waits() {
    for (leaf, host) in PEERS {
        let site = watched(Plan::new(&[leaf], host), Interval(50), Verdict::Plain).start();
        let since = Since::now(site.node());
        let watch = site.watch();
        stop(&site, || watch.sends(2000));
        let down = since.says("BFD");
        site.works();
        watch.passes(SOME);
        assert!(peers(site.node()).iter().all(|peer| peer["bfd"]["local"]["state"] == "up"), "{down:?}");
        assert!(flaps(site.node()) >= 4, "every session is lost: {:#?}", since.told());
        watch.row("SIGSTOP for 2 s, BFD 3 x 50 ms", "every session goes down, and is up again by itself").report();
    }
}

fn stop(site: &Site, meanwhile: impl FnOnce()) {
    site.net.lab.signal(site.router, Signal::STOP).unwrap();
    meanwhile();
    site.net.lab.signal(site.router, Signal::CONT).unwrap();
}

/// The wall clock is the router's alone: the machine's must not be set, and a namespace cannot have one of its own.
#[test]
fn the_wall_clock_jumps() {
    let mut site = watched(Plan::new(&[Daemon::Frr], Daemon::Bird), Interval(300), Verdict::Plain).start();
    site.stop(Signal::TERM);
    let offset = site.net.lab.dir().join("clock");
    let set = |offset_text: &str| fs::write(&offset, offset_text).unwrap();
    set("+0");
    let (file, perouter) =
        (offset.to_string_lossy().into_owned(), site.net.lab.perouter().to_string_lossy().into_owned());
    let settings = ["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"];
    let (library, file) = (format!("LD_PRELOAD={FAKETIME}"), format!("FAKETIME_TIMESTAMP_FILE={file}"));
    let env = find_program("env").unwrap();
    let words = [&[env.to_str().unwrap(), &library, &file], &settings[..], &[&perouter]].concat();
    site.router = site.node().start_router_by(&words).unwrap();
    site.works();

    let before = flaps(site.node());
    let watch = site.watch();
    let today = year(&site, 1400);
    set("+3650d");
    assert_eq!(year(&site, 1390), today + 10, "the router sees the jump");
    watch.sends(4000);
    set("-3650d");
    assert_eq!(year(&site, 1380), today - 10, "the router sees the jump back");
    watch.sends(10_000);
    assert_eq!(flaps(site.node()), before);
    let uptime = site.node().ask_json(&["status"]).unwrap()["uptime_seconds"].as_u64().unwrap();
    assert!((1..3600).contains(&uptime), "up for {uptime} s");
    healthy(site.node());
    watch.nothing_lost(
        "the wall clock jumps ten years ahead, then twenty back",
        "no session of BGP (hold time 9 s) or BFD (3 x 300 ms) is lost",
    );
}

/// The year in which the router repairs an MTU that was changed by hand.
fn year(site: &Site, mtu: u32) -> i32 {
    let since = Since::now(site.node());
    ip::change(&site.node().router_ns, &["link", "set", "pt-ns", "mtu", &mtu.to_string()]).unwrap();
    let told = since.says("set the MTU of pt-ns");
    told.at.split_once('-').unwrap().0.parse().unwrap()
}

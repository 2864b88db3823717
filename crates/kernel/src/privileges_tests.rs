//! Each on a thread of its own: privileges are a thread's.

use std::fs;
use std::thread;

use super::*;

/// A line of the calling thread's status.
fn status(key: &str) -> String {
    let text = fs::read_to_string("/proc/thread-self/status").unwrap();
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t").map(str::to_owned)).unwrap()
}

fn set(key: &str) -> CapabilitySet {
    CapabilitySet::from_bits_retain(u64::from_str_radix(&status(key), 16).unwrap())
}

#[test]
fn a_thread_and_its_children_are_left_with_what_a_router_needs() {
    let check = || {
        assert!(KEPT.contains(set("CapEff")), "{}", status("CapEff"));
        assert_eq!(set("CapEff"), set("CapPrm"));
        assert!(set("CapInh").is_empty() && set("CapAmb").is_empty());
        assert_eq!((status("NoNewPrivs").as_str(), status("Seccomp").as_str()), ("1", "2"));
    };
    thread::spawn(move || {
        let before = set("CapPrm");
        reduce(Namespaces::Ours).unwrap();
        assert_eq!(set("CapEff"), before & KEPT, "nothing of it is lost");
        check();
        thread::spawn(check).join().unwrap();
        // What it starts cannot have more, as root neither.
        let child = std::process::Command::new("cat").arg("/proc/self/status").output().unwrap();
        let text = String::from_utf8(child.stdout).unwrap();
        let effective = text.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
        assert!(KEPT.contains(CapabilitySet::from_bits_retain(u64::from_str_radix(effective, 16).unwrap())), "{text}");
    })
    .join()
    .unwrap();
}

#[test]
fn what_no_router_calls_is_refused_and_namespaces_only_where_others_make_them() {
    for (namespaces, made) in [(Namespaces::Ours, true), (Namespaces::Others, false)] {
        thread::spawn(move || {
            reduce(namespaces).unwrap();
            assert_eq!(rustix::process::chroot("/").unwrap_err(), Errno::PERM);
            if rustix::process::geteuid().is_root() {
                assert_eq!(sys::unshare_network().is_ok(), made);
            }
        })
        .join()
        .unwrap();
    }
}

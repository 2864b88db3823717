//! Namespaces, veths and `ip` for tests.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kernel::netns::Namespace;

/// Waits for a condition, up to a minute.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < end, "did not happen: {what}");
        std::thread::yield_now();
    }
}

/// A namespace without a name.
pub(crate) fn namespace() -> Namespace {
    Namespace::create().expect("namespaces can be made (these tests need root)")
}

/// A name for a namespace that nobody else uses; its binding goes away with the guard.
pub(crate) struct Name(pub(crate) String);

impl Name {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        Self(format!("kernel-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = Namespace::unbind(&self.0);
    }
}

/// Runs a program inside and returns what it prints; panics when it fails.
pub(crate) fn run(ns: &Namespace, program: &'static str, arguments: &str) -> String {
    let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
    let shown = format!("{program} {}", arguments.join(" "));
    let output = ns
        .run(move || Command::new(program).args(arguments).output())
        .expect("threads can enter namespaces")
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    assert!(output.status.success(), "{shown}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `ip` inside.
pub(crate) fn ip(ns: &Namespace, arguments: &str) -> String {
    run(ns, "ip", arguments)
}

/// Two namespaces joined by a veth `va` -- `vb`, both up, 10.0.0.1/24 -- 10.0.0.2/24 and fd00::1/64 -- fd00::2/64.
pub(crate) struct Pair {
    pub(crate) left: Namespace,
    pub(crate) right: Namespace,
    /// Index of `va`.
    pub(crate) link: u32,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let (left, right) = (namespace(), namespace());
        for ns in [&left, &right] {
            // Nobody else has these addresses, and what is not there yet would come in the middle of a test.
            let wanted = ns.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0"));
            wanted.expect("threads can enter namespaces").expect("a setting of the namespace");
        }
        ip(&left, "link add va type veth peer name vb");
        move_link(&left, "vb", &right);
        ip(&left, "address add 10.0.0.1/24 dev va");
        ip(&left, "address add fd00::1/64 dev va nodad");
        ip(&right, "address add 10.0.0.2/24 dev vb");
        ip(&right, "address add fd00::2/64 dev vb nodad");
        ip(&left, "link set va up");
        ip(&right, "link set vb up");
        let link = index(&left, "va");
        let pair = Self { left, right, link };
        // Not the carrier alone: the kernel makes routes and addresses of it a moment later.
        for (ns, link) in [(&pair.left, "va"), (&pair.right, "vb")] {
            eventually("the link is usable", || {
                let seen = ip(ns, &format!("address show dev {link}"));
                seen.contains("state UP") && seen.contains("inet6 fe80:") && !seen.contains("tentative")
            });
        }
        pair
    }
}

/// Index of a link.
pub(crate) fn index(ns: &Namespace, name: &str) -> u32 {
    let links = kernel::monitor::links(ns).expect("links can be listed");
    links.iter().find(|link| link.name == name).unwrap_or_else(|| panic!("no link {name}")).index
}

/// Moves a link from one namespace to another with iproute2, which wants a name or a pid for the target.
pub(crate) fn move_link(from: &Namespace, link: &str, to: &Namespace) {
    let mut child = to
        .run(|| Command::new("sleep").arg("60").spawn())
        .expect("threads can enter namespaces")
        .expect("sleep can be started");
    let link = link.to_owned();
    let pid = child.id();
    let moved = from.run(move || {
        Command::new("ip").args(["link", "set", &link, "netns", &pid.to_string()]).status().is_ok_and(|s| s.success())
    });
    child.kill().expect("our own child");
    child.wait().expect("our own child");
    assert!(moved.expect("threads can enter namespaces"), "link moved");
}

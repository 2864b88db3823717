//! Namespaces and processes that go away with the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn command(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap_or_else(|error| panic!("cannot start {program}: {error}"))
}

/// `ip ARGS`, which must succeed.
pub(crate) fn ip(args: &str) -> String {
    let output = command("ip", &args.split(' ').collect::<Vec<_>>());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {args}: {error} (these tests need root)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Routes of the main table, both families.
pub(crate) fn routes(namespace: &str) -> String {
    format!("{}{}", ip(&format!("-n {namespace} route")), ip(&format!("-n {namespace} -6 route")))
}

/// Whether there is a route to exactly this prefix.
pub(crate) fn has(namespace: &str, prefix: &str) -> bool {
    routes(namespace).lines().any(|line| line.split(' ').next() == Some(prefix))
}

/// A network namespace with a unique name, removed when dropped.
pub(crate) struct Namespace(pub(crate) String);

impl Namespace {
    /// Makes one, with `lo` up.
    pub(crate) fn new(what: &str) -> Self {
        let namespace = Self::name(what);
        ip(&format!("netns add {}", namespace.0));
        ip(&format!("-n {} link set lo up", namespace.0));
        namespace
    }

    /// A name for one that somebody else makes.
    pub(crate) fn name(what: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self(format!("pet-{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
    }
}

impl std::fmt::Display for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        command("ip", &["netns", "delete", &self.0]);
    }
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// `perouter --state-dir STATE ARGS` in a namespace, to its end.
pub(crate) fn perouter(namespace: &Namespace, state: &Path, args: &[&str]) -> Answer {
    let output = Command::new("nsenter")
        .arg(format!("--net=/var/run/netns/{namespace}"))
        .arg(env!("CARGO_BIN_EXE_perouter"))
        .arg("--state-dir")
        .arg(state)
        .args(args)
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Answer { code: output.status.code(), text }
}

/// A running perouter, killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `perouter ARGS` with the network of `namespace`. Not with `ip netns exec`, in whose mount namespace a
    /// daemon that makes network namespaces could not name them for all.
    pub(crate) fn start(namespace: &Namespace, log: &Path, args: &[&Path]) -> Self {
        let child = Command::new("nsenter")
            .arg(format!("--net=/var/run/netns/{namespace}"))
            .arg(env!("CARGO_BIN_EXE_perouter"))
            .args(args)
            .stdout(Stdio::null())
            .stderr(File::create(log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log: log.to_owned() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn signal(&self, signal: &str) {
        assert!(command("kill", &[signal, &self.id().to_string()]).status.success());
    }

    /// As SIGKILL does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) {
        self.signal("-TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Waits until it ends by itself, in order.
    pub(crate) fn end(mut self) {
        let mut status = None;
        wait_until("the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{}", self.log());
    }

    /// Waits until it gives up by itself, and returns what it said.
    pub(crate) fn refusal(mut self) -> String {
        let mut status = None;
        wait_until("the daemon gives up", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(!status.unwrap().success());
        self.log()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), self.log());
        }
    }
}

//! A real Kubernetes for tests: started from a kit of programs, asked with `kubectl`, gone when dropped.
//!
//! The kit is the directory that the environment variable `PEROUTER_KUBE_KIT` names: one with `kube-up` and `kube-down`,
//! which know three modes ([`Mode`]), or one as Kubernetes' own envtest lays it out (`etcd` and `kube-apiserver`), which
//! serves as an API server only (`envtest`). Its files are unpacked once, below `/tmp/perouter-kube`, unless
//! `KUBE_CACHE` names another place.
//!
//! What a killed test leaves is taken down by the next one: each directory's name says which process made it.

mod envtest;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::process::{Output, find_program};
use crate::record::Started;
use crate::{LabError, Result};

/// Name of the variable that names the kit.
pub const KIT: &str = "PEROUTER_KUBE_KIT";
const ROOT: &str = "/tmp/perouter-kube";

/// How much of a Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// An API server: definitions with CEL, server-side apply, webhooks. Everybody may do everything.
    Api,
    /// An older API server with RBAC, and the controllers.
    Control,
    /// The same and a node that runs pods. Needs root.
    Node,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Control => "control",
            Self::Node => "node",
        }
    }
}

/// A running one.
#[derive(Debug)]
pub struct Kube {
    dir: PathBuf,
    kind: Kind,
    facts: BTreeMap<String, String>,
}

#[derive(Debug)]
enum Kind {
    Kit(PathBuf),
    Envtest(envtest::Servers),
}

/// Those that several tests of a process use at a time.
static SHARED: Mutex<Vec<(&'static str, Weak<Kube>)>> = Mutex::new(Vec::new());

impl Kube {
    /// Starts one.
    ///
    /// # Errors
    /// When there is no kit, or what it said when it did not start.
    pub fn start(mode: Mode) -> Result<Self> {
        Self::start_from(&kit()?, mode)
    }

    /// Starts one from this kit.
    ///
    /// # Errors
    /// What the kit said.
    pub fn start_from(kit: &Path, mode: Mode) -> Result<Self> {
        sweep(kit);
        let dir = directory(mode)?;
        if !kit.join("kube-up").is_file() {
            if mode != Mode::Api {
                let (kit, mode) = (kit.display(), mode.word());
                return Err(LabError::new(format!(
                    "{kit} has no kube-up: it serves as an API server only, not as {mode}"
                )));
            }
            let servers = envtest::Servers::start(kit, &dir)?;
            return Ok(Self { dir, kind: Kind::Envtest(servers), facts: BTreeMap::new() });
        }
        let cache = env::var_os("KUBE_CACHE").map_or_else(|| Path::new(ROOT).join("cache"), PathBuf::from);
        let output = Command::new(kit.join("kube-up"))
            .arg(mode.word())
            .arg(&dir)
            .env("KUBE_CACHE", cache)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| LabError::new(format!("{}/kube-up cannot be run: {error}", kit.display())))?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            return Err(LabError::new(format!("kube-up {} failed: {}", mode.word(), error.trim())));
        }
        let facts = said.lines().filter_map(|line| line.split_once('='));
        let facts = facts.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { dir, kind: Kind::Kit(kit.to_owned()), facts })
    }

    /// One that all tests of this process share that run at the same time; the last one takes it down.
    ///
    /// # Errors
    /// Those of [`Kube::start`].
    pub fn shared(mode: Mode) -> Result<Arc<Self>> {
        // Held while one starts: the others wait for it.
        let mut all = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let running = all.iter().find(|(word, _)| *word == mode.word()).and_then(|(_, weak)| weak.upgrade());
        if let Some(kube) = running {
            return Ok(kube);
        }
        let kube = Arc::new(Self::start(mode)?);
        all.retain(|(word, _)| *word != mode.word());
        all.push((mode.word(), Arc::downgrade(&kube)));
        Ok(kube)
    }

    /// Directory of its files: `log/`, and `pki/` with the authority that it trusts.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// Network namespace of the node of [`Mode::Node`].
    ///
    /// # Errors
    /// When there is no node.
    pub fn node_namespace(&self) -> Result<&str> {
        self.fact("KUBE_NETNS")
    }

    /// Puts an image, an OCI or docker archive, on the node of [`Mode::Node`].
    ///
    /// # Errors
    /// What containerd said.
    pub fn import_image(&self, archive: &Path) -> Result<()> {
        let address = self.fact("CONTAINERD_ADDRESS")?;
        let archive = archive.to_string_lossy();
        let args = ["-a", address, "-n", "k8s.io", "images", "import", &archive];
        crate::process::run_ok(None, "ctr", &args).map(drop)
    }

    fn fact(&self, name: &str) -> Result<&str> {
        let found = self.facts.get(name).map(String::as_str);
        found.ok_or_else(|| LabError::new(format!("this Kubernetes has no {name}: it has no node")))
    }

    /// `kubectl ARGS` as the administrator.
    ///
    /// # Errors
    /// When kubectl cannot be run; what it answers is not an error here.
    pub fn kubectl(&self, args: &[&str]) -> Result<Output> {
        self.kubectl_as(&self.kubeconfig(), args, "")
    }

    /// `kubectl ARGS` with another kubeconfig, given a text.
    ///
    /// # Errors
    /// As [`Kube::kubectl`].
    pub fn kubectl_as(&self, kubeconfig: &Path, args: &[&str], input: &str) -> Result<Output> {
        let Some(program) = find_program("kubectl") else {
            return Err(LabError::new("kubectl is missing: run `scripts/install-kube`"));
        };
        let explain = |error| LabError::new(format!("kubectl cannot be run: {error}"));
        let mut child = Command::new(program)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            // Its cache of what the server serves must not be another server's.
            .arg("--cache-dir")
            .arg(self.dir.join("log/kubectl"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(explain)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A kubectl that does not read its input says so by its exit code.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().map_err(explain)?;
        Ok(Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// As [`Kube::kubectl`], of which the answer must be good.
    ///
    /// # Errors
    /// What kubectl said.
    pub fn ask(&self, args: &[&str]) -> Result<String> {
        good(args, self.kubectl(args)?)
    }

    /// `kubectl apply` of a text.
    ///
    /// # Errors
    /// What kubectl said.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        let args = ["apply", "-f", "-"];
        good(&args, self.kubectl_as(&self.kubeconfig(), &args, yaml)?)
    }
}

impl Drop for Kube {
    fn drop(&mut self) {
        match &mut self.kind {
            Kind::Kit(kit) => take_down(kit, &self.dir),
            Kind::Envtest(servers) => servers.stop(),
        }
        if !std::thread::panicking() {
            // Logs are kept for a look at what failed.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

fn good(args: &[&str], output: Output) -> Result<String> {
    if output.ok() {
        return Ok(output.stdout);
    }
    Err(LabError::new(format!("kubectl {}: {}", args.join(" "), output.stderr.trim())))
}

fn kit() -> Result<PathBuf> {
    let Some(kit) = env::var_os(KIT) else {
        return Err(LabError::new(format!(
            "{KIT} is not set: it names the directory of a Kubernetes for tests (README)"
        )));
    };
    fs::canonicalize(&kit).map_err(|error| {
        let kit = Path::new(&kit).display();
        LabError::new(format!("{KIT} names {kit}, which cannot be used: {error}"))
    })
}

/// A new one, whose name holds who made it.
fn directory(mode: Mode) -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let me = Started::now(std::process::id()).map_or(0, |started| started.since);
    let name = format!("{}-{}-{}-{me}", mode.word(), NEXT.fetch_add(1, Ordering::Relaxed), std::process::id());
    let dir = Path::new(ROOT).join(name);
    fs::create_dir_all(&dir).map_err(|error| LabError::new(format!("{} cannot be made: {error}", dir.display())))?;
    Ok(dir)
}

/// Takes down what processes left that are gone.
fn sweep(kit: &Path) {
    for entry in fs::read_dir(ROOT).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let numbers: Vec<u64> = name.rsplit('-').map_while(|part| part.parse().ok()).collect();
        let [since, pid, ..] = numbers[..] else { continue };
        let owner = u32::try_from(pid).ok().and_then(Started::now);
        if owner.is_none_or(|owner| owner.since != since) {
            envtest::sweep(&entry.path());
            take_down(kit, &entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn take_down(kit: &Path, dir: &Path) {
    if dir.join(".kube-kit").exists() {
        let down = Command::new(kit.join("kube-down")).arg(dir).env("KUBE_GRACE", "3").stdin(Stdio::null()).output();
        if let Ok(output) = down
            && !output.status.success()
        {
            warn(&String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// Said where a person who runs the tests sees it; a drop has no other way.
#[allow(clippy::print_stderr)]
fn warn(text: &str) {
    eprintln!("a Kubernetes of the tests was not taken down: {}", text.trim());
}

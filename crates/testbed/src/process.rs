//! Programs: where they are, what they say, and how one is started inside a namespace.
//!
//! A program enters a namespace through `nsenter --net`, which only changes the network: mounts made inside
//! (another namespace's name, for instance) stay visible outside, unlike with `ip netns exec`. `nsenter` then
//! becomes the program, so the pid that we know is the pid of the program.

use std::env;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{LabError, Result};

/// Directories where daemons live that are in nobody's PATH.
const DAEMON_DIRS: [&str; 6] =
    ["/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/lib/frr", "/usr/libexec/frr", "/usr/local/bin"];

/// Where a program is: PATH first, then the places of system daemons.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(DAEMON_DIRS.iter().map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Whether this process may build namespaces, as far as its user decides that.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What a program that ended said.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Exit code 0.
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }
}

/// Runs a program to its end, in namespace `ns` or where we are. An exit code other than 0 is not an error here.
pub fn run(ns: Option<&str>, program: impl AsRef<Path>, args: &[&str]) -> Result<Output> {
    let program = program.as_ref();
    let output = command(ns, program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| LabError::new(format!("{} cannot be run: {e}", program.display())))?;
    Ok(Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// As [`run`], but an exit code other than 0 is an error that carries what the program said.
pub(crate) fn run_ok(ns: Option<&str>, program: impl AsRef<Path>, args: &[&str]) -> Result<String> {
    let program = program.as_ref();
    let output = run(ns, program, args)?;
    if output.ok() {
        return Ok(output.stdout);
    }
    let said = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
    let inside = ns.map(|ns| format!(" in namespace {ns}")).unwrap_or_default();
    Err(LabError::new(format!("{} {}{inside}: {}", program.display(), args.join(" "), said.trim())))
}

/// Runs `ip`.
pub(crate) fn ip(args: &[&str]) -> Result<String> {
    let Some(program) = find_program("ip") else {
        return Err(LabError::new("the program `ip` is missing: install it with `apt-get install iproute2`"));
    };
    run_ok(None, program, args)
}

/// Starts a program that stays; what it says goes to `log`. It gets a process group of its own, so that a
/// Ctrl-C meant for us does not end it before we do.
pub(crate) fn start(ns: &str, program: &Path, args: &[&str], log: &Path) -> Result<Child> {
    let explain = |e| LabError::new(format!("{} cannot be started: {e}", program.display()));
    let out = OpenOptions::new().create(true).append(true).open(log).map_err(explain)?;
    let err = out.try_clone().map_err(explain)?;
    command(Some(ns), program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
        .map_err(explain)
}

fn command(ns: Option<&str>, program: &Path) -> Command {
    let Some(ns) = ns else {
        return Command::new(program);
    };
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/var/run/netns/{ns}")).arg("--").arg(program);
    command
}

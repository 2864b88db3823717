//! A lab: namespaces, links between them, processes in them; all of it gone when the lab is dropped.
//!
//! Owns what it made and removes it in `Drop`, also while a test panics. Every object is recorded before it is
//! used ([`crate::record`]), so what a killed process leaves is removed by the next lab.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use rustix::process::{Pid, Signal, kill_process};

use crate::process;
use crate::record::{self, Record, Started};
use crate::{LabError, Result, traffic};

/// One end of a link.
#[derive(Clone, Debug)]
pub struct End<'a> {
    /// Namespace.
    pub ns: &'a str,
    /// Name of the link there.
    pub name: &'a str,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
}

/// A lab. Clones share it; the last one to go removes everything.
#[derive(Clone, Debug)]
pub struct Lab {
    inner: Arc<Inner>,
}

/// A handle for those who may have to remove a lab that others use.
#[derive(Clone, Debug)]
pub struct WeakLab(Weak<Inner>);

impl WeakLab {
    /// The lab, while somebody holds it.
    pub fn upgrade(&self) -> Option<Lab> {
        self.0.upgrade().map(|inner| Lab { inner })
    }
}

#[derive(Debug)]
struct Inner {
    id: String,
    dir: PathBuf,
    perouter: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    record: Record,
    children: Vec<Child>,
    removed: bool,
}

/// The child with this number that was started last: in a long run numbers are given again.
fn latest(children: &mut [Child], pid: u32) -> Option<&mut Child> {
    children.iter_mut().rev().find(|child| child.id() == pid)
}

impl Lab {
    /// An empty lab. `perouter` is the binary that plays the router, and any peer that is to be perouter itself.
    /// Needs root and iproute2.
    pub fn new(perouter: &Path) -> Result<Self> {
        if !process::is_root() {
            return Err(LabError::new("labs are made of network namespaces, which needs root: run this as root"));
        }
        process::ip(&["-V"])?;
        record::sweep_orphans();
        let (id, dir) = fresh_directory()?;
        let record = Record {
            dir: dir.clone(),
            owner: Started::now(std::process::id()),
            kept: false,
            namespaces: Vec::new(),
            processes: Vec::new(),
        };
        record.save()?;
        let state = Mutex::new(State { record, children: Vec::new(), removed: false });
        Ok(Self { inner: Arc::new(Inner { id, dir, perouter: perouter.to_owned(), state }) })
    }

    /// A handle that does not keep the lab up.
    pub fn downgrade(&self) -> WeakLab {
        WeakLab(Arc::downgrade(&self.inner))
    }

    /// Short name that no other lab on this machine has.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Directory for the lab's files; daemons under other users may walk through it.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// The binary under test.
    pub fn perouter(&self) -> &Path {
        &self.inner.perouter
    }

    /// Reserves the name of a namespace that somebody else will make; it is removed with the lab.
    pub fn reserve_namespace(&self, part: &str) -> Result<String> {
        let name = format!("{}-{part}", self.inner.id);
        let mut state = self.inner.lock();
        state.record.namespaces.push(name.clone());
        state.record.save()?;
        Ok(name)
    }

    /// Makes a namespace with `lo` up and returns its name. Link-local addresses in it are usable at once (no duplicate
    /// address detection): while FRR has none on a link, it may lose a session or leave a route unusable for good.
    pub fn namespace(&self, part: &str) -> Result<String> {
        const AT_ONCE: [(&str, &str); 2] = [("ipv6/conf/all/accept_dad", "0"), ("ipv6/conf/default/accept_dad", "0")];
        let name = self.reserve_namespace(part)?;
        process::ip(&["netns", "add", &name])?;
        self.sysctls(&name, &AT_ONCE)?;
        process::ip(&["-n", &name, "link", "set", "lo", "up"])?;
        Ok(name)
    }

    /// Joins two namespaces by a veth pair, up and with addresses that are usable at once (no duplicate
    /// address detection).
    ///
    /// The ends have different numbers: the kernel tells at once that such a veth has lost its carrier, and within a second
    /// when both have the same one, as the first links of two new namespaces have (`net/core/link_watch.c`).
    pub fn link(&self, a: &End<'_>, b: &End<'_>, mtu: u32) -> Result<()> {
        static NUMBER: AtomicU32 = AtomicU32::new(1000);
        let (mtu, number) = (mtu.to_string(), NUMBER.fetch_add(1, Ordering::Relaxed).to_string());
        process::ip(&[
            "link", "add", a.name, "index", &number, "mtu", &mtu, "netns", a.ns, "type", "veth", "peer", "name",
            b.name, "mtu", &mtu, "netns", b.ns,
        ])?;
        raise(a)?;
        raise(b)
    }

    /// Makes a bridge in a namespace, up and with addresses. Without ports it is a link that leads nowhere.
    pub fn bridge(&self, end: &End<'_>, mtu: u32) -> Result<()> {
        process::ip(&["-n", end.ns, "link", "add", end.name, "mtu", &mtu.to_string(), "type", "bridge"])?;
        raise(end)
    }

    /// Makes a namespace forward packets of others, as routers do.
    pub fn forwards(&self, ns: &str) -> Result<()> {
        self.sysctls(ns, &[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])
    }

    /// Writes sysctls of a namespace: paths below `net`, with what they get.
    pub fn sysctls(&self, ns: &str, settings: &'static [(&str, &str)]) -> Result<()> {
        // The files are those of the thread's namespace.
        let write = move || {
            settings.iter().find_map(|(key, value)| {
                let error = fs::write(format!("/proc/sys/net/{key}"), value).err()?;
                Some(format!("net/{key} cannot be set to {value}: {error}"))
            })
        };
        let failed =
            traffic::open(ns)?.run(write).map_err(|e| LabError::new(format!("{ns} cannot be entered: {e}")))?;
        failed.map_or(Ok(()), |why| Err(LabError::new(format!("{ns}: {why}"))))
    }

    /// Gives `lo` of a namespace an address, standing for a network that is reached through it.
    pub fn loopback_address(&self, ns: &str, address: IpNet) -> Result<()> {
        add_address(ns, "lo", address)
    }

    /// Adds a route by hand, for speakers that install none.
    pub fn add_route(&self, ns: &str, prefix: IpNet, via: IpAddr) -> Result<()> {
        process::ip(&["-n", ns, "route", "replace", &prefix.to_string(), "via", &via.to_string()]).map(drop)
    }

    /// Starts a program in a namespace; it ends with the lab. What it says goes to `log`, which a failing
    /// [`Lab::wait_until`] shows. Returns its pid.
    pub fn spawn(&self, ns: &str, program: &Path, args: &[&str], log: &Path) -> Result<u32> {
        let mut state = self.inner.lock();
        let child = process::start(ns, program, args, log)?;
        let pid = child.id();
        state.children.push(child);
        state.record.processes.extend(Started::now(pid));
        state.record.save()?;
        Ok(pid)
    }

    /// Sends a signal to a program that [`Lab::spawn`] started.
    pub fn signal(&self, pid: u32, signal: Signal) -> Result<()> {
        let mut state = self.inner.lock();
        let ours = latest(&mut state.children, pid).is_some_and(|c| matches!(c.try_wait(), Ok(None)));
        match i32::try_from(pid).ok().and_then(Pid::from_raw) {
            Some(raw) if ours => {
                kill_process(raw, signal).map_err(|e| LabError::new(format!("process {pid} cannot be signalled: {e}")))
            }
            _ => Err(LabError::new(format!("process {pid} has ended already"))),
        }
    }

    /// How a program ended; `None` while it runs.
    pub fn exit_status(&self, pid: u32) -> Option<ExitStatus> {
        latest(&mut self.inner.lock().children, pid).and_then(|c| c.try_wait().ok().flatten())
    }

    /// Sends a signal and waits until the program has ended.
    pub fn end(&self, pid: u32, signal: Signal, patience: Duration) -> Result<ExitStatus> {
        self.signal(pid, signal)?;
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.exit_status(pid) {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(LabError::new(format!("process {pid} has not ended {patience:?} after {signal:?}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Leaves the lab up when it is dropped; [`crate::remove_all`] removes it.
    pub fn keep(&self) -> Result<()> {
        let mut state = self.inner.lock();
        state.record.kept = true;
        state.record.save()
    }

    /// Removes everything at once, kept or not. Later calls and `Drop` then find nothing to do.
    pub fn remove(&self) -> Result<()> {
        let errors = self.inner.lock().remove();
        if errors.is_empty() {
            return Ok(());
        }
        Err(LabError::new(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
    }

    /// Namespaces of the lab, in the order they were made.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        self.inner.lock().record.namespaces.clone()
    }
}

impl Inner {
    /// A panic while the lock was held leaves lists that are still right: each step is recorded when it is done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self) -> Vec<LabError> {
        if self.removed {
            return Vec::new();
        }
        self.removed = true;
        let children = &mut self.children;
        self.record.remove(&mut || children.retain_mut(|c| matches!(c.try_wait(), Ok(None))))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !state.record.kept {
            // There is nobody to tell; what could not be removed stays in the record for the next lab.
            state.remove();
        }
    }
}

fn raise(end: &End<'_>) -> Result<()> {
    for address in &end.addresses {
        add_address(end.ns, end.name, *address)?;
    }
    process::ip(&["-n", end.ns, "link", "set", end.name, "up"]).map(drop)
}

fn add_address(ns: &str, link: &str, address: IpNet) -> Result<()> {
    let text = address.to_string();
    let mut args = vec!["-n", ns, "address", "add", &text, "dev", link];
    if matches!(address, IpNet::V6(_)) {
        args.push("nodad");
    }
    process::ip(&args).map(drop)
}

/// A directory that did not exist before, and its name, which becomes the name of the lab.
fn fresh_directory() -> Result<(String, PathBuf)> {
    let explain = |e: std::io::Error| LabError::new(format!("{} cannot be made: {e}", record::ROOT));
    fs::create_dir_all(record::ROOT).map_err(explain)?;
    let mut seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_micros())
        ^ std::process::id().wrapping_mul(0x9e37);
    loop {
        let id = format!("pe{:04x}", seed & 0xffff);
        let dir = Path::new(record::ROOT).join(&id);
        match fs::create_dir(&dir) {
            Ok(()) => return Ok((id, dir)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => seed = seed.wrapping_add(1),
            Err(e) => return Err(explain(e)),
        }
    }
}

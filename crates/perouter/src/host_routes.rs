//! The thread that keeps the host's own table: carries the engine's batches there and brings the answers back.
//!
//! Owns: `kernel::host_table::HostRoutes`, opened at the first batch, and a note of the table in the state directory,
//! so that a later process finds what this one made although nobody tells it of that table any more.
//! Is told: [`Command`]s; the owner sends a batch only when the last one was answered. Emits: one [`Event::HostAck`]
//! per batch, and [`Event::HostLost`] when the kernel could not be talked to or routes are missing.
//! Does not: remember routes, or notice that something happened to them (`run` does, and says `HostLost` or asks for a
//! check).
//!
//! **After `HostLost`** the table is read before anything is told again, so that routes which are there cost nothing.
//! The engine has forgotten what it told: what nobody asked for when everything is told again is removed then. Not
//! before the engine's first sweep, though: until then these are the routes of an earlier process.

mod note;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use engine::fib::HostBatch;
use engine::{Event, Level};
use kernel::host_table::{HostRoutes, HostTable};
use kernel::netns::Namespace;
use tokio::sync::mpsc;

use crate::speaker::connection::words;
use crate::status::Status;

/// One batch, and changes of the table.
const COMMANDS: usize = 16;
/// Waits after failures to talk to the kernel, doubling in between.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The host, for the routes in it.
#[derive(Clone, Debug)]
pub(crate) struct HostSide {
    /// The namespace of the table.
    pub(crate) namespace: Namespace,
    /// Folder of the note.
    pub(crate) state_dir: PathBuf,
}

/// Removes the routes of the last daemon from the host's table, and its note. Returns whether there was one.
///
/// # Errors
/// When the kernel cannot be asked or the note cannot be removed.
pub(crate) fn clear(host: &HostSide) -> io::Result<bool> {
    let Some(table) = note::read(&host.state_dir) else { return Ok(false) };
    HostRoutes::open(&host.namespace, table)?.clear()?;
    note::write(&host.state_dir, None)?;
    Ok(true)
}

enum Command {
    /// The batch, and whether the table is to be read before.
    Apply(HostBatch, bool),
    /// Everything was told again. Whether the table is to be read before.
    Settle(bool),
    Check,
    Table(Option<HostTable>),
}

/// The owner's end.
#[derive(Debug)]
pub(crate) struct HostThread {
    commands: SyncSender<Command>,
    /// A check is on its way: one is enough.
    checking: Arc<AtomicBool>,
}

impl HostThread {
    /// Starts the thread; answers go to `events`.
    pub(crate) fn start(host: HostSide, status: Status, events: mpsc::Sender<Event>) -> io::Result<Self> {
        let (commands, queue) = sync_channel(COMMANDS);
        let checking = Arc::new(AtomicBool::new(false));
        let mut worker = Worker {
            host,
            status,
            events,
            checking: Arc::clone(&checking),
            table: None,
            routes: None,
            swept: false,
            wait: FIRST_WAIT,
            told: None,
        };
        thread::Builder::new().name("host-routes".into()).spawn(move || worker.run(&queue))?;
        Ok(Self { commands, checking })
    }

    /// Has a batch carried out. Only when the previous one was answered. `fresh`: it is the first after
    /// [`Event::HostLost`].
    pub(crate) fn apply(&self, batch: HostBatch, fresh: bool) {
        self.send(Command::Apply(batch, fresh));
    }

    /// Everything was told again after [`Event::HostLost`]; `fresh`: there was nothing to tell.
    pub(crate) fn settle(&self, fresh: bool) {
        self.send(Command::Settle(fresh));
    }

    /// Has the table compared with what should be there; [`Event::HostLost`] when it differs.
    pub(crate) fn check(&self) {
        if !self.checking.swap(true, Ordering::AcqRel) {
            self.send(Command::Check);
        }
    }

    /// From here on this is the table; the routes in the one before it are removed. `None`: no routes at all.
    pub(crate) fn set_table(&self, table: Option<HostTable>) {
        self.send(Command::Table(table));
    }

    fn send(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            tracing::error!("the thread of the host's routes has ended or is stuck; they are not kept current");
        }
    }
}

struct Worker {
    host: HostSide,
    status: Status,
    events: mpsc::Sender<Event>,
    checking: Arc<AtomicBool>,
    table: Option<HostTable>,
    routes: Option<HostRoutes>,
    /// The engine has asked for a sweep at least once.
    swept: bool,
    wait: Duration,
    /// The failure that was last told, so that a lasting one is told once.
    told: Option<String>,
}

impl Worker {
    fn run(&mut self, queue: &Receiver<Command>) {
        while let Ok(command) = queue.recv() {
            let events = match command {
                Command::Apply(batch, fresh) => {
                    self.reopen(fresh);
                    self.apply(&batch)
                }
                Command::Settle(fresh) => {
                    self.reopen(fresh);
                    self.settle()
                }
                Command::Check => {
                    self.checking.store(false, Ordering::Release);
                    self.check()
                }
                Command::Table(table) => {
                    self.set_table(table);
                    Vec::new()
                }
            };
            for event in events {
                if self.events.blocking_send(event).is_err() {
                    return;
                }
            }
        }
    }

    fn apply(&mut self, batch: &HostBatch) -> Vec<Event> {
        let id = batch.id;
        match self.carry_out(batch) {
            Ok(failed) => {
                self.wait = FIRST_WAIT;
                self.told = None;
                vec![Event::HostAck { id, failed }]
            }
            Err(error) => {
                let reason = words(&error);
                let lost = self.lost(&error);
                let wanted = batch.routes.iter().filter(|(_, present)| *present);
                let failed = wanted.map(|(prefix, _)| (*prefix, reason.clone())).collect();
                vec![Event::HostAck { id, failed }, lost]
            }
        }
    }

    /// What the table is believed to hold is read anew.
    fn reopen(&mut self, fresh: bool) {
        if fresh {
            self.routes = None;
        }
    }

    fn settle(&mut self) -> Vec<Event> {
        if !self.swept {
            return Vec::new();
        }
        match self.open().and_then(|routes| routes.map_or(Ok(()), HostRoutes::sweep)) {
            Ok(()) => Vec::new(),
            Err(error) => vec![self.lost(&error)],
        }
    }

    fn check(&mut self) -> Vec<Event> {
        // What was never opened holds nothing that could be missing.
        match self.routes.as_mut().map_or(Ok(true), HostRoutes::intact) {
            Ok(true) => Vec::new(),
            Ok(false) => vec![Event::HostLost],
            Err(error) => vec![self.lost(&error)],
        }
    }

    /// The kernel could not be talked to: what the table holds is unknown.
    fn lost(&mut self, error: &io::Error) -> Event {
        self.failed(&format!("cannot keep the host's routing table: {}", words(error)));
        self.routes = None;
        Event::HostLost
    }

    /// The table as it was read; `None` when there is none to keep.
    fn open(&mut self) -> io::Result<Option<&mut HostRoutes>> {
        // Batches of a moment ago may still be on their way when the option was removed.
        let Some(table) = &self.table else { return Ok(None) };
        Ok(Some(match &mut self.routes {
            Some(routes) => routes,
            empty @ None => empty.insert(HostRoutes::open(&self.host.namespace, table.clone())?),
        }))
    }

    fn carry_out(&mut self, batch: &HostBatch) -> io::Result<Vec<(ipnet::IpNet, String)>> {
        // Also when it fails: what it was to remove is removed when everything has been told again.
        self.swept |= batch.sweep;
        let Some(routes) = self.open()? else { return Ok(Vec::new()) };
        let failed = routes.apply(&batch.routes)?;
        if batch.sweep {
            routes.sweep()?;
        }
        Ok(failed)
    }

    fn set_table(&mut self, table: Option<HostTable>) {
        let noted = self.table.take().or_else(|| note::read(&self.host.state_dir));
        if let Some(old) = noted.filter(|old| table.as_ref() != Some(old)) {
            let cleared = match self.routes.take() {
                Some(mut routes) => routes.clear(),
                None => HostRoutes::open(&self.host.namespace, old).and_then(|mut routes| routes.clear()),
            };
            if let Err(error) = cleared {
                self.failed(&format!("cannot remove our routes from the host's table: {}", words(&error)));
            }
        }
        if let Err(error) = note::write(&self.host.state_dir, table.as_ref()) {
            let text = format!("cannot note the host's table in {}: {}", self.host.state_dir.display(), words(&error));
            self.status.note(Level::Warn, None, text);
        }
        self.table = table;
    }

    /// Tells a failure once and waits, longer each time: the engine sends everything again at once.
    fn failed(&mut self, text: &str) {
        if self.told.as_deref() != Some(text) {
            self.status.note(Level::Warn, None, text.to_owned());
            self.told = Some(text.to_owned());
        }
        thread::sleep(self.wait);
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
    }
}

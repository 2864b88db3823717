//! The FIB thread: carries the engine's batches to the kernel and brings the answers back.
//!
//! Owns: `kernel::fib::Fib`, opened with the first connection: what the kernel has is read while the session comes up.
//! Is told: [`Command`]s, batches among them as the engine makes them. Emits: one
//! [`Event::FibAck`] per batch, and [`Event::FibLost`] when the kernel could not be talked to.
//! Does not: remember routes. A plain thread, because netlink blocks; it ends when the owner drops its end.
//!
//! A few routes are set by the owner itself, in a few microseconds each: to wake a thread, and to be woken by it, costs more
//! than they do. Then the owner waits with them for the kernel's lock (RTNL), which others may hold for long. Who had to wait
//! leaves everything to the thread for ten times as long, and for longer each time, up to a minute; sessions with hold times of
//! a few seconds would not survive one such wait after the other. BFD has a thread of its own and waits for nobody.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use engine::fib::{FibBatch, GroupChange, GroupId};
use engine::{Event, Level};
use kernel::fib::{Batch, Fib, Hop, Outcome};
use kernel::netns::Namespace;
use tokio::sync::{mpsc, oneshot};

use crate::restart::Forwarding;
use crate::speaker::connection::words;
use crate::status::Status;

/// The opening, two batches, a clear before, between and behind them, and one at the end; one more costs nothing.
const COMMANDS: usize = 8;
/// Waits after failures to talk to the kernel, doubling in between.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Most routes that the owner sets itself.
const FEW: usize = 32;
/// The longest that this may take. After it took longer the thread does it: for so many times as long, or twice as long as the last
/// time if that was just before, but not longer than that.
const SLOW: Duration = Duration::from_millis(2);
const SLOW_TIMES: u32 = 10;
const SLOW_FOR: Duration = Duration::from_secs(60);

enum Command {
    Open,
    /// A batch, and the epoch in which the engine made it.
    Apply(FibBatch, u64),
    Clear(oneshot::Sender<()>),
}

/// The owner's end.
pub(crate) struct FibThread {
    commands: SyncSender<Command>,
    epoch: Epoch,
    /// The latest epoch that the engine was told of: its batches are made in that one.
    made_in: u64,
    worker: Arc<Mutex<Worker>>,
    /// The thread was told that there will be batches.
    prepared: bool,
    /// It was told to clear the kernel, and has got nothing since that would have to be cleared.
    cleared: bool,
    /// The kernel is slow so long.
    slow_until: Option<Instant>,
    /// For how long that was said; zero when it was fast since.
    slow_for: Duration,
}

impl FibThread {
    /// Starts the thread; answers go to `events`. `forwarding` is where it is noted that routes were installed.
    pub(crate) fn start(
        namespace: Namespace,
        forwarding: Option<Forwarding>,
        status: Status,
        events: mpsc::Sender<Event>,
    ) -> io::Result<Self> {
        let (commands, queue) = sync_channel(COMMANDS);
        let epoch = Epoch::default();
        let worker = Worker::new(namespace, forwarding, status, events, epoch.clone());
        let worker = Arc::new(Mutex::new(worker));
        let of_thread = Arc::clone(&worker);
        thread::Builder::new().name("fib".into()).spawn(move || run(&of_thread, &queue))?;
        Ok(Self {
            commands,
            epoch,
            made_in: 0,
            worker,
            prepared: false,
            cleared: false,
            slow_until: None,
            slow_for: Duration::ZERO,
        })
    }

    /// Has the kernel's state read, once, before there is a batch that waits for it.
    pub(crate) fn prepare(&mut self) {
        // Whether or not there is room: the first batch has the same effect.
        if !std::mem::replace(&mut self.prepared, true) {
            let _ = self.commands.try_send(Command::Open);
        }
    }

    /// Has a batch carried out, behind the earlier ones.
    pub(crate) fn apply(&mut self, batch: FibBatch) {
        self.cleared = false;
        if self.commands.try_send(Command::Apply(batch, self.made_in)).is_err() {
            tracing::error!("the FIB thread has ended; routes do not reach the kernel");
        }
    }

    /// Carries a batch out, if it is a small one, and returns its answer. Only when all earlier ones were answered. `None`: it is
    /// for [`Self::apply`]; if it was tried here, the thread is told what failed. `begun` is just now: what it takes is counted from
    /// there.
    pub(crate) fn at_once(&mut self, begun: Instant, batch: &FibBatch) -> Option<Event> {
        let is_small = batch.routes.len() <= FEW && batch.groups.is_empty() && !batch.sweep;
        if !is_small {
            return None;
        }
        if self.slow_until.is_some_and(|until| begun < until) {
            return None;
        }
        let mut worker = self.worker.try_lock().ok()?;
        if [worker.opened, self.made_in] != [self.epoch.now(); 2] {
            return None;
        }
        self.cleared = false;
        worker.used = true;
        let result = worker.fib.as_mut()?.apply(&convert(batch));
        let took = begun.elapsed();
        if took > SLOW {
            self.slow_for = (took * SLOW_TIMES).max(self.slow_for * 2).min(SLOW_FOR);
            self.slow_until = Some(begun + took + self.slow_for);
        } else {
            self.slow_for = Duration::ZERO;
        }
        match result {
            Ok(outcome) => Some(answer(batch.id, outcome)),
            Err(error) => {
                worker.lost = Some(words(&error));
                None
            }
        }
    }

    /// The kernel was lost: its state is read again before the next batch, and batches that were not begun are not carried out.
    pub(crate) fn reopen(&mut self) {
        self.made_in = self.epoch.end();
    }

    /// Removes every route of ours from the kernel, before any later batch.
    pub(crate) fn clear_soon(&mut self) {
        // However often that is wanted while the thread waits for a kernel that does not answer, there is room for batches.
        if self.cleared {
            return;
        }
        let (done, _) = oneshot::channel();
        self.cleared = self.commands.try_send(Command::Clear(done)).is_ok();
        if !self.cleared {
            tracing::error!("the FIB thread does not answer; our routes stay in the kernel");
        }
    }

    /// Removes every route of ours from the kernel.
    pub(crate) async fn clear(&self) {
        let (done, answer) = oneshot::channel();
        if self.commands.try_send(Command::Clear(done)).is_ok() {
            let _ = answer.await;
        }
    }
}

/// Counts how often the kernel was lost. Batches are made for the kernel as it was known in one epoch.
#[derive(Clone, Debug, Default)]
struct Epoch(Arc<AtomicU64>);

impl Epoch {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Ends it, and returns the next one.
    fn end(&self) -> u64 {
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }
}

struct Worker {
    namespace: Namespace,
    forwarding: Option<Forwarding>,
    status: Status,
    events: mpsc::Sender<Event>,
    epoch: Epoch,
    fib: Option<Fib>,
    /// In which epoch it was opened.
    opened: u64,
    /// There was a batch.
    used: bool,
    wait: Duration,
    /// The failure that was last told, so that a lasting one is told once.
    told: Option<String>,
    /// Why the owner could not talk to the kernel just now, about the batch that comes next.
    lost: Option<String>,
}

fn run(worker: &Mutex<Worker>, queue: &Receiver<Command>) {
    // Of all that have to do with a route this takes longest. Where that is not possible, it is as if it had not been tried.
    let _ = kernel::priority::answer_soon();
    while let Ok(command) = queue.recv() {
        let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
        match command {
            // What fails now fails again with the first batch, which says so.
            Command::Open => {
                let epoch = worker.epoch.now();
                drop(worker.open(epoch));
            }
            Command::Apply(batch, epoch) => {
                let (told, events) = (worker.apply(batch, epoch), worker.events.clone());
                // Whoever hears the answer finds the worker free.
                drop(worker);
                for event in told {
                    if events.blocking_send(event).is_err() {
                        break;
                    }
                }
            }
            Command::Clear(done) => {
                worker.clear();
                let _ = done.send(());
            }
        }
    }
}

impl Worker {
    fn new(
        namespace: Namespace,
        forwarding: Option<Forwarding>,
        status: Status,
        events: mpsc::Sender<Event>,
        epoch: Epoch,
    ) -> Self {
        Self {
            namespace,
            forwarding,
            status,
            events,
            epoch,
            fib: None,
            opened: 0,
            used: false,
            wait: FIRST_WAIT,
            told: None,
            lost: None,
        }
    }

    fn apply(&mut self, batch: FibBatch, epoch: u64) -> Vec<Event> {
        if let Some(reason) = self.lost.take() {
            return self.give_up(&batch, &reason);
        }
        if epoch != self.epoch.now() {
            // It counts on groups that may be gone. Whoever made it hears before this answer that the kernel was lost.
            return vec![answer(batch.id, Outcome::default())];
        }
        self.used = true;
        let id = batch.id;
        let work = convert(&batch);
        if let Some(forwarding) = self.forwarding.as_ref().filter(|_| !work.set_groups.is_empty()) {
            forwarding.installed();
        }
        let result = self.open(epoch).and_then(|fib| fib.apply(&work));
        match result {
            Ok(outcome) => {
                self.wait = FIRST_WAIT;
                self.told = None;
                vec![answer(id, outcome)]
            }
            Err(error) => self.give_up(&batch, &words(&error)),
        }
    }

    /// The kernel could not be talked to: what it has is read again before the next batch that the engine makes, of everything.
    fn give_up(&mut self, batch: &FibBatch, reason: &str) -> Vec<Event> {
        self.failed(reason);
        // One that waits already is not carried out.
        self.epoch.end();
        vec![refused(batch, reason), Event::FibLost]
    }

    /// The kernel's table as it was first seen in this epoch.
    fn open(&mut self, epoch: u64) -> io::Result<&mut Fib> {
        if std::mem::replace(&mut self.opened, epoch) != epoch {
            self.fib = None;
        }
        match &mut self.fib {
            Some(fib) => Ok(fib),
            empty @ None => Ok(empty.insert(Fib::open(&self.namespace)?)),
        }
    }

    fn clear(&mut self) {
        // Without a batch what is there is somebody else's.
        if !self.used {
            return;
        }
        let epoch = self.epoch.now();
        if let Err(error) = self.open(epoch).and_then(Fib::clear) {
            // What is left is seen again, and swept, when there is a batch again.
            self.fib = None;
            self.failed(&format!("removing our routes: {}", words(&error)));
        }
    }

    /// Tells a failure once and waits, longer each time: the engine sends everything again at once.
    fn failed(&mut self, reason: &str) {
        if self.told.as_deref() != Some(reason) {
            let text = format!(
                "cannot program routes into the kernel: {reason}. Trying again; needs root or CAP_NET_ADMIN and a kernel with next-hop objects (5.3)"
            );
            self.status.note(Level::Warn, None::<IpAddr>, text);
            self.told = Some(reason.to_owned());
        }
        thread::sleep(self.wait);
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
    }
}

fn answer(id: u64, outcome: Outcome) -> Event {
    let failed_groups = groups(outcome.failed_groups);
    let degraded_groups = groups(outcome.degraded_groups);
    Event::FibAck { id, failed: outcome.failed_routes, failed_groups, degraded_groups }
}

fn groups(named: Vec<(u32, String)>) -> Vec<(GroupId, String)> {
    named.into_iter().map(|(group, text)| (GroupId(group), text)).collect()
}

fn convert(batch: &FibBatch) -> Batch {
    let mut work = Batch { sweep: batch.sweep, ..Batch::default() };
    for change in &batch.groups {
        match change {
            GroupChange::Set(group, hops) => {
                let hops = hops.iter().map(|hop| Hop { gateway: hop.gateway, link: hop.link }).collect();
                work.set_groups.push((group.0, hops));
            }
            GroupChange::Delete(group) => work.delete_groups.push(group.0),
        }
    }
    work.routes = batch.routes.iter().map(|change| (change.prefix, change.group.map(|group| group.0))).collect();
    work
}

/// The answer to a batch of which nothing is known to have happened.
fn refused(batch: &FibBatch, reason: &str) -> Event {
    let failed = batch.routes.iter().map(|change| (change.prefix, reason.to_owned())).collect();
    Event::FibAck { id: batch.id, failed, failed_groups: Vec::new(), degraded_groups: Vec::new() }
}

#[cfg(test)]
mod tests {
    use engine::fib::RouteChange;

    use super::*;

    fn batch() -> FibBatch {
        let hop = engine::fib::Hop { gateway: IpAddr::from([10, 0, 0, 1]), link: 4 };
        FibBatch {
            id: 7,
            groups: vec![GroupChange::Delete(GroupId(1)), GroupChange::Set(GroupId(2), vec![hop])],
            routes: vec![
                RouteChange { prefix: "10.1.0.0/16".parse().expect("a prefix"), group: Some(GroupId(2)) },
                RouteChange { prefix: "10.2.0.0/16".parse().expect("a prefix"), group: None },
            ],
            sweep: true,
        }
    }

    /// A thread that knows of a loss of which its owner does not know yet, and its answers.
    fn behind() -> (FibThread, mpsc::Receiver<Event>) {
        let (events, answers) = mpsc::channel(1);
        let (namespace, status) = (Namespace::current().expect("a namespace"), Status::new(crate::status::Mode::Speak));
        let thread = FibThread::start(namespace, None, status, events).expect("a thread");
        thread.epoch.end();
        (thread, answers)
    }

    #[test]
    fn a_batch_reaches_the_kernel_whole() {
        let work = convert(&batch());
        assert_eq!(work.set_groups, [(2, vec![Hop { gateway: IpAddr::from([10, 0, 0, 1]), link: 4 }])]);
        assert_eq!(work.delete_groups, [1]);
        assert_eq!(work.routes.iter().map(|(_, group)| *group).collect::<Vec<_>>(), [Some(2), None]);
        assert!(work.sweep);
    }

    /// It may name groups that went with the kernel, and its sweep would take what they held.
    #[test]
    fn a_batch_that_was_not_begun_when_the_kernel_was_lost_is_only_answered() {
        let (events, _) = mpsc::channel(1);
        let epoch = Epoch::default();
        let (namespace, status) = (Namespace::current().expect("a namespace"), Status::new(crate::status::Mode::Speak));
        let mut worker = Worker::new(namespace, None, status, events, epoch.clone());
        epoch.end();
        assert_eq!(worker.apply(batch(), 0), [answer(7, Outcome::default())]);
        assert!(worker.fib.is_none() && !worker.used, "the kernel was not asked for anything");
    }

    /// The thread knows first that the kernel was lost; a batch that is made before the engine knows is one of before.
    #[test]
    fn a_batch_that_was_made_before_the_engine_knew_of_the_loss_is_only_answered() {
        let (mut thread, mut answers) = behind();
        assert_eq!(thread.at_once(Instant::now(), &FibBatch::default()), None);
        thread.apply(batch());
        assert_eq!(answers.blocking_recv(), Some(answer(7, Outcome::default())));
        let worker = thread.worker.lock().expect("it has ended well");
        assert!(worker.fib.is_none() && !worker.used, "the kernel was not asked for anything");
    }

    #[test]
    fn a_batch_gets_through_however_often_the_kernel_was_to_be_cleared_before() {
        let (mut thread, mut answers) = behind();
        let worker = Arc::clone(&thread.worker);
        let busy = worker.lock().expect("it runs");
        (0..3 * COMMANDS).for_each(|_| thread.clear_soon());
        thread.apply(batch());
        drop(busy);
        // A batch that was dropped is waited for in vain then, and not for ever.
        drop((thread, worker));
        assert_eq!(answers.blocking_recv(), Some(answer(7, Outcome::default())));
    }

    #[test]
    fn a_batch_that_could_not_be_sent_counts_as_refused() {
        let refusal = |prefix: &str| (prefix.parse().expect("a prefix"), "Operation not permitted".to_owned());
        let expected = vec![refusal("10.1.0.0/16"), refusal("10.2.0.0/16")];
        let wanted = Event::FibAck { id: 7, failed: expected, failed_groups: Vec::new(), degraded_groups: Vec::new() };
        assert_eq!(refused(&batch(), "Operation not permitted"), wanted);
    }
}

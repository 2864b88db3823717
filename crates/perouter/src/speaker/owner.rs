//! The thread that owns the engine and its connections.
//!
//! Each turn: carry out the engine's actions, hand the FIB thread the batches that there are (or set a few routes itself), write to
//! every connection what the kernel takes; then wait for connections, for the bell of those who send through channels, or for the
//! engine's timer, and deal with at most [`super::poller::READY`] connections, [`PER_TURN`] facts of a kind and one request before
//! the next turn, so that a flood on one connection starves neither output nor the others.
//!
//! Stops: at [`Request::Stop`], once the connections are flushed or [`STOP_LIMIT`] passed. FIB batches are not
//! pulled any more from then on: what the engine withdraws because it stops is not withdrawn from the kernel.

mod connections;

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use engine::{Action, ConnId, Engine, Event, Level, Order};
use kernel::netns::Namespace;
use tokio::sync::{mpsc, oneshot, watch};

use self::connections::Connections;
use super::connection::words;
use super::fact::Fact;
use super::listener::{Complaint, Listeners};
use super::liveness::Watch;
use super::measure::Measured;
use super::neighbors::Neighbors;
use super::poller::Poller;
use super::tap::{Tap, Taps};
use super::{Request, Setup, Whom};
use crate::fib::FibThread;
use crate::host_routes::HostThread;
use crate::restart::Forwarding;
use crate::status::Status;

/// Facts from dials and listeners waiting for the owner; those wait beyond that.
const FACTS: usize = 16;
/// Facts of a kind taken before output is pumped again.
const PER_TURN: usize = 8;
/// Facts from the kernel side (FIB answers).
const KERNEL_FACTS: usize = 8;
/// Longest wait for connections to flush when the speaker stops, and the least that is waited at a time then: what is due and not
/// done any more, such as work on the kernel's routes, stays due.
const STOP_LIMIT: Duration = Duration::from_secs(2);
const STOP_PAUSE: Duration = Duration::from_millis(1);
/// Longest wait for the FIB thread to remove our routes when the speaker stops.
const CLEAR_LIMIT: Duration = Duration::from_secs(30);

pub(super) struct Owner {
    engine: Engine,
    namespace: Namespace,
    status: Status,
    listeners: Listeners,
    fib: FibThread,
    /// Batches that the kernel has not answered.
    fib_batches: usize,
    host: Option<HostThread>,
    host_idle: bool,
    /// The host's routes are told again: to be read before, and swept afterwards.
    host_retelling: Retelling,
    neighbors: Neighbors,
    liveness: Watch,
    measured: Measured,
    taps: Taps,
    connections: Connections,
    quiet: Vec<oneshot::Sender<()>>,
    /// Those who wait for connections that were being closed when they asked.
    closed: Vec<(BTreeSet<ConnId>, oneshot::Sender<()>)>,
    /// Whom a later process is to wait for.
    sessions: watch::Sender<BTreeSet<IpAddr>>,
    stopping: Option<Stopping>,
    poller: Poller,
    /// There may be something in the channels.
    has_mail: bool,
    requests: mpsc::Receiver<Request>,
    facts: mpsc::Receiver<Fact>,
    fact_sender: mpsc::Sender<Fact>,
    kernel: mpsc::Receiver<Event>,
}

/// How far the host's routes are told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retelling {
    No,
    /// Nothing has been told yet.
    Due,
    /// Some have.
    Begun,
}

struct Stopping {
    deadline: Instant,
    clear_fib: bool,
}

/// For the log and for those who look later: sessions do not end by themselves without a trace.
fn in_words(order: &Order) -> String {
    let said = |message: &Option<String>| message.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    match order {
        Order::Reset { message } => format!("an operator resets the session{}", said(message)),
        Order::Shutdown { message } => format!("an operator shuts the session down{}", said(message)),
        Order::RefreshIn => "an operator has it asked for its routes again".to_owned(),
        Order::RefreshOut => "an operator has our routes sent again".to_owned(),
    }
}

/// Notes who has a session, each time that has changed and the last change is noted. Ends with the owner.
async fn note_sessions(mut sessions: watch::Receiver<BTreeSet<IpAddr>>, forwarding: Forwarding) {
    while sessions.changed().await.is_ok() {
        let (peers, forwarding) = (sessions.borrow_and_update().clone(), forwarding.clone());
        let _ = tokio::task::spawn_blocking(move || forwarding.sessions(peers)).await;
    }
}

impl Owner {
    pub(super) fn new(setup: Setup, requests: mpsc::Receiver<Request>) -> io::Result<Self> {
        let Setup { namespace, listeners, first, forwarding, host, status } = setup;
        let (fact_sender, facts) = mpsc::channel(FACTS);
        let (kernel_sender, kernel) = mpsc::channel(KERNEL_FACTS);
        let listeners = Listeners::new(namespace.clone(), listeners, &fact_sender)?;
        let (sessions, noted) = watch::channel(BTreeSet::new());
        if let Some(forwarding) = forwarding.clone() {
            tokio::spawn(note_sessions(noted, forwarding));
        }
        let fib = FibThread::start(namespace.clone(), forwarding, status.clone(), kernel_sender.clone())?;
        let neighbors = Neighbors::new(namespace.clone(), status.clone(), kernel_sender.clone());
        let liveness = Watch::new(namespace.clone(), status.clone());
        let host = host.map(|host| HostThread::start(host, status.clone(), kernel_sender)).transpose()?;
        // Seeded by the system and different in every process, which is all that jitter and hashing need.
        let seed = RandomState::new().build_hasher().finish();
        let engine = Engine::new(seed, Instant::now());
        let mut owner = Self {
            engine,
            namespace,
            status,
            listeners,
            fib,
            fib_batches: 0,
            host,
            host_idle: true,
            host_retelling: Retelling::No,
            neighbors,
            liveness,
            measured: Measured::default(),
            taps: Taps::default(),
            connections: Connections::default(),
            quiet: Vec::new(),
            closed: Vec::new(),
            sessions,
            stopping: None,
            poller: Poller::new()?,
            // Whoever is to ring must be polled once.
            has_mail: true,
            requests,
            facts,
            fact_sender,
            kernel,
        };
        first.into_iter().for_each(|event| owner.tell(event));
        Ok(owner)
    }

    /// Until it is stopped. Must be called inside a tokio runtime.
    pub(super) fn run(&mut self) {
        loop {
            self.pump();
            self.answer_waiting();
            if self.stopped() {
                return;
            }
            self.turn();
        }
    }

    /// What is left to do for others when it has stopped.
    pub(super) async fn end(mut self) {
        self.liveness.stop().await;
        // Nobody takes what the kernel's side says any more, and the FIB thread must not wait for that.
        self.kernel.close();
        if self.stopping.is_some_and(|stopping| stopping.clear_fib)
            && tokio::time::timeout(CLEAR_LIMIT, self.fib.clear()).await.is_err()
        {
            self.status.note(Level::Warn, None, "the kernel did not finish removing our routes in time");
        }
    }

    fn answer_waiting(&mut self) {
        if !self.quiet.is_empty() && self.connections.is_empty() {
            for waiting in self.quiet.drain(..) {
                let _ = waiting.send(());
            }
        }
        if !self.closed.is_empty() {
            let connections = &self.connections;
            let is_over = |closing: &BTreeSet<ConnId>| !closing.iter().any(|conn| connections.is_closing(*conn));
            for (_, waiting) in self.closed.extract_if(.., |(closing, _)| is_over(closing)) {
                let _ = waiting.send(());
            }
        }
    }

    fn stopped(&self) -> bool {
        let Some(stopping) = &self.stopping else {
            return false;
        };
        self.connections.is_empty() || stopping.deadline <= Instant::now()
    }

    /// Waits, and deals with what there is then.
    fn turn(&mut self) {
        let timer = self.engine.poll_timeout().map(|(at, _)| at);
        let stop = self.stopping.as_ref().map(|stopping| stopping.deadline);
        let wake = [timer, stop, self.connections.deadline()].into_iter().flatten().min();
        let least = if self.stopping.is_some() { STOP_PAUSE } else { Duration::ZERO };
        let at_most = if self.has_mail || self.connections.have_output() {
            Some(Duration::ZERO)
        } else {
            wake.map(|at| at.saturating_duration_since(Instant::now()).max(least))
        };
        self.has_mail |= self.poller.wait(at_most);
        let found = Instant::now();
        while let Some(ready) = self.poller.next() {
            self.serve(ready, found);
        }
        // Before questions: what was due when the turn began is in their answers.
        if let Some(wake) = wake {
            self.tick(wake, found);
        }
        if self.has_mail {
            self.has_mail = self.take_mail();
        }
    }

    /// Takes what others have sent, but not so much that connections would wait for long. Returns whether there may be more.
    fn take_mail(&mut self) -> bool {
        self.poller.hear();
        let waker = self.poller.waker();
        let mut context = Context::from_waker(&waker);
        // One, however many there are: what has arrived meanwhile comes first.
        let asked = self.stopping.is_none() && self.take_request(&mut context);
        for _ in 0..PER_TURN {
            let mut idle = true;
            if let Poll::Ready(event) = self.liveness.poll(&mut context) {
                self.tell(event);
                idle = false;
            }
            if let Poll::Ready(Some(event)) = self.kernel.poll_recv(&mut context) {
                self.kernel_fact(event);
                // The kernel is the slowest of all and must not wait for the others' turns.
                self.feed_fib();
                idle = false;
            }
            if let Poll::Ready(Some(fact)) = self.facts.poll_recv(&mut context) {
                self.fact(fact);
                idle = false;
            }
            if idle {
                return asked;
            }
        }
        true
    }

    fn take_request(&mut self, context: &mut Context<'_>) -> bool {
        match self.requests.poll_recv(context) {
            Poll::Ready(Some(request)) => self.request(request),
            // Nobody can stop or ask this speaker any more.
            Poll::Ready(None) => self.stop(false, false),
            Poll::Pending => return false,
        }
        true
    }

    /// Does what was due at `wake`, if that is over.
    fn tick(&mut self, wake: Instant, now: Instant) {
        if wake <= now {
            self.end_overdue(now);
            self.spare_the_unread(now);
            self.engine.handle_timeout(now);
        }
    }

    /// What arrived while this process could not run is as good as read: a peer is silent only when nothing has arrived.
    fn spare_the_unread(&mut self, now: Instant) {
        let unread = |conn: &ConnId| self.connections.is_unread(*conn);
        for conn in self.engine.expiring(now).filter(unread).collect::<Vec<_>>() {
            self.engine.handle(now, Event::Unread { conn });
        }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Snapshot(answer) => drop(answer.send(self.engine.snapshot(Instant::now()))),
            Request::Measured(answer) => {
                let snapshot = self.engine.snapshot(Instant::now());
                self.measured.keep(&snapshot);
                drop(answer.send((snapshot, self.measured.clone())));
            }
            Request::Routes(query, answer) => drop(answer.send(self.engine.routes(&query))),
            Request::Prefixes { family, select, from, look, answer } => {
                drop(answer.send(self.engine.prefixes(family, &select, from, look)));
            }
            Request::RoutesOf(family, select, prefixes, answer) => {
                drop(answer.send(self.engine.routes_of(family, &select, &prefixes)));
            }
            // The thread answers: nobody here waits for it.
            Request::Bfd(answer) => self.liveness.show(answer),
            Request::Order(whom, orders, answer) => drop(answer.send(self.order(&whom, orders))),
            Request::Trace(whom, sender) => self.taps.add(Tap::new(whom, sender)),
            Request::Tell(event) => self.tell(*event),
            Request::HostTable(table) => {
                if let Some(host) = &self.host {
                    host.set_table(table);
                    self.tell(Event::HostLost);
                }
            }
            Request::CheckHostRoutes => self.host.iter().for_each(HostThread::check),
            Request::Quiet(answer) => self.quiet.push(answer),
            Request::Closed(answer) => {
                // The engine's orders to close are among the actions that wait.
                self.actions();
                self.closed.push((self.connections.closing().collect(), answer));
            }
            Request::Stop { graceful, clear_fib } => self.stop(graceful, clear_fib),
        }
    }

    /// Nothing happens between the check and the deed.
    fn order(&mut self, whom: &Whom, orders: Vec<Order>) -> Result<(), String> {
        let (peer, link) = (whom.address, whom.link.as_deref());
        orders.iter().try_for_each(|order| self.engine.may_order(peer, link, order))?;
        for order in orders {
            self.status.note(Level::Info, Some(peer), in_words(&order));
            self.tell(Event::Order { peer, link: whom.link.clone(), order });
        }
        Ok(())
    }

    fn tell(&mut self, event: Event) {
        self.tell_at(Instant::now(), event);
    }

    fn tell_at(&mut self, now: Instant, event: Event) {
        if matches!(event, Event::FibLost) {
            // What the FIB thread believes of the kernel is as stale as what the engine believes.
            self.fib.reopen();
            self.measured.fib.lost += 1;
        }
        if matches!(event, Event::HostLost) {
            self.host_retelling = Retelling::Due;
            self.measured.host.lost += 1;
        }
        if let Event::Intent(intent) = &event
            && let Err(error) = self.neighbors.set_links(intent.unnumbered.keys().cloned().collect())
        {
            let text = format!("cannot look for unnumbered neighbors: {}", words(&error));
            self.status.note(Level::Warn, None, text);
        }
        if let Event::Links(links) = &event {
            let complaints = self.listeners.set_links(links);
            self.complain(complaints);
        }
        self.engine.handle(now, event);
    }

    fn complain(&self, complaints: Vec<Complaint>) {
        for (peer, text) in complaints {
            self.status.note(Level::Warn, peer, text);
        }
    }

    fn kernel_fact(&mut self, event: Event) {
        let now = Instant::now();
        if let Event::FibAck { failed, failed_groups, .. } = &event {
            self.fib_batches -= 1;
            self.measured.fib.end(now, failed.len() + failed_groups.len());
        }
        if let Event::HostAck { failed, .. } = &event {
            self.host_idle = true;
            self.measured.host.end(now, failed.len());
        }
        self.tell_at(now, event);
    }

    fn stop(&mut self, graceful: bool, clear_fib: bool) {
        if self.stopping.is_none() {
            self.stopping = Some(Stopping { deadline: Instant::now() + STOP_LIMIT, clear_fib });
            self.engine.handle(Instant::now(), Event::Shutdown { graceful });
        }
    }

    /// Everything that the engine wants to get out, as far as there is room for it.
    fn pump(&mut self) {
        self.actions();
        self.feed_fib();
        self.transmit();
        // Pulling bytes can lead to actions of its own.
        self.actions();
        if self.host_idle
            && self.stopping.is_none()
            && let Some(host) = &self.host
        {
            let fresh = self.host_retelling == Retelling::Due;
            match self.engine.poll_host_routes() {
                Some(batch) => {
                    self.host_idle = false;
                    if fresh {
                        self.host_retelling = Retelling::Begun;
                    }
                    self.measured.host.begin_host(Instant::now(), &batch);
                    host.apply(batch, fresh);
                }
                None if self.host_retelling != Retelling::No => {
                    self.host_retelling = Retelling::No;
                    host.settle(fresh);
                }
                None => {}
            }
        }
    }

    /// The FIB thread gets the batches that there are for it.
    fn feed_fib(&mut self) {
        while self.stopping.is_none()
            && let Some(batch) = self.engine.poll_fib()
        {
            let now = Instant::now();
            self.measured.fib.begin(now, &batch);
            self.fib_batches += 1;
            // Only what comes behind nothing else can be done here.
            if self.fib_batches == 1
                && let Some(answer) = self.fib.at_once(now, &batch)
            {
                return self.kernel_fact(answer);
            }
            self.fib.apply(batch);
        }
    }

    fn actions(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Dial { conn, dial } => self.dial(conn, dial),
                Action::Transmit(conn) => self.connections.has_bytes(conn),
                Action::Close(conn) => self.close(conn),
                Action::Admit(admissions) => {
                    let complaints = self.listeners.admit(admissions);
                    self.complain(complaints);
                }
                Action::Bfd(peers) => self.liveness.set(peers),
                Action::Sessions(peers) => drop(self.sessions.send(peers)),
                Action::ClearFib => self.fib.clear_soon(),
                Action::Note(note) => self.status.note(note.level, note.peer, note.text),
            }
        }
    }
}

//! The task that owns the engine.
//!
//! Each turn: carry out the engine's actions, hand the FIB thread a batch if it is idle (or set a few routes itself), write to
//! every connection what the kernel takes at once and hand its writer the rest; then wait for a fact, a request or the
//! engine's timer, and take at most [`PER_TURN`] facts before the next turn, so that a flood on one connection starves
//! neither output nor the others.
//!
//! Stops: at [`Request::Stop`], once the connections are flushed or [`STOP_LIMIT`] passed. FIB batches are not
//! pulled any more from then on: what the engine withdraws because it stops is not withdrawn from the kernel.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use engine::{Action, ConnId, Engine, Event, Level, Order};
use kernel::netns::Namespace;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep};

use super::connection::{self, COMMANDS, Command, Fact, IN_FLIGHT, Line};
use super::listener::{Complaint, Listeners};
use super::liveness::Watch;
use super::measure::Measured;
use super::neighbors::Neighbors;
use super::tap::{Tap, Tapped, Way};
use super::{Request, Setup, Whom, dial};
use crate::fib::FibThread;
use crate::host_routes::HostThread;
use crate::restart::Forwarding;
use crate::status::Status;

/// Facts from connections waiting for the owner. Readers wait beyond that, and TCP pushes back.
const FACTS: usize = 16;
/// Facts and notices taken before output is pumped again.
const PER_TURN: usize = 8;
/// "Chunk written" notices; writers wait beyond that.
const WRITTEN: usize = 256;
/// Facts from the kernel side (FIB answers).
const KERNEL_FACTS: usize = 8;
/// Longest wait for connections to flush when the speaker stops.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// Longest wait for the FIB thread to remove our routes when the speaker stops.
const CLEAR_LIMIT: Duration = Duration::from_secs(30);

enum Connection {
    /// Not open yet; aborting the dial is all that closing needs.
    Dialling(AbortHandle),
    Open(Open),
    /// The engine forgot it; its task writes what is left.
    Closing,
}

struct Open {
    /// Gone when its task is over.
    line: Weak<Line>,
    commands: mpsc::Sender<Command>,
    closing: oneshot::Sender<()>,
    in_flight: usize,
}

pub(super) struct Owner {
    engine: Engine,
    namespace: Namespace,
    status: Status,
    listeners: Listeners,
    fib: FibThread,
    fib_idle: bool,
    host: Option<HostThread>,
    host_idle: bool,
    /// The host's routes are told again: to be read before, and swept afterwards.
    host_retelling: Retelling,
    neighbors: Neighbors,
    liveness: Watch,
    measured: Measured,
    taps: Vec<Tap>,
    connections: BTreeMap<ConnId, Connection>,
    /// Connections for which the engine has bytes.
    ready: BTreeSet<ConnId>,
    accepted: u32,
    quiet: Vec<oneshot::Sender<()>>,
    /// Those who wait for connections that were being closed when they asked.
    closed: Vec<(BTreeSet<ConnId>, oneshot::Sender<()>)>,
    /// Whom a later process is to wait for.
    sessions: watch::Sender<BTreeSet<IpAddr>>,
    stopping: Option<Stopping>,
    /// The last turn answered a request.
    asked: bool,
    /// Of [`Self::wait`]: most turns find it set as they want it.
    timer: Pin<Box<Sleep>>,
    requests: mpsc::Receiver<Request>,
    facts: mpsc::Receiver<Fact>,
    fact_sender: mpsc::Sender<Fact>,
    written: mpsc::Receiver<ConnId>,
    written_sender: mpsc::Sender<ConnId>,
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

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

impl Owner {
    pub(super) fn new(setup: Setup, requests: mpsc::Receiver<Request>) -> io::Result<Self> {
        let Setup { namespace, listeners, first, forwarding, host, status } = setup;
        let (fact_sender, facts) = mpsc::channel(FACTS);
        let (written_sender, written) = mpsc::channel(WRITTEN);
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
        let engine = Engine::new(seed, now());
        let mut owner = Self {
            engine,
            namespace,
            status,
            listeners,
            fib,
            fib_idle: true,
            host,
            host_idle: true,
            host_retelling: Retelling::No,
            neighbors,
            liveness,
            measured: Measured::default(),
            taps: Vec::new(),
            connections: BTreeMap::new(),
            ready: BTreeSet::new(),
            accepted: 0,
            quiet: Vec::new(),
            closed: Vec::new(),
            sessions,
            stopping: None,
            asked: false,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            requests,
            facts,
            fact_sender,
            written,
            written_sender,
            kernel,
        };
        first.into_iter().for_each(|event| owner.tell(event));
        Ok(owner)
    }

    pub(super) async fn run(mut self) {
        loop {
            self.pump();
            if std::mem::take(&mut self.asked) {
                // However many questions there are: what has arrived meanwhile comes first.
                tokio::task::yield_now().await;
            }
            if self.connections.is_empty() {
                for waiting in self.quiet.drain(..) {
                    let _ = waiting.send(());
                }
            }
            let connections = &self.connections;
            let is_closing = |conn: &ConnId| matches!(connections.get(conn), Some(Connection::Closing));
            for (_, waiting) in self.closed.extract_if(.., |(closing, _)| !closing.iter().any(is_closing)) {
                let _ = waiting.send(());
            }
            if self.stopped() {
                break;
            }
            self.wait().await;
            self.take_more();
            self.tick();
        }
        self.liveness.stop().await;
        if self.stopping.is_some_and(|stopping| stopping.clear_fib)
            && tokio::time::timeout(CLEAR_LIMIT, self.fib.clear()).await.is_err()
        {
            self.status.note(Level::Warn, None, "the kernel did not finish removing our routes in time");
        }
    }

    fn stopped(&self) -> bool {
        let Some(stopping) = &self.stopping else {
            return false;
        };
        self.connections.is_empty() || stopping.deadline <= Instant::now()
    }

    /// Waits for one thing and handles it.
    async fn wait(&mut self) {
        let timer = self.engine.poll_timeout().map(|(at, _)| Instant::from_std(at));
        let deadline = self.stopping.as_ref().map(|stopping| stopping.deadline);
        let output = self.has_output().then(Instant::now);
        let wake = timer.into_iter().chain(deadline).chain(output).min();
        // A timer would wait for the end of the millisecond, and work that comes in slices for that many of them. At the
        // end there is no such work.
        let due = wake.is_some_and(|at| at <= Instant::now()) && self.stopping.is_none();
        if let Some(at) = wake.filter(|at| !due && *at != self.timer.deadline()) {
            self.timer.as_mut().reset(at);
        }
        let sleep = async {
            match wake {
                Some(_) if due => tokio::task::yield_now().await,
                Some(_) => self.timer.as_mut().await,
                None => std::future::pending().await,
            }
        };
        // In this order: a request is the one thing that `take_more` does not look for, and behind it stands what comes most
        // often. `Owner` keeps a sender of `facts` and `written`, so these never end.
        tokio::select! {
            biased;
            request = self.requests.recv(), if self.stopping.is_none() => {
                self.asked = true;
                match request {
                    Some(request) => self.request(request),
                    // Nobody can stop or ask this speaker any more.
                    None => self.stop(false, false),
                }
            },
            Some(fact) = self.facts.recv() => self.fact(fact),
            Some(event) = self.kernel.recv() => self.kernel_fact(event),
            Some(conn) = self.written.recv() => self.written(conn),
            event = self.liveness.next() => self.tell(event),
            () = sleep => {}
        }
    }

    /// Takes what else is there, but not so much that output would wait for long.
    fn take_more(&mut self) {
        for _ in 0..PER_TURN {
            let mut idle = true;
            if let Some(event) = self.liveness.take() {
                self.tell(event);
                idle = false;
            }
            if let Ok(event) = self.kernel.try_recv() {
                self.kernel_fact(event);
                // The kernel is the slowest of all and must not wait for the others' turns.
                self.feed_fib();
                idle = false;
            }
            if let Ok(conn) = self.written.try_recv() {
                self.written(conn);
                idle = false;
            }
            if let Ok(fact) = self.facts.try_recv() {
                self.fact(fact);
                idle = false;
            }
            if idle {
                return;
            }
        }
    }

    fn tick(&mut self) {
        let now = now();
        if self.engine.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.spare_the_unread(now);
            self.engine.handle_timeout(now);
        }
    }

    /// What arrived while this process could not run is as good as read: a peer is silent only when nothing has arrived.
    fn spare_the_unread(&mut self, now: std::time::Instant) {
        let unread = |conn: &ConnId| match self.connections.get(conn) {
            Some(Connection::Open(open)) => open.line.upgrade().is_some_and(|line| line.is_unread()),
            Some(Connection::Dialling(_) | Connection::Closing) | None => false,
        };
        for conn in self.engine.expiring(now).filter(unread).collect::<Vec<_>>() {
            self.engine.handle(now, Event::Unread { conn });
        }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Snapshot(answer) => drop(answer.send(self.engine.snapshot(now()))),
            Request::Measured(answer) => {
                let snapshot = self.engine.snapshot(now());
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
            Request::Trace(whom, sender) => self.taps.push(Tap::new(whom, sender)),
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
                let closing =
                    |(conn, state): (&ConnId, &Connection)| matches!(state, Connection::Closing).then_some(*conn);
                self.closed.push((self.connections.iter().filter_map(closing).collect(), answer));
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
        if event == Event::FibLost {
            // What the FIB thread believes of the kernel is as stale as what the engine believes.
            self.fib.reopen();
            self.measured.fib.lost += 1;
        }
        if event == Event::HostLost {
            self.host_retelling = Retelling::Due;
            self.measured.host.lost += 1;
        }
        if let Event::Intent(intent) = &event
            && let Err(error) = self.neighbors.set_links(intent.unnumbered.keys().cloned().collect())
        {
            let text = format!("cannot look for unnumbered neighbors: {}", connection::words(&error));
            self.status.note(Level::Warn, None, text);
        }
        if let Event::Links(links) = &event {
            let complaints = self.listeners.set_links(links);
            self.complain(complaints);
        }
        self.engine.handle(now(), event);
    }

    fn complain(&self, complaints: Vec<Complaint>) {
        for (peer, text) in complaints {
            self.status.note(Level::Warn, peer, text);
        }
    }

    fn kernel_fact(&mut self, event: Event) {
        if let Event::FibAck { failed, failed_groups, .. } = &event {
            self.fib_idle = true;
            self.measured.fib.end(failed.len() + failed_groups.len());
        }
        if let Event::HostAck { failed, .. } = &event {
            self.host_idle = true;
            self.measured.host.end(failed.len());
        }
        self.tell(event);
    }

    fn stop(&mut self, graceful: bool, clear_fib: bool) {
        if self.stopping.is_none() {
            self.stopping = Some(Stopping { deadline: Instant::now() + STOP_LIMIT, clear_fib });
            self.engine.handle(now(), Event::Shutdown { graceful });
        }
    }

    fn written(&mut self, conn: ConnId) {
        if let Some(Connection::Open(open)) = self.connections.get_mut(&conn) {
            open.in_flight = open.in_flight.saturating_sub(1);
        }
    }

    fn fact(&mut self, fact: Fact) {
        match fact {
            Fact::Connected { conn, stream, local } => {
                // An abort can come too late for a dial that has just succeeded.
                if let Some(Connection::Dialling(_)) = self.connections.get(&conn) {
                    self.open(conn, stream);
                    self.engine.handle(now(), Event::Connected { conn, local });
                }
            }
            Fact::Incoming { stream, local, remote, link } => self.incoming(stream, local, remote, link),
            Fact::Data { conn, data, read, turn } => {
                // Its reader may hand over the next chunk as soon as this one is out of the queue.
                drop(turn);
                if let Some(Connection::Open(_)) = self.connections.get(&conn) {
                    self.data(conn, data, read);
                }
            }
            Fact::Ended { conn, error } => {
                self.ready.remove(&conn);
                match self.connections.remove(&conn) {
                    Some(Connection::Dialling(_) | Connection::Open(_)) => {
                        self.engine.handle(now(), Event::Closed { conn, error });
                    }
                    Some(Connection::Closing) | None => {}
                }
            }
        }
    }

    fn data(&mut self, conn: ConnId, data: Bytes, read: Instant) {
        self.tap(conn, Way::Received, &data);
        let before = self.engine.sender(conn).map_or(0, |sender| sender.updates);
        self.engine.handle(now(), Event::Bytes { conn, data });
        if let Some(sender) = self.engine.sender(conn).filter(|sender| sender.updates > before) {
            self.measured.updates(sender.peer, sender.link, sender.updates - before, read.elapsed());
        }
    }

    /// Copies for those who trace the peer; usually nobody does.
    fn tap(&mut self, conn: ConnId, way: Way, bytes: &Bytes) {
        if self.taps.is_empty() {
            return;
        }
        self.taps.retain(Tap::is_open);
        let [theirs, ours] = self.engine.contexts(conn);
        let context = if way == Way::Received { theirs } else { ours };
        let sender = self.engine.sender(conn);
        let tapped = Tapped { conn, way, bytes: bytes.clone(), context, lost: 0 };
        for tap in &mut self.taps {
            if tap.is_for(conn, sender) {
                tap.tell(&tapped);
            }
        }
    }

    fn incoming(&mut self, stream: std::net::TcpStream, local: SocketAddr, remote: SocketAddr, link: Option<String>) {
        if self.stopping.is_some() {
            return;
        }
        let stream =
            self.listeners.tune(&stream, remote.ip(), link.as_deref()).and_then(|()| TcpStream::from_std(stream));
        match stream {
            Ok(stream) => {
                let conn = self.next_accepted();
                self.open(conn, stream);
                self.engine.handle(now(), Event::Accepted { conn, local, remote, link });
            }
            Err(error) => {
                tracing::warn!(peer = %remote, error = %connection::words(&error), "cannot use an accepted connection");
            }
        }
    }

    fn next_accepted(&mut self) -> ConnId {
        loop {
            // Whoever can reach the port can use numbers up, but has few connections open at once.
            self.accepted = self.accepted.wrapping_add(1);
            let conn = ConnId::Accepted(self.accepted);
            if !self.connections.contains_key(&conn) {
                return conn;
            }
        }
    }

    fn open(&mut self, conn: ConnId, stream: TcpStream) {
        let (commands, queue) = mpsc::channel(COMMANDS);
        let (closing, closed) = oneshot::channel();
        if self.engine.programs_kernel() {
            self.fib.prepare();
        }
        let line = Line::new(stream);
        let known = Arc::downgrade(&line.0);
        tokio::spawn(connection::run(conn, line, queue, closed, self.fact_sender.clone(), self.written_sender.clone()));
        self.connections.insert(conn, Connection::Open(Open { line: known, commands, closing, in_flight: 0 }));
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
                    self.measured.host.begin_host(&batch);
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

    /// The FIB thread gets its next batch, if it has answered the last one.
    fn feed_fib(&mut self) {
        if self.fib_idle
            && self.stopping.is_none()
            && let Some(batch) = self.engine.poll_fib()
        {
            self.fib_idle = false;
            self.measured.fib.begin(&batch);
            if let Some(answer) = self.fib.apply(batch) {
                self.kernel_fact(answer);
            }
        }
    }

    fn actions(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Dial { conn, dial } => {
                    let task = dial::run(conn, self.namespace.clone(), dial, self.fact_sender.clone());
                    let task = tokio::spawn(task).abort_handle();
                    self.connections.insert(conn, Connection::Dialling(task));
                }
                Action::Transmit(conn) => drop(self.ready.insert(conn)),
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

    /// One chunk per connection and round, so that all writers get something before one gets its second.
    fn transmit(&mut self) {
        for _ in 0..IN_FLIGHT {
            for conn in self.ready.iter().copied().collect::<Vec<_>>() {
                let Some(Connection::Open(open)) = self.connections.get_mut(&conn) else {
                    self.ready.remove(&conn);
                    continue;
                };
                if open.in_flight == IN_FLIGHT {
                    continue;
                }
                let Some(bytes) = self.engine.poll_transmit(conn) else {
                    self.ready.remove(&conn);
                    continue;
                };
                // Usually the kernel takes all, and nobody has to be woken. Behind a rest the order is the writer's.
                let line = open.line.upgrade().filter(|_| open.in_flight == 0);
                let written = line.map_or(0, |line| line.write_now(&bytes));
                if written < bytes.len() {
                    open.in_flight += 1;
                    // Only a task that is over refuses, and its last fact is on the way.
                    let _ = open.commands.try_send(Command::Write(bytes.slice(written..)));
                }
                self.tap(conn, Way::Sent, &bytes);
            }
        }
    }

    /// Whether there is something to write that nobody will ask for: what was written already was taken at once.
    fn has_output(&self) -> bool {
        self.ready.iter().any(|conn| match self.connections.get(conn) {
            Some(Connection::Open(open)) => open.in_flight < IN_FLIGHT,
            Some(Connection::Dialling(_) | Connection::Closing) | None => false,
        })
    }

    fn close(&mut self, conn: ConnId) {
        self.ready.remove(&conn);
        let rest: Vec<Bytes> = std::iter::from_fn(|| self.engine.poll_transmit(conn)).collect();
        rest.iter().for_each(|bytes| self.tap(conn, Way::Sent, bytes));
        match self.connections.remove(&conn) {
            Some(Connection::Dialling(task)) => task.abort(),
            Some(Connection::Open(open)) => {
                // There is room: chunks take at most all places but one.
                let _ = open.commands.try_send(Command::Finish(rest));
                let _ = open.closing.send(());
                self.connections.insert(conn, Connection::Closing);
            }
            Some(Connection::Closing) => drop(self.connections.insert(conn, Connection::Closing)),
            None => {}
        }
    }
}

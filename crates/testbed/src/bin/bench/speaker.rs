//! A BGP speaker that does as little as possible as fast as possible: it dials, sends what it is given, and hands
//! what it reads to a [`Sink`].
//!
//! Owns one thread that lives in the speaker's namespace and ends with the value. It never listens, so sessions
//! come up without a collision. Keepalives are sent between reads.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kernel::netns::Namespace;
use socket2::{Domain, SockAddr, Socket, Type};
use testbed::LabError;

use crate::Result;
use crate::bgp;
use crate::sink::{self, Expected, Sink};

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(20);
/// For the other side's OPEN.
const OPEN_PATIENCE: Duration = Duration::from_secs(20);
/// Hold time in seconds; keepalives go at a third of it.
const HOLD: u16 = 90;
/// How long a read waits before keepalives are looked at.
const TICK: Duration = Duration::from_millis(500);
/// One byte in this time from a reader that is slow on purpose.
const SLOW: Duration = Duration::from_secs(1);

/// What a speaker is told.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) ns: String,
    pub(crate) local: IpAddr,
    /// The router.
    pub(crate) remote: IpAddr,
    pub(crate) asn: u32,
    pub(crate) expected: Expected,
    /// Offer graceful restart.
    pub(crate) restarts: bool,
    /// Octets that go out whenever the session comes up, before End-of-RIB.
    pub(crate) greeting: Arc<[u8]>,
    /// Read one byte a second once the session is up.
    pub(crate) slow: bool,
    /// Runs before all ordinary threads.
    pub(crate) prompt: bool,
}

#[derive(Debug)]
struct State {
    sink: Sink,
    /// Whether it should have a session.
    wanted: bool,
    stopped: bool,
    /// Whether it has one.
    up: bool,
    /// Why the last one ended.
    error: String,
}

#[derive(Debug)]
struct Shared {
    script: Script,
    state: Mutex<State>,
    changed: Condvar,
    /// The side of the connection that is written to.
    writer: Mutex<Option<TcpStream>>,
}

/// A running speaker.
#[derive(Debug)]
pub(crate) struct Speaker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Speaker {
    /// Starts to dial.
    pub(crate) fn start(script: Script) -> Result<Self> {
        let explain = |e| LabError::new(format!("namespace {}: {e}", script.ns));
        let namespace = Namespace::open(&script.ns).map_err(explain)?;
        let namespace = namespace.ok_or_else(|| LabError::new(format!("there is no namespace {}", script.ns)))?;
        let state = State {
            sink: Sink::new(script.expected.clone()),
            wanted: true,
            stopped: false,
            up: false,
            error: String::new(),
        };
        let shared =
            Arc::new(Shared { script, state: Mutex::new(state), changed: Condvar::new(), writer: Mutex::new(None) });
        let (inside, outside) = (Arc::clone(&shared), Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            if inside.script.prompt
                && let Err(error) = kernel::priority::raise()
            {
                lock(&inside.state).sink.wrong = Some(format!("no priority over others: {error}"));
            }
            if let Err(error) = namespace.run(move || inside.live()) {
                lock(&outside.state).error = error.to_string();
            }
        });
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(crate) fn sink(&self) -> impl std::ops::DerefMut<Target = Sink> + '_ {
        Held(lock(&self.shared.state))
    }

    /// Waits until the sink is as wanted, and returns what is read off it then.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        patience: Duration,
        mut condition: impl FnMut(&Sink) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + patience;
        let mut state = lock(&self.shared.state);
        loop {
            if let Some(wrong) = &state.sink.wrong {
                return Err(LabError::new(format!("{what}: {wrong}")));
            }
            if let Some(found) = condition(&state.sink) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let progress = state.sink.progress();
                return Err(LabError::new(format!("not within {patience:?}: {what}; {progress}; {}", state.error)));
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the session is up.
    pub(crate) fn wait_up(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        let mut state = lock(&self.shared.state);
        loop {
            if state.up {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let Script { local, .. } = self.shared.script;
                return Err(LabError::new(format!("the session of {local} does not come up: {}", state.error)));
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until an attempt to connect has failed: from then on it dials all the time, with no packet on its way.
    pub(crate) fn wait_refused(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while lock(&self.shared.state).error.is_empty() {
            if Instant::now() > deadline {
                return Err(LabError::new("nobody refuses the connection"));
            }
            std::thread::sleep(RETRY);
        }
        Ok(())
    }

    /// Writes octets and returns when the first of them was about to go.
    pub(crate) fn send(&self, octets: &[u8]) -> Result<Instant> {
        let mut writer = lock(&self.shared.writer);
        let stream = writer.as_mut().ok_or_else(|| LabError::new("the session has ended"))?;
        let begun = Instant::now();
        stream.write_all(octets).map_err(|e| LabError::new(format!("the session has ended: {e}")))?;
        Ok(begun)
    }

    /// Closes the connection without a word, as a peer that dies does; there is no other session after it.
    pub(crate) fn close(&self) -> Instant {
        lock(&self.shared.state).wanted = false;
        let begun = Instant::now();
        if let Some(stream) = lock(&self.shared.writer).as_ref() {
            // An error means that it is closed.
            let _ = stream.shutdown(Shutdown::Both);
        }
        begun
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        lock(&self.shared.state).stopped = true;
        self.close();
        if let Some(thread) = self.thread.take() {
            // What it panicked with has been printed.
            let _ = thread.join();
        }
    }
}

/// The sink under the lock of the state.
struct Held<'a>(MutexGuard<'a, State>);

impl std::ops::Deref for Held<'_> {
    type Target = Sink;
    fn deref(&self) -> &Sink {
        &self.0.sink
    }
}

impl std::ops::DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Sink {
        &mut self.0.sink
    }
}

impl Shared {
    fn live(&self) {
        loop {
            let (wanted, stopped) = {
                let state = lock(&self.state);
                (state.wanted, state.stopped)
            };
            if stopped {
                return;
            }
            if wanted && let Err(error) = self.session() {
                *lock(&self.writer) = None;
                let mut state = lock(&self.state);
                if std::mem::take(&mut state.up) {
                    state.sink.session_ended();
                }
                state.error = error.to_string();
                self.changed.notify_all();
            }
            std::thread::sleep(RETRY);
        }
    }

    /// Returns with the reason for its end.
    fn session(&self) -> io::Result<()> {
        let script = &self.script;
        let stream = dial(script)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TICK))?;
        let id = match script.local {
            IpAddr::V4(address) => address,
            IpAddr::V6(address) => Ipv4Addr::from(bgp::number(&address.octets()[12..]) | 0x0a00_0000),
        };
        let open = bgp::open(script.asn, HOLD, id, sink::family(&script.expected), script.restarts);
        (&stream).write_all(&open)?;
        let mut reader = Reader { stream: stream.try_clone()?, buffer: vec![0; 1 << 18], filled: 0, slow: false };
        let deadline = Instant::now() + OPEN_PATIENCE;
        let mut opened = false;
        // The peer's first KEEPALIVE is its word that our OPEN was accepted.
        while !reader.messages(|kind, body| match kind {
            bgp::OPEN => {
                opened = true;
                (&stream).write_all(&bgp::message(bgp::KEEPALIVE, &[])).map(|()| false)
            }
            bgp::KEEPALIVE => Ok(opened),
            bgp::NOTIFICATION => Err(io::Error::other(format!("notification {body:?}"))),
            other => Err(io::Error::other(format!("message {other} before the session is up"))),
        })? {
            if Instant::now() > deadline {
                return Err(io::Error::other("no OPEN came"));
            }
            reader.fill()?;
        }
        *lock(&self.writer) = Some(stream.try_clone()?);
        lock(&self.state).up = true;
        self.changed.notify_all();
        reader.slow = script.slow;
        std::thread::scope(|scope| {
            // Beside the reading, as the router may wait for us to read before it reads on.
            scope.spawn(|| self.greet());
            let ended = self.read_on(&mut reader);
            // It may be closed already, and a greeting that still goes ends with it.
            let _ = stream.shutdown(Shutdown::Both);
            ended
        })
    }

    /// An error shows to the reader, too.
    fn greet(&self) {
        let end = bgp::end_of_rib(sink::family(&self.script.expected));
        if let Some(stream) = lock(&self.writer).as_mut() {
            let _ = stream.write_all(&self.script.greeting).and_then(|()| stream.write_all(&end));
        }
    }

    fn read_on(&self, reader: &mut Reader) -> io::Result<()> {
        let mut due = Instant::now();
        loop {
            let at = Instant::now();
            let mut state = lock(&self.state);
            let sink = &mut state.sink;
            reader.messages(|kind, body| match kind {
                bgp::UPDATE => {
                    sink.take(body, at);
                    Ok(false)
                }
                bgp::NOTIFICATION => Err(io::Error::other(format!("notification {body:?}"))),
                _ => Ok(false),
            })?;
            drop(state);
            self.changed.notify_all();
            if Instant::now() >= due {
                // Whoever holds the writer is sending, which counts as well.
                if let Ok(mut writer) = self.writer.try_lock()
                    && let Some(stream) = writer.as_mut()
                {
                    stream.write_all(&bgp::message(bgp::KEEPALIVE, &[]))?;
                }
                due = Instant::now() + Duration::from_secs(u64::from(HOLD)) / 3;
            }
            reader.fill()?;
        }
    }
}

fn dial(script: &Script) -> io::Result<TcpStream> {
    let target = SocketAddr::new(script.remote, 179);
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if script.slow {
        socket.set_recv_buffer_size(4096)?;
    }
    socket.bind(&SockAddr::from(SocketAddr::new(script.local, 0)))?;
    socket.connect_timeout(&SockAddr::from(target), Duration::from_secs(5))?;
    Ok(socket.into())
}

/// Messages out of a stream.
struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    slow: bool,
}

impl Reader {
    /// Reads what there is, or waits for a tick.
    fn fill(&mut self) -> io::Result<()> {
        let end = if self.slow { self.filled + 1 } else { self.buffer.len() };
        if self.slow {
            std::thread::sleep(SLOW);
        }
        let room = self.buffer.get_mut(self.filled..end).unwrap_or_default();
        match self.stream.read(room) {
            Ok(0) => Err(io::Error::other("the router hung up")),
            Ok(n) => {
                self.filled += n;
                Ok(())
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Whole messages, until one of them says that it was the one.
    fn messages(&mut self, mut each: impl FnMut(u8, &[u8]) -> io::Result<bool>) -> io::Result<bool> {
        let (mut at, mut found) = (0, false);
        while let Some(header) = self.buffer[at..self.filled].first_chunk::<{ bgp::HEADER }>() {
            let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
            if length < bgp::HEADER || header[..16] != [0xff; 16] {
                return Err(io::Error::other("a malformed header"));
            }
            let Some(whole) = self.buffer[at..self.filled].get(..length) else { break };
            found = each(header[18], &whole[bgp::HEADER..])?;
            at += length;
            if found {
                break;
            }
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(found)
    }
}

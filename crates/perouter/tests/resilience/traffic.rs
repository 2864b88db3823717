//! Datagrams at a steady pace from one namespace to another, each counted by its number.
//!
//! Owns: a sending and one receiving thread per sink, whose sockets belong to their namespaces. Emits [`Loss`]. A packet
//! is lost when it never arrived, however late; a busy machine therefore loses nothing, it only sends in bursts.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kernel::netns::Namespace;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

/// Between two packets.
const PACE: Duration = Duration::from_millis(1);
/// Nothing has arrived for this long after the last packet was sent: the rest is lost.
const QUIET: Duration = Duration::from_secs(1);
/// How long a receiver waits before it looks whether it is still needed.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes that wait in a receiving socket: half a minute, so that a busy machine does not lose packets of its own.
const BUFFER: usize = 32 << 20;

/// What became of the packets of one direction, or of one of its streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Handed to the kernel, those included that it refused.
    pub(crate) sent: usize,
    /// Never arrived.
    pub(crate) lost: usize,
    /// Arrived more than once.
    pub(crate) repeated: usize,
    /// The longest time in which everything sent was lost.
    pub(crate) longest: Duration,
}

impl Loss {
    /// `sent`: when each packet left, and when sending ended. `arrived`: how often each one arrived.
    fn of(sent: &[Instant], end: Instant, arrived: &[u8]) -> Self {
        let times = |number: usize| arrived.get(number).copied().unwrap_or_default();
        let mut loss = Self { sent: sent.len(), ..Self::default() };
        let mut since = None;
        for (number, at) in sent.iter().enumerate() {
            if times(number) == 0 {
                loss.lost += 1;
                since.get_or_insert(*at);
            } else if let Some(since) = since.take() {
                loss.longest = loss.longest.max(*at - since);
            }
            loss.repeated += usize::from(times(number) > 1);
        }
        if let Some(since) = since {
            loss.longest = loss.longest.max(end - since);
        }
        loss
    }

    /// The stream that is worse off.
    pub(crate) fn worse(self, other: Self) -> Self {
        Self {
            sent: self.sent.max(other.sent),
            lost: self.lost.max(other.lost),
            repeated: self.repeated.max(other.repeated),
            longest: self.longest.max(other.longest),
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    sending: AtomicU64,
    arrived: AtomicU64,
    enough: AtomicBool,
    over: AtomicBool,
    /// How often each number arrived.
    counts: Mutex<Vec<u8>>,
}

/// Packets on their way from one address to another, one each millisecond.
#[derive(Debug)]
pub(crate) struct Stream {
    shared: Arc<Shared>,
    sender: JoinHandle<(Vec<Instant>, Instant)>,
    receivers: Vec<JoinHandle<()>>,
}

impl Stream {
    /// Starts sending from an address of a namespace. `sinks` are the namespaces that have the target address.
    pub(crate) fn start(from: (&str, IpAddr), sinks: &[&str], target: IpAddr) -> Self {
        static PORT: AtomicU16 = AtomicU16::new(20_000);
        let target = SocketAddr::new(target, PORT.fetch_add(1, Ordering::Relaxed));
        let shared = Arc::new(Shared::default());
        let receiving: Vec<_> = sinks.iter().map(|ns| bind(ns, target)).collect();
        let receivers = receiving
            .into_iter()
            .map(|socket| {
                socket.set_read_timeout(Some(LOOK)).unwrap();
                set_socket_recv_buffer_size_force(&socket, BUFFER).unwrap();
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || receive(&socket, &shared))
            })
            .collect();
        let sending = bind(from.0, SocketAddr::new(from.1, 0));
        let sender = Arc::clone(&shared);
        let sender = std::thread::spawn(move || send(&sending, target, &sender));
        Self { shared, sender, receivers }
    }

    /// Packets sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.sending.load(Ordering::Relaxed)
    }

    /// Packets arrived so far.
    pub(crate) fn arrived(&self) -> u64 {
        self.shared.arrived.load(Ordering::Relaxed)
    }

    /// Stops sending, lets arrive what is on its way, and counts.
    pub(crate) fn finish(self) -> Loss {
        self.shared.enough.store(true, Ordering::Relaxed);
        let (sent, end) = self.sender.join().unwrap();
        let (mut seen, mut since) = (self.shared.arrived.load(Ordering::Relaxed), Instant::now());
        while (seen as usize) < sent.len() && since.elapsed() < QUIET {
            std::thread::sleep(PACE);
            let now = self.shared.arrived.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
        }
        self.shared.over.store(true, Ordering::Relaxed);
        self.receivers.into_iter().for_each(|receiver| receiver.join().unwrap());
        Loss::of(&sent, end, &self.shared.counts.lock().unwrap())
    }
}

fn bind(ns: &str, address: SocketAddr) -> UdpSocket {
    let namespace = Namespace::open(ns).unwrap().unwrap_or_else(|| panic!("there is no namespace {ns}"));
    let bound = namespace.run(move || UdpSocket::bind(address)).and_then(|bound| bound);
    bound.unwrap_or_else(|error| panic!("{address} in {ns}: {error}"))
}

/// Sends by the clock: what was not sent in time is sent at once, not left out.
fn send(socket: &UdpSocket, target: SocketAddr, shared: &Shared) -> (Vec<Instant>, Instant) {
    let start = Instant::now();
    let mut sent = Vec::new();
    while !shared.enough.load(Ordering::Relaxed) {
        let number = sent.len() as u64;
        let due = start + PACE * u32::try_from(number).unwrap();
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(wait);
        }
        sent.push(Instant::now());
        // What the kernel refuses, for want of a route, is as lost as what is lost on the way.
        let _ = socket.send_to(&number.to_be_bytes(), target);
        shared.sending.store(number + 1, Ordering::Relaxed);
    }
    (sent, Instant::now())
}

fn receive(socket: &UdpSocket, shared: &Shared) {
    let mut bytes = [0; 8];
    while !shared.over.load(Ordering::Relaxed) {
        match socket.recv(&mut bytes) {
            Ok(8) => {
                let number = usize::try_from(u64::from_be_bytes(bytes)).unwrap();
                let mut counts = shared.counts.lock().unwrap();
                if counts.len() <= number {
                    counts.resize(number + 1, 0);
                }
                counts[number] = counts[number].saturating_add(1);
                if counts[number] == 1 {
                    shared.arrived.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(_) => {}
            Err(error) if is_no_packet(error.kind()) => {}
            Err(error) => panic!("{socket:?}: {error}"),
        }
    }
}

/// Somebody who looks at a test that hangs (strace) interrupts it.
fn is_no_packet(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

#[test]
fn what_never_arrived_is_lost_and_the_longest_run_of_it_is_timed() {
    let start = Instant::now();
    let sent: Vec<_> = (0..8).map(|n| start + PACE * n).collect();
    let end = start + PACE * 8;
    let whole = Loss { sent: 8, ..Loss::default() };
    assert_eq!(Loss::of(&sent, end, &[1; 8]), whole);
    assert_eq!(Loss::of(&sent, end, &[1, 2, 1, 1, 3, 1, 1, 1]), Loss { repeated: 2, ..whole });
    let some = Loss { lost: 3, longest: PACE * 2, ..whole };
    assert_eq!(Loss::of(&sent, end, &[1, 0, 1, 0, 0, 1, 1, 1]), some);
    assert_eq!(Loss::of(&sent, end, &[1, 1, 1, 1, 1]), Loss { lost: 3, longest: PACE * 3, ..whole });
    assert_eq!(Loss::of(&sent, end, &[]), Loss { lost: 8, longest: PACE * 8, ..whole });
    let other = Loss { lost: 1, repeated: 4, longest: PACE * 5, sent: 7 };
    assert_eq!(some.worse(other), Loss { sent: 8, lost: 3, repeated: 4, longest: PACE * 5 });
}

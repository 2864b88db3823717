//! What the speaker's thread waits for: its connections, and everybody else through one bell.
//!
//! Owns: the epoll descriptor, and an eventfd for the bell. Whoever sends into a channel of the owner rings it, because the owner
//! polls its channels with [`Poller::waker`]. So a packet wakes this thread directly, with nothing between the kernel
//! and the one who deals with it, and channels are looked at only when something was sent.
//! Does not: read or write the streams that it watches.

use std::io;
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use engine::ConnId;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

/// Connections that one wait names at most. The kernel names those first that waited longest, so a flood on some of them keeps
/// none from its turn.
pub(super) const READY: usize = 8;
/// The bell's number among the descriptors; no connection has it.
const BELL: u64 = u64::MAX;
/// Longest wait at a time. Nobody is hurt by a look at nothing, and so long a time fits whatever the system takes.
const LONGEST: Duration = Duration::from_secs(3600);

/// Wakes the thread that waits, from any other one.
#[derive(Debug)]
struct Bell {
    event: OwnedFd,
    /// It was rung and not heard since. Looked at after every wait: the event only ends one, and behind many connections it is
    /// not named for a while.
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        // Also when somebody has rung already: that one may be waiting for a processor between its mark and its event. It could
        // fail only after 2^64 times: the counter is never read, every change of it is an event.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }
}

/// A connection that something can be done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ready {
    /// Which one.
    pub(super) conn: ConnId,
    /// There is something to read, an end of the stream or an error among it.
    pub(super) read: bool,
    /// The kernel takes more again.
    pub(super) write: bool,
}

/// The descriptors that the speaker's thread waits for.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
    bell: Arc<Bell>,
    /// Of the latest wait.
    ready: Vec<Ready>,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &event, EventData::new_u64(BELL), EventFlags::IN | EventFlags::ET)?;
        let bell = Arc::new(Bell { event, rung: AtomicBool::new(false) });
        Ok(Self { epoll, bell, ready: Vec::with_capacity(READY) })
    }

    /// Watches a stream until it is dropped.
    pub(super) fn watch(&self, stream: &TcpStream, conn: ConnId) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, stream, EventData::new_u64(number(conn)), EventFlags::IN)?)
    }

    /// Whether it is to be told when the kernel takes more, too.
    pub(super) fn watch_output(&self, stream: &TcpStream, conn: ConnId, wanted: bool) -> io::Result<()> {
        let flags = if wanted { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        Ok(epoll::modify(&self.epoll, stream, EventData::new_u64(number(conn)), flags)?)
    }

    /// Rings the bell.
    pub(super) fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.bell))
    }

    /// To be called before the channels are polled: whoever sends from here on rings again.
    pub(super) fn hear(&self) {
        // What was sent before it was rung is seen from here on.
        self.bell.rung.swap(false, Ordering::AcqRel);
    }

    /// Waits for a connection or the bell, but not longer than that (`None`: however long it takes), and returns whether the bell
    /// was rung and not heard since. It can also return for nothing.
    pub(super) fn wait(&mut self, at_most: Option<Duration>) -> bool {
        let at_most = at_most.unwrap_or(LONGEST).min(LONGEST);
        let timeout = Timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: i64::from(at_most.subsec_nanos()) };
        let mut room = [const { MaybeUninit::uninit() }; READY];
        // A signal is all that can come in between, and the next wait is not far.
        let named = epoll::wait(&self.epoll, &mut room[..], Some(&timeout)).map_or(&mut [][..], |(named, _)| named);
        self.ready.clear();
        // Taken from the end.
        self.ready.extend(named.iter().rev().filter(|event| event.data.u64() != BELL).map(ready));
        self.bell.rung.load(Ordering::Acquire)
    }

    /// The next one of those that the latest wait has found.
    pub(super) fn next(&mut self) -> Option<Ready> {
        self.ready.pop()
    }
}

fn ready(event: &epoll::Event) -> Ready {
    // Copies: an event is packed.
    let (number, flags) = (event.data.u64(), event.flags);
    Ready {
        conn: conn(number),
        read: flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR),
        write: flags.contains(EventFlags::OUT),
    }
}

fn number(conn: ConnId) -> u64 {
    match conn {
        ConnId::Dialled(number) => u64::from(number),
        ConnId::Accepted(number) => 1 << 32 | u64::from(number),
    }
}

fn conn(number: u64) -> ConnId {
    let low = number as u32;
    if number >> 32 == 0 { ConnId::Dialled(low) } else { ConnId::Accepted(low) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ours = listener.accept().unwrap().0;
        ours.set_nonblocking(true).unwrap();
        (ours, theirs)
    }

    fn all(poller: &mut Poller) -> Vec<Ready> {
        std::iter::from_fn(|| poller.next()).collect()
    }

    #[test]
    fn numbers_lead_back_to_connections() {
        for one in [ConnId::Dialled(0), ConnId::Dialled(u32::MAX), ConnId::Accepted(0), ConnId::Accepted(u32::MAX)] {
            assert_eq!(conn(number(one)), one);
            assert_ne!(number(one), BELL);
        }
    }

    #[test]
    fn a_connection_is_named_as_long_as_it_has_something_to_read() {
        let mut poller = Poller::new().unwrap();
        let ((mut ours, mut theirs), conn) = (pair(), ConnId::Dialled(3));
        poller.watch(&ours, conn).unwrap();
        assert!(!poller.wait(AT_ONCE) && all(&mut poller).is_empty());
        theirs.write_all(b"hello").unwrap();
        for _ in 0..2 {
            assert!(!poller.wait(None));
            assert_eq!(all(&mut poller), [Ready { conn, read: true, write: false }]);
        }
        ours.read_exact(&mut [0; 5]).unwrap();
        poller.wait(AT_ONCE);
        assert_eq!(all(&mut poller), []);
        poller.watch_output(&ours, conn, true).unwrap();
        poller.wait(None);
        assert_eq!(all(&mut poller), [Ready { conn, read: false, write: true }]);
        poller.watch_output(&ours, conn, false).unwrap();
        drop(theirs);
        poller.wait(None);
        assert_eq!(all(&mut poller), [Ready { conn, read: true, write: false }]);
        drop(ours);
        poller.wait(AT_ONCE);
        assert_eq!(all(&mut poller), []);
    }

    /// So many connections with something to read.
    fn flood(poller: &Poller, connections: u32) -> Vec<(TcpStream, TcpStream)> {
        let pairs: Vec<_> = (0..connections).map(|_| pair()).collect();
        for (number, (ours, theirs)) in (0..).zip(&pairs) {
            poller.watch(ours, ConnId::Accepted(number)).unwrap();
            (&*theirs).write_all(b"x").unwrap();
            ours.set_nonblocking(false).unwrap();
            ours.peek(&mut [0]).unwrap();
        }
        pairs
    }

    #[test]
    fn however_many_always_have_something_each_gets_its_turn() {
        let mut poller = Poller::new().unwrap();
        let pairs = flood(&poller, 5 * READY as u32);
        for _ in 0..3 {
            let mut named = BTreeSet::new();
            for _ in 0..5 {
                poller.wait(None);
                named.extend(all(&mut poller).into_iter().map(|ready| ready.conn));
            }
            assert_eq!(named.len(), pairs.len());
        }
    }

    #[test]
    fn whoever_waited_longest_comes_first() {
        let mut poller = Poller::new().unwrap();
        let _pairs = flood(&poller, READY as u32);
        poller.wait(None);
        let order: Vec<_> = all(&mut poller).into_iter().map(|ready| ready.conn).collect();
        assert_eq!(order, (0..READY as u32).map(ConnId::Accepted).collect::<Vec<_>>());
    }

    #[test]
    fn the_bell_is_heard_through_a_flood() {
        let mut poller = Poller::new().unwrap();
        let _pairs = flood(&poller, 3 * READY as u32);
        poller.wait(None);
        poller.waker().wake_by_ref();
        assert!(poller.wait(None));
        assert_eq!(all(&mut poller).len(), READY);
    }

    #[test]
    fn the_bell_rings_until_it_is_heard() {
        let mut poller = Poller::new().unwrap();
        assert!(!poller.wait(AT_ONCE));
        let waker = poller.waker();
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert!(poller.wait(None));
        assert!(poller.wait(AT_ONCE));
        poller.hear();
        assert!(!poller.wait(AT_ONCE));
        let ringing = thread::spawn(move || waker.wake());
        assert!(poller.wait(None));
        ringing.join().unwrap();
    }
}

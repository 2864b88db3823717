//! A peer that behaves: it keeps its session alive, remembers what it was told, and says when its session ended.
//!
//! Owns one thread that reads until the connection ends; KEEPALIVEs go out from there. Dropping it closes the session.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::bytes::{self, KEEPALIVE, NOTIFICATION, OPEN, Open, UPDATE, Update};
use crate::lab::{Lab, host};
use crate::peer::{self, Seen, connect, take};

const PATIENCE: Duration = Duration::from_secs(60);

/// What it knows.
#[derive(Debug, Default)]
struct Known {
    routes: BTreeSet<String>,
    up: bool,
    /// Why the session is over.
    ended: Option<String>,
}

#[derive(Debug)]
struct Shared {
    stream: TcpStream,
    /// Whole messages only, whoever sends.
    sending: Mutex<()>,
    known: Mutex<Known>,
    changed: Condvar,
}

#[derive(Debug)]
pub(crate) struct Speaker {
    pub(crate) number: u16,
    asn: u16,
    shared: Option<Arc<Shared>>,
    reader: Option<JoinHandle<()>>,
}

impl Speaker {
    /// Dials from the stranger's address number `number`, as that AS and with that hold time in seconds.
    pub(crate) fn start(lab: &Lab, number: u16, asn: u16, hold: u16) -> Self {
        let stream = connect(lab, host(number));
        let shared =
            Arc::new(Shared { stream, sending: Mutex::default(), known: Mutex::default(), changed: Condvar::new() });
        let (reading, open) = (Arc::clone(&shared), Open::new(asn, hold, host(number)));
        let reader = std::thread::spawn(move || {
            // It stands for another machine: what it waits for is the router, not a processor of this one.
            kernel::priority::raise().unwrap();
            let reason = reading.live(&open);
            let mut known = reading.known.lock().unwrap();
            known.ended = Some(reason);
            known.routes.clear();
            reading.changed.notify_all();
        });
        Self { number, asn, shared: Some(shared), reader: Some(reader) }
    }

    /// Waits until its session is up.
    pub(crate) fn established(self) -> Self {
        self.wait("its session is up", |known| known.up);
        self
    }

    pub(crate) fn announce(&self, prefix: Ipv4Addr) {
        let attributes = bytes::mandatory(self.asn, host(self.number));
        self.shared().send(&bytes::announce(&attributes, prefix));
    }

    pub(crate) fn withdraw(&self, prefix: Ipv4Addr) {
        self.shared().send(&bytes::withdraw(prefix));
    }

    pub(crate) fn wait_for(&self, prefix: Ipv4Addr) {
        let wanted = format!("{prefix}/24");
        self.wait(&format!("{wanted} is there"), |known| known.routes.contains(&wanted));
    }

    pub(crate) fn wait_gone(&self, prefix: Ipv4Addr) {
        let unwanted = format!("{prefix}/24");
        self.wait(&format!("{unwanted} is gone"), |known| !known.routes.contains(&unwanted));
    }

    /// Why its session is over, if it is.
    pub(crate) fn ended(&self) -> Option<String> {
        self.shared().known.lock().unwrap().ended.clone()
    }

    /// Our port: the same one as long as it is the same session.
    pub(crate) fn port(&self) -> u16 {
        self.shared().stream.local_addr().unwrap().port()
    }

    /// Ends the session with a RST.
    pub(crate) fn reset(mut self) {
        let shared = self.shared.take().unwrap();
        // Wakes the reader without a word to the other side.
        rustix::net::shutdown(&shared.stream, rustix::net::Shutdown::Read).unwrap();
        self.reader.take().unwrap().join().unwrap();
        let shared = Arc::into_inner(shared).expect("the reader is gone");
        peer::reset(shared.stream);
    }

    #[track_caller]
    fn wait(&self, what: &str, done: impl Fn(&Known) -> bool) {
        let shared = self.shared();
        let mut known = shared.known.lock().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !done(&known) {
            assert_eq!(known.ended, None, "speaker {} waited until {what}", self.number);
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "speaker {} waited in vain until {what}", self.number);
            known = shared.changed.wait_timeout(known, left).unwrap().0;
        }
    }

    fn shared(&self) -> &Shared {
        self.shared.as_ref().expect("it is there until it is reset")
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            let _ = shared.stream.shutdown(Shutdown::Both);
        }
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Shared {
    fn send(&self, message: &[u8]) {
        let _whole = self.sending.lock().unwrap();
        // A connection that broke is the reader's to report.
        let _ = (&self.stream).write_all(message);
    }

    /// Returns why the session ended.
    fn live(&self, open: &Open) -> String {
        self.send(&open.message());
        let interval = if open.hold == 0 { PATIENCE } else { Duration::from_secs(open.hold.into()) / 3 };
        let mut due = Instant::now() + interval;
        let mut pending = Vec::new();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            while let Some(seen) = take(&mut pending) {
                if let Some(reason) = self.saw(&seen) {
                    return reason;
                }
            }
            if Instant::now() >= due {
                self.send(&bytes::keepalive());
                due = Instant::now() + interval;
            }
            let left = due.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left)).unwrap();
            match (&self.stream).read(&mut chunk) {
                Ok(0) => return "the connection was closed".into(),
                Ok(count) => pending.extend_from_slice(&chunk[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return error.to_string(),
            }
        }
    }

    fn saw(&self, seen: &Seen) -> Option<String> {
        match seen {
            Seen::Message(OPEN, _) => self.send(&bytes::keepalive()),
            Seen::Message(NOTIFICATION, body) => return Some(format!("notification {body:?}")),
            Seen::Message(KEEPALIVE, _) => {
                self.known.lock().unwrap().up = true;
                self.changed.notify_all();
            }
            Seen::Message(UPDATE, body) => {
                let update = Update::read(body);
                let mut known = self.known.lock().unwrap();
                for prefix in update.withdrawn {
                    known.routes.remove(&prefix);
                }
                known.routes.extend(update.announced);
                drop(known);
                self.changed.notify_all();
            }
            Seen::Message(..) | Seen::Closed => {}
        }
        None
    }
}

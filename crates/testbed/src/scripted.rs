//! A speaker that says exactly what MetalLB's native mode says, byte by byte, and does as little.
//!
//! It only dials and never listens. Its OPEN carries IPv4 and IPv6 unicast and four-octet AS numbers and nothing
//! else, in one optional parameter; it hangs up on a peer whose OPEN has an optional parameter that is not of type
//! 2 (so RFC 9072's extended form is beyond it), on another AS than the one it expects, and on a malformed header.
//! It announces addresses in the classic NLRI field and reads the rest of its life only to throw away.
//!
//! Owns one thread, which ends with the value. Emits what it saw ([`Seen`]).

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kernel::netns::Namespace;

use crate::{Result, traffic};

const PORT: u16 = 179;
/// For connecting and the peer's OPEN together.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);
/// Longest pause between two attempts. The real one doubles it up to two minutes.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long one read waits before timers are looked at.
const TICK: Duration = Duration::from_millis(50);
const HEADER: usize = 19;

/// What it is told.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its autonomous system.
    pub asn: u32,
    /// The one that it expects of the peer.
    pub peer_asn: u32,
    /// BGP identifier.
    pub router_id: Ipv4Addr,
    /// Whom it dials.
    pub target: IpAddr,
    /// Where from; unset: as the kernel chooses.
    pub source: Option<IpAddr>,
    /// Proposed hold time in seconds.
    pub hold: u16,
    /// Addresses that it announces, each as a route of its own.
    pub addresses: Vec<Ipv4Addr>,
    /// Value of AS_PATH instead of its own AS, segments of four-octet ASes. MetalLB has no such thing; it stands for
    /// speakers that pass on what others made.
    pub as_path: Option<Vec<u8>>,
    /// More path attributes, as they go onto the wire.
    pub attributes: Vec<u8>,
}

/// What it has seen so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Whether a session is up at the moment.
    pub established: bool,
    /// How many sessions came up.
    pub sessions: usize,
    /// Hold time in force, in seconds: the lower of both.
    pub hold: u16,
    /// Announcements and withdrawals that were thrown away.
    pub updates: usize,
    /// Why the last attempt or session ended.
    pub error: Option<String>,
}

/// A running script.
#[derive(Debug)]
pub struct Scripted {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    /// Starts it in a namespace.
    pub fn start(ns: &str, script: Script) -> Result<Self> {
        let ns = traffic::open(ns)?;
        let (seen, stop) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let speaker = Speaker { ns, script, seen: Arc::clone(&seen), stop: Arc::clone(&stop) };
        let thread = std::thread::spawn(move || speaker.live());
        Ok(Self { seen, stop, thread: Some(thread) })
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed already.
            let _ = thread.join();
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Speaker {
    ns: Namespace,
    script: Script,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
}

impl Speaker {
    /// One session after the other, until it is told to stop.
    fn live(&self) {
        let mut pause = Duration::ZERO;
        while !self.stopped() {
            let before = lock(&self.seen).sessions;
            let ended = self.session();
            let mut seen = lock(&self.seen);
            seen.established = false;
            seen.error = ended.err().map(|e| e.to_string());
            pause = if seen.sessions > before { Duration::ZERO } else { (pause * 2).clamp(TICK, LONGEST_PAUSE) };
            drop(seen);
            let until = Instant::now() + pause;
            while Instant::now() < until && !self.stopped() {
                std::thread::sleep(TICK);
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn session(&self) -> io::Result<()> {
        let (source, target) = (self.script.source, SocketAddr::new(self.script.target, PORT));
        let stream = self.ns.run(move || traffic::dial(source, target))??;
        stream.set_read_timeout(Some(TICK))?;
        stream.set_nodelay(true)?;
        let mut frames = Frames { stream, pending: Vec::new() };
        frames.stream.write_all(&open(&self.script))?;
        let deadline = Instant::now() + OPEN_PATIENCE;
        let theirs = loop {
            match frames.next()? {
                Some((1, body)) => break check_open(&body, self.script.peer_asn)?,
                Some((3, body)) => return Err(notification(&body)),
                Some((kind, _)) => return Err(io::Error::other(format!("message {kind} instead of an OPEN"))),
                None if Instant::now() > deadline || self.stopped() => return Err(io::Error::other("no OPEN came")),
                None => {}
            }
        };
        let hold = self.script.hold.min(theirs);
        frames.stream.write_all(&message(4, &[]))?;
        for address in &self.script.addresses {
            frames.stream.write_all(&update(&self.script, *address, frames.stream.local_addr()?.ip())?)?;
        }
        self.hold_session(&mut frames, hold)
    }

    fn hold_session(&self, frames: &mut Frames, hold: u16) -> io::Result<()> {
        let interval = Duration::from_secs(u64::from(hold)) / 3;
        let mut due = Instant::now() + interval;
        while !self.stopped() {
            if hold > 0 && Instant::now() >= due {
                frames.stream.write_all(&message(4, &[]))?;
                due += interval;
            }
            match frames.next()? {
                Some((3, body)) => return Err(notification(&body)),
                Some((kind, _)) => {
                    let mut seen = lock(&self.seen);
                    if !seen.established {
                        // The peer's first KEEPALIVE is its word that our OPEN was accepted.
                        seen.established = true;
                        seen.sessions += 1;
                        seen.hold = hold;
                    }
                    seen.updates += usize::from(kind == 2);
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// Messages out of a stream.
struct Frames {
    stream: TcpStream,
    pending: Vec<u8>,
}

impl Frames {
    /// Type and body of the next message; `None` when none came within a tick.
    fn next(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        if let Some(message) = self.take()? {
            return Ok(Some(message));
        }
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(io::Error::other("the peer hung up")),
            Ok(n) => {
                self.pending.extend_from_slice(&chunk[..n]);
                self.take()
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn take(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let Some(header) = self.pending.get(..HEADER) else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
        if header[..16] != [0xff; 16] || length < HEADER {
            return Err(io::Error::other("a malformed header"));
        }
        if self.pending.len() < length {
            return Ok(None);
        }
        let rest = self.pending.split_off(length);
        let message = std::mem::replace(&mut self.pending, rest);
        Ok(Some((message[18], message[HEADER..].to_vec())))
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER + body.len()).unwrap_or(u16::MAX);
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

fn open(script: &Script) -> Vec<u8> {
    let short = u16::try_from(script.asn).unwrap_or(23456); // AS_TRANS (RFC 6793)
    let asn = script.asn.to_be_bytes();
    // One parameter of type 2: IPv4 unicast, IPv6 unicast, four-octet AS numbers.
    let capabilities = [&[1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1, 65, 4][..], &asn].concat();
    let length = u8::try_from(capabilities.len()).unwrap_or_default();
    let parts: [&[u8]; 6] = [
        &[4],
        &short.to_be_bytes(),
        &script.hold.to_be_bytes(),
        &script.router_id.octets(),
        &[length + 2, 2, length],
        &capabilities,
    ];
    message(1, &parts.concat())
}

/// The peer's proposed hold time, if its OPEN is one that MetalLB can read.
fn check_open(body: &[u8], asn: u32) -> io::Result<u16> {
    let refuse = |why: String| Err(io::Error::other(why));
    let [4, a, b, h, l, _, _, _, _, length, parameters @ ..] = body else {
        return refuse("an OPEN that cannot be read".into());
    };
    if usize::from(*length) != parameters.len() {
        return refuse("optional parameters of another length than is said".into());
    }
    let mut theirs = u32::from(u16::from_be_bytes([*a, *b]));
    let mut rest = parameters;
    while let [kind, length, tail @ ..] = rest {
        if *kind != 2 {
            return refuse(format!("optional parameter of unknown type {kind}"));
        }
        let Some((mut capabilities, after)) = tail.split_at_checked(usize::from(*length)) else {
            return refuse("an optional parameter that is cut off".into());
        };
        while let [code, length, tail @ ..] = capabilities {
            let Some((value, after)) = tail.split_at_checked(usize::from(*length)) else {
                return refuse("a capability that is cut off".into());
            };
            if let (65, Ok(value)) = (*code, value.try_into()) {
                theirs = u32::from_be_bytes(value);
            }
            capabilities = after;
        }
        rest = after;
    }
    if theirs != asn {
        return refuse(format!("peer is AS {theirs}, expected {asn}"));
    }
    Ok(u16::from_be_bytes([*h, *l]))
}

fn update(script: &Script, address: Ipv4Addr, local: IpAddr) -> io::Result<Vec<u8>> {
    let IpAddr::V4(next_hop) = local else {
        return Err(io::Error::other("IPv4 routes over IPv6 are beyond it"));
    };
    let mut attributes = vec![0x40, 1, 1, 2];
    if let Some(path) = &script.as_path {
        attributes.extend([0x40, 2, u8::try_from(path.len()).unwrap_or_default()]);
        attributes.extend(path);
    } else if script.asn == script.peer_asn {
        attributes.extend([0x40, 2, 0, 0x40, 5, 4, 0, 0, 0, 0]);
    } else {
        attributes.extend([0x40, 2, 6, 2, 1]);
        attributes.extend(script.asn.to_be_bytes());
    }
    attributes.extend([0x40, 3, 4]);
    attributes.extend(next_hop.octets());
    attributes.extend(&script.attributes);
    let length = u16::try_from(attributes.len()).unwrap_or(u16::MAX).to_be_bytes();
    Ok(message(2, &[&[0, 0], &length[..], &attributes, &[32], &address.octets()].concat()))
}

fn notification(body: &[u8]) -> io::Error {
    io::Error::other(match body {
        [code, subcode, ..] => format!("notification {code}/{subcode}"),
        _ => "a notification that is cut off".to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// 4, AS 64514, hold 180, an identifier, and then what follows.
    fn open_body(parameters: &[u8]) -> Vec<u8> {
        let mut body = vec![4, 0xfc, 0x02, 0, 180, 10, 0, 0, 1, u8::try_from(parameters.len()).unwrap()];
        body.extend(parameters);
        body
    }

    #[test]
    fn an_open_with_capabilities_is_accepted_and_one_in_the_extended_form_is_not() {
        assert_eq!(check_open(&open_body(&[2, 6, 65, 4, 0, 0, 0xfc, 0x02]), 64514).unwrap(), 180);
        let extended = open_body(&[255, 0, 4, 2, 0, 1, 2]);
        assert!(check_open(&extended, 64514).unwrap_err().to_string().contains("unknown type 255"));
        assert!(check_open(&open_body(&[]), 64599).unwrap_err().to_string().contains("expected 64599"));
    }

    #[test]
    fn its_open_is_the_one_of_metallb() {
        let script = Script {
            asn: 64515,
            peer_asn: 64514,
            router_id: Ipv4Addr::new(192, 169, 10, 2),
            target: IpAddr::V4(Ipv4Addr::new(192, 169, 10, 1)),
            source: None,
            hold: 90,
            addresses: Vec::new(),
            as_path: None,
            attributes: Vec::new(),
        };
        let body = [4, 0xfc, 0x03, 0, 90, 192, 169, 10, 2, 20, 2, 18, 1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1, 65, 4, 0, 0]
            .into_iter()
            .chain([0xfc, 0x03])
            .collect::<Vec<u8>>();
        assert_eq!(open(&script), [&[0xff; 16][..], &[0, 49, 1], &body].concat());
    }
}

//! One session of the thread: the state machine and the socket from which it sends.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use engine::bfd::{Hops, Session};
use kernel::datagram::{Received, Sender, Way};
use kernel::netns::Namespace;
use rustix::io::Errno;

use super::Wanted;
use super::reports::Told;
use crate::speaker::connection::words;

/// RFC 5881 section 4.
const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;
/// Between two attempts to open a socket: the link may come, or come back under the same name.
const REOPEN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Member {
    pub(super) wanted: Wanted,
    pub(super) session: Session,
    pub(super) told: Told,
    /// Why packets cannot be sent.
    pub(super) trouble: Option<String>,
    sender: Option<Sender>,
    /// When it was last tried to open one.
    opened: Option<Instant>,
    /// Which source port to try first.
    port: u16,
}

impl Member {
    pub(super) fn new(wanted: Wanted, discriminator: NonZeroU32, random: u64, now: Instant) -> Self {
        let session = Session::new(wanted.settings, discriminator, now);
        let ports = u64::from(SOURCE_PORTS.end() - SOURCE_PORTS.start());
        let port = SOURCE_PORTS.start() + u16::try_from(random % ports).expect("less than the number of ports");
        Self { wanted, session, told: Told::default(), trouble: None, sender: None, opened: None, port }
    }

    /// Whether a packet that names no session is for this one (RFC 5880 section 6.8.6).
    pub(super) fn matches(&mut self, namespace: &Namespace, now: Instant, packet: &Received<'_>) -> bool {
        if self.wanted.peer != packet.source || self.wanted.local.is_some_and(|local| local != packet.destination) {
            return false;
        }
        if self.wanted.scope_link.is_none() {
            return true;
        }
        if self.link() != Some(packet.link) {
            // A link that went away and came back has another index.
            self.open(namespace, now);
        }
        self.link() == Some(packet.link)
    }

    /// Whether it came from near enough (RFC 5881 section 5, RFC 5883 section 5).
    pub(super) fn near_enough(&self, ttl: u8) -> bool {
        match self.wanted.settings.hops {
            Hops::Single => ttl == u8::MAX,
            Hops::Multi { minimum_ttl } => ttl >= minimum_ttl,
        }
    }

    /// Sends what the session has to send.
    pub(super) fn transmit(&mut self, namespace: &Namespace, now: Instant) {
        while let Some(packet) = self.session.poll_transmit() {
            self.send(namespace, now, &packet);
        }
    }

    /// Sends a packet. One that cannot be sent is lost, as on the way.
    pub(super) fn send(&mut self, namespace: &Namespace, now: Instant, packet: &[u8]) {
        if self.sender.is_none() {
            self.open(namespace, now);
        }
        let Some(sender) = &self.sender else { return };
        match sender.send(packet) {
            Ok(()) => self.trouble = None,
            Err(error) => {
                let passing = matches!(Errno::from_io_error(&error), Some(Errno::AGAIN | Errno::INTR | Errno::NOBUFS));
                if !passing {
                    self.trouble = Some(words(&error));
                    // It may be bound to a link that is gone; without a link it never goes stale.
                    if self.wanted.scope_link.is_some() {
                        self.sender = None;
                    }
                }
            }
        }
    }

    fn link(&self) -> Option<u32> {
        self.sender.as_ref().and_then(Sender::link)
    }

    /// Opens a new socket, now and then.
    fn open(&mut self, namespace: &Namespace, now: Instant) {
        if self.opened.is_some_and(|at| now < at + REOPEN) {
            return;
        }
        self.opened = Some(now);
        let way = Way {
            remote: self.wanted.peer,
            port: super::worker::port(self.wanted.multihop()),
            local: self.wanted.local,
            link: self.wanted.scope_link.clone(),
        };
        // The old one first: all packets of a session come from one port, if it can be had again.
        self.sender = None;
        match Sender::open(namespace, &way, SOURCE_PORTS, self.port) {
            Ok(sender) => {
                self.port = sender.local().map_or(self.port, |local| local.port());
                self.sender = Some(sender);
            }
            Err(error) => self.trouble = Some(words(&error)),
        }
    }
}

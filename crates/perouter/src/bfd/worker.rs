//! The thread itself: packets first, then commands, then timers.
//!
//! In this order a thread that did not run for a while finds what arrived meanwhile before it looks for what did not.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use engine::Level;
use engine::bfd::Packet;
use kernel::datagram::{Received, Receiver};
use kernel::netns::Namespace;
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::sync::{mpsc, oneshot};

use super::member::Member;
use super::reports::{Reports, report};
use super::{Command, Inbox, Report, View, Wanted};
use crate::speaker::connection::words;
use crate::status::Status;

/// Packets that are read from a socket before anything else is looked at: more than its buffer holds, so that timers are
/// looked at only when everything was read that came before.
const RECEIVES: usize = 512;
/// How long a session that is no longer wanted says so: three packets.
const FAREWELL: Duration = Duration::from_millis(2500);
/// At the end of the thread: how often that is said, and in which intervals.
const LAST_WORDS: u32 = 3;
const LAST_WORDS_INTERVAL: Duration = Duration::from_millis(20);
/// Between two attempts to get a port.
const RETRY: Duration = Duration::from_secs(1);
/// Between two attempts to tell a slow reader.
const SLOW_READER: Duration = Duration::from_millis(10);

/// RFC 5881 section 4, RFC 5883 section 5.
pub(super) fn port(multihop: bool) -> u16 {
    if multihop { 4784 } else { 3784 }
}

/// What arrives at one port in one family.
#[derive(Debug)]
struct Ear {
    ipv6: bool,
    multihop: bool,
    receiver: Option<Receiver>,
}

pub(super) struct Worker {
    namespace: Namespace,
    status: Status,
    reports: Reports,
    inbox: Arc<Inbox>,
    ears: [Ear; 4],
    /// When a port that somebody else has is tried again, and why it is not ours.
    retry: Option<(Instant, String)>,
    members: Vec<Member>,
    /// No longer wanted, and until when they say so.
    leaving: Vec<(Instant, Member)>,
    random: RandomState,
    drawn: u64,
}

impl Worker {
    pub(super) fn new(ns: Namespace, status: Status, reports: mpsc::Sender<Report>, inbox: Arc<Inbox>) -> Self {
        let kinds = [(false, false), (true, false), (false, true), (true, true)];
        Self {
            namespace: ns,
            status,
            reports: Reports::new(reports),
            inbox,
            ears: kinds.map(|(ipv6, multihop)| Ear { ipv6, multihop, receiver: None }),
            retry: None,
            members: Vec::new(),
            leaving: Vec::new(),
            random: RandomState::new(),
            drawn: 0,
        }
    }

    /// Until it is told to stop.
    pub(super) fn run(mut self) {
        if let Err(error) = kernel::priority::raise() {
            let text = format!(
                "BFD runs without real-time priority ({}): sessions with short intervals may go down under load",
                words(&error)
            );
            self.status.note(Level::Info, None, text);
        }
        let stopped = loop {
            self.receive();
            if let Some(stopped) = self.obey() {
                break stopped;
            }
            self.work(Instant::now());
            self.wait();
        };
        self.last_words();
        let _ = stopped.send(());
    }

    /// Sleeps until something arrives or is due.
    fn wait(&self) {
        let deadlines = self.members.iter().chain(self.leaving.iter().map(|(_, member)| member));
        let ends = self.leaving.iter().map(|(end, _)| *end);
        let retry = self.retry.iter().map(|(at, _)| *at);
        let told = self.reports.waiting().then(|| Instant::now() + SLOW_READER);
        let next =
            deadlines.filter_map(|member| member.session.poll_timeout()).chain(ends).chain(retry).chain(told).min();
        let timeout = next.map(|at| timespec(at.saturating_duration_since(Instant::now())));
        let receivers = self.ears.iter().filter_map(|ear| ear.receiver.as_ref());
        let mut polled: Vec<_> = receivers.map(|receiver| PollFd::new(receiver, PollFlags::IN)).collect();
        polled.push(PollFd::new(&self.inbox.wake, PollFlags::IN));
        // Whatever woke us, everything is looked at: a signal is no exception.
        let _ = rustix::event::poll(&mut polled, timeout.as_ref());
    }

    fn receive(&mut self) {
        let mut buffer = [0; 128];
        for at in 0..self.ears.len() {
            for _ in 0..RECEIVES {
                let ear = &self.ears[at];
                let Some(receiver) = &ear.receiver else { break };
                let multihop = ear.multihop;
                match receiver.receive(&mut buffer) {
                    Ok(Some(received)) => self.deliver(multihop, &received),
                    Ok(None) => break,
                    Err(error) => {
                        self.ears[at].receiver = None;
                        self.retry_later(port(multihop), &words(&error));
                    }
                }
            }
        }
    }

    fn deliver(&mut self, multihop: bool, received: &Received<'_>) {
        let now = Instant::now();
        let packet = match Packet::decode(received.payload) {
            Ok(packet) => packet,
            Err(invalid) => {
                tracing::trace!(peer = %received.source, "BFD packet discarded: {invalid}");
                return;
            }
        };
        let namespace = &self.namespace;
        // What came over several hops is never for a session of one hop, whatever it names.
        let mut kin = self.members.iter_mut().filter(|member| member.wanted.multihop() == multihop);
        // RFC 5880 section 6.3: the number alone decides, once the neighbour knows it.
        let found = match NonZeroU32::new(packet.your_discriminator) {
            Some(number) => kin.find(|member| member.session.discriminator() == number),
            None => kin.find_map(|member| member.matches(namespace, now, received).then_some(member)),
        };
        match found.filter(|member| member.near_enough(received.ttl)) {
            Some(member) => {
                member.session.handle_packet(now, &packet);
                member.transmit(&self.namespace, now);
            }
            None => tracing::trace!(peer = %received.source, ttl = received.ttl, "BFD packet for no session of ours"),
        }
    }

    /// Carries out the commands. Returns whom to tell of the end.
    fn obey(&mut self) -> Option<oneshot::Sender<()>> {
        for command in self.inbox.take() {
            match command {
                Command::Sessions(wanted) => self.set_sessions(wanted),
                Command::Snapshot(reply) => {
                    let _ = reply.send(self.members.iter().map(view).collect());
                }
                Command::Stop(reply) => return Some(reply),
            }
        }
        None
    }

    fn set_sessions(&mut self, wanted: Vec<Wanted>) {
        let now = Instant::now();
        let mut old = std::mem::take(&mut self.members);
        for wanted in wanted {
            if self.members.iter().any(|member| member.wanted.same_session(&wanted)) {
                continue;
            }
            let member = match old.iter().position(|member| member.wanted.same_session(&wanted)) {
                Some(at) => {
                    let mut member = old.remove(at);
                    if member.wanted.settings != wanted.settings {
                        member.session.set_settings(wanted.settings);
                    }
                    member.wanted = wanted;
                    member
                }
                None => {
                    // The one that is leaving would talk the neighbour out of the new one.
                    self.leaving.retain(|(_, member)| !member.wanted.same_session(&wanted));
                    let number = self.discriminator(&old);
                    Member::new(wanted, number, self.draw(), now)
                }
            };
            self.members.push(member);
        }
        for mut member in old {
            self.reports.forget(member.wanted.peer, member.wanted.scope_link.as_deref());
            // Whoever is not heard does not listen either.
            if member.session.snapshot().remote.discriminator != 0 {
                member.session.admin_down(now);
                self.leaving.push((now + FAREWELL, member));
            }
        }
        self.listen(now);
    }

    /// A number that no session of ours has and nobody can guess.
    fn discriminator(&mut self, old: &[Member]) -> NonZeroU32 {
        loop {
            let leaving = self.leaving.iter().map(|(_, member)| member);
            let taken: Vec<_> =
                self.members.iter().chain(old).chain(leaving).map(|m| m.session.discriminator()).collect();
            let drawn = self.draw();
            if let Some(number) = NonZeroU32::new((drawn >> 32) as u32).filter(|number| !taken.contains(number)) {
                return number;
            }
        }
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.random.hash_one(self.drawn)
    }

    /// Opens the ports that sessions need.
    fn listen(&mut self, now: Instant) {
        let told = self.retry.take();
        for at in 0..self.ears.len() {
            let Ear { ipv6, multihop, .. } = self.ears[at];
            let needs = |m: &Member| m.wanted.peer.is_ipv6() == ipv6 && m.wanted.multihop() == multihop;
            if self.ears[at].receiver.is_some() || !self.members.iter().any(needs) {
                continue;
            }
            match Receiver::open(&self.namespace, ipv6, port(multihop)) {
                Ok(receiver) => self.ears[at].receiver = Some(receiver),
                Err(error) => {
                    let reason = words(&error);
                    if told.as_ref().is_none_or(|(_, old)| *old != reason) {
                        let text = format!(
                            "BFD cannot listen on UDP port {}: {reason}. Sessions stay down; trying again",
                            port(multihop)
                        );
                        self.status.note(Level::Warn, None, text);
                    }
                    self.retry = Some((now + RETRY, reason));
                }
            }
        }
    }

    fn retry_later(&mut self, port: u16, reason: &str) {
        self.status.note(Level::Warn, None, format!("BFD cannot read UDP port {port}: {reason}. Opening it again"));
        self.retry = Some((Instant::now() + RETRY, reason.to_owned()));
    }

    /// Does what is due, sends and tells.
    fn work(&mut self, now: Instant) {
        if self.retry.as_ref().is_some_and(|(at, _)| *at <= now) {
            self.listen(now);
        }
        for member in &mut self.members {
            member.session.handle_timeout(now);
            member.transmit(&self.namespace, now);
            while let Some(change) = member.session.poll_change() {
                if let Some(report) = report(&member.wanted, &mut member.told, &change) {
                    self.reports.push(report);
                }
            }
        }
        for (_, member) in &mut self.leaving {
            member.session.handle_timeout(now);
            member.transmit(&self.namespace, now);
            while member.session.poll_change().is_some() {}
        }
        self.leaving.retain(|(end, _)| *end > now);
        self.reports.flush();
    }

    fn last_words(&mut self) {
        let now = Instant::now();
        let mut last = Vec::new();
        for (at, member) in self.members.iter_mut().enumerate() {
            member.session.admin_down(now);
            while let Some(packet) = member.session.poll_transmit() {
                last.push((at, packet));
            }
        }
        if last.is_empty() {
            return;
        }
        for time in 0..LAST_WORDS {
            if time > 0 {
                thread::sleep(LAST_WORDS_INTERVAL);
            }
            for (at, packet) in &last {
                self.members[*at].send(&self.namespace, now, packet);
            }
        }
    }
}

fn view(member: &Member) -> View {
    View { wanted: member.wanted.clone(), session: member.session.snapshot(), trouble: member.trouble.clone() }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec { tv_sec: i64::from(i32::MAX), tv_nsec: 0 })
}

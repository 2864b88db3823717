//! A session: its states and its timers (RFC 5880 sections 6.2 and 6.8).

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::packet::{Diagnostic, LENGTH, Packet, State};
use super::settings::Settings;
use super::timers::{Intervals, Local, SLOW};
use super::view::{Change, Reason, Side, Snapshot};

/// What the neighbour said last.
#[derive(Clone, Copy, Debug)]
struct Remote {
    /// 0: it is not heard.
    discriminator: u32,
    state: State,
    diagnostic: Diagnostic,
    desired_min_tx: u32,
    required_min_rx: u32,
    multiplier: u8,
    control_plane_independent: bool,
    demand: bool,
}

impl Remote {
    /// RFC 5880 section 6.8.1: as long as nothing is known it can receive at any rate.
    const UNKNOWN: Self = Self {
        discriminator: 0,
        state: State::Down,
        diagnostic: Diagnostic::NONE,
        desired_min_tx: 0,
        required_min_rx: 1,
        multiplier: 0,
        control_plane_independent: false,
        demand: false,
    };

    fn of(packet: &Packet) -> Self {
        Self {
            discriminator: packet.my_discriminator.get(),
            state: packet.state,
            diagnostic: packet.diagnostic,
            desired_min_tx: packet.desired_min_tx,
            required_min_rx: packet.required_min_rx,
            multiplier: packet.multiplier,
            control_plane_independent: packet.control_plane_independent,
            demand: packet.demand,
        }
    }
}

/// A session with one neighbour.
///
/// After every `handle_*`, `set_settings`, `admin_down` and `enable`, drain [`Self::poll_transmit`] and
/// [`Self::poll_change`], and wake up at [`Self::poll_timeout`].
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    discriminator: NonZeroU32,
    state: State,
    diagnostic: Diagnostic,
    local: Local,
    remote: Remote,
    /// When the last packet was taken, unless a detection time has passed since.
    heard: Option<Instant>,
    /// When the last packet went out that was not an answer to a poll, or when the first is due.
    sent_at: Instant,
    /// Part of the interval after which the next one follows, in thousandths.
    jitter: u32,
    random: u64,
    /// A packet is to be sent.
    due: bool,
    /// The neighbour polled.
    answer: bool,
    changes: VecDeque<Change>,
    sent: u64,
    received: u64,
    downs: u64,
    since: Instant,
    reason: Reason,
}

impl Session {
    /// A session in state Down. `discriminator` is its number here: no other session of this system may have it, and
    /// nobody outside should be able to guess it.
    pub fn new(settings: Settings, discriminator: NonZeroU32, now: Instant) -> Self {
        let mut session = Self {
            settings,
            discriminator,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            local: Local::new(wanted(&settings, State::Down)),
            remote: Remote::UNKNOWN,
            heard: None,
            sent_at: now,
            jitter: 0,
            random: u64::from(discriminator.get()),
            due: false,
            answer: false,
            changes: VecDeque::new(),
            sent: 0,
            received: 0,
            downs: 0,
            since: now,
            reason: Reason::Started,
        };
        session.due = session.may_send();
        session.draw();
        session
    }

    /// Our number of the session.
    pub fn discriminator(&self) -> NonZeroU32 {
        self.discriminator
    }

    /// Our state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Takes a packet that was found to be for this session: by `your_discriminator`, or by its addresses when that is
    /// zero (RFC 5880 section 6.3). Returns whether it was taken: one that names another session is not, nor is any
    /// while the session is held down (section 6.8.6).
    pub fn handle_packet(&mut self, now: Instant, packet: &Packet) -> bool {
        if packet.your_discriminator != 0 && packet.your_discriminator != self.discriminator.get() {
            return false;
        }
        let was_admin_down = self.remote.state == State::AdminDown;
        self.remote = Remote::of(packet);
        if packet.is_final {
            self.local.answered();
        }
        if self.state == State::AdminDown {
            return false;
        }
        self.heard = Some(now);
        self.received += 1;
        self.answer |= packet.poll;
        let next = step(self.state, packet.state);
        if next != self.state {
            let (diagnostic, reason) = match (next, packet.state) {
                (State::Up, _) => (self.diagnostic, Reason::Agreed),
                (State::Init, _) => (self.diagnostic, Reason::Heard),
                (State::Down | State::AdminDown, State::AdminDown) => {
                    (Diagnostic::NEIGHBOR_SIGNALED_DOWN, Reason::RemoteAdminDown)
                }
                (State::Down | State::AdminDown, State::Down | State::Init | State::Up) => {
                    (Diagnostic::NEIGHBOR_SIGNALED_DOWN, Reason::RemoteDown(packet.diagnostic))
                }
            };
            self.enter(now, next, diagnostic, reason);
        } else if packet.state == State::AdminDown && !was_admin_down {
            self.reason = Reason::RemoteAdminDown;
            self.tell();
        }
        true
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.detection_deadline().is_some_and(|at| at <= now) {
            self.expire(now);
        }
        if self.next_transmit().is_some_and(|at| at <= now) {
            self.send(now);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_transmit().into_iter().chain(self.detection_deadline()).min()
    }

    /// The next packet to send.
    pub fn poll_transmit(&mut self) -> Option<[u8; LENGTH]> {
        let is_final = std::mem::take(&mut self.answer);
        if !is_final && !std::mem::take(&mut self.due) {
            return None;
        }
        self.sent += 1;
        let said = self.local.said();
        let packet = Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            // Never both (RFC 5880 section 6.5).
            poll: self.local.polling() && !is_final,
            is_final,
            control_plane_independent: self.settings.control_plane_independent,
            demand: false,
            multiplier: self.settings.multiplier.max(1),
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: said.transmit,
            required_min_rx: said.receive,
            required_min_echo_rx: 0,
        };
        Some(packet.encode())
    }

    /// The next change.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// Changes the settings without disturbing the session: new intervals are polled for where the neighbour depends
    /// on the old ones.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
        self.adopt();
    }

    /// Holds the session down. Go on sending what is due for a while, so that the neighbour hears of it (RFC 5880
    /// section 6.8.16).
    pub fn admin_down(&mut self, now: Instant) {
        if self.state != State::AdminDown {
            self.enter(now, State::AdminDown, Diagnostic::ADMINISTRATIVELY_DOWN, Reason::AdminDown);
        }
    }

    /// Lets a session that was held down come up again.
    pub fn enable(&mut self, now: Instant) {
        if self.state == State::AdminDown {
            self.enter(now, State::Down, self.diagnostic, Reason::Enabled);
        }
    }

    /// The session at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let said = self.local.said();
        Snapshot {
            local: Side {
                state: self.state,
                diagnostic: self.diagnostic,
                discriminator: self.discriminator.get(),
                desired_min_tx: duration(said.transmit),
                required_min_rx: duration(said.receive),
                multiplier: self.settings.multiplier,
                control_plane_independent: self.settings.control_plane_independent,
                demand: false,
            },
            remote: Side {
                state: self.remote.state,
                diagnostic: self.remote.diagnostic,
                discriminator: self.remote.discriminator,
                desired_min_tx: duration(self.remote.desired_min_tx),
                required_min_rx: duration(self.remote.required_min_rx),
                multiplier: self.remote.multiplier,
                control_plane_independent: self.remote.control_plane_independent,
                demand: self.remote.demand,
            },
            transmit_interval: self.sends_periodically().then(|| duration(self.transmit_interval())),
            receive_interval: self.heard.map(|_| duration(self.receive_interval())),
            detection_time: self.heard.map(|_| self.detection_time()),
            polling: self.local.polling(),
            sent: self.sent,
            received: self.received,
            downs: self.downs,
            since: self.since,
            reason: self.reason,
        }
    }

    fn enter(&mut self, now: Instant, state: State, diagnostic: Diagnostic, reason: Reason) {
        if self.state == State::Up {
            self.downs += 1;
        }
        self.state = state;
        self.diagnostic = diagnostic;
        self.since = now;
        self.reason = reason;
        self.adopt();
        // The neighbour hears of a new state at once (RFC 5880 section 6.8.7).
        if self.may_send() {
            self.send(now);
        }
        self.tell();
    }

    /// Nothing was heard for the detection time: whoever comes next may be another one (RFC 5880 section 6.8.1).
    fn expire(&mut self, now: Instant) {
        let reason = Reason::Expired { after: self.detection_time() };
        let was_admin_down = self.remote.state == State::AdminDown;
        self.heard = None;
        let Remote { diagnostic, control_plane_independent, .. } = self.remote;
        self.remote = Remote { diagnostic, control_plane_independent, ..Remote::UNKNOWN };
        match self.state {
            State::Init | State::Up => {
                self.enter(now, State::Down, Diagnostic::DETECTION_TIME_EXPIRED, reason);
            }
            State::Down if was_admin_down => {
                self.reason = reason;
                self.tell();
            }
            State::Down | State::AdminDown => {}
        }
    }

    /// Takes the intervals that the settings want in this state.
    fn adopt(&mut self) {
        let wanted = wanted(&self.settings, self.state);
        match self.state {
            // The neighbour reads the intervals from any packet, and no detection time runs by them.
            State::AdminDown | State::Down => self.local.set(wanted),
            State::Init | State::Up => self.local.negotiate(wanted),
        }
    }

    fn tell(&mut self) {
        self.changes.push_back(Change {
            state: self.state,
            diagnostic: self.diagnostic,
            remote_state: self.remote.state,
            remote_diagnostic: self.remote.diagnostic,
            remote_control_plane_independent: self.remote.control_plane_independent,
            reason: self.reason,
        });
    }

    fn send(&mut self, now: Instant) {
        self.due = true;
        self.sent_at = now;
        self.draw();
    }

    /// RFC 5880 section 6.8.7: packets come up to a quarter early, so that systems do not fall into step; with a
    /// multiplier of one at least a tenth, so that the detection time is not reached.
    fn draw(&mut self) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let latest = if self.settings.multiplier <= 1 { 900 } else { 1000 };
        self.jitter = 750 + u32::try_from(self.random % (latest - 750 + 1)).expect("at most 250");
    }

    /// The passive side is silent until it knows the other (RFC 5880 section 6.8.7).
    fn may_send(&self) -> bool {
        !self.settings.passive || self.remote.discriminator != 0
    }

    fn sends_periodically(&self) -> bool {
        let both_up = self.state == State::Up && self.remote.state == State::Up;
        let not_wanted = self.remote.demand && both_up && !self.local.polling();
        self.may_send() && self.remote.required_min_rx != 0 && !not_wanted
    }

    fn next_transmit(&self) -> Option<Instant> {
        // In nanoseconds times thousandths, which no interval of 32 bits overflows.
        let after = Duration::from_nanos(u64::from(self.transmit_interval()) * u64::from(self.jitter));
        self.sends_periodically().then(|| self.sent_at + after)
    }

    fn transmit_interval(&self) -> u32 {
        self.local.used().transmit.max(self.remote.required_min_rx)
    }

    fn receive_interval(&self) -> u32 {
        self.local.used().receive.max(self.remote.desired_min_tx)
    }

    /// RFC 5880 section 6.8.4, asynchronous mode.
    fn detection_time(&self) -> Duration {
        duration(self.receive_interval()) * u32::from(self.remote.multiplier)
    }

    fn detection_deadline(&self) -> Option<Instant> {
        self.heard.map(|at| at + self.detection_time())
    }
}

/// What a packet with the state `received` makes of the state `own` (RFC 5880 section 6.8.6).
fn step(own: State, received: State) -> State {
    match (own, received) {
        (State::AdminDown, State::AdminDown | State::Down | State::Init | State::Up) => State::AdminDown,
        (State::Down | State::Init | State::Up, State::AdminDown) => State::Down,
        (State::Down, State::Down) => State::Init,
        (State::Down, State::Init) => State::Up,
        // It does not know yet that we are down.
        (State::Down, State::Up) => State::Down,
        (State::Init, State::Down) => State::Init,
        (State::Init, State::Init | State::Up) => State::Up,
        (State::Up, State::Down) => State::Down,
        (State::Up, State::Init | State::Up) => State::Up,
    }
}

fn wanted(settings: &Settings, state: State) -> Intervals {
    let transmit = micros(settings.transmit);
    let transmit = if state == State::Up { transmit } else { transmit.max(SLOW) };
    Intervals { transmit, receive: micros(settings.receive) }
}

/// Zero would mean never.
fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX).max(1)
}

fn duration(micros: u32) -> Duration {
    Duration::from_micros(micros.into())
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "pair_tests.rs"]
mod pair;

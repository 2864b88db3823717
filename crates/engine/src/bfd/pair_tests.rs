//! Two sessions and a link between them that delays and loses, under a virtual clock.
#![expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way")]

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

struct Pair {
    start: Instant,
    now: Instant,
    sessions: [Session; 2],
    /// Arrival, receiver, packet.
    flying: Vec<(Instant, usize, Packet)>,
    /// Per sender, of a thousand.
    loss: [u32; 2],
    delay: Duration,
    random: u64,
    /// When each side last took a packet.
    heard: [Option<Instant>; 2],
    /// When each side became what.
    changes: [Vec<(Instant, Change)>; 2],
}

impl Pair {
    fn new(settings: [Settings; 2], delay: Duration, loss: [u32; 2], seed: u64) -> Self {
        let now = Instant::now();
        let session = |side: usize, number| Session::new(settings[side], NonZeroU32::new(number).unwrap(), now);
        let sessions = [session(0, 11), session(1, 22)];
        let (heard, changes) = Default::default();
        let random = seed | 1;
        let mut pair = Self { start: now, now, sessions, flying: Vec::new(), loss, delay, random, heard, changes };
        pair.drain();
        pair
    }

    fn chance(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        u32::try_from((self.random >> 33) % 1000).unwrap()
    }

    fn drain(&mut self) {
        for side in 0..2 {
            while let Some(bytes) = self.sessions[side].poll_transmit() {
                let lost = self.chance() < self.loss[side];
                // Up to half as late again: packets overtake each other.
                let arrival = self.now + self.delay + self.delay * self.chance() / 2000;
                if !lost {
                    self.flying.push((arrival, 1 - side, Packet::decode(&bytes).unwrap()));
                }
            }
            while let Some(change) = self.sessions[side].poll_change() {
                self.changes[side].push((self.now, change));
            }
        }
    }

    /// Runs until `condition` holds or this much time is over; returns whether it held.
    fn run(&mut self, time: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        while !condition(self) {
            let arrival = self.flying.iter().map(|(at, ..)| *at).min();
            let deadline = self.sessions.iter().filter_map(Session::poll_timeout).min();
            let Some(next) = arrival.into_iter().chain(deadline).min().filter(|at| *at <= end) else {
                self.now = end;
                return condition(self);
            };
            self.now = self.now.max(next);
            let now = self.now;
            for (_, side, packet) in self.flying.extract_if(.., |(at, ..)| *at <= now) {
                self.heard[side] = Some(now);
                self.sessions[side].handle_packet(now, &packet);
            }
            self.sessions.iter_mut().for_each(|session| session.handle_timeout(now));
            self.drain();
        }
        true
    }

    fn states(&self) -> [State; 2] {
        [self.sessions[0].state(), self.sessions[1].state()]
    }

    fn both_up(&self) -> bool {
        self.states() == [State::Up; 2]
    }

    fn ever_up(&self) -> bool {
        self.changes.iter().flatten().any(|(_, change)| change.state == State::Up)
    }

    fn settled(&self) -> bool {
        self.both_up() && self.sessions.iter().all(|session| !session.snapshot().polling)
    }
}

fn settings(transmit: u32, receive: u32, multiplier: u8) -> Settings {
    Settings { transmit: transmit * MS, receive: receive * MS, multiplier, ..Settings::default() }
}

fn any_settings() -> impl Strategy<Value = Settings> {
    (10u32..400, 10u32..400, 2u8..6).prop_map(|(transmit, receive, multiplier)| settings(transmit, receive, multiplier))
}

/// The slower of what one wants to send and the other can take.
fn agreed(from: &Settings, to: &Settings) -> Duration {
    from.transmit.max(to.receive)
}

#[test]
fn a_session_comes_up_within_two_slow_intervals_and_takes_its_own_pace() {
    let wanted = [settings(50, 50, 3), settings(300, 20, 5)];
    let mut pair = Pair::new(wanted, 2 * MS, [0, 0], 1);
    assert!(pair.run(2000 * MS, Pair::settled));
    let [left, right] = [0, 1].map(|side| pair.sessions[side].snapshot());
    assert_eq!((left.transmit_interval, left.detection_time), (Some(50 * MS), Some(1500 * MS)));
    assert_eq!((right.transmit_interval, right.detection_time), (Some(300 * MS), Some(150 * MS)));
    assert_eq!((left.remote, right.remote), (right.local, left.local));
}

#[test]
fn one_passive_side_comes_up_and_two_never_speak() {
    let passive = Settings { passive: true, ..settings(50, 50, 3) };
    let mut one = Pair::new([settings(50, 50, 3), passive], MS, [0, 0], 1);
    assert!(one.run(2000 * MS, Pair::both_up));
    let mut two = Pair::new([passive, passive], MS, [0, 0], 1);
    assert!(!two.run(60_000 * MS, |pair| pair.states() != [State::Down; 2] || !pair.flying.is_empty()));
}

#[test]
fn holding_down_and_letting_go_is_felt_at_once() {
    let mut pair = Pair::new([settings(50, 50, 3), settings(50, 50, 3)], MS, [0, 0], 1);
    assert!(pair.run(2000 * MS, Pair::settled));
    let now = pair.now;
    pair.sessions[0].admin_down(now);
    pair.drain();
    assert!(pair.run(2 * MS, |pair| pair.states() == [State::AdminDown, State::Down]));
    assert_eq!(pair.changes[1].last().unwrap().1.reason, Reason::RemoteAdminDown);
    assert!(!pair.run(30_000 * MS, |pair| pair.states() != [State::AdminDown, State::Down]));
    let now = pair.now;
    pair.sessions[0].enable(now);
    pair.drain();
    assert!(pair.run(2000 * MS, Pair::both_up));
}

#[test]
fn a_neighbour_that_starts_anew_is_noticed_and_found_again() {
    let wanted = settings(300, 300, 3);
    let mut pair = Pair::new([wanted, wanted], MS, [0, 0], 1);
    assert!(pair.run(3000 * MS, Pair::settled));
    pair.sessions[1] = Session::new(wanted, NonZeroU32::new(23).unwrap(), pair.now);
    pair.drain();
    assert!(pair.run(2 * MS, |pair| pair.states()[0] == State::Down));
    assert_eq!(pair.changes[0].last().unwrap().1.reason, Reason::RemoteDown(Diagnostic::NONE));
    assert!(pair.run(2000 * MS, Pair::settled));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A fine link, also one that loses a packet now and then: up, and at the agreed pace.
    #[test]
    fn both_come_up_when_the_link_is_fine(
        wanted in [any_settings(), any_settings()], delay in 0u32..20, loss in 0u32..100, seed: u64,
    ) {
        let mut pair = Pair::new(wanted, delay * MS, [loss, loss], seed);
        prop_assert!(pair.run(60_000 * MS, Pair::settled), "{:?}", pair.changes);
        for (side, other) in [(0, 1), (1, 0)] {
            let seen = pair.sessions[side].snapshot();
            prop_assert_eq!(seen.transmit_interval, Some(agreed(&wanted[side], &wanted[other])));
            let detection = agreed(&wanted[other], &wanted[side]) * u32::from(wanted[other].multiplier);
            // Of a packet that says the final interval, which comes with the next one.
            pair.run(5000 * MS, |pair| pair.sessions[side].snapshot().detection_time == Some(detection));
            prop_assert_eq!(pair.sessions[side].snapshot().detection_time, Some(detection));
        }
    }

    /// Nothing that only one side hears brings either of them up.
    #[test]
    fn a_link_that_carries_one_way_only_is_never_up(
        wanted in [any_settings(), any_settings()], loss in 0u32..500, seed: u64, deaf in 0usize..2,
    ) {
        let mut losses = [loss, loss];
        losses[deaf] = 1000;
        let mut pair = Pair::new(wanted, 5 * MS, losses, seed);
        pair.run(60_000 * MS, |_| false);
        prop_assert!(!pair.ever_up(), "{:?}", pair.changes);
    }

    /// A loss without a word, in one direction or in both: both are down, the deaf ones within the detection time.
    #[test]
    fn silence_is_found_out_within_the_detection_time(
        wanted in [any_settings(), any_settings()], delay in 1u32..20, seed: u64, lost in 1usize..4, wait in 0u32..3000,
    ) {
        let mut pair = Pair::new(wanted, delay * MS, [0, 0], seed);
        prop_assert!(pair.run(60_000 * MS, Pair::settled));
        pair.run(wait * MS, |_| false);
        prop_assert!(pair.both_up(), "it stays up as long as nothing is lost");
        let detection = [0, 1].map(|side| pair.sessions[side].snapshot().detection_time.unwrap());
        let before: [usize; 2] = [0, 1].map(|side| pair.changes[side].len());
        pair.loss = [lost & 1, lost >> 1].map(|lost| if lost == 1 { 1000 } else { 0 });
        let down = |pair: &Pair| pair.states().iter().all(|state| *state != State::Up);
        prop_assert!(pair.run(detection[0] + detection[1] + 100 * MS, down), "{:?}", pair.changes);
        for (side, other) in [(0, 1), (1, 0)] {
            let (at, change) = pair.changes[side][before[side]];
            if pair.loss[other] == 1000 {
                prop_assert_eq!(change.diagnostic, Diagnostic::DETECTION_TIME_EXPIRED);
                prop_assert_eq!(at, pair.heard[side].unwrap() + detection[side]);
            }
        }
        pair.loss = [0, 0];
        prop_assert!(pair.run(60_000 * MS, Pair::settled));
    }

    /// Intervals are changed on both sides, again and again, while packets fly: nobody goes down for it.
    #[test]
    fn a_change_of_intervals_takes_nothing_down(
        wanted in [any_settings(), any_settings()],
        changes in proptest::collection::vec((0usize..2, any_settings(), 0u32..3000), 1..8),
        seed: u64,
    ) {
        // Faster than the fastest interval: an answer to one poll cannot be taken for the answer to the next.
        let mut pair = Pair::new(wanted, 3 * MS, [0, 0], seed);
        prop_assert!(pair.run(60_000 * MS, Pair::settled));
        let mut last = wanted;
        for (side, new, wait) in changes {
            last[side] = new;
            pair.sessions[side].set_settings(new);
            pair.drain();
            pair.run(wait * MS, |_| false);
        }
        prop_assert!(pair.run(60_000 * MS, Pair::settled));
        let down = pair.changes.iter().flatten().filter(|(_, change)| change.state == State::Down).count();
        prop_assert_eq!(down, 0, "{:?}", pair.changes);
        for (side, other) in [(0, 1), (1, 0)] {
            let interval = pair.sessions[side].snapshot().transmit_interval;
            prop_assert_eq!(interval, Some(agreed(&last[side], &last[other])));
        }
        prop_assert!(pair.now > pair.start);
    }
}

#![expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way")]

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);
const MINE: u32 = 7;
const THEIRS: u32 = 9;

fn settings(interval: u32, multiplier: u8) -> Settings {
    Settings { transmit: interval * MS, receive: interval * MS, multiplier, ..Settings::default() }
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// From the neighbour: 100 ms both ways, multiplier 4.
fn packet(state: State) -> Packet {
    Packet {
        diagnostic: Diagnostic::NONE,
        state,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        multiplier: 4,
        my_discriminator: number(THEIRS),
        your_discriminator: MINE,
        desired_min_tx: 100_000,
        required_min_rx: 100_000,
        required_min_echo_rx: 0,
    }
}

struct Fixture {
    session: Session,
    now: Instant,
}

impl Fixture {
    fn new(settings: Settings) -> Self {
        let now = Instant::now();
        Self { session: Session::new(settings, number(MINE), now), now }
    }

    /// As [`Self::new`], and brought to a state.
    fn at(settings: Settings, state: State) -> Self {
        let mut fixture = Self::new(settings);
        match state {
            State::AdminDown => fixture.session.admin_down(fixture.now),
            State::Down => {}
            State::Init => fixture.hear(packet(State::Down)),
            State::Up => fixture.hear(packet(State::Init)),
        }
        assert_eq!(fixture.session.state(), state);
        fixture.drain();
        fixture
    }

    fn hear(&mut self, packet: Packet) {
        self.session.handle_packet(self.now, &packet);
    }

    fn drain(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| self.session.poll_transmit()).map(|bytes| Packet::decode(&bytes).unwrap()).collect()
    }

    fn changes(&mut self) -> Vec<Change> {
        std::iter::from_fn(|| self.session.poll_change()).collect()
    }

    /// Goes from deadline to deadline.
    fn run_until(&mut self, condition: impl Fn(&Session) -> bool) {
        for _ in 0..10_000 {
            if condition(&self.session) {
                return;
            }
            self.step();
        }
        panic!("never: {:?}", self.session);
    }

    /// Goes to the next deadline and returns how long that was, and what is sent.
    fn step(&mut self) -> (Duration, Vec<Packet>) {
        let at = self.session.poll_timeout().expect("a deadline");
        let waited = at - self.now;
        self.now = at;
        self.session.handle_timeout(at);
        (waited, self.drain())
    }
}

/// RFC 5880 section 6.8.6, every pair: our state, what is heard (AdminDown, Down, Init, Up) and what follows.
#[test]
fn every_pair_of_states_has_its_successor() {
    use State::{AdminDown, Down, Init, Up};
    let table = [
        (AdminDown, [AdminDown, AdminDown, AdminDown, AdminDown]),
        (Down, [Down, Init, Up, Down]),
        (Init, [Down, Init, Up, Up]),
        (Up, [Down, Down, Up, Up]),
    ];
    for (own, successors) in table {
        for (received, successor) in [AdminDown, Down, Init, Up].into_iter().zip(successors) {
            let mut fixture = Fixture::at(settings(100, 3), own);
            fixture.changes();
            fixture.hear(packet(received));
            assert_eq!(fixture.session.state(), successor, "{own} hears {received}");
            let told: Vec<_> = fixture.changes().iter().map(|change| change.state).collect();
            let heard_of_it = received == AdminDown && own == Down;
            assert_eq!(!told.is_empty(), own != successor || heard_of_it, "{own} hears {received}");
            assert_eq!(!fixture.drain().is_empty(), own != successor, "a new state is sent at once, an old one is not");
        }
    }
}

#[test]
fn leaving_up_says_why() {
    for (received, reason, words) in [
        (
            State::Down,
            Reason::RemoteDown(Diagnostic(1)),
            "the neighbour says that its session is down: control detection time expired",
        ),
        (State::AdminDown, Reason::RemoteAdminDown, "the neighbour holds its session down on purpose"),
    ] {
        let mut fixture = Fixture::at(settings(100, 3), State::Up);
        fixture.changes();
        fixture.hear(Packet { diagnostic: Diagnostic(1), control_plane_independent: true, ..packet(received) });
        let change = Change {
            state: State::Down,
            diagnostic: Diagnostic::NEIGHBOR_SIGNALED_DOWN,
            remote_state: received,
            remote_diagnostic: Diagnostic(1),
            remote_control_plane_independent: true,
            reason,
        };
        assert_eq!(fixture.changes(), [change]);
        assert_eq!(reason.to_string(), words);
        let sent = fixture.drain();
        assert_eq!(sent.len(), 1);
        assert_eq!((sent[0].state, sent[0].diagnostic), (State::Down, Diagnostic::NEIGHBOR_SIGNALED_DOWN));
        assert_eq!(fixture.session.snapshot().downs, 1);
    }
}

/// Ours, theirs to send, their multiplier, and the detection time (RFC 5880 section 6.8.4).
#[test]
fn the_detection_time_is_their_multiplier_times_the_slower_interval() {
    for (ours, theirs, multiplier, expected) in
        [(50, 50, 3, 150), (50, 300, 3, 900), (300, 50, 3, 900), (10, 10, 255, 2550), (60_000, 10, 2, 120_000)]
    {
        let mut fixture = Fixture::at(settings(ours, 3), State::Up);
        let said = Packet { multiplier, desired_min_tx: theirs * 1000, is_final: true, ..packet(State::Up) };
        fixture.hear(said);
        let detection = expected * MS;
        assert_eq!(fixture.session.snapshot().detection_time, Some(detection));
        let heard = fixture.now;
        fixture.changes();
        fixture.run_until(|session| session.state() != State::Up);
        assert_eq!(fixture.now - heard, detection);
        let change = fixture.changes().pop().unwrap();
        assert_eq!(change.diagnostic, Diagnostic::DETECTION_TIME_EXPIRED);
        assert_eq!(change.reason, Reason::Expired { after: detection });
        assert_eq!(fixture.session.snapshot().remote.discriminator, 0, "RFC 5880 6.8.1: RemoteDiscr");
    }
}

/// Ours, what they can take, our state, and the interval in which we send.
#[test]
fn nobody_is_sent_more_than_it_can_take_and_only_up_is_fast() {
    for (ours, theirs, state, expected) in [
        (50, 50, State::Up, 50),
        (50, 300, State::Up, 300),
        (300, 50, State::Up, 300),
        (50, 50, State::Init, 1000),
        (50, 3000, State::Init, 3000),
        (2000, 50, State::Init, 2000),
    ] {
        let mut fixture = Fixture::at(settings(ours, 3), state);
        let heard = if state == State::Up { State::Up } else { State::Down };
        fixture.hear(Packet { required_min_rx: theirs * 1000, ..packet(heard) });
        assert_eq!(fixture.session.snapshot().transmit_interval, Some(expected * MS));
        assert_eq!(
            fixture.session.snapshot().local.desired_min_tx,
            if state == State::Up { ours } else { ours.max(1000) } * MS
        );
    }
}

#[test]
fn packets_come_up_to_a_quarter_early() {
    for (multiplier, latest) in [(3, 1000), (1, 900)] {
        let mut fixture = Fixture::new(settings(2000, multiplier));
        assert_eq!(fixture.drain().len(), 1, "the first goes out at once");
        let mut waits: Vec<_> = std::iter::repeat_with(|| fixture.step().0).take(400).collect();
        waits.sort();
        assert!(waits[0] >= 1500 * MS && waits[0] < 1530 * MS, "{:?}", waits[0]);
        let last = *waits.last().unwrap();
        assert!(last <= 2 * latest * MS && last > 2 * (latest - 15) * MS, "{last:?}");
    }
}

#[test]
fn the_passive_side_is_silent_until_it_hears_somebody() {
    let mut fixture = Fixture::new(Settings { passive: true, ..settings(100, 3) });
    assert_eq!((fixture.session.poll_timeout(), fixture.drain()), (None, vec![]));
    fixture.hear(packet(State::Down));
    let sent = fixture.drain();
    assert_eq!((sent.len(), sent[0].state, sent[0].your_discriminator), (1, State::Init, THEIRS));
    fixture.run_until(|session| session.state() == State::Down);
    assert_eq!((fixture.session.poll_timeout(), fixture.drain()), (None, vec![]), "silent again");
}

#[test]
fn a_neighbour_that_can_take_nothing_is_sent_nothing_periodically() {
    let mut fixture = Fixture::at(settings(100, 3), State::Up);
    fixture.hear(Packet { required_min_rx: 0, poll: true, ..packet(State::Up) });
    let sent = fixture.drain();
    assert!(sent.len() == 1 && sent[0].is_final, "a poll is answered all the same");
    assert_eq!(fixture.session.snapshot().transmit_interval, None);
    assert_eq!(fixture.session.poll_timeout(), Some(fixture.now + 400 * MS), "only the detection time runs");
}

#[test]
fn a_neighbour_in_demand_mode_is_sent_nothing_once_both_are_up() {
    let mut fixture = Fixture::at(settings(100, 3), State::Up);
    let demand = Packet { demand: true, ..packet(State::Up) };
    fixture.hear(Packet { is_final: true, ..demand });
    assert_eq!(fixture.session.snapshot().transmit_interval, None);
    // A change of intervals is polled for, and silence follows the answer.
    fixture.session.set_settings(settings(200, 3));
    assert!(fixture.step().1[0].poll);
    fixture.hear(Packet { is_final: true, ..demand });
    assert_eq!(fixture.session.snapshot().transmit_interval, None);
    fixture.hear(packet(State::Up));
    assert_eq!(fixture.session.snapshot().transmit_interval, Some(200 * MS));
}

#[test]
fn a_poll_is_answered_at_once_and_never_with_a_poll() {
    let mut fixture = Fixture::at(settings(100, 3), State::Up);
    assert!(fixture.session.snapshot().polling, "from a second to 100 ms");
    let deadline = fixture.session.poll_timeout();
    fixture.hear(Packet { poll: true, ..packet(State::Up) });
    let sent = fixture.drain();
    assert_eq!(sent.iter().map(|p| (p.poll, p.is_final)).collect::<Vec<_>>(), [(false, true)]);
    assert_eq!(fixture.session.poll_timeout(), deadline, "the periodic ones go on as before");
    assert_eq!(fixture.step().1.iter().map(|p| (p.poll, p.is_final)).collect::<Vec<_>>(), [(true, false)]);
}

#[test]
fn new_intervals_of_a_session_that_is_up_are_polled_for() {
    let mut fixture = Fixture::at(settings(300, 3), State::Up);
    fixture.hear(Packet { is_final: true, ..packet(State::Up) });
    fixture.session.set_settings(settings(500, 3));
    assert!(fixture.drain().is_empty(), "scheduled packets carry the poll (RFC 5880 6.5)");
    let before = fixture.session.snapshot();
    assert_eq!((before.transmit_interval, before.receive_interval), (Some(300 * MS), Some(500 * MS)));
    fixture.hear(packet(State::Up));
    let sent = fixture.step().1;
    assert!(sent[0].poll && sent[0].desired_min_tx == 500_000 && sent[0].required_min_rx == 500_000);
    fixture.hear(packet(State::Up));
    assert_eq!(fixture.session.snapshot().transmit_interval, Some(300 * MS), "nothing was answered");
    fixture.hear(Packet { is_final: true, ..packet(State::Up) });
    assert_eq!(fixture.session.snapshot().transmit_interval, Some(500 * MS));
    fixture.hear(packet(State::Up));
    assert!(!fixture.step().1[0].poll);
    assert_eq!(fixture.session.state(), State::Up);
}

#[test]
fn a_session_that_is_held_down_says_so_and_hears_nothing() {
    let mut fixture = Fixture::at(settings(100, 3), State::Up);
    fixture.changes();
    fixture.session.admin_down(fixture.now);
    let sent = fixture.drain();
    assert_eq!((sent[0].state, sent[0].diagnostic), (State::AdminDown, Diagnostic::ADMINISTRATIVELY_DOWN));
    assert_eq!(fixture.changes()[0].reason, Reason::AdminDown);
    assert!(!fixture.session.handle_packet(fixture.now, &Packet { poll: true, ..packet(State::Init) }));
    assert!(fixture.drain().is_empty());
    let (waited, sent) = std::iter::repeat_with(|| fixture.step()).find(|(_, sent)| !sent.is_empty()).unwrap();
    assert!(waited <= 1000 * MS && sent[0].state == State::AdminDown);
    fixture.session.enable(fixture.now);
    fixture.hear(packet(State::Init));
    assert_eq!(fixture.session.state(), State::Up);
}

#[test]
fn the_end_of_the_neighbours_admin_down_is_told() {
    let mut fixture = Fixture::at(settings(100, 3), State::Up);
    fixture.hear(packet(State::AdminDown));
    fixture.changes();
    fixture.hear(packet(State::AdminDown));
    assert_eq!(fixture.changes(), [], "told once");
    fixture.run_until(|session| session.snapshot().remote.discriminator == 0);
    let told = fixture.changes();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].state, told[0].remote_state), (State::Down, State::Down));
    assert!(matches!(told[0].reason, Reason::Expired { .. }));
}

#[test]
fn a_packet_for_another_session_changes_nothing() {
    let mut fixture = Fixture::at(settings(100, 3), State::Up);
    let before = fixture.session.snapshot();
    let other = Packet { your_discriminator: MINE + 1, poll: true, ..packet(State::Down) };
    assert!(!fixture.session.handle_packet(fixture.now, &other));
    assert_eq!(fixture.session.snapshot(), before);
    assert!(fixture.drain().is_empty());
}

#[test]
fn what_we_say_of_ourselves_is_what_the_settings_say() {
    for honest in [false, true] {
        let mut fixture = Fixture::new(Settings { control_plane_independent: honest, ..settings(100, 5) });
        let sent = fixture.drain();
        let first = sent.first().unwrap();
        assert_eq!((first.control_plane_independent, first.multiplier), (honest, 5));
        assert_eq!((first.my_discriminator.get(), first.your_discriminator), (MINE, 0));
        assert_eq!((first.demand, first.required_min_echo_rx), (false, 0));
    }
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let state = prop::sample::select(vec![State::AdminDown, State::Down, State::Init, State::Up]);
    let flags = any::<[bool; 4]>();
    let interval = || prop_oneof![Just(0), Just(1), 10_000u32..400_000, Just(u32::MAX)];
    (state, flags, 1u8.., 1u32.., prop_oneof![Just(0), Just(MINE), any::<u32>()], interval(), interval()).prop_map(
        |(state, [poll, is_final, control_plane_independent, demand], multiplier, mine, yours, tx, rx)| Packet {
            diagnostic: Diagnostic(multiplier % 32),
            state,
            poll,
            is_final,
            control_plane_independent,
            demand,
            multiplier,
            my_discriminator: number(mine),
            your_discriminator: yours,
            desired_min_tx: tx,
            required_min_rx: rx,
            required_min_echo_rx: tx,
        },
    )
}

proptest! {
    /// Whoever says whatever: the session goes on, has a deadline that it can reach, and answers at most twice.
    #[test]
    fn no_packet_breaks_a_session(
        packets in proptest::collection::vec((any_packet(), 0u32..2000, any::<u8>()), 1..60),
        passive in any::<bool>(),
    ) {
        let mut fixture = Fixture::new(Settings { passive, ..settings(100, 3) });
        for (packet, wait, order) in packets {
            fixture.now += wait * MS;
            match order {
                0..16 => fixture.session.set_settings(settings(10 + u32::from(order), order)),
                16..20 => fixture.session.admin_down(fixture.now),
                20..32 => fixture.session.enable(fixture.now),
                _ => fixture.hear(packet),
            }
            prop_assert!(fixture.drain().len() <= 2);
            fixture.session.handle_timeout(fixture.now);
            prop_assert!(fixture.drain().len() <= 2);
            // Every deadline that was there has been served.
            prop_assert!(fixture.session.poll_timeout().is_none_or(|at| at >= fixture.now));
        }
    }
}

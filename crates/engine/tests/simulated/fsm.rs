//! RFC 4271 section 8 as one table: every state with every event of section 8.1.
//!
//! Where the RFC waits in Idle before it tries again, and in Active for a peer that may connect, we do both at once: the
//! state is called Idle after a failed attempt and Active after a lost session, a dial is planned, and whoever connects
//! meanwhile is heard. A second OPEN is out of place whatever it says (RFC 6608), so it is not read.
//!
//! Each pair begins with a fresh engine that real events bring into the state. A cell is what is seen then: the state,
//! what was sent, what was closed or dialled, how many sessions were lost, and which timers run. A prime marks a
//! connection other than the one that the state is about.

use std::collections::BTreeSet;

use engine::snapshot::PeerState;
use engine::{ConnId, Event, Order};

use crate::routes::announce;
use crate::script::{ADDRESS, LONG, PEER, Script, keepalive, notification, open_bytes, own, raw};
use crate::sim::SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// An operator shut it down: RFC 4271's Idle in every respect.
    Idle,
    /// Between two attempts: Idle with its IdleHoldTimer (8.1.1, DampPeerOscillations aside). We listen meanwhile.
    Waiting,
    Connect,
    Active,
    OpenSent,
    OpenConfirm,
    Established,
}

use State::{Active, Connect, Established, Idle, OpenConfirm, OpenSent, Waiting};

const STATES: [State; 7] = [Idle, Waiting, Connect, Active, OpenSent, OpenConfirm, Established];

/// Which connection brings the engine into OpenSent and beyond.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Via {
    Dialled,
    Accepted,
}

/// An identifier lower than ours, 10.0.0.5: the connections that we dial win.
const LOWER: &str = "10.0.0.1";
const HIGHER: &str = "10.0.0.9";

fn drive(state: State, via: Via, router_id: &str) -> (Script, ConnId) {
    let mut script = Script::new(own(|_| {}));
    let none = ConnId::Dialled(u32::MAX);
    if state == Active {
        return (script, none);
    }
    script.next_deadline();
    let dialled = script.dialled();
    match state {
        Idle => {
            script.order(Order::Shutdown { message: None });
            return (script, dialled);
        }
        Waiting => {
            script.tell(Event::Closed { conn: dialled, error: Some("refused".into()) });
            return (script, dialled);
        }
        Connect | Active => return (script, dialled),
        OpenSent | OpenConfirm | Established => {}
    }
    let conn = if via == Via::Dialled { script.connected() } else { script.accept(ADDRESS) };
    if state != OpenSent {
        script.send(conn, open_bytes(router_id));
    }
    if state == Established {
        script.send(conn, keepalive());
    }
    (script, conn)
}

/// What happens to the engine in this state; whether it can.
type Apply = fn(State, &mut Script, ConnId) -> bool;

fn bytes(script: &mut Script, conn: ConnId, bytes: Vec<u8>) -> bool {
    script.send(conn, bytes);
    true
}

/// Lets time pass up to this deadline, if it comes before anything else happens than keepalives.
fn deadline(script: &mut Script, wanted: &str) -> bool {
    while let Some((at, why)) = script.engine.poll_timeout() {
        if why == wanted {
            script.now = script.now.max(at);
            script.said.clear();
            script.engine.handle_timeout(script.now);
            script.drain();
            return true;
        }
        if why != "keepalive" {
            return false;
        }
        script.next_deadline();
    }
    false
}

fn update() -> Vec<u8> {
    announce("198.51.100.0/24", &[PEER])
}

/// The other connection of a collision gets its OPEN, of a peer whose identifier makes it win.
fn collide(state: State, script: &mut Script, _: ConnId) -> bool {
    if !matches!(state, OpenSent | OpenConfirm | Established) {
        return false;
    }
    let other = script.accept(ADDRESS);
    script.said.clear();
    script.send(other, open_bytes(HIGHER));
    true
}

/// The configuration as it is, or as an operator starts a peer that was shut down.
fn start(state: State, script: &mut Script, _: ConnId) -> bool {
    if state == Idle {
        script.order(Order::Reset { message: None });
    } else {
        let own = script.own.clone();
        script.tell(Event::Intent(Box::new(own)));
    }
    true
}

struct Row {
    number: u8,
    name: &'static str,
    via: Via,
    apply: Apply,
    /// In the order of [`STATES`]. `=`: nothing changes, nor any timer. `-`: cannot happen in this state.
    cells: [&'static str; 7],
}

fn row(number: u8, name: &'static str, apply: Apply, cells: [&'static str; 7]) -> Row {
    Row { number, name, via: Via::Dialled, apply, cells }
}

/// Events that RFC 4271 calls optional and that we do not have, with the reason.
const ABSENT: [(u8, &str); 8] = [
    (3, "AutomaticStart: a start is the configuration's or an operator's, event 1; later ones are event 13's"),
    (4, "ManualStart with PassiveTcpEstablishment: event 1 of a passive neighbour, tested beside the table"),
    (5, "AutomaticStart with PassiveTcpEstablishment: as 3 and 4"),
    (6, "AutomaticStart with DampPeerOscillations: the wait grows with every failure, event 13"),
    (7, "AutomaticStart with DampPeerOscillations and PassiveTcpEstablishment: as 5 and 6"),
    (12, "DelayOpenTimer expires: OPEN is sent at once"),
    (14, "TcpConnection_Valid: the kernel tells of connections, not of SYNs"),
    (20, "BGPOpen with DelayOpenTimer running: there is no such timer"),
];

fn table() -> Vec<Row> {
    let stop = |_, script: &mut Script, _| {
        script.order(Order::Shutdown { message: None });
        true
    };
    let stranger = |_, script: &mut Script, _| {
        script.accept("192.0.2.77");
        true
    };
    let accepted = |_, script: &mut Script, _| {
        script.accept(ADDRESS);
        true
    };
    let closed = |_, script: &mut Script, conn| {
        script.tell(Event::Closed { conn, error: None });
        true
    };
    #[rustfmt::skip]
    let rows = vec![
        //                                                 Idle                       Waiting                         Connect
        //                     Active                      OpenSent                   OpenConfirm                     Established
        row(1, "ManualStart", start,                      ["Active | dial",           "=",                            "=",
                               "=",                        "=",                       "=",                            "="]),
        row(2, "ManualStop", stop,                        ["=",                       "Idle |",                       "Idle closed |",
                               "Idle |",                   "Idle 6/2 closed |",       "Idle 6/2 closed |",            "Idle 6/2 closed flap |"]),
        row(8, "AutomaticStop", reconfigure,              ["=",                       "Active | dial",                "Active closed | dial",
                               "=",                        "Active 6/6 closed | dial", "Active 6/6 closed | dial",    "Active 6/6 closed flap | dial"]),
        row(9, "ConnectRetryTimer_Expires", retry,        ["-",                       "-",                            "Connect closed dialled | connect retry 5",
                               "Connect dialled | connect retry 5", "-",              "-",                            "-"]),
        row(10, "HoldTimer_Expires", hold,                ["-",                       "-",                            "-",
                               "-",                        "Idle 4/0 closed | dial",  "Idle 4/0 closed | dial",       "Active 4/0 closed flap | dial"]),
        row(11, "KeepaliveTimer_Expires", alive,          ["-",                       "-",                            "-",
                               "-",                        "-",                       "OpenConfirm KEEPALIVE | hold 60 keepalive", "Established KEEPALIVE | hold 60 keepalive"]),
        row(13, "IdleHoldTimer_Expires", idle_hold,       ["-",                       "Connect dialled | connect retry 5", "-",
                               "-",                        "-",                       "-",                            "-"]),
        row(15, "Tcp_CR_Invalid", stranger,               ["Idle 6/5' closed' |",     "Idle 6/5' closed' | dial",     "Connect 6/5' closed' | connect retry 3",
                               "Active 6/5' closed' | dial", "OpenSent 6/5' closed' | hold 230", "OpenConfirm 6/5' closed' | hold 80 keepalive", "Established 6/5' closed' | hold 80 keepalive"]),
        // Where nothing is under way it is the answer to a dial that was given up.
        Row { via: Via::Accepted, ..
        row(16, "Tcp_CR_Acked", acknowledged,             ["Idle closed |",           "Idle closed | dial",           "OpenSent OPEN | hold 240",
                               "-",                        "OpenSent OPEN' | hold 230", "OpenConfirm closed' | hold 80 keepalive", "Established closed' | hold 80 keepalive"]) },
        row(17, "TcpConnectionConfirmed", accepted,       ["Idle 6/2' closed' |",     "OpenSent OPEN' | dial hold 240", "OpenSent OPEN' | connect retry 3 hold 240",
                               "OpenSent OPEN' | dial hold 240", "OpenSent OPEN' | hold 230", "OpenConfirm OPEN' | hold 80 keepalive", "Established OPEN' | hold 80 keepalive"]),
        row(18, "TcpConnectionFails", closed,             ["=",                       "=",                            "Idle | dial",
                               "=",                        "Idle closed | dial",      "Idle closed | dial",           "Active closed flap | dial"]),
        row(19, "BGPOpen", |_, script, conn| bytes(script, conn, open_bytes(LOWER)),
                                                          ["=",                       "=",                            "=",
                               "=",                        "OpenConfirm KEEPALIVE | hold 90 keepalive", "Idle 5/2 closed | dial", "Active 5/3 closed flap | dial"]),
        row(21, "BGPHeaderErr", |_, script, conn| bytes(script, conn, vec![0; 19]),
                                                          ["=",                       "=",                            "=",
                               "=",                        "Idle 1/1 closed | dial",  "Idle 1/1 closed | dial",       "Active 1/1 closed flap | dial"]),
        row(22, "BGPOpenMsgErr", |_, script, conn| bytes(script, conn, version_3()),
                                                          ["=",                       "=",                            "=",
                               "=",                        "Idle 2/1 closed | dial",  "Idle 5/2 closed | dial",       "Active 5/3 closed flap | dial"]),
        // An established session is not given up for another connection: that one goes.
        row(23, "OpenCollisionDump", collide,             ["-",                       "-",                            "-",
                               "-", "OpenConfirm 6/7 KEEPALIVE' closed | hold 90 keepalive", "OpenConfirm 6/7 KEEPALIVE' closed | hold 90 keepalive", "Established 6/7' closed' | hold 80 keepalive"]),
        row(24, "NotifMsgVerErr", |_, script, conn| bytes(script, conn, notification(2, 1)),
                                                          ["=",                       "=",                            "=",
                               "=",                        "Idle closed | dial",      "Idle closed | dial",           "Active closed flap | dial"]),
        row(25, "NotifMsg", |_, script, conn| bytes(script, conn, notification(6, 4)),
                                                          ["=",                       "=",                            "=",
                               "=",                        "Idle closed | dial",      "Idle closed | dial",           "Active closed flap | dial"]),
        row(26, "KeepAliveMsg", |_, script, conn| bytes(script, conn, keepalive()),
                                                          ["=",                       "=",                            "=",
                               "=",                        "Idle 5/1 closed | dial",  "Established UPDATE | hold 90 keepalive", "Established | hold 90 keepalive"]),
        row(27, "UpdateMsg", |_, script, conn| bytes(script, conn, update()),
                                                          ["=",                       "=",                            "=",
                               "=",                        "Idle 5/1 closed | dial",  "Idle 5/2 closed | dial",       "Established | hold 90 keepalive"]),
        row(28, "UpdateMsgErr", |_, script, conn| bytes(script, conn, raw(2, &[0xff, 0xff, 0, 0])),
                                                          ["=",                       "=",                            "=",
                               "=",                        "Idle 5/1 closed | dial",  "Idle 5/2 closed | dial",       "Active 3/1 closed flap | dial"]),
    ];
    rows
}

fn hold(_: State, script: &mut Script, _: ConnId) -> bool {
    deadline(script, "hold")
}

fn alive(_: State, script: &mut Script, _: ConnId) -> bool {
    deadline(script, "keepalive")
}

fn idle_hold(state: State, script: &mut Script, _: ConnId) -> bool {
    state == Waiting && deadline(script, "dial")
}

/// A change that is settled in OPEN ends the session, without an operator: event 8.
fn reconfigure(_: State, script: &mut Script, _: ConnId) -> bool {
    script.tell(Event::Intent(Box::new(own(|peer| peer.hold_time = SECOND * 120))));
    true
}

/// In Active the wait for the first dial is what the RFC's timer is there.
fn retry(state: State, script: &mut Script, _: ConnId) -> bool {
    deadline(script, if state == Active { "dial" } else { "connect retry" })
}

/// Our dial is answered: the one that is under way, or one that was given up since.
fn acknowledged(_: State, script: &mut Script, _: ConnId) -> bool {
    if script.dials.is_empty() {
        return false;
    }
    script.connected();
    true
}

fn version_3() -> Vec<u8> {
    let mut bytes = open_bytes(LOWER);
    bytes[19] = 3;
    bytes
}

/// What is to be seen of a script after `before`, and of the timers from here on.
fn observe(mut script: Script, main: ConnId) -> String {
    let prime = |conn: ConnId| if conn == main { "" } else { "'" };
    let peer = script.peer();
    let mut seen = vec![peer.state.name().to_string()];
    seen.extend(script.said.iter().map(|said| format!("{}{}", said.name(), prime(said.conn))));
    seen.extend(script.closed.iter().map(|conn| format!("closed{}", prime(*conn))));
    seen.extend(script.dials.iter().map(|_| "dialled".to_string()));
    if peer.flaps > 0 {
        seen.push("flap".into());
    }
    seen.push("|".into());
    let (since, closed, dials) = (script.now, script.closed.len(), script.dials.len());
    let mut timers: BTreeSet<String> = BTreeSet::new();
    while script.closed.len() == closed && script.dials.len() == dials && script.now < since + LONG {
        let Some((why, _)) = script.next_deadline() else { break };
        // Beside a connection a dial that had no answer is given up, and the connection's timers run on.
        if why == "connect retry" && script.dials.len() == dials && peer.state == PeerState::OpenSent {
            script.closed.truncate(closed);
        }
        timers.insert(match why {
            // Jittered: only that it runs.
            "keepalive" | "dial" => why.into(),
            // In tens of seconds: what is left of it when a jittered keepalive is due is not always the same.
            "hold" => format!("{why} {}", (script.now - since).as_secs() / 10 * 10),
            _ => format!("{why} {}", (script.now - since).as_secs()),
        });
    }
    seen.extend(timers);
    seen.join(" ")
}

fn observed(row: &Row, state: State) -> String {
    let begin = || {
        let (mut script, conn) = drive(state, row.via, LOWER);
        // So that a timer that is restarted can be told from one that runs on.
        script.now += SECOND * 2;
        script.said.clear();
        script.closed.clear();
        let known = std::mem::take(&mut script.dials);
        (script, conn, known)
    };
    let (mut script, conn, known) = begin();
    script.dials.clone_from(&known);
    if !(row.apply)(state, &mut script, conn) {
        return "-".into();
    }
    script.dials.retain(|dial| !known.contains(dial));
    let (unchanged, _, _) = begin();
    let (seen, before) = (observe(script, conn), observe(unchanged, conn));
    if seen == before { "=".into() } else { seen }
}

/// RFC 4271 8.2.2, subcodes of RFC 6608; RFC 4486 for the Ceases.
#[test]
fn every_state_with_every_event() {
    let mut wrong = Vec::new();
    for row in table() {
        for (state, expected) in STATES.into_iter().zip(row.cells) {
            let seen = observed(&row, state);
            if seen != expected {
                wrong.push(format!(
                    "{} {} in {state:?}: expected \"{expected}\", seen \"{seen}\"",
                    row.number, row.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// RFC 4271 8.1: no event is forgotten, and those that we do not have are named.
#[test]
fn every_event_of_the_rfc_is_in_the_table_or_named_as_absent() {
    let mut numbers: Vec<u8> =
        table().iter().map(|row| row.number).chain(ABSENT.iter().map(|(number, _)| *number)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=28).collect::<Vec<u8>>());
}

/// RFC 4271 8.1: what the engine can be told, and what of section 8.1 it stands for. The match has no other arm, so that
/// a new kind of event has to be placed here.
fn stands_for(event: &Event) -> &'static [u8] {
    match event {
        Event::Intent(_) => &[1, 8],
        Event::Order { .. } => &[1, 2],
        Event::Connected { .. } => &[16],
        Event::Accepted { .. } => &[15, 17],
        Event::Closed { .. } => &[18],
        Event::Bytes { .. } => &[19, 21, 22, 23, 24, 25, 26, 27, 28],
        Event::Shutdown { .. } => &[2],
        Event::Neighbor { .. }
        | Event::Unread { .. }
        | Event::Links(_)
        | Event::Underlying(_)
        | Event::FibAck { .. }
        | Event::HostAck { .. }
        | Event::HostLost
        | Event::FibLost
        | Event::Restarted { .. }
        | Event::Liveness(_)
        | Event::Drain(_) => &[],
    }
}

/// RFC 4271 8.1.1: no timer runs besides those of the events in the table, and no event stands for an absent one.
#[test]
fn absent_events_cannot_occur() {
    for (number, why) in ABSENT {
        let conn = ConnId::Accepted(0);
        let events = [Event::HostLost, Event::Closed { conn, error: None }, Event::Shutdown { graceful: false }];
        assert!(events.iter().all(|event| !stands_for(event).contains(&number)), "{number}: {why}");
    }
    for state in STATES {
        let (mut script, _) = drive(state, Via::Dialled, LOWER);
        for _ in 0..20 {
            let Some((why, _)) = script.next_deadline() else { break };
            assert!(["dial", "connect retry", "hold", "keepalive"].contains(&why), "{why} in {state:?}");
        }
    }
}

/// RFC 4271 8.1.2, event 4: a passive neighbour is waited for.
#[test]
fn a_passive_neighbor_is_never_dialled() {
    let mut script = Script::new(own(|peer| peer.passive = true));
    assert_eq!((script.state(), script.next_deadline()), (PeerState::Active, None));
    let conn = script.accept(ADDRESS);
    script.tell(Event::Closed { conn, error: None });
    assert_eq!((script.state(), script.next_deadline()), (PeerState::Active, None));
    assert!(script.dials.is_empty());
}

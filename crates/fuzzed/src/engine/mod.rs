//! The whole engine, fed by a program that the input is: each octet is an operation, the next ones are its operands.
//!
//! The engine is run as its driver runs it: each event is followed by all actions, bytes and batches that it leads to,
//! and whatever is due is done at once. Between events it is held against models that know only what was said: what
//! each peer has heard ([`remote`]) and what the kernel was asked to do ([`kernel`]). At the end everybody goes, and
//! nothing may be left.

mod intents;
mod kernel;
mod remote;
mod say;
mod world;

use std::net::IpAddr;
use std::time::Duration;

use engine::{Event, Order};

use crate::input::Input;
use intents::PLACES;
use world::World;

/// Longer programs find nothing that shorter ones do not.
const STEPS: usize = 160;
/// Waits for timers until the kernel has everything: its retries come at least once a minute.
const RETRIES: usize = 400;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut world = World::new();
    let first = intents::intent(&mut input);
    world.configure(first);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        step(&mut world, &mut input);
        world.fire();
        world.check();
    }
    settle(&mut world);
    leave(&mut world);
}

fn step(world: &mut World, input: &mut Input<'_>) {
    let operation = input.u8();
    let at = usize::from(operation >> 5) % world.remotes.len().max(1);
    let flag = operation & 0x80 != 0;
    match operation & 0x1f {
        0 => {
            let intent = intents::intent(input);
            world.configure(intent);
        }
        1 => {
            let place = PLACES[input.below(PLACES.len())];
            world.accept(place);
        }
        2 => world.answer_dial(!flag),
        // A session from nothing, which is what most of the rest needs.
        3 => {
            let place = PLACES[input.below(PLACES.len())];
            world.accept(place);
            let at = world.remotes.iter().rposition(|remote| remote.place.address == place.address);
            if let Some(at) = at {
                greet(world, at, input);
            }
        }
        4 => {
            world.answer_dial(true);
            greet(world, world.remotes.len().saturating_sub(1), input);
        }
        5 => said(world, at, input, say::open),
        6 => said(world, at, input, |_, _| say::keepalive()),
        7..=12 => said(world, at, input, say::announce),
        13 | 14 => said(world, at, input, |_, input| say::withdraw(input)),
        15 => said(world, at, input, |_, input| say::other(input)),
        16 => said(world, at, input, |_, input| say::hostile(input)),
        17 => said(world, at, input, |_, input| {
            let length = usize::from(input.u8());
            input.take(length).to_vec()
        }),
        18 => world.lose(at, flag),
        19 => {
            let bits = input.u8();
            for (at, link) in world.links.iter_mut().enumerate() {
                link.up = bits & (1 << at) == 0;
            }
            world.tell(Event::Links(world.links.clone()));
        }
        20 => {
            let bits = input.u8();
            world.set_underlying(bits);
        }
        21 => {
            let seconds = Duration::from_secs(u64::from(input.u8()));
            world.wait(seconds);
        }
        22 | 23 => world.wait_for_timer(),
        24 => {
            let peer: IpAddr = PLACES[input.below(PLACES.len())].address.parse().expect("a literal");
            let message = flag.then(|| String::from_utf8_lossy(input.take(9)).into_owned());
            let order = match input.u8() & 3 {
                0 => Order::Reset { message },
                1 => Order::Shutdown { message },
                2 => Order::RefreshIn,
                _ => Order::RefreshOut,
            };
            world.tell(Event::Order { peer, link: None, order });
        }
        25 => world.prompt = flag,
        26 => world.take_batches(true, input),
        27 => {
            let answers = [world.kernel.flight.take(), world.kernel.host_flight.take()];
            answers.into_iter().flatten().for_each(|answer| world.tell(answer));
        }
        28 => match input.u8() & 3 {
            3 => {
                world.kernel.lose_host();
                world.tell(Event::HostLost);
            }
            what => {
                world.kernel.lose(what == 0);
                world.tell(Event::FibLost);
            }
        },
        29 => {
            if let Some(remote) = world.remotes.get_mut(at) {
                remote.stalled = !remote.stalled;
                let conn = remote.conn;
                world.transmit(conn);
            }
        }
        30 => {
            let address = ["fe80::5", "fe80::6"][usize::from(input.u8() & 1)];
            let address = (!flag).then(|| address.parse().expect("a literal"));
            world.tell(Event::Neighbor { link: "eth0".into(), index: 1, address });
        }
        _ => match input.u8() {
            // A dial that was given up is answered all the same.
            0..0xf0 => {
                if let Some(conn) = world.abandoned.pop() {
                    let local = "192.0.2.1:1".parse().expect("a literal");
                    let event =
                        if flag { Event::Connected { conn, local } } else { Event::Closed { conn, error: None } };
                    world.tell(event);
                }
            }
            _ => world.tell(Event::Shutdown { graceful: flag }),
        },
    }
}

fn greet(world: &mut World, at: usize, input: &mut Input<'_>) {
    said(world, at, input, |remote, input| [say::open(remote, input), say::keepalive()].concat());
}

fn said(
    world: &mut World,
    at: usize,
    input: &mut Input<'_>,
    message: impl FnOnce(&remote::Remote, &mut Input<'_>) -> Vec<u8>,
) {
    let Some(remote) = world.remotes.get(at) else { return };
    let bytes = message(remote, input);
    world.say(at, &bytes, 23);
}

/// The kernel is well again and everybody reads: what was refused arrives, and views, peers and kernel agree.
fn settle(world: &mut World) {
    let answers = [world.kernel.flight.take(), world.kernel.host_flight.take()];
    world.prompt = true;
    answers.into_iter().flatten().for_each(|answer| world.tell(answer));
    for at in 0..world.remotes.len() {
        if let Some(remote) = world.remotes.get_mut(at) {
            remote.stalled = false;
            let conn = remote.conn;
            world.transmit(conn);
        }
    }
    world.drain();
    world.fire();
    world.check();
    for _ in 0..RETRIES {
        let fib = world.engine.snapshot(world.now).fib;
        if fib.failed == 0 && world.engine.poll_timeout().is_none_or(|(_, what)| !what.contains("retry")) {
            break;
        }
        world.wait_for_timer();
    }
    world.check();
    world.check_kernel();
}

/// Nobody is left: neither are routes, groups or attributes.
fn leave(world: &mut World) {
    let asn = world.intent.asn;
    world.configure(intents::bare(asn));
    world.fire();
    for _ in 0..RETRIES {
        match world.engine.poll_timeout() {
            Some(_) => world.wait_for_timer(),
            None => break,
        }
    }
    assert_eq!(world.engine.poll_timeout(), None, "a router without neighbours has nothing to wait for");
    let snapshot = world.engine.snapshot(world.now);
    assert!(snapshot.peers.is_empty(), "{snapshot:?}");
    assert!(snapshot.destinations.iter().all(|(_, count)| *count == 0), "{snapshot:?}");
    assert_eq!(snapshot.attribute_sets, 0);
    assert_eq!(snapshot.fib, engine::snapshot::FibSnapshot::default());
    let (remotes, dials) = (&world.remotes, &world.dials);
    assert!(remotes.is_empty() && dials.is_empty(), "nobody closed {remotes:?} or {dials:?}");
    world.check_kernel();
    assert!(world.kernel.host.is_empty() && world.kernel.groups.is_empty());
}

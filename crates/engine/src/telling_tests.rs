use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use super::{ADDRESSES, BURST, REFILL, Telling};

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(number).into()
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way")]
fn start() -> Instant {
    Instant::now()
}

/// How many of `count` notes at one moment are told.
fn told(telling: &mut Telling, now: Instant, from: IpAddr, count: usize) -> usize {
    (0..count).filter(|_| telling.say(now, from, "lost".into()).is_some()).count()
}

#[test]
fn a_noisy_address_is_told_about_ever_less_and_others_as_before() {
    let (mut telling, now) = (Telling::default(), start());
    assert_eq!(told(&mut telling, now, address(1), 5000), BURST as usize);
    assert_eq!(told(&mut telling, now, address(2), 3), 3);
    for later in 1..100 {
        assert_eq!(told(&mut telling, now + REFILL * later, address(1), 1000), 1);
    }
    assert_eq!(told(&mut telling, now + REFILL * 1000, address(1), 5000), BURST as usize, "quiet for long enough");
}

#[test]
fn what_was_left_out_is_counted() {
    let (mut telling, now) = (Telling::default(), start());
    let mut last = None;
    for _ in 0..BURST {
        last = telling.say(now, address(1), "lost".into());
    }
    assert_eq!(last.as_deref(), Some("lost (more of this is told every 10 s at most)"));
    assert_eq!(told(&mut telling, now, address(1), 7), 0);
    let next = telling.say(now + REFILL, address(1), "up".into());
    assert_eq!(next.as_deref(), Some("up (7 other changes since the last one told)"));
    assert_eq!(telling.say(now + REFILL * 20, address(1), "lost".into()).as_deref(), Some("lost"));
}

#[test]
fn more_addresses_than_can_be_remembered_share_one_budget() {
    let (mut telling, now) = (Telling::default(), start());
    for number in 0..ADDRESSES as u32 {
        assert_eq!(told(&mut telling, now, address(number), 1), 1);
    }
    let strangers = (0..1000).map(|number| told(&mut telling, now, address(1 << 24 | number), 1)).sum::<usize>();
    assert_eq!(strangers, BURST as usize);
    // Once the first are quiet there is room again.
    assert_eq!(told(&mut telling, now + REFILL, address(1 << 25), 5000), BURST as usize);
    assert!(telling.budgets.len() <= ADDRESSES);
}

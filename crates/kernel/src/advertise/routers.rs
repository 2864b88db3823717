//! When to speak on which link, and which router is there. Pure: told the time, the links and the packets.
//!
//! **Speaking**: the first [`EAGER`] advertisements come a second apart (RFC 4861 section 6.2.4 allows three at start;
//! FRR sends four), then one every [`INTERVAL`] less jitter. A solicitation, or a router that was not known, is
//! answered at once, but never more often than [`SPACING`]: a flood of questions is one answer. A link that becomes
//! usable is asked for routers as well, so that a restart finds them at once.
//!
//! **Hearing**: one router for each link. It stays the one until it says goodbye, is not heard of for the lifetime it
//! gave, or the link goes; only then another one is taken.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use super::Heard;
use super::packet::Packet;

/// Longest time between two advertisements, that of FRR's unnumbered neighbours.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);
/// How long an advertisement holds: three intervals (RFC 4861 section 6.2.1).
pub(super) const LIFETIME: Duration = Duration::from_secs(30);
/// How much shorter than [`INTERVAL`] the time between two advertisements may be.
pub(super) const JITTER: Duration = Duration::from_secs(2);
/// Shortest time between two advertisements.
const SPACING: Duration = Duration::from_secs(1);
/// Advertisements that follow each other quickly when a link becomes usable.
const EAGER: u32 = 4;

/// A link on which we can speak: it has carrier and a link-local address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Usable {
    pub(super) name: String,
    pub(super) index: u32,
    /// Its Ethernet address.
    pub(super) hardware: Option<[u8; 6]>,
}

/// A packet to send to all nodes or (a question) to all routers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transmit {
    pub(super) index: u32,
    pub(super) packet: Packet,
    pub(super) hardware: Option<[u8; 6]>,
}

#[derive(Debug)]
struct Spoken {
    link: Usable,
    /// When the next advertisement is due.
    next: Instant,
    /// When the last one was sent.
    last: Option<Instant>,
    sent: u32,
    router: Option<Router>,
}

#[derive(Clone, Copy, Debug)]
struct Router {
    address: Ipv6Addr,
    /// When we stop believing in it.
    until: Instant,
}

impl Spoken {
    /// Speak as soon as the spacing allows.
    fn answer(&mut self, now: Instant) {
        let soonest = self.last.map_or(now, |last| now.max(last + SPACING));
        self.next = self.next.min(soonest);
    }

    fn tell(&self) -> Heard {
        Heard { link: self.link.name.clone(), index: self.link.index, router: self.router.map(|router| router.address) }
    }

    /// Forgets the router; says so if there was one.
    fn forget(&mut self) -> Option<Heard> {
        self.router.take()?;
        Some(self.tell())
    }
}

/// All links on which we speak, by index.
#[derive(Debug, Default)]
pub(super) struct Routers(BTreeMap<u32, Spoken>);

impl Routers {
    /// The links are these from here on.
    pub(super) fn set_links(&mut self, now: Instant, links: Vec<Usable>) -> Vec<Heard> {
        let mut heard = Vec::new();
        self.0.retain(|_, spoken| {
            let stays = links.contains(&spoken.link);
            if !stays {
                heard.extend(spoken.forget());
            }
            stays
        });
        for link in links {
            self.0.entry(link.index).or_insert(Spoken { link, next: now, last: None, sent: 0, router: None });
        }
        heard
    }

    /// Indexes of the links.
    pub(super) fn indexes(&self) -> impl Iterator<Item = u32> {
        self.0.keys().copied()
    }

    /// A packet came over a link.
    pub(super) fn receive(&mut self, now: Instant, index: u32, source: Ipv6Addr, packet: Packet) -> Option<Heard> {
        let spoken = self.0.get_mut(&index)?;
        match packet {
            Packet::Solicitation => spoken.answer(now),
            Packet::Advertisement { lifetime } => match &mut spoken.router {
                Some(router) if router.address == source && lifetime.is_zero() => return spoken.forget(),
                Some(router) if router.address == source => router.until = now + lifetime,
                // A second router on the link, until the first is gone.
                Some(_) => {}
                None if lifetime.is_zero() => {}
                None => {
                    spoken.router = Some(Router { address: source, until: now + lifetime });
                    spoken.answer(now);
                    return Some(spoken.tell());
                }
            },
        }
        None
    }

    /// Routers whose lifetime is over.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Heard> {
        let over = |spoken: &&mut Spoken| spoken.router.is_some_and(|router| router.until <= now);
        self.0.values_mut().filter(over).filter_map(Spoken::forget).collect()
    }

    /// What is to be sent at this time. `jitter` is taken off the next interval.
    pub(super) fn transmit(&mut self, now: Instant, mut jitter: impl FnMut() -> Duration) -> Vec<Transmit> {
        let mut all = Vec::new();
        for (index, spoken) in self.0.iter_mut().filter(|(_, spoken)| spoken.next <= now) {
            let mut send = |packet| all.push(Transmit { index: *index, packet, hardware: spoken.link.hardware });
            send(Packet::Advertisement { lifetime: LIFETIME });
            if spoken.sent == 0 {
                send(Packet::Solicitation);
            }
            spoken.sent = spoken.sent.saturating_add(1);
            spoken.last = Some(now);
            spoken.next = now + if spoken.sent < EAGER { SPACING } else { INTERVAL.saturating_sub(jitter()) };
        }
        all
    }

    /// When something is to be sent or a lifetime ends.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.values().flat_map(|spoken| [Some(spoken.next), spoken.router.map(|router| router.until)]).flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xa);
    const B: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xb);

    fn link(index: u32) -> Usable {
        Usable { name: format!("eth{index}"), index, hardware: None }
    }

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn here(lifetime: u64) -> Packet {
        Packet::Advertisement { lifetime: seconds(lifetime) }
    }

    fn told(router: Option<Ipv6Addr>) -> Heard {
        Heard { link: "eth1".to_owned(), index: 1, router }
    }

    /// One link, with time to spare until the next advertisement.
    fn settled() -> (Routers, Instant) {
        let mut routers = Routers::default();
        let mut now = Instant::now();
        assert_eq!(routers.set_links(now, vec![link(1)]), []);
        for _ in 0..EAGER {
            routers.transmit(now, || Duration::ZERO);
            now += SPACING;
        }
        (routers, now)
    }

    #[test]
    fn a_new_link_hears_us_at_once_then_eagerly_then_every_ten_seconds_less_jitter() {
        let mut routers = Routers::default();
        let start = Instant::now();
        assert_eq!(routers.deadline(), None);
        routers.set_links(start, vec![link(1)]);
        let mut times = Vec::new();
        let mut questions = 0;
        for _ in 0..6 {
            let now = routers.deadline().unwrap();
            let sent = routers.transmit(now, || seconds(2));
            questions += sent.iter().filter(|sent| sent.packet == Packet::Solicitation).count();
            assert!(sent.iter().any(|sent| sent.packet == here(30) && sent.index == 1));
            times.push((now - start).as_secs());
        }
        assert_eq!(times, [0, 1, 2, 3, 11, 19]);
        assert_eq!(questions, 1);
    }

    #[test]
    fn a_question_is_answered_at_once_and_a_flood_of_them_once_a_second() {
        let (mut routers, now) = settled();
        assert_eq!(routers.transmit(now, || Duration::ZERO), []);
        for _ in 0..100 {
            assert_eq!(routers.receive(now, 1, A, Packet::Solicitation), None);
        }
        assert_eq!(routers.transmit(now, || Duration::ZERO).len(), 1);
        routers.receive(now, 1, A, Packet::Solicitation);
        assert_eq!(routers.transmit(now, || Duration::ZERO), []);
        assert_eq!(routers.deadline(), Some(now + SPACING));
    }

    #[test]
    fn a_router_is_told_once_answered_and_lost_when_its_lifetime_ends() {
        let (mut routers, now) = settled();
        assert_eq!(routers.receive(now, 1, A, here(30)), Some(told(Some(A))));
        assert_eq!(routers.transmit(now, || Duration::ZERO).len(), 1, "it hears of us at once");
        assert_eq!(routers.receive(now + seconds(10), 1, A, here(30)), None);
        assert_eq!(routers.expire(now + seconds(39)), []);
        assert_eq!(routers.expire(now + seconds(40)), [told(None)]);
        assert_eq!(routers.expire(now + seconds(41)), []);
    }

    #[test]
    fn a_goodbye_counts_at_once_and_only_from_the_router_itself() {
        let (mut routers, now) = settled();
        assert_eq!(routers.receive(now, 1, A, here(0)), None);
        routers.receive(now, 1, A, here(30));
        assert_eq!(routers.receive(now, 1, B, here(0)), None);
        assert_eq!(routers.receive(now, 1, A, here(0)), Some(told(None)));
    }

    #[test]
    fn a_second_router_waits_for_the_first_to_go() {
        let (mut routers, now) = settled();
        routers.receive(now, 1, A, here(30));
        assert_eq!(routers.receive(now, 1, B, here(30)), None);
        routers.receive(now, 1, A, here(0));
        assert_eq!(routers.receive(now, 1, B, here(30)), Some(told(Some(B))));
    }

    #[test]
    fn a_link_that_goes_loses_its_router_and_starts_anew_when_it_is_back() {
        let (mut routers, now) = settled();
        routers.receive(now, 1, A, here(30));
        assert_eq!(routers.set_links(now, vec![link(1), link(2)]), []);
        assert_eq!(routers.indexes().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(routers.set_links(now, vec![link(2)]), [told(None)]);
        assert_eq!(routers.receive(now, 1, A, here(30)), None, "nobody listens there");
        routers.set_links(now, vec![link(1)]);
        assert_eq!(routers.transmit(now, || Duration::ZERO).len(), 2);
        // The same index with another address is another link.
        routers.receive(now, 1, A, here(30));
        let other = Usable { hardware: Some([2, 0, 0, 0, 0, 9]), ..link(1) };
        assert_eq!(routers.set_links(now, vec![other]), [told(None)]);
    }
}

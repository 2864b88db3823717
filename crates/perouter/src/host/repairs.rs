//! Which steps are done again and again, because another program undoes them. Pure: told the time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kernel::host::Op;
use tokio::time::Instant;

/// So many times within so long a step is done only when another program undoes it.
const UNDONE: usize = 3;
pub(super) const UNDONE_WITHIN: Duration = Duration::from_secs(600);
/// Which steps had to be done when, by their sentence. Pure: told the time.
#[derive(Debug, Default)]
pub(super) struct Repairs(BTreeMap<String, VecDeque<Instant>>);

/// What is to be told of a step that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// That it was done.
    Done,
    /// That somebody keeps undoing it.
    Undone,
    /// Nothing more.
    Nothing,
}

impl Repairs {
    /// A step was done.
    pub(super) fn done(&mut self, step: String, now: Instant) -> Telling {
        let times = self.0.entry(step).or_default();
        times.push_back(now);
        // Fewer are not looked at, and a fight goes on for ever.
        if times.len() > UNDONE + 1 {
            times.pop_front();
        }
        let of_late = times.iter().filter(|time| now < **time + UNDONE_WITHIN).count();
        match of_late {
            ..UNDONE => Telling::Done,
            UNDONE => Telling::Undone,
            _ => Telling::Nothing,
        }
    }

    /// Whether a step was undone so often, and of late.
    pub(super) fn is_undone(&self, step: &str, now: Instant) -> bool {
        let of_late = |times: &VecDeque<Instant>| times.iter().filter(|time| now < **time + UNDONE_WITHIN).count();
        self.0.get(step).is_some_and(|times| of_late(times) >= UNDONE)
    }

    /// Forgets what is too long ago to count.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|_, times| times.back().is_some_and(|last| now < *last + UNDONE_WITHIN));
    }
}

/// Some steps had to be done again and again; there is at least one.
pub(super) fn fought(steps: &[&Op]) -> String {
    let minutes = UNDONE_WITHIN.as_secs() / 60;
    let nic = steps.iter().find(|step| matches!(step, Op::MoveNic { .. })).map(|step| step.object());
    if let Some(nic) = nic {
        return format!(
            "NIC {nic} had to be taken {UNDONE} times within {minutes} minutes: another program gives it back to the host. \
             Keep NetworkManager off it with `nmcli device set {nic} managed no`, or systemd-networkd with `Unmanaged=yes` \
             in the [Link] section of a .network file that matches it"
        );
    }
    let [first, rest @ ..] = steps else { return String::new() };
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    let object = first.object();
    format!(
        "something undoes what the router needs; done {UNDONE} times within {minutes} minutes, and from here on without a \
         word: {first}{more}. Find what else configures {object} on this node, such as a network manager or a sysctl.d \
         file, and have it leave {object} alone"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repair_is_told_until_somebody_keeps_undoing_it_and_that_once() {
        let mut now = Instant::now();
        let mut repairs = Repairs::default();
        let mut tellings = Vec::new();
        for _ in 0..8 {
            tellings.push(repairs.done("set eth1 up".to_owned(), now));
            assert_eq!(repairs.done(format!("{now:?}"), now), Telling::Done, "another step is another matter");
            now += UNDONE_WITHIN / 20;
        }
        assert_eq!(tellings[..3], [Telling::Done, Telling::Done, Telling::Undone]);
        assert!(tellings[3..].iter().all(|telling| *telling == Telling::Nothing), "{tellings:?}");
        assert!(repairs.is_undone("set eth1 up", now));
        now += UNDONE_WITHIN;
        assert!(!repairs.is_undone("set eth1 up", now));
        assert_eq!(repairs.done("set eth1 up".to_owned(), now), Telling::Done);
        repairs.expire(now + UNDONE_WITHIN);
        assert!(repairs.0.is_empty());
    }
}

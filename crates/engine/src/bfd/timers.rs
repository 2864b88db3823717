//! Our own two intervals, and the Poll sequence that changes them (RFC 5880 sections 6.5 and 6.8.3).
//!
//! What we say in packets and what we act by differ while the neighbour may not have heard of a change: we do not send
//! more rarely, and do not expect more, before it has answered. Only one Poll sequence is in progress at a time; a
//! change that comes meanwhile waits for its end.

/// Least interval in which a session that is not up may want to send, in microseconds (RFC 5880 section 6.8.3).
pub(super) const SLOW: u32 = 1_000_000;

/// A pair of intervals in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Intervals {
    pub(super) transmit: u32,
    pub(super) receive: u32,
}

/// Our intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Local {
    said: Intervals,
    used: Intervals,
    polling: bool,
    /// What is wanted once the Poll sequence in progress has ended.
    next: Option<Intervals>,
}

impl Local {
    pub(super) fn new(intervals: Intervals) -> Self {
        Self { said: intervals, used: intervals, polling: false, next: None }
    }

    /// What packets say.
    pub(super) fn said(&self) -> Intervals {
        self.said
    }

    /// What we act by.
    pub(super) fn used(&self) -> Intervals {
        self.used
    }

    /// Whether packets carry P.
    pub(super) fn polling(&self) -> bool {
        self.polling
    }

    /// Changes the intervals at once: nobody depends on them.
    pub(super) fn set(&mut self, wanted: Intervals) {
        *self = Self::new(wanted);
    }

    /// Changes the intervals of a session whose neighbour depends on them.
    pub(super) fn negotiate(&mut self, wanted: Intervals) {
        if self.polling {
            self.next = (wanted != self.said).then_some(wanted);
        } else if wanted != self.said {
            self.said = wanted;
            self.used.transmit = self.used.transmit.min(wanted.transmit);
            self.used.receive = self.used.receive.max(wanted.receive);
            self.polling = true;
        }
    }

    /// The neighbour has answered a packet with P.
    pub(super) fn answered(&mut self) {
        if self.polling {
            self.polling = false;
            self.used = self.said;
            if let Some(next) = self.next.take() {
                self.negotiate(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(transmit: u32, receive: u32) -> Intervals {
        Intervals { transmit: transmit * 1000, receive: receive * 1000 }
    }

    /// Wanted, and what is used until the neighbour has answered; from 300 ms both ways.
    #[test]
    fn only_what_cannot_harm_is_used_before_the_answer() {
        for (wanted, before) in [
            (ms(50, 50), ms(50, 300)),
            (ms(500, 500), ms(300, 500)),
            (ms(50, 500), ms(50, 500)),
            (ms(500, 50), ms(300, 300)),
        ] {
            let mut local = Local::new(ms(300, 300));
            local.negotiate(wanted);
            assert_eq!((local.said(), local.used(), local.polling()), (wanted, before, true));
            local.answered();
            assert_eq!((local.said(), local.used(), local.polling()), (wanted, wanted, false));
        }
    }

    #[test]
    fn no_change_is_no_poll() {
        let mut local = Local::new(ms(300, 300));
        local.negotiate(ms(300, 300));
        assert!(!local.polling());
    }

    #[test]
    fn a_change_during_a_poll_waits_for_its_end() {
        let mut local = Local::new(ms(300, 300));
        local.negotiate(ms(50, 50));
        local.negotiate(ms(100, 10));
        assert_eq!(local.said(), ms(50, 50));
        local.answered();
        assert_eq!((local.said(), local.used(), local.polling()), (ms(100, 10), ms(50, 50), true));
        local.answered();
        assert_eq!((local.used(), local.polling()), (ms(100, 10), false));
    }

    #[test]
    fn a_change_that_is_taken_back_during_its_poll_is_polled_back() {
        let mut local = Local::new(ms(300, 300));
        local.negotiate(ms(50, 50));
        local.negotiate(ms(300, 300));
        local.negotiate(ms(50, 50));
        local.answered();
        assert_eq!((local.said(), local.polling()), (ms(50, 50), false));
        local.negotiate(ms(300, 300));
        assert_eq!((local.said(), local.used(), local.polling()), (ms(300, 300), ms(50, 300), true));
    }

    #[test]
    fn an_answer_to_nothing_changes_nothing() {
        let mut local = Local::new(ms(300, 300));
        local.answered();
        assert_eq!(local, Local::new(ms(300, 300)));
    }
}

//! Reports on their way to a reader who may be slow.

use std::net::IpAddr;

use engine::bfd::{Change, State};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::{Report, Wanted};

#[derive(Debug)]
pub(super) struct Reports {
    reader: Sender<Report>,
    /// In order, at most two of each session.
    waiting: Vec<Report>,
}

impl Reports {
    pub(super) fn new(reader: Sender<Report>) -> Self {
        Self { reader, waiting: Vec::new() }
    }

    /// Takes a report and tells as many as the reader takes. That a session came up is outdated by whatever follows;
    /// that it went down must be told even if it is up again.
    pub(super) fn push(&mut self, report: Report) {
        let key = |report: &Report| (report.peer, report.link.clone());
        let same = key(&report);
        self.waiting.retain(|old| key(old) != same || (report.up && !old.up));
        self.waiting.push(report);
        self.flush();
    }

    /// Tells as many as the reader takes.
    pub(super) fn flush(&mut self) {
        while let Some(report) = self.waiting.first() {
            match self.reader.try_send(report.clone()) {
                // Without a reader there is nobody to tell.
                Ok(()) | Err(TrySendError::Closed(_)) => drop(self.waiting.remove(0)),
                Err(TrySendError::Full(_)) => return,
            }
        }
    }

    pub(super) fn waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Forgets a session: it was removed.
    pub(super) fn forget(&mut self, peer: IpAddr, link: Option<&str>) {
        self.waiting.retain(|report| report.peer != peer || report.link.as_deref() != link);
    }
}

/// What was last told of a session: whether it is up, and whether the neighbour holds it down.
pub(super) type Told = (bool, bool);

/// The report of a change, unless it differs in nothing that a reader would see.
pub(super) fn report(wanted: &Wanted, told: &mut Told, change: &Change) -> Option<Report> {
    let up = change.state == State::Up;
    let admin_down_by_peer = change.remote_state == State::AdminDown;
    let news = (up, admin_down_by_peer);
    (std::mem::replace(told, news) != news).then(|| Report {
        peer: wanted.peer,
        link: wanted.scope_link.clone(),
        up,
        admin_down_by_peer,
        remote_control_plane_independent: change.remote_control_plane_independent,
        reason: change.reason.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn of(peer: u8, up: bool, reason: &str) -> Report {
        Report {
            peer: IpAddr::from([10, 0, 0, peer]),
            link: None,
            up,
            admin_down_by_peer: false,
            remote_control_plane_independent: false,
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn a_slow_reader_hears_of_every_session_that_went_down() {
        let (sender, mut reader) = mpsc::channel(1);
        let mut reports = Reports::new(sender);
        for report in [
            of(1, true, "told"),
            of(1, false, "first"),
            of(2, true, "outdated"),
            of(1, true, "outdated"),
            of(1, false, "last"),
            of(2, false, "other"),
            of(1, true, "again"),
        ] {
            reports.push(report);
        }
        let mut heard = Vec::new();
        while let Ok(report) = reader.try_recv() {
            heard.push(report);
            reports.flush();
        }
        let expected = [of(1, true, "told"), of(1, false, "last"), of(2, false, "other"), of(1, true, "again")];
        assert_eq!(heard, expected);
        assert!(!reports.waiting());
    }
}

//! The thread in namespaces, against itself and against real daemons. Needs root, iproute2 and the peers.

mod drivers;
mod peers;

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use engine::bfd::{Diagnostic, Hops, Settings, State};
use ipnet::IpNet;
use kernel::netns::Namespace;
use testbed::{End, Lab};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

use super::{BfdThread, Report, View, Wanted};
use crate::status::{Mode, Status};

const PATIENCE: Duration = Duration::from_secs(30);
const MS: Duration = Duration::from_millis(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Both intervals in milliseconds.
fn settings(interval: u32, multiplier: u8) -> Settings {
    Settings { transmit: interval * MS, receive: interval * MS, multiplier, ..Settings::default() }
}

fn wanted(peer: &str, settings: Settings) -> Wanted {
    Wanted { peer: ip(peer), scope_link: None, local: None, settings }
}

/// A thread and the one who hears its reports.
struct Driver {
    lab: Lab,
    thread: Option<BfdThread>,
    reports: mpsc::Receiver<Report>,
    status: Status,
    runtime: Runtime,
}

impl Driver {
    fn start(lab: &Lab, ns: &str) -> Self {
        let namespace = Namespace::open(ns).unwrap().unwrap();
        let (sender, reports) = mpsc::channel(256);
        let status = Status::new(Mode::Speak);
        let thread = Some(BfdThread::start(namespace, status.clone(), sender).unwrap());
        Self { lab: lab.clone(), thread, reports, status, runtime: Builder::new_current_thread().build().unwrap() }
    }

    fn want(&self, sessions: &[Wanted]) {
        self.thread.as_ref().unwrap().set_sessions(sessions.to_vec());
    }

    fn views(&self) -> Vec<View> {
        let (reply, answer) = oneshot::channel();
        self.thread.as_ref().unwrap().snapshot(reply);
        self.runtime.block_on(answer).unwrap()
    }

    fn stop(&mut self) {
        self.runtime.block_on(self.thread.take().unwrap().stop());
    }

    /// The session with a neighbour.
    #[track_caller]
    fn view(&self, peer: &str) -> View {
        self.views().into_iter().find(|view| view.wanted.peer == ip(peer)).unwrap()
    }

    /// Waits until the session with a neighbour is as `condition` wants it.
    #[track_caller]
    fn until(&self, peer: &str, what: &str, condition: impl Fn(&View) -> bool) -> View {
        self.lab.wait_until(&format!("{peer} {what}"), PATIENCE, || {
            let found = self.views().into_iter().find(|view| view.wanted.peer == ip(peer)).ok_or("no session")?;
            if condition(&found) { Ok(found) } else { Err(format!("{found:?}")) }
        })
    }

    /// Waits until the session is up, and at its final pace: every poll is answered, also the neighbour's.
    #[track_caller]
    fn until_up(&self, peer: &str, transmit: u32, detection: u32) -> View {
        self.until(peer, "is up at its pace", |view| {
            let session = &view.session;
            let pace = (session.transmit_interval, session.detection_time);
            session.local.state == State::Up && pace == (Some(transmit * MS), Some(detection * MS))
        })
    }

    /// Waits for the next report.
    #[track_caller]
    fn report(&mut self) -> Report {
        let Self { lab, reports, .. } = self;
        lab.wait_until("a report", PATIENCE, || reports.try_recv())
    }

    /// Waits until the last report of each of so many sessions says `up`, and returns those.
    #[track_caller]
    fn last_reports(&mut self, sessions: usize, up: bool) -> Vec<Report> {
        let mut last: Vec<Report> = Vec::new();
        while last.len() < sessions || last.iter().any(|report| report.up != up) {
            let report = self.report();
            last.retain(|old| old.peer != report.peer);
            last.push(report);
        }
        last
    }

    /// Waits for the report that a session is up.
    #[track_caller]
    fn reports_up(&mut self, peer: &str) -> Report {
        loop {
            let report = self.report();
            if report.up && report.peer == ip(peer) {
                return report;
            }
        }
    }

    /// Waits for the report that a session is down, for this reason.
    #[track_caller]
    fn reports_down(&mut self, peer: &str, reason: &str) -> Report {
        let report = self.report();
        assert_eq!((report.peer, report.up, report.reason.as_str()), (ip(peer), false, reason));
        report
    }
}

/// Two namespaces and a link `eth1` between them, with addresses of every kind, `lo` included.
fn pair() -> (Lab, [String; 2]) {
    let lab = Lab::new(Path::new("perouter")).unwrap();
    let names = ["a", "b"].map(|name| lab.namespace(name).unwrap());
    let ends = [1, 2].map(|number| End {
        ns: &names[number - 1],
        name: "eth1",
        addresses: nets(&[
            &format!("10.9.0.{number}/24"),
            &format!("2001:db8:9::{number}/64"),
            &format!("fe80::9:{number}/64"),
        ]),
    });
    lab.link(&ends[0], &ends[1], 1500).unwrap();
    for (own, other) in [(0, 1), (1, 0)] {
        let number = own + 1;
        lab.loopback_address(&names[own], nets(&[&format!("10.{number}.0.1/32")])[0]).unwrap();
        let via = ip(&format!("10.9.0.{}", other + 1));
        lab.add_route(&names[own], nets(&[&format!("10.{}.0.1/32", other + 1)])[0], via).unwrap();
    }
    (lab, names)
}

/// The four kinds of sessions of [`pair`], as the side with this number (1 or 2) wants them.
fn every_kind(own: u8, settings: Settings) -> [Wanted; 4] {
    let other = 3 - own;
    [
        wanted(&format!("10.9.0.{other}"), settings),
        wanted(&format!("2001:db8:9::{other}"), settings),
        Wanted {
            scope_link: Some("eth1".into()),
            local: Some(ip(&format!("fe80::9:{own}"))),
            ..wanted(&format!("fe80::9:{other}"), settings)
        },
        Wanted {
            local: Some(ip(&format!("10.{own}.0.1"))),
            ..wanted(&format!("10.{other}.0.1"), Settings { hops: Hops::Multi { minimum_ttl: 254 }, ..settings })
        },
    ]
}

fn is_expired(view: &View) -> bool {
    view.session.local.state == State::Down && view.session.local.diagnostic == Diagnostic::DETECTION_TIME_EXPIRED
}

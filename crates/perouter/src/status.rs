//! Stand-in for the daemon's status.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// What this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The whole node.
    Run,
    /// Only the speaker.
    Speak,
}

/// Everything but sessions and routes.
#[derive(Clone, Debug)]
pub(crate) struct StatusData {
    pub(crate) mode: Mode,
    pub(crate) version: &'static str,
    pub(crate) started: SystemTime,
    pub(crate) node: Option<config::node::Node>,
    pub(crate) no_config: Option<String>,
    pub(crate) verdicts: Vec<config::verdict::Verdict>,
    pub(crate) host_errors: Vec<kernel::host::HostError>,
    pub(crate) host_warnings: Vec<String>,
    pub(crate) links: Vec<kernel::monitor::LinkInfo>,
    pub(crate) namespace: Option<String>,
    pub(crate) events: VecDeque<EventRecord>,
}

/// A fact worth telling.
#[derive(Clone, Debug)]
pub(crate) struct EventRecord {
    pub(crate) at: SystemTime,
    pub(crate) level: engine::Level,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) text: String,
}

/// Shared status.
#[derive(Clone, Debug)]
pub(crate) struct Status(Arc<Mutex<StatusData>>);

impl Status {
    pub(crate) fn new(mode: Mode) -> Self {
        Self(Arc::new(Mutex::new(StatusData {
            mode,
            version: env!("CARGO_PKG_VERSION"),
            started: SystemTime::now(),
            node: None,
            no_config: None,
            verdicts: Vec::new(),
            host_errors: Vec::new(),
            host_warnings: Vec::new(),
            links: Vec::new(),
            namespace: None,
            events: VecDeque::new(),
        })))
    }
    pub(crate) fn read(&self) -> StatusData {
        self.0.lock().expect("no holder panics").clone()
    }
    pub(crate) fn update(&self, f: impl FnOnce(&mut StatusData)) {
        f(&mut self.0.lock().expect("no holder panics"));
    }
    pub(crate) fn note(&self, level: engine::Level, peer: Option<IpAddr>, text: String) {
        self.update(|data| {
            data.events.push_back(EventRecord {
                at: SystemTime::now(),
                level,
                peer,
                text,
            })
        });
    }
}

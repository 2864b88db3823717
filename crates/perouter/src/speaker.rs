//! Sockets around the engine.
//!
//! Owns: the engine and its connections, on one thread ([`owner`]); dials and listeners, one task each; the FIB
//! thread ([`crate::fib`]) and that of the host's routes ([`crate::host_routes`]), and that which finds unnumbered neighbours ([`neighbors`]).
//! Is told: the configuration, and what happens in the kernel, through a [`SpeakerHandle`].
//! Emits: events to the [`Status`]; answers to whoever holds a handle.
//! Does not: read configuration, watch the kernel, or move anything in the host.
//!
//! The owner's thread waits in one place ([`poller`]), for its connections and for those who send to it. It never waits for another task,
//! and for the kernel only where it sets a few routes itself ([`crate::fib`]): everything reaches it through bounded channels.

pub(crate) mod connection;
mod dial;
mod fact;
pub(crate) mod listener;
mod listing;
mod liveness;
mod measure;
mod neighbors;
mod owner;
mod poller;
mod tap;

pub(crate) use measure::Measured;
pub(crate) use tap::{Tapped, Way};

use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::thread;

use engine::{Event, Family, Intent, Order, RouteQuery, RouteView, Select, Snapshot};
use ipnet::IpNet;
use kernel::host_table::HostTable;
use kernel::netns::Namespace;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::bfd::View;
use crate::host_routes::HostSide;
use crate::restart::Forwarding;
use crate::status::Status;
use listing::Listings;

/// Requests waiting for the owner; askers wait beyond that.
const REQUESTS: usize = 16;
/// Pieces of a traced connection that wait for the tracer; more are lost to it.
const TAPPED: usize = 256;

/// A question or an order for the owner.
#[derive(Debug)]
pub(crate) enum Request {
    /// The state of everything but the routes.
    Snapshot(oneshot::Sender<Snapshot>),
    /// The same, with what was counted and timed.
    Measured(oneshot::Sender<(Snapshot, Measured)>),
    /// One destination.
    Routes(RouteQuery, oneshot::Sender<Vec<RouteView>>),
    /// A part of the prefixes of a listing, and where the next one begins.
    Prefixes {
        family: Family,
        select: Select,
        from: u32,
        look: u32,
        answer: oneshot::Sender<(Vec<IpNet>, Option<u32>)>,
    },
    /// A few routes of a listing.
    RoutesOf(Family, Select, Vec<IpNet>, oneshot::Sender<Vec<RouteView>>),
    /// The BFD sessions.
    Bfd(oneshot::Sender<Vec<View>>),
    /// All of these for a peer or, with a sentence that says why, none of them.
    Order(Whom, Vec<Order>, oneshot::Sender<Result<(), String>>),
    /// Copies of what passes over this peer's connections from here on.
    Trace(Whom, mpsc::Sender<Tapped>),
    /// Something for the engine: an intent, a reset, kernel state.
    Tell(Box<Event>),
    /// The table for the host's routes.
    HostTable(Option<HostTable>),
    CheckHostRoutes,
    /// Answered when no connection is open, dialled or being closed.
    Quiet(oneshot::Sender<()>),
    /// Answered when the connections that are being closed now are: every last word was said.
    Closed(oneshot::Sender<()>),
    /// Stop in order.
    Stop {
        /// Close without NOTIFICATION, so that peers with graceful restart keep our routes.
        graceful: bool,
        /// Remove our routes from the kernel.
        clear_fib: bool,
    },
}

/// Whom an order is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whom {
    /// The peer's address; `::` for an unnumbered neighbour that was not heard yet.
    pub(crate) address: IpAddr,
    /// Its link, which tells apart those with one link-local address.
    pub(crate) link: Option<String>,
}

/// Access to the speaker. Cheap to clone; every method waits only for the owner's next turn.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpeakerHandle {
    /// Set when the speaker starts: those who ask before that are answered as when it has stopped.
    requests: Arc<OnceLock<mpsc::Sender<Request>>>,
    listings: Listings,
}

impl SpeakerHandle {
    /// The state of everything but the routes. `None`: the speaker has stopped.
    pub(crate) async fn snapshot(&self) -> Option<Snapshot> {
        self.ask(Request::Snapshot).await
    }

    /// The state of everything but the routes, and what was counted and timed. `None`: the speaker has stopped.
    pub(crate) async fn measured(&self) -> Option<(Snapshot, Measured)> {
        self.ask(Request::Measured).await
    }

    /// One page of routes. `None`: the speaker has stopped.
    pub(crate) async fn routes(&self, query: RouteQuery) -> Option<Vec<RouteView>> {
        match query.select {
            Select::Exact(_) | Select::Longest(_) => self.ask(|answer| Request::Routes(query, answer)).await,
            Select::All | Select::Received(_) | Select::Advertised(_) => self.listings.page(self, &query).await,
        }
    }

    /// The BFD sessions. `None`: the speaker or their thread has stopped.
    pub(crate) async fn bfd(&self) -> Option<Vec<View>> {
        self.ask(Request::Bfd).await
    }

    /// Has operators' orders carried out: all of them or, with the reason, none. `None`: the speaker has stopped.
    pub(crate) async fn order(&self, whom: Whom, orders: Vec<Order>) -> Option<Result<(), String>> {
        self.ask(|answer| Request::Order(whom, orders, answer)).await
    }

    /// What passes over a peer's connections from here on, until the receiver is dropped.
    pub(crate) async fn trace(&self, whom: Whom) -> mpsc::Receiver<Tapped> {
        let (sender, tapped) = mpsc::channel(TAPPED);
        self.send(Request::Trace(whom, sender)).await;
        tapped
    }

    /// Puts a configuration in force.
    pub(crate) async fn apply(&self, intent: Intent) {
        self.tell(Event::Intent(Box::new(intent))).await;
    }

    /// Says where the host's routes go, if anywhere. Without a host side nothing happens.
    pub(crate) async fn set_host_table(&self, table: Option<HostTable>) {
        self.send(Request::HostTable(table)).await;
    }

    /// Has the host's routes compared with what should be there, and told again when some are missing.
    pub(crate) async fn check_host_routes(&self) {
        self.send(Request::CheckHostRoutes).await;
    }

    /// Hands the engine a fact that does not come from a connection.
    pub(crate) async fn tell(&self, event: Event) {
        self.send(Request::Tell(Box::new(event))).await;
    }

    /// Waits until no connection is left. `None`: the speaker has stopped.
    pub(crate) async fn quiet(&self) -> Option<()> {
        self.ask(Request::Quiet).await
    }

    /// Waits until nobody is owed a last word of those whose sessions have ended so far. `None`: the speaker has stopped.
    pub(crate) async fn closed(&self) -> Option<()> {
        self.ask(Request::Closed).await
    }

    /// Begins to stop; the task returned by [`start`] ends when it is done.
    pub(crate) async fn stop(&self, graceful: bool, clear_fib: bool) {
        self.send(Request::Stop { graceful, clear_fib }).await;
    }

    async fn send(&self, request: Request) {
        if let Some(requests) = self.requests.get() {
            // A speaker that has stopped needs nothing.
            let _ = requests.send(request).await;
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        self.requests.get()?.send(request(sender)).await.ok()?;
        answer.await.ok()
    }
}

/// What a speaker needs to start.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Where it dials and where its routes go.
    pub(crate) namespace: Namespace,
    /// Its listening sockets, open and non-blocking.
    pub(crate) listeners: Vec<TcpListener>,
    /// What the engine learns first: the kernel's state, before any intent.
    pub(crate) first: Vec<Event>,
    /// Where it is noted for a later process that routes were installed.
    pub(crate) forwarding: Option<Forwarding>,
    /// The host that routes may be given to; a plain speaker has none.
    pub(crate) host: Option<HostSide>,
    /// Where events go.
    pub(crate) status: Status,
}

/// Starts the speaker of a handle, once; the task ends after [`SpeakerHandle::stop`]. Must be called inside a tokio
/// runtime, on which dials and listeners are. Engine and connections have a thread of their own: from a packet to those that
/// follow from it no thread waits for another one to wake up, and whoever asks long questions is not in their way.
pub(crate) fn start(handle: &SpeakerHandle, setup: Setup) -> io::Result<JoinHandle<()>> {
    let (requests, queue) = mpsc::channel(REQUESTS);
    handle.requests.set(requests).map_err(|_| io::Error::other("the speaker runs already"))?;
    let mut owner = owner::Owner::new(setup, queue)?;
    let (ended, end) = oneshot::channel();
    let runtime = Handle::current();
    thread::Builder::new().name("speaker".into()).spawn(move || {
        let _inside = runtime.enter();
        // Where that is not possible, it is as if it had not been tried.
        let _ = kernel::priority::answer_soon();
        owner.run();
        // Whoever started it may be gone.
        let _ = ended.send(owner);
    })?;
    Ok(tokio::spawn(async { end.await.expect("the speaker's thread ends in order").end().await }))
}

/// What the engine's policy means for a socket. With a demand on the peer's packets ours go out in the same way.
fn ttl(ttl: engine::intent::Ttl, security: Option<u8>) -> Option<u8> {
    match (security, ttl) {
        (Some(_), _) => Some(u8::MAX),
        (None, engine::intent::Ttl::System) => None,
        (None, engine::intent::Ttl::Direct) => Some(1),
        (None, engine::intent::Ttl::Multihop(hops)) => Some(hops),
    }
}

/// The least that packets from this many hops away arrive with when they were sent with 255 (RFC 5082).
fn least_ttl(security: Option<u8>) -> Option<u8> {
    security.map(|hops| u8::MAX - hops.saturating_sub(1))
}

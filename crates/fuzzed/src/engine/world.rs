//! A driver of the engine, and everything that is outside of it: peers, kernel and clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::intent::Intent;
use engine::snapshot::{PeerSnapshot, PeerState};
use engine::{
    Action, ConnId, Dial, Engine, Event, Family, Link, RouteQuery, RouteView, Select, Snapshot, UnderlyingRoute,
};
use ipnet::IpNet;

use super::intents::{self, PLACES, Place, own_address};
use super::kernel::Kernel;
use super::remote::Remote;
use crate::input::Input;

/// More requests than one event can lead to.
const ACTIONS: usize = 4096;
/// More chunks than the tables of a run fill.
const CHUNKS: usize = 1024;
/// How often in a row something may be due at once.
const ROUNDS: usize = 8;
/// Most prefixes that any configuration originates.
const NETWORKS: usize = 3;
/// Less than a table, so that listings have several pages.
const PAGE: usize = 7;

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    pub(crate) intent: Intent,
    pub(crate) kernel: Kernel,
    /// Batches are carried out and answered at once.
    pub(crate) prompt: bool,
    pub(crate) links: Vec<Link>,
    pub(crate) remotes: Vec<Remote>,
    /// Dials that nobody has answered.
    pub(crate) dials: Vec<(ConnId, Dial)>,
    /// Dials that the engine gave up, whose answer may be on its way.
    pub(crate) abandoned: Vec<ConnId>,
    accepted: u32,
    port: u16,
    /// Octets that anybody has said, which no table can outgrow.
    said: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let link = |index, name: &str, addresses: &[&str]| Link {
            index,
            name: name.into(),
            up: true,
            addresses: addresses.iter().map(|net| net.parse().expect("a literal")).collect(),
        };
        let links = vec![
            link(1, "eth0", &["192.0.2.1/24", "2001:db8::1/64", "fe80::1/64"]),
            link(2, "pt-ns", &["10.10.0.1/24", "fe80::2/64"]),
        ];
        let mut world = Self {
            engine: Engine::new(7, now),
            now,
            intent: intents::bare(intents::OWN[0]),
            kernel: Kernel::default(),
            prompt: true,
            links,
            remotes: Vec::new(),
            dials: Vec::new(),
            abandoned: Vec::new(),
            accepted: 0,
            port: 1024,
            said: 0,
        };
        let links = world.links.clone();
        world.tell(Event::Links(links));
        world
    }

    /// Tells the engine, and carries out what it asks for.
    pub(crate) fn tell(&mut self, event: Event) {
        self.engine.handle(self.now, event);
        self.drain();
    }

    pub(crate) fn configure(&mut self, intent: Intent) {
        assert_eq!(engine::intent::diff(Some(&intent), &intent), Vec::new());
        self.intent = intent.clone();
        self.tell(Event::Intent(Box::new(intent)));
    }

    pub(crate) fn drain(&mut self) {
        for _ in 0..ACTIONS {
            match self.engine.poll_action() {
                Some(action) => self.act(action),
                None if self.prompt && self.answer_batches() => {}
                None => return,
            }
        }
        panic!("there is always something to do");
    }

    /// Whether there was something to carry out.
    fn answer_batches(&mut self) -> bool {
        self.take_batches(false, &mut Input(&[]));
        let events = [self.kernel.flight.take(), self.kernel.host_flight.take()];
        let any = events.iter().any(Option::is_some);
        events.into_iter().flatten().for_each(|event| self.engine.handle(self.now, event));
        any
    }

    /// Carries the next batches out; their answers wait.
    pub(crate) fn take_batches(&mut self, trouble: bool, input: &mut Input<'_>) {
        if self.kernel.flight.is_none()
            && let Some(batch) = self.engine.poll_fib()
        {
            self.kernel.apply(&batch, trouble, input);
            assert_eq!(self.engine.poll_fib(), None, "few changes wait for the answer");
        }
        if self.kernel.host_flight.is_none()
            && let Some(batch) = self.engine.poll_host_routes()
        {
            self.kernel.apply_host(&batch, trouble, input);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Dial { conn, dial } => self.dials.push((conn, dial)),
            Action::Transmit(conn) => {
                assert!(self.remotes.iter().any(|remote| remote.conn == conn), "output for {conn:?}, which is closed");
                self.transmit(conn);
            }
            Action::Close(conn) => self.close(conn),
            Action::Admit(admissions) => {
                let ranges = self.intent.ranges.len();
                assert!(admissions.len() <= self.intent.peers.len() + self.intent.unnumbered.len() + ranges);
            }
            Action::Bfd(_) | Action::Sessions(_) => {}
            Action::ClearFib => self.kernel.clear(),
            Action::Note(note) => {
                assert!(!note.text.is_empty() && !note.text.contains(char::is_control), "{:?}", note.text);
            }
        }
    }

    /// The other end reads all there is, unless it does not read at all.
    pub(crate) fn transmit(&mut self, conn: ConnId) {
        let Some(at) = self.remotes.iter().position(|remote| remote.conn == conn) else { return };
        if self.remotes[at].stalled {
            return;
        }
        for _ in 0..CHUNKS {
            match self.engine.poll_transmit(conn) {
                Some(bytes) => self.remotes[at].hear(&bytes),
                None => return,
            }
        }
        panic!("output without end");
    }

    fn close(&mut self, conn: ConnId) {
        if let Some(at) = self.dials.iter().position(|(dial, _)| *dial == conn) {
            self.dials.remove(at);
            self.abandoned.push(conn);
        }
        for _ in 0..CHUNKS {
            let Some(bytes) = self.engine.poll_transmit(conn) else {
                self.remotes.retain(|remote| remote.conn != conn);
                return;
            };
            // A stalled one has lost nothing: TCP keeps the order.
            if let Some(remote) = self.remotes.iter_mut().find(|remote| remote.conn == conn) {
                remote.hear(&bytes);
            }
        }
        panic!("last words without end");
    }

    /// The ends of a connection with somebody, which no other one has.
    fn ends(&mut self, place: Place) -> (SocketAddr, SocketAddr) {
        self.port += 1;
        let address: IpAddr = place.address.parse().expect("a literal");
        let remote = match address {
            IpAddr::V6(address) => SocketAddrV6::new(address, self.port, 0, place.scope).into(),
            IpAddr::V4(_) => SocketAddr::new(address, self.port),
        };
        (SocketAddr::new(own_address(address), 179), remote)
    }

    /// Somebody connects.
    pub(crate) fn accept(&mut self, place: Place) {
        self.accepted += 1;
        let conn = ConnId::Accepted(self.accepted);
        let (local, remote) = self.ends(place);
        self.remotes.push(Remote::new(conn, place, (local, remote)));
        self.tell(Event::Accepted { conn, local, remote, link: Some(place.link.into()) });
    }

    /// The oldest dial is answered.
    pub(crate) fn answer_dial(&mut self, success: bool) {
        if self.dials.is_empty() {
            return;
        }
        let (conn, dial) = self.dials.remove(0);
        let remote = dial.remote;
        let known = PLACES.into_iter().find(|place| place.address == remote.ip().to_string());
        // Another router on the link of the unnumbered neighbour.
        let place = known.unwrap_or(Place { address: "fe80::6", ..PLACES[3] });
        assert_eq!(place.address, remote.ip().to_string(), "only neighbours are dialled");
        if success {
            self.port += 1;
            let local = SocketAddr::new(own_address(remote.ip()), self.port);
            self.remotes.push(Remote::new(conn, place, (local, remote)));
            self.tell(Event::Connected { conn, local });
        } else {
            self.tell(Event::Closed { conn, error: Some("no route".into()) });
        }
    }

    /// Bytes from the other end of a connection, in two segments.
    pub(crate) fn say(&mut self, at: usize, bytes: &[u8], cut: u8) {
        let Some(remote) = self.remotes.get_mut(at) else { return };
        let conn = remote.conn;
        remote.say(bytes);
        self.said += bytes.len();
        let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
        for segment in [first, second] {
            self.tell(Event::Bytes { conn, data: Bytes::copy_from_slice(segment) });
        }
    }

    /// The other end of a connection goes.
    pub(crate) fn lose(&mut self, at: usize, error: bool) {
        if at < self.remotes.len() {
            let remote = self.remotes.remove(at);
            self.tell(Event::Closed { conn: remote.conn, error: error.then(|| "connection reset".into()) });
            assert_eq!(self.engine.poll_transmit(remote.conn), None);
        }
    }

    pub(crate) fn set_underlying(&mut self, bits: u8) {
        let route = |prefix: &str, gateway: Option<&str>, link| UnderlyingRoute {
            prefix: prefix.parse().expect("a literal"),
            gateway: gateway.map(|address| address.parse().expect("a literal")),
            link,
            metric: u32::from(bits & 3),
        };
        let all = [
            route("198.51.100.0/24", Some("192.0.2.7"), 1),
            route("198.51.100.0/25", Some("10.10.0.7"), 2),
            route("0.0.0.0/0", Some("192.0.2.8"), 1),
            route("2001:db8:1::/48", Some("fe80::7"), 1),
            route("::/0", None, 9),
        ];
        let chosen = all.into_iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
        self.tell(Event::Underlying(chosen.map(|(_, route)| route).collect()));
    }

    /// Time passes, and what is due at its end happens: late, but all of it.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.fire();
    }

    /// Time passes until something is due.
    pub(crate) fn wait_for_timer(&mut self) {
        if let Some((at, what)) = self.engine.poll_timeout() {
            assert!(!what.is_empty());
            self.now = self.now.max(at);
        }
        self.fire();
    }

    /// What is due is done: a driver that sleeps until the next deadline does not spin.
    pub(crate) fn fire(&mut self) {
        let mut last = "";
        for _ in 0..ROUNDS {
            match self.engine.poll_timeout() {
                Some((at, what)) if at <= self.now => last = what,
                Some(_) | None => return,
            }
            self.engine.handle_timeout(self.now);
            self.drain();
        }
        panic!("\"{last}\" is due again and again");
    }

    /// What must hold between any two events.
    pub(crate) fn check(&mut self) {
        assert!(self.engine.poll_action().is_none());
        let snapshot = self.engine.snapshot(self.now);
        self.check_sizes(&snapshot);
        let mut addresses = BTreeMap::new();
        for peer in &snapshot.peers {
            *addresses.entry(peer.address).or_insert(0_usize) += 1;
        }
        for peer in snapshot.peers.iter().filter(|peer| peer.state == PeerState::Established) {
            let remote = self.remotes.iter().find(|remote| Some(remote.ends) == peer.endpoints);
            let remote = remote.unwrap_or_else(|| panic!("{} is up without a connection", peer.name));
            assert!(!remote.ended && remote.session().is_some());
            // With two of one address, which a link-local address may be, a listing is about one of them.
            if !remote.stalled && addresses[&peer.address] == 1 {
                self.check_told(peer, remote);
            }
        }
    }

    fn check_sizes(&self, snapshot: &Snapshot) {
        let destinations: usize = snapshot.destinations.iter().map(|(_, count)| count).sum();
        let sources = self.said + NETWORKS;
        assert!(destinations <= sources && snapshot.attribute_sets <= sources + 8, "{snapshot:?}");
        assert!(snapshot.peers.len() <= PLACES.len() + self.intent.listen_limit, "{snapshot:?}");
        assert!(snapshot.fib.groups <= destinations.max(self.kernel.groups.len()) * 2 + 8, "{snapshot:?}");
        for family in snapshot.peers.iter().flat_map(|peer| &peer.families) {
            assert!(family.accepted <= family.received && family.looping <= family.advertised, "{family:?}");
        }
        for family in Family::ALL {
            let routes = self.routes(family, Select::All);
            assert!(routes.len() <= snapshot.destinations[family.index()].1);
            for route in routes {
                assert!(route.paths.iter().filter(|path| path.best).count() <= 1, "{route:?}");
                assert!(route.paths.iter().all(|path| !path.reason.is_empty()), "{route:?}");
                assert!(self.kernel.flight.is_some() || self.installed(&route), "{route:?} is not in the kernel");
            }
        }
    }

    /// With nothing in flight and nothing refused, the kernel has what the tables say and no more.
    pub(crate) fn check_kernel(&self) {
        if !self.intent.fib {
            return;
        }
        let routes = Family::ALL.into_iter().flat_map(|family| self.routes(family, Select::All));
        let installed: BTreeSet<IpNet> =
            routes.filter(|route| route.installed == Some(true)).map(|route| route.prefix).collect();
        assert_eq!(self.kernel.routes.keys().copied().collect::<BTreeSet<_>>(), installed);
        let used: BTreeSet<u32> = self.kernel.routes.values().copied().collect();
        assert_eq!(self.kernel.groups.keys().copied().collect::<BTreeSet<_>>(), used, "groups without routes");
    }

    /// A route that is said to be in the kernel is there.
    fn installed(&self, route: &RouteView) -> bool {
        route.installed != Some(true) || self.kernel.routes.contains_key(&route.prefix)
    }

    /// RIB-Out of the engine is RIB-In of the peer.
    fn check_told(&self, peer: &PeerSnapshot, remote: &Remote) {
        let session = remote.session().expect("both have sent OPEN");
        for counts in &peer.families {
            assert!(session.context.families.contains(counts.family));
            assert!(remote.end_of_rib.contains(counts.family), "{} waits for End-of-RIB", peer.name);
            let told = self.routes(counts.family, Select::Advertised(peer.address));
            let held: Vec<_> = remote.routes.iter().filter(|(net, _)| Family::of(net) == counts.family).collect();
            let prefixes: Vec<IpNet> = told.iter().map(|route| route.prefix).collect();
            assert_eq!(prefixes, held.iter().map(|(prefix, _)| **prefix).collect::<Vec<_>>(), "to {}", peer.name);
            assert_eq!(counts.advertised, told.len());
            for (route, (prefix, held)) in told.iter().zip(held) {
                let [path] = &route.paths[..] else { panic!("{route:?}") };
                held.assert_is(prefix, path);
                let received = self.engine.routes(&exactly(*prefix));
                let to = received.first().map(|route| route.advertised_to.contains(&peer.address));
                assert_eq!(to, Some(true), "{prefix}");
            }
        }
        assert!(remote.routes.keys().all(|prefix| session.context.families.contains(Family::of(prefix))));
    }

    /// A whole listing, page by page.
    pub(crate) fn routes(&self, family: Family, select: Select) -> Vec<RouteView> {
        let mut all: Vec<RouteView> = Vec::new();
        loop {
            let after = all.last().map(|route| route.prefix);
            let limit = if all.is_empty() { PAGE } else { 4 * PAGE * all.len() };
            let page = self.engine.routes(&RouteQuery { family, select: select.clone(), after, limit });
            let short = page.len() < limit;
            assert!(page.len() <= limit && page.iter().all(|route| after.is_none_or(|after| route.prefix > after)));
            all.extend(page);
            if short {
                let prefixes: BTreeSet<IpNet> = all.iter().map(|route| route.prefix).collect();
                assert!(prefixes.len() == all.len() && all.is_sorted_by_key(|route| route.prefix), "in order, once");
                return all;
            }
        }
    }
}

fn exactly(prefix: IpNet) -> RouteQuery {
    RouteQuery { family: Family::of(&prefix), select: Select::Exact(prefix), after: None, limit: 1 }
}

//! Server and client over a real socket, and what the other tests of this module share.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::snapshot::{DrainSnapshot, FamilySnapshot, FibSnapshot, PathView, PeerSnapshot, PeerState};
use engine::{Level, RouteQuery, RouteView, Select, Snapshot};
use ipnet::{IpNet, Ipv4Net};
use wire::Family;

use super::client::{Client, RoutesQuestion};
use super::*;
use crate::status::Mode;

/// A speaker that is a table.
#[derive(Clone, Debug)]
pub(super) struct Fake {
    snapshot: Option<Snapshot>,
    routes: Arc<BTreeMap<IpNet, RouteView>>,
    /// Every query that arrived.
    pub(super) asked: Arc<Mutex<Vec<RouteQuery>>>,
    /// Every order that was carried out.
    pub(super) ordered: Arc<Mutex<Vec<(Whom, Order)>>>,
    /// What it was last told of draining.
    pub(super) draining: Arc<Mutex<Option<engine::Drain>>>,
    /// Its BFD sessions.
    pub(super) sessions: Vec<View>,
}

impl Fake {
    pub(super) fn new(snapshot: Option<Snapshot>, routes: Vec<RouteView>) -> Self {
        let routes = routes.into_iter().map(|route| (route.prefix, route)).collect();
        let (asked, ordered, draining) = <_>::default();
        Self { snapshot, routes: Arc::new(routes), asked, ordered, draining, sessions: Vec::new() }
    }
}

impl Source for Fake {
    async fn snapshot(&self) -> Option<Snapshot> {
        let mut snapshot = self.snapshot.clone()?;
        let now = Instant::now();
        let drain = self.draining.lock().unwrap().clone();
        snapshot.drain =
            drain.map(|drain| DrainSnapshot { since: now, until: Some(now + drain.wait), message: drain.message });
        Some(snapshot)
    }

    async fn measured(&self) -> Option<(Snapshot, Measured)> {
        Some((self.snapshot().await?, Measured::default()))
    }

    async fn bfd(&self) -> Vec<View> {
        self.sessions.clone()
    }

    async fn trace(&self, _: Whom) -> mpsc::Receiver<Tapped> {
        mpsc::channel(1).1
    }

    async fn drain(&self, drain: Option<engine::Drain>) {
        *self.draining.lock().unwrap() = drain;
    }

    async fn routes(&self, query: RouteQuery) -> Option<Vec<RouteView>> {
        self.asked.lock().unwrap().push(query.clone());
        self.snapshot.as_ref()?;
        let of_family = self.routes.values().filter(|route| Family::of(&route.prefix) == query.family);
        let chosen: Vec<RouteView> = match query.select {
            Select::Exact(prefix) => of_family.filter(|route| route.prefix == prefix).cloned().collect(),
            Select::Longest(prefix) => of_family
                .filter(|route| route.prefix.contains(&prefix))
                .max_by_key(|route| route.prefix.prefix_len())
                .cloned()
                .into_iter()
                .collect(),
            Select::All => of_family.cloned().collect(),
            Select::Received(peer) => {
                of_family.filter(|route| route.paths.iter().any(|path| path.peer == Some(peer))).cloned().collect()
            }
            Select::Advertised(peer) => {
                of_family.filter(|route| route.advertised_to.contains(&peer)).cloned().collect()
            }
        };
        Some(
            chosen
                .into_iter()
                .filter(|route| query.after.is_none_or(|after| route.prefix > after))
                .take(query.limit)
                .collect(),
        )
    }

    /// Refuses as the engine does: without a session nothing can be refreshed.
    async fn order(&self, whom: Whom, orders: Vec<Order>) -> Option<Result<(), String>> {
        let mut those = self.snapshot.as_ref()?.peers.iter().filter(|one| one.address == whom.address);
        let up = those.any(|one| one.link == whom.link && one.state == PeerState::Established);
        if !up && orders.iter().any(|order| matches!(order, Order::RefreshIn | Order::RefreshOut)) {
            return Some(Err(format!("there is no session with {}: nothing to refresh", whom.address)));
        }
        self.ordered.lock().unwrap().extend(orders.into_iter().map(|order| (whom.clone(), order)));
        Some(Ok(()))
    }
}

pub(super) fn peer(name: &str, address: &str, state: PeerState) -> PeerSnapshot {
    let up = state == PeerState::Established;
    PeerSnapshot {
        address: address.parse().unwrap(),
        link: None,
        range: None,
        name: name.to_owned(),
        role: engine::intent::Role::Fabric,
        asn: Some(64512),
        state,
        since: Instant::now(),
        flaps: 2,
        endpoints: up.then(|| ("192.168.11.3:179".parse().unwrap(), "192.168.11.2:41000".parse().unwrap())),
        router_id: up.then_some(Ipv4Addr::new(10, 0, 0, 1)),
        hold_time: up.then_some(Duration::from_secs(90)),
        capabilities: vec!["route refresh".into()],
        families: vec![FamilySnapshot {
            family: Family::Ipv4Unicast,
            received: 7,
            accepted: 6,
            advertised: 5,
            looping: 1,
            end_of_rib: up,
        }],
        received: [0, 1, 2, 3, 4, 5],
        sent: [0, 10, 20, 30, 40, 50],
        last_error: (!up).then(|| "connection refused".to_owned()),
        malformed: 1,
        malformed_attributes: [(8, 1)].into(),
        shut_down: false,
        kept_until: None,
        restart: None,
        bfd: None,
    }
}

pub(super) fn snapshot(peers: Vec<PeerSnapshot>) -> Snapshot {
    Snapshot {
        asn: 64514,
        router_id: Ipv4Addr::new(10, 0, 0, 4),
        peers,
        destinations: vec![(Family::Ipv4Unicast, 3), (Family::Ipv6Unicast, 1)],
        attribute_sets: 2,
        fib: FibSnapshot { installed: 4, pending: 0, failed: 0, groups: 1 },
        drain: None,
    }
}

pub(super) fn route(prefix: &str) -> RouteView {
    RouteView {
        prefix: prefix.parse().unwrap(),
        installed: Some(true),
        paths: vec![PathView {
            peer: Some("192.168.11.2".parse().unwrap()),
            path_id: None,
            stale: false,
            usable: true,
            best: true,
            multipath: false,
            reason: "only path".into(),
            next_hop: Some("192.168.11.2".parse().unwrap()),
            link: Some("eth1".into()),
            as_path: "64512".into(),
            origin: "igp",
            med: None,
            local_pref: None,
            communities: vec![],
        }],
        refusal: None,
        advertised_to: vec!["192.169.10.2".parse().unwrap()],
        withheld: Vec::new(),
    }
}

fn two_peers() -> Snapshot {
    snapshot(vec![
        peer("fabric", "192.168.11.2", PeerState::Established),
        peer("host", "192.169.10.2", PeerState::Established),
    ])
}

/// A server on a socket of its own; ends with it.
struct Running {
    dir: tempfile::TempDir,
    status: Status,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(source: Fake) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket_path(dir.path())).unwrap();
        let (stop, stopped) = watch::channel(false);
        let status = Status::new(Mode::Speak);
        let task = tokio::spawn(server::serve(listener, None, source, status.clone(), None, stopped));
        Self { dir, status, stop, task }
    }

    async fn client(&self) -> Client {
        Client::connect(self.dir.path()).await.unwrap()
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
    match result {
        Err(Failure::Daemon(sentence)) => sentence,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn status_peers_and_routes_answer_on_one_connection() {
    let server = Running::start(Fake::new(Some(two_peers()), vec![route("10.0.0.0/24")]));
    let mut client = server.client().await;
    assert_eq!(client.pid(), i32::try_from(std::process::id()).ok());
    let status = client.status().await.unwrap();
    assert!(status.healthy, "{:?}", status.problems);
    assert_eq!(status.router.unwrap().asn, Some(64514));
    let names: Vec<_> = client.peers().await.unwrap().into_iter().map(|peer| peer.name).collect();
    assert_eq!(names, ["fabric", "host"]);
    let page = client.routes(&RoutesQuestion::default()).await.unwrap();
    assert_eq!(page.next, None);
    assert_eq!(page.routes[0].advertised_to[0].name, "host");
}

#[tokio::test]
async fn a_table_of_2500_routes_comes_in_bounded_pages_without_gap_or_repetition() {
    let prefixes: Vec<String> =
        (0..2500u32).map(|i| Ipv4Net::new(Ipv4Addr::from(0x0a00_0000 + (i << 8)), 24).unwrap().to_string()).collect();
    let mut routes: Vec<_> = prefixes.iter().map(|prefix| route(prefix)).collect();
    routes.push(route("2001:db8::/32"));
    let source = Fake::new(Some(two_peers()), routes);
    let server = Running::start(source.clone());
    let mut client = server.client().await;
    let mut question = RoutesQuestion::default();
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let page = client.routes(&question).await.unwrap();
        pages += 1;
        seen.extend(page.routes.iter().map(|route| route.prefix.to_string()));
        match page.next {
            Some(next) => question.after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen.len(), 2501);
    assert_eq!(seen[..2500], prefixes);
    assert_eq!(seen[2500], "2001:db8::/32");
    assert_eq!(pages, 6);
    assert!(source.asked.lock().unwrap().iter().all(|query| query.limit <= 500));
}

#[tokio::test]
async fn an_unknown_peer_is_refused_with_the_known_ones() {
    let server = Running::start(Fake::new(Some(two_peers()), vec![]));
    let question = RoutesQuestion { received: Some("fabrik".into()), ..RoutesQuestion::default() };
    let sentence = refusal(server.client().await.routes(&question).await);
    assert_eq!(sentence, "no peer is called fabrik; did you mean fabric?");
}

#[tokio::test]
async fn orders_reach_the_speaker_and_the_answer_says_what_was_done() {
    let source = Fake::new(Some(two_peers()), vec![]);
    let server = Running::start(source.clone());
    let mut client = server.client().await;
    let how = model::ShutDown { message: Some("disk change".into()) };
    let answer = client.shut_down("fabric", &how).await.unwrap();
    assert_eq!((answer[0].peer.name.as_str(), &answer[0].done[..]), ("fabric", &[model::Deed::Shutdown][..]));
    let both = model::Clear { soft: Some(model::Soft::Both), message: None };
    client.clear("192.169.10.2", &both).await.unwrap();
    let answer = client.clear("all", &model::Clear::default()).await.unwrap();
    assert_eq!(answer.iter().map(|one| one.peer.name.as_str()).collect::<Vec<_>>(), ["fabric", "host"]);
    let whom = |address: &str| Whom { address: address.parse().unwrap(), link: None };
    let (fabric, host) = (|| whom("192.168.11.2"), || whom("192.169.10.2"));
    assert_eq!(
        *source.ordered.lock().unwrap(),
        [
            (fabric(), Order::Shutdown { message: Some("disk change".into()) }),
            (host(), Order::RefreshIn),
            (host(), Order::RefreshOut),
            (fabric(), Order::Reset { message: None }),
            (host(), Order::Reset { message: None }),
        ]
    );
    let sentence = refusal(client.clear("fabrik", &model::Clear::default()).await);
    assert_eq!(sentence, "no peer is called fabrik; did you mean fabric?");
    let long = model::ShutDown { message: Some("x".repeat(256)) };
    assert!(refusal(client.shut_down("fabric", &long).await).contains("256 octets"));
}

#[tokio::test]
async fn a_drain_reaches_the_speaker_and_its_progress_comes_back() {
    let source = Fake::new(Some(two_peers()), vec![]);
    let server = Running::start(source.clone());
    let mut client = server.client().await;
    assert_eq!(client.drain().await.unwrap(), None);
    let order = model::DrainOrder { wait_seconds: Some(60), message: Some("new kernel".into()), ..Default::default() };
    let drain = client.order_drain(&order).await.unwrap().expect("it has begun");
    assert_eq!((drain.state, drain.left_seconds), (model::DrainState::Draining, Some(60)));
    assert_eq!(client.drain().await.unwrap().and_then(|drain| drain.message).as_deref(), Some("new kernel"));
    assert_eq!(source.draining.lock().unwrap().as_ref().map(|drain| drain.wait), Some(Duration::from_secs(60)));
    let undo = model::DrainOrder { undo: true, ..Default::default() };
    assert_eq!(client.order_drain(&undo).await.unwrap(), None);
    let both = model::DrainOrder { undo: true, ..order };
    assert!(refusal(client.order_drain(&both).await).contains("neither"));
}

#[tokio::test]
async fn a_stopped_speaker_is_a_problem_in_status_and_a_refusal_elsewhere() {
    let server = Running::start(Fake::new(None, vec![]));
    let mut client = server.client().await;
    let status = client.status().await.unwrap();
    assert!(!status.healthy && status.router.is_none());
    assert!(status.problems[0].contains("speaker has stopped"));
    assert!(refusal(client.peers().await).contains("speaker does not run"));
    assert!(refusal(client.clear("all", &model::Clear::default()).await).contains("speaker does not run"));
    assert!(refusal(client.routes(&RoutesQuestion::default()).await).contains("speaker does not run"));
}

#[tokio::test]
async fn events_are_handed_out_once_and_waited_for() {
    let server = Running::start(Fake::new(None, vec![]));
    let mut client = server.client().await;
    assert_eq!(client.newest_events(10).await.unwrap().events, []);
    for number in 1..=3 {
        server.status.note(Level::Info, None, format!("event {number}"));
    }
    server.status.note(Level::Warn, "eth1", "event 4");
    let page = client.newest_events(2).await.unwrap();
    assert_eq!(page.events.iter().map(|event| event.number).collect::<Vec<_>>(), [3, 4]);
    assert_eq!((page.last, page.events[1].object.as_deref()), (4, Some("eth1")));
    let page = client.events_after(1).await.unwrap();
    assert_eq!(page.events.iter().map(|event| event.number).collect::<Vec<_>>(), [2, 3, 4]);

    // Nothing is there: the answer comes with the next event.
    let asked = tokio::spawn(async move { client.events_after(4).await });
    tokio::task::yield_now().await;
    server.status.note(Level::Info, None, "event 5");
    let page = asked.await.unwrap().unwrap();
    assert_eq!((page.events.len(), page.events[0].text.as_str(), page.last), (1, "event 5", 5));
    let status = server.client().await.status().await.unwrap();
    assert_eq!(status.events.iter().map(|event| event.text.as_str()).collect::<Vec<_>>(), ["event 4"], "warnings only");
}

#[tokio::test]
async fn whoever_waits_for_events_does_not_hold_up_the_end() {
    let server = Running::start(Fake::new(None, vec![]));
    let mut client = server.client().await;
    client.status().await.unwrap();
    let asked = tokio::spawn(async move { client.events_after(0).await });
    server.stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(20), server.task).await.expect("ends").unwrap();
    // An empty page, or none when the end came first.
    assert!(asked.await.unwrap().map_or(true, |page| page.events.is_empty()));
}

#[tokio::test]
async fn the_server_ends_when_told_although_a_client_stays_connected() {
    let server = Running::start(Fake::new(Some(two_peers()), vec![]));
    let mut client = server.client().await;
    client.status().await.unwrap();
    server.stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(20), server.task).await.expect("ends").unwrap();
    assert!(client.status().await.is_err());
}

#[tokio::test]
async fn without_a_daemon_the_sentence_names_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let sentence = refusal(Client::connect(dir.path()).await);
    assert!(sentence.starts_with(&format!("no perouter daemon answers at {}", socket_path(dir.path()).display())));
}

#[test]
fn peers_are_found_by_address_in_any_notation_or_by_name() {
    let known = [
        model::PeerRef { name: "leaf".into(), address: "2001:db8::2".parse().unwrap() },
        model::PeerRef { name: "host".into(), address: "192.169.10.2".parse().unwrap() },
    ];
    assert_eq!(find_peer("2001:DB8:0::2", &known), Ok(0));
    assert_eq!(find_peer("host", &known), Ok(1));
    assert_eq!(find_peer("x", &[]).unwrap_err().to_string(), "no peer is called x; no peer is configured");
    let many = vec![known[1].clone(); 25];
    assert!(find_peer("x", &many).unwrap_err().to_string().ends_with("and 5 more"));
}

#[test]
fn a_word_for_several_peers_lists_them() {
    let known = ["eth1", "eth2"].map(|link| model::PeerRef { name: link.into(), address: "fe80::1".parse().unwrap() });
    assert_eq!(
        find_peer("fe80::1", &known),
        Err(NoPeer::Several("several peers are called fe80::1: eth1 (fe80::1), eth2 (fe80::1)".into()))
    );
    assert_eq!(find_peer("eth2", &known), Ok(1));
}

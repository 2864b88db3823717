//! Listening sockets: where peers find us.
//!
//! Owns: the sockets, one task each that accepts until it is aborted (from when it is known who may come), and their TCP-MD5
//! keys. Plain ones are there for
//! the life of the speaker. For every link that an admission names there is one more at each of their addresses, bound
//! to that link as long as it exists: the kernel prefers it for what arrives over the link, and a connection from it
//! is known to have come over that link.
//! Is told: whom to expect (`Action::Admit`) and which links exist. Emits: [`Fact::Incoming`] to the owner.
//! Does not: decide who may connect. The engine knows its peers and closes the others' connections. Keys are
//! the exception: the kernel compares them at the SYN, so they must be there before the connection is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use engine::intent::Secret;
use engine::{Admission, Link};
use ipnet::IpNet;
use kernel::netns::Namespace;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::connection::words;
use super::fact::Fact;

/// How long to wait when the process cannot accept (no descriptors left).
const ACCEPT_RETRY: Duration = Duration::from_millis(500);

/// Something that did not work, for the events: the peer that it concerns, and a sentence.
pub(super) type Complaint = (Option<IpAddr>, String);

/// The listening sockets of the speaker. Dropping it closes them.
#[derive(Debug)]
pub(super) struct Listeners {
    namespace: Namespace,
    facts: mpsc::Sender<Fact>,
    /// Where the plain ones listen.
    addresses: Vec<SocketAddr>,
    sockets: Vec<Socket>,
    admissions: Vec<Admission>,
    /// Index of each link that exists.
    links: BTreeMap<String, u32>,
    /// What was told and still holds, so that it is told once.
    told: BTreeSet<Complaint>,
}

/// One listening socket. Its task ends with it.
#[derive(Debug)]
struct Socket {
    address: SocketAddr,
    /// The link that it is bound to, by name and index: another link of the same name is another one.
    link: Option<(String, u32)>,
    /// A descriptor of the socket that the task accepts on, for its options.
    listener: TcpListener,
    keys: BTreeMap<IpNet, Secret>,
    /// `None` as long as nobody is expected.
    task: Option<AbortHandle>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.iter().for_each(AbortHandle::abort);
    }
}

impl Listeners {
    /// Takes the plain, non-blocking listening sockets, but does not accept yet.
    pub(super) fn new(namespace: Namespace, plain: Vec<TcpListener>, facts: &mpsc::Sender<Fact>) -> io::Result<Self> {
        let mut listeners = Self {
            namespace,
            facts: facts.clone(),
            addresses: Vec::new(),
            sockets: Vec::new(),
            admissions: Vec::new(),
            links: BTreeMap::new(),
            told: BTreeSet::new(),
        };
        for listener in plain {
            let address = listener.local_addr()?;
            listeners.addresses.push(address);
            listeners.sockets.push(Socket { address, link: None, listener, keys: BTreeMap::new(), task: None });
        }
        Ok(listeners)
    }

    /// Expects exactly these peers from here on, and begins to accept. Whoever came earlier need not be sent away to try again,
    /// unless the kernel should have looked at its packets: then there was nothing to compare them with. Returns what does not
    /// work and was not told before. Must be called inside a tokio runtime.
    pub(super) fn admit(&mut self, admissions: Vec<Admission>) -> Vec<Complaint> {
        self.admissions = admissions;
        let mut complaints = self.reconcile();
        for socket in self.sockets.iter_mut().filter(|socket| socket.task.is_none()) {
            early(socket, &self.admissions, &self.facts);
            if let Err(error) = socket.accept(&self.facts) {
                complaints.push((None, format!("cannot accept connections at {}: {}", socket.address, words(&error))));
            }
        }
        complaints
    }

    /// These links exist from here on.
    pub(super) fn set_links(&mut self, links: &[Link]) -> Vec<Complaint> {
        let links: BTreeMap<String, u32> = links.iter().map(|link| (link.name.clone(), link.index)).collect();
        if links == self.links {
            return Vec::new();
        }
        self.links = links;
        self.reconcile()
    }

    /// Prepares an accepted stream for the peer that it came from.
    pub(super) fn tune(&self, stream: &TcpStream, peer: IpAddr, link: Option<&str>) -> io::Result<()> {
        let Some(admission) = admission(&self.admissions, peer, link) else {
            return kernel::sock::tune(stream, None);
        };
        kernel::sock::tune(stream, super::ttl(admission.ttl, admission.ttl_security))?;
        match super::least_ttl(admission.ttl_security) {
            Some(least) => kernel::sock::require_ttl(stream, least),
            None => Ok(()),
        }
    }

    /// Opens and closes bound sockets, sets and removes keys.
    fn reconcile(&mut self) -> Vec<Complaint> {
        let mut complaints = unsigned_in_signed(&self.admissions);
        let wanted: BTreeSet<(String, u32)> = self
            .admissions
            .iter()
            .filter_map(|admission| self.links.get_key_value(admission.link.as_ref()?))
            .map(|(name, index)| (name.clone(), *index))
            .collect();
        self.sockets.retain(|socket| socket.link.as_ref().is_none_or(|link| wanted.contains(link)));
        for link in &wanted {
            for &address in &self.addresses {
                if self.sockets.iter().any(|socket| socket.address == address && socket.link.as_ref() == Some(link)) {
                    continue;
                }
                match Socket::bound(&self.namespace, address, link, &self.facts) {
                    Ok(socket) => self.sockets.push(socket),
                    Err(error) => {
                        let text = format!("cannot listen on {address} over {}: {}", link.0, words(&error));
                        complaints.insert((None, text));
                    }
                }
            }
        }
        for socket in &mut self.sockets {
            let link = socket.link.as_ref().map(|(name, _)| name.as_str());
            let keys = keys(&self.admissions, link, socket.address.is_ipv4());
            socket.set_keys(keys, &mut complaints);
        }
        let new = complaints.difference(&self.told).cloned().collect();
        self.told = complaints;
        new
    }
}

impl Socket {
    fn accept(&mut self, facts: &mpsc::Sender<Fact>) -> io::Result<()> {
        let accepting = tokio::net::TcpListener::from_std(self.listener.try_clone()?)?;
        let name = self.link.as_ref().map(|(name, _)| name.clone());
        self.task = Some(tokio::spawn(accept(accepting, name, facts.clone())).abort_handle());
        Ok(())
    }

    fn bound(
        namespace: &Namespace,
        address: SocketAddr,
        link: &(String, u32),
        facts: &mpsc::Sender<Fact>,
    ) -> io::Result<Self> {
        let listener = kernel::sock::listen_on(namespace, address, Some(&link.0))?;
        let mut socket = Self { address, link: Some(link.clone()), listener, keys: BTreeMap::new(), task: None };
        socket.accept(facts)?;
        Ok(socket)
    }

    fn set_keys(&mut self, wanted: BTreeMap<IpNet, Secret>, complaints: &mut BTreeSet<Complaint>) {
        for prefix in self.keys.keys().filter(|prefix| !wanted.contains_key(prefix)) {
            if let Err(error) = kernel::sock::set_md5_range(&self.listener, *prefix, None) {
                let text = format!("the TCP-MD5 password of {} cannot be removed: {}", shown(prefix), words(&error));
                complaints.insert((peer(prefix), text));
            }
        }
        let mut set = BTreeMap::new();
        for (prefix, key) in wanted {
            let there = self.keys.get(&prefix) == Some(&key);
            match if there { Ok(()) } else { kernel::sock::set_md5_range(&self.listener, prefix, Some(&key.0)) } {
                Ok(()) => drop(set.insert(prefix, key)),
                Err(error) => {
                    let text = format!(
                        "the kernel does not take the TCP-MD5 password of {}: {}. Connections from there cannot be accepted",
                        shown(&prefix),
                        words(&error)
                    );
                    complaints.insert((peer(&prefix), text));
                }
            }
        }
        self.keys = set;
    }
}

/// Takes the connections that are waiting, and drops those whose packets should have been looked at.
fn early(socket: &Socket, admissions: &[Admission], facts: &mpsc::Sender<Fact>) {
    while let Ok((stream, remote)) = socket.listener.accept() {
        let may_be = |one: &&Admission| one.prefix.contains(&remote.ip());
        let is_secured = |one: &Admission| one.password.is_some() || one.ttl_security.is_some();
        if admissions.iter().filter(may_be).any(is_secured) || stream.set_nonblocking(true).is_err() {
            continue;
        }
        let Ok(local) = stream.local_addr() else { continue };
        // Whoever finds no place tries again.
        let _ = facts.try_send(Fact::Incoming { stream, local, remote, link: None });
    }
}

/// The admission of a connection from `peer` over `link`, in the order in which the engine looks for whom it belongs to:
/// a neighbour at this very address, then ranges of the link, longer before shorter, then the others.
fn admission<'a>(admissions: &'a [Admission], peer: IpAddr, link: Option<&str>) -> Option<&'a Admission> {
    let over_link = |one: &Admission| one.link.is_none() || one.link.as_deref() == link;
    admissions.iter().filter(|one| one.prefix.contains(&peer) && (is_single(&one.prefix) || over_link(one))).max_by_key(
        |one| {
            let single = is_single(&one.prefix);
            (single, single && over_link(one), one.link.is_some(), one.prefix.prefix_len())
        },
    )
}

/// The admissions that connections over `link` can belong to, those of the link last. A range that lies within one of
/// the link gets none: that one goes before it.
fn counting<'a>(admissions: &'a [Admission], link: Option<&str>) -> Vec<&'a Admission> {
    let of_link = |one: &&Admission| one.link.is_some() && one.link.as_deref() == link;
    let covered = |one: &&Admission| {
        !is_single(&one.prefix) && admissions.iter().filter(of_link).any(|outer| outer.prefix.contains(&one.prefix))
    };
    let general = admissions.iter().filter(|one| one.link.is_none() && !covered(one));
    general.chain(admissions.iter().filter(of_link)).collect()
}

/// The keys of a socket at an address of this family, bound to `link`: those of the admissions whose connections it can
/// get.
fn keys(admissions: &[Admission], link: Option<&str>, ipv4: bool) -> BTreeMap<IpNet, Secret> {
    let mut keys = BTreeMap::new();
    // Those of the link come later and replace.
    for admission in counting(admissions, link).into_iter().filter(|one| one.prefix.addr().is_ipv4() == ipv4) {
        let prefix = admission.prefix.trunc();
        match &admission.password {
            Some(key) => drop(keys.insert(prefix, key.clone())),
            None => drop(keys.remove(&prefix)),
        }
    }
    keys
}

/// The kernel knows no exceptions from a range's key.
fn unsigned_in_signed(admissions: &[Admission]) -> BTreeSet<Complaint> {
    let mut found = BTreeSet::new();
    for inner in admissions.iter().filter(|one| one.password.is_none()) {
        let around = |outer: &&Admission| {
            outer.password.is_some() && outer.prefix != inner.prefix && outer.prefix.contains(&inner.prefix)
        };
        if let Some(outer) = counting(admissions, inner.link.as_deref()).into_iter().find(around) {
            let text = format!(
                "{} has no password but lies in the range {}, which has one: the kernel accepts its connections only with \
                 that password. Give it the same one",
                shown(&inner.prefix),
                outer.prefix
            );
            found.insert((peer(&inner.prefix), text));
        }
    }
    found
}

/// The address of a single peer, the prefix of a range.
fn shown(prefix: &IpNet) -> String {
    peer(prefix).map_or_else(|| prefix.to_string(), |peer| peer.to_string())
}

fn peer(prefix: &IpNet) -> Option<IpAddr> {
    is_single(prefix).then(|| prefix.addr())
}

fn is_single(prefix: &IpNet) -> bool {
    prefix.prefix_len() == prefix.max_prefix_len()
}

/// Accepts from one socket until it is aborted. What is in the backlog then is reset by the kernel.
async fn accept(listener: tokio::net::TcpListener, link: Option<String>, facts: mpsc::Sender<Fact>) {
    loop {
        match incoming(&listener).await {
            Ok((stream, local, remote)) => {
                if facts.send(Fact::Incoming { stream, local, remote, link: link.clone() }).await.is_err() {
                    return;
                }
            }
            // The peer went away between SYN and accept: the next one may be fine.
            Err(error) if peer_gone(&error) => {}
            Err(error) => {
                tracing::warn!(error = %words(&error), "cannot accept a connection, trying again");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn incoming(listener: &tokio::net::TcpListener) -> io::Result<(TcpStream, SocketAddr, SocketAddr)> {
    let (stream, remote) = listener.accept().await?;
    let local = stream.local_addr()?;
    Ok((stream.into_std()?, local, remote))
}

fn peer_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected
    )
}

/// Opens listening sockets in `ns`. An IPv6 wildcard on a system without IPv6 is left out and named in the
/// second value; everything else that fails is an error that names the address and the remedy.
pub(crate) fn open(ns: &Namespace, addresses: &[SocketAddr]) -> Result<(Vec<TcpListener>, Vec<String>), String> {
    let mut sockets = Vec::new();
    let mut warnings = Vec::new();
    for &address in addresses {
        match kernel::sock::listen(ns, address) {
            Ok(socket) => sockets.push(socket),
            Err(error) if without_ipv6(address, &error) => {
                warnings.push(format!("not listening on {address}: this system has no IPv6 ({})", words(&error)));
            }
            Err(error) => return Err(refusal(address, &error)),
        }
    }
    Ok((sockets, warnings))
}

const EAFNOSUPPORT: i32 = 97;

fn without_ipv6(address: SocketAddr, error: &io::Error) -> bool {
    address.is_ipv6()
        && address.ip().is_unspecified()
        && (error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// The sentence for a listen address that cannot be had.
fn refusal(address: SocketAddr, error: &io::Error) -> String {
    let remedy = if error.kind() == io::ErrorKind::AddrInUse {
        format!(
            "another program listens there (`ss -ltnp 'sport = :{}'` shows which); stop it or choose another address",
            address.port()
        )
    } else if error.kind() == io::ErrorKind::AddrNotAvailable {
        format!("no link here has the address {}; add it or choose another one", address.ip())
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "ports below 1024 need root or CAP_NET_BIND_SERVICE; start it as root or choose a higher port".to_owned()
    } else {
        "choose another address".to_owned()
    };
    format!("cannot listen on {address}: {}; {remedy}", words(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(code: i32) -> io::Error {
        io::Error::from_raw_os_error(code)
    }

    #[test]
    fn a_taken_address_is_named_with_the_remedy() {
        let address: SocketAddr = "0.0.0.0:179".parse().expect("an address");
        let text = refusal(address, &os(98));
        assert!(text.starts_with("cannot listen on 0.0.0.0:179: Address already in use; another program"), "{text}");
        assert!(text.contains("sport = :179"), "{text}");
    }

    fn expected(prefix: &str, link: Option<&str>, password: Option<&str>) -> Admission {
        Admission {
            prefix: prefix.parse().unwrap(),
            link: link.map(str::to_owned),
            password: password.map(|word| Secret(word.to_owned())),
            ttl: engine::intent::Ttl::System,
            ttl_security: None,
        }
    }

    #[test]
    fn a_neighbor_goes_before_ranges_and_those_of_the_link_before_longer_ones() {
        let all = [
            expected("10.0.0.0/8", None, None),
            expected("10.1.0.0/16", Some("eth1"), None),
            expected("10.1.2.0/24", Some("eth1"), None),
            expected("10.1.2.128/25", None, None),
            expected("10.0.0.0/7", Some("eth2"), None),
            expected("10.1.2.3/32", None, None),
            expected("10.1.2.4/32", Some("eth3"), None),
            expected("fe80::/10", Some("eth1"), None),
        ];
        let table = [
            ("10.1.2.3", Some("eth1"), "10.1.2.3/32"),
            ("10.1.2.3", Some("eth2"), "10.1.2.3/32"),
            ("10.1.2.3", None, "10.1.2.3/32"),
            ("10.1.2.4", Some("eth3"), "10.1.2.4/32"),
            ("10.1.2.4", Some("eth1"), "10.1.2.4/32"),
            ("10.1.2.200", Some("eth1"), "10.1.2.0/24"),
            ("10.1.2.200", Some("eth2"), "10.0.0.0/7"),
            ("10.1.2.200", Some("eth3"), "10.1.2.128/25"),
            ("10.1.2.200", None, "10.1.2.128/25"),
            ("10.1.9.9", Some("eth1"), "10.1.0.0/16"),
            ("10.1.9.9", None, "10.0.0.0/8"),
            ("11.0.0.1", Some("eth2"), "10.0.0.0/7"),
            ("11.0.0.1", Some("eth1"), ""),
            ("fe80::1", Some("eth1"), "fe80::/10"),
            ("fe80::1", Some("eth2"), ""),
        ];
        for (peer, link, wanted) in table {
            let found = admission(&all, peer.parse().unwrap(), link);
            let found = found.map_or_else(String::new, |one| one.prefix.to_string());
            assert_eq!(found, wanted, "{peer} over {link:?}");
        }
    }

    #[test]
    fn a_socket_of_a_link_has_no_keys_of_ranges_within_those_of_the_link() {
        let all = [
            expected("10.0.0.0/8", None, Some("wide")),
            expected("10.1.0.0/16", Some("eth1"), None),
            expected("10.1.2.0/24", None, Some("narrow")),
            expected("10.1.2.3/32", None, Some("neighbor")),
            expected("10.2.0.0/16", None, Some("general")),
            expected("10.2.0.0/16", Some("eth2"), Some("special")),
            expected("fe80::/10", Some("eth1"), Some("six")),
        ];
        type Key = (&'static str, &'static str);
        let table: [(Option<&str>, bool, &[Key]); 6] = [
            (
                None,
                true,
                &[
                    ("10.0.0.0/8", "wide"),
                    ("10.1.2.0/24", "narrow"),
                    ("10.1.2.3/32", "neighbor"),
                    ("10.2.0.0/16", "general"),
                ],
            ),
            (Some("eth1"), true, &[("10.0.0.0/8", "wide"), ("10.1.2.3/32", "neighbor"), ("10.2.0.0/16", "general")]),
            (
                Some("eth2"),
                true,
                &[
                    ("10.0.0.0/8", "wide"),
                    ("10.1.2.0/24", "narrow"),
                    ("10.1.2.3/32", "neighbor"),
                    ("10.2.0.0/16", "special"),
                ],
            ),
            (Some("eth1"), false, &[("fe80::/10", "six")]),
            (Some("eth2"), false, &[]),
            (None, false, &[]),
        ];
        for (link, ipv4, wanted) in table {
            let wanted: BTreeMap<IpNet, Secret> =
                wanted.iter().map(|(prefix, key)| (prefix.parse().unwrap(), Secret((*key).to_owned()))).collect();
            assert!(keys(&all, link, ipv4) == wanted, "{link:?}, IPv4: {ipv4}");
        }
    }

    #[test]
    fn a_key_that_a_link_does_not_get_forbids_nothing_there() {
        let inner = expected("10.1.0.0/16", Some("eth1"), None);
        let outer = expected("10.0.0.0/8", None, Some("word"));
        assert_eq!(unsigned_in_signed(&[inner.clone(), outer.clone()]).len(), 1);
        let around = expected("10.0.0.0/7", Some("eth1"), None);
        assert!(unsigned_in_signed(&[inner, outer, around]).is_empty());
    }

    #[test]
    fn a_peer_without_password_in_a_range_with_one_is_named() {
        let all = [expected("10.0.0.0/8", None, Some("word")), expected("10.0.0.5/32", None, None)];
        let found = unsigned_in_signed(&all);
        let (peer, text) = found.first().expect("a complaint");
        assert_eq!((found.len(), *peer), (1, Some("10.0.0.5".parse().unwrap())));
        assert!(text.contains("10.0.0.0/8"), "{text}");
        assert!(unsigned_in_signed(&[expected("10.0.0.0/8", Some("eth1"), Some("word")), all[1].clone()]).is_empty());
    }

    #[test]
    fn only_the_ipv6_wildcard_may_be_missing() {
        let wildcard: SocketAddr = "[::]:179".parse().expect("an address");
        let own: SocketAddr = "[2001:db8::1]:179".parse().expect("an address");
        let v4: SocketAddr = "0.0.0.0:179".parse().expect("an address");
        assert!(without_ipv6(wildcard, &os(EAFNOSUPPORT)));
        assert!(without_ipv6(wildcard, &os(99)));
        assert!(!without_ipv6(wildcard, &os(98)));
        assert!(!without_ipv6(own, &os(99)));
        assert!(!without_ipv6(v4, &os(99)));
    }
}

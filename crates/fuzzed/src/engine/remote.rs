//! The other end of a connection: what it said, what it heard, and what it therefore believes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use engine::snapshot::PathView;
use engine::{ConnId, Family, FamilySet};
use ipnet::IpNet;
use wire::{
    AsPath, Capability, DecodeContext, Frame, MAX_LEN, MAX_LEN_EXTENDED, MessageType, NextHop, Notification, Open,
    Refresh, RouteRefresh, Update, attr_code, attribute, next_frame,
};

use super::intents::{OWN, Place};

/// A route as the receiver holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) next_hop: NextHop,
    /// The canonical set.
    pub(crate) attributes: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) conn: ConnId,
    pub(crate) place: Place,
    /// The engine's end and this one; no two connections share both.
    pub(crate) ends: (SocketAddr, SocketAddr),
    /// Nobody reads what the engine has to say.
    pub(crate) stalled: bool,
    /// What was said and does not make up a message yet; dropped once nobody reads on.
    saying: Vec<u8>,
    said: Vec<MessageType>,
    said_open: Option<Open>,
    heard: Vec<u8>,
    pub(crate) heard_open: Option<Open>,
    /// Its last words.
    pub(crate) ended: bool,
    pub(crate) routes: BTreeMap<IpNet, Held>,
    pub(crate) end_of_rib: FamilySet,
    /// Not told again since the beginning of a refresh, by family.
    stale: BTreeMap<Family, BTreeSet<IpNet>>,
}

/// What both OPENs agree on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) context: DecodeContext,
    pub(crate) max_len: usize,
    refresh: bool,
    enhanced: bool,
}

impl Remote {
    pub(crate) fn new(conn: ConnId, place: Place, ends: (SocketAddr, SocketAddr)) -> Self {
        Self {
            conn,
            place,
            ends,
            stalled: false,
            saying: Vec::new(),
            said: Vec::new(),
            said_open: None,
            heard: Vec::new(),
            heard_open: None,
            ended: false,
            routes: BTreeMap::new(),
            end_of_rib: FamilySet::default(),
            stale: BTreeMap::new(),
        }
    }

    /// Bytes go to the engine. Only the first two messages matter for what it may say.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        if self.said.len() >= 2 {
            return;
        }
        self.saying.extend_from_slice(bytes);
        while self.said.len() < 2
            && let Ok(Some(Frame { kind, body, len })) = next_frame(&self.saying, MAX_LEN)
        {
            if kind == MessageType::Open && self.said.is_empty() {
                self.said_open = Open::decode(body).ok();
            }
            self.said.push(kind);
            self.saying.drain(..len);
        }
    }

    /// Whether this end has done its part: OPEN, then KEEPALIVE.
    fn confirmed(&self) -> bool {
        self.said == [MessageType::Open, MessageType::Keepalive]
    }

    pub(crate) fn session(&self) -> Option<Session> {
        let (said, heard) = (self.said_open.as_ref()?, self.heard_open.as_ref()?);
        let both = |wanted: &Capability| said.capabilities.contains(wanted) && heard.capabilities.contains(wanted);
        let families = |open: &Open| -> FamilySet {
            let named = |capability: &Capability| matches!(capability, Capability::MultiProtocol(_));
            if open.capabilities.iter().any(named) {
                let has = |family: &Family| open.capabilities.contains(&Capability::MultiProtocol(family.code()));
                Family::ALL.into_iter().filter(has).collect()
            } else {
                FamilySet::only(Family::Ipv4Unicast)
            }
        };
        let wide = |open: &Open| open.capabilities.iter().any(|one| matches!(one, Capability::FourOctetAs(_)));
        let v6_next_hops = |open: &Open| {
            let listed = |list: &[_]| list.contains(&(Family::Ipv4Unicast.code(), 2));
            open.capabilities.iter().any(|one| matches!(one, Capability::ExtendedNextHop(list) if listed(list)))
        };
        let (ours, theirs) = (families(heard), families(said));
        let refresh = both(&Capability::RouteRefresh);
        Some(Session {
            context: DecodeContext {
                four_octet_as: wide(said) && wide(heard),
                external: said.asn != heard.asn,
                families: ours.iter().filter(|family| theirs.contains(*family)).collect(),
                extended_next_hop: v6_next_hops(said) && v6_next_hops(heard),
                add_path: FamilySet::NONE,
            },
            max_len: if both(&Capability::ExtendedMessage) { MAX_LEN_EXTENDED } else { MAX_LEN },
            refresh,
            enhanced: refresh && both(&Capability::EnhancedRouteRefresh),
        })
    }

    /// Bytes come from the engine: they are whole messages, allowed at this point, and well formed in this session.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "nothing is not output");
        self.heard.extend_from_slice(bytes);
        let heard = std::mem::take(&mut self.heard);
        let mut rest = heard.as_slice();
        while !rest.is_empty() {
            let max_len = self.session().map_or(MAX_LEN, |session| session.max_len);
            let frame = next_frame(rest, max_len).expect("a good header").expect("whole messages");
            self.message(&frame);
            rest = &rest[frame.len..];
        }
    }

    fn message(&mut self, frame: &Frame<'_>) {
        assert!(!self.ended, "{:?} after a NOTIFICATION", frame.kind);
        match frame.kind {
            MessageType::Notification => {
                assert!(!Notification::decode(frame.body).to_string().is_empty());
                self.ended = true;
            }
            MessageType::Open => {
                assert!(self.heard_open.is_none(), "OPEN twice");
                let open = Open::decode(frame.body).expect("our OPEN is a good one");
                assert!(OWN.contains(&open.asn));
                self.heard_open = Some(open);
            }
            MessageType::Keepalive => assert!(self.session().is_some(), "KEEPALIVE before both OPENs"),
            MessageType::RouteRefresh => {
                let session = self.established();
                let refresh = RouteRefresh::decode(frame.body).expect("well formed");
                let family = Family::from_code(refresh.family).expect("one that we know");
                assert!(session.refresh && session.context.families.contains(family));
                self.refresh(refresh.subtype, family, session.enhanced);
            }
            MessageType::Update => {
                let session = self.established();
                let update = Update::decode(frame.body, &session.context).expect("well formed");
                assert!(update.problems().is_empty(), "{:?}", update.problems());
                self.update(&update);
            }
        }
    }

    fn established(&self) -> Session {
        assert!(self.confirmed(), "routes before the session is up");
        self.session().expect("both have sent OPEN")
    }

    fn refresh(&mut self, subtype: Refresh, family: Family, enhanced: bool) {
        match subtype {
            Refresh::Request => {}
            Refresh::Begin => {
                assert!(enhanced);
                let all = self.routes.keys().filter(|prefix| Family::of(prefix) == family);
                self.stale.insert(family, all.copied().collect());
            }
            Refresh::End => {
                assert!(enhanced);
                let stale = self.stale.remove(&family).expect("an end has its beginning");
                self.routes.retain(|prefix, _| !stale.contains(prefix));
            }
            Refresh::Other(other) => panic!("subtype {other}"),
        }
    }

    fn update(&mut self, update: &Update<'_>) {
        for prefix in update.withdrawn().flatten() {
            self.routes.remove(&prefix);
            self.not_stale(&prefix);
        }
        let mut attributes = Vec::new();
        update.write_canonical(&mut attributes);
        for (section, next_hop) in update.announced() {
            for prefix in section {
                self.routes.insert(prefix, Held { next_hop, attributes: attributes.clone() });
                self.not_stale(&prefix);
            }
        }
        if let Some(family) = update.end_of_rib() {
            self.end_of_rib.insert(family);
        }
    }

    fn not_stale(&mut self, prefix: &IpNet) {
        if let Some(stale) = self.stale.get_mut(&Family::of(prefix)) {
            stale.remove(prefix);
        }
    }
}

impl Held {
    /// The engine's view of a route that it has told is what was heard.
    pub(crate) fn assert_is(&self, prefix: &IpNet, view: &PathView) {
        assert_eq!(view.next_hop, Some(self.next_hop.address()), "next hop of {prefix}");
        let value = |code| attribute(&self.attributes, code).map(|one| one.value);
        let path = AsPath::new(value(attr_code::AS_PATH).unwrap_or_default());
        // Confederation segments do not reach a peer of two-octet AS numbers behind a wide one (RFC 6793 6).
        if !view.as_path.contains(['(', '[']) {
            assert_eq!(numbers(&path.to_string()), numbers(&view.as_path), "path of {prefix}");
        }
        let word = |code| value(code).and_then(|value| value.try_into().ok()).map(u32::from_be_bytes);
        assert_eq!(word(attr_code::MED), view.med, "MED of {prefix}");
        assert_eq!(word(attr_code::LOCAL_PREF), view.local_pref, "LOCAL_PREF of {prefix}");
        let count = |code, size| value(code).map_or(0, |value| value.len() / size);
        let communities = count(attr_code::COMMUNITIES, 4)
            + count(attr_code::EXTENDED_COMMUNITIES, 8)
            + count(attr_code::LARGE_COMMUNITIES, 12);
        assert_eq!(communities, view.communities.len(), "communities of {prefix}");
    }
}

/// A path's AS numbers as they are written.
fn numbers(path: &str) -> Vec<&str> {
    path.split_whitespace().collect()
}

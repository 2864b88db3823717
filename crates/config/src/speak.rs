//! The file of `perouter speak`: a BGP speaker without a node.
//!
//! A stable interface. Neighbours take every option of an Underlay's neighbours, under the same schema and rules,
//! and a few more: `name`, `role`, `extendedNextHop`, `localAddress`, `passwordFile`. Reads that file and the key
//! files that it names; nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::Intent;
use engine::intent::{Network, Role};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::compile::LISTEN_LIMIT;
use crate::node::{self, ConfigError};
use crate::schema::{self, Lines, Problem};
use crate::secret::{self, Secrets};
use crate::session::{self, Built, Place, Surroundings, Trouble, options};
use crate::types::{self, Neighbor};
use crate::{idle, validate, yaml};

/// Directory of sockets and restart state unless the file names one.
pub const DEFAULT_STATE_DIR: &str = "/run/perouter";

/// A speaker without a node.
#[derive(Clone, Debug)]
pub struct Speak {
    /// The router.
    pub intent: Intent,
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Directory of sockets and restart state.
    pub state_dir: PathBuf,
    /// Fields that are understood but have no effect, one sentence each.
    pub warnings: Vec<String>,
    /// Files that hold session keys: a change of one is a change of the configuration.
    pub secret_files: Vec<PathBuf>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct File {
    /// The speaker's AS number.
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    asn: u32,
    /// The speaker's BGP identifier, four numbers as in an IPv4 address.
    #[serde(rename = "routerID")]
    router_id: String,
    /// Where connections are accepted: a list of address:port.
    #[schemars(extend("x-perouter-default" = "`[\"0.0.0.0:179\", \"[::]:179\"]`"))]
    listen: Option<Vec<String>>,
    /// Upper bound of every neighbour's `connectTimeSeconds`, in seconds.
    #[schemars(range(min = 1, max = 65535))]
    connect_retry_seconds: Option<u16>,
    /// The neighbours: every option of an Underlay's, and those below.
    #[serde(default)]
    #[schemars(with = "Vec<Neighbor>")]
    neighbors: Vec<Json>,
    /// Prefixes that the speaker originates, whether or not the kernel has routes to them.
    #[serde(default)]
    networks: Vec<String>,
    /// Graceful restart (RFC 4724): on when present, also when empty.
    #[schemars(extend("x-perouter-default" = "off"))]
    graceful_restart: Option<types::GracefulRestart>,
    /// Route reflection (RFC 4456) between neighbours of role `fabric`: on when present, also when empty.
    #[schemars(extend("x-perouter-default" = "off"))]
    route_reflector: Option<types::RouteReflector>,
    /// Use of several equally good paths at once.
    #[schemars(extend("x-perouter-default" = "64 paths, relaxed"))]
    multipath: Option<types::Multipath>,
    /// What decides between paths that are otherwise equal.
    best_path: Option<types::BestPath>,
    /// How many neighbours may exist because of `listenRange` at a time, all ranges together.
    #[schemars(range(min = 1, max = 65535), extend("x-perouter-default" = "65535"))]
    listen_limit: Option<i64>,
    /// Whether routes are given to the kernel. Without, every next hop counts as usable.
    #[schemars(extend("x-perouter-default" = "true"))]
    kernel_routes: Option<bool>,
    /// Whether peers hear of a route only once it is in the kernel, so that nobody sends packets here that cannot be
    /// forwarded yet. Otherwise they hear of it at once, and the kernel follows as fast as it takes routes. A withdrawal
    /// never waits; a route that the kernel refuses is not announced.
    #[serde(default)]
    advertise_after_fib: bool,
    /// Directory of sockets and restart state.
    #[schemars(extend("x-perouter-default" = "/run/perouter"))]
    state_dir: Option<String>,
}

/// What a neighbour has here beside an Underlay's.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Extra {
    /// How the neighbour is called in views and logs; unique.
    #[schemars(extend("x-perouter-default" = "its address, interface or range"))]
    name: Option<String>,
    /// What the neighbour is, which decides which routes pass.
    #[schemars(extend("x-perouter-default" = "peer"))]
    role: Option<FileRole>,
    /// Offer IPv4 routes with IPv6 next hops (RFC 8950).
    #[schemars(extend("x-perouter-default" = "on for IPv4 over IPv6 sessions"))]
    extended_next_hop: Option<bool>,
    /// Our address to connect from.
    #[schemars(extend("x-perouter-default" = "the kernel's choice"))]
    local_address: Option<String>,
}

#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum FileRole {
    /// It gets the routes of hosts and our own, never those of another fabric neighbour.
    Fabric,
    /// It is a speaker on this machine and gets the routes of the fabric and our own.
    Host,
    /// Everything passes, to and from everybody.
    Peer,
}

/// The schema of the file.
#[cfg(test)]
pub(crate) fn schema() -> Json {
    assembled(schema::kept::made::plain_schema::<File>(), &schema::kept::made::plain_schema::<Extra>())
}

/// The schema of the file with everything that was written beside its fields.
pub(crate) fn annotated_schema() -> Json {
    assembled(schema::annotated_schema::<File>(), &schema::annotated_schema::<Extra>())
}

fn assembled(mut schema: Json, extra: &Json) -> Json {
    if let Some(neighbor) = schema.pointer_mut("/properties/neighbors/items") {
        secret::allow(neighbor);
        let own = neighbor.get_mut("properties").and_then(Json::as_object_mut);
        if let (Some(own), Some(extra)) = (own, extra.get("properties").and_then(Json::as_object)) {
            own.extend(extra.clone());
            // The cap of 16384 is the cluster API's, not BGP's.
            if let Some(port) = own.get_mut("port") {
                port["maximum"] = json!(65535);
            }
        }
    }
    // `[ipv4unicast]` is enough here.
    if let Some(family) = schema.pointer_mut("/properties/neighbors/items/properties/addressFamilies/items") {
        family[schema::SHORT_FOR] = json!("type");
    }
    schema
}

/// Reads the file.
pub fn load(path: &Path) -> Result<Speak, ConfigError> {
    parse(path, &node::read(path)?)
}

/// Reads its text as if it had been read from `path`.
pub fn parse(path: &Path, text: &str) -> Result<Speak, ConfigError> {
    let documents =
        yaml::parse(text).map_err(|error| node::at(path, error.line, &format!("not valid YAML: {}", error.message)))?;
    let document = match documents.as_slice() {
        [document] => document,
        [] => {
            return Err(node::at(path, 0, "the file is empty: write at least asn and routerID"));
        }
        [_, second, ..] => {
            return Err(node::at(path, second.line, "a second document: write everything into one"));
        }
    };
    let checked = schema::check(&schema::kept::SPEAK, document, "").map_err(|problems| node::all(path, problems))?;
    let warnings = idle::remarks(&schema::kept::SPEAK, &checked.json, "");
    let file: File = serde_json::from_value(checked.json).map_err(|error| node::at(path, 0, &error.to_string()))?;
    let mut reading =
        Reading { path, lines: &checked.lines, problems: Vec::new(), warnings, secrets: Secrets::default() };
    let (intent, listen) = reading.file(&file);
    let Reading { problems, warnings, secrets, .. } = reading;
    if !problems.is_empty() {
        return Err(node::all(path, problems));
    }
    let state_dir = file.state_dir.unwrap_or_else(|| DEFAULT_STATE_DIR.into()).into();
    Ok(Speak { intent, listen, state_dir, warnings, secret_files: secrets.files })
}

struct Reading<'a> {
    path: &'a Path,
    lines: &'a Lines,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    secrets: Secrets,
}

impl Reading<'_> {
    fn problem(&mut self, field: &str, message: impl Into<String>) {
        let line = schema::line_of(self.lines, field);
        self.problems.push(Problem { path: field.to_owned(), line, message: message.into() });
    }

    fn file(&mut self, file: &File) -> (Intent, Vec<SocketAddr>) {
        let router_id = match file.router_id.parse::<Ipv4Addr>() {
            Ok(id) if !id.is_unspecified() => id,
            Ok(_) | Err(_) => {
                let message = format!("got \"{}\": write four numbers such as 10.0.0.1, not 0.0.0.0", file.router_id);
                self.problem("routerID", message);
                Ipv4Addr::UNSPECIFIED
            }
        };
        let listen = self.listen(file.listen.as_deref());
        let networks = self.networks(&file.networks);
        let mut intent = Intent {
            asn: file.asn,
            router_id,
            peers: BTreeMap::new(),
            unnumbered: BTreeMap::new(),
            ranges: Vec::new(),
            listen_limit: file.listen_limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LISTEN_LIMIT),
            networks,
            multipath: options::multipath(file.multipath.as_ref()),
            prefer_oldest: file.best_path.as_ref().is_some_and(|best_path| best_path.prefer_oldest),
            host_routes: None,
            cluster_id: file.route_reflector.as_ref().and_then(|reflector| reflector.cluster_id.parse().ok()),
            fib: file.kernel_routes.unwrap_or(true),
            advertise_after_fib: file.advertise_after_fib,
        };
        self.neighbors(file, &mut intent);
        (intent, listen)
    }

    fn listen(&mut self, written: Option<&[String]>) -> Vec<SocketAddr> {
        let Some(written) = written else {
            return vec![(Ipv4Addr::UNSPECIFIED, 179).into(), (Ipv6Addr::UNSPECIFIED, 179).into()];
        };
        let mut listen = Vec::new();
        for (index, text) in written.iter().enumerate() {
            match text.parse::<SocketAddr>() {
                Ok(address) => listen.push(address),
                Err(_) => {
                    let message =
                        format!("got \"{text}\": write address:port, such as \"0.0.0.0:179\" or \"[::]:179\"");
                    self.problem(&format!("listen[{index}]"), message);
                }
            }
        }
        listen
    }

    fn networks(&mut self, written: &[String]) -> Vec<Network> {
        let mut networks = BTreeSet::new();
        for (index, text) in written.iter().enumerate() {
            let field = format!("networks[{index}]");
            match options::network(text) {
                Ok(prefix) => drop(networks.insert(Network { prefix, while_link_up: None })),
                Err(message) => self.problem(&field, message),
            }
        }
        networks.into_iter().collect()
    }

    fn neighbors(&mut self, file: &File, intent: &mut Intent) {
        let around = Surroundings {
            asn: file.asn,
            graceful_restart: file.graceful_restart.as_ref().map(options::graceful_restart),
            reflects: file.route_reflector.is_some(),
            extra_families: Vec::new(),
            links: None,
        };
        let longest_retry = file.connect_retry_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let mut names = BTreeSet::new();
        for (index, written) in file.neighbors.iter().enumerate() {
            let field = |name: &str| match name {
                "" => format!("neighbors[{index}]"),
                name => format!("neighbors[{index}].{name}"),
            };
            let Some(mut built) = self.neighbor(&field, written, &around) else {
                continue;
            };
            if let Some(longest) = longest_retry {
                built.peer.connect_retry = built.peer.connect_retry.min(longest);
            }
            if !names.insert(built.peer.name.clone()) {
                let message = format!("\"{}\" is taken by another neighbor: choose another name", built.peer.name);
                self.problem(&field("name"), message);
            }
            if let Some((name, message)) = clash(&built.place, intent) {
                self.problem(&field(name), message);
            }
            let remarks = built.add_to(intent);
            self.warnings.extend(remarks.into_iter().map(|(name, message)| format!("{}: {message}", field(&name))));
        }
    }

    fn neighbor(&mut self, field: &dyn Fn(&str) -> String, written: &Json, around: &Surroundings) -> Option<Built> {
        let mut written = written.clone();
        if let Err(message) = self.secrets.read(&mut written, &field(""), self.path) {
            self.problem(&field("passwordFile"), message);
            return None;
        }
        let parsed = Extra::deserialize(&written).and_then(|extra| Ok((extra, Neighbor::deserialize(&written)?)));
        let (extra, neighbor) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                self.problem(&field(""), error.to_string());
                return None;
            }
        };
        if let Some(Err(message)) = neighbor.password.as_deref().map(validate::password) {
            self.problem(&field("password"), message);
        }
        let role = match extra.role {
            Some(FileRole::Fabric) => Role::Fabric,
            Some(FileRole::Host) => Role::Host,
            Some(FileRole::Peer) | None => Role::Peer,
        };
        let unreadable = self.secrets.unreadable.get(&field("")).map(String::as_str);
        let mut built = match session::build(&neighbor, extra.name.as_deref(), role, unreadable, around) {
            Ok(built) => built,
            Err(Trouble::LeftOut((name, message))) => {
                // Nobody looks at verdicts of a speaker: what it cannot do is an error.
                let message = message.split(session::LEFT_OUT).next().unwrap_or_default();
                let remedy = match name.as_str() {
                    "passwordFile" => "make the file readable, or correct its name",
                    _ => "remove this neighbor, or give it what is served",
                };
                self.problem(&field(&name), format!("{message}: {remedy}"));
                return None;
            }
            Err(Trouble::Invalid((name, message))) => {
                self.problem(&field(&name), message);
                return None;
            }
        };
        if let Some(wanted) = extra.extended_next_hop {
            built.peer.extended_next_hop = wanted;
        }
        if let Some(text) = &extra.local_address {
            match text.parse::<IpAddr>() {
                Ok(local) => built.peer.local_address = Some(local),
                Err(_) => {
                    let message = format!("got \"{text}\": write one of this machine's addresses");
                    self.problem(&field("localAddress"), message);
                }
            }
            match &built.place {
                Place::Address(address)
                    if built.peer.local_address.is_some_and(|local| local.is_ipv4() != address.is_ipv4()) =>
                {
                    let message = format!("{text} cannot reach {address}: write an address of the same family");
                    self.problem(&field("localAddress"), message);
                }
                Place::Address(_) => {}
                Place::Link(_) | Place::Range(_) => {
                    self.problem(&field("localAddress"), "has a meaning only beside address: remove it");
                }
            }
        }
        Some(built)
    }
}

/// The neighbour that already is at this place.
fn clash(place: &Place, intent: &Intent) -> Option<(&'static str, String)> {
    match place {
        Place::Address(address) => intent
            .peers
            .contains_key(address)
            .then(|| ("address", format!("duplicate neighbor address: duplicate entry {address}"))),
        Place::Link(link) => intent.unnumbered.contains_key(link).then(|| {
            let message = format!(
                "duplicate neighbor interface names, only one peer is allowed per interface: duplicate entry {link}"
            );
            ("interface", message)
        }),
        Place::Range(range) => intent
            .ranges
            .iter()
            .map(|other| other.prefix)
            .find(|other| other.contains(range) || range.contains(other))
            .map(|other| ("listenRange", format!("listenRange {other} overlaps with listenRange {range}"))),
    }
}

#[cfg(test)]
mod tests;

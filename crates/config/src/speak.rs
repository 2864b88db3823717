//! The file of `perouter speak`: a BGP speaker without a node.
//!
//! A stable interface. Neighbours take every option of an Underlay's neighbours, under the same schema and rules,
//! and a few more: `name`, `role`, `extendedNextHop`, `passwordFile`. Reads that file and the key files that it
//! names; nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use engine::Intent;
use engine::intent::{GracefulRestart, Multipath, Network, PeerIntent, Role};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::node::{self, ConfigError};
use crate::schema::{self, Lines, Problem};
use crate::session::{self, Built, Surroundings};
use crate::types::{self, Neighbor};
use crate::{secret, validate, yaml};

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
    /// Fields that are understood but have no effect in this version, one sentence each.
    pub warnings: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct File {
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    asn: u32,
    #[serde(rename = "routerID")]
    router_id: String,
    listen: Option<Vec<String>>,
    #[schemars(range(min = 1, max = 65535))]
    connect_retry_seconds: Option<u16>,
    #[serde(default)]
    #[schemars(with = "Vec<Neighbor>")]
    neighbors: Vec<Json>,
    #[serde(default)]
    networks: Vec<String>,
    graceful_restart: Option<types::GracefulRestart>,
    kernel_routes: Option<bool>,
    state_dir: Option<String>,
}

/// What a neighbour has here beside an Underlay's.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Extra {
    name: Option<String>,
    role: Option<FileRole>,
    extended_next_hop: Option<bool>,
}

#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum FileRole {
    Fabric,
    Host,
    Peer,
}

static SCHEMA: LazyLock<Json> = LazyLock::new(|| {
    let mut schema = schema::plain_schema::<File>();
    let extra = schema::plain_schema::<Extra>();
    if let Some(neighbor) = schema.pointer_mut("/properties/neighbors/items") {
        secret::allow(neighbor);
        let own = neighbor.get_mut("properties").and_then(Json::as_object_mut);
        if let (Some(own), Some(extra)) = (own, extra.get("properties").and_then(Json::as_object)) {
            own.extend(extra.clone());
            // The cap of 16384 is the cluster API's, not BGP's.
            own.insert("port".into(), json!({ "type": "integer", "minimum": 0, "maximum": 65535 }));
        }
    }
    // `[ipv4unicast]` is enough here.
    if let Some(family) = schema.pointer_mut("/properties/neighbors/items/properties/addressFamilies/items") {
        family[schema::SHORT_FOR] = json!("type");
    }
    schema
});

/// Reads the file.
pub fn load(path: &Path) -> Result<Speak, ConfigError> {
    let text = node::read(path)?;
    let documents = yaml::parse(&text)
        .map_err(|error| node::at(path, error.line, &format!("not valid YAML: {}", error.message)))?;
    let document = match documents.as_slice() {
        [document] => document,
        [] => {
            return Err(node::at(path, 0, "the file is empty: write at least asn and routerID"));
        }
        [_, second, ..] => {
            return Err(node::at(path, second.line, "a second document: write everything into one"));
        }
    };
    let checked = schema::check(&SCHEMA, document, "").map_err(|problems| node::all(path, problems))?;
    let file: File = serde_json::from_value(checked.json).map_err(|error| node::at(path, 0, &error.to_string()))?;
    let mut reading = Reading { path, lines: &checked.lines, problems: Vec::new(), warnings: Vec::new() };
    let (intent, listen) = reading.file(&file);
    let Reading { problems, warnings, .. } = reading;
    if !problems.is_empty() {
        return Err(node::all(path, problems));
    }
    let state_dir = file.state_dir.unwrap_or_else(|| DEFAULT_STATE_DIR.into()).into();
    Ok(Speak { intent, listen, state_dir, warnings })
}

struct Reading<'a> {
    path: &'a Path,
    lines: &'a Lines,
    problems: Vec<Problem>,
    warnings: Vec<String>,
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
        let peers = self.peers(file);
        let networks = self.networks(&file.networks);
        let seconds = |value: i64| Duration::from_secs(u64::try_from(value).unwrap_or_default());
        let intent = Intent {
            unnumbered: BTreeMap::new(),
            host_routes: None,
            ranges: Vec::new(),
            listen_limit: 65_535,
            asn: file.asn,
            router_id,
            peers,
            networks,
            graceful_restart: file.graceful_restart.as_ref().map(|times| GracefulRestart {
                restart_time: seconds(times.restart_time_seconds),
                stale_time: seconds(times.stale_path_time_seconds),
            }),
            multipath: Multipath::default(),
            cluster_id: None,
            fib: file.kernel_routes.unwrap_or(true),
        };
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
            match text.parse::<IpNet>() {
                Ok(prefix) if prefix.trunc() != prefix => {
                    let message =
                        format!("{text} has host bits set: write {} or {}", prefix.trunc(), IpNet::from(prefix.addr()));
                    self.problem(&field, message);
                }
                Ok(prefix) => {
                    networks.insert(Network { prefix, while_link_up: None });
                }
                Err(_) => self.problem(&field, format!("got \"{text}\": write address/length, such as 192.0.2.0/24")),
            }
        }
        networks.into_iter().collect()
    }

    fn peers(&mut self, file: &File) -> BTreeMap<IpAddr, PeerIntent> {
        let around = Surroundings {
            asn: file.asn,
            graceful_restart: file.graceful_restart.is_some(),
            extra_families: Vec::new(),
        };
        let longest_retry = file.connect_retry_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let mut peers = BTreeMap::new();
        let mut names = BTreeSet::new();
        for (index, written) in file.neighbors.iter().enumerate() {
            let Some((address, mut peer)) = self.peer(index, written, &around) else {
                continue;
            };
            if let Some(longest) = longest_retry {
                peer.connect_retry = peer.connect_retry.min(longest);
            }
            if !names.insert(peer.name.clone()) {
                let message = format!("\"{}\" is taken by another neighbor: choose another name", peer.name);
                self.problem(&format!("neighbors[{index}].name"), message);
            }
            if peers.insert(address, peer).is_some() {
                let message = format!("duplicate neighbor address: duplicate entry {address}");
                self.problem(&format!("neighbors[{index}].address"), message);
            }
        }
        peers
    }

    fn peer(&mut self, index: usize, written: &Json, around: &Surroundings) -> Option<(IpAddr, PeerIntent)> {
        let field = |name: &str| match name {
            "" => format!("neighbors[{index}]"),
            name => format!("neighbors[{index}].{name}"),
        };
        let mut written = written.clone();
        if let Err(message) = secret::read(&mut written, self.path) {
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
        match session::build(&neighbor, extra.name.as_deref(), role, around) {
            Built::Peer(address, mut peer, remarks) => {
                if let Some(wanted) = extra.extended_next_hop {
                    peer.extended_next_hop = wanted;
                }
                let remarks = remarks.into_iter().map(|(name, message)| format!("{}: {message}", field(name)));
                self.warnings.extend(remarks);
                Some((address, *peer))
            }
            Built::NotServed((name, message)) => {
                // Nobody looks at verdicts of a speaker: what it cannot do is an error.
                let message = message.split(": this neighbor is left out").next().unwrap_or_default();
                self.problem(&field(name), format!("{message}: remove this neighbor, or give it what is served"));
                None
            }
            Built::Invalid((name, message)) => {
                self.problem(&field(name), message);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;

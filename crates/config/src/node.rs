//! The node: who we are.
//!
//! `node-config.yaml` gives the index that addresses and router id follow from, outright or as the host part of an
//! interface's address. The name defaults to the host's own. Reads the file, the host name and, only when the file
//! names an interface, that interface's addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use kernel::netns::Namespace;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::compile::NAMESPACE;
use crate::schema::{self, Problem};
use crate::yaml::{self, Value, Yaml};

/// A file that cannot be used, in words that name file, line, field, value and remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// The node that objects are compiled for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its index, from 0.
    pub index: u32,
    /// `logLevel` of its file, if set.
    pub log_level: Option<String>,
    /// `http` of its file, if set.
    pub http: Option<Http>,
}

/// Where metrics and the API are served over TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The file of the token that every request must carry; `None`: anybody on the loopback interface may ask.
    pub token_file: Option<PathBuf>,
}

impl Http {
    /// That strangers cannot read: beyond the loopback interface a token is needed.
    ///
    /// # Errors
    /// A sentence with the remedy.
    pub fn check(&self) -> Result<(), String> {
        if self.listen.ip().is_loopback() || self.token_file.is_some() {
            return Ok(());
        }
        Err(format!(
            "{} can be reached from other machines: name a file with a token, or listen on 127.0.0.1:{}",
            self.listen,
            self.listen.port()
        ))
    }
}

impl Node {
    /// A node with the one label that every node has, its name.
    pub fn new(name: impl Into<String>, index: u32) -> Self {
        let name = name.into();
        let labels = BTreeMap::from([("kubernetes.io/hostname".to_owned(), name.clone())]);
        Self { name, labels, index, log_level: None, http: None }
    }
}

/// What `node-config.yaml` says of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Its name.
    pub name: Option<String>,
    /// Its index, written outright or taken from an interface.
    pub index: Option<u32>,
    /// What is logged.
    pub log_level: Option<String>,
    /// Where metrics and the API are served over TCP.
    pub http: Option<Http>,
}

/// `node-config.yaml` as it is written.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeFile {
    /// The node's index, from which its addresses and its router id follow. Every node of a fabric has its own.
    #[serde(default)]
    node_index: NodeIndex,
    /// The node's name.
    #[schemars(extend("x-perouter-default" = "the host's name"))]
    node_name: Option<String>,
    /// What is logged: `error`, `warn`, `info`, `debug` or `trace`.
    #[schemars(extend("x-perouter-default" = "info"))]
    log_level: Option<String>,
    /// Serves metrics and the read-only API over TCP.
    #[schemars(extend("x-perouter-default" = "not served"))]
    http: Option<HttpFile>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct HttpFile {
    /// Address and port to listen on, as `127.0.0.1:9180`. Other than loopback addresses need `tokenFile`.
    listen: String,
    /// A file with the token that every request must carry. It is read again for each request.
    token_file: Option<PathBuf>,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
struct NodeIndex {
    /// The index itself. Not together with `interfaceName`.
    #[schemars(range(min = 0, max = 4_294_967_295_i64), extend("x-perouter-default" = "0"))]
    index: Option<i64>,
    /// Takes the host part of this interface's address as index: `192.168.1.80/24` gives 80. IPv4 is preferred,
    /// link-local IPv6 addresses do not count.
    interface_name: Option<String>,
    /// Which of the interface's addresses: the one inside of this CIDR. Needs `interfaceName`.
    cidr: Option<String>,
}

impl HttpFile {
    fn read(self) -> Result<Http, String> {
        let listen = self.listen.parse().map_err(|_| {
            format!("invalid listen \"{}\": write address and port, as 127.0.0.1:9180 or [::1]:9180", self.listen)
        })?;
        let http = Http { listen, token_file: self.token_file };
        http.check().map(|()| http)
    }
}

/// Reads `node-config.yaml`. A named interface is looked up here and, because the router may have taken it, in the
/// router's namespace.
pub fn load(path: &Path) -> Result<Node, ConfigError> {
    load_with(path, &kernel_addresses)
}

/// As [`load`], with the addresses of interfaces from `lookup`, which says `None` for one that does not exist.
pub fn load_with(path: &Path, lookup: &dyn Fn(&str) -> Option<Vec<IpNet>>) -> Result<Node, ConfigError> {
    parse_with(path, &read(path)?, lookup)
}

/// What the file says, for a node that others say something of too; nothing when there is no file.
pub fn load_written(path: &Path) -> Result<Written, ConfigError> {
    if !path.exists() {
        return Ok(Written::default());
    }
    written(path, &read(path)?, &kernel_addresses)
}

/// As [`load_with`], of its text as if it had been read from `path`. The host's name is asked for where the text has none.
pub fn parse_with(path: &Path, text: &str, lookup: &dyn Fn(&str) -> Option<Vec<IpNet>>) -> Result<Node, ConfigError> {
    let Written { name, index, log_level, http } = written(path, text, lookup)?;
    let name = name.map_or_else(host_name, Ok)?;
    Ok(Node { log_level, http, ..Node::new(name, index.unwrap_or(0)) })
}

/// The schema of the file.
#[cfg(test)]
pub(crate) fn schema() -> serde_json::Value {
    schema::kept::made::plain_schema::<NodeFile>()
}

fn written(path: &Path, text: &str, lookup: &dyn Fn(&str) -> Option<Vec<IpNet>>) -> Result<Written, ConfigError> {
    let wrong = |line, message: String| at(path, line, &message);
    let documents = yaml::parse(text).map_err(|error| wrong(error.line, error.message))?;
    let nothing = Yaml { line: 1, value: Value::Map(Vec::new()) };
    let checked = schema::check(&schema::kept::NODE, documents.first().unwrap_or(&nothing), "")
        .map_err(|problems| all(path, problems))?;
    let line = |field: &str| schema::line_of(&checked.lines, field);
    let file: NodeFile = serde_json::from_value(checked.json).map_err(|error| wrong(0, error.to_string()))?;
    let NodeIndex { index, interface_name, cidr } = file.node_index;
    let wanted = match &cidr {
        Some(cidr) => Some(cidr.parse::<IpNet>().map_err(|_| {
            let message = format!("invalid cidr \"{cidr}\": write nodeIndex.cidr as address/length");
            wrong(line("nodeIndex.cidr"), message)
        })?),
        None => None,
    };
    let index = match (index, interface_name) {
        (Some(index), Some(interface)) => {
            let message = format!(
                "index and interfaceName are mutually exclusive, got index {index} and interface \"{interface}\""
            );
            return Err(wrong(line("nodeIndex.interfaceName"), message));
        }
        (_, None) if wanted.is_some() => {
            let message = format!("cidr \"{}\" requires interfaceName to be set", cidr.unwrap_or_default());
            return Err(wrong(line("nodeIndex.cidr"), message));
        }
        (Some(index), None) => {
            let index = u32::try_from(index)
                .map_err(|_| wrong(line("nodeIndex.index"), format!("index must be 0 or more, got {index}")))?;
            Some(index)
        }
        (None, None) => None,
        (None, Some(interface)) => {
            let index = index_of(&interface, wanted, lookup)
                .map_err(|message| wrong(line("nodeIndex.interfaceName"), message))?;
            Some(index)
        }
    };
    let http = file.http.map(|http| http.read().map_err(|message| wrong(line("http.listen"), message))).transpose()?;
    let name = file.node_name.filter(|name| !name.is_empty());
    Ok(Written { name, index, log_level: file.log_level, http })
}

/// The host part of the interface's address: the first in `wanted`, else the first IPv4 one, else the first global
/// IPv6 one.
fn index_of(
    interface: &str,
    wanted: Option<IpNet>,
    lookup: &dyn Fn(&str) -> Option<Vec<IpNet>>,
) -> Result<u32, String> {
    let addresses = lookup(interface)
        .ok_or_else(|| format!("interface {interface} does not exist: name a link of this node, or write index"))?;
    let address = match wanted {
        Some(wanted) => addresses
            .iter()
            .find(|address| wanted.contains(&address.addr()))
            .ok_or_else(|| format!("no address matching cidr {wanted} found on interface {interface}"))?,
        None => addresses
            .iter()
            .find(|address| address.addr().is_ipv4())
            .or_else(|| addresses.iter().find(|address| is_global(address.addr())))
            .ok_or_else(|| format!("no IP address found on interface {interface}"))?,
    };
    u32::try_from(host_part(address)).map_err(|_| {
        format!("the host part of {address} on interface {interface} is too large for an index: write index")
    })
}

fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    }
}

/// What the prefix leaves of an address.
fn host_part(address: &IpNet) -> u128 {
    match (address.addr(), address.hostmask()) {
        (IpAddr::V4(address), IpAddr::V4(mask)) => u128::from(u32::from(address) & u32::from(mask)),
        (IpAddr::V6(address), IpAddr::V6(mask)) => u128::from(address) & u128::from(mask),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    }
}

fn kernel_addresses(interface: &str) -> Option<Vec<IpNet>> {
    let taken = || Namespace::open(NAMESPACE).ok().flatten();
    addresses_in(&Namespace::current().ok()?, interface).or_else(|| addresses_in(&taken()?, interface))
}

fn addresses_in(namespace: &Namespace, interface: &str) -> Option<Vec<IpNet>> {
    let links = kernel::monitor::links(namespace).ok()?;
    links.into_iter().find(|link| link.name == interface).map(|link| link.addresses)
}

/// The host's own name.
pub fn host_name() -> Result<String, ConfigError> {
    const PATH: &str = "/proc/sys/kernel/hostname";
    let name = read(Path::new(PATH))?.trim().to_owned();
    if name.is_empty() {
        return Err(ConfigError(format!("{PATH}: this host has no name: write nodeName into node-config.yaml")));
    }
    Ok(name)
}

/// Reads a file of ours.
pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            ConfigError(format!("{}: file does not exist", path.display()))
        } else {
            ConfigError(format!("{}: cannot read the file: {error}", path.display()))
        }
    })
}

/// An error at a line; 0 is nowhere in particular.
pub(crate) fn at(path: &Path, line: usize, message: &str) -> ConfigError {
    match line {
        0 => ConfigError(format!("{}: {message}", path.display())),
        line => ConfigError(format!("{}:{line}: {message}", path.display())),
    }
}

/// One line of text per problem.
pub(crate) fn all(path: &Path, problems: Vec<Problem>) -> ConfigError {
    let lines: Vec<_> = problems
        .into_iter()
        .map(|Problem { path: field, line, message }| {
            let dot = if field.is_empty() { "" } else { ": " };
            at(path, line, &format!("{field}{dot}{message}")).0
        })
        .collect();
    ConfigError(lines.join("\n"))
}

#[cfg(test)]
mod tests;

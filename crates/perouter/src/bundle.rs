//! `perouter support-bundle`: one archive with everything that a maintainer needs to know, and no secret.
//!
//! Asks the daemon, reads the files, runs a few commands that only look. What cannot be had is in the archive as a sentence.
//! Secrets ([`secrets`]): configuration is written anew from its parsed form without the values of keys; then every member is
//! searched for the values that were found in the files, whatever wrote it.

mod secrets;
mod tar;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use tokio::process::Command;

use crate::admin::client::{Client, RoutesQuestion};
use crate::admin::model::Family;
use crate::cli::BundleArgs;
use crate::exit::{Exit, Failure};
use crate::moment::Moment;
use crate::plan::Instead;
use crate::views::Out;
use secrets::Secrets;
use tar::Archive;

/// Events asked for: all that the daemon keeps.
const EVENTS: u16 = 1000;
/// How long a command may take to look.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most of what a command says: its end.
const LONGEST: usize = 4 << 20;
/// Lines of the system's log.
const LOG_LINES: &str = "5000";

/// Makes the archive and names it.
///
/// # Errors
/// It cannot be written.
pub(crate) async fn run(state_dir: &Path, args: &BundleArgs, out: &mut Out<'_>) -> Result<Exit, Failure> {
    let mut bundle = Bundle::default();
    bundle.add("version.txt", crate::daemon::started());
    let name = bundle.daemon(state_dir).await;
    bundle.files(args);
    let namespace = name.namespace.as_deref().unwrap_or(crate::cli::NAMESPACE);
    bundle.system(namespace).await;

    let file = args.file.clone().unwrap_or_else(|| default_name(name.node.as_deref()));
    let members = bundle.finish();
    let archive = members.iter().fold(Archive::default(), |archive, (name, text)| archive.with(name, text.as_bytes()));
    let cannot = |error| Failure::Usage(format!("cannot write {}: {error}", file.display()));
    tar::write(&file, &archive.finish()).map_err(cannot)?;
    out.line(&format!("{} ({} members)", file.display(), members.len()))?;
    out.line("keys, passwords and tokens were taken out; look into it before it leaves your hands: tar -xf FILE")?;
    Ok(Exit::Fine)
}

fn default_name(node: Option<&str>) -> PathBuf {
    let seconds = Moment::now().wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let node: String = node.unwrap_or("node").chars().filter(|c| plain(*c)).collect();
    PathBuf::from(format!("perouter-support-{node}-{seconds}.tar"))
}

/// What the rest of the bundle needs to know of the daemon.
#[derive(Debug, Default)]
struct Known {
    node: Option<String>,
    namespace: Option<String>,
}

#[derive(Debug, Default)]
struct Bundle {
    members: Vec<(String, String)>,
    secrets: Secrets,
}

impl Bundle {
    fn add(&mut self, name: &str, text: impl Into<String>) {
        self.members.push((name.to_owned(), text.into()));
    }

    /// An answer of the daemon, or why there is none.
    fn answer<T: Serialize>(&mut self, name: &str, answer: Result<T, Failure>) -> Option<T> {
        match answer {
            Ok(value) => {
                let text = serde_json::to_string_pretty(&value).unwrap_or_else(|error| error.to_string());
                self.add(&format!("daemon/{name}.json"), text);
                Some(value)
            }
            Err(failure) => {
                self.add(&format!("daemon/{name}.missing"), failure.to_string());
                None
            }
        }
    }

    async fn daemon(&mut self, state_dir: &Path) -> Known {
        let mut client = match Client::connect(state_dir).await {
            Ok(client) => client,
            Err(failure) => {
                self.add("daemon/missing", failure.to_string());
                return Known::default();
            }
        };
        let status = client.status().await;
        let status = self.answer("status", status);
        let peers = client.peers().await;
        self.answer("peers", peers);
        let events = client.newest_events(EVENTS).await;
        self.answer("events", events);
        let drain = client.drain().await;
        self.answer("drain", drain);
        let plan = client.plan(&Instead::default()).await;
        self.answer("plan", plan);
        // One page of each family: a full table is nothing to send to anybody.
        for (name, family) in [("routes-ipv4", Family::Ipv4Unicast), ("routes-ipv6", Family::Ipv6Unicast)] {
            let question = RoutesQuestion { family: Some(family), ..RoutesQuestion::default() };
            let routes = client.routes(&question).await;
            self.answer(name, routes);
        }
        match client.metrics().await {
            Ok(text) => self.add("daemon/metrics.txt", text),
            Err(failure) => self.add("daemon/metrics.missing", failure.to_string()),
        }
        if let Some(pid) = client.pid() {
            let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            self.add("daemon/process.txt", text);
        }
        status.map_or_else(Known::default, |status| Known {
            node: status.node.map(|node| node.name),
            namespace: status.namespace,
        })
    }

    /// Configuration, written anew without the values of keys.
    fn files(&mut self, args: &BundleArgs) {
        let mut files = vec![args.node_config.clone()];
        files.extend(args.speak.iter().cloned());
        match fs::read_dir(&args.config_dir) {
            Ok(entries) => files.extend(entries.filter_map(|entry| Some(entry.ok()?.path()))),
            Err(error) => self.add("files/missing", format!("{}: {error}", args.config_dir.display())),
        }
        files.sort();
        for file in files.into_iter().filter(|file| !file.is_dir()) {
            let name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let text = match fs::read_to_string(&file) {
                Ok(text) => self.secrets.without(&file, &text),
                Err(error) => format!("# {}: {error}\n", file.display()),
            };
            self.add(&format!("files/{name}"), text);
        }
    }

    /// The kernel's side, and the log.
    async fn system(&mut self, namespace: &str) {
        let ip = ["address", "rule", "-6 rule", "-statistics link", "neighbour", "nexthop"];
        for what in ip {
            let words: Vec<&str> = what.split(' ').collect();
            let file = what.replace([' ', '-'], "_");
            self.command(&format!("kernel/host/ip{file}.txt"), "ip", &words).await;
            let inside: Vec<&str> = ["-n", namespace].into_iter().chain(words).collect();
            self.command(&format!("kernel/router/ip{file}.txt"), "ip", &inside).await;
        }
        for (place, within) in [("host", None), ("router", Some(namespace))] {
            for family in ["-4", "-6"] {
                let words: Vec<&str> = within.map_or(vec![], |name| vec!["-n", name]);
                let words: Vec<&str> = words.into_iter().chain([family, "route", "show", "table", "all"]).collect();
                self.command(&format!("kernel/{place}/ip{family}_route.txt"), "ip", &words).await;
            }
        }
        self.command("kernel/uname.txt", "uname", &["-a"]).await;
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        self.add("kernel/os-release.txt", release);
        self.command("log/journal.txt", "journalctl", &["--no-pager", "-n", LOG_LINES, "-u", "perouter"]).await;
        self.command("log/unit.txt", "systemctl", &["--no-pager", "status", "perouter", "perouter-drain"]).await;
    }

    async fn command(&mut self, name: &str, program: &str, words: &[&str]) {
        let run = Command::new(program).args(words).stdin(Stdio::null()).kill_on_drop(true).output();
        let text = match tokio::time::timeout(PATIENCE, run).await {
            Ok(Ok(output)) => {
                let said = [output.stdout, output.stderr].concat();
                String::from_utf8_lossy(&said[said.len().saturating_sub(LONGEST)..]).into_owned()
            }
            Ok(Err(error)) => format!("{program}: {error}\n"),
            Err(_) => format!("{program}: no end within {} s\n", PATIENCE.as_secs()),
        };
        self.add(name, text);
    }

    /// Every member, without a secret.
    fn finish(self) -> Vec<(String, String)> {
        let Self { members, secrets } = self;
        members.into_iter().map(|(name, text)| (name, secrets.strip(&text))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_files_call_secret_is_in_no_member() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        fs::create_dir(&keys).unwrap();
        fs::write(keys.join("leaf"), "the key of the leaf\n").unwrap();
        let configs = folder.path().join("configs");
        fs::create_dir(&configs).unwrap();
        let underlay = format!(
            "underlays:\n  - asn: 64514\n    neighbors:\n      - {{asn: 64512, address: 192.0.2.1, password: inline-key}}\n      \
             - {{asn: 64512, address: 192.0.2.2, passwordFile: {}}} # was: inline-key\n",
            keys.join("leaf").display()
        );
        fs::write(configs.join("openpe_a.yaml"), underlay).unwrap();
        fs::write(configs.join("openpe_broken.yaml"), "password: [torn-key\n").unwrap();
        let node_config = folder.path().join("node-config.yaml");
        fs::write(&node_config, "nodeName: worker-1\n").unwrap();
        let args = BundleArgs { file: None, config_dir: configs, node_config, speak: Vec::new() };
        let mut bundle = Bundle::default();
        bundle.files(&args);
        // Whatever else says a secret does not say it in the archive.
        bundle.add("log/journal.txt", "password inline-key refused, the key of the leaf too");
        let members = bundle.finish();
        let all: String = members.iter().map(|(_, text)| text.as_str()).collect();
        for secret in ["inline-key", "the key of the leaf", "torn-key"] {
            assert!(!all.contains(secret), "{secret} in {members:?}");
        }
        assert!(all.contains("192.0.2.1") && all.contains("worker-1"), "{members:?}");
        assert!(all.contains("password (removed) refused, (removed) too"), "{members:?}");
    }
}

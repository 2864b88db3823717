//! The static objects as they are on disk at this moment, and what they ask for together.
//!
//! Is told: a folder and a node. Emits: one verdict per object, and a [`Wish`]. Blocks for files. Does not: put
//! anything in force, or remember; `run` does the first, and `plan` needs neither.

use std::path::{Path, PathBuf};

use config::compile::Compiled;
use config::node::Node;
use config::verdict::{ObjectRef, Outcome, Source, Verdict};
use engine::Intent;
use engine::intent::Role;
use kernel::host::{DesiredHost, DesiredVeth};
use kernel::host_table::HostTable;

/// A router and the host around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Desired {
    /// The router.
    pub(crate) intent: Intent,
    /// The host.
    pub(crate) host: DesiredHost,
    /// Where the host's own routes go.
    pub(crate) host_table: Option<HostTable>,
}

/// What the objects ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// This router.
    Router(Box<Desired>),
    /// Leave everything as it is, for this reason.
    Keep(String),
    /// Nobody asks for a router.
    Nothing,
}

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// What becomes of each object.
    pub(crate) verdicts: Vec<Verdict>,
    /// Why there is nothing at all to read.
    pub(crate) none: Option<String>,
    /// What they ask for.
    pub(crate) wish: Wish,
    /// The sentence about a passthrough that stays in force although it was rejected.
    pub(crate) kept: Option<String>,
    /// Sessions that are wanted and left out, in words.
    pub(crate) left_out: Vec<String>,
    /// Files of session keys that they name.
    pub(crate) secret_files: Vec<PathBuf>,
}

/// Reads and compiles. Of `in_force` only the passthrough counts, and only when the one that is read is rejected.
pub(crate) fn read(folder: &Path, node: &Node, in_force: Option<&Desired>) -> Reading {
    let loaded = config::files::load(folder, node);
    let mut compiled = config::compile::compile(&loaded.objects, node);
    let rejected = loaded.verdicts.iter().chain(&compiled.verdicts).find(|verdict| hides_a_passthrough(verdict));
    let mut kept = None;
    if let (Some(rejected), Some((old, veth))) = (rejected, passthrough_to_keep(&compiled, in_force)) {
        let place = place(&rejected.object);
        kept = Some(format!("the passthrough in force stays as it is, because {place} was rejected"));
        // The fabric's sessions depend on it too: without it they would lose families, and be reset.
        compiled = config::compile::compile_beside(&loaded.objects, node, &veth.host_addresses);
        keep_passthrough(&mut compiled, old, veth);
    }
    compiled.verdicts.splice(..0, loaded.verdicts);
    let verdicts = compiled.verdicts.clone();
    let secret_files = std::mem::take(&mut compiled.secret_files);
    let left_out = std::mem::take(&mut compiled.left_out);
    Reading { verdicts, none: loaded.none, wish: wish(compiled, folder.is_dir()), kept, left_out, secret_files }
}

fn wish(compiled: Compiled, folder_exists: bool) -> Wish {
    if let (Some(intent), Some(host)) = (compiled.intent, compiled.host) {
        return Wish::Router(Box::new(Desired { intent, host, host_table: compiled.host_table }));
    }
    if !folder_exists {
        return Wish::Keep("the configuration folder is missing: the router stays as it is".into());
    }
    match compiled.verdicts.iter().find(|verdict| hides_an_underlay(verdict)) {
        Some(verdict) => Wish::Keep(format!(
            "no usable Underlay, because {} was rejected: the router stays as it is",
            place(&verdict.object)
        )),
        None => Wish::Nothing,
    }
}

/// An object that, had it been readable, might have been the Underlay in force.
fn hides_an_underlay(verdict: &Verdict) -> bool {
    match verdict.outcome {
        Outcome::Applied { .. } => false,
        Outcome::Rejected { .. } => matches!(verdict.object.kind.as_str(), "Underlay" | "File"),
    }
}

/// An object that, had it been acceptable, might have been the passthrough in force.
fn hides_a_passthrough(verdict: &Verdict) -> bool {
    match verdict.outcome {
        Outcome::Applied { .. } => false,
        Outcome::Rejected { reason, .. } => {
            reason != "DependencyFailed" && matches!(verdict.object.kind.as_str(), "L3Passthrough" | "File")
        }
    }
}

/// What is in force and its veth pair, when these objects leave the router without any.
fn passthrough_to_keep<'a>(
    compiled: &Compiled,
    in_force: Option<&'a Desired>,
) -> Option<(&'a Desired, &'a DesiredVeth)> {
    let (intent, host) = (compiled.intent.as_ref()?, compiled.host.as_ref()?);
    let old = in_force.filter(|old| old.intent.asn == intent.asn && host.veth.is_none())?;
    Some((old, old.host.veth.as_ref()?))
}

/// A mistake in a passthrough does not take down the one in force: what belongs to it stays, and everything else changes
/// as the objects say.
fn keep_passthrough(compiled: &mut Compiled, old: &Desired, veth: &DesiredVeth) {
    let (Some(intent), Some(host)) = (&mut compiled.intent, &mut compiled.host) else { return };
    host.veth = Some(veth.clone());
    compiled.host_table.clone_from(&old.host_table);
    let hosts = old.intent.peers.iter().filter(|(_, peer)| peer.role == Role::Host);
    intent.peers.extend(hosts.map(|(address, peer)| (*address, peer.clone())));
    intent.ranges.extend(old.intent.ranges.iter().filter(|range| range.peer.role == Role::Host).cloned());
    intent.networks.extend(old.intent.networks.iter().filter(|network| network.while_link_up.is_some()).cloned());
    intent.host_routes.clone_from(&old.intent.host_routes);
}

/// "Underlay static-n-underlay-0 (/etc/.../openpe_a.yaml:3)".
pub(crate) fn place(object: &ObjectRef) -> String {
    let Source::File { path, line } = &object.source;
    let line = if *line > 0 { format!(":{line}") } else { String::new() };
    if object.kind == "File" {
        return format!("{}{line}", path.display());
    }
    format!("{} {} ({}{line})", object.kind, object.name, path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(kind: &str, reason: &'static str) -> Verdict {
        let source = Source::File { path: "/etc/openperouter/configs/openpe_a.yaml".into(), line: 3 };
        let object = ObjectRef { kind: kind.into(), name: format!("static-n-{kind}"), source };
        let message = "0 is no AS number".into();
        Verdict { object, outcome: Outcome::Rejected { reason, field: Some("spec.asn".into()), message } }
    }

    fn compiled(verdicts: Vec<Verdict>) -> Compiled {
        Compiled { verdicts, ..Compiled::default() }
    }

    #[test]
    fn an_error_in_the_files_keeps_the_router_as_it_is() {
        for kind in ["Underlay", "File"] {
            let wish = wish(compiled(vec![rejected(kind, "ValidationFailed")]), true);
            let Wish::Keep(reason) = wish else { panic!("wanted to keep, got {wish:?}") };
            assert!(reason.contains("openpe_a.yaml:3"), "{reason}");
        }
    }

    #[test]
    fn removing_the_underlay_takes_the_router_down_also_when_others_depended_on_it() {
        assert_eq!(wish(compiled(Vec::new()), true), Wish::Nothing);
        assert_eq!(wish(compiled(vec![rejected("L3Passthrough", "DependencyFailed")]), true), Wish::Nothing);
    }

    #[test]
    fn a_missing_folder_says_nothing() {
        assert!(matches!(wish(compiled(Vec::new()), false), Wish::Keep(_)));
    }
    const UNDERLAY: &str = r#"underlays:
  - asn: 64514
    interfaces: [{ type: NetworkDevice, networkDevice: { interfaceName: eth1 } }]
    neighbors:
      - { asn: 64512, address: "192.168.11.2" }
      - { asn: 64512, address: "2001:db8::2" }
      - { asn: 64512, interface: eth1 }
"#;
    const PASSTHROUGH: &str = r#"bgppassthrough:
  hostSession:
    asn: 64514
    hostASN: 64515
    localCIDR: { ipv4: "192.169.10.0/24", ipv6: "2001:db8:1::/64" }
  hostRoutes: { metric: 77 }
"#;

    #[test]
    fn a_typo_in_a_passthrough_changes_nothing_of_the_router_nor_of_its_fabric_sessions() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let node = Node::new("n", 0);
        let read = |passthrough: &str, in_force: Option<&Desired>| {
            let write = |name, text| std::fs::write(folder.path().join(name), text).expect("a file");
            write("openpe_a.yaml", UNDERLAY);
            write("openpe_b.yaml", passthrough);
            read(folder.path(), &node, in_force)
        };
        let before = read(PASSTHROUGH, None);
        let Wish::Router(old) = before.wish else { panic!("wanted a router: {:?}", before.verdicts) };
        let neighbor = &old.intent.peers[&"192.168.11.2".parse().expect("an address")];
        assert_eq!(neighbor.families, engine::Family::ALL, "the passthrough gave it the other family");
        let typos = [("hostASN", "hostAsn"), ("64515", "0"), ("asn: 64514", "asn: 64513"), ("/24", "/240"), ("{", "[")];
        for (right, wrong) in typos {
            let after = read(&PASSTHROUGH.replacen(right, wrong, 1), Some(&old));
            assert!(after.kept.is_some(), "{wrong}: {:?}", after.verdicts);
            let Wish::Router(new) = after.wish else { panic!("wanted a router: {:?}", after.verdicts) };
            assert_eq!(engine::intent::diff(Some(&old.intent), &new.intent), [], "{wrong}");
            assert_eq!(new, old, "{wrong}");
        }
        let without = read("", Some(&old));
        let Wish::Router(new) = without.wish else { panic!("wanted a router: {:?}", without.verdicts) };
        assert!(without.kept.is_none() && new.host.veth.is_none(), "one that is removed goes");
    }
}

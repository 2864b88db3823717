//! The objects as they are at this moment, static ones and the cluster's, and what they ask for together.
//!
//! Is told: a folder, what the API server said, and a node. Emits: one verdict per object, and a [`Wish`]. Blocks for files. Does not: put
//! anything in force, or remember; `run` does the first, and `plan` needs neither.

use std::path::{Path, PathBuf};

use config::compile::{Compiled, InForce};
use config::files::Objects;
use config::node::Node;
use config::verdict::{ObjectRef, Outcome, Source, Verdict};
use engine::Intent;
use engine::intent::Role;
use kernel::host::{DesiredHost, DesiredVeth};
use kernel::host_table::HostTable;

use super::cluster::Said;

/// A router and the host around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Desired {
    /// The router.
    pub(crate) intent: Intent,
    /// The host.
    pub(crate) host: DesiredHost,
    /// Where the host's own routes go.
    pub(crate) host_table: Option<HostTable>,
    /// The objects that say so.
    pub(crate) from: InForce,
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
    /// Those of files, and whether their folder is there.
    pub(crate) static_objects: (Objects, bool),
}

/// Reads and compiles. Static objects come before those of the cluster. Of `in_force` only the passthrough counts, and
/// only when the one that is read is rejected.
pub(crate) fn read(folder: &Path, node: &Node, cluster: Option<&Said>, in_force: Option<&Desired>) -> Reading {
    let config::files::Loaded { mut objects, verdicts: mut refused, none } = config::files::load(folder, node);
    let static_objects = (objects.clone(), folder.is_dir());
    if let Some(Said { view, .. }) = cluster {
        objects.underlays.extend_from_slice(&view.objects.underlays);
        objects.passthroughs.extend_from_slice(&view.objects.passthroughs);
        objects.unreadable_underlays.extend_from_slice(&view.objects.unreadable_underlays);
        refused.extend_from_slice(&view.verdicts);
    }
    let mut compiled = config::compile::compile(&objects, node);
    let from = in_force.map(|in_force| &in_force.from);
    let mut rejected = refused.iter().chain(&compiled.verdicts);
    let rejected = rejected.find(|verdict| hides_a_passthrough(verdict, from)).map(|verdict| place(&verdict.object));
    let unsaid = cluster.and_then(|said| said.complete.as_ref().err());
    let missing = rejected.map(|place| format!("{place} was rejected")).or_else(|| unsaid.cloned());
    let mut kept = None;
    if let (Some(missing), Some((old, veth))) = (missing, passthrough_to_keep(&compiled, in_force)) {
        kept = Some(format!("the passthrough in force stays as it is, because {missing}"));
        // The fabric's sessions depend on it too: without it they would lose families, and be reset.
        compiled = config::compile::compile_beside(&objects, node, &veth.host_addresses);
        keep_passthrough(&mut compiled, old, veth);
    }
    compiled.verdicts.splice(..0, refused);
    let verdicts = compiled.verdicts.clone();
    let secret_files = std::mem::take(&mut compiled.secret_files);
    let left_out = std::mem::take(&mut compiled.left_out);
    // Without files a cluster is configuration enough.
    let none = none.filter(|_| cluster.is_none());
    let said = match (cluster, static_objects.1) {
        (Some(said), true) => said.complete.clone(),
        (Some(_), false) if from.is_some_and(is_static) => Err(FOLDER_MISSING.into()),
        (Some(said), false) => said.complete.clone(),
        (None, true) => Ok(()),
        (None, false) => Err(FOLDER_MISSING.into()),
    };
    Reading { verdicts, none, wish: wish(compiled, said, from), kept, left_out, secret_files, static_objects }
}

const FOLDER_MISSING: &str = "the configuration folder is missing";

fn is_static(from: &InForce) -> bool {
    from.underlay.as_ref().is_some_and(ObjectRef::is_static)
}

/// `said`: everybody who may say something has, or why not.
fn wish(compiled: Compiled, said: Result<(), String>, in_force: Option<&InForce>) -> Wish {
    let from = compiled.in_force;
    if let (Some(intent), Some(host)) = (compiled.intent, compiled.host) {
        return Wish::Router(Box::new(Desired { intent, host, host_table: compiled.host_table, from }));
    }
    if let Err(unsaid) = said {
        return Wish::Keep(format!("{unsaid}: the router stays as it is"));
    }
    match compiled.verdicts.iter().find(|verdict| hides_an_underlay(verdict, in_force)) {
        Some(verdict) => Wish::Keep(format!(
            "no usable Underlay, because {} was rejected: the router stays as it is",
            place(&verdict.object)
        )),
        None => Wish::Nothing,
    }
}

/// An object that, had it been readable, might have been the Underlay in force.
fn hides_an_underlay(verdict: &Verdict, in_force: Option<&InForce>) -> bool {
    let before = in_force.map(|in_force| in_force.underlay.as_ref());
    !verdict.is_applied() && may_be("Underlay", &verdict.object, before)
}

/// An object that, had it been acceptable, might have been the passthrough in force.
fn hides_a_passthrough(verdict: &Verdict, in_force: Option<&InForce>) -> bool {
    let before = in_force.map(|in_force| in_force.passthrough.as_ref());
    match verdict.outcome {
        Outcome::Applied { .. } => false,
        Outcome::Rejected { reason, .. } => {
            reason != "DependencyFailed" && may_be("L3Passthrough", &verdict.object, before)
        }
    }
}

/// Whether this object may be the one of its kind that was in force. A file may hold any, and its objects are known by
/// their place in it; an object of the cluster is itself, and another one's mistake does not keep what was deleted. What
/// an earlier process had in force is not known.
fn may_be(kind: &str, object: &ObjectRef, before: Option<Option<&ObjectRef>>) -> bool {
    match &object.source {
        Source::File { .. } => [kind, "File"].contains(&object.kind.as_str()),
        Source::Cluster { .. } => {
            object.kind == kind && before.is_none_or(|before| before.is_some_and(|before| before.is_same(object)))
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
    compiled.in_force.passthrough.clone_from(&old.from.passthrough);
}

/// "Underlay static-n-underlay-0 (/etc/.../openpe_a.yaml:3)".
pub(crate) fn place(object: &ObjectRef) -> String {
    let (path, line) = match &object.source {
        Source::File { path, line } => (path, line),
        Source::Cluster { namespace, .. } => return format!("{} {namespace}/{}", object.kind, object.name),
    };
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
            let wish = wish(compiled(vec![rejected(kind, "ValidationFailed")]), Ok(()), None);
            let Wish::Keep(reason) = wish else { panic!("wanted to keep, got {wish:?}") };
            assert!(reason.contains("openpe_a.yaml:3"), "{reason}");
        }
    }

    #[test]
    fn removing_the_underlay_takes_the_router_down_also_when_others_depended_on_it() {
        assert_eq!(wish(compiled(Vec::new()), Ok(()), None), Wish::Nothing);
        assert_eq!(wish(compiled(vec![rejected("L3Passthrough", "DependencyFailed")]), Ok(()), None), Wish::Nothing);
    }

    #[test]
    fn a_missing_folder_says_nothing() {
        assert!(matches!(wish(compiled(Vec::new()), Err(FOLDER_MISSING.into()), None), Wish::Keep(_)));
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
            read(folder.path(), &node, None, in_force)
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

    /// What an API server says of these Underlays, of which each is `(name, asn)`; 0 is no AS number.
    fn said(underlays: &[(&str, u32)], complete: Result<(), String>) -> Said {
        let mut view = crate::source::cluster::index::View::default();
        for (name, asn) in underlays {
            let spec = serde_json::json!({
                "asn": asn,
                "interfaces": [{ "type": "NetworkDevice", "networkDevice": { "interfaceName": "eth1" } }],
                "neighbors": [{ "asn": 64512, "address": "192.168.11.2" }],
            });
            let kind = config::cluster::Kind::Underlay;
            let stored = config::cluster::Stored { kind, namespace: "routers", name, generation: 1, spec: &spec };
            config::cluster::add(&stored, &|_| Err("no Secret".into()), &mut view.objects, &mut view.verdicts);
        }
        Said { view, complete }
    }

    fn wish_of(said: &Said, in_force: Option<&Desired>) -> Wish {
        read(Path::new("/nonexistent"), &Node::new("n", 0), Some(said), in_force).wish
    }

    #[test]
    fn in_a_cluster_only_the_deletion_of_the_object_in_force_takes_the_router_down() {
        let Wish::Router(old) = wish_of(&said(&[("good", 64514)], Ok(())), None) else { panic!("wanted a router") };
        assert_eq!(old.from.underlay.as_ref().map(|object| object.name.as_str()), Some("good"));
        // Edited into something that makes no sense it stays; deleted it goes, whatever else makes no sense.
        assert!(matches!(wish_of(&said(&[("good", 0)], Ok(())), Some(&old)), Wish::Keep(_)));
        assert_eq!(wish_of(&said(&[], Ok(())), Some(&old)), Wish::Nothing);
        assert_eq!(wish_of(&said(&[("another", 0)], Ok(())), Some(&old)), Wish::Nothing);
        // A process that has just started cannot know which one an earlier one had in force.
        assert!(matches!(wish_of(&said(&[("another", 0)], Ok(())), None), Wish::Keep(_)));
    }

    #[test]
    fn an_api_server_that_has_not_said_everything_has_said_nothing_about_what_is_missing() {
        let unsaid = said(&[], Err("the API server has not said yet".into()));
        let Wish::Keep(reason) = wish_of(&unsaid, None) else { panic!("wanted to keep") };
        assert!(reason.contains("has not said yet"), "{reason}");
    }

    #[test]
    fn a_static_underlay_comes_before_the_clusters() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("openpe_a.yaml"), UNDERLAY).expect("a file");
        let cluster = said(&[("older", 65000)], Ok(()));
        let reading = read(folder.path(), &Node::new("n", 0), Some(&cluster), None);
        let Wish::Router(desired) = reading.wish else { panic!("wanted a router: {:?}", reading.verdicts) };
        assert_eq!(desired.intent.asn, 64514);
        assert!(reading.verdicts[1].to_string().contains("Underlay older: rejected"), "{:?}", reading.verdicts);
        // A folder that vanishes says nothing, here as elsewhere.
        let vanished = read(Path::new("/nonexistent"), &Node::new("n", 0), Some(&said(&[], Ok(()))), Some(&desired));
        assert!(matches!(vanished.wish, Wish::Keep(_)), "{:?}", vanished.wish);
    }
}

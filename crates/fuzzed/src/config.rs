//! What users write: any text gets a verdict that leads to its mistake, and what is accepted the engine can be.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use config::compile::compile;
use config::files;
use config::node::{self, Node};
use config::speak;
use config::verdict::{Outcome, Verdict};
use engine::intent::{self, Intent, PeerIntent};
use engine::{Engine, Event};

/// No directory: a key file beside it does not exist.
const PATH: &str = "/nonexistent/openpe_fuzz.yaml";
/// What YAML parsers take time for is not the question here.
const LONGEST: usize = 16 << 10;

/// Static files of objects, compiled for a node.
pub(crate) fn files(data: &[u8]) {
    let text = text(data);
    let node = Node::new("node-a", u32::from(data.first().copied().unwrap_or(0)));
    let loaded = files::parse(Path::new(PATH), &text, &node);
    loaded.verdicts.iter().for_each(|verdict| leads_somewhere(verdict, &text));
    assert!(loaded.verdicts.iter().all(|verdict| !verdict.is_applied()), "read is not yet applied");

    let compiled = compile(&loaded.objects, &node);
    compiled.verdicts.iter().for_each(|verdict| leads_somewhere(verdict, &text));
    let applied = |kind: &str| {
        compiled.verdicts.iter().filter(|verdict| verdict.object.kind == kind && verdict.is_applied()).count()
    };
    assert!(applied("Underlay") <= 1 && applied("L3Passthrough") <= applied("Underlay"));
    assert_eq!(compiled.intent.is_some(), applied("Underlay") == 1);
    assert_eq!(compiled.intent.is_some(), compiled.host.is_some());
    let objects = loaded.objects.underlays.len() + loaded.objects.passthroughs.len();
    assert!(compiled.verdicts.len() <= objects, "at most one verdict for each object");
    if let Some(intent) = &compiled.intent {
        can_be(intent);
    }
    let again = compile(&loaded.objects, &node);
    assert_eq!((again.intent, again.verdicts), (compiled.intent, compiled.verdicts));
}

/// The file of a speaker.
pub(crate) fn speak(data: &[u8]) {
    let text = text(data);
    match speak::parse(Path::new(PATH), &text) {
        Ok(speak) => {
            can_be(&speak.intent);
            assert!(speak.warnings.iter().all(|warning| !warning.is_empty()));
        }
        Err(error) => names_the_file(&error.0, &text),
    }
}

/// The file of a node.
pub(crate) fn node(data: &[u8]) {
    let text = format!("nodeName: node-a\n{}", text(data));
    let addresses = ["192.0.2.7/24", "2001:db8::9/64", "fe80::1/64"].map(|net| net.parse().expect("a literal"));
    let lookup = |name: &str| name.starts_with("eth").then(|| addresses.to_vec());
    match node::parse_with(Path::new(PATH), &text, &lookup) {
        Ok(node) => assert!(!node.name.is_empty() && node.labels.values().any(|label| *label == node.name)),
        Err(error) => names_the_file(&error.0, &text),
    }
}

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(&data[..data.len().min(LONGEST)]).into_owned()
}

/// Whether a line can be in the text; the end may be reported as one more.
fn in_text(line: usize, text: &str) -> bool {
    line <= text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() + 1
}

/// Each line of an error is `file[:line]: sentence`.
fn names_the_file(error: &str, text: &str) {
    let first = error.lines().next().expect("a sentence");
    let rest = first.strip_prefix(PATH).unwrap_or_else(|| panic!("{error:?} does not name the file"));
    let rest = rest.strip_prefix(':').expect("a colon");
    let (line, sentence) = rest.split_once(':').map_or(("", rest), |(line, rest)| (line, rest));
    assert!(!sentence.trim().is_empty(), "{error:?}");
    if let Ok(line) = line.parse::<usize>() {
        assert!(line > 0 && in_text(line, text), "{error:?}");
    }
}

fn leads_somewhere(verdict: &Verdict, text: &str) {
    let place = verdict.object.source.file();
    assert!(place.is_some_and(|(path, line)| path == Path::new(PATH) && in_text(line, text)), "{verdict}");
    match &verdict.outcome {
        Outcome::Applied { warnings } => assert!(warnings.iter().all(|warning| !warning.is_empty()), "{verdict}"),
        Outcome::Rejected { reason, field, message } => {
            assert!(!reason.is_empty() && !message.is_empty(), "{verdict}");
            // A file that is no YAML and a kind that is not served have no field that could be set right.
            let served = matches!(verdict.object.kind.as_str(), "Underlay" | "L3Passthrough");
            let named = field.as_deref().is_some_and(|field| !field.is_empty());
            assert!(named || !served || *reason != "ValidationFailed", "{verdict}: which field?");
        }
    }
}

/// What every accepted configuration promises to the engine, and that the engine takes it.
fn can_be(intent: &Intent) {
    assert!(intent.asn != 0 && !intent.router_id.is_unspecified());
    assert!((1..=64).contains(&intent.multipath.max_paths));
    let peers = intent.peers.values().chain(intent.unnumbered.values());
    let all: Vec<&PeerIntent> = peers.chain(intent.ranges.iter().map(|range| &range.peer)).collect();
    let names: BTreeSet<&str> = all.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "names are unique");
    for peer in all {
        assert!(peer.hold_time.is_zero() || peer.hold_time >= Duration::from_secs(3), "{peer:?}");
        assert!(!peer.families.is_empty() && peer.port != 0, "{peer:?}");
        assert!(peer.families.iter().enumerate().all(|(at, family)| !peer.families[..at].contains(family)), "{peer:?}");
    }
    assert!(intent.networks.iter().all(|network| network.prefix.trunc() == network.prefix));
    assert_eq!(intent::diff(Some(intent), intent), Vec::new());

    let now = Instant::now();
    let mut engine = Engine::new(1, now);
    engine.handle(now, Event::Intent(Box::new(intent.clone())));
    engine.handle_timeout(now);
    let snapshot = engine.snapshot(now);
    assert_eq!(snapshot.peers.len(), intent.peers.len() + intent.unnumbered.len());
    assert_eq!((snapshot.asn, snapshot.router_id), (intent.asn, intent.router_id));
}

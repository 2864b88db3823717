//! What the API server has said, as plain data.
//!
//! Is told: objects that are there, by kind and key; keys that are gone; the node; keys of Secrets. Emits: whether what
//! concerns this node has changed, and the objects that select it, in order of precedence. Pure.
//!
//! Objects are kept as text: those of other nodes are many, and are looked at only when this node's labels change.

use std::collections::{BTreeMap, BTreeSet};

use config::cluster::{self, Kind, Stored};
use config::files::Objects;
use config::types::LabelSelector;
use config::verdict::Verdict;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The annotation that holds a node's index.
pub(crate) const INDEX: &str = "openpe.io/nodeindex";

/// An object of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// How an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Standing {
    /// It is there, as far as we know.
    Live,
    /// It went because its definition did, and nobody asked for that.
    Orphan,
}

/// An object as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) uid: String,
    pub(crate) generation: i64,
    /// When it was made, in seconds since 1970.
    pub(crate) created: i64,
    /// Its specification, JSON.
    pub(crate) spec: Box<str>,
    /// The identity of the definition that was known when it was seen; `None` without the permission to ask.
    pub(crate) epoch: Option<String>,
    pub(crate) standing: Standing,
}

/// The node as the API server knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeFacts {
    pub(crate) uid: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// The last index that it had.
    pub(crate) index: Option<u32>,
    /// What is wrong with its index.
    pub(crate) trouble: Option<String>,
}

/// An object with its selector.
#[derive(Clone, Debug)]
struct Known {
    entry: Entry,
    /// `None`: it cannot be read, and may be for this node.
    selector: Option<Option<LabelSelector>>,
}

impl Known {
    fn new(entry: Entry) -> Self {
        let spec: Json = serde_json::from_str(&entry.spec).unwrap_or_default();
        Self { selector: cluster::node_selector(&spec).ok(), entry }
    }

    /// Whether it is, or may be, for a node with these labels.
    fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        match &self.selector {
            Some(Some(selector)) => selector.matches(labels).unwrap_or(true),
            Some(None) | None => true,
        }
    }
}

/// What concerns a node: objects in order of precedence, verdicts of those that cannot be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) objects: Objects,
    pub(crate) verdicts: Vec<Verdict>,
    /// Secrets that they name.
    pub(crate) secrets: BTreeSet<String>,
}

/// What was said last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    kinds: BTreeMap<Kind, BTreeMap<Key, Known>>,
    node: Option<NodeFacts>,
    /// Keys by the name of their Secret, or why there is none.
    secrets: BTreeMap<String, Result<String, String>>,
    /// How many objects there are of kinds that are not served.
    not_served: BTreeMap<&'static str, usize>,
}

/// The part of an index that a node needs, for the time when nobody answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    node: NodeFacts,
    objects: Vec<(String, Key, Entry)>,
    secrets: BTreeMap<String, String>,
}

impl Index {
    /// An object is there. Returns whether that changes anything for this node.
    pub(crate) fn apply(&mut self, kind: Kind, key: Key, entry: Entry) -> bool {
        let known = self.kinds.entry(kind).or_default();
        let before = known.get(&key);
        if before.is_some_and(|before| before.entry == entry) {
            return false;
        }
        let before = before.is_some_and(|before| selects(&self.node, before));
        let after = Known::new(entry);
        let concerns = before || selects(&self.node, &after);
        known.insert(key, after);
        concerns
    }

    /// An object was deleted. Returns whether that changes anything for this node.
    pub(crate) fn delete(&mut self, kind: Kind, key: &Key) -> bool {
        let gone = self.kinds.get_mut(&kind).and_then(|known| known.remove(key));
        gone.is_some_and(|gone| selects(&self.node, &gone))
    }

    /// An object went without anybody deleting it. It stays, behind all others.
    pub(crate) fn orphan(&mut self, kind: Kind, key: &Key) -> bool {
        match self.kinds.get_mut(&kind).and_then(|known| known.get_mut(key)) {
            Some(known) if known.entry.standing == Standing::Live => {
                known.entry.standing = Standing::Orphan;
                selects(&self.node, known)
            }
            Some(_) | None => false,
        }
    }

    /// Forgets orphans of a kind but `kept`: others have taken their place.
    pub(crate) fn forget_orphans(&mut self, kind: Kind, kept: Option<&Key>) {
        if let Some(known) = self.kinds.get_mut(&kind) {
            known.retain(|key, known| known.entry.standing == Standing::Live || Some(key) == kept);
        }
    }

    /// The objects of a kind that are said to be there, beside `listed`.
    pub(crate) fn beside(&self, kind: Kind, listed: &BTreeSet<Key>) -> Vec<Key> {
        let live = |known: &Known| known.entry.standing == Standing::Live;
        let all = self.kinds.get(&kind).into_iter().flatten();
        all.filter(|(key, known)| live(known) && !listed.contains(*key)).map(|(key, _)| key.clone()).collect()
    }

    /// An object as it was last seen.
    pub(crate) fn get(&self, kind: Kind, key: &Key) -> Option<&Entry> {
        self.kinds.get(&kind)?.get(key).map(|known| &known.entry)
    }

    /// The node is so. Its last index stays when it has none any more.
    pub(crate) fn set_node(&mut self, mut node: NodeFacts) -> bool {
        node.index = node.index.or_else(|| self.node.as_ref()?.index);
        let changed = self.node.as_ref() != Some(&node);
        self.node = Some(node);
        changed
    }

    /// The node, once it was seen.
    pub(crate) fn node(&self) -> Option<&NodeFacts> {
        self.node.as_ref()
    }

    /// The key in a Secret, or why there is none. One that was known stays known when its Secret goes: a session does not
    /// end because of that.
    pub(crate) fn set_secret(&mut self, name: &str, key: Result<String, String>) -> bool {
        let before = self.secrets.get(name);
        if before == Some(&key) || (key.is_err() && before.is_some_and(Result::is_ok)) {
            return false;
        }
        self.secrets.insert(name.to_owned(), key);
        true
    }

    /// Forgets the keys of Secrets that nobody names any more.
    pub(crate) fn keep_secrets(&mut self, named: &BTreeSet<String>) {
        self.secrets.retain(|name, _| named.contains(name));
    }

    /// Whether each of these was looked for.
    pub(crate) fn knows_secrets(&self, named: &BTreeSet<String>) -> bool {
        named.iter().all(|name| self.secrets.contains_key(name))
    }

    /// So many objects there are of a kind that is not served.
    pub(crate) fn set_not_served(&mut self, kind: &'static str, objects: usize) -> bool {
        self.not_served.insert(kind, objects).unwrap_or(0) != objects
    }

    /// Kinds that are not served and have objects.
    pub(crate) fn not_served(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.not_served.iter().filter(|(_, objects)| **objects > 0).map(|(kind, objects)| (*kind, *objects))
    }

    /// What concerns a node with these labels.
    pub(crate) fn view(&self, labels: &BTreeMap<String, String>) -> View {
        let mut view = View::default();
        for (kind, all) in &self.kinds {
            let mut mine: Vec<_> = all.iter().filter(|(_, known)| known.selects(labels)).collect();
            mine.sort_by_key(|(key, known)| (known.entry.standing == Standing::Orphan, known.entry.created, *key));
            for (key, known) in mine {
                self.add(*kind, key, &known.entry, &mut view);
            }
        }
        view
    }

    fn add(&self, kind: Kind, key: &Key, entry: &Entry, view: &mut View) {
        let spec: Json = serde_json::from_str(&entry.spec).unwrap_or_default();
        view.secrets.extend(cluster::secret_names(&spec));
        let secret = |name: &str| match self.secrets.get(name) {
            Some(key) => key.clone(),
            None => Err(format!("the Secret \"{name}\" was not read yet")),
        };
        let Key { namespace, name } = key;
        let stored = Stored { kind, namespace, name, generation: entry.generation, spec: &spec };
        cluster::add(&stored, &secret, &mut view.objects, &mut view.verdicts);
        let added = match kind {
            Kind::Underlay => view.objects.underlays.last_mut().map(|object| (&object.reference, &mut object.warnings)),
            Kind::L3Passthrough => {
                view.objects.passthroughs.last_mut().map(|object| (&object.reference, &mut object.warnings))
            }
        };
        if let (Standing::Orphan, Some((reference, warnings))) = (entry.standing, added)
            && reference.name == *name
        {
            warnings.push(format!(
                "went with its custom resource definition and stays in force until another {} takes its place",
                kind.name()
            ));
        }
    }

    /// What to keep for the time when nobody answers.
    pub(crate) fn memory(&self, labels: &BTreeMap<String, String>) -> Memory {
        let mine = self.kinds.iter().flat_map(|(kind, all)| {
            let mine = all.iter().filter(|(_, known)| known.selects(labels));
            mine.map(|(key, known)| (kind.name().to_owned(), key.clone(), known.entry.clone()))
        });
        let secrets = self.secrets.iter().filter_map(|(name, key)| Some((name.clone(), key.as_ref().ok()?.clone())));
        Memory { node: self.node.clone().unwrap_or_default(), objects: mine.collect(), secrets: secrets.collect() }
    }

    /// What was kept.
    pub(crate) fn remembering(memory: Memory) -> Self {
        let mut index = Self::default();
        for (name, key, entry) in memory.objects {
            if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == name) {
                index.kinds.entry(kind).or_default().insert(key, Known::new(entry));
            }
        }
        index.node = Some(memory.node);
        index.secrets = memory.secrets.into_iter().map(|(name, key)| (name, Ok(key))).collect();
        index
    }
}

/// Before the node is known everything may concern it.
fn selects(node: &Option<NodeFacts>, known: &Known) -> bool {
    node.as_ref().is_none_or(|node| known.selects(&node.labels))
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;

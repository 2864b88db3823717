//! Static files: `openpe_*.yaml` in a directory.
//!
//! Every file is read by name, in order; objects of all files together are one configuration. Two spellings are
//! understood: upstream's lists (`underlays`, `bgppassthrough`, ..) and whole Kubernetes objects (`kind: Underlay`),
//! one per document, as they stand in upstream's examples. Every object is held against its schema on its own: one
//! that is wrong gets a verdict and the others are used, in the same file as well as in others.
//!
//! Knows the shape of objects only. Whether they fit the node and each other is `compile`'s business.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::node::Node;
use crate::schema::{self, Lines, Problem};
use crate::secret;
pub use crate::secret::Secrets;
use crate::text;
use crate::types::{L3PassthroughSpec, UnderlaySpec};
use crate::verdict::{ObjectRef, Outcome, Source, Verdict};
use crate::yaml::{self, Value, Yaml};

/// Objects, in order of precedence.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Underlays; the first that fits is in force.
    pub underlays: Vec<Object<UnderlaySpec>>,
    /// L3Passthroughs; the first that fits is in force.
    pub passthroughs: Vec<Object<L3PassthroughSpec>>,
    /// Names of Underlays that could not be read, so that what depends on one can say so.
    pub unreadable_underlays: Vec<String>,
}

/// An object as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Object<T> {
    /// Its name and where it was written.
    pub reference: ObjectRef,
    /// What it says.
    pub spec: T,
    /// Remarks from reading it, to go into its verdict.
    pub warnings: Vec<String>,
    /// Line of each field in its file, by path (`spec.neighbors[0].address`); empty when it came from elsewhere.
    pub lines: std::collections::BTreeMap<String, usize>,
    /// Keys of its sessions that lie in files.
    pub secrets: Secrets,
}

/// What a directory holds.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// What could be read.
    pub objects: Objects,
    /// Rejections of what could not.
    pub verdicts: Vec<Verdict>,
    /// Why there is no configuration at all: directory missing or without files. Not an error.
    pub none: Option<String>,
}

/// Keys of the list form whose objects are not served, with their kinds.
pub const NOT_SERVED: [(&str, &str); 4] =
    [("l3vnis", "L3VNI"), ("l2vnis", "L2VNI"), ("l3vpns", "L3VPN"), ("rawfrrconfigs", "RawFRRConfig")];

const KEYS: [&str; 6] = ["underlays", "bgppassthrough", "l3vnis", "l2vnis", "l3vpns", "rawfrrconfigs"];

static UNDERLAY: LazyLock<Json> = LazyLock::new(|| {
    let mut schema = schema::kept::UNDERLAY.clone();
    if let Some(neighbor) = schema.pointer_mut("/properties/neighbors/items") {
        secret::allow(neighbor);
    }
    schema
});
static PASSTHROUGH: LazyLock<Json> = LazyLock::new(|| {
    let mut schema = schema::kept::PASSTHROUGH.clone();
    if let Some(session) = schema.pointer_mut("/properties/hostSession") {
        secret::allow(session);
    }
    schema
});

/// Reads every `openpe_*.yaml` of `dir`, by name.
pub fn load(dir: &Path, node: &Node) -> Loaded {
    let mut reader = Reader::new(node);
    let paths = match list(dir) {
        Ok(paths) => paths,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            reader.loaded.none = Some(format!("configuration directory does not exist: {}", dir.display()));
            return reader.loaded;
        }
        Err(error) => {
            reader.path = dir.to_owned();
            reader.reject_file(0, format!("cannot list the directory: {error}"));
            return reader.loaded;
        }
    };
    if paths.is_empty() {
        let sentence = format!("no openpe_*.yaml configuration files found in directory: {}", dir.display());
        reader.loaded.none = Some(sentence);
    }
    reader.files(&paths)
}

/// Reads these files, of any name and place, in this order, as if they lay in one directory. A relative
/// `passwordFile` is relative to the file that names it.
pub fn load_files(files: &[PathBuf], node: &Node) -> Loaded {
    Reader::new(node).files(files)
}

/// Reads one file's text as if it had been read from `path`.
pub fn parse(path: &Path, text: &str, node: &Node) -> Loaded {
    let mut reader = Reader::new(node);
    reader.path = path.to_owned();
    reader.file(text);
    reader.loaded
}

fn list(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("openpe_") && name.ends_with(".yaml") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

struct Reader<'a> {
    node: &'a Node,
    path: PathBuf,
    /// Underlays seen so far, good and bad: names count over all files.
    underlays: usize,
    /// The same for [`NOT_SERVED`].
    others: [usize; 4],
    loaded: Loaded,
}

impl<'a> Reader<'a> {
    fn new(node: &'a Node) -> Self {
        Self { node, path: PathBuf::new(), underlays: 0, others: [0; 4], loaded: Loaded::default() }
    }

    fn files(mut self, paths: &[PathBuf]) -> Loaded {
        for path in paths {
            self.path = path.clone();
            match text::read(path) {
                Ok(text) => self.file(&text),
                Err(error) => self.reject_file(0, format!("cannot read the file: {error}")),
            }
        }
        self.loaded
    }

    fn reference(&self, kind: &str, name: &str, line: usize) -> ObjectRef {
        let source = Source::File { path: self.path.clone(), line };
        ObjectRef { kind: kind.to_owned(), name: name.to_owned(), source }
    }

    fn reject(&mut self, object: ObjectRef, field: Option<String>, message: String) {
        let outcome = Outcome::Rejected { reason: "ValidationFailed", field, message };
        self.loaded.verdicts.push(Verdict { object, outcome });
    }

    fn reject_file(&mut self, line: usize, message: String) {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let object = self.reference("File", &name, line);
        self.reject(object, None, message);
    }

    fn file(&mut self, text: &str) {
        match yaml::parse(text) {
            Ok(documents) => documents.iter().for_each(|document| self.document(document)),
            Err(error) => {
                let message = format!("not valid YAML: {}; no object of this file is used", error.message);
                self.reject_file(error.line, message);
            }
        }
    }

    fn document(&mut self, document: &Yaml) {
        let Value::Map(entries) = &document.value else {
            let message = format!("a mapping with {} belongs here, got {}", KEYS.join(", "), document.describe());
            return self.reject_file(document.line, message);
        };
        if document.get("kind").is_some() && document.get("apiVersion").is_some() {
            return self.resource(document);
        }
        for (key, value) in entries {
            if matches!(value.value, Value::Null) && KEYS.contains(&key.name.as_str()) {
                continue;
            }
            match (key.name.as_str(), &value.value) {
                ("underlays", Value::Seq(items)) => items.iter().for_each(|item| self.listed_underlay(item)),
                ("bgppassthrough", _) => self.listed_passthrough(value),
                (name, Value::Seq(items)) if NOT_SERVED.iter().any(|(key, _)| *key == name) => {
                    self.not_served(name, items);
                }
                (name, _) if KEYS.contains(&name) => {
                    let message = format!("{name} must be a list, got {}", value.describe());
                    self.reject_file(key.line, message);
                }
                (name, _) => {
                    let message = schema::unknown_field(name, KEYS.into_iter());
                    self.reject_file(key.line, format!("{message} The other objects of this file are not concerned"));
                }
            }
        }
    }

    fn listed_underlay(&mut self, yaml: &Yaml) {
        let name = format!("static-{}-underlay-{}", self.node.name, self.underlays);
        self.underlays += 1;
        let object = self.reference("Underlay", &name, yaml.line);
        if let Some(object) = self.underlay(object, yaml) {
            let object = self.of_this_node(object, |spec| spec.node_selector.take().is_some());
            self.loaded.objects.underlays.push(object);
        }
    }

    fn listed_passthrough(&mut self, yaml: &Yaml) {
        let name = format!("static-{}-l3passthrough", self.node.name);
        let object = self.reference("L3Passthrough", &name, yaml.line);
        let asn = yaml.get("hostSession").and_then(|session| session.get("asn"));
        if let Some(Yaml { line, value: Value::Int(0) }) = asn {
            let object = self.reference("L3Passthrough", &name, *line);
            let message = "asn is 0, which leaves the passthrough out: write the Underlay's asn to use it";
            return self.reject(object, Some("spec.hostSession.asn".into()), message.into());
        }
        if let Some(object) = self.read::<L3PassthroughSpec>(object, yaml, &PASSTHROUGH) {
            let object = self.of_this_node(object, |spec| spec.node_selector.take().is_some());
            self.loaded.objects.passthroughs.push(object);
        }
    }

    /// Objects of the list form are for the node that their file lies on, whatever their selector says.
    fn of_this_node<T>(&self, mut object: Object<T>, take_selector: impl Fn(&mut T) -> bool) -> Object<T> {
        if take_selector(&mut object.spec) {
            let remark = "spec.nodeSelector: has no effect in a static file, which is for the node that it lies on";
            object.warnings.push(remark.into());
        }
        object
    }

    fn not_served(&mut self, key: &str, items: &[Yaml]) {
        for item in items {
            let Some(index) = NOT_SERVED.iter().position(|(name, _)| *name == key) else {
                return;
            };
            let (_, kind) = NOT_SERVED[index];
            let number = self.others[index];
            self.others[index] += 1;
            let name = match item.get("name").and_then(Yaml::text) {
                Some(name) => format!("static-{}-{name}", self.node.name),
                None => format!("static-{}-{}-{number}", self.node.name, kind.to_lowercase()),
            };
            let object = self.reference(kind, &name, item.line);
            self.reject(object, None, why_not_served(kind));
        }
    }

    /// A whole Kubernetes object.
    fn resource(&mut self, document: &Yaml) {
        let text = |name: &str| document.get(name).and_then(Yaml::text).unwrap_or_default();
        let kind = text("kind");
        let name = document.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Yaml::text);
        let object = self.reference(kind, name.unwrap_or("(no name)"), document.line);
        if !text("apiVersion").starts_with("network.openperouter.io/") {
            let message = format!(
                "apiVersion is \"{}\": only objects of network.openperouter.io/v1alpha1 belong here",
                text("apiVersion")
            );
            return self.reject(object, Some("apiVersion".into()), message);
        }
        let nothing = Yaml { line: document.line, value: Value::Null };
        let spec = document.get("spec").unwrap_or(&nothing);
        match kind {
            "Underlay" => {
                if let Some(object) = self.underlay(object, spec) {
                    self.loaded.objects.underlays.push(object);
                }
            }
            "L3Passthrough" => {
                if let Some(object) = self.read(object, spec, &PASSTHROUGH) {
                    self.loaded.objects.passthroughs.push(object);
                }
            }
            other => {
                let message = match NOT_SERVED.iter().any(|(_, kind)| *kind == other) {
                    true => why_not_served(other),
                    false => {
                        format!("kind is \"{other}\": only Underlay and L3Passthrough belong here")
                    }
                };
                self.reject(object, Some("kind".into()), message);
            }
        }
    }

    fn underlay(&mut self, object: ObjectRef, yaml: &Yaml) -> Option<Object<UnderlaySpec>> {
        let name = object.name.clone();
        let read = self.read(object, yaml, &UNDERLAY);
        if read.is_none() {
            self.loaded.objects.unreadable_underlays.push(name);
        }
        read
    }

    /// Holds an object against its schema; `None` when it is rejected.
    fn read<T: DeserializeOwned>(&mut self, object: ObjectRef, yaml: &Yaml, schema: &Json) -> Option<Object<T>> {
        if matches!(yaml.value, Value::Null) {
            self.reject(object, Some("spec".into()), "spec is required".into());
            return None;
        }
        let mut secrets = Secrets::default();
        let made = schema::check(schema, yaml, "spec").and_then(|mut checked| {
            self.secrets(&mut checked.json, &checked.lines, &mut secrets)?;
            let spec = serde_json::from_value(checked.json)
                .map_err(|error| vec![Problem { path: "spec".into(), line: yaml.line, message: error.to_string() }])?;
            Ok((spec, checked.lines))
        });
        match made {
            Ok((spec, lines)) => Some(Object { reference: object, spec, warnings: Vec::new(), lines, secrets }),
            Err(problems) => {
                let (line, field, message) = one_sentence(problems);
                let object = self.reference(&object.kind, &object.name, line);
                self.reject(object, Some(field), message);
                None
            }
        }
    }

    /// Reads the keys of all sessions of an object.
    fn secrets(&self, spec: &mut Json, lines: &Lines, secrets: &mut Secrets) -> Result<(), Vec<Problem>> {
        let mut read = |session: &mut Json, at: &str| {
            secrets.read(session, at, &self.path).map_err(|message| {
                let path = format!("{at}.passwordFile");
                vec![Problem { line: schema::line_of(lines, &path), path, message }]
            })
        };
        if let Some(session) = spec.get_mut("hostSession") {
            read(session, "spec.hostSession")?;
        }
        let neighbors = spec.get_mut("neighbors").and_then(Json::as_array_mut);
        for (index, neighbor) in neighbors.into_iter().flatten().enumerate() {
            read(neighbor, &format!("spec.neighbors[{index}]"))?;
        }
        Ok(())
    }
}

/// Why objects of this kind are not served.
pub fn why(kind: &str) -> &'static str {
    match kind {
        "RawFRRConfig" => "there is no FRR here that could read it",
        _ => "perouter serves L3 passthrough, not overlays",
    }
}

fn why_not_served(kind: &str) -> String {
    let why = why(kind);
    format!("not served by perouter: {why}; the other objects are not concerned")
}

/// The first problem's line and field, and one message for all of them.
pub(crate) fn one_sentence(problems: Vec<Problem>) -> (usize, String, String) {
    let mut problems = problems.into_iter();
    let Some(Problem { path, line, mut message }) = problems.next() else {
        return (0, "spec".into(), String::new());
    };
    for other in problems {
        // What an API server says has no lines.
        let line = if other.line > 0 { format!("line {}, ", other.line) } else { String::new() };
        message.push_str(&format!("; {line}{}: {}", other.path, other.message));
    }
    (line, path, message)
}

#[cfg(test)]
mod tests;

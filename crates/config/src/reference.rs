//! The configuration reference, `docs/configuration.md`: every field of every file, from the types themselves.
//!
//! Walks the schemas that files are held against. Types, ranges, defaults, rules and sentences about what is not
//! served are theirs, meanings are the doc comments of [`crate::types`]. A test holds the document in the repository
//! against this; `PEROUTER_BLESS=1` makes it write the document instead.

use std::fmt::Write;

use serde_json::Value as Json;

use crate::files::{self, NOT_SERVED};
use crate::node::NodeFile;
use crate::types::{L3PassthroughSpec, UnderlaySpec};
use crate::{idle, schema, secret, speak};

const HEAD: &str = "# Configuration reference

<!-- Made from the types in crates/config by `PEROUTER_BLESS=1 cargo test -p config reference`. Do not edit. -->

perouter reads

* `/etc/openperouter/node-config.yaml`: [who the node is](#node-configyaml);
* every `openpe_*.yaml` in `/etc/openperouter/configs`, by name: [the objects](#static-files), of which
  [`Underlay`](#underlay) makes the router and [`L3Passthrough`](#l3passthrough) joins the host to it;
* as `perouter speak FILE`: [one file](#perouter-speak), for a BGP speaker without a node.

`perouter validate` says what it makes of them without touching anything. An unknown field is an error with a suggestion.
A bad object never takes a good one down: each gets its own verdict, shown by `perouter status`.

In the tables, *upstream* marks fields of OpenPERouter's API, *perouter* those that only perouter has; all of the latter
are optional. *Not served*: the field is checked, the object is applied, and its verdict says that this version does nothing
with the field. The default is what holds when the field is unset. Of a list of prefixes, each entry stands for itself:
`{prefix: 10.0.0.0/8}` is that one prefix, `{prefix: 10.0.0.0/8, le: 32}` all inside of it, and `{prefix: 10.0.0.0/8,
ge: 24, le: 24}` every /24 inside of it.
";

const STATIC_FILES: &str = "
## Static files

Every document of a file takes one of two forms. Either whole Kubernetes objects, one per document, as they stand in a
cluster:

```yaml
apiVersion: network.openperouter.io/v1alpha1
kind: Underlay
metadata: {name: fabric}
spec: {..}
```

or a mapping with these keys:

| key | holds | named |
|---|---|---|
| `underlays` | a list of [Underlay](#underlay) specs | `static-NODE-underlay-NUMBER` |
| `bgppassthrough` | one [L3Passthrough](#l3passthrough) spec | `static-NODE-l3passthrough` |
";

/// The whole document.
pub fn markdown() -> String {
    let mut out = String::from(HEAD);
    out.push_str("\n## node-config.yaml\n");
    section(&mut out, &schema::annotated_schema::<NodeFile>(), Origin::None, &|_, _| true);
    out.push_str(STATIC_FILES);
    for (key, kind) in NOT_SERVED {
        let _ = writeln!(out, "| `{key}` | {kind} objects; rejected by name: {} | |", files::why(kind));
    }
    out.push_str(
        "\nOf several objects of a kind for one node the first is in force: files go by name, objects by their place in the \
         file.\nThe others get a verdict that names it.\n",
    );

    out.push_str(
        "\n## Underlay\n\nThe router of a node: its AS, the interfaces that it takes, its fabric neighbours.\n",
    );
    let mut underlay = schema::annotated_schema::<UnderlaySpec>();
    if let Some(neighbor) = underlay.pointer_mut("/properties/neighbors/items") {
        secret::allow(neighbor);
    }
    section(&mut out, &underlay, Origin::Upstream, &|_, _| true);

    let mut passthrough = schema::annotated_schema::<L3PassthroughSpec>();
    let _ = writeln!(out, "\n## L3Passthrough\n\n{}", meaning(&passthrough));
    if let Some(session) = passthrough.pointer_mut("/properties/hostSession") {
        secret::allow(session);
    }
    section(&mut out, &passthrough, Origin::Upstream, &|_, _| true);

    out.push_str(
        "\n## perouter speak\n\nThe file of `perouter speak`: a BGP speaker in the current namespace, without a node. \
         `neighbors[]` takes every\nfield of an [Underlay's](#underlay) `neighbors[]`, with the same defaults and rules; \
         only what differs is listed.\nA family may be written by its name alone: `addressFamilies: [ipv4unicast]`. What \
         cannot be served is an error.\n",
    );
    let of_underlay = underlay.pointer("/properties/neighbors/items/properties").cloned().unwrap_or_default();
    section(&mut out, &speak::annotated_schema(), Origin::None, &|path, field| {
        let of_neighbor = path.strip_prefix("neighbors[].").and_then(|name| of_underlay.get(name));
        match path {
            "neighbors[]" | "neighbors[].addressFamilies" => false,
            _ => of_neighbor != Some(field),
        }
    });
    out
}

/// Whose fields an object has.
#[derive(Clone, Copy)]
enum Origin {
    /// Nobody else's: no column.
    None,
    Upstream,
    Perouter,
}

struct Table<'a> {
    rows: String,
    rules: Vec<(String, String)>,
    /// Whether a field, with what it holds, is listed.
    listed: &'a dyn Fn(&str, &Json) -> bool,
}

fn section(out: &mut String, schema: &Json, origin: Origin, listed: &dyn Fn(&str, &Json) -> bool) {
    let mut table = Table { rows: String::new(), rules: Vec::new(), listed };
    table.rules(schema, "");
    table.object(schema, "", origin, false);
    let (head, line) = match origin {
        Origin::None => ("| field | type | default | meaning |", "|---|---|---|---|"),
        Origin::Upstream | Origin::Perouter => ("| field | type | default | of | meaning |", "|---|---|---|---|---|"),
    };
    let _ = write!(out, "\n{head}\n{line}\n{}", table.rows);
    if !table.rules.is_empty() {
        out.push_str("\nRules:\n\n");
    }
    for (path, message) in table.rules {
        let _ = match path.as_str() {
            "" => writeln!(out, "* {message}"),
            path => writeln!(out, "* `{path}`: {message}"),
        };
    }
}

impl Table<'_> {
    fn object(&mut self, schema: &Json, path: &str, origin: Origin, idle: bool) {
        let required: Vec<_> =
            schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
        let properties = schema.get("properties").and_then(Json::as_object);
        // What must be written comes first.
        let (first, rest): (Vec<_>, Vec<_>) =
            properties.into_iter().flatten().partition(|(name, _)| required.contains(&name.as_str()));
        for (name, field) in first.into_iter().chain(rest) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            if (self.listed)(&path, field) {
                self.field(field, &path, required.contains(&name.as_str()), origin, idle);
            }
        }
    }

    fn field(&mut self, field: &Json, path: &str, required: bool, origin: Origin, idle: bool) {
        let origin = match (origin, field.get("x-perouter-ours")) {
            (Origin::Upstream, Some(_)) => Origin::Perouter,
            (other, _) => other,
        };
        let sentence = field.get(idle::MARK).and_then(Json::as_str);
        let idle = idle || sentence.is_some();
        let shape = shape(field);
        let mut text = meaning(field);
        for (value, what) in values(shape) {
            let _ = match what.as_str() {
                "" => write!(text, " `{value}`."),
                what => write!(text, " `{value}`: {}", lower(what)),
            };
        }
        if let Some(sentence) = sentence {
            let _ = write!(text, " **Not served**: {sentence}.");
        }
        let default = match (required, field.get("x-perouter-default").and_then(Json::as_str), field.get("default")) {
            (true, _, _) => "required".into(),
            (false, Some(words), _) => words.to_owned(),
            (false, None, Some(Json::Object(_) | Json::Array(_) | Json::Null) | None) => String::new(),
            (false, None, Some(Json::String(value))) => format!("`{value}`"),
            (false, None, Some(value)) => format!("`{value}`"),
        };
        let of = match (origin, idle) {
            (Origin::None, _) => "",
            (Origin::Upstream, false) => "upstream | ",
            (Origin::Upstream, true) => "upstream, not served | ",
            (Origin::Perouter, false) => "perouter | ",
            (Origin::Perouter, true) => "perouter, not served | ",
        };
        let text = text.trim().replace('|', "\\|");
        let _ = writeln!(self.rows, "| `{path}` | {} | {default} | {of}{text} |", kind(shape));
        self.rules(shape, path);
        match shape.get("items") {
            Some(items) => {
                let path = format!("{path}[]");
                self.rules(items, &path);
                self.object(items, &path, origin, idle);
            }
            None => self.object(shape, path, origin, idle),
        }
    }

    /// Rules that no type expresses.
    fn rules(&mut self, schema: &Json, path: &str) {
        if !(self.listed)(path, schema) {
            return;
        }
        let rules = schema.get("x-kubernetes-validations").and_then(Json::as_array);
        for rule in rules.into_iter().flatten() {
            if let Some(message) = rule.get("message").and_then(Json::as_str) {
                self.rules.push((path.to_owned(), message.to_owned()));
            }
        }
    }
}

/// What a field holds: an optional value of a named type is a choice between the type and nothing.
fn shape(field: &Json) -> &Json {
    field.get("anyOf").and_then(Json::as_array).and_then(|choices| choices.first()).unwrap_or(field)
}

fn meaning(schema: &Json) -> String {
    let text = schema.get("description").and_then(Json::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn lower(text: &str) -> String {
    let mut characters = text.chars();
    // Not a name or an abbreviation.
    let begins_with_a_word = text.starts_with("A ") || text.chars().nth(1).is_some_and(char::is_lowercase);
    match characters.next() {
        Some(first) if begins_with_a_word => first.to_lowercase().chain(characters).collect(),
        Some(_) | None => text.to_owned(),
    }
}

/// The values of an enumeration, with what they mean.
fn values(shape: &Json) -> Vec<(String, String)> {
    let named = |schema: &Json| {
        let meaning = meaning(schema);
        let names = schema.get("enum").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
        names.map(|name| (name.to_owned(), meaning.clone())).collect::<Vec<_>>()
    };
    shape.get("oneOf").and_then(Json::as_array).into_iter().flatten().flat_map(named).collect()
}

/// Type and range, in words.
fn kind(shape: &Json) -> String {
    let number = |key: &str| shape.get(key).and_then(|n| n.as_i64().or_else(|| n.as_f64().map(|n| n as i64)));
    if shape.get("x-kubernetes-preserve-unknown-fields").is_some() {
        return "any mapping".into();
    }
    if !values(shape).is_empty() {
        return "one of".into();
    }
    match shape.get("type").and_then(Json::as_str) {
        Some("integer") => match (number("minimum"), number("maximum")) {
            (Some(least), Some(most)) => format!("number, {least} to {most}"),
            (Some(least), None) => format!("number, at least {least}"),
            (None, Some(most)) => format!("number, at most {most}"),
            (None, None) => "number".into(),
        },
        Some("string") => match (number("minLength"), number("maxLength")) {
            (_, Some(most)) => format!("text, at most {most} characters"),
            (_, None) => "text".into(),
        },
        Some("boolean") => "true or false".into(),
        Some("array") => {
            let items = shape.get("items").map(kind).unwrap_or_default();
            let items = match items.as_str() {
                "mapping" | "one of" => "mappings".to_owned(),
                other => other.to_owned(),
            };
            match (number("minItems"), number("maxItems")) {
                (Some(least), Some(most)) => format!("list of {least} to {most} ({items})"),
                (Some(least), None) => format!("list of at least {least} ({items})"),
                (None, Some(most)) => format!("list of at most {most} ({items})"),
                (None, None) => format!("list ({items})"),
            }
        }
        Some("object") if shape.get("additionalProperties").is_some() => "mapping of text to text".into(),
        Some("object") => "mapping".into(),
        Some(_) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");

    #[test]
    fn the_document_in_the_repository_is_what_the_types_say() {
        let made = markdown();
        if std::env::var_os("PEROUTER_BLESS").is_some() {
            std::fs::write(DOCUMENT, &made).unwrap();
        }
        let written = std::fs::read_to_string(Path::new(DOCUMENT)).unwrap_or_default();
        let differs = made.lines().zip(written.lines()).find(|(made, written)| made != written);
        assert_eq!(differs, None, "run PEROUTER_BLESS=1 cargo test -p config reference");
        assert_eq!(made.len(), written.len(), "run PEROUTER_BLESS=1 cargo test -p config reference");
    }

    #[test]
    fn every_field_has_a_meaning() {
        for line in markdown().lines().filter(|line| line.starts_with("| `")) {
            let meaning = line.trim_end_matches('|').rsplit(" | ").next().unwrap_or_default();
            let inside_the_key_table = line.contains("static-NODE") || line.contains("objects; rejected");
            assert!(inside_the_key_table || meaning.trim().len() > 8, "{line}");
        }
    }

    #[test]
    fn fields_say_whose_they_are_and_whether_they_are_served() {
        let text = markdown();
        for wanted in [
            "| `neighbors[].bfd` | mapping | off | upstream | Bidirectional",
            "| `neighbors[].asn` | number, 1 to 4294967295 |  | upstream | The neighbour's AS number.",
            "| `neighbors[].ttlSecurity.hops` | number, 1 to 254 | `1` | perouter | How many hops",
            "| `hostSession.passwordFile` | text |  | perouter | File that holds the TCP-MD5 key;",
            "| `hostRoutes.table` | number, 1 to 4294967295 | `254` | perouter | The routing table",
            "`RouteServer`: we are a route server, it is our client.",
            "| `neighbors[].role` | one of | peer | What the neighbour is,",
            "| `neighbors[].port` | number, 0 to 65535 | 179 |",
            "| `nodeIndex.interfaceName` | text |  | Takes the host part",
            "* `neighbors[]`: either ASN or Type must be set",
        ] {
            assert!(text.contains(wanted), "{wanted}");
        }
    }
}

//! Holds a YAML tree against a structural schema and its CEL rules, as the Kubernetes API server would.
//!
//! The schemas ([`kept`]) say what those of the custom resource definitions say, so that a file is judged by the rules of
//! the cluster. Differences, on purpose: an unknown field is an error with a suggestion (a cluster
//! prunes it), `localcidr` and `hostasn` are understood as older documents spell them, and strings with a `pattern`
//! are left to `validate`, which has upstream's sentences for them. Rules about `oldSelf` do not apply to files.

pub(crate) mod kept;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use kube::core::cel::{ValidationErrors, Validator, compile_schema};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json};

use crate::yaml::{Key, Value, Yaml};

/// Something wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// `spec.neighbors[0].address`.
    pub(crate) path: String,
    /// From 1; 0 when unknown.
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// Marks the schema of a mapping that may also be written as plain text, which is then the value of the key that the
/// mark names.
pub(crate) const SHORT_FOR: &str = "x-perouter-short-for";

/// Lines of the fields of an object, by path.
pub(crate) type Lines = BTreeMap<String, usize>;

/// A value that holds, with its defaults.
pub(crate) struct Checked {
    pub(crate) json: Json,
    pub(crate) lines: Lines,
    /// Paths of fields that are not known; always empty for [`check`].
    pub(crate) unknown: Vec<String>,
}

/// Holds `yaml` against `schema`. Paths in problems and lines begin with `root`, which may be empty.
pub(crate) fn check(schema: &Json, yaml: &Yaml, root: &str) -> Result<Checked, Vec<Problem>> {
    hold(schema, yaml, root, None)
}

/// The same for what an API server has accepted, whose definitions may be of another version than this: a field that is
/// not known is left out and listed.
pub(crate) fn check_stored(schema: &Json, yaml: &Yaml, root: &str) -> Result<Checked, Vec<Problem>> {
    hold(schema, yaml, root, Some(Vec::new()))
}

fn hold(schema: &Json, yaml: &Yaml, root: &str, unknown: Option<Vec<String>>) -> Result<Checked, Vec<Problem>> {
    let mut walk = Walk { problems: Vec::new(), lines: Lines::new(), unknown };
    let json = walk.value(schema, yaml, root).unwrap_or_default();
    let Walk { mut problems, lines, unknown } = walk;
    let unknown = unknown.unwrap_or_default();
    // Rules may rely on types and required fields.
    if problems.is_empty() {
        let rules = compile_schema(&rules_for(schema, &[&json]));
        let broken = Validator::new().validate_compiled(&rules, &json, None).err();
        for error in broken.map(ValidationErrors::into_vec).unwrap_or_default() {
            let path = if error.field_path.is_empty() { root.to_owned() } else { join(root, &error.field_path) };
            let line = line_of(&lines, &path);
            let value = json_at(&json, &error.field_path)
                .and_then(|value| value.as_str().map(|text| format!(", got \"{text}\"")))
                .unwrap_or_default();
            problems.push(Problem { path, line, message: format!("{}{value}", error.message) });
        }
        // Of the fields of a mapping they come in any order.
        problems.sort_by_cached_key(|problem| (problem.line, steps(&problem.path)));
    }
    if problems.is_empty() { Ok(Checked { json, lines, unknown }) } else { Err(problems) }
}

/// The names and numbers of a path, so that item 10 comes behind item 9.
fn steps(path: &str) -> Vec<(usize, String)> {
    path.split(['.', '[', ']']).map(|step| (step.parse().unwrap_or(0), step.to_owned())).collect()
}

/// The part of a schema that says something about one of `values`. A rule takes much longer to compile than to apply: those
/// about fields that nobody has written are left out, as are those that hold because of what is written or not, and those about the
/// items of a list are there once for all of them.
fn rules_for(schema: &Json, values: &[&Json]) -> Json {
    let Some(schema) = schema.as_object() else { return schema.clone() };
    let items: Vec<_> = values.iter().filter_map(|value| value.as_array()).flatten().collect();
    let objects: Vec<_> = values.iter().filter_map(|value| value.as_object()).collect();
    let known = schema.get("properties").and_then(Json::as_object);
    let part = |(key, of): (&String, &Json)| {
        let part = match key.as_str() {
            // Filled in already.
            "default" => return None,
            "x-kubernetes-validations" if objects.len() == values.len() => {
                let open = |rule: &&Json| {
                    let presences = presences(rule.get("rule").and_then(Json::as_str).unwrap_or_default());
                    !objects.iter().all(|object| one_holds(&presences, object))
                };
                of.as_array().into_iter().flatten().filter(open).cloned().collect::<Vec<_>>().into()
            }
            "properties" => {
                let property = |(name, schema): (&String, &Json)| {
                    let written: Vec<_> = objects.iter().filter_map(|object| object.get(name)).collect();
                    (!written.is_empty()).then(|| (name.clone(), rules_for(schema, &written)))
                };
                Json::Object(known.into_iter().flatten().filter_map(property).collect())
            }
            "items" if items.is_empty() => return None,
            "items" => rules_for(of, &items),
            // Without a key to hold against it as well: that there is one says that keys are free.
            "additionalProperties" if of.is_object() => {
                let is_known = |name: &String| known.is_some_and(|known| known.contains_key(name));
                let others = objects.iter().copied().flatten().filter(|(name, _)| !is_known(name));
                rules_for(of, &others.map(|(_, value)| value).collect::<Vec<_>>())
            }
            _ => of.clone(),
        };
        Some((key.clone(), part))
    };
    Json::Object(schema.iter().filter_map(part).collect())
}

/// Of the terms that a rule joins by "or", those that only say that a field is there (`true`), or is not. If one of them is so, the
/// rule holds, whatever the others say: in CEL an "or" with a true term is true, even beside one that fails.
fn presences(rule: &str) -> Vec<(&str, bool)> {
    // Comments, quotes of three and quotes within quotes, and what binds less than "or": not worth a parser.
    if ["//", "\"\"\"", "'''", "\\", "?"].iter().any(|text| rule.contains(text)) {
        return Vec::new();
    }
    let (mut depth, mut quote) = (0_i32, None);
    let or = |letter| {
        match (letter, quote) {
            ('\'' | '"', None) => quote = Some(letter),
            (_, Some(open)) if open == letter => quote = None,
            ('(' | '[' | '{', None) => depth += 1,
            (')' | ']' | '}', None) => depth -= 1,
            ('|', None) => return depth == 0,
            _ => {}
        }
        false
    };
    rule.split(or).map(str::trim).filter_map(presence).collect()
}

/// The name of a field, if a term only says that it is there, or is not.
fn presence(term: &str) -> Option<(&str, bool)> {
    let (there, has) = term.strip_prefix('!').map_or((true, term), |has| (false, has));
    let field = has.strip_prefix("has(self.")?.strip_suffix(')')?;
    field.chars().all(char::is_alphanumeric).then_some((field, there))
}

/// Whether one of these is so. Of a field that is null both are left to the rule.
fn one_holds(presences: &[(&str, bool)], object: &Map<String, Json>) -> bool {
    presences.iter().any(|(field, there)| object.get(*field).map_or(!there, |value| *there && !value.is_null()))
}

/// The line of a path, or of the nearest field around it; 0 when unknown.
pub(crate) fn line_of(lines: &Lines, path: &str) -> usize {
    let mut path = path;
    loop {
        if let Some(line) = lines.get(path) {
            return *line;
        }
        match path.rfind(['.', '[']) {
            Some(end) => path = path.get(..end).unwrap_or_default(),
            None => return lines.get("").copied().unwrap_or(0),
        }
    }
}

fn join(root: &str, field: &str) -> String {
    if root.is_empty() { field.to_owned() } else { format!("{root}.{field}") }
}

fn json_at<'a>(json: &'a Json, path: &str) -> Option<&'a Json> {
    let pointer = path.replace(['.', '['], "/").replace(']', "");
    json.pointer(&format!("/{pointer}"))
}

struct Walk {
    problems: Vec<Problem>,
    lines: Lines,
    /// Where unknown fields go; without it they are problems.
    unknown: Option<Vec<String>>,
}

impl Walk {
    fn problem(&mut self, path: &str, line: usize, message: String) {
        self.problems.push(Problem { path: path.to_owned(), line, message });
    }

    /// The value as JSON with defaults; `None` for nothing at all, which is as if the field were absent.
    fn value(&mut self, schema: &Json, yaml: &Yaml, path: &str) -> Option<Json> {
        self.lines.entry(path.to_owned()).or_insert(yaml.line);
        if matches!(yaml.value, Value::Null) {
            return None;
        }
        if schema.get("x-kubernetes-preserve-unknown-fields").is_some() && schema.get("properties").is_none() {
            if !matches!(yaml.value, Value::Map(_)) {
                self.problem(path, yaml.line, format!("{} must be a mapping, got {}", last(path), yaml.describe()));
            }
            return Some(raw(yaml));
        }
        match (schema.get("type").and_then(Json::as_str), &yaml.value) {
            (Some("object"), Value::Text(_)) if schema.get(SHORT_FOR).is_some() => {
                let key = schema.get(SHORT_FOR).and_then(Json::as_str).unwrap_or_default();
                let key = Key { line: yaml.line, name: key.to_owned() };
                Some(self.map(schema, yaml.line, &[(key, yaml.clone())], path))
            }
            (Some("object"), Value::Map(entries)) => Some(self.map(schema, yaml.line, entries, path)),
            (Some("array"), Value::Seq(items)) => Some(self.list(schema, yaml.line, items, path)),
            (Some("string"), Value::Text(text)) => {
                self.text(schema, yaml.line, text, path);
                Some(Json::from(text.as_str()))
            }
            (Some("integer"), Value::Int(number)) => self.number(schema, yaml.line, *number, path),
            (Some("boolean"), Value::Bool(value)) => Some(Json::from(*value)),
            (wanted, got) => {
                let (wanted, remedy) = match (wanted, got) {
                    (Some("object"), _) => ("a mapping", ""),
                    (Some("array"), _) => ("a list", ""),
                    (Some("string"), Value::Int(_) | Value::Float(_) | Value::Bool(_)) => {
                        ("text", ": put it in quotes")
                    }
                    (Some("string"), _) => ("text", ""),
                    (Some("integer"), Value::Text(text)) if text.parse::<i128>().is_ok() => {
                        ("a whole number", ": remove the quotes")
                    }
                    (Some("integer"), _) => ("a whole number", ""),
                    (Some("boolean"), _) => ("true or false", ""),
                    (Some(_) | None, _) => ("something else", ""),
                };
                let got = match last(path) {
                    // Keys do not go into logs, not even wrong ones.
                    "password" => "something else".into(),
                    _ => yaml.describe(),
                };
                let message = format!("{} must be {wanted}, got {got}{remedy}", last(path));
                self.problem(path, yaml.line, message);
                None
            }
        }
    }

    fn map(&mut self, schema: &Json, line: usize, entries: &[(Key, Yaml)], path: &str) -> Json {
        let mut object = Map::new();
        let Some(properties) = schema.get("properties").and_then(Json::as_object) else {
            // A map of free keys, such as labels.
            let items = schema.get("additionalProperties").cloned().unwrap_or_default();
            for (key, value) in entries {
                if let Some(json) = self.value(&items, value, &join(path, &key.name)) {
                    object.insert(key.name.clone(), json);
                }
            }
            return Json::Object(object);
        };
        for (key, value) in entries {
            let name = current_spelling(&key.name, properties);
            let field = join(path, name);
            let Some(schema) = properties.get(name) else {
                if let Some(unknown) = &mut self.unknown {
                    unknown.push(field);
                    continue;
                }
                let message = unknown_field(name, properties.keys().map(String::as_str));
                self.problem(&field, key.line, message);
                continue;
            };
            self.lines.insert(field.clone(), key.line);
            if let Some(json) = self.value(schema, value, &field)
                && object.insert(name.to_owned(), json).is_some()
            {
                self.problem(&field, key.line, format!("{name} is given twice, once spelled \"{}\"", key.name));
            }
        }
        for (name, schema) in properties {
            if !object.contains_key(name)
                && let Some(default) = schema.get("default")
                && !default.is_null()
            {
                object.insert(name.clone(), default.clone());
            }
        }
        let broken: Vec<_> = self.problems.iter().map(|problem| problem.path.clone()).collect();
        for name in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
            let field = join(path, name);
            // A value of the wrong type is reported once.
            if !object.contains_key(name) && !broken.contains(&field) {
                self.problem(&field, line, format!("{name} is required but missing: add it"));
            }
        }
        Json::Object(object)
    }

    fn list(&mut self, schema: &Json, line: usize, items: &[Yaml], path: &str) -> Json {
        let bound = |name: &str| schema.get(name).and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
        if bound("minItems").is_some_and(|least| items.len() < least) {
            let least = bound("minItems").unwrap_or_default();
            self.problem(path, line, format!("{} should have at least {least} items", last(path)));
        }
        if bound("maxItems").is_some_and(|most| items.len() > most) {
            let most = bound("maxItems").unwrap_or_default();
            self.problem(path, line, format!("{} must have at most {most} items, has {}", last(path), items.len()));
        }
        let nothing = Json::Null;
        let item_schema = schema.get("items").unwrap_or(&nothing);
        let mut list: Vec<Json> = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let field = format!("{path}[{index}]");
            let Some(json) = self.value(item_schema, item, &field) else {
                if matches!(item.value, Value::Null) {
                    self.problem(&field, item.line, "is empty: remove it or fill it in".into());
                }
                continue;
            };
            if let Some(keys) = schema.get("x-kubernetes-list-map-keys").and_then(Json::as_array) {
                let same =
                    |other: &Json| keys.iter().filter_map(Json::as_str).all(|key| other.get(key) == json.get(key));
                if list.iter().any(same) {
                    self.problem(&field, item.line, format!("Duplicate value: {} lists it twice", last(path)));
                }
            }
            list.push(json);
        }
        Json::Array(list)
    }

    fn text(&mut self, schema: &Json, line: usize, text: &str, path: &str) {
        if let Some(allowed) = schema.get("enum").and_then(Json::as_array)
            && !allowed.iter().any(|value| value.as_str() == Some(text))
        {
            let quoted: Vec<_> = allowed.iter().filter_map(Json::as_str).map(|value| format!("\"{value}\"")).collect();
            let message = format!("Unsupported value: \"{text}\": supported values: {}", quoted.join(", "));
            self.problem(path, line, message);
        }
        if schema.get("pattern").is_some() {
            return;
        }
        let length = text.chars().count() as u64;
        let bound = |name: &str| schema.get(name).and_then(Json::as_u64);
        if bound("minLength").is_some_and(|least| length < least) {
            let least = bound("minLength").unwrap_or_default();
            self.problem(path, line, format!("{} should be at least {least} chars long, got \"{text}\"", last(path)));
        }
        if bound("maxLength").is_some_and(|most| length > most) {
            let most = bound("maxLength").unwrap_or_default();
            let message = format!("Too long: {} may not be more than {most} characters, got \"{text}\"", last(path));
            self.problem(path, line, message);
        }
    }

    fn number(&mut self, schema: &Json, line: usize, number: i128, path: &str) -> Option<Json> {
        // Schemas of Rust integers may carry their bounds as floating point numbers, exact for all we use.
        let bound = |name: &str| {
            schema.get(name).and_then(|n| n.as_i64().map(i128::from).or_else(|| n.as_f64().map(|n| n as i128)))
        };
        let range = (bound("minimum"), bound("maximum"));
        let message = match range {
            (Some(least), _) if number < least => {
                Some(format!("{} should be greater than or equal to {least}, got {number}", last(path)))
            }
            (_, Some(most)) if number > most => {
                Some(format!("{} should be less than or equal to {most}, got {number}", last(path)))
            }
            (_, _) if i64::try_from(number).is_err() => Some(format!("{} is out of range: {number}", last(path))),
            (_, _) => None,
        };
        if let Some(message) = message {
            self.problem(path, line, message);
        }
        i64::try_from(number).ok().map(Json::from)
    }
}

/// The last name of a path, for sentences.
fn last(path: &str) -> &str {
    let name = path.rsplit('.').next().unwrap_or(path);
    if name.is_empty() { "the document" } else { name }
}

/// Fields that older documents spell in lower case.
fn current_spelling<'a>(name: &'a str, properties: &Map<String, Json>) -> &'a str {
    let known = |current: &'static str| {
        if properties.contains_key(current) { current } else { name }
    };
    match name {
        "localcidr" => known("localCIDR"),
        "hostasn" => known("hostASN"),
        other => other,
    }
}

fn raw(yaml: &Yaml) -> Json {
    match &yaml.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::from(*value),
        Value::Int(value) => i64::try_from(*value).map_or_else(|_| Json::from(value.to_string()), Json::from),
        Value::Float(value) => Json::from(*value),
        Value::Text(text) => Json::from(text.as_str()),
        Value::Seq(items) => Json::Array(items.iter().map(raw).collect()),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|(key, value)| (key.name.clone(), raw(value))).collect())
        }
    }
}

/// A sentence about a name that is not among those known, with the nearest one if there is a near one.
pub(crate) fn unknown_field<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let near = known
        .clone()
        .map(|candidate| (distance(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.len().min(name.len()) / 3))
        .min();
    match near {
        Some((_, candidate)) => format!("unknown field \"{name}\": did you mean \"{candidate}\"?"),
        None => {
            let names: Vec<_> = known.collect();
            format!("unknown field \"{name}\": remove it; known here are {}", names.join(", "))
        }
    }
}

/// How many characters must be inserted, removed or replaced to make `b` of `a` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = row[j] + usize::from(x != *y);
            next.push(replaced.min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// The schema of a type with everything that was written beside its fields, for readers.
pub(crate) fn annotated_schema<T: JsonSchema>() -> Json {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    serde_json::to_value(settings.into_generator().into_root_schema_for::<T>()).unwrap_or_default()
}

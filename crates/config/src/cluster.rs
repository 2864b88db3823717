//! Objects as an API server gives them.
//!
//! The API server has held them against the definitions that are installed there, which may be older or newer than this
//! program. So each is held against ours once more, with the same schema and rules as a file: a field that we do not
//! know becomes a remark, anything else that is wrong a verdict of this object alone.
//!
//! `passwordSecret` names a Secret beside this program; whoever asks has read it. A key that is missing concerns its
//! own session only.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::files::{Object, Objects, one_sentence};
use crate::schema::kept::{PASSTHROUGH, UNDERLAY};
use crate::schema::{self, Problem};
use crate::secret::Secrets;
use crate::types::LabelSelector;
use crate::validate;
use crate::verdict::{ObjectRef, Outcome, Source, Verdict};
use crate::yaml::Yaml;

/// The field of a session that names a Secret.
const FIELD: &str = "passwordSecret";

/// The kinds that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Underlay.
    Underlay,
    /// L3Passthrough.
    L3Passthrough,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Underlay, Self::L3Passthrough];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Underlay => "Underlay",
            Self::L3Passthrough => "L3Passthrough",
        }
    }
}

/// An object of an API server.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Counts the changes of its specification.
    pub generation: i64,
    /// Its specification.
    pub spec: &'a Json,
}

impl Stored<'_> {
    fn reference(&self) -> ObjectRef {
        let source = Source::Cluster { namespace: self.namespace.to_owned(), generation: self.generation };
        ObjectRef { kind: self.kind.name().to_owned(), name: self.name.to_owned(), source }
    }
}

/// The nodes that a specification is for. `Ok(None)` is every node; an error means that nobody can tell.
///
/// # Errors
/// A sentence.
pub fn node_selector(spec: &Json) -> Result<Option<LabelSelector>, String> {
    match spec.get("nodeSelector") {
        None | Some(Json::Null) => Ok(None),
        Some(selector) => LabelSelector::deserialize(selector).map(Some).map_err(|error| error.to_string()),
    }
}

/// The Secrets that a specification names.
pub fn secret_names(spec: &Json) -> BTreeSet<String> {
    let neighbors = spec.get("neighbors").and_then(Json::as_array).into_iter().flatten();
    let sessions = neighbors.chain(spec.get("hostSession"));
    sessions.filter_map(|session| session.get(FIELD)?.as_str()).map(str::to_owned).collect()
}

/// Adds an object to `objects`, or its verdict to `verdicts`. `secret` gives the key in the Secret of a name, or says why
/// there is none.
pub fn add(
    stored: &Stored<'_>,
    secret: &dyn Fn(&str) -> Result<String, String>,
    objects: &mut Objects,
    verdicts: &mut Vec<Verdict>,
) {
    let refused = match stored.kind {
        Kind::Underlay => read(stored, &UNDERLAY, secret).map(|object| objects.underlays.push(object)),
        Kind::L3Passthrough => read(stored, &PASSTHROUGH, secret).map(|object| objects.passthroughs.push(object)),
    };
    if let Err(problems) = refused {
        if stored.kind == Kind::Underlay {
            objects.unreadable_underlays.push(stored.name.to_owned());
        }
        let (_, field, message) = one_sentence(problems);
        let outcome = Outcome::Rejected { reason: "ValidationFailed", field: Some(field), message };
        verdicts.push(Verdict { object: stored.reference(), outcome });
    }
}

fn read<T: DeserializeOwned>(
    stored: &Stored<'_>,
    schema: &Json,
    secret: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Object<T>, Vec<Problem>> {
    let whole = |message: String| vec![Problem { path: "spec".into(), line: 0, message }];
    if stored.spec.is_null() {
        return Err(whole("spec is required".into()));
    }
    let mut checked = schema::check_stored(schema, &Yaml::from(stored.spec), "spec")?;
    let mut secrets = Secrets::default();
    let neighbors = checked.json.get_mut("neighbors").and_then(Json::as_array_mut);
    for (index, neighbor) in neighbors.into_iter().flatten().enumerate() {
        key(neighbor, &format!("spec.neighbors[{index}]"), secret, &mut secrets);
    }
    if let Some(session) = checked.json.get_mut("hostSession") {
        key(session, "spec.hostSession", secret, &mut secrets);
    }
    let spec = serde_json::from_value(checked.json).map_err(|error| whole(error.to_string()))?;
    let unknown = checked.unknown.iter();
    let warnings = unknown.map(|path| format!("{path}: this version does not know the field: it has no effect"));
    Ok(Object {
        reference: stored.reference(),
        spec,
        warnings: warnings.collect(),
        lines: schema::Lines::new(),
        secrets,
    })
}

/// Puts the key of the Secret that a session names into its place. A key that is written outright comes first.
fn key(session: &mut Json, path: &str, secret: &dyn Fn(&str) -> Result<String, String>, secrets: &mut Secrets) {
    let Some(fields) = session.as_object_mut() else { return };
    if fields.contains_key("password") {
        return;
    }
    let Some(name) = fields.get(FIELD).and_then(Json::as_str).map(str::to_owned) else { return };
    let key = secret(&name).and_then(|key| {
        let unusable = |why| format!("the key in the Secret \"{name}\" cannot be used: {why}");
        validate::password(&key).map_err(unusable).map(|()| key)
    });
    match key {
        Ok(key) => {
            fields.insert("password".into(), Json::from(key));
            fields.remove(FIELD);
        }
        Err(why) => drop(secrets.unreadable.insert(path.to_owned(), why)),
    }
}

#[cfg(test)]
mod tests;

//! Session keys that lie in files of their own.
//!
//! `passwordFile` belongs to files, as `passwordSecret` does to a cluster. It is read when the object is read and
//! becomes `password`. A relative path is relative to the directory of the file that names it. A key that cannot be
//! used concerns its own session only, so it is reported beside the object, not as an error of the object.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::{text, validate};

/// The name of the field.
const FIELD: &str = "passwordFile";

/// The keys of an object that lie in files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// The files, readable or not.
    pub files: Vec<PathBuf>,
    /// Why a key could not be read, by the path of the session that it is for (`spec.neighbors[0]`).
    pub unreadable: BTreeMap<String, String>,
}

/// Lets the schema of a session accept `passwordFile`.
pub(crate) fn allow(session: &mut Json) {
    if let Some(properties) = session.get_mut("properties").and_then(Json::as_object_mut) {
        let description = "File that holds the TCP-MD5 key; a relative path is relative to the directory of this file. \
                           The key is read again when the file changes. In a cluster: `passwordSecret`.";
        let schema = json!({ "type": "string", "minLength": 1, "description": description, "x-perouter-ours": true });
        properties.insert(FIELD.into(), schema);
    }
}

impl Secrets {
    /// Replaces `passwordFile` of the session at `path`, which stands in `file`, by `password`. `Err` is a sentence.
    pub(crate) fn read(&mut self, session: &mut Json, path: &str, file: &Path) -> Result<(), String> {
        let Some(object) = session.as_object_mut() else {
            return Ok(());
        };
        let Some(Json::String(name)) = object.remove(FIELD) else {
            return Ok(());
        };
        if object.contains_key("password") {
            return Err("password and passwordFile cannot be set together: remove one".into());
        }
        let secret = file.parent().unwrap_or(Path::new("")).join(&name);
        match key(&secret) {
            Ok(key) => drop(object.insert("password".into(), Json::from(key))),
            Err(why) => drop(self.unreadable.insert(path.to_owned(), why)),
        }
        self.files.push(secret);
        Ok(())
    }
}

fn key(path: &Path) -> Result<String, String> {
    let text = text::read(path).map_err(|error| format!("cannot read the key from {}: {error}", path.display()))?;
    // Editors and `echo` end a file with a newline that is not part of the key.
    let key = text.trim_end_matches(['\n', '\r']);
    if key.is_empty() {
        return Err(format!("{} is empty: put the key into it", path.display()));
    }
    validate::password(key).map_err(|why| format!("the key in {} cannot be used: {why}", path.display()))?;
    Ok(key.to_owned())
}

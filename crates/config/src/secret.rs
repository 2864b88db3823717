//! Session keys that lie in files of their own.
//!
//! `passwordFile` belongs to files, as `passwordSecret` does to a cluster. It is read once when the object is read
//! and becomes `password`. A relative path is relative to the directory of the file that names it.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::text;

/// Lets the schema of a neighbour accept `passwordFile`.
pub(crate) fn allow(neighbor_schema: &mut Json) {
    if let Some(properties) = neighbor_schema.get_mut("properties").and_then(Json::as_object_mut) {
        properties.insert("passwordFile".into(), json!({ "type": "string", "minLength": 1 }));
    }
}

/// Replaces `passwordFile` of a neighbour by `password`. `Err` is a sentence.
pub(crate) fn read(neighbor: &mut Json, file: &Path) -> Result<(), String> {
    let Some(object) = neighbor.as_object_mut() else {
        return Ok(());
    };
    let Some(Json::String(name)) = object.remove("passwordFile") else {
        return Ok(());
    };
    if object.contains_key("password") {
        return Err("password and passwordFile cannot be set together: remove one".into());
    }
    let path = file.parent().unwrap_or(Path::new("")).join(&name);
    let text = text::read(&path).map_err(|error| format!("cannot read the key from {}: {error}", path.display()))?;
    // Editors and `echo` end a file with a newline that is not part of the key.
    let key = text.trim_end_matches(['\n', '\r']);
    if key.is_empty() {
        return Err(format!("{} is empty: put the key into it", path.display()));
    }
    object.insert("password".into(), Json::from(key));
    Ok(())
}

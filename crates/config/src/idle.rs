//! Fields that are accepted though this version does nothing with them: nothing that a user wrote is ignored without
//! a word. Which they are stands beside the fields, in [`crate::types`].

use serde_json::Value as Json;

/// The mark of such a field in a schema; its value is the sentence.
pub(crate) const MARK: &str = "x-perouter-idle";

/// A remark for each such field that is set in `value`, whose schema is `schema` and whose path is `path`.
pub(crate) fn remarks(schema: &Json, value: &Json, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    walk(schema, value, path, &mut found);
    found
}

fn walk(schema: &Json, value: &Json, path: &str, found: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    if let Some(sentence) = schema.get(MARK).and_then(Json::as_str) {
        found.push(format!("{path}: {sentence}"));
        return;
    }
    if let Some(items) = value.as_array() {
        let schema = schema.get("items").unwrap_or(&Json::Null);
        for (index, item) in items.iter().enumerate() {
            walk(schema, item, &format!("{path}[{index}]"), found);
        }
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        if let Some(schema) = schema.get("properties").and_then(|properties| properties.get(name)) {
            let dot = if path.is_empty() { "" } else { "." };
            walk(schema, field, &format!("{path}{dot}{name}"), found);
        }
    }
}

//! What must not leave the node, and its removal.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// What stands in place of a secret.
const REMOVED: &str = "(removed)";
/// Shorter values are no secrets, and would be found everywhere.
const SHORTEST: usize = 4;

/// The secrets that files name or hold.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// A YAML file without its secrets, which are remembered. Written from its parsed form: comments are gone, and what cannot
    /// be parsed is not shown.
    pub(super) fn without(&mut self, file: &Path, text: &str) -> String {
        let documents = match serde_saphyr::from_multiple::<Value>(text) {
            Ok(documents) => documents,
            Err(_) => return format!("# {}: not YAML, and therefore left out\n", file.display()),
        };
        let mut shown = format!("# {}\n", file.display());
        for mut document in documents {
            self.take(&mut document, file);
            shown.push_str("---\n");
            shown.push_str(&serde_saphyr::to_string(&document).unwrap_or_else(|error| format!("# {error}\n")));
        }
        shown
    }

    /// Remembers and removes what a document holds.
    fn take(&mut self, value: &mut Value, file: &Path) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let lower = name.to_lowercase();
                    let secret = ["password", "token", "secret", "key"].iter().any(|word| lower.contains(word));
                    match field {
                        Value::String(path) if secret && lower.ends_with("file") => self.read(path, file),
                        // The name of a Secret is none, but what a Secret object holds is.
                        Value::String(text) if secret && !lower.ends_with("secret") => {
                            self.remember(text);
                            REMOVED.clone_into(text);
                        }
                        Value::Object(data) if lower == "data" || lower == "stringdata" => {
                            for text in data.values_mut() {
                                self.remember(text.as_str().unwrap_or_default());
                                *text = REMOVED.into();
                            }
                        }
                        Value::Object(_)
                        | Value::Array(_)
                        | Value::String(_)
                        | Value::Null
                        | Value::Bool(_)
                        | Value::Number(_) => self.take(field, file),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.take(item, file)),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A file of a secret is not in the archive, but its text may be elsewhere.
    fn read(&mut self, path: &str, beside: &Path) {
        let path = beside.parent().map_or_else(|| path.into(), |folder| folder.join(path));
        if let Ok(text) = fs::read_to_string(path) {
            self.remember(text.trim());
        }
    }

    fn remember(&mut self, secret: &str) {
        if secret.len() >= SHORTEST && !self.0.iter().any(|known| known == secret) {
            self.0.push(secret.to_owned());
        }
    }

    /// A text without any of them.
    pub(super) fn strip(&self, text: &str) -> String {
        // The longest first: one may be part of another.
        let mut secrets: Vec<&String> = self.0.iter().collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), REMOVED))
    }
}

//! `perouter crds`: the custom resource definitions, to be piped into `kubectl apply -f -`.

use serde_json::json;

use super::Out;
use crate::cli::{Format, Notation, Shape};
use crate::exit::{Exit, Failure};

/// Prints them: YAML documents, or with `-o json` one list.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn run(out: &mut Out<'_>, format: Format) -> Result<Exit, Failure> {
    let definitions = config::crds::definitions();
    match format.shape() {
        Shape::Value(Notation::Json) => {
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": definitions });
            out.line(&format!("{list:#}"))?;
        }
        Shape::Text { .. } | Shape::Value(Notation::Yaml) => {
            for definition in definitions {
                // Sorted keys: what is generated into a repository changes only where the types do.
                let sorted = serde_json::to_value(definition).map_err(|error| Failure::Usage(error.to_string()))?;
                let text = serde_saphyr::to_string(&sorted).map_err(|error| Failure::Usage(error.to_string()))?;
                out.line("---")?;
                out.line(text.trim_end())?;
            }
        }
    }
    Ok(Exit::Fine)
}

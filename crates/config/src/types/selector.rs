//! Kubernetes label selectors.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which nodes an object is for. Every part must match; an empty selector matches every node.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that a node must have, with exactly these values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Requirements that a node's labels must meet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_expressions: Option<Vec<Requirement>>,
}

/// One requirement on one label.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// Values for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
}

/// A selector operator that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a valid label selector operator")]
pub struct BadOperator(pub String);

impl LabelSelector {
    /// Whether it selects something with these labels.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> Result<bool, BadOperator> {
        let mut all = self.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
        for requirement in self.match_expressions.iter().flatten() {
            all &= requirement.met(labels)?;
        }
        Ok(all)
    }
}

impl Requirement {
    fn met(&self, labels: &BTreeMap<String, String>) -> Result<bool, BadOperator> {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.iter().flatten().any(|wanted| wanted == value));
        match self.operator.as_str() {
            "In" => Ok(listed),
            // A node without the label meets NotIn, as everywhere in Kubernetes.
            "NotIn" => Ok(!listed),
            "Exists" => Ok(value.is_some()),
            "DoesNotExist" => Ok(value.is_none()),
            other => Err(BadOperator(other.to_owned())),
        }
    }
}

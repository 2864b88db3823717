//! What the API server asks and is answered: `AdmissionReview` of `admission.k8s.io/v1`. Pure.

use config::cluster::Kind;
use config::compile::admission::Answer;
use serde::Deserialize;
use serde_json::{Value as Json, json};

/// Longest warning that an API server passes on without cutting others off.
const LONGEST: usize = 256;
/// The label of objects that mirror a file of a node, and its value.
const SOURCE: (&str, &str) = ("openperouter.github.io/source", "static");

#[derive(Deserialize)]
struct Review {
    request: Option<Asked>,
}

/// A question.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    uid: String,
    kind: AskedKind,
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    operation: String,
    #[serde(default)]
    object: Json,
    #[serde(default)]
    old_object: Json,
}

#[derive(Debug, Deserialize)]
struct AskedKind {
    kind: String,
}

/// An object that is to be judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Question<'a> {
    pub(super) kind: Kind,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) generation: i64,
    pub(super) spec: &'a Json,
    pub(super) before: Option<&'a Json>,
    pub(super) mirrored: bool,
}

impl Asked {
    /// Reads a question.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let review: Review =
            serde_json::from_slice(body).map_err(|error| format!("not an AdmissionReview: {error}"))?;
        review.request.ok_or_else(|| "an AdmissionReview without a request".to_owned())
    }

    /// For the log.
    pub(super) fn title(&self) -> String {
        format!("{} {}/{}", self.kind.kind, self.namespace, self.name)
    }

    /// What there is to judge; nothing when the specification stays as it is, or goes.
    pub(super) fn question(&self) -> Option<Question<'_>> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == self.kind.kind)?;
        let before = match self.operation.as_str() {
            "CREATE" => None,
            "UPDATE" => Some(&self.old_object["spec"]),
            _ => return None,
        };
        let spec = &self.object["spec"];
        if before == Some(spec) {
            return None;
        }
        let generated = || self.object.pointer("/metadata/generateName").and_then(Json::as_str).unwrap_or_default();
        Some(Question {
            kind,
            namespace: &self.namespace,
            name: if self.name.is_empty() { generated() } else { &self.name },
            generation: self.object.pointer("/metadata/generation").and_then(Json::as_i64).unwrap_or_default(),
            spec,
            before,
            mirrored: self.object["metadata"]["labels"][SOURCE.0] == SOURCE.1,
        })
    }

    /// The answer in the API server's words.
    pub(super) fn answer(&self, answer: &Answer) -> Json {
        let mut response = json!({ "uid": self.uid, "allowed": answer.refusal.is_none() });
        if let Some(refusal) = &answer.refusal {
            let field = refusal.field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
            let message = format!("validation failed: {field}{}", refusal.message);
            response["status"] = json!({ "code": 403, "reason": "Forbidden", "message": message });
        }
        if !answer.remarks.is_empty() {
            response["warnings"] = answer.remarks.iter().map(|remark| shortened(remark)).collect();
        }
        json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response })
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use config::compile::admission::Refused;

    use super::*;

    fn asked(operation: &str, kind: &str, object: Json, old: Json) -> Asked {
        let request = json!({
            "uid": "1", "kind": { "group": "network.openperouter.io", "version": "v1alpha1", "kind": kind },
            "namespace": "ns", "name": "it", "operation": operation, "object": object, "oldObject": old,
        });
        Asked::read(json!({ "request": request }).to_string().as_bytes()).unwrap()
    }

    fn spec(asn: i64) -> Json {
        json!({ "metadata": { "generation": 3 }, "spec": { "asn": asn } })
    }

    #[test]
    fn what_is_new_or_other_than_before_is_a_question() {
        let made = asked("CREATE", "Underlay", spec(1), Json::Null);
        let question = made.question().unwrap();
        assert_eq!((question.kind, question.namespace, question.name), (Kind::Underlay, "ns", "it"));
        assert_eq!((question.generation, question.before, question.mirrored), (3, None, false));
        let changed = asked("UPDATE", "L3Passthrough", spec(2), spec(1));
        assert_eq!(changed.question().unwrap().before, Some(&json!({ "asn": 1 })));
        for nothing in [
            asked("UPDATE", "Underlay", spec(1), spec(1)),
            asked("DELETE", "Underlay", Json::Null, spec(1)),
            asked("CREATE", "L3VNI", spec(1), Json::Null),
        ] {
            assert_eq!(nothing.question(), None, "{nothing:?}");
        }
        let mut mirrored = spec(1);
        mirrored["metadata"]["labels"] = json!({ "openperouter.github.io/source": "static" });
        assert!(asked("CREATE", "Underlay", mirrored, Json::Null).question().unwrap().mirrored);
    }

    #[test]
    fn an_answer_names_the_question_the_reason_and_the_remarks() {
        let asked = asked("CREATE", "Underlay", spec(1), Json::Null);
        let refusal = Some(Refused { field: Some("spec.asn".into()), message: "no".into() });
        let refused = asked.answer(&Answer { refusal, remarks: vec![] });
        assert_eq!(refused["response"]["uid"], "1");
        assert_eq!(refused["response"]["allowed"], false);
        assert_eq!(refused["response"]["status"]["message"], "validation failed: spec.asn: no");
        let allowed = asked.answer(&Answer { refusal: None, remarks: vec!["x".repeat(500)] });
        assert_eq!(allowed["response"]["allowed"], true);
        assert_eq!(allowed["response"]["warnings"][0].as_str().unwrap().chars().count(), LONGEST);
    }

    #[test]
    fn what_is_no_question_is_said() {
        assert!(Asked::read(b"{}").unwrap_err().contains("without a request"));
        assert!(Asked::read(b"nonsense").unwrap_err().contains("not an AdmissionReview"));
    }
}

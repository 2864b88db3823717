//! Which object of a kind is in force, and the verdict of each.

use crate::files::Object;
use crate::node::Node;
use crate::schema::line_of;
use crate::types::LabelSelector;
use crate::verdict::{ObjectRef, Outcome, Source, Verdict};

/// Why an object is not in force.
pub(super) struct Refusal {
    pub(super) reason: &'static str,
    pub(super) field: Option<String>,
    pub(super) message: String,
}

pub(super) fn invalid(field: &str, message: impl Into<String>) -> Refusal {
    Refusal { reason: "ValidationFailed", field: Some(field.into()), message: message.into() }
}

/// The object in force, what was made of it and where its verdict is.
pub(super) struct Chosen<'a, T, P> {
    pub(super) object: &'a Object<T>,
    pub(super) product: P,
    verdict: usize,
}

pub(super) struct Choice<'a, T, P> {
    pub(super) chosen: Option<Chosen<'a, T, P>>,
    pub(super) verdicts: Vec<Verdict>,
}

impl<T, P> Choice<'_, T, P> {
    /// Adds remarks to the verdict of the object in force.
    pub(super) fn remark(&mut self, remarks: impl IntoIterator<Item = String>) {
        let verdict = self.chosen.as_ref().and_then(|chosen| self.verdicts.get_mut(chosen.verdict));
        if let Some(Verdict { outcome: Outcome::Applied { warnings }, .. }) = verdict {
            warnings.extend(remarks);
        }
    }
}

/// Takes the first object that selects the node and that something can be made of.
pub(super) fn choose<'a, T, P>(
    objects: &'a [Object<T>],
    node: &Node,
    kind: &str,
    selector: impl Fn(&T) -> Option<&LabelSelector>,
    mut make: impl FnMut(&'a Object<T>) -> Result<P, Refusal>,
) -> Choice<'a, T, P> {
    let mut chosen: Option<Chosen<'a, T, P>> = None;
    let mut verdicts = Vec::with_capacity(objects.len());
    for object in objects {
        let selected = selector(&object.spec).map_or(Ok(true), |selector| selector.matches(&node.labels));
        let made = match (selected, &chosen) {
            (Err(error), _) => {
                let message = format!("failed to filter {kind}s for node \"{}\": {error}", node.name);
                Err(invalid("spec.nodeSelector", message))
            }
            (Ok(false), _) => Ok(None),
            (Ok(true), Some(first)) => Err(Refusal {
                reason: "ValidationFailed",
                field: None,
                message: format!(
                    "can't have more than one {kind} per node: \"{}\" ({}) is in force; remove one of them or narrow its nodeSelector",
                    first.object.reference.name, first.object.reference.source
                ),
            }),
            (Ok(true), None) => make(object).map(Some),
        };
        let outcome = match made {
            Ok(Some(product)) => {
                chosen = Some(Chosen { object, product, verdict: verdicts.len() });
                Outcome::Applied { warnings: object.warnings.clone() }
            }
            Ok(None) => {
                let remark = format!("its nodeSelector does not select node \"{}\": nothing to do here", node.name);
                Outcome::Applied { warnings: object.warnings.iter().cloned().chain([remark]).collect() }
            }
            Err(Refusal { reason, field, message }) => Outcome::Rejected { reason, field, message },
        };
        verdicts.push(Verdict { object: place(object, &outcome), outcome });
    }
    Choice { chosen, verdicts }
}

/// The object, with the line of the field that its rejection is about.
fn place<T>(object: &Object<T>, outcome: &Outcome) -> ObjectRef {
    let mut reference = object.reference.clone();
    if let Outcome::Rejected { field: Some(field), .. } = outcome
        && !object.lines.is_empty()
        && let Source::File { line, .. } = &mut reference.source
    {
        *line = line_of(&object.lines, field);
    }
    reference
}

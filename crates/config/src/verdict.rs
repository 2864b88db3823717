//! What became of each object.

use std::fmt;
use std::path::PathBuf;

/// Where an object was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A static file.
    File {
        /// Its path.
        path: PathBuf,
        /// Line of the object or of the field in question, from 1; 0 when unknown.
        line: usize,
    },
}

/// An object that somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRef {
    /// "Underlay", "L3Passthrough", .., or "File" when the text could not be read as objects.
    pub kind: String,
    /// Name, generated for static objects as upstream does (`static-<node>-underlay-0`).
    pub name: String,
    /// Where it was written.
    pub source: Source,
}

/// One object's fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which object.
    pub object: ObjectRef,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In force, perhaps with remarks.
    Applied {
        /// Sentences.
        warnings: Vec<String>,
    },
    /// Not in force.
    Rejected {
        /// Upstream's reason word: `ValidationFailed`, `DependencyFailed`.
        reason: &'static str,
        /// Path of the field in question, `spec.neighbors[0].address`.
        field: Option<String>,
        /// One sentence: value, what is wrong with it, what to do.
        message: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.source, self.kind, self.name)
    }
}

/// One line for people.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Applied { warnings } if warnings.is_empty() => {
                write!(f, "{}: applied", self.object)
            }
            Outcome::Applied { warnings } => {
                write!(f, "{}: applied, with remarks: {}", self.object, warnings.join("; "))
            }
            Outcome::Rejected { reason, field: Some(field), message } => {
                write!(f, "{}: rejected ({reason}): {field}: {message}", self.object)
            }
            Outcome::Rejected { reason, field: None, message } => {
                write!(f, "{}: rejected ({reason}): {message}", self.object)
            }
        }
    }
}

impl Verdict {
    /// Whether the object is in force.
    pub fn is_applied(&self) -> bool {
        match self.outcome {
            Outcome::Applied { .. } => true,
            Outcome::Rejected { .. } => false,
        }
    }
}

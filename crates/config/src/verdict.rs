//! What became of each object.

use std::fmt;
use std::path::{Path, PathBuf};

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
    /// The API server of a cluster.
    Cluster {
        /// Its namespace.
        namespace: String,
        /// Counts the changes of its specification; 0 when unknown.
        generation: i64,
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

impl ObjectRef {
    /// Whether both name the same object, whatever has changed in it. Objects of files have no identity beyond their
    /// name, which may be their place in the file.
    pub fn is_same(&self, other: &Self) -> bool {
        let place = match (&self.source, &other.source) {
            (Source::Cluster { namespace, .. }, Source::Cluster { namespace: theirs, .. }) => namespace == theirs,
            (Source::File { .. }, Source::File { .. }) => true,
            (Source::File { .. }, Source::Cluster { .. }) | (Source::Cluster { .. }, Source::File { .. }) => false,
        };
        place && self.kind == other.kind && self.name == other.name
    }

    /// Whether it stands in a file.
    pub fn is_static(&self) -> bool {
        self.source.file().is_some()
    }
}

impl Source {
    /// The file and the line in it, where it is one.
    pub fn file(&self) -> Option<(&Path, usize)> {
        match self {
            Self::File { path, line } => Some((path, *line)),
            Self::Cluster { .. } => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Cluster { namespace, .. } => write!(f, "namespace {namespace}"),
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

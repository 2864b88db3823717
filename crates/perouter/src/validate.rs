//! `perouter validate`: what would become of each object, without a daemon and without touching anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::node::Node;
use config::verdict::{ObjectRef, Outcome, Source, Verdict};

use crate::admin;
use crate::admin::model;
use crate::cli::{CONFIG_DIR, Format, NODE_CONFIG, Shape, ValidateArgs};
use crate::exit::{Exit, Failure};
use crate::views::{Out, verdicts};

/// Reads, compiles and prints; not healthy when something is rejected.
///
/// # Errors
/// [`Failure::Usage`] when a named file cannot be read.
pub(crate) fn run(args: &ValidateArgs, format: Format, out: &mut Out<'_>) -> Result<Exit, Failure> {
    if let Some(dir) = args.config_dir.as_deref().filter(|dir| !dir.is_dir()) {
        return Err(Failure::Usage(format!("--config-dir {}: there is no such directory", dir.display())));
    }
    let (speakers, files) = sorted(args)?;
    let mut remarks = Vec::new();
    let mut found: Vec<Verdict> = speakers.iter().map(|file| speaker(file)).collect();
    if found.is_empty() || !files.is_empty() {
        objects(args, &files, &mut remarks, &mut found);
    }
    let found: Vec<_> = found.iter().map(admin::verdict).collect();
    print(out, format, &remarks, found)
}

fn objects(args: &ValidateArgs, files: &[PathBuf], remarks: &mut Vec<String>, found: &mut Vec<Verdict>) {
    let node = match node(args.node_config.as_deref(), Path::new(NODE_CONFIG)) {
        Ok((node, remark)) => {
            remarks.extend(remark);
            node
        }
        Err(verdict) => {
            found.push(*verdict);
            placeholder()
        }
    };
    let loaded = if files.is_empty() {
        config::files::load(args.config_dir.as_deref().unwrap_or(Path::new(CONFIG_DIR)), &node)
    } else {
        config::files::load_files(files, &node)
    };
    remarks.extend(loaded.none);
    found.extend(loaded.verdicts);
    found.extend(config::compile::compile(&loaded.objects, &node).verdicts);
}

fn print(
    out: &mut Out<'_>,
    format: Format,
    remarks: &[String],
    mut found: Vec<model::Verdict>,
) -> Result<Exit, Failure> {
    found.sort_by(|a, b| (a.outcome, &a.file, a.line).cmp(&(b.outcome, &b.file, b.line)));
    let rejected = found.iter().filter(|verdict| verdict.outcome == model::Outcome::Rejected).count();
    match format.shape() {
        Shape::Value(notation) => out.value(notation, &found)?,
        Shape::Text { .. } => {
            verdicts::print(out, 0, &found)?;
            for remark in remarks {
                out.line(remark)?;
            }
            let objects = if found.len() == 1 { "object" } else { "objects" };
            out.line(&format!("{} {objects}, {rejected} rejected", found.len()))?;
        }
    }
    Ok(Exit::healthy(rejected == 0))
}

/// The node to compile for. On a machine that is no node, a placeholder serves: most mistakes do not depend on it.
fn node(named: Option<&Path>, default: &Path) -> Result<(Node, Option<String>), Box<Verdict>> {
    let path = match named {
        Some(path) => path,
        None if default.exists() => default,
        None => {
            let remark = format!("there is no {}: checked for a node named `node` with index 0", default.display());
            return Ok((placeholder(), Some(remark)));
        }
    };
    config::node::load(path).map(|node| (node, None)).map_err(|error| {
        let source = Source::File { path: path.to_owned(), line: 0 };
        let object = ObjectRef { kind: "NodeConfig".to_owned(), name: String::new(), source };
        let outcome = Outcome::Rejected { reason: "ValidationFailed", field: None, message: error.to_string() };
        Box::new(Verdict { object, outcome })
    })
}

fn placeholder() -> Node {
    Node { name: "node".to_owned(), labels: BTreeMap::new(), index: 0, log_level: None, http: None }
}

/// Files that are there to be read, the speakers' apart from the others.
fn sorted(args: &ValidateArgs) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Failure> {
    let mut speakers = args.speak.clone();
    let mut others = Vec::new();
    for file in args.speak.iter().chain(&args.files) {
        let shown = file.display();
        if file.is_dir() {
            return Err(Failure::Usage(format!("{shown} is a directory; name files, or use --config-dir {shown}")));
        }
        std::fs::File::open(file).map_err(|error| Failure::Usage(format!("{shown}: {error}")))?;
    }
    for file in &args.files {
        if is_speaker(file) { speakers.push(file.clone()) } else { others.push(file.clone()) }
    }
    Ok((speakers, others))
}

/// A speaker's file says who it is at its top, where the others have lists of objects.
fn is_speaker(file: &Path) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let has = |key: &str| text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')));
    has("routerID") || (has("asn") && has("neighbors"))
}

/// A speaker's file as one object.
fn speaker(path: &Path) -> Verdict {
    let source = Source::File { path: path.to_owned(), line: 0 };
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let outcome = match config::speak::load(path) {
        Ok(speak) => Outcome::Applied { warnings: speak.warnings },
        Err(error) => Outcome::Rejected { reason: "ValidationFailed", field: None, message: error.to_string() },
    };
    Verdict { object: ObjectRef { kind: "Speaker".to_owned(), name, source }, outcome }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;

//! `perouter validate`: what would become of each object, without a daemon and without touching anything.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use config::node::Node;
use config::verdict::{ObjectRef, Outcome, Source, Verdict};

use crate::admin;
use crate::admin::model;
use crate::cli::{CONFIG_DIR, Format, NODE_CONFIG, ValidateArgs};
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
    let mut remarks = Vec::new();
    let mut found = Vec::new();
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
    let staged = if args.files.is_empty() { None } else { Some(Staged::new(&args.files)?) };
    let dir = match &staged {
        Some(staged) => &staged.dir,
        None => args.config_dir.as_deref().unwrap_or(Path::new(CONFIG_DIR)),
    };
    let loaded = config::files::load(dir, &node);
    remarks.extend(loaded.none);
    found.extend(loaded.verdicts);
    found.extend(config::compile::compile(&loaded.objects, &node).verdicts);
    if let Some(staged) = &staged {
        found.iter_mut().for_each(|verdict| staged.restore(verdict));
    }
    let found: Vec<_> = found.iter().map(admin::verdict).collect();
    print(out, format, &remarks, found)
}

fn print(
    out: &mut Out<'_>,
    format: Format,
    remarks: &[String],
    mut found: Vec<model::Verdict>,
) -> Result<Exit, Failure> {
    found.sort_by(|a, b| (a.outcome, &a.file, a.line).cmp(&(b.outcome, &b.file, b.line)));
    let rejected = found.iter().filter(|verdict| verdict.outcome == model::Outcome::Rejected).count();
    match format {
        Format::Json => out.json(&found)?,
        Format::Table => {
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
    Node { name: "node".to_owned(), labels: BTreeMap::new(), index: 0, log_level: None }
}

/// Files of any name and place, copied into a directory of their own so that they are read as configuration files
/// are. Removed when dropped.
#[derive(Debug)]
struct Staged {
    dir: PathBuf,
    /// The copy, and what was typed.
    names: Vec<(PathBuf, PathBuf)>,
}

impl Staged {
    fn new(files: &[PathBuf]) -> Result<Self, Failure> {
        let dir = std::env::temp_dir().join(format!("perouter-validate-{}", std::process::id()));
        let failed = |path: &Path, error: &io::Error| Failure::Usage(format!("{}: {error}", path.display()));
        // Not `create_dir_all`: a directory that somebody else prepared under this name must not be used.
        DirBuilder::new().mode(0o700).create(&dir).map_err(|error| failed(&dir, &error))?;
        let mut staged = Self { dir, names: Vec::new() };
        for (index, file) in files.iter().enumerate() {
            if file.is_dir() {
                let file = file.display();
                return Err(Failure::Usage(format!("{file} is a directory; name files, or use --config-dir {file}")));
            }
            // The number keeps the order in which they were typed and tells equal names apart.
            let copy = staged.dir.join(format!("openpe_{index:06}.yaml"));
            fs::copy(file, &copy).map_err(|error| failed(file, &error))?;
            staged.names.push((copy, file.clone()));
        }
        Ok(staged)
    }

    /// Speaks of the files that were typed, not of the copies.
    fn restore(&self, verdict: &mut Verdict) {
        let Source::File { path, .. } = &mut verdict.object.source;
        if let Some((copy, typed)) = self.names.iter().find(|(copy, _)| copy == path) {
            path.clone_from(typed);
            if copy.file_name().is_some_and(|name| *name == *verdict.object.name) {
                verdict.object.name = typed.file_name().unwrap_or_default().to_string_lossy().into_owned();
            }
        }
        let texts: Vec<&mut String> = match &mut verdict.outcome {
            Outcome::Applied { warnings } => warnings.iter_mut().collect(),
            Outcome::Rejected { message, .. } => vec![message],
        };
        for text in texts {
            for (copy, typed) in &self.names {
                let copied_name = copy.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
                *text = text
                    .replace(&*copy.to_string_lossy(), &typed.to_string_lossy())
                    .replace(&*copied_name, &typed.to_string_lossy());
            }
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Only what was made here: nothing else can be in a directory of mode 0700 with our process's name.
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(%error, dir = %self.dir.display(), "copies of the validated files could not be removed");
        }
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;

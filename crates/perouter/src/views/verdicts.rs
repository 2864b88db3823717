//! What became of each object: for `status` and `validate`.

use std::io;

use super::out::{Out, Style, clean};
use crate::admin::model::{Outcome, Verdict};

/// One paragraph per object: file, line, object, outcome; below it field and sentence, or the remarks.
pub(crate) fn print(out: &mut Out<'_>, indent: usize, verdicts: &[Verdict]) -> io::Result<()> {
    let blank = " ".repeat(indent);
    for verdict in verdicts {
        let object =
            if verdict.name.is_empty() { verdict.kind.clone() } else { format!("{} {}", verdict.kind, verdict.name) };
        let (style, word) = match verdict.outcome {
            Outcome::Rejected => (Style::Bad, "rejected"),
            Outcome::Applied => (Style::Good, "applied"),
        };
        let word = if out.colour() { style.paint(word) } else { word.to_owned() };
        let reason = verdict.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        out.line(&format!("{blank}{}{}: {word}{}", place(verdict), clean(&object), clean(&reason)))?;
        if let Some(message) = &verdict.message {
            let field = verdict.field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
            out.line(&format!("{blank}  {}{}", clean(&field), clean(message)))?;
        }
        for warning in &verdict.warnings {
            out.styled(Style::Warn, &format!("{blank}  warning: {}", clean(warning)))?;
        }
    }
    Ok(())
}

/// `file:line: `, as editors and compilers write it.
fn place(verdict: &Verdict) -> String {
    match (&verdict.file, verdict.line) {
        (Some(file), Some(line)) => format!("{}:{line}: ", clean(file)),
        (Some(file), None) => format!("{}: ", clean(file)),
        (None, _) => String::new(),
    }
}

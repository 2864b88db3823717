//! The only writer of standard output.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;

use crate::cli::Notation;

/// Emphasis. Colour only: the text says the same without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    /// None.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// Worth a look.
    Warn,
}

impl Style {
    /// `text` between escape sequences.
    pub(super) fn paint(self, text: &str) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Good => 32,
            Self::Bad => 31,
            Self::Warn => 33,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Where an answer goes.
pub(crate) struct Out<'a> {
    writer: Box<dyn Write + 'a>,
    colour: bool,
}

impl fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out").field("colour", &self.colour).finish_non_exhaustive()
    }
}

impl<'a> Out<'a> {
    /// Standard output, coloured on a terminal unless NO_COLOR is set (no-color.org: to anything but nothing).
    pub(crate) fn stdout() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let stdout = io::stdout();
        let colour = stdout.is_terminal() && !no_color;
        Self { writer: Box::new(BufWriter::new(stdout)), colour }
    }

    /// Another writer with the same colours.
    pub(super) fn like(other: &Out<'_>, writer: impl Write + 'a) -> Self {
        Self { writer: Box::new(writer), colour: other.colour }
    }

    /// A writer without colours.
    #[cfg(test)]
    pub(crate) fn plain(writer: impl Write + 'a) -> Self {
        Self { writer: Box::new(writer), colour: false }
    }

    /// A writer with colours.
    #[cfg(test)]
    pub(crate) fn coloured(writer: impl Write + 'a) -> Self {
        Self { writer: Box::new(writer), colour: true }
    }

    /// Whether emphasis is shown.
    pub(super) fn colour(&self) -> bool {
        self.colour
    }

    /// One line. What comes from outside has gone through [`clean`].
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.writer, "{text}")
    }

    /// Something that is not ours to lay out.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    /// One line in a style.
    pub(super) fn styled(&mut self, style: Style, text: &str) -> io::Result<()> {
        if self.colour { self.line(&style.paint(text)) } else { self.line(text) }
    }

    /// A value by itself.
    pub(crate) fn value(&mut self, notation: Notation, value: &impl Serialize) -> io::Result<()> {
        match notation {
            Notation::Json => {
                serde_json::to_writer_pretty(&mut self.writer, value)?;
                self.line("")
            }
            Notation::Yaml => self.yaml(value),
        }
    }

    fn yaml(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_saphyr::to_string(value).map_err(io::Error::other)?;
        self.line(text.trim_end())
    }

    /// One of several values that are written as they come: JSON in a line of its own, or a YAML document.
    pub(super) fn next_value(&mut self, notation: Notation, value: &impl Serialize) -> io::Result<()> {
        match notation {
            Notation::Json => {
                self.json_item("", value)?;
                self.line("")
            }
            Notation::Yaml => {
                self.line("---")?;
                self.yaml(value)
            }
        }
    }

    /// One item of a list, as YAML.
    pub(super) fn yaml_item(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.yaml(&[value])
    }

    /// A value as JSON in one line, after `before`.
    pub(super) fn json_item(&mut self, before: &str, value: &impl Serialize) -> io::Result<()> {
        write!(self.writer, "{before}")?;
        Ok(serde_json::to_writer(&mut self.writer, value)?)
    }

    /// Hands over what is buffered.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// `text` without control characters: names, errors and a peer's shutdown message (RFC 9003) come from outside and
/// must not steer a terminal or break a line.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let visible = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    Cow::Owned(text.chars().map(visible).collect())
}

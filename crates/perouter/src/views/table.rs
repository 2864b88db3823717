//! Aligned columns without borders. Widths only grow, so that a table can be printed in parts as its rows arrive.

use std::io;

use super::out::{Out, Style, clean};

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    title: &'static str,
    right: bool,
}

/// A column of words.
pub(super) const fn text(title: &'static str) -> Column {
    Column { title, right: false }
}

/// A column of numbers.
pub(super) const fn number(title: &'static str) -> Column {
    Column { title, right: true }
}

/// A field of a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// With emphasis.
    pub(super) fn styled(style: Style, text: impl AsRef<str>) -> Self {
        Self { text: clean(text.as_ref()).into_owned(), style }
    }

    /// The text, with escape sequences where `colour` allows them.
    pub(super) fn render(&self, colour: bool) -> String {
        if colour { self.style.paint(&self.text) } else { self.text.clone() }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(Style::Plain, text)
    }
}

/// A table.
#[derive(Clone, Debug)]
pub(super) struct Table<const N: usize> {
    columns: [Column; N],
    widths: [usize; N],
    indent: usize,
    rows: Vec<[Cell; N]>,
    header_is_out: bool,
}

impl<const N: usize> Table<N> {
    /// Without rows.
    pub(super) fn new(indent: usize, columns: [Column; N]) -> Self {
        Self {
            columns,
            widths: columns.map(|column| column.title.chars().count()),
            indent,
            rows: Vec::new(),
            header_is_out: false,
        }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [Cell; N]) {
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.width());
        }
        self.rows.push(cells);
    }

    /// Prints the rows that were added since the last time, the first time under a header.
    pub(super) fn print(&mut self, out: &mut Out<'_>) -> io::Result<()> {
        if !self.header_is_out {
            self.header_is_out = true;
            let titles = self.columns.map(|column| Cell::from(column.title));
            out.line(&self.format(&titles, false))?;
        }
        for row in std::mem::take(&mut self.rows) {
            out.line(&self.format(&row, out.colour()))?;
        }
        Ok(())
    }

    fn format(&self, cells: &[Cell; N], colour: bool) -> String {
        let mut line = " ".repeat(self.indent);
        // Padding is owed until something follows it, so that no line ends in blanks.
        let mut owed = 0;
        for (index, cell) in cells.iter().enumerate() {
            let padding = self.widths[index] - cell.width();
            if self.columns[index].right {
                owed += padding;
            }
            if !cell.text.is_empty() {
                line.push_str(&" ".repeat(owed));
                owed = 0;
                line.push_str(&cell.render(colour));
            }
            if !self.columns[index].right {
                owed += padding;
            }
            owed += 2;
        }
        line.truncate(line.trim_end().len());
        line
    }
}

//! `perouter events`: what happened, and with `-f` what happens.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::out::{Out, Style};
use super::table::{Cell, Table, text};
use crate::admin::client::Client;
use crate::admin::model::{Event, EventPage, Level};
use crate::cli::{EventsArgs, Format, Shape};
use crate::exit::{Exit, Failure};

/// Between two looks whether a daemon that went away is back.
const AGAIN: Duration = Duration::from_millis(500);

/// Prints the newest events and, if asked for, those that follow, until interrupted.
///
/// # Errors
/// Those of the client, unless it follows: then a daemon that goes away is waited for.
pub(crate) async fn run(
    state_dir: &Path,
    out: &mut Out<'_>,
    format: Format,
    args: &EventsArgs,
) -> Result<Exit, Failure> {
    let mut client = Client::connect(state_dir).await?;
    let mut page = client.newest_events(args.lines).await?;
    if !args.follow {
        match format.shape() {
            Shape::Value(notation) => out.value(notation, &page)?,
            Shape::Text { .. } => Printer::new(format).page(out, &page)?,
        }
        return Ok(Exit::Fine);
    }
    if args.lines == 0 {
        // The newest one is asked for nevertheless, to know where to begin.
        page = client.newest_events(1).await?;
        page.events.clear();
    }
    let mut printer = Printer::new(format);
    loop {
        printer.page(out, &page)?;
        out.flush()?;
        page = match client.events_after(page.last).await {
            Ok(page) => page,
            Err(failure) => {
                tracing::warn!("{failure}; waiting for it to come back");
                client = again(state_dir).await;
                // Another process: nothing of it was seen.
                EventPage { events: Vec::new(), last: 0, ..page }
            }
        }
    }
}

async fn again(state_dir: &Path) -> Client {
    loop {
        tokio::time::sleep(AGAIN).await;
        if let Ok(client) = Client::connect(state_dir).await {
            return client;
        }
    }
}

/// Pages as one table, or as one JSON object per line.
struct Printer {
    format: Format,
    table: Table<4>,
}

impl Printer {
    fn new(format: Format) -> Self {
        Self { format, table: Table::new(0, [text("TIME"), text("LEVEL"), text("ABOUT"), text("WHAT")]) }
    }

    fn page(&mut self, out: &mut Out<'_>, page: &EventPage) -> io::Result<()> {
        match self.format.shape() {
            Shape::Value(notation) => page.events.iter().try_for_each(|event| out.next_value(notation, event)),
            Shape::Text { .. } => {
                if page.missed > 0 {
                    let text = format!("{} older events were not kept", page.missed);
                    self.table.row([Cell::from("..."), Cell::default(), Cell::default(), Cell::from(text)]);
                }
                page.events.iter().for_each(|event| self.table.row(row(event)));
                self.table.print(out)
            }
        }
    }
}

fn row(event: &Event) -> [Cell; 4] {
    let level = match event.level {
        Level::Info => Cell::from("info"),
        Level::Warn => Cell::styled(Style::Warn, "warn"),
    };
    let about = event.peer.map(|peer| peer.to_string()).or_else(|| event.object.clone());
    [Cell::from(&event.at), level, Cell::from(about.as_deref().unwrap_or("router")), Cell::from(&event.text)]
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;

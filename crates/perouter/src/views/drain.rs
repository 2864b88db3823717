//! `perouter drain`: has the router drained, and shows how far it is.

use std::time::Duration;

use super::out::{Out, Style, clean};
use crate::admin::client::Client;
use crate::admin::model::{Drain, DrainOrder, DrainState};
use crate::cli::{DrainArgs, Format, Shape};
use crate::exit::{Exit, Failure};

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// Orders it and waits for its end; not healthy when somebody undoes it meanwhile. The daemon goes on without us.
///
/// # Errors
/// Those of the client.
pub(crate) async fn run(
    client: &mut Client,
    out: &mut Out<'_>,
    format: Format,
    args: &DrainArgs,
) -> Result<Exit, Failure> {
    let wait_seconds = args.wait.map(|wait| wait.as_secs());
    let order = DrainOrder { wait_seconds, message: args.message.clone(), undo: args.undo };
    let mut now = client.order_drain(&order).await?;
    let mut progress = Progress::default();
    while !args.undo && now.as_ref().is_some_and(|drain| drain.state == DrainState::Draining) {
        if let Some(line) =
            now.as_ref().filter(|_| matches!(format.shape(), Shape::Text { .. })).and_then(|drain| progress.line(drain))
        {
            out.line(&line)?;
            out.flush()?;
        }
        tokio::time::sleep(LOOK).await;
        now = client.drain().await?;
    }
    match format.shape() {
        Shape::Value(notation) => out.value(notation, &now)?,
        Shape::Text { .. } => end(out, args.undo, now.as_ref())?,
    }
    Ok(Exit::healthy(args.undo == now.is_none()))
}

fn end(out: &mut Out<'_>, undo: bool, drain: Option<&Drain>) -> std::io::Result<()> {
    match (undo, drain) {
        (true, None) => out.line("not draining; sessions that had ended come back"),
        (true, Some(_)) => out.styled(Style::Bad, "somebody else drains it again"),
        (false, Some(drain)) => {
            let told = drain.message.as_ref().map(|text| format!(" with the message: {}", clean(text)));
            let told = told.unwrap_or_default();
            out.line(&format!("drained: every session was ended{told}"))?;
            out.line("`perouter drain --undo` brings them back, as does a restart of the daemon")
        }
        (false, None) => out.styled(Style::Bad, "not drained: it was undone meanwhile"),
    }
}

/// What was said last.
#[derive(Debug, Default)]
struct Progress(Option<u64>);

impl Progress {
    /// A line at the beginning, every ten seconds, and for each of the last five.
    fn line(&mut self, drain: &Drain) -> Option<String> {
        let left = drain.left_seconds?;
        let first = self.0.is_none();
        if self.0 == Some(left) || !(first || left <= 5 || left.is_multiple_of(10)) {
            return None;
        }
        self.0 = Some(left);
        let what = "peers are asked to move their traffic; ";
        Some(format!("{}sessions end in {left} s", if first { what } else { "" }))
    }
}

#[cfg(test)]
#[path = "drain_tests.rs"]
mod tests;

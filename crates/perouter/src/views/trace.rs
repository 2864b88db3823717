//! `perouter trace`: the messages of a peer as they pass.

use std::io;

use super::out::{Out, Style, clean};
use crate::admin::client::Client;
use crate::admin::model::{Direction, TracedMessage};
use crate::cli::{Format, Shape, TraceArgs};
use crate::exit::{Exit, Failure};

/// Prefixes of a message that are shown unless `-o wide` asks for all.
const SHOWN: usize = 5;

/// Prints until interrupted, or so many messages.
///
/// # Errors
/// Those of the client.
pub(crate) async fn run(client: Client, out: &mut Out<'_>, format: Format, args: &TraceArgs) -> Result<Exit, Failure> {
    let mut trace = client.trace(&args.peer).await?;
    let mut left = args.count;
    while left != Some(0) {
        let message = trace.next().await?;
        match format.shape() {
            Shape::Value(notation) => out.next_value(notation, &message)?,
            Shape::Text { wide } => print(out, &message, wide)?,
        }
        out.flush()?;
        left = left.map(|left| left - 1);
    }
    Ok(Exit::Fine)
}

fn print(out: &mut Out<'_>, message: &TracedMessage, wide: bool) -> io::Result<()> {
    if message.lost > 0 {
        out.styled(
            Style::Warn,
            &format!("... {} pieces of the stream were lost: the tracer is too slow", message.lost),
        )?;
    }
    let arrow = match message.direction {
        Direction::Received => "<-",
        Direction::Sent => "->",
    };
    let summary = if message.summary.is_empty() { String::new() } else { format!("  {}", message.summary) };
    let line = format!("{}  {arrow} {} ({} octets){summary}", message.at, message.kind, message.octets);
    out.line(&clean(&line))?;
    for (sign, prefixes) in [("+", &message.announced), ("-", &message.withdrawn)] {
        let shown = if wide { prefixes.len() } else { SHOWN };
        for prefix in prefixes.iter().take(shown) {
            out.line(&format!("    {sign} {}", clean(prefix)))?;
        }
        if prefixes.len() > shown {
            out.line(&format!("    {sign} and {} more", prefixes.len() - shown))?;
        }
    }
    for attribute in &message.attributes {
        out.line(&format!("      {}", clean(attribute)))?;
    }
    for problem in &message.problems {
        out.styled(Style::Bad, &format!("      {}", clean(problem)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::printed;
    use super::*;

    #[test]
    fn a_message_says_its_way_its_prefixes_and_attributes() {
        let message = TracedMessage {
            at: "2026-11-22T12:37:43Z".to_owned(),
            direction: Direction::Received,
            kind: "UPDATE".to_owned(),
            octets: 52,
            summary: "7 announced, 1 withdrawn".to_owned(),
            announced: (0..7).map(|number| format!("10.{number}.0.0/16")).collect(),
            withdrawn: vec!["10.9.0.0/16".to_owned()],
            attributes: vec!["AS_PATH 64512".to_owned()],
            problems: vec!["attribute 8 (COMMUNITIES): wrong length".to_owned()],
            lost: 2,
        };
        assert_eq!(
            printed(|out| print(out, &message, false)),
            "\
... 2 pieces of the stream were lost: the tracer is too slow
2026-11-22T12:37:43Z  <- UPDATE (52 octets)  7 announced, 1 withdrawn
    + 10.0.0.0/16
    + 10.1.0.0/16
    + 10.2.0.0/16
    + 10.3.0.0/16
    + 10.4.0.0/16
    + and 2 more
    - 10.9.0.0/16
      AS_PATH 64512
      attribute 8 (COMMUNITIES): wrong length
"
        );
        assert!(printed(|out| print(out, &message, true)).contains("+ 10.6.0.0/16"));
    }
}

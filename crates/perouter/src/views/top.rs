//! `perouter top`: sessions and rates, live, in plain ANSI. What is not a terminal gets the pictures below each other.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::out::{Out, Style, clean};
use super::table::{Cell, Table, number, text};
use super::{count, duration, or_dash};
use crate::admin::client::Client;
use crate::admin::model::{Peer, Status};
use crate::cli::TopArgs;
use crate::exit::{Exit, Failure};

/// Pictures that a sparkline looks back on.
const HISTORY: usize = 20;
/// What a terminal has that does not tell its size.
const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// Shows until interrupted, or so many pictures; not healthy when the last one was not.
///
/// # Errors
/// Those of the client.
pub(crate) async fn run(client: &mut Client, out: &mut Out<'_>, args: &TopArgs) -> Result<Exit, Failure> {
    let terminal = io::stdout().is_terminal();
    if terminal {
        // Another screen, so that what was there before comes back; no cursor.
        out.bytes(b"\x1b[?1049h\x1b[?25l")?;
    }
    let shown = show(client, out, args, terminal).await;
    if terminal {
        out.bytes(b"\x1b[?25h\x1b[?1049l")?;
    }
    shown
}

async fn show(client: &mut Client, out: &mut Out<'_>, args: &TopArgs, terminal: bool) -> Result<Exit, Failure> {
    // Also what comes while the daemon is asked.
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut rates = Rates::default();
    let mut left = args.count;
    loop {
        let status = client.status().await?;
        rates.take(&status, args.interval);
        let lines = picture(out, &status, &rates)?;
        if terminal {
            let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
            let (rows, columns) = size.map_or((ROWS, COLUMNS), |size| (size.ws_row, size.ws_col));
            out.bytes(frame(&lines, rows, columns).as_bytes())?;
        } else {
            lines.iter().try_for_each(|line| out.line(line))?;
        }
        out.flush()?;
        left = left.map(|left| left.saturating_sub(1));
        if left == Some(0) {
            return Ok(Exit::healthy(status.healthy));
        }
        tokio::select! {
            () = tokio::time::sleep(args.interval) => {}
            _ = interrupted.recv() => return Ok(Exit::healthy(status.healthy)),
        }
    }
}

/// A picture at the top left, each line cut to the width: escape sequences take no room.
fn frame(lines: &[String], rows: u16, columns: u16) -> String {
    let mut frame = "\x1b[H".to_owned();
    for (index, line) in lines.iter().take(usize::from(rows.saturating_sub(1))).enumerate() {
        if index > 0 {
            frame.push_str("\r\n");
        }
        frame.push_str(&cut(line, usize::from(columns)));
        frame.push_str("\x1b[K");
    }
    // What a longer picture left below.
    frame + "\x1b[J"
}

fn cut(line: &str, columns: usize) -> String {
    let (mut shown, mut room, mut escape) = (String::new(), columns, false);
    for character in line.chars() {
        if character == '\x1b' {
            escape = true;
        } else if !escape {
            if room == 0 {
                continue;
            }
            room -= 1;
        }
        shown.push(character);
        if escape && character == 'm' {
            escape = false;
        }
    }
    shown
}

/// Updates of one peer over time.
#[derive(Debug, Default)]
struct Rate {
    /// Messages in and out at the last picture.
    last: Option<(u64, u64)>,
    received: f64,
    sent: f64,
    /// UPDATEs a second in both directions, oldest first.
    history: VecDeque<f64>,
}

#[derive(Debug, Default)]
struct Rates(HashMap<String, Rate>);

impl Rates {
    fn take(&mut self, status: &Status, interval: Duration) {
        let seconds = interval.as_secs_f64().max(0.001);
        self.0.retain(|title, _| status.peers.iter().any(|peer| peer.title() == *title));
        for peer in &status.peers {
            let rate = self.0.entry(peer.title()).or_default();
            let now = (peer.messages_received.update, peer.messages_sent.update);
            // A daemon that was restarted counts anew.
            let (received, sent) = rate.last.unwrap_or(now);
            rate.received = now.0.saturating_sub(received) as f64 / seconds;
            rate.sent = now.1.saturating_sub(sent) as f64 / seconds;
            rate.last = Some(now);
            if rate.history.len() == HISTORY {
                rate.history.pop_front();
            }
            rate.history.push_back(rate.received + rate.sent);
        }
    }

    fn of(&self, peer: &Peer) -> (f64, f64, String) {
        let rate = self.0.get(&peer.title());
        rate.map_or((0.0, 0.0, String::new()), |rate| (rate.received, rate.sent, sparkline(&rate.history)))
    }
}

/// Heights of eight steps, the largest value being full.
fn sparkline(values: &VecDeque<f64>) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let largest = values.iter().copied().fold(0.0, f64::max);
    let step = |value: &f64| if largest > 0.0 { STEPS[(value / largest * 7.0).round() as usize] } else { STEPS[0] };
    values.iter().map(step).collect()
}

fn picture(out: &Out<'_>, status: &Status, rates: &Rates) -> io::Result<Vec<String>> {
    let mut bytes = Vec::new();
    {
        let mut page = Out::like(out, &mut bytes);
        print(&mut page, status, rates)?;
    }
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

fn print(out: &mut Out<'_>, status: &Status, rates: &Rates) -> io::Result<()> {
    let node = status.node.as_ref().map(|node| format!(" on {}", node.name)).unwrap_or_default();
    let version = format!("perouter {}{node}, up {}", status.version, duration(status.uptime_seconds));
    out.line(&clean(&version))?;
    match &status.problems[..] {
        [] => out.styled(Style::Good, "healthy")?,
        [first, rest @ ..] => {
            let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
            out.styled(Style::Bad, &format!("{}{more}", clean(first)))?;
        }
    }
    if let Some(router) = &status.router {
        let known: Vec<_> =
            router.destinations.iter().map(|of| format!("{} {}", of.count, of.family.short())).collect();
        let fib = &router.fib;
        let pending = if fib.pending > 0 { format!(", {} on their way", fib.pending) } else { String::new() };
        out.line(&format!("routes  {}; {} in the kernel{pending}", known.join(", "), fib.installed))?;
    }
    let up = status.peers.iter().filter(|peer| peer.is_up()).count();
    out.line(&format!("{up} of {} up\n", count(status.peers.len(), "session")))?;
    let columns = [
        text("NAME"),
        text("STATE"),
        number("FOR"),
        number("LOST"),
        number("ACCEPTED"),
        number("ADVERTISED"),
        text("BFD"),
        number("IN/S"),
        number("OUT/S"),
        text("UPDATES"),
    ];
    let mut table = Table::new(0, columns);
    for peer in &status.peers {
        let (received, sent, history) = rates.of(peer);
        let sum = |which: fn(&crate::admin::model::FamilyCounts) -> u64| peer.families.iter().map(which).sum::<u64>();
        let style = if peer.is_up() { Style::Good } else { Style::Bad };
        table.row([
            Cell::from(if peer.name.is_empty() { peer.place() } else { peer.name.clone() }),
            Cell::styled(style, peer.state.name()),
            Cell::from(duration(peer.since_seconds)),
            Cell::from(peer.flaps.to_string()),
            Cell::from(sum(|counts| counts.accepted).to_string()),
            Cell::from(sum(|counts| counts.advertised).to_string()),
            Cell::from(or_dash(peer.bfd.as_ref().map(|bfd| bfd.local.state.name()))),
            Cell::from(format!("{received:.0}")),
            Cell::from(format!("{sent:.0}")),
            Cell::from(history),
        ]);
    }
    table.print(out)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{peer, peer_down, printed, status};
    use super::*;

    #[test]
    fn rates_are_differences_between_pictures() {
        let mut rates = Rates::default();
        let mut status = Status { peers: vec![peer(), peer_down()], ..status() };
        rates.take(&status, Duration::from_secs(2));
        status.peers[0].messages_received.update += 100;
        rates.take(&status, Duration::from_secs(2));
        assert_eq!(rates.of(&status.peers[0]), (50.0, 0.0, "▁█".to_owned()));
        // The daemon was restarted.
        status.peers[0].messages_received.update = 1;
        rates.take(&status, Duration::from_secs(2));
        assert_eq!(rates.of(&status.peers[0]).0, 0.0);
        status.peers.remove(1);
        rates.take(&status, Duration::from_secs(2));
        assert_eq!(rates.0.len(), 1);
    }

    #[test]
    fn a_picture_has_every_session_and_what_is_wrong() {
        let status = Status { peers: vec![peer(), peer_down()], ..status() };
        let text = printed(|out| print(out, &status, &Rates::default()));
        assert!(text.contains("1 of 2 sessions up"), "{text}");
        for word in ["fabric", "Established", "OpenConfirm", "99999", "UPDATES"] {
            assert!(text.contains(word), "no {word} in {text}");
        }
    }

    #[test]
    fn a_frame_fits_the_terminal_and_keeps_its_colours() {
        let lines = ["\x1b[32mgreen and long\x1b[0m".to_owned(), "second".to_owned(), "third".to_owned()];
        let shown = frame(&lines, 3, 5);
        assert_eq!(shown, "\x1b[H\x1b[32mgreen\x1b[0m\x1b[K\r\nsecon\x1b[K\x1b[J");
    }
}

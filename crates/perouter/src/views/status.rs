//! `perouter status`: one screen that starts with whether everything is in order.

use std::io;

use super::out::{Out, Style, clean};
use super::table::{Cell, Table, number, text};
use super::{count, duration, peers, verdicts};
use crate::admin::client::Client;
use crate::admin::model::{Level, Link, Mode, Peer, Status};
use crate::cli::{Format, Shape};
use crate::exit::{Exit, Failure};

/// What fits one screen of each kind: more is there with `-o wide`, in the JSON, and behind the commands that are named.
const PROBLEMS: usize = 8;
const VERDICTS: usize = 6;
const SESSIONS: usize = 12;
const RECENT: usize = 5;

/// Asks and prints; not healthy when a problem is listed.
///
/// # Errors
/// Those of the client.
pub(crate) async fn run(client: &mut Client, out: &mut Out<'_>, format: Format) -> Result<Exit, Failure> {
    let status = client.status().await?;
    match format.shape() {
        Shape::Value(notation) => out.value(notation, &status)?,
        Shape::Text { wide } => print(out, &status, wide)?,
    }
    Ok(Exit::healthy(status.healthy))
}

fn print(out: &mut Out<'_>, status: &Status, wide: bool) -> io::Result<()> {
    head(out, status, wide)?;
    if !status.verdicts.is_empty() || status.no_config.is_some() {
        out.line("\nConfiguration")?;
        if let Some(reason) = &status.no_config {
            out.line(&format!("  none: {}", clean(reason)))?;
        }
        // The rejected ones come first.
        let shown = if wide { status.verdicts.len() } else { VERDICTS.min(status.verdicts.len()) };
        verdicts::print(out, 2, &status.verdicts[..shown])?;
        more(out, 2, status.verdicts.len() - shown, "object", "`perouter -o wide status` lists all")?;
    }
    if !status.links.is_empty() || !status.host_errors.is_empty() || !status.host_warnings.is_empty() {
        out.line("\nHost")?;
        host(out, status)?;
    }
    out.line("\nSessions")?;
    if status.peers.is_empty() {
        out.line("  none")?;
    } else {
        sessions(out, &status.peers, wide)?;
    }
    if let Some(router) = &status.router {
        out.line("\nRoutes")?;
        let known: Vec<_> =
            router.destinations.iter().map(|of| format!("{} {}", of.count, of.family.short())).collect();
        let paths: u64 = router.destinations.iter().map(|of| of.paths).sum();
        let paths = count(usize::try_from(paths).unwrap_or(usize::MAX), "path");
        out.line(&format!("  known      {} destinations; {paths} received", known.join(", ")))?;
        let fib = &router.fib;
        out.line(&format!(
            "  in kernel  {} installed, {} pending, {} refused, {}",
            fib.installed,
            fib.pending,
            fib.failed,
            count(usize::try_from(fib.groups).unwrap_or(usize::MAX), "next-hop group")
        ))?;
    }
    warnings(out, status)
}

fn head(out: &mut Out<'_>, status: &Status, wide: bool) -> io::Result<()> {
    let mode = match status.mode {
        Mode::Run => "run",
        Mode::Speak => "speak",
    };
    let uptime = duration(status.uptime_seconds);
    out.line(&format!("perouter {} ({mode}), up {uptime}, pid {}", clean(&status.version), status.pid))?;
    let mut facts = Vec::new();
    if let Some(node) = &status.node {
        facts.push(format!("node {}, index {}", node.name, node.index));
    }
    if let Some(router) = &status.router
        && let (Some(asn), Some(id)) = (router.asn, router.router_id)
    {
        facts.push(format!("AS {asn}, router id {id}"));
    }
    if let Some(namespace) = &status.namespace {
        facts.push(format!("namespace {namespace}"));
    }
    if !facts.is_empty() {
        out.line(&clean(&facts.join("; ")))?;
    }
    if status.healthy {
        out.styled(Style::Good, "healthy")?;
        return remarks(out, status);
    }
    out.styled(Style::Bad, &format!("NOT HEALTHY: {}", count(status.problems.len(), "problem")))?;
    let shown = if wide { status.problems.len() } else { PROBLEMS.min(status.problems.len()) };
    for problem in &status.problems[..shown] {
        out.line(&format!("  {}", clean(problem)))?;
    }
    more(out, 2, status.problems.len() - shown, "problem", "`perouter -o wide status` lists all")?;
    remarks(out, status)
}

/// That there is more than is shown, and where.
fn more(out: &mut Out<'_>, indent: usize, hidden: usize, noun: &str, where_to: &str) -> io::Result<()> {
    if hidden == 0 {
        return Ok(());
    }
    out.line(&format!("{:indent$}and {} more; {where_to}", "", count(hidden, noun)))
}

/// All of a few sessions. Of many those that are not up, and then others, as far as there is room.
fn sessions(out: &mut Out<'_>, all: &[Peer], wide: bool) -> io::Result<()> {
    if wide || all.len() <= SESSIONS {
        return peers::table(out, 2, all, wide);
    }
    let mut telling: Vec<&Peer> = all.iter().collect();
    telling.sort_by_key(|peer| peer.is_up());
    let (shown, hidden) = telling.split_at(SESSIONS);
    let shown: Vec<Peer> = shown.iter().map(|peer| (*peer).clone()).collect();
    peers::table(out, 2, &shown, wide)?;
    let up = hidden.iter().filter(|peer| peer.is_up()).count();
    more(out, 2, hidden.len(), "session", &format!("{up} of them up; `perouter peers` lists all"))
}

fn remarks(out: &mut Out<'_>, status: &Status) -> io::Result<()> {
    for warning in &status.warnings {
        out.styled(Style::Warn, &format!("  warning: {}", clean(warning)))?;
    }
    Ok(())
}

fn host(out: &mut Out<'_>, status: &Status) -> io::Result<()> {
    if !status.links.is_empty() {
        let mut table = Table::new(2, [text("LINK"), text("STATE"), number("MTU"), text("ADDRESSES")]);
        for link in &status.links {
            let (style, state) = state(link);
            let addresses: Vec<_> = link.addresses.iter().map(ToString::to_string).collect();
            table.row([
                Cell::from(&link.name),
                Cell::styled(style, state),
                Cell::from(link.mtu.to_string()),
                Cell::from(addresses.join(" ")),
            ]);
        }
        table.print(out)?;
    }
    for error in &status.host_errors {
        out.styled(Style::Bad, &format!("  error: {}: {}", clean(&error.object), clean(&error.message)))?;
    }
    for warning in &status.host_warnings {
        out.styled(Style::Warn, &format!("  warning: {}", clean(warning)))?;
    }
    Ok(())
}

fn state(link: &Link) -> (Style, &'static str) {
    match (link.up, link.carrier) {
        (true, true) => (Style::Good, "up"),
        (true, false) => (Style::Bad, "no carrier"),
        (false, _) => (Style::Bad, "down"),
    }
}

/// The latest warnings, oldest first, so that the newest stands nearest to the prompt.
fn warnings(out: &mut Out<'_>, status: &Status) -> io::Result<()> {
    let mut recent: Vec<_> =
        status.events.iter().rev().filter(|event| event.level == Level::Warn).take(RECENT).collect();
    if recent.is_empty() {
        return Ok(());
    }
    recent.reverse();
    out.line("\nRecent warnings")?;
    for event in recent {
        let peer = event.peer.map(|peer| format!("{peer}: ")).unwrap_or_default();
        let age = format!("{} ago", duration(event.age_seconds));
        out.line(&format!("  {age:<10}  {peer}{}", clean(&event.text)))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;

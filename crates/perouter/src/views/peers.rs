//! `perouter peers`: the sessions as a table, or one in detail.

use std::io;

use super::out::{Out, Style, clean};
use super::table::{Cell, Table, number, text};
use super::{bfd, duration, or_dash};
use crate::admin::client::Client;
use crate::admin::find_peer;
use crate::admin::model::{FamilyCounts, GracefulRestart, Messages, Peer};
use crate::cli::{Format, Shape};
use crate::exit::{Exit, Failure};

/// Asks and prints; not healthy when a session that was looked at is not up.
///
/// # Errors
/// [`Failure::Usage`] with the known peers when the wanted one is not among them; else those of the client.
pub(crate) async fn run(
    client: &mut Client,
    out: &mut Out<'_>,
    format: Format,
    wanted: Option<&str>,
) -> Result<Exit, Failure> {
    let peers = client.peers().await?;
    if let Some(wanted) = wanted {
        let known: Vec<_> = peers.iter().map(Peer::reference).collect();
        let peer = &peers[find_peer(wanted, &known)?];
        match format.shape() {
            Shape::Value(notation) => out.value(notation, peer)?,
            Shape::Text { .. } => detail(out, peer)?,
        }
        return Ok(Exit::healthy(peer.is_up()));
    }
    match format.shape() {
        Shape::Value(notation) => out.value(notation, &peers)?,
        Shape::Text { .. } if peers.is_empty() => out.line("no peer is configured")?,
        Shape::Text { wide } => table(out, 0, &peers, wide)?,
    }
    Ok(Exit::healthy(peers.iter().all(Peer::is_up)))
}

/// One row per peer and family.
pub(super) fn table(out: &mut Out<'_>, indent: usize, peers: &[Peer], wide: bool) -> io::Result<()> {
    if wide {
        return wide_table(out, indent, peers);
    }
    let mut table = Table::new(
        indent,
        [
            text("NAME"),
            text("ADDRESS"),
            number("AS"),
            text("ROLE"),
            text("STATE"),
            number("FOR"),
            text("FAMILY"),
            number("RECEIVED"),
            number("ACCEPTED"),
            number("ADVERTISED"),
            text("LAST ERROR"),
        ],
    );
    for peer in peers {
        // The error of a session that has come back is history: the detail view has it.
        let error = peer.last_error.as_deref().filter(|_| !peer.is_up()).unwrap_or_default();
        let mut lead = [
            Cell::from(&peer.name),
            Cell::from(peer.place()),
            Cell::from(or_dash(peer.asn)),
            Cell::from(peer.role.name()),
            Cell::styled(style(peer), peer.state.name()),
            Cell::from(duration(peer.since_seconds)),
        ];
        let mut error = Cell::styled(Style::Bad, error);
        let families: Vec<_> = peer.families.iter().map(Some).collect();
        for counts in if families.is_empty() { vec![None] } else { families } {
            let [name, address, asn, role, state, since] = std::mem::take(&mut lead);
            let [family, received, accepted, advertised] = counts.map_or_else(Default::default, |counts| {
                [
                    Cell::from(counts.family.short()),
                    Cell::from(counts.received.to_string()),
                    Cell::from(counts.accepted.to_string()),
                    Cell::from(counts.advertised.to_string()),
                ]
            });
            table.row([
                name,
                address,
                asn,
                role,
                state,
                since,
                family,
                received,
                accepted,
                advertised,
                std::mem::take(&mut error),
            ]);
        }
    }
    table.print(out)?;
    below(out, indent, peers)
}

/// What is said of sessions below their table.
fn below(out: &mut Out<'_>, indent: usize, peers: &[Peer]) -> io::Result<()> {
    for peer in peers {
        if let Some(kept) = peer.kept() {
            out.styled(Style::Warn, &format!("{:indent$}{}: {kept}", "", clean(&peer.title())))?;
        }
    }
    bfd::table(out, indent, peers)
}

/// Everything that fits into a row per peer and family, for terminals that have room.
fn wide_table(out: &mut Out<'_>, indent: usize, peers: &[Peer]) -> io::Result<()> {
    let columns = [
        text("NAME"),
        text("ADDRESS"),
        text("LINK"),
        number("AS"),
        text("ROLE"),
        text("ROUTER ID"),
        text("STATE"),
        number("FOR"),
        number("LOST"),
        number("HOLD TIME"),
        text("BFD"),
        text("FAMILY"),
        number("RECEIVED"),
        number("ACCEPTED"),
        number("ADVERTISED"),
        number("UPDATES IN"),
        number("UPDATES OUT"),
        number("MALFORMED"),
        text("LAST ERROR"),
    ];
    let mut table = Table::new(indent, columns);
    for peer in peers {
        let families: Vec<_> = peer.families.iter().map(Some).collect();
        for counts in if families.is_empty() { vec![None] } else { families } {
            let of = |which: fn(&FamilyCounts) -> u64| Cell::from(or_dash(counts.map(which)));
            table.row([
                Cell::from(&peer.name),
                Cell::from(peer.place()),
                Cell::from(or_dash(peer.link.as_ref())),
                Cell::from(or_dash(peer.asn)),
                Cell::from(peer.role.name()),
                Cell::from(or_dash(peer.router_id)),
                Cell::styled(style(peer), peer.state.name()),
                Cell::from(duration(peer.since_seconds)),
                Cell::from(peer.flaps.to_string()),
                Cell::from(or_dash(peer.hold_time_seconds)),
                Cell::from(or_dash(peer.bfd.as_ref().map(|bfd| bfd.local.state.name()))),
                Cell::from(or_dash(counts.map(|counts| counts.family.short()))),
                of(|counts| counts.received),
                of(|counts| counts.accepted),
                of(|counts| counts.advertised),
                Cell::from(peer.messages_received.update.to_string()),
                Cell::from(peer.messages_sent.update.to_string()),
                Cell::from(peer.malformed.to_string()),
                Cell::styled(Style::Bad, peer.last_error.as_deref().unwrap_or_default()),
            ]);
        }
    }
    table.print(out)?;
    below(out, indent, peers)
}

fn style(peer: &Peer) -> Style {
    if peer.is_up() { Style::Good } else { Style::Bad }
}

/// Everything about one peer.
fn detail(out: &mut Out<'_>, peer: &Peer) -> io::Result<()> {
    out.line(&clean(&peer.title()))?;
    let state = format!("{} for {}", peer.state.name(), duration(peer.since_seconds));
    let mut facts = vec![
        ("state", Cell::styled(style(peer), state)),
        ("AS", Cell::from(or_dash(peer.asn))),
        ("role", Cell::from(peer.role.name())),
    ];
    if let Some(link) = &peer.link {
        facts.push(("link", Cell::from(link)));
    }
    if let Some(range) = peer.range {
        facts.push(("range", Cell::from(range.to_string())));
    }
    if let Some(id) = peer.router_id {
        facts.push(("router id", Cell::from(id.to_string())));
    }
    if let (Some(local), Some(remote)) = (peer.local, peer.remote) {
        facts.push(("connection", Cell::from(format!("{local} (here) - {remote}"))));
    }
    if let Some(seconds) = peer.hold_time_seconds {
        let time = if seconds == 0 { "off".to_owned() } else { format!("{seconds} s") };
        facts.push(("hold time", Cell::from(time)));
    }
    if !peer.capabilities.is_empty() {
        facts.push(("capabilities", Cell::from(peer.capabilities.join(", "))));
    }
    facts.push(("times lost", Cell::from(peer.flaps.to_string())));
    if peer.malformed > 0 {
        let each: Vec<String> =
            peer.malformed_attributes.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let each = if each.is_empty() { String::new() } else { format!(": {}", each.join(", ")) };
        let text = format!("{} attributes or routes set aside{each}", peer.malformed);
        facts.push(("malformed", Cell::styled(Style::Warn, text)));
    }
    if let Some(agreed) = &peer.graceful_restart {
        facts.push(("restarts", Cell::from(restarts(agreed))));
    }
    if let Some(kept) = peer.kept() {
        facts.push(("routes", Cell::styled(Style::Warn, kept)));
    }
    if let Some(error) = &peer.last_error {
        facts.push(("last error", Cell::from(error)));
    }
    if peer.shut_down {
        let text = format!("until `perouter clear {}`, or a restart of the daemon", peer.handle());
        facts.push(("shut down", Cell::styled(Style::Warn, text)));
    }
    facts.extend(peer.bfd.iter().flat_map(bfd::facts));
    print_facts(out, 2, facts)?;

    if !peer.families.is_empty() {
        out.line("")?;
        let mut table = Table::new(
            2,
            [text("FAMILY"), number("RECEIVED"), number("ACCEPTED"), number("ADVERTISED"), text("END-OF-RIB")],
        );
        for counts in &peer.families {
            table.row([
                Cell::from(counts.family.short()),
                Cell::from(counts.received.to_string()),
                Cell::from(counts.accepted.to_string()),
                Cell::from(counts.advertised.to_string()),
                Cell::from(if counts.end_of_rib { "received" } else { "not yet" }),
            ]);
        }
        table.print(out)?;
        for counts in peer.families.iter().filter(|counts| counts.own_as_in_path > 0) {
            let (own, family) = (counts.own_as_in_path, counts.family.short());
            let text = format!(
                "  {own} of the {family} routes sent have its own AS {} in the path: it refuses them as loops unless it allows its own AS, or asOverride is set",
                or_dash(peer.asn)
            );
            out.styled(Style::Warn, &text)?;
        }
    }

    out.line("")?;
    let mut table = Table::new(
        2,
        [
            text("MESSAGES"),
            number("OPEN"),
            number("UPDATE"),
            number("NOTIFICATION"),
            number("KEEPALIVE"),
            number("ROUTE-REFRESH"),
        ],
    );
    let row = |direction: &str, messages: &Messages| {
        let Messages { open, update, notification, keepalive, route_refresh } = messages;
        [
            Cell::from(direction),
            Cell::from(open.to_string()),
            Cell::from(update.to_string()),
            Cell::from(notification.to_string()),
            Cell::from(keepalive.to_string()),
            Cell::from(route_refresh.to_string()),
        ]
    };
    table.row(row("received", &peer.messages_received));
    table.row(row("sent", &peer.messages_sent));
    table.print(out)
}

fn restarts(agreed: &GracefulRestart) -> String {
    let families: Vec<_> = agreed.families.iter().map(|family| family.short()).collect();
    let after = if agreed.covers_notifications { ", also after NOTIFICATIONs" } else { "" };
    // A peer that only helps may name a time all the same.
    match (agreed.restart_seconds, &families[..]) {
        (0, _) | (_, []) => "the peer bears with ours; its own are not graceful".to_owned(),
        (seconds, families) => format!("graceful within {seconds} s: {}{after}", families.join(", ")),
    }
}

/// Names and values below each other.
pub(super) fn print_facts(out: &mut Out<'_>, indent: usize, facts: Vec<(&str, Cell)>) -> io::Result<()> {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in facts {
        let value = value.render(out.colour());
        out.line(&format!("{:indent$}{name:width$}  {value}", ""))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "peers_tests.rs"]
mod tests;

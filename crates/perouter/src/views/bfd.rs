//! BFD sessions, in the list of peers and in one peer's detail.

use std::io;

use super::duration;
use super::out::{Out, Style};
use super::table::{Cell, Table, number, text};
use crate::admin::model::{Bfd, BfdSide, Peer};

/// One row per peer with BFD; nothing without any.
pub(super) fn table(out: &mut Out<'_>, indent: usize, peers: &[Peer]) -> io::Result<()> {
    if peers.iter().all(|peer| peer.bfd.is_none()) {
        return Ok(());
    }
    out.line("")?;
    let columns = [
        text("BFD WITH"),
        text("STATE"),
        number("FOR"),
        text("SENT EVERY"),
        text("LOST AFTER"),
        number("TIMES LOST"),
        text("WHY"),
    ];
    let mut table = Table::new(indent, columns);
    for peer in peers {
        let Some(bfd) = &peer.bfd else { continue };
        table.row([
            Cell::from(&peer.name),
            Cell::styled(style(bfd), bfd.local.state.name()),
            Cell::from(duration(bfd.since_seconds)),
            Cell::from(ms(bfd.transmit_interval_ms)),
            Cell::from(ms(bfd.detection_time_ms)),
            Cell::from(bfd.times_lost.to_string()),
            Cell::from(bfd.trouble.as_ref().unwrap_or(&bfd.reason)),
        ]);
    }
    table.print(out)
}

/// Everything about one session.
pub(super) fn facts(bfd: &Bfd) -> Vec<(&'static str, Cell)> {
    let state = format!("{} for {}: {}", bfd.local.state.name(), duration(bfd.since_seconds), bfd.reason);
    let mut facts = vec![("BFD", Cell::styled(style(bfd), state))];
    if let Some(trouble) = &bfd.trouble {
        facts.push(("  trouble", Cell::styled(Style::Bad, trouble)));
    }
    let timers = format!(
        "sent every {}, received every {}, lost after {}",
        ms(bfd.transmit_interval_ms),
        ms(bfd.receive_interval_ms),
        ms(bfd.detection_time_ms)
    );
    facts.push(("  timers", Cell::from(timers)));
    facts.push(("  here", Cell::from(side(&bfd.local))));
    let there = bfd.remote.as_ref().map_or_else(|| "not heard yet".to_owned(), side);
    facts.push(("  there", Cell::from(there)));
    let packets = format!("{} received, {} sent; times lost: {}", bfd.received, bfd.sent, bfd.times_lost);
    facts.push(("  packets", Cell::from(packets)));
    facts
}

fn side(side: &BfdSide) -> String {
    let BfdSide { desired_min_tx_ms: tx, required_min_rx_ms: rx, multiplier, discriminator, .. } = side;
    let state = side.state.name();
    let fate = if side.control_plane_independent { ", survives its control plane" } else { "" };
    let last = &side.diagnostic;
    format!(
        "{state} ({last}), discriminator {discriminator}, wants to send every {tx} ms and to receive every {rx} ms, x{multiplier}{fate}"
    )
}

fn ms(time: Option<u64>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{time} ms"))
}

fn style(bfd: &Bfd) -> Style {
    match (bfd.is_up(), bfd.held_down_by_peer) {
        (true, _) => Style::Good,
        (false, true) => Style::Warn,
        (false, false) => Style::Bad,
    }
}

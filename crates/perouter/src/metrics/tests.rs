//! A scrape as it is read, and docs/metrics.md.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::moment::Moment;

/// The JSON of a daemon with one peer that is up, so that a new field of the model needs no change here.
fn scrape() -> Scrape {
    let status = serde_json::from_str(include_str!("tests/status.json")).unwrap();
    let applied = Moment { wall: UNIX_EPOCH + Duration::from_secs(7), ..Moment::now() };
    let tallies = Tallies { host_repairs: 2, config_applied_at: Some(applied), ..Tallies::default() };
    let mut measured = Measured::default();
    measured.fib.latency.add(Duration::from_millis(2), 1);
    measured.updates(std::net::IpAddr::from([192, 168, 11, 2]), None, 3, Duration::from_millis(2));
    Scrape { status, measured, tallies, events: (5, 1), process: Process::default() }
}

fn line(text: &str, wanted: &str) -> bool {
    text.lines().any(|line| line == wanted)
}

#[test]
fn a_scrape_has_every_kind_of_figure() {
    let text = text(scrape());
    for wanted in [
        "perouter_build_info{version=\"0.1.0\",mode=\"run\"} 1",
        "perouter_router_info{node=\"worker-1\",namespace=\"perouter\",asn=\"64514\",router_id=\"10.0.0.1\"} 1",
        "perouter_peer_up{peer=\"leaf\",address=\"192.168.11.2\"} 1.0",
        "perouter_peer_state{peer=\"leaf\",address=\"192.168.11.2\",state=\"Established\"} 1.0",
        "perouter_peer_state{peer=\"leaf\",address=\"192.168.11.2\",state=\"Idle\"} 0.0",
        "perouter_peer_uptime_seconds{peer=\"leaf\",address=\"192.168.11.2\"} 18.0",
        "perouter_peer_prefixes{peer=\"leaf\",address=\"192.168.11.2\",family=\"ipv4\",stage=\"accepted\"} 6.0",
        "perouter_peer_messages_received_total{peer=\"leaf\",address=\"192.168.11.2\",type=\"update\"} 3.0",
        "perouter_peer_malformed_total{peer=\"leaf\",address=\"192.168.11.2\",attribute=\"COMMUNITIES\"} 2.0",
        "perouter_bfd_up{peer=\"leaf\",address=\"192.168.11.2\"} 1.0",
        "perouter_bfd_detection_time_seconds{peer=\"leaf\",address=\"192.168.11.2\"} 0.9",
        "perouter_fib_routes{state=\"installed\"} 3.0",
        "perouter_fib_install_latency_seconds_bucket{le=\"0.0025\",table=\"router\"} 1",
        "perouter_fib_install_latency_seconds_bucket{le=\"+Inf\",table=\"router\"} 1",
        "perouter_fib_install_latency_seconds_count{table=\"router\"} 1",
        "perouter_config_objects{kind=\"Underlay\",outcome=\"applied\"} 1.0",
        "perouter_config_applied_timestamp_seconds 7.0",
        "perouter_host_repairs_total 2.0",
        "perouter_events_total{level=\"warn\"} 1.0",
        "perouter_link_mtu_bytes{link=\"eth1\"} 1450.0",
        "process_threads 0.0",
        "# EOF",
    ] {
        assert!(line(&text, wanted), "no line {wanted} in\n{text}");
    }
}

#[test]
fn text_from_outside_cannot_break_a_line() {
    let mut scrape = scrape();
    scrape.status.peers[0].name = "a\"b\\c\nperouter_healthy 1".to_owned();
    let text = text(scrape);
    assert!(text.contains("peer=\"a\\\"b\\\\c\\nperouter_healthy 1\""), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("perouter_healthy ")).count(), 1, "{text}");
}

/// Every family as Prometheus names it, with its labels.
fn table(text: &str) -> String {
    let mut rows = String::from("| metric | type | labels | |\n|---|---|---|---|\n");
    let mut help = "";
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            help = said.split_once(' ').map_or("", |(_, help)| help);
        }
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else { continue };
        let (suffix, sample) = match kind {
            "counter" => ("_total", "_total{"),
            "info" => ("_info", "_info{"),
            "histogram" => ("", "_count{"),
            _ => ("", "{"),
        };
        let samples = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(sample)?.rsplit_once('}'));
        let labels: BTreeSet<&str> = samples
            .flat_map(|(labels, _)| labels.split("\",").filter_map(|label| label.split_once('=')))
            .map(|(label, _)| label)
            .collect();
        let labels: Vec<_> = labels.into_iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(rows, "| `{name}{suffix}` | {kind} | {} | {help} |", labels.join(", "));
    }
    rows
}

/// `PEROUTER_BLESS=1` makes it write the table instead.
#[test]
fn the_documentation_lists_every_metric() {
    const MARKS: [&str; 2] = ["<!-- metrics -->\n", "<!-- end of metrics -->\n"];
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(MARKS[0]).expect("the first mark");
    let (_, after) = rest.split_once(MARKS[1]).expect("the second mark");
    let wanted = format!("{before}{}{}{}{after}", MARKS[0], table(&super::text(scrape())), MARKS[1]);
    if std::env::var_os("PEROUTER_BLESS").is_some() {
        std::fs::write(&page, wanted).unwrap();
    } else {
        assert_eq!(text, wanted, "PEROUTER_BLESS=1 cargo test -p perouter metrics");
    }
}

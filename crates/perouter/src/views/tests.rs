//! The parts of views, and the values that the views' own tests share.

use super::out::{Style, clean};
use super::table::{Cell, Table, number, text};
use super::*;
use crate::admin::model::{
    Destinations, Event, Family, FamilyCounts, Fib, HostError, Kernel, Level, Link, Messages, Mode, Node, Outcome,
    Path, Peer, PeerRef, PeerState, Role, Route, Router, Status, Verdict,
};

/// What a view prints without colours.
pub(super) fn printed(print: impl FnOnce(&mut Out<'_>) -> std::io::Result<()>) -> String {
    let mut bytes = Vec::new();
    print(&mut Out::plain(&mut bytes)).unwrap();
    String::from_utf8(bytes).unwrap()
}

pub(super) fn reference(name: &str, address: &str) -> PeerRef {
    PeerRef { name: name.into(), address: address.parse().unwrap() }
}

pub(super) fn peer() -> Peer {
    Peer {
        name: "fabric".into(),
        address: "192.168.11.2".parse().unwrap(),
        link: None,
        range: None,
        asn: Some(64512),
        role: Role::Fabric,
        state: PeerState::Established,
        since_seconds: 3_720,
        flaps: 1,
        local: Some("192.168.11.3:179".parse().unwrap()),
        remote: Some("192.168.11.2:41000".parse().unwrap()),
        router_id: Some("10.0.0.1".parse().unwrap()),
        hold_time_seconds: Some(90),
        capabilities: vec!["4-octet AS".into(), "route refresh".into()],
        families: vec![FamilyCounts {
            family: Family::Ipv4Unicast,
            received: 100_000,
            accepted: 99_999,
            advertised: 2,
            own_as_in_path: 0,
            end_of_rib: true,
        }],
        messages_received: Messages { open: 1, update: 1_234, notification: 0, keepalive: 60, route_refresh: 0 },
        messages_sent: Messages { open: 1, update: 3, notification: 0, keepalive: 61, route_refresh: 0 },
        malformed: 0,
        malformed_attributes: Default::default(),
        graceful_restart: None,
        routes_kept_seconds: None,
        bfd: None,
        last_error: Some("Cease: administrative reset".into()),
        shut_down: false,
    }
}

pub(super) fn peer_down() -> Peer {
    Peer {
        name: "v6".into(),
        address: "2001:db8:11:1111:2222:3333:4444:5555".parse().unwrap(),
        asn: None,
        role: Role::Host,
        state: PeerState::OpenConfirm,
        since_seconds: 45,
        local: None,
        remote: None,
        router_id: None,
        hold_time_seconds: None,
        capabilities: vec![],
        families: vec![],
        last_error: Some("connection refused".into()),
        ..peer()
    }
}

pub(super) fn path() -> Path {
    Path {
        from: Some(reference("fabric", "192.168.11.2")),
        path_id: None,
        stale: false,
        usable: true,
        best: true,
        multipath: false,
        reason: "shorter AS path".into(),
        next_hop: Some("192.168.11.2".parse().unwrap()),
        link: Some("eth1".into()),
        as_path: "64512".into(),
        origin: "igp".into(),
        med: None,
        local_pref: Some(100),
        communities: vec!["64512:1".into(), "no-export".into()],
    }
}

pub(super) fn route() -> Route {
    Route {
        prefix: "10.1.0.0/16".parse().unwrap(),
        kernel: Kernel::Installed,
        paths: vec![
            path(),
            Path {
                from: Some(reference("", "2001:db8::2")),
                usable: false,
                best: false,
                reason: "next hop 2001:db8::9 not reachable".into(),
                next_hop: Some("2001:db8::9".parse().unwrap()),
                link: None,
                as_path: "64512 64600".into(),
                med: Some(4_294_967_295),
                communities: vec![],
                ..path()
            },
        ],
        kernel_error: None,
        advertised_to: vec![reference("host", "192.169.10.2")],
        withheld: Vec::new(),
    }
}

pub(super) fn verdicts() -> Vec<Verdict> {
    vec![
        Verdict {
            kind: "L3Passthrough".into(),
            name: "pt".into(),
            file: Some("/etc/x.yaml".into()),
            line: Some(3),
            namespace: None,
            generation: None,
            outcome: Outcome::Rejected,
            warnings: vec![],
            reason: Some("ValidationFailed".into()),
            field: Some("spec.hostSession.asn".into()),
            message: Some("64999 differs from the underlay's 64514".into()),
        },
        Verdict {
            kind: "Underlay".into(),
            name: "underlay".into(),
            file: Some("/etc/y.yaml".into()),
            line: None,
            namespace: None,
            generation: None,
            outcome: Outcome::Applied,
            warnings: vec!["eth1 carries the default route".into()],
            reason: None,
            field: None,
            message: None,
        },
    ]
}

pub(super) fn status() -> Status {
    Status {
        version: "0.1.0".into(),
        mode: Mode::Run,
        pid: 4242,
        started: "2026-11-22T11:33:07Z".into(),
        uptime_seconds: 277_200,
        healthy: false,
        problems: vec!["eth2: no such link".into()],
        warnings: vec![],
        drain: None,
        node: Some(Node { name: "worker-1".into(), index: 3 }),
        no_config: None,
        namespace: Some("perouter".into()),
        router: Some(Router {
            asn: Some(64514),
            router_id: Some("10.0.0.4".parse().unwrap()),
            destinations: vec![
                Destinations { family: Family::Ipv4Unicast, count: 12, paths: 20 },
                Destinations { family: Family::Ipv6Unicast, count: 0, paths: 0 },
            ],
            attribute_sets: 3,
            fib: Fib { installed: 11, pending: 1, failed: 0, groups: 2 },
        }),
        verdicts: verdicts(),
        links: vec![
            Link {
                name: "eth1".into(),
                index: 2,
                kind: String::new(),
                up: true,
                carrier: true,
                mtu: 9000,
                addresses: vec!["192.168.11.3/24".parse().unwrap(), "2001:db8::3/64".parse().unwrap()],
            },
            Link {
                name: "pt-ns".into(),
                index: 3,
                kind: "veth".into(),
                up: true,
                carrier: false,
                mtu: 1500,
                addresses: vec![],
            },
        ],
        host_errors: vec![HostError { object: "eth2".into(), message: "no such link".into() }],
        host_warnings: vec!["NetworkManager claims eth1".into()],
        peers: vec![peer()],
        events: vec![
            Event {
                number: 1,
                at: "2026-11-22T11:33:07Z".into(),
                age_seconds: 300,
                level: Level::Warn,
                peer: Some("192.168.11.2".parse().unwrap()),
                object: None,
                text: "hold timer expired".into(),
            },
            Event {
                number: 2,
                at: "2026-11-22T11:33:08Z".into(),
                age_seconds: 299,
                level: Level::Info,
                peer: None,
                object: None,
                text: "session is up".into(),
            },
        ],
    }
}

#[test]
fn durations_have_two_units() {
    for (seconds, text) in [
        (0, "0s"),
        (59, "59s"),
        (303, "5m03s"),
        (3_600, "1h00m"),
        (3_720, "1h02m"),
        (86_399, "23h59m"),
        (273_600, "3d4h"),
    ] {
        assert_eq!(duration(seconds), text);
    }
}

#[test]
fn words_stand_left_and_numbers_right_without_trailing_blanks() {
    let mut table = Table::new(1, [text("NAME"), number("COUNT"), text("NOTE")]);
    table.row([Cell::from("a"), Cell::from("7"), Cell::from("")]);
    table.row([Cell::from("longer"), Cell::from("1000000"), Cell::from("é")]);
    table.row([Cell::default(), Cell::default(), Cell::from("alone")]);
    assert_eq!(
        printed(|out| table.print(out)),
        " NAME      COUNT  NOTE\n a             7\n longer  1000000  é\n                  alone\n"
    );
}

#[test]
fn a_table_in_parts_has_one_header_and_never_gets_narrower() {
    let mut table = Table::new(0, [text("A"), text("B")]);
    let text = printed(|out| {
        table.row([Cell::from("wide one"), Cell::from("x")]);
        table.print(out)?;
        table.row([Cell::from("n"), Cell::from("y")]);
        table.print(out)
    });
    assert_eq!(text, "A         B\nwide one  x\nn         y\n");
}

#[test]
fn colours_do_not_disturb_the_alignment() {
    let mut table = Table::new(0, [text("STATE"), text("X")]);
    table.row([Cell::styled(Style::Good, "up"), Cell::from("1")]);
    let mut bytes = Vec::new();
    table.print(&mut Out::coloured(&mut bytes)).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), "STATE  X\n\x1b[32mup\x1b[0m     1\n");
}

#[test]
fn text_from_outside_cannot_steer_the_terminal() {
    assert_eq!(clean("bye\x1b[2J\nnow"), "bye\u{fffd}[2J now");
    assert_eq!(clean("plain"), "plain");
    let hostile = Peer { last_error: Some("\x1b[31mred".into()), ..peer_down() };
    assert!(!printed(|out| peers::table(out, 0, &[hostile], false)).contains('\x1b'));
}

#[test]
fn verdicts_read_like_a_compilers_messages() {
    assert_eq!(
        printed(|out| verdicts::print(out, 0, &verdicts())),
        "\
/etc/x.yaml:3: L3Passthrough pt: rejected (ValidationFailed)
  spec.hostSession.asn: 64999 differs from the underlay's 64514
/etc/y.yaml: Underlay underlay: applied
  warning: eth1 carries the default route
"
    );
}

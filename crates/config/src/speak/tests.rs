use std::fs;

use engine::intent::{PeerIntent, RemoteAs, Secret, Ttl};
use engine::{Family, FamilySet};

use super::*;

fn load_text(text: &str) -> Result<Speak, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("speak.yaml");
    fs::write(&path, text).unwrap();
    fs::write(dir.path().join("key"), "fromfile\n").unwrap();
    load(&path).map_err(|error| ConfigError(error.0.replace(dir.path().to_str().unwrap(), "")))
}

fn refused(text: &str) -> String {
    load_text(text).unwrap_err().0
}

fn with_neighbor(neighbor: &str) -> String {
    format!("asn: 64514\nrouterID: 10.0.0.1\nneighbors:\n  - {neighbor}\n")
}

const EXAMPLE: &str = r#"asn: 64514
routerID: 10.0.0.1
listen: ["0.0.0.0:179", "[::]:179"]      # default
connectRetrySeconds: 5                   # idle and retry timers never longer than this after a failure
neighbors:
  - {name: fabric, address: 192.168.11.2, asn: 64512, role: fabric, addressFamilies: [ipv4unicast]}
  - {name: host, address: 192.169.10.2, asn: 64515, role: host, addressFamilies: [ipv4unicast], password: s3cret}
  - {name: v6, address: "2001:db8:11::2", asn: 64512, role: fabric, addressFamilies: [ipv4unicast, ipv6unicast], extendedNextHop: true}
networks: [192.169.10.2/32]              # originated whether or not the kernel has them
gracefulRestart: {}                      # absent: off
kernelRoutes: true                       # default; false: no FIB
stateDir: ./state                        # sockets, restart state; default /run/perouter
"#;

#[test]
fn the_documented_example_is_read_as_it_says() {
    let speak = load_text(EXAMPLE).unwrap();
    assert_eq!(speak.listen, ["0.0.0.0:179".parse().unwrap(), "[::]:179".parse().unwrap()]);
    assert_eq!(speak.state_dir, PathBuf::from("./state"));
    let Intent { asn, router_id, peers, networks, fib, .. } = speak.intent;
    assert_eq!((asn, router_id, fib), (64514, "10.0.0.1".parse().unwrap(), true));
    assert_eq!(networks, [Network { prefix: "192.169.10.2/32".parse().unwrap(), while_link_up: None }]);
    for peer in peers.values() {
        let restart = peer.graceful_restart.unwrap();
        assert_eq!((restart.restart_time.as_secs(), restart.stale_time.as_secs()), (120, 360));
    }
    let fabric = &peers[&"192.168.11.2".parse::<IpAddr>().unwrap()];
    assert_eq!((fabric.name.as_str(), fabric.role, fabric.allow_own_as), ("fabric", Role::Fabric, 3));
    assert_eq!((fabric.remote_as, fabric.ttl), (RemoteAs::Number(64512), Ttl::Direct));
    assert_eq!(fabric.families, [Family::Ipv4Unicast]);
    let host = &peers[&"192.169.10.2".parse::<IpAddr>().unwrap()];
    assert_eq!((host.role, host.ttl, &host.password), (Role::Host, Ttl::System, &Some(Secret("s3cret".into()))));
    let v6 = &peers[&"2001:db8:11::2".parse::<IpAddr>().unwrap()];
    assert!(v6.extended_next_hop);
    assert_eq!(v6.families, Family::ALL);
    assert!(peers.values().all(|peer| peer.connect_retry.as_secs() == 5));
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let speak = load_text(&with_neighbor("{address: 192.0.2.1, asn: 1}")).unwrap();
    assert_eq!(speak.listen, ["0.0.0.0:179".parse().unwrap(), "[::]:179".parse().unwrap()]);
    assert_eq!(speak.state_dir, PathBuf::from("/run/perouter"));
    assert!(speak.intent.fib);
    let peer = &speak.intent.peers[&"192.0.2.1".parse::<IpAddr>().unwrap()];
    let wanted = PeerIntent::new("192.0.2.1", Role::Peer, RemoteAs::Number(1), vec![Family::Ipv4Unicast]);
    assert_eq!(*peer, wanted);
}

#[test]
fn every_option_of_an_underlays_neighbor_is_taken() {
    let text = with_neighbor(
        "{address: \"2001:db8::1\", type: External, role: fabric, port: 20179, holdTimeSeconds: 9, keepaliveTimeSeconds: 3, \
         connectTimeSeconds: 7, passwordFile: key, properties: [{type: ebgpMultiHop, ebgpMultiHop: {ttl: 4}}], \
         addressFamilies: [{type: ipv4unicast}, ipv6unicast], extendedNextHop: false, bfd: {}}",
    );
    let speak = load_text(&text).unwrap();
    assert_eq!(speak.warnings, Vec::<String>::new());
    let peer = &speak.intent.peers[&"2001:db8::1".parse::<IpAddr>().unwrap()];
    assert_eq!((peer.remote_as, peer.port, peer.ttl), (RemoteAs::External, 20179, Ttl::Multihop(4)));
    let times = [peer.hold_time, peer.keepalive, peer.connect_retry].map(|time| time.as_secs());
    assert_eq!(times, [9, 3, 7]);
    assert_eq!(peer.password, Some(Secret("fromfile".into())));
    assert_eq!((peer.families.as_slice(), peer.extended_next_hop), (&Family::ALL[..], false));
}

#[test]
fn ranges_and_unnumbered_neighbors_are_taken() {
    let text = with_neighbor(
        "{listenRange: 10.9.0.0/16, type: External, name: racks, role: fabric, passwordFile: key}\n  - {interface: eth1, type: Internal}",
    );
    let Speak { intent, secret_files, .. } = load_text(&format!("listenLimit: 10\n{text}")).unwrap();
    let [range] = &intent.ranges[..] else { panic!("{intent:#?}") };
    assert_eq!(
        (range.prefix.to_string(), range.peer.name.as_str(), range.peer.role),
        ("10.9.0.0/16".into(), "racks", Role::Fabric)
    );
    assert_eq!(range.peer.password, Some(Secret("fromfile".into())));
    assert_eq!(intent.listen_limit, 10);
    let link = &intent.unnumbered["eth1"];
    assert_eq!((link.name.as_str(), link.link.as_deref(), link.extended_next_hop), ("eth1", Some("eth1"), true));
    let names: Vec<_> = secret_files.iter().map(|file| file.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["key"]);
}

#[test]
fn policies_are_those_of_an_underlay() {
    let text = with_neighbor(
        "{address: 192.0.2.1, asn: 1, localAddress: 192.0.2.9, allowedPrefixes: [{prefix: 10.0.0.0/8, le: 24}], \
         maxPrefixes: [{type: ipv4unicast, limit: 5, action: Teardown}], ttlSecurity: {hops: 3}, enforceFirstAS: false, \
         bgpRole: Peer, rejectAsSets: true, addPath: Both}",
    );
    let text = format!(
        "advertiseAfterFib: true\nmultipath: {{maxPaths: 2}}\nbestPath: {{preferOldest: true}}\nrouteReflector: {{clusterID: 10.9.9.9}}\ngracefulRestart: {{}}\n{text}"
    );
    let Speak { intent, warnings, .. } = load_text(&text).unwrap();
    let peer = &intent.peers[&"192.0.2.1".parse::<IpAddr>().unwrap()];
    assert_eq!(peer.local_address, Some("192.0.2.9".parse().unwrap()));
    assert_eq!((peer.allowed_prefixes[0].ge, peer.allowed_prefixes[0].le), (8, 24));
    assert_eq!(
        (peer.max_prefixes[&Family::Ipv4Unicast].limit, peer.ttl_security, peer.enforce_first_as),
        (5, Some(3), false)
    );
    assert_eq!((peer.bgp_role, peer.reject_as_sets), (Some(engine::BgpRole::Peer), true));
    assert!(intent.prefer_oldest && intent.advertise_after_fib);
    assert_eq!((intent.multipath.max_paths, intent.cluster_id), (2, Some("10.9.9.9".parse().unwrap())));
    assert!(peer.graceful_restart.is_some() && peer.add_path.is_some());
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn kernel_routes_can_be_off_and_a_host_in_our_as_is_a_client() {
    let text = format!("kernelRoutes: false\n{}", with_neighbor("{address: 192.0.2.1, type: Internal, role: host}"));
    let intent = load_text(&text).unwrap().intent;
    assert!(!intent.fib);
    let peer = intent.peers.values().next().unwrap();
    assert_eq!((peer.reflector_client, peer.next_hop_self), (FamilySet::only(Family::Ipv4Unicast), true));
}

#[test]
fn connect_retry_seconds_caps_every_neighbor() {
    let neighbors =
        "{address: 192.0.2.1, asn: 1, connectTimeSeconds: 9}\n  - {address: 192.0.2.2, asn: 1, connectTimeSeconds: 2}";
    let text = format!("connectRetrySeconds: 3\n{}", with_neighbor(neighbors));
    let intent = load_text(&text).unwrap().intent;
    let retries: Vec<_> = intent.peers.values().map(|peer| peer.connect_retry.as_secs()).collect();
    assert_eq!(retries, [3, 2]);
}

#[test]
fn errors_name_file_line_field_value_and_remedy() {
    let head = "asn: 64514\nrouterID: 10.0.0.1\n";
    let cases = [
        ("", "the file is empty"),
        ("routerID: 10.0.0.1\n", "/speak.yaml:1: asn: asn is required but missing: add it"),
        ("asn: 0\nrouterID: 10.0.0.1\n", "/speak.yaml:1: asn: asn should be greater than or equal to 1, got 0"),
        ("asn: 1\nrouterID: 10.0.0\n", "/speak.yaml:2: routerID: got \"10.0.0\": write four numbers such as 10.0.0.1"),
        ("asn: 1\nrouterID: 0.0.0.0\n", "/speak.yaml:2: routerID: got \"0.0.0.0\""),
        ("asn: 1\nrouterId: 10.0.0.1\n", "unknown field \"routerId\": did you mean \"routerID\"?"),
        (&format!("{head}listen: [\"179\"]\n"), "/speak.yaml:3: listen[0]: got \"179\": write address:port"),
        (
            &format!("{head}networks:\n  - 192.0.2.1/24\n"),
            "/speak.yaml:4: networks[0]: 192.0.2.1/24 has host bits set: write 192.0.2.0/24 or 192.0.2.1/32",
        ),
        (&format!("{head}networks: [x]\n"), "/speak.yaml:3: networks[0]: got \"x\": write address/length"),
        (&format!("{head}---\nasn: 1\n"), "/speak.yaml:4: a second document"),
        (&format!("{head}neighbors: [\n"), "not valid YAML"),
        (
            &with_neighbor("{address: 192.0.2.1, asn: 1, rol: host}"),
            "/speak.yaml:4: neighbors[0].rol: unknown field \"rol\": did you mean \"role\"?",
        ),
        (
            &with_neighbor("{address: 192.0.2.1, asn: 1, role: leaf}"),
            "Unsupported value: \"leaf\": supported values: \"fabric\", \"host\", \"peer\"",
        ),
        (&with_neighbor("{address: 192.0.2.1}"), "/speak.yaml:4: neighbors[0]: either ASN or Type must be set"),
        (
            &with_neighbor("{listenRange: 10.0.0.0/8, asn: 1}\n  - {listenRange: 10.1.0.0/16, asn: 2}"),
            "/speak.yaml:5: neighbors[1].listenRange: listenRange 10.0.0.0/8 overlaps with listenRange 10.1.0.0/16",
        ),
        (
            &with_neighbor("{interface: eth1, asn: 1}\n  - {interface: eth1, asn: 2, name: b}"),
            "neighbors[1].interface: duplicate neighbor interface names, only one peer is allowed per interface",
        ),
        (
            &with_neighbor("{address: 192.0.2.1, asn: 1, localAddress: \"2001:db8::1\"}"),
            "neighbors[0].localAddress: 2001:db8::1 cannot reach 192.0.2.1: write an address of the same family",
        ),
        (
            &with_neighbor("{interface: eth1, asn: 1, localAddress: 192.0.2.2}"),
            "neighbors[0].localAddress: has a meaning only beside address: remove it",
        ),
        (
            &with_neighbor("{address: 192.0.2.1, asn: 1, passwordSecret: s}"),
            "neighbors[0].passwordSecret: the Secret \"s\" cannot be read from files, use passwordFile: remove this",
        ),
        (
            &with_neighbor("{address: 192.0.2.1, asn: 1, allowedPrefixes: [{prefix: 10.0.0.1/8}]}"),
            "neighbors[0].allowedPrefixes[0].prefix: 10.0.0.1/8 has host bits set: write 10.0.0.0/8 or 10.0.0.1/32",
        ),
        (&format!("hostRoutes: {{}}\n{head}"), "unknown field \"hostRoutes\""),
        (
            &with_neighbor("{address: 192.0.2.1, asn: 1, passwordFile: nokey}"),
            "neighbors[0].passwordFile: cannot read the key from /nokey",
        ),
        (
            &with_neighbor("{address: 192.0.2.1, asn: 1, passwordFile: key, password: x}"),
            "password and passwordFile cannot be set together",
        ),
        (
            &with_neighbor("{address: 192.0.2.1, asn: 1, password: 12345}"),
            "password must be text, got something else: put it in quotes",
        ),
        (
            &with_neighbor("{address: 192.0.2.1, asn: 1, password: a b}"),
            "password must not be empty and must not contain whitespace",
        ),
        (&with_neighbor("{address: 224.0.0.1, asn: 1}"), "224.0.0.1 is a multicast address"),
        (&with_neighbor("{address: \"fe80::1\", asn: 1}"), "fe80::1 is a link-local address"),
        (
            &with_neighbor("{address: 192.0.2.1, asn: 1}\n  - {address: 192.0.2.1, asn: 2, name: b}"),
            "/speak.yaml:5: neighbors[1].address: duplicate neighbor address",
        ),
        (
            &with_neighbor("{address: 192.0.2.1, asn: 1, name: a}\n  - {address: 192.0.2.2, asn: 2, name: a}"),
            "/speak.yaml:5: neighbors[1].name: \"a\" is taken",
        ),
    ];
    for (text, wanted) in cases {
        let got = refused(text);
        assert!(got.contains(wanted), "{text}\ngot    {got}\nwanted {wanted}");
    }
    assert_eq!(load(Path::new("/nonexistent.yaml")).unwrap_err().0, "/nonexistent.yaml: file does not exist");
}

#[test]
fn every_problem_of_a_file_has_its_line() {
    let text = "asn: 1\nrouterID: x\nlisten: [y]\nnetworks: [z]\n";
    let problems: Vec<_> = refused(text).lines().map(|line| line.chars().take(13).collect::<String>()).collect();
    assert_eq!(problems, ["/speak.yaml:2", "/speak.yaml:3", "/speak.yaml:4"]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_read_without_panic(text in "\\PC*", at in 0..EXAMPLE.len(), put in "[-a-z:{}\\[\\]&*!|>\n \"0-9]{0,6}") {
        let _ = load_text(&text);
        let _ = load_text(&format!("{}{put}{}", &EXAMPLE[..at], &EXAMPLE[(at + 3).min(EXAMPLE.len())..]));
    }
}

/// Rules are compiled once for all neighbours and for what they have; the sentences are those of each, from the top down.
#[test]
fn what_breaks_a_rule_is_told_for_every_neighbor_in_order() {
    let told = refused(&with_neighbor(
        "{address: 192.0.2.1, asn: 1}\n  - {address: 192.0.2.2}\n  - {asn: 3, address: 192.0.2.3, listenRange: 10.0.0.0/8}\n  \
         - {address: 192.0.2.4}",
    ));
    let places =
        ["speak.yaml:5: neighbors[1]: either ASN", "speak.yaml:6: neighbors[2]", "speak.yaml:7: neighbors[3]: either"];
    let found: Vec<_> = places.iter().map(|place| told.find(place)).collect();
    assert!(found.iter().all(Option::is_some) && found.is_sorted(), "{found:?}\n{told}");
    assert!(!told.contains("neighbors[0]"), "{told}");
}

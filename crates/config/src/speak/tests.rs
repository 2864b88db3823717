use std::fs;

use engine::intent::{RemoteAs, Secret, Ttl};
use wire::Family;

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
    assert_eq!(
        speak.listen,
        ["0.0.0.0:179".parse().unwrap(), "[::]:179".parse().unwrap()]
    );
    assert_eq!(speak.state_dir, PathBuf::from("./state"));
    let Intent {
        asn,
        router_id,
        peers,
        networks,
        graceful_restart,
        fib,
        ..
    } = speak.intent;
    assert_eq!(
        (asn, router_id, fib),
        (64514, "10.0.0.1".parse().unwrap(), true)
    );
    assert_eq!(
        networks,
        [Network {
            prefix: "192.169.10.2/32".parse().unwrap(),
            while_link_up: None
        }]
    );
    let restart = graceful_restart.unwrap();
    assert_eq!(
        (restart.restart_time.as_secs(), restart.stale_time.as_secs()),
        (120, 360)
    );
    let fabric = &peers[&"192.168.11.2".parse::<IpAddr>().unwrap()];
    assert_eq!(
        (fabric.name.as_str(), fabric.role, fabric.allow_own_as),
        ("fabric", Role::Fabric, 3)
    );
    assert_eq!(
        (fabric.remote_as, fabric.ttl),
        (RemoteAs::Number(64512), Ttl::Direct)
    );
    assert_eq!(fabric.families, [Family::Ipv4Unicast]);
    let host = &peers[&"192.169.10.2".parse::<IpAddr>().unwrap()];
    assert_eq!(
        (host.role, host.ttl, &host.password),
        (Role::Host, Ttl::System, &Some(Secret("s3cret".into())))
    );
    let v6 = &peers[&"2001:db8:11::2".parse::<IpAddr>().unwrap()];
    assert!(v6.extended_next_hop);
    assert_eq!(v6.families, Family::ALL);
    assert!(peers.values().all(|peer| peer.connect_retry.as_secs() == 5));
}

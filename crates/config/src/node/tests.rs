use std::fs;

use super::*;

fn links(name: &str) -> Option<Vec<IpNet>> {
    let addresses: &[&str] = match name {
        "lo" => &["127.0.0.1/8", "::1/128"],
        "eth0" => &["fe80::1/64", "10.1.3.7/16", "192.168.1.80/24", "2001:db8::42/64"],
        "six" => &["fe80::1/64", "2001:db8::42/64"],
        "bare" => &["fe80::1/64"],
        "wide" => &["2001:db8::1:0:0:1/64"],
        _ => return None,
    };
    Some(addresses.iter().map(|address| address.parse().unwrap()).collect())
}

fn load_text(text: &str) -> Result<Node, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node-config.yaml");
    fs::write(&path, text).unwrap();
    load_with(&path, &links).map_err(|error| error.0.replace(dir.path().to_str().unwrap(), ""))
}

fn index(node_index: &str) -> Result<u32, String> {
    load_text(&format!("nodeName: n\nnodeIndex: {node_index}\n")).map(|node| node.index)
}

#[test]
fn case_116_index_interface_and_cidr_exclude_or_need_each_other() {
    assert_eq!(index("{index: 7}"), Ok(7));
    assert_eq!(index("{interfaceName: lo}"), Ok(1));
    assert_eq!(index("{}"), Ok(0));
    assert_eq!(index("{interfaceName: eth0, cidr: 192.168.1.0/24}"), Ok(80));
    let refused = |text: &str, wanted: &str| {
        let got = index(text).unwrap_err();
        assert!(got.starts_with("/node-config.yaml:2: ") && got.contains(wanted), "{text}: {got}");
    };
    refused(
        "{index: 1, interfaceName: eth0}",
        "index and interfaceName are mutually exclusive, got index 1 and interface \"eth0\"",
    );
    refused("{cidr: 192.168.1.0/24}", "cidr \"192.168.1.0/24\" requires interfaceName to be set");
    refused("{interfaceName: eth0, cidr: not-a-cidr}", "invalid cidr \"not-a-cidr\"");
}

#[test]
fn case_117_the_host_part_is_what_the_prefix_leaves() {
    let cases = [
        ("192.0.2.80/24", 80),
        ("192.0.2.1/24", 1),
        ("192.0.2.254/24", 254),
        ("10.1.3.7/16", 775),
        ("192.0.2.19/28", 3),
        ("192.0.2.1/32", 0),
        ("10.1.2.3/8", 66051),
        ("2001:db8::42/64", 0x42),
        ("2001:db8::42/128", 0),
    ];
    for (address, wanted) in cases {
        assert_eq!(host_part(&address.parse().unwrap()), wanted, "{address}");
    }
}

#[test]
fn case_118_an_interface_gives_the_index_or_says_why_not() {
    assert_eq!(index("{interfaceName: lo, cidr: 127.0.0.0/8}"), Ok(1));
    assert_eq!(index("{interfaceName: eth0}"), Ok(775), "IPv4 is preferred");
    assert_eq!(index("{interfaceName: six}"), Ok(0x42), "link-local addresses do not count");
    let refused = |text: &str, wanted: &str| {
        let got = index(text).unwrap_err();
        assert!(got.contains(wanted), "{text}: {got}");
    };
    refused("{interfaceName: eth9}", "interface eth9 does not exist");
    refused("{interfaceName: lo, cidr: 10.0.0.0/8}", "no address matching cidr 10.0.0.0/8 found on interface lo");
    refused("{interfaceName: bare}", "no IP address found on interface bare");
    refused("{interfaceName: wide}", "is too large for an index");
}

#[test]
fn case_119_node_files() {
    let node = load_text("nodeIndex:\n  index: 42\nnodeName: worker-1\nlogLevel: debug\n").unwrap();
    assert_eq!(node, Node { log_level: Some("debug".into()), ..Node::new("worker-1", 42) });
    assert_eq!(node.labels["kubernetes.io/hostname"], "worker-1");
    assert_eq!(load_text("nodeIndex: {index: 0}\nlogLevel: info\n").unwrap().index, 0);
    assert_eq!(load_text("nodeIndex: {index: 1}\n").unwrap().log_level, None);
    let got = load_text("nodeIndex: [\n").unwrap_err();
    assert!(got.starts_with("/node-config.yaml:"), "{got}");
    let got = load_text("nodeIndex: {indx: 1}\n").unwrap_err();
    assert!(got.contains("unknown field \"indx\": did you mean \"index\"?"), "{got}");
    let got = load_text("nodeIndex: {index: -1}\n").unwrap_err();
    assert!(got.contains("index should be greater than or equal to 0, got -1"), "{got}");
    let missing = load_with(Path::new("/nonexistent/node-config.yaml"), &links).unwrap_err();
    assert_eq!(missing.0, "/nonexistent/node-config.yaml: file does not exist");
}

#[test]
fn the_name_defaults_to_the_hosts() {
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(load_text("").unwrap().name, hostname.trim());
    assert_eq!(load_text("nodeName: \"\"\n").unwrap().name, hostname.trim());
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC*") {
        let _ = load_text(&text);
        let _ = index(&text);
    }
}

#[test]
fn http_beyond_the_loopback_interface_needs_a_token() {
    let http = |text: &str| load_text(&format!("nodeName: n\nhttp: {text}\n")).map(|node| node.http);
    let local = Http { listen: "127.0.0.1:9180".parse().unwrap(), token_file: None };
    assert_eq!(http("{listen: \"127.0.0.1:9180\"}"), Ok(Some(local)));
    assert!(http("{listen: \"[::1]:9180\"}").is_ok());
    let open = http("{listen: \"0.0.0.0:9180\"}").unwrap_err();
    assert!(open.starts_with("/node-config.yaml:2: 0.0.0.0:9180 can be reached from other machines"), "{open}");
    let served = http("{listen: \"0.0.0.0:9180\", tokenFile: /etc/token}").unwrap().unwrap();
    assert_eq!(served.token_file.as_deref(), Some(Path::new("/etc/token")));
    assert!(http("{listen: localhost}").unwrap_err().contains("invalid listen \"localhost\""));
}

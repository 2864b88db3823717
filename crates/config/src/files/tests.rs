use std::fs;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::compile::{Compiled, compile};

mod keys;
mod rules;

struct Dir(tempfile::TempDir);

impl Dir {
    fn with(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Self(dir)
    }

    fn load_as(&self, node: &str) -> Loaded {
        load(self.0.path(), &Node::new(node, 0))
    }

    fn load(&self) -> Loaded {
        self.load_as("test-node")
    }
}

const GOOD: &str = "underlays:
  - asn: 64514
    interfaces:
      - {type: NetworkDevice, networkDevice: {interfaceName: eth1}}
    neighbors:
      - {asn: 64512, address: 192.168.11.2}
";

const EXAMPLE: &str = include_str!("../../tests/data/openpe_underlay.yaml");

/// What a file's only verdict says: its line, its field and its sentence.
fn complaint(text: &str) -> (usize, String, String) {
    let loaded = Dir::with(&[("openpe_a.yaml", text)]).load();
    assert_eq!(loaded.verdicts.len(), 1, "{:#?}", loaded.verdicts);
    let (path, line) = loaded.verdicts[0].object.source.file().unwrap();
    assert_eq!(path.file_name().unwrap(), "openpe_a.yaml");
    let Outcome::Rejected { reason: "ValidationFailed", field, message } = &loaded.verdicts[0].outcome else {
        panic!("{:#?}", loaded.verdicts)
    };
    (line, field.clone().unwrap_or_default(), message.clone())
}

#[test]
fn case_120_good_files_are_all_read() {
    let loaded = Dir::with(&[("openpe_a.yaml", GOOD), ("notes.yaml", "?"), ("openpe_b.yml", "?")]).load();
    assert_eq!((loaded.objects.underlays.len(), loaded.verdicts, loaded.none), (1, vec![], None));
    let loaded = Dir::with(&[("openpe_a.yaml", GOOD), ("openpe_b.yaml", GOOD)]).load();
    assert_eq!(loaded.objects.underlays.len(), 2);
}

/// design.md 6.1: a bad file takes down nothing but itself.
#[test]
fn case_120_invalid_yaml_is_rejected_and_the_other_files_are_used() {
    let loaded = Dir::with(&[("openpe_a.yaml", "underlays: [\n  - }"), ("openpe_b.yaml", GOOD)]).load();
    assert_eq!(loaded.objects.underlays.len(), 1);
    let [Verdict { object, outcome: Outcome::Rejected { message, .. } }] = &loaded.verdicts[..] else {
        panic!("{:#?}", loaded.verdicts)
    };
    assert_eq!((object.kind.as_str(), object.name.as_str()), ("File", "openpe_a.yaml"));
    assert!(message.starts_with("not valid YAML: "), "{message}");
    let (_, line) = object.source.file().unwrap();
    assert!(line > 0);
}

#[test]
fn case_120_no_directory_or_no_files_is_no_configuration_and_no_error() {
    let dir = Dir::with(&[]);
    let path = dir.0.path();
    let wanted = format!("no openpe_*.yaml configuration files found in directory: {}", path.display());
    assert_eq!(dir.load().none, Some(wanted));
    let missing = path.join("missing");
    let loaded = load(&missing, &Node::new("n", 0));
    assert_eq!(loaded.none, Some(format!("configuration directory does not exist: {}", missing.display())));
    assert!(loaded.verdicts.is_empty());
}

#[test]
fn case_121_the_passthrough_of_upstreams_example_is_read() {
    let loaded = Dir::with(&[("openpe_a.yaml", EXAMPLE)]).load();
    assert_eq!(loaded.verdicts, vec![]);
    let [passthrough] = &loaded.objects.passthroughs[..] else { panic!() };
    assert_eq!(passthrough.reference.name, "static-test-node-l3passthrough");
    let session = &passthrough.spec.host_session;
    assert_eq!((session.asn, session.host_asn), (64514, Some(64517)));
    assert_eq!(session.local_cidr.ipv4.as_deref(), Some("192.169.100.0/24"));
    assert_eq!(session.local_cidr.ipv6.as_deref(), Some("2001:db8:100::/64"));
}

#[test]
fn case_122_the_underlay_of_upstreams_example_is_read_and_defaulted() {
    let loaded = Dir::with(&[("openpe_a.yaml", EXAMPLE)]).load();
    let [underlay] = &loaded.objects.underlays[..] else { panic!() };
    assert_eq!(underlay.reference.name, "static-test-node-underlay-0");
    let (_, line) = underlay.reference.source.file().unwrap();
    assert_eq!(line, 2);
    assert_eq!(underlay.spec.router_id_cidr, "10.0.0.0/24");
    assert_eq!(underlay.spec.neighbors[1].bfd.as_ref().unwrap().detect_multiplier, Some(3));
}

#[test]
fn case_123_names_count_over_all_files() {
    let first = "bgppassthrough: {hostSession: {asn: 64514, hostASN: 64515, localCIDR: {ipv4: 192.169.10.0/24}}}
l3vnis: [{name: l3vni-red, vni: 100}]
rawfrrconfigs: [{rawConfig: router bgp 1}]
";
    let loaded =
        Dir::with(&[("openpe_0.yaml", first), ("openpe_a.yaml", GOOD), ("openpe_b.yaml", GOOD)]).load_as("worker-1");
    let underlays: Vec<_> = loaded.objects.underlays.iter().map(|object| object.reference.name.as_str()).collect();
    assert_eq!(underlays, ["static-worker-1-underlay-0", "static-worker-1-underlay-1"]);
    assert_eq!(loaded.objects.passthroughs[0].reference.name, "static-worker-1-l3passthrough");
    let others: Vec<_> = loaded.verdicts.iter().map(|verdict| verdict.object.name.as_str()).collect();
    assert_eq!(others, ["static-worker-1-l3vni-red", "static-worker-1-rawfrrconfig-0"]);
    assert!(loaded.verdicts.iter().all(|verdict| verdict.to_string().contains("not served by perouter: ")));
}

#[test]
fn case_124_and_054_defaults_hold_in_files_and_explicit_values_are_kept() {
    let explicit = GOOD.replace("  - asn: 64514", "  - asn: 64514\n    routerIDCIDR: 172.16.0.0/16");
    let loaded = Dir::with(&[("openpe_a.yaml", GOOD), ("openpe_b.yaml", &explicit)]).load();
    let cidrs: Vec<_> = loaded.objects.underlays.iter().map(|object| object.spec.router_id_cidr.as_str()).collect();
    assert_eq!(cidrs, ["10.0.0.0/24", "172.16.0.0/16"]);
    let cni = GOOD.replace(
        "{type: NetworkDevice, networkDevice: {interfaceName: eth1}}",
        "{type: CNIDevice, cniDevice: {type: RawConfig, rawConfig: {type: macvlan}}}",
    );
    let loaded = Dir::with(&[("openpe_a.yaml", &cni)]).load();
    let device = loaded.objects.underlays[0].spec.interfaces[0].cni_device.as_ref().unwrap();
    assert_eq!(device.interface_name, "net1");
    assert_eq!(device.raw_config, Some(serde_json::json!({ "type": "macvlan" })));
}

/// design.md 6.1: each bad object has its own verdict, and the good one beside them is applied.
#[test]
fn case_125_bad_objects_are_rejected_one_by_one_and_the_good_one_is_used() {
    let text = format!(
        "{GOOD}  - interfaces: []\n    neighbors: [{{asn: 1, address: 192.0.2.1}}]\nl2vnis:\n  - {{name: x, vni: 0}}\n"
    );
    let loaded = Dir::with(&[("openpe_a.yaml", &text)]).load();
    assert_eq!(loaded.objects.underlays.len(), 1);
    let verdicts: Vec<_> =
        loaded.verdicts.iter().map(|verdict| (verdict.object.kind.as_str(), verdict.to_string())).collect();
    let [("Underlay", underlay), ("L2VNI", _)] = &verdicts[..] else { panic!("{verdicts:#?}") };
    assert!(underlay.contains("openpe_a.yaml:7: Underlay static-test-node-underlay-1: rejected"), "{underlay}");
    assert!(underlay.contains("asn is required but missing"), "{underlay}");
    assert!(underlay.contains("interfaces should have at least 1 items"), "{underlay}");
}

#[test]
fn whole_kubernetes_objects_are_read_from_one_file() {
    let text = include_str!("../../tests/data/openpe_metallb.yaml");
    let loaded = Dir::with(&[("openpe_metallb.yaml", text)]).load();
    assert_eq!(loaded.verdicts, vec![]);
    assert_eq!(loaded.objects.underlays[0].reference.name, "underlay");
    assert_eq!(loaded.objects.passthroughs[0].reference.name, "passthrough");
    let (_, line) = loaded.objects.passthroughs[0].reference.source.file().unwrap();
    assert_eq!(line, 21);
    let compiled = compile(&loaded.objects, &Node::new("n", 0));
    assert!(compiled.verdicts.iter().all(|verdict| verdict.outcome == Outcome::Applied { warnings: vec![] }));
}

#[test]
fn foreign_and_unknown_kinds_are_rejected_by_name() {
    let (line, field, message) = complaint("apiVersion: frrk8s.metallb.io/v1beta1\nkind: FRRConfiguration\n");
    assert_eq!((line, field.as_str()), (1, "apiVersion"));
    assert!(message.contains("frrk8s.metallb.io/v1beta1"), "{message}");
    let text = "apiVersion: network.openperouter.io/v1alpha1\nkind: RawFRRConfig\nspec: {rawConfig: x}\n";
    assert!(complaint(text).2.starts_with("not served by perouter"));
}

#[test]
fn case_060_an_object_without_spec_is_rejected() {
    let text = "apiVersion: network.openperouter.io/v1alpha1\nkind: Underlay\nmetadata: {name: x}\n";
    assert_eq!(complaint(text).2, "spec is required");
}

#[test]
fn lower_case_spellings_of_older_documents_are_understood() {
    let text = "bgppassthrough: {hostSession: {asn: 1, hostasn: 2, localcidr: {ipv4: 192.169.10.0/24}}}";
    let loaded = Dir::with(&[("openpe_a.yaml", text)]).load();
    assert_eq!(loaded.verdicts, vec![]);
    assert_eq!(loaded.objects.passthroughs[0].spec.host_session.host_asn, Some(2));
    let twice = "bgppassthrough: {hostSession: {asn: 1, hostasn: 2, hostASN: 3, localCIDR: {ipv4: 192.169.10.0/24}}}";
    assert!(complaint(twice).2.contains("given twice"));
}

#[test]
fn a_passthrough_with_asn_0_is_left_out_and_says_so() {
    let text = "bgppassthrough:\n  hostSession:\n    asn: 0\n    hostASN: 2\n    localCIDR: {ipv4: 192.169.10.0/24}\n";
    let (line, field, message) = complaint(text);
    assert_eq!((line, field.as_str()), (3, "spec.hostSession.asn"));
    assert!(message.contains("leaves the passthrough out"), "{message}");
}

#[test]
fn unknown_fields_are_errors_with_a_suggestion() {
    let (line, field, message) = complaint(&GOOD.replace("address:", "adress:"));
    assert_eq!((line, field.as_str()), (6, "spec.neighbors[0].adress"));
    assert!(message.starts_with("unknown field \"adress\": did you mean \"address\"?"), "{message}");
    let (line, _, message) = complaint("underlay: []\n");
    assert_eq!(line, 1);
    assert!(message.starts_with("unknown field \"underlay\": did you mean \"underlays\"?"), "{message}");
    let (_, _, message) = complaint(&GOOD.replace("{asn: 64512,", "{asn: 64512, colour: red,"));
    assert!(
        message.starts_with("unknown field \"colour\": remove it; known here are addPath, address, addressFamilies, "),
        "{message}"
    );
}

#[test]
fn values_of_the_wrong_type_name_field_value_and_remedy() {
    let cases = [
        (
            GOOD.replace("asn: 64514", "asn: \"64514\""),
            "spec.asn",
            "asn must be a whole number, got \"64514\": remove the quotes",
        ),
        (
            GOOD.replace("asn: 64514", "asn: 4294967296"),
            "spec.asn",
            "asn should be less than or equal to 4294967295, got 4294967296",
        ),
        (
            GOOD.replace("192.168.11.2", "12"),
            "spec.neighbors[0].address",
            "address must be text, got 12: put it in quotes",
        ),
        (
            GOOD.replace("192.168.11.2", "192.168.11"),
            "spec.neighbors[0].address",
            "Address must be a valid IPv4 or IPv6 address, got \"192.168.11\"",
        ),
        (
            GOOD.replace("NetworkDevice,", "Device,"),
            "spec.interfaces[0].type",
            "Unsupported value: \"Device\": supported values: \"NetworkDevice\", \"CNIDevice\"",
        ),
    ];
    for (text, wanted_field, wanted) in cases {
        let (line, field, message) = complaint(&text);
        assert_eq!((field.as_str(), message.as_str()), (wanted_field, wanted));
        assert!(line >= 2);
    }
}

#[test]
fn files_of_any_name_and_place_are_read_as_one_configuration() {
    let text = KEYS_IN_FILES.split("bgppassthrough").next().unwrap();
    let first = Dir::with(&[("fabric.yml", text), ("key", "k")]);
    let second = Dir::with(&[("more", GOOD)]);
    let missing = second.0.path().join("missing.yaml");
    let paths = [first.0.path().join("fabric.yml"), second.0.path().join("more"), missing.clone()];
    let loaded = load_files(&paths, &Node::new("n", 0));
    let names: Vec<_> = loaded.objects.underlays.iter().map(|object| object.reference.name.as_str()).collect();
    assert_eq!(names, ["static-n-underlay-0", "static-n-underlay-1"]);
    assert_eq!(loaded.objects.underlays[0].spec.neighbors[0].password.as_deref(), Some("k"));
    let [verdict] = &loaded.verdicts[..] else { panic!("{:#?}", loaded.verdicts) };
    let (path, _) = verdict.object.source.file().unwrap();
    assert_eq!(*path, missing);
    assert!(verdict.to_string().contains("cannot read the file: No such file or directory"));
    assert_eq!(loaded.none, None);
}

/// What upstream merges into one set of objects is one configuration here: in the order of the files' names.
#[test]
fn case_098_objects_of_several_files_are_one_configuration() {
    let passthrough = "bgppassthrough: {hostSession: {asn: 64514, hostASN: 64515, localCIDR: {ipv4: 192.169.10.0/24}}}";
    let other = GOOD.replace("192.168.11.2", "192.168.11.9");
    let dir = Dir::with(&[("openpe_2.yaml", passthrough), ("openpe_1.yaml", GOOD), ("openpe_3.yaml", &other)]);
    let compiled = compile(&dir.load().objects, &Node::new("n", 0));
    assert_eq!(peers(&compiled), ["192.168.11.2", "192.169.10.2"]);
    let applied: Vec<_> = compiled.verdicts.iter().map(Verdict::is_applied).collect();
    assert_eq!(applied, [true, false, true]);
}

/// There are no overlays here, so a passthrough cannot overlap with one: each of their objects says that it is not
/// served, and holds nothing back.
#[test]
fn case_022_to_025_and_029_overlay_objects_do_not_concern_the_passthrough() {
    let vni = "l3vnis:\n  - {name: vni1, vrf: red, vni: 100, hostSession: {asn: 1, hostASN: 2, localCIDR: {ipv4: 192.169.10.0/24}}}\n";
    let text =
        format!("{}{vni}", KEYS_IN_FILES.replace(", passwordFile: host.key", "").replace(", passwordFile: key", ""));
    let loaded = Dir::with(&[("openpe_a.yaml", &text)]).load();
    let [verdict] = &loaded.verdicts[..] else { panic!("{:#?}", loaded.verdicts) };
    assert!(verdict.to_string().contains("L3VNI static-test-node-vni1: rejected"), "{verdict}");
    let compiled = compile(&loaded.objects, &Node::new("n", 0));
    assert!(compiled.verdicts.iter().all(|verdict| verdict.outcome == Outcome::Applied { warnings: vec![] }));
}

/// design.md 6: RawFRRConfig has no meaning without FRR; alone it makes no router.
#[test]
fn case_084_raw_frr_configuration_has_a_verdict_and_no_effect() {
    let text = "rawfrrconfigs:\n  - {rawConfig: router bgp 1, priority: 5}\n  - {rawConfig: log stdout}\n";
    let loaded = Dir::with(&[("openpe_a.yaml", text)]).load();
    let sentences: Vec<_> = loaded.verdicts.iter().map(ToString::to_string).collect();
    assert_eq!(sentences.len(), 2);
    assert!(sentences.iter().all(|sentence| sentence.contains("there is no FRR here that could read it")));
    assert!(compile(&loaded.objects, &Node::new("n", 0)).intent.is_none());
}

/// CNI devices are not served by this version, so their configuration is not parsed: valid or broken, the verdict says
/// that the link is not made.
#[test]
fn case_047_cni_devices_are_accepted_and_not_made() {
    for plugins in ["[]", "notalist"] {
        let raw = format!("{{cniVersion: \"1.0.0\", name: broken, plugins: {plugins}}}");
        let text = GOOD.replace(
            "{type: NetworkDevice, networkDevice: {interfaceName: eth1}}",
            &format!("{{type: CNIDevice, cniDevice: {{type: RawConfig, rawConfig: {raw}}}}}"),
        );
        let loaded = Dir::with(&[("openpe_a.yaml", &text)]).load();
        let compiled = compile(&loaded.objects, &Node::new("n", 0));
        let sentence = compiled.verdicts[0].to_string();
        let wanted = "spec.interfaces[0].cniDevice: CNI devices are not served by this version: the link is not made";
        assert!(sentence.contains(wanted), "{sentence}");
        assert!(compiled.intent.is_some());
    }
}

const KEYS_IN_FILES: &str = "underlays:
  - asn: 64514
    interfaces:
      - {type: NetworkDevice, networkDevice: {interfaceName: eth1}}
    neighbors:
      - {asn: 64512, address: 192.168.11.2, passwordFile: key}
      - {asn: 64512, address: 192.168.11.3}
bgppassthrough:
  hostSession: {asn: 64514, hostASN: 64515, localCIDR: {ipv4: 192.169.10.0/24}, passwordFile: host.key}
";

fn peers(compiled: &Compiled) -> Vec<String> {
    compiled.intent.iter().flat_map(|intent| intent.peers.keys()).map(ToString::to_string).collect()
}

#[test]
fn upstreams_example_is_applied_without_a_remark() {
    let loaded = Dir::with(&[("openpe_a.yaml", EXAMPLE)]).load();
    let compiled = compile(&loaded.objects, &Node::new("test-node", 0));
    let verdicts: Vec<_> = compiled.verdicts.iter().map(|verdict| verdict.to_string()).collect();
    let [underlay, passthrough] = &verdicts[..] else { panic!("{verdicts:#?}") };
    assert!(underlay.ends_with("openpe_a.yaml:2: Underlay static-test-node-underlay-0: applied"), "{underlay}");
    assert!(
        passthrough.ends_with("openpe_a.yaml:13: L3Passthrough static-test-node-l3passthrough: applied"),
        "{passthrough}"
    );
    assert_eq!(compiled.intent.unwrap().peers.len(), 4);
}

#[test]
fn a_passthrough_names_the_underlay_that_could_not_be_read() {
    let text = EXAMPLE.replace("- asn: 64514", "- asn: none");
    let loaded = Dir::with(&[("openpe_a.yaml", &text)]).load();
    let compiled = compile(&loaded.objects, &Node::new("n", 0));
    let sentence = compiled.verdicts[0].to_string();
    assert!(sentence.contains("(DependencyFailed): the Underlay \"static-test-node-underlay-0\""), "{sentence}");
}

#[test]
fn a_selector_in_a_static_file_has_no_effect_and_says_so() {
    let text = GOOD.replace("  - asn: 64514", "  - asn: 64514\n    nodeSelector: {matchLabels: {rack: a}}");
    let loaded = Dir::with(&[("openpe_a.yaml", &text)]).load();
    let compiled = compile(&loaded.objects, &Node::new("n", 0));
    assert!(compiled.intent.is_some());
    assert!(compiled.verdicts[0].to_string().contains("spec.nodeSelector: has no effect in a static file"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_read_without_panic(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let dir = Dir::with(&[("openpe_a.yaml", &text)]);
        fs::write(dir.0.path().join("openpe_b.yaml"), &bytes).unwrap();
        let loaded = dir.load();
        compile(&loaded.objects, &Node::new("n", 0));
    }

    #[test]
    fn any_change_of_a_good_file_is_read_without_panic(at in 0..EXAMPLE.len(), length in 0_usize..20, put in "[-a-z:{}\\[\\]&*!|>\n \"0-9]{0,6}") {
        let end = (at + length).min(EXAMPLE.len());
        let text = format!("{}{put}{}", &EXAMPLE[..at], &EXAMPLE[end..]);
        let loaded = Dir::with(&[("openpe_a.yaml", &text)]).load();
        compile(&loaded.objects, &Node::new("n", 0));
    }
}

/// Opening a FIFO waits for a writer: the daemon would never read anything again, nor stop.
#[test]
fn a_fifo_is_rejected_and_the_other_files_are_used() {
    let dir = Dir::with(&[("openpe_a.yaml", GOOD)]);
    let fifo = dir.0.path().join("openpe_b.yaml");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let (done, loaded) = mpsc::channel();
    thread::spawn(move || done.send(dir.load()));
    let loaded = loaded.recv_timeout(Duration::from_secs(10)).expect("the reader waits for the FIFO's writer");
    assert_eq!(loaded.objects.underlays.len(), 1);
    let [Verdict { object, outcome: Outcome::Rejected { message, .. } }] = &loaded.verdicts[..] else {
        panic!("{:#?}", loaded.verdicts)
    };
    assert_eq!(object.name, "openpe_b.yaml");
    assert!(message.ends_with("it is a FIFO, a socket or a device, not a regular file"), "{message}");
}

#[test]
fn a_file_of_absurd_size_is_rejected_before_it_fills_the_memory() {
    let huge = "#".repeat(4 * 1024 * 1024 + 1);
    let (line, field, message) = complaint(&huge);
    assert_eq!((line, field.as_str(), message.as_str()), (0, "", "cannot read the file: it is larger than 4 MiB"));
}

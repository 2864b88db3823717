//! The definitions in a real API server: every rule refuses once, with its message word for word, and accepts once.

use std::collections::BTreeSet;

use kube::api::PostParams;
use serde_json::{Value, json};

use crate::cluster::{Cluster, definitions};

/// Rules that nothing that the schema lets through can break.
const UNBREAKABLE: [&str; 1] = ["ebgpMultiHop parameters can only be set when type is ebgpMultiHop"];

fn underlay() -> Value {
    json!({
        "nodeSelector": { "matchLabels": { "nobody": "has this" } },
        "asn": 64514,
        "interfaces": [network_device("eth1")],
        "neighbors": [{ "asn": 64512, "address": "192.168.11.2" }],
    })
}

fn network_device(name: &str) -> Value {
    json!({ "type": "NetworkDevice", "networkDevice": { "interfaceName": name } })
}

fn cni(device: Value) -> Value {
    json!({ "type": "CNIDevice", "cniDevice": device })
}

fn passthrough() -> Value {
    json!({
        "nodeSelector": { "matchLabels": { "nobody": "has this" } },
        "hostSession": { "asn": 64514, "hostASN": 64515, "localCIDR": { "ipv4": "192.169.10.0/24" } },
    })
}

/// A spec with other values for some fields; null removes one.
fn with(mut spec: Value, part: &str, fields: Value) -> Value {
    let object = spec.pointer_mut(part).expect("the part is there").as_object_mut().expect("it is an object");
    for (name, value) in fields.as_object().unwrap() {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    spec
}

/// A kind, and what is specified of it.
type Spec = (&'static str, Value);

fn of_underlay(fields: Value) -> (&'static str, Value) {
    ("Underlay", with(underlay(), "", fields))
}

/// With one neighbour that has only these fields.
fn neighbor(fields: Value) -> (&'static str, Value) {
    ("Underlay", with(underlay(), "", json!({ "neighbors": [fields] })))
}

fn session(fields: Value) -> (&'static str, Value) {
    ("L3Passthrough", with(passthrough(), "/hostSession", fields))
}

/// With this one entry of what the host may announce.
fn allowed(prefix: Value) -> (&'static str, Value) {
    session(json!({ "allowedPrefixes": [prefix] }))
}

/// Each rule's message, what breaks it and what is as near to that as it may be.
fn cases() -> Vec<(&'static str, Spec, Spec)> {
    let v6 = json!({ "cidrs": ["2001:db8::/64"] });
    let reflector = |id: &str| json!({ "routeReflector": { "clusterID": id } });
    let tunnel = |cidrs: Value| json!({ "tunnelEndpoint": { "cidrs": cidrs } });
    let interfaces = |list: Value| of_underlay(json!({ "interfaces": list }));
    let srv6 = |prefix: &str| {
        of_underlay(json!({ "isis": {}, "tunnelEndpoint": v6, "srv6": { "locator": { "basePrefix": prefix } } }))
    };
    let a = "192.168.11.2";
    let families = |kinds: &[&str]| kinds.iter().map(|kind| json!({ "type": kind })).collect::<Vec<_>>();
    let client = json!([{ "type": "ipv4unicast", "properties": [{ "type": "routeReflectorClient" }] }]);
    let multihop = json!([{ "type": "ebgpMultiHop" }]);
    vec![
        (
            "SRv6 can only be configured if isis is set",
            of_underlay(json!({ "srv6": {}, "tunnelEndpoint": v6 })),
            of_underlay(json!({ "srv6": {}, "isis": {}, "tunnelEndpoint": v6 })),
        ),
        (
            "SRv6 requires at least one IPv6 CIDR in tunnelEndpoint.cidrs",
            of_underlay(json!({ "srv6": {}, "isis": {}, "tunnelEndpoint": { "cidrs": ["10.10.0.0/24"] } })),
            of_underlay(
                json!({ "srv6": {}, "isis": {}, "tunnelEndpoint": { "cidrs": ["10.10.0.0/24", "2001:db8::/64"] } }),
            ),
        ),
        ("prefix must be an IPv6 CIDR", srv6("10.0.0.0/8"), srv6("2001:db8::/32")),
        (
            "routeReflector.clusterID must be outside the routerIDCIDR range",
            of_underlay(reflector("10.0.0.7")),
            of_underlay(reflector("10.0.1.7")),
        ),
        (
            "clusterID must be a valid IPv4 address",
            of_underlay(reflector("10.0.1.777")),
            of_underlay(reflector("10.0.1.77")),
        ),
        (
            "all entries must be valid CIDRs",
            of_underlay(tunnel(json!(["10.10.0.0"]))),
            of_underlay(tunnel(json!(["10.10.0.0/24"]))),
        ),
        (
            "at most one IPv4 CIDR is allowed",
            of_underlay(tunnel(json!(["10.10.0.0/24", "10.11.0.0/24"]))),
            of_underlay(tunnel(json!(["10.10.0.0/24", "2001:db8::/64"]))),
        ),
        (
            "at most one IPv6 CIDR is allowed",
            of_underlay(tunnel(json!(["2001:db8::/64", "2001:db8:1::/64"]))),
            of_underlay(tunnel(json!(["2001:db8::/64"]))),
        ),
        (
            "all interfaces must be of the same type, mixing NetworkDevice and CNIDevice is not supported",
            interfaces(json!([network_device("eth1"), cni(json!({ "type": "RawConfig", "rawConfig": {} }))])),
            interfaces(json!([network_device("eth1"), network_device("eth2")])),
        ),
        (
            "type/config mismatch: networkDevice must be set if and only if type is 'NetworkDevice'",
            interfaces(json!([{ "type": "NetworkDevice" }])),
            interfaces(json!([network_device("eno2.161")])),
        ),
        (
            "type/config mismatch: cniDevice must be set if and only if type is 'CNIDevice'",
            interfaces(json!([{ "type": "CNIDevice" }])),
            interfaces(json!([cni(json!({ "type": "RawConfig", "rawConfig": { "type": "macvlan" } }))])),
        ),
        (
            "type/config mismatch: rawConfig must be set if and only if type is 'RawConfig'",
            interfaces(json!([cni(json!({ "type": "RawConfig" }))])),
            interfaces(json!([cni(json!({ "type": "RawConfig", "rawConfig": {} }))])),
        ),
        (
            "either ASN or Type must be set",
            neighbor(json!({ "address": a })),
            neighbor(json!({ "address": a, "type": "External" })),
        ),
        (
            "ASN and Type cannot be set together",
            neighbor(json!({ "address": a, "asn": 100, "type": "External" })),
            neighbor(json!({ "address": a, "type": "Internal" })),
        ),
        (
            "Either a valid Address, Interface name or ListenRange must be provided for Neighbor",
            neighbor(json!({ "asn": 1 })),
            neighbor(json!({ "asn": 1, "listenRange": "192.168.10.0/24" })),
        ),
        (
            "Address and Interface cannot be set together for Neighbor",
            neighbor(json!({ "asn": 1, "address": a, "interface": "eth1" })),
            neighbor(json!({ "asn": 1, "interface": "eth1" })),
        ),
        (
            "listenRange and address are mutually exclusive",
            neighbor(json!({ "asn": 1, "address": a, "listenRange": "192.168.10.0/24" })),
            neighbor(json!({ "asn": 1, "address": a })),
        ),
        (
            "listenRange and interface are mutually exclusive",
            neighbor(json!({ "asn": 1, "interface": "eth1", "listenRange": "192.168.10.0/24" })),
            neighbor(json!({ "asn": 1, "listenRange": "fd00:10::/64" })),
        ),
        (
            "Address must be a valid IPv4 or IPv6 address",
            neighbor(json!({ "asn": 1, "address": "192.168.11.256" })),
            neighbor(json!({ "asn": 1, "address": "2001:db8::2" })),
        ),
        (
            "Interface must not contain /, :, or whitespace",
            neighbor(json!({ "asn": 1, "interface": "eth 1" })),
            neighbor(json!({ "asn": 1, "interface": "eth-1.7" })),
        ),
        (
            "Interface cannot be . or ..",
            neighbor(json!({ "asn": 1, "interface": ".." })),
            neighbor(json!({ "asn": 1, "interface": "..." })),
        ),
        (
            "listenRange must be a valid CIDR",
            neighbor(json!({ "asn": 1, "listenRange": "192.168.10.5" })),
            neighbor(json!({ "asn": 1, "listenRange": "192.168.10.0/24" })),
        ),
        (
            "listenRange must not be an IPv6 link-local range",
            neighbor(json!({ "asn": 1, "listenRange": "fe80::/64" })),
            neighbor(json!({ "asn": 1, "listenRange": "fc80::/64" })),
        ),
        (
            "routeReflectorClient requires type Internal",
            neighbor(json!({ "asn": 1, "address": a, "addressFamilies": client })),
            neighbor(json!({ "type": "Internal", "address": a, "addressFamilies": client })),
        ),
        (
            "EVPN and IPv4VPN/IPv6VPN address families are mutually exclusive",
            neighbor(json!({ "asn": 1, "address": "2001:db8::2", "addressFamilies": families(&["evpn", "ipv4vpn"]) })),
            neighbor(
                json!({ "asn": 1, "address": "2001:db8::2", "addressFamilies": families(&["evpn", "ipv4unicast"]) }),
            ),
        ),
        (
            "ipv4vpn and ipv6vpn address families are not supported for unnumbered (interface) neighbors",
            neighbor(json!({ "asn": 1, "interface": "eth1", "addressFamilies": families(&["ipv6vpn"]) })),
            neighbor(json!({ "asn": 1, "interface": "eth1", "addressFamilies": families(&["ipv6unicast"]) })),
        ),
        (
            "ipv4vpn and ipv6vpn address families require an IPv6 neighbor address",
            neighbor(json!({ "asn": 1, "address": a, "addressFamilies": families(&["ipv4vpn"]) })),
            neighbor(json!({ "asn": 1, "address": "2001:db8::2", "addressFamilies": families(&["ipv4vpn"]) })),
        ),
        (
            "ttlSecurity and ebgpMultiHop cannot be set together: write the distance as ttlSecurity.hops",
            neighbor(json!({ "asn": 1, "address": a, "ttlSecurity": {}, "properties": multihop })),
            neighbor(json!({ "asn": 1, "address": a, "ttlSecurity": { "hops": 2 } })),
        ),
        (
            "either HostASN or HostType must be set",
            session(json!({ "hostASN": null })),
            session(json!({ "hostASN": 1 })),
        ),
        (
            "HostASN and HostType cannot be set together",
            session(json!({ "hostType": "Internal" })),
            session(json!({ "hostASN": null, "hostType": "Internal" })),
        ),
        (
            "at least one of ipv4 or ipv6 must be specified",
            session(json!({ "localCIDR": {} })),
            session(json!({ "localCIDR": { "ipv6": "2001:db8::/64" } })),
        ),
        (
            "prefix must be a valid CIDR",
            allowed(json!({ "prefix": "10.0.0.0" })),
            allowed(json!({ "prefix": "10.0.0.0/8" })),
        ),
        (
            "ge needs le: without it only the prefix itself matches",
            allowed(json!({ "prefix": "10.0.0.0/8", "ge": 24 })),
            allowed(json!({ "prefix": "10.0.0.0/8", "le": 24 })),
        ),
        (
            "ge must be lower than or equal to le",
            allowed(json!({ "prefix": "10.0.0.0/8", "ge": 25, "le": 24 })),
            allowed(json!({ "prefix": "10.0.0.0/8", "ge": 24, "le": 24 })),
        ),
        (
            "ge must not be lower than the length of prefix",
            allowed(json!({ "prefix": "10.0.0.0/8", "ge": 7, "le": 24 })),
            allowed(json!({ "prefix": "10.0.0.0/8", "ge": 8, "le": 24 })),
        ),
        (
            "le must not be lower than the length of prefix",
            allowed(json!({ "prefix": "10.0.0.0/8", "le": 7 })),
            allowed(json!({ "prefix": "10.0.0.0/8", "le": 8 })),
        ),
        (
            "le must not be higher than 32 for an IPv4 prefix",
            allowed(json!({ "prefix": "10.0.0.0/8", "le": 33 })),
            allowed(json!({ "prefix": "2001:db8::/32", "le": 33 })),
        ),
        (
            "restartSeconds can only be set when action is Teardown",
            session(json!({ "maxPrefixes": [{ "type": "ipv4unicast", "limit": 9, "restartSeconds": 9 }] })),
            session(
                json!({ "maxPrefixes": [{ "type": "ipv4unicast", "limit": 9, "action": "Teardown", "restartSeconds": 9 }] }),
            ),
        ),
        (
            "table 255 is the kernel's own table of local addresses",
            ("L3Passthrough", with(passthrough(), "", json!({ "hostRoutes": { "table": 255 } }))),
            ("L3Passthrough", with(passthrough(), "", json!({ "hostRoutes": { "table": 254 } }))),
        ),
    ]
}

/// The rules about hold time and keepalive are the same for both kinds of session.
fn timers() -> Vec<(&'static str, Spec, Spec)> {
    let of_both = |message: &'static str, wrong: Value, right: Value| {
        let neighbor = |timers: &Value| {
            let mut fields = timers.clone();
            fields["asn"] = json!(1);
            fields["address"] = json!("192.168.11.2");
            neighbor(fields)
        };
        [(message, neighbor(&wrong), neighbor(&right)), (message, session(wrong), session(right))]
    };
    [
        of_both(
            "holdTimeSeconds and keepaliveTimeSeconds must be both set or both unset",
            json!({ "holdTimeSeconds": 9 }),
            json!({ "holdTimeSeconds": 9, "keepaliveTimeSeconds": 3 }),
        ),
        of_both(
            "holdTimeSeconds must be 0 or >=3",
            json!({ "holdTimeSeconds": 2, "keepaliveTimeSeconds": 1 }),
            json!({ "holdTimeSeconds": 0, "keepaliveTimeSeconds": 0 }),
        ),
        of_both(
            "keepaliveTimeSeconds must be lower than or equal to holdTimeSeconds",
            json!({ "holdTimeSeconds": 9, "keepaliveTimeSeconds": 10 }),
            json!({ "holdTimeSeconds": 9, "keepaliveTimeSeconds": 9 }),
        ),
    ]
    .concat()
}

/// What the API server makes of it, without keeping it.
fn offer(cluster: &Cluster, kind: &str, spec: &Value) -> Result<Value, String> {
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let object = serde_json::from_value(json!({
        "apiVersion": "network.openperouter.io/v1alpha1", "kind": kind, "metadata": { "name": "offered" }, "spec": spec,
    }));
    cluster.wait(cluster.objects(kind).create(&dry, &object.unwrap())).map(|made| made.data["spec"].clone())
}

fn messages(schema: &Value, out: &mut BTreeSet<String>) {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    out.extend(rules.map(|rule| rule["message"].as_str().unwrap().to_owned()));
    schema["properties"].as_object().into_iter().flatten().for_each(|(_, field)| messages(field, out));
    if schema["items"].is_object() {
        messages(&schema["items"], out);
    }
}

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn case_61_every_rule_refuses_with_its_message_and_accepts() {
    let cluster = Cluster::shared();
    let mut wrong = Vec::new();
    let cases = [cases(), timers()].concat();
    for (message, (kind, bad), (_, good)) in &cases {
        match offer(&cluster, kind, bad) {
            Err(refusal) if refusal.contains(message) => {}
            other => wrong.push(format!("{message}: {bad} gave {other:?}")),
        }
        if let Err(refusal) = offer(&cluster, kind, good) {
            wrong.push(format!("{message}: {good} was refused: {refusal}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    let mut all = BTreeSet::new();
    for definition in definitions() {
        messages(&definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut all);
    }
    let tried = cases.iter().map(|(message, _, _)| *message).chain(UNBREAKABLE).chain(["LocalCIDR can't be changed"]);
    let tried: BTreeSet<_> = tried.map(str::to_owned).collect();
    assert_eq!(all, tried, "a rule without a case, or a case without a rule");
}

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn case_68_the_local_cidr_cannot_be_changed() {
    let cluster = Cluster::shared();
    cluster.apply("L3Passthrough", "immutable", &passthrough()).unwrap();
    let other = with(passthrough(), "/hostSession", json!({ "localCIDR": { "ipv4": "10.60.0.0/24" } }));
    let refusal = cluster.apply("L3Passthrough", "immutable", &other).unwrap_err();
    assert!(refusal.contains("LocalCIDR can't be changed"), "{refusal}");
    let same = with(passthrough(), "/hostSession", json!({ "hostASN": 64999 }));
    cluster.apply("L3Passthrough", "immutable", &same).expect("everything else can");
    cluster.delete("L3Passthrough", "immutable");
}

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn case_54_defaults_and_bounds_are_upstreams() {
    let cluster = Cluster::shared();
    let made =
        offer(&cluster, "Underlay", &with(underlay(), "", json!({ "gracefulRestart": {}, "routeReflector": {} })))
            .unwrap();
    assert_eq!(made["routerIDCIDR"], "10.0.0.0/24");
    assert_eq!(made["gracefulRestart"], json!({ "restartTimeSeconds": 120, "stalePathTimeSeconds": 360 }));
    assert_eq!(made["routeReflector"], json!({ "clusterID": "192.0.2.1" }));
    let kept = offer(&cluster, "Underlay", &with(underlay(), "", json!({ "routerIDCIDR": "172.16.0.0/16" }))).unwrap();
    assert_eq!(kept["routerIDCIDR"], "172.16.0.0/16");
    let device = cni(json!({ "type": "RawConfig", "rawConfig": { "type": "macvlan" } }));
    let made = offer(&cluster, "Underlay", &with(underlay(), "", json!({ "interfaces": [device] }))).unwrap();
    assert_eq!(made["interfaces"][0]["cniDevice"]["interfaceName"], "net1");
    assert_eq!(made["interfaces"][0]["cniDevice"]["rawConfig"]["type"], "macvlan", "what belongs to CNI is kept");

    let refused = [
        (json!({ "connectTimeSeconds": 0 }), "should be greater than or equal to 1"),
        (json!({ "connectTimeSeconds": 65536 }), "should be less than or equal to 65535"),
        (json!({ "asn": 0 }), "should be greater than or equal to 1"),
        (json!({ "port": 16385 }), "should be less than or equal to 16384"),
        (json!({ "password": "a b" }), "should match '^\\S+$'"),
        (json!({ "bfd": { "detectMultiplier": 1 } }), "should be greater than or equal to 2"),
    ];
    for (fields, words) in refused {
        let (_, spec) = neighbor(with(json!({ "asn": 1, "address": "192.168.11.2" }), "", fields));
        let refusal = offer(&cluster, "Underlay", &spec).unwrap_err();
        assert!(refusal.contains(words), "{refusal}");
    }
    let refusal = offer(&cluster, "Underlay", &with(underlay(), "", json!({ "interfaces": [] }))).unwrap_err();
    assert!(refusal.contains("should have at least 1 items"), "{refusal}");
    // An unknown key is pruned, as upstream's examples rely on.
    let (_, spec) = neighbor(json!({ "asn": 1, "address": "192.168.11.2", "hostASN": 7 }));
    let made = offer(&cluster, "Underlay", &spec).unwrap();
    assert_eq!(made["neighbors"][0].get("hostASN"), None);
}

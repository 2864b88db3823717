//! Schema and CEL rules, one by one: the definitions that a cluster has.

use super::*;

#[track_caller]
fn neighbor_is(options: &str, wanted: Result<(), &str>) {
    let text = GOOD.replace("{asn: 64512, address: 192.168.11.2}", &format!("{{{options}}}"));
    let loaded = Dir::with(&[("openpe_a.yaml", &text)]).load();
    match wanted {
        Ok(()) => assert_eq!(loaded.verdicts, vec![], "{options}"),
        Err(sentence) => {
            let got = loaded.verdicts.first().map(ToString::to_string).unwrap_or_default();
            assert!(got.contains(sentence), "{options}: {got}");
            assert!(got.contains("openpe_a.yaml:6: "), "{options}: {got}");
        }
    }
}

#[test]
fn case_058_and_062_timers() {
    let both = "holdTimeSeconds and keepaliveTimeSeconds must be both set or both unset";
    let peer = |timers: &str| format!("asn: 64512, address: 192.168.11.2, {timers}");
    neighbor_is(&peer("holdTimeSeconds: 9, keepaliveTimeSeconds: 3"), Ok(()));
    neighbor_is(&peer("holdTimeSeconds: 0, keepaliveTimeSeconds: 0"), Ok(()));
    neighbor_is(&peer("holdTimeSeconds: 9"), Err(both));
    neighbor_is(&peer("keepaliveTimeSeconds: 9"), Err(both));
    neighbor_is(&peer("holdTimeSeconds: 2, keepaliveTimeSeconds: 1"), Err("holdTimeSeconds must be 0 or >=3"));
    neighbor_is(
        &peer("holdTimeSeconds: 9, keepaliveTimeSeconds: 10"),
        Err("keepaliveTimeSeconds must be lower than or equal to holdTimeSeconds"),
    );
    neighbor_is(&peer("connectTimeSeconds: 0"), Err("should be greater than or equal to 1"));
    neighbor_is(&peer("connectTimeSeconds: 65536"), Err("should be less than or equal to 65535"));
}

/// Every CEL rule of a neighbour, in the words of the cluster API.
#[test]
fn case_061_074_and_080_rules_of_neighbors() {
    neighbor_is("address: 192.0.2.1", Err("either ASN or Type must be set"));
    neighbor_is("address: 192.0.2.1, asn: 100, type: External", Err("ASN and Type cannot be set together"));
    neighbor_is("asn: 1", Err("Either a valid Address, Interface name or ListenRange must be provided for Neighbor"));
    neighbor_is(
        "asn: 1, address: 192.0.2.1, interface: eth1",
        Err("Address and Interface cannot be set together for Neighbor"),
    );
    neighbor_is(
        "asn: 1, address: 192.0.2.1, listenRange: 10.0.0.0/8",
        Err("listenRange and address are mutually exclusive"),
    );
    neighbor_is(
        "asn: 1, interface: eth1, listenRange: 10.0.0.0/8",
        Err("listenRange and interface are mutually exclusive"),
    );
    neighbor_is("asn: 1, interface: eth1", Ok(()));
    neighbor_is("asn: 1, interface: \"eth 1\"", Err("Interface must not contain /, :, or whitespace"));
    neighbor_is("asn: 1, interface: \"a/b\"", Err("Interface must not contain /, :, or whitespace"));
    neighbor_is("asn: 1, interface: \"..\"", Err("Interface cannot be . or .."));
    neighbor_is("asn: 1, listenRange: 10.0.0.0/8", Ok(()));
    neighbor_is("asn: 1, listenRange: 10.0.0.0", Err("listenRange must be a valid CIDR"));
    neighbor_is("asn: 1, listenRange: \"fe80::/64\"", Err("listenRange must not be an IPv6 link-local range"));
    let with = |families: &str| format!("asn: 1, address: 192.0.2.1, addressFamilies: [{families}]");
    neighbor_is(&with("{type: ipv4unicast}, {type: ipv6unicast}"), Ok(()));
    neighbor_is(&with("{type: ipv4unicast}, {type: ipv4unicast}"), Err("Duplicate value"));
    neighbor_is(&with("{type: invalid}"), Err("Unsupported value: \"invalid\""));
    neighbor_is(
        &with("{type: ipv4unicast, properties: [{type: routeReflectorClient}]}"),
        Err("routeReflectorClient requires type Internal"),
    );
    neighbor_is(
        "type: Internal, address: 192.0.2.1, addressFamilies: [{type: ipv4unicast, properties: [{type: routeReflectorClient}]}]",
        Ok(()),
    );
    neighbor_is(&with("{type: ipv4vpn}"), Err("ipv4vpn and ipv6vpn address families require an IPv6 neighbor address"));
    neighbor_is("asn: 1, address: \"2001:db8::1\", addressFamilies: [{type: ipv4vpn}]", Ok(()));
    neighbor_is(
        "asn: 1, address: \"2001:db8::1\", addressFamilies: [{type: ipv4vpn}, {type: evpn}]",
        Err("EVPN and IPv4VPN/IPv6VPN address families are mutually exclusive"),
    );
    neighbor_is(
        "asn: 1, interface: eth1, addressFamilies: [{type: ipv6vpn}]",
        Err("ipv4vpn and ipv6vpn address families are not supported for unnumbered (interface) neighbors"),
    );
    let multihop =
        |parameters: &str| format!("asn: 1, address: 192.0.2.1, properties: [{{type: ebgpMultiHop{parameters}}}]");
    neighbor_is(&multihop(""), Ok(()));
    neighbor_is(&multihop(", ebgpMultiHop: {ttl: 255}"), Ok(()));
    neighbor_is(&multihop(", ebgpMultiHop: {ttl: 256}"), Err("should be less than or equal to 255"));
}

#[track_caller]
fn underlay_is(option: &str, wanted: Result<(), &str>) {
    let text = GOOD.replace("  - asn: 64514", &format!("  - asn: 64514\n    {option}"));
    let loaded = Dir::with(&[("openpe_a.yaml", &text)]).load();
    let got = loaded.verdicts.first().map(ToString::to_string).unwrap_or_default();
    match wanted {
        Ok(()) => assert_eq!(got, "", "{option}"),
        Err(sentence) => assert!(got.contains(sentence), "{option}: {got}"),
    }
}

#[test]
fn case_061_and_126_rules_of_underlays() {
    underlay_is("tunnelEndpoint: {cidrs: [10.0.1.0/24, \"2001:db8::/64\"]}", Ok(()));
    underlay_is("tunnelEndpoint: {cidrs: [x]}", Err("all entries must be valid CIDRs"));
    underlay_is("tunnelEndpoint: {cidrs: [10.0.1.0/24, 10.0.2.0/24]}", Err("at most one IPv4 CIDR is allowed"));
    underlay_is(
        "tunnelEndpoint: {cidrs: [\"2001:db8::/64\", \"2001:db8:1::/64\"]}",
        Err("at most one IPv6 CIDR is allowed"),
    );
    underlay_is("routeReflector: {}", Ok(()));
    underlay_is("routeReflector: {clusterID: 10.1.1.1}", Ok(()));
    underlay_is(
        "routeReflector: {clusterID: 10.0.0.9}",
        Err("routeReflector.clusterID must be outside the routerIDCIDR range"),
    );
    underlay_is("routeReflector: {clusterID: \"2001:db8::1\"}", Err("clusterID must be a valid IPv4 address"));
    underlay_is("gracefulRestart: {}", Ok(()));
    underlay_is("gracefulRestart: {restartTimeSeconds: 4096}", Err("should be less than or equal to 4095"));
    let isis = "isis: {baseNet: \"49.0001.0000.0000.0001.00\"}\n    tunnelEndpoint: {cidrs: [\"2001:db8::/64\"]}\n    ";
    let srv6 = "srv6: {encapBehavior: H.Encaps, locator: {basePrefix: \"fd00::/32\", format: usid-f3216}}";
    underlay_is(&format!("{isis}{srv6}"), Ok(()));
    underlay_is(srv6, Err("SRv6 can only be configured if isis is set"));
    underlay_is(
        "isis: {}\n    tunnelEndpoint: {cidrs: [10.0.0.0/24]}\n    srv6: {}",
        Err("SRv6 requires at least one IPv6 CIDR in tunnelEndpoint.cidrs"),
    );
    underlay_is(
        "srv6: {encapBehavior: H.Encaps.Invalid}",
        Err("Unsupported value: \"H.Encaps.Invalid\": supported values: \"H.Encaps\", \"H.Encaps.Red\""),
    );
}

#[test]
fn case_057_rules_of_interfaces() {
    let complaint_of = |interfaces: &str| {
        complaint(&GOOD.replace("\n      - {type: NetworkDevice, networkDevice: {interfaceName: eth1}}", interfaces)).2
    };
    let mismatch = "cniDevice must be set if and only if type is 'CNIDevice'";
    assert!(complaint_of(" [{type: CNIDevice}]").contains(mismatch));
    let both =
        " [{type: NetworkDevice, networkDevice: {interfaceName: a}, cniDevice: {type: RawConfig, rawConfig: {}}}]";
    assert!(complaint_of(both).contains(mismatch));
    assert!(
        complaint_of(" [{type: NetworkDevice}]")
            .contains("networkDevice must be set if and only if type is 'NetworkDevice'")
    );
    let mixed = " [{type: NetworkDevice, networkDevice: {interfaceName: a}}, {type: CNIDevice, cniDevice: {type: RawConfig, rawConfig: {}}}]";
    assert!(complaint_of(mixed).contains("all interfaces must be of the same type"));
    let without = " [{type: CNIDevice, cniDevice: {type: RawConfig}}]";
    assert!(complaint_of(without).contains("rawConfig must be set if and only if type is 'RawConfig'"));
    assert!(complaint_of(" []").contains("should have at least 1 items"));
}

#[test]
fn case_056_059_and_061_rules_of_host_sessions() {
    let session = |text: &str| format!("bgppassthrough: {{hostSession: {{asn: 65000, {text}}}}}");
    let accepted = session("hostASN: 65001, localCIDR: {ipv4: 10.0.0.0/30}");
    assert_eq!(Dir::with(&[("openpe_a.yaml", &accepted)]).load().verdicts, vec![]);
    let refused = |text: &str| complaint(&session(text)).2;
    assert!(refused("localCIDR: {ipv4: 10.0.0.0/30}").contains("either HostASN or HostType must be set"));
    let both = refused("hostASN: 1, hostType: Internal, localCIDR: {ipv4: 10.0.0.0/30}");
    assert!(both.contains("HostASN and HostType cannot be set together"), "{both}");
    assert!(refused("hostASN: 1, localCIDR: {}").contains("at least one of ipv4 or ipv6 must be specified"));
    assert!(refused("hostASN: 1").contains("localCIDR is required"));
}

/// Every rule of what only perouter has, with a value that it allows.
#[test]
fn rules_of_policies() {
    let peer = |option: &str| format!("asn: 1, address: 192.0.2.1, {option}");
    let allowed = |rule: &str| peer(&format!("allowedPrefixes: [{{{rule}}}]"));
    neighbor_is(&allowed("prefix: 10.0.0.0/8"), Ok(()));
    neighbor_is(&allowed("prefix: 10.0.0.0/8, ge: 8, le: 32"), Ok(()));
    neighbor_is(&allowed("prefix: \"2001:db8::/32\", le: 128"), Ok(()));
    neighbor_is(&allowed("prefix: 10.0.0.0"), Err("prefix must be a valid CIDR"));
    neighbor_is(&allowed("prefix: 10.0.0.0/8, ge: 16"), Err("ge needs le"));
    neighbor_is(&allowed("prefix: 10.0.0.0/8, ge: 17, le: 16"), Err("ge must be lower than or equal to le"));
    neighbor_is(&allowed("prefix: 10.0.0.0/8, ge: 7, le: 16"), Err("ge must not be lower than the length of prefix"));
    neighbor_is(&allowed("prefix: 10.0.0.0/8, le: 7"), Err("le must not be lower than the length of prefix"));
    neighbor_is(&allowed("prefix: 10.0.0.0/8, le: 33"), Err("le must not be higher than 32 for an IPv4 prefix"));
    neighbor_is(&allowed("prefix: 10.0.0.0/8, le: 129"), Err("should be less than or equal to 128"));
    neighbor_is(&peer("allowedPrefixes: []"), Err("should have at least 1 items"));

    let limit = |limit: &str| peer(&format!("maxPrefixes: [{{type: ipv4unicast, {limit}}}]"));
    neighbor_is(&limit("limit: 1"), Ok(()));
    neighbor_is(&limit("limit: 1, action: Teardown, restartSeconds: 60"), Ok(()));
    neighbor_is(&limit("limit: 0"), Err("should be greater than or equal to 1"));
    neighbor_is(&limit("action: Warn"), Err("limit is required"));
    neighbor_is(&limit("limit: 1, action: Ignore"), Err("supported values: \"Warn\", \"Teardown\""));
    neighbor_is(&limit("limit: 1, restartSeconds: 60"), Err("restartSeconds can only be set when action is Teardown"));
    neighbor_is(&limit("limit: 1}, {type: ipv4unicast, limit: 2"), Err("Duplicate value"));
    neighbor_is(&peer("maxPrefixes: [{type: evpn, limit: 1}]"), Err("\"ipv4unicast\", \"ipv6unicast\""));

    neighbor_is(&peer("ttlSecurity: {}"), Ok(()));
    neighbor_is(&peer("ttlSecurity: {hops: 255}"), Err("should be less than or equal to 254"));
    neighbor_is(
        &peer("ttlSecurity: {hops: 2}, properties: [{type: ebgpMultiHop}]"),
        Err("ttlSecurity and ebgpMultiHop cannot be set together"),
    );
    neighbor_is(&peer("enforceFirstAS: false, bgpRole: RouteServerClient, addPath: Both"), Ok(()));
    neighbor_is(&peer("rejectAsSets: true"), Ok(()));
    neighbor_is(&peer("rejectAsSets: sometimes"), Err("rejectAsSets"));
    neighbor_is(&peer("bgpRole: Friend"), Err("Unsupported value: \"Friend\""));
    neighbor_is(&peer("addPath: Sometimes"), Err("supported values: \"Send\", \"Receive\", \"Both\""));

    underlay_is("multipath: {}", Ok(()));
    underlay_is("multipath: {maxPaths: 65}", Err("should be less than or equal to 64"));
    underlay_is("bestPath: {}", Ok(()));
    underlay_is("bestPath: {preferOldest: true}", Ok(()));
    underlay_is("bestPath: {preferYoungest: true}", Err("preferYoungest"));
    underlay_is("listenLimit: 0", Err("should be greater than or equal to 1"));
}

#[test]
fn rules_of_optional_fields_of_host_sessions() {
    let text = |option: &str, beside: &str| {
        let fixed = "asn: 65000, hostASN: 65001, localCIDR: {ipv4: 10.0.0.0/30}";
        format!("bgppassthrough:\n  hostSession: {{{fixed}, {option}}}\n  {beside}\n")
    };
    let is = |option: &str, beside: &str, wanted: Result<(), &str>| {
        let loaded = Dir::with(&[("openpe_a.yaml", &text(option, beside))]).load();
        let got = loaded.verdicts.first().map(ToString::to_string).unwrap_or_default();
        match wanted {
            Ok(()) => assert_eq!(got, ""),
            Err(sentence) => assert!(got.contains(sentence), "{option} {beside}: {got}"),
        }
    };
    is("holdTimeSeconds: 9, keepaliveTimeSeconds: 3, connectTimeSeconds: 9, bfd: {}, gracefulRestart: {}", "", Ok(()));
    is(
        "asOverride: true, rejectAsSets: true, addPath: Send, password: x, maxPrefixes: [{type: ipv6unicast, limit: 9}]",
        "",
        Ok(()),
    );
    is("holdTimeSeconds: 9", "", Err("must be both set or both unset"));
    is("holdTimeSeconds: 2, keepaliveTimeSeconds: 1", "", Err("holdTimeSeconds must be 0 or >=3"));
    is("holdTimeSeconds: 9, keepaliveTimeSeconds: 10", "", Err("must be lower than or equal to holdTimeSeconds"));
    is("connectTimeSeconds: 0", "", Err("should be greater than or equal to 1"));
    is("allowedPrefixes: [{prefix: 10.0.0.0/8, le: 7}]", "", Err("le must not be lower than the length of prefix"));
    is("", "hostRoutes: {}", Ok(()));
    is("", "hostRoutes: {table: 100, metric: 1, prefixes: [{prefix: 0.0.0.0/0, le: 32}], allowDefault: true}", Ok(()));
    is("", "hostRoutes: {table: 255}", Err("table 255 is the kernel's own table of local addresses"));
    is("", "hostRoutes: {metric: 0}", Err("should be greater than or equal to 1"));
    is("", "hostRoutes: {prefixes: [{prefix: x}]}", Err("prefix must be a valid CIDR"));
}

/// What a cluster gets is what files are held against.
#[test]
fn the_custom_resource_definitions_carry_the_rules() {
    use kube::CustomResourceExt;

    use crate::types::{L3Passthrough, Underlay};
    let text = serde_json::to_string(&[Underlay::crd(), L3Passthrough::crd()]).unwrap();
    for wanted in [
        "underlays.network.openperouter.io",
        "l3passthroughs.network.openperouter.io",
        "v1alpha1",
        "either ASN or Type must be set",
        "LocalCIDR can't be changed",
        "all interfaces must be of the same type, mixing NetworkDevice and CNIDevice is not supported",
        "\"default\":\"10.0.0.0/24\"",
        "\"x-kubernetes-list-map-keys\":[\"type\"]",
        "\"x-kubernetes-preserve-unknown-fields\":true",
        "routerIDCIDR",
        "minimumTTL",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert!(!text.contains("\"passwordFile\":"), "belongs to files only");
    assert!(!text.contains("x-perouter"), "marks are ours, the API server would refuse them");
}

/// Case 55: a field that a cluster prunes does not keep an object from being read.
#[test]
fn case_055_unknown_fields_of_custom_resources_are_tolerated() {
    let spec = serde_json::json!({
        "asn": 65000,
        "interfaces": [{ "type": "NetworkDevice", "networkDevice": { "interfaceName": "eth0" } }],
        "neighbors": [{ "asn": 65001, "address": "192.168.1.1", "hostASN": 3 }],
    });
    let spec: UnderlaySpec = serde_json::from_value(spec).unwrap();
    assert_eq!(spec.neighbors[0].asn, Some(65001));
}

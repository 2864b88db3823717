//! What the documentation uses of the objects of MetalLB, frr-k8s, Calico and Cilium.
//!
//! Each field was held against the definitions of MetalLB 0.16.1, frr-k8s 0.0.25, Calico 3.32.1 and Cilium 1.18.2 by an API server
//! with strict validation. A field that is not here is new in the documentation: hold it against a current definition, and add it.

use serde_json::Value;

/// Fields below `spec` by kind; `[]` stands for the items of a list, `*` for free keys.
const KNOWN: [(&str, &[&str]); 11] = [
    ("metallb.io/v1beta2 BGPPeer", &["myASN", "peerASN", "peerAddress", "holdTime", "keepaliveTime", "connectTime"]),
    // What FRR alone can do is refused in native mode, by MetalLB itself.
    ("metallb.io/v1beta2 BGPPeer, native", &["myASN", "peerASN", "peerAddress", "holdTime"]),
    ("metallb.io/v1beta1 IPAddressPool", &["addresses[]"]),
    ("metallb.io/v1beta1 BGPAdvertisement", &["ipAddressPools[]", "peers[]"]),
    (
        "frrk8s.metallb.io/v1beta1 FRRConfiguration",
        &[
            "bgp.routers[].asn",
            "bgp.routers[].prefixes[]",
            "bgp.routers[].neighbors[].address",
            "bgp.routers[].neighbors[].asn",
            "bgp.routers[].neighbors[].connectTime",
            "bgp.routers[].neighbors[].holdTime",
            "bgp.routers[].neighbors[].keepaliveTime",
            "bgp.routers[].neighbors[].toReceive.allowed.mode",
            "bgp.routers[].neighbors[].toAdvertise.allowed.mode",
        ],
    ),
    (
        "projectcalico.org/v3 BGPConfiguration",
        &["asNumber", "bindMode", "listenPort", "nodeToNodeMeshEnabled", "serviceClusterIPs[].cidr"],
    ),
    ("projectcalico.org/v3 BGPPeer", &["asNumber", "numAllowedLocalASNumbers", "peerIP", "sourceAddress"]),
    ("projectcalico.org/v3 IPPool", &["blockSize", "cidr", "ipipMode", "natOutgoing", "vxlanMode"]),
    (
        "cilium.io/v2 CiliumBGPClusterConfig",
        &[
            "nodeSelector.matchLabels.*",
            "bgpInstances[].name",
            "bgpInstances[].localASN",
            "bgpInstances[].peers[].name",
            "bgpInstances[].peers[].peerASN",
            "bgpInstances[].peers[].peerAddress",
            "bgpInstances[].peers[].peerConfigRef.name",
        ],
    ),
    (
        "cilium.io/v2 CiliumBGPPeerConfig",
        &[
            "timers.connectRetryTimeSeconds",
            "timers.holdTimeSeconds",
            "timers.keepAliveTimeSeconds",
            "families[].afi",
            "families[].safi",
            "families[].advertisements.matchLabels.*",
        ],
    ),
    (
        "cilium.io/v2 CiliumBGPAdvertisement",
        &[
            "advertisements[].advertisementType",
            "advertisements[].service.addresses[]",
            "advertisements[].selector.matchExpressions[].key",
            "advertisements[].selector.matchExpressions[].operator",
            "advertisements[].selector.matchExpressions[].values[]",
        ],
    ),
];

/// What an object has that is not known.
pub(crate) fn complaints(kind: &str, spec: &Value) -> impl Iterator<Item = String> {
    let known = KNOWN.iter().find(|(name, _)| *name == kind).map(|(_, fields)| *fields);
    let mut paths = Vec::new();
    leaves(spec, String::new(), &mut paths);
    let is_known = move |path: &str| {
        let fits = |field: &&str| field.strip_suffix('*').map_or(**field == *path, |map| path.starts_with(map));
        known.is_some_and(|fields| fields.iter().any(fits))
    };
    let unknown = known.is_none().then(|| format!("{kind}: a kind that tests/docs/others.rs does not know"));
    let kind = kind.to_owned();
    unknown.into_iter().chain(
        paths
            .into_iter()
            .filter(move |path| !is_known(path))
            .map(move |path| format!("{kind}: is there a field {path}?")),
    )
}

fn leaves(value: &Value, path: String, out: &mut Vec<String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(map) if !map.is_empty() => map.iter().for_each(|(name, value)| leaves(value, below(name), out)),
        Value::Array(items) if !items.is_empty() => {
            items.iter().for_each(|item| leaves(item, format!("{path}[]"), out))
        }
        Value::Null if path.is_empty() => {}
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            out.push(path)
        }
    }
}

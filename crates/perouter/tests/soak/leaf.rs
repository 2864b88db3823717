//! The second leaf's file: BIRD with BFD and graceful restart.

use std::fmt::Write as _;

use testbed::passthrough::ROUTER_ASN;
use testbed::{Family, PeerConfig};

/// BIRD's file with BFD and graceful restart.
pub(crate) fn with_bfd(config: &PeerConfig) -> String {
    let mut out = format!(
        "log stderr all;\nrouter id {};\ngraceful restart wait 20;\nprotocol device {{ scan time 1; }}\n\
         protocol bfd {{ interface \"*\" {{ interval 300 ms; multiplier 3; }}; }}\n",
        config.router_id
    );
    for (family, word) in [(Family::Ipv4, "ipv4"), (Family::Ipv6, "ipv6")] {
        let _ = writeln!(out, "protocol kernel {{ {word} {{ import none; export where source = RTS_BGP; }}; }}");
        let _ = writeln!(out, "protocol static {{\n  {word};");
        for network in config.networks.iter().filter(|n| Family::of(**n) == family) {
            let _ = writeln!(out, "  route {network} blackhole;");
        }
        out.push_str("}\n");
    }
    for (i, n) in config.neighbors.iter().enumerate() {
        let word = if n.address.is_ipv4() { "ipv4" } else { "ipv6" };
        let _ = writeln!(
            out,
            "protocol bgp n{i} {{\n  local as {};\n  neighbor {} as {ROUTER_ASN};\n  hold time 9;\n  connect delay time 1;\n  \
             connect retry time 1;\n  error wait time 1, 2;\n  bfd on;\n  graceful restart on;\n  {word} {{\n    import all;\n    \
             export where source ~ [ RTS_STATIC, RTS_BGP ];\n  }};\n}}",
            config.asn, n.address
        );
    }
    out
}

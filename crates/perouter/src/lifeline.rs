//! Connections that somebody on this host depends on: SSH sessions, and the way to the API server. A NIC that carries one
//! is taken only with a loud warning (design 6.15).
//!
//! Read from the kernel's list of TCP connections in the host's namespace, which is the calling thread's. Does not: follow
//! connections; it is asked before a NIC is taken.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SSH: u16 = 22;
/// Where API servers listen unless told otherwise.
const API_SERVER: u16 = 6443;
/// TCP_ESTABLISHED in /proc/net/tcp.
const ESTABLISHED: &str = "01";

/// One such connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lifeline {
    /// The host's end.
    pub(crate) local: IpAddr,
    /// What it is, for people.
    pub(crate) what: &'static str,
}

/// All of them, each address once per kind. A list that cannot be read counts as empty: it only warns.
pub(crate) fn read() -> Vec<Lifeline> {
    let texts = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"].map(std::fs::read_to_string);
    let mut found: Vec<Lifeline> = texts.iter().flatten().flat_map(|text| text.lines()).filter_map(lifeline).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// A line of /proc/net/tcp or tcp6: number, local end, remote end, state.
fn lifeline(line: &str) -> Option<Lifeline> {
    let mut words = line.split_whitespace().skip(1);
    let (local, remote, state) = (end(words.next()?)?, end(words.next()?)?, words.next()?);
    let what = match (local.1, remote.1) {
        (SSH, _) => "an SSH connection",
        (_, API_SERVER) => "a connection to the API server",
        _ => return None,
    };
    (state == ESTABLISHED && !local.0.is_loopback()).then_some(Lifeline { local: local.0, what })
}

/// `0100007F:0016`: an address as 32-bit words in the machine's order, and a port.
fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let words: Option<Vec<[u8; 4]>> = (0..address.len() / 8)
        .map(|word| address.get(word * 8..word * 8 + 8))
        .map(|digits| u32::from_str_radix(digits?, 16).ok().map(u32::to_ne_bytes))
        .collect();
    let address = match words?.as_slice() {
        [v4] => IpAddr::V4(Ipv4Addr::from(*v4)),
        [a, b, c, d] => {
            let v6: [u8; 16] = [*a, *b, *c, *d].concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(v6)).to_canonical()
        }
        _ => return None,
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a little-endian machine prints it.
    #[cfg(target_endian = "little")]
    #[test]
    fn connections_that_people_depend_on_are_found_among_the_others() {
        let table = [
            ("0: 0B0BA8C0:0016 0100A8C0:D431 01 0", Some(("192.168.11.11", "an SSH connection"))),
            ("1: 0B0BA8C0:0016 00000000:0000 0A 0", None),
            ("2: 0100007F:0016 0100007F:D431 01 0", None),
            ("3: 0B0BA8C0:D431 010A000A:192B 01 0", Some(("192.168.11.11", "a connection to the API server"))),
            ("4: 0B0BA8C0:D431 010A000A:01BB 01 0", None),
            (
                "5: B80D0120000000000000000003000000:0016 B80D0120000000000000000009000000:D431 01 0",
                Some(("2001:db8::3", "an SSH connection")),
            ),
            (
                "6: 0000000000000000FFFF00000B0BA8C0:0016 0000000000000000FFFF00000100A8C0:D431 01 0",
                Some(("192.168.11.11", "an SSH connection")),
            ),
            ("  sl  local_address rem_address   st tx_queue", None),
            ("7: zz:0016 zz:1 01", None),
            ("", None),
        ];
        for (line, expected) in table {
            let expected = expected.map(|(local, what)| Lifeline { local: local.parse().unwrap(), what });
            assert_eq!(lifeline(line), expected, "{line}");
        }
    }
}

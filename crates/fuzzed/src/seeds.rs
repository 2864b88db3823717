//! Where the fuzzer begins: real messages, files as users write them, and short programs for the engine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kernel::fuzz::encode;
use wire::{MAX_LEN, MAX_LEN_EXTENDED, MessageType, next_frame};

use crate::wire::update::bit;

/// The first inputs of a target.
///
/// # Errors
/// When a file of the repository that they are made from cannot be read.
pub fn of(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let messages = messages()?;
    let bodies = |wanted: MessageType| {
        let frames = messages.iter().filter_map(|(_, message)| next_frame(message, MAX_LEN_EXTENDED).ok().flatten());
        frames.filter(|frame| frame.kind == wanted).map(|frame| frame.body.to_vec()).collect::<Vec<_>>()
    };
    Ok(match target {
        "wire_frame" => messages.iter().map(|(_, message)| message.clone()).collect(),
        "wire_open" => {
            let mut all = bodies(MessageType::Open);
            // Extended parameters (RFC 9072), and one after the other.
            all.push(
                b"\x04\xfd\xea\x00\x5a\x0a\x00\x00\x02\xff\xff\x00\x0b\x02\x00\x08\x41\x04\x00\x00\xfd\xea\x02\x00"
                    .to_vec(),
            );
            all.push(b"\x04\xfd\xea\x00\x5a\x0a\x00\x00\x02\x08\x02\x02\x02\x00\x02\x02\x46\x00".to_vec());
            all
        }
        "wire_update" => messages.iter().filter_map(|(bits, message)| update(*bits, message)).collect(),
        "wire_attributes" => {
            let updates = bodies(MessageType::Update);
            updates.iter().filter_map(|body| Some(body.get(4..)?.to_vec())).collect()
        }
        "wire_notification" => {
            let mut all = bodies(MessageType::Notification);
            all.extend([
                b"\x06\x02\x05later".to_vec(),
                b"\x06\x09\x06\x04\x03\x0a\x1bx".to_vec(),
                b"\x01\x02\x00\x13".to_vec(),
            ]);
            all
        }
        "wire_refresh" => {
            let mut all = bodies(MessageType::RouteRefresh);
            all.extend([vec![0, 1, 0, 1], vec![0, 2, 1, 1], vec![0, 25, 2, 70], vec![0, 1, 0, 1, 9, 9]]);
            all
        }
        "engine" => engine(),
        "config_files" => yaml(&["crates/config/tests/data", "docs"])?,
        "config_speak" => {
            let mut all = yaml(&["docs", "."])?;
            all.push(SPEAK.as_bytes().to_vec());
            all
        }
        "config_node" => {
            ["nodeIndex: {index: 3}", "nodeIndex: {interfaceName: eth0, cidr: 192.0.2.0/24}\nlogLevel: debug"]
                .map(|text| text.as_bytes().to_vec())
                .to_vec()
        }
        "kernel_netlink" => netlink(),
        "kernel_advertisement" => advertisements(),
        "kernel_saved" => {
            vec![
                b"00000000-0000-4000-8000-000000000000\n192.0.2.1/24\n2001:db8::1/64\n".to_vec(),
                b"10.0.0.1/8\n".to_vec(),
            ]
        }
        other => return Err(io::Error::other(format!("no target is called {other}"))),
    })
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Real messages, each with the kind of session that it is from.
fn messages() -> io::Result<Vec<(u8, Vec<u8>)>> {
    const ANY: u8 = bit::IPV4 | bit::IPV6;
    let mut all = Vec::new();
    for (file, bits) in [
        ("as4.hex", ANY | bit::FOUR_OCTET_AS | bit::EXTERNAL),
        ("as2.hex", ANY | bit::EXTERNAL),
        ("exabgp.txt", ANY | bit::FOUR_OCTET_AS | bit::EXTENDED_NEXT_HOP),
    ] {
        let text = fs::read_to_string(repository().join("crates/wire/tests/data").join(file))?;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some(hex) = line.split_whitespace().last() else { continue };
            let octets = (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16));
            all.push((bits, octets.collect::<Result<_, _>>().map_err(io::Error::other)?));
        }
    }
    Ok(all)
}

fn update(bits: u8, message: &[u8]) -> Option<Vec<u8>> {
    let frame =
        next_frame(message, MAX_LEN_EXTENDED).ok().flatten().filter(|frame| frame.kind == MessageType::Update)?;
    let bits = if frame.len > MAX_LEN { bits | bit::EXTENDED_MESSAGE } else { bits };
    Some([&[bits], frame.body].concat())
}

/// Programs: the configuration, then operations (`engine::step`).
fn engine() -> Vec<Vec<u8>> {
    // Everybody is configured, with both families, and nothing special.
    let plain = [0x3f, 0x01, 0x0b, 0, 0x0a, 0, 0x1a, 0, 0x0a, 0, 0x09, 0, 0x0a, 0];
    let up = |place: u8| [3, place, 0, 0];
    let announce = |connection: u8, prefixes: u8| [connection << 5 | 7, prefixes, 0, 0, 0, 0];
    let program = |steps: &[&[u8]]| [&plain[..], &steps.concat()].concat();
    vec![
        program(&[&up(0), &announce(0, 0x22), &up(4), &[13, 0x22, 0]]),
        program(&[&up(0), &up(1), &announce(0, 0x54), &announce(1, 0x54), &[18]]),
        program(&[&up(2), &announce(0, 0x55), &[15, 1], &[15, 2], &[15, 3], &up(0)]),
        program(&[&up(0), &announce(0, 0xf8), &up(5), &[29], &[13, 0xf8, 0], &[29]]),
        program(&[&up(0), &up(4), &[25], &announce(0, 0x22), &[26, 3, 0, 3], &[27], &[22], &[26], &[28, 0]]),
        program(&[&up(0), &announce(0, 0x22), &[19, 1], &[21, 9], &[19, 0], &[20, 7], &[0, 0x41, 0x09, 0, 0]]),
        program(&[&up(0), &[24, 0, 1], &[22], &[24, 0, 0], &[22], &[2], &[5, 0, 0], &[6], &[30, 0], &[22]]),
        program(&[&[22], &[4, 0, 0], &announce(0, 0x22), &[21, 200], &[22], &[16, 1, 4, 0, 0, 0, 0], &[31, 0xff]]),
    ]
}

const SPEAK: &str = "asn: 64514\nrouterID: 10.0.0.1\nlisten: [\"[::]:1179\"]\nlistenLimit: 9\nneighbors:\n  - {name: a, \
address: 192.168.11.2, asn: 64512, role: fabric, addressFamilies: [ipv4unicast]}\n  - {interface: eth1, type: external}\n  - \
{listenRange: 10.0.0.0/24, asn: 64515, role: host, password: s3cret}\nnetworks: [192.169.10.2/32, 2001:db8::/48]\n\
multipath: {maxPaths: 4}\nkernelRoutes: false\n";

/// The YAML of these directories of the repository, whole files and blocks in pages.
fn yaml(directories: &[&str]) -> io::Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for directory in directories {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(repository().join(directory))?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        paths.sort();
        for path in paths {
            let kind = path.extension().unwrap_or_default().to_os_string();
            if kind == "yaml" {
                all.push(fs::read(&path)?);
            } else if kind == "md" {
                let page = fs::read_to_string(&path)?;
                let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
                all.extend(blocks.map(|block| block.as_bytes().to_vec()));
            }
        }
    }
    Ok(all)
}

/// One message of each kind that is read.
fn netlink() -> Vec<Vec<u8>> {
    let word = u32::to_ne_bytes;
    let (four, six) = ([10, 0, 0, 1], [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    let hop = [&[8 + 8, 0, 0, 0][..], &word(3), &[8, 0, 5, 0], &four].concat();
    let link: &[(u16, &[u8])] = &[
        (3, b"eth0\0"),
        (1, &[2, 0, 0, 0, 0, 1]),
        (4, &word(1500)),
        (16, &[6]),
        (35, &word(2)),
        (18, b"\x09\0\x01\0veth\0\0\0\0"),
    ];
    let route: &[(u16, &[u8])] = &[
        (1, &four),
        (15, &word(254)),
        (6, &word(20)),
        (4, &word(3)),
        (5, &four),
        (18, &[&[10, 0][..], &six].concat()),
        (9, &hop),
    ];
    vec![
        encode(2, 0x300, &[&(-22_i32).to_ne_bytes()[..], &word(20), &[0; 12]].concat(), &[(1, b"no such thing\0")]),
        encode(3, 2, &word(0), &[]),
        encode(16, 0, &[&[0; 4][..], &word(2), &word(0x1_0041), &[0; 4]].concat(), link),
        encode(20, 0, &[&[2, 24, 0, 0][..], &word(2)].concat(), &[(2, &four), (1, &four), (8, &word(0x80))]),
        encode(24, 0, &[&[2, 32, 0, 0, 254, 4, 0, 1][..], &word(0)].concat(), route),
        encode(25, 0, &[&[10, 128, 0, 0, 254, 80, 0, 1][..], &word(0)].concat(), &[(1, &six), (30, &word(7))]),
        encode(104, 0, &[0; 8], &[(1, &word(7)), (5, &word(3)), (6, &four), (2, &[&word(1)[..], &[0; 4]].concat())]),
        encode(33, 0, &[10, 0, 0, 0, 77, 0, 0, 1, 0, 0, 0, 0], &[(6, &word(9)), (17, b"eth0\0"), (21, &[80])]),
    ]
}

fn advertisements() -> Vec<Vec<u8>> {
    let source = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x50, 0x25, 0xf5, 0xff, 0xfe, 0x77, 0x0a, 0xba];
    let option = [1, 1, 0x52, 0x25, 0xf5, 0x77, 0x0a, 0xba];
    let advertisement = [134, 0, 0, 0, 64, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0];
    vec![
        [&source[..], &advertisement, &option].concat(),
        [&source[..], &[133, 0, 0, 0, 0, 0, 0, 0], &option].concat(),
        [&source[..], &advertisement].concat(),
    ]
}

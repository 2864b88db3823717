use super::*;

/// RFC 1997, RFC 3765, RFC 7999, RFC 8326, RFC 9494 3: the registry's numbers and their names.
#[test]
fn communities_in_words() {
    let table = [
        ([0xfd, 0xe8, 0, 1], "65000:1"),
        ([0xff, 0xff, 0, 0], "graceful-shutdown"),
        ([0xff, 0xff, 0, 6], "llgr-stale"),
        ([0xff, 0xff, 0, 7], "no-llgr"),
        ([0xff, 0xff, 2, 0x9a], "blackhole"),
        ([0xff, 0xff, 0xff, 1], "no-export"),
        ([0xff, 0xff, 0xff, 2], "no-advertise"),
        ([0xff, 0xff, 0xff, 3], "no-export-subconfed"),
        ([0xff, 0xff, 0xff, 4], "no-peer"),
        ([0xff, 0xff, 0xff, 5], "65535:65285"),
    ];
    let (value, words): (Vec<[u8; 4]>, Vec<_>) = table.into_iter().unzip();
    let shown: Vec<_> = communities(value.as_flattened()).map(|value| Community(value).to_string()).collect();
    assert_eq!(shown, words);
}

/// RFC 4360 3 to 5, RFC 5668 2.
#[test]
fn extended_communities_in_words() {
    let value = [
        [0, 2, 0xfd, 0xe8, 0, 0, 0, 1],
        [1, 3, 10, 0, 0, 1, 0, 7],
        [2, 2, 0xfa, 0x56, 0xea, 0, 0, 9],
        [0x40, 2, 0xfd, 0xe8, 0, 0, 0, 1],
    ]
    .concat();
    let shown: Vec<_> = extended_communities(&value).map(|value| ExtendedCommunity(value).to_string()).collect();
    assert_eq!(shown, ["rt:65000:1", "soo:10.0.0.1:7", "rt:4200000000:9", "0x4002fde800000001"]);
}

/// RFC 8092 5.
#[test]
fn large_communities_in_words() {
    let value = [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xff];
    let shown: Vec<_> = large_communities(&value).map(|(a, b, c)| LargeCommunity(a, b, c).to_string()).collect();
    assert_eq!(shown, ["1:2:3"]);
}

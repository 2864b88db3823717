use super::*;

#[test]
fn communities_in_words() {
    let value = [0xfd, 0xe8, 0, 1, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0, 0, 0xff, 0xff, 2, 0x9a];
    let shown: Vec<_> = communities(&value).map(|value| Community(value).to_string()).collect();
    assert_eq!(shown, ["65000:1", "no-export", "graceful-shutdown", "blackhole"]);
}

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

#[test]
fn large_communities_in_words() {
    let value = [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xff];
    let shown: Vec<_> = large_communities(&value).map(|(a, b, c)| LargeCommunity(a, b, c).to_string()).collect();
    assert_eq!(shown, ["1:2:3"]);
}

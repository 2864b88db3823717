//! The lenient readers of attributes, which policy and views use on canonical sets, given any bytes.

use wire::{
    AsPath, Community, ExtendedCommunity, RawAttr, SegmentKind, attributes, communities, extended_communities, flag,
    large_communities, prepend, write_as_path, write_attribute,
};

use super::assert_loggable;

pub(crate) fn run(data: &[u8]) {
    let walked: Vec<RawAttr<'_>> = attributes(data).collect();
    let mut written = Vec::new();
    for RawAttr { flags, code, value } in &walked {
        write_attribute(&mut written, *flags, *code, value);
    }
    assert!(written.len() <= data.len(), "the shortest spelling is the one that is written");
    let plain = |one: &RawAttr<'_>| (one.flags & !flag::EXTENDED_LENGTH, one.code, one.value.to_vec());
    let again: Vec<_> = attributes(&written).map(|one| plain(&one)).collect();
    assert_eq!(again, walked.iter().map(plain).collect::<Vec<_>>());

    lists(data);
    path(data);
}

fn lists(data: &[u8]) {
    assert_eq!(communities(data).count(), data.len() / 4);
    assert_eq!(extended_communities(data).count(), data.len() / 8);
    assert_eq!(large_communities(data).count(), data.len() / 12);
    communities(data).for_each(|value| assert_loggable(&Community(value).to_string()));
    extended_communities(data).for_each(|value| assert_loggable(&ExtendedCommunity(value).to_string()));
}

/// Bytes as the value of a four-octet AS_PATH.
fn path(data: &[u8]) {
    let path = AsPath::new(data);
    assert!(!path.to_string().contains(char::is_control));
    let whole: usize = path.segments().map(|segment| 2 + 4 * segment.asns.len()).sum();
    assert!(whole <= data.len());
    assert_eq!(path.asns().count(), path.segments().map(|segment| segment.asns.len()).sum::<usize>());
    if let Some(first) = path.first() {
        assert!(path.count(first) >= 1 && path.length() >= 1);
    }

    let asn = 4_200_000_000;
    let mut value = Vec::new();
    prepend(&mut value, path, asn);
    let longer = AsPath::new(&value);
    assert_eq!(longer.first(), Some(asn));
    assert_eq!(longer.length(), path.length() + 1);
    assert_eq!(longer.asns().collect::<Vec<_>>(), std::iter::once(asn).chain(path.asns()).collect::<Vec<_>>());
    let kinds = |path: AsPath<'_>| path.segments().map(|segment| segment.kind).collect::<Vec<SegmentKind>>();
    assert!(kinds(longer).ends_with(&kinds(path)) || kinds(path).is_empty());

    let mut attribute = Vec::new();
    write_as_path(&mut attribute, path, true);
    // Beyond 65535 octets there is no way to say it.
    assert_eq!(attributes(&attribute).next().map(|one| one.value), (data.len() <= 65535).then_some(data));
}

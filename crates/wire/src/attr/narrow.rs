//! A canonical set for a peer that knows AS numbers of two octets only (RFC 6793 4.2.2).

use super::{
    Aggregator, AsPath, RawAttr, attr_code, attributes, needs_as4_path, write_aggregator, write_as_path,
    write_as4_aggregator, write_as4_path, write_attribute,
};

/// Appends the two-octet form of a canonical set, still in ascending order: AS_PATH and AGGREGATOR with AS_TRANS where a
/// number does not fit, and then AS4_PATH and AS4_AGGREGATOR beside them.
pub fn write_two_octet(out: &mut Vec<u8>, canonical: &[u8]) {
    let mut as4_path = None;
    let mut as4_aggregator = None;
    for RawAttr { flags, code, value } in attributes(canonical) {
        if code > attr_code::AS4_AGGREGATOR {
            write_as4(out, as4_path.take(), as4_aggregator.take());
        }
        match (code, Aggregator::from_value(value)) {
            (attr_code::AS_PATH, _) => {
                let path = AsPath::new(value);
                write_as_path(out, path, false);
                as4_path = needs_as4_path(path).then_some(path);
            }
            (attr_code::AGGREGATOR, Some(aggregator)) => {
                write_aggregator(out, flags, aggregator, false);
                as4_aggregator = aggregator.needs_as4().then_some((flags, aggregator));
            }
            _ => write_attribute(out, flags, code, value),
        }
    }
    write_as4(out, as4_path, as4_aggregator);
}

fn write_as4(out: &mut Vec<u8>, path: Option<AsPath<'_>>, aggregator: Option<(u8, Aggregator)>) {
    if let Some(path) = path {
        write_as4_path(out, path);
    }
    if let Some((flags, aggregator)) = aggregator {
        write_as4_aggregator(out, flags, aggregator);
    }
}

//! Making one path of AS_PATH and AS4_PATH, as they come from a peer that knows AS numbers of two octets only
//! (RFC 6793 4.2.3).

use super::as_path::{AsPath, PathWriter, Segment, SegmentKind};

/// Appends the four-octet value.
///
/// AS4_PATH replaces the right end of AS_PATH, as far as it reaches; what older speakers prepended since stays in front.
/// An AS4_PATH longer than AS_PATH is ignored. Its confederation segments are passed over (RFC 6793 6). Where the two meet
/// inside sequences these become one, so that the result is what a four-octet speaker would have sent.
pub(crate) fn merge(out: &mut Vec<u8>, path: AsPath<'_>, as4_path: Option<AsPath<'_>>) {
    let mut writer = PathWriter::new(out, true);
    let as4_path = as4_path.and_then(|as4| Some((as4, path.length().checked_sub(as4.length())?)));
    let Some((as4_path, leading)) = as4_path else {
        for Segment { kind, asns } in path.segments() {
            writer.segment(kind, asns);
        }
        return;
    };

    let mut left = usize::try_from(leading).unwrap_or(usize::MAX);
    for Segment { kind, asns } in path.segments() {
        match kind {
            // Reached only while all before it was taken whole: it leads, or is adjacent to what is prepended.
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => writer.segment(kind, asns),
            SegmentKind::Set | SegmentKind::Sequence if left == 0 => break,
            SegmentKind::Set => {
                writer.segment(kind, asns);
                left -= 1;
            }
            SegmentKind::Sequence => {
                let taken = left.min(asns.len());
                let whole = taken == asns.len();
                writer.segment(kind, asns.take(taken));
                left -= taken;
                if !whole {
                    break;
                }
            }
        }
    }

    let mut meeting = true;
    for Segment { kind, asns } in as4_path.segments().filter(|segment| !segment.kind.is_confederation()) {
        if meeting && kind == SegmentKind::Sequence && writer.in_sequence() {
            writer.join(asns);
        } else {
            writer.segment(kind, asns);
        }
        meeting = false;
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;

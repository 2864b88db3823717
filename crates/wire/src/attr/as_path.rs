//! AS_PATH (RFC 4271 4.3 and 5.1.2, RFC 5065, RFC 6793).
//!
//! Paths are held in the four-octet encoding; the two-octet one exists only towards peers that know no other, and inside
//! the decoder until it has been widened.

use std::fmt;
use std::iter::FusedIterator;

use super::{OPTIONAL_TRANSITIVE, WELL_KNOWN, attr_code, write_attribute, write_attribute_with};
use crate::open::AS_TRANS;

/// How many AS numbers a segment can hold.
pub(super) const MAX_SEGMENT: usize = 255;

/// The value of an AS_PATH in four-octet encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AsPath<'a> {
    bytes: &'a [u8],
    wide: bool,
}

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SegmentKind {
    /// The ASes of an aggregate, in no order.
    Set = 1,
    /// ASes in order, the latest first.
    Sequence = 2,
    /// As a sequence, within a confederation (RFC 5065).
    ConfedSequence = 3,
    /// As a set, within a confederation (RFC 5065).
    ConfedSet = 4,
}

impl SegmentKind {
    fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Set),
            2 => Some(Self::Sequence),
            3 => Some(Self::ConfedSequence),
            4 => Some(Self::ConfedSet),
            _ => None,
        }
    }

    /// Whether it is one of the two of RFC 5065.
    pub const fn is_confederation(self) -> bool {
        matches!(self, Self::ConfedSequence | Self::ConfedSet)
    }
}

/// One segment of a path.
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    /// What it is.
    pub kind: SegmentKind,
    /// Its AS numbers as they stand.
    pub asns: Asns<'a>,
}

impl Segment<'_> {
    /// How much it counts for path length (RFC 4271 9.1.2.2: a set 1; RFC 5065 5.3: confederation segments nothing).
    pub fn length(&self) -> u32 {
        match self.kind {
            SegmentKind::Sequence => u32::try_from(self.asns.len()).unwrap_or(u32::MAX),
            SegmentKind::Set => 1,
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => 0,
        }
    }
}

/// AS numbers of one segment.
#[derive(Clone, Debug)]
pub struct Asns<'a> {
    bytes: &'a [u8],
    wide: bool,
}

impl Iterator for Asns<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.wide {
            let (asn, rest) = self.bytes.split_first_chunk()?;
            self.bytes = rest;
            Some(u32::from_be_bytes(*asn))
        } else {
            let (asn, rest) = self.bytes.split_first_chunk()?;
            self.bytes = rest;
            Some(u32::from(u16::from_be_bytes(*asn)))
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.bytes.len() / width(self.wide);
        (len, Some(len))
    }
}

impl ExactSizeIterator for Asns<'_> {}
impl FusedIterator for Asns<'_> {}

/// Segments of a path; ends at the first byte that makes no sense.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    bytes: &'a [u8],
    wide: bool,
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    #[inline]
    fn next(&mut self) -> Option<Segment<'a>> {
        let (&[kind, count], rest) = self.bytes.split_first_chunk()?;
        let kind = SegmentKind::from_code(kind)?;
        let (asns, rest) = rest.split_at_checked(usize::from(count) * width(self.wide))?;
        self.bytes = rest;
        Some(Segment { kind, asns: Asns { bytes: asns, wide: self.wide } })
    }
}

const fn width(wide: bool) -> usize {
    if wide { 4 } else { 2 }
}

impl<'a> AsPath<'a> {
    /// Views the value of a valid four-octet AS_PATH, for example that of a canonical set.
    pub const fn new(value: &'a [u8]) -> Self {
        Self { bytes: value, wide: true }
    }

    /// The same for a two-octet one, as a peer without capability 65 sends it.
    pub(crate) const fn two_octet(value: &'a [u8]) -> Self {
        Self { bytes: value, wide: false }
    }

    /// The segments, leftmost (latest) first.
    pub fn segments(&self) -> Segments<'a> {
        Segments { bytes: self.bytes, wide: self.wide }
    }

    /// All AS numbers of all segments as they stand.
    pub fn asns(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.segments().flat_map(|segment| segment.asns)
    }

    /// The value, without attribute header.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether nobody is in it.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// For the decision (RFC 4271 9.1.2.2): a set counts 1, confederation segments 0.
    pub fn length(&self) -> u32 {
        self.segments().map(|segment| segment.length()).sum()
    }

    /// How often an AS is in it, in any kind of segment.
    pub fn count(&self, asn: u32) -> usize {
        self.asns().filter(|other| *other == asn).count()
    }

    /// The leftmost AS, if the first segment is a sequence: the neighbour's, on an external session.
    pub fn first(&self) -> Option<u32> {
        let Segment { kind, mut asns } = self.segments().next()?;
        if kind == SegmentKind::Sequence { asns.next() } else { None }
    }

    /// The rightmost AS, if the last segment is a sequence.
    pub fn origin_as(&self) -> Option<u32> {
        let Segment { kind, asns } = self.segments().last()?;
        if kind == SegmentKind::Sequence { asns.last() } else { None }
    }
}

impl fmt::Display for AsPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Segment { kind, asns }) in self.segments().enumerate() {
            let (open, close) = match kind {
                SegmentKind::Set => ("{", "}"),
                SegmentKind::Sequence => ("", ""),
                SegmentKind::ConfedSequence => ("(", ")"),
                SegmentKind::ConfedSet => ("[", "]"),
            };
            write!(f, "{}{open}", if i == 0 { "" } else { " " })?;
            for (i, asn) in asns.enumerate() {
                write!(f, "{}{asn}", if i == 0 { "" } else { " " })?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}

/// What is wrong with a path (RFC 7606 7.2, RFC 7607).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    /// Unknown kind, empty segment, or octets that do not add up.
    Malformed,
    /// AS number 0.
    ZeroAs,
}

/// Judges a path. `Ok(true)`: there are confederation segments in it.
pub(crate) fn validate(path: AsPath<'_>) -> Result<bool, PathError> {
    let mut segments = path.segments();
    let mut confederation = false;
    for Segment { kind, mut asns } in segments.by_ref() {
        if asns.len() == 0 {
            return Err(PathError::Malformed);
        }
        if asns.any(|asn| asn == 0) {
            return Err(PathError::ZeroAs);
        }
        confederation |= kind.is_confederation();
    }
    if segments.bytes.is_empty() { Ok(confederation) } else { Err(PathError::Malformed) }
}

/// Appends the value of the path with one more AS in front (RFC 4271 5.1.2): into the first segment if that is a sequence
/// with room, else as a new one.
pub fn prepend(out: &mut Vec<u8>, path: AsPath<'_>, asn: u32) {
    let mut writer = PathWriter::new(out, true);
    writer.segment(SegmentKind::Sequence, [asn].into_iter());
    let mut segments = path.segments();
    if let Some(first) = segments.next() {
        let has_room = first.kind == SegmentKind::Sequence && first.asns.len() < MAX_SEGMENT;
        if has_room {
            writer.join(first.asns);
        } else {
            writer.segment(first.kind, first.asns);
        }
    }
    for Segment { kind, asns } in segments {
        writer.segment(kind, asns);
    }
}

/// Appends the whole AS_PATH attribute. In two octets an AS number that does not fit becomes AS_TRANS; whoever asks
/// [`needs_as4_path`] then sends [`write_as4_path`] along (RFC 6793 4.2.2).
pub fn write_as_path(out: &mut Vec<u8>, path: AsPath<'_>, four_octet: bool) {
    if four_octet && path.wide {
        return write_attribute(out, WELL_KNOWN, attr_code::AS_PATH, path.bytes);
    }
    write_attribute_with(out, WELL_KNOWN, attr_code::AS_PATH, |out| {
        let mut writer = PathWriter::new(out, four_octet);
        for Segment { kind, asns } in path.segments() {
            writer.segment(kind, asns);
        }
    });
}

/// Whether some AS number does not fit into two octets, outside of confederation segments: AS4_PATH cannot carry those, and
/// an empty one is malformed (RFC 6793 4.2.2 and 6).
pub fn needs_as4_path(path: AsPath<'_>) -> bool {
    let mut carried = path.segments().filter(|segment| !segment.kind.is_confederation());
    carried.any(|mut segment| segment.asns.any(|asn| asn > u32::from(u16::MAX)))
}

/// Appends the AS4_PATH attribute: the path without its confederation segments (RFC 6793 4.2.2).
pub fn write_as4_path(out: &mut Vec<u8>, path: AsPath<'_>) {
    write_attribute_with(out, OPTIONAL_TRANSITIVE, attr_code::AS4_PATH, |out| {
        let mut writer = PathWriter::new(out, true);
        for Segment { kind, asns } in path.segments().filter(|segment| !segment.kind.is_confederation()) {
            writer.segment(kind, asns);
        }
    });
}

/// Appends the value of a path segment by segment.
#[derive(Debug)]
pub(super) struct PathWriter<'o> {
    out: &'o mut Vec<u8>,
    four_octet: bool,
    /// The segment being written: its kind, and where its count stands.
    open: Option<(SegmentKind, usize)>,
}

impl<'o> PathWriter<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>, four_octet: bool) -> Self {
        Self { out, four_octet, open: None }
    }

    pub(super) fn segment(&mut self, kind: SegmentKind, asns: impl Iterator<Item = u32>) {
        self.begin(kind);
        self.join(asns);
    }

    /// Continues the last segment; a sequence that is full is followed by another.
    pub(super) fn join(&mut self, asns: impl Iterator<Item = u32>) {
        for asn in asns {
            let Some((kind, count_at)) = self.open else {
                return;
            };
            let mut count_at = count_at;
            if usize::from(self.out[count_at]) == MAX_SEGMENT {
                count_at = self.begin(kind);
            }
            self.out[count_at] += 1;
            if self.four_octet {
                self.out.extend_from_slice(&asn.to_be_bytes());
            } else {
                self.out.extend_from_slice(&u16::try_from(asn).unwrap_or(AS_TRANS).to_be_bytes());
            }
        }
    }

    pub(super) fn in_sequence(&self) -> bool {
        matches!(self.open, Some((SegmentKind::Sequence, _)))
    }

    fn begin(&mut self, kind: SegmentKind) -> usize {
        self.out.extend_from_slice(&[kind as u8, 0]);
        let count_at = self.out.len() - 1;
        self.open = Some((kind, count_at));
        count_at
    }
}

#[cfg(test)]
#[path = "as_path_tests.rs"]
mod tests;

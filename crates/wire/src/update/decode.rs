//! Reading an UPDATE and judging its attributes (RFC 4271 6.3 as amended by RFC 7606).
//!
//! The walk goes once over the attributes. Each is judged by itself: kept, passed over in silence, discarded, or reason to
//! treat the message as withdraw; what ends the session returns at once, so the strongest verdict wins (RFC 7606 3.h).
//! What concerns the message as a whole (mandatory attributes, next hops, NLRI that are missing) comes after the walk.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::canonical::{Attributes, Codes};
use super::{Consequence, DecodeContext, NextHop, Problem, Update};
use crate::attr::{
    Aggregator, AsPath, OPTIONAL_TRANSITIVE, Origin, PathError, RawAttr, WELL_KNOWN, attr_code, attributes, flag,
    validate_as_path,
};
use crate::notification::code::{self, update as subcode};
use crate::read::Reader;
use crate::{AfiSafi, Family, Nlri, Notification};

/// So many problems of one message are kept: it is the sender who chooses how many there are.
const MAX_PROBLEMS: usize = 16;

impl<'a> Update<'a> {
    /// Reads what follows the header.
    ///
    /// # Errors
    /// Only where RFC 4271 and RFC 7606 leave nothing but a session reset: lengths of the sections that contradict the
    /// message's (3/1), prefixes that cannot be read (3/10, RFC 7606 3.i, 3.j, 5.3), a malformed MP_REACH_NLRI or
    /// MP_UNREACH_NLRI (3/9, RFC 7606 5.3, 7.11, RFC 4760 7) or two of one (3/1, RFC 7606 3.g), a well-known attribute that
    /// nobody knows (3/2, RFC 4271 6.3, which RFC 7606 leaves alone), and what would be treated as withdraw in a message
    /// with attributes but nothing to withdraw (RFC 7606 5.2).
    pub fn decode(body: &'a [u8], context: &DecodeContext) -> Result<Self, Notification> {
        let (withdrawn, attribute_bytes, nlri) =
            sections(body).ok_or_else(|| error(subcode::MALFORMED_ATTRIBUTE_LIST, &[]))?;
        let add_path = context.add_path.contains(Family::Ipv4Unicast);
        let ipv4 = |bytes| {
            Nlri::parse(Family::Ipv4Unicast, add_path, bytes).map_err(|_| error(subcode::INVALID_NETWORK_FIELD, &[]))
        };
        let (mut withdrawn, mut nlri) = (ipv4(withdrawn)?, ipv4(nlri)?);

        let mut walk = Walk::new(context, attribute_bytes);
        walk.run()?;
        let encodes_reachable = !nlri.is_empty() || walk.mp_reach_encodes;
        let any_classic = !withdrawn.is_empty() || !nlri.is_empty();
        if any_classic && !context.families.contains(Family::Ipv4Unicast) {
            walk.note(0, Consequence::Discard, "IPv4 unicast was not negotiated", &[]);
            (withdrawn, nlri) = (Nlri::none(Family::Ipv4Unicast), Nlri::none(Family::Ipv4Unicast));
        }
        let mp_reach = walk.mp_reach.filter(|(nlri, _)| !nlri.is_empty());
        walk.judge_together(!nlri.is_empty(), mp_reach.is_some());
        if let Some((subcode, data)) = walk.withdraw
            && !encodes_reachable
        {
            // RFC 7606 5.2: the prefixes that this message may have meant were perhaps not found.
            return Err(error(subcode, data));
        }

        let treat_as_withdraw = walk.withdraw.is_some();
        let classic = walk.next_hop.filter(|_| !treat_as_withdraw).map(|(next_hop, _)| (nlri, NextHop::V4(next_hop)));
        let end_of_rib = if body == [0; 4] {
            Some(Family::Ipv4Unicast).filter(|family| context.families.contains(*family))
        } else {
            let alone = walk.count == 1 && withdrawn.is_empty() && nlri.is_empty();
            walk.mp_unreach.filter(|unreach| alone && unreach.is_empty()).map(|unreach| unreach.family())
        };
        Ok(Self {
            classic_withdrawn: withdrawn,
            classic,
            mp_unreach: walk.mp_unreach,
            mp_reach: mp_reach.filter(|_| !treat_as_withdraw).and_then(|(nlri, next_hop)| Some((nlri, next_hop?))),
            instead: if treat_as_withdraw { [Some(nlri), mp_reach.map(|(nlri, _)| nlri)] } else { [None, None] },
            attributes: walk.attributes,
            problems: walk.problems,
            treat_as_withdraw,
            end_of_rib,
        })
    }
}

/// Withdrawn routes, path attributes, NLRI. `None`: the lengths do not fit the message.
fn sections(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut read = Reader(body);
    let len = read.u16()?;
    let withdrawn = read.take(usize::from(len))?;
    let len = read.u16()?;
    let attributes = read.take(usize::from(len))?;
    Some((withdrawn, attributes, read.0))
}

fn error(subcode: u8, data: &[u8]) -> Notification {
    Notification::with_data(code::UPDATE, subcode, data.to_vec())
}

/// What becomes of one attribute.
enum Verdict {
    Keep,
    /// Read already, or not for us; nothing is wrong with it.
    Pass,
    Discard(&'static str),
    /// With the sub-code for the case that there is nothing to withdraw.
    Withdraw(u8, &'static str),
}

struct Walk<'c, 'a> {
    context: &'c DecodeContext,
    attributes: Attributes<'a>,
    seen: Codes,
    /// How many attributes there were.
    count: usize,
    last_kept: u8,
    /// And the attribute that it stood in.
    next_hop: Option<(Ipv4Addr, &'a [u8])>,
    /// Of a negotiated family; without next hop if that is unusable.
    mp_reach: Option<(Nlri<'a>, Option<NextHop>)>,
    /// Whether MP_REACH_NLRI has any NLRI in it, of whichever family.
    mp_reach_encodes: bool,
    mp_unreach: Option<Nlri<'a>>,
    problems: Vec<Problem<'a>>,
    /// Set when the message is to be treated as withdraw: sub-code and data of the first reason.
    withdraw: Option<(u8, &'a [u8])>,
}

impl<'c, 'a> Walk<'c, 'a> {
    fn new(context: &'c DecodeContext, bytes: &'a [u8]) -> Self {
        Self {
            context,
            attributes: Attributes {
                bytes,
                kept: Codes::default(),
                ascending: true,
                four_octet: context.four_octet_as,
                as4_path: None,
                as4_aggregator: None,
            },
            seen: Codes::default(),
            count: 0,
            last_kept: 0,
            next_hop: None,
            mp_reach: None,
            mp_reach_encodes: false,
            mp_unreach: None,
            problems: Vec::new(),
            withdraw: None,
        }
    }

    fn note(&mut self, code: u8, consequence: Consequence, what: &'static str, data: &'a [u8]) {
        let first = !self.problems.iter().any(|problem| problem.consequence == consequence);
        if first || self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { code, consequence, what, data });
        }
    }

    /// `data` is what is wrong, as it stood in the message.
    fn withdraw(&mut self, code: u8, subcode: u8, data: &'a [u8], what: &'static str) {
        self.note(code, Consequence::Withdraw, what, data);
        // RFC 4271 6.3 gives every error about an attribute that attribute as data, except a malformed AS_PATH.
        let data = if subcode == subcode::MALFORMED_AS_PATH { &[] } else { data };
        self.withdraw.get_or_insert((subcode, data));
    }

    fn run(&mut self) -> Result<(), Notification> {
        let mut walk = attributes(self.attributes.bytes);
        loop {
            let before = walk.rest();
            let Some(attribute) = walk.next() else { break };
            let whole = &before[..before.len() - walk.rest().len()];
            self.one(attribute, whole)?;
        }
        let rest = walk.rest();
        if rest.is_empty() {
            return Ok(());
        }
        // RFC 7606 4: the section's own length finds the NLRI, so its routes can be withdrawn; not so where the attribute
        // that does not end is one that carries NLRI (RFC 7606 3.j).
        let code = rest.get(1).copied().unwrap_or(0);
        if matches!(code, attr_code::MP_REACH | attr_code::MP_UNREACH) {
            return Err(error(subcode::ATTRIBUTE_LENGTH, rest));
        }
        self.withdraw(code, subcode::ATTRIBUTE_LENGTH, rest, "an attribute runs beyond the attributes");
        Ok(())
    }

    fn one(&mut self, attribute: RawAttr<'a>, whole: &'a [u8]) -> Result<(), Notification> {
        let code = attribute.code;
        self.count += 1;
        if self.seen.contains(code) {
            if matches!(code, attr_code::MP_REACH | attr_code::MP_UNREACH) {
                return Err(error(subcode::MALFORMED_ATTRIBUTE_LIST, &[]));
            }
            // RFC 7606 3.g. Its place in the order matters no more; the first one's does.
            self.note(code, Consequence::Discard, "given more than once", whole);
            self.attributes.ascending = false;
            return Ok(());
        }
        self.seen.insert(code);
        match self.judge(attribute, whole)? {
            Verdict::Keep => {
                self.attributes.kept.insert(code);
                self.attributes.ascending &= code > self.last_kept;
                self.last_kept = code;
            }
            Verdict::Pass => {}
            Verdict::Discard(what) => self.note(code, Consequence::Discard, what, whole),
            Verdict::Withdraw(subcode, what) => self.withdraw(code, subcode, whole, what),
        }
        Ok(())
    }

    fn judge(&mut self, attribute: RawAttr<'a>, whole: &'a [u8]) -> Result<Verdict, Notification> {
        let RawAttr { flags, code, value } = attribute;
        let kind = flags & OPTIONAL_TRANSITIVE;
        let Some(defined) = defined_flags(code) else {
            return match kind {
                OPTIONAL_TRANSITIVE => Ok(Verdict::Keep),
                flag::OPTIONAL => Ok(Verdict::Pass), // RFC 4271 5: quietly ignored
                _ => Err(error(subcode::UNRECOGNIZED_WELL_KNOWN, whole)),
            };
        };
        match code {
            attr_code::MP_REACH => return self.mp_reach(kind == defined, value, whole),
            attr_code::MP_UNREACH => return self.mp_unreach(kind == defined, value, whole),
            _ => {}
        }
        if kind != defined {
            // RFC 7606 3.c; no attribute's own specification says otherwise.
            return Ok(Verdict::Withdraw(subcode::ATTRIBUTE_FLAGS, "its flags contradict its type"));
        }
        Ok(match code {
            attr_code::NEXT_HOP => match value.try_into() {
                Ok(octets) => {
                    let octets: [u8; 4] = octets;
                    self.next_hop = Some((octets.into(), whole));
                    Verdict::Pass
                }
                Err(_) => wrong_length(), // RFC 7606 7.3
            },
            attr_code::AS4_PATH => self.as4_path(value),
            attr_code::AS4_AGGREGATOR => self.as4_aggregator(value),
            _ => judge_value(code, value, self.context),
        })
    }

    /// RFC 6793 6, with RFC 7607 2 for AS number 0.
    fn as4_path(&mut self, value: &'a [u8]) -> Verdict {
        if self.context.four_octet_as {
            return Verdict::Discard("not allowed between speakers of four-octet AS numbers");
        }
        let path = AsPath::new(value);
        match validate_as_path(path) {
            Ok(_) if path.is_empty() => Verdict::Discard("empty"),
            Ok(_) => {
                self.attributes.as4_path = Some(path);
                Verdict::Pass
            }
            Err(PathError::Malformed) => Verdict::Discard("malformed path"),
            Err(PathError::ZeroAs) => Verdict::Discard("AS number 0"),
        }
    }

    /// RFC 6793 6, with RFC 7607 2 for AS number 0.
    fn as4_aggregator(&mut self, value: &[u8]) -> Verdict {
        if self.context.four_octet_as {
            return Verdict::Discard("not allowed between speakers of four-octet AS numbers");
        }
        match Aggregator::from_value(value) {
            Some(aggregator) if value.len() == 8 && aggregator.asn != 0 => {
                self.attributes.as4_aggregator = Some(aggregator);
                Verdict::Pass
            }
            Some(_) if value.len() == 8 => Verdict::Discard("AS number 0"),
            Some(_) | None => Verdict::Discard("wrong length"),
        }
    }

    fn mp_reach(&mut self, flags_fit: bool, value: &'a [u8], whole: &'a [u8]) -> Result<Verdict, Notification> {
        let incorrect = || error(subcode::OPTIONAL_ATTRIBUTE, whole);
        let mut read = Reader(value);
        let head = (read.u16(), read.u8(), read.u8());
        let (true, (Some(afi), Some(safi), Some(len))) = (flags_fit, head) else {
            return Err(incorrect()); // RFC 7606 5.3
        };
        let (Some(next_hop), Some(_reserved)) = (read.take(usize::from(len)), read.u8()) else {
            return Err(incorrect());
        };
        self.mp_reach_encodes = !read.is_empty();
        let Some(family) = self.negotiated(AfiSafi { afi, safi }) else {
            return Ok(Verdict::Discard("its family was not negotiated"));
        };
        let next_hop = NextHopValue::parse(family, next_hop, self.context).ok_or_else(incorrect)?;
        let nlri = Nlri::parse(family, self.context.add_path.contains(family), read.0).map_err(|_| incorrect())?;
        if !next_hop.link_local_fits {
            let what = "the second next hop is not link-local and was ignored";
            self.note(attr_code::MP_REACH, Consequence::Discard, what, whole);
        }
        let usable = next_hop.usable();
        self.mp_reach = Some((nlri, usable));
        Ok(match usable {
            Some(_) => Verdict::Pass,
            None => Verdict::Withdraw(subcode::OPTIONAL_ATTRIBUTE, "the next hop is not a host's address"),
        })
    }

    fn mp_unreach(&mut self, flags_fit: bool, value: &'a [u8], whole: &[u8]) -> Result<Verdict, Notification> {
        let incorrect = || error(subcode::OPTIONAL_ATTRIBUTE, whole);
        let mut read = Reader(value);
        let (true, Some(afi), Some(safi)) = (flags_fit, read.u16(), read.u8()) else {
            return Err(incorrect()); // RFC 7606 5.3
        };
        let Some(family) = self.negotiated(AfiSafi { afi, safi }) else {
            return Ok(Verdict::Discard("its family was not negotiated"));
        };
        let add_path = self.context.add_path.contains(family);
        self.mp_unreach = Some(Nlri::parse(family, add_path, read.0).map_err(|_| incorrect())?);
        Ok(Verdict::Pass)
    }

    /// Routes of a family that was not negotiated are ignored: no RFC has an error for them, the answer of RFC 4760 7 to a
    /// family gone wrong is to ignore its routes, and ending the session would take the good families down with it.
    fn negotiated(&self, code: AfiSafi) -> Option<Family> {
        Family::from_code(code).filter(|family| self.context.families.contains(*family))
    }

    /// Rules about the message as a whole. LOCAL_PREF is not asked for: it is not a well-known *mandatory* attribute
    /// (RFC 4271 5.1.5), so RFC 7606 3.d does not speak of it.
    fn judge_together(&mut self, classic: bool, mp: bool) {
        let mandatory = [
            (attr_code::ORIGIN, classic || mp, "ORIGIN is missing"),
            (attr_code::AS_PATH, classic || mp, "AS_PATH is missing"),
            (attr_code::NEXT_HOP, classic, "NEXT_HOP is missing"),
        ];
        for (code, needed, what) in mandatory {
            if needed && !self.seen.contains(code) {
                self.withdraw(code, subcode::MISSING_WELL_KNOWN, &[], what);
            }
        }
        // Without classic NLRI, NEXT_HOP says nothing (RFC 4760 3).
        if let Some((_, whole)) = self.next_hop.filter(|(next_hop, _)| classic && !is_host_v4(*next_hop)) {
            let what = "the next hop is not a host's address";
            self.withdraw(attr_code::NEXT_HOP, subcode::INVALID_NEXT_HOP, whole, what);
        }
    }
}

/// Optional and Transitive as each attribute's specification has them; `None` if we do not know the attribute.
fn defined_flags(code: u8) -> Option<u8> {
    match code {
        attr_code::ORIGIN
        | attr_code::AS_PATH
        | attr_code::NEXT_HOP
        | attr_code::LOCAL_PREF
        | attr_code::ATOMIC_AGGREGATE => Some(WELL_KNOWN),
        attr_code::MED
        | attr_code::ORIGINATOR_ID
        | attr_code::CLUSTER_LIST
        | attr_code::MP_REACH
        | attr_code::MP_UNREACH => Some(flag::OPTIONAL),
        attr_code::AGGREGATOR
        | attr_code::COMMUNITIES
        | attr_code::EXTENDED_COMMUNITIES
        | attr_code::AS4_PATH
        | attr_code::AS4_AGGREGATOR
        | attr_code::LARGE_COMMUNITIES
        | attr_code::OTC => Some(OPTIONAL_TRANSITIVE),
        _ => None,
    }
}

fn wrong_length() -> Verdict {
    Verdict::Withdraw(subcode::ATTRIBUTE_LENGTH, "wrong length")
}

/// The attributes that go into the canonical set, flags checked.
fn judge_value(code: u8, value: &[u8], context: &DecodeContext) -> Verdict {
    let only_internal = "not allowed from an external peer";
    let keep_if = |fits: bool| if fits { Verdict::Keep } else { wrong_length() };
    let list_of = |size: usize| keep_if(!value.is_empty() && value.len().is_multiple_of(size));
    match code {
        attr_code::ORIGIN => match value {
            [origin] if Origin::try_from(*origin).is_ok() => Verdict::Keep,
            [_] => Verdict::Withdraw(subcode::INVALID_ORIGIN, "undefined origin"),
            _ => wrong_length(), // RFC 7606 7.1
        },
        attr_code::AS_PATH => judge_as_path(value, context),
        attr_code::MED => keep_if(value.len() == 4), // RFC 7606 7.4
        attr_code::LOCAL_PREF | attr_code::ORIGINATOR_ID if context.external => Verdict::Discard(only_internal),
        attr_code::LOCAL_PREF | attr_code::ORIGINATOR_ID => keep_if(value.len() == 4), // RFC 7606 7.5, 7.9
        attr_code::CLUSTER_LIST if context.external => Verdict::Discard(only_internal),
        attr_code::CLUSTER_LIST | attr_code::COMMUNITIES => list_of(4), // RFC 7606 7.10, 7.8
        attr_code::ATOMIC_AGGREGATE if value.is_empty() => Verdict::Keep,
        attr_code::ATOMIC_AGGREGATE => Verdict::Discard("wrong length"), // RFC 7606 7.6
        attr_code::AGGREGATOR => match Aggregator::from_value(value) {
            Some(_) if (value.len() == 8) != context.four_octet_as => Verdict::Discard("wrong length"),
            Some(Aggregator { asn: 0, .. }) => Verdict::Discard("AS number 0"), // RFC 7607 2
            Some(_) => Verdict::Keep,
            None => Verdict::Discard("wrong length"), // RFC 7606 7.7
        },
        attr_code::EXTENDED_COMMUNITIES => list_of(8), // RFC 7606 7.14
        attr_code::LARGE_COMMUNITIES => list_of(12),   // RFC 8092 6
        attr_code::OTC => keep_if(value.len() == 4),   // RFC 9234 5
        _ => Verdict::Keep,
    }
}

/// RFC 7606 7.2, RFC 7607 2; RFC 5065 5 for confederation segments from outside.
fn judge_as_path(value: &[u8], context: &DecodeContext) -> Verdict {
    let path = if context.four_octet_as { AsPath::new(value) } else { AsPath::two_octet(value) };
    let what = match validate_as_path(path) {
        Ok(true) if context.external => "confederation segments from an external peer",
        Ok(_) => return Verdict::Keep,
        Err(PathError::Malformed) => "malformed path",
        Err(PathError::ZeroAs) => "AS number 0",
    };
    Verdict::Withdraw(subcode::MALFORMED_AS_PATH, what)
}

/// The next hop field of MP_REACH_NLRI, its length judged.
struct NextHopValue {
    next_hop: NextHop,
    link_local_fits: bool,
}

impl NextHopValue {
    /// `None`: a length that the family does not have (RFC 7606 7.11: session reset).
    fn parse(family: Family, value: &[u8], context: &DecodeContext) -> Option<Self> {
        let v6_fits = match family {
            Family::Ipv4Unicast => context.extended_next_hop, // RFC 8950 3
            Family::Ipv6Unicast => true,
        };
        match (family, value.len()) {
            (Family::Ipv4Unicast, 4) => {
                let octets: [u8; 4] = value.try_into().ok()?;
                Some(Self { next_hop: NextHop::V4(octets.into()), link_local_fits: true })
            }
            (Family::Ipv4Unicast | Family::Ipv6Unicast, 16 | 32) if v6_fits => Some(Self::v6(value)),
            _ => None,
        }
    }

    /// RFC 2545 3. Three spellings of "link-local only" are in use: that address alone, twice, or after an unspecified one.
    /// They become one.
    fn v6(value: &[u8]) -> Self {
        let mut read = Reader(value);
        let global = read.array::<16>().map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from);
        let second = read.array::<16>().map(Ipv6Addr::from);
        let link_local = second.filter(Ipv6Addr::is_unicast_link_local);
        let next_hop = match link_local {
            Some(only) if global.is_unspecified() || global == only => NextHop::V6 { global: only, link_local: None },
            _ => NextHop::V6 { global, link_local },
        };
        Self { next_hop, link_local_fits: second == link_local }
    }

    /// Whether packets can be sent there, as far as the address alone tells.
    fn usable(&self) -> Option<NextHop> {
        let fits = match self.next_hop {
            NextHop::V4(address) => is_host_v4(address),
            NextHop::V6 { global, .. } => !(global.is_unspecified() || global.is_loopback() || global.is_multicast()),
        };
        fits.then_some(self.next_hop)
    }
}

/// RFC 4271 6.3, "a valid IP host address": not of this network (0/8), loopback, multicast or class E.
fn is_host_v4(address: Ipv4Addr) -> bool {
    !matches!(address.octets()[0], 0 | 127 | 224..)
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;

//! Where verdicts differ and why ours stands.

/// What becomes of a message; later ones are stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Accept,
    Discard,
    Withdraw,
    Reset,
    /// Refused, by a codec that does not say how.
    Refuse,
}

/// One message, two verdicts.
pub(crate) struct Seen<'a> {
    pub(crate) codec: &'static str,
    pub(crate) ours: Verdict,
    pub(crate) our_reason: &'a str,
    pub(crate) theirs: Verdict,
    pub(crate) their_reason: &'a str,
}

impl Seen<'_> {
    pub(crate) fn agrees(&self) -> bool {
        if self.theirs == Verdict::Refuse { self.ours != Verdict::Accept } else { self.ours == self.theirs }
    }
}

/// The words of a reason without its numbers, to group by.
pub(crate) fn gist(reason: &str) -> String {
    let words: String = reason.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).take(160).collect();
    let mut short = String::new();
    for c in words.chars() {
        if !(c == '#' && short.ends_with('#')) {
            short.push(c);
        }
    }
    short
}

/// A reviewed difference.
pub(crate) struct Difference {
    codec: &'static str,
    ours: &'static [Verdict],
    /// Our reason contains this.
    our_reason: &'static str,
    theirs: &'static [Verdict],
    /// Their reason contains this.
    their_reason: &'static str,
    /// The section that justifies us.
    pub(crate) why: &'static str,
}

pub(crate) fn reviewed(seen: &Seen<'_>, used: &mut [bool]) -> bool {
    for (difference, used) in LIST.iter().zip(used) {
        let Difference { codec, ours, our_reason, theirs, their_reason, .. } = difference;
        if *codec == seen.codec
            && ours.contains(&seen.ours)
            && theirs.contains(&seen.theirs)
            && seen.our_reason.contains(our_reason)
            && seen.their_reason.contains(their_reason)
        {
            *used = true;
            return true;
        }
    }
    false
}

const NETGAUZE: &str = "netgauze";
const RUSTBGPD: &str = "rustbgpd";
/// When what they object to decides, whatever else is wrong.
const ANY: &[Verdict] = &[Verdict::Accept, Verdict::Discard, Verdict::Withdraw, Verdict::Reset];
const UNKNOWN: &str = "RFC 4271 5: an attribute that is not known is not judged, only passed on or left out.";

pub(crate) const LIST: &[Difference] = &[
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Discard],
        our_reason: "given more than once",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 7606 3.g: all but the first are discarded. It hands all of them to its caller.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Reset],
        our_reason: "Malformed Attribute List",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 7606 3.g: two MP_REACH_NLRI or MP_UNREACH_NLRI end the session. It hands both to its caller.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Withdraw],
        our_reason: "is missing",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 7606 3.d: mandatory attributes. It judges each attribute by itself only.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Withdraw],
        our_reason: "the next hop is not a host's address",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 4271 6.3, RFC 7606 3.e: a next hop must be a valid host address. It does not judge values.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Discard],
        our_reason: "not allowed from an external peer",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 7606 7.5, 7.9, 7.10. It does not know which sessions are external.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Withdraw],
        our_reason: "attribute 2: AS number 0",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 7607 2: AS number 0 in AS_PATH is malformed.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Discard],
        our_reason: "AS number 0",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 7607 2: AS number 0 in AGGREGATOR, AS4_PATH or AS4_AGGREGATOR is malformed.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Withdraw],
        our_reason: "wrong length",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 7606 7.8 to 7.10, 7.14, RFC 8092 6, RFC 9234 5: lists are not empty, numbers have four octets. It takes \
              empty lists, and octets after a number.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Reset],
        our_reason: "Attribute Length Error",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 7606 5.2: the same, in a message that announces nothing.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Reset],
        our_reason: "Malformed AS_PATH",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 5065 5 and RFC 7607 2, in a message that announces nothing (RFC 7606 5.2). It judges neither.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Reset],
        our_reason: "Attribute Flags Error",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 7606 3.c, 5.2: AS4_AGGREGATOR in a message that announces nothing. It does not know the attribute.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Reset],
        our_reason: "Unrecognized Well-known Attribute",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 4271 6.3, not amended by RFC 7606: 3/2. It hands them to its caller.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Reset],
        our_reason: "Optional Attribute Error",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 7606 5.3, 7.11: a next hop of a length that the family does not have. It reads 16 or 32 octets whatever \
              the length says.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Discard, Verdict::Withdraw],
        our_reason: "attribute 18: ",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 6793 6, RFC 7606 3.c. It does not know AS4_AGGREGATOR.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Discard],
        our_reason: "attribute 17: ",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 6793 6: AS4_PATH has at least one segment, and none between four-octet speakers. It judges neither.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Discard],
        our_reason: "the second next hop is not link-local",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 2545 3: the second address is link-local. It does not judge values.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Accept],
        our_reason: "",
        theirs: &[Verdict::Refuse],
        their_reason: "InvalidPartialFlagValue",
        why: "RFC 7606 3.c: only Optional and Transitive can conflict; a Partial bit is not looked at.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Accept],
        our_reason: "",
        theirs: &[Verdict::Refuse],
        their_reason: "UndefinedAsPathSegmentType",
        why: "RFC 5065 3: an internal peer may send confederation segments. It knows none.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Accept],
        our_reason: "",
        theirs: &[Verdict::Refuse],
        their_reason: "InvalidUnicastNetwork",
        why: "RFC 4271 6.3: a multicast prefix is ignored by itself and does not make the message wrong.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Discard],
        our_reason: "its family was not negotiated",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 4760 7 ignores the routes of a family gone wrong; no RFC has an error for one not negotiated. It reads every family.",
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Accept],
        our_reason: "",
        theirs: &[Verdict::Refuse],
        their_reason: "AigpError",
        why: UNKNOWN,
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Accept],
        our_reason: "",
        theirs: &[Verdict::Refuse],
        their_reason: "BgpLsError",
        why: UNKNOWN,
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Accept],
        our_reason: "",
        theirs: &[Verdict::Refuse],
        their_reason: "ExtendedCommunitiesErrorIpv6",
        why: UNKNOWN,
    },
    Difference {
        codec: NETGAUZE,
        ours: &[Verdict::Accept],
        our_reason: "",
        theirs: &[Verdict::Refuse],
        their_reason: "SegmentIdentifierParsingError",
        why: UNKNOWN,
    },
    Difference {
        codec: RUSTBGPD,
        ours: &[Verdict::Withdraw],
        our_reason: "the next hop is not a host's address",
        theirs: &[Verdict::Accept, Verdict::Discard],
        their_reason: "",
        why: "RFC 1122 3.2.1.3, RFC 1112 4: nothing in 0/8 and 240/4 is a host. It refuses 0.0.0.0 and 255.255.255.255 only.",
    },
    Difference {
        codec: RUSTBGPD,
        ours: &[Verdict::Accept, Verdict::Discard],
        our_reason: "",
        theirs: &[Verdict::Withdraw, Verdict::Reset],
        their_reason: "2: UPDATE attribute error (subcode 11): UPDATE: unknown AS_PATH segment type",
        why: "RFC 5065 3: an internal peer may send confederation segments. It knows none.",
    },
    Difference {
        codec: RUSTBGPD,
        ours: ANY,
        our_reason: "",
        theirs: &[Verdict::Discard, Verdict::Withdraw, Verdict::Reset],
        their_reason: "(unknown here)",
        why: UNKNOWN,
    },
    Difference {
        codec: RUSTBGPD,
        ours: ANY,
        our_reason: "",
        theirs: &[Verdict::Withdraw, Verdict::Reset],
        their_reason: "flags 0xa0 (expected 0x80)",
        why: "RFC 7606 3.c: only Optional and Transitive can conflict; a Partial bit is not looked at.",
    },
    Difference {
        codec: RUSTBGPD,
        ours: ANY,
        our_reason: "its family was not negotiated",
        theirs: &[Verdict::Reset],
        their_reason: "MP_",
        why: "RFC 4760 7 ignores the routes of a family gone wrong; no RFC has an error for one not negotiated.",
    },
    Difference {
        codec: RUSTBGPD,
        ours: &[Verdict::Discard],
        our_reason: "its family was not negotiated",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 4760 7 ignores the routes of a family gone wrong; no RFC has an error for one not negotiated. It reads more families.",
    },
    Difference {
        codec: RUSTBGPD,
        ours: &[Verdict::Accept, Verdict::Discard],
        our_reason: "",
        theirs: &[Verdict::Withdraw, Verdict::Reset],
        their_reason: "3: invalid, subcode 8",
        why: "RFC 4760 3: without classic NLRI, the value of NEXT_HOP is ignored.",
    },
    Difference {
        codec: RUSTBGPD,
        ours: &[Verdict::Accept, Verdict::Discard],
        our_reason: "",
        theirs: &[Verdict::Discard],
        their_reason: "AS_CONFED_SEQUENCE removed",
        why: "RFC 6793 6: such segments are left out and the attribute is used; both do, we without remark.",
    },
    Difference {
        codec: RUSTBGPD,
        ours: &[Verdict::Withdraw],
        our_reason: "NEXT_HOP is missing",
        theirs: &[Verdict::Accept, Verdict::Discard],
        their_reason: "",
        why: "RFC 4271 5.1.3, RFC 7606 3.d: NEXT_HOP is mandatory from internal peers too.",
    },
    Difference {
        codec: RUSTBGPD,
        ours: &[Verdict::Reset],
        our_reason: "Unrecognized Well-known Attribute",
        theirs: &[Verdict::Accept, Verdict::Discard, Verdict::Withdraw],
        their_reason: "",
        why: "RFC 4271 6.3, not amended by RFC 7606: 3/2.",
    },
    Difference {
        codec: RUSTBGPD,
        ours: &[Verdict::Discard],
        our_reason: "the second next hop is not link-local",
        theirs: &[Verdict::Withdraw],
        their_reason: "14: invalid",
        why: "RFC 2545 3: the global address stands by itself; RFC 7606 7.11 knows only wrong lengths.",
    },
    Difference {
        codec: RUSTBGPD,
        ours: ANY,
        our_reason: "",
        theirs: &[Verdict::Withdraw, Verdict::Reset],
        their_reason: "prohibited AS path segment type",
        why: "RFC 4271 9.1.2.2 defines what an AS_SET counts. RFC 9774 3 wants such routes withdrawn; the peers that we \
              replace accept them, so it is left to policy.",
    },
    Difference {
        codec: RUSTBGPD,
        ours: &[Verdict::Discard],
        our_reason: "not allowed from an external peer",
        theirs: &[Verdict::Accept],
        their_reason: "",
        why: "RFC 7606 7.5, 7.9, 7.10: discarded also when well formed. It leaves that to its caller.",
    },
];

//! The BFD control packet: 24 octets without authentication (RFC 5880 section 4.1).

use std::fmt;
use std::num::NonZeroU32;

/// Octets of a control packet without authentication.
pub const LENGTH: usize = 24;

const VERSION: u8 = 1;
const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;
/// Least length of a packet with an authentication section (RFC 5880 section 6.8.6).
const LENGTH_AUTHENTICATED: u8 = 26;

/// State of a session, in the order of its numbers on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Held down on purpose.
    AdminDown,
    /// No contact, or it was lost.
    Down,
    /// The other side is heard; whether it hears us is not known.
    Init,
    /// Both sides hear each other.
    Up,
}

impl State {
    const ALL: [Self; 4] = [Self::AdminDown, Self::Down, Self::Init, Self::Up];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        })
    }
}

/// Why a session last left Up: five bits (RFC 5880 section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Diagnostic(pub u8);

impl Diagnostic {
    /// Nothing happened yet.
    pub const NONE: Self = Self(0);
    /// No packet came within the detection time.
    pub const DETECTION_TIME_EXPIRED: Self = Self(1);
    /// The neighbour reported its session down.
    pub const NEIGHBOR_SIGNALED_DOWN: Self = Self(3);
    /// Taken down by an operator or by configuration.
    pub const ADMINISTRATIVELY_DOWN: Self = Self(7);
    /// The largest number that fits its field.
    const MAX: u8 = 31;
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "no diagnostic",
            1 => "control detection time expired",
            2 => "echo function failed",
            3 => "neighbor signaled session down",
            4 => "forwarding plane reset",
            5 => "path down",
            6 => "concatenated path down",
            7 => "administratively down",
            8 => "reverse concatenated path down",
            other => return write!(f, "diagnostic {other}"),
        })
    }
}

/// A control packet. Intervals are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender's session last left Up.
    pub diagnostic: Diagnostic,
    /// State of the sender.
    pub state: State,
    /// P: the sender wants an answer with F.
    pub poll: bool,
    /// F: this is the answer.
    pub is_final: bool,
    /// C: the sender's BFD survives the loss of its control plane (RFC 5882 section 4.3).
    pub control_plane_independent: bool,
    /// D: the sender wants no periodic packets once both sides are up.
    pub demand: bool,
    /// Packets lost in a row that mean down. Not zero in a packet that was decoded.
    pub multiplier: u8,
    /// The sender's number of the session.
    pub my_discriminator: NonZeroU32,
    /// The receiver's number of the session; 0 while the sender does not know it.
    pub your_discriminator: u32,
    /// Shortest interval in which the sender wants to send.
    pub desired_min_tx: u32,
    /// Shortest interval in which the sender can receive; 0: it wants no periodic packets.
    pub required_min_rx: u32,
    /// As `required_min_rx`, for echo packets; 0: it does not support them.
    pub required_min_echo_rx: u32,
}

/// Why a packet is discarded, in the order in which RFC 5880 section 6.8.6 checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Another version than 1.
    Version,
    /// The length field is less than a packet has, or the datagram is shorter than the field says.
    Length,
    /// Detection multiplier zero.
    Multiplier,
    /// The multipoint bit is set.
    Multipoint,
    /// The sender's discriminator is zero.
    MyDiscriminator,
    /// The receiver's discriminator is zero in a state that cannot be reached without knowing it.
    YourDiscriminator,
    /// An authentication section, which no session of ours uses.
    Authentication,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "its version is not 1",
            Self::Length => "its length is wrong",
            Self::Multiplier => "its detection multiplier is zero",
            Self::Multipoint => "its multipoint bit is set",
            Self::MyDiscriminator => "its sender's discriminator is zero",
            Self::YourDiscriminator => "it names no session although its state needs one",
            Self::Authentication => "it is authenticated, which is not in use",
        })
    }
}

impl std::error::Error for Invalid {}

impl Packet {
    /// Reads the payload of a datagram; what follows the packet is ignored.
    ///
    /// # Errors
    /// [`Invalid`]: the first check that fails. The datagram must be discarded without an answer.
    pub fn decode(payload: &[u8]) -> Result<Self, Invalid> {
        // Without these octets there is no length field to look at.
        let Some((bytes, _)) = payload.split_first_chunk::<LENGTH>() else {
            return Err(match payload.first() {
                Some(first) if first >> 5 != VERSION => Invalid::Version,
                Some(_) | None => Invalid::Length,
            });
        };
        let [first, flags, multiplier, length, ..] = *bytes;
        if first >> 5 != VERSION {
            return Err(Invalid::Version);
        }
        let authenticated = flags & AUTHENTICATION != 0;
        let least = if authenticated { LENGTH_AUTHENTICATED } else { LENGTH as u8 };
        if length < least || usize::from(length) > payload.len() {
            return Err(Invalid::Length);
        }
        if multiplier == 0 {
            return Err(Invalid::Multiplier);
        }
        if flags & MULTIPOINT != 0 {
            return Err(Invalid::Multipoint);
        }
        let my_discriminator = NonZeroU32::new(word(bytes, 4)).ok_or(Invalid::MyDiscriminator)?;
        let your_discriminator = word(bytes, 8);
        let state = State::ALL[usize::from(flags >> 6)];
        if your_discriminator == 0 && state > State::Down {
            return Err(Invalid::YourDiscriminator);
        }
        if authenticated {
            return Err(Invalid::Authentication);
        }
        Ok(Self {
            diagnostic: Diagnostic(first & Diagnostic::MAX),
            state,
            poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            multiplier,
            my_discriminator,
            your_discriminator,
            desired_min_tx: word(bytes, 12),
            required_min_rx: word(bytes, 16),
            required_min_echo_rx: word(bytes, 20),
        })
    }

    /// The packet as it is sent.
    #[must_use]
    pub fn encode(&self) -> [u8; LENGTH] {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION << 5 | self.diagnostic.0 & Diagnostic::MAX;
        bytes[1] = (self.state as u8) << 6
            | bit(self.poll, POLL)
            | bit(self.is_final, FINAL)
            | bit(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | bit(self.demand, DEMAND);
        bytes[2] = self.multiplier;
        bytes[3] = LENGTH as u8;
        let words = [
            self.my_discriminator.get(),
            self.your_discriminator,
            self.desired_min_tx,
            self.required_min_rx,
            self.required_min_echo_rx,
        ];
        for (place, word) in bytes[4..].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

fn word(bytes: &[u8; LENGTH], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;

//! `perouter trace`: messages of a traced peer, from copied bytes to words. Pure.
//!
//! A tap may begin in the middle of a message, and pieces may be missing: messages are found again by their marker (RFC 4271
//! 4.1).

use std::collections::BTreeMap;

use engine::ConnId;
use wire::{
    AsPath, DecodeContext, Frame, MAX_LEN_EXTENDED, MessageType, Notification, Open, Refresh, RouteRefresh, Update,
    attr_code, attributes,
};

use crate::admin::model::{Direction, TracedMessage};
use crate::speaker::{Tapped, Way};

/// What every message begins with.
const MARKER: [u8; 16] = [0xff; 16];

/// Finds messages in the pieces of any number of connections.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Bytes that wait for the rest of their message; absent until a marker was seen.
    partial: BTreeMap<(ConnId, bool), Vec<u8>>,
}

impl Reader {
    /// The messages that a piece completes; `at` is when it came.
    pub(crate) fn take(&mut self, tapped: &Tapped, at: &str) -> Vec<TracedMessage> {
        let key = (tapped.conn, tapped.way == Way::Sent);
        if tapped.lost > 0 {
            self.partial.clear();
        }
        let mut buffer = match self.partial.remove(&key) {
            Some(mut begun) => {
                begun.extend_from_slice(&tapped.bytes);
                begun
            }
            None => {
                let start = tapped.bytes.windows(MARKER.len()).position(|window| window == MARKER);
                start.map(|start| tapped.bytes[start..].to_vec()).unwrap_or_default()
            }
        };
        let mut messages = Vec::new();
        let mut taken = 0;
        // What is no message ends here; the engine ends the session over it.
        while let Ok(Some(frame)) = wire::next_frame(&buffer[taken..], MAX_LEN_EXTENDED) {
            taken += frame.len;
            messages.push(message(tapped, &frame, at));
        }
        buffer.drain(..taken);
        if !buffer.is_empty() || taken > 0 {
            self.partial.insert(key, buffer);
        }
        if let Some(first) = messages.first_mut() {
            first.lost = tapped.lost;
        }
        messages
    }
}

fn message(tapped: &Tapped, frame: &Frame<'_>, at: &str) -> TracedMessage {
    let mut message = TracedMessage {
        at: at.to_owned(),
        direction: if tapped.way == Way::Received { Direction::Received } else { Direction::Sent },
        kind: name(frame.kind).to_owned(),
        octets: frame.len as u64,
        summary: String::new(),
        announced: Vec::new(),
        withdrawn: Vec::new(),
        attributes: Vec::new(),
        problems: Vec::new(),
        lost: 0,
    };
    match frame.kind {
        MessageType::Open => open(&mut message, frame.body),
        MessageType::Update => update(&mut message, frame.body, &tapped.context),
        MessageType::Notification => message.summary = Notification::decode(frame.body).to_string(),
        MessageType::Keepalive => {}
        MessageType::RouteRefresh => refresh(&mut message, frame.body),
    }
    message
}

fn name(kind: MessageType) -> &'static str {
    match kind {
        MessageType::Open => "OPEN",
        MessageType::Update => "UPDATE",
        MessageType::Notification => "NOTIFICATION",
        MessageType::Keepalive => "KEEPALIVE",
        MessageType::RouteRefresh => "ROUTE-REFRESH",
    }
}

fn open(message: &mut TracedMessage, body: &[u8]) {
    match Open::decode(body) {
        Ok(Open { asn, hold_time, router_id, capabilities }) => {
            message.summary = format!("AS {asn}, router id {router_id}, hold time {hold_time} s");
            message.attributes = capabilities.iter().map(ToString::to_string).collect();
        }
        Err(answer) => message.problems.push(answer.to_string()),
    }
}

fn refresh(message: &mut TracedMessage, body: &[u8]) {
    match RouteRefresh::decode(body) {
        Ok(RouteRefresh { family, subtype }) => {
            let what = match subtype {
                Refresh::Request => "asks for the routes again".to_owned(),
                Refresh::Begin => "routes follow again".to_owned(),
                Refresh::End => "routes were said again".to_owned(),
                Refresh::Other(number) => format!("subtype {number}"),
            };
            message.summary = format!("{family}: {what}");
        }
        Err(answer) => message.problems.push(answer.to_string()),
    }
}

fn update(message: &mut TracedMessage, body: &[u8], context: &DecodeContext) {
    let update = match Update::decode(body, context) {
        Ok(update) => update,
        Err(answer) => return message.problems.push(answer.to_string()),
    };
    if let Some(family) = update.end_of_rib() {
        message.summary = format!("End-of-RIB, {family}");
    }
    let path = |add_path: bool, id: u32, prefix: ipnet::IpNet| {
        if add_path { format!("{prefix} path {id}") } else { prefix.to_string() }
    };
    for nlri in update.withdrawn() {
        message.withdrawn.extend(nlri.paths().map(|(id, prefix)| path(nlri.has_path_ids(), id, prefix)));
    }
    for (nlri, next_hop) in update.announced() {
        message.announced.extend(nlri.paths().map(|(id, prefix)| path(nlri.has_path_ids(), id, prefix)));
        message.attributes.push(format!("NEXT_HOP {next_hop}"));
    }
    if !message.announced.is_empty() {
        let mut canonical = Vec::new();
        update.write_canonical(&mut canonical);
        message.attributes.extend(attributes(&canonical).map(|one| attribute(one.code, one.value)));
    }
    message.problems = update.problems().iter().map(ToString::to_string).collect();
    if message.summary.is_empty() {
        message.summary = counts(&[("announced", &message.announced), ("withdrawn", &message.withdrawn)]);
    }
}

/// "2 announced, 1 withdrawn".
fn counts(of: &[(&str, &Vec<String>)]) -> String {
    let some = of.iter().filter(|(_, prefixes)| !prefixes.is_empty());
    let said: Vec<_> = some.map(|(what, prefixes)| format!("{} {what}", prefixes.len())).collect();
    if said.is_empty() { "nothing in it".to_owned() } else { said.join(", ") }
}

/// An attribute in its usual notation.
fn attribute(code: u8, value: &[u8]) -> String {
    let name = attr_code::name(code).map_or_else(|| format!("attribute {code}"), str::to_owned);
    let word = || value.try_into().ok().map(u32::from_be_bytes);
    let text = match code {
        attr_code::ORIGIN => match value {
            [0] => "igp".to_owned(),
            [1] => "egp".to_owned(),
            _ => "incomplete".to_owned(),
        },
        attr_code::AS_PATH => AsPath::new(value).to_string(),
        attr_code::MED | attr_code::LOCAL_PREF | attr_code::OTC => {
            word().map_or_else(|| hex(value), |word| word.to_string())
        }
        attr_code::ORIGINATOR_ID | attr_code::CLUSTER_LIST => {
            let ids = value.chunks_exact(4).map(|id| format!("{}.{}.{}.{}", id[0], id[1], id[2], id[3]));
            ids.collect::<Vec<_>>().join(" ")
        }
        attr_code::COMMUNITIES => {
            let all = wire::communities(value).map(|value| wire::Community(value).to_string());
            all.collect::<Vec<_>>().join(" ")
        }
        attr_code::EXTENDED_COMMUNITIES => {
            let all = wire::extended_communities(value).map(|value| wire::ExtendedCommunity(value).to_string());
            all.collect::<Vec<_>>().join(" ")
        }
        attr_code::LARGE_COMMUNITIES => {
            wire::large_communities(value).map(|(a, b, c)| format!("{a}:{b}:{c}")).collect::<Vec<_>>().join(" ")
        }
        _ => hex(value),
    };
    format!("{name} {text}").trim_end().to_owned()
}

fn hex(value: &[u8]) -> String {
    value.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wire::{Family, FamilySet};

    use super::*;

    /// 10.1.0.0/16 by way of AS 64512, then a KEEPALIVE.
    fn stream() -> Vec<u8> {
        let mut body = vec![0, 0, 0, 20];
        body.extend([0x40, 1, 1, 0]);
        body.extend([0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0]);
        body.extend([0x40, 3, 4, 192, 168, 11, 2]);
        body.extend([16, 10, 1]);
        let mut message = MARKER.to_vec();
        message.extend(u16::try_from(body.len() + 19).unwrap().to_be_bytes());
        message.push(2);
        message.extend(body);
        wire::encode_keepalive(&mut message);
        message
    }

    fn piece(bytes: &[u8], lost: u64) -> Tapped {
        let context = DecodeContext {
            four_octet_as: true,
            external: true,
            families: Family::ALL.into_iter().collect(),
            extended_next_hop: false,
            add_path: FamilySet::default(),
        };
        let bytes = Bytes::copy_from_slice(bytes);
        Tapped { conn: ConnId::Accepted(1), way: Way::Received, bytes, context, lost }
    }

    fn kinds(messages: &[TracedMessage]) -> Vec<&str> {
        messages.iter().map(|message| message.kind.as_str()).collect()
    }

    #[test]
    fn an_update_is_told_with_prefixes_and_attributes() {
        let messages = Reader::default().take(&piece(&stream(), 0), "now");
        assert_eq!(kinds(&messages), ["UPDATE", "KEEPALIVE"]);
        assert_eq!(messages[0].announced, ["10.1.0.0/16"]);
        assert_eq!(messages[0].attributes, ["NEXT_HOP 192.168.11.2", "ORIGIN igp", "AS_PATH 64512"]);
        assert_eq!(messages[0].summary, "1 announced");
    }

    #[test]
    fn messages_are_found_in_pieces_and_from_the_middle() {
        let stream = stream();
        for cut in 1..stream.len() - 1 {
            let mut reader = Reader::default();
            let mut all = reader.take(&piece(&stream[..cut], 0), "now");
            all.extend(reader.take(&piece(&stream[cut..], 0), "now"));
            // A cut inside of the first marker leaves nothing to go by; what follows it is whole.
            let expected: &[&str] = if cut < 16 { &["KEEPALIVE"] } else { &["UPDATE", "KEEPALIVE"] };
            assert_eq!(kinds(&all), expected, "cut at {cut}");
        }
        // The tail of a message that began before the tap is passed over.
        let mut tail = stream[30..].to_vec();
        tail.extend(stream);
        assert_eq!(kinds(&Reader::default().take(&piece(&tail, 0), "now")), ["KEEPALIVE", "UPDATE", "KEEPALIVE"]);
    }

    #[test]
    fn after_a_gap_the_number_of_lost_pieces_is_told_once() {
        let stream = stream();
        let mut reader = Reader::default();
        reader.take(&piece(&stream[..25], 0), "now");
        let messages = reader.take(&piece(&stream, 3), "now");
        assert_eq!(messages.iter().map(|message| message.lost).collect::<Vec<_>>(), [3, 0]);
    }
}

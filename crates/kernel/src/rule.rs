//! Policy rules of IPv6, as netlink tells and changes them. `linux/fib_rules.h`.

use std::fmt;

use rustix::io::Errno;

use crate::netlink::constants::*;
use crate::netlink::{Attributes, Fields, Refusal, Socket, attributes};
use crate::route::PROTOCOL;

/// An IPv6 rule: what leaves over a link is looked up in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its place among the rules.
    pub priority: u32,
    /// Name of the link; empty for any.
    pub link: String,
    /// The table.
    pub table: u32,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { priority, link, table } = self;
        write!(f, "IPv6 rule {priority}: oif {link} lookup {table}")
    }
}

/// Whether the body of `RTM_NEWRULE` or `RTM_DELRULE` is one of ours. `FRA_PROTOCOL` came with Linux 4.17, before the
/// next-hop objects that we need anyway.
pub(crate) fn is_ours(body: &[u8]) -> bool {
    attributes(body.tail(12)).any(|(kind, value)| kind == FRA_PROTOCOL && value.u8_at(0) == Some(PROTOCOL))
}

pub(crate) fn parse(body: &[u8]) -> Option<Rule> {
    let mut rule = Rule { priority: 0, link: String::new(), table: body.u8_at(4)?.into() };
    for (kind, value) in attributes(body.tail(12)) {
        match kind {
            FRA_PRIORITY => rule.priority = value.number()?,
            FRA_TABLE => rule.table = value.number()?,
            FRA_OIFNAME => rule.link = value.text(),
            _ => {}
        }
    }
    Some(rule)
}

/// Our rules; none where the kernel has no IPv6.
pub(crate) fn ours(socket: &mut Socket) -> Result<Vec<Rule>, Refusal> {
    let mut header = [0; 12];
    header[0] = AF_INET6;
    match socket.dump(RTM_GETRULE, |a| a.raw(&header), |body| is_ours(body).then(|| parse(body))?) {
        Err(refusal) if matches!(refusal.errno, Errno::AFNOSUPPORT | Errno::OPNOTSUPP) => Ok(Vec::new()),
        result => result,
    }
}

/// Adds a rule of ours; fine when it is there.
pub(crate) fn add(socket: &mut Socket, rule: &Rule) -> Result<(), Refusal> {
    match socket.change(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, |a| request(a, rule)) {
        Err(refusal) if refusal.errno != Errno::EXIST => Err(refusal),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes a rule of ours; fine when it is gone.
pub(crate) fn delete(socket: &mut Socket, rule: &Rule) -> Result<(), Refusal> {
    match socket.change(RTM_DELRULE, 0, |a| request(a, rule)) {
        Err(refusal) if refusal.errno != Errno::NOENT => Err(refusal),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn request(a: &mut Attributes<'_>, rule: &Rule) {
    let mut header = [0; 12];
    header[0] = AF_INET6;
    header[7] = FR_ACT_TO_TBL;
    a.raw(&header);
    a.u32(FRA_PRIORITY, rule.priority);
    a.u32(FRA_TABLE, rule.table);
    a.bytes(FRA_PROTOCOL, &[PROTOCOL]);
    if !rule.link.is_empty() {
        a.text(FRA_OIFNAME, &rule.link);
    }
}

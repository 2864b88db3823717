//! An error number becomes a sentence: what was tried on which object, why it failed, what to do.

use std::io;

use rustix::io::Errno;

use crate::netlink::Refusal;

/// `what` says what was tried and names the object and the value: "cannot add address 10.0.0.1/24 to link pt-ns".
pub(crate) fn explain(what: &str, refusal: &Refusal) -> String {
    let (reason, remedy) = meaning(refusal.errno);
    let kernel = refusal.text.as_deref().map(|text| format!(" (kernel: {text})")).unwrap_or_default();
    let reason = if reason.is_empty() { io::Error::from(refusal.errno).to_string() } else { reason.to_owned() };
    if remedy.is_empty() { format!("{what}: {reason}{kernel}") } else { format!("{what}: {reason}{kernel}; {remedy}") }
}

/// As [`explain`], for errors that did not come over netlink.
pub(crate) fn explain_io(what: &str, error: &io::Error) -> String {
    if let Some(refusal) = error.get_ref().and_then(|inner| inner.downcast_ref::<Refusal>()) {
        return explain(what, refusal);
    }
    match Errno::from_io_error(error) {
        Some(errno) => explain(what, &Refusal { errno, text: None }),
        None => format!("{what}: {error}"),
    }
}

/// Reason and remedy; an empty reason is the system's own words.
fn meaning(errno: Errno) -> (&'static str, &'static str) {
    match errno {
        Errno::PERM | Errno::ACCESS => ("not permitted", "run as root or with CAP_NET_ADMIN and CAP_SYS_ADMIN"),
        Errno::NODEV => ("there is no such link", "check the name with `ip link`; it is tried again when it appears"),
        Errno::NETDOWN => ("the link is down", "it is tried again when the link is up"),
        Errno::NETUNREACH => ("the gateway is not reachable over this link", "check the addresses of the link"),
        Errno::HOSTUNREACH => ("the gateway is not reachable", "check the addresses of the link"),
        Errno::EXIST => ("it exists already", "remove or rename the other one, or choose another name"),
        Errno::BUSY => ("it is in use", "find its user and stop it; it is tried again"),
        Errno::OPNOTSUPP => ("the kernel or the driver does not support it", "check the kernel's version and modules"),
        Errno::AFNOSUPPORT => ("the kernel has no support for this address family", "enable IPv6 in the kernel"),
        Errno::INVAL => ("the kernel refuses the value", "check it"),
        Errno::RANGE | Errno::NAMETOOLONG => ("the name is too long or the value out of range", "correct it"),
        Errno::ADDRNOTAVAIL => ("there is no such address", ""),
        Errno::NOMEM | Errno::NOBUFS => ("the kernel is out of memory for it", "free memory; it is tried again"),
        Errno::NOENT | Errno::SRCH => ("it does not exist", ""),
        Errno::ROFS => ("/proc/sys is mounted read-only", "run the container privileged"),
        Errno::NOSPC => ("no space left", "free space on the disk"),
        _ => ("", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(errno: Errno, text: Option<&str>) -> Refusal {
        Refusal { errno, text: text.map(str::to_owned) }
    }

    #[test]
    fn a_sentence_names_the_object_the_reason_and_the_remedy() {
        for (errno, text, sentence) in [
            (
                Errno::NODEV,
                None,
                "X: there is no such link; check the name with `ip link`; it is tried again when it appears",
            ),
            (
                Errno::INVAL,
                Some("Invalid gateway"),
                "X: the kernel refuses the value (kernel: Invalid gateway); check it",
            ),
            (Errno::NETDOWN, None, "X: the link is down; it is tried again when the link is up"),
            (Errno::NOENT, None, "X: it does not exist"),
            (Errno::XDEV, None, "X: Invalid cross-device link (os error 18)"),
        ] {
            assert_eq!(explain("X", &refusal(errno, text)), sentence);
        }
    }

    #[test]
    fn a_refusal_keeps_its_text_on_the_way_through_io_errors() {
        let error = io::Error::from(refusal(Errno::INVAL, Some("Invalid gateway")));
        assert_eq!(explain_io("X", &error), explain("X", &refusal(Errno::INVAL, Some("Invalid gateway"))));
        assert!(explain_io("X", &io::Error::from(Errno::PERM)).starts_with("X: not permitted; run as root"));
        assert_eq!(explain_io("X", &io::Error::other("odd")), "X: odd");
    }
}

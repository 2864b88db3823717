use super::super::tests::{printed, reference};
use super::*;

fn done(deeds: &[Deed]) -> Ordered {
    Ordered { peer: reference("fabric", "192.168.11.2"), done: deeds.to_vec(), refused: None }
}

#[test]
fn a_line_per_peer_says_what_was_done() {
    let refused =
        Ordered { peer: reference("host", "192.169.10.2"), done: vec![], refused: Some("there is no session".into()) };
    assert_eq!(
        printed(|out| lines(out, &[done(&[Deed::Reset]), done(&[Deed::RefreshIn, Deed::RefreshOut]), refused])),
        "\
fabric (192.168.11.2): reset
fabric (192.168.11.2): asked to send its routes again, being sent our routes again
host (192.169.10.2): nothing done: there is no session
"
    );
    let text = printed(|out| lines(out, &[done(&[Deed::Shutdown])]));
    assert!(text.contains("`perouter clear`") && text.contains("restart of the daemon"), "{text}");
}

#[test]
fn a_peer_that_refused_is_not_healthy() {
    let exit = |answer: &[Ordered]| print(&mut Out::plain(std::io::sink()), Format::Json, answer).unwrap();
    assert_eq!(exit(&[done(&[Deed::Reset])]), Exit::Fine);
    let refused = Ordered { refused: Some("no".into()), ..done(&[]) };
    assert_eq!(exit(&[done(&[Deed::Reset]), refused]), Exit::Unhealthy);
}

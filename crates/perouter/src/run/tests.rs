use config::verdict::{ObjectRef, Outcome, Source, Verdict};

use super::verdicts::Told;
use super::*;

fn verdict(kind: &str, outcome: Outcome) -> Verdict {
    let source = Source::File { path: "/etc/openperouter/configs/openpe_a.yaml".into(), line: 3 };
    Verdict { object: ObjectRef { kind: kind.into(), name: format!("static-n-{kind}"), source }, outcome }
}

fn rejected(kind: &str, reason: &'static str) -> Verdict {
    verdict(kind, Outcome::Rejected { reason, field: Some("spec.asn".into()), message: "0 is no AS number".into() })
}

fn texts(status: &Status) -> Vec<String> {
    status.journal().newest(usize::MAX).events.into_iter().map(|event| event.text).collect()
}

#[test]
fn each_change_of_a_verdict_is_told_once() {
    let status = Status::new(Mode::Run);
    let mut told = Told::default();
    let applied = |warnings: &[&str]| {
        verdict("Underlay", Outcome::Applied { warnings: warnings.iter().map(|text| (*text).to_owned()).collect() })
    };
    let place = "Underlay static-n-Underlay (/etc/openperouter/configs/openpe_a.yaml:3)";
    told.tell(&[applied(&[])], None, &status);
    told.tell(&[applied(&[])], None, &status);
    assert_eq!(texts(&status), [format!("{place}: applied")]);
    told.tell(&[applied(&["nic eth1 carries the default route"])], None, &status);
    assert_eq!(texts(&status)[1..], [format!("{place}: nic eth1 carries the default route")]);
    told.tell(&[rejected("Underlay", "ValidationFailed")], None, &status);
    assert_eq!(texts(&status)[2..], [format!("{place}: rejected (ValidationFailed): spec.asn: 0 is no AS number")]);
    told.tell(&[], Some("no files"), &status);
    told.tell(&[], Some("no files"), &status);
    assert_eq!(texts(&status)[3..], ["Underlay static-n-Underlay is gone", "waiting for configuration: no files"]);
}

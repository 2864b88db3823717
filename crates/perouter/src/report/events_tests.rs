use super::*;

fn object(kind: &str, generation: i64) -> ObjectRef {
    let source = Source::Cluster { namespace: "routers".into(), generation };
    ObjectRef { kind: kind.into(), name: "o".into(), source }
}

fn rejected(generation: i64, message: &str) -> Verdict {
    let outcome = Outcome::Rejected { reason: "ValidationFailed", field: None, message: message.into() };
    Verdict { object: object("Underlay", generation), outcome }
}

fn applied(kind: &str) -> Verdict {
    Verdict { object: object(kind, 1), outcome: Outcome::Applied { warnings: Vec::new() } }
}

fn texts(news: &[News]) -> Vec<(bool, &str, &str)> {
    news.iter().map(|news| (news.warning, news.reason.as_str(), news.text.as_str())).collect()
}

#[test]
fn a_rejection_is_told_when_it_begins_when_its_reason_changes_and_when_it_ends() {
    let mut told = Told::default();
    assert_eq!(texts(&told.news(&[rejected(1, "no")], &[])), [(true, "ValidationFailed", "no")]);
    assert_eq!(texts(&told.news(&[rejected(2, "no")], &[])), [], "a new generation with the same mistake is no news");
    assert_eq!(texts(&told.news(&[rejected(3, "never")], &[])), [(true, "ValidationFailed", "never")]);
    assert_eq!(texts(&told.news(&[applied("Underlay")], &[])), [(false, "Applied", "in force")]);
    assert_eq!(texts(&told.news(&[applied("Underlay")], &[])), []);
}

#[test]
fn a_flood_of_events_ends_after_what_people_can_read() {
    let mut budget = Budget::new();
    let begin = Instant::now();
    let allowed = (0..100).filter(|_| budget.allows(begin)).count();
    assert_eq!(allowed, BURST as usize);
    let later: Vec<_> = (1..=3).map(|n| budget.allows(begin + REFILL * n)).collect();
    assert_eq!(later, [true, true, true]);
    assert!(!budget.allows(begin + REFILL * 3));
}

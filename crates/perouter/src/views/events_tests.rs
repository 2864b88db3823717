use super::super::tests::{printed, status};
use super::*;

fn page() -> EventPage {
    let mut events = status().events;
    events[1].object = Some("eth1".into());
    events.push(Event { number: 3, object: None, text: "stopping\x07".into(), ..events[1].clone() });
    EventPage { events, last: 3, missed: 0, started: "2026-11-22T11:33:00Z".into() }
}

#[test]
fn each_event_says_when_about_what_and_what() {
    assert_eq!(
        printed(|out| Printer::new(Format::Table).page(out, &page())),
        "\
TIME                  LEVEL  ABOUT         WHAT
2026-11-22T11:33:07Z  warn   192.168.11.2  hold timer expired
2026-11-22T11:33:08Z  info   eth1          session is up
2026-11-22T11:33:08Z  info   router        stopping\u{fffd}
"
    );
}

#[test]
fn pages_that_follow_make_one_table_and_tell_what_is_missing() {
    let mut printer = Printer::new(Format::Table);
    let text = printed(|out| {
        printer.page(out, &page())?;
        printer.page(out, &EventPage { events: vec![], ..page() })?;
        printer.page(out, &EventPage { missed: 7, ..page() })
    });
    assert_eq!(text.matches("TIME").count(), 1, "{text}");
    assert_eq!(text.lines().filter(|line| line.ends_with("hold timer expired")).count(), 2, "{text}");
    assert!(text.contains("7 older events were not kept\n"), "{text}");
}

#[test]
fn followed_as_json_each_event_is_a_line() {
    let text = printed(|out| Printer::new(Format::Json).page(out, &page()));
    let events: Vec<Event> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events, page().events);
}

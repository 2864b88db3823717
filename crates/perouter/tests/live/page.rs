//! The looking glass in a real browser.

use serde_json::json;

use crate::browser::Browser;
use crate::site::{PASSTHROUGH, Site, UNDERLAY};
use crate::support::{Daemon, perouter, wait_until};

const ORIGIN: &str = "http://127.0.0.1:9180/";
/// What a first view may cost.
const MOST_OCTETS: u64 = 200_000;

/// Dropped in this order.
struct Watched {
    browser: Browser,
    daemons: [Daemon; 3],
    site: Site,
}

/// A healthy node whose page is open.
fn watched() -> Watched {
    let site = Site::new();
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    let run = site.run_with("run.log", &["--http", "127.0.0.1:9180"]);
    let daemons = [run, site.leaf(), site.host()];
    wait_until("a packet goes there and back", || site.ping());
    wait_until("the page is served", || daemons[0].log().contains("9180"));
    let mut browser = Browser::start(&site.node, &site.path("browser"));
    browser.resize(1200, 900, false);
    browser.open(ORIGIN);
    wait_until("the page shows a healthy node", || browser.text("#health").contains("Healthy"));
    Watched { browser, daemons, site }
}

/// Classes of the wires with their names, from the fabric to the host.
const WIRES: &str = "[...document.querySelectorAll('#wires path')].map((path) => `${path.nextSibling.textContent} ${path.classList[1]}`)";

#[test]
fn the_page_shows_a_node_and_what_happens_to_it() {
    let Watched { mut browser, site, daemons: _daemons } = watched();
    assert_eq!(browser.text("#node"), "worker-1");
    assert!(browser.text("#router").contains("AS 64514"), "{}", browser.text("#router"));
    assert_eq!(browser.value(WIRES), json!(["eth1 ok", "pt-ns ok"]));
    assert_eq!(browser.value("document.querySelectorAll('#sessions tr.row').length"), json!(2));
    assert_eq!(browser.value("document.querySelectorAll('#configuration li.ok').length"), json!(2));
    wait_until("what happened is listed", || {
        browser.text("#events").contains("session with 192.168.11.2 (AS 64512) established")
    });

    // What a peer's operator writes is text, whatever it looks like.
    browser.value("void (window.untouched = true)");
    let leaf = site.path("leaf-state");
    let order = ["shutdown", "router", "--message", "<i id=injected>new optics</i>"];
    assert_eq!(perouter(&site.leaf, &leaf, &order).code, Some(0));
    wait_until("the page says that a session is down, and why", || {
        browser.text("#health").contains("1 problem")
            && browser.text("#sessions").contains("<i id=injected>new optics</i>")
    });
    assert_eq!(browser.value(WIRES), json!(["eth1 bad", "pt-ns ok"]));
    wait_until("the event is there", || browser.text("#events li").contains("192.168.11.2"));
    assert!(browser.text("#problems").contains("192.168.11.2"));
    assert_eq!(browser.value("document.querySelector('#injected')"), json!(null));

    assert_eq!(perouter(&site.leaf, &leaf, &["clear", "router"]).code, Some(0));
    wait_until("the page is calm again", || browser.text("#health").contains("Healthy"));
    assert_eq!(browser.value(WIRES), json!(["eth1 ok", "pt-ns ok"]));
    assert_eq!(browser.value("window.untouched"), json!(true), "without being loaded again");

    // A link without carrier is told from a peer that is silent.
    crate::support::ip(&format!("-n {} link set leaf0 down", site.leaf));
    wait_until("the wire says that the link is down", || browser.value(WIRES)[0] == "eth1 is down bad");

    assert_eq!(browser.complaints(), Vec::<String>::new());
    for request in browser.requests() {
        assert!(request.starts_with(ORIGIN), "{request}");
    }
}

#[test]
fn a_route_is_looked_up_with_the_keyboard_alone() {
    let Watched { mut browser, site: _site, daemons: _daemons } = watched();
    let ask = |browser: &mut Browser, text: &str| {
        browser.press("/");
        assert_eq!(browser.value("document.activeElement.id"), json!("address"));
        browser.value("document.activeElement.select()");
        browser.type_text(text);
        browser.press("Enter");
        browser.value("document.activeElement.blur()");
    };
    ask(&mut browser, "203.0.113.9");
    wait_until("the answer is there", || browser.text("#answer").contains("There:"));
    let answer = browser.text("#answer");
    for part in [
        "The kernel forwards along it",
        "It is told to host-ipv4",
        "Best: only usable path",
        "eth1",
        "192.168.11.2",
        "AS 64512",
    ] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    // What the kernel says of a packet there and of its answer.
    for part in ["A PACKET FROM THE HOST", "There:", "Back:", "pt-host", "Not to"] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    ask(&mut browser, "192.0.2.1");
    wait_until("there is no such route", || browser.text("#answer").contains("There is no route to 192.0.2.1 in BGP"));
    ask(&mut browser, "nonsense");
    wait_until("nonsense is answered", || browser.text("#answer").contains("neither an address nor a prefix"));

    // What is asked stands in the address, for somebody else to see.
    browser.open(&format!("{ORIGIN}#route=198.51.100.7"));
    browser.value("location.reload()");
    wait_until("the link leads to the answer", || browser.text("#answer").contains("198.51.100.0/24"));

    // A session opens with Enter, and stays open.
    wait_until("the sessions are there", || browser.text("#sessions").contains("192.168.11.2"));
    browser.value("document.querySelector('#sessions td button').focus()");
    browser.press("Enter");
    wait_until("its details are there", || browser.text("#sessions .detail").contains("hold time"));
    // The question that was nonsense is refused by the router, which the browser notes.
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|complaint| complaint.contains("nonsense")), "{complaints:?}");
}

#[test]
fn the_page_is_small_fits_a_phone_and_has_a_dark_and_a_light_side() {
    let Watched { mut browser, site: _site, daemons: _daemons } = watched();
    let octets = "performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))\
                  .filter((entry) => !entry.name.includes('/v1/events')).reduce((all, entry) => all + entry.transferSize, 0)";
    let octets = browser.value(octets).as_u64().unwrap();
    assert!(octets > 10_000 && octets < MOST_OCTETS, "{octets}");
    let shown = "performance.getEntriesByName('first-contentful-paint').map((entry) => entry.startTime)[0]";
    wait_until("the page has been painted", || browser.value(shown).is_number());
    eprintln!("the first view takes {octets} octets and {} ms", browser.value(shown));

    for width in [320, 390, 768, 1200, 2000] {
        browser.resize(width, 800, false);
        assert_eq!(browser.value("document.documentElement.scrollWidth <= innerWidth"), json!(true), "at {width}");
    }
    // On a phone the columns stand below each other, and the wires go down.
    browser.resize(390, 800, false);
    let below = "document.querySelector('#router').getBoundingClientRect().top > document.querySelector('#fabric').getBoundingClientRect().bottom";
    assert_eq!(browser.value(below), json!(true));
    wait_until("the wires are drawn anew", || {
        browser.value("document.querySelectorAll('#wires path').length") == json!(2)
    });

    let ground = "getComputedStyle(document.documentElement).backgroundColor";
    let light = browser.value(ground);
    browser.resize(1200, 800, true);
    wait_until("the page follows the system", || browser.value(ground) != light);
    // By hand, and remembered: auto, then light.
    browser.press("t");
    wait_until("it is as was chosen", || browser.value(ground) == light);
    browser.open(ORIGIN);
    wait_until("it is remembered", || browser.text("#theme") == "light" && browser.value(ground) == light);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

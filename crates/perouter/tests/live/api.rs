//! The API against its own description: every question and order of `/v1/openapi.json` is put to a live daemon, and every answer
//! is held against its schema, in which nothing may be missing and nothing may be too much.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::http;
use crate::schema::Schemas;
use crate::site::{PASSTHROUGH, Site, UNDERLAY};
use crate::support::wait_until;

/// An answer over the daemon's own socket.
#[derive(Debug)]
struct Answer {
    status: u16,
    media: String,
    body: String,
}

/// Sends a request and reads the head of its answer.
fn open(socket: &Path, method: &str, target: &str, body: &str, more: &str) -> (u16, String, BufReader<UnixStream>) {
    let mut stream = UnixStream::connect(socket).unwrap();
    let length = body.len();
    write!(stream, "{method} {target} HTTP/1.1\r\nHost: perouter\r\nConnection: close\r\n{more}Content-Length: {length}\r\n\r\n{body}")
        .unwrap();
    let mut reader = BufReader::new(stream);
    let (mut status, mut media) = (0, String::new());
    for line in reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().unwrap();
        } else if let Some((_, value)) =
            line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        {
            media = value.split(';').next().unwrap().to_owned();
        }
    }
    (status, media, reader)
}

fn ask(socket: &Path, method: &str, target: &str, body: &str) -> Answer {
    let (status, media, mut reader) = open(socket, method, target, body, "");
    let mut body = String::new();
    // A stream has no end: that it begins is enough here.
    if media != "text/event-stream" {
        reader.read_to_string(&mut body).unwrap();
    }
    Answer { status, media, body }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The targets that try an operation: with what it must have, and then with each of what it may have.
fn targets(path: &str, operation: &Value) -> Vec<String> {
    let parameters = operation["parameters"].as_array().unwrap();
    let of = |place: &'static str, required: bool| {
        parameters.iter().filter(move |one| one["in"] == place && one["required"] == json!(required))
    };
    let mut base = path.to_owned();
    for parameter in of("path", true) {
        base = base.replace(&format!("{{{}}}", text_of(&parameter["name"])), &encoded(&text_of(&parameter["example"])));
    }
    let pair = |one: &Value| format!("{}={}", text_of(&one["name"]), encoded(&text_of(&one["example"])));
    let needed: Vec<String> = of("query", true).map(pair).collect();
    let with = |more: Option<String>| {
        let all: Vec<String> = needed.iter().cloned().chain(more).collect();
        if all.is_empty() { base.clone() } else { format!("{base}?{}", all.join("&")) }
    };
    std::iter::once(with(None)).chain(of("query", false).map(|one| with(Some(pair(one))))).collect()
}

#[test]
fn every_answer_of_a_live_daemon_is_as_the_document_says() {
    let site = Site::new();
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    // One object that is rejected: verdicts have two shapes.
    site.write("b", "underlays:\n  - asn: 64514\n    interfaces: []\n    neighbors: []\n");
    let (_leaf, _host, run) = (site.leaf(), site.host(), site.run("run.log"));
    wait_until("a packet goes there and back", || site.ping());
    let socket = site.path("run-state/perouter.sock");
    let document: Value = serde_json::from_str(&ask(&socket, "GET", "/v1/openapi.json", "").body).unwrap();
    let schemas = Schemas::of(&document);

    let mut complaints = Vec::new();
    let paths = document["paths"].as_object().unwrap();
    // Questions first: orders change what they are about.
    for method in ["get", "post"] {
        let operations = paths.iter().filter_map(|(path, operations)| Some((path, operations.get(method)?)));
        for (path, operation) in operations {
            let mut statuses = BTreeSet::new();
            let bodies: &[&str] = if method == "post" { &["{\"nonsense\": 1}", ""] } else { &[""] };
            for target in targets(path, operation) {
                for body in bodies {
                    let answer = ask(&socket, &method.to_uppercase(), &target, body);
                    statuses.insert(answer.status);
                    complaints.extend(
                        against(&schemas, operation, &answer)
                            .into_iter()
                            .map(|why| format!("{method} {target}: {why}")),
                    );
                }
            }
            if !statuses.contains(&200) {
                complaints.push(format!("{method} {path}: never answered, only {statuses:?}"));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    assert_eq!(ask(&socket, "POST", "/v1/drain", "{\"undo\": true}").status, 200);
    assert_eq!(site.ask(&["clear", "192.168.11.2"]).code, Some(0));

    // What streams carry.
    let (_, media, mut events) = open(&socket, "GET", "/v1/events", "", "Accept: text/event-stream\r\n");
    assert_eq!(media, "text/event-stream");
    let line = events.by_ref().lines().map(Result::unwrap).find(|line| line.starts_with("data: {")).unwrap();
    schemas.hold("Event", &serde_json::from_str(line.trim_start_matches("data: ")).unwrap());
    wait_until("the session is back", || site.ask(&["peers", "192.168.11.2"]).code == Some(0));
    let traced = site.ask(&["-o", "json", "trace", "192.168.11.2", "-n", "1"]);
    schemas.hold("TracedMessage", &traced.json());
    run.stop();
}

/// What is said against an answer.
fn against(schemas: &Schemas<'_>, operation: &Value, answer: &Answer) -> Vec<String> {
    let Some(response) = operation["responses"].get(answer.status.to_string()) else {
        return vec![format!("status {} is not documented: {}", answer.status, answer.body)];
    };
    let Some(content) = response["content"].get(&answer.media) else {
        return vec![format!("{} is not documented", answer.media)];
    };
    if answer.media != "application/json" {
        return Vec::new();
    }
    match serde_json::from_str(&answer.body) {
        Ok(value) => schemas.against(&content["schema"], &value),
        Err(error) => vec![format!("not JSON: {error}: {}", answer.body)],
    }
}

#[test]
fn a_packet_is_followed_there_and_back_and_a_broken_way_is_named() {
    let site = Site::new();
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    let (leaf, _host, run) = (site.leaf(), site.host(), site.run("run.log"));
    wait_until("a packet goes there and back", || site.ping());
    let explain = |args: &[&str]| {
        let answer = site.ask(&[&["-o", "json", "explain"], args].concat());
        let text = answer.json();
        (answer.code, text)
    };
    let links = |walk: &Value| {
        let steps = walk["steps"].as_array().unwrap().iter();
        steps.map(|step| format!("{} {}", text_of(&step["place"]), text_of(&step["link"]))).collect::<Vec<_>>()
    };

    // From a program on the host to what the leaf announces.
    let (code, answer) = explain(&["203.0.113.1", "--source", "198.51.100.1"]);
    assert_eq!(code, Some(0), "{answer:#}");
    assert_eq!(links(&answer["walk"]), ["host pt-host", "router eth1"]);
    let out = &answer["walk"]["steps"][1];
    assert_eq!((&out["route"], &out["protocol"]), (&json!("203.0.113.0/24"), &json!("perouter")), "{answer:#}");
    assert_eq!((&out["next_hop"], &out["input"]), (&json!("192.168.11.2"), &json!("pt-ns")), "{answer:#}");
    assert!(text_of(&out["rule"]).contains("lookup main") && out["neighbor"].is_string(), "{answer:#}");
    assert_eq!(links(&answer["back"]), ["router pt-ns", "host null"], "{answer:#}");
    assert_eq!(answer["announced"]["prefix"], "198.51.100.0/24");

    // From the fabric to the host's network, and to one that nobody has.
    let (code, answer) = explain(&["198.51.100.1", "--from", "fabric", "--source", "203.0.113.1"]);
    assert_eq!(code, Some(0), "{answer:#}");
    assert_eq!(links(&answer["walk"]), ["router pt-ns", "host null"]);
    assert_eq!(links(&answer["back"]), ["host pt-host", "router eth1"], "{answer:#}");
    // The leaf's own address, which is assumed, need not be one that answers go to.
    let (code, answer) = explain(&["198.51.100.1", "--from", "fabric"]);
    assert_eq!((code, &answer["source"]), (Some(0), &json!("192.168.11.2")), "{answer:#}");
    let (code, answer) = explain(&["233.252.0.1", "--from", "fabric"]);
    assert_eq!(code, Some(1), "{answer:#}");
    let lost = site.ask(&["explain", "10.99.0.1"]);
    assert_eq!(lost.code, Some(1), "{lost:?}");
    assert!(lost.text.contains("drops it: there is no route") && lost.text.contains("nobody announces"), "{lost:?}");
    // A source that nobody announces gets no answer.
    let (code, answer) = explain(&["203.0.113.1", "--source", "100.64.0.1"]);
    assert_eq!(code, Some(1), "{answer:#}");

    // Why a peer does not get a route.
    let host = site.ask(&["routes", "198.51.100.0/24"]).text;
    assert!(
        host.contains("not advertised to\n    host-ipv4 (192.169.10.2)  the best path came from this peer"),
        "{host}"
    );
    leaf.stop();
    wait_until("the leaf is missed", || {
        site.ask(&["routes", "198.51.100.0/24"]).text.contains("there is no session: ")
    });
    run.stop();
}

#[test]
fn a_peer_is_traced_from_its_open_to_its_last_words() {
    let site = Site::new();
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    let (leaf, run) = (site.leaf(), site.run("run.log"));
    wait_until("the leaf is up", || site.ask(&["peers", "192.168.11.2"]).code == Some(0));
    let mut child = std::process::Command::new("nsenter")
        .arg(format!("--net=/var/run/netns/{}", site.node))
        .args([env!("CARGO_BIN_EXE_perouter"), "--state-dir"])
        .arg(site.path("run-state"))
        .args(["-o", "json", "trace", "192.168.11.2"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut messages = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let mut find = |direction: &str, kind: &str| {
        messages.find(|message| message["direction"] == direction && message["type"] == kind).unwrap()
    };
    // The first one shows that the tracer listens.
    let first = find("received", "KEEPALIVE");
    assert_eq!(first["octets"], 19);
    site.ask(&["clear", "192.168.11.2", "--message", "traced"]);
    let ended = find("sent", "NOTIFICATION");
    assert!(text_of(&ended["summary"]).contains("traced"), "{ended}");
    let open = find("received", "OPEN");
    assert!(text_of(&open["summary"]).starts_with("AS 64512, router id 10.0.1.1"), "{open}");
    let update = find("received", "UPDATE");
    assert_eq!(update["announced"], json!(["203.0.113.0/24"]), "{update}");
    assert!(update["attributes"].as_array().unwrap().contains(&json!("AS_PATH 64512")), "{update}");
    child.kill().unwrap();
    child.wait().unwrap();
    leaf.stop();
    run.stop();
}

#[test]
fn a_bundle_has_what_is_needed_and_no_secret_and_nothing_else_says_one() {
    const SECRETS: [&str; 3] = ["key-of-the-leaf", "key-in-a-file", "token-of-this-node"];
    let site = Site::new();
    std::fs::write(site.path("key"), SECRETS[1]).unwrap();
    std::fs::write(site.path("token"), SECRETS[2]).unwrap();
    let underlay = UNDERLAY.replace("connectTime", "password: key-of-the-leaf\n        connectTime");
    let passthrough = format!("{PASSTHROUGH}    passwordFile: {}\n", site.path("key").display());
    site.write("a", &format!("{underlay}{passthrough}"));
    let node = format!(
        "nodeName: worker-1\nhttp: {{listen: \"127.0.0.1:9180\", tokenFile: {}}}\n",
        site.path("token").display()
    );
    std::fs::write(site.path("node-config.yaml"), node).unwrap();
    let run = site.run_with("run.log", &[]);
    // Which is said before all of it is done, and can be planned with afterwards.
    wait_until("it has a configuration", || site.ask(&["plan"]).code == Some(0));

    let file = site.path("bundle.tar").display().to_string();
    let (configs, node) =
        (site.path("configs").display().to_string(), site.path("node-config.yaml").display().to_string());
    let made = site.ask(&["support-bundle", "--file", &file, "--config-dir", &configs, "--node-config", &node]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let tar = |args: &[&str]| String::from_utf8_lossy(&crate::support::command("tar", args).stdout).into_owned();
    let members = tar(&["-tf", &file]);
    for wanted in [
        "daemon/status.json",
        "daemon/events.json",
        "daemon/metrics.txt",
        "daemon/plan.json",
        "files/openpe_a.yaml",
        "kernel/router/ipaddress.txt",
    ] {
        assert!(members.lines().any(|member| member == wanted), "no {wanted} in {members}");
    }
    let bundle = tar(&["-xOf", &file]);
    assert!(bundle.contains("(removed)") && bundle.contains("192.168.11.2") && bundle.contains("worker-1"));

    // Nor does anything else that the daemon says: plans, answers, metrics, the log at its most talkative.
    let mut said = vec![("bundle", bundle), ("log", run.log())];
    for question in [&["plan"][..], &["status"], &["peers"], &["events"], &["peers", "192.168.11.2"]] {
        let answer = site.ask(&[&["-o", "json"], question].concat()).text;
        said.push((question[0], answer));
        said.push((question[0], site.ask(question).text));
    }
    let bearer = format!("Authorization: Bearer {}", SECRETS[2]);
    for target in ["/metrics", "/v1/status", "/v1/plan", "/v1/events"] {
        let reply = http::request(&site.node, "GET", target, &["Host: localhost", &bearer]);
        assert_eq!(reply.status, 200, "{target}");
        said.push((target, reply.body));
    }
    for (place, text) in &said {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{place} says {secret}");
        }
    }
    run.stop();
}

#[test]
fn top_draws_pictures_that_end_when_they_are_counted() {
    let site = Site::new();
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    let run = site.run("run.log");
    wait_until("it has peers", || site.ask(&["status"]).text.contains("192.168.11.2"));
    let answer = site.ask(&["top", "--count", "2", "--interval", "0"]);
    assert_eq!(answer.code, Some(1), "the leaf is not there: {answer:?}");
    assert_eq!(answer.text.matches("of 2 sessions up").count(), 2, "{answer:?}");
    assert!(!answer.text.contains('\x1b'), "no escape sequences but on terminals: {answer:?}");
    run.stop();
}

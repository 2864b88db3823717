//! `--http`: metrics, the questions of the API and the stream of events over TCP, for those who may ask.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::site::{PASSTHROUGH, Site, UNDERLAY};
use crate::support::{Namespace, wait_until};

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Asks 127.0.0.1:9180 in a namespace; a shell is the client, which has no opinion on HTTP. Status 0: nobody listens.
pub(crate) fn request(namespace: &Namespace, method: &str, target: &str, headers: &[&str]) -> Reply {
    let child = shell(namespace, method, target, headers, "Connection: close");
    let answer = String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Reply { status, body: body.to_owned() }
}

pub(crate) fn get(namespace: &Namespace, target: &str) -> Reply {
    request(namespace, "GET", target, &["Host: 127.0.0.1:9180"])
}

fn shell(namespace: &Namespace, method: &str, target: &str, headers: &[&str], last: &str) -> Child {
    let head = format!("{method} {target} HTTP/1.1\r\n{}\r\n{last}\r\n\r\n", headers.join("\r\n"));
    let mut child = Command::new("nsenter")
        .arg(format!("--net=/var/run/netns/{namespace}"))
        .args(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9180 && cat >&3 && cat <&3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Whoever is not listened to does not read this either.
    let _ = child.stdin.take().unwrap().write_all(head.as_bytes());
    child
}

/// A site whose node has a leaf, a host speaker and a daemon that serves HTTP.
pub(crate) fn serving(site: &Site, more: &[&str]) -> crate::support::Daemon {
    site.write("a", &format!("{UNDERLAY}{PASSTHROUGH}"));
    let args: Vec<&str> = ["--http", "127.0.0.1:9180"].iter().chain(more).copied().collect();
    site.run_with("run.log", &args)
}

#[test]
fn whoever_is_on_the_node_reads_and_changes_nothing() {
    let site = Site::new();
    let (_leaf, _host, run) = (site.leaf(), site.host(), serving(&site, &[]));
    let metrics = || get(&site.node, "/metrics").body;
    wait_until("both sessions are up", || {
        metrics().lines().filter(|line| line.starts_with("perouter_peer_up{") && line.ends_with(" 1.0")).count() == 2
    });
    // With the first UPDATE, which comes after that.
    let latency = "perouter_peer_update_latency_seconds_count{peer=\"192.168.11.2\",address=\"192.168.11.2\"} ";
    wait_until("the leaf has told something", || metrics().contains(latency));
    let text = metrics();
    let has = |line: &str| assert!(text.lines().any(|one| one.starts_with(line)), "no {line} in {text}");
    has("perouter_peer_prefixes{peer=\"192.168.11.2\",address=\"192.168.11.2\",family=\"ipv4\",stage=\"accepted\"} ");
    has(latency);
    has("perouter_fib_install_latency_seconds_bucket{le=\"+Inf\",table=\"router\"} ");
    has("perouter_host_reconciles_total{result=\"changed\"} ");
    has("perouter_config_objects{kind=\"Underlay\",outcome=\"applied\"} 1");
    assert!(text.ends_with("# EOF\n"), "{text}");

    assert_eq!(get(&site.node, "/v1/peers").status, 200);
    assert_eq!(get(&site.node, "/v1/plan").status, 200);
    // Neither orders nor files of the node: `strangers` may be anybody here.
    for order in ["/v1/peers/all/clear", "/v1/peers/192.168.11.2/shutdown", "/v1/drain"] {
        let refused = request(&site.node, "POST", order, &["Host: localhost", "Content-Length: 0"]);
        assert!([404, 405].contains(&refused.status), "{order}: {refused:?}");
    }
    let files = get(&site.node, "/v1/plan?config_dir=/etc");
    assert!(files.status == 403 && files.body.contains("own socket only"), "{files:?}");
    // A page of somebody else whose name was made to lead here.
    assert_eq!(request(&site.node, "GET", "/v1/status", &["Host: rebound.example:9180"]).status, 403);
    assert_eq!(site.ask(&["status"]).code, Some(0));
    run.stop();
}

#[test]
fn events_arrive_as_they_happen_and_a_stream_is_taken_up_where_it_ended() {
    let site = Site::new();
    let (leaf, _host, run) = (site.leaf(), site.host(), serving(&site, &[]));
    wait_until("the sessions are up", || site.ask(&["status"]).code == Some(0));
    let follow = |id: &str| {
        let mut child = shell(&site.node, "GET", "/v1/events", &["Host: localhost", "Accept: text/event-stream"], id);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        (child, lines)
    };
    let (mut child, mut lines) = follow("X-Nothing: 0");
    let established = lines.find(|line| line.starts_with("data: ") && line.contains("established")).unwrap();
    assert!(established.contains("\"number\":"), "{established}");
    leaf.stop();
    // What happens while it is read arrives without another question.
    let mut last = String::new();
    let lost = lines.by_ref().inspect(|line| {
        if line.starts_with("id: ") {
            last.clone_from(line)
        }
    });
    let lost =
        { lost }.find(|line| line.starts_with("data: ") && line.contains("session with 192.168.11.2 lost")).unwrap();
    assert!(lost.contains("\"level\":\"warn\""), "{lost}");
    child.kill().unwrap();
    child.wait().unwrap();

    // Another stream begins behind it.
    site.ask(&["clear", "host-ipv4", "--soft", "out"]);
    let (mut child, mut lines) = follow(&format!("Last-Event-ID: {}", last.trim_start_matches("id: ")));
    let next = lines.find(|line| line.starts_with("id: ")).unwrap();
    let number = |id: &str| id.rsplit('-').next().unwrap().parse::<u64>().unwrap();
    assert_eq!(number(&next), number(&last) + 1);
    child.kill().unwrap();
    child.wait().unwrap();
    // A stream that nobody has ended does not hold the daemon.
    let (mut child, _lines) = follow("X-Nothing: 0");
    run.stop();
    child.wait().unwrap();
}

#[test]
fn beyond_the_loopback_interface_there_is_nothing_without_the_token() {
    let site = Site::new();
    let open = site.run_with("open.log", &["--http", "0.0.0.0:9180"]).refusal();
    assert!(open.contains("0.0.0.0:9180 can be reached from other machines: name a file with a token"), "{open}");
    let token = site.path("token");
    fs::write(&token, "short").unwrap();
    let file = token.display().to_string();
    let short = site.run_with("short.log", &["--http", "0.0.0.0:9180", "--http-token-file", &file]).refusal();
    assert!(short.contains("is shorter than 16 characters"), "{short}");

    fs::write(&token, "a-token-of-this-test\n").unwrap();
    // The node's file says the same as the options.
    let config = format!("nodeName: worker-1\nhttp: {{listen: \"0.0.0.0:9180\", tokenFile: {file}}}\n");
    fs::write(site.path("node-config.yaml"), config).unwrap();
    let run = site.run("run.log");
    wait_until("it listens", || get(&site.node, "/metrics").status != 0);
    assert_eq!(get(&site.node, "/metrics").status, 401);
    let with = |header: &str| request(&site.node, "GET", "/metrics", &["Host: worker-1:9180", header]).status;
    assert_eq!(with("Authorization: Bearer a-token-of-this-test"), 200);
    assert_eq!(with("Authorization: Bearer another-token-of-it"), 401);
    // Its log has neither the token nor what was tried.
    let log = run.log();
    assert!(!log.contains("a-token-of-this-test") && !log.contains("another-token"), "{log}");
    run.stop();
}

#[test]
fn a_port_that_is_taken_stops_no_router() {
    let site = Site::new();
    let other = site.speak_serving("other", "127.0.0.1:9180");
    wait_until("the other one listens", || get(&site.node, "/metrics").status == 200);
    let run = serving(&site, &[]);
    wait_until("it says so", || run.log().contains("cannot serve metrics and the API at 127.0.0.1:9180"));
    assert!(site.ask(&["status"]).text.contains("worker-1"));
    drop(other);
    wait_until("it serves after all", || get(&site.node, "/v1/status").body.contains("worker-1"));
    assert!(Path::new(&site.path("run-state")).exists());
    run.stop();
}

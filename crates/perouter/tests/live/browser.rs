//! A headless Chromium, told what to do over its DevTools pipe: JSON, each message ended by a zero octet, on the browser's
//! descriptors 3 and 4. Named pipes lead there, so neither a port nor a WebSocket is needed.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Namespace, command};

/// A browser with one page, which ends with the test.
pub(crate) struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    /// Number of the last message.
    number: u64,
    /// The page that messages are for, once there is one.
    session: Option<String>,
    /// What the page did meanwhile: requests, console, errors.
    events: Vec<Value>,
}

impl Browser {
    /// Starts it with the network of `namespace`; everything that it writes goes to `folder`.
    pub(crate) fn start(namespace: &Namespace, folder: &Path) -> Self {
        fs::create_dir(folder).unwrap();
        let (to, from) = (folder.join("to"), folder.join("from"));
        assert!(command("mkfifo", &[to.to_str().unwrap(), from.to_str().unwrap()]).status.success());
        // The sandbox needs a user other than root; what is loaded is our own page.
        let line = "exec chromium --headless=new --no-sandbox --disable-gpu --remote-debugging-pipe \"--user-data-dir=$2\" \
                    --no-first-run --disable-background-networking --disable-component-update --disable-sync \
                    --disable-breakpad about:blank 3<\"$0\" 4>\"$1\"";
        let child = Command::new("nsenter")
            .arg(format!("--net=/var/run/netns/{namespace}"))
            .args(["sh", "-c", line])
            .args([to.as_path(), from.as_path(), folder.join("data").as_path()])
            .env("HOME", folder)
            .env("TMPDIR", folder)
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        // Each open waits for the other end: in the shell's order.
        let to = OpenOptions::new().write(true).open(to).unwrap();
        let from = BufReader::new(File::open(from).unwrap());
        let mut browser = Self { child, to, from, number: 0, session: None, events: Vec::new() };
        let targets = browser.call("Target.getTargets", json!({}));
        let page = targets["targetInfos"].as_array().unwrap().iter().find(|target| target["type"] == "page").unwrap();
        let attached = browser.call("Target.attachToTarget", json!({"targetId": page["targetId"], "flatten": true}));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Asks and waits for the answer.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut octets = serde_json::to_vec(&message).unwrap();
        octets.push(0);
        self.to.write_all(&octets).unwrap();
        loop {
            let mut octets = Vec::new();
            self.from.read_until(0, &mut octets).unwrap();
            assert_eq!(octets.pop(), Some(0), "the browser has gone");
            let said: Value = serde_json::from_slice(&octets).unwrap();
            if said["id"] == self.number {
                assert!(said.get("error").is_none(), "{method}: {said}");
                return said["result"].clone();
            }
            self.events.push(said);
        }
    }

    pub(crate) fn open(&mut self, address: &str) {
        self.call("Page.navigate", json!({"url": address}));
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.call("Runtime.evaluate", params);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// What can be read in the first element that a selector finds; empty when there is none.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let expression = format!("document.querySelector({})?.innerText ?? ''", json!(selector));
        self.value(&expression).as_str().unwrap().to_owned()
    }

    /// Presses a key, as a person does.
    pub(crate) fn press(&mut self, key: &str) {
        let text = if key == "Enter" {
            "\r"
        } else if key.len() == 1 {
            key
        } else {
            ""
        };
        let code = match key {
            "Enter" => 13,
            "Tab" => 9,
            _ => 0,
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let params = json!({"type": kind, "key": key, "text": text, "windowsVirtualKeyCode": code});
            self.call("Input.dispatchKeyEvent", params);
        }
    }

    pub(crate) fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// A window of this size, with or without a dark system.
    pub(crate) fn resize(&mut self, width: u32, height: u32, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        self.call(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Addresses that the page has asked for.
    pub(crate) fn requests(&self) -> Vec<String> {
        let asked = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        asked.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// What the page or the browser complained of: errors and warnings in the console, exceptions, violations.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let bad = self.events.iter().filter(|event| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => {
                matches!(event["params"]["type"].as_str(), Some("error" | "warning" | "assert"))
            }
            Some("Log.entryAdded") => {
                event["params"]["entry"]["level"] != "info" && event["params"]["entry"]["level"] != "verbose"
            }
            _ => false,
        });
        bad.map(Value::to_string).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

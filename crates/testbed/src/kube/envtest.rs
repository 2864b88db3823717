//! An API server from two programs, `etcd` and `kube-apiserver`, as Kubernetes' envtest unpacks them.
//!
//! Owns both processes, their ports and certificates. The pids stand in a file beside, for whoever comes after a kill.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{find_program, run, run_ok};
use crate::record::Started;
use crate::{LabError, Result};

/// How long the server may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const PIDS: &str = "envtest.pids";

/// Both of them.
#[derive(Debug)]
pub(super) struct Servers {
    children: Vec<Child>,
}

impl Servers {
    pub(super) fn start(kit: &Path, dir: &Path) -> Result<Self> {
        for place in ["log", "pki", "etcd"] {
            fs::create_dir_all(dir.join(place)).map_err(|error| failed("a directory", &error))?;
        }
        let mut servers = Self { children: Vec::new() };
        let (client, peer, port) = (free_port()?, free_port()?, free_port()?);
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let at = |name: &str| dir.join(name).to_string_lossy().into_owned();
        certificates(dir)?;
        let data = at("etcd");
        let etcd = [
            ("data-dir", data.as_str()),
            ("listen-client-urls", &client),
            ("advertise-client-urls", &client),
            ("listen-peer-urls", &peer),
            ("initial-advertise-peer-urls", &peer),
            ("initial-cluster", &format!("default={peer}")),
        ];
        servers.launch(&program(kit, "etcd")?, dir, &etcd)?;
        let apiserver = [
            ("etcd-servers", client.as_str()),
            ("bind-address", "127.0.0.1"),
            ("secure-port", &port.to_string()),
            ("cert-dir", &at("run")),
            ("client-ca-file", &at("pki/ca.crt")),
            ("tls-cert-file", &at("pki/server.crt")),
            ("tls-private-key-file", &at("pki/server.key")),
            ("service-account-issuer", "https://kubernetes.default.svc"),
            ("service-account-key-file", &at("pki/server.key")),
            ("service-account-signing-key-file", &at("pki/server.key")),
            ("service-cluster-ip-range", "10.96.0.0/16"),
            ("authorization-mode", "RBAC"),
            // There is nobody who would make the accounts that it asks for.
            ("disable-admission-plugins", "ServiceAccount"),
        ];
        servers.launch(&program(kit, "kube-apiserver")?, dir, &apiserver)?;
        fs::write(dir.join("kubeconfig"), kubeconfig(dir, port)).map_err(|error| failed("the kubeconfig", &error))?;
        servers.wait(dir)?;
        Ok(servers)
    }

    fn launch(&mut self, program: &Path, dir: &Path, options: &[(&str, &str)]) -> Result<()> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = File::create(dir.join("log").join(format!("{name}.log"))).map_err(|error| failed(&name, &error))?;
        let twice = log.try_clone().map_err(|error| failed(&name, &error))?;
        let child = Command::new(program)
            .args(options.iter().map(|(name, value)| format!("--{name}={value}")))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(twice)
            .spawn()
            .map_err(|error| failed(&name, &error))?;
        self.children.push(child);
        let pids = self.children.iter().filter_map(|child| Started::now(child.id()));
        let text: String = pids.map(|started| format!("{} {}\n", started.pid, started.since)).collect();
        fs::write(dir.join(PIDS), text).map_err(|error| failed(&name, &error))
    }

    fn wait(&mut self, dir: &Path) -> Result<()> {
        let kubectl = find_program("kubectl").ok_or_else(|| LabError::new("kubectl is missing"))?;
        let config = dir.join("kubeconfig").to_string_lossy().into_owned();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = run(None, &kubectl, &["--kubeconfig", &config, "get", "namespace", "default"])?;
            if answer.ok() {
                return Ok(());
            }
            let ended = self.children.iter_mut().any(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || Instant::now() > deadline {
                let (logs, said) = (dir.join("log"), answer.stderr);
                return Err(LabError::new(format!(
                    "the API server does not answer; logs in {}: {said}",
                    logs.display()
                )));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(super) fn stop(&mut self) {
        for child in self.children.iter_mut().rev() {
            // What they hold is thrown away.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ends what a killed test left in this directory.
pub(super) fn sweep(dir: &Path) {
    for line in fs::read_to_string(dir.join(PIDS)).unwrap_or_default().lines() {
        let mut numbers = line.split(' ').map_while(|part| part.parse::<u64>().ok());
        let (Some(pid), Some(since)) = (numbers.next(), numbers.next()) else { continue };
        let same = u32::try_from(pid).ok().and_then(Started::now).is_some_and(|started| started.since == since);
        if let (true, Some(pid)) = (same, i32::try_from(pid).ok().and_then(Pid::from_raw)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn failed(what: &str, error: &std::io::Error) -> LabError {
    LabError::new(format!("{what} cannot be made or started: {error}"))
}

fn program(kit: &Path, name: &str) -> Result<PathBuf> {
    let found = [kit.join(name), kit.join("bin").join(name)].into_iter().find(|path| path.is_file());
    let found = found.or_else(|| if name == "etcd" { find_program(name) } else { None });
    found.ok_or_else(|| LabError::new(format!("{} has neither kube-up nor {name}", kit.display())))
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| failed("a port", &error))
}

/// An authority, the server's certificate and the administrator's, all of them with one key each.
fn certificates(dir: &Path) -> Result<()> {
    let at = |name: &str| dir.join("pki").join(name).to_string_lossy().into_owned();
    let key = |name: &str| {
        let args = ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"];
        run_ok(None, "openssl", &[&args[..], &[&at(name)]].concat()).map(drop)
    };
    key("ca.key")?;
    let new = ["req", "-x509", "-new", "-days", "30", "-subj", "/CN=tests", "-key"];
    run_ok(None, "openssl", &[&new[..], &[&at("ca.key"), "-out", &at("ca.crt")]].concat())?;
    let names = "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc";
    for (name, subject, extension) in [
        ("server", "/CN=kube-apiserver", names),
        ("admin", "/O=system:masters/CN=admin", "extendedKeyUsage=clientAuth"),
    ] {
        let file = |end: &str| at(&format!("{name}.{end}"));
        key(&format!("{name}.key"))?;
        fs::write(file("ext"), extension).map_err(|error| failed(name, &error))?;
        run_ok(None, "openssl", &["req", "-new", "-subj", subject, "-key", &file("key"), "-out", &file("csr")])?;
        let (csr, crt, ext) = (file("csr"), file("crt"), file("ext"));
        let sign = ["x509", "-req", "-days", "30", "-CAcreateserial", "-in", &csr, "-out", &crt, "-extfile", &ext];
        run_ok(None, "openssl", &[&sign[..], &["-CA", &at("ca.crt"), "-CAkey", &at("ca.key")]].concat())?;
    }
    Ok(())
}

fn kubeconfig(dir: &Path, port: u16) -> String {
    let at = |name: &str| dir.join("pki").join(name).display().to_string();
    let (ca, certificate, key) = (at("ca.crt"), at("admin.crt"), at("admin.key"));
    format!(
        "apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: \"https://127.0.0.1:{port}\", certificate-authority: {ca}}}}}]
users: [{{name: admin, user: {{client-certificate: {certificate}, client-key: {key}}}}}]
contexts: [{{name: c, context: {{cluster: c, user: admin}}}}]
current-context: c
"
    )
}

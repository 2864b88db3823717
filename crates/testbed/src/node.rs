//! A node of a lab: the namespace that stands for the host, and the router that is started in it.
//!
//! Owns the router's files and its command line. Is told YAML; emits what the router answers. Knows nothing of
//! what the YAML means.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{Output, run};
use crate::{Lab, LabError, Result};

/// A node, and its router once it is started.
#[derive(Debug)]
pub struct Node {
    /// What holds it.
    pub lab: Lab,
    /// Its index, which addresses follow from.
    pub index: u8,
    /// Its namespace.
    pub ns: String,
    /// Name of the namespace that the router makes.
    pub router_ns: String,
}

impl Node {
    /// The namespace and the node's own file; no process yet. The first node of a lab is called `node`, the next
    /// ones `node1`, `node2`, ..
    pub fn build(lab: &Lab, index: u8) -> Result<Self> {
        let part = |name: &str| if index == 0 { name.to_owned() } else { format!("{name}{index}") };
        let ns = lab.namespace(&part("node"))?;
        let router_ns = lab.reserve_namespace(&part("perouter"))?;
        let node = Self { lab: lab.clone(), index, ns, router_ns };
        fs::create_dir_all(node.config_dir()).map_err(|e| LabError::new(format!("the lab's directory: {e}")))?;
        node.write_config("../node-config.yaml", &node_yaml(index))?;
        Ok(node)
    }

    /// Writes one of the router's files. A file that is there is replaced at once, as an editor does it.
    pub fn write_config(&self, name: &str, text: &str) -> Result<()> {
        let file = self.config_dir().join(name);
        let fresh = self.config_dir().join(".fresh");
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, &file))
            .map_err(|e| LabError::new(format!("{} cannot be written: {e}", file.display())))
    }

    /// Removes one of the router's files.
    pub fn remove_config(&self, name: &str) -> Result<()> {
        let file = self.config_dir().join(name);
        fs::remove_file(&file).map_err(|e| LabError::new(format!("{} cannot be removed: {e}", file.display())))
    }

    /// Where the router's files are.
    pub fn config_dir(&self) -> PathBuf {
        self.dir().join("configs")
    }

    /// Where the router's socket and state are.
    pub fn state_dir(&self) -> PathBuf {
        self.dir().join("state")
    }

    /// Everything of this node's router.
    fn dir(&self) -> PathBuf {
        self.lab.dir().join(if self.index == 0 { "router".to_owned() } else { format!("router{}", self.index) })
    }

    /// Starts the router and returns its pid; does not wait for anything.
    pub fn start_router(&self) -> Result<u32> {
        self.start_router_by(&[&self.lab.perouter().to_string_lossy()])
    }

    /// The same by other words: a program and arguments that come before the router's, such as `env NAME=VALUE perouter`. The
    /// program must become the router.
    pub fn start_router_by(&self, words: &[&str]) -> Result<u32> {
        let [program, before @ ..] = words else { return Err(LabError::new("no program to start the router by")) };
        let args = self.with_files(&["run"], &self.config_dir());
        let args: Vec<_> = before.iter().copied().chain(args.iter().map(String::as_str)).collect();
        self.lab.spawn(&self.ns, Path::new(program), &args, &self.dir().join("perouter.log"))
    }

    /// Has the router know another index, as an editor of the node's own file does.
    pub fn write_index(&self, index: u8) -> Result<()> {
        self.write_config("../node-config.yaml", &node_yaml(index))
    }

    /// Runs a command that takes the router's files, such as `plan` or a second `run`, to its end.
    pub fn run_with_files(&self, command: &[&str]) -> Result<Output> {
        self.run_with(command, &self.config_dir())
    }

    /// The same with the files of another directory.
    pub fn run_with(&self, command: &[&str], configs: &Path) -> Result<Output> {
        let args = self.with_files(command, configs);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        run(Some(&self.ns), self.lab.perouter(), &args)
    }

    /// Ends the router as an upgrade does, which leaves the kernel as it is.
    pub fn stop_router(&self, pid: u32) -> Result<()> {
        let status = self.lab.end(pid, Signal::TERM, Duration::from_secs(20))?;
        if status.success() {
            return Ok(());
        }
        Err(LabError::new(format!("the router ended with {status} after SIGTERM")))
    }

    /// Asks the running router, as a person would.
    pub fn ask(&self, args: &[&str]) -> Result<Output> {
        let state = self.state_dir().to_string_lossy().into_owned();
        let mut full = vec!["--state-dir", state.as_str()];
        full.extend_from_slice(args);
        run(None, self.lab.perouter(), &full)
    }

    /// Asks the running router for JSON.
    pub fn ask_json(&self, args: &[&str]) -> Result<serde_json::Value> {
        let mut full = vec!["-o", "json"];
        full.extend_from_slice(args);
        let said = self.ask(&full)?;
        let explain = |e| LabError::new(format!("perouter {}: {e}: {}{}", full.join(" "), said.stdout, said.stderr));
        serde_json::from_str(&said.stdout).map_err(explain)
    }

    /// Gives the NICs back and removes everything that the router made.
    pub fn teardown(&self) -> Result<Output> {
        let state = self.state_dir().to_string_lossy().into_owned();
        let args = ["--state-dir", &state, "teardown", "--namespace", &self.router_ns];
        run(Some(&self.ns), self.lab.perouter(), &args)
    }

    fn with_files(&self, command: &[&str], configs: &Path) -> Vec<String> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let mut args = vec!["--state-dir".to_owned(), path(&self.state_dir())];
        args.extend(command.iter().map(|c| (*c).to_owned()));
        args.extend(["--config-dir".to_owned(), path(configs)]);
        args.extend(["--node-config".to_owned(), path(&self.dir().join("node-config.yaml"))]);
        args.extend(["--namespace".to_owned(), self.router_ns.clone()]);
        args
    }
}

/// The node's own file; for the first node [`crate::passthrough::NODE_YAML`].
fn node_yaml(index: u8) -> String {
    let name = if index == 0 { "lab".to_owned() } else { format!("lab{index}") };
    format!("nodeName: {name}\nnodeIndex: {{index: {index}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_node_has_the_file_that_the_readme_shows() {
        assert_eq!(node_yaml(0), crate::passthrough::NODE_YAML);
    }
}

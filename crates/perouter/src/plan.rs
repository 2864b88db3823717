//! `perouter plan`: what would change if the files as they are now were put in force, without changing anything.
//!
//! Owns: what is in force, as far as a comparison needs it ([`Planner`], told by `run` after each load). Is told: which
//! files. Emits: a [`model::Plan`]. Reads files and the kernel, and blocks for them; opens no listening socket, makes no
//! namespace, tells the engine nothing.
//!
//! The kernel's part compares with what is there, not with what was configured: what a stranger took away is in it too.

mod bgp;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use config::node::Node;
use config::verdict::Verdict;
use kernel::host::{DesiredHost, Op};
use kernel::host_table::HostTable;

use crate::admin;
use crate::admin::model;
use crate::host;
use crate::run::RunOptions;
use crate::source::cluster::{Cluster, Said};
use crate::source::objects::{self, Desired, Reading, Wish};

/// Where to read something else than what the daemon reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Instead {
    /// Folder of `openpe_*.yaml`.
    pub(crate) config_dir: Option<PathBuf>,
    /// The node's file.
    pub(crate) node_config: Option<PathBuf>,
}

/// Answers what would change in the running daemon. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Planner {
    options: RunOptions,
    cluster: Option<Cluster>,
    in_force: Arc<Mutex<(Node, Option<Desired>)>>,
}

impl Planner {
    /// For a daemon that has nothing in force yet.
    pub(crate) fn new(options: RunOptions, node: Node, cluster: Option<Cluster>) -> Self {
        Self { options, cluster, in_force: Arc::new(Mutex::new((node, None))) }
    }

    /// What is in force from here on.
    pub(crate) fn in_force(&self, node: Node, desired: Option<Desired>) {
        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = (node, desired);
    }

    /// Compares. Blocks for files and netlink.
    ///
    /// # Errors
    /// A sentence when the kernel cannot be asked.
    pub(crate) fn plan(&self, instead: Instead) -> Result<model::Plan, String> {
        let (mut node, before) = self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut remarks = Vec::new();
        let file = instead.node_config.as_ref().unwrap_or(&self.options.node_config);
        let read = match &self.cluster {
            Some(cluster) => config::node::load_written(file).map(|written| cluster.node(&written).0),
            None => config::node::load(file),
        };
        match read {
            Ok(new) => node = new,
            Err(error) => remarks.push(format!("{error}. The node stays as it is")),
        }
        let said = self.cluster.as_ref().map(|cluster| cluster.said(&node));
        let options = RunOptions {
            config_dir: instead.config_dir.unwrap_or_else(|| self.options.config_dir.clone()),
            ..self.options.clone()
        };
        compare(&options, &node, said.as_ref(), before.as_ref(), true, remarks)
    }
}

/// What a daemon that is not running would make of the node when it starts. Blocks for files and netlink.
///
/// # Errors
/// A sentence when the node's file cannot be used or the kernel cannot be asked.
pub(crate) fn without_daemon(options: &RunOptions) -> Result<model::Plan, String> {
    let node = config::node::load(&options.node_config).map_err(|error| error.to_string())?;
    compare(options, &node, None, None, false, Vec::new())
}

fn compare(
    options: &RunOptions,
    node: &Node,
    said: Option<&Said>,
    before: Option<&Desired>,
    running: bool,
    remarks: Vec<String>,
) -> Result<model::Plan, String> {
    let Reading { verdicts, none, wish, kept, left_out: _, secret_files: _, static_objects: _ } =
        objects::read(&options.config_dir, node, said, before);
    let mut plan = model::Plan {
        config_dir: options.config_dir.display().to_string(),
        running,
        changes: false,
        kernel: Vec::new(),
        bgp: Vec::new(),
        resets: Vec::new(),
        remarks,
        rejected: verdicts.iter().filter(|verdict| !Verdict::is_applied(verdict)).map(admin::verdict).collect(),
    };
    plan.remarks.extend(none);
    plan.remarks.extend(kept);
    let (host, table) = match &wish {
        Wish::Router(desired) => (options.place(desired.host.clone()), desired.host_table.as_ref()),
        Wish::Nothing => (options.bare_host(), None),
        Wish::Keep(reason) => {
            plan.remarks.push(reason.clone());
            return Ok(plan);
        }
    };
    kernel_steps(&host, &mut plan)?;
    plan.kernel.extend(table_steps(before.and_then(|before| before.host_table.as_ref()), table));
    let intent = if let Wish::Router(desired) = &wish { Some(&desired.intent) } else { None };
    plan.bgp = bgp::changes(before.map(|before| &before.intent), intent);
    plan.resets = bgp::resets(&plan.bgp);
    plan.changes = !plan.kernel.is_empty() || !plan.bgp.is_empty();
    Ok(plan)
}

fn kernel_steps(host: &DesiredHost, plan: &mut model::Plan) -> Result<(), String> {
    let observed = kernel::host::observe(host).map_err(|error| error.to_string())?;
    for op in kernel::host::plan(host, &observed) {
        if let Op::AwaitNic { .. } = op {
            // Nothing that would be done.
            plan.remarks.push(op.to_string());
        } else {
            plan.kernel.push(model::PlanStep { object: op.object().to_owned(), text: op.to_string() });
        }
    }
    plan.remarks.extend(host::warnings(host, &observed));
    Ok(())
}

fn table_steps(before: Option<&HostTable>, after: Option<&HostTable>) -> Vec<model::PlanStep> {
    if before == after {
        return Vec::new();
    }
    let step = |verb: &str, table: &HostTable| {
        let text =
            format!("{verb} routes over {} in the host's table {}, metric {}", table.link, table.table, table.metric);
        model::PlanStep { object: table.link.clone(), text }
    };
    let removed = before.map(|table| step("remove our", table));
    let added = after.map(|table| step("install", table));
    removed.into_iter().chain(added).collect()
}

#[cfg(test)]
mod tests;

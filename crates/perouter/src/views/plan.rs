//! `perouter plan`: kernel steps, BGP changes, and which sessions they cost.

use std::io;
use std::path::{Path, PathBuf};

use super::out::{Out, Style, clean};
use super::table::{Cell, Table, text};
use super::{count, verdicts};
use crate::admin::client::Client;
use crate::admin::model::{Plan, PlanEffect};
use crate::cli::{CAN_START, CONFIG_DIR, Format, NODE_CONFIG, PlanArgs, Shape};
use crate::exit::{Exit, Failure};
use crate::plan::{Instead, without_daemon};
use crate::run::RunOptions;

/// Asks the daemon, or looks itself when none runs, and prints; not healthy when an object would be rejected.
///
/// # Errors
/// [`Failure::Usage`] for a directory that is not there, [`Failure::Daemon`] when the question cannot be answered.
pub(crate) async fn run(args: &PlanArgs, state_dir: &Path, format: Format, out: &mut Out<'_>) -> Result<Exit, Failure> {
    if let Some(dir) = args.config_dir.as_deref().filter(|dir| !dir.is_dir()) {
        return Err(Failure::Usage(format!("--config-dir {}: there is no such directory", dir.display())));
    }
    let instead = Instead {
        config_dir: absolute(args.config_dir.as_deref())?,
        node_config: absolute(args.node_config.as_deref())?,
    };
    let plan = match Client::connect_if_running(state_dir).await? {
        Some(mut client) => client.plan(&instead).await?,
        None => without_daemon(&RunOptions {
            http: None,
            config_dir: instead.config_dir.unwrap_or_else(|| CONFIG_DIR.into()),
            node_config: instead.node_config.unwrap_or_else(|| NODE_CONFIG.into()),
            state_dir: state_dir.to_owned(),
            namespace: Some(args.namespace.clone()),
            can_start: CAN_START.into(),
            prepared: false,
            cluster: None,
        })
        .map_err(Failure::Daemon)?,
    };
    match format.shape() {
        Shape::Value(notation) => out.value(notation, &plan)?,
        Shape::Text { .. } => print(out, &plan)?,
    }
    Ok(Exit::healthy(plan.rejected.is_empty()))
}

/// The daemon has another working directory.
fn absolute(path: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    let absolute = path.map(std::path::absolute).transpose();
    absolute.map_err(|error| Failure::Usage(format!("the working directory cannot be found: {error}")))
}

fn print(out: &mut Out<'_>, plan: &Plan) -> io::Result<()> {
    if !plan.running {
        out.line("no daemon runs: this is what the next start would make")?;
    }
    if !plan.kernel.is_empty() {
        out.line(&format!("Kernel: {}", count(plan.kernel.len(), "step")))?;
        for step in &plan.kernel {
            out.line(&format!("  {}", clean(&step.text)))?;
        }
    }
    if !plan.bgp.is_empty() {
        out.line(&format!("BGP: {}", count(plan.bgp.len(), "change")))?;
        let mut table = Table::new(2, [text("PEER"), text("EFFECT"), text("CHANGE")]);
        for change in &plan.bgp {
            table.row([
                Cell::from(change.peer.as_deref().unwrap_or("(router)")),
                Cell::styled(style(change.effect), change.effect.name()),
                Cell::from(&change.text),
            ]);
        }
        table.print(out)?;
        match plan.resets.as_slice() {
            [] => out.styled(Style::Good, "no session would end")?,
            resets => {
                let resets = format!("{} would end: {}", count(resets.len(), "session"), resets.join(", "));
                out.styled(Style::Bad, &clean(&resets))?;
            }
        }
    }
    if !plan.rejected.is_empty() {
        out.line("Rejected")?;
        verdicts::print(out, 2, &plan.rejected)?;
    }
    for remark in &plan.remarks {
        out.styled(Style::Warn, &format!("note: {}", clean(remark)))?;
    }
    if !plan.changes {
        out.line(&format!("nothing would change with {}", clean(&plan.config_dir)))?;
    }
    Ok(())
}

fn style(effect: PlanEffect) -> Style {
    match effect {
        PlanEffect::NewSession | PlanEffect::Removed => Style::Bad,
        PlanEffect::SoftReset | PlanEffect::Live => Style::Plain,
        PlanEffect::Added => Style::Good,
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

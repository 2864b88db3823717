//! One binary that is a PE router for one node.
//!
//! `main` turns what was typed into a call and its outcome into an exit code; every command is a module.

// A failing unwrap is a failing test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admin;
mod apiserver;
mod bfd;
mod bundle;
mod claim;
mod cli;
mod cluster;
mod daemon;
mod exit;
mod explain;
mod fib;
mod host;
mod host_routes;
mod journal;
mod lab;
mod lifeline;
mod logging;
mod manual;
mod metrics;
mod moment;
mod netns;
mod plan;
mod report;
mod restart;
mod run;
mod shutdown;
mod source;
mod speak;
mod speaker;
mod status;
mod teardown;
mod trace;
mod validate;
mod views;
mod watch;

use std::future::Future;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use kernel::privileges::Namespaces;
use tokio::runtime::{Builder, Runtime};

use admin::client::Client;
use cli::{Cli, Command, DaemonArg, LabArgs, LabCommand, RunArgs};
use exit::{Exit, Failure};
use source::cluster::ClusterOptions;
use views::Out;

/// The version, with the commit of a release build: `0.1.0+1a2b3c4d5e6f`.
pub(crate) const VERSION: &str = env!("PEROUTER_VERSION");

fn main() -> ExitCode {
    kernel::memory::share_one_heap();
    let cli = Cli::parse();
    let exit = command(&cli).unwrap_or_else(|failure| {
        let exit = Exit::of(&failure);
        if exit != Exit::Fine {
            // Nobody is left to tell when standard error is gone too.
            let _ = writeln!(std::io::stderr(), "perouter: {failure}");
        }
        exit
    });
    exit.into()
}

fn command(cli: &Cli) -> Result<Exit, Failure> {
    // The node's level counts for the daemon only; a file that cannot be read is the daemon's to report.
    let node_level = if let Command::Run(args) = &cli.command {
        config::node::load_written(&args.node_config).ok().and_then(|node| node.log_level)
    } else {
        None
    };
    logging::init(cli.log_format, cli.log_level.as_deref(), node_level.as_deref())?;

    match &cli.command {
        Command::Run(args) => {
            reduce(if args.prepared { Namespaces::Others } else { Namespaces::Ours });
            daemon(run::run(run_options(cli, args)?))
        }
        Command::Netns(args) => daemon(netns::run(args)),
        Command::Speak(args) => {
            if cli.state_dir_typed() {
                return Err(Failure::Usage(
                    "speak takes its state directory from stateDir in its file; leave --state-dir away".to_owned(),
                ));
            }
            let http = args.http.read().map_err(Failure::Usage)?;
            reduce(Namespaces::Others);
            daemon(speak::speak(args.file.clone(), http))
        }
        Command::Cluster(args) => daemon(cluster::run(args.clone())),
        Command::Lab(args) => lab(args),
        Command::Crds => {
            let mut out = Out::stdout();
            let answer = views::crds::run(&mut out, cli.output);
            out.flush()?;
            answer
        }
        Command::Validate(_)
        | Command::Plan(_)
        | Command::Status
        | Command::Events(_)
        | Command::Peers { .. }
        | Command::Clear(_)
        | Command::Shutdown(_)
        | Command::Drain(_)
        | Command::Probe { .. }
        | Command::Routes(_)
        | Command::Explain(_)
        | Command::Trace(_)
        | Command::Top(_)
        | Command::SupportBundle(_)
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Teardown { .. } => {
            // Whoever asks can wait for a router that is busy.
            drop(kernel::priority::let_others_first());
            let mut out = Out::stdout();
            let answer = runtime(&mut Builder::new_current_thread())?.block_on(ask(cli, &mut out));
            out.flush()?;
            answer
        }
    }
}

/// The commands that print an answer.
async fn ask(cli: &Cli, out: &mut Out<'_>) -> Result<Exit, Failure> {
    let connect = || Client::connect(cli.state_dir());
    match &cli.command {
        Command::Validate(args) => validate::run(args, cli.output, out),
        Command::Plan(args) => views::plan::run(args, cli.state_dir(), cli.output, out).await,
        Command::Status => views::status::run(&mut connect().await?, out, cli.output).await,
        Command::Events(args) => views::events::run(cli.state_dir(), out, cli.output, args).await,
        Command::Peers { peer } => views::peers::run(&mut connect().await?, out, cli.output, peer.as_deref()).await,
        Command::Clear(args) => views::orders::clear(&mut connect().await?, out, cli.output, args).await,
        Command::Shutdown(args) => views::orders::shut_down(&mut connect().await?, out, cli.output, args).await,
        Command::Drain(args) if args.at_node_shutdown && !shutdown::shuts_down(args).await => Ok(Exit::Fine),
        Command::Drain(args) => views::drain::run(&mut connect().await?, out, cli.output, args).await,
        Command::Probe { what } => views::probe::run(&mut connect().await?, out, *what).await,
        Command::Routes(args) => views::routes::run(&mut connect().await?, out, cli.output, args).await,
        Command::Explain(args) => views::explain::run(&mut connect().await?, out, cli.output, args).await,
        Command::Trace(args) => views::trace::run(connect().await?, out, cli.output, args).await,
        Command::Top(args) => views::top::run(&mut connect().await?, out, args).await,
        Command::SupportBundle(args) => bundle::run(cli.state_dir(), args, out).await,
        Command::Completions { shell } => manual::completions(*shell, out),
        Command::Man { dir } => manual::pages(dir.as_deref(), out),
        Command::Teardown { namespace } => teardown::run(cli.state_dir(), namespace, out).await,
        Command::Run(_)
        | Command::Speak(_)
        | Command::Netns(_)
        | Command::Lab(_)
        | Command::Crds
        | Command::Cluster(_) => Ok(Exit::Fine),
    }
}

fn runtime(builder: &mut Builder) -> Result<Runtime, Failure> {
    builder
        .enable_all()
        .build()
        .map_err(|error| Failure::Daemon(format!("the system gives no threads or descriptors: {error}")))
}

/// Gives up what a daemon does not need. One that cannot goes on: a router with too many rights is better than none.
fn reduce(namespaces: Namespaces) {
    if let Err(error) = kernel::privileges::reduce(namespaces) {
        tracing::warn!(%error, "cannot give up all privileges that are not needed");
    }
}

/// Runs a daemon to its end. One worker, for questions, and for connections until they are open; sessions have the speaker's own thread
/// ([`speaker::start`]).
fn daemon(life: impl Future<Output = Result<(), daemon::RunError>>) -> Result<Exit, Failure> {
    let runtime = runtime(Builder::new_multi_thread().worker_threads(1))?;
    let result = runtime.block_on(life);
    // What still blocks in the kernel, such as a monitor, ends with the process.
    runtime.shutdown_background();
    result.map(|()| Exit::Fine).map_err(|error| Failure::Daemon(error.to_string()))
}

fn run_options(cli: &Cli, args: &RunArgs) -> Result<run::RunOptions, Failure> {
    Ok(run::RunOptions {
        config_dir: args.config_dir.clone(),
        node_config: args.node_config.clone(),
        state_dir: cli.state_dir().to_owned(),
        namespace: args.namespace.clone(),
        can_start: args.can_start.clone(),
        prepared: args.prepared,
        cluster: args.kubernetes.then(|| ClusterOptions {
            api: args.api_server.clone(),
            node_name: args.node_name.clone(),
            state_dir: cli.state_dir().to_owned(),
        }),
        http: args.http.read().map_err(Failure::Usage)?,
    })
}

fn lab(args: &LabArgs) -> Result<Exit, Failure> {
    match args.command {
        Some(LabCommand::Down) => lab::down().map(|()| Exit::Fine),
        None => lab::up(lab::LabOptions { leaf: args.leaf.map(player), host: args.host.map(player), keep: args.keep })
            .map(Exit::healthy),
    }
    .map_err(Failure::Daemon)
}

fn player(arg: DaemonArg) -> lab::Daemon {
    match arg {
        DaemonArg::Frr => lab::Daemon::Frr,
        DaemonArg::Bird => lab::Daemon::Bird,
        DaemonArg::Gobgp => lab::Daemon::Gobgp,
        DaemonArg::Perouter => lab::Daemon::Perouter,
    }
}

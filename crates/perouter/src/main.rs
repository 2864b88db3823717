//! `perouter`: an L3 passthrough router for one node.
#![expect(dead_code, reason = "the command line that uses it all is not here yet")]

mod admin;
mod daemon;
mod fib;
mod host;
mod run;
mod source;
mod speak;
mod speaker;
mod status;
mod watch;

use std::path::PathBuf;

fn main() -> std::process::ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let words: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let place = words.iter().position(|word| word == name)?;
        words.get(place + 1).map(PathBuf::from)
    };
    let result = if words.first().is_some_and(|word| word == "speak") {
        runtime.block_on(speak::speak(words.get(1).map_or_else(|| PathBuf::from("speak.yaml"), PathBuf::from)))
    } else {
        let default = run::RunOptions::default();
        runtime.block_on(run::run(run::RunOptions {
            config_dir: option("--config-dir").unwrap_or(default.config_dir),
            node_config: option("--node-config").unwrap_or(default.node_config),
            state_dir: option("--state-dir").unwrap_or(default.state_dir),
            namespace: option("--namespace").map(|name| name.to_string_lossy().into_owned()),
        }))
    };
    runtime.shutdown_background();
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

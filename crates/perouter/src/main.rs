//! `perouter`: an L3 passthrough router for one node.
#![expect(dead_code, reason = "the command line that uses it all is not here yet")]

mod admin;
mod daemon;
mod fib;
mod host;
mod lab;
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
    let mut words = std::env::args_os().skip(1);
    let result = match words.next() {
        Some(word) if word == "speak" => {
            runtime.block_on(speak::speak(words.next().map_or_else(|| PathBuf::from("speak.yaml"), PathBuf::from)))
        }
        Some(word) if word == "lab" => {
            lab::up(lab::LabOptions { leaf: None, host: None, keep: false }).map(|_| ()).map_err(daemon::RunError)
        }
        Some(_) | None => runtime.block_on(run::run(run::RunOptions::default())),
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

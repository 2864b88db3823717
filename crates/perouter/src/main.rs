//! Stand-in that runs the lab only.
mod lab;

fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |flag: &str| args.iter().position(|a| a == flag).and_then(|i| args.get(i + 1)?.parse().ok());
    let result = if args.iter().any(|a| a == "down") {
        lab::down().map(|()| true)
    } else if args.iter().any(|a| a == "lab") {
        lab::up(lab::LabOptions {
            leaf: value("--leaf"),
            host: value("--host"),
            keep: args.iter().any(|a| a == "--keep"),
        })
    } else {
        Err("only the lab".to_owned())
    };
    match result {
        Ok(true) => std::process::ExitCode::SUCCESS,
        _ => std::process::ExitCode::FAILURE,
    }
}

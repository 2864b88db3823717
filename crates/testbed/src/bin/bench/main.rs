//! `make bench`: what the router costs beside what others cost, on one machine and in one run.
//!
//! Between a scripted feeder in the fabric and a scripted sink at the host stands a router ([`routers`]): the binary
//! under test, BIRD, FRR, GoBGP, whatever is installed, or for comparison nobody but the kernel ([`floor`]). Every row
//! ([`rows`]) measures one event for each of them in turn, several times round; medians are shown beside the goals
//! ([`goals`]). What arrives is checked, and a wrong result fails the row.
//!
//! The feeder, the sink and the witness of the FIB share no code with the router: this program cannot see `wire` and
//! `engine`, and has its own few lines of BGP ([`bgp`]) and netlink ([`netlink`]).
//!
//! The work is done by a child that ends, with everything it made, when its standard input does: a Ctrl-C or a kill of the
//! parent leaves nothing behind.

mod bgp;
mod blast;
mod fib;
mod floor;
mod goals;
mod netlink;
mod plot;
mod process;
mod report;
mod routers;
mod routes;
mod rows;
mod sink;
mod site;
mod speaker;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use testbed::LabError;

use crate::report::{Medians, Outcome};
use crate::routers::Router;
use crate::rows::{Bench, Player, ROWS, Row};

/// Result of everything here.
type Result<T> = std::result::Result<T, LabError>;

/// Set in the child that does the work.
const WORKER: &str = "PEROUTER_BENCH_WORKER";
/// Runs that medians are taken of.
const RUNS: usize = 3;

const USAGE: &str = "usage: bench --perouter FILE [--quick] [--rows NAME,..] [--runs N] [--players NAME,..]
             [--results FILE] [--report FILE] [--plot FILE]
Measures, adds what it measured to the results, and shows all of them as a table. With `--runs 0` it only shows.";

struct Args {
    perouter: PathBuf,
    quick: bool,
    rows: Vec<String>,
    players: Vec<String>,
    runs: Option<usize>,
    results: Option<PathBuf>,
    report: Option<PathBuf>,
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    if std::env::args().any(|word| word == "--help" || word == "-h") {
        let _ = writeln!(io::stdout(), "{USAGE}");
        return ExitCode::SUCCESS;
    }
    let ended = if std::env::var_os(WORKER).is_some() { work() } else { supervise() };
    match ended {
        Ok(code) => code,
        Err(error) => {
            say(&format!("bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Has a child do the work, in a process group of its own, so that a Ctrl-C ends only us.
fn supervise() -> Result<ExitCode> {
    let explain = |e: io::Error| LabError::new(format!("the benchmark cannot start itself: {e}"));
    let own = std::env::current_exe().map_err(explain)?;
    let mut child = Command::new(own)
        .args(std::env::args_os().skip(1))
        .env(WORKER, "1")
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(explain)?;
    // Held, not used: it closes with us, whatever ends us. `wait` would close it.
    let line = child.stdin.take();
    let status = child.wait().map_err(explain)?;
    drop(line);
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn work() -> Result<ExitCode> {
    let args = arguments()?;
    std::thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        site::remove_all();
        std::process::exit(130);
    });
    let mut outcomes = match &args.results {
        Some(file) => report::read(file).map_err(|e| LabError::new(format!("{}: {e}", file.display())))?,
        None => Vec::new(),
    };
    let unknown = args.rows.iter().find(|name| !ROWS.iter().any(|row| row.name == **name));
    if let Some(name) = unknown {
        let known: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        return Err(LabError::new(format!("there is no row {name}; there are {}", known.join(", "))));
    }
    let bench = Bench::new(args.perouter.clone(), args.quick);
    let chosen = |row: &&Row| {
        if args.rows.is_empty() { row.quick || !args.quick } else { args.rows.iter().any(|name| name == row.name) }
    };
    let mut failed = 0;
    for row in ROWS.iter().filter(chosen) {
        let before = outcomes.len();
        measure(&bench, row, &args, &mut outcomes)?;
        failed += outcomes[before..].iter().filter(|outcome| outcome.figures.is_err()).count();
    }
    show(&args, &outcomes)?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One row: every player in turn, as often as runs are wanted.
fn measure(bench: &Bench, row: &Row, args: &Args, outcomes: &mut Vec<Outcome>) -> Result<()> {
    let runs = args.runs.unwrap_or(if args.quick || row.once { 1 } else { RUNS });
    let players: Vec<Player> = row.players.iter().copied().filter(|player| takes_part(*player, args)).collect();
    for run in 1..=runs {
        for player in &players {
            let figures = (row.run)(bench, *player).map_err(|e| e.to_string());
            let outcome = Outcome {
                row: row.name.to_owned(),
                player: report::name(*player).to_owned(),
                quick: args.quick,
                figures,
            };
            say(&progress(&outcome, run));
            if let Some(file) = &args.results {
                outcome.append(file).map_err(|e| LabError::new(format!("{}: {e}", file.display())))?;
            }
            outcomes.push(outcome);
            process::settle_machine();
        }
    }
    Ok(())
}

fn takes_part(player: Player, args: &Args) -> bool {
    let wanted =
        args.players.is_empty() || args.players.iter().any(|name| name.eq_ignore_ascii_case(report::name(player)));
    wanted && player.is_none_or(Router::installed)
}

fn progress(outcome: &Outcome, run: usize) -> String {
    let said = match &outcome.figures {
        Ok(figures) => {
            let one = |(name, value): &rows::Figure| {
                format!("{} {}", name.split_once('.').map_or(name.as_str(), |(_, rest)| rest), report::show(*value, ""))
            };
            figures.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        Err(error) => format!("FAILED: {error}"),
    };
    format!("{} {} {run}: {said}", outcome.row, outcome.player)
}

fn show(args: &Args, outcomes: &[Outcome]) -> Result<()> {
    let explain = |e: io::Error| LabError::new(format!("the report: {e}"));
    let installed = Router::ALL.into_iter().filter(|router| router.installed());
    let versions: BTreeMap<_, _> = installed.map(|router| (router.name(), router.version(&args.perouter))).collect();
    let mut text = Vec::new();
    let missed = report::table(outcomes, &versions, &mut text).map_err(explain)?;
    io::stdout().write_all(&text).map_err(explain)?;
    say(&format!("{missed} goals missed"));
    if let Some(file) = &args.report {
        std::fs::write(file, &text).map_err(explain)?;
    }
    if let (Some(file), Some(svg)) = (&args.plot, plot::svg(&Medians::of(outcomes))) {
        std::fs::write(file, svg).map_err(explain)?;
    }
    Ok(())
}

/// Beside the report, for whoever waits.
fn say(line: &str) {
    // Without anybody to tell it is worth nothing.
    let _ = writeln!(io::stderr(), "{line}");
}

fn arguments() -> Result<Args> {
    let mut args = Args {
        perouter: PathBuf::new(),
        quick: false,
        rows: Vec::new(),
        players: Vec::new(),
        runs: None,
        results: None,
        report: None,
        plot: None,
    };
    let mut words = std::env::args().skip(1);
    let usage = |why: String| LabError::new(format!("{why}\n{USAGE}"));
    while let Some(option) = words.next() {
        if option == "--quick" {
            args.quick = true;
            continue;
        }
        let value = words.next().ok_or_else(|| usage(format!("{option} needs a value")))?;
        let list = |text: &str| text.split([',', ' ']).filter(|w| !w.is_empty()).map(str::to_owned).collect();
        match option.as_str() {
            "--perouter" => args.perouter = value.into(),
            "--rows" => args.rows = list(&value),
            "--players" => args.players = list(&value),
            "--runs" => args.runs = Some(value.parse().map_err(|_| usage(format!("{value} is no number")))?),
            "--results" => args.results = Some(value.into()),
            "--report" => args.report = Some(value.into()),
            "--plot" => args.plot = Some(value.into()),
            _ => return Err(usage(format!("there is no option {option}"))),
        }
    }
    if args.perouter.is_file() { Ok(args) } else { Err(usage("--perouter must name the binary".to_owned())) }
}

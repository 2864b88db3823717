//! What packages ship beside the binary, made by it: completions and manual pages, from the same definitions as `--help`.

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};
use crate::views::Out;

/// Prints a shell's completions.
///
/// # Errors
/// They could not be written.
pub(crate) fn completions(shell: Shell, out: &mut Out<'_>) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "perouter", &mut script);
    out.bytes(&script)?;
    Ok(Exit::Fine)
}

/// Prints the page of the program, or writes that and one for each command into a directory.
///
/// # Errors
/// They could not be written.
pub(crate) fn pages(dir: Option<&Path>, out: &mut Out<'_>) -> Result<Exit, Failure> {
    let Some(dir) = dir else {
        out.bytes(&page(Cli::command())?)?;
        return Ok(Exit::Fine);
    };
    let cannot = |path: &Path, error| Failure::Usage(format!("cannot write {}: {error}", path.display()));
    fs::create_dir_all(dir).map_err(|error| cannot(dir, error))?;
    for command in all() {
        let file = dir.join(format!("{}.1", command.get_name()));
        fs::write(&file, page(command)?).map_err(|error| cannot(&file, error))?;
        out.line(&file.display().to_string())?;
    }
    Ok(Exit::Fine)
}

/// The program, and each of its commands under the name that `man` looks for.
fn all() -> Vec<Command> {
    let mut program = Cli::command();
    // Options of all commands are shown by each.
    program.build();
    let commands = program.get_subcommands().filter(|command| command.get_name() != "help").map(|command| {
        let name = format!("perouter-{}", command.get_name());
        // A name lives as long as the program in clap; these are a few, made once.
        command.clone().name(&*name.leak())
    });
    let commands: Vec<_> = commands.collect();
    std::iter::once(Cli::command()).chain(commands).collect()
}

fn page(command: Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_that_names_it() {
        let pages: Vec<(String, String)> = all()
            .into_iter()
            .map(|command| (command.get_name().to_owned(), String::from_utf8(page(command).unwrap()).unwrap()))
            .collect();
        for wanted in ["perouter", "perouter-status", "perouter-explain", "perouter-run"] {
            let (_, text) = pages.iter().find(|(name, _)| name == wanted).expect(wanted);
            assert!(text.contains(".SH NAME") && text.contains(&wanted.replace('-', "\\-")), "{text}");
        }
        let status = &pages.iter().find(|(name, _)| name == "perouter-status").unwrap().1;
        assert!(status.contains("Examples:"), "{status}");
    }

    #[test]
    fn every_shell_completes_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            completions(shell, &mut Out::plain(&mut script)).unwrap();
            let script = String::from_utf8(script).unwrap();
            for command in ["status", "explain", "peers", "routes"] {
                assert!(script.contains(command), "{shell}: {command}");
            }
        }
    }
}

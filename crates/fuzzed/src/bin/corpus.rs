//! Moves inputs between the committed corpus and the directories that the fuzzer works in.
//!
//! `corpus list` names the targets; `corpus unpack TARGET DIR` writes the committed inputs and the seeds, one file each;
//! `corpus pack TARGET DIR` makes what is in the directory the committed corpus.

#![allow(clippy::print_stdout, reason = "it is a tool of the command line")]

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use fuzzed::{TARGETS, corpus, seeds, target};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["list"] => {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            Ok(())
        }
        ["unpack", name, directory] => unpack(target(name).name, Path::new(directory)),
        ["pack", name, directory] => pack(target(name).name, Path::new(directory)),
        _ => Err(io::Error::other("usage: corpus list | corpus unpack TARGET DIR | corpus pack TARGET DIR")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("corpus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn unpack(target: &str, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let committed = match corpus::read(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    for (number, input) in committed.iter().chain(&seeds::of(target)?).enumerate() {
        fs::write(directory.join(format!("committed-{number:04}")), input)?;
    }
    Ok(())
}

fn pack(target: &str, directory: &Path) -> io::Result<()> {
    let mut inputs = Vec::new();
    for entry in fs::read_dir(directory)? {
        inputs.push(fs::read(entry?.path())?);
    }
    let file = corpus::file(target);
    fs::create_dir_all(file.parent().unwrap_or(Path::new("")))?;
    println!("{target}: {} inputs", inputs.len());
    fs::write(file, corpus::pack(inputs))
}

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

fn routes(line: &str) -> RoutesArgs {
    let Command::Routes(args) = parse(line).unwrap().command else { panic!("not routes") };
    args
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let cli = parse("perouter run").unwrap();
    assert_eq!(cli.state_dir(), Path::new("/run/perouter"));
    assert_eq!((cli.output, cli.log_format), (Format::Table, LogFormat::Text));
    let Command::Run(args) = cli.command else { panic!("not run") };
    assert_eq!(args.config_dir, Path::new("/etc/openperouter/configs"));
    assert_eq!(args.node_config, Path::new("/etc/openperouter/node-config.yaml"));
    assert_eq!(args.namespace, None);
}

#[test]
fn global_options_stand_before_or_after_the_command() {
    for line in ["perouter --state-dir /x -o json status", "perouter status -o json --state-dir /x"] {
        let cli = parse(line).unwrap();
        assert_eq!((cli.state_dir(), cli.output), (Path::new("/x"), Format::Json));
    }
}

#[test]
fn an_address_and_a_prefix_are_different_questions() {
    assert_eq!(routes("perouter routes 10.1.2.3").target, Some(Target::Address("10.1.2.3/32".parse().unwrap())));
    assert_eq!(routes("perouter routes 2001:db8::/32").target, Some(Target::Prefix("2001:db8::/32".parse().unwrap())));
}

#[test]
fn a_prefix_with_host_bits_names_the_one_that_was_meant() {
    let error = parse("perouter routes 10.1.2.3/24").unwrap_err();
    assert!(error.to_string().contains("did you mean 10.1.2.0/24?"), "{error}");
}

#[test]
fn a_word_is_no_prefix() {
    let error = parse("perouter routes fabric").unwrap_err();
    assert!(error.to_string().contains("neither an address"), "{error}");
}

#[test]
fn received_and_advertised_exclude_each_other() {
    assert_eq!(parse("perouter routes --received a --advertised b").unwrap_err().kind(), ErrorKind::ArgumentConflict);
    assert_eq!(routes("perouter routes --received a").received.as_deref(), Some("a"));
}

#[test]
fn longest_needs_something_to_match() {
    assert_eq!(parse("perouter routes --longest").unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
    assert!(routes("perouter routes --longest 10.0.0.0/8").longest);
}

#[test]
fn a_clear_is_hard_or_soft() {
    let clear = |line: &str| {
        let Command::Clear(args) = parse(line).unwrap().command else { panic!("not clear") };
        (args.peer, args.soft, args.message)
    };
    assert_eq!(clear("perouter clear all"), ("all".into(), None, None));
    assert_eq!(clear("perouter clear fabric --soft out"), ("fabric".into(), Some(SoftArg::Out), None));
    assert_eq!(clear("perouter clear fabric --message optics"), ("fabric".into(), None, Some("optics".into())));
    let both = parse("perouter clear fabric --soft in --message optics").unwrap_err();
    assert_eq!(both.kind(), ErrorKind::ArgumentConflict);
    assert_eq!(parse("perouter clear").unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
}

#[test]
fn a_shutdown_takes_one_peer_and_a_text() {
    let Command::Shutdown(args) = parse("perouter shutdown fabric --message disk").unwrap().command else {
        panic!("not shutdown")
    };
    assert_eq!((args.peer.as_str(), args.message.as_deref()), ("fabric", Some("disk")));
    assert_eq!(parse("perouter shutdown").unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
}

#[test]
fn families_have_a_short_and_a_configuration_name() {
    for name in ["ipv6", "ipv6unicast"] {
        assert_eq!(routes(&format!("perouter routes --family {name}")).family, Some(FamilyArg::Ipv6));
    }
}

#[test]
fn the_lab_takes_daemons_or_comes_down() {
    let Command::Lab(args) = parse("perouter lab --leaf frr --host gobgp --keep").unwrap().command else {
        panic!("not lab")
    };
    assert_eq!((args.leaf, args.host, args.keep), (Some(DaemonArg::Frr), Some(DaemonArg::Gobgp), true));
    let Command::Lab(args) = parse("perouter lab down").unwrap().command else { panic!("not lab") };
    assert!(matches!(args.command, Some(LabCommand::Down)));
    assert!(parse("perouter lab --keep down").is_err());
}

#[test]
fn files_and_a_directory_are_not_validated_at_once() {
    assert!(parse("perouter validate --config-dir d f.yaml").is_err());
    assert!(parse("perouter validate a.yaml b.yaml").is_ok());
}

#[test]
fn usage_errors_exit_with_two_and_help_with_zero() {
    assert_eq!(parse("perouter").unwrap_err().exit_code(), 2);
    assert_eq!(parse("perouter fly").unwrap_err().exit_code(), 2);
    assert_eq!(parse("perouter --help").unwrap_err().exit_code(), 0);
    assert_eq!(parse("perouter --version").unwrap_err().exit_code(), 0);
    assert!(parse("perouter --version").unwrap_err().to_string().contains(crate::VERSION));
}

#[test]
fn a_drain_waits_in_seconds_minutes_or_hours_or_is_undone() {
    let wait = |line: &str| {
        let Command::Drain(args) = parse(line).unwrap().command else { panic!("not drain") };
        args.wait.map(|wait| wait.as_secs())
    };
    assert_eq!(wait("perouter drain"), None);
    assert_eq!(wait("perouter drain --undo"), None);
    for (text, seconds) in [("0", 0), ("30", 30), ("90s", 90), ("5m", 300), ("1h", 3_600)] {
        assert_eq!(wait(&format!("perouter drain --wait {text}")), Some(seconds));
    }
    for text in ["", "s", "5d", "1.5s", "18446744073709551615h"] {
        let parsed = Cli::try_parse_from(["perouter", "drain", "--wait", text]);
        assert_eq!(parsed.unwrap_err().kind(), ErrorKind::ValueValidation, "{text}");
    }
    assert_eq!(parse("perouter drain --undo --wait 5").unwrap_err().kind(), ErrorKind::ArgumentConflict);
}

#[test]
fn events_are_as_many_as_are_kept_at_most() {
    let events = |line: &str| {
        let Command::Events(args) = parse(line).unwrap().command else { panic!("not events") };
        args
    };
    assert_eq!(events("perouter events"), EventsArgs { lines: 100, follow: false });
    assert_eq!(events("perouter events -f -n 0"), EventsArgs { lines: 0, follow: true });
    assert_eq!(usize::from(events("perouter events -n 1000").lines), crate::journal::KEPT);
    assert_eq!(parse("perouter events -n 1001").unwrap_err().kind(), ErrorKind::ValueValidation);
}

/// Commands as they stand in shell blocks of the documentation, and between backquotes: `perouter plan --config-dir ./new`.
fn documented() -> Vec<(String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = vec![root.join("README.md")];
    for folder in ["docs", "docs/hosts"] {
        pages.extend(std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    let mut found = Vec::new();
    for page in pages {
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&page).unwrap();
        let (mut fence, mut block) = (false, false);
        for (number, line) in text.lines().enumerate() {
            let place = format!("{name}:{}", number + 1);
            if line.starts_with("```") {
                // One that closes has no name either.
                (fence, block) = (!fence, !fence && (line == "```sh" || line == "```"));
                continue;
            }
            let line = line.strip_prefix("$ ").unwrap_or(line);
            if block && line.starts_with("perouter ") && !line.starts_with("perouter 0.") {
                found.push((place, words(line)));
            } else if !block {
                let ticked = line.split('`').skip(1).step_by(2).filter(|code| code.starts_with("perouter "));
                found.extend(ticked.map(|code| (place.clone(), words(code))));
            }
        }
    }
    found
}

/// The first command of a line as a shell takes it apart: up to a comment, a pipe or the like.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for character in line.chars() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (Some(_), inside) => word.push(inside),
            (None, '\'' | '"') => quote = Some(character),
            (None, '#' | '|' | '&' | ';' | '>') if word.is_empty() => break,
            (None, '>' | ';') => break,
            (None, ' ') => words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty())),
            (None, other) => word.push(other),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

#[test]
fn every_command_in_the_documentation_can_be_typed() {
    // What stands for something else.
    let filled = |word: String| match word.as_str() {
        "PREFIX" => "10.0.0.0/8".to_owned(),
        _ => word,
    };
    let all = documented();
    assert!(all.len() > 50, "{} commands: are they still found?", all.len());
    let mut complaints = Vec::new();
    for (place, words) in all {
        let line = words.join(" ");
        // The name of a command in a sentence, without what it needs.
        let (named, option) = (words.len() == 2, words.last().is_some_and(|word| word.starts_with("--")));
        match Cli::try_parse_from(words.into_iter().map(filled)) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {}
            Err(error) if named && error.kind() == ErrorKind::MissingRequiredArgument => {}
            // The name of an option, likewise.
            Err(error) if option && error.kind() == ErrorKind::InvalidValue => {}
            Err(error) => complaints.push(format!("{place}: {line}: {error}")),
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn a_typo_is_answered_with_what_was_meant() {
    let said = |line: &str| parse(line).unwrap_err().to_string();
    assert!(said("perouter staus").contains("'status'"), "{}", said("perouter staus"));
    assert!(said("perouter routes --recieved x").contains("'--received'"));
    assert!(said("perouter clear fabric --soft im").contains("in"));
}

#[test]
fn every_command_has_examples() {
    let missing: Vec<String> = Cli::command()
        .get_subcommands()
        .filter(|command| command.get_after_help().is_none_or(|help| !help.to_string().contains("Examples:")))
        .map(|command| command.get_name().to_owned())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

use clap::CommandFactory;

use super::*;

#[test]
fn the_definition_is_sound_and_every_command_teaches() {
    let mut command = Cli::command();
    command.clone().debug_assert();
    command.build();
    let mut left: Vec<clap::Command> = command.get_subcommands().cloned().collect();
    while let Some(command) = left.pop() {
        if command.get_name() == "help" {
            continue;
        }
        left.extend(command.get_subcommands().cloned());
        if command.has_subcommands() {
            continue;
        }
        let long = command.get_long_about().map(ToString::to_string);
        let long = long.unwrap_or_default();
        assert!(
            long.contains("  ringwall ") || long.contains("sudo ringwall "),
            "`{}` shows no example",
            command.get_name()
        );
    }
}

#[test]
fn wrong_usage_is_two() {
    for words in [
        vec!["ringwall", "bypass"],
        vec!["ringwall", "apply"],
        vec!["ringwall", "rollback", "x"],
        vec!["ringwall", "status", "-o", "yaml"],
    ] {
        let error = Cli::try_parse_from(&words).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{words:?}");
    }
}

#[test]
fn strict_has_two_grades() {
    for words in [
        vec!["ringwall", "policy", "check", "--strict", "p.yaml"],
        vec!["ringwall", "policy", "check", "--strict=dates", "p.yaml"],
        vec!["ringwall", "policy", "check", "p.yaml"],
    ] {
        assert!(Cli::try_parse_from(&words).is_ok(), "{words:?}");
    }
}

//! Developer commands of xfersplit: `cargo xtask COMMAND`.
//!
//! Checks that need more than one line of shell stand here; `.ci/run` calls them in order.

mod loom;
mod miri;
mod run;
mod tidy;

use std::{env, process::ExitCode};

/// A command: its name, what it does, and the function.
type Command = (&'static str, &'static str, fn() -> run::Outcome);

const COMMANDS: &[Command] = &[
    (
        "tidy",
        "house rules that no compiler checks: file sizes, encodings, unfinished work",
        tidy::run,
    ),
    (
        "loom",
        "the pump under every interleaving that loom finds",
        loom::run,
    ),
    (
        "miri",
        "the core and the named driver scenarios under Miri (nightly)",
        miri::run,
    ),
];

fn help() {
    println!("Developer commands of xfersplit\n\nUsage: cargo xtask COMMAND\n\nCommands:");
    for (name, what, _) in COMMANDS {
        println!("  {name:<8}{what}");
    }
    println!(
        "\nExample: cargo xtask miri\n\nExit status: 0 all well, 1 a check failed, 2 wrong usage."
    );
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name] = arguments.as_slice() else {
        help();
        return ExitCode::from(if arguments.is_empty() { 0 } else { 2 });
    };
    if name == "--help" || name == "-h" || name == "help" {
        help();
        return ExitCode::SUCCESS;
    }
    let Some((_, _, command)) = COMMANDS.iter().find(|(known, _, _)| known == name) else {
        eprintln!("xtask: no command {name:?}; see cargo xtask --help");
        return ExitCode::from(2);
    };
    match command() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask {name}: {reason}");
            ExitCode::from(1)
        }
    }
}

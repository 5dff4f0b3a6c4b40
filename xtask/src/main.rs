//! Developer commands of xfersplit: `cargo xtask COMMAND`.
//!
//! Checks that need more than one line of shell stand here; `.ci/run` calls them in order.

mod counts;
#[cfg(test)]
mod documents;
mod inf;
mod inspect;
mod loom;
#[cfg(test)]
mod makefile;
mod miri;
mod package;
mod run;
mod sys;
mod test_binary;
mod tidy;

use std::{env, process::ExitCode};

/// A command.
struct Command {
    name: &'static str,
    /// What may stand after the name; empty where nothing may.
    takes: &'static str,
    what: &'static str,
    run: fn(&[String]) -> run::Outcome,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "tidy",
        takes: "",
        what: "house rules that no compiler checks: file sizes, encodings, unfinished work",
        run: |_| tidy::run(),
    },
    Command {
        name: "inf",
        takes: "[FILES]",
        what: "the INF files (or those named) against the rules for a filter under disks",
        run: inf::run,
    },
    Command {
        name: "loom",
        takes: "",
        what: "the pump under every interleaving that loom finds",
        run: |_| loom::run(),
    },
    Command {
        name: "miri",
        takes: "",
        what: "the core and the named driver scenarios under Miri (nightly)",
        run: |_| miri::run(),
    },
    Command {
        name: "sys",
        takes: "",
        what: "xfersplit.sys and highest.sys for x64 Windows, built on Linux (docs/build.md)",
        run: |_| sys::run(),
    },
    Command {
        name: "inspect",
        takes: "[FILES]",
        what: "what sys built (or the named files): can Windows load it, and which (docs/build.md)",
        run: inspect::run,
    },
    Command {
        name: "package",
        takes: "",
        what: "what sys built, signed for tests, with all that Windows wants but the catalog",
        run: |_| package::run(),
    },
    Command {
        name: "test-binary",
        takes: "",
        what: "builds the drivers and runs their tests on the binaries (docs/build.md)",
        run: |_| test_binary::run(),
    },
    Command {
        name: "counts",
        takes: "",
        what: "the driver's instructions per request, sources and binary, against budgets (docs/performance.md)",
        run: |_| counts::run(),
    },
];

fn help() {
    println!("Developer commands of xfersplit\n\nUsage: cargo xtask COMMAND\n\nCommands:");
    for Command {
        name, takes, what, ..
    } in COMMANDS
    {
        println!("  {:<17}{what}", format!("{name} {takes}"));
    }
    println!(
        "\nExamples: cargo xtask miri\n          cargo xtask inf driver.inx\n\n\
         Exit status: 0 all well, 1 a check failed, 2 wrong usage."
    );
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        help();
        return ExitCode::SUCCESS;
    };
    if name == "--help" || name == "-h" || name == "help" {
        help();
        return ExitCode::SUCCESS;
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprintln!("xtask: no command {name:?}; see cargo xtask --help");
        return ExitCode::from(2);
    };
    if rest
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        help();
        return ExitCode::SUCCESS;
    }
    let unwanted = rest
        .iter()
        .find(|argument| command.takes.is_empty() || argument.starts_with('-'));
    if let Some(unwanted) = unwanted {
        eprintln!("xtask {name}: {unwanted:?} means nothing here; see cargo xtask --help");
        return ExitCode::from(2);
    }
    match (command.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask {name}: {reason}");
            ExitCode::from(1)
        }
    }
}

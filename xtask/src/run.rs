//! Running other programs.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// What a command comes to: nothing, or one line that says what went wrong.
pub(crate) type Outcome = Result<(), String>;

/// The workspace's root folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Cargo of the given toolchain (`None`: the one in use), in the workspace's root.
pub(crate) fn cargo(toolchain: Option<&str>, arguments: &[&str]) -> Command {
    // Through rustup's proxy, not $CARGO: only the proxy understands +toolchain.
    let mut command = Command::new("cargo");
    if let Some(toolchain) = toolchain {
        command
            .arg(format!("+{toolchain}"))
            .env_remove("RUSTUP_TOOLCHAIN");
    }
    command.args(arguments).current_dir(root());
    command
}

/// Runs a command, shown on a line of its own; an error when it fails.
pub(crate) fn check(command: &mut Command) -> Outcome {
    let shown = shown(command);
    eprintln!("+ {shown}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` failed: {status}")),
        Err(error) => Err(format!("`{shown}` did not start: {error}")),
    }
}

fn shown(command: &Command) -> String {
    let words = command.get_args().map(|word| word.to_string_lossy());
    let program = command.get_program().to_string_lossy();
    std::iter::once(program)
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

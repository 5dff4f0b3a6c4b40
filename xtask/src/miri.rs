//! The unsafe code under Miri: strict provenance, the default borrow model, the deterministic clock.

use std::{env, process::Command};

use crate::run::{self, Outcome};

/// The drivers' scenarios that Miri runs: small ones (at most eight pieces), chosen so that together
/// they reach every unsafe block of the I/O path.
const SCENARIOS: &str = "miri_";

/// Runs the core's own tests and the named scenarios.
///
/// A missing component is an error, unless `ALLOW_NO_MIRI=1`: a check that quietly does not run is
/// worse than none.
pub(crate) fn run() -> Outcome {
    if let Err(reason) = present() {
        if env::var_os("ALLOW_NO_MIRI").is_some_and(|value| value == "1") {
            println!("miri: not run, as ALLOW_NO_MIRI=1 allows ({reason})");
            return Ok(());
        }
        return Err(format!(
            "{reason}; `rustup component add miri rust-src --toolchain nightly` installs it, \
             ALLOW_NO_MIRI=1 goes on without"
        ));
    }
    let core = ["miri", "test", "--package", "xfersplit-core"];
    let driver = [
        "miri",
        "test",
        "--package",
        "xfersplit",
        "--test",
        "miri_scenarios",
        "--test",
        "miri_srb_scenarios",
        SCENARIOS,
    ];
    run::check(&mut miri(&core))?;
    run::check(&mut miri(&driver))?;
    for package in ["xfersplit-highest", "xfersplit-monolithic"] {
        let scenarios = "miri_scenarios";
        run::check(&mut miri(&[
            "miri",
            "test",
            "--package",
            package,
            "--test",
            scenarios,
            SCENARIOS,
        ]))?;
    }
    Ok(())
}

fn miri(arguments: &[&str]) -> Command {
    let mut command = run::cargo(Some("nightly"), arguments);
    command
        .env("MIRIFLAGS", "-Zmiri-strict-provenance")
        .env("CARGO_TARGET_DIR", "target/miri");
    command
}

fn present() -> Outcome {
    let version = run::cargo(Some("nightly"), &["miri", "--version"]).output();
    match version {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err("the nightly toolchain has no Miri".into()),
    }
}

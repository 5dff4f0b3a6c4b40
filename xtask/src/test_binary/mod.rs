//! `cargo xtask test-binary`: what ships is what was tested.
//!
//! The drivers are built for Windows, looked at, and loaded into the simulated kernel in place of the linked sources: every
//! scenario of their packages' `tests/` runs on them, and the same workload from the same seed must bring the same requests to the port.
//! Copies with one mistake each must not pass.

mod broken;

use std::path::Path;

use crate::{
    inspect,
    run::{self, Outcome},
    sys,
};

/// Positions in the device stack, and formats of request block, that traces are compared in.
const STACKS: [&str; 3] = ["class", "disk", "relay"];
const FORMATS: [&str; 2] = ["legacy", "extended"];

/// Seeds that traces are compared from.
const SEEDS: [&str; 2] = ["1", "2"];

/// Runs the lab, building it first.
const LAB: [&str; 7] = [
    "run",
    "--release",
    "--quiet",
    "--locked",
    "--package",
    "xfersplit-lab",
    "--",
];

/// The lab's hash over what arrived at the port, and when.
const TRACE: &str = "sha256_trace";

/// Builds the driver and runs everything on it.
pub(crate) fn run() -> Outcome {
    sys::run()?;
    inspect::run(&[])?;
    let driver = sys::FILTER.image();
    scenarios(sys::FILTER)?;
    scenarios(sys::HIGHEST)?;
    traces(&driver)?;
    broken::are_caught(&driver, |copy| {
        trace(STACKS[1], FORMATS[0], SEEDS[0], Some(copy))
    })
}

/// The scenarios of a driver's own package, on its image.
fn scenarios(driver: &sys::Driver) -> Outcome {
    let mut tests = run::cargo(None, &["test", "--package", driver.package, "--locked"]);
    run::check(tests.env(driver.variable, driver.image()))
}

fn traces(driver: &Path) -> Outcome {
    for stack in STACKS {
        for format in FORMATS {
            for seed in SEEDS {
                let sources = trace(stack, format, seed, None)?;
                let binary = trace(stack, format, seed, Some(driver))?;
                if sources != binary {
                    return Err(format!(
                        "stack {stack}, {format} request blocks, seed {seed}: the port saw trace {sources} \
                         from the sources and {binary} from the binary"
                    ));
                }
                println!("same trace {sources}: {stack}, {format}, seed {seed}");
            }
        }
    }
    Ok(())
}

/// The trace of one run.
fn trace(stack: &str, format: &str, seed: &str, driver: Option<&Path>) -> Result<String, String> {
    let mut lab = run::cargo(None, &LAB);
    lab.args(["run", "--json", "--requests", "300", "--faults", "all=0.2%"])
        .args(["--stack", stack, "--srb", format, "--seed", seed]);
    if let Some(driver) = driver {
        lab.arg("--driver").arg(driver);
    }
    let output = lab
        .output()
        .map_err(|error| format!("the lab did not start: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "the lab's run failed ({}): {reason}{text}",
            output.status
        ));
    }
    let answer: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("the lab's answer: {error}"))?;
    let hash = answer.get(TRACE).and_then(serde_json::Value::as_str);
    hash.map(str::to_owned)
        .ok_or_else(|| format!("the lab's answer has no {TRACE}"))
}

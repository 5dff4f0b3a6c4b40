//! `cargo xtask counts`: how many instructions the driver takes, from its sources and as the binary.
//!
//! Instructions, not seconds: a simulated adapter has no speed, and counts are the same on every machine of one
//! kind. valgrind counts them for the whole lab; what is in the driver's own functions (or, for the binary, in its
//! image) is added up, at two lengths of the same workload, so that start and end cancel out.

use std::{collections::HashMap, fs, path::Path};

use crate::{
    run::{self, Outcome},
    sys,
};

/// Requests of the shorter run; the longer one has twice as many.
const REQUESTS: u64 = 40;

/// A workload: what the lab is told, pieces per request, and the most instructions that a request may take in either form.
struct Workload {
    name: &'static str,
    arguments: &'static [&'static str],
    pieces: u64,
    budget: u64,
}

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "4 KiB beneath the class driver: goes down as it came",
        arguments: &["--stack", "disk", "--sizes", "4K"],
        pieces: 0,
        budget: 1_000,
    },
    Workload {
        name: "1 MiB beneath the class driver, in 8 pieces",
        arguments: &["--stack", "disk", "--sizes", "1M", "--advertise", "2"],
        pieces: 8,
        budget: 10_000,
    },
    Workload {
        name: "1 MiB directly above the port, in 8 pieces",
        arguments: &["--stack", "class", "--sizes", "1M"],
        pieces: 8,
        budget: 10_000,
    },
    Workload {
        name: "1 MiB above the class driver, in 8 pieces",
        arguments: &["--stack", "relay", "--sizes", "1M"],
        pieces: 8,
        budget: 8_000,
    },
];

/// What every run has in common: an adapter that takes 128 KiB and answers at once.
const COMMON: &[&str] = &[
    "run",
    "--json",
    "--sequential",
    "--writes",
    "0",
    "--depth",
    "1",
    "--page-offset",
    "0",
    "--latency",
    "inline",
    "--adapter",
    "ahci",
];

/// Counts, shows and compares with the budgets.
pub(crate) fn run() -> Outcome {
    let driver = sys::FILTER.image();
    if !driver.exists() {
        return Err("no target/sys/xfersplit.sys; `cargo xtask sys` builds it".into());
    }
    let lab = lab()?;
    let mut over = Vec::new();
    println!(
        "instructions per request{:>38}{:>10}{:>12}",
        "sources", "binary", "per piece"
    );
    for workload in WORKLOADS {
        let sources = per_request(&lab, workload, None)?;
        let binary = per_request(&lab, workload, Some(&driver))?;
        let each = match workload.pieces {
            0 => String::new(),
            pieces => format!("{}", binary / pieces),
        };
        println!("{:<52}{sources:>10}{binary:>10}{each:>12}", workload.name);
        if sources.max(binary) > workload.budget {
            over.push(format!("{}: more than {}", workload.name, workload.budget));
        }
    }
    if over.is_empty() {
        Ok(())
    } else {
        Err(over.join("; "))
    }
}

/// The lab in release, as a file that valgrind can be given.
fn lab() -> Result<std::path::PathBuf, String> {
    let mut build = run::cargo(
        None,
        &[
            "build",
            "--release",
            "--locked",
            "--package",
            "xfersplit-lab",
            "--message-format",
            "json",
        ],
    );
    let built = build
        .output()
        .map_err(|error| format!("cargo did not start: {error}"))?;
    if !built.status.success() {
        return Err(String::from_utf8_lossy(&built.stderr).into_owned());
    }
    String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message.get("executable")?.as_str().map(Into::into))
        .ok_or_else(|| "cargo named no executable".into())
}

fn per_request(lab: &Path, workload: &Workload, driver: Option<&Path>) -> Result<u64, String> {
    let short = count(lab, workload, REQUESTS, driver)?;
    let long = count(lab, workload, 2 * REQUESTS, driver)?;
    long.checked_sub(short)
        .map(|more| more / REQUESTS)
        .ok_or_else(|| {
            format!(
                "{}: {long} instructions for twice as much as {short}",
                workload.name
            )
        })
}

/// The driver's instructions in one run.
fn count(
    lab: &Path,
    workload: &Workload,
    requests: u64,
    driver: Option<&Path>,
) -> Result<u64, String> {
    let out = run::root().join("target/callgrind.out");
    let mut valgrind = std::process::Command::new("valgrind");
    valgrind
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(lab)
        .args(COMMON)
        .args(workload.arguments)
        .args(["--requests", &requests.to_string()]);
    if let Some(driver) = driver {
        valgrind.arg("--driver").arg(driver);
    }
    let ran = valgrind
        .output()
        .map_err(|error| format!("valgrind did not start ({error}); apt-get install valgrind"))?;
    if !ran.status.success() {
        let reason = String::from_utf8_lossy(&ran.stderr);
        return Err(format!("the lab's run failed ({}): {reason}", ran.status));
    }
    let profile =
        fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let part = if driver.is_some() {
        Part::Image
    } else {
        Part::Sources
    };
    Ok(own_cost(&profile, part))
}

/// Whose instructions are added up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    /// Functions of the driver, of its core and of its WDM objects, in the lab's own program.
    Sources,
    /// Code in memory that no file is mapped to: the loaded image.
    Image,
}

impl Part {
    fn holds(self, object: &str, function: &str) -> bool {
        match self {
            Self::Image => object == "???",
            Self::Sources => [
                "xfersplit::",
                "<xfersplit::",
                "xfersplit_core::",
                "<xfersplit_core::",
                "xfersplit_wdm::",
                "<xfersplit_wdm::",
            ]
            .iter()
            .any(|start| function.starts_with(start)),
        }
    }
}

/// Adds up what functions take by themselves, out of callgrind's own format: `ob=` and `fn=` say where the following lines
/// belong, and the line after `calls=` is the cost of what was called.
fn own_cost(profile: &str, part: Part) -> u64 {
    let mut objects = Names::default();
    let mut functions = Names::default();
    let (mut object, mut function) = (String::new(), String::new());
    let mut callee_follows = false;
    let mut sum = 0;
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("ob=") {
            object = objects.full(name);
        } else if let Some(name) = line.strip_prefix("cob=") {
            objects.full(name);
        } else if let Some(name) = line.strip_prefix("fn=") {
            function = functions.full(name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            functions.full(name);
        } else if line.starts_with("calls=") {
            callee_follows = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line
                .split_whitespace()
                .nth(1)
                .and_then(|cost| cost.parse::<u64>().ok());
            if !callee_follows && part.holds(&object, &function) {
                sum += cost.unwrap_or(0);
            }
            callee_follows = false;
        }
    }
    sum
}

/// Names that are written once, as `(7) name`, and then only as `(7)`.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn full(&mut self, written: &str) -> String {
        match written.split_once(' ') {
            Some((number, name)) => {
                self.0.insert(number.to_owned(), name.to_owned());
                name.to_owned()
            }
            None => self.0.get(written).cloned().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, own_cost};

    const PROFILE: &str = "\
events: Ir
ob=(1) /lab
fl=(1) a.rs
fn=(1) xfersplit::split::pump
10 5
+2 7
cob=(2) ???
cfn=(2) 0x1000
calls=1 0
12 900
* 1
ob=(2)
fn=(2)
0 40
ob=(1)
fn=(3) lab::main
1 1000
cfn=(1)
calls=3 0
1 13
fn=(1)
11 2
";

    #[test]
    fn what_was_called_does_not_count() {
        assert_eq!(own_cost(PROFILE, Part::Sources), 5 + 7 + 1 + 2);
        assert_eq!(own_cost(PROFILE, Part::Image), 40);
    }
}

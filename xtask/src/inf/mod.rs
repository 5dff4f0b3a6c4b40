//! `cargo xtask inf`: the INF files against the rules that keep a storage filter from costing a machine its
//! disk.
//!
//! Microsoft's InfVerif runs on Windows only, and knows nothing of this driver. These rules are narrower than Windows':
//! they allow what a lower filter of the disk class needs, and nothing else.

mod facts;
mod layout;
mod parse;
mod rules;
#[cfg(test)]
mod tests;

use std::{fmt, fs, path::PathBuf};

pub(crate) use facts::Facts;

use crate::run::{self, Outcome};

/// A rule, by the name under which a violation is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rule {
    /// ASCII: what has no byte order mark is read in the machine's own code page.
    Encoding,
    /// The file can be read.
    Syntax,
    /// Named sections exist, sections that exist are named, and none stands there twice.
    Section,
    /// Used strings are defined, once; defined ones are used.
    String,
    /// An extension INF or a primitive driver, and nothing of the other.
    Kind,
    /// `[Version]` is complete.
    Version,
    /// Architecture and lowest build.
    Target,
    /// Only named disks are matched.
    Match,
    /// The driver's file is copied, has a source, and stays in the driver store.
    File,
    /// The service starts with its disk and is a plain filter's.
    Service,
    /// Service, binary and project are called the same.
    Name,
    /// The filter is registered below the class driver, or not at all.
    Filter,
    /// The framework is told which version the driver is bound to.
    Wdf,
    /// The registry is only touched below keys that Windows hands out.
    Registry,
    /// Nothing of what driver packages did long ago.
    Legacy,
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// A violation.
#[derive(Debug)]
struct Complaint {
    line: usize,
    rule: Rule,
    what: String,
}

/// Checks the named files, or all INF files in the root of the workspace.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let files = if arguments.is_empty() {
        own_files()?
    } else {
        arguments.iter().map(PathBuf::from).collect()
    };
    let mut complaints = 0;
    for path in &files {
        let shown = path.strip_prefix(run::root()).unwrap_or(path).display();
        let bytes = fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
        for complaint in check(&bytes) {
            let Complaint { line, rule, what } = complaint;
            eprintln!("{shown}:{line}: {rule}: {what}");
            complaints += 1;
        }
    }
    if complaints == 0 {
        println!("inf: {} files", files.len());
        Ok(())
    } else {
        Err(format!("{complaints} complaints"))
    }
}

fn own_files() -> Result<Vec<PathBuf>, String> {
    let root = run::root();
    let entries = fs::read_dir(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let kind = path.extension().unwrap_or_default();
            kind == "inx" || kind == "inf"
        })
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(format!("no INF files in {}", root.display()));
    }
    Ok(files)
}

/// All violations in a file, each on a line as `cargo xtask inf` would print it.
pub(crate) fn complaints(bytes: &[u8]) -> Vec<String> {
    check(bytes)
        .into_iter()
        .map(|Complaint { line, rule, what }| format!("{line}: {rule}: {what}"))
        .collect()
}

/// All violations in a file, by line.
fn check(bytes: &[u8]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with('\u{FEFF}') => {
            encoding(text, &mut complaints);
            rules::all(&parse::Inf::read(text), &mut complaints);
        }
        Ok(_) => complaints.push(complaint(
            1,
            Rule::Encoding,
            "begins with a byte order mark",
        )),
        Err(error) => {
            let line = bytes[..error.valid_up_to()]
                .split(|byte| *byte == b'\n')
                .count();
            complaints.push(complaint(line, Rule::Encoding, "neither ASCII nor UTF-8"));
        }
    }
    complaints.sort_by_key(|complaint| complaint.line);
    complaints
}

fn encoding(text: &str, complaints: &mut Vec<Complaint>) {
    for (index, line) in text.lines().enumerate() {
        if let Some(character) = line.chars().find(|character| !character.is_ascii()) {
            let what = format!("{character:?} is not ASCII");
            complaints.push(complaint(index + 1, Rule::Encoding, what));
        }
    }
}

fn complaint(line: usize, rule: Rule, what: impl Into<String>) -> Complaint {
    Complaint {
        line,
        rule,
        what: what.into(),
    }
}

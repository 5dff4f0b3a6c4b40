//! House rules that no compiler checks.

use std::{fs, path::Path, process::Command};

use crate::run::{self, Outcome};

/// Longer source files want to be two.
const MOST_LINES: usize = 700;

/// Words of unfinished work; each is split here so that this file passes its own check.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("FIX", "ME"),
    concat!("#[ig", "nore"),
];

/// Checks every file that git tracks or would track.
pub(crate) fn run() -> Outcome {
    let root = run::root();
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(&root)
        .output()
        .map_err(|error| format!("git did not start: {error}"))?;
    let names = String::from_utf8(listed.stdout).map_err(|_| "a file name is not UTF-8")?;
    let mut complaints = Vec::new();
    let mut files = 0;
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        let path = root.join(name);
        if path.is_file() {
            files += 1;
            examine(name, &path, &mut complaints);
        }
    }
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    if complaints.is_empty() {
        println!("tidy: {files} files");
        Ok(())
    } else {
        Err(format!("{} complaints", complaints.len()))
    }
}

fn examine(name: &str, path: &Path, complaints: &mut Vec<String>) {
    let Ok(bytes) = fs::read(path) else {
        return complaints.push(format!("{name}: cannot be read"));
    };
    let Ok(text) = String::from_utf8(bytes) else {
        return complaints.push(format!("{name}: not UTF-8"));
    };
    let kind = path.extension().and_then(|extension| extension.to_str());
    if kind == Some("rs") {
        source(name, &text, complaints);
    }
    if text.contains('\r') {
        complaints.push(format!("{name}: carriage returns"));
    }
    if !text.is_empty() && !text.ends_with('\n') && kind != Some("json") {
        complaints.push(format!("{name}: no newline at the end"));
    }
}

fn source(name: &str, text: &str, complaints: &mut Vec<String>) {
    let lines = text.lines().count();
    // The ABI's tables are lists, and lists are as long as they are.
    if lines > MOST_LINES && !name.contains("/abi/") {
        complaints.push(format!(
            "{name}: {lines} lines; more than {MOST_LINES} want to be two files"
        ));
    }
    for (number, line) in text.lines().enumerate() {
        for word in UNFINISHED {
            if line.contains(word) {
                complaints.push(format!("{name}:{}: {word}", number + 1));
            }
        }
        if line.ends_with(' ') {
            complaints.push(format!("{name}:{}: trailing space", number + 1));
        }
    }
}

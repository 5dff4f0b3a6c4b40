//! The driver's file, from the package into the driver store.

use std::collections::HashSet;

use super::{Check, number};
use crate::inf::{Rule, layout::Part, parse::same};

/// The package's own folder in the driver store.
const STORE: u32 = 13;

pub(super) fn check(check: &mut Check) {
    destinations(check);
    let copied = copied(check);
    sources(check, &copied);
}

/// Everything stays in the driver store.
fn destinations(check: &mut Check) {
    let inf = check.inf;
    let Some(section) = inf.section("DestinationDirs") else {
        return check.complain(1, Rule::File, "there is no [DestinationDirs]");
    };
    if section.get("DefaultDestDir").is_none() {
        check.complain(section.line, Rule::File, "no DefaultDestDir");
    }
    for entry in &section.entries {
        let folder = check.field(entry, 0);
        let key = entry.key.as_deref().unwrap_or("a line");
        if number(&folder) != Some(STORE) {
            let what = format!("{key} is {folder}, not {STORE} (the driver store)");
            check.complain(entry.line, Rule::File, what);
        } else if !entry.field(1).is_empty() {
            let what = format!("{key}: a folder below the driver store's");
            check.complain(entry.line, Rule::File, what);
        }
    }
}

/// Files that the installation copies, in lower case, each with the line that says so.
fn copied(check: &mut Check) -> Vec<(usize, String)> {
    let inf = check.inf;
    let mut files = Vec::new();
    let mut renamed = Vec::new();
    for directive in check.layout.entries(Part::Install, "CopyFiles") {
        for field in &directive.fields {
            if let Some(file) = field.strip_prefix('@') {
                files.push((directive.line, inf.expand(file).to_ascii_lowercase()));
            }
            for entry in inf.all(&inf.expand(field)).flat_map(|it| &it.entries) {
                files.push((entry.line, inf.expand(entry.field(0)).to_ascii_lowercase()));
                if !entry.field(1).is_empty() {
                    renamed.push(entry.line);
                }
            }
        }
    }
    for line in renamed {
        check.complain(
            line,
            Rule::File,
            "a file in the driver store keeps its name",
        );
    }
    files
}

/// What is copied has a source, what has a source is copied, and the source's disk exists.
fn sources(check: &mut Check, copied: &[(usize, String)]) {
    let inf = check.inf;
    let mut known = HashSet::new();
    for entry in inf.all("SourceDisksFiles").flat_map(|it| &it.entries) {
        let name = entry.key.clone().unwrap_or_default();
        known.insert(name.to_ascii_lowercase());
        if !copied.iter().any(|(_, file)| same(file, &name)) {
            check.complain(entry.line, Rule::File, format!("{name} is never copied"));
        }
        let disk = entry.field(0);
        let names = inf.section("SourceDisksNames");
        if names.is_none_or(|section| section.get(disk).is_none()) {
            let what = format!("disk {disk} is not in [SourceDisksNames]");
            check.complain(entry.line, Rule::File, what);
        }
    }
    for (line, file) in copied {
        if !known.contains(file) {
            let what = format!("{file} is not in [SourceDisksFiles]");
            check.complain(*line, Rule::File, what);
        }
    }
    if copied.is_empty() {
        check.complain(1, Rule::File, "no file is copied");
    }
}

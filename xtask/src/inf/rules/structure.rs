//! Syntax, sections, strings, registry roots, directives of old.

use std::collections::HashSet;

use super::{Check, number};
use crate::inf::{
    Rule,
    layout::{Kind, Part},
    parse::{Entry, is_directory, same, tokens},
};

/// `FLG_ADDREG_TYPE_MULTI_SZ | FLG_ADDREG_APPEND`.
const APPEND: u32 = 0x0001_0008;

/// Directives of an install section and its parts that this project uses or may come to use.
const DIRECTIVES: &[(Part, &[&str])] = &[
    (Part::Install, &["CopyFiles", "AddReg", "DelReg"]),
    (Part::Hardware, &["AddReg", "DelReg"]),
    (Part::Services, &["AddService"]),
    (Part::Filters, &["AddFilter"]),
    (Part::Wdf, &["KmdfService"]),
];

pub(super) fn check(check: &mut Check) {
    for (line, what) in &check.inf.faults {
        check.complain(*line, Rule::Syntax, what);
    }
    sections(check);
    strings(check);
    kind(check);
    directives(check);
    registry(check);
}

fn sections(check: &mut Check) {
    let mut seen = HashSet::new();
    for section in &check.inf.sections {
        if !seen.insert(section.name.to_ascii_lowercase()) {
            let what = format!("[{}] stands there twice", section.name);
            check.complain(section.line, Rule::Section, what);
        }
        if !check.layout.reaches(section) {
            let what = format!("nothing leads Windows to [{}]", section.name);
            check.complain(section.line, Rule::Section, what);
        }
    }
    let missing: Vec<(usize, String)> = check
        .layout
        .references
        .iter()
        .filter(|reference| check.inf.section(&reference.name).is_none())
        .map(|it| {
            (
                it.line,
                format!("{} names [{}]: no such section", it.by, it.name),
            )
        })
        .collect();
    for (line, what) in missing {
        check.complain(line, Rule::Section, what);
    }
}

fn strings(check: &mut Check) {
    let mut used = HashSet::new();
    for section in &check.inf.sections {
        for entry in &section.entries {
            let texts = entry.key.iter().chain(&entry.fields);
            for token in texts.flat_map(|text| tokens(text)) {
                used.insert(token.to_ascii_lowercase());
                if !is_directory(token) && !check.inf.defines(token) {
                    let what = format!("%{token}% is not defined");
                    check.complain(entry.line, Rule::String, what);
                }
            }
        }
    }
    let mut defined = HashSet::new();
    for entry in check.inf.all("Strings").flat_map(|it| &it.entries) {
        let Some(key) = &entry.key else {
            check.complain(entry.line, Rule::String, "a string without a name");
            continue;
        };
        let name = key.to_ascii_lowercase();
        if !used.contains(&name) {
            check.complain(entry.line, Rule::String, format!("{key} is never used"));
        }
        if !defined.insert(name) {
            check.complain(entry.line, Rule::String, format!("{key} is defined twice"));
        }
    }
}

fn kind(check: &mut Check) {
    let starts_with =
        |name: &str, head: &str| name.get(..head.len()).is_some_and(|it| same(it, head));
    match check.layout.kind {
        Kind::Other => check.complain(
            1,
            Rule::Kind,
            "neither an extension INF nor a primitive driver",
        ),
        Kind::Extension if check.inf.section("Manufacturer").is_none() => {
            check.complain(
                1,
                Rule::Kind,
                "an extension INF without [Manufacturer] extends nothing",
            );
        }
        Kind::Primitive | Kind::Extension => {}
    }
    for section in &check.inf.sections {
        let name = &section.name;
        let (line, kind) = (section.line, check.layout.kind);
        if kind == Kind::Extension && starts_with(name, "DefaultInstall") {
            check.complain(line, Rule::Kind, format!("[{name}] in an extension INF"));
        }
        if kind == Kind::Primitive && same(name, "Manufacturer") {
            check.complain(line, Rule::Kind, "[Manufacturer] in a primitive driver");
        }
        if starts_with(name, "DefaultUninstall") {
            let what = format!("[{name}]: Windows undoes a primitive driver by itself");
            check.complain(line, Rule::Kind, what);
        }
    }
}

fn directives(check: &mut Check) {
    let mut found = Vec::new();
    for (part, section) in &check.layout.parts {
        let Some((_, allowed)) = DIRECTIVES.iter().find(|(own, _)| own == part) else {
            found.push((
                section.line,
                format!("[{}]: co-installers are gone", section.name),
            ));
            continue;
        };
        for entry in &section.entries {
            if !allowed.iter().any(|directive| entry.is(directive)) {
                let key = entry.key.as_deref().unwrap_or("a line without a directive");
                found.push((entry.line, format!("{key} in [{}]", section.name)));
            }
        }
    }
    for section in &check.inf.sections {
        for entry in &section.entries {
            if entry
                .key
                .iter()
                .chain(&entry.fields)
                .any(|text| names_co_installer(text))
            {
                found.push((entry.line, String::from("co-installers are gone")));
            }
        }
    }
    for (line, what) in found {
        check.complain(line, Rule::Legacy, what);
    }
}

fn names_co_installer(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("coinstaller") || text.contains("co-installer")
}

/// Sections of registry values are those that AddReg and DelReg lead to.
fn registry(check: &mut Check) {
    let mut found = Vec::new();
    let registers = |by: &str| same(by, "AddReg") || same(by, "DelReg");
    for reference in &check.layout.references {
        if registers(&reference.by) {
            for section in check.inf.all(&reference.name) {
                for entry in &section.entries {
                    found.extend(
                        registry_line(check, entry).map(|(rule, what)| (entry.line, rule, what)),
                    );
                }
            }
        }
    }
    found.sort_by_key(|(line, ..)| *line);
    found.dedup();
    for (line, rule, what) in found {
        check.complain(line, rule, what);
    }
}

/// What is wrong with one value: `HKR, subkey, name, flags, value`.
fn registry_line(check: &Check, entry: &Entry) -> Option<(Rule, String)> {
    let root = check.field(entry, 0);
    if !same(&root, "HKR") {
        return Some((Rule::Registry, format!("{root} is not HKR")));
    }
    let name = check.field(entry, 2);
    let is_list = same(&name, "UpperFilters") || same(&name, "LowerFilters");
    if !is_list {
        return None;
    }
    if check.layout.kind == Kind::Primitive {
        let what = format!("{name}: a primitive driver registers no filter");
        return Some((Rule::Filter, what));
    }
    let flags = check.field(entry, 3);
    (number(&flags) != Some(APPEND)).then(|| {
        let what =
            format!("{name} with flags {flags:?}: only 0x00010008 appends to what others wrote");
        (Rule::Filter, what)
    })
}

//! `[Version]`.

use super::Check;
use crate::inf::{Rule, layout::Kind, parse::same};

/// The class of extension INFs.
const EXTENSION: &str = "{e2f84ce7-8efa-411c-aa69-97454ca4cb57}";

/// A key, whether a value of it is right, and what would be.
type Row = (&'static str, fn(&str) -> bool, &'static str);

pub(super) fn check(check: &mut Check) {
    let inf = check.inf;
    let Some(version) = inf.section("Version") else {
        return check.complain(1, Rule::Version, "there is no [Version]");
    };
    let is_extension = check.layout.kind == Kind::Extension;
    let rows: [Row; 7] = [
        ("Signature", is_signature, "\"$WINDOWS NT$\""),
        ("Class", |it| !it.is_empty(), "the name of a class"),
        ("ClassGuid", is_guid, "a GUID"),
        ("Provider", |it| !it.is_empty(), "a name"),
        ("DriverVer", is_date, "mm/dd/yyyy, with w.x.y.z after it"),
        ("CatalogFile", is_catalog, "a .cat file"),
        ("PnpLockdown", |it| it == "1", "1"),
    ];
    for (key, is_right, wanted) in rows {
        let value = inf.value("Version", key);
        match version.get(key) {
            None => check.complain(version.line, Rule::Version, format!("no {key}")),
            Some(entry) if !is_right(&value) => {
                let what = format!("{key} is {value:?}, not {wanted}");
                check.complain(entry.line, Rule::Version, what);
            }
            Some(_) => {}
        }
    }
    if let Some(entry) = version.get("DriverVer")
        && !is_version(entry.field(1))
    {
        check.complain(entry.line, Rule::Version, "DriverVer without w.x.y.z");
    }
    match version.get("ExtensionId") {
        Some(entry) if !is_extension => {
            check.complain(
                entry.line,
                Rule::Version,
                "ExtensionId outside an extension INF",
            );
        }
        Some(entry) if !is_own_guid(entry.field(0)) => {
            check.complain(
                entry.line,
                Rule::Version,
                "ExtensionId is not a GUID of its own",
            );
        }
        None if is_extension => {
            check.complain(version.line, Rule::Version, "no ExtensionId");
        }
        _ => {}
    }
    let class = inf.value("Version", "ClassGuid");
    if same(&class, EXTENSION) != is_extension {
        let line = version.get("ClassGuid").map_or(version.line, |it| it.line);
        check.complain(
            line,
            Rule::Version,
            "Class and ClassGuid do not belong together",
        );
    }
}

fn is_signature(text: &str) -> bool {
    same(text, "$WINDOWS NT$")
}

fn is_catalog(text: &str) -> bool {
    text.len() > 4 && text.to_ascii_lowercase().ends_with(".cat")
}

fn is_guid(text: &str) -> bool {
    let inner = text.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
    inner.is_some_and(|inner| {
        let groups: Vec<&str> = inner.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        lengths == [8, 4, 4, 4, 12]
            && groups
                .iter()
                .all(|group| group.chars().all(|it| it.is_ascii_hexdigit()))
    })
}

/// A GUID that somebody made, not the placeholder of an example.
fn is_own_guid(text: &str) -> bool {
    let mut digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
    digits.sort_unstable();
    digits.dedup();
    is_guid(text) && digits.len() > 2 && !same(text, EXTENSION)
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let [month, day, year] = parts.as_slice() else {
        return false;
    };
    let within = |text: &str, length, most| {
        text.len() == length && text.parse().is_ok_and(|it: u32| it >= 1 && it <= most)
    };
    within(month, 2, 12) && within(day, 2, 31) && within(year, 4, 9999)
}

fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 4 && parts.iter().all(|part| part.parse::<u16>().is_ok())
}

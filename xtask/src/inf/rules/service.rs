//! The service and what the framework is told of it.

use super::{Check, NAME, number};
use crate::inf::{
    Rule,
    layout::{Kind, Part},
    parse::{Entry, Section, same},
};

/// `SPSVCINST_ASSOCSERVICE`: the service is the device's function driver.
const FUNCTION_DRIVER: u32 = 2;

/// The framework version that the driver binds; stampinf writes it for the variable.
const FRAMEWORK: &[&str] = &["$KMDFVERSION$", "1.15"];

pub(super) fn check(check: &mut Check) {
    let services: Vec<&Entry> = check.layout.entries(Part::Services, "AddService").collect();
    if services.len() != 1 && check.layout.kind != Kind::Other {
        let what = format!("{} services are added, not one", services.len());
        let line = services.last().map_or(1, |entry| entry.line);
        check.complain(line, Rule::Service, what);
    }
    for entry in services {
        added(check, entry);
    }
    framework(check);
}

fn added(check: &mut Check, entry: &Entry) {
    let inf = check.inf;
    let name = check.field(entry, 0);
    if name != NAME {
        check.complain(
            entry.line,
            Rule::Name,
            format!("the service is {name:?}, not {NAME:?}"),
        );
    }
    let flags = check.field(entry, 1);
    match number(&flags) {
        Some(flags) if flags & FUNCTION_DRIVER != 0 => {
            let what = "SPSVCINST_ASSOCSERVICE: the filter would become the disk's function driver";
            check.complain(entry.line, Rule::Service, what);
        }
        None if !flags.is_empty() => {
            check.complain(
                entry.line,
                Rule::Service,
                format!("flags {flags:?} are no number"),
            );
        }
        _ => {}
    }
    for section in inf.all(&check.field(entry, 2)) {
        described(check, section);
    }
}

/// The service's own section.
fn described(check: &mut Check, section: &Section) {
    let rows = [
        ("ServiceType", Some(1), "1 (SERVICE_KERNEL_DRIVER)"),
        (
            "StartType",
            Some(0),
            "0 (SERVICE_BOOT_START): the disk of a filter that starts later is not there at boot",
        ),
        ("ErrorControl", Some(1), "1 (SERVICE_ERROR_NORMAL)"),
        ("LoadOrderGroup", None, "a load order group"),
        ("ServiceBinary", None, "a file"),
    ];
    for (key, wanted, shown) in rows {
        let Some(entry) = section.get(key) else {
            let what = format!("no {key} in [{}]", section.name);
            check.complain(section.line, Rule::Service, what);
            continue;
        };
        let value = check.field(entry, 0);
        if value.is_empty() || wanted.is_some() && number(&value) != wanted {
            let what = format!("{key} is {value:?}, not {shown}");
            check.complain(entry.line, Rule::Service, what);
        }
    }
    if let Some(entry) = section.get("ServiceBinary") {
        binary(check, entry);
    }
}

fn binary(check: &mut Check, entry: &Entry) {
    let path = check.field(entry, 0);
    let Some(file) = path.strip_prefix(r"%13%\") else {
        let what = format!("ServiceBinary is {path}, not in the driver store (%13%)");
        return check.complain(entry.line, Rule::File, what);
    };
    if !same(file, &format!("{NAME}.sys")) {
        let what = format!("the binary is {file:?}, not \"{NAME}.sys\"");
        check.complain(entry.line, Rule::Name, what);
    }
    let sources = check.inf.section("SourceDisksFiles");
    if sources.is_none_or(|section| section.get(file).is_none()) {
        let what = format!("{file} is not in the package");
        check.complain(entry.line, Rule::File, what);
    }
}

fn framework(check: &mut Check) {
    let inf = check.inf;
    let lines: Vec<&Entry> = check.layout.entries(Part::Wdf, "KmdfService").collect();
    if lines.is_empty() {
        check.complain(1, Rule::Wdf, "no KmdfService in a .Wdf section");
    }
    for entry in lines {
        let service = check.field(entry, 0);
        let is_added = check
            .layout
            .entries(Part::Services, "AddService")
            .any(|added| same(added.field(0), &service));
        if !is_added {
            let what = format!("KmdfService names {service:?}, which no AddService adds");
            check.complain(entry.line, Rule::Wdf, what);
        }
        let section = check.field(entry, 1);
        let version = inf.value(&section, "KmdfLibraryVersion");
        if !FRAMEWORK.iter().any(|known| same(known, &version)) {
            let what = format!(
                "KmdfLibraryVersion in [{section}] is {version:?}, not 1.15 or the variable"
            );
            let line = inf.section(&section).map_or(entry.line, |it| it.line);
            check.complain(line, Rule::Wdf, what);
        }
    }
}

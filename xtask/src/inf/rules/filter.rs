//! The filter's registration.

use super::Check;
use crate::inf::{
    Rule,
    layout::{Kind, Part},
    parse::{Entry, same},
};

pub(super) fn check(check: &mut Check) {
    let filters: Vec<&Entry> = check.layout.entries(Part::Filters, "AddFilter").collect();
    match check.layout.kind {
        Kind::Extension if filters.is_empty() => {
            check.complain(1, Rule::Filter, "no AddFilter: the service filters nothing");
        }
        Kind::Primitive => {
            for entry in &filters {
                let what = "AddFilter: a primitive driver registers no filter";
                check.complain(entry.line, Rule::Filter, what);
            }
        }
        _ => {}
    }
    for entry in filters {
        added(check, entry);
    }
}

fn added(check: &mut Check, entry: &Entry) {
    let inf = check.inf;
    let name = check.field(entry, 0);
    let is_service = check
        .layout
        .entries(Part::Services, "AddService")
        .any(|added| same(added.field(0), &name));
    if !is_service {
        let what = format!("AddFilter names {name:?}, which no AddService adds");
        check.complain(entry.line, Rule::Filter, what);
    }
    if !matches!(check.field(entry, 1).as_str(), "" | "0") {
        check.complain(entry.line, Rule::Filter, "AddFilter takes no flags");
    }
    let section = check.field(entry, 2);
    let position = inf.value(&section, "FilterPosition");
    if !same(&position, "Lower") {
        let what = format!("FilterPosition in [{section}] is {position:?}, not Lower");
        check.complain(check.line_of(&section), Rule::Filter, what);
    }
    for line in inf.all(&section).flat_map(|it| it.all("FilterLevel")) {
        let what = "FilterLevel: the disk class's INF defines no levels";
        check.complain(line.line, Rule::Filter, what);
    }
}

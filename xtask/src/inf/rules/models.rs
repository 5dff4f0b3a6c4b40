//! Which machines and which disks.

use super::Check;
use crate::inf::{
    Rule,
    layout::{Kind, models_sections},
    parse::same,
};

/// Windows 10 version 2004: the first kernel with ExAllocatePool2, which the driver imports.
const LOWEST_BUILD: u32 = 19041;

/// System and architecture in decorations; stampinf writes the architecture for the variable.
const SYSTEMS: &[&str] = &["NT$ARCH$", "NTamd64", "NTarm64"];

/// Buses whose disks' hardware ids begin with a name of fixed length, and the lengths: without and with
/// the revision ("Identifiers for SCSI Devices", "Identifiers for IDE Devices").
const BUSES: &[(&str, &[usize])] = &[
    (r"SCSI\Disk", &[24, 28, 48, 56]),
    (r"USBSTOR\Disk", &[24, 28]),
    (r"IDE\Disk", &[40, 48]),
];

pub(super) fn check(check: &mut Check) {
    match check.layout.kind {
        Kind::Extension => manufacturer(check),
        Kind::Primitive => default_install(check),
        Kind::Other => {}
    }
    disks(check);
}

fn manufacturer(check: &mut Check) {
    let inf = check.inf;
    for entry in inf.all("Manufacturer").flat_map(|it| &it.entries) {
        if entry.fields.len() < 2 {
            check.complain(
                entry.line,
                Rule::Target,
                "no architecture and no lowest build",
            );
        }
        for target in entry.fields.iter().skip(1) {
            if let Err(what) = target_of(target) {
                check.complain(entry.line, Rule::Target, format!("{target}: {what}"));
            }
        }
        for name in models_sections(inf, entry) {
            if inf.section(&name).is_some_and(|it| it.entries.is_empty()) {
                check.complain(entry.line, Rule::Match, format!("[{name}] names no disk"));
            }
        }
    }
}

/// `NT$ARCH$.10.0...19041`, or one architecture in place of the variable.
fn target_of(target: &str) -> Result<(), String> {
    let fields: Vec<&str> = target.split('.').collect();
    let [system, major, minor, product, suite, build] = fields.as_slice() else {
        return Err(String::from("not NT$ARCH$.10.0...build"));
    };
    if !SYSTEMS.iter().any(|name| same(name, system)) {
        return Err(String::from("no architecture"));
    }
    if (*major, *minor, *product, *suite) != ("10", "0", "", "") {
        return Err(String::from("not Windows 10 of any edition"));
    }
    match build.parse::<u32>() {
        Ok(build) if build >= LOWEST_BUILD => Ok(()),
        _ => Err(format!(
            "the driver does not load below build {LOWEST_BUILD}"
        )),
    }
}

/// Only the architecture, but that always.
fn default_install(check: &mut Check) {
    let mut found = Vec::new();
    for (_, section) in &check.layout.parts {
        let name = &section.name;
        let mut fields = name.split('.').skip(1);
        let system = fields.next().unwrap_or_default();
        if !SYSTEMS.iter().any(|known| same(known, system)) {
            found.push((section.line, format!("[{name}] without an architecture")));
        } else if fields.any(|field| field.parse::<u32>().is_ok()) {
            let what =
                format!("[{name}]: Windows 10 may pass over a DefaultInstall with a version");
            found.push((section.line, what));
        }
    }
    for (line, what) in found {
        check.complain(line, Rule::Target, what);
    }
}

fn disks(check: &mut Check) {
    let mut found = Vec::new();
    for (section, entry) in &check.layout.models {
        let ids: Vec<&String> = entry.fields.iter().skip(1).collect();
        if ids.is_empty() {
            found.push((
                entry.line,
                format!("a line without a hardware id in [{}]", section.name),
            ));
        }
        for id in ids {
            let id = check.inf.expand(id);
            if let Err(what) = disk(&id) {
                found.push((entry.line, format!("{id}: {what}")));
            }
        }
    }
    for (line, what) in found {
        check.complain(line, Rule::Match, what);
    }
}

/// Whether a hardware id is that of one model of disk.
fn disk(id: &str) -> Result<(), &'static str> {
    let generic = ["GenDisk", "GenNvmeDisk", "DiskPeripheral", "*"];
    if generic.iter().any(|name| same(name, id)) {
        return Err("every disk has this id, the boot disk included");
    }
    if id.contains('*') || id.contains('{') {
        return Err("not the hardware id of a disk");
    }
    let bus = BUSES
        .iter()
        .find(|(head, _)| id.get(..head.len()).is_some_and(|it| same(it, head)));
    let Some((head, lengths)) = bus else {
        return Err("not a disk's: SCSI\\Disk, IDE\\Disk or USBSTOR\\Disk");
    };
    let name = &id[head.len()..];
    if name.contains(|it: char| it == ' ' || it == ',' || it.is_ascii_control()) {
        return Err("blanks and commas are underscores in hardware ids");
    }
    if name.chars().all(|it| it == '_') || name.len() <= 8 {
        return Err("all disks of a maker, not a model");
    }
    if !lengths.contains(&name.len()) {
        return Err("vendor and product do not have their fixed lengths");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_its_buses_length() {
        assert_eq!(disk(r"SCSI\DiskSEAGATE_ST39102LW_______"), Ok(()));
        assert_eq!(disk(r"SCSI\DiskSEAGATE_ST39102LW_______0004"), Ok(()));
        assert_eq!(
            disk(r"IDE\DiskMaxtor_91000D8__________________________"),
            Ok(())
        );
        assert!(disk(r"SCSI\DiskSEAGATE_ST39102LW______").is_err());
        assert!(disk(r"SCSI\DiskSEAGATE_").is_err());
        assert!(disk(r"SCSI\DiskSEAGATE_ST39102LW     _").is_err());
        assert!(disk(r"SCSI\Disk").is_err());
        assert!(disk("gendisk").is_err());
        assert!(disk(r"PCI\VEN_1AF4&DEV_1004").is_err());
        assert!(disk("{4d36e967-e325-11ce-bfc1-08002be10318}").is_err());
    }

    #[test]
    fn a_target_names_architecture_and_build() {
        assert_eq!(target_of("NT$ARCH$.10.0...19041"), Ok(()));
        assert_eq!(target_of("ntamd64.10.0...22000"), Ok(()));
        for wrong in [
            "NT$ARCH$",
            "NT.10.0...19041",
            "NT$ARCH$.10.0...18362",
            "NT$ARCH$.6.1...19041",
            "NT$ARCH$.10.0.3..19041",
        ] {
            assert!(target_of(wrong).is_err(), "{wrong}");
        }
    }
}

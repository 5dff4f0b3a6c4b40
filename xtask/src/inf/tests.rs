//! The project's own files keep every rule, and broken copies of them are caught, each by the rule it breaks.

use std::fs;

use super::{Rule, check};
use crate::run;

const ALL: &[Rule] = &[
    Rule::Encoding,
    Rule::Syntax,
    Rule::Section,
    Rule::String,
    Rule::Kind,
    Rule::Version,
    Rule::Target,
    Rule::Match,
    Rule::File,
    Rule::Service,
    Rule::Name,
    Rule::Filter,
    Rule::Wdf,
    Rule::Registry,
    Rule::Legacy,
];

const DISKS: &str = "driver.inx";
const CLASS: &str = "xfersplit-class.inx";

/// A broken copy: of which file, what is replaced by what, and the rule that must notice.
struct Broken(&'static str, &'static str, &'static str, Rule);

/// Each text to be replaced stands in its file once; an empty one means the end of the file.
const BROKEN: &[Broken] = &[
    // Encoding and syntax.
    Broken(
        DISKS,
        "xfersplit project",
        "xfersplit pro\u{e9}ct",
        Rule::Encoding,
    ),
    Broken(
        DISKS,
        "\"xfersplit project\"",
        "\"xfersplit project",
        Rule::Syntax,
    ),
    Broken(DISKS, "[Version]", "[Version", Rule::Syntax),
    Broken(DISKS, "[Version]", "stray = 1\n[Version]", Rule::Syntax),
    // Sections that are named and sections that exist.
    Broken(
        DISKS,
        "[Xfersplit_CopyFiles]",
        "[Xfersplit_Copy]",
        Rule::Section,
    ),
    Broken(
        DISKS,
        "[Xfersplit_Service]",
        "[Xfersplit_Srvice]",
        Rule::Section,
    ),
    Broken(
        DISKS,
        "[Xfersplit_Filter]",
        "[Xfersplit_Filter2]",
        Rule::Section,
    ),
    Broken(
        DISKS,
        "[Xfersplit_Install.NT.Filters]",
        "[Xfersplit_Install.NT.Filter]",
        Rule::Section,
    ),
    Broken(
        DISKS,
        "[Xfersplit_Install.NT.Services]",
        "[Xfersplit_Instal.NT.Services]",
        Rule::Section,
    ),
    Broken(
        DISKS,
        "[Xfersplit_Install.NT]",
        "[Xfersplit.NT]",
        Rule::Section,
    ),
    Broken(
        DISKS,
        "[Disks.NT$ARCH$.10.0...19041]",
        "[Disks.NT$ARCH$]",
        Rule::Section,
    ),
    Broken(
        DISKS,
        "",
        "[Xfersplit_Filter]\nFilterPosition = Lower\n",
        Rule::Section,
    ),
    Broken(CLASS, "[Xfersplit_Wdf]", "[Wdf]", Rule::Section),
    // Strings.
    Broken(
        DISKS,
        "Provider           = ",
        "Provder           = ",
        Rule::String,
    ),
    Broken(DISKS, "", "Spare = \"never used\"\n", Rule::String),
    Broken(DISKS, "", "Provider = \"again\"\n", Rule::String),
    Broken(
        CLASS,
        "= %ServiceDescription%",
        "= %ServiceDescripton%",
        Rule::String,
    ),
    // One kind, and only that.
    Broken(
        DISKS,
        "Class       = Extension",
        "Class       = DiskDrive",
        Rule::Kind,
    ),
    Broken(
        DISKS,
        "[Strings]",
        "[DefaultInstall.NT$ARCH$]\nCopyFiles = Xfersplit_CopyFiles\n[Strings]",
        Rule::Kind,
    ),
    Broken(CLASS, "[Strings]", "[Manufacturer]\n[Strings]", Rule::Kind),
    Broken(
        CLASS,
        "[Strings]",
        "[DefaultUninstall.NT$ARCH$]\n[Strings]",
        Rule::Kind,
    ),
    // [Version].
    Broken(DISKS, "$WINDOWS NT$", "$WINDOWS$", Rule::Version),
    Broken(
        DISKS,
        "{e2f84ce7-8efa-411c-aa69-97454ca4cb57}",
        "{4d36e967-e325-11ce-bfc1-08002be10318}",
        Rule::Version,
    ),
    Broken(
        DISKS,
        "ExtensionId = {8ec0389b-9634-49da-894a-edcf0cb6b992}",
        "",
        Rule::Version,
    ),
    Broken(
        DISKS,
        "{8ec0389b-9634-49da-894a-edcf0cb6b992}",
        "{aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa}",
        Rule::Version,
    ),
    Broken(
        DISKS,
        "{8ec0389b-9634-49da-894a-edcf0cb6b992}",
        "8ec0389b-9634-49da-894a-edcf0cb6b992",
        Rule::Version,
    ),
    Broken(DISKS, "Provider    = %Provider%", "", Rule::Version),
    Broken(DISKS, "CatalogFile = xfersplit.cat", "", Rule::Version),
    Broken(
        DISKS,
        "CatalogFile = xfersplit.cat",
        "CatalogFile = xfersplit.sys",
        Rule::Version,
    ),
    Broken(
        DISKS,
        "01/01/2026,0.1.0.0",
        "2026-01-01,0.1.0.0",
        Rule::Version,
    ),
    Broken(DISKS, "01/01/2026,0.1.0.0", "01/01/2026,0.1", Rule::Version),
    Broken(DISKS, "PnpLockdown = 1", "PnpLockdown = 0", Rule::Version),
    Broken(CLASS, "PnpLockdown = 1", "", Rule::Version),
    Broken(CLASS, "Class       = DiskDrive", "", Rule::Version),
    Broken(
        CLASS,
        "PnpLockdown = 1",
        "PnpLockdown = 1\nExtensionId = {8ec0389b-9634-49da-894a-edcf0cb6b992}",
        Rule::Version,
    ),
    // Architecture and lowest build.
    Broken(
        DISKS,
        "= Disks,NT$ARCH$.10.0...19041",
        "= Disks",
        Rule::Target,
    ),
    Broken(
        DISKS,
        "= Disks,NT$ARCH$.10.0...19041",
        "= Disks,NT$ARCH$.10.0...18362",
        Rule::Target,
    ),
    Broken(
        DISKS,
        "= Disks,NT$ARCH$.10.0...19041",
        "= Disks,NT$ARCH$",
        Rule::Target,
    ),
    Broken(
        DISKS,
        "= Disks,NT$ARCH$.10.0...19041",
        "= Disks,NT.10.0...19041",
        Rule::Target,
    ),
    Broken(
        CLASS,
        "[DefaultInstall.NT$ARCH$]",
        "[DefaultInstall]",
        Rule::Target,
    ),
    Broken(
        CLASS,
        "[DefaultInstall.NT$ARCH$.Wdf]",
        "[DefaultInstall.Wdf]",
        Rule::Target,
    ),
    Broken(
        CLASS,
        "[DefaultInstall.NT$ARCH$]",
        "[DefaultInstall.NT$ARCH$.10.0...19041]",
        Rule::Target,
    ),
    // Only named disks.
    Broken(
        DISKS,
        r"SCSI\DiskXFSPLIT_TESTDISK________",
        "GenDisk",
        Rule::Match,
    ),
    Broken(
        DISKS,
        r"SCSI\DiskXFSPLIT_TESTDISK________",
        r"SCSI\Disk",
        Rule::Match,
    ),
    Broken(
        DISKS,
        r"SCSI\DiskXFSPLIT_TESTDISK________",
        r"SCSI\DiskXFSPLIT_",
        Rule::Match,
    ),
    Broken(
        DISKS,
        r"SCSI\DiskXFSPLIT_TESTDISK________",
        r"SCSI\DiskXFSPLIT_TESTDISK_______",
        Rule::Match,
    ),
    Broken(
        DISKS,
        r"SCSI\DiskXFSPLIT_TESTDISK________",
        "{4d36e967-e325-11ce-bfc1-08002be10318}",
        Rule::Match,
    ),
    Broken(
        DISKS,
        r"SCSI\DiskXFSPLIT_TESTDISK________",
        r"PCI\VEN_1AF4&DEV_1004",
        Rule::Match,
    ),
    Broken(
        DISKS,
        r", SCSI\DiskXFSPLIT_TESTDISK________",
        "",
        Rule::Match,
    ),
    // The file.
    Broken(
        DISKS,
        "DefaultDestDir = 13",
        "DefaultDestDir = 12",
        Rule::File,
    ),
    Broken(
        DISKS,
        "[DestinationDirs]",
        "[DestinationDirs]\nXfersplit_CopyFiles = 13,below",
        Rule::File,
    ),
    Broken(
        DISKS,
        r"%13%\xfersplit.sys",
        r"%12%\xfersplit.sys",
        Rule::File,
    ),
    Broken(
        DISKS,
        "xfersplit.sys = 1,,",
        "xfersplit.sys = 2,,",
        Rule::File,
    ),
    Broken(DISKS, "xfersplit.sys = 1,,", "", Rule::File),
    Broken(DISKS, "CopyFiles = Xfersplit_CopyFiles", "", Rule::File),
    Broken(
        DISKS,
        "[Xfersplit_CopyFiles]\nxfersplit.sys",
        "[Xfersplit_CopyFiles]\nxfersplit.sys,split.sys",
        Rule::File,
    ),
    Broken(
        CLASS,
        "[Xfersplit_CopyFiles]\nxfersplit.sys",
        "[Xfersplit_CopyFiles]\nother.sys",
        Rule::File,
    ),
    // The service.
    Broken(
        DISKS,
        "AddService = xfersplit,,",
        "AddService = xfersplit,0x00000002,",
        Rule::Service,
    ),
    Broken(
        DISKS,
        "AddService = xfersplit,,",
        "AddService = xfersplit,2,",
        Rule::Service,
    ),
    Broken(
        DISKS,
        "AddService = xfersplit,,",
        "AddService = xfersplit,%Disk%,",
        Rule::Service,
    ),
    Broken(
        DISKS,
        "AddService = xfersplit,,Xfersplit_Service",
        "",
        Rule::Service,
    ),
    Broken(
        DISKS,
        "StartType      = 0",
        "StartType      = 3",
        Rule::Service,
    ),
    Broken(
        DISKS,
        "ErrorControl   = 1",
        "ErrorControl   = 3",
        Rule::Service,
    ),
    Broken(
        DISKS,
        "ServiceType    = 1",
        "ServiceType    = 2",
        Rule::Service,
    ),
    Broken(DISKS, "LoadOrderGroup = PnP Filter", "", Rule::Service),
    Broken(
        CLASS,
        "StartType      = 0",
        "StartType      = 1",
        Rule::Service,
    ),
    Broken(
        CLASS,
        r"ServiceBinary  = %13%\xfersplit.sys",
        "",
        Rule::Service,
    ),
    // One name.
    Broken(
        DISKS,
        "AddService = xfersplit,,",
        "AddService = Xfersplit2,,",
        Rule::Name,
    ),
    Broken(CLASS, r"%13%\xfersplit.sys", r"%13%\split.sys", Rule::Name),
    // The filter.
    Broken(
        DISKS,
        "FilterPosition = Lower",
        "FilterPosition = Upper",
        Rule::Filter,
    ),
    Broken(
        DISKS,
        "FilterPosition = Lower",
        "FilterLevel = Encryption",
        Rule::Filter,
    ),
    Broken(
        DISKS,
        "AddFilter = xfersplit,,",
        "AddFilter = other,,",
        Rule::Filter,
    ),
    Broken(
        DISKS,
        "AddFilter = xfersplit,,",
        "AddFilter = xfersplit,1,",
        Rule::Filter,
    ),
    Broken(
        DISKS,
        "AddFilter = xfersplit,,Xfersplit_Filter",
        "",
        Rule::Filter,
    ),
    Broken(
        DISKS,
        "[Strings]",
        "[Xfersplit_Install.NT.HW]\nAddReg = L\n[L]\nHKR,,LowerFilters,0x00010000,xfersplit\n[Strings]",
        Rule::Filter,
    ),
    Broken(
        CLASS,
        "CopyFiles = Xfersplit_CopyFiles",
        "CopyFiles = Xfersplit_CopyFiles\nAddReg = L\n[L]\nHKR,,UpperFilters,0x00010008,xfersplit",
        Rule::Filter,
    ),
    Broken(
        CLASS,
        "[Strings]",
        "[DefaultInstall.NT$ARCH$.Filters]\nAddFilter = xfersplit,,F\n[F]\nFilterPosition = Lower\n[Strings]",
        Rule::Filter,
    ),
    // The framework.
    Broken(DISKS, "$KMDFVERSION$", "1.33", Rule::Wdf),
    Broken(
        DISKS,
        "KmdfService = xfersplit,",
        "KmdfService = other,",
        Rule::Wdf,
    ),
    Broken(
        CLASS,
        "[DefaultInstall.NT$ARCH$.Wdf]\nKmdfService = xfersplit,Xfersplit_Wdf",
        "",
        Rule::Wdf,
    ),
    // The registry.
    Broken(
        DISKS,
        "[Strings]",
        "[Xfersplit_Install.NT.HW]\nAddReg = S\n[S]\nHKLM,SOFTWARE\\xfersplit,Window,0x00010001,4\n[Strings]",
        Rule::Registry,
    ),
    Broken(
        CLASS,
        "DisplayName    =",
        "AddReg = S\nDisplayName    =",
        Rule::Section,
    ),
    Broken(
        CLASS,
        "LoadOrderGroup = PnP Filter",
        "LoadOrderGroup = PnP Filter\nAddReg = S\n[S]\nHKCR,Parameters,Window,0x00010001,4",
        Rule::Registry,
    ),
    // What is gone.
    Broken(
        DISKS,
        "[Strings]",
        "[Xfersplit_Install.NT.CoInstallers]\nAddReg = C\n[C]\nHKR,,CoInstallers32,0x00010000,x.dll\n[Strings]",
        Rule::Legacy,
    ),
    Broken(
        DISKS,
        "CopyFiles = Xfersplit_CopyFiles",
        "CopyFiles = Xfersplit_CopyFiles\nDelFiles = Old",
        Rule::Legacy,
    ),
    Broken(
        DISKS,
        "CopyFiles = Xfersplit_CopyFiles",
        "CopyFiles = Xfersplit_CopyFiles\nRegisterDlls = Old",
        Rule::Legacy,
    ),
];

fn text_of(name: &str) -> String {
    fs::read_to_string(run::root().join(name)).expect("the project's own file")
}

fn broken_text(broken: &Broken) -> String {
    let Broken(name, from, to, _) = broken;
    let text = text_of(name);
    if from.is_empty() {
        return text + to;
    }
    assert_eq!(text.matches(from).count(), 1, "{from:?} in {name}");
    text.replace(from, to)
}

#[test]
fn the_projects_own_files_keep_every_rule() {
    for name in [DISKS, CLASS] {
        let complaints = check(text_of(name).as_bytes());
        assert!(complaints.is_empty(), "{name}: {complaints:#?}");
    }
}

#[test]
fn every_broken_copy_is_caught_by_its_rule() {
    for broken in BROKEN {
        let Broken(name, from, to, rule) = broken;
        let complaints = check(broken_text(broken).as_bytes());
        assert!(
            complaints.iter().any(|complaint| complaint.rule == *rule),
            "{name}: {from:?} -> {to:?} is not caught by {rule}: {complaints:#?}"
        );
    }
}

#[test]
fn every_rule_has_broken_copies() {
    for rule in ALL {
        assert!(BROKEN.iter().any(|broken| broken.3 == *rule), "{rule}");
    }
}

#[test]
fn a_complaint_names_its_line() {
    let text = text_of(DISKS).replace("StartType      = 0", "StartType      = 3");
    let line = text.lines().position(|line| line.starts_with("StartType"));
    let complaints = check(text.as_bytes());
    let [complaint] = complaints.as_slice() else {
        panic!("{complaints:#?}");
    };
    assert_eq!(Some(complaint.line), line.map(|index| index + 1));
    assert!(complaint.what.contains("\"3\""), "{}", complaint.what);
    assert_eq!(complaint.rule.to_string(), "service");
}

#[test]
fn settings_that_an_inf_brings_along_are_allowed() {
    let lines = "[Xfersplit_Install.NT.HW]\nAddReg = Xfersplit_Settings\n[Xfersplit_Settings]\n\
                 HKR,Xfersplit,MaximumTransferLength,0x00010001,0x00010000\n\
                 HKR,,LowerFilters,0x00010008,other\n[Strings]";
    let text = text_of(DISKS).replace("[Strings]", lines);
    let complaints = check(text.as_bytes());
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn files_as_stampinf_leaves_them_keep_the_rules() {
    for name in [DISKS, CLASS] {
        let text = text_of(name)
            .replace("$ARCH$", "amd64")
            .replace("$KMDFVERSION$", "1.15")
            .replace("01/01/2026,0.1.0.0", "11/21/2026,14.3.59.812")
            .replace('\n', "\r\n");
        let complaints = check(text.as_bytes());
        assert!(complaints.is_empty(), "{name}: {complaints:#?}");
    }
}

#[test]
fn other_encodings_are_refused_before_anything_else() {
    let text = text_of(DISKS);
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases = [
        [b"\xFF\xFE".as_slice(), &wide].concat(),
        [b"\xEF\xBB\xBF", text.as_bytes()].concat(),
        [text.as_bytes(), b"\n\xE9"].concat(),
    ];
    for bytes in cases {
        let complaints = check(&bytes);
        assert_eq!(complaints.len(), 1, "{complaints:#?}");
        assert_eq!(complaints[0].rule, Rule::Encoding);
    }
}

#[test]
fn an_empty_file_is_no_driver_package() {
    let rules: Vec<Rule> = check(b"").iter().map(|it| it.rule).collect();
    for rule in [Rule::Kind, Rule::Version, Rule::File] {
        assert!(rules.contains(&rule), "{rule}: {rules:?}");
    }
}

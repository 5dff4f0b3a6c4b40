//! What the sections of an INF are to Windows: which one installs, which one names services, and so on.
//!
//! Windows finds its way from `[Manufacturer]` or `[DefaultInstall]` by names: `[Base.NTamd64.Services]`
//! belongs to the install section `Base`. A section that no name leads to is silently not there.

use super::parse::{Entry, Inf, Section, same};

/// What an INF installs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// An addition to devices that another INF installs (`Class=Extension`).
    Extension,
    /// A service without a device (`[DefaultInstall]`).
    Primitive,
    /// Anything else.
    Other,
}

/// What a section of an installation is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Install,
    Hardware,
    Services,
    Filters,
    Wdf,
    CoInstallers,
}

/// Suffixes of install sections.
const PARTS: &[(&str, Part)] = &[
    ("HW", Part::Hardware),
    ("Services", Part::Services),
    ("Filters", Part::Filters),
    ("Wdf", Part::Wdf),
    ("CoInstallers", Part::CoInstallers),
];

/// Architectures in decorations. stampinf writes one of them for `$ARCH$`.
const ARCHITECTURES: &[&str] = &["", "$ARCH$", "amd64", "arm64", "arm", "x86", "ia64"];

/// Sections that Windows knows by name.
const KNOWN: &[&str] = &[
    "Version",
    "Strings",
    "DestinationDirs",
    "SourceDisksNames",
    "SourceDisksFiles",
    "Manufacturer",
];

/// A line that names a section.
pub(super) struct Reference {
    pub(super) line: usize,
    pub(super) by: String,
    pub(super) name: String,
}

/// The sections of an INF in their parts.
pub(super) struct Layout<'a> {
    pub(super) kind: Kind,
    /// Model lines, each with its section.
    pub(super) models: Vec<(&'a Section, &'a Entry)>,
    /// Sections of the installation.
    pub(super) parts: Vec<(Part, &'a Section)>,
    /// References to sections that must exist.
    pub(super) references: Vec<Reference>,
}

impl<'a> Layout<'a> {
    pub(super) fn of(inf: &'a Inf) -> Self {
        let mut layout = Self {
            kind: kind(inf),
            models: Vec::new(),
            parts: Vec::new(),
            references: Vec::new(),
        };
        layout.follow_manufacturer(inf);
        let mut bases: Vec<(usize, String)> = layout
            .models
            .iter()
            .map(|(_, entry)| (entry.line, inf.expand(entry.field(0))))
            .collect();
        bases.push((0, String::from("DefaultInstall")));
        for (line, base) in bases {
            layout.follow_install(inf, line, &base);
        }
        layout.follow_directives(inf);
        layout
    }

    /// Entries with this key in sections of this part.
    pub(super) fn entries(&self, part: Part, key: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.parts
            .iter()
            .filter(move |(own, _)| *own == part)
            .flat_map(move |(_, section)| section.all(key))
    }

    /// Whether something leads Windows to this section.
    pub(super) fn reaches(&self, section: &Section) -> bool {
        let name = &section.name;
        KNOWN.iter().any(|known| same(known, name))
            || self.parts.iter().any(|(_, part)| same(&part.name, name))
            || self.references.iter().any(|it| same(&it.name, name))
    }

    fn follow_manufacturer(&mut self, inf: &'a Inf) {
        let manufacturers = inf.all("Manufacturer").flat_map(|it| &it.entries);
        for entry in manufacturers {
            for name in models_sections(inf, entry) {
                for section in inf.all(&name) {
                    let lines = section.entries.iter();
                    self.models.extend(lines.map(|entry| (section, entry)));
                }
                self.refer(entry.line, "Manufacturer", name);
            }
        }
    }

    fn follow_install(&mut self, inf: &'a Inf, line: usize, base: &str) {
        let mut installs = 0;
        for section in &inf.sections {
            let Some(part) = part(&section.name, base) else {
                continue;
            };
            installs += usize::from(part == Part::Install);
            if !self.parts.iter().any(|(_, it)| it.line == section.line) {
                self.parts.push((part, section));
            }
        }
        if installs == 0 && line > 0 {
            self.refer(line, "the model line", base.to_owned());
        }
    }

    /// Directives that name sections, in the sections found so far.
    fn follow_directives(&mut self, inf: &'a Inf) {
        let mut found = Vec::new();
        for (part, section) in &self.parts {
            for entry in &section.entries {
                let Some(key) = &entry.key else { continue };
                for name in named_sections(*part, key, entry) {
                    found.push((entry.line, key.clone(), inf.expand(name)));
                }
            }
        }
        for (line, by, name) in found {
            for section in inf.all(&name) {
                for key in ["AddReg", "DelReg"] {
                    for entry in section.all(key) {
                        for field in &entry.fields {
                            self.refer(entry.line, key, inf.expand(field));
                        }
                    }
                }
            }
            self.refer(line, &by, name);
        }
    }

    fn refer(&mut self, line: usize, by: &str, name: String) {
        self.references.push(Reference {
            line,
            by: by.to_owned(),
            name,
        });
    }
}

/// Sections that a directive of an install section (or one of its parts) names.
fn named_sections<'a>(part: Part, key: &str, entry: &'a Entry) -> Vec<&'a str> {
    let fields: Vec<&str> = match part {
        Part::Services if same(key, "AddService") => vec![entry.field(2), entry.field(3)],
        Part::Filters if same(key, "AddFilter") => vec![entry.field(2)],
        Part::Wdf if same(key, "KmdfService") => vec![entry.field(1)],
        Part::Install | Part::Hardware | Part::CoInstallers
            if ["CopyFiles", "AddReg", "DelReg"]
                .iter()
                .any(|directive| same(key, directive)) =>
        {
            entry.fields.iter().map(String::as_str).collect()
        }
        _ => Vec::new(),
    };
    // CopyFiles names a file with `@`.
    fields
        .into_iter()
        .filter(|name| !name.is_empty() && !name.starts_with('@'))
        .collect()
}

/// The sections of models that a line of `[Manufacturer]` leads to.
pub(super) fn models_sections(inf: &Inf, entry: &Entry) -> Vec<String> {
    let base = inf.expand(entry.field(0));
    let targets = entry.fields.get(1..).unwrap_or_default();
    if targets.is_empty() {
        return vec![base];
    }
    targets
        .iter()
        .map(|target| format!("{base}.{target}"))
        .collect()
}

fn kind(inf: &Inf) -> Kind {
    let installs_itself = inf
        .sections
        .iter()
        .any(|section| part(&section.name, "DefaultInstall") == Some(Part::Install));
    if same(&inf.value("Version", "Class"), "Extension") {
        Kind::Extension
    } else if installs_itself {
        Kind::Primitive
    } else {
        Kind::Other
    }
}

/// What a section is to the installation `base`: `base`, `base.NT...`, `base.HW`, `base.NT....HW`.
fn part(name: &str, base: &str) -> Option<Part> {
    let rest = name
        .get(..base.len())
        .filter(|head| same(head, base))
        .map(|_| &name[base.len()..])?;
    if rest.is_empty() {
        return Some(Part::Install);
    }
    let rest = rest.strip_prefix('.')?;
    let (decoration, last) = rest.rsplit_once('.').unwrap_or(("", rest));
    match PARTS.iter().find(|(suffix, _)| same(suffix, last)) {
        Some((_, part)) => (decoration.is_empty() || is_target(decoration)).then_some(*part),
        None => is_target(rest).then_some(Part::Install),
    }
}

/// Whether a text is a decoration: `NT`, an architecture, numbers of a version (TargetOSVersion).
fn is_target(text: &str) -> bool {
    let mut fields = text.split('.');
    let system = fields.next().unwrap_or_default();
    let architecture = system
        .get(..2)
        .filter(|head| same(head, "NT"))
        .map(|_| &system[2..]);
    architecture.is_some_and(|own| ARCHITECTURES.iter().any(|known| same(known, own)))
        && fields.all(|field| field.is_empty() || field.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_section_is_for() {
        assert_eq!(part("X", "x"), Some(Part::Install));
        assert_eq!(part("X.NT$ARCH$.10.0...19041", "X"), Some(Part::Install));
        assert_eq!(part("X.NTamd64.Services", "X"), Some(Part::Services));
        assert_eq!(part("X.hw", "X"), Some(Part::Hardware));
        assert_eq!(part("X.NT.Wdf", "X"), Some(Part::Wdf));
        assert_eq!(part("X.NT.Filter", "X"), None);
        assert_eq!(part("X.Filter", "X"), None);
        assert_eq!(part("X2.NT", "X"), None);
    }

    #[test]
    fn a_manufacturer_leads_to_its_decorated_sections() {
        let inf = Inf::read("[Manufacturer]\n%P% = Disks,NTamd64,NTarm64\n%Q% = Plain\n");
        let entries = &inf.sections[0].entries;
        let names = models_sections(&inf, &entries[0]);
        assert_eq!(names, ["Disks.NTamd64", "Disks.NTarm64"]);
        assert_eq!(models_sections(&inf, &entries[1]), ["Plain"]);
    }
}

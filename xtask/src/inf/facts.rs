//! What an INF says about the binary that it installs.

use super::{
    layout::{Layout, Part, models_sections},
    parse::Inf,
};

/// What has to agree with the binary.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Facts {
    /// The service that is added.
    pub(crate) service: String,
    /// The name of its file, without the folder.
    pub(crate) binary: String,
    /// The framework version that Windows is told.
    pub(crate) framework: String,
    /// The lowest build in a decoration; `None` where none names a build.
    pub(crate) build: Option<u32>,
    /// The architectures of its models or its installation.
    pub(crate) architectures: Vec<String>,
}

impl Facts {
    /// Reads them off an INF's text.
    pub(crate) fn of(text: &str) -> Self {
        let inf = Inf::read(text);
        let layout = Layout::of(&inf);
        let mut facts = Self {
            service: String::new(),
            binary: String::new(),
            framework: String::new(),
            build: None,
            architectures: Vec::new(),
        };
        if let Some(entry) = layout.entries(Part::Services, "AddService").next() {
            facts.service = inf.expand(entry.field(0));
            let path = inf.value(&inf.expand(entry.field(2)), "ServiceBinary");
            facts.binary = path
                .rsplit('\\')
                .next()
                .map_or_else(String::new, String::from);
        }
        if let Some(entry) = layout.entries(Part::Wdf, "KmdfService").next() {
            facts.framework = inf.value(&inf.expand(entry.field(1)), "KmdfLibraryVersion");
        }
        for target in targets(&inf) {
            let mut fields = target.split('.');
            let system = fields.next().unwrap_or_default();
            facts
                .architectures
                .push(system.get(2..).unwrap_or_default().to_owned());
            // NTArchitecture.Major.Minor.ProductType.SuiteMask.Build
            let build = fields.nth(4).and_then(|build| build.parse().ok());
            facts.build = match (facts.build, build) {
                (Some(one), Some(other)) => Some(u32::min(one, other)),
                (one, other) => one.or(other),
            };
        }
        facts
    }
}

/// The decorations of an INF's models, or of its own installation.
fn targets(inf: &Inf) -> Vec<String> {
    let manufacturers = inf.all("Manufacturer").flat_map(|section| &section.entries);
    let models = manufacturers.flat_map(|entry| models_sections(inf, entry));
    let installs = inf.sections.iter().map(|section| section.name.clone());
    let installs = installs.filter(|name| name.starts_with("DefaultInstall."));
    models
        .chain(installs)
        .filter_map(|name| name.split_once('.').map(|(_, target)| target.to_owned()))
        .filter(|target| !target.ends_with(".Services") && !target.ends_with(".Wdf"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::run;

    fn facts(name: &str) -> Facts {
        Facts::of(&fs::read_to_string(run::root().join(name)).expect("an INF"))
    }

    #[test]
    fn the_own_files_say_what_they_install() {
        let disks = facts("driver.inx");
        assert_eq!(disks.service, "xfersplit");
        assert_eq!(disks.binary, "xfersplit.sys");
        assert_eq!(disks.framework, "$KMDFVERSION$");
        assert_eq!(disks.build, Some(19041));
        assert_eq!(disks.architectures, ["$ARCH$"]);
        let class = facts("xfersplit-class.inx");
        assert_eq!(class.build, None);
        assert_eq!(class.architectures, ["$ARCH$"]);
        assert_eq!((class.service, class.binary), (disks.service, disks.binary));
    }
}

//! The drivers that this project builds for Windows.

use std::path::PathBuf;

/// A package whose library is a driver.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) package: &'static str,
    /// The environment variable that names the image to the package's scenarios (`ntsim::pe`).
    pub(crate) variable: &'static str,
    /// The library's name, and the image's. `.sys` behind it is the file.
    pub(crate) name: &'static str,
}

/// The filter: what is installed.
pub(crate) const FILTER: &Driver = &Driver {
    package: "xfersplit",
    variable: "XFERSPLIT_DRIVER",
    name: "xfersplit",
};

/// The driver at the top of a stack (drivers/highest): built because its exceptions exist in a binary only.
pub(crate) const HIGHEST: &Driver = &Driver {
    package: "xfersplit-highest",
    variable: "XFERSPLIT_HIGHEST_DRIVER",
    name: "highest",
};

/// All of them.
pub(crate) const DRIVERS: [&Driver; 2] = [FILTER, HIGHEST];

impl Driver {
    /// The image that `cargo xtask sys` makes.
    pub(crate) fn image(&self) -> PathBuf {
        super::folder().join(self.file("sys"))
    }

    pub(super) fn file(&self, extension: &str) -> String {
        format!("{}.{extension}", self.name)
    }
}

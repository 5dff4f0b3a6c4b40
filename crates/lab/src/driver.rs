//! Which driver the lab runs: the one place to choose it.

use std::path::Path;

use ntsim::pe::LoadError;
use ntsim::pnp::Driver;

use crate::error::{Error, Result};

/// The service of the driver.
const NAME: &str = "xfersplit";

/// The driver under test, made from this workspace's sources.
pub fn xfersplit() -> Driver {
    Driver::linked(NAME, xfersplit::driver_entry)
}

/// The driver under test: a binary, where one is named, else the workspace's sources.
///
/// # Errors
/// The file is no driver that can be loaded.
pub fn chosen(binary: Option<&Path>) -> Result<Driver> {
    let Some(path) = binary else {
        return Ok(xfersplit());
    };
    Driver::binary(NAME, path).map_err(|error| match error {
        LoadError::File { reason, .. } => Error::file(path, reason),
        other => Error::file(path, other.to_string()),
    })
}

//! Hosts on which no image can run: what is asked there has one answer.

use std::convert::Infallible;
use std::sync::Arc;

use super::Binary;
use super::error::LoadError;
use super::file::Import;
use crate::abi::{
    NTSTATUS, PCUNICODE_STRING, PDRIVER_OBJECT, PWDF_DRIVER_GLOBALS, STATUS_NOT_SUPPORTED,
};

/// An image in memory; there is none on this host.
#[derive(Debug)]
pub struct Image(Infallible);

impl Image {
    pub(super) fn map(_: &Arc<str>, _: &Binary) -> Result<Self, LoadError> {
        Err(LoadError::Host)
    }

    /// Where it begins.
    #[must_use]
    pub fn base(&self) -> usize {
        match self.0 {}
    }

    /// Bytes of the image.
    #[must_use]
    pub fn size(&self) -> usize {
        match self.0 {}
    }

    /// The address of its entry point.
    #[must_use]
    pub fn entry(&self) -> usize {
        match self.0 {}
    }
}

pub(super) fn resolve(_: &[Import]) -> Result<Vec<usize>, LoadError> {
    Err(LoadError::Host)
}

pub(crate) unsafe fn start(_: &Binary, _: PDRIVER_OBJECT, _: PCUNICODE_STRING) -> NTSTATUS {
    STATUS_NOT_SUPPORTED
}

pub(crate) fn forget(_: PDRIVER_OBJECT) {}

pub(crate) unsafe fn adapt(_: PDRIVER_OBJECT) {}

pub(crate) fn bound_globals(_: PDRIVER_OBJECT) -> Option<PWDF_DRIVER_GLOBALS> {
    None
}

//! On Windows the WDK's link settings come from wdk-build; elsewhere the driver is linked into its tests.

/// Emits what the WDK wants of the linker.
#[cfg(windows)]
fn main() -> Result<(), wdk_build::ConfigError> {
    wdk_build::configure_wdk_binary_build()
}

/// Nothing to configure: the simulated kernel answers the driver's imports.
#[cfg(not(windows))]
fn main() {}

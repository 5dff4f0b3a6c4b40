//! For Windows: compiles the guarded frame, and emits what the WDK wants of the linker. Elsewhere the simulated
//! kernel has both functions of `guard.c`, and the driver is linked into its tests.

use std::env;

/// Compiles `guard.c` when the target has Microsoft's structured exceptions.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=guard.c");
    let target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") == "windows" && target("ENV") == "msvc" {
        cc::Build::new().file("guard.c").try_compile("guard")?;
    }
    #[cfg(windows)]
    wdk_build::configure_wdk_binary_build()?;
    Ok(())
}

//! The core's schemes of atomics under loom.

use crate::run::{self, Outcome};

/// Runs the model checks. They need a build of their own: under `cfg(loom)` the core's atomics are
/// loom's.
pub(crate) fn run() -> Outcome {
    let tests = [
        "test",
        "--release",
        "--package",
        "xfersplit-core",
        "--test",
        "loom_pump",
        "--test",
        "loom_recall",
    ];
    run::check(
        run::cargo(None, &tests)
            .env("RUSTFLAGS", "--cfg loom")
            .env("CARGO_TARGET_DIR", "target/loom"),
    )
}

//! Which driver the lab runs: the one place to choose it.

use ntsim::pnp::Driver;

/// The driver under test, made from this workspace's sources.
pub fn xfersplit() -> Driver {
    Driver::linked("xfersplit", xfersplit::driver_entry)
}

//! A device for which the system has no map registers does not start, says why, and leaves nothing.

mod common;

use common::{assert_sound, logged, world};
use ntsim::abi::STATUS_INSUFFICIENT_RESOURCES;

#[test]
fn without_map_registers_or_without_an_adapter() {
    for world in [world().map_registers(0), world().no_adapter()] {
        let (started, report) = world
            .try_run(|_| ())
            .unwrap_or_else(|bug_check| panic!("{bug_check}"));
        assert_eq!(started, Err(STATUS_INSUFFICIENT_RESOURCES));
        assert_eq!(
            logged(&report, "no map registers").len(),
            1,
            "{:#?}",
            report.debug_log
        );
        assert_sound(&report);
    }
}

#[test]
fn with_a_single_one_there_is_a_device() {
    let (started, _) = world()
        .map_registers(1)
        .try_run(|_| ())
        .unwrap_or_else(|bug_check| panic!("{bug_check}"));
    assert_eq!(started, Ok(()));
}

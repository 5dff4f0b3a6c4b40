//! A slice of the long random proof, small enough for every test run.

use lab::driver;
use lab::soak::{self, Plan};

#[test]
fn a_slice_of_the_soak_finds_nothing_wrong() {
    let plan = Plan {
        driver: driver::xfersplit(),
        seed: 20_261,
        first: 0,
        worlds: 160,
        per_world: 120,
        jobs: 2,
    };
    let coverage = soak::run(&plan, &|_| {}).unwrap_or_else(|failure| {
        panic!("{failure}\nto repeat it: {}", failure.command());
    });
    assert!(
        coverage.requests >= 10_000,
        "{} requests",
        coverage.requests
    );
    assert!(
        coverage.judged > coverage.requests / 2,
        "{} judged",
        coverage.judged
    );
    // Every kind of stack with both formats of request blocks, every word to a class driver, every fault.
    let missing = coverage.missing(1);
    assert!(missing.is_empty(), "never seen: {missing:?}");
}

#[test]
fn the_same_world_is_the_same_every_time() {
    let run = |world| {
        let coverage = soak::run_world(&driver::xfersplit(), 5, world, 100);
        coverage.unwrap_or_else(|failure| panic!("{failure}"))
    };
    for world in 7..12 {
        let (once, again) = (run(world), run(world));
        assert_eq!(once.to_json(), again.to_json(), "world {world}");
    }
}

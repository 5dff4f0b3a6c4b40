//! A slice of the long random proof, small enough for every test run.

use lab::soak::{self, Plan};

#[test]
fn a_slice_of_the_soak_finds_nothing_wrong() {
    let plan = Plan {
        seed: 20_261,
        first: 0,
        worlds: 60,
        per_world: 200,
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
    let missing = coverage.missing(1);
    assert!(missing.is_empty(), "never seen: {missing:?}");
}

#[test]
fn the_same_world_is_the_same_every_time() {
    let once = soak::run_world(5, 7, 100).unwrap_or_else(|failure| panic!("{failure}"));
    let again = soak::run_world(5, 7, 100).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(once.to_json(), again.to_json());
}

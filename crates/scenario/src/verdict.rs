//! How requests and whole worlds ended.

use std::fmt::Debug;

use ntsim::abi::STATUS_PENDING;
use ntsim::{BugCheck, Done, Report};

/// A value with the case that it belongs to, for messages.
#[track_caller]
pub fn check<T: PartialEq + Debug>(case: impl Debug, found: &T, expected: &T) {
    assert_eq!(found, expected, "in {case:?}");
}

/// A driver's own end of an IRP: completed once, and pending said twice or not at all.
#[track_caller]
pub fn assert_told_once(done: &Done) {
    assert_eq!(done.completions, 1, "completed once: {done:?}");
    if done.returned == STATUS_PENDING {
        assert!(done.pending_returned, "marked pending: {done:?}");
    } else {
        assert_eq!(done.returned, done.status, "one answer: {done:?}");
        assert!(!done.pending_returned, "not marked pending: {done:?}");
    }
}

/// The request succeeded with all of its `length` bytes.
#[track_caller]
pub fn assert_success(done: &Done, length: usize) {
    assert_ended(done, 0);
    assert_eq!(done.information, length as u64, "{done:?}");
}

/// The request failed with `status`, and claims no bytes.
#[track_caller]
pub fn assert_failure(done: &Done, status: i32) {
    assert_ended(done, status);
    assert_eq!(done.information, 0, "a failure claims nothing: {done:?}");
}

/// With this status, which is read more easily as the headers write it.
#[track_caller]
fn assert_ended(done: &Done, status: i32) {
    assert_told_once(done);
    assert_eq!(
        format!("{:#010x}", done.status),
        format!("{status:#010x}"),
        "{done:?}"
    );
}

/// What a world came to that no bug check stopped.
#[track_caller]
pub fn completed<T>(run: Result<T, BugCheck>) -> T {
    match run {
        Ok(result) => result,
        Err(bug_check) => panic!("{bug_check}"),
    }
}

/// The port has no complaint, and nothing was lost on the way down or up.
#[track_caller]
pub fn assert_everything_came_back(report: &Report) {
    assert!(
        report.violations.is_empty(),
        "the port objects: {:#?}",
        report.violations
    );
    assert_eq!(
        report.finished, report.sent,
        "every request comes back once"
    );
    assert_eq!(
        report.port.completed, report.port.arrived,
        "the port has given everything back"
    );
}

/// The debug log's lines that contain `part`.
pub fn logged<'a>(debug_log: &'a [String], part: &str) -> Vec<&'a str> {
    let lines = debug_log.iter().map(String::as_str);
    lines.filter(|line| line.contains(part)).collect()
}

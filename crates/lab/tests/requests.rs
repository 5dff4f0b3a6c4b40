//! The commands that move data, as scripts see them.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn lab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xfersplit-lab"))
        .args(arguments)
        .output()
        .expect("the program runs")
}

/// Runs a command that must succeed; its JSON.
fn json(arguments: &[&str]) -> Value {
    let output = lab(&[arguments, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn committed(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/traces");
    root.join(name).to_str().expect("a path").to_owned()
}

#[test]
fn a_workload_is_split_as_little_as_possible_and_its_data_is_right() {
    let result = json(&[
        "run",
        "--requests",
        "150",
        "--sizes",
        "4K/3,200K/2,1M/1",
        "--depth",
        "8",
    ]);
    assert_eq!(result["ok"], true);
    assert_eq!(
        (result["requests"].as_u64(), result["failed"].as_u64()),
        (Some(150), Some(0))
    );
    assert!(result["split"].as_u64() > Some(30), "{result}");
    assert_eq!(result["judged_pieces"], result["minimum"]);
    assert_eq!(result["pieces"], result["minimum"]);
    assert_eq!(result["allocations_on_io_path"], 0);
    assert_eq!(result["violations"], 0);
    assert_eq!(result["sha256_expected"], result["sha256_found"]);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let arguments = [
        "run",
        "--requests",
        "60",
        "--faults",
        "all=1%",
        "--seed",
        "9",
    ];
    let (once, again) = (json(&arguments), json(&arguments));
    for field in [
        "pieces",
        "failed",
        "faults",
        "virtual_time_100ns",
        "sha256_trace",
        "sha256_found",
    ] {
        assert_eq!(once[field], again[field], "{field}");
    }
    assert!(
        once["faults"]
            .as_object()
            .is_some_and(|faults| !faults.is_empty()),
        "{once}"
    );
}

#[test]
fn real_threads_give_the_same_data() {
    let threads = json(&["run", "--requests", "80", "--threads", "2", "--seed", "4"]);
    let alone = json(&["run", "--requests", "80", "--seed", "4"]);
    assert_eq!(threads["sha256_found"], alone["sha256_found"]);
    assert_eq!(threads["pieces"], alone["pieces"]);
}

#[test]
fn an_image_is_made_once_and_then_used() {
    let directory = tempfile::tempdir().expect("a directory");
    let image = directory.path().join("disk.img");
    let name = image.to_str().expect("a path");
    let arguments = [
        "run",
        "--image",
        name,
        "--disk-size",
        "4M",
        "--requests",
        "50",
        "--sizes",
        "64K",
    ];
    json(&arguments);
    let first = std::fs::read(&image).expect("the image");
    assert_eq!(first.len(), 4 << 20);
    assert!(first.iter().any(|&byte| byte != 0));
    json(&[&arguments[..], &["--writes", "0"]].concat());
    assert!(
        std::fs::read(&image).expect("the image") == first,
        "reads change nothing"
    );
}

#[test]
fn one_gibibyte_needs_the_memory_of_a_window() {
    let result = json(&["run", "--sizes", "1G", "--requests", "1", "--writes", "0"]);
    assert_eq!(result["bytes"].as_u64(), Some(1 << 30));
    assert_eq!(
        (result["pieces"].as_u64(), result["minimum"].as_u64()),
        (Some(8192), Some(8192))
    );
    assert_eq!(result["allocations_on_io_path"], 0);
    let driver = result["driver_memory_peak"].as_u64().expect("a number");
    assert!(driver < 4 << 20, "the driver held {driver} bytes");
    let in_flight = result["bytes_in_flight_peak"].as_u64().expect("a number");
    assert!(in_flight <= 4 * 131_072, "{in_flight} bytes in flight");
}

#[test]
fn a_lie_shows_without_the_filter_and_not_with_it() {
    let workload = [
        "run",
        "--adapter",
        "vhost-2mib",
        "--sizes",
        "4M",
        "--requests",
        "6",
    ];
    let bare = lab(&[&workload[..], &["--without-filter"]].concat());
    assert_eq!(bare.status.code(), Some(1), "{}", text(&bare));
    let cure = [
        "--set",
        "MaximumTransferLength=2M",
        "--set",
        "MaximumPhysicalPages=513",
    ];
    let cured = json(&[&workload[..], &cure].concat());
    assert_eq!(
        (cured["ok"].as_bool(), cured["violations"].as_u64()),
        (Some(true), Some(0))
    );
}

#[test]
fn a_filter_that_is_not_told_of_a_lie_cannot_help() {
    let output = lab(&[
        "run",
        "--adapter",
        "vhost-2mib",
        "--sizes",
        "4M",
        "--requests",
        "2",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr)
            .trim_end()
            .lines()
            .count(),
        1
    );
}

#[test]
fn recorded_requests_run_through_the_driver() {
    for (name, requests) in [
        ("fio-v2-mixed.log", 879),
        ("fio-v2-two-files-sync.log", 64),
        ("fio-v3-mixed.log", 787),
        ("fio-v3-trim-sync.log", 32),
        ("blkparse-loop-mixed.txt", 84),
    ] {
        let result = json(&["replay", &committed(name)]);
        let result = &result[0]["result"];
        assert_eq!(result["ok"], true, "{name}: {result}");
        assert_eq!(result["pieces"], result["minimum"], "{name}");
        assert_eq!(result["requests"].as_u64(), Some(requests), "{name}");
    }
}

#[test]
fn several_traces_are_replayed_one_after_the_other() {
    let (one, two) = (
        committed("fio-v2-two-files-sync.log"),
        committed("fio-v3-trim-sync.log"),
    );
    let result = json(&["replay", "--adapter", "tiny", &one, &two]);
    assert_eq!(result.as_array().map(Vec::len), Some(2));
    assert_eq!(result[1]["trims"].as_u64(), Some(32));
    assert_eq!(result[0]["result"]["longest_command"].as_u64(), Some(4096));
}

#[test]
fn the_demo_shows_the_examples_the_picture_and_the_table() {
    let output = lab(&["demo"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let shown = text(&output);
    for part in [
        "12 pages and 5 map registers",
        "The document carries out 3 operations",
        "too long",
        "too many pages",
        "neither",
        "piece 2 │",
        "done 1st",
        "vhost-2mib",
        "WRONG",
        "5 of 8 adapters lie",
        "Beneath a disk class driver",
        "xfersplit as installed",
        "FAILS",
        "extended SRBs",
    ] {
        assert!(shown.contains(part), "no '{part}' in\n{shown}");
    }
}

#[test]
fn the_soak_reports_what_it_saw() {
    let result = json(&["soak", "--requests", "2000", "--least", "0", "--seed", "3"]);
    let coverage = &result["coverage"];
    assert!(coverage["requests"].as_u64() >= Some(2000));
    assert!(
        coverage["events"]["split"].as_u64() > Some(100),
        "{coverage}"
    );
    let world = json(&["soak", "--seed", "3", "--world", "2"]);
    assert_eq!(world["coverage"]["worlds"], 1);
    let demanding = lab(&["soak", "--requests", "800", "--least", "1000000"]);
    assert_eq!(demanding.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&demanding.stderr).contains("seen fewer than 1000000 times"));
}

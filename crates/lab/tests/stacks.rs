//! `run` and `replay` with a disk class driver in the stack, above the filter and below it, as scripts see them.

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

/// A run of an adapter that says 4 MiB and takes 2, with the given options.
fn run(options: &[&str]) -> Value {
    let workload = [
        "run",
        "--adapter",
        "vhost-2mib",
        "--sizes",
        "64K/2,3M/1,6M/1",
        "--requests",
        "40",
    ];
    json(&[&workload, options].concat())
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value}: a number"))
}

const CURE: [&str; 4] = [
    "--set",
    "MaximumTransferLength=2M",
    "--set",
    "MaximumPhysicalPages=513",
];

/// Options for a lying adapter beneath a class driver.
fn disk<'a>(options: &[&'a str]) -> Vec<&'a str> {
    [&["--stack", "disk"], &CURE[..], options].concat()
}

#[test]
fn a_class_driver_that_is_told_the_effective_limits_does_the_splitting() {
    for options in [disk(&[]), disk(&["--advertise", "1"])] {
        let result = run(&options);
        let class = &result["class_driver"];
        assert_eq!(result["stack"], "disk");
        assert_eq!(class["told_maximum_transfer_length"], 2 << 20, "{result}");
        assert_eq!(class["told_maximum_physical_pages"], 513);
        let effective = &result["effective"];
        assert_eq!(effective["shape"], "SRB");
        assert_eq!(effective["maximum_transfer_length"], 2 << 20);
        assert_eq!(effective["transfer_length_set_by"], "setting");
        assert_eq!(effective["advertised_transfer_length"], 2 << 20);
        assert!(number(&class["split"]) > 5, "{result}");
        assert_eq!(class["packets"], result["pieces"]);
        assert_eq!(result["violations"], 0);
        assert_eq!(result["sha256_expected"], result["sha256_found"]);
    }
}

#[test]
fn a_class_driver_that_is_told_more_leaves_the_splitting_to_the_filter() {
    let larger = [
        "--advertise",
        "2",
        "--set",
        "AdvertisedTransferLength=4M",
        "--srb",
        "extended",
    ];
    for options in [disk(&["--advertise", "0"]), disk(&larger)] {
        let result = run(&options);
        let class = &result["class_driver"];
        assert_eq!(class["told_maximum_transfer_length"], 4 << 20, "{result}");
        assert_eq!(class["requests"], result["requests"]);
        assert!(
            number(&result["pieces"]) > number(&class["packets"]),
            "{result}"
        );
        assert_eq!(result["judged_pieces"], result["minimum"]);
        assert_eq!(result["pieces"], result["minimum"]);
        assert!(number(&result["longest_command"]) <= 2 << 20);
        assert_eq!(result["allocations_on_io_path"], 0);
        assert_eq!(result["violations"], 0);
    }
}

#[test]
fn without_the_filter_a_class_driver_believes_the_lie() {
    let output = lab(&[
        "run",
        "--stack",
        "disk",
        "--adapter",
        "vhost-2mib",
        "--sizes",
        "4M",
        "--requests",
        "6",
        "--without-filter",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
}

#[test]
fn above_a_class_driver_requests_are_split_as_little_as_possible() {
    let result = run(&[&["--stack", "relay"], &CURE[..]].concat());
    let class = &result["class_driver"];
    assert_eq!(result["stack"], "relay");
    // Nobody above was there to be told: the class driver knows the adapter's own word.
    assert_eq!(class["told_maximum_transfer_length"], 4 << 20, "{result}");
    assert!(
        number(&class["requests"]) > number(&result["requests"]),
        "{result}"
    );
    assert_eq!(result["effective"]["shape"], "relay");
    assert_eq!(class["requests"], result["judged_pieces"]);
    assert_eq!(result["judged_pieces"], result["minimum"]);
    assert_eq!(class["packets"], result["pieces"]);
    assert!(number(&result["longest_command"]) <= 2 << 20);
}

#[test]
fn request_blocks_have_the_format_that_is_asked_for() {
    for stack in ["class", "disk", "relay"] {
        let options = ["--stack", stack, "--srb"];
        let limit = [&CURE[..], &options].concat();
        let extended = run(&[&limit[..], &["extended"]].concat());
        assert_eq!(
            extended["extended_srb_commands"], extended["pieces"],
            "{stack}"
        );
        let legacy = run(&[&limit[..], &["legacy"]].concat());
        assert_eq!(legacy["extended_srb_commands"], 0, "{stack}");
        assert_eq!(legacy["sha256_found"], extended["sha256_found"], "{stack}");
    }
}

#[test]
fn what_the_class_driver_retries_is_no_failure() {
    for stack in ["disk", "relay"] {
        let result = run(&[
            "--stack",
            stack,
            "--faults",
            "busy=3%,aborted-command=3%",
            "--set",
            "MaximumTransferLength=64K",
            "--set",
            "MaximumPhysicalPages=17",
        ]);
        assert_eq!(result["failed"], 0, "{stack}: {result}");
        let retries = number(&result["class_driver"]["retries"]);
        assert!(retries > 0, "{stack}: {result}");
    }
}

#[test]
fn faults_of_every_kind_leave_the_data_right() {
    for stack in ["disk", "relay"] {
        let result = json(&[
            "run",
            "--stack",
            stack,
            "--faults",
            "all=1%",
            "--requests",
            "300",
        ]);
        assert_eq!(result["failed"], result["failed_with_fault"], "{stack}");
        assert_eq!(result["sha256_expected"], result["sha256_found"], "{stack}");
        assert_eq!(result["violations"], 0, "{stack}: {result}");
    }
}

#[test]
fn real_threads_give_the_same_data_in_every_stack() {
    for stack in ["disk", "relay"] {
        let arguments = ["run", "--stack", stack, "--requests", "60", "--seed", "4"];
        let alone = json(&arguments);
        let threads = json(&[&arguments[..], &["--threads", "2"]].concat());
        assert_eq!(threads["sha256_found"], alone["sha256_found"], "{stack}");
        assert_eq!(threads["pieces"], alone["pieces"], "{stack}");
    }
}

#[test]
fn the_table_names_every_layer() {
    let output = lab(&["run", "--stack", "disk", "--requests", "20"]);
    assert_eq!(output.status.code(), Some(0));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "file system",
        "6 files, ",
        ", verified",
        "limits it worked by",
        "128 KiB (adapter), 33 pages (adapter)",
        "the class driver was told",
        "128 KiB, 33 pages",
        "packets of the class driver",
        "commands at the port",
        "commands, and the fewest for them",
        "checked",
    ] {
        assert!(shown.contains(part), "no '{part}' in\n{shown}");
    }
}

#[test]
fn recorded_requests_run_beneath_and_above_a_class_driver() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/traces");
    let trace = root.join("fio-v3-mixed.log");
    let trace = trace.to_str().expect("a path");
    for stack in ["disk", "relay"] {
        let result = json(&["replay", "--stack", stack, "--srb", "extended", trace]);
        let result = &result[0]["result"];
        assert_eq!(result["ok"], true, "{stack}: {result}");
        assert_eq!(number(&result["requests"]), 787);
        assert_eq!(result["judged_pieces"], result["minimum"], "{stack}");
    }
}

#[test]
fn files_come_before_the_requests_in_every_stack() {
    for stack in ["class", "disk", "relay"] {
        for format in ["legacy", "extended"] {
            let arguments = ["--stack", stack, "--srb", format, "--files"];
            let limit = [&CURE[..], &arguments].concat();
            let with = run(&[&limit[..], &["5"]].concat());
            let files = &with["file_system"];
            assert_eq!(files["files"], 5, "{stack}, {format}: {with}");
            assert_eq!(files["verified"], true, "{stack}, {format}: {with}");
            assert_eq!(files["failed"], 0);
            assert!(number(&files["requests"]) > 100, "{files}");
            assert!(number(&files["longest_request"]) > 512 << 10, "{files}");
            assert!(number(&files["bytes_verified"]) > 3 << 20, "{files}");
            assert_eq!(with["violations"], 0);
            assert_eq!(with["allocations_on_io_path"], 0);
            assert_eq!(with["sha256_expected"], with["sha256_found"]);

            // The requests behind them are counted as if there had been none.
            let without = run(&[&limit[..], &["0"]].concat());
            assert!(without["file_system"].is_null());
            for field in ["requests", "bytes", "pieces", "judged_pieces", "minimum"] {
                assert_eq!(with[field], without[field], "{stack}, {format}: {field}");
            }
            let packets = |result: &Value| result["class_driver"]["packets"].clone();
            assert_eq!(packets(&with), packets(&without));
            assert_ne!(with["sha256_trace"], without["sha256_trace"]);
        }
    }
}

#[test]
fn beneath_a_class_driver_files_are_there_unless_the_disk_is_to_stay_as_it_is() {
    let files = |options: &[&str]| {
        let small = ["run", "--requests", "5", "--stack"];
        json(&[&small[..], options].concat())["file_system"]["files"].as_u64()
    };
    assert_eq!(files(&["disk"]), Some(6));
    for none in [
        &["class"][..],
        &["relay"],
        &["disk", "--files", "0"],
        &["disk", "--writes", "0"],
        &["disk", "--disk-size", "1000K", "--sizes", "4K"],
        &["disk", "--sizes", "65M", "--writes", "10"],
    ] {
        assert_eq!(files(none), None, "{none:?}");
    }
    assert_eq!(files(&["disk", "--writes", "0", "--files", "2"]), Some(2));
}

#[test]
fn files_follow_from_the_seed_and_meet_no_fault() {
    for stack in ["disk", "relay"] {
        let run = |seed: &str| {
            json(&[
                "run",
                "--stack",
                stack,
                "--files",
                "4",
                "--requests",
                "60",
                "--faults",
                "all=1%",
                "--seed",
                seed,
            ])
        };
        let (once, again, other) = (run("3"), run("3"), run("4"));
        assert_eq!(once["sha256_trace"], again["sha256_trace"], "{stack}");
        assert_eq!(once["file_system"], again["file_system"], "{stack}");
        assert_ne!(once["file_system"], other["file_system"], "{stack}");
        assert_eq!(once["file_system"]["failed"], 0, "{stack}");
        assert_ne!(once["faults"], serde_json::json!({}), "{stack}");
    }
}

#[test]
fn requests_work_on_the_disk_as_the_files_left_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let image = directory.path().join("disk.img");
    let name = image.to_str().expect("a path");
    let arguments = ["run", "--stack", "disk", "--image", name, "--sizes", "64K"];
    let files = json(&[&arguments[..], &["--requests", "0"]].concat());
    assert_eq!(files["file_system"]["verified"], true);
    let left = std::fs::read(&image).expect("the image");
    assert!(
        left.windows(7).any(|bytes| bytes == b"file 5 "),
        "the catalog names them"
    );
    let reads = ["--requests", "40", "--writes", "0"];
    let result = json(&[&arguments[..], &reads].concat());
    assert_eq!(result["sha256_expected"], result["sha256_found"]);
    assert!(std::fs::read(&image).expect("the image") == left);
}

#[test]
fn files_that_a_lying_adapter_spoils_are_named() {
    let output = lab(&[
        "run",
        "--stack",
        "disk",
        "--adapter",
        "viostor-size-max",
        "--requests",
        "5",
        "--without-filter",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.starts_with("error: file system: "), "{said}");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("WRONG"), "{shown}");
}

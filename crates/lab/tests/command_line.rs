//! The program as scripts see it: what it prints, and its exit status.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn lab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xfersplit-lab"))
        .args(arguments)
        .output()
        .expect("the program runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn committed(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join(path).to_str().expect("a path").to_owned()
}

/// A file that goes with its directory.
struct Scratch {
    directory: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a path").to_owned()
    }
}

/// Bad input: exit status 2, one line that says all of `parts`.
fn refused(arguments: &[&str], parts: &[&str]) {
    let output = lab(arguments);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    for part in parts {
        assert!(text.contains(part), "{arguments:?}: no '{part}' in: {text}");
    }
}

/// Bad input that only the lab itself can see: its line stands alone.
fn refused_in_one_line(arguments: &[&str], parts: &[&str]) {
    refused(arguments, parts);
    let text = stderr(&lab(arguments));
    assert_eq!(text.trim_end().lines().count(), 1, "{arguments:?}: {text}");
    assert!(text.starts_with("error: "), "{text}");
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in ["demo", "run", "replay", "plan", "soak"] {
        let output = lab(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        let text = stdout(&output);
        assert!(text.contains("Example"), "{command}: {text}");
        assert!(
            text.contains(&format!("xfersplit-lab {command}")),
            "{command}: {text}"
        );
    }
    let text = stdout(&lab(&["--help"]));
    for command in ["demo", "run", "replay", "plan", "soak", "Exit status"] {
        assert!(text.contains(command), "{command}");
    }
    assert_eq!(lab(&["--version"]).status.code(), Some(0));
}

#[test]
fn arguments_that_make_no_sense_are_named() {
    refused(&[], &["Usage"]);
    refused(&["dance"], &["dance"]);
    refused(&["plan", "--length", "12Q"], &["12Q", "not a unit"]);
    refused(&["plan", "--length", "0"], &["more than 0"]);
    refused(&["plan", "--sector", "0"], &["sector of 0 bytes"]);
    refused(&["plan", "--alignment-mask", "2"], &["alignment mask of 2"]);
    refused(&["plan", "--page-rule", "guess"], &["guess", "spans"]);
    refused(&["plan", "--cdb", "32"], &["32"]);
    refused(&["run", "--sizes", "4K/x"], &["not a weight"]);
    refused(&["run", "--adapter", "magic"], &["magic", "ahci"]);
    refused(&["run", "--faults", "gremlins=1%"], &["gremlins", "busy"]);
    refused(&["run", "--set", "Widow=1"], &["Widow", "Window"]);
    refused(&["run", "--set", "Window=0"], &["Window = 0", "1 to 256"]);
    refused(&["run", "--latency", "1h"], &["not a unit"]);
    refused(&["run", "--writes", "101"], &["101"]);
    refused(&["run", "--threads", "0"], &["0"]);
    refused(&["run", "--on-violation", "sulk"], &["sulk"]);
    refused(&["demo", "--json"], &["--techniques"]);
    refused(&["run", "--stack", "desk"], &["desk", "class, disk, relay"]);
    refused(&["run", "--srb", "wide"], &["wide", "legacy, extended"]);
    refused(&["run", "--advertise", "3"], &["--advertise", "3"]);
    refused(&["replay", "--stack", "top", "x.log"], &["top", "relay"]);
    refused(&["soak", "--requests", "0"], &["0"]);
    refused(&["replay"], &["FILE"]);
}

#[test]
fn arguments_that_contradict_each_other_are_named() {
    refused_in_one_line(&["plan", "--length", "1000"], &["--length 1000", "512"]);
    refused_in_one_line(&["plan", "--page-offset", "4096"], &["--page-offset 4096"]);
    refused_in_one_line(&["plan", "--page-rule", "breaks"], &["--pfns", "256 pages"]);
    refused_in_one_line(&["plan", "--length", "1T"], &["--length"]);
    refused_in_one_line(&["run", "--sizes", "1000"], &["--sizes", "1000"]);
    refused_in_one_line(&["run", "--align", "100"], &["--align 100"]);
    refused_in_one_line(&["run", "--page-offset", "5000"], &["--page-offset 5000"]);
    refused_in_one_line(
        &["run", "--disk-size", "64K", "--sizes", "1M"],
        &["1048576", "65536"],
    );
    refused_in_one_line(&["run", "--physical", "1000"], &["physical sector of 1000"]);
    refused_in_one_line(
        &["run", "--image", "/no/such/place.img"],
        &["/no/such/place.img"],
    );
    let trace = committed("tests/traces/fio-v3-mixed.log");
    refused_in_one_line(
        &["replay", "--advertise", "1", &trace],
        &["--advertise 1", "--stack disk"],
    );
    refused_in_one_line(
        &["replay", "--page-offset", "4096", &trace],
        &["--page-offset"],
    );
    refused_in_one_line(
        &["replay", "--sector", "4096", &trace],
        &["fio-v3-mixed.log:", "whole sectors of 4096"],
    );
}

#[test]
fn files_that_a_disk_cannot_have_are_refused() {
    refused(&["run", "--files", "some"], &["some", "--files"]);
    refused_in_one_line(&["run", "--files", "64"], &["--files 64", "63"]);
    refused_in_one_line(
        &["run", "--stack", "disk", "--files", "6", "--sizes", "1G"],
        &["--files 6", "pattern", "--image"],
    );
    let small = ["run", "--sizes", "4K", "--disk-size"];
    refused_in_one_line(
        &[&small[..], &["1000K", "--files", "1"]].concat(),
        &["--files 1", "1024000", "1048576"],
    );
    refused_in_one_line(
        &[&small[..], &["1M", "--files", "17"]].concat(),
        &["--files 17", "too small"],
    );
    refused_in_one_line(
        &["run", "--sector", "256", "--files", "1"],
        &["--files 1", "256", "512"],
    );
}

#[test]
fn files_that_are_no_drivers_are_named() {
    refused_in_one_line(&["run", "--driver", "no-such.sys"], &["no-such.sys: "]);
    refused_in_one_line(&["demo", "--driver", "no-such.sys"], &["no-such.sys: "]);
    let scratch = Scratch::new();
    let text = scratch.write("text.sys", "a text and no driver");
    refused_in_one_line(&["run", "--driver", &text], &["text.sys: "]);
    let trace = committed("tests/traces/fio-v3-mixed.log");
    refused_in_one_line(&["replay", "--driver", &text, &trace], &["text.sys: "]);
    refused_in_one_line(&["soak", "--driver", &text], &["text.sys: "]);
    refused(
        &["run", "--driver", "x.sys", "--without-filter"],
        &["--driver", "--without-filter"],
    );
}

#[test]
fn nobody_is_told_limits_where_nobody_listens() {
    refused_in_one_line(
        &["run", "--advertise", "1"],
        &["--advertise 1", "--stack disk"],
    );
    refused_in_one_line(
        &["run", "--stack", "relay", "--advertise", "0"],
        &["--advertise 0", "--stack disk"],
    );
    refused_in_one_line(
        &[
            "run",
            "--stack",
            "disk",
            "--without-filter",
            "--advertise",
            "2",
        ],
        &["--advertise 2", "no filter"],
    );
    refused_in_one_line(
        &[
            "run",
            "--stack",
            "disk",
            "--advertise",
            "2",
            "--set",
            "Advertise=1",
        ],
        &["--advertise 2", "--set Advertise"],
    );
}

#[test]
fn bad_traces_are_named_with_file_and_line() {
    let scratch = Scratch::new();
    let trace = scratch.write(
        "bad.log",
        "fio version 2 iolog\n/d add\n/d open\n/d write 0 x\n",
    );
    refused_in_one_line(&["replay", &trace], &["bad.log:4: length 'x'"]);
    let other = scratch.write("other.txt", "once upon a time\n");
    refused_in_one_line(&["replay", &other], &["other.txt:1: neither"]);
    refused_in_one_line(&["replay", "no-such-trace.log"], &["no-such-trace.log: "]);
    let small = scratch.write(
        "small.img",
        "too small to hold what the trace writes, but more than one sector long",
    );
    let trace = committed("tests/traces/fio-v2-two-files-sync.log");
    refused_in_one_line(&["replay", "--image", &small, &trace], &["small.img: "]);
}

#[test]
fn the_given_vectors_pass() {
    let output = lab(&[
        "plan",
        "--vectors",
        &committed("tests/vectors/plan-vectors.json"),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert_eq!(text.lines().last(), Some("384 passed, 0 failed"));
}

const VECTOR: &str = r#"{"name":"mine","source":"me","sector_size":512,"alignment_mask":0,"max_bytes":4096,
"max_pages":null,"page_rule":"spans","lba_boundary":null,"cdb_blocks":65535,"page_offset":0,"lba":0,"blocks":16,
"expected":[[0,8],[8,8]]}"#;

fn vectors(vectors: &[&str]) -> String {
    format!("{{\"vectors\":[\n{}\n]}}", vectors.join(",\n"))
}

#[test]
fn vectors_that_fail_are_listed() {
    let scratch = Scratch::new();
    let wrong = VECTOR
        .replace("\"mine\"", "\"wrong\"")
        .replace("[8,8]", "[8,7],[15,1]");
    let refusal = VECTOR.replace("\"mine\"", "\"refusal\"").replace(
        "\"expected\":[[0,8],[8,8]]",
        "\"expected_error\":\"unsplittable\"",
    );
    let file = scratch.write("three.json", &vectors(&[VECTOR, &wrong, &refusal]));
    let output = lab(&["plan", "--vectors", &file]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[0].starts_with("FAILED wrong: piece 1: expected 7 blocks at 8"),
        "{text}"
    );
    assert!(
        lines[1].starts_with("FAILED refusal: expected unsplittable"),
        "{text}"
    );
    assert_eq!(lines[2], "1 passed, 2 failed");

    let output = lab(&["plan", "--json", "--vectors", &file]);
    let json: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(
        (json["passed"].as_u64(), json["failed"].as_u64()),
        (Some(1), Some(2))
    );
    assert_eq!(json["failures"][0]["name"], "wrong");
}

#[test]
fn files_that_are_no_vectors_are_named() {
    let scratch = Scratch::new();
    let check = |name: &str, text: &str, parts: &[&str]| {
        let file = scratch.write(name, text);
        refused_in_one_line(&["plan", "--vectors", &file], parts);
    };
    check(
        "broken.json",
        "{\"vectors\":[\n{\"name\":",
        &["broken.json:2", "EOF"],
    );
    check(
        "other.json",
        "{}",
        &["other.json:1: missing field `vectors`"],
    );
    let missing = VECTOR.replace("\"lba\":0,", "");
    check(
        "missing.json",
        &vectors(&[&missing]),
        &["missing.json:4: missing field `lba`"],
    );
    let rule = VECTOR.replace("spans", "guesses");
    check(
        "rule.json",
        &vectors(&[&rule]),
        &["rule.json:2: vector 'mine': 'guesses'"],
    );
    let offset = VECTOR.replace("\"page_offset\":0", "\"page_offset\":4096");
    check(
        "offset.json",
        &vectors(&[VECTOR, &offset]),
        &["vector 'mine': page_offset 4096"],
    );
    let frames = VECTOR.replace("spans", "breaks");
    check("frames.json", &vectors(&[&frames]), &["0 pfns for 2 pages"]);
    let neither = VECTOR.replace("\"expected\":[[0,8],[8,8]]", "\"remark\":1");
    check(
        "neither.json",
        &vectors(&[&neither]),
        &["expected or expected_error"],
    );
    let error = VECTOR.replace("\"expected\":[[0,8],[8,8]]", "\"expected_error\":\"sulks\"");
    check(
        "error.json",
        &vectors(&[&error]),
        &["expected_error 'sulks'"],
    );
    refused_in_one_line(&["plan", "--vectors", "no-such.json"], &["no-such.json: "]);
}

#[test]
fn a_plan_is_shown_beside_its_peers() {
    let arguments = [
        "plan",
        "--length",
        "399K",
        "--max-bytes",
        "68096",
        "--max-pages",
        "17",
        "--page-offset",
        "0",
    ];
    let output = lab(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    for part in [
        "xfersplit",
        "classpnp",
        "documents' rule",
        "Linux",
        "YES: piece 1 spans 18 pages, limit 17",
    ] {
        assert!(text.contains(part), "no '{part}' in\n{text}");
    }
    let json = lab(&[&arguments[..], &["--json"]].concat());
    let json: Value = serde_json::from_str(&stdout(&json)).expect("JSON");
    let ours = &json["answers"][0];
    let total: u64 = ours["pieces"]
        .as_array()
        .expect("pieces")
        .iter()
        .filter_map(|p| p["length"].as_u64())
        .sum();
    assert_eq!(
        (ours["who"].as_str(), total),
        (Some("xfersplit"), 399 << 10)
    );
    assert!(
        !json["answers"][1]["pieces"][1]["violations"]
            .as_array()
            .expect("a list")
            .is_empty()
    );
}

#[test]
fn what_has_no_legal_split_fails() {
    let arguments = [
        "plan",
        "--sector",
        "4K",
        "--length",
        "16K",
        "--page-offset",
        "512",
        "--max-pages",
        "1",
    ];
    let output = lab(&arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("nothing may be sent"),
        "{}",
        stderr(&output)
    );
}

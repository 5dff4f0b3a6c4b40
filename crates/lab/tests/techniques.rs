//! The techniques of the two documents: every one holds, and `docs/techniques.md` says where it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::driver;
use lab::techniques::{Document, Place, Scene, TECHNIQUES, markdown};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn all_places() -> impl Iterator<Item = (&'static str, &'static Place)> {
    TECHNIQUES.iter().flat_map(|row| {
        let places = row.code.iter().chain(row.tests);
        places.map(|place| (row.name, place))
    })
}

#[test]
fn every_technique_holds_on_several_seeds() {
    for seed in 1..=5 {
        let scene = Scene::new(driver::xfersplit(), seed);
        for row in TECHNIQUES {
            let shown = row.show(&scene);
            let seen = shown.unwrap_or_else(|reason| panic!("{}, seed {seed}: {reason}", row.name));
            assert!(seen.bytes_verified() > 0, "{}", row.name);
            assert!(!seen.facts().is_empty(), "{}", row.name);
        }
    }
}

#[test]
fn a_driver_that_does_not_split_shows_nothing() {
    // Disabled, the filter passes everything on: every scene that it plays in must notice.
    let scene = Scene::new(driver::xfersplit(), 1).setting("Disabled", 1);
    for row in TECHNIQUES {
        // A row that the filter's own tests show.
        if row.tests.iter().any(|test| test.file.starts_with("tests/")) {
            assert!(
                row.show(&scene).is_err(),
                "{} holds without a filter",
                row.name
            );
        }
    }
}

#[test]
fn every_file_and_function_is_there() {
    for (row, place) in all_places() {
        let text = fs::read_to_string(root().join(place.file))
            .unwrap_or_else(|error| panic!("{row}: {}: {error}", place.file));
        let function = ["(", "<"]
            .iter()
            .any(|after| text.contains(&format!("fn {}{after}", place.function)));
        assert!(function, "{row}: no {} in {}", place.function, place.file);
    }
}

#[test]
fn every_test_is_one() {
    for row in TECHNIQUES {
        assert!(!row.tests.is_empty(), "{}", row.name);
        for place in row.tests {
            assert!(
                place.file.contains("tests/"),
                "{}: {}",
                row.name,
                place.file
            );
            let text = fs::read_to_string(root().join(place.file)).expect("it is there");
            let (before, _) = text
                .split_once(&format!("fn {}(", place.function))
                .expect("the function is there");
            // The attributes between the item before and this one.
            let attributes = before.rsplit("\n\n").next().expect("there is always one");
            assert!(
                attributes.contains("#[test]"),
                "{}: {} is no test",
                row.name,
                place.function
            );
        }
    }
}

#[test]
fn names_are_unique() {
    for (index, row) in TECHNIQUES.iter().enumerate() {
        let first = TECHNIQUES.iter().position(|other| other.name == row.name);
        assert_eq!(first, Some(index), "{} is there twice", row.name);
    }
}

#[test]
fn the_page_has_the_same_rows() {
    let page = fs::read_to_string(root().join("docs/techniques.md")).expect("the page is there");
    for document in Document::ALL {
        let rows = markdown(document);
        assert!(
            page.contains(&rows),
            "the table of \"{}\" should be:\n\n{rows}",
            document.title()
        );
    }
    let rows = page.lines().filter(|line| line.starts_with("| "));
    assert_eq!(
        rows.count(),
        TECHNIQUES.len() + Document::ALL.len(),
        "and no other rows"
    );
}

fn demo(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xfersplit-lab"))
        .args(["demo", "--techniques"])
        .args(arguments)
        .output()
        .expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("text");
    (output.status.code(), text)
}

#[test]
fn the_demo_shows_them() {
    let (status, text) = demo(&[]);
    assert_eq!(status, Some(0), "{text}");
    for row in TECHNIQUES {
        assert!(text.contains(row.name) && text.contains(row.asks), "{text}");
    }
    let all = format!("{0} of {0} techniques held", TECHNIQUES.len());
    assert!(text.contains(&all), "{text}");
    assert!(!text.contains("DID NOT HOLD"), "{text}");
}

#[test]
fn and_tells_programs() {
    let (status, text) = demo(&["--json"]);
    assert_eq!(status, Some(0), "{text}");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["held"], TECHNIQUES.len());
    assert_eq!(value["failed"], 0);
    let rows = value["techniques"].as_array().expect("rows");
    for (row, told) in TECHNIQUES.iter().zip(rows) {
        assert_eq!(told["name"], row.name);
        assert_eq!(told["held"], true);
        assert!(told["seen"]["bytes verified"].as_u64() > Some(0), "{told}");
        assert_eq!(told["code"][0]["file"], row.code[0].file);
        assert_eq!(told["tests"][0]["function"], row.tests[0].function);
    }
}

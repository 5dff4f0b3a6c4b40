//! docs/windows.md, as far as other files know what must stand in it.

use std::fs;

use crate::run;

fn read(name: &str) -> String {
    fs::read_to_string(run::root().join(name)).expect("the file is there")
}

/// The first string literal of each row of the table of settings.
fn settings() -> Vec<String> {
    let table = read("crates/core/src/settings/table.rs");
    let rows = table.split("row(\n").skip(1);
    rows.filter_map(|row| row.split('"').nth(1).map(String::from))
        .collect()
}

#[test]
fn every_setting_has_its_row() {
    let settings = settings();
    assert!(settings.len() > 20, "{settings:?}");
    let page = read("docs/windows.md");
    for name in settings {
        assert!(page.contains(&format!("\n| `{name}` |")), "{name}");
    }
}

#[test]
fn every_effective_value_is_explained() {
    let source = read("src/start/effective.rs");
    let page = read("docs/windows.md");
    let mut names = 0;
    for call in source.split("key.set").skip(1) {
        let name = call.split('"').nth(1).expect("a value's name");
        names += 1;
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    assert!(names > 8, "{names}");
}

#[test]
fn the_test_disk_of_the_recipe_is_one_that_the_inf_names() {
    let page = read("docs/windows.md");
    let property = |name: &str| {
        let (_, rest) = page.split_once(name).expect("the recipe");
        rest.split([',', ' ']).next().expect("a value").to_owned()
    };
    let (vendor, product) = (property("vendor="), property("product="));
    let id = format!(r"SCSI\Disk{vendor:_<8}{product:_<16}");
    assert!(read("driver.inx").contains(&id), "{id}");
}

#[test]
fn the_workflow_builds_with_the_versions_that_the_pages_ask_for() {
    let workflow = read(".github/workflows/windows.yml");
    assert!(workflow.contains("NEVER RUN BY US"));
    let (_, rest) = workflow.split_once("LLVM: ").expect("a version");
    let llvm = rest.lines().next().unwrap_or_default();
    assert!(
        read("docs/windows.md").contains(&format!("LLVM.LLVM --version {llvm}")),
        "{llvm}"
    );
    // What Debian needs stands in a page, in the command's complaint and in the workflow.
    let packages = "clang-22 llvm-22 libclang-22-dev mingw-w64-x86-64-dev";
    for name in ["docs/build.md", "xtask/src/sys/tools.rs"] {
        assert!(read(name).contains(packages), "{name}");
    }
    assert!(workflow.contains(packages));
}

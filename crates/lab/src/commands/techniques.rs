//! `demo --techniques`: every technique of the two documents, shown one after the other.

use ntsim::Driver;
use serde_json::{Value, json};

use lab::error::{Error, Result};
use lab::report::several;
use lab::techniques::{Document, Place, Scene, Shown, TECHNIQUES, Technique};

use crate::output::say;

/// Shows every row with `filter` in the place of the filter. Fails where a row did not hold.
pub(crate) fn run(filter: &Driver, seed: u64, as_json: bool) -> Result<()> {
    let scene = Scene::new(filter.clone(), seed);
    let results: Vec<(&Technique, Shown)> = TECHNIQUES
        .iter()
        .map(|row| (row, row.show(&scene)))
        .collect();
    let failed = results.iter().filter(|(_, shown)| shown.is_err()).count();
    if as_json {
        let rows: Vec<Value> = results
            .iter()
            .map(|(row, shown)| row.to_json(shown))
            .collect();
        say!(
            "{:#}",
            json!({ "held": results.len() - failed, "failed": failed, "techniques": rows })
        );
    } else {
        print(&results)?;
    }
    match failed {
        0 => Ok(()),
        some => Err(Error::Failed(format!(
            "{} of {} did not hold",
            several(some as u64, "technique"),
            results.len()
        ))),
    }
}

fn print(results: &[(&Technique, Shown)]) -> Result<()> {
    for document in Document::ALL {
        let title = document.title();
        say!("{title}\n{}\n", "═".repeat(title.chars().count()));
        for (row, shown) in results.iter().filter(|(row, _)| row.document == document) {
            say!("{}", row.name);
            say!("  the document  {}", row.asks);
            places("here", row.code)?;
            places("shown by", row.tests)?;
            match shown {
                Ok(seen) => say!("  seen          {seen}\n"),
                Err(reason) => say!("  DID NOT HOLD  {reason}\n"),
            }
        }
    }
    let bytes: u64 = results
        .iter()
        .filter_map(|(_, shown)| Some(shown.as_ref().ok()?.bytes_verified()))
        .sum();
    let held = results.iter().filter(|(_, shown)| shown.is_ok()).count();
    say!(
        "{held} of {} techniques held; {} compared with plain memory, all of them right.",
        results.len(),
        several(bytes, "byte")
    );
    Ok(())
}

/// A line for each place; the first says what they are.
fn places(what: &str, places: &[Place]) -> Result<()> {
    for (number, place) in places.iter().enumerate() {
        let what = if number == 0 { what } else { "" };
        say!("  {what:<12}  {}: {}", place.file, place.function);
    }
    Ok(())
}

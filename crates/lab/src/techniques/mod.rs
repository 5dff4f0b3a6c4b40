//! Every technique of "Splitting DMA Transfer Requests" and of "Storage Class Driver's SplitTransferRequest Routine":
//! what the document asks for, where it is, which test shows it, and a scene that shows it here and now.
//!
//! | room | what it is for |
//! |---|---|
//! | `rows` | the table: one row for each thing that a document asks for |
//! | `scene` | a machine for one row, data that can be told apart, and what was seen |
//! | `registers`, `paired`, `pieces`, `split_transfer` | the filter's scenes |
//! | `highest` | those of the driver at the top of a stack, `drivers/highest` |
//! | `monolithic` | those of the driver of a disk controller, `drivers/monolithic` |

mod highest;
mod monolithic;
mod paired;
mod pieces;
mod registers;
mod rows;
mod scene;
mod split_transfer;

use std::fmt::Write as _;

use serde_json::{Value, json};

pub use rows::TECHNIQUES;
pub use scene::{Scene, Seen, Shown};

/// Which of the two documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// "Splitting DMA Transfer Requests".
    Dma,
    /// "Storage Class Driver's SplitTransferRequest Routine".
    Class,
}

impl Document {
    /// Both, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::Dma, Self::Class];

    /// Its name.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Dma => "Splitting DMA Transfer Requests",
            Self::Class => "Storage Class Driver's SplitTransferRequest Routine",
        }
    }
}

/// A function in a file of the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, from the root of the project.
    pub file: &'static str,
    /// The function in it.
    pub function: &'static str,
}

/// A row: something that a document asks for.
#[derive(Clone, Copy, Debug)]
pub struct Technique {
    /// Where it is asked for.
    pub document: Document,
    /// A few words to call it by.
    pub name: &'static str,
    /// What is asked for.
    pub asks: &'static str,
    /// Where it is done.
    pub code: &'static [Place],
    /// The tests that show it.
    pub tests: &'static [Place],
    /// Shows it.
    show: fn(&Scene) -> Shown,
}

impl Technique {
    /// Shows it: what was seen.
    ///
    /// # Errors
    /// What did not hold.
    pub fn show(&self, scene: &Scene) -> Shown {
        (self.show)(scene)
    }

    /// The row with what was seen, for programs.
    pub fn to_json(&self, shown: &Shown) -> Value {
        let places = |places: &[Place]| -> Vec<Value> {
            places
                .iter()
                .map(|place| json!({ "file": place.file, "function": place.function }))
                .collect()
        };
        json!({
            "document": self.document.title(),
            "name": self.name,
            "asks": self.asks,
            "code": places(self.code),
            "tests": places(self.tests),
            "held": shown.is_ok(),
            "seen": shown.as_ref().ok().map(Seen::to_json),
            "reason": shown.as_ref().err(),
        })
    }
}

/// The rows of a document as `docs/techniques.md` has them.
pub fn markdown(document: Document) -> String {
    let mut text = String::from("| | The document | Here | Shown by |\n|---|---|---|---|\n");
    for row in TECHNIQUES.iter().filter(|row| row.document == document) {
        let places = |places: &[Place]| -> String {
            let each = places.iter();
            let each = each.map(|place| format!("`{}` `{}`", place.file, place.function));
            each.collect::<Vec<_>>().join(", ")
        };
        let (code, tests) = (places(row.code), places(row.tests));
        // Writing into a string does not fail.
        let _ = writeln!(text, "| {} | {} | {code} | {tests} |", row.name, row.asks);
    }
    text
}

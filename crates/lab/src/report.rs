//! Tables that people read.

use std::io::IsTerminal as _;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};

/// Columns of a table that goes to a file or a pipe.
const WIDTH: u16 = 120;

/// A table with a heading, the first `words` columns flush left and the rest flush right, as numbers are.
pub fn table(headings: &[&str], words: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if !std::io::stdout().is_terminal() {
        table.set_width(WIDTH);
    }
    table.set_header(headings);
    for index in words..headings.len() {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A number with a thin gap between thousands.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// One thing or several: `1 piece`, `2 pieces`.
pub fn several(number: u64, one: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {one}{s}", count(number))
}

/// A time in 100 ns units of the virtual clock, for people.
pub fn time(units: u64) -> String {
    match units {
        0..10_000 => format!("{}.{} µs", units / 10, units % 10),
        10_000..100_000_000 => format!("{}.{:02} ms", units / 10_000, units % 10_000 / 100),
        _ => format!(
            "{}.{:02} s",
            units / 10_000_000,
            units % 10_000_000 / 100_000
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(
            (several(1, "piece"), several(2, "piece")),
            ("1 piece".into(), "2 pieces".into())
        );
    }

    #[test]
    fn times_choose_their_unit() {
        assert_eq!(time(15), "1.5 µs");
        assert_eq!(time(25_000), "2.50 ms");
        assert_eq!(time(125_000_000), "12.50 s");
    }
}

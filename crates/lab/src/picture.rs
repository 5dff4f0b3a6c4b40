//! One split, drawn with characters: which pages, which pieces, in which order they were done.

use std::fmt::Write as _;

use crate::models::PAGE;

/// One piece to draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Start in the buffer, bytes.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// What to say beside it.
    pub note: String,
}

/// Columns for the buffer; notes come behind.
const WIDTH: u64 = 64;

/// Draws a buffer that starts `page_offset` bytes into its first page, and one line for each piece.
///
/// ```text
/// pages   │0    │1    │2    │
/// buffer  │  ▒▒▒│▒▒▒▒▒│▒▒▒  │
/// piece 0 │  ███│█████│     │ …
/// piece 1 │     │     │███  │ …
/// ```
pub fn draw(page_offset: u64, length: u64, bars: &[Bar]) -> String {
    let pages = (page_offset + length).div_ceil(PAGE).max(1);
    let canvas = Canvas {
        page_offset,
        pages,
        cells: (WIDTH / pages).min(6),
    };
    let mut text = String::new();
    let digits = bars.len().saturating_sub(1).to_string().len();
    let margin = "piece ".len() + digits;
    let _ = writeln!(text, "{:margin$} {}", "pages", canvas.ruler());
    let whole = [Bar {
        offset: 0,
        length,
        note: String::new(),
    }];
    let _ = writeln!(
        text,
        "{:margin$} {}",
        "buffer",
        canvas.line(&whole[0], '▒').trim_end()
    );
    for (number, bar) in bars.iter().enumerate() {
        let line = canvas.line(bar, '█');
        let _ = writeln!(text, "piece {number:digits$} {line} {}", bar.note);
    }
    text
}

struct Canvas {
    page_offset: u64,
    pages: u64,
    /// Characters for a page; 0 when pages share characters.
    cells: u64,
}

impl Canvas {
    /// The numbers of the pages.
    fn ruler(&self) -> String {
        if self.cells < 2 {
            return format!(
                "│{:<width$}│",
                format!("0 … {}", self.pages - 1),
                width = self.columns()
            );
        }
        let mut text = String::new();
        for page in 0..self.pages {
            let name = page.to_string();
            let name = if name.len() as u64 <= self.cells {
                name
            } else {
                String::new()
            };
            let _ = write!(text, "│{name:<width$}", width = self.cells as usize);
        }
        text + "│"
    }

    /// One piece's share of the pages.
    fn line(&self, bar: &Bar, fill: char) -> String {
        let columns = self.columns() as u64;
        let bytes = self.pages * PAGE;
        let start = self.page_offset + bar.offset;
        let end = start + bar.length;
        let mut text = String::from("│");
        for column in 0..columns {
            // A column is filled if any of its bytes belongs to the piece.
            let from = column * bytes / columns;
            let to = (column + 1) * bytes / columns;
            let inside = start < to.max(from + 1) && from < end;
            text.push(if inside { fill } else { ' ' });
            let separates = self.cells >= 2 && (column + 1) % self.cells == 0;
            if separates && column + 1 < columns {
                text.push('│');
            }
        }
        text + "│"
    }

    fn columns(&self) -> usize {
        let columns = if self.cells < 2 {
            self.pages.min(WIDTH)
        } else {
            self.pages * self.cells
        };
        columns as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_lie_over_their_pages() {
        let bar = |offset, length| Bar {
            offset,
            length,
            note: "x".into(),
        };
        let picture = draw(2048, 3 * 4096, &[bar(0, 6144), bar(6144, 6144)]);
        let lines: Vec<&str> = picture.lines().collect();
        assert_eq!(lines[0], "pages   │0     │1     │2     │3     │");
        assert_eq!(lines[1], "buffer  │   ▒▒▒│▒▒▒▒▒▒│▒▒▒▒▒▒│▒▒▒   │");
        assert_eq!(lines[2], "piece 0 │   ███│██████│      │      │ x");
        assert_eq!(lines[3], "piece 1 │      │      │██████│███   │ x");
    }

    #[test]
    fn large_buffers_share_columns() {
        let picture = draw(
            0,
            1 << 30,
            &[Bar {
                offset: 0,
                length: 1 << 29,
                note: String::new(),
            }],
        );
        let line = picture.lines().nth(2).expect("a piece");
        assert_eq!(line.matches('█').count(), 32);
        assert!(picture.starts_with("pages   │0 … 262143"));
    }
}

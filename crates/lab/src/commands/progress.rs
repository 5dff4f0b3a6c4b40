//! Progress bars, which only terminals get to see.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that counts requests on the error stream; hidden when that is not a terminal.
pub(crate) fn requests(total: u64) -> ProgressBar {
    let template = "{bar:40} {human_pos}/{human_len} requests  {per_sec}  {eta} left";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

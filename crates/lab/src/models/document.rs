//! The rule in "Storage Class Driver's SplitTransferRequest Routine", as its example of `DispatchReadWrite` has it.

use super::{PAGE, Question, Sent};

/// What a driver written after the document would send: the whole request if it is neither too long nor on too many
/// pages, else pieces of at most `MaximumPhysicalPages - 1` pages' worth of bytes. None if that leaves no sector.
pub fn document(question: &Question) -> Option<Vec<Sent>> {
    let Question {
        sector,
        length,
        lba,
        ..
    } = *question;
    let most = u64::from(question.maximum_transfer_length);
    let pages = u64::from(question.maximum_physical_pages.max(1));
    if length <= most && question.span(0, length) <= pages {
        return Some(vec![Sent {
            offset: 0,
            length,
            lba,
            blocks: length / sector,
        }]);
    }
    let piece = most.min((pages - 1) * PAGE) / sector * sector;
    if piece == 0 {
        return None;
    }
    let starts = (0..length).step_by(piece as usize);
    let sent = starts.map(|offset| {
        let part = piece.min(length - offset);
        Sent {
            offset,
            length: part,
            lba: lba + offset / sector,
            blocks: part / sector,
        }
    });
    Some(sent.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(page_offset: u64, length: u64, pages: u32) -> Question {
        Question {
            sector: 512,
            page_offset,
            lba: 8,
            length,
            maximum_transfer_length: 65536,
            maximum_physical_pages: pages,
            long_commands: false,
        }
    }

    fn lengths(question: &Question) -> Vec<u64> {
        document(question)
            .expect("a split")
            .iter()
            .map(|sent| sent.length)
            .collect()
    }

    #[test]
    fn the_three_cases() {
        assert_eq!(lengths(&question(512, 61440, 17)), [61440], "neither");
        assert_eq!(
            lengths(&question(0, 131_072, 33)),
            [65536, 65536],
            "too long"
        );
        assert_eq!(
            lengths(&question(512, 65536, 16)),
            [61440, 4096],
            "too many pages"
        );
    }

    #[test]
    fn one_page_leaves_nothing_to_send() {
        assert_eq!(document(&question(0, 8192, 1)), None);
        assert_eq!(lengths(&question(0, 4096, 1)), [4096]);
    }
}

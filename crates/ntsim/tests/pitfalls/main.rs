//! The simulated kernel is trusted because it was tried: for each known pitfall of a driver that
//! splits storage requests there is a small wrong driver here, and the kernel stops it.
//!
//! One [right driver](splitter) passes. Each wrong one replaces a single step of it, and its test
//! names the bug check, or the verdict that takes its place where Windows would not stop either: a
//! hang, data in the wrong place, a violation at the adapter, a leak. The numbers are those of the
//! table in `docs/simulated-kernel.md`, which also says what the kernel cannot see.
//!
//! | module | pitfalls |
//! |---|---|
//! | `counting` | 1 to 6: who completes the parent, when, and how often |
//! | `irps` | 7, 8, 12, 13: the pieces' IRPs |
//! | `mdls` | 9 to 11, 17: the pieces' MDLs |
//! | `srbs` | 14 to 16, 18 to 20, 23: what the pieces ask for, and what is made of the answers |
//! | `levels` | 21, 22: IRQL, locks, stack |
//! | `removal` | 24: the device goes |
//! | `verifier` | 25: what Driver Verifier would see |
//! | `framework` | 24 again, beneath KMDF; power |
//! | `replies` | descriptor replies and SRB functions that are none of the filter's business |

mod counting;
mod device;
mod framework;
mod irps;
mod levels;
mod mdls;
mod reference;
mod removal;
mod replies;
mod right;
mod sender;
mod splitter;
mod srbs;
mod verifier;
mod wdm;

use ntsim::BugCheck;
use ntsim::port::{Completion, Hba};
use ntsim::world::{Buffer, Report, Scsi, Stack};

/// Bytes of a block.
const BLOCK: usize = 512;
/// Bytes of the reference splitter's pieces.
const PIECE: usize = 16 << 10;

/// An adapter that takes one piece at a time, wherever in a page it begins, and completes inline.
fn adapter() -> Hba {
    Hba::unlimited().limits(PIECE as u32, 5)
}

/// The same adapter, completing a little later and out of order, at `DISPATCH_LEVEL`.
fn slow_adapter() -> Hba {
    adapter().completion(Completion::Later(100..10_000))
}

/// A buffer of so many pieces that begins in the middle of a page.
fn pieces(stack: &Stack, count: usize) -> Buffer {
    stack.buffer(count * PIECE, BLOCK)
}

/// What byte `at` of the disk should be.
fn expected(at: u64) -> u8 {
    (at ^ (at >> 9).wrapping_mul(0x9D)) as u8
}

/// Fills a buffer with what the disk should have from byte `at` on.
fn mark(buffer: &Buffer, at: u64) {
    buffer.fill_with(|index| expected(at + index as u64));
}

/// Whether a buffer has what the disk should have from byte `at` on.
fn is_marked(buffer: &Buffer, at: u64) -> bool {
    let bytes = buffer.bytes();
    bytes
        .iter()
        .zip(at..)
        .all(|(&byte, at)| byte == expected(at))
}

/// WRITE of the whole buffer at `lba`.
fn write<'s>(stack: &'s Stack, lba: u64, buffer: &Buffer) -> Scsi<'s> {
    let blocks = (buffer.len() / BLOCK) as u32;
    stack
        .scsi_write(lba, blocks, buffer, 0, buffer.len() as u32)
        .extended(false)
}

/// READ of the whole buffer at `lba`.
fn read<'s>(stack: &'s Stack, lba: u64, buffer: &Buffer) -> Scsi<'s> {
    let blocks = (buffer.len() / BLOCK) as u32;
    stack
        .scsi_read(lba, blocks, buffer, 0, buffer.len() as u32)
        .extended(false)
}

/// Writes four pieces and waits: the scenario of most wrong drivers.
fn four_pieces(stack: &Stack) {
    let buffer = pieces(stack, 4);
    mark(&buffer, 0);
    write(stack, 0, &buffer).send().wait();
}

/// The bug check that stopped a run; its story names the wrong driver.
#[track_caller]
fn stopped<T>(run: Result<(T, Report), BugCheck>) -> BugCheck {
    match run {
        Ok(_) => panic!("nobody stopped the wrong driver"),
        Err(stop) => {
            let story = &stop.story;
            assert!(story.contains("splitter"), "whose fault? {stop}");
            stop
        }
    }
}

/// Checks code and first parameter of a bug check, and that the story has all `words`.
#[track_caller]
fn assert_stop(stop: &BugCheck, code: u32, rule: u64, words: &[&str]) {
    assert_eq!(stop.code, code, "{stop}");
    assert_eq!(stop.parameters[0], rule, "{stop}");
    assert_words(stop, words);
}

/// Checks the code of a bug check whose parameters are addresses.
#[track_caller]
fn assert_code(stop: &BugCheck, code: u32, words: &[&str]) {
    assert_eq!(stop.code, code, "{stop}");
    assert_words(stop, words);
}

#[track_caller]
fn assert_words(stop: &BugCheck, words: &[&str]) {
    for word in words {
        assert!(
            stop.story.contains(word),
            "the story does not say {word:?}: {stop}"
        );
    }
}

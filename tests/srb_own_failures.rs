//! A failure that no piece reported has an SRB status of its own, and an IRP status that goes with it:
//! class drivers go by the former, everybody else by the latter. A port short of resources is asked
//! for less first.

mod common;

use common::block::{Block, srb_status, u32_at};
use common::post::{Post, Returned, UNTOUCHED, post};
use common::{BOTH, assert_told_once, noise, run, srb_pieces_of};
use ntsim::abi::{
    STATUS_CANCELLED, STATUS_DEVICE_DOES_NOT_EXIST, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_IO_DEVICE_ERROR, STATUS_NO_SUCH_DEVICE,
};
use ntsim::port::{Direction, Fault, Kind};
use ntsim::world::read_write_cdb;
use ntsim::{Buffer, Stack};

const PIECE: usize = 1024;
const BLOCKS: u64 = 2;
const FIRST: u64 = 64;

/// One request of several pieces.
struct Case<'s> {
    stack: &'s Stack,
    block: Block,
    buffer: Buffer,
}

impl<'s> Case<'s> {
    fn new(stack: &'s Stack, direction: Direction, extended: bool, pieces: usize) -> Self {
        let cdb = read_write_cdb(direction, FIRST, (pieces as u64 * BLOCKS) as u32, 10);
        let buffer = stack.buffer(pieces * PIECE, 0);
        buffer.write(0, &noise(7, pieces * PIECE));
        Self {
            stack,
            block: Block::of(extended, &cdb),
            buffer,
        }
    }

    fn post(&self) -> Post {
        post(&self.block).buffer(&self.buffer)
    }

    /// Sends it, with half of this piece missing.
    fn with_short(&self, piece: u64) -> Returned {
        let lba = FIRST + piece * BLOCKS;
        self.stack.port().fault(Fault::new(Kind::Short).at_lba(lba));
        self.post().send(self.stack).wait()
    }
}

#[test]
fn resources_that_do_not_suffice_for_a_single_sector() {
    // Whatever form the port says it in, the sender gets it in this form: its own low-memory path
    // begins with it.
    for kind in [
        Kind::NoResourcesIrp,
        Kind::NoResourcesSystem,
        Kind::NoResourcesSrb,
    ] {
        for extended in [false, true] {
            run(srb_pieces_of(PIECE), |stack| {
                let case = Case::new(stack, Direction::Write, extended, 3);
                let lba = FIRST + BLOCKS;
                stack.port().fault(Fault::new(kind).at_lba(lba).always());
                let returned = case.post().send(stack).wait();
                let outcome = stack.port().transfers().pop().expect("it was sent").outcome;
                assert_eq!(
                    returned.done.status, STATUS_INSUFFICIENT_RESOURCES,
                    "{kind:?}"
                );
                assert_eq!(returned.raw_srb_status(), outcome.srb_status, "{kind:?}");
                if kind == Kind::NoResourcesSystem {
                    assert_eq!(returned.srb_status(), srb_status::INTERNAL_ERROR);
                    assert_eq!(returned.system_status(), STATUS_INSUFFICIENT_RESOURCES);
                } else if !extended {
                    let at = case.block.at.system_status;
                    let key = u32_at(&returned.sent, at);
                    assert_eq!(returned.system_status(), key as i32, "the sort key stays");
                }
            });
        }
    }
}

#[test]
fn resources_that_suffice_for_less() {
    for kind in [
        Kind::NoResourcesIrp,
        Kind::NoResourcesSystem,
        Kind::NoResourcesSrb,
    ] {
        for extended in [false, true] {
            run(srb_pieces_of(4 * PIECE), |stack| {
                let case = Case::new(stack, Direction::Write, extended, 16);
                stack
                    .port()
                    .fault(Fault::new(kind).at_lba(FIRST + 8).times(2));
                let returned = case.post().send(stack).wait();
                assert_eq!(returned.raw_srb_status(), srb_status::SUCCESS, "{kind:?}");
                assert_eq!(returned.length() as usize, 16 * PIECE);
                assert_eq!(returned.system_status(), 0);
                let mut disk = vec![0; 16 * PIECE];
                stack.disk().peek(FIRST * 512, &mut disk);
                assert!(disk == noise(7, 16 * PIECE));
            });
        }
    }
}

/// A failure of the driver's own.
#[track_caller]
fn assert_own(returned: &Returned, srb: u8, status: i32, moved: usize) {
    assert_told_once(&returned.done);
    assert_eq!(returned.raw_srb_status(), srb, "{:?}", returned.done);
    assert_eq!(returned.done.status, status);
    assert_eq!(returned.scsi_status(), 0);
    assert_eq!(returned.length() as usize, moved);
    assert_eq!(returned.done.information as usize, moved);
    assert!(returned.sense.iter().all(|&byte| byte == UNTOUCHED));
}

#[test]
fn cancelled_while_it_waits() {
    for extended in [false, true] {
        run(srb_pieces_of(PIECE).setting("Pieces", 1), |stack| {
            stack.port().hold(true);
            let case = Case::new(stack, Direction::Write, extended, 3);
            let running = case.post().send(stack);
            let waiting = case.post().send(stack);
            assert!(waiting.cancel(), "a waiting request can be cancelled");
            assert!(waiting.is_done());
            assert_own(&waiting.wait(), srb_status::ABORTED, STATUS_CANCELLED, 0);
            stack.port().complete_all();
            assert_eq!(running.wait().raw_srb_status(), srb_status::SUCCESS);
        });
    }
}

#[test]
fn cancelled_while_it_runs() {
    for extended in [false, true] {
        for window in [1, 2, 3] {
            run(srb_pieces_of(PIECE).setting("Window", window), |stack| {
                for completed in 0..4 {
                    stack.port().hold(true);
                    let case = Case::new(stack, Direction::Write, extended, 6);
                    let sent = case.post().send(stack);
                    for _ in 0..completed {
                        stack.port().complete_next(0);
                    }
                    sent.cancel();
                    stack.port().complete_all();
                    let moved = (completed + window as usize).min(6);
                    let returned = sent.wait();
                    if moved == 6 {
                        assert_eq!(returned.raw_srb_status(), srb_status::SUCCESS);
                    } else {
                        assert_own(
                            &returned,
                            srb_status::ABORTED,
                            STATUS_CANCELLED,
                            moved * PIECE,
                        );
                    }
                }
            });
        }
    }
}

#[test]
fn an_error_outranks_a_cancellation() {
    run(srb_pieces_of(PIECE).setting("Window", 2), |stack| {
        for extended in [false, true] {
            stack.port().hold(true);
            let case = Case::new(stack, Direction::Write, extended, 4);
            let sent = case.post().send(stack);
            sent.cancel();
            stack.port().complete_with(0, Kind::MediumError);
            stack.port().complete_next(0);
            let returned = sent.wait();
            assert_eq!(returned.srb_status(), srb_status::ERROR);
            assert_eq!(returned.done.status, STATUS_IO_DEVICE_ERROR);
            assert_eq!(returned.length() as usize, PIECE);
        }
    });
}

#[test]
fn the_device_is_pulled_out() {
    for extended in [false, true] {
        run(srb_pieces_of(PIECE).setting("Pieces", 2), |stack| {
            stack.port().hold(true);
            let case = Case::new(stack, Direction::Write, extended, 6);
            let running = case.post().send(stack);
            let waiting = case.post().send(stack);
            let also = case.post().send(stack);
            stack.surprise_remove().expect("nobody may refuse");
            let returned = running.wait();
            assert_eq!(returned.raw_srb_status(), srb_status::NO_DEVICE);
            // The port's own word for it, or ours.
            let words = [STATUS_DEVICE_DOES_NOT_EXIST, STATUS_NO_SUCH_DEVICE];
            assert!(words.contains(&returned.done.status), "{:?}", returned.done);
            for waiting in [waiting, also] {
                assert_own(
                    &waiting.wait(),
                    srb_status::NO_DEVICE,
                    STATUS_NO_SUCH_DEVICE,
                    0,
                );
            }
        });
    }
}

#[test]
fn a_hole_is_an_error_that_nobody_had() {
    for extended in [false, true] {
        run(srb_pieces_of(PIECE), |stack| {
            for direction in BOTH {
                let case = Case::new(stack, direction, extended, 4);
                for place in 0..3 {
                    let returned = case.with_short(place);
                    let moved = (place as usize + 1) * PIECE - PIECE / 2;
                    assert_own(&returned, srb_status::ERROR, STATUS_IO_DEVICE_ERROR, moved);
                }
                let returned = case.with_short(3);
                assert_own(&returned, srb_status::SUCCESS, 0, 4 * PIECE - PIECE / 2);
            }
        });
    }
}

#[test]
fn requests_that_come_when_the_device_is_gone() {
    for extended in [false, true] {
        run(srb_pieces_of(PIECE), |stack| {
            stack.surprise_remove().expect("nobody may refuse");
            let before = stack.port().transfers().len();
            for pieces in [1, 6] {
                let case = Case::new(stack, Direction::Write, extended, pieces);
                let returned = case.post().send(stack).wait();
                assert_told_once(&returned.done);
                assert!(!returned.done.succeeded());
                assert_eq!(returned.done.information, 0);
                assert_ne!(returned.srb_status(), srb_status::SUCCESS);
            }
            assert_eq!(stack.port().transfers().len(), before, "nothing was sent");
        });
    }
}

#[test]
fn cancelled_while_a_piece_waits_for_its_next_attempt() {
    for extended in [false, true] {
        let world = srb_pieces_of(PIECE).setting("MaxRetries", 4);
        run(world, |stack| {
            let fault = Fault::new(Kind::NotReady).at_lba(FIRST).always();
            stack.port().fault(fault);
            let case = Case::new(stack, Direction::Read, extended, 2);
            let sent = case.post().send(stack);
            assert!(!sent.is_done());
            sent.cancel();
            let returned = sent.wait();
            assert_own(&returned, srb_status::ABORTED, STATUS_CANCELLED, PIECE);
        });
    }
}

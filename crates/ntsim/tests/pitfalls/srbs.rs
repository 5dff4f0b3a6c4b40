//! Pitfalls 14 to 16, 18 to 20, 23: what the pieces ask for, and what is made of the answers.

use ntsim::abi::{
    LARGE_INTEGER, SCSI_REQUEST_BLOCK, SRB_FLAGS_DATA_OUT, SRB_FLAGS_FREE_SENSE_BUFFER,
    SRB_FLAGS_NO_QUEUE_FREEZE, SRB_FLAGS_PORT_DRIVER_ALLOCSENSE, SRB_STATUS_BUSY, SRB_STATUS_ERROR,
    SRB_STATUS_SUCCESS, STATUS_SUCCESS,
};
use ntsim::machine::codes;
use ntsim::ntddk;
use ntsim::port::{Completion, Fault, Hba, Kind, PortRecord, Violation};
use ntsim::world::{Report, Stack};

use super::reference::Right;
use super::splitter::{Outcome, Piece, Splitter, Transfer, Verdict};
use super::{
    BLOCK, PIECE, adapter, assert_code, assert_stop, four_pieces, is_marked, mark, pieces, read,
    right, wdm, write,
};

/// Runs a wrong driver that nobody stops, and the right one: for verdicts that are not bug checks.
fn compare<S: Splitter, T: Send>(
    hba: Hba,
    scenario: impl Fn(&Stack) -> T + Send + Sync,
) -> [(T, Report); 2] {
    let wrong = S::world().hba(hba.clone()).run(&scenario);
    let right = Right::world().hba(hba).run(&scenario);
    [wrong, right].map(|run| run.unwrap_or_else(|stop| panic!("{stop}")))
}

/// 14: takes NO_QUEUE_FREEZE from the pieces: the first failure stops its own siblings, and nobody
/// releases the queue before the parent is back.
struct LetsTheQueueFreeze;

impl Splitter for LetsTheQueueFreeze {
    unsafe fn write_srb(piece: *mut Piece) {
        // SAFETY: the trait's contract; so for all blocks of this module.
        unsafe {
            right::write_srb::<Self>(piece);
            (*piece).srb.SrbFlags &= !SRB_FLAGS_NO_QUEUE_FREEZE;
        }
    }
}

#[test]
fn p14_a_frozen_queue_holds_the_siblings() {
    let run = LetsTheQueueFreeze::world().run(|stack| {
        stack.port().fault(Fault::new(Kind::HardwareError).nth(1));
        four_pieces(stack);
    });
    let Err(stop) = run else {
        panic!("the parent came back")
    };
    assert_code(&stop, codes::HANG, &["main"]);
}

/// 14, the other way round: adds NO_QUEUE_FREEZE where the class wants to look at an error first.
struct ForbidsFreezing;

impl Splitter for ForbidsFreezing {
    fn serial(_: &SCSI_REQUEST_BLOCK) -> bool {
        false
    }

    unsafe fn write_srb(piece: *mut Piece) {
        // SAFETY: the trait's contract.
        unsafe {
            right::write_srb::<Self>(piece);
            (*piece).srb.SrbFlags |= SRB_FLAGS_NO_QUEUE_FREEZE;
        }
    }
}

#[test]
fn p14_pieces_reach_a_medium_that_has_changed() {
    let writes = |records: &[PortRecord]| records.iter().filter(|r| r.outcome.moved > 0).count();
    let [wrong, right] = compare::<ForbidsFreezing, _>(adapter(), |stack| {
        stack.port().fault(Fault::new(Kind::MediumChanged).nth(1));
        let buffer = pieces(stack, 4);
        let request = write(stack, 0, &buffer).without_flags(SRB_FLAGS_NO_QUEUE_FREEZE);
        let done = request.send().wait();
        assert_eq!(u32::from(done.srb_status), SRB_STATUS_ERROR);
        writes(&stack.port().transfers())
    });
    assert_eq!(wrong.0, 3, "two pieces were written to the new medium");
    assert_eq!(right.0, 1);
}

/// 15: leaves ALLOCSENSE to the pieces: the port's sense buffer is nobody's to free.
struct LetsThePortAllocate;

impl Splitter for LetsThePortAllocate {
    unsafe fn write_srb(piece: *mut Piece) {
        // SAFETY: the trait's contract.
        unsafe {
            right::write_srb::<Self>(piece);
            (*piece).srb.SrbFlags |= SRB_FLAGS_PORT_DRIVER_ALLOCSENSE;
        }
    }
}

/// A piece fails with sense data; returns how many sense buffers of the port are left.
fn medium_error(stack: &Stack) -> usize {
    stack.port().fault(Fault::new(Kind::MediumError).at_lba(40));
    let buffer = pieces(stack, 4);
    let request = write(stack, 0, &buffer).with_flags(SRB_FLAGS_PORT_DRIVER_ALLOCSENSE);
    let done = request.send().wait();
    let sense = done.sense.expect("a medium error has sense data");
    assert_eq!(sense[3..7], 40_u32.to_be_bytes());
    stack.port().sense_buffers_left()
}

#[test]
fn p15_the_ports_sense_buffer_leaks() {
    let [wrong, right] =
        compare::<LetsThePortAllocate, _>(adapter().own_sense_buffer(true), medium_error);
    assert_eq!(wrong.0, 1);
    assert_eq!(right.0, 0);
}

/// 15: gives the port's sense buffer up and frees it as well.
struct FreesForTheClass;

impl Splitter for FreesForTheClass {
    unsafe fn write_srb(piece: *mut Piece) {
        // SAFETY: the trait's contract.
        unsafe {
            right::write_srb::<Self>(piece);
            (*piece).srb.SrbFlags |= SRB_FLAGS_PORT_DRIVER_ALLOCSENSE;
        }
    }

    unsafe fn finish(transfer: *mut Transfer) {
        // SAFETY: the trait's contract, but for the buffer that two parties free.
        unsafe {
            let srb = (*transfer).request.srb;
            for index in 0..(*transfer).request.pieces {
                let piece = Self::piece(transfer, index);
                (*srb).SrbFlags |= (*piece).srb.SrbFlags & SRB_FLAGS_FREE_SENSE_BUFFER;
                if (*piece).srb.SrbFlags & SRB_FLAGS_FREE_SENSE_BUFFER != 0 {
                    (*srb).SenseInfoBuffer = (*piece).srb.SenseInfoBuffer;
                    ntddk::ExFreePool((*piece).srb.SenseInfoBuffer);
                }
            }
            (*transfer).request.template.SrbStatus = 0;
            (*srb).SrbStatus = SRB_STATUS_ERROR as u8;
            let (extension, parent) = ((*transfer).extension, (*transfer).request.parent);
            super::device::return_transfer(transfer);
            wdm::complete(parent, ntsim::abi::STATUS_IO_DEVICE_ERROR, 0);
            super::device::unlock(extension, parent);
        }
    }
}

#[test]
fn p15_the_ports_sense_buffer_is_freed_twice() {
    let hba = adapter().own_sense_buffer(true);
    let run = FreesForTheClass::world().hba(hba).run(medium_error);
    let Err(stop) = run else {
        panic!("nobody stopped the wrong driver")
    };
    assert_stop(&stop, codes::BAD_POOL_CALLER, 0x07, &["freed before"]);
}

/// 15: lets all pieces write into the parent's sense buffer.
struct SharesTheSenseBuffer;

impl Splitter for SharesTheSenseBuffer {
    unsafe fn write_srb(piece: *mut Piece) {
        // SAFETY: the trait's contract.
        unsafe {
            let template = (*(*piece).transfer).request.template;
            right::write_srb::<Self>(piece);
            (*piece).srb.SenseInfoBuffer = template.SenseInfoBuffer;
            (*piece).srb.SenseInfoBufferLength = template.SenseInfoBufferLength;
        }
    }
}

/// Two pieces fail, the later one last; returns the block that the sense data names.
fn two_failures(stack: &Stack, order: [usize; 2]) -> u32 {
    stack.port().hold(true);
    let buffer = pieces(stack, 4);
    let pending = write(stack, 0, &buffer).send();
    for index in order {
        stack.port().complete_with(index, Kind::MediumError);
    }
    stack.port().hold(false);
    stack.port().complete_all();
    let sense = pending.wait().sense.expect("a medium error has sense data");
    u32::from_be_bytes([sense[3], sense[4], sense[5], sense[6]])
}

/// Blocks of a piece.
const BLOCKS: u32 = (PIECE / BLOCK) as u32;

#[test]
fn p15_two_pieces_write_one_sense_buffer() {
    // The second of the held pieces, then what was the fourth.
    let [wrong, right] = compare::<SharesTheSenseBuffer, _>(adapter(), |s| two_failures(s, [1, 2]));
    assert_eq!(
        wrong.0,
        3 * BLOCKS,
        "the sense data is that of another piece"
    );
    assert_eq!(right.0, BLOCKS);
}

/// 16: forgets that the SRB belongs to another IRP now.
struct KeepsOriginalRequest;

impl Splitter for KeepsOriginalRequest {
    unsafe fn write_srb(piece: *mut Piece) {
        // SAFETY: the trait's contract.
        unsafe {
            right::write_srb::<Self>(piece);
            (*piece).srb.OriginalRequest = (*(*piece).transfer).request.parent.cast();
        }
    }
}

#[test]
fn p16_original_request_is_the_parent() {
    let [wrong, right] = compare::<KeepsOriginalRequest, _>(adapter(), four_pieces);
    assert_eq!(violations(&wrong.1), [Violation::OriginalRequest; 4]);
    assert_eq!(violations(&right.1), []);
}

fn violations(report: &Report) -> Vec<Violation> {
    report
        .violations
        .iter()
        .map(|found| found.violation)
        .collect()
}

/// 16: sends a piece again with the SRB as the port left it.
struct SendsTheSrbAgain;

impl Splitter for SendsTheSrbAgain {
    unsafe fn write_srb(piece: *mut Piece) {
        // SAFETY: the trait's contract.
        unsafe {
            if (*piece).attempts == 1 {
                right::write_srb::<Self>(piece);
            }
            (*piece).srb.SrbStatus = 0;
        }
    }
}

#[test]
fn p16_what_the_port_wrote_is_sent_again() {
    let [wrong, right] = compare::<SendsTheSrbAgain, _>(adapter(), |stack| {
        stack.port().fault(Fault::new(Kind::Busy).nth(1));
        four_pieces(stack);
    });
    assert!(
        violations(&wrong.1).contains(&Violation::StaleContext),
        "{:?}",
        wrong.1.violations
    );
    assert_eq!(violations(&right.1), []);
}

/// 16: copies the stack location and leaves the parent's SRB in it.
struct SendsTheParentsSrb;

impl Splitter for SendsTheParentsSrb {
    unsafe fn write_location(piece: *mut Piece) {
        // SAFETY: the trait's contract.
        unsafe {
            right::write_location::<Self>(piece);
            (*wdm::next_location((*piece).irp)).Parameters.Scsi.Srb =
                (*(*piece).transfer).request.srb;
        }
    }
}

#[test]
fn p16_the_parents_srb_goes_down_with_every_piece() {
    let hba = adapter().completion(Completion::Later(100..200));
    let run = SendsTheParentsSrb::world().hba(hba).run(four_pieces);
    let ((), report) = run.unwrap_or_else(|stop| panic!("{stop}"));
    let found = violations(&report);
    assert!(found.contains(&Violation::OriginalRequest), "{found:?}");
    assert!(found.contains(&Violation::OutsideMdl), "{found:?}");
}

/// 18: tries again for as long as it takes.
struct NeverGivesUp;

impl Splitter for NeverGivesUp {
    unsafe fn judge(piece: *mut Piece) -> Verdict {
        // SAFETY: the trait's contract.
        let busy = unsafe { right::srb_status(piece) } == SRB_STATUS_BUSY;
        if busy { Verdict::Again } else { Verdict::Ended }
    }

    unsafe fn again(piece: *mut Piece) {
        let due = LARGE_INTEGER {
            QuadPart: -(SECOND as i64),
        };
        // SAFETY: the trait's contract.
        unsafe { ntddk::KeSetTimer(&raw mut (*piece).timer, due, &raw mut (*piece).dpc) };
    }
}

/// As virtual time is counted.
const SECOND: u64 = 10_000_000;

#[test]
fn p18_retries_without_end() {
    let [wrong, right] = compare::<NeverGivesUp, _>(adapter(), |stack| {
        stack
            .port()
            .fault(Fault::new(Kind::Busy).at_lba(40).always());
        let buffer = pieces(stack, 4);
        let pending = write(stack, 0, &buffer).send();
        ntsim::ke::delay(300 * SECOND);
        let in_time = pending.is_done();
        stack.port().clear_faults();
        pending.wait();
        in_time
    });
    assert!(
        !wrong.0,
        "after five minutes the request is still on its way"
    );
    assert!(
        wrong.1.port.writes >= 300,
        "{} attempts",
        wrong.1.port.writes
    );
    assert!(right.0);
}

/// 19: believes in the lengths that it asked for.
struct IgnoresShortPieces;

impl Splitter for IgnoresShortPieces {
    unsafe fn merge(transfer: *mut Transfer) -> Outcome {
        Outcome {
            status: STATUS_SUCCESS,
            srb_status: SRB_STATUS_SUCCESS as u8,
            scsi_status: 0,
            internal_status: 0,
            // SAFETY: the trait's contract.
            moved: unsafe { (*transfer).request.length },
            sense_of: None,
        }
    }
}

#[test]
fn p19_success_with_a_hole() {
    let [wrong, right] = compare::<IgnoresShortPieces, _>(adapter(), |stack| {
        stack.port().fault(Fault::new(Kind::Short).nth(1));
        let buffer = pieces(stack, 4);
        mark(&buffer, 0);
        let done = write(stack, 0, &buffer).send().wait();
        let back = pieces(stack, 4);
        read(stack, 0, &back).send().wait();
        (u32::from(done.srb_status), is_marked(&back, 0))
    });
    assert_eq!(
        wrong.0,
        (SRB_STATUS_SUCCESS, false),
        "success, and the data is not there"
    );
    assert_eq!(right.0, (SRB_STATUS_ERROR, false));
}

/// 19: lets a recovered piece, which the class takes for success, hide one that failed.
struct LowestWins;

impl Splitter for LowestWins {
    unsafe fn merge(transfer: *mut Transfer) -> Outcome {
        // SAFETY: the trait's contract.
        unsafe {
            let mut outcome = right::merge::<Self>(transfer);
            let pieces = (0..(*transfer).request.pieces).map(|at| Self::piece(transfer, at));
            let mut noisy = pieces.filter(|&piece| right::srb_status(piece) != SRB_STATUS_SUCCESS);
            if let Some(piece) = noisy.next() {
                outcome.srb_status = (*piece).srb.SrbStatus;
                outcome.sense_of = Some((*piece).index);
            }
            outcome
        }
    }
}

/// What a class driver makes of an answer: RECOVERED ERROR is success [classpnp,
/// `ClassInterpretSenseInfo`].
fn class_succeeds(done: &ntsim::world::ScsiDone) -> bool {
    let key = done.sense.as_ref().map(|sense| sense[2] & 0x0F);
    u32::from(done.srb_status) == SRB_STATUS_SUCCESS || key == Some(1)
}

#[test]
fn p19_a_recovered_piece_hides_a_failed_one() {
    let [wrong, right] = compare::<LowestWins, _>(adapter(), |stack| {
        stack.port().fault(Fault::new(Kind::RecoveredError));
        stack.port().fault(Fault::new(Kind::HardwareError).nth(2));
        let buffer = pieces(stack, 4);
        class_succeeds(&write(stack, 0, &buffer).send().wait())
    });
    assert!(
        wrong.0,
        "the class takes it for success, and one piece was never written"
    );
    assert!(!right.0);
}

/// 20: reports the failure that came first, not the one that is first on the disk.
struct FirstToFail;

impl Splitter for FirstToFail {
    unsafe fn ended(piece: *mut Piece) {
        // SAFETY: the trait's contract; `next` is not used where pieces run side by side.
        unsafe {
            let transfer = (*piece).transfer;
            if !right::succeeded(piece) && (*transfer).next == 0 {
                (*transfer).next = (*piece).index + 1;
            }
            right::ended::<Self>(piece);
        }
    }

    unsafe fn merge(transfer: *mut Transfer) -> Outcome {
        // SAFETY: the trait's contract.
        unsafe {
            let outcome = right::merge::<Self>(transfer);
            let first = core::mem::take(&mut (*transfer).next);
            Outcome {
                sense_of: first.checked_sub(1),
                ..outcome
            }
        }
    }
}

#[test]
fn p20_the_first_failure_in_time_is_reported() {
    let [wrong, right] = compare::<FirstToFail, _>(adapter(), |s| two_failures(s, [3, 1]));
    assert_eq!(wrong.0, 3 * BLOCKS, "the order of completion decides");
    assert_eq!(right.0, BLOCKS);
}

/// 23: splits whatever looks like a transfer.
struct SplitsAnything;

impl Splitter for SplitsAnything {
    fn splittable(cdb: &[u8; 16]) -> bool {
        right::splittable(cdb) || cdb[0] == WRITE_AND_VERIFY
    }
}

const WRITE_AND_VERIFY: u8 = 0x2E;

#[test]
fn p23_a_command_that_must_stay_whole() {
    let mut cdb = [WRITE_AND_VERIFY, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    cdb[7..9].copy_from_slice(&((4 * BLOCKS) as u16).to_be_bytes());
    let [wrong, right] = compare::<SplitsAnything, _>(Hba::unlimited(), |stack| {
        let buffer = pieces(stack, 4);
        let flags = SRB_FLAGS_DATA_OUT | SRB_FLAGS_NO_QUEUE_FREEZE;
        let request = stack
            .scsi(&cdb)
            .buffer(&buffer)
            .flags(flags)
            .extended(false);
        request
            .tag(ntsim::abi::SRB_SIMPLE_TAG_REQUEST)
            .send()
            .wait();
        let records = stack.port().records();
        records
            .iter()
            .filter(|record| record.command().first() == Some(&WRITE_AND_VERIFY))
            .count()
    });
    assert_eq!(wrong.0, 4, "a command whose extent means something was cut");
    assert_eq!(right.0, 1);
}

/// Not to split at all is wrong, too: the adapter says so.
struct PassesEverything;

impl Splitter for PassesEverything {
    fn splittable(_: &[u8; 16]) -> bool {
        false
    }
}

#[test]
fn p00_a_request_that_is_too_large_reaches_the_adapter() {
    let [wrong, right] = compare::<PassesEverything, _>(adapter(), four_pieces);
    assert_eq!(violations(&wrong.1), [Violation::Bytes, Violation::Pages]);
    assert_eq!(violations(&right.1), []);
}

//! The reference splitter is right: it does its work, and nobody stops it.

use ntsim::abi::{SRB_FLAGS_NO_QUEUE_FREEZE, SRB_STATUS_ERROR, SRB_STATUS_SUCCESS};
use ntsim::port::{Fault, Kind};

use super::splitter::Splitter;
use super::{PIECE, adapter, is_marked, mark, pieces, read, sender, slow_adapter, write};

pub(crate) struct Right;

impl Splitter for Right {}

#[test]
fn data_arrives_and_comes_back() {
    for hba in [adapter(), slow_adapter(), slow_adapter().maps_mdl(true)] {
        let run = Right::world().hba(hba).run(|stack| {
            let there = pieces(stack, 5);
            mark(&there, 7 * 512);
            let done = write(stack, 7, &there).send().wait();
            assert_eq!(u32::from(done.srb_status), SRB_STATUS_SUCCESS);
            assert_eq!(done.irp.information, 5 * PIECE as u64);
            assert_eq!(done.irp.completions, 1);
            let back = pieces(stack, 5);
            read(stack, 7, &back).send().wait();
            assert!(is_marked(&back, 7 * 512));
        });
        let ((), report) = run.unwrap_or_else(|stop| panic!("{stop}"));
        assert_eq!(report.port.writes, 5);
        assert_eq!(report.port.reads, 5);
        assert!(report.violations.is_empty(), "{:?}", report.violations);
    }
}

#[test]
fn the_sender_may_free_everything_at_completion() {
    for hba in [adapter(), slow_adapter()] {
        let run = Right::world().hba(hba).run(|stack| {
            let completions = sender::write(stack, 4 * PIECE as u32);
            stack.idle();
            completions.load(core::sync::atomic::Ordering::Relaxed)
        });
        assert_eq!(run.unwrap_or_else(|stop| panic!("{stop}")).0, 1);
    }
}

#[test]
fn a_busy_piece_is_sent_again_and_a_bad_one_fails_the_parent() {
    let run = Right::world().hba(slow_adapter()).run(|stack| {
        stack.port().fault(Fault::new(Kind::Busy).nth(2).times(2));
        let buffer = pieces(stack, 4);
        let done = write(stack, 0, &buffer).send().wait();
        assert_eq!(u32::from(done.srb_status), SRB_STATUS_SUCCESS);
        stack.port().fault(Fault::new(Kind::MediumError).at_lba(70));
        let done = write(stack, 0, &buffer).send().wait();
        assert_eq!(u32::from(done.srb_status), SRB_STATUS_ERROR);
        let sense = done.sense.expect("a medium error has sense data");
        assert_eq!(sense[3..7], 70_u32.to_be_bytes());
    });
    run.unwrap_or_else(|stop| panic!("{stop}"));
}

#[test]
fn without_no_queue_freeze_the_pieces_follow_one_another() {
    let run = Right::world().hba(slow_adapter()).run(|stack| {
        let buffer = pieces(stack, 4);
        let send = || {
            write(stack, 0, &buffer)
                .without_flags(SRB_FLAGS_NO_QUEUE_FREEZE)
                .send()
        };
        assert_eq!(u32::from(send().wait().srb_status), SRB_STATUS_SUCCESS);
        stack
            .port()
            .fault(Fault::new(Kind::HardwareError).at_lba(40));
        let done = send().wait();
        assert!(done.frozen);
        stack
            .srb_function(ntsim::abi::SRB_FUNCTION_RELEASE_QUEUE)
            .send()
            .wait();
    });
    let ((), report) = run.unwrap_or_else(|stop| panic!("{stop}"));
    assert_eq!(report.port.in_flight_peak, 1);
    assert_eq!(report.port.writes, 6);
}

#[test]
fn a_removal_waits_for_the_pieces() {
    let run = Right::world().hba(slow_adapter()).run(|stack| {
        stack.port().fault(Fault::new(Kind::Busy).nth(1));
        let buffer = pieces(stack, 4);
        let pending = write(stack, 0, &buffer).send();
        assert!(!pending.is_done());
        stack.remove().expect("nobody objects");
        assert!(pending.is_done());
        pending.wait();
    });
    run.unwrap_or_else(|stop| panic!("{stop}"));
}

//! The two counts of the pump under every interleaving of their atomics: `RUSTFLAGS="--cfg loom"
//! cargo test -p xfersplit-core --release --test loom_pump`.
//!
//! The request's memory is a loom cell: touching it while or after somebody completes it is an
//! error that loom reports.

#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::thread;
use xfersplit_core::pump::{Kicks, Pump, Turn};

/// What is varied.
#[derive(Clone, Copy)]
struct Setting {
    pieces: u32,
    window: u32,
    /// Pieces complete inside the call that sends them.
    inline: bool,
    /// The pump hands over to a DPC after this many pieces in one go.
    hand_over_after: u32,
    /// Issue stops once this many pieces are back, as after a failure.
    stop_after: u32,
    /// How the plan's hold is kept.
    bias: Bias,
    /// Requests that the same memory serves, one after the other.
    requests: u32,
}

/// The scheme of the pump, and the one that looks sufficient.
#[derive(Clone, Copy, PartialEq)]
enum Bias {
    /// One hold for the plan, one for the dispatch routine.
    PlanAndDispatch,
    /// One hold for both, given back by the pump when it leaves with the plan exhausted.
    Shared,
}

const ORDINARY: Setting = Setting {
    pieces: 1,
    window: 1,
    inline: false,
    hand_over_after: u32::MAX,
    stop_after: u32::MAX,
    bias: Bias::PlanAndDispatch,
    requests: 1,
};

/// A request as a driver has it. `issued` is the pump's alone, so it is a cell, too.
struct Transfer {
    setting: Setting,
    pump: Pump,
    in_flight: AtomicU32,
    back: AtomicU32,
    ended: AtomicBool,
    waiting: AtomicU32,
    issued: UnsafeCell<u32>,
    completed: UnsafeCell<bool>,
    served: AtomicU32,
}

impl Transfer {
    fn new(setting: Setting) -> Arc<Self> {
        let transfer = Arc::new(Self {
            setting,
            pump: Pump::new(),
            in_flight: AtomicU32::new(0),
            back: AtomicU32::new(0),
            ended: AtomicBool::new(false),
            waiting: AtomicU32::new(0),
            issued: UnsafeCell::new(0),
            completed: UnsafeCell::new(false),
            served: AtomicU32::new(0),
        });
        if setting.bias == Bias::Shared {
            assert!(!transfer.pump.release());
        }
        transfer
    }

    /// Reads the request's memory: whoever does must still hold it.
    fn touch(&self) {
        // SAFETY: loom checks that nobody writes at the same time.
        let completed = self.completed.with(|completed| unsafe { *completed });
        assert!(!completed, "touched after completion");
    }

    fn complete(&self) {
        self.completed.with_mut(|completed| {
            // SAFETY: loom checks that nobody else reads or writes.
            let completed = unsafe { &mut *completed };
            assert!(!*completed, "completed twice");
            *completed = true;
        });
        // SAFETY: the pump writes it, and every turn of the pump came before the last release.
        let issued = self.issued.with(|issued| unsafe { *issued });
        assert_eq!(
            self.in_flight.load(Ordering::Relaxed),
            0,
            "completed with pieces in flight"
        );
        assert_eq!(self.back.load(Ordering::Relaxed), issued);
        let stopped = issued >= self.setting.stop_after;
        assert!(
            stopped || issued == self.setting.pieces,
            "completed with pieces unsent"
        );
    }

    fn stopped(&self) -> bool {
        self.back.load(Ordering::Acquire) >= self.setting.stop_after
    }
}

/// Gives back a hold; the last one completes the request, and the memory may serve another, as
/// pooled transfers do.
fn release(transfer: &Arc<Transfer>) {
    if !transfer.pump.release() {
        return;
    }
    transfer.complete();
    let served = transfer.served.fetch_add(1, Ordering::Relaxed) + 1;
    if served < transfer.setting.requests {
        // SAFETY: the last hold was ours; loom checks.
        transfer
            .completed
            .with_mut(|completed| unsafe { *completed = false });
        // SAFETY: as above.
        transfer.issued.with_mut(|issued| unsafe { *issued = 0 });
        transfer.back.store(0, Ordering::Relaxed);
        transfer.ended.store(false, Ordering::Relaxed);
        transfer.pump.begin();
        dispatch(transfer);
    }
}

/// The dispatch routine: pump, then give back the dispatch routine's hold.
fn dispatch(transfer: &Arc<Transfer>) {
    pump(transfer);
    if transfer.setting.bias == Bias::PlanAndDispatch {
        release(transfer);
    }
}

/// A piece comes back: the order of the driver's completion routine.
fn done(transfer: &Arc<Transfer>) {
    transfer.touch();
    transfer.back.fetch_add(1, Ordering::AcqRel);
    transfer.in_flight.fetch_sub(1, Ordering::AcqRel);
    pump(transfer);
    release(transfer);
}

fn send(transfer: &Arc<Transfer>) {
    if transfer.setting.inline {
        done(transfer);
    } else {
        let transfer = transfer.clone();
        thread::spawn(move || done(&transfer));
    }
}

/// Enters the pump; the caller has a hold.
fn pump(transfer: &Arc<Transfer>) {
    if let Some(turn) = transfer.pump.enter() {
        issue(transfer, turn);
    }
}

/// The pump itself.
fn issue(transfer: &Arc<Transfer>, mut turn: Turn) {
    let setting = transfer.setting;
    let mut in_a_row = 0;
    loop {
        // SAFETY: only the pump touches it, and its turns follow each other; loom checks.
        let issued = || transfer.issued.with(|issued| unsafe { *issued });
        while issued() < setting.pieces
            && !transfer.stopped()
            && transfer.in_flight.load(Ordering::Acquire) < setting.window
        {
            if in_a_row == setting.hand_over_after {
                dpc(transfer, turn);
                return;
            }
            in_a_row += 1;
            transfer.touch();
            // SAFETY: as above.
            transfer.issued.with_mut(|issued| unsafe { *issued += 1 });
            transfer.pump.hold();
            transfer.in_flight.fetch_add(1, Ordering::AcqRel);
            send(transfer);
        }
        let exhausted = issued() == setting.pieces || transfer.stopped();
        if exhausted
            && setting.bias == Bias::PlanAndDispatch
            && !transfer.ended.swap(true, Ordering::Relaxed)
        {
            transfer.pump.plan_ended();
        }
        if let Some(more) = transfer.pump.leave(turn) {
            turn = more;
            continue;
        }
        if setting.bias == Bias::Shared {
            // The wrong version: it has left the pump and still has something to do.
            transfer.touch();
            if exhausted && !transfer.ended.swap(true, Ordering::AcqRel) {
                release(transfer);
            }
        }
        return;
    }
}

/// Hands the turn to a DPC on another processor.
fn dpc(transfer: &Arc<Transfer>, turn: Turn) {
    let kept = transfer.pump.hand_over(turn);
    transfer.waiting.store(kept, Ordering::Relaxed);
    let transfer = transfer.clone();
    thread::spawn(move || {
        let turn = Turn::resume(transfer.waiting.load(Ordering::Relaxed));
        issue(&transfer, turn);
        release(&transfer);
    });
}

/// Every interleaving of one setting.
fn check(setting: Setting) {
    let mut model = loom::model::Builder::new();
    // Every interleaving with at most so many forced switches; switches where a thread ends are
    // free.
    model.preemption_bound = Some(if setting.pieces > 2 { 2 } else { 3 });
    model.check(move || {
        let transfer = Transfer::new(setting);
        dispatch(&transfer);
    });
}

#[test]
fn one_piece() {
    check(ORDINARY);
}

#[test]
fn two_pieces_one_at_a_time() {
    check(Setting {
        pieces: 2,
        ..ORDINARY
    });
}

#[test]
fn two_pieces_at_once() {
    check(Setting {
        pieces: 2,
        window: 2,
        ..ORDINARY
    });
}

#[test]
fn three_pieces_in_a_window_of_two() {
    check(Setting {
        pieces: 3,
        window: 2,
        ..ORDINARY
    });
}

#[test]
fn completion_inside_the_call() {
    check(Setting {
        pieces: 3,
        window: 2,
        inline: true,
        ..ORDINARY
    });
}

#[test]
fn stopping_after_a_failure() {
    check(Setting {
        pieces: 3,
        window: 2,
        stop_after: 1,
        ..ORDINARY
    });
}

#[test]
fn handing_over_to_a_dpc() {
    check(Setting {
        pieces: 3,
        window: 3,
        inline: true,
        hand_over_after: 2,
        ..ORDINARY
    });
    check(Setting {
        pieces: 2,
        window: 2,
        hand_over_after: 1,
        ..ORDINARY
    });
}

#[test]
fn the_same_memory_for_the_next_request() {
    check(Setting {
        pieces: 2,
        window: 2,
        requests: 2,
        ..ORDINARY
    });
    check(Setting {
        pieces: 2,
        inline: true,
        requests: 3,
        ..ORDINARY
    });
}

/// One hold shared by plan and dispatch routine: a request is touched after it was completed.
#[test]
#[should_panic(expected = "Causality violation")]
fn one_shared_bias_is_not_enough() {
    check(Setting {
        bias: Bias::Shared,
        ..ORDINARY
    });
}

/// The kicks alone, as the server of a device: work that is announced is done, by one server at a
/// time.
#[test]
fn a_server_of_many_callers() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        struct Device {
            kicks: Kicks,
            announced: AtomicU32,
            served: UnsafeCell<u32>,
        }
        fn call(device: &Device) {
            device.announced.fetch_add(1, Ordering::AcqRel);
            let mut turn = device.kicks.enter();
            while let Some(mine) = turn {
                let announced = device.announced.swap(0, Ordering::AcqRel);
                // SAFETY: one server at a time; loom checks.
                device
                    .served
                    .with_mut(|served| unsafe { *served += announced });
                turn = device.kicks.leave(mine);
            }
        }
        let device = Arc::new(Device {
            kicks: Kicks::new(),
            announced: AtomicU32::new(0),
            served: UnsafeCell::new(0),
        });
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let device = device.clone();
                thread::spawn(move || call(&device))
            })
            .collect();
        call(&device);
        for caller in callers {
            caller.join().expect("caller");
        }
        // SAFETY: everybody else has ended.
        assert_eq!(device.served.with(|served| unsafe { *served }), 3);
    });
}

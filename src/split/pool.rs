//! Where the engine's memory comes from, and when it goes.
//!
//! Everything is allocated when the device starts for the first time, kept over stop and start, and
//! freed in the device's cleanup, after the rundown and after `KeFlushQueuedDpcs`.

use core::{
    cell::Cell,
    ptr::{self, NonNull},
    sync::atomic::AtomicBool,
};

use wdk_sys::PDEVICE_OBJECT;
use xfersplit_core::pump::Kicks;

use super::{
    Engine, Pooled,
    chain::Chain,
    piece::{self, Piece},
    pump,
    release::{self, ReleaseQueue},
    serve,
    transfer::Transfer,
};
use crate::{
    TAG,
    counters::Counters,
    paired::Paired,
    shape::Config,
    srb::RequestBlock,
    wdm::{
        self,
        dpc::Dpc,
        irp::{self, ChildIrp},
        lock::SpinLock,
        mdl::{self, PartialMdl},
        memory,
        queue::WaitingQueue,
        rundown::Rundown,
        succeeded,
    },
};

/// Nonpaged bytes that one device's pieces may take, unless the settings say otherwise.
const BUDGET_BYTES: usize = 1 << 20;

/// Pieces that a device has at least: one to work with, and one for paging I/O beside it.
const FEWEST_PIECES: usize = 2;

/// Free pieces and transfers. There are as many transfers as pieces, for a transfer that has begun
/// holds at least one piece.
#[derive(Default)]
pub(super) struct Stock(SpinLock<Free>);

#[derive(Default)]
struct Free {
    pieces: Chain<Piece>,
    transfers: Chain<Transfer>,
}

// SAFETY: pool members may be used on any processor.
unsafe impl Send for Free {}

impl Stock {
    /// A free piece for a transfer that has begun.
    pub(super) fn take_piece(&self) -> Option<Pooled<Piece>> {
        self.0.lock().pieces.pop()
    }

    /// What a transfer needs to begin.
    pub(super) fn take_both(&self) -> Option<(Pooled<Transfer>, Pooled<Piece>)> {
        let mut free = self.0.lock();
        if free.pieces.is_empty() {
            return None;
        }
        let transfer = free.transfers.pop()?;
        free.pieces.pop().map(|piece| (transfer, piece))
    }

    pub(super) fn give_piece(&self, piece: Pooled<Piece>) {
        self.0.lock().pieces.push(piece);
    }

    pub(super) fn give_transfer(&self, transfer: Pooled<Transfer>) {
        self.0.lock().transfers.push(transfer);
    }
}

/// The blocks that hold the pieces and transfers.
pub(super) struct Parts {
    pieces: NonNull<Piece>,
    transfers: NonNull<Transfer>,
    count: usize,
}

impl Parts {
    /// All pieces, whoever has them.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Pooled<Piece>> {
        members(self.pieces, self.count)
    }

    fn transfers(&self) -> impl Iterator<Item = Pooled<Transfer>> {
        members(self.transfers, self.count)
    }
}

/// The members of a block of the engine's.
fn members<T>(block: NonNull<T>, count: usize) -> impl Iterator<Item = Pooled<T>> {
    (0..count).map(move |index| {
        // SAFETY: `block` is one of the engine's, which hold `count` values each.
        let member = unsafe { block.add(index) };
        // SAFETY: initialised for as long as the engine lives.
        unsafe { Pooled::from_non_null(member) }
    })
}

/// Builds a device's engine: `None` when the system has not enough memory, with everything given
/// back. PASSIVE_LEVEL.
///
/// # Safety
/// `rundown`, `counters` and `paired` stay where they are and outlive the engine; `lower` is the device that
/// ours is attached to, for as long.
pub(crate) unsafe fn build(
    rundown: &Rundown,
    counters: &Counters,
    paired: &Paired,
    lower: PDEVICE_OBJECT,
    config: Config,
) -> Option<Pooled<Engine>> {
    let count = pieces_for(&config);
    let place = memory::allocate::<Engine>(1, TAG)?;
    // SAFETY: the block is written below before anybody follows the pointer.
    let engine = unsafe { Pooled::from_non_null(place) };
    let Some((parts, release)) = build_parts(engine, &config, count) else {
        // SAFETY: just allocated, never used.
        unsafe { memory::free(place, TAG) };
        return None;
    };
    let value = Engine {
        lower,
        config,
        stock: Stock::default(),
        waiting: WaitingQueue::new(serve::cancelled, engine.as_context().cast_const()),
        server: Kicks::new(),
        server_turn: Cell::new(0),
        server_dpc: Dpc::default(),
        release,
        gone: AtomicBool::new(false),
        timers: SpinLock::new(()),
        parts,
        rundown,
        counters,
        paired,
    };
    // SAFETY: the block has room for one engine.
    unsafe { place.write(value) };
    initialise(engine);
    Some(engine)
}

/// What must be done where the values stay.
fn initialise(engine: Pooled<Engine>) {
    // SAFETY: the engine is not shared yet and stays where it is.
    let status = unsafe { engine.waiting.initialise() };
    debug_assert!(
        succeeded(status),
        "IoCsqInitialize only stores its arguments"
    );
    let context = engine.as_context();
    // SAFETY: the engine outlives the DPC, which is flushed before `dismantle` frees it.
    unsafe { engine.server_dpc.initialise(Some(serve::resume), context) };
    // SAFETY: as above.
    unsafe {
        engine
            .release
            .dpc
            .initialise(Some(release::resume), context);
    };
    for transfer in engine.parts.transfers() {
        // SAFETY: as above, for a member of the pool.
        unsafe {
            transfer
                .pump_dpc
                .initialise(Some(pump::resume), transfer.as_context());
        };
        engine.stock.give_transfer(transfer);
    }
    for piece in engine.parts.pieces() {
        // SAFETY: as above.
        unsafe { piece.dpc.initialise(Some(piece::ready), piece.as_context()) };
        // SAFETY: as above.
        unsafe { piece.timer.initialise() };
        engine.stock.give_piece(piece);
    }
}

/// Pieces of a device: what the settings say, or what the budget allows, up to two windows.
fn pieces_for(config: &Config) -> usize {
    config.pieces().map_or_else(
        || {
            let cost = size_of::<Piece>()
                + size_of::<Transfer>()
                + irp::irp_bytes(config.stack_size())
                + mdl::mdl_bytes(config.largest_piece());
            (BUDGET_BYTES / cost).clamp(FEWEST_PIECES, 2 * config.widest_window() as usize)
        },
        |pieces| pieces as usize,
    )
}

fn build_parts(
    engine: Pooled<Engine>,
    config: &Config,
    count: usize,
) -> Option<(Parts, ReleaseQueue)> {
    let release = ReleaseQueue::new(
        ChildIrp::allocate(config.stack_size())?,
        RequestBlock::new(),
    );
    let built = build_transfers(engine, count).and_then(|transfers| {
        if let Some(pieces) = build_pieces(config, count) {
            return Some(Parts {
                pieces,
                transfers,
                count,
            });
        }
        // SAFETY: just allocated; a free transfer needs no drop.
        unsafe { memory::free(transfers, TAG) };
        None
    });
    if let Some(parts) = built {
        return Some((parts, release));
    }
    // SAFETY: never sent.
    unsafe { release.irp.free() };
    None
}

fn build_transfers(engine: Pooled<Engine>, count: usize) -> Option<NonNull<Transfer>> {
    let block = memory::allocate::<Transfer>(count, TAG)?;
    for index in 0..count {
        // SAFETY: the block has room for `count` values.
        let place = unsafe { block.add(index) };
        // SAFETY: as above.
        unsafe { place.write(Transfer::new(engine)) };
    }
    Some(block)
}

fn build_pieces(config: &Config, count: usize) -> Option<NonNull<Piece>> {
    let block = memory::allocate::<Piece>(count, TAG)?;
    for index in 0..count {
        let Some(piece) = build_piece(config) else {
            // SAFETY: the first `index` values were written, and none was ever used.
            unsafe { free_pieces(block, index) };
            return None;
        };
        // SAFETY: the block has room for `count` values.
        let place = unsafe { block.add(index) };
        // SAFETY: as above.
        unsafe { place.write(piece) };
    }
    Some(block)
}

fn build_piece(config: &Config) -> Option<Piece> {
    let irp = ChildIrp::allocate(config.stack_size())?;
    let Some(mdl) = PartialMdl::allocate(config.largest_piece()) else {
        // SAFETY: never sent.
        unsafe { irp.free() };
        return None;
    };
    Some(Piece::new(irp, mdl, RequestBlock::new()))
}

/// Frees the first `count` pieces and their block.
///
/// # Safety
/// They are initialised and nobody holds them.
unsafe fn free_pieces(block: NonNull<Piece>, count: usize) {
    for index in 0..count {
        // SAFETY: within the block.
        let place = unsafe { block.add(index) };
        // SAFETY: initialised, and read once: the block goes right after.
        let piece = unsafe { place.read() };
        // SAFETY: the caller's contract.
        unsafe { piece.mdl.free() };
        // SAFETY: the caller's contract.
        unsafe { piece.irp.free() };
    }
    // SAFETY: the block came from `memory::allocate`; its values were taken out.
    unsafe { memory::free(block, TAG) };
}

/// Takes the engine apart. PASSIVE_LEVEL.
///
/// # Safety
/// The rundown is over, and nobody will follow a pointer to the engine again.
pub(crate) unsafe fn dismantle(engine: Pooled<Engine>) {
    for piece in engine.parts.pieces() {
        // Idle by now; a timer that was never set is not set.
        let _was_set = piece.timer.cancel();
    }
    wdm::dpc::flush();
    let place = engine.as_non_null();
    // SAFETY: the caller's contract; the block goes right after.
    let Engine { parts, release, .. } = unsafe { ptr::read(place.as_ptr()) };
    // SAFETY: the rundown is over: all pieces are free.
    unsafe { free_pieces(parts.pieces, parts.count) };
    // SAFETY: as above; a free transfer needs no drop.
    unsafe { memory::free(parts.transfers, TAG) };
    // SAFETY: the rundown is over: the request is not below.
    unsafe { release.irp.free() };
    // SAFETY: the block came from `memory::allocate`.
    unsafe { memory::free(place, TAG) };
}

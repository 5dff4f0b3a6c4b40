//! The rules about DMA, by the numbers that Driver Verifier has for them (Bug Check Code Reference,
//! 0xE6: the first parameter).

use crate::abi::KIRQL;
use crate::machine::context::{Context, DISPATCH};
use crate::machine::{Violation, codes};

/// More is flushed than is mapped (second parameter 1), or a transfer needs more map registers than
/// were granted (second parameter 2).
pub const MISCELLANEOUS: u64 = 0x00;
/// A common buffer was freed twice, or was none.
pub const COMMON_BUFFER_FREED: u64 = 0x03;
/// A channel was freed that is not held.
pub const CHANNEL_FREED: u64 = 0x04;
/// Map registers were freed that are not held.
pub const REGISTERS_FREED: u64 = 0x05;
/// A scatter/gather list was put back twice, or was none.
pub const LIST_FREED: u64 = 0x06;
/// An adapter was put with common buffers left.
pub const PUT_WITH_COMMON_BUFFERS: u64 = 0x07;
/// An adapter was put with its channel held or waited for.
pub const PUT_WITH_CHANNEL: u64 = 0x08;
/// An adapter was put with map registers left.
pub const PUT_WITH_REGISTERS: u64 = 0x09;
/// An adapter was put with scatter/gather lists left.
pub const PUT_WITH_LISTS: u64 = 0x0A;
/// A device waits for its channel already, or an AdapterControl routine asks for one.
pub const TOO_MANY_CHANNELS: u64 = 0x0B;
/// More map registers were asked for than `IoGetDmaAdapter` said there are. Without Driver Verifier
/// `AllocateAdapterChannel` returns `STATUS_INSUFFICIENT_RESOURCES`.
pub const TOO_MANY_REGISTERS: u64 = 0x0C;
/// The map registers are full of what was not flushed.
pub const NOT_FLUSHED: u64 = 0x0D;
/// The buffer's pages are not locked.
pub const NOT_LOCKED: u64 = 0x0E;
/// Map registers were freed with transfers still mapped: `FlushAdapterBuffers` comes first.
pub const STILL_MAPPED: u64 = 0x10;
/// A routine was called at a wrong IRQL (second parameter 1: another than expected; 2: higher).
pub const IRQL: u64 = 0x13;
/// The adapter was put before.
pub const ADAPTER_GONE: u64 = 0x18;
/// No adapter was passed.
pub const ADAPTER_NULL: u64 = 0x19;
/// The address is not the MDL's.
pub const OUTSIDE_MDL: u64 = 0x1B;
/// The range is mapped already.
pub const MAPPED_TWICE: u64 = 0x1D;
/// The transfer ends beyond the MDL, on another page (second parameter 3).
pub const BEYOND_MDL: u64 = 0x1F;
/// What is flushed was not mapped.
pub const NOT_MAPPED: u64 = 0x20;
/// A transfer of no bytes.
pub const LENGTH_ZERO: u64 = 0x21;
/// The transfer ends beyond the MDL, on its last page.
pub const BUFFER_TOO_SHORT: u64 = 0x24;
/// `DEVICE_DESCRIPTION.Version` is none.
pub const UNKNOWN_VERSION: u64 = 0x25;
/// Stricter than Driver Verifier: flushed in another direction than mapped, so that data was copied
/// to the wrong side, or not at all.
pub const WRONG_DIRECTION: u64 = 0xE000_0001;
/// Stricter than Driver Verifier: a frame of a mapped transfer is no RAM any more, for its buffer was
/// freed.
pub const BUFFER_GONE: u64 = 0xE000_0002;

/// A broken rule about DMA.
pub(crate) fn broken(rule: u64, rest: [u64; 3], story: impl Into<String>) -> Violation {
    let [second, third, fourth] = rest;
    Violation::new(
        codes::DRIVER_VERIFIER_DMA_VIOLATION,
        [rule, second, third, fourth],
        story,
    )
}

/// Stops the machine unless `function` was called at exactly `irql`.
pub(super) fn exactly(context: &Context, function: &str, irql: KIRQL) {
    let now = context.irql.get();
    if now != irql {
        let story = format!("{function} must be called at IRQL {irql} and was called at {now}.");
        broken(IRQL, [1, irql.into(), now.into()], story).raise();
    }
}

/// Stops the machine if `function` was called above `DISPATCH_LEVEL`.
pub(super) fn up_to_dispatch(context: &Context, function: &str) {
    let now = context.irql.get();
    if now > DISPATCH {
        let story = format!(
            "{function} may be called at IRQL {DISPATCH} or below, and was called at {now}."
        );
        broken(IRQL, [2, DISPATCH.into(), now.into()], story).raise();
    }
}

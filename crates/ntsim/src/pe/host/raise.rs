//! Exceptions that an export raises into an image.
//!
//! Of all exports only `MmProbeAndLockPages` raises what a driver is meant to handle. Between the
//! export and a guarded call in an image there is no other frame, so raising is returning to another
//! place: the calling convention has every non-volatile register and the stack as they were at the
//! call, and execution goes on where the scope table says, with the exception's code in `eax`. That
//! is what `RtlUnwindEx` does with such a frame too. An exception is not passed on to the callers of
//! that function: through Rust frames, which are most of them, none may be.

use super::loaded;
use crate::abi::{KPROCESSOR_MODE, LOCK_OPERATION, NTSTATUS, PMDL, STATUS_SUCCESS};
use crate::memory::{Raised, try_probe_and_lock};
use crate::pe::scopes::Handler;

/// The entry of `MmProbeAndLockPages` for images.
pub(super) const ENTRY: (&str, *const ()) = ("MmProbeAndLockPages", probe_and_lock as *const ());

/// `MmProbeAndLockPages(mdl, mode, operation)`: [`locked`] with the return address and a place for
/// the exception's code, then back to the caller or to the handler that it has found.
#[unsafe(naked)]
unsafe extern "C" fn probe_and_lock() {
    core::arch::naked_asm!(
        "mov r9, [rsp]",
        "sub rsp, 56",
        "lea rax, [rsp + 40]",
        "mov [rsp + 32], rax",
        "call {locked}",
        "mov rcx, rax",
        "mov eax, [rsp + 40]",
        "add rsp, 56",
        "test rcx, rcx",
        "jnz 2f",
        "ret",
        "2:",
        // What the call has pushed.
        "add rsp, 8",
        "jmp rcx",
        locked = sym locked,
    )
}

/// 0, or the address to go on at.
///
/// # Safety
/// As for `MmProbeAndLockPages`; `status` is a place for the exception's code.
unsafe extern "win64" fn locked(
    mdl: PMDL,
    mode: KPROCESSOR_MODE,
    operation: LOCK_OPERATION,
    return_address: usize,
    status: *mut NTSTATUS,
) -> usize {
    // SAFETY: the caller's contract.
    let outcome = unsafe { try_probe_and_lock(mdl, mode, operation) };
    let (code, target) = match outcome {
        Ok(()) => (STATUS_SUCCESS, 0),
        Err(raised) => handled(raised, return_address),
    };
    // SAFETY: the caller's place.
    unsafe { status.write(code) };
    target
}

/// The code of an exception, and where it is handled.
fn handled(raised: Raised, return_address: usize) -> (NTSTATUS, usize) {
    match loaded::handler(return_address) {
        Handler::At(target) => (raised.status, target),
        Handler::None => raised.unhandled(),
        Handler::Unknown(why) => raised.because(why).unhandled(),
    }
}

//! Where an exception of `MmProbeAndLockPages` goes.
//!
//! On Windows it unwinds to a `__try` of the caller. Rust code has none, and no Rust frame may be
//! unwound: a driver calls `MmProbeAndLockPages` in a guarded frame that is not Rust's and gives it
//! the exception's code as a status. Three cases, then:
//!
//! - Linked sources declare that frame as `xfersplit_guarded_probe_and_lock`, and the kernel here
//!   has it: the exception never leaves it.
//! - A driver binary has a guarded frame of its own, which is found by its scope table
//!   (`pe/host/raise.rs`).
//! - Anybody else calls `MmProbeAndLockPages` unguarded, and an exception is
//!   `KMODE_EXCEPTION_NOT_HANDLED`.

use super::locking::probe_and_lock_noted;
use crate::abi::{KPROCESSOR_MODE, LOCK_OPERATION, NTSTATUS, PMDL, STATUS_SUCCESS};
use crate::export::Running;
use crate::machine::{Violation, codes};

/// An exception.
#[derive(Debug)]
pub(crate) struct Raised {
    pub(crate) status: NTSTATUS,
    address: usize,
    story: String,
}

impl Raised {
    pub(super) fn new(status: NTSTATUS, address: usize, story: String) -> Self {
        Self {
            status,
            address,
            story,
        }
    }

    /// The same with one more sentence for the report.
    #[cfg_attr(
        not(all(target_os = "linux", target_arch = "x86_64", not(miri))),
        expect(
            dead_code,
            reason = "binaries alone have handlers that are not modelled"
        )
    )]
    pub(crate) fn because(mut self, why: &str) -> Self {
        self.story.push_str(" (");
        self.story.push_str(why);
        self.story.push_str(", which is not modelled.)");
        self
    }

    /// Nobody handles it.
    pub(crate) fn unhandled(self) -> ! {
        let story = format!(
            "MmProbeAndLockPages raised {:#010X} for {} Nobody caught it.",
            self.status, self.story
        );
        let code = u64::from(self.status.cast_unsigned());
        let parameters = [code, self.address as u64, 0, 0];
        Violation::new(codes::KMODE_EXCEPTION_NOT_HANDLED, parameters, story).raise()
    }
}

/// `MmProbeAndLockPages` in a guarded frame: the code of the exception that it raised, or success.
/// Under this name linked drivers declare it.
///
/// # Safety
/// As for `MmProbeAndLockPages`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xfersplit_guarded_probe_and_lock(
    mdl: PMDL,
    mode: KPROCESSOR_MODE,
    operation: LOCK_OPERATION,
) -> NTSTATUS {
    // SAFETY: the caller's contract.
    match unsafe { try_probe_and_lock(mdl, mode, operation) } {
        Ok(()) => STATUS_SUCCESS,
        Err(raised) => raised.status,
    }
}

/// `MmUserProbeAddress`, for linked drivers whose guarded frame is where they read it.
#[unsafe(no_mangle)]
pub extern "C" fn xfersplit_user_probe_address() -> usize {
    super::USER_PROBE_ADDRESS
}

/// `MmProbeAndLockPages` as an export at work, with its exception as a value.
///
/// # Safety
/// As for `MmProbeAndLockPages`.
pub(crate) unsafe fn try_probe_and_lock(
    mdl: PMDL,
    mode: KPROCESSOR_MODE,
    operation: LOCK_OPERATION,
) -> Result<(), Raised> {
    let run = Running::new("MmProbeAndLockPages");
    // SAFETY: the caller's contract.
    unsafe { probe_and_lock_noted(&run, mdl, mode, operation) }
}

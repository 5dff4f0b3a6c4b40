//! Bug checks: how a machine stops.
//!
//! The thread that finds a broken rule records the report, wakes whoever runs the machine and parks
//! for ever: its frames, among them the driver's, stay where they are, and nothing unwinds through
//! an `extern "C"` function. Every other thread of the machine parks at its next step.

use std::fmt;
use std::io::Write as _;
use std::sync::Once;

use super::context;

/// Bug check codes. Names and numbers are those of `bugcodes.h`; the parameters follow Microsoft's
/// *Bug Check Code Reference* where it documents the case.
pub mod codes {
    /// A guarded region was left that had not been entered, or not left; Windows sees it when the
    /// system call or the worker routine ends.
    pub const APC_INDEX_MISMATCH: u32 = 0x01;
    /// A rule about IRQL was broken: a wait at `DISPATCH_LEVEL`, a `PASSIVE_LEVEL` call above it.
    pub const IRQL_NOT_LESS_OR_EQUAL: u32 = 0x0A;
    /// A spin lock was acquired by its owner.
    pub const SPIN_LOCK_ALREADY_OWNED: u32 = 0x0F;
    /// A spin lock was released by somebody who did not own it.
    pub const SPIN_LOCK_NOT_OWNED: u32 = 0x10;
    /// An exception that nobody handled, such as the one `MmProbeAndLockPages` raises.
    pub const KMODE_EXCEPTION_NOT_HANDLED: u32 = 0x1E;
    /// `IoCallDriver` on an IRP without a stack location left.
    pub const NO_MORE_IRP_STACK_LOCATIONS: u32 = 0x35;
    /// `IoBuildPartialMdl` into a target without room, or over a range the source does not have.
    pub const TARGET_MDL_TOO_SMALL: u32 = 0x40;
    /// `IoCompleteRequest` on an IRP that has been completed.
    pub const MULTIPLE_IRP_COMPLETE_REQUESTS: u32 = 0x44;
    /// An address that is nobody's was used.
    pub const PAGE_FAULT_IN_NONPAGED_AREA: u32 = 0x50;
    /// A bad address was used at `DISPATCH_LEVEL`.
    pub const DRIVER_IRQL_NOT_LESS_OR_EQUAL: u32 = 0xD1;
    /// Memory that may only be read was written.
    pub const ATTEMPTED_WRITE_TO_READONLY_MEMORY: u32 = 0xBE;
    /// Data were run.
    pub const ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY: u32 = 0xFC;
    /// Code of an unloaded driver was called.
    pub const DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS: u32 = 0xCE;
    /// A driver found its own data structures corrupted (`__fastfail`).
    pub const KERNEL_SECURITY_CHECK_FAILURE: u32 = 0x139;
    /// A process ended with pages still locked (parameter 1 is 0).
    pub const PROCESS_HAS_LOCKED_PAGES: u32 = 0x76;
    /// The kernel stack overflowed (parameter 1 is 8, a double fault).
    pub const UNEXPECTED_KERNEL_MODE_TRAP: u32 = 0x7F;
    /// A driver was unloaded and left pages of user memory locked.
    pub const DRIVER_LEFT_LOCKED_PAGES_IN_PROCESS: u32 = 0xCB;
    /// Memory was written after it was freed, or past its end.
    pub const SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION: u32 = 0xC1;
    /// Pool was freed twice, with a wrong tag, or was never allocated.
    pub const BAD_POOL_CALLER: u32 = 0xC2;
    /// The general Driver Verifier violation; parameter 1 says which.
    pub const DRIVER_VERIFIER_DETECTED_VIOLATION: u32 = 0xC4;
    /// A timer or DPC in freed memory, or one that was never initialised.
    pub const TIMER_OR_DPC_INVALID: u32 = 0xC7;
    /// A routine returned at another IRQL than it was called at.
    pub const IRQL_UNEXPECTED_VALUE: u32 = 0xC8;
    /// Driver Verifier's I/O verification; parameter 1 says which rule.
    pub const DRIVER_VERIFIER_IOMANAGER_VIOLATION: u32 = 0xC9;
    /// A DPC or a spin lock holder went on for too long.
    pub const DPC_WATCHDOG_VIOLATION: u32 = 0x133;
    /// Driver Verifier's DMA verification; parameter 1 says which rule.
    pub const DRIVER_VERIFIER_DMA_VIOLATION: u32 = 0xE6;
    /// The framework found a broken rule.
    pub const WDF_VIOLATION: u32 = 0x10D;
    /// `"RPNC"`: what `wdk-panic` raises for a Rust panic in a driver.
    pub const RUST_PANIC: u32 = 0x5250_4E43;
    /// Not a Windows code: every thread waits, and no timer, DPC or device is left to wake one.
    /// Windows itself would just stand still.
    pub const HANG: u32 = 0xE000_0001;

    /// Rules that are stricter than Driver Verifier's use parameter 1 of
    /// [`DRIVER_VERIFIER_DETECTED_VIOLATION`] from here on.
    pub mod strict {
        /// A spin lock held across `IoCallDriver`, `IoCompleteRequest` or a return to the kernel.
        pub const SPIN_LOCK_HELD: u64 = 0xE000_0001;
        /// An MDL changed, freed or its pages released while an IRP in flight uses it.
        pub const MDL_IN_USE: u64 = 0xE000_0002;
        /// `IoBuildPartialMdl` into an MDL whose mapping `MmPrepareMdlForReuse` has not removed.
        pub const MDL_STILL_MAPPED: u64 = 0xE000_0003;
        /// `IoBuildPartialMdl` with length 0, which means "the rest of the source".
        pub const PARTIAL_LENGTH_ZERO: u64 = 0xE000_0004;
        /// A remove lock that is not acquired was released, or one still held was freed.
        pub const REMOVE_LOCK: u64 = 0xE000_0005;
        /// A work item was freed while queued, or queued twice.
        pub const WORK_ITEM: u64 = 0xE000_0006;
        /// `IoStatus.Information` of a buffered device control beyond the sender's output buffer:
        /// the I/O manager would copy as much, over whatever lies behind.
        pub const INFORMATION_TOO_LONG: u64 = 0xE000_0007;
        /// `IoMakeAssociatedIrp` by a driver that is not at the top of its stack.
        pub const ASSOCIATED_IRP: u64 = 0xE000_0008;
        /// An IRP that is no longer there was passed to a function that uses it.
        pub const IRP_GONE: u64 = 0xE000_0009;
    }
}

/// Why a machine stopped. `Display` gives the whole report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BugCheck {
    /// The number on the blue screen; see [`codes`].
    pub code: u32,
    /// The four parameters. Addresses in them differ from run to run.
    pub parameters: [u64; 4],
    /// The code's name in `bugcodes.h`.
    pub name: &'static str,
    /// What happened, in words, with the history of the objects concerned.
    pub story: String,
}

impl BugCheck {
    /// A report with the name that belongs to `code`.
    #[must_use]
    pub fn new(code: u32, parameters: [u64; 4], story: String) -> Self {
        Self {
            code,
            parameters,
            name: name_of(code),
            story,
        }
    }
}

impl fmt::Display for BugCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, fourth] = self.parameters;
        writeln!(
            f,
            "*** STOP 0x{:08X} (0x{first:X}, 0x{second:X}, 0x{third:X}, 0x{fourth:X})",
            self.code
        )?;
        writeln!(f, "{}", self.name)?;
        f.write_str(self.story.trim_end())
    }
}

impl std::error::Error for BugCheck {}

/// The name of a bug check code.
#[must_use]
pub fn name_of(code: u32) -> &'static str {
    match code {
        codes::APC_INDEX_MISMATCH => "APC_INDEX_MISMATCH",
        codes::IRQL_NOT_LESS_OR_EQUAL => "IRQL_NOT_LESS_OR_EQUAL",
        codes::SPIN_LOCK_ALREADY_OWNED => "SPIN_LOCK_ALREADY_OWNED",
        codes::SPIN_LOCK_NOT_OWNED => "SPIN_LOCK_NOT_OWNED",
        codes::KMODE_EXCEPTION_NOT_HANDLED => "KMODE_EXCEPTION_NOT_HANDLED",
        codes::NO_MORE_IRP_STACK_LOCATIONS => "NO_MORE_IRP_STACK_LOCATIONS",
        codes::TARGET_MDL_TOO_SMALL => "TARGET_MDL_TOO_SMALL",
        codes::MULTIPLE_IRP_COMPLETE_REQUESTS => "MULTIPLE_IRP_COMPLETE_REQUESTS",
        codes::PAGE_FAULT_IN_NONPAGED_AREA => "PAGE_FAULT_IN_NONPAGED_AREA",
        codes::DRIVER_IRQL_NOT_LESS_OR_EQUAL => "DRIVER_IRQL_NOT_LESS_OR_EQUAL",
        codes::ATTEMPTED_WRITE_TO_READONLY_MEMORY => "ATTEMPTED_WRITE_TO_READONLY_MEMORY",
        codes::ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY => "ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY",
        codes::DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS => {
            "DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS"
        }
        codes::KERNEL_SECURITY_CHECK_FAILURE => "KERNEL_SECURITY_CHECK_FAILURE",
        codes::UNEXPECTED_KERNEL_MODE_TRAP => "UNEXPECTED_KERNEL_MODE_TRAP",
        codes::DRIVER_LEFT_LOCKED_PAGES_IN_PROCESS => "DRIVER_LEFT_LOCKED_PAGES_IN_PROCESS",
        codes::PROCESS_HAS_LOCKED_PAGES => "PROCESS_HAS_LOCKED_PAGES",
        codes::SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION => "SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION",
        codes::BAD_POOL_CALLER => "BAD_POOL_CALLER",
        codes::DRIVER_VERIFIER_DETECTED_VIOLATION => "DRIVER_VERIFIER_DETECTED_VIOLATION",
        codes::TIMER_OR_DPC_INVALID => "TIMER_OR_DPC_INVALID",
        codes::IRQL_UNEXPECTED_VALUE => "IRQL_UNEXPECTED_VALUE",
        codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION => "DRIVER_VERIFIER_IOMANAGER_VIOLATION",
        codes::DPC_WATCHDOG_VIOLATION => "DPC_WATCHDOG_VIOLATION",
        codes::DRIVER_VERIFIER_DMA_VIOLATION => "DRIVER_VERIFIER_DMA_VIOLATION",
        codes::WDF_VIOLATION => "WDF_VIOLATION",
        codes::RUST_PANIC => "RUST_PANIC (RPNC)",
        codes::HANG => "HANG (nothing is left that could wake the waiting threads)",
        0x9F => "DRIVER_POWER_STATE_FAILURE",
        _ => "(a code of the driver's own)",
    }
}

/// A broken rule, found while a registry is locked; raised once the lock has been released.
pub(crate) struct Violation {
    pub(crate) code: u32,
    pub(crate) parameters: [u64; 4],
    pub(crate) story: String,
}

impl Violation {
    pub(crate) fn new(code: u32, parameters: [u64; 4], story: impl Into<String>) -> Self {
        Self {
            code,
            parameters,
            story: story.into(),
        }
    }

    /// Driver Verifier's I/O verification, rule `rule`.
    pub(crate) fn io(rule: u64, irp: usize, device: usize, story: impl Into<String>) -> Self {
        let parameters = [rule, irp as u64, device as u64, 0];
        Self::new(
            codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
            parameters,
            story,
        )
    }

    /// Driver Verifier's general checks, rule `rule`.
    pub(crate) fn verifier(rule: u64, a: usize, b: usize, story: impl Into<String>) -> Self {
        let parameters = [rule, a as u64, b as u64, 0];
        Self::new(codes::DRIVER_VERIFIER_DETECTED_VIOLATION, parameters, story)
    }

    pub(crate) fn raise(self) -> ! {
        bug_check(self.code, self.parameters, self.story)
    }
}

/// Stops the machine of the calling thread. See the module's documentation.
///
/// # Panics
/// If the calling thread belongs to no machine.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the story is the machine's last word: callers make it for this"
)]
pub fn bug_check(code: u32, parameters: [u64; 4], story: String) -> ! {
    let context = context::current();
    let story = format!("{story}\n{}", context.where_am_i());
    context.machine.stop(BugCheck::new(code, parameters, story))
}

/// A Rust panic below an `extern "C"` frame cannot be caught: the process would abort with a poor
/// message. So the hook prints the bug check that `wdk-panic` would raise and ends the process. It
/// must not park instead: the standard library holds a lock while a hook runs, and the test harness
/// takes that lock when it is done.
pub(super) fn install_panic_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let Some(place) = context::below_kernel_frames() else {
                return usual(info);
            };
            // Not eprintln!: the test harness would capture it and lose it with the process.
            let _written = writeln!(
                std::io::stderr(),
                "\n*** STOP 0x{:08X} {}\n{info}\n{place}",
                codes::RUST_PANIC,
                name_of(codes::RUST_PANIC),
            );
            std::process::exit(86);
        }));
    });
}

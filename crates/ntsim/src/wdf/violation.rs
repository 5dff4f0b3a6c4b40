//! How the framework stops the machine.

use super::kernel;

/// `WDF_VIOLATION`
pub(crate) const WDF_VIOLATION: u32 = 0x10D;

/// The first parameter of `WDF_VIOLATION` [wdfbugcodes.h].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A rule that the framework's verifier checks.
    VerifierFatal = 0x3,
    /// NULL where the function needs something.
    NullParameter = 0x4,
    /// A handle that is destroyed, of another type, or no handle.
    InvalidHandle = 0x5,
    /// A request handled wrongly.
    RequestFatal = 0x6,
    /// An object handled wrongly.
    ObjectError = 0x7,
    /// A lock used wrongly.
    InvalidLock = 0xB,
    /// PnP events out of order.
    PnpFatal = 0xC,
    /// A function that the bound version does not have.
    ApiUnavailable = 0x10,
}

/// Stops the machine with `WDF_VIOLATION`.
pub(crate) fn violation(kind: Violation, second: u64, third: u64, story: &str) -> ! {
    kernel::bug_check(
        WDF_VIOLATION,
        [kind as u64, second, third, 0],
        story.to_owned(),
    )
}

/// The pointer, or the bug check that `FxPointerNotNull` raises.
pub(crate) fn not_null<T>(function: &str, name: &str, pointer: *const T) {
    if pointer.is_null() {
        violation(
            Violation::NullParameter,
            0,
            0,
            &format!("{function} was called with {name} = NULL"),
        );
    }
}

/// Stops a call above the IRQL that `FxVerifierCheckIrqlLevel` allows.
pub(crate) fn require_irql(function: &str, highest: u8) {
    let irql = kernel::irql();
    if irql > highest {
        violation(
            Violation::VerifierFatal,
            u64::from(irql),
            u64::from(highest),
            &format!("{function} was called at IRQL {irql}; it may be called up to {highest}"),
        );
    }
}

/// Stops a structure whose `Size` is not the one of KMDF 1.15.
///
/// The real framework returns `STATUS_INFO_LENGTH_MISMATCH` and its verifier breaks; a driver that
/// forgot a `WDF_…_INIT` learns more from stopping here.
pub(crate) fn require_size(function: &str, structure: &str, size: u32, expected: usize) {
    if size as usize != expected {
        violation(
            Violation::VerifierFatal,
            u64::from(size),
            expected as u64,
            &format!(
                "{function}: {structure}.Size is {size}, not {expected} (was it initialised?)"
            ),
        );
    }
}

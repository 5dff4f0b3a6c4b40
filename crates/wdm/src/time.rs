//! Times as the kernel counts them.

use wdk_sys::LARGE_INTEGER;

/// 100-nanosecond units in a millisecond.
const UNITS_PER_MS: i64 = 10_000;

/// So many milliseconds from now: negative times are relative (KeSetTimer, KeWaitForSingleObject).
pub(crate) fn from_now(ms: u32) -> LARGE_INTEGER {
    LARGE_INTEGER {
        QuadPart: -(i64::from(ms) * UNITS_PER_MS),
    }
}

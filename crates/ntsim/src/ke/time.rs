//! Time, as drivers ask for it.

use crate::machine::{self, Machine};

/// System time (100 ns units since 1601) at which every machine begins: 1 January 2026.
const BEGINNING: u64 = 134_117_136_000_000_000;

/// `KeQueryInterruptTime`: units of 100 ns since the machine was started. Inline in the Windows
/// headers, so it is no export.
pub fn interrupt_time() -> u64 {
    machine::with(Machine::now)
}

pub(super) fn system_time(machine: &Machine) -> u64 {
    BEGINNING + machine.now()
}

pub(super) mod exports {
    //! `KeQueryPerformanceCounter` and `KeQuerySystemTimePrecise`.

    use super::system_time;
    use crate::abi::{LARGE_INTEGER, PLARGE_INTEGER};
    use crate::export::exports;

    /// Ticks of the performance counter in a second: it counts units of 100 ns.
    const FREQUENCY: i64 = 10_000_000;

    exports! { run;
        /// The performance counter, and how many ticks a second has.
        fn KeQueryPerformanceCounter(PerformanceFrequency: PLARGE_INTEGER) -> LARGE_INTEGER {
            if !PerformanceFrequency.is_null() {
                // SAFETY: the caller's memory.
                unsafe { (*PerformanceFrequency).QuadPart = FREQUENCY };
            }
            LARGE_INTEGER { QuadPart: run.context().machine.now() as i64 }
        }

        /// System time.
        fn KeQuerySystemTimePrecise(CurrentTime: PLARGE_INTEGER) {
            let now = system_time(&run.context().machine) as i64;
            // SAFETY: the caller's memory.
            unsafe { (*CurrentTime).QuadPart = now };
        }
    }
}

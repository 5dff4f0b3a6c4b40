//! The interrupt request level of the processor that the caller runs on.

use crate::abi::KIRQL;
use crate::machine::context::{self, Context, DISPATCH};
use crate::machine::{Violation, codes};

/// The caller's IRQL.
pub fn irql() -> KIRQL {
    context::current().irql.get()
}

/// What `PAGED_CODE` asserts: the caller runs at `APC_LEVEL` or below.
pub fn assert_pageable() {
    let irql = irql();
    if irql >= DISPATCH {
        let story = format!("Paged code ran at IRQL {irql}.");
        let parameters = [0, u64::from(irql), 0, 0];
        Violation::new(codes::IRQL_NOT_LESS_OR_EQUAL, parameters, story).raise();
    }
}

/// Calls `f` at `DISPATCH_LEVEL`, as a layer above may call a driver.
pub fn raise_to_dispatch<R>(f: impl FnOnce() -> R) -> R {
    let context = context::current();
    let before = context.irql.replace(DISPATCH.max(context.irql.get()));
    let result = f();
    lower(&context, before);
    result
}

/// Lowers the IRQL; whatever has waited for that comes in now.
pub(super) fn lower(context: &Context, irql: KIRQL) {
    context.irql.set(irql);
    if irql < DISPATCH {
        context.machine.interrupt_point(context);
    }
}

pub(super) mod exports {
    //! `KeGetCurrentIrql`, `KfRaiseIrql`, `KeLowerIrql`, and which processor this is.

    use super::{Violation, lower};
    use crate::abi::{HIGH_LEVEL, KIRQL, PPROCESSOR_NUMBER, ULONG, USHORT};
    use crate::export::exports;

    exports! { run;
        /// The caller's IRQL.
        fn KeGetCurrentIrql() -> KIRQL {
            run.context().irql.get()
        }

        /// Raises the IRQL and returns the one before.
        fn KfRaiseIrql(NewIrql: KIRQL) -> KIRQL {
            let before = run.context().irql.get();
            if NewIrql < before || u32::from(NewIrql) > HIGH_LEVEL {
                let story = format!("KfRaiseIrql to {NewIrql} at IRQL {before}.");
                Violation::verifier(0x30, usize::from(before), usize::from(NewIrql), story).raise();
            }
            run.context().irql.replace(NewIrql)
        }

        /// Lowers the IRQL.
        fn KeLowerIrql(NewIrql: KIRQL) {
            let before = run.context().irql.get();
            if NewIrql > before {
                let story = format!("KeLowerIrql to {NewIrql} at IRQL {before}.");
                Violation::verifier(0x31, usize::from(before), usize::from(NewIrql), story).raise();
            }
            lower(run.context(), NewIrql);
        }

        /// The processor's number: here, the thread's.
        fn KeGetCurrentProcessorNumberEx(ProcNumber: PPROCESSOR_NUMBER) -> ULONG {
            let number = run.context().thread;
            if !ProcNumber.is_null() {
                // SAFETY: the caller's memory.
                unsafe {
                    (*ProcNumber).Group = 0;
                    (*ProcNumber).Number = number as u8;
                    (*ProcNumber).Reserved = 0;
                }
            }
            number as ULONG
        }

        /// There is one node.
        fn KeGetCurrentNodeNumber() -> USHORT {
            0
        }
    }
}

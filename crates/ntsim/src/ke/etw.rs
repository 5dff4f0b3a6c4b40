//! Event tracing: providers register, and what they write is counted.

use std::collections::BTreeMap;

use crate::machine::DriverId;

/// The providers of one machine.
#[derive(Default)]
pub(crate) struct Registrations {
    last: u64,
    live: BTreeMap<u64, DriverId>,
    written: u64,
}

impl Registrations {
    /// Whether `driver` has a provider registered.
    pub(crate) fn has(&self, driver: DriverId) -> bool {
        self.live.values().any(|&owner| owner == driver)
    }
}

pub(super) mod exports {
    //! `EtwRegister` and its relatives.

    use std::sync::Mutex;

    use super::Registrations;
    use crate::abi::{
        EVENT_INFO_CLASS, LPCGUID, NTSTATUS, PCEVENT_DESCRIPTOR, PETWENABLECALLBACK,
        PEVENT_DATA_DESCRIPTOR, PREGHANDLE, PVOID, REGHANDLE, STATUS_INVALID_HANDLE,
        STATUS_SUCCESS, ULONG,
    };
    use crate::export::exports;
    use crate::machine::context::DISPATCH;
    use crate::machine::{Violation, lock};

    exports! { run;
        /// Registers a provider. Nobody listens, so its callback is never called.
        fn EtwRegister(ProviderId: LPCGUID, EnableCallback: PETWENABLECALLBACK, CallbackContext: PVOID, RegHandle: PREGHANDLE) -> NTSTATUS {
            run.irql_at_most(0);
            let context = run.context();
            let table = context.machine.extension::<Mutex<Registrations>>();
            let mut table = lock(&table);
            table.last += 1;
            let handle = table.last;
            table.live.insert(handle, context.frame.get().driver);
            // SAFETY: the caller's memory.
            unsafe { RegHandle.write(handle) };
            STATUS_SUCCESS
        }

        /// Ends a registration.
        fn EtwUnregister(RegHandle: REGHANDLE) -> NTSTATUS {
            run.irql_at_most(0);
            let table = run.context().machine.extension::<Mutex<Registrations>>();
            let known = lock(&table).live.remove(&RegHandle).is_some();
            if !known {
                let story = format!("EtwUnregister of {RegHandle:#x}, which is no registration.");
                Violation::verifier(0xDC, RegHandle as usize, 0, story).raise();
            }
            STATUS_SUCCESS
        }

        /// Writes an event: it is counted.
        fn EtwWriteTransfer(RegHandle: REGHANDLE, EventDescriptor: PCEVENT_DESCRIPTOR, ActivityId: LPCGUID, RelatedActivityId: LPCGUID, UserDataCount: ULONG, UserData: PEVENT_DATA_DESCRIPTOR) -> NTSTATUS {
            run.irql_at_most(DISPATCH);
            let table = run.context().machine.extension::<Mutex<Registrations>>();
            let mut table = lock(&table);
            if !table.live.contains_key(&RegHandle) {
                return STATUS_INVALID_HANDLE;
            }
            table.written += 1;
            STATUS_SUCCESS
        }

        /// Accepts what providers say about themselves.
        fn EtwSetInformation(RegHandle: REGHANDLE, InformationClass: EVENT_INFO_CLASS, EventInformation: PVOID, InformationLength: ULONG) -> NTSTATUS {
            STATUS_SUCCESS
        }
    }
}

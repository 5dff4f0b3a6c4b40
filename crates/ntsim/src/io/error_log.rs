//! The error log: what a driver writes for the system's event log.

use std::sync::Mutex;

use crate::abi::{NTSTATUS, PIO_ERROR_LOG_PACKET, PVOID, UCHAR, ULONG};
use crate::machine::{self, Machine};

/// Bytes of the largest entry (`ERROR_LOG_MAXIMUM_SIZE`).
const LARGEST: UCHAR = 240;

/// An entry of the error log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorLogRecord {
    /// The driver that wrote it.
    pub driver: String,
    /// `ErrorCode`: the message.
    pub error_code: NTSTATUS,
    /// `UniqueErrorValue`: where in the driver.
    pub unique: ULONG,
    /// `FinalStatus`.
    pub final_status: NTSTATUS,
    /// `DumpData`.
    pub dump: Vec<u8>,
}

#[derive(Default)]
struct Log(Mutex<Vec<ErrorLogRecord>>);

/// Everything written to the error log of `machine`.
#[must_use]
pub fn error_log(machine: &Machine) -> Vec<ErrorLogRecord> {
    machine::lock(&machine.extension::<Log>().0).clone()
}

/// # Safety
/// `entry` is a filled-in entry.
unsafe fn read(driver: &str, entry: PIO_ERROR_LOG_PACKET) -> ErrorLogRecord {
    // SAFETY: the caller's contract; the dump data lie in the entry.
    unsafe {
        let bytes = usize::from((*entry).DumpDataSize);
        let data = (&raw const (*entry).DumpData).cast::<u8>();
        ErrorLogRecord {
            driver: driver.to_owned(),
            error_code: (*entry).ErrorCode,
            unique: (*entry).UniqueErrorValue,
            final_status: (*entry).FinalStatus,
            dump: (0..bytes)
                .map(|index| data.wrapping_add(index).read())
                .collect(),
        }
    }
}

pub(super) mod exports {
    //! `IoAllocateErrorLogEntry` and `IoWriteErrorLogEntry`.

    use super::{LARGEST, Log, PVOID, UCHAR, read};
    use crate::abi::IO_ERROR_LOG_PACKET;
    use crate::export::exports;
    use crate::machine::context::DISPATCH;
    use crate::machine::{Owner, Violation, lock};
    use crate::memory::{pool_allocate, pool_free};

    /// Marks the pool of entries.
    const TAG: u32 = u32::from_le_bytes(*b"IoEr");

    exports! { run;
        /// An entry to fill in; null if the size does not fit.
        fn IoAllocateErrorLogEntry(IoObject: PVOID, EntrySize: UCHAR) -> PVOID {
            run.irql_at_most(DISPATCH);
            if usize::from(EntrySize) < size_of::<IO_ERROR_LOG_PACKET>() || EntrySize > LARGEST {
                return std::ptr::null_mut();
            }
            // The system's memory: the driver never frees it.
            pool_allocate(Owner::Harness, usize::from(EntrySize), TAG)
        }

        /// Writes the entry and takes it back.
        fn IoWriteErrorLogEntry(ElEntry: PVOID) {
            run.irql_at_most(DISPATCH);
            let context = run.context();
            let machine = &context.machine;
            let known = lock(&machine.memory.pool).tag_of(ElEntry.addr()) == Some(TAG);
            if !known {
                let story = "IoWriteErrorLogEntry of something that is no entry, or was written before.";
                Violation::verifier(0x16, ElEntry.addr(), 0, story).raise();
            }
            let driver = machine.driver_name(context.frame.get().driver);
            // SAFETY: an entry, as just checked; the driver gives it up.
            unsafe {
                let record = read(&driver, ElEntry.cast());
                lock(&machine.extension::<Log>().0).push(record);
                pool_free(ElEntry);
            }
        }
    }
}

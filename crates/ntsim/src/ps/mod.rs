//! Processes: who a thread belongs to, and so which memory its user-mode addresses mean.
//!
//! Every NT thread belongs to the System process, as a driver's own threads and the system's worker
//! threads do, until it becomes a thread of another one with [`Process::run`]. What a driver can get
//! hold of, `PEPROCESS` and `PETHREAD`, are labels: a driver compares them and hands them back, and
//! has no business inside.

pub(crate) mod exports;
mod process;

pub use process::Process;

pub(crate) use process::{end_all, in_process};

use crate::abi::{PEPROCESS, PETHREAD};

/// This module's parts of the export table.
pub(crate) const TABLES: &[&[crate::export::Export]] = &[exports::TABLE];

/// Labels of process objects begin here.
const PROCESSES: usize = 0xFFFF_E200_0000_0000;
/// Bytes from one process object to the next.
const PROCESS_STRIDE: usize = 0x1000;
/// Labels of thread objects begin here.
const THREADS: usize = 0xFFFF_E100_0000_0000;
/// Bytes from one thread object to the next, and from those of one process to those of the next.
const THREAD_STRIDE: usize = 0x800;
const THREADS_STRIDE: usize = THREAD_STRIDE << 16;
/// Labels that requests carry as their thread without its being anybody's in particular: system
/// threads of file systems and the like.
const SYSTEM_THREADS: usize = 0xFFFF_E000_0000_0000;

/// A process of a machine, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct ProcessId(pub(crate) u32);

impl ProcessId {
    /// The System process: no user memory.
    pub(crate) const SYSTEM: Self = Self(0);

    /// Its process object.
    pub(crate) fn object(self) -> PEPROCESS {
        std::ptr::without_provenance_mut(PROCESSES + self.0 as usize * PROCESS_STRIDE)
    }

    /// The object of its thread with this number.
    pub(crate) fn thread(self, number: usize) -> PETHREAD {
        let own = self.0 as usize * THREADS_STRIDE + number * THREAD_STRIDE;
        std::ptr::without_provenance_mut(THREADS + own)
    }

    /// Whose a thread object is; `None` if there is no thread at that address.
    pub(crate) fn of_thread(thread: PETHREAD) -> Option<Self> {
        match thread.addr() {
            PROCESSES.. => None,
            address @ THREADS.. => Some(Self(((address - THREADS) / THREADS_STRIDE) as u32)),
            SYSTEM_THREADS.. => Some(Self::SYSTEM),
            _ => None,
        }
    }
}

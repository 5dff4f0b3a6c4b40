//! The harness that scenarios run in: a machine, a disk behind an adapter, a device stack with the
//! driver under test, and somebody on top who sends requests.
//!
//! ```
//! use ntsim::port::{Disk, Hba};
//! use ntsim::{Clock, World};
//!
//! let (sum, report) = World::without_filter()
//!     .clock(Clock::Deterministic { seed: 7 })
//!     .disk(Disk::memory(2048, 512))
//!     .hba(Hba::profile("ahci"))
//!     .run(|stack| {
//!         let buffer = stack.buffer(8192, 512);
//!         buffer.fill(0x5A);
//!         assert!(stack.write(4096, &buffer).send().wait().succeeded());
//!         let copy = stack.buffer(8192, 0);
//!         assert!(stack.read(4096, &copy).send().wait().succeeded());
//!         copy.bytes().iter().map(|&byte| u64::from(byte)).sum::<u64>()
//!     })
//!     .expect("no bug check");
//! assert_eq!(sum, 8192 * 0x5A);
//! assert_eq!(report.port.writes, 1);
//! ```
//!
//! A scenario sees what a neighbour of the driver sees and nothing else: statuses, data, what
//! arrived at the port, what was allocated. It takes the driver as an argument.

mod above;
mod buffer;
mod builder;
mod control;
mod device;
mod dma;
mod envelope;
mod fs;
mod held;
mod naive;
mod report;
mod scsi;
mod stack;
mod transfer;
mod user;

pub use crate::io::Arrival;
pub use buffer::Buffer;
pub use builder::{Shape, StackKind, World};
pub use control::{Control, ControlDone, PendingControl};
pub use device::Device;
pub use dma::{DmaReport, DmaStack, DmaWorld};
pub use envelope::{Done, Mdl};
pub use fs::{File, FileSystem, FsCounts, FsError, Mode};
pub use naive::Sender;
pub use report::Report;
pub use scsi::{PendingScsi, Scsi, ScsiDone, read_write_cdb};
pub use stack::Stack;
pub use transfer::{Pending, Transfer};
pub use user::{Sending, UserBuffer, UserTransfer};

//! Who moves data, and how: the memory manager, the cache manager, a program without a cache.

use crate::abi::{
    _IO_PRIORITY_HINT, IRP_NOCACHE, IRP_PAGING_IO, IRP_SYNCHRONOUS_PAGING_IO, SL_WRITE_THROUGH,
};

const KIB: usize = 1024;

/// How data of a file is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// `IRP_PAGING_IO`: whole pages, from the first byte of a page on, for the system's own sake.
    /// Without it the request is a program's: any byte offset that the device's alignment allows,
    /// whole sectors of the file, and the program's processor mode.
    pub paging: bool,
    /// `IRP_SYNCHRONOUS_PAGING_IO`: somebody waits for each request before the next is sent.
    pub synchronous: bool,
    /// `SL_WRITE_THROUGH`.
    pub write_through: bool,
    /// The fewest and the most bytes of one request; sizes in between are drawn page by page.
    pub sizes: (usize, usize),
    /// Requests on their way at the same time, at most, where nobody waits for each.
    pub outstanding: usize,
    /// `IoSetIoPriorityHint`.
    pub priority: Option<i32>,
}

impl Mode {
    /// A page fault on a mapped file: a cluster of up to 64 KiB, waited for.
    pub const PAGE_FAULT: Self = Self {
        paging: true,
        synchronous: true,
        write_through: false,
        sizes: (4 * KIB, 64 * KIB),
        outstanding: 1,
        priority: None,
    };
    /// Read-ahead of the cache manager: several paging reads at a time.
    pub const READ_AHEAD: Self = Self {
        synchronous: false,
        sizes: (64 * KIB, 1024 * KIB),
        outstanding: 4,
        ..Self::PAGE_FAULT
    };
    /// The lazy writer: paging writes of up to 1 MiB, each waited for.
    pub const LAZY_WRITER: Self = Self {
        sizes: (64 * KIB, 1024 * KIB),
        ..Self::PAGE_FAULT
    };
    /// The mapped page writer: paging writes of odd numbers of pages that nobody waits for.
    pub const PAGE_WRITER: Self = Self {
        synchronous: false,
        sizes: (4 * KIB, 1024 * KIB),
        outstanding: 8,
        priority: Some(_IO_PRIORITY_HINT::IoPriorityLow),
        ..Self::PAGE_FAULT
    };
    /// A program that opened the file with `FILE_FLAG_NO_BUFFERING`: one request for all it asks.
    pub const UNCACHED: Self = Self {
        paging: false,
        synchronous: false,
        write_through: false,
        sizes: (usize::MAX, usize::MAX),
        outstanding: 1,
        priority: None,
    };
    /// The same with `FILE_FLAG_WRITE_THROUGH`.
    pub const WRITE_THROUGH: Self = Self {
        write_through: true,
        ..Self::UNCACHED
    };

    /// The same with requests of `fewest` to `most` bytes.
    #[must_use]
    pub const fn sizes(self, fewest: usize, most: usize) -> Self {
        Self {
            sizes: (fewest, most),
            ..self
        }
    }

    /// The same with so many requests on their way at a time.
    #[must_use]
    pub const fn outstanding(self, requests: usize) -> Self {
        Self {
            outstanding: requests,
            ..self
        }
    }

    /// `Irp->Flags`.
    pub(super) const fn irp_flags(self) -> u32 {
        match (self.paging, self.synchronous) {
            (true, true) => IRP_NOCACHE | IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO,
            (true, false) => IRP_NOCACHE | IRP_PAGING_IO,
            (false, _) => IRP_NOCACHE,
        }
    }

    /// Flags of the stack location.
    pub(super) const fn stack_flags(self) -> u32 {
        if self.write_through {
            SL_WRITE_THROUGH
        } else {
            0
        }
    }

    /// Requests on their way at the same time.
    pub(super) fn depth(self) -> usize {
        if self.synchronous {
            1
        } else {
            self.outstanding.max(1)
        }
    }
}

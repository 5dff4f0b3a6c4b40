//! Stacks in which the port driver says itself how much it takes.
#![allow(
    dead_code,
    reason = "every scenario file is a program of its own and uses its own part of this"
)]

use ntsim::port::{Direction, Hba, Paired, PairedCounts, PortLimits};
use ntsim::world::StackKind;
use ntsim::{Shape, Stack, World};

use crate::common::{Exchange, MILLISECOND, PAGE, assert_success, world};

/// 100 ns units in a second of virtual time.
pub(crate) const SECOND: u64 = 1_000 * MILLISECOND;

/// Where the driver stands, and with it what its question meets on the way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Directly above the port, READ and WRITE.
    Class,
    /// Directly above the port, SRBs.
    Srb,
    /// Beneath the disk class driver, which is shown the adapter's own limits and so sends more.
    Disk,
    /// Above the disk class driver, which hands on the request block and nothing else.
    Relay,
}

/// All of them.
pub(crate) const PLACES: [Place; 4] = [Place::Class, Place::Srb, Place::Disk, Place::Relay];

impl Place {
    /// A world with the driver there.
    pub(crate) fn world(self) -> World {
        match self {
            Self::Class => world(),
            Self::Srb => world().shape(Shape::Srb),
            Self::Disk => world().stack(StackKind::Disk).setting("Advertise", 0),
            Self::Relay => world().stack(StackKind::Relay),
        }
    }

    /// The same with a port that offers the interface, and a driver that asks.
    pub(crate) fn paired(self, offer: Paired) -> World {
        self.asking(Hba::unlimited().paired(offer))
    }

    /// A driver that asks this adapter's port.
    pub(crate) fn asking(self, hba: Hba) -> World {
        self.world().hba(hba).setting("PairedPort", 1)
    }

    /// Sends the exchange in the form that this place takes, waits, and checks that all of it moved.
    #[track_caller]
    pub(crate) fn moves(self, stack: &Stack, exchange: &Exchange) {
        let length = exchange.buffer().len();
        if self == Self::Srb {
            let blocks = length as u32 / stack.sector();
            let lba = exchange.offset() / u64::from(stack.sector());
            let request = match exchange.direction() {
                Direction::Read => {
                    stack.scsi_read(lba, blocks, exchange.buffer(), 0, length as u32)
                }
                Direction::Write => {
                    stack.scsi_write(lba, blocks, exchange.buffer(), 0, length as u32)
                }
            };
            let done = request.send().wait();
            assert!(done.irp.succeeded(), "{done:?}");
            assert_eq!(done.data_length as usize, length);
        } else {
            assert_success(&exchange.transfer(stack).send().wait(), length);
        }
        assert!(exchange.is_complete(stack), "every byte in its place");
    }

    /// Reads and writes `pages` pages from `page_offset` on; the most pages that one piece touched.
    #[track_caller]
    pub(crate) fn widest(self, stack: &Stack, pages: usize, page_offset: usize) -> u32 {
        stack.port().forget_records();
        for (seed, direction) in crate::common::BOTH.into_iter().enumerate() {
            let length = pages * PAGE;
            let seed = seed as u64 + 1;
            let exchange = Exchange::new(stack, direction, 8192, length, page_offset, seed);
            self.moves(stack, &exchange);
        }
        let pieces = stack.port().transfers();
        let widest = pieces.iter().map(|piece| piece.span_pages).max();
        widest.expect("there was a request")
    }
}

/// As many map registers as this, and nothing else.
pub(crate) const fn registers(count: u32) -> PortLimits {
    PortLimits::registers(count)
}

/// Lets the driver get as far as asking for the next change, and gives the port's counts.
#[track_caller]
pub(crate) fn listening(stack: &Stack) -> PairedCounts {
    stack.idle();
    let counts = stack.port().paired_counts();
    assert_eq!(counts.waiting, 1, "a question waits: {counts:?}");
    counts
}

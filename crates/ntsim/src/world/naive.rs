//! A class driver without a filter: turns READ and WRITE into SRBs one to one, or obeys the
//! adapter's descriptor in the plainest way there is.

use super::buffer::Buffer;
use super::envelope::Done;
use super::scsi::{PendingScsi, ScsiDone, read_write_cdb};
use super::stack::Stack;
use crate::port::Direction;

/// How the harness sends READ and WRITE where no driver takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// One SRB for each request, however large: what an oversize request meets on a given adapter.
    OneToOne,
    /// Pieces of what the adapter says it takes, one after the other: at most
    /// `MaximumTransferLength` bytes and `MaximumPhysicalPages - 1` whole pages.
    Obedient,
}

/// A transfer as SRBs.
pub(super) struct Naive<'s> {
    stack: &'s Stack,
    direction: Direction,
    lba: u64,
    buffer: Buffer,
    at: usize,
    length: u32,
    piece: u32,
    moved: u32,
    current: Option<PendingScsi>,
}

impl<'s> Naive<'s> {
    pub(super) fn start(
        stack: &'s Stack,
        sender: Sender,
        direction: Direction,
        offset: u64,
        buffer: &Buffer,
        range: (usize, u32),
    ) -> Self {
        let (at, length) = range;
        let mut naive = Self {
            stack,
            direction,
            lba: offset / u64::from(stack.sector()),
            buffer: buffer.clone(),
            at,
            length,
            piece: match sender {
                Sender::OneToOne => length,
                Sender::Obedient => stack.obedient_piece(),
            },
            moved: 0,
            current: None,
        };
        naive.current = Some(naive.send_next());
        naive
    }

    fn send_next(&self) -> PendingScsi {
        let now = self.piece.min(self.length - self.moved);
        let sector = self.stack.sector();
        let lba = self.lba + u64::from(self.moved / sector);
        let blocks = now / sector;
        let form = if lba + u64::from(blocks) < 1 << 32 && blocks < 1 << 16 {
            10
        } else {
            16
        };
        self.stack
            .scsi(&read_write_cdb(self.direction, lba, blocks, form))
            .buffer(&self.buffer)
            .at(self.at + self.moved as usize)
            .length(now)
            .send()
    }

    pub(super) fn first(&self) -> Option<&PendingScsi> {
        self.current.as_ref()
    }

    /// Waits for the pieces, one after the other, up to the first that fails.
    pub(super) fn wait(mut self) -> (Done, Option<ScsiDone>) {
        loop {
            let piece = self
                .current
                .take()
                .expect("there is a piece until the last has come back");
            let asked = self.piece.min(self.length - self.moved);
            let result = piece.wait();
            let moved = result.data_length.min(asked);
            let failed = !result.irp.succeeded();
            if !failed {
                self.moved += moved;
            }
            if failed || moved < asked || self.moved == self.length {
                let mut done = result.irp;
                done.information = if failed { 0 } else { u64::from(self.moved) };
                return (done, Some(result));
            }
            self.current = Some(self.send_next());
        }
    }
}

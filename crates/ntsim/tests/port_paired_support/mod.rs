//! A sender of the private interface's requests, written after its description and not after the
//! port.
#![allow(
    dead_code,
    reason = "every test file is a program of its own and uses its own part of this"
)]

use ntsim::abi::{SRB_FLAGS_DATA_IN, SRB_FLAGS_NO_QUEUE_FREEZE, SRB_FUNCTION_IO_CONTROL};
use ntsim::port::{Hba, Paired, PortLimits};
use ntsim::world::{PendingScsi, Scsi, ScsiDone};
use ntsim::{Buffer, Stack, World};

/// `CTL_CODE(0x9F5A, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)`.
pub(crate) const CODE: u32 = 0x9F5A_2004;
/// Bytes of the block.
pub(crate) const BLOCK: usize = 52;

/// Where the fields are.
pub(crate) mod at {
    pub(crate) const HEADER_LENGTH: usize = 0;
    pub(crate) const SIGNATURE: usize = 4;
    pub(crate) const CONTROL_CODE: usize = 16;
    pub(crate) const RETURN_CODE: usize = 20;
    pub(crate) const LENGTH: usize = 24;
    pub(crate) const VERSION: usize = 28;
    pub(crate) const SIZE: usize = 32;
    pub(crate) const GENERATION: usize = 36;
}

/// An adapter that tells this and takes anything in time.
pub(crate) fn world(offer: Paired) -> World {
    World::without_filter().hba(Hba::unlimited().paired(offer))
}

/// A request in the making.
pub(crate) struct Ask {
    buffer: Buffer,
    code: u32,
    length: u32,
    extended: bool,
}

impl Ask {
    /// For the limits now (0), or when they are not those of `generation`.
    pub(crate) fn new(stack: &Stack, generation: u32) -> Self {
        // The block lies across two pages: a port that takes the frames for one stumbles.
        let buffer = stack.buffer(BLOCK, 4096 - 30);
        buffer.fill(0);
        let ask = Self {
            buffer,
            code: CODE,
            length: BLOCK as u32,
            extended: false,
        };
        ask.buffer.write(at::SIGNATURE, b"XFERSPLT");
        ask.with(at::HEADER_LENGTH, 28)
            .with(at::CONTROL_CODE, CODE)
            .with(at::LENGTH, 24)
            .with(at::VERSION, 1)
            .with(at::SIZE, 24)
            .with(at::GENERATION, generation)
    }

    /// With another value in this place of the block.
    pub(crate) fn with(self, at: usize, value: u32) -> Self {
        self.buffer.write(at, &value.to_le_bytes());
        self
    }

    /// With this in place of the stack location's control code.
    pub(crate) fn code(self, code: u32) -> Self {
        Self { code, ..self }
    }

    /// With another `DataTransferLength`, at most that of the block.
    pub(crate) fn length(self, length: u32) -> Self {
        Self { length, ..self }
    }

    /// In a `STORAGE_REQUEST_BLOCK`.
    pub(crate) fn extended(self) -> Self {
        Self {
            extended: true,
            ..self
        }
    }

    fn scsi<'s>(&self, stack: &'s Stack) -> Scsi<'s> {
        stack
            .srb_function(SRB_FUNCTION_IO_CONTROL)
            .buffer(&self.buffer)
            .length(self.length)
            .extended(self.extended)
            .flags(SRB_FLAGS_DATA_IN | SRB_FLAGS_NO_QUEUE_FREEZE)
            .control_code(self.code)
    }

    /// Sends it.
    pub(crate) fn send(self, stack: &Stack) -> Asked {
        let request = self.scsi(stack).send();
        Asked {
            request,
            buffer: self.buffer,
        }
    }

    /// Sends it after a last change, and waits for the answer.
    pub(crate) fn changed<'s>(
        self,
        stack: &'s Stack,
        change: impl FnOnce(Scsi<'s>) -> Scsi<'s>,
    ) -> Answer {
        let done = change(self.scsi(stack)).send().wait();
        Answer::new(done, &self.buffer)
    }

    /// Sends it and waits for the answer.
    pub(crate) fn answer(self, stack: &Stack) -> Answer {
        self.send(stack).wait()
    }
}

/// A request that was sent.
pub(crate) struct Asked {
    pub(crate) request: PendingScsi,
    buffer: Buffer,
}

impl Asked {
    pub(crate) fn is_done(&self) -> bool {
        self.request.is_done()
    }

    pub(crate) fn wait(self) -> Answer {
        Answer::new(self.request.wait(), &self.buffer)
    }
}

/// How it came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) done: ScsiDone,
    pub(crate) words: [u32; 13],
}

impl Answer {
    fn new(done: ScsiDone, buffer: &Buffer) -> Self {
        let bytes = buffer.bytes();
        let word = |index: usize| {
            let word = bytes[4 * index..][..4].try_into();
            u32::from_le_bytes(word.expect("four bytes"))
        };
        Self {
            done,
            words: core::array::from_fn(word),
        }
    }

    /// The word at this place of the block.
    pub(crate) fn word(&self, at: usize) -> u32 {
        self.words[at / 4]
    }

    /// IRP status and SRB status.
    pub(crate) fn statuses(&self) -> (i32, u32) {
        (self.done.irp.status, u32::from(self.done.srb_status))
    }

    /// The generation and the limits of a request that succeeded.
    pub(crate) fn limits(&self) -> (u32, PortLimits) {
        assert_eq!(self.statuses(), (0, 1), "{self:?}");
        assert_eq!(self.done.irp.information, BLOCK as u64);
        assert_eq!(self.word(at::RETURN_CODE), 0);
        let limits = PortLimits {
            registers: self.words[10],
            segments: self.words[11],
            bytes: self.words[12],
        };
        (self.word(at::GENERATION), limits)
    }
}

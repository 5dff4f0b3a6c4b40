//! The block that the paired drivers exchange, read and written byte by byte.
//!
//! An `SRB_IO_CONTROL` [ntddscsi.h] with the limits behind it, everything in `ULONG`s, little
//! endian:
//!
//! | at | field | at | field |
//! |---|---|---|---|
//! | 0 | `HeaderLength`, 28 | 28 | `Version`, 1 |
//! | 4 | `Signature`, `XFERSPLT` | 32 | `Size`, 24 |
//! | 12 | `Timeout` | 36 | `Generation` |
//! | 16 | `ControlCode` | 40 | `NumberOfMapRegisters` |
//! | 20 | `ReturnCode` | 44 | `NumberOfSegments` |
//! | 24 | `Length`, 24 | 48 | `MaximumTransferLength` |

use super::offer::PortLimits;

/// `IOCTL_XFERSPLIT_PORT_LIMITS`: `CTL_CODE(0x9F5A, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)`.
pub(super) const PORT_LIMITS: u32 = 0x9F5A << 16 | 0x801 << 2;
/// `Signature`: whose control codes these are.
pub(super) const SIGNATURE: [u8; 8] = *b"XFERSPLT";
/// Bytes of the whole block.
pub(super) const BLOCK: usize = 52;
/// The only version there is.
pub(super) const VERSION: u32 = 1;

/// `sizeof(SRB_IO_CONTROL)`.
const HEADER: u32 = 28;
/// Bytes behind the header.
const LIMITS: u32 = BLOCK as u32 - HEADER;

/// The names that fields have here, by their place.
pub(super) mod at {
    pub(in super::super) const HEADER_LENGTH: usize = 0;
    pub(in super::super) const SIGNATURE: usize = 4;
    pub(in super::super) const CONTROL_CODE: usize = 16;
    pub(in super::super) const RETURN_CODE: usize = 20;
    pub(in super::super) const LENGTH: usize = 24;
    pub(in super::super) const VERSION: usize = 28;
    pub(in super::super) const SIZE: usize = 32;
    pub(in super::super) const GENERATION: usize = 36;
    pub(in super::super) const REGISTERS: usize = 40;
    pub(in super::super) const SEGMENTS: usize = 44;
    pub(in super::super) const BYTES: usize = 48;
}

/// Why a block is no request that the port can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Another signature or control code: somebody else's interface.
    Unknown,
    /// One of the four lengths does not fit.
    Length,
    /// A version that the port does not know.
    Revision,
}

/// The block, or as much of it as the sender gave; zeros behind that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block(pub(super) [u8; BLOCK]);

impl Block {
    /// Nothing.
    pub(super) const EMPTY: Self = Self([0; BLOCK]);

    #[cfg(test)]
    /// A request for the limits: at once, or when they are no longer those of `generation`.
    pub(super) fn request(generation: u32) -> Self {
        let mut block = Self::EMPTY;
        block.0[at::SIGNATURE..][..8].copy_from_slice(&SIGNATURE);
        block.set(at::HEADER_LENGTH, HEADER);
        block.set(at::CONTROL_CODE, PORT_LIMITS);
        block.set(at::LENGTH, LIMITS);
        block.set(at::VERSION, VERSION);
        block.set(at::SIZE, LIMITS);
        block.set(at::GENERATION, generation);
        block
    }

    pub(super) fn get(&self, at: usize) -> u32 {
        let mut word = [0; 4];
        word.copy_from_slice(&self.0[at..at + 4]);
        u32::from_le_bytes(word)
    }

    pub(super) fn set(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Whether the signature says that the block belongs to this interface.
    pub(super) fn is_signed(&self) -> bool {
        self.0[at::SIGNATURE..][..8] == SIGNATURE
    }

    /// Checks a request whose `DataTransferLength` is `given`, and gives the generation that it
    /// waits for; 0 is "now".
    pub(super) fn check(&self, given: u32) -> Result<u32, Refused> {
        if !self.is_signed() || self.get(at::CONTROL_CODE) != PORT_LIMITS {
            return Err(Refused::Unknown);
        }
        let lengths = [
            (given, BLOCK as u32),
            (self.get(at::HEADER_LENGTH), HEADER),
            (self.get(at::LENGTH), LIMITS),
        ];
        if lengths.iter().any(|(found, right)| found != right) {
            return Err(Refused::Length);
        }
        // The size of another version's structure is that version's affair.
        if self.get(at::VERSION) != VERSION {
            return Err(Refused::Revision);
        }
        if self.get(at::SIZE) != LIMITS {
            return Err(Refused::Length);
        }
        Ok(self.get(at::GENERATION))
    }

    /// Enters the answer.
    pub(super) fn answer(&mut self, generation: u32, limits: PortLimits) {
        self.set(at::RETURN_CODE, 0);
        self.set(at::GENERATION, generation);
        self.set(at::REGISTERS, limits.registers);
        self.set(at::SEGMENTS, limits.segments);
        self.set(at::BYTES, limits.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Block, PORT_LIMITS, Refused, at};

    #[test]
    fn a_request_of_ones_own_is_good() {
        assert_eq!(PORT_LIMITS, 0x9F5A_2004);
        for generation in [0, 1, u32::MAX] {
            assert_eq!(
                Block::request(generation).check(BLOCK as u32),
                Ok(generation)
            );
        }
    }

    #[test]
    fn each_wrong_field_is_found_on_its_own() {
        let check = |at: usize, value: u32| {
            let mut block = Block::request(0);
            block.set(at, value);
            block.check(BLOCK as u32)
        };
        assert_eq!(check(at::SIGNATURE, 0), Err(Refused::Unknown));
        assert_eq!(check(at::CONTROL_CODE, 0x9F5A_2008), Err(Refused::Unknown));
        for at in [at::HEADER_LENGTH, at::LENGTH, at::SIZE] {
            for wrong in [0, 23, 25, 27, 29, 52, u32::MAX] {
                assert_eq!(check(at, wrong), Err(Refused::Length), "{wrong} at {at}");
            }
        }
        for version in [0, 2, u32::MAX] {
            assert_eq!(check(at::VERSION, version), Err(Refused::Revision));
        }
        for given in [0, 51, 53] {
            assert_eq!(Block::request(0).check(given), Err(Refused::Length));
        }
    }
}

//! Sense data: what a SCSI device says about a command that did not end in GOOD.

/// Sense keys [SPC-4, table "Sense key descriptions"].
pub mod key {
    /// Nothing to report.
    pub const NO_SENSE: u8 = 0x0;
    /// The command succeeded, with some recovery on the way.
    pub const RECOVERED_ERROR: u8 = 0x1;
    /// The unit cannot be reached, for instance because the medium is missing.
    pub const NOT_READY: u8 = 0x2;
    /// The medium is damaged.
    pub const MEDIUM_ERROR: u8 = 0x3;
    /// The device itself failed.
    pub const HARDWARE_ERROR: u8 = 0x4;
    /// The CDB or the parameter data is wrong.
    pub const ILLEGAL_REQUEST: u8 = 0x5;
    /// Something changed since the last command: reset, medium, capacity.
    pub const UNIT_ATTENTION: u8 = 0x6;
    /// The medium is write protected.
    pub const DATA_PROTECT: u8 = 0x7;
    /// The device gave the command up.
    pub const ABORTED_COMMAND: u8 = 0xB;
}

/// One sense report, independent of the format in which it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sense {
    /// The sense key, one of [`key`].
    pub key: u8,
    /// Additional sense code.
    pub code: u8,
    /// Additional sense code qualifier.
    pub qualifier: u8,
    /// The LBA that the report is about.
    pub information: Option<u64>,
}

impl Sense {
    /// A report without an INFORMATION field.
    pub const fn new(key: u8, code: u8, qualifier: u8) -> Self {
        Self {
            key,
            code,
            qualifier,
            information: None,
        }
    }

    /// The same report, about one LBA.
    #[must_use]
    pub const fn at(mut self, lba: u64) -> Self {
        self.information = Some(lba);
        self
    }

    /// The opcode is not known.
    pub const INVALID_OPCODE: Self = Self::new(key::ILLEGAL_REQUEST, 0x20, 0x00);
    /// The range does not lie on the medium.
    pub const LBA_OUT_OF_RANGE: Self = Self::new(key::ILLEGAL_REQUEST, 0x21, 0x00);
    /// A field of the CDB has a value this device does not do.
    pub const INVALID_FIELD: Self = Self::new(key::ILLEGAL_REQUEST, 0x24, 0x00);
    /// The medium is write protected.
    pub const WRITE_PROTECTED: Self = Self::new(key::DATA_PROTECT, 0x27, 0x00);
    /// The medium may have changed.
    pub const MEDIUM_CHANGED: Self = Self::new(key::UNIT_ATTENTION, 0x28, 0x00);
    /// The device was reset.
    pub const RESET_OCCURRED: Self = Self::new(key::UNIT_ATTENTION, 0x29, 0x00);
    /// No medium.
    pub const MEDIUM_NOT_PRESENT: Self = Self::new(key::NOT_READY, 0x3A, 0x00);

    /// Fixed format, 18 bytes, current error [SPC-4 4.5.3]. An LBA that does not fit 32 bits leaves
    /// VALID clear, as devices without descriptor sense do.
    pub fn fixed(&self) -> [u8; 18] {
        let mut bytes = [0; 18];
        bytes[0] = 0x70;
        bytes[2] = self.key;
        bytes[7] = 10;
        bytes[12] = self.code;
        bytes[13] = self.qualifier;
        if let Some(Ok(lba)) = self.information.map(u32::try_from) {
            bytes[0] |= 0x80;
            bytes[3..7].copy_from_slice(&lba.to_be_bytes());
        }
        bytes
    }

    /// Descriptor format with one INFORMATION descriptor where there is an LBA [SPC-4 4.5.2].
    pub fn descriptor(&self) -> Vec<u8> {
        let mut bytes = vec![0x72, self.key, self.code, self.qualifier, 0, 0, 0, 0];
        if let Some(lba) = self.information {
            bytes[7] = 12;
            bytes.extend([0x00, 0x0A, 0x80, 0x00]);
            bytes.extend(lba.to_be_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{Sense, key};

    #[test]
    fn fixed_sense_carries_key_code_and_a_small_lba() {
        let bytes = Sense::new(key::MEDIUM_ERROR, 0x11, 0x04)
            .at(0x0102_0304)
            .fixed();
        assert_eq!(bytes[0], 0xF0);
        assert_eq!((bytes[2], bytes[12], bytes[13]), (3, 0x11, 4));
        assert_eq!(bytes[3..7], [1, 2, 3, 4]);
    }

    #[test]
    fn a_large_lba_needs_the_descriptor_format() {
        let sense = Sense::LBA_OUT_OF_RANGE.at(1 << 40);
        assert_eq!(sense.fixed()[0], 0x70);
        let bytes = sense.descriptor();
        assert_eq!(bytes[..4], [0x72, 5, 0x21, 0]);
        assert_eq!(bytes[12..20], (1_u64 << 40).to_be_bytes());
    }
}

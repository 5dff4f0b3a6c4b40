//! Sense data: what a device says about a command that did not end well (SPC-4, 4.5).

use crate::bytes::byte;

/// Sense key NO SENSE.
pub const KEY_NO_SENSE: u8 = 0x0;
/// Sense key RECOVERED ERROR: the data moved, with the device's own effort.
pub const KEY_RECOVERED_ERROR: u8 = 0x1;
/// Sense key NOT READY.
pub const KEY_NOT_READY: u8 = 0x2;
/// Sense key MEDIUM ERROR.
pub const KEY_MEDIUM_ERROR: u8 = 0x3;
/// Sense key HARDWARE ERROR.
pub const KEY_HARDWARE_ERROR: u8 = 0x4;
/// Sense key ILLEGAL REQUEST.
pub const KEY_ILLEGAL_REQUEST: u8 = 0x5;
/// Sense key UNIT ATTENTION.
pub const KEY_UNIT_ATTENTION: u8 = 0x6;
/// Sense key DATA PROTECT.
pub const KEY_DATA_PROTECT: u8 = 0x7;
/// Sense key BLANK CHECK.
pub const KEY_BLANK_CHECK: u8 = 0x8;
/// Sense key ABORTED COMMAND.
pub const KEY_ABORTED_COMMAND: u8 = 0xB;

/// Most bytes that sense data can have: 8 of header and an additional length of at most 244 (SPC-4,
/// 4.5.1).
pub const MAX_LENGTH: usize = 252;

/// The three numbers that decide, out of either format.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sense {
    /// Sense key, 4 bits.
    pub key: u8,
    /// Additional sense code; 0 if the data end before it.
    pub asc: u8,
    /// Additional sense code qualifier; 0 if the data end before it.
    pub ascq: u8,
    /// ILI: the length asked for does not fit the block length. Fixed format only.
    pub incorrect_length: bool,
    /// The error belongs to an earlier command, not to this one (response code 71h or 73h).
    pub deferred: bool,
}

impl Sense {
    /// Reads sense data of either format, as many bytes as there are.
    ///
    /// `None` if the response code is none of 70h to 73h or the data end before the sense key.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let code = byte(data, 0)? & 0x7F;
        let deferred = code & 1 == 1;
        match code {
            0x70 | 0x71 => Self::fixed(data, deferred),
            0x72 | 0x73 => Self::descriptor(data, deferred),
            _ => None,
        }
    }

    /// Fixed format. The additional length says how much of the buffer is meant; codes beyond it
    /// are leftovers.
    fn fixed(data: &[u8], deferred: bool) -> Option<Self> {
        let flags = byte(data, 2)?;
        let length =
            byte(data, 7).map_or(0, |additional| usize::from(additional).saturating_add(8));
        let meant = |offset: usize| {
            if offset < length {
                byte(data, offset).unwrap_or(0)
            } else {
                0
            }
        };
        Some(Self {
            key: flags & 0x0F,
            asc: meant(12),
            ascq: meant(13),
            incorrect_length: flags & 0x20 != 0,
            deferred,
        })
    }

    fn descriptor(data: &[u8], deferred: bool) -> Option<Self> {
        Some(Self {
            key: byte(data, 1)? & 0x0F,
            asc: byte(data, 2).unwrap_or(0),
            ascq: byte(data, 3).unwrap_or(0),
            incorrect_length: false,
            deferred,
        })
    }

    /// The additional codes as one number, ASC in the high byte.
    pub const fn code(&self) -> u16 {
        u16::from_be_bytes([self.asc, self.ascq])
    }
}

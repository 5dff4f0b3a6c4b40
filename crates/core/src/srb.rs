//! SRB and SCSI status values (srb.h, scsi.h), and what classpnp makes of an SRB status that comes
//! without sense data.

use crate::status::{self, NtStatus};

/// Bit of `SrbStatus`: the logical unit's queue is frozen until somebody releases it.
pub const QUEUE_FROZEN: u8 = 0x40;
/// Bit of `SrbStatus`: the sense buffer was filled in.
pub const AUTOSENSE_VALID: u8 = 0x80;

/// `SRB_STATUS()` of srb.h: the status without its flag bits.
pub const fn stripped(srb_status: u8) -> u8 {
    srb_status & !(QUEUE_FROZEN | AUTOSENSE_VALID)
}

/// Whether the queue was left frozen.
pub const fn is_frozen(srb_status: u8) -> bool {
    srb_status & QUEUE_FROZEN != 0
}

/// Whether sense data came with it.
pub const fn has_sense(srb_status: u8) -> bool {
    srb_status & AUTOSENSE_VALID != 0
}

/// `SRB_STATUS_PENDING`: nobody has written a status yet.
pub const PENDING: u8 = 0x00;
/// `SRB_STATUS_SUCCESS`
pub const SUCCESS: u8 = 0x01;
/// `SRB_STATUS_ABORTED`
pub const ABORTED: u8 = 0x02;
/// `SRB_STATUS_ABORT_FAILED`
pub const ABORT_FAILED: u8 = 0x03;
/// `SRB_STATUS_ERROR`
pub const ERROR: u8 = 0x04;
/// `SRB_STATUS_BUSY`
pub const BUSY: u8 = 0x05;
/// `SRB_STATUS_INVALID_REQUEST`
pub const INVALID_REQUEST: u8 = 0x06;
/// `SRB_STATUS_INVALID_PATH_ID`
pub const INVALID_PATH_ID: u8 = 0x07;
/// `SRB_STATUS_NO_DEVICE`
pub const NO_DEVICE: u8 = 0x08;
/// `SRB_STATUS_TIMEOUT`
pub const TIMEOUT: u8 = 0x09;
/// `SRB_STATUS_SELECTION_TIMEOUT`
pub const SELECTION_TIMEOUT: u8 = 0x0A;
/// `SRB_STATUS_COMMAND_TIMEOUT`
pub const COMMAND_TIMEOUT: u8 = 0x0B;
/// `SRB_STATUS_MESSAGE_REJECTED`
pub const MESSAGE_REJECTED: u8 = 0x0D;
/// `SRB_STATUS_BUS_RESET`
pub const BUS_RESET: u8 = 0x0E;
/// `SRB_STATUS_PARITY_ERROR`
pub const PARITY_ERROR: u8 = 0x0F;
/// `SRB_STATUS_REQUEST_SENSE_FAILED`
pub const REQUEST_SENSE_FAILED: u8 = 0x10;
/// `SRB_STATUS_NO_HBA`
pub const NO_HBA: u8 = 0x11;
/// `SRB_STATUS_DATA_OVERRUN`
pub const DATA_OVERRUN: u8 = 0x12;
/// `SRB_STATUS_UNEXPECTED_BUS_FREE`
pub const UNEXPECTED_BUS_FREE: u8 = 0x13;
/// `SRB_STATUS_PHASE_SEQUENCE_FAILURE`
pub const PHASE_SEQUENCE_FAILURE: u8 = 0x14;
/// `SRB_STATUS_BAD_SRB_BLOCK_LENGTH`
pub const BAD_SRB_BLOCK_LENGTH: u8 = 0x15;
/// `SRB_STATUS_REQUEST_FLUSHED`
pub const REQUEST_FLUSHED: u8 = 0x16;
/// `SRB_STATUS_INVALID_LUN`
pub const INVALID_LUN: u8 = 0x20;
/// `SRB_STATUS_INVALID_TARGET_ID`
pub const INVALID_TARGET_ID: u8 = 0x21;
/// `SRB_STATUS_BAD_FUNCTION`
pub const BAD_FUNCTION: u8 = 0x22;
/// `SRB_STATUS_ERROR_RECOVERY`
pub const ERROR_RECOVERY: u8 = 0x23;
/// `SRB_STATUS_NOT_POWERED`
pub const NOT_POWERED: u8 = 0x24;
/// `SRB_STATUS_LINK_DOWN`
pub const LINK_DOWN: u8 = 0x25;
/// `SRB_STATUS_INSUFFICIENT_RESOURCES`
pub const INSUFFICIENT_RESOURCES: u8 = 0x26;
/// `SRB_STATUS_THROTTLED_REQUEST`
pub const THROTTLED_REQUEST: u8 = 0x27;
/// `SRB_STATUS_INVALID_PARAMETER`
pub const INVALID_PARAMETER: u8 = 0x28;
/// `SRB_STATUS_INTERNAL_ERROR`: the NTSTATUS is in `SystemStatus` or `InternalStatus`.
pub const INTERNAL_ERROR: u8 = 0x30;

/// `SCSISTAT_GOOD`
pub const SCSI_GOOD: u8 = 0x00;
/// `SCSISTAT_CHECK_CONDITION`
pub const SCSI_CHECK_CONDITION: u8 = 0x02;
/// `SCSISTAT_BUSY`
pub const SCSI_BUSY: u8 = 0x08;
/// `SCSISTAT_RESERVATION_CONFLICT`
pub const SCSI_RESERVATION_CONFLICT: u8 = 0x18;
/// `SCSISTAT_QUEUE_FULL`
pub const SCSI_QUEUE_FULL: u8 = 0x28;

/// The NTSTATUS that classpnp gives a read or write whose SRB came back with `srb_status` and
/// without valid sense data (`class.c`, `ClassInterpretSenseInfo`). Flag bits are ignored.
pub const fn nt_status(srb_status: u8, scsi_status: u8, internal_status: NtStatus) -> NtStatus {
    match stripped(srb_status) {
        SUCCESS => status::SUCCESS,
        INTERNAL_ERROR => internal_status,
        _ if scsi_status == SCSI_RESERVATION_CONFLICT => status::DEVICE_BUSY,
        ABORTED | TIMEOUT | COMMAND_TIMEOUT => status::IO_TIMEOUT,
        ERROR if scsi_status == SCSI_BUSY => status::DEVICE_NOT_READY,
        INVALID_REQUEST => status::INVALID_DEVICE_REQUEST,
        INVALID_PATH_ID | NO_DEVICE | NO_HBA | INVALID_LUN | INVALID_TARGET_ID => {
            status::NO_SUCH_DEVICE
        }
        SELECTION_TIMEOUT => status::DEVICE_NOT_CONNECTED,
        DATA_OVERRUN => status::DATA_OVERRUN,
        _ => status::IO_DEVICE_ERROR,
    }
}

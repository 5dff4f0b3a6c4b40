//! What an SRB that did not succeed means, and whether to send it again: the tables of
//! `ClassInterpretSenseInfo` [classpnp, class.c] for READ and WRITE with `disk.sys`'s word in it
//! [disk, disk.c, `DiskFdoProcessError`].

use crate::abi::{
    NTSTATUS, SCSI_SENSE_ABORTED_COMMAND, SCSI_SENSE_BLANK_CHECK, SCSI_SENSE_COPY_ABORTED,
    SCSI_SENSE_DATA_PROTECT, SCSI_SENSE_HARDWARE_ERROR, SCSI_SENSE_ILLEGAL_REQUEST,
    SCSI_SENSE_MEDIUM_ERROR, SCSI_SENSE_NO_SENSE, SCSI_SENSE_NOT_READY, SCSI_SENSE_RECOVERED_ERROR,
    SCSI_SENSE_UNIT_ATTENTION, SCSISTAT_BUSY, SCSISTAT_GOOD, SCSISTAT_RESERVATION_CONFLICT,
    SRB_STATUS_ABORTED, SRB_STATUS_BUS_RESET, SRB_STATUS_COMMAND_TIMEOUT, SRB_STATUS_DATA_OVERRUN,
    SRB_STATUS_ERROR, SRB_STATUS_INTERNAL_ERROR, SRB_STATUS_INVALID_LUN,
    SRB_STATUS_INVALID_PATH_ID, SRB_STATUS_INVALID_REQUEST, SRB_STATUS_INVALID_TARGET_ID,
    SRB_STATUS_NO_DEVICE, SRB_STATUS_NO_HBA, SRB_STATUS_PARITY_ERROR,
    SRB_STATUS_PHASE_SEQUENCE_FAILURE, SRB_STATUS_REQUEST_FLUSHED, SRB_STATUS_SELECTION_TIMEOUT,
    SRB_STATUS_TIMEOUT, SRB_STATUS_UNEXPECTED_BUS_FREE, STATUS_ACCESS_DENIED, STATUS_DATA_OVERRUN,
    STATUS_DEVICE_BUSY, STATUS_DEVICE_DATA_ERROR, STATUS_DEVICE_HARDWARE_ERROR,
    STATUS_DEVICE_NOT_CONNECTED, STATUS_DEVICE_NOT_READY, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_IO_DEVICE_ERROR, STATUS_IO_TIMEOUT, STATUS_MEDIA_WRITE_PROTECTED,
    STATUS_NO_MEDIA_IN_DEVICE, STATUS_NO_SUCH_DEVICE, STATUS_NONEXISTENT_SECTOR, STATUS_RETRY,
    STATUS_SUCCESS, STATUS_UNRECOGNIZED_MEDIA, STATUS_VERIFY_REQUIRED,
};

const STATUS_NO_DATA_DETECTED: NTSTATUS = 0x8000_0022_u32.cast_signed();
const STATUS_INVALID_BLOCK_LENGTH: NTSTATUS = 0xC000_0173_u32.cast_signed();
const STATUS_DISK_RESOURCES_EXHAUSTED: NTSTATUS = 0xC000_0461_u32.cast_signed();

/// Seconds until a unit that is becoming ready is asked again (`NOT_READY_RETRY_INTERVAL`).
const NOT_READY_SECONDS: u32 = 10;

/// The parts of sense data that decide something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sense {
    key: u8,
    code: u8,
    qualifier: u8,
    /// ILI: the block has another length than the command said.
    incorrect_length: bool,
}

impl Sense {
    /// Reads fixed or descriptor format; what says neither is read as fixed.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let &format = bytes.first()?;
        if matches!(format & 0x7F, 0x72 | 0x73) {
            let header = bytes.get(..4)?;
            return Some(Self {
                key: header[1] & 0x0F,
                code: header[2],
                qualifier: header[3],
                incorrect_length: false,
            });
        }
        let header = bytes.get(..3)?;
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        Some(Self {
            key: header[2] & 0x0F,
            code: byte(12),
            qualifier: byte(13),
            incorrect_length: header[2] & 0x20 != 0,
        })
    }

    /// UNIT ATTENTION, a soft threshold of thin provisioning: it has retries of its own.
    pub(super) const fn is_soft_threshold(self) -> bool {
        matches!(
            (self.key as u32, self.code, self.qualifier),
            (SCSI_SENSE_UNIT_ATTENTION, 0x38, 0x07)
        )
    }
}

/// An SRB as it came back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// Without flag bits.
    pub(super) srb_status: u8,
    pub(super) scsi_status: u8,
    pub(super) system_status: NTSTATUS,
    /// Where there is valid sense data.
    pub(super) sense: Option<Sense>,
    /// `IoStatus.Status`, never a success.
    pub(super) irp_status: NTSTATUS,
    pub(super) writes: bool,
    /// It is a READ or WRITE, which lies on the disk as far as the class driver knows.
    pub(super) within_disk: bool,
    /// How often it has been sent again.
    pub(super) retries_done: u32,
}

/// What the class driver knows of its device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device {
    pub(super) removable: bool,
    /// `DO_VERIFY_VOLUME` is set.
    pub(super) verify_pending: bool,
}

/// What to make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Success for a recovered error.
    pub(super) status: NTSTATUS,
    pub(super) retry: bool,
    pub(super) seconds: u32,
    /// It counts against the device, which loses tagging after a few.
    pub(super) counts: bool,
    /// `DO_VERIFY_VOLUME` is to be set.
    pub(super) verify: bool,
}

impl Verdict {
    const fn retry(status: NTSTATUS, seconds: u32) -> Self {
        Self {
            status,
            retry: true,
            seconds,
            counts: false,
            verify: false,
        }
    }

    const fn fail(status: NTSTATUS) -> Self {
        Self {
            retry: false,
            ..Self::retry(status, 0)
        }
    }

    /// Retried after a second at least.
    const fn counted(status: NTSTATUS) -> Self {
        Self {
            counts: true,
            ..Self::retry(status, 1)
        }
    }
}

/// The verdict on a request that did not succeed.
pub(super) fn interpret(ended: &Ended, device: Device) -> Verdict {
    // The internal error comes first: it has all flag bits set.
    if u32::from(ended.srb_status) == SRB_STATUS_INTERNAL_ERROR {
        return Verdict::fail(ended.system_status);
    }
    if u32::from(ended.scsi_status) == SCSISTAT_RESERVATION_CONFLICT {
        return Verdict::fail(STATUS_DEVICE_BUSY);
    }
    let mut verdict = match ended.sense {
        Some(sense) => by_sense(sense, ended, device),
        None => by_status(ended, device),
    };
    // disk.sys sends a READ or WRITE again that met an overrun.
    if verdict.status == STATUS_DATA_OVERRUN {
        verdict.retry = true;
    }
    verdict
}

fn by_sense(sense: Sense, ended: &Ended, device: Device) -> Verdict {
    let failed = ended.irp_status;
    match u32::from(sense.key) {
        SCSI_SENSE_NO_SENSE if sense.incorrect_length => Verdict::fail(STATUS_INVALID_BLOCK_LENGTH),
        SCSI_SENSE_RECOVERED_ERROR if sense.incorrect_length => {
            Verdict::fail(STATUS_INVALID_BLOCK_LENGTH)
        }
        SCSI_SENSE_RECOVERED_ERROR => Verdict::fail(STATUS_SUCCESS),
        SCSI_SENSE_NOT_READY => not_ready(sense),
        SCSI_SENSE_MEDIUM_ERROR if (sense.code, sense.qualifier) == (0x30, 0x01) => {
            Verdict::fail(STATUS_UNRECOGNIZED_MEDIA)
        }
        SCSI_SENSE_MEDIUM_ERROR => Verdict::fail(STATUS_DEVICE_DATA_ERROR),
        // A CRC error between host and unit is worth another try.
        SCSI_SENSE_HARDWARE_ERROR if (sense.code, sense.qualifier) == (0x08, 0x03) => {
            Verdict::retry(STATUS_DEVICE_HARDWARE_ERROR, 1)
        }
        SCSI_SENSE_HARDWARE_ERROR => Verdict::fail(STATUS_DEVICE_HARDWARE_ERROR),
        SCSI_SENSE_ILLEGAL_REQUEST => illegal_request(sense, ended),
        SCSI_SENSE_UNIT_ATTENTION => unit_attention(sense, device),
        SCSI_SENSE_DATA_PROTECT => Verdict::fail(match (sense.code, sense.qualifier) {
            (0x27, 0x07) => STATUS_DISK_RESOURCES_EXHAUSTED,
            // The status stays what the port made of it.
            (0x27, _) => failed,
            _ if ended.writes => STATUS_MEDIA_WRITE_PROTECTED,
            _ => STATUS_ACCESS_DENIED,
        }),
        SCSI_SENSE_BLANK_CHECK => Verdict::fail(STATUS_NO_DATA_DETECTED),
        SCSI_SENSE_COPY_ABORTED => Verdict::retry(failed, 0),
        SCSI_SENSE_ABORTED_COMMAND => Verdict::retry(STATUS_IO_DEVICE_ERROR, 1),
        _ => Verdict::retry(STATUS_IO_DEVICE_ERROR, 0),
    }
}

fn not_ready(sense: Sense) -> Verdict {
    let status = STATUS_DEVICE_NOT_READY;
    match (sense.code, sense.qualifier) {
        // Becoming ready; an operation in progress.
        (0x04, 0x01 | 0x07) => Verdict::retry(status, NOT_READY_SECONDS),
        (0x04, 0x03) | (0x3A, _) => Verdict::fail(STATUS_NO_MEDIA_IN_DEVICE),
        // No reason given; a format; a long write.
        (0x04, 0x00 | 0x04 | 0x08) => Verdict::fail(status),
        (0x04, 0x14) => Verdict::retry(STATUS_RETRY, NOT_READY_SECONDS),
        _ => Verdict::retry(status, 0),
    }
}

fn illegal_request(sense: Sense, ended: &Ended) -> Verdict {
    match sense.code {
        // An address that the class driver believes to be on the disk may be there a little later.
        0x21 if ended.within_disk => Verdict::retry(STATUS_NONEXISTENT_SECTOR, 5),
        0x21 => Verdict::fail(STATUS_NONEXISTENT_SECTOR),
        0x25 => Verdict::fail(STATUS_NO_SUCH_DEVICE),
        _ => Verdict::fail(STATUS_INVALID_DEVICE_REQUEST),
    }
}

fn unit_attention(sense: Sense, device: Device) -> Verdict {
    if device.removable {
        // What was sent to one medium is not sent again to another. The volume counts as mounted.
        return Verdict {
            verify: true,
            ..Verdict::fail(STATUS_VERIFY_REQUIRED)
        };
    }
    let status = STATUS_IO_DEVICE_ERROR;
    match (sense.code, sense.qualifier) {
        // Capacity changed; new microcode.
        (0x2A, 0x09) | (0x3F, 0x01) => Verdict::retry(status, 1),
        (0x38, 0x07) => Verdict::retry(status, 0),
        (0x38, _) => Verdict::fail(status),
        (0x3F, _) => Verdict::retry(status, 5),
        _ => Verdict::retry(status, 0),
    }
}

fn by_status(ended: &Ended, device: Device) -> Verdict {
    let device_error = STATUS_IO_DEVICE_ERROR;
    match u32::from(ended.srb_status) {
        SRB_STATUS_ABORTED | SRB_STATUS_TIMEOUT | SRB_STATUS_COMMAND_TIMEOUT => {
            Verdict::counted(STATUS_IO_TIMEOUT)
        }
        SRB_STATUS_ERROR => match u32::from(ended.scsi_status) {
            SCSISTAT_GOOD => Verdict::counted(device_error),
            SCSISTAT_BUSY => Verdict::retry(STATUS_DEVICE_NOT_READY, 0),
            _ => Verdict::retry(device_error, 0),
        },
        SRB_STATUS_INVALID_REQUEST => Verdict::fail(STATUS_INVALID_DEVICE_REQUEST),
        SRB_STATUS_INVALID_PATH_ID
        | SRB_STATUS_NO_DEVICE
        | SRB_STATUS_NO_HBA
        | SRB_STATUS_INVALID_LUN
        | SRB_STATUS_INVALID_TARGET_ID => Verdict::fail(STATUS_NO_SUCH_DEVICE),
        SRB_STATUS_SELECTION_TIMEOUT => Verdict::fail(STATUS_DEVICE_NOT_CONNECTED),
        SRB_STATUS_PARITY_ERROR | SRB_STATUS_UNEXPECTED_BUS_FREE => Verdict::counted(device_error),
        SRB_STATUS_DATA_OVERRUN => Verdict::fail(STATUS_DATA_OVERRUN),
        SRB_STATUS_PHASE_SEQUENCE_FAILURE => Verdict {
            retry: ended.retries_done <= 1,
            ..Verdict::counted(device_error)
        },
        SRB_STATUS_REQUEST_FLUSHED if device.verify_pending => {
            Verdict::fail(STATUS_VERIFY_REQUIRED)
        }
        _ => Verdict::retry(device_error, 0),
    }
}

/// Whether retries after this SRB status have a budget of their own.
pub(super) const fn is_timeout(srb_status: u8) -> bool {
    matches!(
        srb_status as u32,
        SRB_STATUS_BUS_RESET | SRB_STATUS_TIMEOUT | SRB_STATUS_COMMAND_TIMEOUT | SRB_STATUS_ABORTED
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Sense as Said;

    fn ended(srb_status: u32, scsi_status: u32, sense: Option<(u8, u8, u8)>) -> Ended {
        let sense = sense.map(|(key, code, qualifier)| {
            Sense::parse(&Said::new(key, code, qualifier).fixed()).expect("18 bytes of sense")
        });
        Ended {
            srb_status: srb_status as u8,
            scsi_status: scsi_status as u8,
            system_status: 0,
            sense,
            irp_status: STATUS_IO_DEVICE_ERROR,
            writes: false,
            within_disk: true,
            retries_done: 0,
        }
    }

    const FIXED: Device = Device {
        removable: false,
        verify_pending: false,
    };
    const REMOVABLE: Device = Device {
        removable: true,
        verify_pending: false,
    };

    fn check(key: u8, code: u8, qualifier: u8) -> Ended {
        ended(SRB_STATUS_ERROR, 2, Some((key, code, qualifier)))
    }

    #[test]
    fn both_sense_formats_are_read() {
        let said = Said::new(3, 0x11, 0x04).at(7);
        let fixed = Sense::parse(&said.fixed());
        assert_eq!(fixed, Sense::parse(&said.descriptor()));
        assert_eq!(fixed.map(|sense| (sense.key, sense.code)), Some((3, 0x11)));
        assert_eq!(Sense::parse(&[]), None);
    }

    #[test]
    fn recovered_is_success_and_medium_errors_are_final() {
        let recovered = interpret(&check(1, 0x17, 1), FIXED);
        assert_eq!((recovered.status, recovered.retry), (0, false));
        let medium = interpret(&check(3, 0x11, 0), FIXED);
        assert_eq!(
            (medium.status, medium.retry),
            (STATUS_DEVICE_DATA_ERROR, false)
        );
        let hardware = interpret(&check(4, 0x44, 0), FIXED);
        assert_eq!(
            (hardware.status, hardware.retry),
            (STATUS_DEVICE_HARDWARE_ERROR, false)
        );
    }

    #[test]
    fn unit_attention_is_retried_on_a_fixed_disk_alone() {
        let fixed = interpret(&check(6, 0x29, 0), FIXED);
        assert!(fixed.retry && fixed.seconds == 0 && !fixed.verify);
        let removable = interpret(&check(6, 0x28, 0), REMOVABLE);
        assert!(!removable.retry && removable.verify);
        assert_eq!(removable.status, STATUS_VERIFY_REQUIRED);
    }

    #[test]
    fn waiting_times_follow_the_reason() {
        let seconds = |ended: &Ended| {
            let verdict = interpret(ended, FIXED);
            verdict.retry.then_some(verdict.seconds)
        };
        assert_eq!(seconds(&check(2, 0x04, 0x01)), Some(10));
        assert_eq!(seconds(&check(2, 0x04, 0x03)), None);
        assert_eq!(seconds(&check(2, 0x3A, 0x00)), None);
        assert_eq!(seconds(&check(0xB, 0x47, 0x03)), Some(1));
        assert_eq!(seconds(&ended(SRB_STATUS_ERROR, 0, None)), Some(1));
        assert_eq!(seconds(&ended(SRB_STATUS_ERROR, 0x28, None)), Some(0));
        assert_eq!(seconds(&ended(SRB_STATUS_BUS_RESET, 0, None)), Some(0));
        assert_eq!(seconds(&ended(SRB_STATUS_DATA_OVERRUN, 0, None)), Some(0));
        assert_eq!(seconds(&ended(SRB_STATUS_NO_DEVICE, 0, None)), None);
        assert_eq!(seconds(&ended(SRB_STATUS_SELECTION_TIMEOUT, 0, None)), None);
        assert_eq!(seconds(&ended(SRB_STATUS_ERROR, 0x18, None)), None);
    }

    #[test]
    fn an_internal_error_says_its_own_status() {
        let internal = Ended {
            system_status: crate::abi::STATUS_INSUFFICIENT_RESOURCES,
            ..ended(SRB_STATUS_INTERNAL_ERROR, 0, None)
        };
        let verdict = interpret(&internal, FIXED);
        assert_eq!(verdict.status, crate::abi::STATUS_INSUFFICIENT_RESOURCES);
        assert!(!verdict.retry);
    }
}

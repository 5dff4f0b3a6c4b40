//! What the end of one piece means: done, to be tried again, or failed, and how badly.
//!
//! The table follows classpnp's `ClassInterpretSenseInfo` (`class.c`), because in the class shape
//! the driver stands where classpnp stands otherwise, and beneath it classpnp judges what is passed
//! up. Where this one deliberately differs it says so.

use crate::sense::{self, Sense};
use crate::srb;
use crate::status::{self, NtStatus};

/// How a piece came back.
#[derive(Clone, Copy, Debug)]
pub struct Completion<'a> {
    /// Whether an SRB travelled with the IRP. Without one only the IRP's own status counts.
    pub carrier: Carrier,
    /// `IoStatus.Status` of the piece's IRP.
    pub irp_status: NtStatus,
    /// `SrbStatus` with its flag bits.
    pub srb_status: u8,
    /// `ScsiStatus`
    pub scsi_status: u8,
    /// `SystemStatus` of an extended SRB, `InternalStatus` of a legacy one.
    pub internal_status: NtStatus,
    /// Bytes asked for.
    pub asked: u32,
    /// Bytes moved: `DataTransferLength` of the SRB, `IoStatus.Information` without one.
    pub moved: u32,
    /// The sense buffer, as long as the SRB says it is. Counts only with
    /// `SRB_STATUS_AUTOSENSE_VALID`.
    pub sense: &'a [u8],
}

/// What a piece travelled in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Carrier {
    /// An SRB.
    Srb,
    /// A plain read or write IRP.
    Irp,
}

/// What must be known besides the completion itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Context {
    /// `FILE_REMOVABLE_MEDIA`: a unit attention may mean another medium.
    pub removable: bool,
    /// The piece was a write.
    pub write: bool,
}

/// Why a piece may be tried again, which also says when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Backoff {
    /// Nothing has to recover. By DPC, never straight from the completion routine.
    AtOnce,
    /// The device or the port driver has no room for a command just now.
    ///
    /// classpnp tries again at once; with a small budget that gives up within microseconds, so here
    /// a tenth of a second passes.
    Busy,
    /// Something was reset, timed out or was disturbed.
    Disturbed,
    /// The device is occupied with itself for a while.
    Occupied,
    /// The device is not ready: `NOT_READY_RETRY_INTERVAL` of classpnp.
    NotReady,
}

impl Backoff {
    /// The delay, milliseconds.
    pub const fn delay_ms(self) -> u32 {
        match self {
            Self::AtOnce => 0,
            Self::Busy => 100,
            Self::Disturbed => 1_000,
            Self::Occupied => 5_000,
            Self::NotReady => 10_000,
        }
    }
}

/// How much a failure weighs against others of the same request. Ascending.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Rank {
    /// Any error of the device, the medium or the way there.
    Ordinary,
    /// The medium may be another one: must reach the file system whatever else went wrong.
    VerifyRequired,
    /// The device is gone.
    Removed,
}

/// What the end of a piece means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// All bytes moved.
    Done {
        /// Bytes.
        moved: u32,
    },
    /// Moved, and the device reports that it took an effort (sense key RECOVERED ERROR).
    Recovered {
        /// Bytes; may be fewer than asked.
        moved: u32,
    },
    /// Success, but with fewer bytes than asked.
    Short {
        /// Bytes.
        moved: u32,
    },
    /// Worth trying again.
    Retry {
        /// When.
        backoff: Backoff,
        /// The status of the request if it is not.
        status: NtStatus,
    },
    /// The driver below lacks resources for so much at a time.
    Shrink {
        /// The status of the request if a single sector is too much as well: what the driver below
        /// said, so that a class driver above takes its own low-memory path.
        status: NtStatus,
    },
    /// Failed for good.
    Failed {
        /// How much it weighs.
        rank: Rank,
        /// The status of the request.
        status: NtStatus,
    },
}

impl Verdict {
    /// Bytes that count as moved: 0 for anything but success. What a failed piece moved is nobody's
    /// business; ports often leave the length asked for in place.
    pub const fn moved(&self) -> u32 {
        match *self {
            Self::Done { moved } | Self::Recovered { moved } | Self::Short { moved } => moved,
            Self::Retry { .. } | Self::Shrink { .. } | Self::Failed { .. } => 0,
        }
    }

    /// The verdict when there is no further try: what was worth one becomes a failure.
    #[must_use]
    pub const fn give_up(self) -> Self {
        match self {
            Self::Retry { status, .. } | Self::Shrink { status } => Self::Failed {
                rank: rank_of(status),
                status,
            },
            settled => settled,
        }
    }

    /// All bytes moved and there is nothing to say about it: the case that needs no lock.
    pub const fn is_plain_success(&self) -> bool {
        matches!(self, Self::Done { .. })
    }
}

/// How much a status weighs.
const fn rank_of(status: NtStatus) -> Rank {
    match status {
        status::VERIFY_REQUIRED => Rank::VerifyRequired,
        status::NO_SUCH_DEVICE
        | status::DEVICE_NOT_CONNECTED
        | status::DEVICE_REMOVED
        | status::DELETE_PENDING => Rank::Removed,
        _ => Rank::Ordinary,
    }
}

const fn failed(status: NtStatus) -> Verdict {
    Verdict::Failed {
        rank: rank_of(status),
        status,
    }
}

const fn retry(backoff: Backoff, status: NtStatus) -> Verdict {
    Verdict::Retry { backoff, status }
}

/// `status` if it is a failure, else `otherwise`: a failure must not go up as a success.
const fn failure_or(status: NtStatus, otherwise: NtStatus) -> NtStatus {
    if status::is_success(status) {
        otherwise
    } else {
        status
    }
}

impl Completion<'_> {
    /// The sense data, if the piece came with any that can be read.
    pub fn parsed_sense(&self) -> Option<Sense> {
        if self.carrier == Carrier::Srb && srb::has_sense(self.srb_status) {
            Sense::parse(self.sense)
        } else {
            None
        }
    }

    /// Judges the piece.
    ///
    /// The SRB's status decides, as it does for classpnp (`xferpkt.c`, `TransferPktComplete`). An
    /// IRP that succeeded with a failed SRB is a failure; an IRP that failed with a successful SRB
    /// is one too.
    pub fn verdict(&self, context: Context) -> Verdict {
        match self.irp_status {
            status::INSUFFICIENT_RESOURCES => return self.shrink(),
            status::VERIFY_REQUIRED => return failed(status::VERIFY_REQUIRED),
            status::CANCELLED => return failed(status::CANCELLED),
            _ => {}
        }
        if self.carrier == Carrier::Irp {
            return self.by_irp();
        }
        match srb::stripped(self.srb_status) {
            srb::SUCCESS => self.by_irp(),
            srb::INTERNAL_ERROR => self.by_internal_status(),
            srb::INSUFFICIENT_RESOURCES => self.shrink(),
            _ if self.scsi_status == srb::SCSI_RESERVATION_CONFLICT => failed(status::DEVICE_BUSY),
            _ => match self.parsed_sense() {
                Some(sense) => self.by_sense(sense, context),
                None => self.by_srb_status(context),
            },
        }
    }

    /// By the IRP's status and the bytes moved. A port that claims more than was asked for moved
    /// what was asked for.
    const fn by_irp(&self) -> Verdict {
        if !status::is_success(self.irp_status) {
            return failed(self.irp_status);
        }
        if self.moved < self.asked {
            Verdict::Short { moved: self.moved }
        } else {
            Verdict::Done { moved: self.asked }
        }
    }

    const fn by_internal_status(&self) -> Verdict {
        match self.internal_status {
            status::INSUFFICIENT_RESOURCES => self.shrink(),
            other => failed(failure_or(other, status::IO_DEVICE_ERROR)),
        }
    }

    const fn shrink(&self) -> Verdict {
        Verdict::Shrink {
            status: failure_or(self.irp_status, status::INSUFFICIENT_RESOURCES),
        }
    }

    /// No sense data: by the SRB's status.
    const fn by_srb_status(&self, context: Context) -> Verdict {
        let nt = srb::nt_status(self.srb_status, self.scsi_status, self.internal_status);
        match srb::stripped(self.srb_status) {
            // Nobody wrote a status: the IRP was turned back on its way down.
            srb::PENDING => failed(failure_or(self.irp_status, status::IO_DEVICE_ERROR)),
            srb::BUSY | srb::THROTTLED_REQUEST => retry(Backoff::Busy, nt),
            srb::ERROR => match self.scsi_status {
                srb::SCSI_BUSY | srb::SCSI_QUEUE_FULL => retry(Backoff::Busy, nt),
                _ => retry(Backoff::Disturbed, nt),
            },
            srb::BUS_RESET
            | srb::PARITY_ERROR
            | srb::UNEXPECTED_BUS_FREE
            | srb::TIMEOUT
            | srb::COMMAND_TIMEOUT
            | srb::ABORTED
            | srb::PHASE_SEQUENCE_FAILURE
            | srb::REQUEST_SENSE_FAILED => retry(Backoff::Disturbed, nt),
            // Thrown out of a queue that was frozen for somebody else's error. On removable media
            // that was perhaps a change of medium, so the error must be looked at first.
            srb::REQUEST_FLUSHED if !context.removable => retry(Backoff::AtOnce, nt),
            _ => failed(nt),
        }
    }

    /// By what the device says.
    fn by_sense(&self, sense: Sense, context: Context) -> Verdict {
        if sense.deferred {
            return deferred(sense);
        }
        match sense.key {
            sense::KEY_RECOVERED_ERROR => Verdict::Recovered {
                moved: self.moved.min(self.asked),
            },
            sense::KEY_NO_SENSE if sense.incorrect_length => failed(status::INVALID_BLOCK_LENGTH),
            sense::KEY_NO_SENSE | sense::KEY_ABORTED_COMMAND => {
                retry(Backoff::Disturbed, status::IO_DEVICE_ERROR)
            }
            sense::KEY_NOT_READY => not_ready(sense),
            sense::KEY_MEDIUM_ERROR => failed(status::DEVICE_DATA_ERROR),
            sense::KEY_HARDWARE_ERROR => hardware_error(sense),
            sense::KEY_ILLEGAL_REQUEST => failed(illegal_request(sense)),
            sense::KEY_UNIT_ATTENTION => unit_attention(sense, context),
            sense::KEY_DATA_PROTECT => failed(data_protect(sense, context)),
            sense::KEY_BLANK_CHECK => failed(status::NO_DATA_DETECTED),
            _ => failed(status::IO_DEVICE_ERROR),
        }
    }
}

/// A deferred error is about an earlier command, and this one was not carried out (SPC-4, 4.5.5).
///
/// So even a deferred RECOVERED ERROR has moved nothing here. classpnp does not make the
/// difference.
const fn deferred(sense: Sense) -> Verdict {
    match sense.key {
        sense::KEY_NO_SENSE | sense::KEY_RECOVERED_ERROR => {
            retry(Backoff::AtOnce, status::IO_DEVICE_ERROR)
        }
        sense::KEY_MEDIUM_ERROR => failed(status::DEVICE_DATA_ERROR),
        sense::KEY_HARDWARE_ERROR => failed(status::DEVICE_HARDWARE_ERROR),
        _ => failed(status::IO_DEVICE_ERROR),
    }
}

const fn not_ready(sense: Sense) -> Verdict {
    match (sense.asc, sense.ascq) {
        // Becoming ready; an operation is in progress.
        (0x04, 0x01 | 0x07) => retry(Backoff::NotReady, status::DEVICE_NOT_READY),
        // Manual intervention required; medium not present.
        (0x04, 0x03) | (0x3A, _) => failed(status::NO_MEDIA_IN_DEVICE),
        // Space allocation in progress: a thin-provisioned device enlarges itself.
        (0x04, 0x14) => retry(Backoff::NotReady, status::RETRY),
        // Cause not reportable; formatting; a long write in progress.
        (0x04, 0x00 | 0x04 | 0x08) => failed(status::DEVICE_NOT_READY),
        _ => retry(Backoff::Disturbed, status::DEVICE_NOT_READY),
    }
}

const fn hardware_error(sense: Sense) -> Verdict {
    match sense.code() {
        // A checksum error on the way to the logical unit.
        0x0803 => retry(Backoff::Disturbed, status::DEVICE_HARDWARE_ERROR),
        _ => failed(status::DEVICE_HARDWARE_ERROR),
    }
}

const fn illegal_request(sense: Sense) -> NtStatus {
    match sense.asc {
        0x21 => status::NONEXISTENT_SECTOR,
        0x25 => status::NO_SUCH_DEVICE,
        _ => status::INVALID_DEVICE_REQUEST,
    }
}

const fn unit_attention(sense: Sense, context: Context) -> Verdict {
    if context.removable {
        return failed(status::VERIFY_REQUIRED);
    }
    match (sense.asc, sense.ascq) {
        // Thin provisioning soft threshold: the command was not carried out and may be repeated at
        // once.
        (0x38, 0x07) => retry(Backoff::AtOnce, status::IO_DEVICE_ERROR),
        // The device's target operating conditions changed.
        (0x3F, 0x0E) => retry(Backoff::Occupied, status::IO_DEVICE_ERROR),
        _ => retry(Backoff::Disturbed, status::IO_DEVICE_ERROR),
    }
}

const fn data_protect(sense: Sense, context: Context) -> NtStatus {
    match (sense.asc, sense.ascq) {
        (0x27, 0x07) => status::DISK_RESOURCES_EXHAUSTED,
        _ if context.write => status::MEDIA_WRITE_PROTECTED,
        _ => status::ACCESS_DENIED,
    }
}

//! What the end of a piece means, against classpnp's table (`class.c`, `ClassInterpretSenseInfo`).

use xfersplit_core::sense::Sense;
use xfersplit_core::srb;
use xfersplit_core::status::{self, NtStatus};
use xfersplit_core::verdict::{Backoff, Carrier, Completion, Context, Rank, Verdict};

const FIXED_DISK: Context = Context {
    removable: false,
    write: false,
};
const REMOVABLE: Context = Context {
    removable: true,
    write: true,
};

/// A piece of 4096 bytes that came back with this SRB status and these sense data.
fn completion(srb_status: u8, sense: &[u8]) -> Completion<'_> {
    let success = srb::stripped(srb_status) == srb::SUCCESS;
    Completion {
        carrier: Carrier::Srb,
        irp_status: if success {
            status::SUCCESS
        } else {
            status::IO_DEVICE_ERROR
        },
        srb_status,
        scsi_status: if success {
            srb::SCSI_GOOD
        } else {
            srb::SCSI_CHECK_CONDITION
        },
        internal_status: 0,
        asked: 4096,
        moved: 4096,
        sense,
    }
}

fn fixed(key: u8, asc: u8, ascq: u8) -> [u8; 18] {
    let mut sense = [0; 18];
    sense[0] = 0x70;
    sense[2] = key;
    sense[7] = 10;
    sense[12] = asc;
    sense[13] = ascq;
    sense
}

fn of_sense(key: u8, asc: u8, ascq: u8, context: Context) -> Verdict {
    completion(srb::ERROR | srb::AUTOSENSE_VALID, &fixed(key, asc, ascq)).verdict(context)
}

fn of_srb(srb_status: u8) -> Verdict {
    completion(srb_status, &[]).verdict(FIXED_DISK)
}

fn failed(status: NtStatus) -> Verdict {
    Verdict::Failed {
        rank: Rank::Ordinary,
        status,
    }
}

const GONE: Verdict = Verdict::Failed {
    rank: Rank::Removed,
    status: status::NO_SUCH_DEVICE,
};
const VERIFY: Verdict = Verdict::Failed {
    rank: Rank::VerifyRequired,
    status: status::VERIFY_REQUIRED,
};

fn retry(backoff: Backoff, status: NtStatus) -> Verdict {
    Verdict::Retry { backoff, status }
}

#[test]
fn success_counts_bytes() {
    let mut piece = completion(srb::SUCCESS, &[]);
    assert_eq!(piece.verdict(FIXED_DISK), Verdict::Done { moved: 4096 });
    piece.srb_status |= srb::QUEUE_FROZEN;
    assert_eq!(piece.verdict(FIXED_DISK), Verdict::Done { moved: 4096 });
    piece.moved = 512;
    assert_eq!(piece.verdict(FIXED_DISK), Verdict::Short { moved: 512 });
    piece.moved = 8192;
    assert_eq!(piece.verdict(FIXED_DISK), Verdict::Done { moved: 4096 });
}

#[test]
fn irp_and_srb_that_disagree() {
    // The SRB failed: classpnp rewrites such a success to STATUS_UNSUCCESSFUL.
    let mut piece = completion(srb::TIMEOUT, &[]);
    piece.irp_status = status::SUCCESS;
    let timed_out = retry(Backoff::Disturbed, status::IO_TIMEOUT);
    assert_eq!(piece.verdict(FIXED_DISK), timed_out);
    // The IRP failed.
    let mut piece = completion(srb::SUCCESS, &[]);
    piece.irp_status = status::IO_DEVICE_ERROR;
    assert_eq!(piece.verdict(FIXED_DISK), failed(status::IO_DEVICE_ERROR));
    // Nobody wrote a status, as when a removed driver turns the IRP back.
    let mut piece = completion(srb::PENDING, &[]);
    piece.irp_status = status::DELETE_PENDING;
    let refused = Verdict::Failed {
        rank: Rank::Removed,
        status: status::DELETE_PENDING,
    };
    assert_eq!(piece.verdict(FIXED_DISK), refused);
    piece.irp_status = status::SUCCESS;
    assert_eq!(piece.verdict(FIXED_DISK), failed(status::IO_DEVICE_ERROR));
}

#[test]
fn the_three_forms_of_insufficient_resources() {
    let shrink = Verdict::Shrink {
        status: status::INSUFFICIENT_RESOURCES,
    };
    let mut by_irp = completion(srb::ERROR, &[]);
    by_irp.irp_status = status::INSUFFICIENT_RESOURCES;
    assert_eq!(by_irp.verdict(FIXED_DISK), shrink);

    let mut by_internal = completion(srb::INTERNAL_ERROR, &[]);
    by_internal.irp_status = status::INSUFFICIENT_RESOURCES;
    by_internal.internal_status = status::INSUFFICIENT_RESOURCES;
    assert_eq!(by_internal.verdict(FIXED_DISK), shrink);
    // The IRP's status goes up as it was, also when it names another error.
    by_internal.irp_status = status::IO_DEVICE_ERROR;
    let verbatim = Verdict::Shrink {
        status: status::IO_DEVICE_ERROR,
    };
    assert_eq!(by_internal.verdict(FIXED_DISK), verbatim);

    let mut by_srb = completion(srb::INSUFFICIENT_RESOURCES, &[]);
    by_srb.irp_status = status::SUCCESS;
    assert_eq!(by_srb.verdict(FIXED_DISK), shrink);
    assert_eq!(shrink.give_up(), failed(status::INSUFFICIENT_RESOURCES));
}

#[test]
fn internal_errors_bring_their_own_status() {
    let mut piece = completion(srb::INTERNAL_ERROR, &[]);
    piece.internal_status = status::DEVICE_NOT_READY;
    assert_eq!(piece.verdict(FIXED_DISK), failed(status::DEVICE_NOT_READY));
    piece.internal_status = status::SUCCESS;
    assert_eq!(piece.verdict(FIXED_DISK), failed(status::IO_DEVICE_ERROR));
}

#[test]
fn srb_status_without_sense() {
    for gone in [
        srb::NO_DEVICE,
        srb::INVALID_PATH_ID,
        srb::INVALID_LUN,
        srb::INVALID_TARGET_ID,
        srb::NO_HBA,
    ] {
        assert_eq!(of_srb(gone), GONE);
    }
    let unselectable = Verdict::Failed {
        rank: Rank::Removed,
        status: status::DEVICE_NOT_CONNECTED,
    };
    assert_eq!(of_srb(srb::SELECTION_TIMEOUT), unselectable);
    for timeout in [srb::TIMEOUT, srb::COMMAND_TIMEOUT, srb::ABORTED] {
        assert_eq!(
            of_srb(timeout),
            retry(Backoff::Disturbed, status::IO_TIMEOUT)
        );
    }
    for disturbed in [
        srb::BUS_RESET,
        srb::PARITY_ERROR,
        srb::UNEXPECTED_BUS_FREE,
        srb::ERROR,
    ] {
        assert_eq!(
            of_srb(disturbed),
            retry(Backoff::Disturbed, status::IO_DEVICE_ERROR)
        );
    }
    assert_eq!(
        of_srb(srb::BUSY),
        retry(Backoff::Busy, status::IO_DEVICE_ERROR)
    );
    assert_eq!(
        of_srb(srb::REQUEST_FLUSHED),
        retry(Backoff::AtOnce, status::IO_DEVICE_ERROR)
    );
    assert_eq!(
        of_srb(srb::INVALID_REQUEST),
        failed(status::INVALID_DEVICE_REQUEST)
    );
    assert_eq!(of_srb(srb::DATA_OVERRUN), failed(status::DATA_OVERRUN));
    assert_eq!(of_srb(srb::BAD_FUNCTION), failed(status::IO_DEVICE_ERROR));
    let flushed = completion(srb::REQUEST_FLUSHED, &[]).verdict(REMOVABLE);
    assert_eq!(flushed, failed(status::IO_DEVICE_ERROR));
}

#[test]
fn scsi_status_busy_full_and_reserved() {
    let of_scsi = |scsi_status| {
        let mut piece = completion(srb::ERROR, &[]);
        piece.scsi_status = scsi_status;
        piece.verdict(FIXED_DISK)
    };
    assert_eq!(
        of_scsi(srb::SCSI_BUSY),
        retry(Backoff::Busy, status::DEVICE_NOT_READY)
    );
    assert_eq!(
        of_scsi(srb::SCSI_QUEUE_FULL),
        retry(Backoff::Busy, status::IO_DEVICE_ERROR)
    );
    assert_eq!(
        of_scsi(srb::SCSI_RESERVATION_CONFLICT),
        failed(status::DEVICE_BUSY)
    );
    // A reservation conflict is looked at before sense data.
    let sense = fixed(1, 0, 0);
    let mut piece = completion(srb::ERROR | srb::AUTOSENSE_VALID, &sense);
    piece.scsi_status = srb::SCSI_RESERVATION_CONFLICT;
    assert_eq!(piece.verdict(FIXED_DISK), failed(status::DEVICE_BUSY));
}

#[test]
fn every_sense_key() {
    let plain = |key| of_sense(key, 0, 0, FIXED_DISK);
    assert_eq!(plain(0), retry(Backoff::Disturbed, status::IO_DEVICE_ERROR));
    assert_eq!(plain(1), Verdict::Recovered { moved: 4096 });
    assert_eq!(
        plain(2),
        retry(Backoff::Disturbed, status::DEVICE_NOT_READY)
    );
    assert_eq!(plain(3), failed(status::DEVICE_DATA_ERROR));
    assert_eq!(plain(4), failed(status::DEVICE_HARDWARE_ERROR));
    assert_eq!(plain(5), failed(status::INVALID_DEVICE_REQUEST));
    assert_eq!(plain(6), retry(Backoff::Disturbed, status::IO_DEVICE_ERROR));
    assert_eq!(plain(7), failed(status::ACCESS_DENIED));
    assert_eq!(plain(8), failed(status::NO_DATA_DETECTED));
    assert_eq!(
        plain(0xB),
        retry(Backoff::Disturbed, status::IO_DEVICE_ERROR)
    );
    for other in [0x9, 0xA, 0xC, 0xD, 0xE, 0xF] {
        assert_eq!(plain(other), failed(status::IO_DEVICE_ERROR));
    }
}

#[test]
fn additional_sense_codes_that_matter() {
    let fixed_disk = |key, asc, ascq| of_sense(key, asc, ascq, FIXED_DISK);
    assert_eq!(
        fixed_disk(2, 0x04, 0x01),
        retry(Backoff::NotReady, status::DEVICE_NOT_READY)
    );
    assert_eq!(
        fixed_disk(2, 0x04, 0x03),
        failed(status::NO_MEDIA_IN_DEVICE)
    );
    assert_eq!(
        fixed_disk(2, 0x3A, 0x01),
        failed(status::NO_MEDIA_IN_DEVICE)
    );
    assert_eq!(
        fixed_disk(2, 0x04, 0x14),
        retry(Backoff::NotReady, status::RETRY)
    );
    assert_eq!(fixed_disk(2, 0x04, 0x04), failed(status::DEVICE_NOT_READY));
    assert_eq!(
        fixed_disk(4, 0x08, 0x03),
        retry(Backoff::Disturbed, status::DEVICE_HARDWARE_ERROR)
    );
    assert_eq!(
        fixed_disk(5, 0x21, 0x00),
        failed(status::NONEXISTENT_SECTOR)
    );
    assert_eq!(fixed_disk(5, 0x25, 0x00), GONE);
    assert_eq!(
        fixed_disk(6, 0x29, 0x00),
        retry(Backoff::Disturbed, status::IO_DEVICE_ERROR)
    );
    assert_eq!(
        fixed_disk(6, 0x38, 0x07),
        retry(Backoff::AtOnce, status::IO_DEVICE_ERROR)
    );
    assert_eq!(
        fixed_disk(6, 0x3F, 0x0E),
        retry(Backoff::Occupied, status::IO_DEVICE_ERROR)
    );
    assert_eq!(
        fixed_disk(7, 0x27, 0x07),
        failed(status::DISK_RESOURCES_EXHAUSTED)
    );
    assert_eq!(
        of_sense(7, 0x27, 0, REMOVABLE),
        failed(status::MEDIA_WRITE_PROTECTED)
    );
}

#[test]
fn another_medium_must_be_verified() {
    assert_eq!(of_sense(6, 0x28, 0, REMOVABLE), VERIFY);
    assert_eq!(of_sense(6, 0x29, 0, REMOVABLE), VERIFY);
    let mut piece = completion(srb::ERROR, &[]);
    piece.irp_status = status::VERIFY_REQUIRED;
    assert_eq!(piece.verdict(FIXED_DISK), VERIFY);
}

#[test]
fn incorrect_length_is_an_error() {
    let mut sense = fixed(0, 0, 0);
    sense[2] |= 0x20;
    let piece = completion(srb::ERROR | srb::AUTOSENSE_VALID, &sense);
    assert_eq!(
        piece.verdict(FIXED_DISK),
        failed(status::INVALID_BLOCK_LENGTH)
    );
}

#[test]
fn recovered_says_how_much_moved() {
    let sense = fixed(1, 0x17, 0x01);
    let mut piece = completion(srb::ERROR | srb::AUTOSENSE_VALID, &sense);
    piece.moved = 512;
    assert_eq!(piece.verdict(FIXED_DISK), Verdict::Recovered { moved: 512 });
    piece.moved = 9999;
    assert_eq!(
        piece.verdict(FIXED_DISK),
        Verdict::Recovered { moved: 4096 }
    );
    assert!(!piece.verdict(FIXED_DISK).is_plain_success());
}

/// The command that reports a deferred error was not carried out: nothing moved, not even with
/// RECOVERED ERROR.
#[test]
fn deferred_errors_moved_nothing() {
    for code in [0x71, 0x73] {
        for key in 0..16 {
            let mut sense = fixed(key, 0, 0);
            sense[0] = code;
            sense[1] = key;
            let piece = completion(srb::ERROR | srb::AUTOSENSE_VALID, &sense);
            let verdict = piece.verdict(FIXED_DISK);
            assert_eq!(verdict.moved(), 0, "key {key}");
            let again = matches!(verdict, Verdict::Retry { .. });
            assert_eq!(again, key < 2, "key {key}");
        }
    }
}

#[test]
fn sense_counts_only_with_the_flag() {
    let sense = fixed(1, 0, 0);
    let piece = completion(srb::ERROR, &sense);
    assert_eq!(piece.parsed_sense(), None);
    assert_eq!(
        piece.verdict(FIXED_DISK),
        retry(Backoff::Disturbed, status::IO_DEVICE_ERROR)
    );
    let unreadable = completion(srb::ERROR | srb::AUTOSENSE_VALID, &[0x7F, 0, 1]);
    assert_eq!(
        unreadable.verdict(FIXED_DISK),
        retry(Backoff::Disturbed, status::IO_DEVICE_ERROR)
    );
}

#[test]
fn without_an_srb_the_irp_decides() {
    let irp = |irp_status, moved| {
        Completion {
            carrier: Carrier::Irp,
            irp_status,
            moved,
            ..completion(srb::ERROR | srb::AUTOSENSE_VALID, &[0x70, 0, 1])
        }
        .verdict(FIXED_DISK)
    };
    assert_eq!(irp(status::SUCCESS, 4096), Verdict::Done { moved: 4096 });
    assert_eq!(irp(status::SUCCESS, 0), Verdict::Short { moved: 0 });
    assert_eq!(irp(status::IO_TIMEOUT, 4096), failed(status::IO_TIMEOUT));
    assert_eq!(irp(status::NO_SUCH_DEVICE, 0), GONE);
    assert_eq!(irp(status::VERIFY_REQUIRED, 0), VERIFY);
    assert_eq!(irp(status::CANCELLED, 0), failed(status::CANCELLED));
}

#[test]
fn giving_up() {
    for srb_status in 0..=u8::MAX {
        for irp_status in [
            status::SUCCESS,
            status::IO_DEVICE_ERROR,
            status::INSUFFICIENT_RESOURCES,
        ] {
            let sense = fixed(srb_status & 0xF, 0, 0);
            let mut piece = completion(srb_status, &sense);
            piece.irp_status = irp_status;
            let verdict = piece.verdict(FIXED_DISK).give_up();
            match verdict {
                Verdict::Failed { status, .. } => {
                    assert!(!status::is_success(status), "{srb_status:#x}");
                    assert_eq!(verdict.moved(), 0);
                }
                Verdict::Done { moved }
                | Verdict::Recovered { moved }
                | Verdict::Short { moved } => {
                    assert_eq!(verdict.moved(), moved);
                }
                Verdict::Retry { .. } | Verdict::Shrink { .. } => panic!("{srb_status:#x}"),
            }
            assert_eq!(verdict.give_up(), verdict);
        }
    }
}

#[test]
fn delays() {
    let delays = [
        Backoff::AtOnce,
        Backoff::Busy,
        Backoff::Disturbed,
        Backoff::Occupied,
        Backoff::NotReady,
    ]
    .map(Backoff::delay_ms);
    assert_eq!(delays, [0, 100, 1000, 5000, 10_000]);
}

#[test]
fn sense_formats() {
    let fixed_format = Sense::parse(&fixed(3, 0x11, 0x04)).expect("sense");
    assert_eq!((fixed_format.key, fixed_format.code()), (3, 0x1104));
    assert!(!fixed_format.deferred && !fixed_format.incorrect_length);

    let descriptor = Sense::parse(&[0x72, 0x03, 0x11, 0x04, 0, 0, 0, 0]).expect("sense");
    assert_eq!((descriptor.key, descriptor.code()), (3, 0x1104));
    assert!(Sense::parse(&[0x73, 0x01, 0, 0]).expect("sense").deferred);

    // The VALID bit above the response code does not matter.
    let mut valid = fixed(6, 0x29, 0);
    valid[0] |= 0x80;
    assert_eq!(Sense::parse(&valid).map(|sense| sense.key), Some(6));
    for code in (0..0x80_u8).filter(|code| !(0x70..=0x73).contains(code)) {
        assert_eq!(Sense::parse(&[code, 0, 3, 0, 0, 0, 0, 10]), None);
    }
}

#[test]
fn sense_data_cut_anywhere() {
    let long = fixed(3, 0x11, 0x04);
    for length in 0..=long.len() {
        let sense = Sense::parse(&long[..length]);
        assert_eq!(sense.map(|sense| sense.key), (length >= 3).then_some(3));
        let asc = if length > 12 { 0x11 } else { 0 };
        assert_eq!(sense.map_or(0, |sense| sense.asc), asc, "{length}");
    }
    // Codes behind the additional length are leftovers of another command.
    let mut old = long;
    old[7] = 4;
    assert_eq!(Sense::parse(&old).map(|sense| sense.code()), Some(0));
    let descriptor = [0x72, 0x03, 0x11, 0x04];
    let codes = [0, 1, 2, 3, 4].map(|length| Sense::parse(&descriptor[..length]).map(|s| s.code()));
    assert_eq!(codes, [None, None, Some(0), Some(0x1100), Some(0x1104)]);
}

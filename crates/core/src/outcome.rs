//! What the ends of all pieces mean for the request, whatever order they came in.
//!
//! Every end that is not a plain success has a place in one total order, and the request ends as
//! the highest of them:
//!
//! 1. a piece that says the device is gone,
//! 2. a piece that says the medium must be verified,
//! 3. any other failed piece,
//! 4. our own knowledge that the device is gone,
//! 5. a hole: an earlier piece that came back short, or a frozen queue that ended the sending,
//! 6. a refusal,
//! 7. a cancellation,
//! 8. a recovered error;
//!
//! within each the lowest offset. A maximum does not depend on the order in which it is taken,
//! which is the whole proof.
//!
//! All status fields and the sense data of the result come from that one end: mixtures would send
//! the class driver looking for an error that nobody had. A recovered error is only ever shown when
//! every byte moved, because classpnp turns it into success for the whole request (`class.c`,
//! `ClassInterpretSenseInfo`; `xferpkt.c` then adds the whole length).

use core::cmp::Reverse;

use crate::sense::{self, MAX_LENGTH};
use crate::srb;
use crate::status::{self, NtStatus};
use crate::verdict::{Carrier, Completion, Rank, Verdict};

/// What a piece left behind: everything the request may have to show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Evidence {
    /// `IoStatus.Status` of the piece, as it was.
    pub irp_status: NtStatus,
    /// `SrbStatus` with its flag bits.
    pub srb_status: u8,
    /// `ScsiStatus`
    pub scsi_status: u8,
    /// `SystemStatus` or `InternalStatus`
    pub internal_status: NtStatus,
    sense_length: u8,
    sense: [u8; MAX_LENGTH],
}

impl Evidence {
    /// No evidence.
    pub const EMPTY: Self = Self {
        irp_status: status::SUCCESS,
        srb_status: 0,
        scsi_status: 0,
        internal_status: 0,
        sense_length: 0,
        sense: [0; MAX_LENGTH],
    };

    /// Copies what counts of a completion. Sense data count only if the SRB says so; the bit is
    /// cleared if there are none.
    pub fn of(completion: &Completion<'_>) -> Self {
        let mut evidence = Self {
            irp_status: completion.irp_status,
            srb_status: completion.srb_status,
            scsi_status: completion.scsi_status,
            internal_status: completion.internal_status,
            ..Self::EMPTY
        };
        if completion.carrier == Carrier::Srb && srb::has_sense(completion.srb_status) {
            let mut length: u8 = 0;
            for (to, from) in evidence.sense.iter_mut().zip(completion.sense) {
                *to = *from;
                length = length.saturating_add(1);
            }
            evidence.sense_length = length;
        }
        if evidence.sense_length == 0 {
            evidence.srb_status &= !srb::AUTOSENSE_VALID;
        }
        evidence
    }

    /// The sense data; empty if there are none.
    pub fn sense(&self) -> &[u8] {
        self.sense
            .get(..usize::from(self.sense_length))
            .unwrap_or(&[])
    }

    /// Takes the sense data away if they would make a class driver believe that the data moved.
    fn without_claim_of_recovery(mut self) -> Self {
        let recovered = sense::Sense::parse(self.sense())
            .is_some_and(|parsed| parsed.key == sense::KEY_RECOVERED_ERROR);
        if recovered {
            self.sense_length = 0;
            self.sense = [0; MAX_LENGTH];
            self.srb_status &= !srb::AUTOSENSE_VALID;
        }
        self
    }
}

/// Failures that no piece reported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Own {
    /// The request was cancelled.
    Cancelled,
    /// The request has no legal plan.
    Refused,
    /// The device is being removed.
    Removed,
    /// One of the pieces left the queue below frozen and only the class driver may release it:
    /// what is not sent yet cannot be. For requests of which something is not sent yet; one that
    /// was sent completely ends as its pieces say.
    Frozen,
}

/// How a request ended. Ascending: the highest end that occurred is the request's.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Ending {
    /// Every byte moved, or every byte up to a short end.
    Success,
    /// Every byte moved, with an effort that the device reports.
    Recovered,
    /// Cancelled before it was done.
    Cancelled,
    /// Never sent.
    Refused,
    /// A piece in the middle came back short, or the rest could not be sent.
    Hole,
    /// The device was removed before it was done.
    Removed,
    /// A piece failed.
    Failed(Rank),
}

/// Whether further pieces may be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flow {
    /// They may.
    Continue,
    /// The request has failed: wait for what is in flight, send nothing more.
    Stop,
}

/// The ends of a request's pieces so far.
///
/// Plain successes need not be recorded: the owner adds [`Verdict::moved`] of every piece, recorded
/// or not, to one atomic sum and hands that to [`Outcome::finish`]. Everything else is recorded
/// here, under the request's spin lock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Outcome {
    length: u64,
    ending: Ending,
    /// Place of the end that counts.
    offset: u64,
    status: NtStatus,
    evidence: Evidence,
    /// First byte that is known not to have moved.
    gap: u64,
    /// Bytes that the last piece did not move.
    shortfall: u64,
    queue_frozen: bool,
}

impl Outcome {
    /// Nothing has happened yet to a request of `length` bytes.
    pub const fn new(length: u64) -> Self {
        Self {
            length,
            ending: Ending::Success,
            offset: u64::MAX,
            status: status::SUCCESS,
            evidence: Evidence::EMPTY,
            gap: length,
            shortfall: 0,
            queue_frozen: false,
        }
    }

    /// Records the settled end of the bytes `offset..offset + length`, of a piece or of what the
    /// [`crate::ladder`] made of one.
    ///
    /// A verdict that asks for another try counts as a failure: ask before recording.
    pub fn record(
        &mut self,
        offset: u64,
        length: u32,
        verdict: &Verdict,
        evidence: &Evidence,
    ) -> Flow {
        if srb::is_frozen(evidence.srb_status) {
            self.queue_frozen = true;
        }
        match verdict.give_up() {
            Verdict::Done { moved } | Verdict::Short { moved } => self.moved(offset, length, moved),
            Verdict::Recovered { moved } => {
                self.raise(Ending::Recovered, offset, status::SUCCESS, evidence);
                self.moved(offset, length, moved);
            }
            Verdict::Failed { rank, status } => {
                self.gap = self.gap.min(offset);
                let evidence = evidence.without_claim_of_recovery();
                self.raise(Ending::Failed(rank), offset, status, &evidence);
            }
            // `give_up` leaves neither.
            Verdict::Retry { .. } | Verdict::Shrink { .. } => {}
        }
        self.flow()
    }

    /// Records a failure of our own.
    pub fn record_own(&mut self, own: Own) -> Flow {
        let (ending, status) = match own {
            Own::Cancelled => (Ending::Cancelled, status::CANCELLED),
            Own::Refused => (Ending::Refused, status::INVALID_DEVICE_REQUEST),
            Own::Removed => (Ending::Removed, status::NO_SUCH_DEVICE),
            Own::Frozen => (Ending::Hole, status::IO_DEVICE_ERROR),
        };
        self.raise(ending, u64::MAX, status, &Evidence::EMPTY);
        self.flow()
    }

    /// Records that nothing from `offset` on was sent of a piece that was taken from the plan: the
    /// request had stopped before its next try.
    pub fn unsent(&mut self, offset: u64) {
        self.gap = self.gap.min(offset);
    }

    /// Whether further pieces may be sent.
    pub const fn flow(&self) -> Flow {
        match self.ending {
            Ending::Success | Ending::Recovered => Flow::Continue,
            _ => Flow::Stop,
        }
    }

    /// Whether some piece left the queue below frozen: until it is released, whatever is sent waits
    /// there.
    pub const fn queue_frozen(&self) -> bool {
        self.queue_frozen
    }

    /// A success. Short in the middle it leaves a hole, short at the end it is simply where the
    /// data end.
    fn moved(&mut self, offset: u64, length: u32, moved: u32) {
        if moved >= length {
            return;
        }
        let stop = offset.saturating_add(u64::from(moved));
        self.gap = self.gap.min(stop);
        let end = offset.saturating_add(u64::from(length));
        if end < self.length {
            self.raise(
                Ending::Hole,
                stop,
                status::IO_DEVICE_ERROR,
                &Evidence::EMPTY,
            );
        } else {
            self.shortfall = end.saturating_sub(stop);
        }
    }

    /// Lets an end count if it is higher than the one that counted, or as high and nearer to the
    /// start.
    fn raise(&mut self, ending: Ending, offset: u64, status: NtStatus, evidence: &Evidence) {
        if (ending, Reverse(offset)) > (self.ending, Reverse(self.offset)) {
            self.ending = ending;
            self.offset = offset;
            self.status = status;
            self.evidence = *evidence;
        }
    }

    /// The end of the request, once every piece that was sent is back.
    ///
    /// `moved` is the sum of [`Verdict::moved`] over them, `sent` how far the request was sent
    /// ([`crate::plan::Plan::taken`]), both in bytes. Success is only given when the sums agree
    /// with it.
    pub fn finish(&self, moved: u64, sent: u64) -> Finished<'_> {
        let ending = self.settled(moved, sent);
        let own = |srb_status, status| Finished {
            ending,
            irp_status: status,
            status,
            srb_status,
            scsi_status: srb::SCSI_GOOD,
            internal_status: 0,
            sense: &[],
            information: 0,
            moved,
            good_prefix: self.gap.min(sent),
            queue_frozen: self.queue_frozen,
        };
        match ending {
            Ending::Success => Finished {
                information: moved,
                ..own(srb::SUCCESS, status::SUCCESS)
            },
            Ending::Cancelled => own(srb::ABORTED, status::CANCELLED),
            Ending::Refused => own(srb::INVALID_REQUEST, status::INVALID_DEVICE_REQUEST),
            Ending::Hole => own(srb::ERROR, status::IO_DEVICE_ERROR),
            Ending::Removed => own(srb::NO_DEVICE, status::NO_SUCH_DEVICE),
            Ending::Recovered | Ending::Failed(_) => Finished {
                irp_status: self.evidence.irp_status,
                srb_status: self.evidence.srb_status,
                scsi_status: self.evidence.scsi_status,
                internal_status: self.evidence.internal_status,
                sense: self.evidence.sense(),
                information: if ending == Ending::Recovered {
                    moved
                } else {
                    0
                },
                ..own(0, self.status)
            },
        }
    }

    /// The ending, with success checked against the sums.
    fn settled(&self, moved: u64, sent: u64) -> Ending {
        if self.flow() == Flow::Stop {
            return self.ending;
        }
        let expected = self.length.saturating_sub(self.shortfall);
        if sent != self.length || moved != expected {
            Ending::Hole
        } else if self.shortfall != 0 {
            // A recovered error may be shown only when every byte moved.
            Ending::Success
        } else {
            self.ending
        }
    }
}

/// How the request ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Finished<'a> {
    /// Which kind of end.
    pub ending: Ending,
    /// For a request that came as an SRB: `IoStatus.Status`, of the piece that decided, as it was.
    pub irp_status: NtStatus,
    /// For a request that came as a read or write: `IoStatus.Status`, as a class driver would give
    /// it. Success for [`Ending::Recovered`].
    pub status: NtStatus,
    /// `SrbStatus` with its flag bits.
    pub srb_status: u8,
    /// `ScsiStatus`
    pub scsi_status: u8,
    /// `SystemStatus` or `InternalStatus`
    pub internal_status: NtStatus,
    /// Sense data; empty if there are none.
    pub sense: &'a [u8],
    /// `IoStatus.Information` of a read or write, bytes: 0 on failure.
    pub information: u64,
    /// Bytes moved by pieces that succeeded, wherever they lie: `DataTransferLength` of a request
    /// that came as an SRB.
    pub moved: u64,
    /// Bytes from the start of the request that moved without a gap.
    pub good_prefix: u64,
    /// Some piece left the queue frozen. Whoever judges errors must release it, also when another
    /// piece decided the result.
    pub queue_frozen: bool,
}

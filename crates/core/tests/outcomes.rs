//! What the pieces' ends mean together: the same in every order, and never a success that moved too
//! little.

use std::sync::LazyLock;

use xfersplit_core::outcome::{Ending, Evidence, Finished, Flow, Outcome, Own};
use xfersplit_core::srb;
use xfersplit_core::status;
use xfersplit_core::verdict::{Carrier, Completion, Context, Rank, Verdict};

const PIECES: usize = if cfg!(miri) { 3 } else { 6 };
const PIECE: u32 = 4096;
const LENGTH: u64 = PIECES as u64 * PIECE as u64;
const SHORT: u32 = 512;

/// How one piece ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Done,
    Recovered,
    Failed,
    Verify,
    Removed,
    Short,
    Unissued,
}

const ENDS: [End; 7] = [
    End::Done,
    End::Recovered,
    End::Failed,
    End::Verify,
    End::Removed,
    End::Short,
    End::Unissued,
];

/// Sense data that name the piece, so that a mixture would be seen.
fn sense(index: usize, key: u8) -> Vec<u8> {
    let mut sense = vec![0; 18 + index];
    sense[0] = 0x70;
    sense[2] = key;
    sense[7] = 10;
    sense[15] = index as u8;
    sense
}

/// How piece `index` with this end comes back; every field names the piece.
fn judge(index: usize, end: End) -> Option<(Verdict, Evidence)> {
    let (srb_status, key, moved) = match end {
        End::Done => (srb::SUCCESS, 0, PIECE),
        End::Short => (srb::SUCCESS, 0, SHORT),
        End::Recovered => (srb::ERROR | srb::AUTOSENSE_VALID, 1, PIECE),
        End::Failed => (srb::ERROR | srb::AUTOSENSE_VALID, 3, PIECE),
        End::Verify => (srb::ERROR | srb::AUTOSENSE_VALID, 6, PIECE),
        End::Removed => (srb::NO_DEVICE, 0, PIECE),
        End::Unissued => return None,
    };
    let sense = sense(index, key);
    let completion = Completion {
        carrier: Carrier::Srb,
        irp_status: match end {
            End::Done | End::Short => status::SUCCESS,
            End::Removed => status::NO_SUCH_DEVICE - index as i32,
            _ => status::IO_DEVICE_ERROR - index as i32,
        },
        srb_status,
        scsi_status: if end == End::Removed {
            0
        } else {
            srb::SCSI_CHECK_CONDITION
        },
        internal_status: index as i32,
        asked: PIECE,
        moved,
        sense: &sense,
    };
    let context = Context {
        removable: true,
        write: true,
    };
    Some((completion.verdict(context), Evidence::of(&completion)))
}

type Judged = [Option<(Verdict, Evidence)>; PIECES];

static TABLE: LazyLock<Vec<Judged>> = LazyLock::new(|| {
    ENDS.iter()
        .map(|&end| core::array::from_fn(|index| judge(index, end)))
        .collect()
});

/// Every order of the first `count` pieces (Heap's algorithm).
fn orders(count: usize) -> Vec<Vec<usize>> {
    fn heap(size: usize, order: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
        if size <= 1 {
            all.push(order.clone());
            return;
        }
        for index in 0..size {
            heap(size - 1, order, all);
            let other = if size.is_multiple_of(2) { index } else { 0 };
            order.swap(other, size - 1);
        }
    }
    let mut all = Vec::new();
    heap(count, &mut (0..count).collect(), &mut all);
    all
}

/// Every assignment of ends in which pieces were issued front to back and then no more.
fn assignments() -> Vec<[End; PIECES]> {
    let mut all = Vec::new();
    for number in 0..ENDS.len().pow(PIECES as u32) {
        let ends: [End; PIECES] =
            core::array::from_fn(|index| ENDS[number / ENDS.len().pow(index as u32) % ENDS.len()]);
        let issued = ends.iter().take_while(|&&end| end != End::Unissued).count();
        if ends[issued..].iter().all(|&end| end == End::Unissued) {
            all.push(ends);
        }
    }
    all
}

/// Merges the ends in the given order, as the driver does.
fn merge(ends: [End; PIECES], order: &[usize]) -> (Outcome, u64, u64) {
    let mut outcome = Outcome::new(LENGTH);
    let (mut moved, mut sent) = (0, 0);
    for &index in order {
        let Some((verdict, evidence)) = &TABLE[ends[index] as usize][index] else {
            continue;
        };
        moved += u64::from(verdict.moved());
        sent += u64::from(PIECE);
        if !verdict.is_plain_success() {
            let offset = index as u64 * u64::from(PIECE);
            outcome.record(offset, PIECE, verdict, evidence);
        }
    }
    (outcome, moved, sent)
}

/// The rule, written down a second time: find the piece that decides, then read everything off it.
fn expected(ends: [End; PIECES]) -> (Ending, Option<usize>) {
    let first = |wanted: End| ends.iter().position(|&end| end == wanted);
    if let Some(index) = first(End::Removed) {
        return (Ending::Failed(Rank::Removed), Some(index));
    }
    if let Some(index) = first(End::Verify) {
        return (Ending::Failed(Rank::VerifyRequired), Some(index));
    }
    if let Some(index) = first(End::Failed) {
        return (Ending::Failed(Rank::Ordinary), Some(index));
    }
    let (last, others) = ends.split_last().expect("pieces");
    if others.contains(&End::Short) || ends.contains(&End::Unissued) {
        return (Ending::Hole, None);
    }
    match first(End::Recovered) {
        Some(index) if *last != End::Short => (Ending::Recovered, Some(index)),
        _ => (Ending::Success, None),
    }
}

/// Bytes from the start that moved without a gap, piece by piece.
fn good_prefix(ends: [End; PIECES]) -> u64 {
    let mut prefix = 0;
    for end in ends {
        match end {
            End::Done | End::Recovered => prefix += u64::from(PIECE),
            End::Short => return prefix + u64::from(SHORT),
            _ => return prefix,
        }
    }
    prefix
}

fn check(ends: [End; PIECES], finished: &Finished<'_>) {
    let (ending, decides) = expected(ends);
    assert_eq!(finished.ending, ending, "{ends:?}");
    assert_eq!(finished.good_prefix, good_prefix(ends), "{ends:?}");
    let evidence = decides.and_then(|index| judge(index, ends[index]));
    match ending {
        Ending::Success => {
            assert_eq!((finished.status, finished.irp_status), (0, 0));
            assert_eq!(finished.srb_status, srb::SUCCESS);
            assert_eq!(finished.information, good_prefix(ends));
        }
        Ending::Hole => {
            assert_eq!(finished.status, status::IO_DEVICE_ERROR);
            assert_eq!(finished.srb_status, srb::ERROR);
            assert!(finished.sense.is_empty());
        }
        Ending::Recovered | Ending::Failed(_) => {
            let (_, evidence) = evidence.expect("a piece decides");
            assert_eq!(finished.irp_status, evidence.irp_status, "{ends:?}");
            assert_eq!(finished.srb_status, evidence.srb_status, "{ends:?}");
            assert_eq!(finished.scsi_status, evidence.scsi_status, "{ends:?}");
            assert_eq!(
                finished.internal_status, evidence.internal_status,
                "{ends:?}"
            );
            assert_eq!(finished.sense, evidence.sense(), "{ends:?}");
        }
        other => panic!("{other:?}"),
    }
    let success = status::is_success(finished.status);
    assert_eq!(
        success,
        matches!(ending, Ending::Success | Ending::Recovered)
    );
    if ending == Ending::Recovered {
        assert_eq!((finished.information, finished.moved), (LENGTH, LENGTH));
    }
    if !success {
        assert_eq!(finished.information, 0);
    }
    // What a class driver above would call success: every byte moved, or every byte up to a short
    // end.
    let class_success = srb::stripped(finished.srb_status) == srb::SUCCESS
        || finished.sense.get(2).is_some_and(|key| key & 0xF == 1);
    if class_success {
        let (last, others) = ends.split_last().expect("pieces");
        assert!(
            others
                .iter()
                .all(|end| matches!(end, End::Done | End::Recovered))
        );
        assert!(matches!(last, End::Done | End::Recovered | End::Short));
    }
}

/// Every order of every assignment gives the same result, and it is the one the rule names.
///
/// Plain successes are never recorded, so the orders are those of the pieces that are.
#[test]
fn independent_of_order() {
    let by_count: Vec<_> = (0..=PIECES).map(orders).collect();
    for ends in assignments() {
        let in_order: Vec<usize> = (0..PIECES).collect();
        let (first, moved, sent) = merge(ends, &in_order);
        check(ends, &first.finish(moved, sent));
        let silent = [End::Done, End::Unissued];
        let recorded: Vec<usize> = (0..PIECES)
            .filter(|&index| !silent.contains(&ends[index]))
            .collect();
        let mut order = recorded.clone();
        for places in &by_count[recorded.len()] {
            for (to, &place) in order.iter_mut().zip(places) {
                *to = recorded[place];
            }
            let (outcome, ..) = merge(ends, &order);
            assert_eq!(outcome, first, "{ends:?} {order:?}");
        }
    }
}

#[test]
fn recovered_never_stops_and_failures_do() {
    for (index, end) in ENDS
        .into_iter()
        .enumerate()
        .filter(|&(_, end)| end != End::Unissued)
    {
        for piece in 0..PIECES {
            let (verdict, evidence) = TABLE[index][piece].expect("issued");
            let mut outcome = Outcome::new(LENGTH);
            let offset = piece as u64 * u64::from(PIECE);
            let flow = outcome.record(offset, PIECE, &verdict, &evidence);
            let harmless = matches!(end, End::Done | End::Recovered)
                || (end == End::Short && piece == PIECES - 1);
            assert_eq!(flow == Flow::Continue, harmless, "{end:?} {piece}");
            assert_eq!(outcome.flow(), flow);
        }
    }
}

/// Our own failures give way to anything the device says, and set both kinds of status.
#[test]
fn failures_of_our_own() {
    let cases = [
        (
            Own::Cancelled,
            Ending::Cancelled,
            srb::ABORTED,
            status::CANCELLED,
        ),
        (
            Own::Refused,
            Ending::Refused,
            srb::INVALID_REQUEST,
            status::INVALID_DEVICE_REQUEST,
        ),
        (
            Own::Removed,
            Ending::Removed,
            srb::NO_DEVICE,
            status::NO_SUCH_DEVICE,
        ),
        (
            Own::Frozen,
            Ending::Hole,
            srb::ERROR,
            status::IO_DEVICE_ERROR,
        ),
    ];
    for (own, ending, srb_status, status) in cases {
        let mut outcome = Outcome::new(LENGTH);
        assert_eq!(outcome.record_own(own), Flow::Stop);
        let finished = outcome.finish(0, 0);
        assert_eq!(finished.ending, ending);
        assert_eq!((finished.srb_status, finished.status), (srb_status, status));
        assert_eq!(finished.irp_status, status);
        assert_eq!((finished.information, finished.good_prefix), (0, 0));
        assert!(finished.sense.is_empty());

        for end in [End::Failed, End::Verify, End::Removed] {
            let (verdict, evidence) = TABLE[end as usize][1].expect("issued");
            let mut before = Outcome::new(LENGTH);
            before.record(u64::from(PIECE), PIECE, &verdict, &evidence);
            let mut after = outcome;
            before.record_own(own);
            after.record(u64::from(PIECE), PIECE, &verdict, &evidence);
            assert_eq!(before, after);
            let finished = after.finish(u64::from(PIECE), 2 * u64::from(PIECE));
            assert!(
                matches!(finished.ending, Ending::Failed(_)),
                "{own:?} {end:?}"
            );
        }
    }
}

#[test]
fn cancelled_after_everything_moved_is_still_cancelled_only_if_said_so() {
    let outcome = Outcome::new(LENGTH);
    assert_eq!(outcome.finish(LENGTH, LENGTH).ending, Ending::Success);
    let mut cancelled = outcome;
    cancelled.record_own(Own::Cancelled);
    let finished = cancelled.finish(u64::from(PIECE), u64::from(PIECE));
    assert_eq!(finished.ending, Ending::Cancelled);
    assert_eq!(finished.good_prefix, u64::from(PIECE));
}

/// Success is never given when the sums do not agree with it, whatever was recorded.
#[test]
fn sums_that_disagree_are_a_hole() {
    let outcome = Outcome::new(LENGTH);
    for (moved, sent) in [
        (0, LENGTH),
        (LENGTH - 1, LENGTH),
        (LENGTH + 1, LENGTH),
        (LENGTH, LENGTH - 1),
        (0, 0),
    ] {
        assert_eq!(outcome.finish(moved, sent).ending, Ending::Hole);
    }
}

/// A piece that failed with a sense key that classpnp takes for success must not bring it up.
#[test]
fn a_failure_never_claims_recovery() {
    let mut deferred = sense(0, 1);
    deferred[0] = 0x71;
    let completion = Completion {
        carrier: Carrier::Srb,
        irp_status: status::IO_DEVICE_ERROR,
        srb_status: srb::ERROR | srb::AUTOSENSE_VALID | srb::QUEUE_FROZEN,
        scsi_status: srb::SCSI_CHECK_CONDITION,
        internal_status: 0,
        asked: PIECE,
        moved: PIECE,
        sense: &deferred,
    };
    let mut outcome = Outcome::new(LENGTH);
    let verdict = completion.verdict(Context::default());
    outcome.record(0, PIECE, &verdict, &Evidence::of(&completion));
    let finished = outcome.finish(0, LENGTH);
    assert_eq!(finished.ending, Ending::Failed(Rank::Ordinary));
    assert!(finished.sense.is_empty());
    assert_eq!(finished.srb_status, srb::ERROR | srb::QUEUE_FROZEN);
    assert!(finished.queue_frozen);
}

#[test]
fn a_queue_frozen_by_an_outranked_piece_is_not_forgotten() {
    let (verdict, mut evidence) = TABLE[End::Failed as usize][1].expect("issued");
    evidence.srb_status |= srb::QUEUE_FROZEN;
    let mut outcome = Outcome::new(LENGTH);
    outcome.record(u64::from(PIECE), PIECE, &verdict, &evidence);
    let (verdict, evidence) = TABLE[End::Failed as usize][0].expect("issued");
    outcome.record(0, PIECE, &verdict, &evidence);
    let finished = outcome.finish(0, LENGTH);
    assert!(!srb::is_frozen(finished.srb_status));
    assert!(finished.queue_frozen);
}

/// The ends of the given pieces on a queue that each of them found or left frozen, and between
/// them, after `before` of them, the end of the sending.
fn merge_frozen(ends: [End; PIECES], order: &[usize], before: usize) -> (Outcome, u64, u64) {
    let mut outcome = Outcome::new(LENGTH);
    let (mut moved, mut sent) = (0, 0);
    for (place, &index) in order.iter().enumerate() {
        if place == before {
            outcome.record_own(Own::Frozen);
        }
        let (verdict, mut evidence) = TABLE[ends[index] as usize][index].expect("issued");
        moved += u64::from(verdict.moved());
        sent += u64::from(PIECE);
        evidence.srb_status |= srb::QUEUE_FROZEN;
        outcome.record(index as u64 * u64::from(PIECE), PIECE, &verdict, &evidence);
    }
    if before >= order.len() {
        outcome.record_own(Own::Frozen);
    }
    (outcome, moved, sent)
}

/// A frozen queue ends the sending after any piece, also after one that did its work. However the
/// ends and the stop are mixed, it is one result, what was not sent is a hole, and nothing in it
/// looks like success to a class driver.
#[test]
fn a_frozen_queue_that_ends_the_sending_is_never_success() {
    let by_count: Vec<_> = (0..PIECES).map(orders).collect();
    let stopped = assignments()
        .into_iter()
        .filter(|ends| ends.contains(&End::Unissued));
    for ends in stopped {
        let sent = ends.iter().take_while(|&&end| end != End::Unissued).count();
        let in_order: Vec<usize> = (0..sent).collect();
        let (first, moved, bytes) = merge_frozen(ends, &in_order, sent);
        assert_eq!(first.flow(), Flow::Stop);
        assert_eq!(first.queue_frozen(), sent != 0);
        let finished = first.finish(moved, bytes);
        let (ending, decides) = expected(ends);
        assert_eq!(finished.ending, ending, "{ends:?}");
        assert!(matches!(ending, Ending::Hole | Ending::Failed(_)));
        assert!(!status::is_success(finished.status) && !status::is_success(finished.irp_status));
        assert_ne!(srb::stripped(finished.srb_status), srb::SUCCESS);
        assert!(finished.sense.get(2).is_none_or(|key| key & 0xF != 1));
        assert_eq!((finished.information, finished.moved), (0, moved));
        assert_eq!(finished.good_prefix, good_prefix(ends), "{ends:?}");
        assert_eq!(finished.queue_frozen, sent != 0);
        // The piece that decides says itself that it froze the queue.
        assert_eq!(srb::is_frozen(finished.srb_status), decides.is_some());
        // All orders of up to four pieces, and those of the first four of more.
        for order in by_count[sent].iter().take(24) {
            for before in 0..=sent {
                let (outcome, ..) = merge_frozen(ends, order, before);
                assert_eq!(outcome, first, "{ends:?} {order:?} {before}");
            }
        }
    }
}

/// A request that was sent completely is over when its pieces are, frozen queue or not.
#[test]
fn a_recovered_piece_that_freezes_the_queue_at_the_end_still_moved_everything() {
    for recovered in 0..PIECES {
        let (verdict, mut evidence) = TABLE[End::Recovered as usize][recovered].expect("issued");
        evidence.srb_status |= srb::QUEUE_FROZEN;
        let mut outcome = Outcome::new(LENGTH);
        assert!(!outcome.queue_frozen());
        let offset = recovered as u64 * u64::from(PIECE);
        let flow = outcome.record(offset, PIECE, &verdict, &evidence);
        assert_eq!((flow, outcome.queue_frozen()), (Flow::Continue, true));
        let finished = outcome.finish(LENGTH, LENGTH);
        assert_eq!(finished.ending, Ending::Recovered);
        assert_eq!((finished.information, finished.moved), (LENGTH, LENGTH));
        assert!(finished.queue_frozen && srb::is_frozen(finished.srb_status));
        // The same with a piece missing, whether the stop was recorded or not.
        let sent = LENGTH - u64::from(PIECE);
        assert_eq!(outcome.finish(sent, sent).ending, Ending::Hole);
        assert_eq!(outcome.finish(sent, LENGTH).ending, Ending::Hole);
        outcome.record_own(Own::Frozen);
        assert_eq!(outcome.finish(sent, sent).ending, Ending::Hole);
    }
}

/// The place of each failure of our own among the others, in both orders.
#[test]
fn failures_of_our_own_have_one_order() {
    let ascending = [Own::Cancelled, Own::Refused, Own::Frozen, Own::Removed];
    for (low, &lower) in ascending.iter().enumerate() {
        for &higher in &ascending[low..] {
            let mut alone = Outcome::new(LENGTH);
            alone.record_own(higher);
            let mut up = Outcome::new(LENGTH);
            up.record_own(lower);
            up.record_own(higher);
            let mut down = Outcome::new(LENGTH);
            down.record_own(higher);
            down.record_own(lower);
            assert_eq!((up, down), (alone, alone), "{lower:?} {higher:?}");
        }
    }
}

#[test]
fn evidence_keeps_252_bytes_and_an_honest_flag() {
    let long: Vec<u8> = (0..=255).collect();
    let mut completion = Completion {
        carrier: Carrier::Srb,
        irp_status: status::IO_DEVICE_ERROR,
        srb_status: srb::ERROR | srb::AUTOSENSE_VALID,
        scsi_status: srb::SCSI_CHECK_CONDITION,
        internal_status: 7,
        asked: PIECE,
        moved: 0,
        sense: &long,
    };
    let evidence = Evidence::of(&completion);
    assert_eq!(evidence.sense(), &long[..252]);
    assert!(srb::has_sense(evidence.srb_status));

    completion.sense = &[];
    assert!(!srb::has_sense(Evidence::of(&completion).srb_status));
    completion.sense = &long;
    completion.srb_status = srb::ERROR;
    assert!(Evidence::of(&completion).sense().is_empty());
}

/// What the resource ladder leaves of a piece is recorded where it lies.
#[test]
fn part_of_a_piece_fails() {
    let (_, evidence) = TABLE[End::Failed as usize][0].expect("issued");
    let shrink = Verdict::Shrink {
        status: status::INSUFFICIENT_RESOURCES,
    };
    let mut outcome = Outcome::new(LENGTH);
    outcome.record(u64::from(PIECE) + 1024, PIECE - 1024, &shrink, &evidence);
    let moved = u64::from(PIECE) + 1024;
    let finished = outcome.finish(moved, 2 * u64::from(PIECE));
    assert_eq!(finished.status, status::INSUFFICIENT_RESOURCES);
    assert_eq!((finished.good_prefix, finished.moved), (moved, moved));
}

/// A piece that was taken from the plan but had no further try when the request stopped moved
/// nothing from there on.
#[test]
fn what_was_taken_but_not_sent_is_not_good() {
    let mut outcome = Outcome::new(LENGTH);
    outcome.record_own(Own::Cancelled);
    outcome.unsent(u64::from(PIECE) + 512);
    outcome.unsent(2 * u64::from(PIECE));
    let finished = outcome.finish(u64::from(PIECE) + 512, LENGTH);
    assert_eq!(finished.ending, Ending::Cancelled);
    assert_eq!(finished.good_prefix, u64::from(PIECE) + 512);
    // Without a failure it is no success either.
    let mut forgotten = Outcome::new(LENGTH);
    forgotten.unsent(0);
    assert_eq!(forgotten.finish(0, LENGTH).ending, Ending::Hole);
}

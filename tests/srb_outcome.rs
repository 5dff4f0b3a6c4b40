//! However the pieces of an SRB end, the sender gets everything from one and the same piece: IRP
//! status, SRB status with its flags, SCSI status, sense data. Success means that every byte moved.

mod common;

use common::block::{Block, Part, flag, srb_status, u32_at};
use common::post::{Post, Returned, SENSE_ROOM, UNTOUCHED, post};
use common::{
    BOTH, Random, adapter, assert_told_once, complete_in_order, every_order, every_placement,
    noise, run, srb_pieces_of,
};
use ntsim::abi::{STATUS_INSUFFICIENT_RESOURCES, STATUS_IO_DEVICE_ERROR, STATUS_VERIFY_REQUIRED};
use ntsim::port::{Direction, Disk, Fault, Hba, Kind, PortRecord, Sense, key};
use ntsim::world::read_write_cdb;
use ntsim::{Buffer, Stack, World};

const PIECE: usize = 1024;
const BLOCKS: u64 = 2;
const FIRST: u64 = 64;

/// How a piece ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    Recovered,
    Short,
    Failed(Kind),
}

impl End {
    /// What the port is told to do.
    fn fault(self) -> Option<Kind> {
        match self {
            Self::Whole => None,
            Self::Recovered => Some(Kind::RecoveredError),
            Self::Short => Some(Kind::Short),
            Self::Failed(kind) => Some(kind),
        }
    }

    /// Bytes that count.
    fn moved(self) -> usize {
        match self {
            Self::Whole | Self::Recovered => PIECE,
            Self::Short => PIECE / 2,
            Self::Failed(_) => 0,
        }
    }

    /// Which failure counts among those of the pieces that were sent.
    fn rank(self) -> u32 {
        match self {
            Self::Failed(Kind::NoDevice | Kind::SelectionTimeout) => 3,
            Self::Failed(Kind::VerifyRequired) => 2,
            Self::Failed(_) => 1,
            _ => 0,
        }
    }
}

/// What becomes of a request whose first `ends.len()` of `count` pieces were sent and ended so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Success,
    /// The end of this piece is the request's.
    Piece(usize),
    /// A hole: nobody's error.
    Hole,
}

fn fate(ends: &[End], count: usize) -> Fate {
    let worst = ends.iter().map(|end| end.rank()).max().unwrap_or(0);
    if worst > 0 {
        let piece = ends.iter().position(|end| end.rank() == worst);
        return Fate::Piece(piece.expect("one has the highest rank"));
    }
    let hole = ends[..ends.len().min(count - 1)].contains(&End::Short);
    if hole || ends.len() < count {
        return Fate::Hole;
    }
    let recovered = ends.iter().position(|&end| end == End::Recovered);
    match recovered {
        // Shown only when every byte moved: classpnp takes it for success of the whole.
        Some(piece) if !ends.contains(&End::Short) => Fate::Piece(piece),
        _ => Fate::Success,
    }
}

/// Where issue stops if the pieces go one after the other.
fn sent_one_by_one(ends: &[End]) -> usize {
    let last = ends.len() - 1;
    let stop = ends.iter().enumerate().position(|(place, end)| match end {
        End::Failed(_) => true,
        End::Short => place != last,
        End::Whole | End::Recovered => false,
    });
    stop.map_or(ends.len(), |place| place + 1)
}

/// The sense data of a fault at the first block of a piece.
fn sense_of(kind: Kind, direction: Direction, lba: u64) -> Option<Sense> {
    Some(match (kind, direction) {
        (Kind::MediumError, Direction::Read) => Sense::new(key::MEDIUM_ERROR, 0x11, 0x00).at(lba),
        (Kind::MediumError, Direction::Write) => Sense::new(key::MEDIUM_ERROR, 0x0C, 0x02).at(lba),
        (Kind::RecoveredError, _) => Sense::new(key::RECOVERED_ERROR, 0x17, 0x01).at(lba),
        (Kind::HardwareError | Kind::Frozen, _) => Sense::new(key::HARDWARE_ERROR, 0x44, 0x00),
        (Kind::VerifyRequired | Kind::MediumChanged, _) => Sense::MEDIUM_CHANGED,
        (Kind::UnitAttention, _) => Sense::RESET_OCCURRED,
        (Kind::NotReady, _) => Sense::new(key::NOT_READY, 0x04, 0x01),
        (Kind::AbortedCommand, _) => Sense::new(key::ABORTED_COMMAND, 0x47, 0x03),
        _ => return None,
    })
}

/// One request of several pieces.
struct Case<'s> {
    stack: &'s Stack,
    block: Block,
    buffer: Buffer,
    direction: Direction,
    room: usize,
}

impl<'s> Case<'s> {
    fn new(stack: &'s Stack, direction: Direction, extended: bool, pieces: usize) -> Self {
        let cdb = read_write_cdb(direction, FIRST, (pieces as u64 * BLOCKS) as u32, 10);
        let buffer = stack.buffer(pieces * PIECE, 0);
        buffer.write(0, &noise(7, pieces * PIECE));
        Self {
            stack,
            block: Block::of(extended, &cdb),
            buffer,
            direction,
            room: SENSE_ROOM,
        }
    }

    fn room(mut self, room: usize) -> Self {
        self.room = room;
        self
    }

    fn post(&self) -> Post {
        post(&self.block)
            .buffer(&self.buffer)
            .sense_room(self.room as u8)
    }

    fn pieces(&self) -> usize {
        self.buffer.len() / PIECE
    }

    /// Pieces one after the other, each ending as it is told.
    fn one_by_one(&self, ends: &[End]) -> Returned {
        let port = self.stack.port();
        port.forget_records();
        port.clear_faults();
        for (piece, end) in ends.iter().enumerate() {
            if let Some(kind) = end.fault() {
                port.fault(Fault::new(kind).at_lba(FIRST + piece as u64 * BLOCKS));
            }
        }
        self.post().send(self.stack).wait()
    }

    /// All pieces in flight, coming back in this order.
    fn all_at_once(&self, ends: &[End], order: &[usize]) -> Returned {
        let port = self.stack.port();
        port.forget_records();
        port.hold(true);
        let sent = self.post().send(self.stack);
        assert_eq!(port.held().len(), ends.len(), "all pieces are in flight");
        complete_in_order(self.stack, order, FIRST, BLOCKS, |piece| {
            ends[piece].fault()
        });
        assert!(sent.is_done());
        sent.wait()
    }

    /// How the piece `number` ended, as the port tells it.
    fn record(&self, number: usize) -> PortRecord {
        let lba = FIRST + number as u64 * BLOCKS;
        let mut records = self.stack.port().transfers();
        records.retain(|record| record.lba == lba);
        records.pop().expect("the piece was sent")
    }

    #[track_caller]
    fn judge(&self, returned: &Returned, ends: &[End], descriptor: bool) {
        let case = || {
            format!(
                "{:?} in {:?}, {} bytes of room",
                ends, self.direction, self.room
            )
        };
        assert_told_once(&returned.done);
        let moved: usize = ends.iter().map(|end| end.moved()).sum();
        assert_eq!(returned.length() as usize, moved, "{}", case());
        assert_eq!(returned.done.information as usize, moved, "{}", case());
        let (srb, flags) = (returned.srb_status(), returned.raw_srb_status());
        assert_eq!(flags & srb_status::QUEUE_FROZEN, 0, "{}", case());
        let (status, scsi) = (returned.done.status, returned.scsi_status());
        match fate(ends, self.pieces()) {
            Fate::Success => {
                assert_eq!(
                    (srb, status, scsi),
                    (srb_status::SUCCESS, 0, 0),
                    "{}",
                    case()
                );
                self.assert_sense(returned, None, &case());
            }
            Fate::Hole => {
                let wanted = (srb_status::ERROR, STATUS_IO_DEVICE_ERROR, 0);
                assert_eq!((srb, status, scsi), wanted, "{}", case());
                self.assert_sense(returned, None, &case());
            }
            Fate::Piece(number) => {
                let outcome = self.record(number).outcome;
                let wanted = (
                    outcome.srb_status & 0x3F,
                    outcome.status,
                    outcome.scsi_status,
                );
                assert_eq!((srb, status, scsi), wanted, "piece {number} of {}", case());
                let kind = ends[number].fault().expect("a whole piece decides nothing");
                let lba = FIRST + number as u64 * BLOCKS;
                let sense = sense_of(kind, self.direction, lba);
                let bytes = sense.map(|sense| {
                    if descriptor {
                        sense.descriptor()
                    } else {
                        sense.fixed().to_vec()
                    }
                });
                self.assert_sense(returned, bytes, &case());
            }
        }
    }

    /// The sense data are there as far as there is room, and nothing behind them changed.
    #[track_caller]
    fn assert_sense(&self, returned: &Returned, wanted: Option<Vec<u8>>, case: &str) {
        let cut = wanted.map(|mut bytes| {
            bytes.truncate(self.room);
            bytes
        });
        let cut = cut.filter(|bytes| !bytes.is_empty());
        let length = cut.as_ref().map_or(0, Vec::len);
        assert_eq!(returned.valid_sense(), cut, "{case}");
        assert!(
            returned.sense[length..]
                .iter()
                .all(|&byte| byte == UNTOUCHED),
            "{case}: nothing behind the sense data"
        );
        if length == 0 {
            assert_eq!(usize::from(returned.sense_length()), self.room, "{case}");
        }
        assert_eq!(returned.port_sense, None, "{case}");
    }
}

const FOUR: [End; 4] = [
    End::Whole,
    End::Recovered,
    End::Short,
    End::Failed(Kind::MediumError),
];

const SEVEN: [End; 7] = [
    End::Whole,
    End::Recovered,
    End::Short,
    End::Failed(Kind::HardwareError),
    End::Failed(Kind::Busy),
    End::Failed(Kind::VerifyRequired),
    End::Failed(Kind::NoDevice),
];

#[test]
fn every_placement_one_after_the_other() {
    for extended in [false, true] {
        run(srb_pieces_of(PIECE).setting("Window", 1), |stack| {
            let case = Case::new(stack, Direction::Write, extended, 6);
            for ends in every_placement(&FOUR, 6) {
                let returned = case.one_by_one(&ends);
                let sent = sent_one_by_one(&ends);
                assert_eq!(stack.port().transfers().len(), sent, "{ends:?}");
                case.judge(&returned, &ends[..sent], false);
            }
        });
    }
}

#[test]
fn every_placement_with_all_pieces_in_flight() {
    for extended in [false, true] {
        run(srb_pieces_of(PIECE).setting("Window", 6), |stack| {
            let mut random = Random::new(1);
            let case = Case::new(stack, Direction::Read, extended, 6);
            for ends in every_placement(&FOUR, 6) {
                let returned = case.all_at_once(&ends, &random.order(6));
                case.judge(&returned, &ends, false);
            }
        });
    }
}

#[test]
fn every_rank_of_failure() {
    for extended in [false, true] {
        let world = srb_pieces_of(PIECE).setting("Window", 4);
        run(world, |stack| {
            let mut random = Random::new(2);
            for direction in BOTH {
                let case = Case::new(stack, direction, extended, 4);
                for ends in every_placement(&SEVEN, 4) {
                    let returned = case.all_at_once(&ends, &random.order(4));
                    case.judge(&returned, &ends, false);
                }
            }
        });
    }
}

#[test]
fn every_order_of_coming_back() {
    let ends = [
        End::Recovered,
        End::Failed(Kind::HardwareError),
        End::Short,
        End::Failed(Kind::VerifyRequired),
        End::Failed(Kind::MediumError),
    ];
    for extended in [false, true] {
        run(srb_pieces_of(PIECE).setting("Window", 5), |stack| {
            let case = Case::new(stack, Direction::Read, extended, 5);
            for order in every_order(5) {
                let returned = case.all_at_once(&ends, &order);
                case.judge(&returned, &ends, false);
                assert_eq!(returned.done.status, STATUS_VERIFY_REQUIRED);
            }
        });
    }
}

#[test]
fn every_kind_of_failure_goes_up_as_the_port_told_it() {
    for extended in [false, true] {
        for direction in BOTH {
            run(srb_pieces_of(PIECE), |stack| {
                let case = Case::new(stack, direction, extended, 3);
                for kind in common::FINAL.into_iter().chain(common::RETRYABLE) {
                    for place in 0..3 {
                        let mut ends = vec![End::Whole; 3];
                        ends[place] = End::Failed(kind);
                        // No retries of ours beneath a class driver unless somebody asks for them.
                        let returned = case.one_by_one(&ends);
                        case.judge(&returned, &ends[..=place], false);
                    }
                }
            });
        }
    }
}

#[test]
fn sense_data_are_cut_to_the_senders_room() {
    for descriptor in [false, true] {
        for extended in [false, true] {
            let disk = Disk::memory(1 << 12, 512).descriptor_sense(descriptor);
            run(srb_pieces_of(PIECE).disk(disk), |stack| {
                for room in [0, 1, 3, 8, 14, 17, 18, 19, 20, 252, 255] {
                    let case = Case::new(stack, Direction::Read, extended, 3).room(room);
                    for kind in [Kind::MediumError, Kind::RecoveredError] {
                        for place in 0..3 {
                            let mut ends = vec![End::Whole; 3];
                            ends[place] = match kind {
                                Kind::RecoveredError => End::Recovered,
                                other => End::Failed(other),
                            };
                            let returned = case.one_by_one(&ends);
                            let sent = sent_one_by_one(&ends);
                            case.judge(&returned, &ends[..sent], descriptor);
                        }
                    }
                }
            });
        }
    }
}

#[test]
fn a_sender_without_a_sense_buffer_gets_none() {
    run(srb_pieces_of(PIECE), |stack| {
        for extended in [false, true] {
            let case = Case::new(stack, Direction::Write, extended, 3).room(18);
            stack
                .port()
                .fault(Fault::new(Kind::MediumError).at_lba(FIRST));
            let returned = case.post().no_sense_buffer().send(stack).wait();
            assert_eq!(returned.srb_status(), srb_status::ERROR);
            assert_eq!(returned.raw_srb_status() & srb_status::AUTOSENSE_VALID, 0);
            assert_eq!(returned.pointer(case.block.at.sense_pointer), 0);
            assert!(returned.sense.iter().all(|&byte| byte == UNTOUCHED));
        }
    });
}

/// Sense buffers of the port's own: its children are not offered the exchange, and the sender's flag
/// comes back as it was.
#[test]
fn sense_buffers_of_the_ports_own() {
    for extended in [false, true] {
        let hba = adapter(PIECE, 2).own_sense_buffer(true);
        let ((), report) = run(srb_pieces_of(PIECE).hba(hba), |stack| {
            for allowed in [0, flag::ALLOCSENSE] {
                let mut case = Case::new(stack, Direction::Read, extended, 3);
                case.block = case.block.flags(|flags| flags | allowed);
                for kind in [Kind::MediumError, Kind::RecoveredError, Kind::HardwareError] {
                    for place in 0..3 {
                        let mut ends = vec![End::Whole; 3];
                        ends[place] = match kind {
                            Kind::RecoveredError => End::Recovered,
                            other => End::Failed(other),
                        };
                        let returned = case.one_by_one(&ends);
                        let sent = sent_one_by_one(&ends);
                        case.judge(&returned, &ends[..sent], false);
                        let at = case.block.at.flags;
                        let flags = u32_at(&returned.block, at);
                        assert_eq!(flags, u32_at(&returned.sent, at), "flags are the sender's");
                    }
                }
            }
        });
        assert_eq!(
            report.sense_buffers_left, 0,
            "nobody's buffer is left behind"
        );
    }
}

#[test]
fn a_request_that_fits_gets_the_ports_buffer_as_without_us() {
    let hba = adapter(PIECE, 2).own_sense_buffer(true);
    let ((), report) = run(srb_pieces_of(PIECE).hba(hba), |stack| {
        for extended in [false, true] {
            let mut case = Case::new(stack, Direction::Read, extended, 1);
            case.block = case.block.flags(|flags| flags | flag::ALLOCSENSE);
            let returned = case.one_by_one(&[End::Failed(Kind::MediumError)]);
            assert!(returned.port_sense.is_some(), "the sender frees it");
        }
    });
    assert_eq!(report.sense_buffers_left, 0);
}

/// The command may lie in any extension: results go where the sender's own is.
#[test]
fn results_go_where_the_senders_extension_is() {
    let layouts: [&[Part]; 4] = [
        &[Part::Address, Part::Cdb32],
        &[Part::CdbVar(16), Part::Address],
        &[Part::IoInfo, Part::Address, Part::Cdb16],
        &[Part::Address, Part::IoInfo, Part::CdbVar(16)],
    ];
    run(srb_pieces_of(PIECE), |stack| {
        for parts in layouts {
            let mut case = Case::new(stack, Direction::Read, true, 3);
            let cdb = read_write_cdb(Direction::Read, FIRST, 3 * BLOCKS as u32, 16);
            case.block = Block::extended(&cdb, parts);
            for kind in [Kind::MediumError, Kind::NoResourcesSystem, Kind::QueueFull] {
                let ends = [End::Whole, End::Failed(kind), End::Whole];
                if kind == Kind::NoResourcesSystem {
                    let fault = Fault::new(kind).at_lba(FIRST + BLOCKS).always();
                    stack.port().clear_faults();
                    stack.port().fault(fault);
                    let returned = case.post().send(stack).wait();
                    assert_eq!(returned.system_status(), STATUS_INSUFFICIENT_RESOURCES);
                } else {
                    let returned = case.one_by_one(&ends);
                    case.judge(&returned, &ends[..2], false);
                }
            }
        }
    });
}

/// A world on an adapter of these habits, for requests with and without trouble.
fn gets_along(hba: Hba) -> World {
    srb_pieces_of(PIECE).hba(hba).setting("Window", 1)
}

#[test]
fn with_ports_of_all_habits() {
    let base = || adapter(PIECE, 2);
    for hba in [
        base().maps_mdl(true),
        base().always_pending(false),
        base().always_pending(true),
        base().reports_residual(false),
        base().own_sense_buffer(true).always_pending(false),
    ] {
        for extended in [false, true] {
            run(gets_along(hba.clone()), |stack| {
                let case = Case::new(stack, Direction::Read, extended, 3);
                for ends in every_placement(&SEVEN, 3) {
                    let returned = case.one_by_one(&ends);
                    let sent = sent_one_by_one(&ends);
                    case.judge(&returned, &ends[..sent], false);
                }
            });
        }
    }
}

//! Command blocks: what is read, what is rewritten, what stays.

use xfersplit_core::cdb::{
    CdbError, CdbSize, Direction, Flags, MAX_LENGTH, decode, encode, opcode, rewrite,
};

const DIRECTIONS: [Direction; 2] = [Direction::Read, Direction::Write];

/// Bit numbers; a few of them under Miri.
fn bits(below: u32) -> impl Iterator<Item = u32> {
    (0..below).step_by(if cfg!(miri) { 13 } else { 1 })
}

/// Block numbers around every edge a form can have.
fn lbas() -> Vec<u64> {
    let mut lbas = vec![
        0,
        0x1F_FFFF,
        0x20_0000,
        u64::from(u32::MAX),
        1 << 32,
        u64::MAX,
    ];
    lbas.extend(
        bits(64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1, 0x0123_4567_89AB_CDEF >> bit]),
    );
    lbas
}

fn counts() -> Vec<u32> {
    let mut counts: Vec<u32> = bits(32)
        .flat_map(|bit| [1_u32 << bit, (1 << bit) - 1])
        .collect();
    counts.extend([255, 256, 257, 0xFFFF, 0x1_0000, u32::MAX]);
    counts
}

fn fits(size: CdbSize, lba: u64, blocks: u32) -> bool {
    let last = u128::from(lba) + u128::from(blocks) - 1;
    let (top, most) = match size {
        CdbSize::Six => (0x1F_FFFF, 256),
        CdbSize::Ten => (u32::MAX.into(), 0xFFFF),
        CdbSize::Twelve => (u32::MAX.into(), u32::MAX),
        CdbSize::Sixteen => (u64::MAX.into(), u32::MAX),
    };
    last <= top && blocks <= most
}

#[test]
fn what_is_made_is_what_is_read() {
    for size in CdbSize::ALL {
        for direction in DIRECTIONS {
            for lba in lbas() {
                for blocks in counts().into_iter().filter(|&blocks| blocks != 0) {
                    let made = encode(size, direction, lba, blocks, Flags::default());
                    if !fits(size, lba, blocks) {
                        assert!(matches!(
                            made,
                            Err(CdbError::LbaTooLarge | CdbError::BlockCount)
                        ));
                        continue;
                    }
                    let made = made.expect("fits");
                    assert_eq!(made.length, size.length());
                    assert!(
                        made.bytes[usize::from(made.length)..]
                            .iter()
                            .all(|&byte| byte == 0)
                    );
                    let read = decode(&made.bytes).expect("a read or write");
                    assert_eq!((read.size, read.direction), (size, direction));
                    assert_eq!((read.lba, read.blocks), (lba, blocks));
                    assert_eq!((read.fua, read.dpo, read.protect), (false, false, 0));
                }
            }
        }
    }
}

/// Bits of a form that are not the block number and not the count.
fn other_bits(size: CdbSize) -> [u8; MAX_LENGTH] {
    let mut bits = [0xFF; MAX_LENGTH];
    let fields: &[core::ops::Range<usize>] = match size {
        CdbSize::Six => {
            bits[1] = 0xE0;
            &[2..3, 3..5]
        }
        CdbSize::Ten => &[2..6, 7..9],
        CdbSize::Twelve => &[2..6, 6..10],
        CdbSize::Sixteen => &[2..10, 10..14],
    };
    for field in fields {
        bits[field.clone()].fill(0);
    }
    bits
}

#[test]
fn rewriting_keeps_every_other_bit() {
    for size in CdbSize::ALL {
        for direction in DIRECTIONS {
            for pattern in (0..=255_u8).step_by(if cfg!(miri) { 51 } else { 1 }) {
                let mut cdb: [u8; MAX_LENGTH] = core::array::from_fn(|index| {
                    pattern
                        .wrapping_mul(31)
                        .wrapping_add((index as u8).wrapping_mul(97))
                });
                cdb[0] = opcode(size, direction);
                let before = cdb;
                let (lba, blocks) = match size {
                    CdbSize::Six => (0x15_4321, 256),
                    CdbSize::Ten => (0x8765_4321, 0x1234),
                    CdbSize::Twelve => (0x4321_8765, 0x1234_5678),
                    CdbSize::Sixteen => (0x1234_5678_9ABC_DEF0, 0x8765_4321),
                };
                rewrite(&mut cdb, lba, blocks).expect("fits");
                let (was, is) = (decode(&before).expect("read"), decode(&cdb).expect("read"));
                assert_eq!((is.lba, is.blocks), (lba, blocks));
                assert_eq!(
                    (is.fua, is.dpo, is.protect),
                    (was.fua, was.dpo, was.protect)
                );
                for ((new, old), mask) in cdb.iter().zip(before).zip(other_bits(size)) {
                    assert_eq!(new & mask, old & mask);
                }
            }
        }
    }
}

#[test]
fn nothing_is_written_when_it_does_not_fit() {
    for size in CdbSize::ALL {
        let mut cdb = [0xA5; MAX_LENGTH];
        cdb[0] = opcode(size, Direction::Write);
        let before = cdb;
        assert_eq!(rewrite(&mut cdb, 0, 0), Err(CdbError::BlockCount));
        for lba in lbas() {
            for blocks in counts().into_iter().filter(|&blocks| blocks != 0) {
                if !fits(size, lba, blocks) {
                    assert!(rewrite(&mut cdb, lba, blocks).is_err());
                    assert_eq!(cdb, before);
                }
            }
        }
    }
}

#[test]
fn zero_in_the_six_byte_form_is_256() {
    let six = decode(&[0x08, 0xFF, 0x12, 0x34, 0, 0]).expect("a read");
    assert_eq!((six.lba, six.blocks), (0x1F_1234, 256));
    // The upper bits of byte 1 are reserved there, not flags.
    assert_eq!((six.fua, six.dpo, six.protect), (false, false, 0));
    let ten = decode(&[0x28, 0, 0, 0, 0, 5, 0, 0, 0, 0]).expect("a read");
    assert_eq!(ten.blocks, 0);
    let made = encode(CdbSize::Six, Direction::Write, 7, 256, Flags::default()).expect("fits");
    assert_eq!(made.bytes[..6], [0x0A, 0, 0, 7, 0, 0]);
}

#[test]
fn flags() {
    let read = |size, flags| encode(size, Direction::Write, 1, 1, flags).map(|cdb| cdb.bytes[1]);
    let fua = Flags {
        fua: true,
        dpo: false,
    };
    let both = Flags {
        fua: true,
        dpo: true,
    };
    assert_eq!(read(CdbSize::Six, fua), Err(CdbError::NoFua));
    for size in [CdbSize::Ten, CdbSize::Twelve, CdbSize::Sixteen] {
        assert_eq!(read(size, fua), Ok(0x08));
        assert_eq!(read(size, both), Ok(0x18));
        let mut cdb = encode(size, Direction::Read, 1, 1, both)
            .expect("fits")
            .bytes;
        cdb[1] |= 0x60;
        let command = decode(&cdb).expect("a read");
        assert!(command.fua && command.dpo);
        assert_eq!(command.protect, 3);
    }
}

#[test]
fn every_other_opcode_is_left_alone() {
    let known = [0x08, 0x0A, 0x28, 0x2A, 0xA8, 0xAA, 0x88, 0x8A];
    for opcode in 0..=255_u8 {
        let mut cdb = [0x11; MAX_LENGTH];
        cdb[0] = opcode;
        let before = cdb;
        assert_eq!(
            decode(&cdb).is_some(),
            known.contains(&opcode),
            "{opcode:#x}"
        );
        if !known.contains(&opcode) {
            assert_eq!(rewrite(&mut cdb, 1, 1), Err(CdbError::NotReadWrite));
            assert_eq!(cdb, before);
        }
    }
}

#[test]
fn commands_that_are_cut_short() {
    for size in CdbSize::ALL {
        let cdb = encode(size, Direction::Read, 1, 1, Flags::default())
            .expect("fits")
            .bytes;
        for length in 0..=MAX_LENGTH {
            let enough = length >= usize::from(size.length());
            assert_eq!(decode(&cdb[..length]).is_some(), enough);
            let mut short = cdb;
            assert_eq!(rewrite(&mut short[..length], 2, 2).is_ok(), enough);
        }
    }
}

#[test]
fn the_form_follows_the_disk() {
    assert_eq!(CdbSize::for_disk(0), CdbSize::Ten);
    assert_eq!(CdbSize::for_disk(u32::MAX.into()), CdbSize::Ten);
    assert_eq!(CdbSize::for_disk(1 << 32), CdbSize::Sixteen);
    let sizes: Vec<u32> = (0..40)
        .filter(|&length| CdbSize::from_length(length).is_some())
        .collect();
    assert_eq!(sizes, [6, 10, 12, 16]);
}

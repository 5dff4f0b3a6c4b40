//! Copies of the binary that are broken on purpose: a check that passes everything shows nothing.
//!
//! Each copy has one mistake of the kind that a wrong header would make. The run that the true binary passes must
//! fail on all of them.

use std::{fs, ops::Range, path::Path};

use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind, Register};
use object::{Object as _, ObjectSection as _, read::pe::PeFile64};

use crate::run::Outcome;

/// Bytes of a pointer.
const POINTER: u32 = 8;
/// `WdfDeviceCreateTableIndex`, and one that is not it.
const WDF_DEVICE_CREATE: u32 = 75;
const WDF_DEVICE_SET_STATIC_STOP_REMOVE: u32 = 76;
/// Offset of `Tail.Overlay.CurrentStackLocation` in an IRP, and one that is not it.
const CURRENT_STACK_LOCATION: u32 = 184;
const ORIGINAL_FILE_OBJECT: u32 = 192;
/// Offset of the checksum behind the PE signature. A sum of 0 is not looked at, and the mistake is all there is to find.
const CHECKSUM: usize = 88;
/// Where the file says at which offset its PE signature is.
const SIGNATURE_POINTER: usize = 60;

/// A way to break a copy.
struct Mistake {
    name: &'static str,
    /// What the refusal must name, where it can.
    named: &'static str,
    make: fn(&mut Vec<u8>) -> Outcome,
}

const MISTAKES: &[Mistake] = &[
    Mistake {
        name: "an import that no kernel has",
        named: "IoBuildPartialMdX",
        make: |file| exchange(file, b"IoBuildPartialMdl\0", b"IoBuildPartialMdX\0"),
    },
    Mistake {
        name: "a framework table of another version's size",
        named: "",
        // WDF_BIND_INFO: version 1.15.0, then the number of functions.
        make: |file| {
            let (right, wrong) = (bind_info(444), bind_info(453));
            exchange(file, &right, &wrong)
        },
    },
    Mistake {
        name: "a wrong framework function number",
        named: "",
        make: |file| {
            let (right, wrong) = (WDF_DEVICE_CREATE, WDF_DEVICE_SET_STATIC_STOP_REMOVE);
            displace(file, right * POINTER, wrong * POINTER)
        },
    },
    Mistake {
        name: "a wrong structure layout",
        named: "",
        make: |file| displace(file, CURRENT_STACK_LOCATION, ORIGINAL_FILE_OBJECT),
    },
];

/// Makes each copy beside the binary and hands it to `run`, which says whether it was refused or failed, and with what.
pub(super) fn are_caught(driver: &Path, run: impl Fn(&Path) -> Result<String, String>) -> Outcome {
    let file = fs::read(driver).map_err(|error| format!("{}: {error}", driver.display()))?;
    for mistake in MISTAKES {
        let mut copy = file.clone();
        without_checksum(&mut copy)?;
        (mistake.make)(&mut copy).map_err(|why| format!("{}: {why}", mistake.name))?;
        let path = driver.with_file_name("broken.sys");
        fs::write(&path, copy).map_err(|error| format!("{}: {error}", path.display()))?;
        match run(&path) {
            Ok(_) => return Err(format!("{} was not caught", mistake.name)),
            Err(said) if !said.contains(mistake.named) => {
                return Err(format!("{}: caught, but not named: {said}", mistake.name));
            }
            Err(_) => println!("caught: {}", mistake.name),
        }
    }
    Ok(())
}

fn without_checksum(file: &mut [u8]) -> Outcome {
    let place = file.get(SIGNATURE_POINTER..).and_then(<[u8]>::first_chunk);
    let signature = place.map(|bytes| u32::from_le_bytes(*bytes) as usize);
    let sum = signature.and_then(|at| file.get_mut(at + CHECKSUM..at + CHECKSUM + 4));
    sum.ok_or("no checksum")?.fill(0);
    Ok(())
}

fn bind_info(functions: u32) -> Vec<u8> {
    [1_u32, 15, 0, functions]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect()
}

/// Puts `new` in the place of the one place where `old` is.
fn exchange(file: &mut [u8], old: &[u8], new: &[u8]) -> Outcome {
    let places: Vec<usize> = file
        .windows(old.len())
        .enumerate()
        .filter_map(|(at, bytes)| (bytes == old).then_some(at))
        .collect();
    let [at] = places[..] else {
        return Err(format!("{} places instead of one", places.len()));
    };
    file[at..at + new.len()].copy_from_slice(new);
    Ok(())
}

/// Lets every instruction that reaches `old` bytes behind a pointer reach `new` bytes behind it.
fn displace(file: &mut [u8], old: u32, new: u32) -> Outcome {
    let places = displacements(file, old)?;
    if places.is_empty() {
        return Err(format!(
            "no instruction reaches {old} bytes behind a pointer"
        ));
    }
    for place in places {
        file[place].copy_from_slice(&new.to_le_bytes());
    }
    Ok(())
}

/// Where in the file such displacements stand.
fn displacements(file: &[u8], wanted: u32) -> Result<Vec<Range<usize>>, String> {
    let image = PeFile64::parse(file).map_err(|error| error.to_string())?;
    let code = image.section_by_name(".text").ok_or("no .text")?;
    let (start, length) = code.file_range().ok_or(".text is not in the file")?;
    let start = start as usize;
    let bytes = &file[start..start + length as usize];
    let mut decoder = Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE);
    let mut found = Vec::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if !reaches(&instruction, wanted) {
            continue;
        }
        let at = instruction.ip() as usize;
        let own = &bytes[at..at + instruction.len()];
        let place = own
            .windows(4)
            .rposition(|four| four == wanted.to_le_bytes());
        found.extend(place.map(|place| start + at + place..start + at + place + 4));
    }
    Ok(found)
}

fn reaches(instruction: &Instruction, wanted: u32) -> bool {
    let through_pointer = !matches!(
        instruction.memory_base(),
        Register::None | Register::RIP | Register::RSP | Register::RBP
    );
    let operand = (0..instruction.op_count()).any(|op| instruction.op_kind(op) == OpKind::Memory);
    operand && through_pointer && instruction.memory_displacement64() == u64::from(wanted)
}

#[cfg(test)]
mod tests {
    use super::{exchange, reaches};
    use iced_x86::{Decoder, DecoderOptions};

    #[test]
    fn one_place_is_exchanged_and_two_are_an_error() {
        let mut file = b"..one..two..two".to_vec();
        exchange(&mut file, b"one", b"ONE").expect("once");
        assert_eq!(file, b"..ONE..two..two");
        exchange(&mut file, b"two", b"TWO").expect_err("twice");
        exchange(&mut file, b"six", b"SIX").expect_err("never");
    }

    #[test]
    fn a_pointer_counts_and_the_stack_does_not() {
        let decode = |bytes: &[u8]| Decoder::new(64, bytes, DecoderOptions::NONE).decode();
        // mov rax, [rcx + 0xB8]; mov rax, [rsp + 0xB8]
        assert!(reaches(&decode(&[0x48, 0x8B, 0x81, 0xB8, 0, 0, 0]), 0xB8));
        assert!(!reaches(
            &decode(&[0x48, 0x8B, 0x84, 0x24, 0xB8, 0, 0, 0]),
            0xB8
        ));
        assert!(!reaches(&decode(&[0x48, 0x8B, 0x81, 0xB8, 0, 0, 0]), 0xC0));
    }
}

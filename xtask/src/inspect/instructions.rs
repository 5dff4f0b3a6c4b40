//! Floating point, and instructions that not every processor of Windows 10 has.
//!
//! x64 kernel code may use XMM registers: the kernel keeps them over interrupts, and the calling convention
//! says whose they are. The compiler copies and clears structures with them, and adds and compares
//! integers in them; none of that reads or changes MXCSR or can raise a floating point exception, so it is
//! allowed. Floating point itself (arithmetic, comparison, conversion) Windows would allow too; a driver that
//! counts blocks has no use for it, and where it turns up something was linked in that was not meant. Never
//! allowed are x87 and MMX ("strictly prohibited in 64-bit kernel-mode code"), and AVX, whose registers a
//! driver would have to save with KeSaveExtendedProcessorState.
//! (Microsoft: "Floating-Point Support for 64-Bit Drivers", "Using extended processor features in Windows drivers".)

use std::collections::BTreeMap;

use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Instruction, Mnemonic, Register};

use super::{Verdict, image::Image, verdict};

/// What every processor has on which 64-bit Windows 10 runs.
const BASE: &[CpuidFeature] = &[
    CpuidFeature::INTEL8086,
    CpuidFeature::INTEL186,
    CpuidFeature::INTEL286,
    CpuidFeature::INTEL386,
    CpuidFeature::INTEL486,
    CpuidFeature::X64,
    CpuidFeature::CMOV,
    CpuidFeature::CX8,
    CpuidFeature::CMPXCHG16B,
    CpuidFeature::MULTIBYTENOP,
    CpuidFeature::PAUSE,
    CpuidFeature::SSE,
    CpuidFeature::SSE2,
];

/// Beginnings of names of SSE and SSE2 instructions that only move bits or work on integers.
const INTEGER_VECTORS: &[&str] = &[
    "mov", "lddq", // moves
    "and", "or", "xor", // bits, under floating point names too
    "pand", "por", "pxor", // bits
    "padd", "psub", "pmul", "pmadd", "psad", "pavg", "pmin", "pmax", // integers
    "pcmp", "psll", "psrl", "psra", // integers
    "pshuf", "shuf", "punpck", "unpck", "pack", "pextr", "pinsr", "pmovmsk", // places
    "prefetch", "lfence", "mfence", "sfence", "clflush", "pause", // memory
];

/// Complaints are listed up to this number of places.
const SHOWN: usize = 5;

/// What was counted.
#[derive(Debug, Default)]
struct Count {
    all: usize,
    vectors: usize,
    /// Words about an instruction that is not allowed, with the addresses where it stands.
    refused: BTreeMap<String, Vec<u64>>,
}

/// Judges every instruction of every executable section.
pub(super) fn check(image: &Image) -> Verdict {
    let mut count = Count::default();
    for section in image.sections.iter().filter(|it| it.is_executable()) {
        sweep(&section.bytes, u64::from(section.address), &mut count);
    }
    let mut complaints = Vec::new();
    for (what, places) in &count.refused {
        let shown: Vec<String> = places
            .iter()
            .take(SHOWN)
            .map(|place| format!("{place:#x}"))
            .collect();
        let more = if places.len() > SHOWN { ", ..." } else { "" };
        complaints.push(format!("{what} at {}{more}", shown.join(", ")));
    }
    let Count { all, vectors, .. } = count;
    verdict(
        complaints,
        format!("{all}, {vectors} of them moves and integers in XMM registers; no floating point"),
    )
}

/// From the first byte to the last: between functions there is only padding, which decodes.
fn sweep(bytes: &[u8], address: u64, count: &mut Count) {
    // `rep bsf` is how compilers write a bsf that newer processors may take for tzcnt.
    let options = DecoderOptions::NO_MPFX_0FBC;
    let mut decoder = Decoder::with_ip(64, bytes, address, options);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        count.all += 1;
        count.vectors += usize::from(is_vector(&instruction));
        if let Some(what) = refused(&instruction) {
            count
                .refused
                .entry(what)
                .or_default()
                .push(instruction.ip());
        }
    }
}

fn is_vector(instruction: &Instruction) -> bool {
    instruction
        .cpuid_features()
        .iter()
        .any(|feature| [CpuidFeature::SSE, CpuidFeature::SSE2].contains(feature))
}

/// Why an instruction is not allowed, if it isn't.
fn refused(instruction: &Instruction) -> Option<String> {
    let name = format!("{:?}", instruction.mnemonic()).to_lowercase();
    if instruction.is_invalid() {
        return Some("no known instruction".into());
    }
    let features = instruction.cpuid_features();
    if let Some(feature) = features.iter().find(|feature| !BASE.contains(feature)) {
        return Some(format!("{name} ({feature:?})"));
    }
    if uses_mmx(instruction) {
        return Some(format!("{name} (MMX)"));
    }
    if is_vector(instruction) && !is_integer_vector(&name) {
        return Some(format!("{name} (floating point)"));
    }
    if instruction.is_privileged() && !is_irql(instruction) {
        return Some(format!("{name} (privileged)"));
    }
    None
}

/// By name; what converts or computes as floating point has another one. `movmskp?` moves signs, `movs?` moves.
fn is_integer_vector(name: &str) -> bool {
    INTEGER_VECTORS.iter().any(|start| name.starts_with(start))
}

fn uses_mmx(instruction: &Instruction) -> bool {
    (0..instruction.op_count()).any(|index| instruction.op_register(index).is_mm())
}

/// Reading and writing the IRQL, which x64 keeps in CR8.
fn is_irql(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Mov
        && (0..instruction.op_count()).any(|index| instruction.op_register(index) == Register::CR8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Complaints about a few bytes of code.
    fn judged(code: &[u8]) -> Vec<String> {
        let mut count = Count::default();
        sweep(code, 0x1000, &mut count);
        count.refused.into_keys().collect()
    }

    #[test]
    fn what_compilers_do_with_integers_is_allowed() {
        let allowed: &[&[u8]] = &[
            &[0x0F, 0x57, 0xC0],                      // xorps xmm0, xmm0
            &[0x0F, 0x11, 0x01],                      // movups [rcx], xmm0
            &[0x66, 0x0F, 0xD4, 0xC1],                // paddq xmm0, xmm1
            &[0x66, 0x0F, 0xD7, 0xC1],                // pmovmskb eax, xmm1
            &[0xF2, 0x0F, 0x10, 0x01],                // movsd xmm0, [rcx]
            &[0xF3, 0x0F, 0xBC, 0xC1],                // rep bsf eax, ecx
            &[0xF0, 0x0F, 0xB1, 0x11],                // lock cmpxchg [rcx], edx
            &[0xF3, 0x90],                            // pause
            &[0x0F, 0x0B],                            // ud2
            &[0xCD, 0x29],                            // int 29h: fast fail
            &[0x44, 0x0F, 0x20, 0xC0],                // mov rax, cr8: the IRQL
            &[0xCC, 0xCC],                            // padding
            &[0x66, 0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0], // padding
            &[0x48, 0x0F, 0xC7, 0x0F],                // cmpxchg16b [rdi]
        ];
        for code in allowed {
            assert_eq!(judged(code), Vec::<String>::new(), "{code:x?}");
        }
    }

    #[test]
    fn floating_point_and_what_processors_may_lack_is_not() {
        let refused: &[(&[u8], &str)] = &[
            (&[0x0F, 0x58, 0xC1], "addps (floating point)"),
            (&[0xF2, 0x0F, 0x59, 0xC1], "mulsd (floating point)"),
            (&[0xF2, 0x48, 0x0F, 0x2A, 0xC1], "cvtsi2sd (floating point)"),
            (&[0x66, 0x0F, 0x2E, 0xC1], "ucomisd (floating point)"),
            (&[0x0F, 0xAE, 0x11], "ldmxcsr (floating point)"),
            (&[0xD9, 0xE8], "fld1 (FPU)"),
            (&[0x0F, 0x6F, 0x01], "movq (MMX)"),
            (&[0xC5, 0xF8, 0x10, 0x01], "vmovups (AVX)"),
            (&[0xF3, 0x0F, 0xB8, 0xC1], "popcnt (POPCNT)"),
            (&[0x66, 0x0F, 0x38, 0x17, 0xC1], "ptest (SSE4_1)"),
            (&[0xF4], "hlt (privileged)"),
            (&[0xFA], "cli (privileged)"),
            (&[0x0F, 0x20, 0xC0], "mov (privileged)"), // cr0
            (&[0x06], "no known instruction"),
        ];
        for (code, what) in refused {
            assert_eq!(judged(code), [*what], "{code:x?}");
        }
    }
}

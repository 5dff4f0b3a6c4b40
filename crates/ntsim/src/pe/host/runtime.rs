//! Exports that only binaries need: linked sources have them from the language or the compiler.
#![allow(unreachable_pub, reason = "binaries alone call these, by address")]

use crate::abi::{PCUNICODE_STRING, PUNICODE_STRING, PVOID};
use crate::export::exports;
use crate::machine::{Violation, codes};
use crate::registry::calls::text;

exports! { run;
    /// The address of an export, or null.
    fn MmGetSystemRoutineAddress(SystemRoutineName: PUNICODE_STRING) -> PVOID {
        run.irql_at_most(0);
        // SAFETY: the caller's string.
        let name = unsafe { text(SystemRoutineName) };
        super::imports::kernel(&name).map_or(std::ptr::null_mut(), |entry| entry.cast_mut().cast())
    }

    /// Copies as much of a counted string as there is room for; null makes an empty one.
    fn RtlCopyUnicodeString(DestinationString: PUNICODE_STRING, SourceString: PCUNICODE_STRING) {
        // SAFETY: the caller's strings.
        unsafe {
            let length = if SourceString.is_null() { 0 } else { (*SourceString).Length };
            let length = length.min((*DestinationString).MaximumLength) & !1;
            (*DestinationString).Length = length;
            if length == 0 {
                return;
            }
            let units = usize::from(length / 2);
            let to = (*DestinationString).Buffer;
            to.copy_from((*SourceString).Buffer, units);
            if (*DestinationString).MaximumLength >= length + 2 {
                to.add(units).write(0);
            }
        }
    }

    /// Where an exception looks for a handler. Nobody calls it here: an image only has its address in
    /// its unwind data, and the kernel reads the scope table by itself.
    fn __C_specific_handler(ExceptionRecord: PVOID, EstablisherFrame: PVOID, ContextRecord: PVOID, DispatcherContext: PVOID) -> i32 {
        let story = "__C_specific_handler was called by an image.";
        Violation::new(codes::KMODE_EXCEPTION_NOT_HANDLED, [0; 4], story).raise()
    }
}

/// Routines that are no places for interrupts, or that have conventions of their own.
pub(super) fn special() -> [(&'static str, *const ()); 6] {
    [
        ("memcpy", memmove as *const ()),
        ("memmove", memmove as *const ()),
        ("memset", memset as *const ()),
        ("memcmp", memcmp as *const ()),
        ("__chkstk", chkstk as *const ()),
        ("_fltused", (&raw const FLOATING_POINT_USED).cast()),
    ]
}

static FLOATING_POINT_USED: i32 = 0;

/// Bytes that each of the routines below takes at least; padding follows their code.
const WINDOW: usize = 96;

/// Whether an instruction is one of the routines that touch memory for an image. They keep nothing on
/// the stack, so that an image's address is on its top.
pub(super) fn is_leaf(instruction: usize) -> bool {
    [
        memmove as *const (),
        memset as *const (),
        memcmp as *const (),
        chkstk as *const (),
    ]
    .iter()
    .any(|start| instruction.wrapping_sub(start.addr()) < WINDOW)
}

/// `memmove(to, from, bytes)`, which is `memcpy` too: backwards where the target begins inside the
/// source.
#[unsafe(naked)]
unsafe extern "C" fn memmove() {
    core::arch::naked_asm!(
        "mov r10, rdi",
        "mov r11, rsi",
        "mov rax, rcx",
        "mov rdi, rcx",
        "mov rsi, rdx",
        "mov rcx, r8",
        "mov r9, rdi",
        "sub r9, rsi",
        "cmp r9, rcx",
        "jb 2f",
        "rep movsb",
        "jmp 3f",
        "2:",
        "lea rdi, [rdi + rcx - 1]",
        "lea rsi, [rsi + rcx - 1]",
        "std",
        "rep movsb",
        "cld",
        "3:",
        "mov rdi, r10",
        "mov rsi, r11",
        "ret",
        ".fill {window}, 1, 0xCC",
        window = const WINDOW,
    )
}

/// `memset(to, value, bytes)`
#[unsafe(naked)]
unsafe extern "C" fn memset() {
    core::arch::naked_asm!(
        "mov r10, rdi",
        "mov r11, rcx",
        "mov rdi, rcx",
        "mov eax, edx",
        "mov rcx, r8",
        "rep stosb",
        "mov rdi, r10",
        "mov rax, r11",
        "ret",
        ".fill {window}, 1, 0xCC",
        window = const WINDOW,
    )
}

/// `memcmp(left, right, bytes)`
#[unsafe(naked)]
unsafe extern "C" fn memcmp() {
    core::arch::naked_asm!(
        "xor eax, eax",
        "xor r9d, r9d",
        "2:",
        "cmp r9, r8",
        "je 3f",
        "movzx eax, byte ptr [rcx + r9]",
        "movzx r10d, byte ptr [rdx + r9]",
        "inc r9",
        "sub eax, r10d",
        "je 2b",
        "3:",
        "ret",
        ".fill {window}, 1, 0xCC",
        window = const WINDOW,
    )
}

/// Touches each page of the stack that a function is about to take: `rax` bytes. It keeps every
/// register but `r10`, `r11` and the flags.
#[unsafe(naked)]
unsafe extern "C" fn chkstk() {
    core::arch::naked_asm!(
        "lea r10, [rsp + 8]",
        "mov r11, rax",
        "2:",
        "cmp r11, 4096",
        "jb 3f",
        "sub r10, 4096",
        "test [r10], r10",
        "sub r11, 4096",
        "jmp 2b",
        "3:",
        "ret",
        ".fill {window}, 1, 0xCC",
        window = const WINDOW,
    )
}

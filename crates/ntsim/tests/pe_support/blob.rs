//! A driver in assembly: two pages, code and data, assembled as they will lie in an image.
//!
//! Everything refers to everything else relative to the instruction, so that the bytes can be taken
//! out of this program and put into an image as they are. What has to be relocated is in the list
//! at the end. Each `entry_…` is an entry point of its own: a test chooses one.

use core::arch::global_asm;

/// Where the image wants to be, as linkers have it.
pub(crate) const PREFERRED: u64 = 0x1_4000_0000;
/// Where the first of the two pages lies in the image.
pub(crate) const TEXT: usize = 0x1000;
/// Where the second one lies.
pub(crate) const DATA: usize = 0x2000;

/// Makes one slot for each name, in the order of the list in [`IMPORTS`].
macro_rules! imports {
    ($($library:literal $name:ident)*) => {
        /// What the driver imports: library, name.
        pub(crate) const IMPORTS: &[(&str, &str)] = &[$(($library, stringify!($name))),*];
        global_asm!(
            ".pushsection .data.pe_blob, \"aw\"",
            ".balign 4096",
            "pe_blob:",
            include_str!("driver.s"),
            "pe_imports:",
            $(concat!("imp_", stringify!($name), ": .quad 0"),)*
            ".balign 4096",
            "pe_end:",
            "pe_relocations:",
            ".long bind_info_component - pe_blob",
            ".long bind_info_table - pe_blob",
            ".long relocated - pe_blob",
            ".long relocated_far - pe_blob",
            ".long questions - pe_blob",
            ".long questions_name - pe_blob",
            ".long 0",
            ".popsection",
            preferred = const PREFERRED + TEXT as u64,
        );
    };
}

imports! {
    "ntoskrnl.exe" KeBugCheckEx
    "ntoskrnl.exe" DbgPrint
    "ntoskrnl.exe" ExInitializeLookasideListEx
    "ntoskrnl.exe" ExAllocateFromLookasideListEx
    "ntoskrnl.exe" RtlQueryRegistryValues
    "ntoskrnl.exe" ExAllocatePool2
    "ntoskrnl.exe" IoCreateDevice
    "ntoskrnl.exe" IoDeleteDevice
    "ntoskrnl.exe" IoAttachDeviceToDeviceStackSafe
    "ntoskrnl.exe" IoDetachDevice
    "ntoskrnl.exe" IofCallDriver
    "ntoskrnl.exe" KeInitializeDpc
    "ntoskrnl.exe" KeInsertQueueDpc
    "ntoskrnl.exe" KeFlushQueuedDpcs
    "ntoskrnl.exe" KeNumberProcessors
    "ntoskrnl.exe" __chkstk
    "ntoskrnl.exe" memset
    "ntoskrnl.exe" memcpy
    "ntoskrnl.exe" MmGetSystemRoutineAddress
    "ntoskrnl.exe" IoGetDmaAdapter
    "ntoskrnl.exe" KfRaiseIrql
    "ntoskrnl.exe" IoAllocateMdl
    "ntoskrnl.exe" IoFreeMdl
    "ntoskrnl.exe" MmProbeAndLockPages
    "ntoskrnl.exe" MmUnlockPages
    "ntoskrnl.exe" __C_specific_handler
    "WDFLDR.SYS" WdfVersionBind
    "WDFLDR.SYS" WdfVersionUnbind
}

macro_rules! symbols {
    ($($name:ident)*) => {
        global_asm!(
            $(concat!(".globl ", stringify!($name)),)*
            ".globl pe_blob",
            ".globl pe_imports",
            ".globl pe_end",
            ".globl pe_relocations",
        );

        #[allow(dead_code, reason = "every test program uses its own part of this")]
        unsafe extern "C" {
            static pe_blob: u8;
            static pe_imports: u8;
            static pe_end: u8;
            static pe_relocations: u32;
            $(static $name: u8;)*
        }

        /// The offset in the image of a label of the driver.
        pub(crate) fn at(label: &str) -> usize {
        let found = match label {
                "pe_imports" => &raw const pe_imports,
                $(stringify!($name) => &raw const $name,)*
                _ => panic!("no label {label}"),
            };
            TEXT + found.addr() - (&raw const pe_blob).addr()
        }
    };
}

symbols! {
    entry_success entry_failure entry_bug_check entry_lookaside entry_query entry_relocated
    entry_print entry_dpc entry_wdm entry_leak entry_variable entry_probe entry_routine entry_move entry_dma
    entry_bind entry_bind_and_call entry_bind_and_fail entry_guard
    entry_read_label entry_write_label entry_copy_label entry_recurse entry_recurse_far entry_read_null entry_write_code entry_run_data entry_breakpoint
    entry_fast_fail entry_undefined entry_divide entry_call_label entry_impossible entry_cr8
    entry_read_at_dispatch entry_late entry_lock entry_lock_unguarded
    guarded guarded_try guarded_try_end guarded_except guarded_end specific_handler
    bind_info bind_info_minor bind_info_count cookie guard_check guard_dispatch
}

/// The two pages.
pub(crate) fn bytes() -> Vec<u8> {
    let start = &raw const pe_blob;
    let length = (&raw const pe_end).addr() - start.addr();
    assert_eq!(length, 2 * 0x1000, "code and data are a page each");
    // SAFETY: two pages between the labels, which nobody writes.
    unsafe { std::slice::from_raw_parts(start, length).to_vec() }
}

/// Offsets in the image of addresses that have to be relocated.
pub(crate) fn relocations() -> Vec<usize> {
    let mut offsets = Vec::new();
    let mut next = &raw const pe_relocations;
    loop {
        // SAFETY: the list ends with a zero, and nothing is read behind it.
        let offset = unsafe { next.read_unaligned() } as usize;
        if offset == 0 {
            return offsets;
        }
        offsets.push(TEXT + offset);
        next = next.wrapping_add(1);
    }
}

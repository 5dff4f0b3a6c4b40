//! Memory descriptor lists.

use super::*;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _MDL {
    pub Next: *mut _MDL,
    pub Size: CSHORT,
    pub MdlFlags: CSHORT,
    pub Process: *mut _EPROCESS,
    pub MappedSystemVa: PVOID,
    pub StartVa: PVOID,
    pub ByteCount: ULONG,
    pub ByteOffset: ULONG,
}
zeroed!(_MDL);
pub type MDL = _MDL;
pub type PMDL = *mut _MDL;

/// The first address that no buffer of a program may reach: a variable of the kernel, which
/// `MM_USER_PROBE_ADDRESS` reads (wdm.h). Written by nobody.
pub static mut MmUserProbeAddress: ULONG64 = 0x0000_7FFF_FFFF_0000;

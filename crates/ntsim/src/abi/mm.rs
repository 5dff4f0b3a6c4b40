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

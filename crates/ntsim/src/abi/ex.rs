//! Executive structures: interlocked lists, lookaside lists, remove locks.

use super::*;

pub type POOL_FLAGS = ULONG64;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct _SLIST_ENTRY {
    pub Next: *mut _SLIST_ENTRY,
}
zeroed!(_SLIST_ENTRY);
pub type SLIST_ENTRY = _SLIST_ENTRY;
pub type PSLIST_ENTRY = *mut _SLIST_ENTRY;

#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub union _SLIST_HEADER {
    pub __bindgen_anon_1: _SLIST_HEADER__bindgen_ty_1,
    pub HeaderX64: _SLIST_HEADER__bindgen_ty_2,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _SLIST_HEADER__bindgen_ty_1 {
    pub Alignment: ULONGLONG,
    pub Region: ULONGLONG,
}

/// Depth and sequence in the low half, the first entry in the high half.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _SLIST_HEADER__bindgen_ty_2 {
    pub _bitfield_1: __BindgenBitfieldUnit<[u8; 16]>,
}
zeroed!(_SLIST_HEADER);
pub type SLIST_HEADER = _SLIST_HEADER;
pub type PSLIST_HEADER = *mut _SLIST_HEADER;

#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct _GENERAL_LOOKASIDE_POOL {
    pub ListHead: SLIST_HEADER,
    pub Depth: USHORT,
    pub MaximumDepth: USHORT,
    pub TotalAllocates: ULONG,
    pub AllocateMisses: ULONG,
    pub TotalFrees: ULONG,
    pub FreeMisses: ULONG,
    pub Type: POOL_TYPE,
    pub Tag: ULONG,
    pub Size: ULONG,
    pub AllocateEx: PALLOCATE_FUNCTION_EX,
    pub FreeEx: PFREE_FUNCTION_EX,
    pub ListEntry: LIST_ENTRY,
    pub LastTotalAllocates: ULONG,
    pub LastAllocateMisses: ULONG,
    pub Future: [ULONG; 2],
}
zeroed!(_GENERAL_LOOKASIDE_POOL);
pub type GENERAL_LOOKASIDE_POOL = _GENERAL_LOOKASIDE_POOL;

#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct _LOOKASIDE_LIST_EX {
    pub L: GENERAL_LOOKASIDE_POOL,
}
zeroed!(_LOOKASIDE_LIST_EX);
pub type LOOKASIDE_LIST_EX = _LOOKASIDE_LIST_EX;
pub type PLOOKASIDE_LIST_EX = *mut _LOOKASIDE_LIST_EX;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _IO_REMOVE_LOCK_COMMON_BLOCK {
    pub Removed: BOOLEAN,
    pub Reserved: [BOOLEAN; 3],
    pub IoCount: LONG,
    pub RemoveEvent: KEVENT,
}
zeroed!(_IO_REMOVE_LOCK_COMMON_BLOCK);
pub type IO_REMOVE_LOCK_COMMON_BLOCK = _IO_REMOVE_LOCK_COMMON_BLOCK;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct _EX_RUNDOWN_REF {
    pub __bindgen_anon_1: _EX_RUNDOWN_REF__bindgen_ty_1,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub union _EX_RUNDOWN_REF__bindgen_ty_1 {
    pub Count: ULONG_PTR,
    pub Ptr: PVOID,
}
zeroed!(_EX_RUNDOWN_REF, _EX_RUNDOWN_REF__bindgen_ty_1);
pub type EX_RUNDOWN_REF = _EX_RUNDOWN_REF;
pub type PEX_RUNDOWN_REF = *mut _EX_RUNDOWN_REF;

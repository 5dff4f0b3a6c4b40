/*
 * mingw-w64's wdm.h, with two declarations as Windows 10 has them.
 *
 * KeGetCurrentIrql is a function of the kernel's, and not only inline; MmMapLockedPagesSpecifyCache takes flags
 * beside the priority, so that a mapping need not be executable.
 */
#ifndef XFERSPLIT_WDM_H
#define XFERSPLIT_WDM_H

#define KeGetCurrentIrql KeGetCurrentIrqlInline
#define MmMapLockedPagesSpecifyCache MmMapLockedPagesSpecifyCacheOfWindows7
#include_next <wdm.h>
#undef MmMapLockedPagesSpecifyCache
#undef KeGetCurrentIrql

NTKERNELAPI KIRQL NTAPI KeGetCurrentIrql(VOID);

#define MdlMappingNoWrite 0x80000000
#define MdlMappingNoExecute 0x40000000
#define MdlMappingWithGuardPtes 0x20000000

NTKERNELAPI PVOID NTAPI MmMapLockedPagesSpecifyCache(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode,
    MEMORY_CACHING_TYPE CacheType, PVOID RequestedAddress, ULONG BugCheckOnFailure, ULONG Priority);

#endif

/* Declarations of the Windows 10 kernel that mingw-w64 10 does not have. */
#ifndef XFERSPLIT_WINDOWS10_H
#define XFERSPLIT_WINDOWS10_H

/* Pool by flags: Windows 10 version 2004, kernel build 19041. wdk-sys gives the flags their values. */
typedef ULONG64 POOL_FLAGS;

NTKERNELAPI PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);

#endif

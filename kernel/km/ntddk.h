/* mingw-w64's ntddk.h, which is of the age of Windows 7, and what the driver and wdk-sys use of later kernels. */
#ifndef XFERSPLIT_NTDDK_H
#define XFERSPLIT_NTDDK_H

#include_next <ntddk.h>
#include <devpropdef.h>
#include "windows10.h"

#endif

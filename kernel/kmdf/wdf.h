/*
 * Kernel-Mode Driver Framework 1.15: what xfersplit and the crates below it use of it.
 *
 * The names, layouts and function numbers are those of the framework's public declarations
 * (Windows-Driver-Frameworks, src/publicinc/wdf/kmdf/1.15); docs/build.md says how to add to them.
 * wdk-sys reads only files whose path contains "wdf", and looks for this one as the root.
 */
#ifndef XFERSPLIT_WDF_H
#define XFERSPLIT_WDF_H

/* The table's symbol carries the version, so that objects of two versions do not link. */
#define WdfFunctions WdfFunctions_01015

typedef VOID (*WDFFUNC)(VOID);

extern const WDFFUNC *WdfFunctions;

#include "wdftypes.h"
#include "wdfobjects.h"
#include "wdfdevices.h"
#include "wdffuncenum.h"
#include "wdffunctions.h"

#endif

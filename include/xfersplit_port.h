/*
 * The private interface between xfersplit and a port driver or miniport that is paired with it.
 *
 * "Splitting DMA Transfer Requests" lets a class driver split large requests for its port driver only if it can
 * find out how many map registers the port driver has. With this interface it can, in either of two ways:
 *
 * 1. The registry. Before the device starts, the port driver writes REG_DWORD values into the key
 *    "Xfersplit\Port" under the device's hardware key (PLUGPLAY_REGKEY_DEVICE): Version (XFERSPLIT_PORT_VERSION),
 *    and as many of NumberOfMapRegisters, NumberOfSegments and MaximumTransferLength as it has limits.
 *
 * 2. Questions. Where the setting PairedPort is 1, xfersplit sends IRP_MJ_INTERNAL_DEVICE_CONTROL at each start.
 *    That major is IRP_MJ_SCSI, so the question is a request block too, and can be met at either of two doors:
 *
 *    - A port driver looks at Parameters.DeviceIoControl.IoControlCode for IOCTL_XFERSPLIT_PORT_LIMITS.
 *    - A miniport gets an SRB with Function SRB_FUNCTION_IO_CONTROL, as for IOCTL_SCSI_MINIPORT, and looks for
 *      XFERSPLIT_PORT_SIGNATURE in the SRB_IO_CONTROL at the beginning of its data. (scsiport hands such a request on
 *      to its miniport as ReactOS' scsiport.c does; whether storport does so with one that is sent to a disk has not
 *      been tried.)
 *
 *    Parameters.Scsi.Srb, its DataBuffer and Irp->MdlAddress lead to one XFERSPLIT_PORT_QUESTION in nonpaged
 *    memory. Whoever knows neither door refuses the request like any other it does not know.
 *
 * To answer: fill in Limits, Generation included, leave the rest as it is, set SrbStatus to SRB_STATUS_SUCCESS and
 * complete with STATUS_SUCCESS and Information = sizeof(XFERSPLIT_PORT_QUESTION). A Generation names one set of
 * limits; change it whenever they change, and never use 0.
 *
 * - Limits.Generation is 0 in the question: answer at once.
 * - It is another number: answer when your generation is no longer that one. Until then keep the request, so that
 *   it can be cancelled. Your answer is the change notification. Who can't keep a request (a miniport has to
 *   answer within the SRB's TimeOutValue) refuses it, and is not asked again before the next start.
 *
 * What is told holds for requests that reach xfersplit after the answer; those that it is splitting by then go on
 * under the limits that they began with. Limits only ever make the adapter's own stricter.
 *
 * To refuse: STATUS_REVISION_MISMATCH for a Version that you don't know, with Version set to the highest that you
 * do; STATUS_INFO_LENGTH_MISMATCH for sizes that are not those below; SrbStatus SRB_STATUS_INVALID_REQUEST with both.
 * An answer of which one field makes no sense is ignored altogether, and the disk works on without it.
 *
 * Include ntddk.h (or miniport.h and storport.h) and ntddscsi.h first.
 */
#ifndef XFERSPLIT_PORT_H
#define XFERSPLIT_PORT_H

#define IOCTL_XFERSPLIT_PORT_LIMITS CTL_CODE(0x9F5A, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)

/* SRB_IO_CONTROL.Signature: eight bytes, no terminating zero. */
#define XFERSPLIT_PORT_SIGNATURE "XFERSPLT"

#define XFERSPLIT_PORT_VERSION 1

/* For a limit that the port driver has not. 0 is never a limit. */
#define XFERSPLIT_PORT_NO_LIMIT 0xFFFFFFFF

typedef struct _XFERSPLIT_PORT_LIMITS {
    ULONG Version;               /* XFERSPLIT_PORT_VERSION */
    ULONG Size;                  /* sizeof(XFERSPLIT_PORT_LIMITS) */
    ULONG Generation;
    ULONG NumberOfMapRegisters;  /* pages that one transfer may span */
    ULONG NumberOfSegments;      /* entries of one scatter/gather list */
    ULONG MaximumTransferLength; /* bytes, at least 512 */
} XFERSPLIT_PORT_LIMITS, *PXFERSPLIT_PORT_LIMITS;

/* HeaderLength is sizeof(SRB_IO_CONTROL), Length sizeof(XFERSPLIT_PORT_LIMITS), ControlCode the IOCTL above. */
typedef struct _XFERSPLIT_PORT_QUESTION {
    SRB_IO_CONTROL Header;
    XFERSPLIT_PORT_LIMITS Limits;
} XFERSPLIT_PORT_QUESTION, *PXFERSPLIT_PORT_QUESTION;

#endif

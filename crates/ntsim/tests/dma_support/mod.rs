//! A small function driver of the disk controller, after the documents of packet-based bus-master
//! DMA: a request is cut into operations that map registers and controller allow, one at a time.
#![allow(dead_code, reason = "every test file uses a part of this")]

pub(crate) mod direct;
pub(crate) mod registers;

use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use ntsim::abi::*;
use ntsim::{Driver, io, ntddk};
use registers::*;

/// The driver.
pub(crate) fn driver() -> Driver {
    driver_without::<NOTHING>()
}

/// The driver without one of the steps below.
pub(crate) fn driver_without<const STEP: u32>() -> Driver {
    Driver::linked("tinydma", entry::<STEP>)
}

/// Steps that a driver may not leave out.
pub(crate) const NOTHING: u32 = 0;
pub(crate) const PUT_ADAPTER: u32 = 1;
pub(crate) const UNMAP_REGISTERS: u32 = 2;
pub(crate) const DISCONNECT: u32 = 3;
pub(crate) const FLUSH: u32 = 4;
pub(crate) const FREE_REGISTERS: u32 = 5;
pub(crate) const ACKNOWLEDGE_INTERRUPT: u32 = 6;
/// Not left out but done too early: by the service routine itself.
pub(crate) const LEAVE_IT_TO_THE_DPC: u32 = 7;

/// The status of a request of which an operation failed.
pub(crate) const FAILED: NTSTATUS = STATUS_IO_DEVICE_ERROR;

/// What the driver keeps for its device.
struct Extension {
    /// The step that is left out.
    without: u32,
    device: PDEVICE_OBJECT,
    lower: PDEVICE_OBJECT,
    pdo: PDEVICE_OBJECT,
    registers: *mut u8,
    interrupt: PKINTERRUPT,
    adapter: PDMA_ADAPTER,
    map_registers: u32,
    sector: usize,
    max_sectors: usize,
    max_segments: usize,
    /// STATUS as the service routine saw it.
    status: AtomicU32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<PIRP>,
    current: Option<Current>,
    started: bool,
}

#[derive(Clone, Copy)]
struct Current {
    irp: PIRP,
    mdl: PMDL,
    va: PVOID,
    offset: u64,
    total: usize,
    done: usize,
    write: bool,
    piece: usize,
    count: u32,
    base: PVOID,
}

unsafe extern "system" fn entry<const STEP: u32>(
    driver: PDRIVER_OBJECT,
    _path: PCUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: the driver object of this driver, during DriverEntry.
    unsafe {
        (*(*driver).DriverExtension).AddDevice = Some(add_device::<STEP>);
        (*driver).DriverUnload = Some(unload);
        for slot in &mut (*driver).MajorFunction {
            *slot = Some(succeed);
        }
        (*driver).MajorFunction[IRP_MJ_READ as usize] = Some(read_write);
        (*driver).MajorFunction[IRP_MJ_WRITE as usize] = Some(read_write);
        (*driver).MajorFunction[IRP_MJ_PNP as usize] = Some(pnp);
        (*driver).MajorFunction[IRP_MJ_POWER as usize] = Some(forward);
    }
    STATUS_SUCCESS
}

unsafe extern "C" fn unload(_: PDRIVER_OBJECT) {}

unsafe extern "C" fn add_device<const STEP: u32>(
    driver: PDRIVER_OBJECT,
    pdo: PDEVICE_OBJECT,
) -> NTSTATUS {
    // SAFETY: AddDevice, PASSIVE_LEVEL; the device is new and ours.
    unsafe {
        let mut device: PDEVICE_OBJECT = ptr::null_mut();
        let bytes = size_of::<PVOID>() as u32;
        let status = ntddk::IoCreateDevice(
            driver,
            bytes,
            ptr::null_mut(),
            FILE_DEVICE_DISK,
            0,
            0,
            &raw mut device,
        );
        if !NT_SUCCESS(status) {
            return status;
        }
        let mut lower = ptr::null_mut();
        ntddk::IoAttachDeviceToDeviceStackSafe(device, pdo, &raw mut lower);
        ntddk::KeInitializeDpc(&raw mut (*device).Dpc, Some(dpc), device.cast());
        let extension = Box::new(Extension {
            without: STEP,
            device,
            lower,
            pdo,
            registers: ptr::null_mut(),
            interrupt: ptr::null_mut(),
            adapter: ptr::null_mut(),
            map_registers: 0,
            sector: 0,
            max_sectors: 0,
            max_segments: 0,
            status: AtomicU32::new(0),
            state: Mutex::default(),
        });
        let place = (*device).DeviceExtension.cast::<*mut Extension>();
        place.write(Box::into_raw(extension));
        (*device).Flags |= DO_DIRECT_IO;
        (*device).Flags &= !DO_DEVICE_INITIALIZING;
    }
    STATUS_SUCCESS
}

/// # Safety
/// `device` is this driver's.
unsafe fn extension(device: PDEVICE_OBJECT) -> *mut Extension {
    // SAFETY: the caller's contract.
    unsafe { (*device).DeviceExtension.cast::<*mut Extension>().read() }
}

/// # Safety
/// The caller owns the IRP; afterwards it does not.
unsafe fn complete(irp: PIRP, status: NTSTATUS, information: u64) -> NTSTATUS {
    // SAFETY: the caller's contract.
    unsafe {
        (*irp).IoStatus.__bindgen_anon_1.Status = status;
        (*irp).IoStatus.Information = information;
        ntddk::IofCompleteRequest(irp, 0);
    }
    status
}

unsafe extern "C" fn succeed(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine owns its IRP.
    unsafe { complete(irp, STATUS_SUCCESS, 0) }
}

/// `IoSkipCurrentIrpStackLocation` and `IoCallDriver`.
unsafe extern "C" fn forward(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine owns its IRP, and the device below is there until REMOVE.
    unsafe {
        (*irp).CurrentLocation += 1;
        let overlay = &raw mut (*irp).Tail.Overlay.__bindgen_anon_2.__bindgen_anon_1;
        (*overlay).CurrentStackLocation = (*overlay).CurrentStackLocation.add(1);
        ntddk::IofCallDriver((*extension(device)).lower, irp)
    }
}

unsafe extern "C" fn pnp(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine owns its IRP; PnP requests come one at a time.
    unsafe {
        let this = extension(device);
        let location = io::current_location(irp);
        match u32::from((*location).MinorFunction) {
            IRP_MN_START_DEVICE => {
                // The bus below has nothing to do for START, so it need not be first.
                let start = (*location).Parameters.StartDevice;
                let status = start_device(this, start.AllocatedResourcesTranslated);
                if !NT_SUCCESS(status) {
                    stop_device(this);
                    return complete(irp, status, 0);
                }
                (*irp).IoStatus.__bindgen_anon_1.Status = STATUS_SUCCESS;
                forward(device, irp)
            }
            IRP_MN_STOP_DEVICE | IRP_MN_SURPRISE_REMOVAL => {
                stop_device(this);
                (*irp).IoStatus.__bindgen_anon_1.Status = STATUS_SUCCESS;
                forward(device, irp)
            }
            IRP_MN_REMOVE_DEVICE => {
                stop_device(this);
                (*irp).IoStatus.__bindgen_anon_1.Status = STATUS_SUCCESS;
                let lower = (*this).lower;
                let status = forward(device, irp);
                ntddk::IoDetachDevice(lower);
                drop(Box::from_raw(this));
                ntddk::IoDeleteDevice(device);
                status
            }
            _ => forward(device, irp),
        }
    }
}

/// # Safety
/// START_DEVICE's list.
unsafe fn start_device(this: *mut Extension, list: PCM_RESOURCE_LIST) -> NTSTATUS {
    // SAFETY: the list is the PnP manager's, with memory and interrupt; everything else is ours.
    unsafe {
        let partial = &raw const (*list).List[0].PartialResourceList;
        let first: *const CM_PARTIAL_RESOURCE_DESCRIPTOR =
            (&raw const (*partial).PartialDescriptors).cast();
        assert_eq!((*partial).Count, 2);
        let memory = (*first).u.Memory;
        let line = (*first.add(1)).u.Interrupt;
        let (start, length) = (memory.Start, memory.Length);
        (*this).registers = ntddk::MmMapIoSpaceEx(start, length.into(), UNCACHED).cast();
        (*this).sector = read(this, SECTOR_SIZE) as usize;
        (*this).max_sectors = read(this, MAX_SECTORS) as usize;
        (*this).max_segments = read(this, MAX_SEGMENTS) as usize;
        let bits = read(this, ADDRESS_BITS);
        let mut description = direct::description((*this).max_segments > 1, bits);
        let count = &raw mut (*this).map_registers;
        (*this).adapter = ntddk::IoGetDmaAdapter((*this).pdo, &raw mut description, count);
        if (*this).adapter.is_null() || (*this).map_registers == 0 {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        let level = line.Level as u8;
        let status = ntddk::IoConnectInterrupt(
            &raw mut (*this).interrupt,
            Some(isr),
            this.cast(),
            ptr::null_mut(),
            line.Vector,
            level,
            level,
            _KINTERRUPT_MODE::LevelSensitive,
            1,
            line.Affinity,
            0,
        );
        (*this).state.lock().unwrap().started = NT_SUCCESS(status);
        status
    }
}

/// # Safety
/// PASSIVE_LEVEL, PnP.
unsafe fn stop_device(this: *mut Extension) {
    // SAFETY: the caller's contract; whatever exists is ours.
    unsafe {
        let current = {
            let mut state = (*this).state.lock().unwrap();
            state.started = false;
            state.current.take()
        };
        if !(*this).interrupt.is_null() && (*this).without != DISCONNECT {
            write(this, COMMAND, RESET);
            ntddk::IoDisconnectInterrupt((*this).interrupt);
            (*this).interrupt = ptr::null_mut();
            ntddk::KeFlushQueuedDpcs();
        }
        if let Some(current) = current {
            ntsim::ke::raise_to_dispatch(|| give_back(this, &current));
            complete(current.irp, STATUS_NO_SUCH_DEVICE, 0);
        }
        let queue = std::mem::take(&mut (*this).state.lock().unwrap().queue);
        for irp in queue {
            complete(irp, STATUS_NO_SUCH_DEVICE, 0);
        }
        if !(*this).adapter.is_null() && (*this).without != PUT_ADAPTER {
            let put = (*(*(*this).adapter).DmaOperations).PutDmaAdapter.unwrap();
            put((*this).adapter);
            (*this).adapter = ptr::null_mut();
        }
        if !(*this).registers.is_null() && (*this).without != UNMAP_REGISTERS {
            ntddk::MmUnmapIoSpace((*this).registers.cast(), 0x1000);
            (*this).registers = ptr::null_mut();
        }
    }
}

/// # Safety
/// The registers are mapped.
unsafe fn read(this: *mut Extension, offset: usize) -> u32 {
    // SAFETY: the caller's contract.
    unsafe { ntddk::READ_REGISTER_ULONG((*this).registers.add(offset).cast()) }
}

/// # Safety
/// The registers are mapped.
unsafe fn write(this: *mut Extension, offset: usize, value: u32) {
    // SAFETY: the caller's contract.
    unsafe { ntddk::WRITE_REGISTER_ULONG((*this).registers.add(offset).cast(), value) };
}

unsafe extern "C" fn read_write(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: a dispatch routine owns its IRP.
    unsafe {
        let this = extension(device);
        (*io::current_location(irp)).Control |= SL_PENDING_RETURNED as u8;
        let started = {
            let mut state = (*this).state.lock().unwrap();
            if state.started {
                state.queue.push_back(irp);
            }
            state.started
        };
        if started {
            ntsim::ke::raise_to_dispatch(|| start_next(this));
        } else {
            complete(irp, STATUS_DEVICE_NOT_READY, 0);
        }
    }
    STATUS_PENDING
}

/// Begins the next request if none is under way. `DISPATCH_LEVEL`.
unsafe fn start_next(this: *mut Extension) {
    // SAFETY: the IRPs in the queue are ours.
    unsafe {
        {
            let mut state = (*this).state.lock().unwrap();
            if state.current.is_some() {
                return;
            }
            let Some(irp) = state.queue.pop_front() else {
                return;
            };
            let location = io::current_location(irp);
            let parameters = (*location).Parameters.Read;
            let mdl = (*irp).MdlAddress;
            let va = (*mdl).StartVa.wrapping_byte_add((*mdl).ByteOffset as usize);
            state.current = Some(Current {
                irp,
                mdl,
                va,
                offset: parameters.ByteOffset.QuadPart as u64,
                total: parameters.Length as usize,
                done: 0,
                write: u32::from((*location).MajorFunction) == IRP_MJ_WRITE,
                piece: 0,
                count: 0,
                base: ptr::null_mut(),
            });
        }
        next_piece(this);
    }
}

/// Asks for the channel for the next part of the current request. `DISPATCH_LEVEL`.
unsafe fn next_piece(this: *mut Extension) {
    // SAFETY: the adapter is ours.
    unsafe {
        let count = {
            let mut state = (*this).state.lock().unwrap();
            let Some(current) = state.current.as_mut() else {
                return;
            };
            let offset = (current.va.addr() + current.done) % 4096;
            let mut pages = (*this).map_registers as usize;
            if (*this).max_segments > 1 {
                pages = pages.min((*this).max_segments);
            }
            let mut piece = (pages * 4096 - offset) / (*this).sector * (*this).sector;
            if (*this).max_sectors > 0 {
                piece = piece.min((*this).max_sectors * (*this).sector);
            }
            current.piece = piece.min(current.total - current.done);
            current.count = (offset + current.piece).div_ceil(4096) as u32;
            current.count
        };
        let allocate = (*(*(*this).adapter).DmaOperations)
            .AllocateAdapterChannel
            .unwrap();
        let status = allocate(
            (*this).adapter,
            (*this).device,
            count,
            Some(adapter_control),
            this.cast(),
        );
        assert_eq!(status, STATUS_SUCCESS);
    }
}

unsafe extern "C" fn adapter_control(
    _: *mut DEVICE_OBJECT,
    _: *mut IRP,
    base: PVOID,
    context: PVOID,
) -> IO_ALLOCATION_ACTION {
    let this: *mut Extension = context.cast();
    // SAFETY: the context is the extension, which lives until REMOVE; the adapter is ours.
    unsafe {
        let current = {
            let mut state = (*this).state.lock().unwrap();
            let Some(current) = state.current.as_mut() else {
                return _IO_ALLOCATION_ACTION::DeallocateObject;
            };
            current.base = base;
            *current
        };
        let map = (*(*(*this).adapter).DmaOperations).MapTransfer.unwrap();
        write(this, LIST_RESET, 0);
        let mut done = 0;
        while done < current.piece {
            let va = current.va.wrapping_byte_add(current.done + done);
            let mut length = (current.piece - done) as u32;
            let to_device = u8::from(current.write);
            let logical = map(
                (*this).adapter,
                current.mdl,
                base,
                va,
                &raw mut length,
                to_device,
            );
            let logical = logical.QuadPart as u64;
            write(this, SEGMENT_LOW, logical as u32);
            write(this, SEGMENT_HIGH, (logical >> 32) as u32);
            write(this, SEGMENT_LENGTH, length);
            done += length as usize;
        }
        let lba = (current.offset + current.done as u64) / (*this).sector as u64;
        write(this, LBA_LOW, lba as u32);
        write(this, LBA_HIGH, (lba >> 32) as u32);
        write(this, SECTORS, (current.piece / (*this).sector) as u32);
        write(this, COMMAND, if current.write { WRITE } else { READ });
    }
    _IO_ALLOCATION_ACTION::DeallocateObjectKeepRegisters
}

unsafe extern "C" fn isr(_: *mut KINTERRUPT, context: PVOID) -> BOOLEAN {
    let this: *mut Extension = context.cast();
    // SAFETY: the context is the extension, which lives longer than the interrupt object.
    unsafe {
        assert_eq!(ntddk::KeGetCurrentIrql(), ntsim::controller::DIRQL);
        let status = read(this, STATUS);
        if status == u32::MAX || status & 2 == 0 {
            return 0;
        }
        (*this).status.store(status, Ordering::Relaxed);
        if (*this).without != ACKNOWLEDGE_INTERRUPT {
            write(this, ACKNOWLEDGE, 0);
        }
        let call = &raw mut (*(*this).device).Dpc;
        if (*this).without == LEAVE_IT_TO_THE_DPC {
            dpc(
                call,
                (*this).device.cast(),
                ptr::null_mut(),
                ptr::null_mut(),
            );
        } else {
            ntddk::KeInsertQueueDpc(call, ptr::null_mut(), ptr::null_mut());
        }
    }
    1
}

/// Flushes and frees what the current piece had. `DISPATCH_LEVEL`.
unsafe fn give_back(this: *mut Extension, current: &Current) {
    // SAFETY: mapped in `adapter_control`.
    unsafe {
        let operations = (*(*this).adapter).DmaOperations;
        let va = current.va.wrapping_byte_add(current.done);
        if (*this).without != FLUSH {
            (*operations).FlushAdapterBuffers.unwrap()(
                (*this).adapter,
                current.mdl,
                current.base,
                va,
                current.piece as u32,
                u8::from(current.write),
            );
        }
        if (*this).without != FREE_REGISTERS {
            (*operations).FreeMapRegisters.unwrap()((*this).adapter, current.base, current.count);
        }
    }
}

unsafe extern "C" fn dpc(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    let device: PDEVICE_OBJECT = context.cast::<c_void>().cast();
    // SAFETY: the device and its extension live until the DPCs were flushed.
    unsafe {
        let this = extension(device);
        let current = (*this).state.lock().unwrap().current;
        let Some(mut current) = current else { return };
        let status = (*this).status.load(Ordering::Relaxed);
        give_back(this, &current);
        current.done += current.piece;
        let failed = status & 4 != 0;
        if !failed && current.done < current.total {
            (*this).state.lock().unwrap().current = Some(current);
            return next_piece(this);
        }
        (*this).state.lock().unwrap().current = None;
        if failed {
            complete(current.irp, FAILED, 0);
        } else {
            complete(current.irp, STATUS_SUCCESS, current.total as u64);
        }
        start_next(this);
    }
}

//! A bus driver that answers whatever a scenario wants, and neighbours that only pass on: stacks that
//! no port driver would build.
//!
//! A scenario here is its own PnP manager. It names the drivers of a device node from the bottom up,
//! sends requests to any device of the stack, and sees what arrives at the bottom.
#![allow(
    dead_code,
    reason = "every scenario file is a program of its own and uses its own part of this"
)]

use std::collections::HashMap;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ntsim::abi::{
    DEVICE_OBJECT, DO_DEVICE_INITIALIZING, DO_DIRECT_IO, DO_POWER_PAGABLE, FILE_DEVICE_DISK,
    IRP_MJ_DEVICE_CONTROL, IRP_MJ_MAXIMUM_FUNCTION, IRP_MJ_PNP, IRP_MJ_POWER, IRP_MJ_READ,
    IRP_MJ_SCSI, IRP_MJ_WRITE, IRP_MN_QUERY_CAPABILITIES, IRP_MN_REMOVE_DEVICE, NTSTATUS,
    PDEVICE_OBJECT, PDRIVER_OBJECT, PIRP, PVOID, SCSI_PASS_THROUGH, SCSI_REQUEST_BLOCK,
    SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED,
    SRB_FLAGS_DATA_IN, SRB_FLAGS_NO_QUEUE_FREEZE, SRB_FLAGS_QUEUE_ACTION_ENABLE,
    SRB_SIMPLE_TAG_REQUEST, STATUS_INVALID_DEVICE_REQUEST, STATUS_MORE_PROCESSING_REQUIRED,
    STATUS_NO_SUCH_DEVICE, STATUS_PENDING, STATUS_SUCCESS,
};
use ntsim::machine::{Clock, Config, Machine, Owner};
use ntsim::memory::{self, FrameSet, Placement};
use ntsim::pnp::{self, Devnode, Driver};
use ntsim::registry::{Registry, Value};
use ntsim::{io, ke};

/// `IOCTL_STORAGE_QUERY_PROPERTY`.
pub(crate) const QUERY_PROPERTY: u32 = 0x002D_1400;
/// `IOCTL_SCSI_GET_CAPABILITIES`.
pub(crate) const GET_CAPABILITIES: u32 = 0x0004_1010;
/// `IOCTL_DISK_GET_DRIVE_GEOMETRY`.
pub(crate) const GET_GEOMETRY: u32 = 0x0007_0000;
/// `IOCTL_SCSI_PASS_THROUGH`.
const PASS_THROUGH: u32 = 0x0004_D004;
/// `StorageAdapterProperty`.
pub(crate) const ADAPTER_PROPERTY: u32 = 1;
/// `StorageDeviceProperty`.
pub(crate) const DEVICE_PROPERTY: u32 = 0;

/// `BusTypeUsb`: nobody asks such devices for product pages by themselves.
pub(crate) const BUS_USB: u8 = 7;
/// `BusTypeSas`.
pub(crate) const BUS_SAS: u8 = 10;

const INSTANCE: &str = r"SCSI\Disk&Ven_ANY&Prod_BUS\0001";

/// What the bus device says to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What it writes at the start of the system buffer, as far as there is room.
    pub(crate) bytes: Vec<u8>,
    /// `IoStatus.Status`.
    pub(crate) status: NTSTATUS,
    /// `IoStatus.Information`.
    pub(crate) information: u64,
    /// It marks the request pending and completes it a little later.
    pub(crate) pending: bool,
}

impl Answer {
    /// All of `bytes`, with success.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            information: bytes.len() as u64,
            ..Self::default()
        }
    }
}

/// A request that reached the bus device: major function, and how many bytes it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) major: u32,
    pub(crate) bytes: u32,
}

/// What a machine's bus device says and has seen.
#[derive(Default)]
struct Stage {
    /// By control code and, for property queries, property.
    answers: Mutex<HashMap<(u32, u32), Answer>>,
    /// Vital product data by page.
    pages: Mutex<HashMap<u8, Vec<u8>>>,
    seen: Mutex<Vec<Seen>>,
    /// Commands that came as pass-through requests.
    commands: Mutex<Vec<Vec<u8>>>,
}

fn stage() -> Arc<Stage> {
    Machine::current().extension::<Stage>()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the device shall answer to a control code; `property` is 0 but for property queries.
pub(crate) fn answer(code: u32, property: u32, answer: Answer) {
    lock(&stage().answers).insert((code, property), answer);
}

/// What INQUIRY shall find under a page of vital product data: all of it, header included.
pub(crate) fn product_page(page: u8, bytes: &[u8]) {
    lock(&stage().pages).insert(page, bytes.to_vec());
}

/// The commands that came as pass-through requests since the last look.
pub(crate) fn commands() -> Vec<Vec<u8>> {
    std::mem::take(&mut *lock(&stage().commands))
}

/// What has arrived since the last look, but for device control, PnP and power.
pub(crate) fn seen() -> Vec<Seen> {
    std::mem::take(&mut *lock(&stage().seen))
}

/// `STORAGE_ADAPTER_DESCRIPTOR` of a USB adapter with these limits.
pub(crate) fn adapter_descriptor(bytes: u32, pages: u32) -> Vec<u8> {
    let words = [32, 32, bytes, pages, 0];
    let mut descriptor: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    descriptor.extend([0, 0, 1, 1, 7, 0, 1, 0, 0, 0, 0, 0]);
    descriptor
}

/// `STORAGE_DEVICE_DESCRIPTOR` of a fixed disk on this bus, without strings.
pub(crate) fn unit_descriptor(bus: u8) -> [u8; 40] {
    let mut unit = [0; 40];
    unit[0] = 40; // Version
    unit[4] = 40; // Size
    unit[11] = 1; // CommandQueueing
    unit[28] = bus;
    unit
}

/// Runs a scenario as an NT thread of a machine of its own, with a device that says it takes 16 KiB
/// over 5 pages.
#[track_caller]
pub(crate) fn on_machine<T: Send>(scenario: impl FnOnce() -> T + Send) -> T {
    let config = Config {
        clock: Clock::Deterministic { seed: 1 },
        ..Config::default()
    };
    let result = Machine::new(config).run(|| {
        let adapter = Answer::of(&adapter_descriptor(16384, 5));
        answer(QUERY_PROPERTY, ADAPTER_PROPERTY, adapter);
        answer(
            QUERY_PROPERTY,
            DEVICE_PROPERTY,
            Answer::of(&unit_descriptor(BUS_USB)),
        );
        let mut geometry = [0_u8; 24];
        geometry[20..].copy_from_slice(&512_u32.to_le_bytes());
        answer(GET_GEOMETRY, 0, Answer::of(&geometry));
        scenario()
    });
    match result {
        Ok(value) => value,
        Err(bug_check) => panic!("{bug_check}"),
    }
}

/// The key with the device's settings.
pub(crate) fn settings_key() -> String {
    format!(r"{}\Xfersplit", pnp::hardware_key(INSTANCE))
}

/// Writes a setting of the device.
pub(crate) fn setting(name: &str, value: u32) {
    Registry::current().set(&settings_key(), name, Value::dword(value));
}

/// What the driver has written about itself.
pub(crate) fn effective(name: &str) -> Option<Value> {
    let key = format!(r"{}\Effective", settings_key());
    Registry::current().get(&key, name)
}

/// Lines of the debug log with `part` in them.
pub(crate) fn logged(part: &str) -> Vec<String> {
    let mut lines = Machine::current().debug_log();
    lines.retain(|line| line.contains(part));
    lines
}

/// A device node in the making, with the bus device at its bottom.
pub(crate) struct Node {
    pdo: PDEVICE_OBJECT,
    lower: Vec<Driver>,
    function: Option<Driver>,
    upper: Vec<Driver>,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self {
            pdo: make_bus(),
            lower: Vec::new(),
            function: None,
            upper: Vec::new(),
        }
    }

    pub(crate) fn lower(mut self, driver: &Driver) -> Self {
        self.lower.push(driver.clone());
        self
    }

    pub(crate) fn function(mut self, driver: &Driver) -> Self {
        self.function = Some(driver.clone());
        self
    }

    pub(crate) fn upper(mut self, driver: &Driver) -> Self {
        self.upper.push(driver.clone());
        self
    }

    /// Builds the stack; every driver has had its `AddDevice`, and nothing has started.
    pub(crate) fn add(self) -> Devnode {
        let mut builder = Devnode::builder(self.pdo).instance(INSTANCE);
        for driver in &self.lower {
            builder = builder.lower(driver);
        }
        if let Some(driver) = &self.function {
            builder = builder.function(driver);
        }
        for driver in &self.upper {
            builder = builder.upper(driver);
        }
        builder.add().expect("the stack can be built")
    }
}

/// The driver's device: the one of the stack above `node`'s bus device whose driver is `name`.
pub(crate) fn device_of(node: &Devnode, name: &str) -> PDEVICE_OBJECT {
    let wanted: Vec<u16> = format!(r"\Driver\{name}").encode_utf16().collect();
    let mut device = node.pdo();
    while !device.is_null() {
        // SAFETY: devices of a stack stay while the scenario holds the node; a driver's name lives
        // as long as the driver.
        unsafe {
            let found = (*(*device).DriverObject).DriverName;
            let units = std::slice::from_raw_parts(found.Buffer, usize::from(found.Length) / 2);
            if units == wanted {
                return device;
            }
            device = (*device).AttachedDevice;
        }
    }
    panic!("no device of {name} in the stack");
}

fn make_bus() -> PDEVICE_OBJECT {
    let driver = io::create_driver("anybus", Owner::Port);
    // SAFETY: a fresh driver object and a fresh device, seen by nobody else.
    unsafe {
        for major in &mut (*driver).MajorFunction {
            *major = Some(bus_dispatch);
        }
        let pdo = io::create_device(driver, 0, FILE_DEVICE_DISK);
        (*pdo).Flags |= DO_DIRECT_IO | DO_POWER_PAGABLE;
        (*pdo).Characteristics = 0x101;
        (*pdo).Flags &= !DO_DEVICE_INITIALIZING;
        pdo
    }
}

unsafe extern "C" fn bus_dispatch(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: called by the I/O manager with a request for this device; the parameters are those of
    // the major function.
    unsafe {
        let location = io::current_location(irp);
        let major = u32::from((*location).MajorFunction);
        let bytes = match major {
            IRP_MJ_PNP => {
                if u32::from((*location).MinorFunction) == IRP_MN_QUERY_CAPABILITIES {
                    const RAW_DEVICE_OK: usize = 8;
                    let capabilities = (*location).Parameters.DeviceCapabilities.Capabilities;
                    (*capabilities)._bitfield_1.set(RAW_DEVICE_OK, 1, 1);
                }
                return finish(irp, STATUS_SUCCESS, 0);
            }
            IRP_MJ_POWER => return finish(irp, STATUS_SUCCESS, 0),
            IRP_MJ_DEVICE_CONTROL => return control(irp),
            IRP_MJ_READ | IRP_MJ_WRITE => (*location).Parameters.Read.Length,
            IRP_MJ_SCSI => {
                let srb: *mut SCSI_REQUEST_BLOCK = (*location).Parameters.Scsi.Srb;
                (*srb).SrbStatus = 1;
                (*srb).DataTransferLength
            }
            _ => return finish(irp, STATUS_INVALID_DEVICE_REQUEST, 0),
        };
        lock(&stage().seen).push(Seen { major, bytes });
        finish(irp, STATUS_SUCCESS, u64::from(bytes))
    }
}

/// # Safety
/// The caller's dispatch routine owns the request, a device control.
unsafe fn control(irp: PIRP) -> NTSTATUS {
    // SAFETY: the caller owns the request; the system buffer has room for the longer side.
    unsafe {
        let location = io::current_location(irp);
        let parameters = (*location).Parameters.DeviceIoControl;
        let (input, output) = (parameters.InputBufferLength, parameters.OutputBufferLength);
        let code = parameters.IoControlCode;
        let buffer: *mut u8 = (*irp).AssociatedIrp.SystemBuffer.cast();
        if code == PASS_THROUGH {
            return pass_through(irp, buffer.cast(), output);
        }
        let property = if code == QUERY_PROPERTY && input >= 4 {
            buffer.cast::<u32>().read_unaligned()
        } else {
            0
        };
        let answer = lock(&stage().answers).get(&(code, property)).cloned();
        let Some(answer) = answer else {
            return finish(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
        };
        let length = answer.bytes.len().min(output as usize);
        ptr::copy_nonoverlapping(answer.bytes.as_ptr(), buffer, length);
        let information = answer.information.min(u64::from(output));
        if !answer.pending {
            return finish(irp, answer.status, information);
        }
        (*location).Control |= SL_PENDING_RETURNED as u8;
        let irp = Kept(irp);
        ke::device_event(100, move || {
            let kept = irp;
            finish(kept.0, answer.status, information);
        });
        STATUS_PENDING
    }
}

/// A command in a pass-through request: product pages are answered, everything else is refused with
/// CHECK CONDITION.
///
/// # Safety
/// The caller's dispatch routine owns the request, whose system buffer this is.
unsafe fn pass_through(irp: PIRP, header: *mut SCSI_PASS_THROUGH, output: u32) -> NTSTATUS {
    // SAFETY: senders of this request give a buffer that holds the structure and what it names.
    unsafe {
        let length = usize::from((*header).CdbLength).min(16);
        let all: [u8; 16] = (*header).Cdb;
        let cdb = all[..length].to_vec();
        let is_page = cdb[0] == 0x12 && cdb[1] & 1 != 0;
        let page = is_page
            .then(|| lock(&stage().pages).get(&cdb[2]).cloned())
            .flatten();
        lock(&stage().commands).push(cdb);
        (*header).SenseInfoLength = 0;
        if let Some(bytes) = page {
            let length = bytes.len().min((*header).DataTransferLength as usize);
            let data = header.cast::<u8>().add((*header).DataBufferOffset as usize);
            ptr::copy_nonoverlapping(bytes.as_ptr(), data, length);
            (*header).ScsiStatus = 0;
            (*header).DataTransferLength = length as u32;
        } else {
            (*header).ScsiStatus = 2;
            (*header).DataTransferLength = 0;
        }
        finish(irp, STATUS_SUCCESS, output.into())
    }
}

/// Completes a request with what it gives back.
///
/// # Safety
/// The caller owns the request.
unsafe fn finish(irp: PIRP, status: NTSTATUS, information: u64) -> NTSTATUS {
    // SAFETY: the caller owns the request.
    unsafe {
        (*irp).IoStatus.__bindgen_anon_1.Status = status;
        (*irp).IoStatus.Information = information;
        io::complete_request(irp, 0);
    }
    status
}

/// A driver called `object` that attaches a device and passes everything on; the registry calls its
/// service `service`.
pub(crate) fn neighbour(object: &str, service: &str) -> Driver {
    let driver = io::create_driver(object, Owner::Harness);
    // SAFETY: a fresh driver object, seen by nobody else.
    unsafe {
        let table = &raw mut (*driver).MajorFunction;
        for major in 0..=IRP_MJ_MAXIMUM_FUNCTION {
            (*table)[major as usize] = Some(forward);
        }
        (&raw mut (*(*driver).DriverExtension).AddDevice).write(Some(add_device));
    }
    Driver::existing(service, driver)
}

unsafe extern "C" fn add_device(driver: PDRIVER_OBJECT, pdo: PDEVICE_OBJECT) -> NTSTATUS {
    // SAFETY: called by the PnP manager with this driver and a device stack to join; the extension
    // has room for the pointer.
    unsafe {
        let device = io::create_device(driver, size_of::<PDEVICE_OBJECT>(), FILE_DEVICE_DISK);
        let lower = io::attach(device, pdo);
        if lower.is_null() {
            io::delete_device(device);
            return STATUS_NO_SUCH_DEVICE;
        }
        (*device)
            .DeviceExtension
            .cast::<PDEVICE_OBJECT>()
            .write(lower);
        (*device).Flags |= DO_DIRECT_IO;
        (*device).Flags &= !DO_DEVICE_INITIALIZING;
    }
    STATUS_SUCCESS
}

unsafe extern "C" fn forward(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: the dispatch routine owns the request and gives its own stack location back unused
    // [contract of IoSkipCurrentIrpStackLocation]; the extension holds what `add_device` put there.
    unsafe {
        let location = io::current_location(irp);
        let removed = u32::from((*location).MajorFunction) == IRP_MJ_PNP
            && u32::from((*location).MinorFunction) == IRP_MN_REMOVE_DEVICE;
        let lower: *mut DEVICE_OBJECT = (*device).DeviceExtension.cast::<PDEVICE_OBJECT>().read();
        (*irp).CurrentLocation += 1;
        (*irp)
            .Tail
            .Overlay
            .__bindgen_anon_2
            .__bindgen_anon_1
            .CurrentStackLocation = location.add(1);
        let status = io::call_driver(lower, irp);
        if removed {
            io::detach(lower);
            io::delete_device(device);
        }
        status
    }
}

/// How a request came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) status: NTSTATUS,
    pub(crate) information: u64,
    pub(crate) returned: NTSTATUS,
    pub(crate) pending_returned: bool,
    /// All of the system buffer, also what lies beyond `information`.
    pub(crate) buffer: Vec<u8>,
}

/// Sends a device control request and waits; `room` fills the system buffer behind the input.
pub(crate) fn ioctl(device: PDEVICE_OBJECT, code: u32, input: &[u8], room: &[u8]) -> Came {
    let length = input.len().max(room.len());
    let mut buffer = room.to_vec();
    buffer.resize(length, 0);
    buffer[..input.len()].copy_from_slice(input);
    // The request sees the bytes through this one pointer.
    let start = Box::into_raw(buffer.into_boxed_slice());
    // SAFETY: the buffer stays until the request is back; the location is the request's own.
    let mut came = unsafe {
        send(device, |irp, location| {
            (*location).MajorFunction = IRP_MJ_DEVICE_CONTROL as u8;
            let parameters = &raw mut (*location).Parameters.DeviceIoControl;
            (*parameters).IoControlCode = code;
            (*parameters).InputBufferLength = input.len() as u32;
            (*parameters).OutputBufferLength = room.len() as u32;
            (*irp).AssociatedIrp.SystemBuffer = start.cast();
        })
    };
    // SAFETY: made above, and nobody else's any more.
    came.buffer = unsafe { Box::from_raw(start) }.into_vec();
    came
}

/// Sends a READ of `length` bytes and waits.
pub(crate) fn read(device: PDEVICE_OBJECT, length: usize) -> Came {
    let memory = Memory::new(length);
    // SAFETY: the memory stays until the request is back.
    unsafe {
        send(device, |irp, location| {
            (*location).MajorFunction = IRP_MJ_READ as u8;
            (*location).Parameters.Read.Length = length as u32;
            (*irp).MdlAddress = memory.mdl;
        })
    }
}

/// Sends a READ(10) of `length` bytes as an SRB and waits; gives `SrbStatus` too.
pub(crate) fn scsi_read(device: PDEVICE_OBJECT, length: usize) -> (Came, u8) {
    let memory = Memory::new(length);
    let blocks = (length / 512) as u16;
    let mut sense = [0_u8; 32];
    let mut srb = SCSI_REQUEST_BLOCK {
        Length: size_of::<SCSI_REQUEST_BLOCK>() as u16,
        SrbFlags: SRB_FLAGS_DATA_IN | SRB_FLAGS_NO_QUEUE_FREEZE | SRB_FLAGS_QUEUE_ACTION_ENABLE,
        QueueAction: SRB_SIMPLE_TAG_REQUEST as u8,
        Cdb: read_10(blocks),
        CdbLength: 10,
        DataTransferLength: length as u32,
        DataBuffer: memory.address,
        TimeOutValue: 10,
        SenseInfoBuffer: (&raw mut sense).cast(),
        SenseInfoBufferLength: 32,
        ..Default::default()
    };
    let place = &raw mut srb;
    // SAFETY: SRB, sense buffer and memory stay until the request is back.
    unsafe {
        let came = send(device, |irp, location| {
            (*place).OriginalRequest = irp.cast();
            (*location).MajorFunction = IRP_MJ_SCSI as u8;
            (*location).Parameters.Scsi.Srb = place;
            (*irp).MdlAddress = memory.mdl;
        });
        (came, (*place).SrbStatus & 0x3F)
    }
}

/// The command of a READ(10) from the first block on.
fn read_10(blocks: u16) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = 0x28;
    cdb[7..9].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

/// Locked pages.
struct Memory {
    mdl: ntsim::abi::PMDL,
    address: PVOID,
    _frames: FrameSet,
}

impl Memory {
    fn new(length: usize) -> Self {
        let pages = length.div_ceil(4096);
        let frames = memory::allocate_frames(pages, Placement::Scattered);
        let address = memory::reserve_va(pages);
        let mdl = memory::build_mdl(Owner::Harness, address, length as u32, frames.pfns());
        Self {
            mdl,
            address,
            _frames: frames,
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: built by `new`; the request that used it is back.
        unsafe { memory::free_mdl(self.mdl) };
    }
}

#[derive(Clone, Copy)]
struct Kept(PIRP);
// SAFETY: the bus device owns the request until its event completes it.
unsafe impl Send for Kept {}

/// What the completion routine leaves.
struct Back {
    done: bool,
    status: NTSTATUS,
    information: u64,
    pending_returned: bool,
}

/// Sends a request and waits for it by letting time pass.
///
/// # Safety
/// What `fill` names stays until this returns.
unsafe fn send(
    device: PDEVICE_OBJECT,
    fill: impl FnOnce(PIRP, ntsim::abi::PIO_STACK_LOCATION),
) -> Came {
    let back = Box::into_raw(Box::new(Back {
        done: false,
        status: 0,
        information: 0,
        pending_returned: false,
    }));
    // SAFETY: a fresh request with locations for the whole stack, which comes back to `came_back`
    // and is freed once; `back` lives until then. The clock runs one thread at a time.
    unsafe {
        let irp = io::allocate_irp(Owner::Harness, (*device).StackSize);
        let location = io::next_location(irp);
        fill(irp, location);
        (*location).CompletionRoutine = Some(came_back);
        (*location).Context = back.cast();
        (*location).Control =
            (SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL) as u8;
        let returned = io::call_driver(device, irp);
        if !(*back).done {
            Machine::current().idle();
        }
        let back = Box::from_raw(back);
        assert!(back.done, "the request has not come back");
        (*irp).MdlAddress = ptr::null_mut();
        io::free_irp(irp);
        Came {
            status: back.status,
            information: back.information,
            returned,
            pending_returned: back.pending_returned,
            buffer: Vec::new(),
        }
    }
}

unsafe extern "C" fn came_back(_: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    let back: *mut Back = context.cast();
    // SAFETY: the context of this request's sender, who waits.
    unsafe {
        (*back).status = (*irp).IoStatus.__bindgen_anon_1.Status;
        (*back).information = (*irp).IoStatus.Information;
        (*back).pending_returned = (*irp).PendingReturned != 0;
        (*back).done = true;
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

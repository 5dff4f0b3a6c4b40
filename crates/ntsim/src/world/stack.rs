//! The running device stack, as a scenario sees it.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::above::Above;
use super::buffer::Buffer;
use super::builder::StackKind;
use super::control::Control;
use super::device::Device;
use super::fs::FileSystem;
use super::naive::Sender;
use super::scsi::{Scsi, read_write_cdb};
use super::transfer::Transfer;
use crate::abi::{NTSTATUS, PDEVICE_OBJECT, PDRIVER_OBJECT, SRB_FUNCTION_EXECUTE_SCSI};
use crate::class::{self, ClassCounts, ClassFacts};
use crate::io::{self, Arrival};
use crate::machine::NtThread;
use crate::pnp::{Devnode, Usage};
use crate::port::{Direction, Disk, Port};
use crate::registry::{Registry, Value};

/// A started device stack with the port at the bottom; see [`World::run`](super::World::run).
/// Clones are the same stack, for other threads.
#[derive(Clone)]
pub struct Stack(Arc<Inner>);

struct Inner {
    device: Device,
    port: Arc<Port>,
    places: Places,
    sender: Option<Sender>,
    settings_key: String,
    /// Special files that are on the device now.
    special: Mutex<Vec<Usage>>,
}

/// Where requests can be sent to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub(super) kind: StackKind,
    /// The disk class driver's device and the one right beneath it.
    pub(super) class: Option<(PDEVICE_OBJECT, PDEVICE_OBJECT)>,
}

impl Places {
    /// Looks at a stack of devices, with the disk class driver's in it if `class` says so.
    pub(super) fn find(node: &Devnode, kind: StackKind, class: Option<PDRIVER_OBJECT>) -> Self {
        let mut found = None;
        let (mut below, mut device) = (node.pdo(), node.pdo());
        while !device.is_null() {
            // SAFETY: the devices of a started stack are alive.
            let (driver, above) = unsafe { ((*device).DriverObject, (*device).AttachedDevice) };
            if Some(driver) == class {
                found = Some((device, below));
            }
            below = device;
            device = above;
        }
        Self { kind, class: found }
    }
}

/// What a stack is made of.
pub(super) struct Parts {
    pub(super) device: Device,
    pub(super) port: Arc<Port>,
    pub(super) places: Places,
    pub(super) sender: Option<Sender>,
    pub(super) settings_key: String,
}

// SAFETY: the device objects are only named here; the I/O manager takes them from any thread. The
// other parts are `Send` and `Sync` of their own.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Deref for Stack {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.0.device
    }
}

impl Stack {
    pub(super) fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            device: parts.device,
            port: parts.port,
            places: parts.places,
            sender: parts.sender,
            settings_key: parts.settings_key,
            special: Mutex::default(),
        }))
    }

    /// Runs `body` on another NT thread. The scenario does not end before it has; join it where
    /// the order matters.
    pub fn spawn(&self, name: &str, body: impl FnOnce(&Self) + Send + 'static) -> NtThread {
        let stack = self.clone();
        self.machine().spawn_thread(name, move || body(&stack))
    }
}

/// Requests.
impl Stack {
    /// READ at byte `offset` into `buffer`.
    pub fn read(&self, offset: u64, buffer: &Buffer) -> Transfer<'_> {
        Transfer::new(self, Direction::Read, offset, buffer)
    }

    /// WRITE at byte `offset` from `buffer`.
    pub fn write(&self, offset: u64, buffer: &Buffer) -> Transfer<'_> {
        Transfer::new(self, Direction::Write, offset, buffer)
    }

    /// An `EXECUTE_SCSI` SRB with this CDB.
    pub fn scsi(&self, cdb: &[u8]) -> Scsi<'_> {
        Scsi::new(self, SRB_FUNCTION_EXECUTE_SCSI, cdb)
    }

    /// An SRB with another function and no CDB.
    pub fn srb_function(&self, function: u32) -> Scsi<'_> {
        Scsi::new(self, function, &[])
    }

    /// A READ SRB over the whole buffer's MDL, with `DataBuffer` at byte `at` of it.
    pub fn scsi_read(
        &self,
        lba: u64,
        blocks: u32,
        buffer: &Buffer,
        at: usize,
        length: u32,
    ) -> Scsi<'_> {
        self.scsi_transfer(Direction::Read, lba, blocks, buffer, at)
            .length(length)
    }

    /// A WRITE SRB over the whole buffer's MDL, with `DataBuffer` at byte `at` of it.
    pub fn scsi_write(
        &self,
        lba: u64,
        blocks: u32,
        buffer: &Buffer,
        at: usize,
        length: u32,
    ) -> Scsi<'_> {
        self.scsi_transfer(Direction::Write, lba, blocks, buffer, at)
            .length(length)
    }

    fn scsi_transfer(
        &self,
        direction: Direction,
        lba: u64,
        blocks: u32,
        buffer: &Buffer,
        at: usize,
    ) -> Scsi<'_> {
        let form = if lba + u64::from(blocks) < 1 << 32 && blocks < 1 << 16 {
            10
        } else {
            16
        };
        self.scsi(&read_write_cdb(direction, lba, blocks, form))
            .buffer(buffer)
            .mdl(super::Mdl::Length(buffer.len() as u32))
            .data_shift(at as i64)
    }

    /// A `METHOD_BUFFERED` device control request with room for `output` bytes.
    pub fn ioctl(&self, code: u32, input: &[u8], output: usize) -> Control<'_> {
        Control::new(self, code, input, output)
    }
}

/// Files.
impl Stack {
    /// Formats the disk and gives the file system on it: one at a time, on a disk that keeps what
    /// is written.
    ///
    /// # Panics
    /// When the disk is smaller than 64 clusters.
    pub fn file_system(&self) -> FileSystem {
        self.file_system_seeded(1)
    }

    /// The same, with another seed for the places of files and the sizes of requests.
    ///
    /// # Panics
    /// As for [`Self::file_system`].
    pub fn file_system_seeded(&self, seed: u64) -> FileSystem {
        FileSystem::format(self, seed)
    }
}

/// `PnP` and power, as the `PnP` manager does them. `PASSIVE_LEVEL`.
impl Stack {
    /// The device is pulled out: `SURPRISE_REMOVAL`. `REMOVE` follows with [`Device::remove`], or
    /// when the scenario ends.
    ///
    /// # Errors
    /// What the stack answered, although drivers may not refuse it.
    pub fn surprise_remove(&self) -> Result<(), NTSTATUS> {
        self.with_node(Devnode::surprise_remove)
    }

    /// Runs `late` when `REMOVE` has come back from the driver under test, while its device object
    /// is still held from above: where a class driver's late retries come. Needs
    /// [`World::class_above`](super::World::class_above).
    pub fn when_removed(&self, late: impl FnOnce(&Self) + Send + 'static) {
        let stack = self.clone();
        self.machine()
            .extension::<Above>()
            .when_removed(Box::new(move || late(&stack)));
    }

    /// `DEVICE_USAGE_NOTIFICATION`. What is still on the device when the scenario ends is taken off
    /// if the device cannot be removed before.
    pub fn usage(&self, usage: Usage, in_path: bool) -> NTSTATUS {
        let status = self.with_node(|node| node.usage(usage, in_path));
        if status >= 0 {
            let mut special = self.special();
            match special.iter().position(|&other| other == usage) {
                _ if in_path => special.push(usage),
                Some(index) => drop(special.remove(index)),
                None => {}
            }
        }
        status
    }

    /// Takes every special file off the device.
    pub(super) fn take_special_files_off(&self) {
        let all = std::mem::take(&mut *self.special());
        for usage in all {
            self.with_node(|node| node.usage(usage, false));
        }
    }

    fn special(&self) -> MutexGuard<'_, Vec<Usage>> {
        let special = &self.0.special;
        special.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The surroundings.
impl Stack {
    /// The port at the bottom.
    pub fn port(&self) -> &Arc<Port> {
        &self.0.port
    }

    /// The disk behind it.
    pub fn disk(&self) -> &Disk {
        self.0.port.disk()
    }

    /// Bytes in a logical block.
    pub fn sector(&self) -> u32 {
        self.disk().geometry().sector
    }

    /// A value below the device's hardware key, in the subkey `Xfersplit` or one of its own:
    /// `Effective\MaximumTransferLength`, for instance.
    pub fn registry_value(&self, path: &str) -> Option<Value> {
        let (key, name) = path.rsplit_once('\\').unwrap_or(("", path));
        let key = if key.is_empty() {
            self.0.settings_key.clone()
        } else {
            format!(r"{}\{key}", self.0.settings_key)
        };
        Registry::of(self.machine()).get(&key, name)
    }

    /// The kind of stack that was built.
    pub fn kind(&self) -> StackKind {
        self.0.places.kind
    }

    /// The disk class driver's device.
    ///
    /// # Panics
    /// In a stack without a class driver.
    pub fn class_device(&self) -> PDEVICE_OBJECT {
        let class = self.0.places.class;
        class.expect("a stack with the disk class driver").0
    }

    /// The device right beneath the disk class driver's: the driver under test in a stack of
    /// [`StackKind::Disk`], the port in one of [`StackKind::Relay`]. Without a class driver, the
    /// top of the stack.
    pub fn below_class(&self) -> PDEVICE_OBJECT {
        self.0.places.class.map_or(self.top(), |(_, below)| below)
    }

    /// What the disk class driver has done so far; all zero without one.
    pub fn class_counts(&self) -> ClassCounts {
        class::counts(self.machine())
    }

    /// What the disk class driver learned at its first start.
    pub fn class_facts(&self) -> Option<ClassFacts> {
        class::facts(self.machine())
    }

    /// Begins to note what arrives at a device of the stack; see [`Self::arrivals`].
    pub fn watch(&self, device: PDEVICE_OBJECT) {
        io::watch(device);
    }

    /// What has arrived at a device that is watched.
    pub fn arrivals(&self, device: PDEVICE_OBJECT) -> Vec<Arrival> {
        io::arrivals(device)
    }

    pub(super) fn has_class(&self) -> bool {
        self.0.places.class.is_some()
    }

    pub(super) fn sender(&self) -> Option<Sender> {
        self.0.sender
    }

    /// What the adapter's descriptor allows in one request, in whole pages where it is more than
    /// one.
    pub(super) fn obedient_piece(&self) -> u32 {
        let said = self.0.port.hba().current().advertised;
        let pages = said.pages.saturating_sub(1).max(1);
        let bytes = said
            .bytes
            .min(pages.saturating_mul(4096))
            .max(self.sector());
        bytes - bytes % self.sector()
    }
}

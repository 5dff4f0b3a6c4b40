//! One device and its life.

use std::ptr;

use super::{Driver, Manager, RegistryPaths, hardware_key, request};
use crate::abi::{
    _DEVICE_POWER_STATE, _DEVICE_USAGE_NOTIFICATION_TYPE, _POWER_STATE_TYPE, DEVICE_CAPABILITIES,
    IRP_MN_CANCEL_REMOVE_DEVICE, IRP_MN_CANCEL_STOP_DEVICE, IRP_MN_DEVICE_USAGE_NOTIFICATION,
    IRP_MN_QUERY_CAPABILITIES, IRP_MN_QUERY_REMOVE_DEVICE, IRP_MN_QUERY_STOP_DEVICE,
    IRP_MN_REMOVE_DEVICE, IRP_MN_SET_POWER, IRP_MN_START_DEVICE, IRP_MN_STOP_DEVICE,
    IRP_MN_SURPRISE_REMOVAL, NT_SUCCESS, NTSTATUS, PDEVICE_OBJECT, STATUS_INVALID_DEVICE_STATE,
    STATUS_NO_SUCH_DEVICE,
};
use crate::controller::{Lists, Resources};
use crate::machine::Shared;
use crate::registry::{self, Registry, Value};
use crate::{machine, ntddk};

/// A special file that a device carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// A paging file.
    Paging,
    /// The hibernation file.
    Hibernation,
    /// The crash dump file.
    Dump,
    /// The files the system starts from.
    Boot,
}

/// The power state a device is put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevicePower {
    /// Working.
    D0,
    /// Asleep.
    D3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Added,
    Started,
    Stopped,
    SurpriseRemoved,
    Removed,
}

/// A device: the physical device object of its bus driver and the stack above it.
#[derive(Debug)]
pub struct Devnode {
    pdo: Shared<crate::abi::DEVICE_OBJECT>,
    phase: Phase,
    resources: Option<Resources>,
}

/// Says of which drivers a devnode consists.
#[derive(Debug)]
pub struct DevnodeBuilder {
    pdo: Shared<crate::abi::DEVICE_OBJECT>,
    instance: String,
    lower: Vec<Driver>,
    function: Option<Driver>,
    upper: Vec<Driver>,
    resources: Option<Resources>,
}

impl DevnodeBuilder {
    /// The instance path, which names the hardware key. Default: `SCSI\Disk&Ven_ntsim\` and a
    /// number.
    #[must_use]
    pub fn instance(mut self, instance: &str) -> Self {
        instance.clone_into(&mut self.instance);
        self
    }

    /// Adds a lower filter above those already named.
    #[must_use]
    pub fn lower(mut self, driver: &Driver) -> Self {
        self.lower.push(driver.clone());
        self
    }

    /// Names the function driver. Without one the devnode is raw.
    #[must_use]
    pub fn function(mut self, driver: &Driver) -> Self {
        self.function = Some(driver.clone());
        self
    }

    /// Adds an upper filter above those already named.
    #[must_use]
    pub fn upper(mut self, driver: &Driver) -> Self {
        self.upper.push(driver.clone());
        self
    }

    /// Says which hardware resources the device is started with; without, there are none, as for a
    /// device behind a port.
    #[must_use]
    pub(crate) fn resources(mut self, resources: Resources) -> Self {
        self.resources = Some(resources);
        self
    }

    /// Builds the stack: the registry names its drivers, then each of them, from the bottom up, is
    /// loaded if need be and gets its `AddDevice` call.
    ///
    /// # Errors
    ///
    /// `STATUS_NO_SUCH_DEVICE` for a raw devnode whose bus driver does not allow it; else the
    /// status of the first `AddDevice` that failed, after what was built has been removed.
    pub fn add(self) -> Result<Devnode, NTSTATUS> {
        let pdo = self.pdo.0;
        self.register();
        // SAFETY: the bus driver's device object is alive; the reference keeps it so.
        unsafe { ntddk::ObfReferenceObject(pdo.cast()) };
        let mut node = Devnode {
            pdo: self.pdo,
            phase: Phase::Added,
            resources: self.resources,
        };
        if self.function.is_none() && !allows_raw(pdo) {
            node.forget();
            return Err(STATUS_NO_SUCH_DEVICE);
        }
        for driver in self.lower.iter().chain(&self.function).chain(&self.upper) {
            let status = driver.add_device(pdo);
            if !NT_SUCCESS(status) {
                node.send_remove();
                return Err(status);
            }
        }
        Ok(node)
    }

    fn register(&self) {
        let manager = Manager::current();
        let mut state = manager.lock();
        state.devices_made += 1;
        let number = state.devices_made;
        let instance = if self.instance.is_empty() {
            format!(r"SCSI\Disk&Ven_ntsim\{number:04}")
        } else {
            self.instance.clone()
        };
        let paths = RegistryPaths {
            instance: format!(r"{}\{instance}", registry::ENUM),
            hardware: hardware_key(&instance),
            software: format!(
                r"{}\{{4d36e967-e325-11ce-bfc1-08002be10318}}\{number:04}",
                registry::CLASS
            ),
        };
        let registry = Registry::current();
        registry.create_key(&paths.hardware);
        registry.create_key(&paths.software);
        if let Some(function) = &self.function {
            registry.set(&paths.instance, "Service", Value::sz(function.name()));
        }
        for (name, filters) in [("LowerFilters", &self.lower), ("UpperFilters", &self.upper)] {
            let names: Vec<&str> = filters.iter().map(Driver::name).collect();
            if !names.is_empty() {
                registry.set(&paths.instance, name, Value::multi_sz(&names));
            }
        }
        state.devices.insert(self.pdo.0.addr(), paths);
    }
}

/// Asks the bus driver whether its device may be used without a function driver.
#[expect(
    clippy::used_underscore_binding,
    reason = "bindgen's name for a run of bit fields"
)]
fn allows_raw(pdo: PDEVICE_OBJECT) -> bool {
    const RAW_DEVICE_OK: usize = 8;
    let mut capabilities = DEVICE_CAPABILITIES {
        Size: size_of::<DEVICE_CAPABILITIES>() as u16,
        Version: 1,
        Address: u32::MAX,
        UINumber: u32::MAX,
        ..DEVICE_CAPABILITIES::default()
    };
    let pointer = &raw mut capabilities;
    let status = request::pnp(pdo, IRP_MN_QUERY_CAPABILITIES, |location| {
        // SAFETY: the location is being filled; the structure outlives the request.
        unsafe { (*location).Parameters.DeviceCapabilities.Capabilities = pointer };
    });
    NT_SUCCESS(status) && capabilities._bitfield_1.get(RAW_DEVICE_OK, 1) == 1
}

impl Devnode {
    /// Begins a devnode on the physical device object of a bus driver.
    #[must_use]
    pub fn builder(pdo: PDEVICE_OBJECT) -> DevnodeBuilder {
        DevnodeBuilder {
            pdo: Shared(pdo),
            instance: String::new(),
            lower: Vec::new(),
            function: None,
            upper: Vec::new(),
            resources: None,
        }
    }

    /// The bus driver's device object, at the bottom.
    #[must_use]
    pub fn pdo(&self) -> PDEVICE_OBJECT {
        self.pdo.0
    }

    /// The device object at the top of the stack, where requests enter.
    #[must_use]
    pub fn top(&self) -> PDEVICE_OBJECT {
        // SAFETY: the devnode's reference keeps the physical device alive, and the stack is not
        // taken down while somebody asks.
        unsafe { ntddk::IoGetAttachedDevice(self.pdo.0) }
    }

    /// `START_DEVICE`. A device that fails to start is removed, as Windows does.
    ///
    /// # Errors
    ///
    /// The status of the request; `STATUS_INVALID_DEVICE_STATE` if the device has been removed.
    pub fn start(&mut self) -> Result<(), NTSTATUS> {
        if matches!(self.phase, Phase::SurpriseRemoved | Phase::Removed) {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        let mut lists = self.resources.as_ref().map(Lists::new);
        let (raw, translated) = lists
            .as_mut()
            .map_or((ptr::null_mut(), ptr::null_mut()), Lists::pointers);
        let status = request::pnp(self.pdo.0, IRP_MN_START_DEVICE, |location| {
            // SAFETY: the location is being filled; the lists outlive the request.
            unsafe {
                (*location).Parameters.StartDevice.AllocatedResources = raw;
                (*location)
                    .Parameters
                    .StartDevice
                    .AllocatedResourcesTranslated = translated;
            }
        });
        drop(lists);
        if !NT_SUCCESS(status) {
            self.send_remove();
            return Err(status);
        }
        self.phase = Phase::Started;
        Ok(())
    }

    /// `QUERY_STOP_DEVICE` and, if nobody objects, `STOP_DEVICE`: the first half of a rebalance.
    ///
    /// # Errors
    ///
    /// The status of the driver that objected, after `CANCEL_STOP_DEVICE`.
    pub fn stop(&mut self) -> Result<(), NTSTATUS> {
        self.query(IRP_MN_QUERY_STOP_DEVICE, IRP_MN_CANCEL_STOP_DEVICE)?;
        self.simple(IRP_MN_STOP_DEVICE);
        self.phase = Phase::Stopped;
        Ok(())
    }

    /// `START_DEVICE` after a stop: the second half of a rebalance.
    ///
    /// # Errors
    ///
    /// As for [`Devnode::start`].
    pub fn restart(&mut self) -> Result<(), NTSTATUS> {
        self.start()
    }

    /// `SURPRISE_REMOVAL`: the device has left the bus. [`Devnode::remove`] follows when the last
    /// handle is closed.
    ///
    /// # Errors
    ///
    /// The status of the request; drivers may not fail it.
    pub fn surprise_remove(&mut self) -> Result<(), NTSTATUS> {
        let status = self.simple(IRP_MN_SURPRISE_REMOVAL);
        self.phase = Phase::SurpriseRemoved;
        if NT_SUCCESS(status) {
            Ok(())
        } else {
            Err(status)
        }
    }

    /// `REMOVE_DEVICE`, after `QUERY_REMOVE_DEVICE` if the device runs, or `SURPRISE_REMOVAL` if it is
    /// stopped. Does nothing the second time.
    ///
    /// # Errors
    ///
    /// The status of the driver that objected, after `CANCEL_REMOVE_DEVICE`.
    pub fn remove(&mut self) -> Result<(), NTSTATUS> {
        match self.phase {
            Phase::Removed => return Ok(()),
            Phase::Started => {
                self.query(IRP_MN_QUERY_REMOVE_DEVICE, IRP_MN_CANCEL_REMOVE_DEVICE)?;
            }
            Phase::Stopped => self.surprise_remove()?,
            Phase::Added | Phase::SurpriseRemoved => {}
        }
        self.send_remove();
        Ok(())
    }

    /// `DEVICE_USAGE_NOTIFICATION`: a special file is put on the device, or taken off.
    pub fn usage(&self, kind: Usage, in_path: bool) -> NTSTATUS {
        let kind = match kind {
            Usage::Paging => _DEVICE_USAGE_NOTIFICATION_TYPE::DeviceUsageTypePaging,
            Usage::Hibernation => _DEVICE_USAGE_NOTIFICATION_TYPE::DeviceUsageTypeHibernation,
            Usage::Dump => _DEVICE_USAGE_NOTIFICATION_TYPE::DeviceUsageTypeDumpFile,
            Usage::Boot => _DEVICE_USAGE_NOTIFICATION_TYPE::DeviceUsageTypeBoot,
        };
        request::pnp(self.pdo.0, IRP_MN_DEVICE_USAGE_NOTIFICATION, |location| {
            // SAFETY: the location is being filled.
            unsafe {
                (*location).Parameters.UsageNotification.InPath = in_path.into();
                (*location).Parameters.UsageNotification.Type = kind;
            }
        })
    }

    /// A device power request, as the owner of the stack's power policy sends it.
    pub fn set_power(&self, state: DevicePower) -> NTSTATUS {
        let state = match state {
            DevicePower::D0 => _DEVICE_POWER_STATE::PowerDeviceD0,
            DevicePower::D3 => _DEVICE_POWER_STATE::PowerDeviceD3,
        };
        request::power(self.pdo.0, IRP_MN_SET_POWER, |location| {
            // SAFETY: the location is being filled.
            unsafe {
                (*location).Parameters.Power.Type = _POWER_STATE_TYPE::DevicePowerState;
                (*location).Parameters.Power.State.DeviceState = state;
            }
        })
    }

    fn query(&self, query: u32, cancel: u32) -> Result<(), NTSTATUS> {
        let status = self.simple(query);
        if NT_SUCCESS(status) {
            return Ok(());
        }
        self.simple(cancel);
        Err(status)
    }

    fn simple(&self, minor: u32) -> NTSTATUS {
        request::pnp(self.pdo.0, minor, |_| ())
    }

    fn send_remove(&mut self) {
        let pdo = self.pdo.0;
        self.simple(IRP_MN_REMOVE_DEVICE);
        // SAFETY: the devnode's reference keeps the physical device alive.
        let left = unsafe { (*pdo).AttachedDevice };
        if !left.is_null() {
            machine::bug_check(
                machine::codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
                [0xE000_0010, left.addr() as u64, pdo.addr() as u64, 0],
                format!(
                    "REMOVE_DEVICE has returned, but the device {left:p} is still attached above \
                     the physical device {pdo:p}: its driver did not call IoDetachDevice"
                ),
            );
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.phase = Phase::Removed;
        Manager::current().lock().devices.remove(&self.pdo.0.addr());
        // SAFETY: gives back the reference of `add`.
        unsafe { ntddk::ObfDereferenceObject(self.pdo.0.cast()) };
    }
}

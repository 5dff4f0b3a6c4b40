//! What the PnP manager gives the device when it starts, and what that is made into.

use wdk_sys::{
    CM_PARTIAL_RESOURCE_DESCRIPTOR, CmResourceTypeInterrupt, CmResourceTypeMemory, NTSTATUS,
    PDEVICE_OBJECT, PHYSICAL_ADDRESS, STATUS_DEVICE_CONFIGURATION_ERROR,
    STATUS_INSUFFICIENT_RESOURCES, WDFCMRESLIST, call_unsafe_wdf_function_binding,
};

use crate::{
    adapter::DmaAdapter,
    interrupt::Line,
    limits::{self, Facts},
    registers::Registers,
};

/// The resources of the device, as the processor sees them.
#[derive(Clone, Copy)]
pub(crate) struct Resources {
    registers: (PHYSICAL_ADDRESS, u32),
    /// Where it interrupts.
    pub(crate) line: Line,
}

impl Resources {
    /// Finds the registers and the interrupt among the translated resources. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// `STATUS_DEVICE_CONFIGURATION_ERROR` if either is missing.
    ///
    /// # Safety
    /// `list` is what the framework passes to `EvtDevicePrepareHardware`.
    pub(crate) unsafe fn find(list: WDFCMRESLIST) -> Result<Self, NTSTATUS> {
        // SAFETY: the caller's contract.
        let count = unsafe { call_unsafe_wdf_function_binding!(WdfCmResourceListGetCount, list) };
        let (mut registers, mut line) = (None, None);
        for index in 0..count {
            // SAFETY: the caller's contract.
            let descriptor = unsafe {
                call_unsafe_wdf_function_binding!(WdfCmResourceListGetDescriptor, list, index)
            };
            if descriptor.is_null() {
                continue;
            }
            // SAFETY: the list keeps its descriptors while the callback runs.
            let descriptor: CM_PARTIAL_RESOURCE_DESCRIPTOR = unsafe { descriptor.read_unaligned() };
            let kind = u32::from(descriptor.Type);
            if kind == CmResourceTypeMemory {
                // SAFETY: the type names the union's field.
                let memory = unsafe { descriptor.u.Memory };
                registers.get_or_insert((memory.Start, memory.Length));
            } else if kind == CmResourceTypeInterrupt {
                // SAFETY: the type is the one asked for.
                let found = unsafe { Line::of(&descriptor) };
                line.get_or_insert(found);
            }
        }
        match (registers, line) {
            (Some(registers), Some(line)) => Ok(Self { registers, line }),
            _ => Err(STATUS_DEVICE_CONFIGURATION_ERROR),
        }
    }
}

/// The controller and its way to memory. Fields go in this order: the adapter before the registers.
pub(crate) struct Hardware {
    /// The map registers.
    pub(crate) adapter: DmaAdapter,
    /// The controller's registers.
    pub(crate) registers: Registers,
}

/// The two device objects that a start is about, and what they ask of buffers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceObjects {
    /// The bus driver's.
    pub(crate) physical: PDEVICE_OBJECT,
    /// Ours.
    pub(crate) functional: PDEVICE_OBJECT,
    /// `AlignmentRequirement`: bits of an address that must be clear, as the bus driver has set them.
    pub(crate) alignment_mask: u32,
}

impl Hardware {
    /// Maps the registers, asks the controller what it is and the HAL for map registers.
    /// PASSIVE_LEVEL.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES` without a mapping or without map registers,
    /// `STATUS_DEVICE_CONFIGURATION_ERROR` for a controller that says what can't be.
    ///
    /// # Safety
    /// The resources are the device's own, and its device objects outlive the value.
    pub(crate) unsafe fn open(
        resources: &Resources,
        devices: DeviceObjects,
    ) -> Result<(Self, Facts), NTSTATUS> {
        let (start, length) = resources.registers;
        // SAFETY: the caller's contract.
        let registers = unsafe { Registers::map(start, length) }?;
        // Whatever ran before us is over: firmware, or an instance of this driver that crashed.
        registers.reset();
        registers.acknowledge();
        let identity = registers.identify();
        let description = limits::describe(&identity)?;
        // SAFETY: the caller's contract.
        let open = unsafe { DmaAdapter::open(devices.physical, devices.functional, description) };
        let Some((adapter, map_registers)) = open else {
            wdk::println!("monolithic: not started: the system has no map registers to give");
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        };
        let alignment_mask = adapter.alignment().saturating_sub(1) | devices.alignment_mask;
        let facts = Facts::new(&identity, map_registers, alignment_mask)?;
        wdk::println!(
            "monolithic: {} sectors of {} bytes, {map_registers} map registers, {:?}, one operation moves {:?} bytes over {:?} pages",
            facts.capacity,
            facts.limits.sector_size(),
            facts.mapping,
            facts.limits.maximum_bytes(),
            facts.limits.maximum_pages(),
        );
        Ok((Self { adapter, registers }, facts))
    }
}

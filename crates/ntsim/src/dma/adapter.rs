//! `IoGetDmaAdapter` and `PutDmaAdapter`.

use std::collections::VecDeque;

use super::state::{Adapter, Channel};
use super::violation::{
    PUT_WITH_CHANNEL, PUT_WITH_COMMON_BUFFERS, PUT_WITH_LISTS, PUT_WITH_REGISTERS, UNKNOWN_VERSION,
    broken,
};
use super::{Hal, starved, table};
use crate::abi::{
    DEVICE_DESCRIPTION, DEVICE_DESCRIPTION_VERSION3, DMA_ADAPTER, PDEVICE_DESCRIPTION,
    PDEVICE_OBJECT, PDMA_ADAPTER, PULONG, USHORT,
};
use crate::export::{Export, Running};
use crate::machine::context::Context;
use crate::machine::{Machine, Owner, Violation};
use crate::memory::{self, PAGE};

/// Pool tag of adapters and scatter/gather lists: "Dma ".
pub(super) const TAG: u32 = u32::from_le_bytes(*b"Dma ");

/// `DMA_ADAPTER.Version`, whatever version the description has [Microsoft: `IoGetDmaAdapter`].
const ADAPTER_VERSION: USHORT = 1;

/// This module's part of the export table: a loaded image gets a table of operations that follows
/// its own calling convention.
pub(super) const TABLE: &[Export] = &[Export {
    name: "IoGetDmaAdapter",
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    entry: get_for_image as *const (),
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    entry: core::ptr::null(),
}];

/// Gets an adapter for the device that a physical device object stands for, or NULL.
/// `PASSIVE_LEVEL`.
///
/// # Safety
/// The device is alive; the description and the place for the number are the caller's.
#[expect(non_snake_case, reason = "the headers name functions and arguments")]
pub unsafe extern "C" fn IoGetDmaAdapter(
    PhysicalDeviceObject: PDEVICE_OBJECT,
    DeviceDescription: PDEVICE_DESCRIPTION,
    NumberOfMapRegisters: PULONG,
) -> PDMA_ADAPTER {
    let run = Running::new("IoGetDmaAdapter");
    run.irql_at_most(0);
    // SAFETY: the caller's contract.
    let description = unsafe { DeviceDescription.read() };
    let Some((adapter, registers)) = get(run.context(), PhysicalDeviceObject, &description) else {
        return core::ptr::null_mut();
    };
    // SAFETY: the caller's contract.
    unsafe { NumberOfMapRegisters.write(registers) };
    adapter
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
unsafe extern "win64" fn get_for_image(
    pdo: PDEVICE_OBJECT,
    description: PDEVICE_DESCRIPTION,
    registers: PULONG,
) -> PDMA_ADAPTER {
    // SAFETY: the caller's contract is the function's own.
    let adapter = unsafe { IoGetDmaAdapter(pdo, description, registers) };
    if !adapter.is_null() {
        // SAFETY: a fresh adapter that nobody else has.
        unsafe { (*adapter).DmaOperations = table::for_images() };
    }
    adapter
}

/// The address bits that the description claims: 24 for the old bus, where nothing else is said.
fn address_bits(description: &DEVICE_DESCRIPTION) -> u32 {
    let width = description.DmaAddressWidth;
    if description.Version >= DEVICE_DESCRIPTION_VERSION3 && width != 0 {
        width.min(64)
    } else if description.Dma64BitAddresses != 0 {
        64
    } else if description.Dma32BitAddresses != 0 {
        32
    } else {
        24
    }
}

fn get(
    context: &Context,
    pdo: PDEVICE_OBJECT,
    description: &DEVICE_DESCRIPTION,
) -> Option<(PDMA_ADAPTER, u32)> {
    if description.Version > DEVICE_DESCRIPTION_VERSION3 {
        let story = format!(
            "IoGetDmaAdapter with DEVICE_DESCRIPTION version {}.",
            description.Version
        );
        broken(UNKNOWN_VERSION, [description.Version.into(), 0, 0], story).raise();
    }
    // Slave devices need a system DMA controller, and there is none.
    if description.Master == 0 || starved(context, size_of::<DMA_ADAPTER>()) {
        return None;
    }
    let hal = context.machine.extension::<Hal>();
    let mut state = hal.state();
    let setup = state.setups.get(&pdo.addr()).copied().unwrap_or_default();
    let needed = description.MaximumLength.div_ceil(PAGE as u32) + 1;
    let registers = setup.map_registers?.min(needed).min(state.file.len());
    let memory = memory::pool_allocate(Owner::Harness, size_of::<DMA_ADAPTER>(), TAG);
    let adapter: PDMA_ADAPTER = memory.cast();
    // SAFETY: fresh memory of the size of an adapter.
    unsafe {
        adapter.write(DMA_ADAPTER {
            Version: ADAPTER_VERSION,
            Size: size_of::<DMA_ADAPTER>() as USHORT,
            DmaOperations: table::for_sources(),
        });
    }
    state.adapters.insert(
        adapter.addr(),
        Adapter {
            driver: context.frame.get().driver,
            pdo: pdo.addr(),
            registers,
            bits: address_bits(description),
            scatter_gather: description.ScatterGather != 0,
            grants: setup.grants,
            most_pages: setup.map_at_most.map_or(usize::MAX, |pages| pages as usize),
            channel: Channel::Free,
            waiting: VecDeque::new(),
            common: Vec::new(),
        },
    );
    state.counts.adapters += 1;
    Some((adapter, registers))
}

/// Ends an adapter, from which nothing may be left. The memory stays: a late call through its table
/// is to be understood.
pub(super) fn put(machine: &Machine, address: PDMA_ADAPTER) -> Result<(), Violation> {
    let hal = machine.extension::<Hal>();
    let mut state = hal.state();
    let adapter = state.adapter("PutDmaAdapter", address)?;
    let channels = usize::from(adapter.channel != Channel::Free) + adapter.waiting.len();
    let common = adapter.common.len();
    let (registers, lists) = state.outstanding(address.addr());
    let left = [
        (PUT_WITH_COMMON_BUFFERS, common, "common buffers"),
        (PUT_WITH_CHANNEL, channels, "channels, held or waited for,"),
        (PUT_WITH_REGISTERS, registers as usize, "map registers"),
        (PUT_WITH_LISTS, lists, "scatter/gather lists"),
    ];
    for (rule, count, what) in left {
        if count > 0 {
            let story = format!("PutDmaAdapter, and {count} {what} were not freed.");
            let rest = [address.addr() as u64, count as u64, 0];
            return Err(broken(rule, rest, story));
        }
    }
    state.adapters.remove(&address.addr());
    state.released.insert(address.addr());
    state.counts.adapters -= 1;
    Ok(())
}

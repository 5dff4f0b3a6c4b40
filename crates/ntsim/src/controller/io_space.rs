//! Device registers in memory: what lies at which physical address, and how drivers reach it.
//!
//! The address that `MmMapIoSpace` gives is real memory, but no register: only
//! `READ_REGISTER_ULONG` and `WRITE_REGISTER_ULONG` reach the device.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::machine::context::{Context, DISPATCH};
use crate::machine::{DriverId, Machine, Owner, Shared, Violation, codes, lock};
use crate::memory::{self, PAGE};

/// A device's registers.
pub(crate) trait Registers: Send + Sync {
    /// Reads a register.
    fn read(&self, offset: u32) -> u32;
    /// Writes a register.
    fn write(&self, offset: u32, value: u32);
}

/// Pool tag of mappings: "MmIo".
const TAG: u32 = u32::from_le_bytes(*b"MmIo");

/// What is where.
#[derive(Default)]
pub(crate) struct IoSpace(Mutex<State>);

#[derive(Default)]
struct State {
    /// By physical address: length, and whose registers.
    devices: BTreeMap<u64, (u32, Arc<dyn Registers>)>,
    /// By address: what drivers have mapped.
    mappings: BTreeMap<usize, Mapping>,
}

struct Mapping {
    memory: Shared<core::ffi::c_void>,
    length: u32,
    registers: Arc<dyn Registers>,
    /// Of the first byte in the device's range.
    offset: u32,
    driver: DriverId,
    call: &'static str,
}

/// Puts a device's registers at a physical address.
pub(super) fn add(machine: &Machine, physical: u64, length: u32, registers: Arc<dyn Registers>) {
    let space = machine.extension::<IoSpace>();
    lock(&space.0).devices.insert(physical, (length, registers));
}

/// Takes a device away.
pub(super) fn remove(machine: &Machine, physical: u64) {
    let space = machine.extension::<IoSpace>();
    let removed = lock(&space.0).devices.remove(&physical);
    drop(removed);
}

/// What a driver has not unmapped.
pub(crate) fn leaks_of(machine: &Machine, driver: DriverId) -> Vec<String> {
    let space = machine.extension::<IoSpace>();
    let state = lock(&space.0);
    let mappings = state.mappings.values();
    mappings
        .filter(|mapping| mapping.driver == driver)
        .map(|mapping| {
            format!(
                "I/O space: {} bytes still mapped, from {}",
                mapping.length, mapping.call
            )
        })
        .collect()
}

/// Maps a part of a device's registers; null where there is none.
fn map(context: &Context, physical: u64, length: u64) -> *mut core::ffi::c_void {
    let space = context.machine.extension::<IoSpace>();
    let mut state = lock(&space.0);
    let found = state.devices.range(..=physical).next_back();
    let found = found.and_then(|(&start, (whole, registers))| {
        let offset = physical - start;
        let inside = length > 0 && offset + length <= u64::from(*whole);
        inside.then(|| (offset as u32, Arc::clone(registers)))
    });
    let Some((offset, registers)) = found else {
        return core::ptr::null_mut();
    };
    let in_page = physical as usize % PAGE;
    let pages = (in_page + length as usize).div_ceil(PAGE);
    let memory = memory::pool_allocate(Owner::Harness, pages * PAGE, TAG);
    let address = memory.wrapping_byte_add(in_page);
    let mapping = Mapping {
        memory: Shared(memory),
        length: length as u32,
        registers,
        offset,
        driver: context.frame.get().driver,
        call: context.call.get(),
    };
    state.mappings.insert(address.addr(), mapping);
    address
}

fn unmap(context: &Context, address: usize, length: u64) {
    let space = context.machine.extension::<IoSpace>();
    let removed = {
        let mut state = lock(&space.0);
        let known = state.mappings.get(&address);
        let same = known.is_some_and(|mapping| u64::from(mapping.length) == length);
        if same {
            state.mappings.remove(&address)
        } else {
            None
        }
    };
    let Some(mapping) = removed else {
        let story = format!(
            "MmUnmapIoSpace of {length} bytes at {address:#x}, which is not what MmMapIoSpace mapped: \
             it was unmapped before, or its length differs."
        );
        let parameters = [address as u64, 0, 0, 0];
        Violation::new(codes::PAGE_FAULT_IN_NONPAGED_AREA, parameters, story).raise();
    };
    // SAFETY: taken out of the table, and the driver has given the mapping up.
    unsafe { memory::pool_free(mapping.memory.0) };
}

/// The register at an address, or the fault that following it is.
fn register(context: &Context, address: usize) -> (Arc<dyn Registers>, u32) {
    let space = context.machine.extension::<IoSpace>();
    let found = {
        let state = lock(&space.0);
        let below = state.mappings.range(..=address).next_back();
        below.and_then(|(&base, mapping)| {
            let at = (address - base) as u32;
            let inside = at + 4 <= mapping.length;
            inside.then(|| (Arc::clone(&mapping.registers), mapping.offset + at))
        })
    };
    found.unwrap_or_else(|| {
        let story = format!(
            "{} at {address:#x}, where no register is mapped.",
            context.call.get()
        );
        let irql = context.irql.get();
        let code = if irql < DISPATCH {
            codes::PAGE_FAULT_IN_NONPAGED_AREA
        } else {
            codes::DRIVER_IRQL_NOT_LESS_OR_EQUAL
        };
        Violation::new(code, [address as u64, irql.into(), 0, 0], story).raise()
    })
}

pub(super) mod exports {
    //! `MmMapIoSpace` to `WRITE_REGISTER_ULONG`.

    use super::{DISPATCH, map, register, unmap};
    use crate::abi::{MEMORY_CACHING_TYPE, PHYSICAL_ADDRESS, PULONG, PVOID, SIZE_T, ULONG};
    use crate::export::exports;

    exports! { run;
        /// Maps registers; null where there are none.
        fn MmMapIoSpace(PhysicalAddress: PHYSICAL_ADDRESS, NumberOfBytes: SIZE_T, CacheType: MEMORY_CACHING_TYPE) -> PVOID {
            run.irql_at_most(DISPATCH);
            map(run.context(), value(PhysicalAddress), NumberOfBytes)
        }

        /// Maps registers; null where there are none.
        fn MmMapIoSpaceEx(PhysicalAddress: PHYSICAL_ADDRESS, NumberOfBytes: SIZE_T, Protect: ULONG) -> PVOID {
            run.irql_at_most(DISPATCH);
            map(run.context(), value(PhysicalAddress), NumberOfBytes)
        }

        /// Undoes a mapping.
        fn MmUnmapIoSpace(BaseAddress: PVOID, NumberOfBytes: SIZE_T) {
            run.irql_at_most(DISPATCH);
            unmap(run.context(), BaseAddress.addr(), NumberOfBytes);
        }

        /// Reads a register. Inline in wdm.h. Any IRQL.
        fn READ_REGISTER_ULONG(Register: PULONG) -> ULONG {
            let (registers, offset) = register(run.context(), Register.addr());
            registers.read(offset)
        }

        /// Writes a register. Inline in wdm.h. Any IRQL.
        fn WRITE_REGISTER_ULONG(Register: PULONG, Value: ULONG) {
            let (registers, offset) = register(run.context(), Register.addr());
            registers.write(offset, Value);
        }
    }

    fn value(address: PHYSICAL_ADDRESS) -> u64 {
        // SAFETY: every reading of a LARGE_INTEGER is an integer.
        unsafe { address.QuadPart }.cast_unsigned()
    }
}

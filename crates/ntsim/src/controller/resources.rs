//! The resources that START_DEVICE carries, as a `CM_RESOURCE_LIST`.

use crate::abi::{
    _CM_SHARE_DISPOSITION, _INTERFACE_TYPE, CM_PARTIAL_RESOURCE_DESCRIPTOR,
    CM_RESOURCE_INTERRUPT_LEVEL_SENSITIVE, CM_RESOURCE_LIST, CM_RESOURCE_MEMORY_READ_WRITE,
    CmResourceTypeInterrupt, CmResourceTypeMemory, KIRQL, PCM_RESOURCE_LIST, PHYSICAL_ADDRESS,
};

/// Registers and an interrupt.
#[derive(Clone, Copy, Debug)]
pub struct Resources {
    /// Physical address of the registers.
    pub memory: u64,
    /// Bytes of registers.
    pub length: u32,
    /// The interrupt's IRQL.
    pub irql: KIRQL,
    /// The interrupt's vector.
    pub vector: u32,
}

/// A list with two descriptors: the second lies behind the first, where the array of one entry at
/// the end of the structure goes on.
#[repr(C)]
struct ListOfTwo {
    list: CM_RESOURCE_LIST,
    second: CM_PARTIAL_RESOURCE_DESCRIPTOR,
}

/// The raw and the translated list in memory of their own.
pub(crate) struct Lists {
    raw: Box<ListOfTwo>,
    translated: Box<ListOfTwo>,
}

impl Lists {
    pub(crate) fn new(resources: &Resources) -> Self {
        // As the device says it: the number of its interrupt line; the bus is the processor's own.
        let raw = Resources {
            irql: (resources.vector & 0xF) as KIRQL,
            vector: resources.vector & 0xF,
            ..*resources
        };
        Self {
            raw: Box::new(list(&raw)),
            translated: Box::new(list(resources)),
        }
    }

    /// `AllocatedResources` and `AllocatedResourcesTranslated`; for as long as the lists live.
    pub(crate) fn pointers(&mut self) -> (PCM_RESOURCE_LIST, PCM_RESOURCE_LIST) {
        (
            (&raw mut *self.raw).cast(),
            (&raw mut *self.translated).cast(),
        )
    }
}

fn list(resources: &Resources) -> ListOfTwo {
    let mut list = CM_RESOURCE_LIST {
        Count: 1,
        ..CM_RESOURCE_LIST::default()
    };
    list.List[0].InterfaceType = _INTERFACE_TYPE::PCIBus;
    let partial = &mut list.List[0].PartialResourceList;
    partial.Version = 1;
    partial.Revision = 1;
    partial.Count = 2;
    partial.PartialDescriptors[0] = memory(resources);
    ListOfTwo {
        list,
        second: interrupt(resources),
    }
}

fn memory(resources: &Resources) -> CM_PARTIAL_RESOURCE_DESCRIPTOR {
    let mut descriptor = CM_PARTIAL_RESOURCE_DESCRIPTOR {
        Type: CmResourceTypeMemory as u8,
        ShareDisposition: _CM_SHARE_DISPOSITION::CmResourceShareDeviceExclusive as u8,
        Flags: CM_RESOURCE_MEMORY_READ_WRITE as u16,
        ..CM_PARTIAL_RESOURCE_DESCRIPTOR::default()
    };
    descriptor.u.Memory.Start = PHYSICAL_ADDRESS {
        QuadPart: resources.memory.cast_signed(),
    };
    descriptor.u.Memory.Length = resources.length;
    descriptor
}

fn interrupt(resources: &Resources) -> CM_PARTIAL_RESOURCE_DESCRIPTOR {
    let mut descriptor = CM_PARTIAL_RESOURCE_DESCRIPTOR {
        Type: CmResourceTypeInterrupt as u8,
        ShareDisposition: _CM_SHARE_DISPOSITION::CmResourceShareShared as u8,
        Flags: CM_RESOURCE_INTERRUPT_LEVEL_SENSITIVE as u16,
        ..CM_PARTIAL_RESOURCE_DESCRIPTOR::default()
    };
    descriptor.u.Interrupt.Level = resources.irql.into();
    descriptor.u.Interrupt.Vector = resources.vector;
    descriptor.u.Interrupt.Affinity = 1;
    descriptor
}

//! The resources that START_DEVICE carries, as a `CM_RESOURCE_LIST`.

use crate::abi::{
    _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1,
    _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_3,
    _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_5, _CM_SHARE_DISPOSITION,
    _INTERFACE_TYPE, CM_PARTIAL_RESOURCE_DESCRIPTOR, CM_RESOURCE_INTERRUPT_LEVEL_SENSITIVE,
    CM_RESOURCE_LIST, CM_RESOURCE_MEMORY_READ_WRITE, CmResourceTypeInterrupt, CmResourceTypeMemory,
    KIRQL, PCM_RESOURCE_LIST, PHYSICAL_ADDRESS,
};

/// Registers and an interrupt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resources {
    pub(crate) memory: u64,
    pub(crate) length: u32,
    pub(crate) irql: KIRQL,
    pub(crate) vector: u32,
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
            raw: list(&raw),
            translated: list(resources),
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

fn list(resources: &Resources) -> Box<ListOfTwo> {
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
    Box::new(ListOfTwo {
        list,
        second: interrupt(resources),
    })
}

fn memory(resources: &Resources) -> CM_PARTIAL_RESOURCE_DESCRIPTOR {
    CM_PARTIAL_RESOURCE_DESCRIPTOR {
        Type: CmResourceTypeMemory as u8,
        ShareDisposition: _CM_SHARE_DISPOSITION::CmResourceShareDeviceExclusive as u8,
        Flags: CM_RESOURCE_MEMORY_READ_WRITE as u16,
        u: _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1 {
            Memory: _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_5 {
                Start: PHYSICAL_ADDRESS {
                    QuadPart: resources.memory.cast_signed(),
                },
                Length: resources.length,
            },
        },
    }
}

fn interrupt(resources: &Resources) -> CM_PARTIAL_RESOURCE_DESCRIPTOR {
    CM_PARTIAL_RESOURCE_DESCRIPTOR {
        Type: CmResourceTypeInterrupt as u8,
        ShareDisposition: _CM_SHARE_DISPOSITION::CmResourceShareShared as u8,
        Flags: CM_RESOURCE_INTERRUPT_LEVEL_SENSITIVE as u16,
        u: _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1 {
            Interrupt: _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_3 {
                Level: resources.irql.into(),
                Vector: resources.vector,
                Affinity: 1,
            },
        },
    }
}

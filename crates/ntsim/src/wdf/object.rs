//! Objects, their place in the tree and their contexts. How they die is in [`super::death`].

use core::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED;
use super::context::ContextMemory;
use super::frame::Who;
use super::violation::{Violation, require_size, violation};
use super::{
    Framework, device, driver, kernel, key, lists, locks, memory, resources, target, work,
};
use crate::abi::{
    NTSTATUS, PCWDF_OBJECT_CONTEXT_TYPE_INFO, PFN_WDF_OBJECT_CONTEXT_CLEANUP,
    PFN_WDF_OBJECT_CONTEXT_DESTROY, PVOID, PWDF_OBJECT_ATTRIBUTES, STATUS_DELETE_PENDING,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_OBJECT_NAME_EXISTS, STATUS_OBJECT_NAME_INVALID,
    STATUS_SUCCESS, WDF_OBJECT_ATTRIBUTES, WDF_OBJECT_CONTEXT_TYPE_INFO,
};
use crate::machine::Shared;

/// What an object is, with its own state.
pub(crate) enum Body {
    Driver(Arc<driver::Client>),
    Device(Box<device::Device>),
    Target(target::Target),
    Key(key::Key),
    Memory(memory::Memory),
    SpinLock(locks::SpinLock),
    WaitLock(locks::WaitLock),
    WorkItem(work::WorkItem),
    Timer(work::Timer),
    Dpc(work::Dpc),
    Collection(lists::Collection),
    Text(lists::Text),
    Resources(resources::List),
    General,
}

impl Body {
    fn kind(&self) -> &'static str {
        match self {
            Self::Driver(_) => "WDFDRIVER",
            Self::Device(_) => "WDFDEVICE",
            Self::Target(_) => "WDFIOTARGET",
            Self::Key(_) => "WDFKEY",
            Self::Memory(_) => "WDFMEMORY",
            Self::SpinLock(_) => "WDFSPINLOCK",
            Self::WaitLock(_) => "WDFWAITLOCK",
            Self::WorkItem(_) => "WDFWORKITEM",
            Self::Timer(_) => "WDFTIMER",
            Self::Dpc(_) => "WDFDPC",
            Self::Collection(_) => "WDFCOLLECTION",
            Self::Text(_) => "WDFSTRING",
            Self::Resources(_) => "WDFCMRESLIST",
            Self::General => "WDFOBJECT",
        }
    }

    /// What an object does with itself between the disposal of its children and its own cleanup
    /// callbacks.
    pub(super) fn dispose(&self) {
        match self {
            Self::Timer(timer) => timer.dispose(),
            Self::WorkItem(item) => item.dispose(),
            Self::Dpc(dpc) => dpc.dispose(),
            Self::Key(key) => key.close(),
            _ => {}
        }
    }

    /// Whether the driver may delete such an object with `WdfObjectDelete`.
    pub(super) fn may_be_deleted(&self) -> bool {
        !matches!(
            self,
            Self::Driver(_) | Self::Device(_) | Self::Target(_) | Self::Resources(_)
        )
    }
}

/// How far an object is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Alive,
    Disposing,
    Disposed,
    Destroying,
}

pub(super) struct Context {
    pub(super) kind: Shared<WDF_OBJECT_CONTEXT_TYPE_INFO>,
    pub(super) memory: Option<ContextMemory>,
    pub(super) cleanup: PFN_WDF_OBJECT_CONTEXT_CLEANUP,
    pub(super) destroy: PFN_WDF_OBJECT_CONTEXT_DESTROY,
}

pub(super) struct Life {
    pub(super) phase: Phase,
    pub(super) delete_called: bool,
    pub(super) references: u32,
    /// Weak, so that a machine that is switched off in the middle lets go of everything.
    pub(super) parent: Option<Weak<Object>>,
    pub(super) children: Vec<Arc<Object>>,
    pub(super) contexts: Vec<Context>,
}

/// A framework object.
pub(crate) struct Object {
    pub(super) handle: usize,
    pub(super) owner: Who,
    pub(crate) body: Body,
    life: Mutex<Life>,
}

/// Where a new object goes in the tree.
pub(crate) enum Parent {
    /// Below the parent in the attributes, or else below this object.
    Default(Arc<Object>),
    /// Below this object; the attributes may not say otherwise.
    Fixed(Arc<Object>),
    /// Nowhere: the driver object.
    Root,
}

impl Object {
    /// The handle as drivers hold it.
    pub(crate) fn handle<T>(&self) -> *mut T {
        ptr::without_provenance_mut(self.handle)
    }

    /// The service of the driver that made the object.
    pub(crate) fn owner(&self) -> &Who {
        &self.owner
    }

    pub(crate) fn describe(&self) -> String {
        format!(
            "{} {:#x} of {}",
            self.body.kind(),
            self.handle,
            self.owner.name
        )
    }

    pub(super) fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether disposal has begun: timers do not start and work is not queued any more.
    pub(crate) fn is_disposed(&self) -> bool {
        self.life().phase >= Phase::Disposing
    }

    /// The parent, if there still is one.
    pub(crate) fn parent(&self) -> Option<Arc<Object>> {
        self.life().parent.as_ref().and_then(Weak::upgrade)
    }

    /// The nearest device above this object, or the object itself.
    pub(crate) fn device_above(self: &Arc<Self>) -> Option<Arc<Object>> {
        let mut at = Some(Arc::clone(self));
        while let Some(object) = at {
            if matches!(object.body, Body::Device(_)) {
                return Some(object);
            }
            at = object.parent();
        }
        None
    }

    /// The memory of the context of a type; `None` if the object has no such context.
    pub(crate) fn context(&self, kind: PCWDF_OBJECT_CONTEXT_TYPE_INFO) -> Option<PVOID> {
        self.life()
            .contexts
            .iter()
            .find(|context| ptr::eq(context.kind.0, kind))
            .and_then(|context| context.memory.as_ref())
            .map(|memory| memory.pointer().cast::<c_void>())
    }

    /// The memory of the context that the object was made with, or NULL.
    pub(crate) fn first_context(&self) -> PVOID {
        self.life()
            .contexts
            .first()
            .and_then(|context| context.memory.as_ref())
            .map_or(ptr::null_mut(), |memory| memory.pointer().cast())
    }

    /// Adds a context; one of the same type is found instead of made.
    pub(crate) fn add_context(
        &self,
        attributes: &WDF_OBJECT_ATTRIBUTES,
    ) -> Result<(NTSTATUS, PVOID), NTSTATUS> {
        if let Some(known) = self.context(attributes.ContextTypeInfo) {
            return Ok((STATUS_OBJECT_NAME_EXISTS, known));
        }
        let context = make_context(Some(attributes))?;
        let pointer = context
            .memory
            .as_ref()
            .map_or(ptr::null_mut(), |memory| memory.pointer().cast::<c_void>());
        let mut life = self.life();
        if life.phase != Phase::Alive {
            return Err(STATUS_DELETE_PENDING);
        }
        life.contexts.push(context);
        drop(life);
        Framework::current()
            .objects()
            .contexts
            .insert(pointer.addr(), self.handle);
        Ok((STATUS_SUCCESS, pointer))
    }
}

/// Copies the attributes that a driver passed.
///
/// # Safety
///
/// `attributes` is NULL or points to a `WDF_OBJECT_ATTRIBUTES`.
pub(crate) unsafe fn attributes(
    function: &str,
    attributes: PWDF_OBJECT_ATTRIBUTES,
) -> Result<Option<WDF_OBJECT_ATTRIBUTES>, NTSTATUS> {
    if attributes.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, so the caller vouches for the structure.
    let attributes = unsafe { *attributes };
    require_size(
        function,
        "WDF_OBJECT_ATTRIBUTES",
        attributes.Size,
        size_of::<WDF_OBJECT_ATTRIBUTES>(),
    );
    if attributes.ContextTypeInfo.is_null() && attributes.ContextSizeOverride != 0 {
        return Err(STATUS_OBJECT_NAME_INVALID);
    }
    Ok(Some(attributes))
}

/// Bytes of context that attributes ask for.
pub(crate) fn context_size(attributes: Option<&WDF_OBJECT_ATTRIBUTES>) -> usize {
    match attributes {
        Some(attributes) if !attributes.ContextTypeInfo.is_null() => {
            // SAFETY: a context type lives as long as its driver (it is a static of the driver).
            let declared = unsafe { (*attributes.ContextTypeInfo).ContextSize };
            match attributes.ContextSizeOverride {
                0 => declared,
                larger => larger,
            }
        }
        _ => 0,
    }
}

fn make_context(attributes: Option<&WDF_OBJECT_ATTRIBUTES>) -> Result<Context, NTSTATUS> {
    let Some(attributes) = attributes else {
        return Ok(Context {
            kind: Shared::default(),
            memory: None,
            cleanup: None,
            destroy: None,
        });
    };
    let memory = if attributes.ContextTypeInfo.is_null() {
        None
    } else {
        let size = context_size(Some(attributes));
        Some(ContextMemory::new(size).ok_or(STATUS_INSUFFICIENT_RESOURCES)?)
    };
    Ok(Context {
        kind: Shared(attributes.ContextTypeInfo.cast_mut()),
        memory,
        cleanup: attributes.EvtCleanupCallback,
        destroy: attributes.EvtDestroyCallback,
    })
}

/// Makes an object, puts it into the tree and gives it a handle.
pub(crate) fn create(
    owner: &Who,
    attributes: Option<&WDF_OBJECT_ATTRIBUTES>,
    parent: Parent,
    body: Body,
) -> Result<Arc<Object>, NTSTATUS> {
    let asked = attributes.map_or(ptr::null_mut(), |attributes| attributes.ParentObject);
    let parent = match parent {
        Parent::Root => None,
        Parent::Fixed(_) if !asked.is_null() => {
            return Err(STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED);
        }
        Parent::Default(_) if !asked.is_null() => Some(any("ParentObject", asked)),
        Parent::Fixed(parent) | Parent::Default(parent) => Some(parent),
    };
    let context = make_context(attributes)?;
    let bytes = context.memory.as_ref().map_or(0, ContextMemory::size);
    let place = context
        .memory
        .as_ref()
        .map(|memory| memory.pointer().addr());

    let framework = Framework::current();
    let mut objects = framework.objects();
    let handle = objects.reserve();
    let object = Arc::new(Object {
        handle,
        owner: owner.clone(),
        body,
        life: Mutex::new(Life {
            phase: Phase::Alive,
            delete_called: false,
            references: 1,
            parent: parent.as_ref().map(Arc::downgrade),
            children: Vec::new(),
            contexts: vec![context],
        }),
    });
    if let Some(parent) = parent {
        let mut life = parent.life();
        if life.phase != Phase::Alive {
            let what = object.describe();
            objects.remove(handle, what);
            return Err(STATUS_DELETE_PENDING);
        }
        life.children.push(Arc::clone(&object));
    }
    objects.publish(handle, &object);
    if let Some(place) = place {
        objects.contexts.insert(place, handle);
    }
    drop(objects);
    kernel::count_object(bytes);
    Ok(object)
}

/// The object behind a handle of any type, or the bug check for a bad one.
pub(crate) fn any<T>(function: &str, handle: *mut T) -> Arc<Object> {
    let framework = Framework::current();
    let objects = framework.objects();
    if let Some(object) = objects.find(handle.addr()) {
        return object;
    }
    let story = if handle.is_null() {
        format!("{function} was called with a NULL handle")
    } else {
        format!(
            "{function} was called with {:#x}: {}",
            handle.addr(),
            objects.obituary(handle.addr())
        )
    };
    drop(objects);
    violation(Violation::InvalidHandle, handle.addr() as u64, 0, &story)
}

/// Reports a handle of the wrong type.
pub(crate) fn wrong_type(function: &str, object: &Object, wanted: &str) -> ! {
    violation(
        Violation::InvalidHandle,
        object.handle as u64,
        0,
        &format!(
            "{function} needs a {wanted} and was given {}",
            object.describe()
        ),
    )
}

/// A handle that must name one kind of object.
macro_rules! typed {
    ($($accessor:ident: $variant:ident as $name:literal => $type:ty),+ $(,)?) => {
        impl Object {
            $(#[doc = concat!("The state of a ", $name, "; any other object is a bug check.")]
            pub(crate) fn $accessor(&self, function: &str) -> &$type {
                match &self.body {
                    Body::$variant(state) => state,
                    _ => wrong_type(function, self, $name),
                }
            })+
        }
    };
}

typed! {
    client: Driver as "WDFDRIVER" => Arc<driver::Client>,
    device: Device as "WDFDEVICE" => device::Device,
    target: Target as "WDFIOTARGET" => target::Target,
    key: Key as "WDFKEY" => key::Key,
    memory: Memory as "WDFMEMORY" => memory::Memory,
    spin_lock: SpinLock as "WDFSPINLOCK" => locks::SpinLock,
    wait_lock: WaitLock as "WDFWAITLOCK" => locks::WaitLock,
    work_item: WorkItem as "WDFWORKITEM" => work::WorkItem,
    timer: Timer as "WDFTIMER" => work::Timer,
    dpc: Dpc as "WDFDPC" => work::Dpc,
    collection: Collection as "WDFCOLLECTION" => lists::Collection,
    text: Text as "WDFSTRING" => lists::Text,
    resources: Resources as "WDFCMRESLIST" => resources::List,
}

/// The object whose context is at an address, if any.
pub(crate) fn of_context(place: PVOID) -> Option<Arc<Object>> {
    let framework = Framework::current();
    let objects = framework.objects();
    let handle = *objects.contexts.get(&place.addr())?;
    objects.find(handle)
}

//! The calls that work on every object.

use core::ptr;

use super::object::{self, Body, Parent};
use super::table::wdf_functions;
use super::violation::not_null;
use super::{death, driver};
use crate::abi::{
    LONG, NTSTATUS, PCCH, PCWDF_OBJECT_CONTEXT_TYPE_INFO, PVOID, PWDF_OBJECT_ATTRIBUTES,
    STATUS_INVALID_PARAMETER, STATUS_SUCCESS, WDFOBJECT,
};

wdf_functions! {
    /// The context of a type, or NULL. Works from creation until `EvtDestroyCallback` returns. Any
    /// IRQL.
    202 fn WdfObjectGetTypedContextWorker(
        Handle: WDFOBJECT,
        TypeInfo: PCWDF_OBJECT_CONTEXT_TYPE_INFO,
    ) -> PVOID {
        object::any("WdfObjectGetTypedContextWorker", Handle)
            .context(TypeInfo)
            .unwrap_or(ptr::null_mut())
    }

    /// Adds a context to an object; `STATUS_OBJECT_NAME_EXISTS` finds an older one. Up to
    /// `DISPATCH_LEVEL`.
    203 fn WdfObjectAllocateContext(
        Handle: WDFOBJECT,
        ContextAttributes: PWDF_OBJECT_ATTRIBUTES,
        Context: *mut PVOID,
    ) -> NTSTATUS {
        const NAME: &str = "WdfObjectAllocateContext";
        not_null(NAME, "ContextAttributes", ContextAttributes);
        let object = object::any(NAME, Handle);
        // SAFETY: the caller vouches for the attributes.
        let attributes = match unsafe { object::attributes(NAME, ContextAttributes) } {
            Ok(Some(attributes)) if attributes.ParentObject.is_null() => attributes,
            Ok(_) => return STATUS_INVALID_PARAMETER,
            Err(status) => return status,
        };
        match object.add_context(&attributes) {
            Ok((status, place)) => {
                if !Context.is_null() {
                    // SAFETY: not NULL, so the caller vouches for it.
                    unsafe { *Context = place };
                }
                status
            }
            Err(status) => status,
        }
    }

    /// The object that a context belongs to, or NULL. Any IRQL.
    204 fn WdfObjectContextGetObject(ContextPointer: PVOID) -> WDFOBJECT {
        not_null("WdfObjectContextGetObject", "ContextPointer", ContextPointer);
        object::of_context(ContextPointer).map_or(ptr::null_mut(), |object| object.handle())
    }

    /// Adds a reference. Up to `DISPATCH_LEVEL`.
    205 fn WdfObjectReferenceActual(Handle: WDFOBJECT, _Tag: PVOID, _Line: LONG, _File: PCCH) {
        death::reference(&object::any("WdfObjectReference", Handle));
    }

    /// Gives a reference back; the last one destroys the object. Up to `DISPATCH_LEVEL`.
    206 fn WdfObjectDereferenceActual(Handle: WDFOBJECT, _Tag: PVOID, _Line: LONG, _File: PCCH) {
        let object = object::any("WdfObjectDereference", Handle);
        death::dereference("WdfObjectDereference", &object);
    }

    /// Makes an object that is nothing but contexts and callbacks. Up to `DISPATCH_LEVEL`.
    207 fn WdfObjectCreate(Attributes: PWDF_OBJECT_ATTRIBUTES, Object: *mut WDFOBJECT) -> NTSTATUS {
        const NAME: &str = "WdfObjectCreate";
        not_null(NAME, "Object", Object);
        // SAFETY: the caller vouches for the attributes.
        match unsafe { object::attributes(NAME, Attributes) } {
            Ok(attributes) => {
                let client = driver::current(NAME, attributes.as_ref());
                let parent = Parent::Default(client.object(NAME));
                match object::create(&client.who, attributes.as_ref(), parent, Body::General) {
                    Ok(object) => {
                        // SAFETY: not NULL, so the caller vouches for it.
                        unsafe { *Object = object.handle() };
                        STATUS_SUCCESS
                    }
                    Err(status) => status,
                }
            }
            Err(status) => status,
        }
    }

    /// Deletes an object that the driver made. Up to `DISPATCH_LEVEL`.
    208 fn WdfObjectDelete(Object: WDFOBJECT) {
        let object = object::any("WdfObjectDelete", Object);
        death::delete_for_driver("WdfObjectDelete", &object);
    }
}

//! How objects die (`fxobjectstatemachine.cpp`).
//!
//! *Dispose* goes from the leaves up: the children of an object in the order in which they were
//! made, each with its `EvtCleanupCallback`, then the object's own. *Destroy* follows: children lose
//! their last reference, and whoever reaches zero references gets `EvtDestroyCallback` and is gone.
//! Between the two an object still exists and its handle is still good.

use std::sync::Arc;

use super::object::{Body, Object, Phase};
use super::violation::{Violation, violation};
use super::{Framework, frame, kernel};
use crate::abi::WDFOBJECT;

/// `EarlyDispose`: the object leaves its parent, and everything from the leaves up to the object
/// itself is cleaned up. Nothing is destroyed yet.
pub(crate) fn early_dispose(object: &Arc<Object>) {
    detach(object);
    dispose(object);
}

fn dispose(object: &Arc<Object>) {
    let children = {
        let mut life = object.life();
        if life.phase != Phase::Alive {
            return;
        }
        life.phase = Phase::Disposing;
        life.children.clone()
    };
    for child in &children {
        dispose(child);
    }
    object.body.dispose();
    call_cleanup(object);
    object.life().phase = Phase::Disposed;
}

/// `DestroyChildren`: every child loses its parent and the reference that kept it alive.
pub(crate) fn destroy_children(object: &Arc<Object>) {
    loop {
        let child = {
            let mut life = object.life();
            if life.children.is_empty() {
                return;
            }
            life.children.remove(0)
        };
        child.life().parent = None;
        destroy(&child);
    }
}

fn destroy(object: &Arc<Object>) {
    destroy_children(object);
    dereference("the framework", object);
}

/// `DeleteObject`: cleans an object up unless that has happened, and drops its first reference.
pub(crate) fn delete(object: &Arc<Object>) {
    {
        let mut life = object.life();
        if std::mem::replace(&mut life.delete_called, true) {
            drop(life);
            violation(
                Violation::ObjectError,
                object.handle as u64,
                0,
                &format!("{} is deleted twice", object.describe()),
            );
        }
    }
    if !detach(object) {
        // The parent is dying and takes this object with it.
        return;
    }
    dispose(object);
    destroy(object);
}

/// Takes an object out of its parent's list; false if the parent is already being disposed.
fn detach(object: &Arc<Object>) -> bool {
    let Some(parent) = object.parent() else {
        return true;
    };
    let mut life = parent.life();
    if life.phase != Phase::Alive {
        return false;
    }
    life.children.retain(|child| !Arc::ptr_eq(child, object));
    drop(life);
    object.life().parent = None;
    true
}

/// `WdfObjectReference`.
pub(crate) fn reference(object: &Object) {
    object.life().references += 1;
}

/// `WdfObjectDereference`; the last one destroys.
pub(crate) fn dereference(function: &str, object: &Arc<Object>) {
    {
        let mut life = object.life();
        if life.references == 1 && life.phase < Phase::Disposed {
            drop(life);
            violation(
                Violation::ObjectError,
                object.handle as u64,
                0,
                &format!(
                    "{function} takes the last reference of {}, which has not been deleted",
                    object.describe()
                ),
            );
        }
        life.references -= 1;
        if life.references > 0 {
            return;
        }
        life.phase = Phase::Destroying;
    }
    finish(object);
}

/// `ProcessDestroy`: the callbacks of last resort, then the memory.
fn finish(object: &Arc<Object>) {
    let count = object.life().contexts.len();
    for index in 0..count {
        let (cleanup, destroy) = {
            let mut life = object.life();
            let context = &mut life.contexts[index];
            (context.cleanup.take(), context.destroy.take())
        };
        call(object, "EvtCleanupCallback", cleanup);
        call(object, "EvtDestroyCallback", destroy);
    }
    if let Body::Collection(collection) = &object.body {
        collection.clear();
    }
    let contexts = std::mem::take(&mut object.life().contexts);
    let framework = Framework::current();
    let mut objects = framework.objects();
    let mut bytes = 0;
    for memory in contexts
        .iter()
        .filter_map(|context| context.memory.as_ref())
    {
        objects.contexts.remove(&memory.pointer().addr());
        bytes += memory.size();
    }
    objects.remove(object.handle, object.describe());
    drop(objects);
    kernel::uncount_object(bytes);
}

fn call_cleanup(object: &Arc<Object>) {
    let count = object.life().contexts.len();
    for index in 0..count {
        let cleanup = object.life().contexts[index].cleanup.take();
        call(object, "EvtCleanupCallback", cleanup);
    }
}

fn call(object: &Object, name: &'static str, callback: Option<unsafe extern "C" fn(WDFOBJECT)>) {
    if let Some(callback) = callback {
        frame::enter(&object.owner, name, || {
            // SAFETY: a callback of the driver, called as [EVT_WDF_OBJECT_CONTEXT_CLEANUP] says.
            unsafe { frame::invoke!(callback, object.handle()) }
        });
    }
}

/// Deletes an object for the driver, which may not delete everything.
pub(crate) fn delete_for_driver(function: &str, object: &Arc<Object>) {
    if object.body.may_be_deleted() {
        delete(object);
    } else {
        violation(
            Violation::ObjectError,
            object.handle as u64,
            0,
            &format!("{function}: a driver cannot delete {}", object.describe()),
        );
    }
}

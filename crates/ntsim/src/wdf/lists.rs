//! Collections and strings.

use std::sync::{Arc, Mutex, PoisonError};

use super::death;
use super::object::Object;

/// The state of a `WDFCOLLECTION`: objects in order, each with a reference.
#[derive(Default)]
pub(crate) struct Collection(Mutex<Vec<Arc<Object>>>);

impl Collection {
    fn with<T>(&self, work: impl FnOnce(&mut Vec<Arc<Object>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives every reference back.
    pub(crate) fn clear(&self) {
        let items = self.with(std::mem::take);
        for item in items {
            death::dereference("the destruction of a collection", &item);
        }
    }
}

/// The state of a `WDFSTRING`: UTF-16 with a terminator.
pub(crate) struct Text(Box<[u16]>);

/// The calls about collections and strings.
pub(crate) mod calls {
    use core::ptr;

    use super::{Arc, Text};
    use crate::abi::{
        NTSTATUS, PCUNICODE_STRING, PUNICODE_STRING, PWDF_OBJECT_ATTRIBUTES, STATUS_SUCCESS, ULONG,
        UNICODE_STRING, WDFCOLLECTION, WDFOBJECT, WDFSTRING,
    };
    use crate::registry::calls::text;
    use crate::wdf::death;
    use crate::wdf::driver::{self, DISPATCH, PASSIVE};
    use crate::wdf::object::{self, Body};
    use crate::wdf::table::wdf_functions;
    use crate::wdf::violation::{Violation, not_null, require_irql, violation};

    wdf_functions! {
        /// Makes an empty collection. Up to `DISPATCH_LEVEL`.
        13 fn WdfCollectionCreate(
            CollectionAttributes: PWDF_OBJECT_ATTRIBUTES,
            Collection: *mut WDFCOLLECTION,
        ) -> NTSTATUS {
            const NAME: &str = "WdfCollectionCreate";
            require_irql(NAME, DISPATCH);
            // SAFETY: the caller vouches for the attributes and the place for the handle.
            unsafe {
                driver::make(NAME, CollectionAttributes, Collection, |_| {
                    Ok(Body::Collection(super::Collection::default()))
                })
            }
        }

        /// How many objects a collection holds. Up to `DISPATCH_LEVEL`.
        14 fn WdfCollectionGetCount(Collection: WDFCOLLECTION) -> ULONG {
            const NAME: &str = "WdfCollectionGetCount";
            let object = object::any(NAME, Collection);
            object.collection(NAME).with(|items| items.len() as u32)
        }

        /// Adds an object at the end, with a reference. Up to `DISPATCH_LEVEL`.
        15 fn WdfCollectionAdd(Collection: WDFCOLLECTION, Object: WDFOBJECT) -> NTSTATUS {
            const NAME: &str = "WdfCollectionAdd";
            let item = object::any(NAME, Object);
            let object = object::any(NAME, Collection);
            death::reference(&item);
            object.collection(NAME).with(|items| items.push(item));
            STATUS_SUCCESS
        }

        /// Removes an object, which must be there. Up to `DISPATCH_LEVEL`.
        16 fn WdfCollectionRemove(Collection: WDFCOLLECTION, Item: WDFOBJECT) {
            const NAME: &str = "WdfCollectionRemove";
            let item = object::any(NAME, Item);
            let object = object::any(NAME, Collection);
            let removed = object.collection(NAME).with(|items| {
                let at = items.iter().position(|known| Arc::ptr_eq(known, &item))?;
                Some(items.remove(at))
            });
            if removed.is_none() {
                violation(
                    Violation::ObjectError,
                    Item.addr() as u64,
                    0,
                    &format!("{NAME}: {} is not in the collection", item.describe()),
                );
            }
            death::dereference(NAME, &item);
        }

        /// The object at an index, or NULL. Up to `DISPATCH_LEVEL`.
        18 fn WdfCollectionGetItem(Collection: WDFCOLLECTION, Index: ULONG) -> WDFOBJECT {
            const NAME: &str = "WdfCollectionGetItem";
            let object = object::any(NAME, Collection);
            object.collection(NAME).with(|items| {
                items.get(Index as usize).map_or(ptr::null_mut(), |item| item.handle())
            })
        }

        /// Copies a string into an object; without one the object is empty. `PASSIVE_LEVEL`.
        308 fn WdfStringCreate(
            UnicodeString: PCUNICODE_STRING,
            StringAttributes: PWDF_OBJECT_ATTRIBUTES,
            String: *mut WDFSTRING,
        ) -> NTSTATUS {
            const NAME: &str = "WdfStringCreate";
            require_irql(NAME, PASSIVE);
            // SAFETY: the caller vouches for the string unless NULL, the attributes, and the place
            // for the handle.
            unsafe {
                let units = text(UnicodeString).encode_utf16().chain([0]).collect();
                driver::make(NAME, StringAttributes, String, |_| Ok(Body::Text(Text(units))))
            }
        }

        /// The string inside an object; its buffer lives as long as the object. `PASSIVE_LEVEL`.
        309 fn WdfStringGetUnicodeString(String: WDFSTRING, UnicodeString: PUNICODE_STRING) {
            const NAME: &str = "WdfStringGetUnicodeString";
            require_irql(NAME, PASSIVE);
            not_null(NAME, "UnicodeString", UnicodeString);
            let object = object::any(NAME, String);
            let units = &object.text(NAME).0;
            let string = UNICODE_STRING {
                Length: (units.len() as u16 - 1) * 2,
                MaximumLength: units.len() as u16 * 2,
                Buffer: units.as_ptr().cast_mut(),
            };
            // SAFETY: not NULL, so the caller vouches for it.
            unsafe { *UnicodeString = string };
        }
    }
}

//! What the registry functions of the kernel and of the framework do, without their interfaces.

use core::ffi::c_void;
use core::ptr;

use super::hive::{CreateError, Kind, Value};
use super::{KeyHandle, Registry};
use crate::abi::{
    HANDLE, NTSTATUS, PCUNICODE_STRING, PCWSTR, PDEVICE_OBJECT, RTL_REGISTRY_ABSOLUTE,
    RTL_REGISTRY_OPTIONAL, RTL_REGISTRY_SERVICES, STATUS_CHILD_MUST_BE_VOLATILE,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER,
    STATUS_KEY_DELETED, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS,
};
use crate::{machine, pnp};

/// `REG_OPTION_VOLATILE`: the key does not survive a restart.
pub(crate) const REG_OPTION_VOLATILE: u32 = 1;
/// The key cannot go while there are keys below it.
const STATUS_CANNOT_DELETE: NTSTATUS = 0xC000_0121_u32.cast_signed();
const PLUGPLAY_REGKEY_DEVICE: u32 = 1;
const PLUGPLAY_REGKEY_DRIVER: u32 = 2;

/// Reads a counted UTF-16 string.
///
/// # Safety
///
/// `string` is NULL or points to a `UNICODE_STRING` whose buffer holds `Length` bytes.
pub(crate) unsafe fn text(string: PCUNICODE_STRING) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: the caller vouches for the string and for `Length` bytes behind its buffer.
    unsafe {
        let units = usize::from((*string).Length) / 2;
        let buffer = (*string).Buffer;
        String::from_utf16_lossy(&(0..units).map(|at| *buffer.add(at)).collect::<Vec<u16>>())
    }
}

/// Reads a NUL-terminated UTF-16 string.
///
/// # Safety
///
/// `string` is NULL or ends in a NUL that is within its allocation.
pub(crate) unsafe fn terminated(string: PCWSTR) -> String {
    if string.is_null() {
        return String::new();
    }
    let mut units = Vec::new();
    // SAFETY: the caller vouches for every unit up to the NUL.
    unsafe {
        let mut at = string;
        while *at != 0 {
            units.push(*at);
            at = at.add(1);
        }
    }
    String::from_utf16_lossy(&units)
}

/// Opens the key that `path` names below `root` (NULL: from the top).
pub(crate) fn open(root: HANDLE, path: &str, access: u32) -> Result<HANDLE, NTSTATUS> {
    let registry = Registry::current();
    let mut state = registry.lock();
    let key = if root.is_null() {
        state.hive.open_path(path)
    } else {
        let parent = resolve(&state, root)?;
        state.hive.open_below(parent.key, path)
    };
    let key = key.ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
    Ok(state.handles.insert(key, access))
}

/// Opens or makes a key; the flag says whether it was made.
pub(crate) fn create(
    root: HANDLE,
    path: &str,
    access: u32,
    volatile: bool,
) -> Result<(HANDLE, bool), NTSTATUS> {
    let registry = Registry::current();
    let mut state = registry.lock();
    let parent = if root.is_null() {
        None
    } else {
        Some(resolve(&state, root)?.key)
    };
    let (key, made) =
        state
            .hive
            .create_below(parent, path, volatile)
            .map_err(|error| match error {
                CreateError::NoParent => STATUS_OBJECT_NAME_NOT_FOUND,
                CreateError::ParentIsVolatile => STATUS_CHILD_MUST_BE_VOLATILE,
            })?;
    Ok((state.handles.insert(key, access), made))
}

/// The value of a name below an open key.
pub(crate) fn value(handle: HANDLE, name: &str) -> Result<Value, NTSTATUS> {
    let registry = Registry::current();
    let state = registry.lock();
    let key = resolve(&state, handle)?.key;
    state
        .hive
        .value(key, name)
        .cloned()
        .ok_or(STATUS_OBJECT_NAME_NOT_FOUND)
}

/// Writes a value below an open key.
pub(crate) fn set_value(handle: HANDLE, name: &str, value: Value) -> NTSTATUS {
    let registry = Registry::current();
    let mut state = registry.lock();
    match resolve(&state, handle) {
        Ok(open) => {
            state.hive.set_value(open.key, name, value);
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

/// Removes a value below an open key.
pub(crate) fn delete_value(handle: HANDLE, name: &str) -> NTSTATUS {
    let registry = Registry::current();
    let mut state = registry.lock();
    match resolve(&state, handle) {
        Ok(open) if state.hive.delete_value(open.key, name) => STATUS_SUCCESS,
        Ok(_) => STATUS_OBJECT_NAME_NOT_FOUND,
        Err(status) => status,
    }
}

/// Removes an open key; one with keys below it stays.
pub(crate) fn delete_key(handle: HANDLE) -> NTSTATUS {
    let registry = Registry::current();
    let mut state = registry.lock();
    match resolve(&state, handle) {
        Ok(open) if state.hive.has_children(open.key) => STATUS_CANNOT_DELETE,
        Ok(open) => {
            state.hive.delete(open.key);
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

/// Gives a handle back; a handle that is not open stops the machine.
pub(crate) fn close(handle: HANDLE) -> NTSTATUS {
    let registry = Registry::current();
    let mut state = registry.lock();
    if state.handles.remove(handle) {
        return STATUS_SUCCESS;
    }
    let story = if state.handles.was_open(handle) {
        "ZwClose of a registry handle that has been closed already"
    } else {
        "ZwClose of something that is no handle of this kernel"
    };
    drop(state);
    // A kernel handle closed twice: INVALID_KERNEL_HANDLE.
    machine::bug_check(
        0x93,
        [handle.addr() as u64, 1, 0, 0],
        format!("{story}: {handle:p}"),
    )
}

/// The hardware (`device`) or software key of the device below which `pdo` sits.
pub(crate) fn open_device_key(
    pdo: PDEVICE_OBJECT,
    kind: u32,
    access: u32,
) -> Result<HANDLE, NTSTATUS> {
    let Some(paths) = pnp::registry_paths(pdo) else {
        return Err(STATUS_INVALID_DEVICE_REQUEST);
    };
    let path = match kind {
        PLUGPLAY_REGKEY_DEVICE => paths.hardware,
        PLUGPLAY_REGKEY_DRIVER => paths.software,
        _ => return Err(STATUS_INVALID_PARAMETER),
    };
    open(ptr::null_mut(), &path, access)
}

fn resolve(state: &super::State, handle: HANDLE) -> Result<KeyHandle, NTSTATUS> {
    let open = state.handles.get(handle).ok_or(STATUS_INVALID_HANDLE)?;
    if state.hive.exists(open.key) {
        Ok(open)
    } else {
        Err(STATUS_KEY_DELETED)
    }
}

/// # Safety
///
/// `data` is NULL or holds `size` bytes.
pub(crate) unsafe fn gather(kind: u32, data: *const c_void, size: u32) -> Value {
    let mut bytes = vec![0_u8; size as usize];
    if !data.is_null() {
        // SAFETY: the caller vouches for `size` bytes.
        unsafe { ptr::copy_nonoverlapping(data.cast::<u8>(), bytes.as_mut_ptr(), bytes.len()) };
    }
    Value {
        kind: Kind::from_code(kind),
        data: bytes,
    }
}

/// The absolute path that a path of the `Rtl` registry functions stands for.
pub(crate) fn rtl_key_path(relative_to: u32, path: &str) -> Result<String, NTSTATUS> {
    const CONTROL_SET: &str = r"\Registry\Machine\System\CurrentControlSet";
    let prefix = match relative_to & !RTL_REGISTRY_OPTIONAL {
        RTL_REGISTRY_ABSOLUTE => return Ok(path.to_owned()),
        RTL_REGISTRY_SERVICES => format!(r"{CONTROL_SET}\Services"),
        2 => format!(r"{CONTROL_SET}\Control"),
        3 => r"\Registry\Machine\Software\Microsoft\Windows NT\CurrentVersion".to_owned(),
        4 => r"\Registry\Machine\Hardware\DeviceMap".to_owned(),
        _ => return Err(STATUS_INVALID_PARAMETER),
    };
    Ok(format!(r"{prefix}\{path}"))
}

//! What a device works by, as the registry has it for a person to read.

use ntsim::Stack;
use ntsim::registry::{Kind, Value};

/// A value, whatever its type; `None` if it is not there.
pub(crate) fn value(stack: &Stack, name: &str) -> Option<Value> {
    stack.registry_value(&format!(r"Effective\{name}"))
}

/// A value that is a `REG_DWORD`.
#[track_caller]
pub(crate) fn number(stack: &Stack, name: &str) -> Option<u32> {
    let value = value(stack, name)?;
    assert_eq!(value.kind, Kind::Dword, "{name}");
    Some(value.as_dword().expect("four bytes"))
}

/// A value that is a `REG_SZ`.
#[track_caller]
pub(crate) fn text(stack: &Stack, name: &str) -> Option<String> {
    let value = value(stack, name)?;
    assert_eq!(value.kind, Kind::Sz, "{name}");
    assert_eq!(value.data[value.data.len() - 2..], [0, 0], "{name} ends");
    value.as_text()
}

//! How a value is laid out in the buffer of `ZwQueryValueKey`.
//!
//! [`KEY_VALUE_BASIC_INFORMATION`, `KEY_VALUE_FULL_INFORMATION`, `KEY_VALUE_PARTIAL_INFORMATION` of
//! wdm.h]: what fits is copied, the length that would have been needed is always reported, and a
//! buffer too small for the fixed part gets nothing.

use super::hive::Value;
use crate::abi::{
    NTSTATUS, STATUS_BUFFER_OVERFLOW, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
};

/// `KeyValueBasicInformation`
pub const BASIC: i32 = 0;
/// `KeyValueFullInformation`
pub const FULL: i32 = 1;
/// `KeyValuePartialInformation`
pub const PARTIAL: i32 = 2;

/// Bytes of `KEY_VALUE_PARTIAL_INFORMATION` before its data.
pub const PARTIAL_HEADER: usize = 12;

/// The reply to a query: its bytes, how many of them are the fixed part.
struct Reply {
    bytes: Vec<u8>,
    fixed: usize,
}

/// The status, the bytes that go into a buffer of `room` bytes, and the length of the whole reply.
///
/// An unknown information class is `STATUS_INVALID_PARAMETER` with a length of 0.
#[must_use]
pub fn reply(class: i32, name: &str, value: &Value, room: usize) -> (NTSTATUS, Vec<u8>, usize) {
    let Some(mut reply) = layout(class, name, value) else {
        return (STATUS_INVALID_PARAMETER, Vec::new(), 0);
    };
    let needed = reply.bytes.len();
    if room < reply.fixed {
        return (STATUS_BUFFER_TOO_SMALL, Vec::new(), needed);
    }
    if room < needed {
        reply.bytes.truncate(room);
        return (STATUS_BUFFER_OVERFLOW, reply.bytes, needed);
    }
    (STATUS_SUCCESS, reply.bytes, needed)
}

fn layout(class: i32, name: &str, value: &Value) -> Option<Reply> {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let kind = value.kind.code();
    let length = value.data.len() as u32;
    let name_length = name.len() as u32;
    // Every structure begins with a title index, which is always 0.
    match class {
        BASIC => {
            let mut bytes = words(&[0, kind, name_length]);
            bytes.extend(&name);
            Some(Reply { bytes, fixed: 12 })
        }
        FULL => {
            let offset = (20 + name.len()).next_multiple_of(8);
            let mut bytes = words(&[0, kind, offset as u32, length, name_length]);
            bytes.extend(&name);
            bytes.resize(offset, 0);
            bytes.extend(&value.data);
            Some(Reply { bytes, fixed: 20 })
        }
        PARTIAL => {
            let mut bytes = words(&[0, kind, length]);
            bytes.extend(&value.data);
            Some(Reply {
                bytes,
                fixed: PARTIAL_HEADER,
            })
        }
        _ => None,
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_reply_is_cut_only_behind_its_header() {
        let value = Value::dword(0x1122_3344);
        let whole = reply(PARTIAL, "x", &value, 16);
        assert_eq!(whole.0, STATUS_SUCCESS);
        assert_eq!(
            whole.1[4..],
            [4, 0, 0, 0, 4, 0, 0, 0, 0x44, 0x33, 0x22, 0x11]
        );
        let (status, bytes, needed) = reply(PARTIAL, "x", &value, 14);
        assert_eq!(
            (status, bytes.len(), needed),
            (STATUS_BUFFER_OVERFLOW, 14, 16)
        );
        let (status, bytes, needed) = reply(PARTIAL, "x", &value, 11);
        assert_eq!(
            (status, bytes.len(), needed),
            (STATUS_BUFFER_TOO_SMALL, 0, 16)
        );
    }

    #[test]
    fn a_full_reply_says_where_its_data_begin() {
        let (status, bytes, _) = reply(FULL, "ab", &Value::dword(5), 64);
        assert_eq!(status, STATUS_SUCCESS);
        assert_eq!(bytes[8..12], [24, 0, 0, 0]);
        assert_eq!(bytes[20..24], [b'a', 0, b'b', 0]);
        assert_eq!(bytes[24..], [5, 0, 0, 0]);
    }

    #[test]
    fn an_unknown_class_is_refused() {
        assert_eq!(
            reply(9, "x", &Value::dword(1), 64).0,
            STATUS_INVALID_PARAMETER
        );
    }
}

//! `RtlQueryRegistryValues`: a table of questions, answered one by one.

use core::ptr;

use super::calls::{open, rtl_key_path, terminated, value};
use super::hive::{Kind, Value};
use crate::abi::{
    HANDLE, NT_SUCCESS, NTSTATUS, PCWSTR, PRTL_QUERY_REGISTRY_TABLE, PUNICODE_STRING, PVOID,
    RTL_QUERY_REGISTRY_DELETE, RTL_QUERY_REGISTRY_DIRECT, RTL_QUERY_REGISTRY_REQUIRED,
    RTL_QUERY_REGISTRY_SUBKEY, RTL_QUERY_REGISTRY_TABLE, RTL_QUERY_REGISTRY_TOPKEY,
    RTL_QUERY_REGISTRY_TYPECHECK, RTL_QUERY_REGISTRY_TYPECHECK_SHIFT, RTL_REGISTRY_HANDLE,
    RTL_REGISTRY_OPTIONAL, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_PARAMETER,
    STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_TYPE_MISMATCH, STATUS_SUCCESS, ULONG,
};
use crate::call;
use crate::export::exports;

/// One question, copied out of the caller's table.
struct Question {
    entry: RTL_QUERY_REGISTRY_TABLE,
    name: String,
}

impl Question {
    fn asks(&self, flag: u32) -> bool {
        self.entry.Flags & flag != 0
    }

    /// The type that `RTL_QUERY_REGISTRY_TYPECHECK` demands.
    fn demanded_type(&self) -> Option<u32> {
        self.asks(RTL_QUERY_REGISTRY_TYPECHECK)
            .then_some(self.entry.DefaultType >> RTL_QUERY_REGISTRY_TYPECHECK_SHIFT)
    }

    /// The value that a missing one is taken for: `REG_NONE` as default type means none.
    ///
    /// # Safety
    ///
    /// `DefaultData` holds `DefaultLength` bytes.
    unsafe fn default(&self) -> Option<Value> {
        let kind = self.entry.DefaultType & 0xFF;
        // SAFETY: the caller vouches for the default data.
        (kind != 0).then(|| unsafe {
            super::calls::gather(kind, self.entry.DefaultData, self.entry.DefaultLength)
        })
    }
}

/// Reads the table up to the entry that has neither routine nor name.
unsafe fn questions(table: PRTL_QUERY_REGISTRY_TABLE) -> Vec<Question> {
    let mut found = Vec::new();
    let mut at = table;
    // SAFETY: the caller's table ends in an entry of zeros.
    unsafe {
        loop {
            let entry = *at;
            if entry.QueryRoutine.is_none() && entry.Name.is_null() {
                return found;
            }
            found.push(Question {
                entry,
                name: terminated(entry.Name),
            });
            at = at.add(1);
        }
    }
}

unsafe fn answer(key: HANDLE, question: &Question, context: PVOID) -> NTSTATUS {
    if question.asks(RTL_QUERY_REGISTRY_SUBKEY | RTL_QUERY_REGISTRY_TOPKEY) {
        // Questions about other keys than the one named are not part of this registry.
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the question is the caller's, bound by the contract of the export.
    unsafe {
        let found = match value(key, &question.name) {
            Ok(found) => Some(found),
            Err(_) if question.asks(RTL_QUERY_REGISTRY_REQUIRED) => {
                return STATUS_OBJECT_NAME_NOT_FOUND;
            }
            Err(_) => question.default(),
        };
        let Some(found) = found else {
            return STATUS_SUCCESS;
        };
        if question
            .demanded_type()
            .is_some_and(|kind| kind != found.kind.code())
        {
            return STATUS_OBJECT_TYPE_MISMATCH;
        }
        let status = if question.asks(RTL_QUERY_REGISTRY_DIRECT) {
            store(&found, question.entry.EntryContext)
        } else {
            tell(question, found, context)
        };
        if NT_SUCCESS(status) && question.asks(RTL_QUERY_REGISTRY_DELETE) {
            return super::calls::delete_value(key, &question.name);
        }
        status
    }
}

/// `RTL_QUERY_REGISTRY_DIRECT`: numbers are stored as they are, strings into a counted string.
unsafe fn store(found: &Value, place: PVOID) -> NTSTATUS {
    // SAFETY: the caller's entry context is of the type that the value's type asks for.
    unsafe {
        match found.kind {
            Kind::Sz | Kind::ExpandSz | Kind::MultiSz => {
                let string: PUNICODE_STRING = place.cast();
                if usize::from((*string).MaximumLength) < found.data.len() {
                    return STATUS_BUFFER_TOO_SMALL;
                }
                let buffer = (*string).Buffer.cast::<u8>();
                ptr::copy_nonoverlapping(found.data.as_ptr(), buffer, found.data.len());
                (*string).Length = found.data.len().saturating_sub(2) as u16;
            }
            _ => {
                ptr::copy_nonoverlapping(found.data.as_ptr(), place.cast(), found.data.len());
            }
        }
    }
    STATUS_SUCCESS
}

/// Calls the driver's routine with a copy of the value.
unsafe fn tell(question: &Question, mut found: Value, context: PVOID) -> NTSTATUS {
    let Some(routine) = question.entry.QueryRoutine else {
        return STATUS_INVALID_PARAMETER;
    };
    // SAFETY: a routine of the caller, called as [RTL_QUERY_REGISTRY_ROUTINE of wdm.h] says.
    unsafe {
        call::enter(
            routine,
            (
                question.entry.Name,
                found.kind.code(),
                found.data.as_mut_ptr().cast(),
                found.data.len() as u32,
                context,
                question.entry.EntryContext,
            ),
        )
    }
}

exports! {
    run;

    /// Asks for several values below one key. Default values, required values, direct storage, type
    /// checks and deletion are supported; questions that move to other keys are
    /// `STATUS_INVALID_PARAMETER`. `PASSIVE_LEVEL`.
    fn RtlQueryRegistryValues(
        RelativeTo: ULONG,
        Path: PCWSTR,
        QueryTable: PRTL_QUERY_REGISTRY_TABLE,
        Context: PVOID,
        _Environment: PVOID,
    ) -> NTSTATUS {
        run.irql_at_most(0);
        // SAFETY: the pointers come from a caller bound by this function's contract; with
        // `RTL_REGISTRY_HANDLE` the path is a handle.
        unsafe {
            let by_handle = RelativeTo & RTL_REGISTRY_HANDLE != 0;
            let opened = if by_handle {
                Ok(Path.cast_mut().cast())
            } else {
                rtl_key_path(RelativeTo, &terminated(Path))
                    .and_then(|path| open(ptr::null_mut(), &path, 0))
            };
            let key = match opened {
                Ok(key) => key,
                Err(_) if RelativeTo & RTL_REGISTRY_OPTIONAL != 0 => return STATUS_SUCCESS,
                Err(status) => return status,
            };
            let status = questions(QueryTable)
                .iter()
                .map(|question| answer(key, question, Context))
                .find(|&status| !NT_SUCCESS(status))
                .unwrap_or(STATUS_SUCCESS);
            if !by_handle {
                let _: NTSTATUS = super::calls::close(key);
            }
            status
        }
    }
}

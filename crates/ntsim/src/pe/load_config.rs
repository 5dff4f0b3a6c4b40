//! The load configuration: where an image keeps its security cookie and its flow guard's pointers.

use std::mem::offset_of;

use object::pe;

use super::error::LoadError;
use super::file::{Access, Program, malformed};

/// What a linker writes into a security cookie; the loader puts something else there.
const DEFAULT_COOKIE: u64 = 0x0000_2B99_2DDF_A232;

/// Places that the loader fills in.
#[derive(Debug, Clone, Default)]
pub(super) struct LoadConfig {
    /// The `/GS` cookie, if it has its default value.
    pub(super) cookie: Option<usize>,
    /// The pointer through which the flow guard's check is called.
    pub(super) guard_check: Option<usize>,
    /// The pointer through which the flow guard calls the target itself.
    pub(super) guard_dispatch: Option<usize>,
}

/// Reads the directory at `address`. Its first word says how much of it there is.
pub(super) fn read(program: &Program, address: usize) -> Result<LoadConfig, LoadError> {
    type Directory = pe::ImageLoadConfigDirectory64;
    let size = number(program, address, 4)? as usize;
    let field = |offset: usize, bytes: usize| {
        if offset + bytes > size {
            return Ok(0);
        }
        number(program, address + offset, bytes)
    };
    let cookie = pointer(program, field(offset_of!(Directory, security_cookie), 8)?)?;
    let cookie = cookie.filter(|&at| number(program, at, 8) == Ok(DEFAULT_COOKIE));
    if cookie.is_some_and(|at| program.access(at, 8) != Some(Access::Write)) {
        return Err(malformed(
            "its security cookie lies in memory that is not writable",
        ));
    }
    let flags = field(offset_of!(Directory, guard_flags), 4)? as u32;
    if flags & pe::IMAGE_GUARD_CF_INSTRUMENTED.0 == 0 {
        return Ok(LoadConfig {
            cookie,
            ..LoadConfig::default()
        });
    }
    let check = field(offset_of!(Directory, guard_cf_check_function_pointer), 8)?;
    let dispatch = field(offset_of!(Directory, guard_cf_dispatch_function_pointer), 8)?;
    Ok(LoadConfig {
        cookie,
        guard_check: pointer(program, check)?,
        guard_dispatch: pointer(program, dispatch)?,
    })
}

/// The offset of the 8 bytes at a linked address; `None` for a null pointer.
fn pointer(program: &Program, address: u64) -> Result<Option<usize>, LoadError> {
    if address == 0 {
        return Ok(None);
    }
    let offset = address.wrapping_sub(program.preferred) as usize;
    if program.access(offset, 8).is_none() {
        return Err(malformed(format!(
            "its load configuration points to {address:#x}, which lies outside"
        )));
    }
    Ok(Some(offset))
}

fn number(program: &Program, offset: usize, bytes: usize) -> Result<u64, LoadError> {
    let found = offset
        .checked_add(bytes)
        .and_then(|end| program.memory.get(offset..end))
        .ok_or_else(|| malformed("its load configuration lies outside"))?;
    let mut value = [0; 8];
    value[..bytes].copy_from_slice(found);
    Ok(u64::from_le_bytes(value))
}

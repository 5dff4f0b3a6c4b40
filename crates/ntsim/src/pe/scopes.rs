//! Guarded calls: what a binary's unwind data say about its `__try` blocks.
//!
//! The exception directory has an entry for each function, whose unwind data can name a handler. With
//! `__C_specific_handler` a scope table follows: which instructions are guarded, by which filter, and
//! where execution goes on. Only those functions are kept here.

use std::ops::Range;

use object::pe;

use super::error::LoadError;
use super::file::{Access, Program, malformed};

/// Bytes of a `RUNTIME_FUNCTION`.
const FUNCTION: usize = 12;
/// Bytes of an entry of a scope table.
const SCOPE: usize = 16;
/// `UNW_FLAG_EHANDLER`, `UNW_FLAG_CHAININFO`
const HANDLER: u8 = 1;
const CHAINED: u8 = 4;
/// Parts of one function that are chained; more are a circle.
const LONGEST_CHAIN: usize = 32;
/// What the compilers put in place of a filter that always says `EXCEPTION_EXECUTE_HANDLER`.
const EXECUTE_HANDLER: u32 = 1;

/// A part of a function that has `__try` blocks.
#[derive(Debug, Clone)]
pub(super) struct Guarded {
    code: Range<usize>,
    /// Inner blocks come first.
    scopes: Vec<Scope>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Scope {
    code: Range<usize>,
    filter: u32,
    /// Where execution goes on; 0 for a `__finally`.
    target: usize,
}

/// What an exception meets in a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handler {
    /// Execution goes on at this offset in the image.
    At(usize),
    /// No `__try` block is around the call.
    None,
    /// Something that is not modelled.
    Unknown(&'static str),
}

/// Who handles an exception that a call raises which returns to `pc`, an offset in the image, within
/// the function that has made the call.
pub(super) fn handler(functions: &[Guarded], pc: usize) -> Handler {
    let function = functions.iter().find(|known| known.code.contains(&pc));
    let scopes = function.map_or(&[][..], |known| &known.scopes);
    match scopes.iter().find(|scope| scope.code.contains(&pc)) {
        None => Handler::None,
        Some(scope) if scope.target == 0 => {
            Handler::Unknown("a __finally block is around the call")
        }
        Some(scope) if scope.filter != EXECUTE_HANDLER => {
            Handler::Unknown("the __except around the call has a filter that would have to be run")
        }
        Some(scope) => Handler::At(scope.target),
    }
}

/// Reads the exception directory.
pub(super) fn read(
    program: &Program,
    (address, size): (usize, usize),
) -> Result<Vec<Guarded>, LoadError> {
    let mut found = Vec::new();
    for index in 0..size / FUNCTION {
        let entry = address + index * FUNCTION;
        let begin = number(program, entry)? as usize;
        let end = number(program, entry + 4)? as usize;
        let unwind = number(program, entry + 8)? as usize;
        if begin >= end || program.access(begin, end - begin) != Some(Access::Execute) {
            return Err(malformed(format!(
                "its exception directory has a function at {begin:#x} that is none"
            )));
        }
        let scopes = read_scopes(program, unwind)?;
        if !scopes.is_empty() {
            let code = begin..end;
            found.push(Guarded { code, scopes });
        }
    }
    Ok(found)
}

/// The scope table behind unwind data, if there is one.
fn read_scopes(program: &Program, unwind: usize) -> Result<Vec<Scope>, LoadError> {
    let mut unwind = unwind;
    for _ in 0..LONGEST_CHAIN {
        // Version and flags, bytes of the prolog, unwind codes, frame register.
        let [head, _, codes, _] = number(program, unwind)?.to_le_bytes();
        let flags = head >> 3;
        let rest = unwind + 4 + 2 * usize::from(codes).next_multiple_of(2);
        if flags & CHAINED != 0 {
            unwind = number(program, rest + 8)? as usize;
            continue;
        }
        if flags & HANDLER == 0 || !is_c_handler(program, number(program, rest)? as usize) {
            return Ok(Vec::new());
        }
        return read_table(program, rest + 4);
    }
    Err(malformed("its unwind data are chained in a circle"))
}

fn read_table(program: &Program, table: usize) -> Result<Vec<Scope>, LoadError> {
    let count = number(program, table)? as usize;
    let mut scopes = Vec::new();
    for index in 0..count {
        let entry = table + 4 + index * SCOPE;
        let scope = Scope {
            code: number(program, entry)? as usize..number(program, entry + 4)? as usize,
            filter: number(program, entry + 8)?,
            target: number(program, entry + 12)? as usize,
        };
        let leads_nowhere =
            scope.target != 0 && program.access(scope.target, 1) != Some(Access::Execute);
        if leads_nowhere {
            return Err(malformed(format!(
                "a __try block's handler at {:#x} is no code",
                scope.target
            )));
        }
        scopes.push(scope);
    }
    Ok(scopes)
}

/// Whether the code at an offset is a jump through the import of `__C_specific_handler`: another
/// handler's data have another form.
fn is_c_handler(program: &Program, at: usize) -> bool {
    // A prefix that some linkers put there changes nothing.
    let at = at + usize::from(program.memory.get(at) == Some(&0x48));
    let is_jump = program
        .memory
        .get(at..)
        .is_some_and(|code| code.starts_with(&[0xFF, 0x25]));
    let Some(distance) = number(program, at + 2).ok().filter(|_| is_jump) else {
        return false;
    };
    let slot = (at + 6).wrapping_add_signed(distance.cast_signed() as isize);
    let mut imports = program.imports.iter();
    imports.any(|import| import.slot == slot && import.name == "__C_specific_handler")
}

fn number(program: &Program, at: usize) -> Result<u32, LoadError> {
    let bytes = at
        .checked_add(4)
        .and_then(|end| program.memory.get(at..end))
        .ok_or_else(|| malformed("its unwind data lie outside"))?;
    let mut word = [0; 4];
    word.copy_from_slice(bytes);
    Ok(u32::from_le_bytes(word))
}

/// The directory that [`read`] reads.
pub(super) const DIRECTORY: usize = pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION;

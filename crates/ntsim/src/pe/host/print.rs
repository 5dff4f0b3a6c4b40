//! `DbgPrint` and its relatives: variadic functions.
//!
//! By Microsoft's convention a variadic function gets its first four arguments in registers and
//! finds room for them in front of the rest on the stack, so that storing them there makes one
//! array of all. An argument list is the address of its next element.

use core::ffi::c_char;
use std::fmt::Write as _;

use crate::abi::UNICODE_STRING;
use crate::machine;

/// The routines by name.
pub(super) fn variadic() -> [(&'static str, *const ()); 4] {
    [
        ("DbgPrint", dbg_print as *const ()),
        ("DbgPrintEx", dbg_print_ex as *const ()),
        ("vDbgPrintEx", v_dbg_print_ex as *const ()),
        (
            "vDbgPrintExWithPrefix",
            v_dbg_print_ex_with_prefix as *const (),
        ),
    ]
}

/// Stores the register arguments and passes the address of the array on.
macro_rules! variadic {
    ($name:ident, $inner:ident) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "mov [rsp + 8], rcx",
                "mov [rsp + 16], rdx",
                "mov [rsp + 24], r8",
                "mov [rsp + 32], r9",
                "lea rcx, [rsp + 8]",
                "sub rsp, 40",
                "call {inner}",
                "add rsp, 40",
                "ret",
                inner = sym $inner,
            )
        }
    };
}
variadic!(dbg_print, print_from_first);
variadic!(dbg_print_ex, print_from_third);

/// `DbgPrint(Format, ...)`
unsafe extern "win64" fn print_from_first(arguments: *const u64) -> i32 {
    // SAFETY: the first argument is the format, the others are what it asks for.
    unsafe { print("", pointer(arguments), arguments.add(1)) }
}

/// `DbgPrintEx(ComponentId, Level, Format, ...)`
unsafe extern "win64" fn print_from_third(arguments: *const u64) -> i32 {
    // SAFETY: as above, from the third on.
    unsafe { print("", pointer(arguments.add(2)), arguments.add(3)) }
}

unsafe extern "win64" fn v_dbg_print_ex(
    _component: u32,
    _level: u32,
    format: *const c_char,
    arguments: *const u64,
) -> i32 {
    // SAFETY: the caller's format and list.
    unsafe { print("", format, arguments) }
}

unsafe extern "win64" fn v_dbg_print_ex_with_prefix(
    prefix: *const c_char,
    _component: u32,
    _level: u32,
    format: *const c_char,
    arguments: *const u64,
) -> i32 {
    // SAFETY: the caller's strings and list.
    unsafe { print(&narrow(prefix, None), format, arguments) }
}

/// # Safety
/// `at` is readable and holds an address.
unsafe fn pointer<T>(at: *const u64) -> *const T {
    // SAFETY: the caller's contract.
    std::ptr::with_exposed_provenance(unsafe { at.read() } as usize)
}

/// # Safety
/// The format is a string, and the list has what it asks for.
unsafe fn print(prefix: &str, format: *const c_char, arguments: *const u64) -> i32 {
    // SAFETY: the caller's contract.
    let text = unsafe { formatted(&narrow(format, None), arguments) };
    machine::with(|machine| machine.print(&format!("{prefix}{text}")));
    0
}

/// # Safety
/// `string` is null or has `most` bytes or a zero.
unsafe fn narrow(string: *const c_char, most: Option<usize>) -> String {
    if string.is_null() {
        return "(null)".to_owned();
    }
    let bytes: Vec<u8> = (0..most.unwrap_or(usize::MAX))
        // SAFETY: the caller's contract.
        .map(|at| unsafe { string.cast::<u8>().add(at).read() })
        .take_while(|&byte| byte != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// # Safety
/// `string` is null or has `most` units or a zero.
unsafe fn wide(string: *const u16, most: Option<usize>) -> String {
    if string.is_null() {
        return "(null)".to_owned();
    }
    let units: Vec<u16> = (0..most.unwrap_or(usize::MAX))
        // SAFETY: the caller's contract.
        .map(|at| unsafe { string.add(at).read() })
        .take_while(|&unit| unit != 0)
        .collect();
    String::from_utf16_lossy(&units)
}

/// One `%…` of a format.
#[derive(Default)]
struct Directive {
    left: bool,
    zeros: bool,
    sign: bool,
    prefix: bool,
    width: usize,
    precision: Option<usize>,
    /// `l`, `ll`, `I64`, `w`, `h`, …
    size: String,
    kind: char,
}

impl Directive {
    fn is_long(&self) -> bool {
        matches!(self.size.as_str(), "ll" | "I64" | "I" | "j" | "z" | "t")
    }

    fn is_wide(&self) -> bool {
        match self.kind {
            'S' => self.size != "h",
            _ => matches!(self.size.as_str(), "w" | "l"),
        }
    }

    fn read(
        format: &mut std::iter::Peekable<std::str::Chars<'_>>,
        mut next: impl FnMut() -> u64,
    ) -> Self {
        let mut directive = Self::default();
        while let Some(flag) = format.next_if(|c| "-0+ #".contains(*c)) {
            match flag {
                '-' => directive.left = true,
                '0' => directive.zeros = true,
                '+' => directive.sign = true,
                '#' => directive.prefix = true,
                _ => {}
            }
        }
        let mut number = |format: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            if format.next_if_eq(&'*').is_some() {
                return next() as u32 as usize;
            }
            let mut value = 0_usize;
            while let Some(digit) = format.next_if(char::is_ascii_digit) {
                value = value.saturating_mul(10) + digit as usize - '0' as usize;
            }
            value
        };
        directive.width = number(format).min(1 << 10);
        if format.next_if_eq(&'.').is_some() {
            directive.precision = Some(number(format).min(1 << 16));
        }
        while let Some(size) = format.next_if(|c| "hljztwI".contains(*c)) {
            directive.size.push(size);
            if size == 'I' {
                while let Some(digit) = format.next_if(char::is_ascii_digit) {
                    directive.size.push(digit);
                }
            }
        }
        directive.kind = format.next().unwrap_or('%');
        directive
    }

    fn digits(&self, value: u64) -> String {
        let value = if self.is_long() {
            value
        } else {
            u64::from(value as u32)
        };
        let digits = match self.kind {
            'x' if self.prefix => format!("{value:#x}"),
            'x' => format!("{value:x}"),
            'X' => format!("{value:X}"),
            'o' => format!("{value:o}"),
            _ => value.to_string(),
        };
        format!("{digits:0>width$}", width = self.precision.unwrap_or(1))
    }

    fn signed(&self, value: u64) -> String {
        let value = if self.is_long() {
            value as i64
        } else {
            i64::from(value as i32)
        };
        let digits = format!(
            "{:0>width$}",
            value.unsigned_abs(),
            width = self.precision.unwrap_or(1)
        );
        match (value < 0, self.sign) {
            (true, _) => format!("-{digits}"),
            (false, true) => format!("+{digits}"),
            (false, false) => digits,
        }
    }

    /// # Safety
    /// `value` is what the directive asks for.
    unsafe fn show(&self, value: u64) -> String {
        let address = value as usize;
        // SAFETY: the caller's contract: a string's address is one.
        unsafe {
            match self.kind {
                'd' | 'i' => self.signed(value),
                'u' | 'x' | 'X' | 'o' => self.digits(value),
                'p' => format!("{value:016X}"),
                'c' => char::from(value as u8).to_string(),
                'C' => String::from_utf16_lossy(&[value as u16]),
                'Z' => counted(std::ptr::with_exposed_provenance(address), self.is_wide()),
                _ if self.is_wide() => {
                    wide(std::ptr::with_exposed_provenance(address), self.precision)
                }
                _ => narrow(std::ptr::with_exposed_provenance(address), self.precision),
            }
        }
    }

    fn pad(&self, text: &str, out: &mut String) {
        let width = self.width;
        let number = !matches!(self.kind, 's' | 'S' | 'c' | 'C' | 'Z');
        let _infallible = match (self.left, self.zeros && number) {
            (true, _) => write!(out, "{text:<width$}"),
            (false, true) => write!(out, "{text:0>width$}"),
            (false, false) => write!(out, "{text:>width$}"),
        };
    }
}

/// # Safety
/// `string` is null or a counted string.
unsafe fn counted(string: *const UNICODE_STRING, is_wide: bool) -> String {
    if string.is_null() {
        return "(null)".to_owned();
    }
    // SAFETY: the caller's contract; both kinds of counted strings have the same fields.
    unsafe {
        let bytes = usize::from((*string).Length);
        let buffer = (*string).Buffer;
        if is_wide {
            wide(buffer, Some(bytes / 2))
        } else {
            narrow(buffer.cast(), Some(bytes))
        }
    }
}

/// # Safety
/// The list has what the format asks for.
unsafe fn formatted(format: &str, mut arguments: *const u64) -> String {
    let mut next = || {
        // SAFETY: the caller's contract.
        unsafe {
            let value = arguments.read();
            arguments = arguments.add(1);
            value
        }
    };
    let mut out = String::new();
    let mut rest = format.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let directive = Directive::read(&mut rest, &mut next);
        if !"diuxXopcCsSZ".contains(directive.kind) {
            out.push(directive.kind);
            continue;
        }
        // SAFETY: the caller's contract.
        let text = unsafe { directive.show(next()) };
        directive.pad(&text, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::formatted;

    #[test]
    fn directives_show_what_they_do_in_c() {
        let wide: Vec<u16> = "wide".encode_utf16().chain([0]).collect();
        let arguments = [
            u64::from((-5_i32).cast_unsigned()),
            0xABCD,
            1 << 40,
            c"text".as_ptr().expose_provenance() as u64,
            wide.as_ptr().expose_provenance() as u64,
            0x10,
            7,
        ];
        let format = "%d|%#x|%I64u|%-6s|%5ls|%p|%04u|100%%";
        // SAFETY: the list has what the format asks for.
        let text = unsafe { formatted(format, arguments.as_ptr()) };
        assert_eq!(
            text,
            "-5|0xabcd|1099511627776|text  | wide|0000000000000010|0007|100%"
        );
    }
}

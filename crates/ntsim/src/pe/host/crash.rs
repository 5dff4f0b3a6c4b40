//! Crashes in images.
//!
//! A linked driver that follows a bad address takes the process with it. An image's code is told
//! apart by its address, and holds no lock of the simulation's while it runs, so that its signals
//! can become bug checks: the handler makes the thread go on in [`report`], as if the image had
//! called it, and the thread parks there like any other that has stopped its machine.

use std::sync::Once;
use std::sync::OnceLock;

use libc::{
    REG_EFL, REG_ERR, REG_R8, REG_R9, REG_RCX, REG_RDI, REG_RDX, REG_RIP, REG_RSI, REG_RSP,
    REG_TRAPNO,
};

use super::{arena, runtime};
use crate::machine::context::{self, DISPATCH};
use crate::machine::{bug_check, codes};
use crate::pe::file::PAGE;

const SIGNALS: [libc::c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
];

/// Exceptions of the processor.
const PAGE_FAULT: u64 = 14;
/// A page fault's error code: the page is there; it was a write; it was a fetch of code.
const PRESENT: u64 = 1;
const WRITE: u64 = 2;
const FETCH: u64 = 16;

/// The direction flag, which functions expect to be clear.
const DIRECTION: i64 = 1 << 10;

/// What a page fault at the end of the stack is passed on as.
const OVERFLOW: libc::c_int = 0;
/// A fault so close to the end of the stack in use is one of the stack's.
const LARGEST_FRAME: usize = 1 << 20;
/// Bytes of stack for a report.
const ROOM: usize = 256 << 10;
/// Bytes that are left alone under the stack in use.
const RED_ZONE: usize = 512;

/// `STATUS_` codes that such exceptions have on Windows.
const BREAKPOINT: u64 = 0x8000_0003;
const ACCESS_VIOLATION: u64 = 0xC000_0005;
const ILLEGAL_INSTRUCTION: u64 = 0xC000_001D;
const INTEGER_DIVIDE_BY_ZERO: u64 = 0xC000_0094;
const PRIVILEGED_INSTRUCTION: u64 = 0xC000_0096;

/// What handled the signals before.
static BEFORE: OnceLock<Vec<(libc::c_int, libc::sigaction)>> = OnceLock::new();

/// Takes over the signals of crashes, once for the process.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = SIGNALS.iter().map(|&signal| (signal, current(signal)));
        // The handler may be needed as soon as it is set, so what it needs comes first.
        BEFORE.get_or_init(|| before.collect());
        for signal in SIGNALS {
            // SAFETY: an all-zero sigaction is one; its fields follow.
            let mut action = unsafe { std::mem::zeroed::<libc::sigaction>() };
            action.sa_sigaction = (on_signal as *const ()).expose_provenance();
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            // SAFETY: the handler does only what a handler may.
            let done = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
            assert_eq!(done, 0, "the signals of crashes can be handled");
        }
    });
}

fn current(signal: libc::c_int) -> libc::sigaction {
    // SAFETY: asks only; an all-zero sigaction is one.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        libc::sigaction(signal, std::ptr::null(), &raw mut action);
        action
    }
}

/// # Safety
/// Called by the host for a signal.
unsafe extern "C" fn on_signal(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the host passes both.
    let (address, registers) = unsafe {
        let address = (*info).si_addr().addr();
        let context = context.cast::<libc::ucontext_t>();
        (address, &mut (*context).uc_mcontext.gregs)
    };
    let register = |index: libc::c_int| registers[index as usize] as usize;
    let mut at = register(REG_RIP);
    let fetch = signal == libc::SIGSEGV
        && register(REG_TRAPNO) as u64 == PAGE_FAULT
        && register(REG_ERR) as u64 & FETCH != 0;
    if !arena::contains(at) && (fetch || runtime::is_leaf(at)) {
        // A call to an address where nothing is, or a routine that touches memory for the image:
        // whose call it was says the return address.
        let stack: *const usize = std::ptr::with_exposed_provenance(register(REG_RSP));
        // SAFETY: fetching came after pushing or popping, so that the stack is there; the routines
        // have the return address on its top.
        at = unsafe { stack.read() };
    }
    if !arena::contains(at) {
        // SAFETY: as this function.
        unsafe { pass_on(signal, info, context) };
        return;
    }
    let stack = register(REG_RSP);
    let is_page_fault = signal == libc::SIGSEGV && register(REG_TRAPNO) as u64 == PAGE_FAULT;
    let near = stack.wrapping_sub(LARGEST_FRAME)..stack.wrapping_add(PAGE);
    let (signal, stack) = if is_page_fault && near.contains(&address) {
        // None is left to report on: frames that nothing will return to make room.
        (OVERFLOW, stack + ROOM)
    } else {
        (signal, stack - RED_ZONE)
    };
    let stack = stack & !15;
    let arguments = [
        (REG_RDI, signal as usize),
        (REG_RSI, at),
        (REG_RDX, address),
        (REG_R8, register(REG_RCX)),
        (REG_RCX, register(REG_TRAPNO)),
        (REG_R9, register(REG_ERR)),
        // As if it had been called.
        (REG_RSP, stack - 8),
        (REG_RIP, report as *const () as usize),
    ];
    registers[REG_EFL as usize] &= !DIRECTION;
    for (index, value) in arguments {
        registers[index as usize] = value as i64;
    }
}

/// # Safety
/// As [`on_signal`].
unsafe fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    type Handler = unsafe extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
    let before = BEFORE
        .get()
        .and_then(|before| before.iter().find(|(known, _)| *known == signal));
    match before {
        Some((_, action)) if action.sa_flags & libc::SA_SIGINFO != 0 => {
            let handler: *const () = std::ptr::with_exposed_provenance(action.sa_sigaction);
            // SAFETY: a handler of three arguments, as its flags say.
            let handler = unsafe { std::mem::transmute::<*const (), Handler>(handler) };
            // SAFETY: called as the host would.
            unsafe { handler(signal, info, context) };
        }
        _ => {
            // The default, when the instruction is tried again.
            // SAFETY: allowed in a handler.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}

/// Where a crashed thread goes on.
extern "C" fn report(
    signal: libc::c_int,
    at: usize,
    address: usize,
    trap: u64,
    rcx: u64,
    error: u64,
) -> ! {
    let place = arena::place_of(at);
    let text = place
        .as_ref()
        .map_or_else(|| format!("{at:#x}"), |place| place.text.clone());
    let crash = Crash {
        at: at as u64,
        address: address as u64,
        error,
        loaded: place.is_some_and(|place| place.loaded),
        text,
    };
    let Some(context) = context::try_current() else {
        eprintln!(
            "{}: a crash outside any machine (signal {signal})",
            crash.text
        );
        std::process::abort();
    };
    let irql = context.irql.get();
    let (code, parameters, story) = match signal {
        OVERFLOW => {
            let story = format!("{} used up the stack.", crash.text);
            (codes::UNEXPECTED_KERNEL_MODE_TRAP, [8, 0, 0, 0], story)
        }
        libc::SIGSEGV if trap == PAGE_FAULT => crash.page_fault(irql),
        libc::SIGSEGV | libc::SIGBUS => crash.protection_fault(rcx),
        libc::SIGTRAP => crash.exception(BREAKPOINT, "a breakpoint, and no debugger is attached"),
        libc::SIGFPE => crash.exception(INTEGER_DIVIDE_BY_ZERO, "a division by zero"),
        _ => crash.exception(
            ILLEGAL_INSTRUCTION,
            "an instruction that the processor does not know",
        ),
    };
    bug_check(code, parameters, story)
}

struct Crash {
    at: u64,
    address: u64,
    error: u64,
    /// The code that crashed is there.
    loaded: bool,
    text: String,
}

type Report = (u32, [u64; 4], String);

impl Crash {
    fn page_fault(&self, irql: u8) -> Report {
        let Self { at, address, .. } = *self;
        let text = &self.text;
        let what = match self.error & (WRITE | FETCH) {
            WRITE => "wrote to",
            FETCH => "jumped to",
            _ => "read from",
        };
        let access = match self.error & (WRITE | FETCH) {
            WRITE => 2,
            FETCH => 10,
            _ => 0,
        };
        let target = arena::place_of(self.address as usize);
        // The host says so of addresses that are its own, too.
        let present = self.error & PRESENT != 0 && target.is_some();
        let target = match target {
            Some(target) => format!("{address:#x}, {}", target.text),
            None => format!("{address:#x}, where nothing is"),
        };
        let story = format!("{text} {what} {target}.");
        if self.error & FETCH != 0 && !self.loaded {
            let story = format!("{story} The image was unloaded, and something still called it.");
            let code = codes::DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS;
            return (code, [address, 8, at, 0], story);
        }
        if present && self.error & FETCH != 0 {
            let code = codes::ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY;
            return (code, [address, 0, 0, 0], story);
        }
        if present && self.error & WRITE != 0 {
            return (
                codes::ATTEMPTED_WRITE_TO_READONLY_MEMORY,
                [address, 0, 0, 0],
                story,
            );
        }
        if irql >= DISPATCH {
            let parameters = [address, u64::from(irql), access, at];
            return (codes::DRIVER_IRQL_NOT_LESS_OR_EQUAL, parameters, story);
        }
        (
            codes::PAGE_FAULT_IN_NONPAGED_AREA,
            [address, access, at, 0],
            story,
        )
    }

    /// Everything that the processor refuses for its own reasons.
    fn protection_fault(&self, rcx: u64) -> Report {
        match self.instruction() {
            [0xCD, 0x29, ..] => {
                let story = format!("{} called __fastfail with code {rcx}.", self.text);
                (codes::KERNEL_SECURITY_CHECK_FAILURE, [rcx, 0, 0, 0], story)
            }
            // cli, sti, hlt; control and debug registers with and without a prefix; int n; MSRs.
            [0xFA | 0xFB | 0xF4 | 0xCD, ..]
            | [0x0F, 0x20..=0x23 | 0x30 | 0x32, ..]
            | [0x40..=0x4F, 0x0F, 0x20..=0x23, ..] => {
                let what = "a privileged instruction: an inlined intrinsic such as KeRaiseIrql's?";
                self.exception(PRIVILEGED_INSTRUCTION, what)
            }
            _ => {
                let story = format!("{} used an address that cannot exist.", self.text);
                let parameters = [ACCESS_VIOLATION, self.at, 0, u64::MAX];
                (codes::KMODE_EXCEPTION_NOT_HANDLED, parameters, story)
            }
        }
    }

    fn exception(&self, status: u64, what: &str) -> Report {
        let story = format!("{} ran into {what}.", self.text);
        (
            codes::KMODE_EXCEPTION_NOT_HANDLED,
            [status, self.at, 0, 0],
            story,
        )
    }

    fn instruction(&self) -> [u8; 4] {
        if !self.loaded {
            return [0; 4];
        }
        let code: *const u8 = std::ptr::with_exposed_provenance(self.at as usize);
        // SAFETY: executable memory of a loaded image, which is readable; a page of gates follows
        // the last one.
        std::array::from_fn(|index| unsafe { code.add(index).read() })
    }
}

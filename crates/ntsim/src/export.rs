//! What the kernel exports, one definition each.
//!
//! `exports!` makes of each definition the `extern "C"` function that linked driver sources call,
//! an `extern "win64"` entry for a loaded image, and a row in the table in which a loader looks
//! names up. Every export is a place where an interrupt may come in, before and after its work.

use std::rc::Rc;

use crate::abi::{KIRQL, NTSTATUS};
use crate::machine::context::{self, Context};
use crate::machine::{CallId, Violation, codes};

/// A row of an export table: a name and the entry for a loaded image.
#[derive(Debug, Clone, Copy)]
pub struct Export {
    /// The name in `ntoskrnl.exe`'s export directory.
    pub name: &'static str,
    /// The entry that follows the Windows calling convention; null where there is none.
    pub entry: *const (),
}

// SAFETY: the pointer is the address of a function.
unsafe impl Sync for Export {}
// SAFETY: as above.
unsafe impl Send for Export {}

/// An export at work.
pub(crate) struct Running {
    context: Rc<Context>,
    outer: &'static str,
    noted: Option<CallId>,
}

impl Running {
    pub(crate) fn new(name: &'static str) -> Self {
        let context = context::current();
        let outer = context.call.replace(name);
        context.kernel_frames.set(context.kernel_frames.get() + 1);
        context.machine.interrupt_point(&context);
        let noted = context.machine.calls.note(&context, name);
        Self {
            context,
            outer,
            noted,
        }
    }

    /// Adds to the note of this call, if it was noted.
    pub(crate) fn tell(&self, pages: usize, status: NTSTATUS) {
        if let Some(call) = self.noted {
            self.context.machine.calls.tell(call, pages, status);
        }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Stops the machine unless the IRQL is at most `limit`.
    pub(crate) fn irql_at_most(&self, limit: KIRQL) {
        let irql = self.context.irql.get();
        if irql > limit {
            let name = self.context.call.get();
            let story = format!(
                "{name} may be called at IRQL {limit} or below, and was called at IRQL {irql}."
            );
            let parameters = [0, u64::from(irql), 0, 0];
            Violation::new(codes::IRQL_NOT_LESS_OR_EQUAL, parameters, story).raise();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.context.machine.interrupt_point(&self.context);
        self.context
            .kernel_frames
            .set(self.context.kernel_frames.get() - 1);
        self.context.call.set(self.outer);
    }
}

/// Defines exports. `run` names the [`Running`] export in the bodies.
macro_rules! exports {
    ($run:ident; $( $(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block )*) => {
        $(
            $(#[$meta])*
            ///
            /// # Safety
            /// As the function's contract in the Windows headers and documentation says.
            #[allow(
                non_snake_case,
                unused_variables,
                clippy::too_many_arguments,
                reason = "the headers name functions and arguments, and not every argument matters here"
            )]
            pub unsafe extern "C" fn $name($($arg: $ty),*) $(-> $ret)? {
                let $run = $crate::export::Running::new(stringify!($name));
                $body
            }
        )*

        #[cfg(all(target_arch = "x86_64", not(miri)))]
        mod win64 {
            #[allow(unused_imports, reason = "an export may have no arguments")]
            use super::*;
            $(
                #[allow(
                    non_snake_case,
                    clippy::too_many_arguments,
                    reason = "the headers name functions and arguments"
                )]
                pub(super) unsafe extern "win64" fn $name($($arg: $ty),*) $(-> $ret)? {
                    // SAFETY: the caller's contract is the function's own.
                    unsafe { super::$name($($arg),*) }
                }
            )*
        }

        /// This module's part of the export table.
        pub(crate) const TABLE: &[$crate::export::Export] = &[
            $( $crate::export::Export {
                name: stringify!($name),
                #[cfg(all(target_arch = "x86_64", not(miri)))]
                entry: win64::$name as *const (),
                #[cfg(not(all(target_arch = "x86_64", not(miri))))]
                entry: core::ptr::null(),
            } ),*
        ];
    };
}
pub(crate) use exports;

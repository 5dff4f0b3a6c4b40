//! Debug output and bug checks that drivers raise themselves.

use crate::machine::{self, context};

/// What `DbgPrint` does with text that is already formatted: a variadic function cannot be defined
/// in stable Rust, so `wdk::println!` comes here. Any IRQL.
pub fn debug_print(text: std::fmt::Arguments<'_>) {
    if context::try_current().is_some() {
        machine::with(|machine| machine.print(&text.to_string()));
    }
}

pub(super) mod exports {
    //! `KeBugCheckEx`.

    use crate::abi::{ULONG, ULONG_PTR};
    use crate::export::exports;
    use crate::machine::bug_check;

    exports! { run;
        /// Stops the machine.
        fn KeBugCheckEx(BugCheckCode: ULONG, BugCheckParameter1: ULONG_PTR, BugCheckParameter2: ULONG_PTR, BugCheckParameter3: ULONG_PTR, BugCheckParameter4: ULONG_PTR) -> ! {
            let parameters = [BugCheckParameter1, BugCheckParameter2, BugCheckParameter3, BugCheckParameter4];
            bug_check(BugCheckCode, parameters, "KeBugCheckEx was called.".to_owned())
        }
    }
}

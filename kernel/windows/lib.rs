//! The items of the crate `windows` that wdk-build uses to look for an installed WDK, for a machine
//! without a registry: every key is absent.

/// Names with a terminating zero.
pub mod core {
    /// A pointer to such a name. Nothing here reads it.
    #[derive(Clone, Copy, Debug)]
    pub struct PCSTR(pub *const u8);

    /// Makes one of a literal.
    #[doc(hidden)]
    #[macro_export]
    macro_rules! literal {
        ($text:literal) => {
            $crate::core::PCSTR(concat!($text, "\0").as_ptr())
        };
    }

    pub use crate::literal as s;
}

/// Laid out as the real crate is.
#[allow(non_snake_case)]
pub mod Win32 {
    /// Laid out as the real crate is.
    pub mod System {
        /// The registry.
        pub mod Registry {
            use crate::core::PCSTR;

            /// An open key. There is none.
            #[derive(Clone, Copy, Debug, Default)]
            pub struct HKEY;

            /// The machine's own.
            pub const HKEY_LOCAL_MACHINE: HKEY = HKEY;
            /// An access right.
            pub const KEY_READ: u32 = 0x0002_0019;
            /// A kind of value.
            pub const RRF_RT_REG_SZ: u32 = 2;

            /// ERROR_FILE_NOT_FOUND, always.
            #[derive(Clone, Copy, Debug)]
            pub struct NotFound;

            impl NotFound {
                /// Never.
                pub fn is_ok(self) -> bool {
                    false
                }

                /// As a result.
                ///
                /// # Errors
                /// Always.
                pub fn ok(self) -> Result<(), Self> {
                    Err(self)
                }
            }

            /// # Safety
            /// Touches nothing.
            #[allow(non_snake_case)]
            pub unsafe fn RegOpenKeyExA(
                _: HKEY,
                _: PCSTR,
                _: Option<u32>,
                _: u32,
                _: *mut HKEY,
            ) -> NotFound {
                NotFound
            }

            /// # Safety
            /// Touches nothing.
            #[allow(non_snake_case)]
            pub unsafe fn RegGetValueA(
                _: HKEY,
                _: Option<PCSTR>,
                _: PCSTR,
                _: u32,
                _: Option<*mut u32>,
                _: Option<*mut core::ffi::c_void>,
                _: Option<*mut u32>,
            ) -> NotFound {
                NotFound
            }

            /// # Safety
            /// Touches nothing.
            #[allow(non_snake_case)]
            pub unsafe fn RegCloseKey(_: HKEY) -> NotFound {
                NotFound
            }
        }
    }
}

//! The programs and folders that the build needs, or one line that says how to get what is missing.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The packages that bring everything but Rust's own target.
const PACKAGES: &str = "clang-22 llvm-22 libclang-22-dev mingw-w64-x86-64-dev";

/// Versions of LLVM that wdk-build's bindgen and these headers work with, best first: the newest and the oldest
/// have been tried.
const LLVM: &[u32] = &[22, 21, 20, 19];

/// mingw-w64's headers, as Debian installs them.
const MINGW: &str = "/usr/x86_64-w64-mingw32/include";

/// What was found.
#[derive(Debug)]
pub(super) struct Tools {
    /// LLVM's own folder, with `bin`, `lib` and the compiler's headers.
    llvm: PathBuf,
    version: u32,
    mingw: PathBuf,
}

impl Tools {
    /// Looks for all of them.
    pub(super) fn find() -> Result<Self, String> {
        if !cfg!(target_os = "linux") {
            return Err(
                "this way of building is for Linux; on Windows, `cargo make` is (docs/windows.md)"
                    .into(),
            );
        }
        let tools = Self::beneath(Path::new("/usr/lib"), Path::new(MINGW))?;
        rust_target()?;
        Ok(tools)
    }

    /// The parts that Debian's packages bring, beneath the given folders.
    pub(super) fn beneath(lib: &Path, mingw: &Path) -> Result<Self, String> {
        let found = LLVM
            .iter()
            .map(|version| (*version, lib.join(format!("llvm-{version}"))))
            .find(|(_, llvm)| llvm.join("bin/clang").exists());
        let Some((version, llvm)) = found else {
            return Err(missing("clang 19 or later"));
        };
        let tools = Self {
            llvm,
            version,
            mingw: mingw.to_path_buf(),
        };
        for (name, what) in [
            (tools.program("llvm-lib"), "llvm-lib"),
            (tools.program("llvm-dlltool"), "llvm-dlltool"),
            (tools.libclang().join("libclang.so"), "libclang.so"),
            (tools.compiler_headers().join("stdarg.h"), "clang's headers"),
            (tools.mingw.join("ddk/wdm.h"), "mingw-w64's headers"),
        ] {
            if !name.exists() {
                return Err(missing(&format!("{what} ({})", name.display())));
            }
        }
        Ok(tools)
    }

    /// One of LLVM's programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.llvm.join("bin").join(name)
    }

    /// Where libclang is, for bindgen.
    pub(super) fn libclang(&self) -> PathBuf {
        self.llvm.join("lib")
    }

    /// The compiler's own headers, which libclang does not find by itself.
    fn compiler_headers(&self) -> PathBuf {
        self.llvm
            .join(format!("lib/clang/{}/include", self.version))
    }

    /// What clang needs to read kernel headers here, behind the folders that wdk-build names.
    pub(super) fn clang_flags(&self, shadows: &Path) -> Vec<String> {
        let system = |path: &Path| format!("-isystem{}", path.display());
        vec![
            "--target=x86_64-pc-windows-msvc".into(),
            // -fms-compatibility takes __GNUC__ away, and without it mingw's headers drop __attribute__.
            "-fgnuc-version=4.2.1".into(),
            system(shadows),
            system(&self.mingw.join("ddk")),
            system(&self.mingw),
            system(&self.compiler_headers()),
            "-w".into(),
        ]
    }
}

fn missing(what: &str) -> String {
    format!("{what} is missing; on Debian 12: apt-get install {PACKAGES}")
}

/// Rust's target and its linker come with rustup.
fn rust_target() -> Result<(), String> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", super::TARGET])
        .output()
        .map_err(|error| format!("rustc did not start: {error}"))?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && libraries.is_dir() {
        return Ok(());
    }
    Err(format!(
        "Rust's libraries for Windows are missing: rustup target add {}",
        super::TARGET
    ))
}

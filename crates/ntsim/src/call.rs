//! How the kernel calls a driver: one place, for every kind of routine.
//!
//! A driver writes completion routines straight into stack locations, so there is no call at which
//! the kernel could wrap a pointer. What has to be known about a pointer follows from its address.

use crate::machine::context::{self, Context, Frame};
use crate::machine::{DriverId, Owner, Violation, codes};

/// A pointer to a routine of a driver.
pub trait Routine: Copy {
    /// Its arguments as a tuple.
    type Args;
    /// What it returns.
    type Ret;

    /// Calls the routine.
    ///
    /// # Safety
    /// As the routine's own contract says.
    unsafe fn invoke(self, args: Self::Args) -> Self::Ret;
}

macro_rules! routine {
    ($($arg:ident $value:ident),*) => {
        impl<R, $($arg),*> Routine for unsafe extern "C" fn($($arg),*) -> R {
            type Args = ($($arg,)*);
            type Ret = R;
            unsafe fn invoke(self, ($($value,)*): Self::Args) -> R {
                #[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
                if crate::pe::contains(self as *const () as usize) {
                    // SAFETY: only the convention differs, and what lies among the images was
                    // compiled for this one.
                    let routine = unsafe {
                        core::mem::transmute::<Self, unsafe extern "win64" fn($($arg),*) -> R>(self)
                    };
                    // SAFETY: the caller's contract.
                    return unsafe { routine($($value),*) };
                }
                // SAFETY: the caller's contract.
                unsafe { self($($value),*) }
            }
        }
    };
}
routine!();
routine!(A a);
routine!(A a, B b);
routine!(A a, B b, C c);
routine!(A a, B b, C c, D d);
routine!(A a, B b, C c, D d, E e);
routine!(A a, B b, C c, D d, E e, F f);
routine!(A a, B b, C c, D d, E e, F f, G g);

/// Calls a routine of a driver.
///
/// # Safety
/// As the routine's own contract says.
pub unsafe fn enter<F: Routine>(routine: F, args: F::Args) -> F::Ret {
    let context = context::current();
    let frames = context.kernel_frames.get();
    context.kernel_frames.set(frames + 1);
    // SAFETY: the caller's contract.
    let result = unsafe { routine.invoke(args) };
    context.kernel_frames.set(frames);
    context.machine.park_if_stopped();
    result
}

/// Runs `call` as code of `driver`; `what` names the routine in reports. The IRQL and the spin locks
/// held must be the same before and after.
pub fn as_driver<R>(driver: DriverId, what: &'static str, call: impl FnOnce() -> R) -> R {
    let context = context::current();
    let owner = context.machine.driver_owner(driver);
    checked(
        &context,
        Frame {
            driver,
            owner,
            what,
        },
        &Rule::Other,
        call,
    )
}

/// Runs `call` as code of the kernel's own, such as a simulated device.
pub(crate) fn as_kernel<R>(context: &Context, what: &'static str, call: impl FnOnce() -> R) -> R {
    checked(
        context,
        Frame {
            driver: DriverId::NONE,
            owner: Owner::Harness,
            what,
        },
        &Rule::Other,
        call,
    )
}

/// Which rule a changed IRQL breaks: Windows names them apart.
pub(crate) enum Rule {
    /// A dispatch routine of this device.
    Dispatch(usize),
    /// The completion routine at this address.
    Completion(usize),
    /// Anything else.
    Other,
}

impl Rule {
    fn broken(&self, before: u8, after: u8, what: &str) -> Violation {
        let story = format!("{what} was called at IRQL {before} and returned at IRQL {after}.");
        let (before, after) = (u64::from(before), u64::from(after));
        let (code, parameters) = match *self {
            Self::Dispatch(device) => (
                codes::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
                [0x05, device as u64, before, after],
            ),
            Self::Completion(routine) => (
                codes::DRIVER_VERIFIER_DETECTED_VIOLATION,
                [0xFA, routine as u64, before, after],
            ),
            Self::Other => (codes::IRQL_UNEXPECTED_VALUE, [before, after, 0, 0]),
        };
        Violation::new(code, parameters, story)
    }
}

/// Runs `call` in `frame` and checks what it leaves behind.
pub(crate) fn checked<R>(
    context: &Context,
    frame: Frame,
    rule: &Rule,
    call: impl FnOnce() -> R,
) -> R {
    let irql = context.irql.get();
    let locks = context.locks.borrow().len();
    context.in_frame(frame, || {
        let result = call();
        if context.irql.get() != irql {
            rule.broken(irql, context.irql.get(), frame.what).raise();
        }
        if context.locks.borrow().len() > locks {
            still_locked(context, frame.what);
        }
        result
    })
}

fn still_locked(context: &Context, what: &str) -> ! {
    let lock = context.locks.borrow().last().copied().unwrap_or(0);
    let story = format!("{what} returned and still holds the spin lock at {lock:#x}.");
    Violation::verifier(codes::strict::SPIN_LOCK_HELD, lock, 0, story).raise()
}

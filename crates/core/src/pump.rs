//! Who may issue pieces now, and who completes the request.
//!
//! Pieces complete on any processor, inside `IoCallDriver` or long after it, while the dispatch
//! routine may still be in the loop that sends them. Two counts keep that in order:
//!
//! - [`Kicks`]: only one caller at a time issues, the *pump*. Whoever raises the count from zero is
//!   the pump until the count is back at zero; everybody else leaves a kick and goes, and the pump
//!   goes round once more. So a completion inside `IoCallDriver` never issues from there: no
//!   recursion.
//! - [`Holds`]: who still touches the request. One for each piece in flight, one while the plan is
//!   not exhausted, one for the dispatch routine. Whoever gives back the last one completes the
//!   request, and nobody touches it after giving back their own.
//!
//! A caller of the pump always has a hold of its own (its piece's, or the dispatch routine's) and
//! gives it back after leaving the pump. One bias shared by plan and dispatch routine is not
//! enough: the pump would give it back and then still have to leave. `tests/loom_pump.rs` shows
//! both, the scheme and its wrong version, under every interleaving.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU32, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering};

/// The right to issue, and the kicks it answers for.
///
/// May be kept across a return of the function that got it, in order to go on from a DPC:
/// [`Turn::kicks`] and [`Turn::resume`].
#[derive(Debug, Eq, PartialEq)]
#[must_use = "a turn that is dropped stops the pump for good"]
pub struct Turn(u32);

impl Turn {
    /// The number to keep while the turn waits for a DPC.
    pub const fn kicks(self) -> u32 {
        self.0
    }

    /// Takes up a turn that was put away with [`Turn::kicks`].
    pub const fn resume(kicks: u32) -> Self {
        Self(kicks)
    }
}

/// Calls for the pump. Used alone it makes one server of many callers: a device handing freed
/// pieces to waiting transfers.
#[derive(Debug)]
pub struct Kicks(AtomicU32);

impl Kicks {
    /// Nobody has called.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Nobody has called.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Calls for the pump. `Some` makes the caller the pump; `None` means that the pump, wherever
    /// it is, will go round once more.
    pub fn enter(&self) -> Option<Turn> {
        if self.0.fetch_add(1, Ordering::AcqRel) == 0 {
            Some(Turn(1))
        } else {
            None
        }
    }

    /// Ends a round in which everything that could be done was done. `Some` if somebody has called
    /// since: go round again.
    pub fn leave(&self, turn: Turn) -> Option<Turn> {
        let served = turn.kicks();
        let before = self.0.fetch_sub(served, Ordering::AcqRel);
        let left = before.wrapping_sub(served);
        if left == 0 { None } else { Some(Turn(left)) }
    }
}

impl Default for Kicks {
    fn default() -> Self {
        Self::new()
    }
}

/// How many still touch a request.
#[derive(Debug)]
pub struct Holds(AtomicU32);

impl Holds {
    /// `holds` are out.
    #[cfg(not(loom))]
    pub const fn new(holds: u32) -> Self {
        Self(AtomicU32::new(holds))
    }

    /// `holds` are out.
    #[cfg(loom)]
    pub fn new(holds: u32) -> Self {
        Self(AtomicU32::new(holds))
    }

    /// Takes one more. Only who has one already may.
    pub fn hold(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives one back. `true` for the last: its caller alone may still touch what was held.
    #[must_use = "the last one must complete the request"]
    pub fn release(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// How many are out, for reports: may be old by the time it is read.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The two counts of one request.
#[derive(Debug)]
pub struct Pump {
    holds: Holds,
    kicks: Kicks,
}

impl Pump {
    /// Holds that a request starts with: its plan's and its dispatch routine's.
    pub const START: u32 = 2;

    /// A request about to be issued: the plan and the dispatch routine have a hold each.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            holds: Holds::new(Self::START),
            kicks: Kicks::new(),
        }
    }

    /// A request about to be issued: the plan and the dispatch routine have a hold each.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            holds: Holds::new(Self::START),
            kicks: Kicks::new(),
        }
    }

    /// Begins another request with a pump whose last hold has been given back: pooled transfers use
    /// theirs again and again.
    pub fn begin(&self) {
        self.holds.0.store(Self::START, Ordering::Relaxed);
    }

    /// Takes a hold for a piece about to be sent, or for a DPC about to be queued.
    pub fn hold(&self) {
        self.holds.hold();
    }

    /// Gives back a hold. `true`: complete the request, which nobody else touches any more.
    #[must_use = "the last one must complete the request"]
    pub fn release(&self) -> bool {
        self.holds.release()
    }

    /// See [`Kicks::enter`]. The caller has a hold of its own.
    pub fn enter(&self) -> Option<Turn> {
        self.kicks.enter()
    }

    /// See [`Kicks::leave`].
    pub fn leave(&self, turn: Turn) -> Option<Turn> {
        self.kicks.leave(turn)
    }

    /// Puts the turn away for a DPC and takes the hold under which that DPC will run. The caller
    /// queues the DPC next, and gives back its own hold as after leaving; the DPC goes on with
    /// [`Turn::resume`], and ends with [`Pump::release`].
    pub fn hand_over(&self, turn: Turn) -> u32 {
        self.holds.hold();
        turn.kicks()
    }

    /// Gives back the plan's hold: no piece is left to be sent, or none will be. Only the pump may,
    /// once.
    ///
    /// Never the last one, because the pump's caller has its own.
    pub fn plan_ended(&self) {
        let _never = self.holds.release();
    }

    /// Holds that are out, for reports.
    pub fn holds(&self) -> u32 {
        self.holds.count()
    }
}

impl Default for Pump {
    fn default() -> Self {
        Self::new()
    }
}

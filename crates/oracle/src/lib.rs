//! The judge: what a legal split is and how few pieces it can have, worked out from the definitions alone.
//!
//! Nothing here knows how xfersplit plans. The crate has no dependencies, shares no function with `xfersplit-core`,
//! and does not use the theorem the planner rests on (that taking the longest piece first is minimal): the minimum
//! comes from a dynamic programme over every legal cut ([`minimum()`]). When the two agree over a million random
//! requests, that is evidence; when a planner grades its own plans, it is not.
//!
//! * [`World`] is what an adapter can take, [`Request`] is one read or write.
//! * [`breach`] names the limit that one piece breaks, if any.
//! * [`minimum()`] is the smallest number of legal pieces, or none when no legal split exists.
//! * [`judge()`] checks a whole plan: exact cover, every piece legal, no more pieces than the minimum.
//! * [`binding()`] tells which limits stopped a piece from being longer.
//!
//! Sizes are bytes, positions and piece lengths are sectors from the start of the request, pages are 4096 bytes.

#![forbid(unsafe_code)]

mod binding;
mod judge;
mod legal;
mod minimum;
mod world;

pub use binding::{Binding, binding};
pub use judge::{Fault, judge};
pub use legal::{Breach, breach, whole_fits};
pub use minimum::minimum;
pub use world::{PAGE, PageRule, PhysicalSector, Request, World};

//! A simulated NT kernel in which storage drivers run on any machine.
//!
//! Not a mock: a small model of the I/O manager and its neighbours that keeps the rules real Windows
//! and Driver Verifier enforce, and stops with the bug check that Windows would raise and a story of
//! the IRP. A driver is compiled against [`abi`] and [`ntddk`] (through the packages that carry the
//! lib names `wdk_sys` and `wdk`) from the same sources as for Windows.
//!
//! | Room | What for |
//! |---|---|
//! | [`machine`] | threads, the two clocks, bug checks and stories |
//! | [`memory`] | page frames, pool, memory descriptor lists, user memory |
//! | [`ps`] | processes |
//! | [`io`] | IRPs, devices, cancellation, work items |
//! | [`ke`] | IRQL, spin locks, events, DPCs, timers |
//! | [`call`], [`export`] | the two directions between kernel and driver |
//! | [`registry`] | keys and values |
//! | [`wdf`] | KMDF 1.15, as far as filters use it |
//! | [`pe`] | driver binaries |
//! | [`pnp`] | loading drivers, building and starting devices, removing them |
//! | [`dma`] | the HAL's DMA adapters |
//! | [`controller`] | a bus-master disk controller, its registers and its interrupt |
//! | [`port`], [`class`] | the port driver with its adapter and disk; the disk class driver |
//! | [`world`] | whole scenarios, and a small file system on top of them |
//! | [`abi`], [`ntddk`] | names as drivers know them |

pub mod abi;
pub mod call;
pub mod class;
pub mod controller;
pub mod dma;
pub mod export;
pub mod io;
pub mod ke;
pub mod machine;
pub mod memory;
pub mod ntddk;
pub mod pe;
pub mod pnp;
pub mod port;
pub mod ps;
pub mod registry;
pub mod wdf;
pub mod world;

pub use machine::{BugCheck, Clock, Config, Machine};
pub use pnp::{Devnode, Driver};
pub use ps::Process;
pub use world::{Buffer, Done, Pending, Report, Shape, Stack, StackKind, UserBuffer, World};

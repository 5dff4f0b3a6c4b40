//! The simulated kernel by itself: what works, and what stops it.

mod build;
mod clocks;
mod completion;
mod csq;
mod dpc;
mod irp_rules;
mod kit;
mod locks;
mod mdl;
mod memory;
mod remove_lock;
mod threads;
mod work;

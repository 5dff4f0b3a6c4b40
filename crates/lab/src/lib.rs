//! The parts of `xfersplit-lab` that its tests use too.

pub mod bench;
pub mod driver;
pub mod error;
pub mod layers;
pub mod machine;
pub mod mirror;
pub mod models;
pub mod picture;
pub mod plan;
pub mod report;
pub mod rng;
pub mod rules;
pub mod size;
pub mod soak;
pub mod techniques;
pub mod trace;
pub mod vectors;
pub mod workload;

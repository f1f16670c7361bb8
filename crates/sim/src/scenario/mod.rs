//! Scenarios: Bench2Drive's types, read from route files and played by a handful of behaviours.

pub mod kinds;
mod spec;

pub use spec::{Params, ScenarioSpec};

//! Scenarios: Bench2Drive's types, read from route files and played by a handful of behaviours.

mod hook;
pub mod kinds;
mod spec;

pub use hook::Scenario;
pub use spec::{Params, ScenarioSpec};

use crate::error::SimError;
use crate::world::World;

/// Make a scenario from its description; it may place its first actors at once.
pub fn build(spec: &ScenarioSpec, _world: &mut World) -> Result<Box<dyn Scenario>, SimError> {
    Err(SimError::NotBuilt { kind: spec.kind.clone() })
}

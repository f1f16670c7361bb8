//! Who is there: background traffic, walkers and parked vehicles around the ego.

use crate::world::World;
use apprentice_core::geometry::DVec2;

/// What the population remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Population {
    /// Where nobody may enter: centre and radius.
    pub quiet: Vec<(DVec2, f64)>,
}

/// Fill the surroundings before the first tick.
pub(crate) fn fill(_world: &mut World) {}

/// Let far traffic leave and new traffic enter.
pub(crate) fn update(_world: &mut World) {}

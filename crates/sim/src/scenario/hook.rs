//! The hook by which scenarios act on the world.

use crate::world::World;
use apprentice_core::hash::StateHasher;

/// Something that watches the world and makes things happen in it.
///
/// `tick` runs at the beginning of every step, before anybody moves: it sees the state at the end of the last
/// step. It may spawn, change and remove actors, hold lights and disturb the ego.
pub trait Scenario: Send {
    /// Its name, for logs and result files.
    fn name(&self) -> &str;
    /// Act.
    fn tick(&mut self, world: &mut World);
    /// Feed everything that decides what it does next.
    fn hash_state(&self, hasher: &mut StateHasher);
    /// Whether it has played out.
    fn finished(&self) -> bool {
        false
    }
}

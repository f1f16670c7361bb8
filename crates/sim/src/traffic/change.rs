//! Lane changes.
use super::Traffic;
use super::follow::Idm;
use crate::actor::LaneFollowing;
use crate::world::World;
use apprentice_road::LaneId;
pub(super) fn wanted(_: &Traffic, _: &World, _: usize, _: &LaneFollowing, _: LaneId, _: &Idm) -> Option<(LaneId, i8)> {
    None
}

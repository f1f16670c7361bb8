//! Junctions.
use super::Traffic;
use crate::actor::LaneFollowing;
use crate::world::World;
use apprentice_road::LaneId;
#[derive(Default)]
pub(crate) struct Junctions {}
pub(super) fn list(_: &World, _: &mut Junctions) {}
pub(super) fn admit(_: &mut Traffic, _: &World) {}
pub(super) fn stop_gap_m(_: &mut Traffic, _: &World, _: usize, _: &LaneFollowing, _: LaneId) -> Option<f64> {
    None
}

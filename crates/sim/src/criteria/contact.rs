//! Collisions (leaderboard `CollisionTest`).

use super::{Bystander, Found};
use crate::state::{ActorKind, TICK_HZ};
use apprentice_core::geometry::DVec2;

/// Hits within this distance of the last one are the same accident, metres.
const SAME_PLACE_M: f64 = 5.0;
/// Hits with the same actor within this time are the same accident, seconds.
const SAME_ACTOR_S: f64 = 5.0;
/// A slower ego did not cause the hit, m/s.
const STANDING_MPS: f64 = 0.1;

/// What was hit last.
#[derive(Clone, Debug, Default)]
pub(super) struct Contact {
    place: Option<DVec2>,
    actor: Option<(u32, u32)>,
}

impl Contact {
    /// Forget accidents that are over.
    pub(super) fn begin(&mut self, tick: u32, at: DVec2) {
        if self.place.is_some_and(|p| p.distance(at) > SAME_PLACE_M) {
            self.place = None;
        }
        if self.actor.is_some_and(|(_, since)| f64::from(tick.saturating_sub(since)) > SAME_ACTOR_S * TICK_HZ) {
            self.actor = None;
        }
    }

    pub(super) fn look(&mut self, found: &mut Found<'_>, tick: u32, ego_at: DVec2, speed_mps: f64, other: &Bystander) {
        if other.kind == ActorKind::Debris || !other.touches_ego {
            return;
        }
        if self.place.is_some() || self.actor.is_some_and(|(id, _)| id == other.id) || speed_mps < STANDING_MPS {
            return;
        }
        self.place = Some(ego_at);
        self.actor = Some((other.id, tick));
        let list = if other.kind.is_pedestrian() {
            "collisions_pedestrian"
        } else if other.kind.is_vehicle() {
            "collisions_vehicle"
        } else {
            "collisions_layout"
        };
        let place = found.place();
        found.push(
            list,
            format!("Agent collided against object with type={} and id={} at {place}", type_id(other.kind), other.id),
        );
    }
}

/// CARLA-like type names.
fn type_id(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::Car => "vehicle.apprentice.car",
        ActorKind::Van => "vehicle.apprentice.van",
        ActorKind::Truck => "vehicle.apprentice.truck",
        ActorKind::Bus => "vehicle.apprentice.bus",
        ActorKind::Police => "vehicle.apprentice.police",
        ActorKind::Ambulance => "vehicle.apprentice.ambulance",
        ActorKind::Motorcycle => "vehicle.apprentice.motorcycle",
        ActorKind::Bicycle => "vehicle.apprentice.bicycle",
        ActorKind::Pedestrian => "walker.pedestrian.adult",
        ActorKind::Child => "walker.pedestrian.child",
        ActorKind::Cone => "static.prop.trafficcone",
        ActorKind::Barrier => "static.prop.streetbarrier",
        ActorKind::WarningSign => "static.prop.trafficwarning",
        ActorKind::Container => "static.prop.container",
        ActorKind::Advertisement => "static.prop.advertisement",
        ActorKind::Debris => "static.prop.dirtdebris",
    }
}

//! Something stands in the ego's lane: an accident, a building site, a parked car, a car whose door opens.
//!
//! `scenario_runner`: `Accident`, `ConstructionObstacle`, `ParkedObstacle`, their `TwoWays` variants (the way around
//! leads over the oncoming lane, where a stream of cars with random gaps comes) and `VehicleOpensDoorTwoWays`.

use super::flow::{Stream, oncoming};
use super::site::Site;
use super::{Scenario, ScenarioSpec};
use crate::actor::{Behaviour, Role};
use crate::state::{ActorKind, Lamps};
use crate::world::World;
use apprentice_core::hash::StateHasher;
use apprentice_core::{Pose2, Rng};

/// Parked cars' middles lie this share of half the lane's width to the side (`scenario_runner`: 0.6 to 0.75).
const ASIDE: f64 = 0.6;
/// Speed of the oncoming stream, m/s (`OppositeActorFlow`: 30 km/h).
const ONCOMING_MPS: f64 = 8.3;
/// How near the ego comes before the door opens, metres.
const DOOR_OPENS_M: f64 = 22.0;

pub(super) struct Blocker {
    name: String,
    site: Site,
    from_s_m: f64,
    to_s_m: f64,
    stream: Option<Stream>,
    door: Option<u32>,
    side: f64,
    two_ways: bool,
    done: bool,
}

impl Blocker {
    pub fn build(spec: &ScenarioSpec, site: Site, world: &mut World) -> Self {
        let two_ways = spec.kind.ends_with("TwoWays");
        let at = site.trigger_s_m + spec.number("distance").unwrap_or(40.0);
        let side = if spec.text("direction") == Some("left") { 1.0 } else { -1.0 };
        let aside = side * ASIDE * site.lane_width_m(at) / 2.0;
        let mut to_s_m = at;
        let mut door = None;
        let stand = |world: &mut World, kind: ActorKind, pose: Pose2, lamps: u8| {
            world.clear_background(pose.position(), 8.0);
            let id = world.spawn(kind, pose, Behaviour::Parked);
            if let Some(actor) = world.actor_mut(id) {
                actor.held_lamps = Lamps(lamps);
            }
            id
        };
        match spec.kind.as_str() {
            "Accident" | "AccidentTwoWays" => {
                // A police car, ten metres on the first damaged car, six more the second.
                stand(world, ActorKind::Police, site.pose(at, aside), Lamps::EMERGENCY);
                let (first, second) = (at + 10.0, at + 16.5);
                stand(world, ActorKind::Car, site.pose(first, aside), Lamps::LEFT | Lamps::RIGHT);
                stand(world, ActorKind::Car, site.pose(second, aside), Lamps::LEFT | Lamps::RIGHT);
                to_s_m = second;
            }
            "ConstructionObstacle" | "ConstructionObstacleTwoWays" => {
                let half = site.lane_width_m(at) / 2.0;
                stand(world, ActorKind::WarningSign, site.pose(at, side * half * 0.3), 0);
                stand(world, ActorKind::Debris, site.pose(at + 7.0, aside), 0);
                // Cones across the lane before and behind, and along its inner edge.
                for i in 0..4 {
                    let left = side * half * (0.8 - 0.5 * f64::from(i));
                    stand(world, ActorKind::Cone, site.pose(at + 2.5, left), 0);
                    stand(world, ActorKind::Cone, site.pose(at + 11.0, left), 0);
                }
                for i in 1..5 {
                    stand(world, ActorKind::Cone, site.pose(at + 2.5 + 1.7 * f64::from(i), -side * half * 0.7), 0);
                }
                to_s_m = at + 11.0;
            }
            "VehicleOpensDoorTwoWays" => {
                let left = -site.parking_offset_m(at);
                door = Some(stand(world, ActorKind::Car, site.pose(at, left), 0));
            }
            _ => {
                let kind = match Rng::new(&[site.seed, 1]).below(4) {
                    0 => ActorKind::Van,
                    1 => ActorKind::Truck,
                    _ => ActorKind::Car,
                };
                stand(world, kind, site.pose(at, aside), Lamps::LEFT | Lamps::RIGHT);
            }
        }
        let mut stream = None;
        if two_ways {
            let gap = spec
                .interval("frequency")
                .or_else(|| spec.number("frequency").map(|f| (f, f)))
                .unwrap_or((40.0, 130.0));
            stream = oncoming(&site, to_s_m, gap, ONCOMING_MPS);
            if let Some(stream) = &mut stream {
                stream.fill(world, 90.0);
            }
        }
        Self { name: spec.name.clone(), site, from_s_m: at, to_s_m, stream, door, side, two_ways, done: false }
    }

    /// Ordinary traffic that has come to rest behind the obstacle would block the way for good: it leaves.
    fn dissolve_queue(&self, world: &mut World) {
        let progress = world.route_progress_m();
        let half = self.site.lane_width_m(self.from_s_m) / 2.0;
        let stuck: Vec<u32> = world
            .actors()
            .iter()
            .filter(|a| a.role == Role::Background && a.state.kind.is_vehicle() && a.speed_mps() < 0.5)
            .filter(|a| {
                let (s, lateral) = self.site.route.project(a.pose().position(), self.from_s_m);
                // In the blocked lane, or caught on the way out of it.
                s > progress + 3.0
                    && (self.from_s_m - 40.0..self.to_s_m + 5.0).contains(&s)
                    && lateral.abs() < half + 1.2
            })
            .map(|a| a.state.id)
            .collect();
        for id in stuck {
            world.despawn(id);
        }
    }
}

impl Scenario for Blocker {
    fn name(&self) -> &str {
        &self.name
    }
    fn tick(&mut self, world: &mut World) {
        if self.done {
            return;
        }
        let progress = world.route_progress_m();
        self.dissolve_queue(world);
        if let Some(stream) = &mut self.stream {
            stream.tick(world);
        }
        if self.two_ways && self.site.triggered(world) {
            world.allow_wrong_way(true);
        }
        if let Some(id) = self.door
            && progress > self.from_s_m - DOOR_OPENS_M
            && let Some(car) = world.actor_mut(id)
        {
            // The door on the ego's side.
            car.held_lamps.0 |= if self.side < 0.0 { Lamps::DOOR_LEFT } else { Lamps::DOOR_RIGHT };
            if car.state.lamps.0 & (Lamps::DOOR_LEFT | Lamps::DOOR_RIGHT) == 0 {
                car.state.lamps.0 |= car.held_lamps.0 & (Lamps::DOOR_LEFT | Lamps::DOOR_RIGHT);
            }
        }
        if progress > self.to_s_m + 30.0 {
            world.allow_wrong_way(false);
            self.done = true;
        }
    }
    fn hash_state(&self, hasher: &mut StateHasher) {
        hasher.word(u64::from(self.done));
        if let Some(stream) = &self.stream {
            stream.hash_state(hasher);
        }
    }
    fn finished(&self) -> bool {
        self.done
    }
}

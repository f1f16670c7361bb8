//! Types with little or no staging: turns and lane changes in ordinary traffic, hard braking ahead, loss of grip, the
//! way out of a parking place.

use super::flow::hold_green;
use super::site::Site;
use super::{Scenario, ScenarioSpec, spawn_moving};
use crate::actor::{Behaviour, LaneFollowing};
use crate::state::{ActorKind, LightAspect, TICK_HZ};
use crate::world::{EgoDisturbance, World};
use apprentice_core::camera::REAR_AXLE_TO_CENTER_M;
use apprentice_core::hash::StateHasher;
use apprentice_core::{Pose2, Rng};

/// A held red light turns green when the ego has waited this long, seconds.
const RED_S: f64 = 6.0;
/// Cars in front stand this long, seconds (`HardBreakRoute._stop_duration` 10).
const STOP_S: f64 = 10.0;
/// How hard they brake, m/s².
const HARD_MPS2: f64 = 7.0;
/// Where the road is slippery, metres after the trigger.
const SLIPPERY_M: [f64; 3] = [8.0, 24.0, 40.0];
/// For how long a stretch, metres.
const SLIPPERY_LENGTH_M: f64 = 6.0;

/// A turn at a light, at a sign, or nothing at all but ordinary traffic.
pub(super) struct Plain {
    name: String,
    site: Site,
    held: Vec<usize>,
    red_ticks: Option<u32>,
    end_s_m: f64,
    done: bool,
}

impl Plain {
    pub fn build(spec: &ScenarioSpec, site: Site, world: &mut World) -> Self {
        let crossing = site.next_junction(site.trigger_s_m);
        let end_s_m = crossing.map_or(site.route.length_m, |c| c.exit_s_m + 5.0);
        let red = spec.kind == "VanillaSignalizedTurnEncounterRedLight";
        let held = match spec.kind.as_str() {
            "VanillaSignalizedTurnEncounterGreenLight" => hold_green(world, &site, &[], LightAspect::Green),
            "VanillaSignalizedTurnEncounterRedLight" => hold_green(world, &site, &[], LightAspect::Red),
            _ => Vec::new(),
        };
        Self { name: spec.name.clone(), held, red_ticks: red.then_some(0), end_s_m, done: false, site }
    }
}

impl Scenario for Plain {
    fn name(&self) -> &str {
        &self.name
    }
    fn tick(&mut self, world: &mut World) {
        if self.done {
            return;
        }
        if let Some(waited) = &mut self.red_ticks {
            if world.ego().speed_mps < 0.5 && self.site.triggered(world) {
                *waited += 1;
            }
            if f64::from(*waited) > RED_S * TICK_HZ {
                self.red_ticks = None;
                hold_green(world, &self.site, &[], LightAspect::Green);
            }
        }
        if world.route_progress_m() > self.end_s_m {
            self.done = true;
            for &signal in &self.held {
                world.set_light(signal, None);
            }
        }
    }
    fn hash_state(&self, hasher: &mut StateHasher) {
        hasher.word(u64::from(self.red_ticks.map_or(u32::MAX, |t| t)) << 1 | u64::from(self.done));
    }
    fn finished(&self) -> bool {
        self.done
    }
}

/// `HardBreakRoute`: two cars ahead of the ego brake hard, stand, and drive on.
pub(super) struct HardBrake {
    name: String,
    site: Site,
    cars: Vec<u32>,
    braked_at: Option<u32>,
    released: bool,
}

impl HardBrake {
    pub fn build(spec: &ScenarioSpec, site: Site, world: &mut World) -> Self {
        let start = world.route_progress_m();
        let mut cars = Vec::new();
        for (i, ahead) in [14.0, 26.0].into_iter().enumerate() {
            let s = start + ahead;
            let pose = site.pose(s, 0.0);
            world.clear_background(pose.position(), 9.0);
            let lanes = site.route_lanes_from(s).into_iter().skip(1).collect();
            let driver =
                LaneFollowing { route: lanes, ignore_lights: false, ..LaneFollowing::at(8.0 + 0.3 * i as f64) };
            cars.push(spawn_moving(world, ActorKind::Car, pose, 0.0, Behaviour::Lane(driver)));
        }
        Self { name: spec.name.clone(), site, cars, braked_at: None, released: false }
    }

    fn brake(&self, world: &mut World, value: Option<f64>) {
        for &id in &self.cars {
            if let Some(driver) = world.actor_mut(id).and_then(|a| a.driver_mut()) {
                driver.brake_mps2 = value;
            }
        }
    }
}

impl Scenario for HardBrake {
    fn name(&self) -> &str {
        &self.name
    }
    fn tick(&mut self, world: &mut World) {
        match self.braked_at {
            None if self.site.triggered(world) => {
                self.braked_at = Some(world.tick());
                self.brake(world, Some(HARD_MPS2));
            }
            Some(since) if !self.released && f64::from(world.tick() - since) > STOP_S * TICK_HZ => {
                self.released = true;
                self.brake(world, None);
            }
            _ => {}
        }
    }
    fn hash_state(&self, hasher: &mut StateHasher) {
        hasher.word(u64::from(self.braked_at.unwrap_or(0)) << 1 | u64::from(self.released));
    }
    fn finished(&self) -> bool {
        self.released
    }
}

/// `ControlLoss`: dirt on the road pulls at the steering.
pub(super) struct ControlLoss {
    name: String,
    site: Site,
    active: bool,
}

impl ControlLoss {
    pub fn build(spec: &ScenarioSpec, site: Site, world: &mut World) -> Self {
        for after in SLIPPERY_M {
            let pose = site.pose(site.trigger_s_m + after + SLIPPERY_LENGTH_M / 2.0, 0.0);
            world.spawn(ActorKind::Debris, pose, Behaviour::Parked);
        }
        Self { name: spec.name.clone(), site, active: false }
    }
}

impl Scenario for ControlLoss {
    fn name(&self) -> &str {
        &self.name
    }
    fn tick(&mut self, world: &mut World) {
        let after = world.route_progress_m() - self.site.trigger_s_m;
        let patch = SLIPPERY_M.iter().position(|s| (*s..*s + SLIPPERY_LENGTH_M).contains(&after));
        match patch {
            Some(patch) => {
                let mut pull = Rng::new(&[self.site.seed, patch as u64]);
                let mut shake = Rng::new(&[self.site.seed, patch as u64, u64::from(world.tick())]);
                let steer = 0.06 * pull.normal().clamp(-1.5, 1.5) + 0.02 * shake.normal();
                world.set_ego_disturbance(EgoDisturbance { steer, throttle: 0.1 });
                self.active = true;
            }
            None if self.active => {
                world.set_ego_disturbance(EgoDisturbance::default());
                self.active = false;
            }
            None => {}
        }
    }
    fn hash_state(&self, hasher: &mut StateHasher) {
        hasher.word(u64::from(self.active));
    }
}

/// `ParkingExit`: the ego stands between two parked cars.
pub(super) struct ParkingExit {
    name: String,
}

impl ParkingExit {
    pub fn build(spec: &ScenarioSpec, site: Site, world: &mut World) -> Self {
        let side = if spec.text("direction") == Some("left") { 1.0 } else { -1.0 };
        let s = site.trigger_s_m;
        let offset = side * site.parking_offset_m(s);
        let place = site.pose(s, offset);
        world.clear_background(place.position(), 14.0);
        let rear = place.offset(-REAR_AXLE_TO_CENTER_M, 0.0);
        world.set_ego(Pose2::new(rear.x, rear.y, place.yaw_rad), 0.0);
        let front = spec.number("front_vehicle_distance").unwrap_or(9.0);
        let behind = spec.number("behind_vehicle_distance").unwrap_or(9.0);
        // The road may bend: parked cars follow it.
        for along in [front, -behind] {
            let pose = if s + along >= 0.0 { site.pose(s + along, offset) } else { place.offset(along, 0.0) };
            world.spawn(ActorKind::Car, pose, Behaviour::Parked);
        }
        Self { name: spec.name.clone() }
    }
}

impl Scenario for ParkingExit {
    fn name(&self) -> &str {
        &self.name
    }
    fn tick(&mut self, _: &mut World) {}
    fn hash_state(&self, _: &mut StateHasher) {}
    fn finished(&self) -> bool {
        true
    }
}

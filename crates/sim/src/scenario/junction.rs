//! Trouble inside a junction: a car that takes the ego's right of way (`OppositeVehicleRunningRedLight`,
//! `OppositeVehicleTakingPriority`) and one that blocks the way out (`BlockedIntersection`).

use super::flow::{From, hold_green, through_junction};
use super::site::{LanePath, Site};
use super::{Scenario, ScenarioSpec};
use crate::actor::{AtEnd, Behaviour, LaneFollowing, Scripted};
use crate::error::SimError;
use crate::state::{ActorKind, LightAspect, TICK_HZ};
use crate::world::World;
use apprentice_core::hash::StateHasher;

/// From where the other car comes, before the junction, metres.
const APPROACH_M: f64 = 45.0;
/// Nearer to the junction than this it no longer adapts its speed, metres (`_sync_stop_distance` 10 to 15).
const COMMITTED_M: f64 = 14.0;
/// Its fastest, m/s.
const FASTEST_MPS: f64 = 13.0;
/// The blocking car waits this long after the ego has come to it, seconds (`_block_time` 5).
const BLOCK_S: f64 = 5.0;
/// The ego has come to it within this distance, metres.
const BLOCK_NEAR_M: f64 = 18.0;

/// A car that crosses when the ego does.
pub(super) struct Runner {
    name: String,
    site: Site,
    car: u32,
    conflict_along_m: f64,
    conflict_s_m: f64,
    junction_along_m: f64,
    held: Vec<usize>,
    speed_mps: f64,
    end_s_m: f64,
    done: bool,
}

impl Runner {
    pub fn build(spec: &ScenarioSpec, site: Site, world: &mut World) -> Result<Self, SimError> {
        let problem = |problem: &str| SimError::Scenario { name: spec.name.clone(), problem: problem.into() };
        let crossing =
            site.next_junction(site.trigger_s_m).ok_or_else(|| problem("no junction follows its trigger"))?;
        let from = From::of(spec.text("direction"));
        let (path, inside) = [from, From::Opposite, From::Left, From::Right]
            .into_iter()
            .find_map(|from| through_junction(&site, from, false, APPROACH_M, 40.0))
            .ok_or_else(|| problem("no other way leads through its junction"))?;
        let (conflict_along_m, conflict_s_m) = meeting(&site, &path, crossing.enter_s_m, crossing.exit_s_m);
        let junction_along_m = path.distance_to(&site.net, inside, 0.0).unwrap_or(APPROACH_M);
        let held = if spec.kind == "OppositeVehicleRunningRedLight" {
            hold_green(world, &site, &[], LightAspect::Green)
        } else {
            Vec::new()
        };
        let mut script = Scripted::new(path.points(&site.net), 0.0);
        script.at_end = AtEnd::Despawn;
        script.acceleration_mps2 = 4.0;
        let pose = path.at(&site.net, 0.0).0;
        world.clear_background(pose.position(), 10.0);
        let kind = if spec.kind == "OppositeVehicleRunningRedLight" { ActorKind::Van } else { ActorKind::Car };
        let car = world.spawn(kind, pose, Behaviour::Scripted(script));
        Ok(Self {
            name: spec.name.clone(),
            car,
            conflict_along_m,
            conflict_s_m,
            junction_along_m,
            held,
            speed_mps: 0.0,
            end_s_m: crossing.exit_s_m + 5.0,
            done: false,
            site,
        })
    }
}

/// Where a path and the ego's way through the junction come closest: along the path, and along the route.
fn meeting(site: &Site, path: &LanePath, from_s_m: f64, to_s_m: f64) -> (f64, f64) {
    let length = path.length_m(&site.net);
    let mut best = (f64::INFINITY, 0.0, from_s_m);
    let mut along = 0.0;
    while along < length {
        let here = path.at(&site.net, along).0.position();
        let mut s = from_s_m;
        while s <= to_s_m {
            let distance = site.pose(s, 0.0).position().distance(here);
            if distance < best.0 {
                best = (distance, along, s);
            }
            s += 1.0;
        }
        along += 1.0;
    }
    (best.1, best.2)
}

impl Scenario for Runner {
    fn name(&self) -> &str {
        &self.name
    }
    fn tick(&mut self, world: &mut World) {
        if self.done {
            return;
        }
        let progress = world.route_progress_m();
        if self.site.triggered(world) {
            let ego_speed = world.ego().speed_mps.max(0.0);
            let ego_time = (self.conflict_s_m - progress).max(0.0) / ego_speed.max(2.0);
            if let Some(Behaviour::Scripted(path)) = world.actor_mut(self.car).map(|a| &mut a.behaviour) {
                if path.s_m < self.junction_along_m - COMMITTED_M {
                    let rest = self.conflict_along_m - path.s_m;
                    self.speed_mps = (rest / ego_time.max(0.5)).clamp(4.0, FASTEST_MPS);
                } else {
                    self.speed_mps = self.speed_mps.max(7.0);
                }
                path.target_speed_mps = self.speed_mps;
            }
        }
        if progress > self.end_s_m {
            self.done = true;
            for &signal in &self.held {
                world.set_light(signal, None);
            }
        }
    }
    fn hash_state(&self, hasher: &mut StateHasher) {
        hasher.float(self.speed_mps);
        hasher.word(u64::from(self.done));
    }
    fn finished(&self) -> bool {
        self.done
    }
}

/// A car that stands in the ego's way out of the junction, and drives on when the ego has waited.
pub(super) struct Blocked {
    name: String,
    site: Site,
    car: u32,
    at_s_m: f64,
    waited_ticks: u32,
    gone: bool,
    done: bool,
}

impl Blocked {
    pub fn build(spec: &ScenarioSpec, site: Site, world: &mut World) -> Result<Self, SimError> {
        let crossing = site.next_junction(site.trigger_s_m).ok_or_else(|| SimError::Scenario {
            name: spec.name.clone(),
            problem: "no junction follows its trigger".into(),
        })?;
        let at_s_m = (crossing.exit_s_m - 1.0).max(crossing.enter_s_m + 3.0);
        let pose = site.pose(at_s_m, 0.0);
        world.clear_background(pose.position(), 9.0);
        let car = world.spawn(ActorKind::Car, pose, Behaviour::Parked);
        Ok(Self { name: spec.name.clone(), car, at_s_m, waited_ticks: 0, gone: false, done: false, site })
    }
}

impl Scenario for Blocked {
    fn name(&self) -> &str {
        &self.name
    }
    fn tick(&mut self, world: &mut World) {
        if self.done {
            return;
        }
        let gap = self.at_s_m - world.route_progress_m();
        if !self.gone && gap < BLOCK_NEAR_M && world.ego().speed_mps < 0.5 {
            self.waited_ticks += 1;
        }
        if !self.gone && f64::from(self.waited_ticks) > BLOCK_S * TICK_HZ {
            self.gone = true;
            let lanes = self.site.route_lanes_from(self.at_s_m).into_iter().skip(1).collect();
            if let Some(car) = world.actor_mut(self.car) {
                car.behaviour = Behaviour::Lane(LaneFollowing {
                    route: lanes,
                    ignore_priority: true,
                    ignore_lights: true,
                    despawn_after_m: Some(120.0),
                    ..LaneFollowing::at(9.0)
                });
            }
        }
        self.done = gap < -20.0;
    }
    fn hash_state(&self, hasher: &mut StateHasher) {
        hasher.word(u64::from(self.waited_ticks) << 2 | u64::from(self.gone) << 1 | u64::from(self.done));
    }
    fn finished(&self) -> bool {
        self.done
    }
}

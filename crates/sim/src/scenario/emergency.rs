//! An ambulance comes from behind and wants to get past (`YieldToEmergencyVehicle`).

use super::site::{Site, upstream};
use super::{Scenario, ScenarioSpec, spawn_moving};
use crate::actor::{Behaviour, LaneFollowing};
use crate::state::{ActorKind, Lamps, TICK_HZ};
use crate::world::World;
use apprentice_core::hash::StateHasher;

/// How much faster than the ego's limit it drives, m/s (`speed_increment` 25 km/h).
const FASTER_MPS: f64 = 7.0;
/// It has had this long to get past, seconds.
const PATIENCE_S: f64 = 25.0;

pub(super) struct Emergency {
    name: String,
    site: Site,
    distance_m: f64,
    vehicle: Option<u32>,
    started: u32,
    passed: bool,
    done: bool,
}

impl Emergency {
    pub fn build(spec: &ScenarioSpec, site: Site) -> Self {
        Self {
            name: spec.name.clone(),
            distance_m: spec.number("distance").unwrap_or(140.0).max(20.0),
            vehicle: None,
            started: 0,
            passed: false,
            done: false,
            site,
        }
    }

    fn appear(&mut self, world: &mut World) {
        let progress = world.route_progress_m();
        let point = self.site.route.at(progress);
        let along = self.site.net.lanes[point.lane].project(point.position.truncate()).0;
        let path = upstream(&self.site.net, point.lane, along, self.distance_m);
        let (pose, index) = path.at(&self.site.net, 0.0);
        let mut lanes = path.lanes[index + 1..].to_vec();
        for lane in self.site.route_lanes_from(progress) {
            if lanes.last() != Some(&lane) {
                lanes.push(lane);
            }
        }
        let speed = point.speed_limit_mps.min(16.0) + FASTER_MPS;
        let driver = LaneFollowing {
            target_speed_mps: Some(speed),
            ignore_lights: true,
            ignore_priority: true,
            time_gap_s: 0.7,
            max_acceleration_mps2: 3.0,
            route: lanes,
            ..LaneFollowing::default()
        };
        world.clear_background(pose.position(), 9.0);
        let id =
            spawn_moving(world, ActorKind::Ambulance, pose, point.speed_limit_mps.min(12.0), Behaviour::Lane(driver));
        if let Some(actor) = world.actor_mut(id) {
            actor.held_lamps = Lamps(Lamps::EMERGENCY | Lamps::HEADLIGHTS);
        }
        self.vehicle = Some(id);
        self.started = world.tick();
    }

    /// Traffic makes room for it: ordinary cars close ahead of it leave its lane's way.
    fn part_traffic(&self, world: &mut World, id: u32) {
        let Some(vehicle) = world.actor(id) else { return };
        let pose = vehicle.pose();
        let ego = world.ego().footprint().center;
        let near: Vec<u32> = world
            .actors()
            .iter()
            .filter(|a| {
                let p = pose.to_local(a.pose().position());
                a.role == crate::actor::Role::Background
                    && a.state.kind.is_vehicle()
                    && (4.0..22.0).contains(&p.x)
                    && p.y.abs() < 2.0
                    && ego.position().distance(a.pose().position()) > 12.0
            })
            .map(|a| a.state.id)
            .collect();
        for id in near {
            world.despawn(id);
        }
    }
}

impl Scenario for Emergency {
    fn name(&self) -> &str {
        &self.name
    }
    fn tick(&mut self, world: &mut World) {
        if self.done {
            return;
        }
        let Some(id) = self.vehicle else {
            if self.site.triggered(world) {
                self.appear(world);
            }
            return;
        };
        self.part_traffic(world, id);
        if let Some(vehicle) = world.actor(id) {
            let ahead = world.ego().footprint().center.to_local(vehicle.pose().position()).x;
            self.passed |= ahead > 8.0;
        }
        let waited = f64::from(world.tick() - self.started) / TICK_HZ;
        let at_end = world.route_progress_m() > self.site.route.length_m - 12.0;
        if self.passed || waited > PATIENCE_S || at_end {
            if !self.passed {
                world.criteria_mut().failed_to_yield();
            }
            self.done = true;
        }
    }
    fn hash_state(&self, hasher: &mut StateHasher) {
        hasher.word(u64::from(self.vehicle.unwrap_or(0)) << 2 | u64::from(self.passed) << 1 | u64::from(self.done));
    }
    fn finished(&self) -> bool {
        self.done
    }
}

//! A car moves over into the ego's lane: from a parking place (`ParkingCutIn`), out of a standing queue
//! (`StaticCutIn`), from a slip road (`HighwayCutIn`).

use super::site::Site;
use super::{Scenario, ScenarioSpec};
use crate::actor::{Behaviour, LaneFollowing, Scripted};
use crate::error::SimError;
use crate::state::{ActorKind, Lamps};
use crate::world::World;
use apprentice_core::hash::StateHasher;
use apprentice_road::Route;

/// From the trigger to the parked car that moves out (`ParkingCutIn._cut_in_distance`).
const PARKED_M: f64 = 35.0;
/// From the trigger to the car that hides it.
const HIDING_M: f64 = 28.0;
/// Time to arrival at which a standing car moves out, seconds (`_reaction_time` 2.3 to 3).
const REACTION_S: f64 = 2.7;
/// Over how much road it changes lanes, metres.
const CHANGE_M: f64 = 13.0;
/// Its speed then, m/s.
const CUT_MPS: f64 = 6.5;
/// Cars in the standing queue, before and behind the one that moves.
const QUEUE: [f64; 4] = [-14.0, -7.0, 8.5, 15.5];

enum Phase {
    Waiting,
    Moving,
    Following,
}

pub(super) struct CutIn {
    name: String,
    site: Site,
    car: u32,
    at_s_m: f64,
    lamp: u8,
    moving: bool,
    phase: Phase,
    followed_lanes_from: f64,
    extra: Vec<u32>,
    done: bool,
}

impl CutIn {
    pub fn build(spec: &ScenarioSpec, site: Site, world: &mut World) -> Result<Self, SimError> {
        let side = if spec.text("direction") == Some("left") { 1.0 } else { -1.0 };
        // It signals towards the ego's lane.
        let lamp = if side < 0.0 { Lamps::LEFT } else { Lamps::RIGHT };
        let mut extra = Vec::new();
        let mut moving = false;
        let (car, at_s_m) = match spec.kind.as_str() {
            "HighwayCutIn" => {
                moving = true;
                Self::from_slip_road(spec, &site, world)?
            }
            "ParkingCutIn" => {
                let (hiding, at) = (site.trigger_s_m + HIDING_M, site.trigger_s_m + PARKED_M);
                let offset = |s: f64| side * site.parking_offset_m(s);
                for s in [hiding, at] {
                    world.clear_background(site.pose(s, offset(s)).position(), 8.0);
                }
                extra.push(world.spawn(ActorKind::Car, site.pose(hiding, offset(hiding)), Behaviour::Parked));
                (world.spawn(ActorKind::Car, site.pose(at, offset(at)), Behaviour::Parked), at)
            }
            _ => {
                let at = site.trigger_s_m + spec.number("distance").unwrap_or(40.0);
                let offset = side * site.lane_width_m(at);
                for along in QUEUE {
                    let pose = site.pose(at + along, offset);
                    world.clear_background(pose.position(), 8.0);
                    extra.push(world.spawn(ActorKind::Car, pose, Behaviour::Parked));
                }
                let pose = site.pose(at, offset);
                world.clear_background(pose.position(), 8.0);
                (world.spawn(ActorKind::Car, pose, Behaviour::Parked), at)
            }
        };
        Ok(Self {
            name: spec.name.clone(),
            car,
            at_s_m,
            lamp,
            moving,
            phase: Phase::Waiting,
            followed_lanes_from: 0.0,
            extra,
            done: false,
            site,
        })
    }

    fn from_slip_road(spec: &ScenarioSpec, site: &Site, world: &mut World) -> Result<(u32, f64), SimError> {
        let (Some(start), Some(end)) = (spec.location("other_actor_location"), spec.location("end_location")) else {
            return Err(SimError::Scenario {
                name: spec.name.clone(),
                problem: "it needs other_actor_location and end_location".into(),
            });
        };
        let way = Route::plan(&site.net, &[start, end]).map_err(|e| SimError::Scenario {
            name: spec.name.clone(),
            problem: format!("no way from other_actor_location to end_location: {e}"),
        })?;
        let mut path = Scripted::new(way.points.iter().map(|p| p.position.truncate()), 0.0);
        path.careful = true;
        let pose = way.at(0.0).pose();
        world.clear_background(pose.position(), 10.0);
        let merge_s = site.route.project(end.truncate(), site.trigger_s_m).0;
        Ok((world.spawn(ActorKind::Car, pose, Behaviour::Scripted(path)), merge_s))
    }

    /// From its place into the ego's lane and onwards.
    fn move_out(&mut self, world: &mut World) {
        let Some(car) = world.actor(self.car) else { return };
        let from = car.pose().position();
        let s = self.site.route.project(from, self.at_s_m).0;
        let left = self.site.pose(s, 0.0).to_local(from).y;
        let steps = 12;
        let mut points: Vec<_> = (0..=steps)
            .map(|i| {
                let t = f64::from(i) / f64::from(steps);
                // A smooth step from the place aside to the lane's centre.
                let share = 1.0 - t * t * (3.0 - 2.0 * t);
                self.site.pose(s + CHANGE_M * t, left * share).position()
            })
            .collect();
        self.followed_lanes_from = s + CHANGE_M + 6.0;
        points.extend(self.site.route_points(s + CHANGE_M + 1.0, self.followed_lanes_from, 0.0));
        let mut path = Scripted::new(points, CUT_MPS);
        path.acceleration_mps2 = 2.5;
        path.careful = false;
        if let Some(car) = world.actor_mut(self.car) {
            car.behaviour = Behaviour::Scripted(path);
            car.held_lamps = Lamps(self.lamp);
        }
        self.phase = Phase::Moving;
    }

    fn drive_on(&mut self, world: &mut World) {
        let lanes = self.site.route_lanes_from(self.followed_lanes_from);
        if let Some(car) = world.actor_mut(self.car) {
            car.behaviour =
                Behaviour::Lane(LaneFollowing { route: lanes.into_iter().skip(1).collect(), ..LaneFollowing::at(8.0) });
            car.held_lamps = Lamps::default();
        }
        self.phase = Phase::Following;
    }
}

impl Scenario for CutIn {
    fn name(&self) -> &str {
        &self.name
    }
    fn tick(&mut self, world: &mut World) {
        if self.done {
            return;
        }
        let progress = world.route_progress_m();
        let speed = world.ego().speed_mps.max(0.0);
        if self.moving {
            // On the slip road: arrive when the ego does.
            if self.site.triggered(world)
                && let Some(Behaviour::Scripted(path)) = world.actor_mut(self.car).map(|a| &mut a.behaviour)
            {
                path.target_speed_mps = (speed + 1.5).clamp(6.0, 22.0);
            }
            if world.actor(self.car).is_some_and(|a| a.finished()) && !matches!(self.phase, Phase::Following) {
                self.followed_lanes_from = self.at_s_m;
                self.drive_on(world);
            }
        } else {
            match self.phase {
                Phase::Waiting => {
                    let gap = self.at_s_m - progress;
                    if self.site.triggered(world) && gap < (speed * REACTION_S).max(12.0) {
                        self.move_out(world);
                    }
                }
                Phase::Moving => {
                    if world.actor(self.car).is_none_or(|a| a.finished()) {
                        self.drive_on(world);
                    }
                }
                Phase::Following => {}
            }
        }
        self.done = progress > self.at_s_m + 60.0;
    }
    fn hash_state(&self, hasher: &mut StateHasher) {
        hasher.word(match self.phase {
            Phase::Waiting => 0,
            Phase::Moving => 1,
            Phase::Following => 2,
        });
        hasher.word(self.extra.len() as u64);
        hasher.word(u64::from(self.done));
    }
    fn finished(&self) -> bool {
        self.done
    }
}

//! Where a scenario takes place: distances along the ego's route and what lies beside it.

use super::ScenarioSpec;
use crate::error::SimError;
use crate::world::World;
use apprentice_core::geometry::DVec2;
use apprentice_core::{Pose2, wrap_angle};
use apprentice_road::{LaneId, LaneKind, RoadNetwork, Route};
use std::sync::Arc;

/// A trigger farther from the route than this is not on it, metres.
const TRIGGER_REACH_M: f64 = 15.0;
/// How far the road after the route's end is known, metres.
const ONWARD_M: f64 = 150.0;
/// A trigger fires this much before its place, metres.
const TRIGGER_LEAD_M: f64 = 2.0;

/// The stretch of the route that lies inside a junction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crossing {
    /// Index of the junction.
    pub junction: usize,
    /// Along the route, metres.
    pub enter_s_m: f64,
    /// Along the route, metres.
    pub exit_s_m: f64,
}

/// Lanes in driving order, from a place on the first to a place on the last.
#[derive(Clone, Debug)]
pub(super) struct LanePath {
    pub lanes: Vec<LaneId>,
    pub start_s_m: f64,
    pub end_s_m: f64,
}

/// A scenario's place.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub net: Arc<RoadNetwork>,
    pub route: Arc<Route>,
    /// Along the route, metres.
    pub trigger_s_m: f64,
    pub seed: u64,
    /// Where the road leads after the route's end.
    onward: LanePath,
}

impl Site {
    /// # Errors
    /// When the trigger is not on the route.
    pub fn new(world: &World, spec: &ScenarioSpec, seed: u64) -> Result<Self, SimError> {
        let trigger = spec.trigger.position();
        let mut best = (f64::INFINITY, 0.0);
        for point in &world.route.points {
            let distance = point.position.truncate().distance(trigger)
                + if wrap_angle(point.yaw_rad - spec.trigger.yaw_rad).cos() < 0.0 { 5.0 } else { 0.0 };
            if distance < best.0 {
                best = (distance, point.s_m);
            }
        }
        if best.0 > TRIGGER_REACH_M {
            return Err(SimError::Scenario {
                name: spec.name.clone(),
                problem: format!("its trigger lies {:.1} m from the route", best.0),
            });
        }
        let end = world.route.at(world.route.length_m);
        let along = world.net.lanes[end.lane].project(end.position.truncate()).0;
        let onward = downstream(&world.net, end.lane, along, ONWARD_M);
        Ok(Self { net: world.net.clone(), route: world.route.clone(), trigger_s_m: best.1, seed, onward })
    }

    /// Whether the ego has reached the trigger.
    pub fn triggered(&self, world: &World) -> bool {
        world.route_progress_m() >= self.trigger_s_m - TRIGGER_LEAD_M
    }

    /// Pose on the route's lane (or on the road after the route's end), `left_m` to the left of its centre.
    pub fn pose(&self, s_m: f64, left_m: f64) -> Pose2 {
        if s_m > self.route.length_m {
            return self.onward.at(&self.net, s_m - self.route.length_m).0.offset(0.0, left_m);
        }
        let point = self.route.at(s_m);
        Pose2::new(point.position.x, point.position.y, point.yaw_rad).offset(0.0, left_m)
    }

    /// Width of the route's lane.
    pub fn lane_width_m(&self, s_m: f64) -> f64 {
        self.route.at(s_m).lane_width_m
    }

    /// From the route's lane centre to the edge of the carriageway on one side (`left`: +1, right: −1), metres.
    pub fn edge_m(&self, s_m: f64, side: f64) -> f64 {
        const STEP_M: f64 = 0.5;
        const FAR_M: f64 = 20.0;
        let kinds =
            [LaneKind::Driving, LaneKind::Bidirectional, LaneKind::Parking, LaneKind::Shoulder, LaneKind::Biking];
        let mut reach = self.lane_width_m(s_m) / 2.0;
        while reach < FAR_M {
            let probe = self.pose(s_m, side * (reach + STEP_M)).position();
            let on_road = self.net.nearest_lane(probe, &kinds).is_some_and(|place| {
                place.lateral_m.abs() <= self.net.lanes[place.lane].at(place.s_m).width_m / 2.0 + 0.05
            });
            if !on_road {
                break;
            }
            reach += STEP_M;
        }
        reach
    }

    /// From the route's lane centre to the middle of the parking lane (or the strip where one could stop) to the
    /// right: its own width aside, but no farther than keeps a car's right wheels near the carriageway's edge.
    pub fn parking_offset_m(&self, s_m: f64) -> f64 {
        let width = self.lane_width_m(s_m);
        let edge = self.edge_m(s_m, -1.0);
        if edge >= width / 2.0 + 1.9 { (edge - 1.05).min(width / 2.0 + 1.5) } else { width / 2.0 + 1.1 }
    }

    /// The first junction the route enters at or after `s_m`.
    pub fn next_junction(&self, s_m: f64) -> Option<Crossing> {
        let points = &self.route.points;
        let first = points.iter().position(|p| p.s_m >= s_m && p.in_junction)?;
        let junction = self.net.lanes[points[first].lane].junction?;
        let last = points[first..]
            .iter()
            .take_while(|p| p.in_junction && self.net.lanes[p.lane].junction == Some(junction))
            .last()?;
        Some(Crossing { junction, enter_s_m: points[first].s_m, exit_s_m: last.s_m })
    }

    /// Lanes from `s_m` of the route onwards, in order, for an actor that drives where the ego will.
    pub fn route_lanes_from(&self, s_m: f64) -> Vec<LaneId> {
        let mut lanes: Vec<LaneId> = Vec::new();
        for point in self.route.points.iter().filter(|p| p.s_m >= s_m) {
            if lanes.last() != Some(&point.lane) {
                lanes.push(point.lane);
            }
        }
        lanes
    }

    /// Points of the route between two places, shifted to the left.
    pub fn route_points(&self, from_m: f64, to_m: f64, left_m: f64) -> Vec<DVec2> {
        let steps = ((to_m - from_m).max(1.0) / 1.5).ceil() as usize;
        (0..=steps).map(|i| self.pose(from_m + (to_m - from_m) * i as f64 / steps as f64, left_m).position()).collect()
    }
}

/// The lanes that lead to `lane` at `s_m`, from about `distance_m` before it: straight on where there is a choice.
pub(super) fn upstream(net: &RoadNetwork, lane: LaneId, s_m: f64, distance_m: f64) -> LanePath {
    let mut lanes = vec![lane];
    let mut left = distance_m - s_m;
    let mut first = lane;
    while left > 0.0 {
        let yaw = net.lanes[first].start().yaw_rad;
        let turn = |id: &LaneId| wrap_angle(net.lanes[*id].start().yaw_rad - yaw).abs();
        let before = net.lanes[first]
            .predecessors
            .iter()
            .copied()
            .filter(|id| net.lanes[*id].kind == LaneKind::Driving && !lanes.contains(id))
            .min_by(|a, b| turn(a).total_cmp(&turn(b)));
        let Some(before) = before else { break };
        left -= net.lanes[before].length_m;
        lanes.insert(0, before);
        first = before;
    }
    LanePath { lanes, start_s_m: (-left).max(0.0), end_s_m: s_m }
}

/// The lanes onwards from `lane` at `s_m` for about `distance_m`: straight on where there is a choice.
pub(super) fn downstream(net: &RoadNetwork, lane: LaneId, s_m: f64, distance_m: f64) -> LanePath {
    let mut lanes = vec![lane];
    let mut left = distance_m - (net.lanes[lane].length_m - s_m);
    let mut last = lane;
    while left > 0.0 {
        let yaw = net.lanes[last].end().yaw_rad;
        let turn = |id: &LaneId| wrap_angle(net.lanes[*id].end().yaw_rad - yaw).abs();
        let next = net.lanes[last]
            .successors
            .iter()
            .copied()
            .filter(|id| net.lanes[*id].kind == LaneKind::Driving && !lanes.contains(id))
            .min_by(|a, b| turn(a).total_cmp(&turn(b)));
        let Some(next) = next else { break };
        left -= net.lanes[next].length_m;
        lanes.push(next);
        last = next;
    }
    LanePath { lanes, start_s_m: s_m, end_s_m: (net.lanes[last].length_m + left.min(0.0)).max(0.0) }
}

impl LanePath {
    /// Metres from its start to its end.
    pub fn length_m(&self, net: &RoadNetwork) -> f64 {
        let whole: f64 = self.lanes.iter().map(|&id| net.lanes[id].length_m).sum();
        let tail = self.lanes.last().map_or(0.0, |&id| net.lanes[id].length_m - self.end_s_m);
        whole - self.start_s_m - tail
    }

    /// Pose `s_m` after its start, and the index of the lane there.
    pub fn at(&self, net: &RoadNetwork, s_m: f64) -> (Pose2, usize) {
        let mut rest = s_m + self.start_s_m;
        for (i, &id) in self.lanes.iter().enumerate() {
            let lane = &net.lanes[id];
            if rest <= lane.length_m || i + 1 == self.lanes.len() {
                return (lane.at(rest).pose(), i);
            }
            rest -= lane.length_m;
        }
        (Pose2::default(), 0)
    }

    /// Distance from its start to a place on one of its lanes.
    pub fn distance_to(&self, net: &RoadNetwork, lane: LaneId, s_m: f64) -> Option<f64> {
        let index = self.lanes.iter().position(|&id| id == lane)?;
        let before: f64 = self.lanes[..index].iter().map(|&id| net.lanes[id].length_m).sum();
        Some(before + s_m - self.start_s_m)
    }

    /// Its centre line, about every 1.5 m.
    pub fn points(&self, net: &RoadNetwork) -> Vec<DVec2> {
        let length = self.length_m(net).max(1.0);
        let steps = (length / 1.5).ceil() as usize;
        (0..=steps).map(|i| self.at(net, length * i as f64 / steps as f64).0.position()).collect()
    }

    /// The same path followed by another that begins on its last lane.
    pub fn joined(mut self, other: LanePath) -> LanePath {
        let skip = usize::from(self.lanes.last() == other.lanes.first());
        self.lanes.extend(other.lanes.into_iter().skip(skip));
        self.end_s_m = other.end_s_m;
        self
    }
}

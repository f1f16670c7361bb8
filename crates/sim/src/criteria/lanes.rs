//! Leaving the route (`InRouteTest`) and its lanes (`OutsideRouteLanesTest`).

use super::{Found, score::round_to};
use apprentice_core::geometry::{DVec2, DVec3};
use apprentice_core::wrap_angle;
use apprentice_road::{LaneId, LaneKind, RoadNetwork, Route};

/// Farther from the route ends the episode, metres.
const OFF_ROUTE_M: f64 = 30.0;
/// Farther counts towards [`OFF_ROUTE_PERCENT`], metres.
const ASIDE_M: f64 = 15.0;
/// Share of the route's length that may be driven aside, percent.
const OFF_ROUTE_PERCENT: f64 = 30.0;
/// Route points looked ahead for the nearest one.
const IN_ROUTE_WINDOW: usize = 5;
/// Beyond the lane's edge this much is still inside, metres.
const EDGE_M: f64 = 0.5;
/// Heading difference to the lane that is the wrong way, degrees (asked where a junction ends).
const WRONG_HEADING_DEG: f64 = 120.0;
/// Jump of the lane's heading that is a change to an oncoming lane, degrees.
const WRONG_JUMP_DEG: f64 = 150.0;
/// Route points looked ahead for the driven distance.
const LANES_WINDOW: usize = 3;

#[derive(Clone, Debug)]
pub(super) struct LaneKeeping {
    nearest: usize,
    aside_m: f64,
    last_at: Option<DVec2>,
    driven_to: usize,
    outside: bool,
    wrong_way: bool,
    wrong_m: f64,
    total_m: f64,
    last_lane: Option<(LaneId, f64)>,
    after_junction: bool,
    length_m: f64,
}

impl LaneKeeping {
    pub(super) fn new(route: &Route) -> Self {
        Self {
            nearest: 0,
            aside_m: 0.0,
            last_at: None,
            driven_to: 0,
            outside: false,
            wrong_way: false,
            wrong_m: 0.0,
            total_m: 0.0,
            last_lane: None,
            after_junction: false,
            length_m: route.points.last().map_or(0.0, |p| p.s_m),
        }
    }

    /// Returns whether the ego has left the route for good.
    pub(super) fn observe(
        &mut self,
        net: &RoadNetwork,
        route: &Route,
        found: &mut Found<'_>,
        at: DVec3,
        yaw_rad: f64,
        wrong_way_allowed: bool,
    ) -> bool {
        let here = at.truncate();
        let moved = self.last_at.map_or(0.0, |last| last.distance(here));
        if self.last_at.is_none() || moved > 0.0 {
            self.look_at_lanes(net, at, yaw_rad);
        }
        self.last_at = Some(here);
        self.drive_on(route, here, wrong_way_allowed);

        let mut shortest = f64::INFINITY;
        let first = self.nearest;
        for index in first..(first + IN_ROUTE_WINDOW + 1).min(route.points.len()) {
            let distance = route.points[index].position.truncate().distance(here);
            if distance <= shortest {
                (self.nearest, shortest) = (index, distance);
            }
        }
        if shortest > ASIDE_M {
            self.aside_m += moved;
        }
        let off = shortest > OFF_ROUTE_M || self.aside_m / self.length_m.max(1.0) * 100.0 > OFF_ROUTE_PERCENT;
        if off {
            let place = found.place();
            found.push("route_dev", format!("Agent deviated from the route at {place}"));
        }
        off
    }

    fn look_at_lanes(&mut self, net: &RoadNetwork, at: DVec3, yaw_rad: f64) {
        let Some(driving) = net.nearest_lane_3d(at, &[LaneKind::Driving]) else { return };
        let lane = &net.lanes[driving.lane];
        let half = |place: &apprentice_road::LanePosition| net.lanes[place.lane].at(place.s_m).width_m / 2.0;
        self.outside = driving.lateral_m.abs() > half(&driving) + EDGE_M;
        if self.outside
            && let Some(wide) =
                net.nearest_lane_3d(at, &[LaneKind::Driving, LaneKind::Parking, LaneKind::Bidirectional])
        {
            self.outside = wide.lateral_m.abs() > half(&wide) + EDGE_M;
        }
        let lane_yaw = lane.at(driving.s_m).yaw_rad;
        if lane.junction.is_some() {
            self.wrong_way = false;
            self.after_junction = true;
        } else if self.last_lane.is_none_or(|(id, _)| id != driving.lane) {
            if self.after_junction || self.last_lane.is_none() {
                self.wrong_way = wrap_angle(lane_yaw - yaw_rad).abs() > WRONG_HEADING_DEG.to_radians();
            } else if let Some((_, last_yaw)) = self.last_lane {
                let jump = wrap_angle(lane_yaw - last_yaw).abs() >= WRONG_JUMP_DEG.to_radians();
                // Out to the oncoming lane, or back from it; a change within one direction ends it.
                self.wrong_way = jump && !self.wrong_way;
            }
            self.after_junction = false;
        }
        self.last_lane = Some((driving.lane, lane_yaw));
    }

    fn drive_on(&mut self, route: &Route, here: DVec2, wrong_way_allowed: bool) {
        let first = self.driven_to;
        for index in first + 1..(first + LANES_WINDOW + 1).min(route.points.len()) {
            let point = &route.points[index];
            let (sin, cos) = point.yaw_rad.sin_cos();
            if (here - point.position.truncate()).dot(DVec2::new(cos, sin)) > 0.0 {
                let step = point.position.distance(route.points[self.driven_to].position);
                if self.outside || (self.wrong_way && !wrong_way_allowed) {
                    self.wrong_m += step;
                }
                self.total_m += step;
                self.driven_to = index;
            }
        }
    }

    /// Share of the driven way outside the route's lanes.
    pub(super) fn outside_fraction(&self) -> f64 {
        if self.total_m > 0.0 { self.wrong_m / self.total_m } else { 0.0 }
    }

    pub(super) fn finish(&mut self, found: &mut Found<'_>) {
        if self.wrong_m > 0.0 {
            let (metres, percent) = (round_to(self.wrong_m, 3), round_to(self.outside_fraction() * 100.0, 2));
            found.push(
                "outside_route_lanes",
                format!(
                    "Agent went outside its route lanes for about {metres:?} meters ({percent}% of the completed route)"
                ),
            );
        }
    }
}

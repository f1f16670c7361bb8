//! Red lights (`RunningRedLightTest`) and stop signs (`RunningStopTest`).

use super::{Found, Moment};
use crate::state::LightAspect;
use apprentice_core::geometry::DVec2;
use apprentice_core::{OrientedBox, Pose2, wrap_angle};
use apprentice_road::{RoadNetwork, Route, SignalKind};

/// Lights farther away are not looked at, metres.
const LIGHT_RANGE_M: f64 = 15.0;
/// Where on the ego the crossing is measured: from this share of its half length behind the middle …
const TAIL_NEAR: f64 = 0.8;
/// … to this much behind its tail, metres.
const TAIL_FAR_M: f64 = 1.0;
/// Stop lines reach this share of the lane's width to each side.
const LINE_HALF_WIDTHS: f64 = 0.6;
/// A stop sign is noticed this far ahead, metres.
const STOP_RANGE_M: f64 = 4.0;
/// The ego has stopped below this speed, m/s.
const STOPPED_MPS: f64 = 0.1;
/// Growth of a stop sign's box.
const STOP_GROWTH: f64 = 1.2;
/// Length of a stop sign's box along the lane, metres (CARLA's boxes are placed by hand; this is a typical one).
const STOP_BOX_LENGTH_M: f64 = 3.0;

#[derive(Clone, Debug)]
struct Line {
    signal: usize,
    pose: Pose2,
    width_m: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Signs {
    lights: Vec<Line>,
    stops: Vec<Line>,
    last_red: Option<usize>,
    target: Option<usize>,
    affected: bool,
    stopped: bool,
}

impl Signs {
    /// Keep the lines near the route.
    pub(super) fn new(net: &RoadNetwork, route: &Route) -> Self {
        let reach = LIGHT_RANGE_M + 35.0;
        let mut signs = Self {
            lights: Vec::new(),
            stops: Vec::new(),
            last_red: None,
            target: None,
            affected: false,
            stopped: false,
        };
        for signal in &net.signals {
            let list = match signal.kind {
                SignalKind::TrafficLight => &mut signs.lights,
                SignalKind::Stop => &mut signs.stops,
                _ => continue,
            };
            for line in &signal.stop_lines {
                let near = |p: &apprentice_road::RoutePoint| p.position.truncate().distance(line.center) < reach;
                if route.points.iter().any(near) {
                    let pose = Pose2::new(line.center.x, line.center.y, line.yaw_rad);
                    list.push(Line { signal: signal.index, pose, width_m: line.width_m });
                }
            }
        }
        signs
    }

    pub(super) fn observe(&mut self, net: &RoadNetwork, found: &mut Found<'_>, moment: &Moment<'_>, ego: &OrientedBox) {
        self.red_lights(net, found, moment, ego);
        self.stop_signs(net, found, moment, ego);
    }

    fn red_lights(&mut self, net: &RoadNetwork, found: &mut Found<'_>, moment: &Moment<'_>, ego: &OrientedBox) {
        let half = ego.length_m / 2.0;
        let near = ego.center.to_parent(DVec2::new(-TAIL_NEAR * half, 0.0));
        let far = ego.center.to_parent(DVec2::new(-half - TAIL_FAR_M, 0.0));
        for line in &self.lights {
            let red = moment.lights.get(line.signal) == Some(&LightAspect::Red);
            let middle = line.pose.position();
            if !red
                || self.last_red == Some(line.signal)
                || middle.distance(ego.center.position()) > LIGHT_RANGE_M
                || wrap_angle(line.pose.yaw_rad - ego.center.yaw_rad).cos() <= 0.0
            {
                continue;
            }
            let across = line.pose.left() * line.width_m * LINE_HALF_WIDTHS;
            if segments_cross(near, far, middle - across, middle + across) {
                self.last_red = Some(line.signal);
                let place = found.place();
                found.push("red_light", format!("Agent ran a red light {} at {place}", net.signals[line.signal].id));
            }
        }
    }

    fn stop_signs(&mut self, net: &RoadNetwork, found: &mut Found<'_>, moment: &Moment<'_>, ego: &OrientedBox) {
        let Some(index) = self.target else {
            let ahead = |d: f64| ego.center.to_parent(DVec2::new(d, 0.0));
            self.target = self.stops.iter().position(|line| {
                wrap_angle(line.pose.yaw_rad - ego.center.yaw_rad).cos() > 0.5
                    && line.pose.position().distance(ego.center.position()) < 2.0 * STOP_RANGE_M
                    && (0..=8).any(|i| trigger(line, 1.0).contains(ahead(f64::from(i) * STOP_RANGE_M / 8.0)))
            });
            (self.affected, self.stopped) = (false, false);
            return;
        };
        let line = &self.stops[index];
        let inside = trigger(line, STOP_GROWTH).overlaps(ego);
        self.affected |= inside;
        self.stopped |= moment.ego.speed_mps.abs() < STOPPED_MPS;
        let passed = line.pose.to_local(ego.center.position()).x > 0.0;
        if !inside && (self.affected || passed) {
            if self.affected && passed && !self.stopped {
                let place = found.place();
                found.push(
                    "stop_infraction",
                    format!("Agent ran a stop with id={} at {place}", net.signals[line.signal].id),
                );
            }
            self.target = None;
        }
    }
}

/// The area in which a stop sign is obeyed: before and on its line.
fn trigger(line: &Line, growth: f64) -> OrientedBox {
    OrientedBox { center: line.pose, length_m: STOP_BOX_LENGTH_M * growth, width_m: line.width_m * growth }
}

fn segments_cross(a: DVec2, b: DVec2, c: DVec2, d: DVec2) -> bool {
    let side = |p: DVec2, q: DVec2, r: DVec2| (q - p).perp_dot(r - p);
    side(a, b, c) * side(a, b, d) < 0.0 && side(c, d, a) * side(c, d, b) < 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments() {
        let p = DVec2::new;
        assert!(segments_cross(p(0.0, 0.0), p(2.0, 0.0), p(1.0, -1.0), p(1.0, 1.0)));
        assert!(!segments_cross(p(0.0, 0.0), p(0.9, 0.0), p(1.0, -1.0), p(1.0, 1.0)));
    }
}

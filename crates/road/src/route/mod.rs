//! Routes: a smooth path through waypoints along lanes, with CARLA's navigation commands.
//!
//! Waypoints are matched to lanes together (Viterbi over nearby lanes: how far off, how turned, how far to
//! drive), gaps between them are planned on the lane graph, and lane changes are blended sideways.

mod commands;
mod search;

use crate::error::RoadError;
use crate::lane::LaneId;
use crate::network::RoadNetwork;
use apprentice_core::geometry::{DVec2, DVec3};
use apprentice_core::{Command, Pose2, wrap_angle};
use search::Piece;
use serde::{Deserialize, Serialize};

/// Distance between route points, metres (the last one may be closer).
pub const SPACING_M: f64 = 1.0;

/// A point of a route.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoutePoint {
    /// World frame, on the surface.
    pub position: DVec3,
    /// Direction of travel, radians.
    pub yaw_rad: f64,
    /// The lane it lies on (while changing: the one left until half way, then the one entered).
    pub lane: LaneId,
    /// Metres along the route.
    pub s_m: f64,
    /// What the route does here.
    pub command: Command,
    /// Whether the lane lies inside a junction.
    pub in_junction: bool,
    /// Lane width here, metres.
    pub lane_width_m: f64,
    /// Speed limit, metres per second.
    pub speed_limit_mps: f64,
}

impl RoutePoint {
    /// Position and heading in the plane.
    pub fn pose(&self) -> Pose2 {
        Pose2::new(self.position.x, self.position.y, self.yaw_rad)
    }
}

/// A path to follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Points [`SPACING_M`] apart.
    pub points: Vec<RoutePoint>,
    /// Metres.
    pub length_m: f64,
}

impl Route {
    /// Plan a route that passes the waypoints in order.
    pub fn plan(net: &RoadNetwork, waypoints: &[DVec3]) -> Result<Route, RoadError> {
        let pieces = search::pieces(net, waypoints)?;
        let raw = lay_out(net, &pieces);
        let mut points = resample(net, &raw);
        commands::assign(&mut points, |p| net.lanes[p.lane].junction);
        let length_m = points.last().map_or(0.0, |p| p.s_m);
        Ok(Route { points, length_m })
    }

    /// Where `p` is on the route: metres along it and metres to its left. Looks near `hint_s_m` (20 m back,
    /// 60 m ahead), so that a route that crosses itself is followed in order; a non-finite hint looks everywhere.
    pub fn project(&self, p: DVec2, hint_s_m: f64) -> (f64, f64) {
        let last = self.points.len().saturating_sub(1);
        let (first, end) = if hint_s_m.is_finite() {
            let at = |s: f64| (s.max(0.0) / SPACING_M) as usize;
            (at(hint_s_m - 20.0).min(last.saturating_sub(1)), (at(hint_s_m + 60.0) + 1).min(last))
        } else {
            (0, last)
        };
        let mut best = (f64::INFINITY, 0.0, 0.0);
        for i in first..end.max(first) {
            let a = self.points[i].position.truncate();
            let d = self.points[i + 1].position.truncate() - a;
            let t = ((p - a).dot(d) / d.length_squared().max(1e-12)).clamp(0.0, 1.0);
            let distance2 = (p - a - d * t).length_squared();
            if distance2 < best.0 {
                let s_m = self.points[i].s_m + (self.points[i + 1].s_m - self.points[i].s_m) * t;
                best = (distance2, s_m, distance2.sqrt().copysign(d.perp_dot(p - a)));
            }
        }
        (best.1, best.2)
    }

    /// The route at `s_m`: position and heading interpolated, the rest from the point before. Clamped.
    pub fn at(&self, s_m: f64) -> RoutePoint {
        let last = self.points.len() - 1;
        let s_m = s_m.clamp(0.0, self.length_m);
        let i = ((s_m / SPACING_M) as usize).min(last.saturating_sub(1));
        let (a, b) = (&self.points[i], &self.points[(i + 1).min(last)]);
        let gap = b.s_m - a.s_m;
        let t = if gap > 0.0 { ((s_m - a.s_m) / gap).clamp(0.0, 1.0) } else { 0.0 };
        RoutePoint {
            position: a.position.lerp(b.position, t),
            yaw_rad: wrap_angle(a.yaw_rad + wrap_angle(b.yaw_rad - a.yaw_rad) * t),
            s_m,
            ..*a
        }
    }

    /// The command that a driver at `s_m` is given: that of the next manoeuvre once it is near, until its end.
    pub fn command_ahead(&self, s_m: f64) -> Command {
        commands::ahead(self, s_m)
    }
}

/// A point before resampling.
#[derive(Clone, Copy)]
struct Raw {
    position: DVec3,
    lane: LaneId,
    lane_s_m: f64,
    change: Option<Command>,
}

/// Centre lines of the pieces, lane changes blended.
fn lay_out(net: &RoadNetwork, pieces: &[Piece]) -> Vec<Raw> {
    let mut raw: Vec<Raw> = Vec::new();
    let mut push = |point: Raw| {
        if raw.last().is_none_or(|l: &Raw| (l.position - point.position).length() >= 0.05) {
            raw.push(point);
        }
    };
    for piece in pieces {
        let length = (piece.to_m - piece.from_m).max(0.0);
        let steps = (length / 0.5).ceil().max(1.0) as usize;
        for k in 0..=steps {
            let t = k as f64 / steps as f64;
            let s_m = piece.from_m + length * t;
            let lane = &net.lanes[piece.lane];
            let here = lane.at(s_m).position;
            match piece.change {
                None => push(Raw { position: here, lane: piece.lane, lane_s_m: s_m, change: None }),
                Some((other, other_from, other_to)) => {
                    let other_s = other_from + (other_to - other_from) * t;
                    let there = net.lanes[other].at(other_s).position;
                    // Smootherstep: no sideways speed or acceleration at either end.
                    let blend = t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
                    let to_left = lane.left == Some(other);
                    let change = Some(if to_left { Command::ChangeLaneLeft } else { Command::ChangeLaneRight });
                    let (lane, lane_s_m) = if t < 0.5 { (piece.lane, s_m) } else { (other, other_s) };
                    push(Raw { position: here.lerp(there, blend), lane, lane_s_m, change });
                }
            }
        }
    }
    raw
}

/// Points at even spacing, with headings.
fn resample(net: &RoadNetwork, raw: &[Raw]) -> Vec<RoutePoint> {
    let mut out: Vec<RoutePoint> = Vec::new();
    let mut walked = 0.0;
    let mut emit = |position: DVec3, at: &Raw, s_m: f64| {
        let lane = &net.lanes[at.lane];
        out.push(RoutePoint {
            position,
            yaw_rad: 0.0,
            lane: at.lane,
            s_m,
            command: at.change.unwrap_or(Command::LaneFollow),
            in_junction: lane.junction.is_some(),
            lane_width_m: lane.at(at.lane_s_m).width_m,
            speed_limit_mps: lane.speed_limit_mps,
        });
    };
    let mut next = 0.0;
    for pair in raw.windows(2) {
        let gap = (pair[1].position - pair[0].position).length();
        while gap > 0.0 && next <= walked + gap {
            let t = (next - walked) / gap;
            emit(pair[0].position.lerp(pair[1].position, t), if t < 0.5 { &pair[0] } else { &pair[1] }, next);
            next += SPACING_M;
        }
        walked += gap;
    }
    if let Some(last) = raw.last()
        && walked - (next - SPACING_M) > 0.05
    {
        emit(last.position, last, walked);
    }
    let count = out.len();
    for i in 0..count {
        let (a, b) = (out[i.saturating_sub(1)].position, out[(i + 1).min(count - 1)].position);
        let d = b - a;
        out[i].yaw_rad = d.y.atan2(d.x);
    }
    out
}

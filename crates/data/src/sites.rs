//! Places of a town where a scenario family fits, and routes that lead through them.
//!
//! A route begins some way before the place, follows the lanes through it and goes on behind it; where lanes part and
//! the family does not care, the random stream chooses.

use apprentice_core::geometry::DVec3;
use apprentice_core::{Pose2, Rng, wrap_angle};
use apprentice_road::{LaneId, LaneKind, RoadNetwork, SignalKind};

/// Which way a route goes through a junction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turning {
    /// To the left.
    Left,
    /// To the right.
    Right,
    /// Across.
    Straight,
    /// Left or right.
    AnyTurn,
    /// Whatever.
    Any,
}

/// What controls the approach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Traffic lights.
    Light,
    /// A stop sign.
    Stop,
    /// Anything but lights.
    NoLight,
    /// Whatever.
    Any,
}

/// The place a family needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A stretch without junctions.
    Straight {
        /// Driving lanes in the ego's direction, at least; the ego drives on the rightmost.
        lanes: usize,
        /// Whether an oncoming lane must (or must not) lie beside.
        oncoming: Option<bool>,
        /// Whether a parking lane must lie to the right.
        parking: bool,
    },
    /// A way through a junction.
    Junction {
        /// Which way.
        turning: Turning,
        /// Under what control.
        control: Control,
    },
}

/// A place: the lane a route must take and where on it the family's anchor lies (the entry of the junction, or the
/// beginning of the free stretch).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Site {
    /// The lane.
    pub lane: LaneId,
    /// Metres along it.
    pub s_m: f64,
}

/// A way along lanes through a site.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// Points about 1 m apart with heading.
    pub points: Vec<(DVec3, f64)>,
    /// Index of the anchor.
    pub anchor: usize,
}

/// Free metres that a straight site has ahead of its anchor.
pub const STRAIGHT_AHEAD_M: f64 = 85.0;
/// Metres of approach that a junction site has.
const APPROACH_M: f64 = 35.0;

/// All places of a town that meet a need, in lane order.
pub fn find(net: &RoadNetwork, need: Need) -> Vec<Site> {
    match need {
        Need::Straight { lanes, oncoming, parking } => straight_sites(net, lanes, oncoming, parking),
        Need::Junction { turning, control } => junction_sites(net, turning, control),
    }
}

fn straight_sites(net: &RoadNetwork, lanes: usize, oncoming: Option<bool>, parking: bool) -> Vec<Site> {
    let fits = |id: LaneId| {
        let lane = &net.lanes[id];
        lane.kind == LaneKind::Driving
            && lane.junction.is_none()
            && lane.right.is_none()
            && lanes_to_the_left(net, id) + 1 >= lanes
            && (lanes > 1 || oncoming != Some(true) || lane.left.is_none())
            && oncoming.is_none_or(|wanted| lane.opposite.is_some() == wanted)
            && (!parking || has_parking(net, id))
    };
    let mut sites = Vec::new();
    for lane in net.lanes.iter().filter(|l| fits(l.id)) {
        // Where the stretch behind this lane still fits, it adds to the free metres.
        let mut ahead = lane.length_m;
        let mut last = lane.id;
        for _ in 0..8 {
            match net.lanes[last].successors.as_slice() {
                &[next] if fits(next) && next != lane.id => {
                    ahead += net.lanes[next].length_m;
                    last = next;
                }
                _ => break,
            }
        }
        let mut s_m = 8.0;
        while s_m < lane.length_m && ahead - s_m >= STRAIGHT_AHEAD_M {
            sites.push(Site { lane: lane.id, s_m });
            s_m += 15.0;
        }
    }
    sites
}

fn lanes_to_the_left(net: &RoadNetwork, id: LaneId) -> usize {
    let mut count = 0;
    let mut at = id;
    while let Some(left) = net.lanes[at].left {
        count += 1;
        at = left;
        if count > 8 {
            break;
        }
    }
    count
}

fn has_parking(net: &RoadNetwork, id: LaneId) -> bool {
    let lane = &net.lanes[id];
    let outward = if lane.lane < 0 { lane.lane - 1 } else { lane.lane + 1 };
    net.lanes
        .iter()
        .any(|l| l.kind == LaneKind::Parking && l.road == lane.road && l.section == lane.section && l.lane == outward)
}

/// Heading change along a lane: left is positive.
fn bend_rad(net: &RoadNetwork, id: LaneId) -> f64 {
    let lane = &net.lanes[id];
    lane.points.windows(2).map(|w| wrap_angle(w[1].yaw_rad - w[0].yaw_rad)).sum()
}

fn junction_sites(net: &RoadNetwork, turning: Turning, control: Control) -> Vec<Site> {
    let mut sites = Vec::new();
    for junction in &net.junctions {
        for &id in &junction.lanes {
            let lane = &net.lanes[id];
            let [approach] = lane.predecessors[..] else { continue };
            if lane.kind != LaneKind::Driving || net.lanes[approach].junction.is_some() {
                continue;
            }
            let bend = bend_rad(net, id);
            let turns = match turning {
                Turning::Left => bend > 0.6,
                Turning::Right => bend < -0.6,
                Turning::Straight => bend.abs() < 0.35,
                Turning::AnyTurn => bend.abs() > 0.6,
                Turning::Any => true,
            };
            let governed = |wanted: fn(&SignalKind) -> bool| net.signals_of(approach).any(|s| wanted(&s.kind));
            let controlled = match control {
                Control::Light => governed(|k| *k == SignalKind::TrafficLight),
                Control::Stop => governed(|k| *k == SignalKind::Stop),
                Control::NoLight => !junction.signalised,
                Control::Any => true,
            };
            let run_up = approach_length_m(net, approach);
            if turns && controlled && run_up >= APPROACH_M && !lane.successors.is_empty() {
                sites.push(Site { lane: id, s_m: 0.0 });
            }
        }
    }
    sites
}

/// Metres of lane without junctions that lead to the end of `id`.
fn approach_length_m(net: &RoadNetwork, id: LaneId) -> f64 {
    let mut length = net.lanes[id].length_m;
    let mut at = id;
    for _ in 0..6 {
        match net.lanes[at].predecessors.as_slice() {
            &[before] if net.lanes[before].junction.is_none() => {
                at = before;
                length += net.lanes[at].length_m;
            }
            _ => break,
        }
    }
    length
}

/// A path through a site: up to `before_m` metres ahead of the anchor and `after_m` behind it. Where lanes part, the
/// random stream chooses; `None` when the town gives less than a third of either.
pub fn path(net: &RoadNetwork, site: Site, before_m: f64, after_m: f64, rng: &mut Rng) -> Option<Path> {
    let driving = |ids: &[LaneId]| -> Vec<LaneId> {
        ids.iter().copied().filter(|&id| net.lanes[id].kind == LaneKind::Driving).collect()
    };
    let mut lanes = vec![site.lane];
    let mut before = site.s_m;
    while before < before_m {
        let choices = driving(&net.lanes[lanes[0]].predecessors);
        if choices.is_empty() || lanes.len() > 24 {
            break;
        }
        let id = choices[rng.below(choices.len())];
        if lanes.contains(&id) {
            break;
        }
        before += net.lanes[id].length_m;
        lanes.insert(0, id);
    }
    let mut after = net.lanes[site.lane].length_m - site.s_m;
    while after < after_m {
        let choices = driving(&net.lanes[*lanes.last()?].successors);
        if choices.is_empty() || lanes.len() > 48 {
            break;
        }
        let id = choices[rng.below(choices.len())];
        if lanes.contains(&id) {
            break;
        }
        after += net.lanes[id].length_m;
        lanes.push(id);
    }
    if before < before_m / 3.0 || after < after_m / 3.0 {
        return None;
    }
    let anchor_at = before;
    let (from, to) = ((anchor_at - before_m).max(0.0), anchor_at + after_m);
    let (mut points, mut anchor, mut travelled) = (Vec::new(), 0, 0.0);
    for &id in &lanes {
        for point in &net.lanes[id].points {
            let at = travelled + point.s_m;
            let doubled = points.last().is_some_and(|(p, _): &(DVec3, f64)| p.distance(point.position) < 0.2);
            if at < from || at > to || doubled {
                continue;
            }
            if at <= anchor_at + 1e-6 {
                anchor = points.len();
            }
            points.push((point.position, point.yaw_rad));
        }
        travelled += net.lanes[id].length_m;
    }
    (points.len() >= 20).then_some(Path { points, anchor })
}

impl Path {
    /// The point so many metres (about) from the anchor, clamped to the path.
    pub fn pose(&self, from_anchor_m: f64) -> (Pose2, f64) {
        let at = (self.anchor as f64 + from_anchor_m).clamp(0.0, (self.points.len() - 1) as f64) as usize;
        let (p, yaw) = self.points[at];
        (Pose2::new(p.x, p.y, yaw), p.z)
    }

    /// Waypoints about `spacing` metres apart with both ends, rounded to centimetres so that text keeps them exactly.
    pub fn waypoints(&self, spacing: usize) -> Vec<[f64; 3]> {
        let last = self.points.len() - 1;
        let round = |v: f64| (v * 100.0).round() / 100.0;
        let mut indices: Vec<usize> = (0..last).step_by(spacing.max(1)).collect();
        if indices.last().is_some_and(|&i| last - i < spacing / 2) && indices.len() > 1 {
            indices.pop();
        }
        indices.push(last);
        indices.iter().map(|&i| self.points[i].0.to_array().map(round)).collect()
    }
}

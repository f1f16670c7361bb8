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
    /// A stretch without junctions where the route changes to the neighbouring lane.
    LaneChange,
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
    /// The lane beside it that the route changes to behind the anchor.
    pub onto: Option<LaneId>,
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
        Need::LaneChange => lane_change_sites(net),
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
            sites.push(Site { lane: lane.id, s_m, onto: None });
            s_m += 15.0;
        }
    }
    sites
}

/// Metres of lane that a lane change takes.
const CHANGE_M: f64 = 30.0;

/// Places with room to change lanes, to either side, on one long lane.
fn lane_change_sites(net: &RoadNetwork) -> Vec<Site> {
    let mut sites = Vec::new();
    for lane in net.lanes.iter().filter(|l| l.kind == LaneKind::Driving && l.junction.is_none()) {
        let left = lane.left.filter(|_| lane.may_change_left);
        let right = lane.right.filter(|_| lane.may_change_right);
        for onto in [left, right].into_iter().flatten() {
            let mut s_m = 12.0;
            while s_m + CHANGE_M + 25.0 < lane.length_m {
                sites.push(Site { lane: lane.id, s_m, onto: Some(onto) });
                s_m += 20.0;
            }
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
                sites.push(Site { lane: id, s_m: 0.0, onto: None });
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
    // Behind the anchor the way goes on along the lane, or along the one beside it.
    let ahead = site.onto.unwrap_or(site.lane);
    let mut ahead_lanes = vec![ahead];
    let mut after = net.lanes[ahead].length_m - site.s_m;
    while after < after_m {
        let choices = driving(&net.lanes[*ahead_lanes.last()?].successors);
        if choices.is_empty() || ahead_lanes.len() > 24 {
            break;
        }
        let id = choices[rng.below(choices.len())];
        if lanes.contains(&id) || ahead_lanes.contains(&id) {
            break;
        }
        after += net.lanes[id].length_m;
        ahead_lanes.push(id);
    }
    if before < before_m / 3.0 || after < after_m / 3.0 {
        return None;
    }
    let mut points: Vec<(DVec3, f64)> = Vec::new();
    let mut add = |id: LaneId, from_m: f64, to_m: f64| {
        for point in net.lanes[id].points.iter().filter(|p| p.s_m >= from_m && p.s_m <= to_m) {
            if points.last().is_none_or(|(p, _)| p.distance(point.position) >= 0.2) {
                points.push((point.position, point.yaw_rad));
            }
        }
        points.len()
    };
    // Metres of the first lanes that are too far back.
    let mut skip = (before - before_m).max(0.0);
    for &id in &lanes[..lanes.len() - 1] {
        add(id, skip, f64::INFINITY);
        skip = (skip - net.lanes[id].length_m).max(0.0);
    }
    let anchor = add(site.lane, skip, site.s_m).saturating_sub(1);
    let mut left_m = after_m;
    let mut from_m = site.s_m;
    if let Some(onto) = site.onto {
        // Lanes side by side run the same way but may begin at different places: go on where the change ends.
        let end = net.lanes[site.lane].at(site.s_m + CHANGE_M).position.truncate();
        from_m = net.lanes[onto].project(end).0;
        left_m -= CHANGE_M;
    }
    for &id in &ahead_lanes {
        add(id, from_m, from_m + left_m);
        left_m -= net.lanes[id].length_m - from_m;
        from_m = 0.0;
        if left_m <= 0.0 {
            break;
        }
    }
    (points.len() >= 20).then_some(Path { points, anchor })
}

impl Path {
    /// Metres.
    pub fn length_m(&self) -> f64 {
        self.points.windows(2).map(|w| w[0].0.distance(w[1].0)).sum()
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::towns::{TownChoice, TownLibrary, plan_route};
    use apprentice_core::Command;

    fn routes(layout: &str, need: Need) -> Vec<(Path, apprentice_road::Route)> {
        let net = TownLibrary::new().network(&TownChoice { layout: layout.into(), seed: 1 }).unwrap();
        let mut rng = Rng::new(&[5]);
        let sites = find(&net, need);
        assert!(!sites.is_empty(), "{layout} has no place for {need:?}");
        (0..20)
            .filter_map(|_| {
                let path = path(&net, sites[rng.below(sites.len())], 40.0, 100.0, &mut rng)?;
                let route = plan_route(&net, &path.waypoints(12)).ok()?;
                Some((path, route))
            })
            .collect()
    }

    #[test]
    fn routes_turn_the_way_the_family_needs() {
        for (turning, command) in [(Turning::Left, Command::Left), (Turning::Right, Command::Right)] {
            let found = routes("grid", Need::Junction { turning, control: Control::Light });
            assert!(found.len() >= 10);
            for (path, route) in found {
                let at = path.pose(-5.0).0.position();
                let (s_m, _) = route.project(at, 0.0);
                assert_eq!(route.command_ahead(s_m), command);
            }
        }
    }

    #[test]
    fn lane_changes_are_commanded() {
        let found = routes("grid", Need::LaneChange);
        assert!(found.len() >= 10);
        for (path, route) in found {
            let commands: Vec<_> = route.points.iter().map(|p| p.command).collect();
            let changes = [Command::ChangeLaneLeft, Command::ChangeLaneRight];
            assert!(commands.iter().any(|c| changes.contains(c)), "{commands:?}");
            assert!((route.length_m - path.length_m()).abs() < 0.1 * path.length_m() + 5.0);
        }
    }
}

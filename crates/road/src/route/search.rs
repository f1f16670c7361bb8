//! From waypoints to stretches of lanes: matching, and shortest ways on the lane graph.

use crate::error::RoadError;
use crate::lane::{LaneId, LaneKind};
use crate::network::RoadNetwork;
use apprentice_core::geometry::{DVec2, DVec3};
use apprentice_core::wrap_angle;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Waypoints further than this from every lane are off the road.
const REACH_M: f64 = 5.0;
/// Lanes this much further away than the nearest one are not considered.
const RIVAL_M: f64 = 1.5;
/// Room taken by a lane change, metres, and what choosing it costs beyond the way itself.
const CHANGES: [(f64, f64); 3] = [(22.0, 10.0), (14.0, 25.0), (7.0, 50.0)];
/// What crossing a line that forbids it costs, where nothing else leads on.
const FORBIDDEN_COST_M: f64 = 200.0;
/// A waypoint may lie this far behind the one before (rounding in route files).
const BACK_M: f64 = 1.0;
/// Waypoints that cannot be reached are left out as long as the next one is this near.
const SKIP_M: f64 = 30.0;

/// A stretch of a lane, or of a lane change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    pub lane: LaneId,
    pub from_m: f64,
    pub to_m: f64,
    /// The lane entered, and the stretch of it beside this one.
    pub change: Option<(LaneId, f64, f64)>,
}

/// A waypoint on a lane.
#[derive(Clone, Copy, Debug)]
struct Place {
    lane: LaneId,
    s_m: f64,
    cost: f64,
}

/// Direction of travel at waypoint `i`, as far as its neighbours tell.
fn heading(waypoints: &[DVec3], i: usize) -> Option<f64> {
    let step = |a: usize, b: usize| {
        let d = (waypoints[b] - waypoints[a]).truncate();
        (d.length() > 0.3 && d.length() < 6.0).then_some(d)
    };
    let before = (i > 0).then(|| step(i - 1, i)).flatten();
    let after = (i + 1 < waypoints.len()).then(|| step(i, i + 1)).flatten();
    let d = match (before, after) {
        (Some(a), Some(b)) => a.normalize() + b.normalize(),
        (Some(d), None) | (None, Some(d)) => d,
        (None, None) => return None,
    };
    (d != DVec2::ZERO).then(|| d.y.atan2(d.x))
}

fn places(net: &RoadNetwork, waypoints: &[DVec3], i: usize) -> Result<Vec<Place>, RoadError> {
    let p = waypoints[i];
    let off_road = |distance_m: f64| RoadError::OffRoad { map: net.name.clone(), index: i, x: p.x, y: p.y, distance_m };
    if !p.is_finite() {
        return Err(off_road(f64::INFINITY));
    }
    let near: Vec<_> = net
        .lanes_near(p.truncate(), REACH_M)
        .into_iter()
        .filter(|place| net.lanes[place.lane].kind == LaneKind::Driving)
        .collect();
    let height = |place: &crate::LanePosition| (net.lanes[place.lane].at(place.s_m).position.z - p.z).abs();
    let level: Vec<_> = near.iter().copied().filter(|place| height(place) < 3.5).collect();
    let near = if level.is_empty() { near } else { level };
    let Some(nearest) = near.first() else {
        let far = net.nearest_lane(p.truncate(), &[LaneKind::Driving]);
        return Err(off_road(
            far.map_or(f64::INFINITY, |place| (net.lanes[place.lane].at(place.s_m).position - p).truncate().length()),
        ));
    };
    let heading = heading(waypoints, i);
    let limit = nearest.lateral_m.abs() + RIVAL_M;
    let turned = |place: &crate::LanePosition| {
        heading.map_or(0.0, |h| wrap_angle(net.lanes[place.lane].at(place.s_m).yaw_rad - h).abs())
    };
    // With a known heading, oncoming lanes are out, even the nearest; the best of the rest sets the limit.
    let right_way: Vec<_> = near.iter().copied().filter(|place| turned(place) < 1.2).collect();
    let (pool, limit) = match right_way.first() {
        Some(first) => (right_way.clone(), first.lateral_m.abs() + RIVAL_M),
        None => (near.clone(), limit),
    };
    Ok(pool
        .iter()
        .filter(|place| place.lateral_m.abs() <= limit)
        .map(|place| Place {
            lane: place.lane,
            s_m: place.s_m,
            cost: (place.lateral_m / 0.5).powi(2) + (turned(place) / 0.3).powi(2),
        })
        .collect())
}

/// One settled or waiting state of the search: arrival on a lane.
struct Node {
    lane: LaneId,
    arrive_m: f64,
    cost: f64,
    parent: Option<usize>,
    /// The lane change that led here: from lane, from, to; beside, on this lane, from.
    change: Option<(LaneId, f64, f64, f64)>,
}

/// Shortest ways from one place to several; `None` where there is none within `limit_m`.
fn ways(
    net: &RoadNetwork,
    from: &Place,
    targets: &[Place],
    limit_m: f64,
    lenient: bool,
) -> Vec<Option<(f64, Vec<Piece>)>> {
    let mut nodes = vec![Node { lane: from.lane, arrive_m: from.s_m, cost: 0.0, parent: None, change: None }];
    // Costs in whole millimetres: a total order, and ties go to the earlier state.
    let key = |cost: f64| (cost * 1000.0).round() as u64;
    let mut heap = BinaryHeap::from([Reverse((0u64, 0usize))]);
    let mut settled: BTreeMap<(LaneId, usize), f64> = BTreeMap::new();
    let mut best: Vec<Option<(f64, usize)>> = vec![None; targets.len()];
    while let Some(Reverse((_, at))) = heap.pop() {
        let (lane_id, arrive_m, cost) = (nodes[at].lane, nodes[at].arrive_m, nodes[at].cost);
        let worst = best.iter().map(|b| b.map_or(f64::INFINITY, |(c, _)| c)).fold(0.0, f64::max);
        if cost > limit_m || cost > worst {
            break;
        }
        for (target, found) in targets.iter().zip(&mut best) {
            let slack = if at == 0 { BACK_M } else { 0.0 };
            if target.lane == lane_id && target.s_m >= arrive_m - slack {
                let total = cost + (target.s_m - arrive_m).max(0.0);
                if found.is_none_or(|(c, _)| total < c) {
                    *found = Some((total, at));
                }
            }
        }
        let lane = &net.lanes[lane_id];
        let mut reach: Vec<(usize, Node)> = Vec::new();
        for &next in &lane.successors {
            let cost = cost + (lane.length_m - arrive_m).max(0.0);
            reach.push((0, Node { lane: next, arrive_m: 0.0, cost, parent: Some(at), change: None }));
        }
        if lane.junction.is_none() {
            let whole = [(0.0, lane.length_m)];
            for (side, spans) in [(lane.left, &lane.change_left_spans), (lane.right, &lane.change_right_spans)] {
                let Some(other) = side else { continue };
                let allowed = spans.iter().map(|&s| (s, 0.0));
                let forbidden = whole.iter().filter(|_| lenient).map(|&s| (s, FORBIDDEN_COST_M));
                for ((open_m, close_m), extra) in allowed.chain(forbidden) {
                    let start = arrive_m.max(open_m);
                    for (variant, &(room_m, price)) in CHANGES.iter().enumerate() {
                        if start + room_m > close_m.min(lane.length_m) + 0.01 {
                            continue;
                        }
                        let beside = net.lanes[other].project(lane.at(start).position.truncate()).0;
                        let arrive = net.lanes[other].project(lane.at(start + room_m).position.truncate()).0;
                        let cost = cost + (start - arrive_m) + room_m + price + extra;
                        let change = Some((lane_id, start, start + room_m, beside));
                        reach.push((
                            variant + 1,
                            Node { lane: other, arrive_m: arrive, cost, parent: Some(at), change },
                        ));
                    }
                }
            }
        }
        for (variant, node) in reach {
            // Later arrivals along a lane are comparable by what they would have cost at its start.
            let value = node.cost - node.arrive_m;
            let known = settled.get(&(node.lane, variant)).copied().unwrap_or(f64::INFINITY);
            if value < known - 1e-6 && node.cost <= limit_m && nodes.len() < 200_000 {
                settled.insert((node.lane, variant), value);
                heap.push(Reverse((key(node.cost), nodes.len())));
                nodes.push(node);
            }
        }
    }
    best.iter()
        .zip(targets)
        .map(|(found, target)| found.map(|(cost, at)| (cost, trace(net, &nodes, at, target.s_m))))
        .collect()
}

/// The pieces that lead to node `at` and on to `to_m` of its lane.
fn trace(net: &RoadNetwork, nodes: &[Node], at: usize, to_m: f64) -> Vec<Piece> {
    let mut out = Vec::new();
    let (mut at, mut to_m) = (at, to_m);
    loop {
        let node = &nodes[at];
        out.push(Piece { lane: node.lane, from_m: node.arrive_m, to_m: to_m.max(node.arrive_m), change: None });
        let Some(parent) = node.parent else { break };
        match node.change {
            Some((lane, from_m, end_m, beside_m)) => {
                let change = Some((node.lane, beside_m, node.arrive_m));
                out.push(Piece { lane, from_m, to_m: end_m, change });
                to_m = from_m;
            }
            None => to_m = net.lanes[nodes[parent].lane].length_m,
        }
        at = parent;
    }
    out.reverse();
    out
}

/// Match the waypoints and connect them.
pub(super) fn pieces(net: &RoadNetwork, waypoints: &[DVec3]) -> Result<Vec<Piece>, RoadError> {
    if waypoints.len() < 2 {
        return Err(RoadError::TooFewWaypoints { count: waypoints.len() });
    }
    // Viterbi: per kept waypoint, per place, the cheapest total and where it came from.
    struct Step {
        waypoint: usize,
        places: Vec<Place>,
        total: Vec<f64>,
        from: Vec<usize>,
        way: Vec<Vec<Piece>>,
    }
    let first = places(net, waypoints, 0)?;
    let total = first.iter().map(|p| p.cost).collect();
    let mut steps = vec![Step {
        waypoint: 0,
        from: vec![0; first.len()],
        way: vec![Vec::new(); first.len()],
        total,
        places: first,
    }];
    for i in 1..waypoints.len() {
        let here = places(net, waypoints, i)?;
        let before = &steps[steps.len() - 1];
        let straight = (waypoints[i] - waypoints[before.waypoint]).truncate().length();
        let mut step = Step {
            waypoint: i,
            total: vec![f64::INFINITY; here.len()],
            from: vec![0; here.len()],
            way: vec![Vec::new(); here.len()],
            places: here,
        };
        for (limit_m, lenient) in [(3.0 * straight + 200.0, false), (6.0 * straight + 6000.0, true)] {
            for (k, start) in before.places.iter().enumerate() {
                if !before.total[k].is_finite() {
                    continue;
                }
                let found = ways(net, start, &step.places, limit_m, lenient);
                for (j, way) in found.into_iter().enumerate() {
                    let Some((cost, way)) = way else { continue };
                    let total = before.total[k] + (cost - straight).max(0.0) + step.places[j].cost;
                    if total < step.total[j] {
                        (step.total[j], step.from[j], step.way[j]) = (total, k, way);
                    }
                }
            }
            if step.total.iter().any(|t| t.is_finite()) {
                break;
            }
        }
        if step.total.iter().any(|t| t.is_finite()) {
            steps.push(step);
        } else if i + 1 == waypoints.len() || straight > SKIP_M {
            return Err(RoadError::NoWay { map: net.name.clone(), index: before.waypoint });
        }
    }
    let last = &steps[steps.len() - 1];
    let mut at = (0..last.total.len()).min_by(|&a, &b| last.total[a].total_cmp(&last.total[b])).unwrap_or(0);
    let mut legs: Vec<&[Piece]> = Vec::new();
    for step in steps[1..].iter().rev() {
        legs.push(&step.way[at]);
        at = step.from[at];
    }
    legs.reverse();
    Ok(join(legs.into_iter().flatten()))
}

/// Stretches of one lane that follow each other become one.
fn join<'a>(pieces: impl Iterator<Item = &'a Piece>) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    for piece in pieces {
        match out.last_mut() {
            Some(last)
                if last.change.is_none()
                    && piece.change.is_none()
                    && last.lane == piece.lane
                    && piece.from_m + BACK_M + 0.1 >= last.to_m =>
            {
                last.to_m = last.to_m.max(piece.to_m);
            }
            Some(last) if last.change.is_none() && piece.change.is_some() && last.lane == piece.lane => {
                last.to_m = last.to_m.min(piece.from_m);
                out.push(*piece);
            }
            _ => out.push(*piece),
        }
    }
    out
}

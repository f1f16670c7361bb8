//! Junctions: which lanes lie inside, which lead in, and which of them get in each other's way.

use super::Source;
use super::lanes::Ids;
use crate::lane::{Lane, LaneId, LaneKind};
use crate::network::{Conflict, ConflictKind, Junction};
use apprentice_core::geometry::DVec2;
use std::collections::BTreeMap;

/// Centre lines closer than this are in conflict: the width of a car with its mirrors.
const CONFLICT_M: f64 = 2.2;

/// Find the junctions and mark their lanes.
pub(super) fn junctions(source: &Source, lanes: &mut [Lane], ids: &Ids) -> Vec<Junction> {
    let mut by_id: BTreeMap<String, Vec<LaneId>> = BTreeMap::new();
    for original in source.net.lanes() {
        let Some(&id) = ids.get(&original.id.0) else { continue };
        let road = source.net.road_lane(original.id).and_then(|l| source.net.road(l.road));
        if let Some(junction) = road.and_then(|r| r.junction()) {
            by_id.entry(junction.to_string()).or_default().push(id);
        }
    }
    let mut out = Vec::new();
    for (id, inside) in by_id {
        let index = out.len();
        for &lane in &inside {
            lanes[lane].junction = Some(index);
        }
        let driving: Vec<LaneId> = inside.into_iter().filter(|&l| lanes[l].kind == LaneKind::Driving).collect();
        let points = driving.iter().flat_map(|&l| &lanes[l].points);
        let (sum, count) = points.fold((DVec2::ZERO, 0usize), |(s, n), p| (s + p.position.truncate(), n + 1));
        out.push(Junction {
            id,
            incoming: Vec::new(),
            center: if count > 0 { sum / count as f64 } else { DVec2::ZERO },
            conflicts: conflicts(lanes, &driving),
            lanes: driving,
            signalised: false,
            signals: Vec::new(),
        });
    }
    for lane in lanes.iter() {
        if lane.kind != LaneKind::Driving || lane.junction.is_some() {
            continue;
        }
        let mut entered: Vec<usize> = lane.successors.iter().filter_map(|&s| lanes[s].junction).collect();
        entered.sort_unstable();
        entered.dedup();
        for junction in entered {
            out[junction].incoming.push(lane.id);
        }
    }
    out
}

fn conflicts(lanes: &[Lane], inside: &[LaneId]) -> Vec<Conflict> {
    let boxes: Vec<(DVec2, DVec2)> = inside
        .iter()
        .map(|&l| {
            lanes[l].points.iter().fold((DVec2::INFINITY, DVec2::NEG_INFINITY), |(lo, hi), p| {
                (lo.min(p.position.truncate()), hi.max(p.position.truncate()))
            })
        })
        .collect();
    let mut out = Vec::new();
    for i in 0..inside.len() {
        for j in i + 1..inside.len() {
            let apart = (boxes[i].0 - boxes[j].1).max(boxes[j].0 - boxes[i].1).max_element();
            if apart <= CONFLICT_M {
                out.extend(conflict(&lanes[inside[i]], &lanes[inside[j]]));
            }
        }
    }
    out
}

fn conflict(a: &Lane, b: &Lane) -> Option<Conflict> {
    let mut spans = [(f64::INFINITY, f64::NEG_INFINITY); 2];
    for p in &a.points {
        for q in &b.points {
            let d = p.position - q.position;
            if d.truncate().length_squared() < CONFLICT_M * CONFLICT_M && d.z.abs() < 3.0 {
                spans[0] = (spans[0].0.min(p.s_m), spans[0].1.max(p.s_m));
                spans[1] = (spans[1].0.min(q.s_m), spans[1].1.max(q.s_m));
            }
        }
    }
    if spans[0].0.is_infinite() {
        return None;
    }
    // Lanes of one direction that follow each other or run side by side touch only at their ends.
    if a.successors.contains(&b.id) || b.successors.contains(&a.id) {
        return None;
    }
    let shared = |x: &[LaneId], y: &[LaneId]| x.iter().any(|l| y.contains(l));
    let kind = if shared(&a.predecessors, &b.predecessors) && !shared(&a.successors, &b.successors) {
        ConflictKind::Diverging
    } else if shared(&a.successors, &b.successors) {
        ConflictKind::Merging
    } else {
        ConflictKind::Crossing
    };
    Some(Conflict { a: a.id, b: b.id, a_span_m: spans[0], b_span_m: spans[1], kind })
}

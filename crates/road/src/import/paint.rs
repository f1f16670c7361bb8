//! Road marks: what each lane's edges are, where lanes may be changed, and the painted lines themselves.

use super::Source;
use super::lanes::Ids;
use crate::lane::{Lane, LaneKind, MarkKind};
use crate::mesh::Paint;
use apprentice_core::geometry::DVec3;

/// Kerbs are drawn by the surface's edge, not as paint.
fn mark_kind(kind: xodr::RoadMarkType) -> MarkKind {
    use xodr::RoadMarkType as T;
    match kind {
        T::None => MarkKind::None,
        T::Broken | T::BrokenBroken | T::BottsDots => MarkKind::Broken,
        T::Solid | T::Edge => MarkKind::Solid,
        T::SolidSolid => MarkKind::SolidSolid,
        T::Curb | T::Grass => MarkKind::Kerb,
        _ => MarkKind::Other,
    }
}

/// Lanes between which a painted line is a divider rather than an edge.
fn traffic(kind: LaneKind) -> bool {
    kind.is_carriageway() && kind != LaneKind::Shoulder
}

/// Whether traffic may cross to the higher lane number, and to the lower.
fn permission(mark: &xodr::RoadMark, says: bool) -> (bool, bool) {
    use xodr::{LaneChange as C, RoadMarkType as T};
    if !says {
        let both = matches!(mark.kind, T::None | T::Broken | T::BrokenBroken | T::BottsDots);
        // Looking along the road, the first word is the left line.
        return match mark.kind {
            T::SolidBroken => (true, false),
            T::BrokenSolid => (false, true),
            _ => (both, both),
        };
    }
    match mark.lane_change {
        C::Both => (true, true),
        C::Increase => (true, false),
        C::Decrease => (false, true),
        _ => (false, false),
    }
}

/// Fill the lanes' edge kinds and lane-change spans; return the painted lines.
pub(super) fn paint(source: &Source, lanes: &mut [Lane], ids: &Ids) -> Vec<Paint> {
    let mut painted = Vec::new();
    // Per lane and side: metres lined by each kind so far.
    let mut longest: Vec<[f64; 2]> = vec![[0.0; 2]; lanes.len()];
    for (mark, from) in source.net.road_marks().iter().zip(&source.provenance.road_marks) {
        let (up, down) = permission(mark, source.says_lane_change);
        let ours = |id: Option<xodr::LaneId>| id.and_then(|l| Some((l, *ids.get(&l.0)?)));
        let (left, right) = (ours(mark.left), ours(mark.right));
        let divides = [left, right].iter().all(|e| e.is_some_and(|(_, id)| traffic(lanes[id].kind)));
        for (side_of_road, entry) in [(Side::Left, left), (Side::Right, right)] {
            let Some((theirs, id)) = entry else { continue };
            let Some((span, forward)) = span_on(source, theirs, from.s, from.length) else { continue };
            // The mark is on the right edge of the lane to its left, looking along the road.
            let on_left_edge = (side_of_road == Side::Right) == forward;
            let side = usize::from(!on_left_edge);
            let lane = &mut lanes[id];
            if span.1 - span.0 > longest[id][side] {
                longest[id][side] = span.1 - span.0;
                *(if on_left_edge { &mut lane.left_mark } else { &mut lane.right_mark }) = mark_kind(mark.kind);
            }
            let allowed = if side_of_road == Side::Right { up } else { down };
            let neighbour = if on_left_edge { lane.left } else { lane.right };
            if allowed && neighbour.is_some() && span.1 - span.0 > 0.5 {
                let spans = if on_left_edge { &mut lane.change_left_spans } else { &mut lane.change_right_spans };
                spans.push(span);
            }
            // Paint belongs to one of the two lanes only.
            if side_of_road == Side::Left || left.is_none() {
                let first = painted.len();
                lines(mark, lane, span, forward, on_left_edge, &mut painted);
                if divides && let Some(line) = painted.get_mut(first) {
                    line.divider = true;
                }
            }
        }
    }
    for lane in lanes {
        for spans in [&mut lane.change_left_spans, &mut lane.change_right_spans] {
            spans.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut merged: Vec<(f64, f64)> = Vec::new();
            for &(from, to) in spans.iter() {
                match merged.last_mut() {
                    Some(last) if from <= last.1 + 0.5 => last.1 = last.1.max(to),
                    _ => merged.push((from, to)),
                }
            }
            *spans = merged;
        }
        if lane.junction.is_some() {
            lane.change_left_spans.clear();
            lane.change_right_spans.clear();
        }
        lane.may_change_left = !lane.change_left_spans.is_empty();
        lane.may_change_right = !lane.change_right_spans.is_empty();
    }
    painted
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
}

/// The stretch `[s, s + length]` of the reference line on a lane's own centre line, in driving direction, and
/// whether the lane runs along the reference line.
fn span_on(source: &Source, lane: xodr::LaneId, s: f64, length: f64) -> Option<((f64, f64), bool)> {
    let along = |s| {
        let at = xodr::LanePosition { lane, s, offset: 0.0 };
        source.net.centerline_s(at).map(f64::from)
    };
    let original = source.net.lane(lane)?;
    let whole = f64::from(original.center.length());
    let (a, b) = (along(s).unwrap_or(0.0), along(s + length).unwrap_or(whole));
    let forward = original.direction != xodr::Direction::Backward;
    let (from, to) = if forward { (a, b) } else { (whole - b, whole - a) };
    let (from, to) = (from.clamp(0.0, whole), to.clamp(0.0, whole));
    (to > from).then_some(((from, to), forward))
}

/// The mark's lines along the edge of `lane`.
fn lines(
    mark: &xodr::RoadMark,
    lane: &Lane,
    span: (f64, f64),
    forward: bool,
    on_left_edge: bool,
    painted: &mut Vec<Paint>,
) {
    let yellow = |colour: &str| matches!(colour, "yellow" | "orange");
    for line in &mark.lines {
        let (kind, dash_m) = match line.pattern {
            xodr::LinePattern::Continuous => (MarkKind::Solid, None),
            xodr::LinePattern::Dashed { length, space } => (MarkKind::Broken, Some((length, space))),
            xodr::LinePattern::Single { .. } => (MarkKind::Solid, None),
        };
        let mut from = span.0;
        let mut to = span.1;
        let offset = f64::from(line.s_offset);
        if forward {
            from += offset;
        } else {
            to -= offset;
        }
        if let xodr::LinePattern::Single { length } = line.pattern {
            if forward {
                to = to.min(from + f64::from(length));
            } else {
                from = from.max(to - f64::from(length));
            }
        }
        if to - from < 0.05 || line.width <= 0.0 {
            continue;
        }
        let t = f64::from(line.t_offset) * if forward { 1.0 } else { -1.0 };
        painted.push(Paint {
            points: edge(lane, from, to, on_left_edge, t),
            width_m: line.width,
            kind,
            yellow: yellow(&line.color) || (line.color.is_empty() && yellow(&mark.color)),
            dash_m,
            divider: false,
        });
    }
}

/// An edge of a lane from `from` to `to` (metres along it), moved `t` to the left.
fn edge(lane: &Lane, from: f64, to: f64, left: bool, t: f64) -> Vec<DVec3> {
    let steps = ((to - from).ceil() as usize).max(1);
    (0..=steps)
        .map(|k| {
            let point = lane.at(from + (to - from) * k as f64 / steps as f64);
            let half = if left { point.width_m / 2.0 } else { -point.width_m / 2.0 };
            point.beside(half + t)
        })
        .collect()
}

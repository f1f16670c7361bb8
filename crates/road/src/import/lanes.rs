//! Lanes: resampled centre lines, neighbours, links, speed limits.

use super::Source;
use crate::error::RoadError;
use crate::lane::{Lane, LaneId, LaneKind, LanePoint, MarkKind};
use apprentice_core::geometry::DVec3;
use apprentice_core::wrap_angle;
use std::collections::BTreeMap;

/// Speed limit where the map gives none: 50 km/h.
const DEFAULT_SPEED_MPS: f64 = 50.0 / 3.6;
/// Lanes further apart than this have no centre line in common.
const OPPOSITE_REACH_M: f64 = 14.0;

/// A link may step sideways by this much (lanes that open or close), not more.
const JUMP_M: f64 = 1.2;

/// A lane's centre line is at most so many times as long as its road (in tight bends the outer ones are longer).
const LONGER_THAN_ROAD: f64 = 5.0;

/// The reader's lane ids → ours.
pub(super) type Ids = BTreeMap<usize, LaneId>;

fn kind_of(kind: xodr::LaneType) -> Option<LaneKind> {
    use xodr::LaneType as T;
    Some(match kind {
        T::Driving
        | T::Bus
        | T::Taxi
        | T::Hov
        | T::Entry
        | T::Exit
        | T::OnRamp
        | T::OffRamp
        | T::ConnectingRamp
        | T::SlipLane => LaneKind::Driving,
        T::Bidirectional | T::Shared => LaneKind::Bidirectional,
        T::Parking => LaneKind::Parking,
        T::Shoulder | T::Stop => LaneKind::Shoulder,
        T::Sidewalk => LaneKind::Sidewalk,
        T::Biking => LaneKind::Biking,
        T::Border | T::Curb => LaneKind::Border,
        T::None | T::Unknown => return None,
        _ => LaneKind::Other,
    })
}

/// The reader's centre line. Where a `<laneOffset>` jumps at the end of a section (with the lane numbers jumping
/// back, so that the road itself goes straight on), the reader's last point has the next section's offset: it is
/// taken just before the end instead.
fn center(source: &Source, lane: &xodr::Lane, from: &xodr::LaneProvenance) -> Option<xodr::Polyline> {
    let end_s = *source.facts.sections.get(&from.road_id)?.get(from.section + 1)?;
    let at = xodr::LanePosition { lane: lane.id, s: end_s - 1e-4, offset: 0.0 };
    let end = source.net.lane_point(at)?;
    let mut points = lane.center.points().to_vec();
    let last = points.last_mut()?;
    if last.distance_to(end) < 0.02 {
        return None;
    }
    *last = end;
    xodr::Polyline::try_new(points)
}

fn resample(lane: &xodr::Lane, center: &xodr::Polyline, forward: bool) -> Vec<LanePoint> {
    let length = f64::from(center.length());
    let segments = (length.ceil() as usize).max(1);
    (0..=segments)
        .map(|k| {
            let s_m = length * k as f64 / segments as f64;
            let stored = (if forward { s_m } else { length - s_m }) as f32;
            let pose = center.pose_at(stored);
            let heading = f64::from(pose.heading.y).atan2(f64::from(pose.heading.x));
            let bank = f64::from(lane.bank_at(stored));
            LanePoint {
                position: DVec3::new(
                    f64::from(pose.position.x),
                    f64::from(pose.position.y),
                    f64::from(pose.position.z),
                ),
                yaw_rad: if forward { heading } else { wrap_angle(heading + std::f64::consts::PI) },
                s_m,
                width_m: f64::from(lane.width_at(stored)).max(0.0),
                bank_rad: if forward { bank } else { -bank },
            }
        })
        .collect()
}

/// All lanes that have a surface, and the way from the reader's ids to ours.
pub(super) fn lanes(source: &Source) -> Result<(Vec<Lane>, Ids), RoadError> {
    let provenance: BTreeMap<usize, &xodr::LaneProvenance> =
        source.provenance.lanes.iter().map(|p| (p.lane.0, p)).collect();
    let mut lanes: Vec<Lane> = Vec::new();
    let mut originals: Vec<&xodr::Lane> = Vec::new();
    let mut ids = Ids::new();
    // (road, section) → OpenDRIVE lane number → our id.
    let mut sections: BTreeMap<(&str, usize), BTreeMap<i32, LaneId>> = BTreeMap::new();
    for original in source.net.lanes() {
        let (Some(kind), Some(from)) = (kind_of(original.kind), provenance.get(&original.id.0)) else { continue };
        if original.layer != xodr::Layer::Permanent || original.center.length() <= 0.0 {
            continue;
        }
        let forward = original.direction != xodr::Direction::Backward;
        let speed = source.net.speed_limit_at(original.id, original.center.length() / 2.0);
        let id = lanes.len();
        let mended = center(source, original, from);
        let center = mended.as_ref().unwrap_or(&original.center);
        let section = source.facts.sections.get(&from.road_id).map_or(&[][..], Vec::as_slice);
        let section_m = match (section.get(from.section), section.last()) {
            (Some(start), Some(end)) => (end - start).max(0.0),
            _ => 0.0,
        };
        // A width or height that explodes makes a line far longer than its road.
        let broken = f64::from(center.length()) > LONGER_THAN_ROAD * section_m + 200.0;
        let points = if broken { Vec::new() } else { resample(original, center, forward) };
        if broken || points.iter().any(|p| !p.position.is_finite() || !p.yaw_rad.is_finite() || !p.width_m.is_finite())
        {
            return Err(RoadError::Element {
                file: source.file.into(),
                element: format!("road {} section {} lane {}", from.road_id, from.section, from.od_id),
                problem: "its offset, width or height runs away".into(),
            });
        }
        lanes.push(Lane {
            id,
            road: from.road_id.clone(),
            section: from.section,
            lane: from.od_id,
            along_road: forward,
            kind,
            junction: None,
            points,
            length_m: f64::from(center.length()),
            successors: Vec::new(),
            predecessors: Vec::new(),
            left: None,
            right: None,
            opposite: None,
            left_mark: MarkKind::None,
            right_mark: MarkKind::None,
            may_change_left: false,
            may_change_right: false,
            change_left_spans: Vec::new(),
            change_right_spans: Vec::new(),
            speed_limit_mps: match speed {
                Some(xodr::SpeedLimit::Max(v)) if v > 0.0 => f64::from(v),
                Some(xodr::SpeedLimit::Unlimited) => 130.0 / 3.6,
                _ => DEFAULT_SPEED_MPS,
            },
        });
        originals.push(original);
        ids.insert(original.id.0, id);
        sections.entry((from.road_id.as_str(), from.section)).or_default().insert(from.od_id, id);
    }
    if !lanes.iter().any(|l| l.kind == LaneKind::Driving) {
        return Err(RoadError::Element {
            file: source.file.into(),
            element: "<lanes>".into(),
            problem: "no driving lane in the whole map".into(),
        });
    }
    link(&mut lanes, &originals, &ids);
    for section in sections.values() {
        beside(&mut lanes, &originals, section);
    }
    Ok((lanes, ids))
}

/// Successors and predecessors; a driving lane leads only to driving lanes.
fn link(lanes: &mut [Lane], originals: &[&xodr::Lane], ids: &Ids) {
    let kinds: Vec<LaneKind> = lanes.iter().map(|l| l.kind).collect();
    for (id, original) in originals.iter().enumerate() {
        let mut successors: Vec<LaneId> = original
            .successors
            .iter()
            .filter_map(|l| ids.get(&l.0).copied())
            .filter(|&other| (kinds[other] == LaneKind::Driving) == (kinds[id] == LaneKind::Driving))
            .collect();
        successors.sort_unstable();
        successors.dedup();
        lanes[id].successors = successors;
    }
    mend(lanes);
    for id in 0..lanes.len() {
        for next in lanes[id].successors.clone() {
            lanes[next].predecessors.push(id);
        }
    }
}

/// Some exports number the lanes of a section's links wrongly, so that traffic would jump sideways. Such a link
/// goes to the lane of the same section that does begin where this one ends, or nowhere.
fn mend(lanes: &mut [Lane]) {
    let mut sections: BTreeMap<(String, usize), Vec<LaneId>> = BTreeMap::new();
    for lane in lanes.iter().filter(|l| l.kind == LaneKind::Driving) {
        sections.entry((lane.road.clone(), lane.section)).or_default().push(lane.id);
    }
    let gap = |lanes: &[Lane], from: LaneId, to: LaneId| {
        let (end, start) = (lanes[from].end(), lanes[to].start());
        let turn = wrap_angle(start.yaw_rad - end.yaw_rad).abs();
        if turn < 0.8 { (start.position - end.position).length() } else { f64::INFINITY }
    };
    for id in 0..lanes.len() {
        if lanes[id].kind != LaneKind::Driving {
            continue;
        }
        let mut successors = Vec::new();
        for &next in &lanes[id].successors {
            if gap(lanes, id, next) <= JUMP_M {
                successors.push(next);
                continue;
            }
            let section = &sections[&(lanes[next].road.clone(), lanes[next].section)];
            let best = section.iter().copied().min_by(|&a, &b| gap(lanes, id, a).total_cmp(&gap(lanes, id, b)));
            successors.extend(best.filter(|&b| gap(lanes, id, b) <= JUMP_M));
        }
        successors.sort_unstable();
        successors.dedup();
        lanes[id].successors = successors;
    }
}

/// Neighbours within one lane section.
fn beside(lanes: &mut [Lane], originals: &[&xodr::Lane], section: &BTreeMap<i32, LaneId>) {
    let order: Vec<(i32, LaneId)> = section.iter().map(|(&number, &id)| (number, id)).collect();
    // The lane number next to `number`, up or down; 0 is the centre line and has no lane.
    let next = |number: i32, up: bool| {
        let step = if up { 1 } else { -1 };
        if number + step == 0 { number + 2 * step } else { number + step }
    };
    for &(number, id) in &order {
        if lanes[id].kind != LaneKind::Driving {
            continue;
        }
        let forward = originals[id].direction != xodr::Direction::Backward;
        let same_way = |other: LaneId| (originals[other].direction != xodr::Direction::Backward) == forward;
        let neighbour = |up: bool| {
            section
                .get(&next(number, up))
                .copied()
                .filter(|&other| lanes[other].kind == LaneKind::Driving && same_way(other))
        };
        // Larger numbers lie to the left of the reference line's direction.
        let (left, right) = (neighbour(forward), neighbour(!forward));
        let middle = lanes[id].at(lanes[id].length_m / 2.0).position;
        let reachable = |other: LaneId| {
            let (_, lateral) = lanes[other].project(middle.truncate());
            lanes[other].kind == LaneKind::Driving && !same_way(other) && lateral.abs() < OPPOSITE_REACH_M
        };
        let opposite = if forward {
            order.iter().find(|&&(n, other)| n > number && reachable(other))
        } else {
            order.iter().rev().find(|&&(n, other)| n < number && reachable(other))
        };
        let opposite = opposite.map(|&(_, other)| other);
        let lane = &mut lanes[id];
        (lane.left, lane.right, lane.opposite) = (left, right, opposite);
    }
}

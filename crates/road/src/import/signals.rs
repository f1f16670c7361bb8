//! Lights and signs: what they govern and where traffic waits; crosswalks.
//!
//! A signal governs *approach lanes*: the lanes outside a junction from which its traffic comes. CARLA's maps
//! name the connecting lanes inside the junction (through `<signalReference>`), others the approach itself;
//! both end here as approach lanes with one stop line each.

use super::Source;
use super::lanes::Ids;
use crate::index::SpatialIndex;
use crate::lane::{Lane, LaneId, LaneKind};
use crate::network::{Crosswalk, Junction, Signal, SignalKind, StopLine};
use apprentice_core::geometry::{DVec2, DVec3};
use apprentice_core::{Pose2, wrap_angle};
use std::collections::BTreeMap;
use std::f64::consts::PI;

/// Signals further than this before their junction have a stop line of their own.
const STOP_AT_END_M: f64 = 30.0;
/// A crosswalk or painted line this close before the junction moves the stop line back.
const LINE_REACH_M: f64 = 20.0;

fn signal_kind(signal: &xodr::Signal) -> SignalKind {
    let kind: String = signal.kind.chars().filter(|c| *c != '.').collect();
    match kind.as_str() {
        "206" => SignalKind::Stop,
        "205" => SignalKind::Yield,
        "274" => {
            let value = signal.value.filter(|v| *v > 0.0).or_else(|| signal.subtype.parse().ok()).unwrap_or(0.0);
            let factor = match signal.unit {
                Some(xodr::Unit::MilePerHour) => 0.44704,
                Some(xodr::Unit::MetrePerSecond) => 1.0,
                _ => 1.0 / 3.6,
            };
            if value > 0.0 { SignalKind::SpeedLimit(value * factor) } else { SignalKind::Other }
        }
        // 1000002 and 1000007 are pedestrian and bicycle lights.
        "1000002" | "1000007" => SignalKind::Other,
        k if k.starts_with("10000") => SignalKind::TrafficLight,
        _ => SignalKind::Other,
    }
}

fn point(p: xodr::Point) -> DVec3 {
    DVec3::new(f64::from(p.x), f64::from(p.y), f64::from(p.z))
}

/// Lights up to this far before the junction stand on the near side: traffic waits before them, and they hang
/// low enough to be seen from there.
const NEAR_SIDE_M: f64 = 15.0;
const BEFORE_LIGHT_M: f64 = 2.0;
const NEAR_SIDE_HEIGHT_M: f64 = 2.7;

/// What a signal needs before it is placed.
struct Draft {
    id: String,
    kind: SignalKind,
    position: DVec3,
    heading: f64,
    height_m: f64,
    places: Vec<(LaneId, Option<DVec2>)>,
    controllers: Vec<usize>,
}

/// All signals, with the junctions told of them.
pub(super) fn signals(
    source: &Source,
    lanes: &[Lane],
    ids: &Ids,
    index: &SpatialIndex,
    junctions: &mut [Junction],
    crosswalks: &[Crosswalk],
) -> Vec<Signal> {
    let mut drafts = from_signals(source, lanes, ids);
    drafts.extend(from_objects(source, lanes, ids));
    let painted = painted_lines(source);
    let mut out: Vec<Signal> = Vec::new();
    for draft in drafts {
        let mut approaches: BTreeMap<LaneId, Option<f64>> = BTreeMap::new();
        let mut junction = None;
        for (lane, at) in &draft.places {
            if lanes[*lane].junction.is_some() {
                junction = junction.or(lanes[*lane].junction);
                for approach in approaches_of(lanes, *lane) {
                    approaches.entry(approach).or_insert(None);
                }
            } else {
                let s_m = at.map(|p| lanes[*lane].project(p).0);
                approaches.entry(*lane).or_insert(s_m);
            }
        }
        if approaches.is_empty() {
            approaches = guess(lanes, index, &draft);
        }
        junction =
            junction.or_else(|| approaches.keys().flat_map(|&l| &lanes[l].successors).find_map(|&s| lanes[s].junction));
        let governs = matches!(draft.kind, SignalKind::TrafficLight | SignalKind::Stop | SignalKind::Yield);
        // A STOP word repeats the sign that stands beside it.
        let stop = draft.kind == SignalKind::Stop;
        let governed = |l: &LaneId| out.iter().any(|s| s.kind == SignalKind::Stop && s.lanes.contains(l));
        if stop && draft.height_m == 0.0 && !approaches.is_empty() && approaches.keys().all(governed) {
            continue;
        }
        let near_light = (draft.kind == SignalKind::TrafficLight).then_some(draft.position.truncate());
        let mut near_side = false;
        let mut stop_lines: Vec<StopLine> = Vec::new();
        for (&lane, &s_m) in approaches.iter().filter(|_| governs) {
            let mut s_m = stop_place(lanes, lane, s_m, crosswalks, &painted);
            // A light on the near side: traffic waits before it.
            if let Some(ahead_m) = near_light.map(|p| lanes[lane].end().pose().to_local(p).x)
                && (-NEAR_SIDE_M..3.0).contains(&ahead_m)
            {
                s_m = s_m.min(lanes[lane].length_m + ahead_m - BEFORE_LIGHT_M).max(0.0);
                near_side = true;
            }
            let at = lanes[lane].at(s_m);
            let center = at.position.truncate();
            stop_lines.push(StopLine { lane, s_m: at.s_m, center, yaw_rad: at.yaw_rad, width_m: at.width_m });
        }
        let yaw_rad = match stop_lines.first() {
            Some(line) => wrap_angle(line.yaw_rad + PI),
            None => draft.heading,
        };
        let ground_z_m = index
            .nearest(lanes, draft.position.truncate(), 60.0, |l, s| {
                (l.at(s).position.z - draft.position.z).abs() < 12.0
            })
            .map_or(draft.position.z, |place| lanes[place.lane].at(place.s_m).position.z);
        let signal_index = out.len();
        if governs && let Some(j) = junction {
            junctions[j].signals.push(signal_index);
            junctions[j].signalised |= draft.kind == SignalKind::TrafficLight;
        }
        out.push(Signal {
            index: signal_index,
            id: draft.id,
            kind: draft.kind,
            pose_in_world: Pose2::new(draft.position.x, draft.position.y, yaw_rad),
            ground_z_m,
            height_m: if near_side { NEAR_SIDE_HEIGHT_M } else { draft.height_m },
            lanes: approaches.keys().copied().collect(),
            stop_lines,
            group: draft.controllers.first().copied(),
            junction,
        });
    }
    group(&mut out);
    out
}

/// The map's own `<signal>`s.
fn from_signals(source: &Source, lanes: &[Lane], ids: &Ids) -> Vec<Draft> {
    let provenance: BTreeMap<usize, &xodr::SignalProvenance> =
        source.provenance.signals.iter().map(|p| (p.signal.0, p)).collect();
    let draft = |signal: &xodr::Signal| {
        let from = provenance.get(&signal.id.0)?;
        let kind = signal_kind(signal);
        let points: Vec<DVec2> = signal.applies_at.iter().map(|p| point(*p).truncate()).collect();
        let near = |lane: &Lane| {
            let distance = |p: &DVec2| lane.project_segments(*p, 0, lane.points.len() - 1).distance2;
            points.iter().copied().min_by(|a, b| distance(a).total_cmp(&distance(b)))
        };
        let places = signal
            .lanes
            .iter()
            .filter_map(|l| ids.get(&l.0).copied())
            .filter(|&l| lanes[l].kind == LaneKind::Driving)
            .map(|l| (l, near(&lanes[l])))
            .collect();
        let light = kind == SignalKind::TrafficLight;
        Some(Draft {
            id: from.od_id.clone(),
            kind,
            position: point(signal.position),
            heading: f64::from(signal.heading),
            height_m: if light { 4.2 } else { 2.3 },
            places,
            controllers: signal.controllers.iter().map(|c| c.0).collect(),
        })
    };
    source.net.signals().iter().filter_map(draft).collect()
}

/// Objects that CARLA reads as signals: STOP painted on the road, and speed-limit posts.
fn from_objects(source: &Source, lanes: &[Lane], ids: &Ids) -> Vec<Draft> {
    let mut out = Vec::new();
    for (object, from) in source.net.objects().iter().zip(&source.provenance.objects) {
        let name = object.name.to_ascii_lowercase();
        let kind = if name.starts_with("stencil_stop") {
            SignalKind::Stop
        } else if let Some(kmh) = name.strip_prefix("speed_").and_then(|v| v.parse::<f64>().ok()) {
            SignalKind::SpeedLimit(kmh / 3.6)
        } else {
            continue;
        };
        let Some((position, heading)) = object_pose(object) else { continue };
        let p = position.truncate();
        // The lanes under or beside it whose traffic meets it, from those the object belongs to.
        let mut places: Vec<(LaneId, Option<DVec2>)> = object
            .lanes
            .iter()
            .filter_map(|l| ids.get(&l.0).copied())
            .filter(|&l| lanes[l].kind == LaneKind::Driving)
            .map(|l| (l, Some(p)))
            .collect();
        if kind == SignalKind::Stop {
            let off = |l: LaneId| lanes[l].project_segments(p, 0, lanes[l].points.len() - 1).distance2;
            places.retain(|(l, _)| off(*l) < 4.0);
        }
        out.push(Draft {
            id: from.od_id.clone(),
            kind,
            position,
            heading,
            height_m: if kind == SignalKind::Stop { 0.0 } else { 2.3 },
            places,
            controllers: Vec::new(),
        });
    }
    out
}

fn object_pose(object: &xodr::Object) -> Option<(DVec3, f64)> {
    match &object.shape {
        xodr::Shape::Solid { position, heading, .. } => Some((point(*position), f64::from(*heading))),
        xodr::Shape::Outline { corners, .. } if !corners.is_empty() => {
            let sum: DVec3 = corners.iter().map(|c| point(c.base)).sum();
            Some((sum / corners.len() as f64, 0.0))
        }
        _ => None,
    }
}

/// The lanes outside the junction from which `lane`, inside it, is reached.
fn approaches_of(lanes: &[Lane], lane: LaneId) -> Vec<LaneId> {
    let mut out = Vec::new();
    let mut open = vec![lane];
    let mut seen = vec![lane];
    while let Some(id) = open.pop() {
        for &before in &lanes[id].predecessors {
            if lanes[before].junction.is_none() {
                out.push(before);
            } else if !seen.contains(&before) && seen.len() < 64 {
                seen.push(before);
                open.push(before);
            }
        }
    }
    out
}

/// A signal that the map ties to no lane governs the nearest lane whose traffic it faces.
fn guess(lanes: &[Lane], index: &SpatialIndex, draft: &Draft) -> BTreeMap<LaneId, Option<f64>> {
    let p = draft.position.truncate();
    let found = index.nearest(lanes, p, 12.0, |lane, s_m| {
        lane.kind == LaneKind::Driving
            && lane.junction.is_none()
            && wrap_angle(lane.at(s_m).yaw_rad - draft.heading - PI).abs() < PI / 4.0
    });
    found.into_iter().map(|place| (place.lane, Some(place.s_m))).collect()
}

/// Middle points of painted stop lines and STOP words, with how far the paint reaches towards the driver.
fn painted_lines(source: &Source) -> Vec<(DVec2, f64)> {
    let mut out = Vec::new();
    for object in source.net.objects() {
        let name = object.name.to_ascii_lowercase();
        if name.contains("stopline") {
            out.extend(object_pose(object).map(|(p, _)| (p.truncate(), 0.0)));
        }
    }
    out
}

/// Where traffic of lane `id` waits, metres along it: at the place the map gives, else where the junction
/// begins, but before any painted line and crosswalk there.
fn stop_place(
    lanes: &[Lane],
    id: LaneId,
    given_s_m: Option<f64>,
    crosswalks: &[Crosswalk],
    painted: &[(DVec2, f64)],
) -> f64 {
    let lane = &lanes[id];
    let leads_in = lane.successors.iter().any(|&s| lanes[s].junction.is_some());
    let mut s_m = match given_s_m {
        Some(s_m) if !leads_in || lane.length_m - s_m > STOP_AT_END_M => s_m,
        _ => lane.length_m,
    };
    let from = s_m - LINE_REACH_M;
    for (p, reach_m) in painted {
        let (at, lateral) = lane.project(*p);
        if lateral.abs() < 2.5 && at > from && at - reach_m < s_m && at < lane.length_m {
            s_m = at - reach_m;
        }
    }
    for crosswalk in crosswalks {
        let crossed = crossing_start(lane, crosswalk, from.max(0.0), s_m);
        s_m = crossed.map_or(s_m, |c| s_m.min(c - 1.0));
    }
    s_m.clamp(0.0, lane.length_m)
}

/// Where the centre line enters the crosswalk, between `from` and `to`.
fn crossing_start(lane: &Lane, crosswalk: &Crosswalk, from: f64, to: f64) -> Option<f64> {
    let near = crosswalk.outline.first()?;
    if (near.truncate() - lane.at(to).position.truncate()).length() > 60.0 {
        return None;
    }
    let mut s_m = from;
    while s_m <= to {
        if inside(&crosswalk.outline, lane.at(s_m).position.truncate()) {
            return Some(s_m);
        }
        s_m += 0.5;
    }
    None
}

/// Whether a point lies in a polygon (plan view).
fn inside(outline: &[DVec3], p: DVec2) -> bool {
    let mut odd = false;
    let mut j = outline.len() - 1;
    for i in 0..outline.len() {
        let (a, b) = (outline[i], outline[j]);
        if (a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x {
            odd = !odd;
        }
        j = i;
    }
    odd
}

/// Lights without a controller: those of one junction that face the same axis share a group.
fn group(signals: &mut [Signal]) {
    let first = signals.iter().filter_map(|s| s.group).max().map_or(0, |g| g + 1);
    // (junction, axis) or a lonely light → group, numbered as they come.
    let mut axes: Vec<(Option<usize>, bool, usize)> = Vec::new();
    let mut first_yaw: BTreeMap<usize, f64> = BTreeMap::new();
    for signal in signals.iter_mut().filter(|s| s.kind == SignalKind::TrafficLight && s.group.is_none()) {
        let axis = match signal.junction {
            Some(junction) => {
                let reference = *first_yaw.entry(junction).or_insert(signal.pose_in_world.yaw_rad);
                let turned = wrap_angle(2.0 * (signal.pose_in_world.yaw_rad - reference)).abs() > PI / 2.0;
                (Some(junction), turned, 0)
            }
            None => (None, false, signal.index),
        };
        let place = axes.iter().position(|a| *a == axis).unwrap_or_else(|| {
            axes.push(axis);
            axes.len() - 1
        });
        signal.group = Some(first + place);
    }
}

/// Pedestrian crossings with an outline or a box.
pub(super) fn crosswalks(source: &Source) -> Vec<Crosswalk> {
    let mut out = Vec::new();
    for object in source.net.objects() {
        let named = object.name.to_ascii_lowercase().contains("crosswalk");
        if !named && object.kind != xodr::ObjectType::Crosswalk {
            continue;
        }
        let mut outline: Vec<DVec3> = match &object.shape {
            xodr::Shape::Outline { corners, .. } => corners.iter().map(|c| point(c.base)).collect(),
            xodr::Shape::Solid { position, heading, extent: Some(xodr::Extent::Box { length, width, .. }), .. } => {
                let pose = Pose2::new(f64::from(position.x), f64::from(position.y), f64::from(*heading));
                let (l, w) = (f64::from(*length) / 2.0, f64::from(*width) / 2.0);
                [(l, w), (-l, w), (-l, -w), (l, -w)]
                    .map(|(x, y)| pose.to_parent(DVec2::new(x, y)).extend(f64::from(position.z)))
                    .to_vec()
            }
            _ => continue,
        };
        if outline.len() > 3 && (outline[0] - outline[outline.len() - 1]).length() < 0.01 {
            outline.pop();
        }
        if outline.len() >= 3 && outline.iter().all(|p| p.is_finite()) {
            out.push(Crosswalk { outline });
        }
    }
    out
}

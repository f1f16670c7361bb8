//! Recorded scenes without pictures, staged for our cameras: real behaviour, synthetic pixels.
//!
//! A ScenarioNet scene says how its lanes lie and how everybody moved, not how anything looked. Here its lanes become paved
//! ground, its lines paint, its tracks the vehicles and people of our renderer, and the recorded ego carries the rig. Nothing
//! of the look is recorded: the ground is flat, lamps are dark, there are no lights, signs and houses, and it is noon. A figure
//! on such pictures says so (`pixels: synthetic`).

use crate::scenarionet::{RawScene, RawTrack, ScenarioNetError, Scene, class_of, convert, files, keyframes, read_raw};
use apprentice_core::camera::REAR_AXLE_TO_CENTER_M;
use apprentice_core::geometry::{DVec2, DVec3};
use apprentice_core::{AgentClass, MapClass};
use apprentice_render::TownScene;
use apprentice_road::{LaneKind, MarkKind, PaintLine, Strip, TownMesh};
use apprentice_sim::state::{ActorKind, ActorState, EgoVehicle, Lamps, Snapshot, TICK_HZ, Weather};
use std::collections::BTreeMap;
use std::path::Path;

/// Map elements further than this from the recorded way are left out, metres.
const REACH_M: f64 = 150.0;
/// Lanes with a corner further from it than this are no lanes, metres.
const FAR_M: f64 = 500.0;
/// Width of a lane of which only the middle is known, metres.
const LANE_WIDTH_M: f64 = 3.5;
/// Width of a painted line, metres.
const LINE_WIDTH_M: f32 = 0.15;
/// Of a broken line: painted and bare, metres (United States and Singapore paint about so).
const DASH_M: (f32, f32) = (3.0, 6.0);
/// Metres that a walker goes in one turn of the gait.
const STRIDE_M: f32 = 1.4;

/// A scene that can be rendered.
pub struct Staged {
    /// Its keyframes.
    pub scene: Scene,
    /// What does not move.
    pub town: TownScene,
    /// What the town was made from.
    pub ground: TownMesh,
    /// What each numbered track was recorded as, such as `vehicle.trailer`.
    pub categories: BTreeMap<u32, String>,
    /// Who is where at each keyframe. The ego stands where its recorded point says: at the rear axle.
    pub snapshots: Vec<Snapshot>,
}

/// Stage every scene of a folder, in the order of the file names.
///
/// # Errors
/// At the first scene that cannot be read, or when there is none.
pub fn stage_dir(dir: &Path) -> Result<Vec<Staged>, ScenarioNetError> {
    files(dir)?.iter().map(|path| stage(path)).collect()
}

/// Stage one scene.
///
/// # Errors
/// When the file cannot be read, is no scene, or contradicts itself.
pub fn stage(path: &Path) -> Result<Staged, ScenarioNetError> {
    let raw = read_raw(path)?;
    let scene = convert(&raw);
    let ground = mesh(&raw);
    let town = TownScene::from_parts(&ground, &[]);
    let categories = raw.tracks.values().zip(1..).map(|(track, id)| (id, track.metadata.category.clone())).collect();
    let snapshots = keyframes(&raw).zip(&scene.moments).map(|(i, moment)| {
        let ego = &raw.tracks[&raw.metadata.sdc_id].state;
        let state = moment.sample.ego;
        Snapshot {
            tick: (moment.sample.time_s * TICK_HZ).round() as u32,
            ego: EgoVehicle {
                pose_in_world: ego.pose(i),
                ground_z_m: 0.0,
                pitch_rad: 0.0,
                speed_mps: state.speed_mps.into(),
                acceleration_mps2: state.acceleration_mps2.into(),
                yaw_rate_radps: state.yaw_rate_radps.into(),
            },
            actors: actors(&raw, i),
            lights: Vec::new(),
            weather: Weather::default(),
        }
    });
    Ok(Staged { snapshots: snapshots.collect(), scene, town, ground, categories })
}

/// Everybody at a sample of the tracks. Numbers are those of the labels.
fn actors(raw: &RawScene, i: usize) -> Vec<ActorState> {
    let numbered = raw.tracks.iter().zip(1_u32..);
    let others = numbered.filter(|((name, track), _)| **name != raw.metadata.sdc_id && track.state.is_valid(i));
    others.filter_map(|((_, track), id)| actor(track, id, i)).collect()
}

fn actor(track: &RawTrack, id: u32, i: usize) -> Option<ActorState> {
    let s = &track.state;
    let category = track.metadata.category.as_str();
    let kind = match class_of(category, &track.kind)? {
        AgentClass::Pedestrian if category.ends_with("child") => ActorKind::Child,
        AgentClass::Pedestrian => ActorKind::Pedestrian,
        AgentClass::Bicycle => ActorKind::Bicycle,
        AgentClass::Motorcycle => ActorKind::Motorcycle,
        AgentClass::Truck | AgentClass::ConstructionVehicle => ActorKind::Truck,
        AgentClass::Trailer => ActorKind::Container,
        AgentClass::Bus => ActorKind::Bus,
        AgentClass::Barrier => ActorKind::Barrier,
        AgentClass::TrafficCone => ActorKind::Cone,
        AgentClass::Car if category.starts_with("vehicle.emergency.ambulance") => ActorKind::Ambulance,
        AgentClass::Car if category.starts_with("vehicle.emergency") => ActorKind::Police,
        AgentClass::Car => ActorKind::Car,
    };
    let pose = s.pose(i);
    let along: f32 = (1..=i)
        .filter(|&k| s.is_valid(k) && s.is_valid(k - 1))
        .map(|k| s.pose(k).position().distance(s.pose(k - 1).position()) as f32)
        .sum();
    let size = [s.length[i][0], s.width[i][0], s.height[i][0]].map(|side| side as f32);
    size.iter().all(|side| *side > 0.0).then_some(ActorState {
        id,
        kind,
        pose_in_world: pose,
        ground_z_m: 0.0,
        size_m: size,
        speed_mps: DVec2::from(s.velocity[i]).dot(pose.forward()) as f32,
        lamps: Lamps::default(),
        paint: id as u8,
        gait_rad: along / STRIDE_M * std::f32::consts::TAU,
    })
}

/// The ground: lanes near the recorded way, and the lines on them.
fn mesh(raw: &RawScene) -> TownMesh {
    let ego = &raw.tracks[&raw.metadata.sdc_id].state;
    let way: Vec<DVec2> = keyframes(raw).map(|i| ego.pose(i).offset(REAR_AXLE_TO_CENTER_M, 0.0).position()).collect();
    let within = |p: &DVec2, reach_m: f64| way.iter().any(|w| w.distance_squared(*p) < reach_m * reach_m);
    let near = |p: &DVec2| within(p, REACH_M);
    let mut mesh = TownMesh::default();
    for (name, feature) in &raw.map_features {
        let points = |list: &[Vec<f64>]| list.iter().map(|p| DVec2::new(p[0], p[1])).collect::<Vec<_>>();
        let line = points(&feature.polyline);
        match feature.class(name) {
            Some(MapClass::Centerline) => {
                let outline = points(&feature.polygon);
                let corners = || outline.iter().chain(&line);
                if !corners().any(near) || !corners().all(|p| within(p, FAR_M)) {
                    continue;
                }
                if outline.len() >= 3 {
                    mesh.surfaces.extend(triangles(&outline).into_iter().map(strip_of));
                } else {
                    mesh.surfaces.extend(ribbon(&line, LANE_WIDTH_M));
                }
            }
            Some(MapClass::Divider) => {
                let broken = feature.kind.contains("BROKEN");
                // Lines are as long as a street; only what is near is painted.
                for piece in line.chunk_by(|a, b| near(a) && near(b)).filter(|piece| piece.len() > 1) {
                    mesh.paint.push(PaintLine {
                        points: piece.iter().map(|p| p.extend(0.0)).collect(),
                        width_m: LINE_WIDTH_M,
                        kind: if broken { MarkKind::Broken } else { MarkKind::Solid },
                        yellow: feature.kind.contains("YELLOW"),
                        dash_m: broken.then_some(DASH_M),
                    });
                }
            }
            Some(MapClass::PedCrossing) if line.len() >= 3 && line.iter().all(near) => {
                mesh.crosswalks.push(line.iter().map(|p| p.extend(0.0)).collect());
            }
            // Edges of the drivable ground are where it ends.
            _ => {}
        }
    }
    mesh
}

fn surface(left: Vec<DVec3>, right: Vec<DVec3>) -> Strip {
    Strip { kind: LaneKind::Driving, junction: false, left, right }
}

/// A triangle as a strip with one side of no length.
fn strip_of([a, b, c]: [DVec2; 3]) -> Strip {
    let [a, b, c] = [a, b, c].map(|p| p.extend(0.0));
    surface(vec![a, b], vec![a, c])
}

/// A strip of a width along a line; `None` of a line without length.
fn ribbon(line: &[DVec2], width_m: f64) -> Option<Strip> {
    let mut points: Vec<DVec2> = line.to_vec();
    points.dedup_by(|a, b| a.distance(*b) < 0.01);
    if points.len() < 2 {
        return None;
    }
    let aside = |i: usize| {
        let (before, after) = (points[i.saturating_sub(1)], points[(i + 1).min(points.len() - 1)]);
        (after - before).normalize_or_zero().perp() * (width_m / 2.0)
    };
    let edge = |sign: f64| (0..points.len()).map(|i| (points[i] + aside(i) * sign).extend(0.0)).collect();
    Some(surface(edge(1.0), edge(-1.0)))
}

/// A simple polygon as triangles (ears are cut off one by one). What is left of one that crosses itself is left out.
fn triangles(outline: &[DVec2]) -> Vec<[DVec2; 3]> {
    let mut ring: Vec<DVec2> = outline.to_vec();
    if ring.first() == ring.last() {
        ring.pop();
    }
    ring.dedup();
    let area: f64 = (0..ring.len()).map(|i| ring[i].perp_dot(ring[(i + 1) % ring.len()])).sum();
    if area < 0.0 {
        ring.reverse();
    }
    let inside = |[a, b, c]: [DVec2; 3], p: DVec2| {
        [(a, b), (b, c), (c, a)].into_iter().all(|(from, to)| (to - from).perp_dot(p - from) > 0.0)
    };
    let mut out = Vec::with_capacity(ring.len().saturating_sub(2));
    while ring.len() > 3 {
        let n = ring.len();
        let corner = |i: usize| [ring[(i + n - 1) % n], ring[i], ring[(i + 1) % n]];
        let is_ear = |i: &usize| {
            let [a, b, c] = corner(*i);
            (b - a).perp_dot(c - b) >= 0.0 && !ring.iter().any(|p| inside([a, b, c], *p))
        };
        let Some(ear) = (0..n).find(is_ear) else { return out };
        out.push(corner(ear));
        ring.remove(ear);
    }
    if let [a, b, c] = ring[..] {
        out.push([a, b, c]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polygons_are_cut_into_triangles_of_the_same_area() {
        let corner = [[0.0, 0.0], [4.0, 0.0], [4.0, 1.0], [1.0, 1.0], [1.0, 3.0], [0.0, 3.0], [0.0, 0.0]];
        let outline: Vec<DVec2> = corner.into_iter().map(DVec2::from_array).collect();
        let area = |t: &[DVec2; 3]| (t[1] - t[0]).perp_dot(t[2] - t[0]) / 2.0;
        for ring in [outline.clone(), outline.iter().rev().copied().collect()] {
            let found = triangles(&ring);
            assert_eq!(found.len(), 4);
            assert!(found.iter().all(|t| area(t) >= 0.0));
            assert!((found.iter().map(area).sum::<f64>() - 6.0).abs() < 1e-12);
        }
        assert!(triangles(&outline[..2]).is_empty());
    }
}

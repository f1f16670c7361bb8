//! ScenarioNet scenes (recorded tracks and lanes, no images) as JSON, plain or gzipped: `scene-*.json[.gz]`.
//!
//! Tracks are sampled at 10 Hz; every fifth sample is a keyframe, and every keyframe becomes a [`Sample`]. The
//! recorded position of the ego track is taken as the trajectory point, its heading as the frame's. There is no route
//! in such a scene, so the command is always to follow the lane: it is never read off the recorded future.
//!
//! Source of the layout: metadriverse/scenarionet, scenario description. In these files the ego's own `length` and
//! `width` are exchanged; nothing here uses them.

use apprentice_core::geometry::DVec2;
use apprentice_core::sample::{LightState, SampleId, Tier};
use apprentice_core::trajectory::{HORIZON_STEPS, WAYPOINT_DT_S};
use apprentice_core::{
    AgentClass, AgentLabel, Command, EgoState, Hint, MapClass, MapLabel, Pose2, Sample, Trajectory, wrap_angle,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// 10 Hz samples between keyframes.
const KEYFRAME_STRIDE: usize = 5;
/// Time between the samples of a track, seconds.
const SAMPLE_DT_S: f64 = WAYPOINT_DT_S / KEYFRAME_STRIDE as f64;
/// Map elements are kept this far ahead and behind, and aside, metres.
const MAP_RANGE_M: [f64; 2] = [48.0, 32.0];

/// Coordinates are never further from a map's origin, metres.
const FAR_M: f64 = 1e7;
/// Nothing on a road is larger, metres.
const LARGEST_M: f64 = 100.0;
/// No car drives faster, m/s.
const FASTEST_MPS: f64 = 150.0;

/// A scene that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioNetError {
    /// A file or folder cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not a scene.
    #[error("{}: not a ScenarioNet scene: {message}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        message: String,
    },
    /// A field has a value that it cannot have.
    #[error("{}: field `{field}`: {message}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Which.
        field: String,
        /// What was expected and found.
        message: String,
    },
    /// A folder holds no scene.
    #[error("{}: no scene-*.json or scene-*.json.gz in this folder", path.display())]
    NoScenes {
        /// The folder.
        path: PathBuf,
    },
}

impl Hint for ScenarioNetError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { .. } => "check the path and that it may be read".into(),
            Self::Json { .. } => "the file may be cut short; convert the scene again".into(),
            Self::Field { .. } => {
                "the scene was not recorded at 10 Hz with whole tracks, or was edited; convert it again".into()
            }
            Self::NoScenes { .. } => "name the folder that holds the scene files, as scenarionet:DIR".into(),
        })
    }
}

/// One keyframe of a scene.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// The sample. Scenes have no tiers: the field says `common` and means nothing.
    pub sample: Sample,
    /// Where the ego was one keyframe before, in the ego frame of this one; `None` at the first.
    pub previous_in_ego: Option<[f64; 2]>,
}

/// One scene: its keyframes in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Name, such as `scene-0103`.
    pub name: String,
    /// Map it was recorded on.
    pub place: String,
    /// Keyframes.
    pub moments: Vec<Moment>,
}

#[derive(Deserialize)]
pub(crate) struct RawScene {
    pub(crate) id: String,
    pub(crate) length: usize,
    pub(crate) metadata: RawMetadata,
    pub(crate) tracks: BTreeMap<String, RawTrack>,
    pub(crate) map_features: BTreeMap<String, RawFeature>,
}

#[derive(Deserialize)]
pub(crate) struct RawMetadata {
    #[serde(default)]
    pub(crate) map: String,
    pub(crate) sdc_id: String,
    pub(crate) ts: Vec<f64>,
}

#[derive(Deserialize)]
pub(crate) struct RawTrack {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) state: RawState,
    #[serde(default)]
    pub(crate) metadata: RawTrackMetadata,
}

#[derive(Default, Deserialize)]
pub(crate) struct RawTrackMetadata {
    #[serde(rename = "type", default)]
    pub(crate) category: String,
}

#[derive(Deserialize)]
pub(crate) struct RawState {
    pub(crate) position: Vec<[f64; 3]>,
    pub(crate) heading: Vec<f64>,
    pub(crate) velocity: Vec<[f64; 2]>,
    pub(crate) valid: Vec<f64>,
    pub(crate) length: Vec<[f64; 1]>,
    pub(crate) width: Vec<[f64; 1]>,
    pub(crate) height: Vec<[f64; 1]>,
}

#[derive(Deserialize)]
pub(crate) struct RawFeature {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) polyline: Vec<Vec<f64>>,
    /// Outline of a lane, where it is known.
    #[serde(default)]
    pub(crate) polygon: Vec<Vec<f64>>,
}

impl RawFeature {
    /// What a feature of this name is.
    pub(crate) fn class(&self, name: &str) -> Option<MapClass> {
        Some(match self.kind.as_str() {
            kind if kind.starts_with("LANE_") => MapClass::Centerline,
            // The converter names the edges of the drivable area so, and types them as paint.
            kind if kind.starts_with("ROAD_LINE_") && name.starts_with("boundary") => MapClass::Boundary,
            kind if kind.starts_with("ROAD_LINE_") => MapClass::Divider,
            kind if kind.starts_with("ROAD_EDGE") => MapClass::Boundary,
            "CROSSWALK" => MapClass::PedCrossing,
            _ => return None,
        })
    }
}

impl RawState {
    pub(crate) fn is_valid(&self, i: usize) -> bool {
        self.valid.get(i).is_some_and(|v| *v > 0.5)
    }

    pub(crate) fn pose(&self, i: usize) -> Pose2 {
        Pose2::new(self.position[i][0], self.position[i][1], self.heading[i])
    }

    /// Future poses at the next keyframes, as far as they are valid without a gap.
    fn future(&self, i: usize) -> Vec<Pose2> {
        (1..=HORIZON_STEPS)
            .map(|step| i + step * KEYFRAME_STRIDE)
            .take_while(|&k| self.is_valid(k))
            .map(|k| self.pose(k))
            .collect()
    }
}

/// nuScenes' detection class of a category; other data sets fall back on ScenarioNet's own coarse type.
pub(crate) fn class_of(category: &str, kind: &str) -> Option<AgentClass> {
    let has = |part: &str| category.starts_with(part);
    Some(match kind {
        _ if has("vehicle.car") || has("vehicle.emergency") => AgentClass::Car,
        _ if has("vehicle.truck") => AgentClass::Truck,
        _ if has("vehicle.construction") => AgentClass::ConstructionVehicle,
        _ if has("vehicle.bus") => AgentClass::Bus,
        _ if has("vehicle.trailer") => AgentClass::Trailer,
        _ if has("vehicle.motorcycle") => AgentClass::Motorcycle,
        _ if has("vehicle.bicycle") => AgentClass::Bicycle,
        _ if has("human.pedestrian") => AgentClass::Pedestrian,
        _ if has("movable_object.barrier") => AgentClass::Barrier,
        _ if has("movable_object.trafficcone") => AgentClass::TrafficCone,
        "VEHICLE" => AgentClass::Car,
        "PEDESTRIAN" => AgentClass::Pedestrian,
        "CYCLIST" => AgentClass::Bicycle,
        "TRAFFIC_BARRIER" => AgentClass::Barrier,
        "TRAFFIC_CONE" => AgentClass::TrafficCone,
        _ => return None,
    })
}

/// Read every scene of a folder, in the order of the file names.
///
/// # Errors
/// At the first scene that cannot be read, or when there is none.
pub fn read_dir(dir: &Path) -> Result<Vec<Scene>, ScenarioNetError> {
    files(dir)?.iter().map(|path| read_scene(path)).collect()
}

/// The scene files of a folder, in order.
///
/// # Errors
/// When the folder cannot be listed or holds none.
pub fn files(dir: &Path) -> Result<Vec<PathBuf>, ScenarioNetError> {
    let io = |source| ScenarioNetError::Io { path: dir.to_path_buf(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("scene-") && (name.ends_with(".json") || name.ends_with(".json.gz")) {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(ScenarioNetError::NoScenes { path: dir.to_path_buf() });
    }
    paths.sort();
    Ok(paths)
}

/// Read one scene.
///
/// # Errors
/// When the file cannot be read, is no scene, or contradicts itself.
pub fn read_scene(path: &Path) -> Result<Scene, ScenarioNetError> {
    read_raw(path).map(|raw| convert(&raw))
}

/// The checked contents of a scene file.
pub(crate) fn read_raw(path: &Path) -> Result<RawScene, ScenarioNetError> {
    let io = |source| ScenarioNetError::Io { path: path.to_path_buf(), source };
    let mut bytes = std::fs::read(path).map_err(io)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        let unpacked = flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain);
        unpacked.map_err(|e| ScenarioNetError::Json { path: path.to_path_buf(), message: e.to_string() })?;
        bytes = plain;
    }
    let raw: RawScene =
        apprentice_core::json::read(&bytes).map_err(|fault| match fault.is_json && !fault.field.is_empty() {
            true => ScenarioNetError::Field { path: path.to_path_buf(), field: fault.field, message: fault.message },
            false => {
                let at = if fault.field.is_empty() { String::new() } else { format!("at `{}`: ", fault.field) };
                ScenarioNetError::Json { path: path.to_path_buf(), message: at + &fault.message }
            }
        })?;
    check(&raw).map_err(|(field, message)| ScenarioNetError::Field { path: path.to_path_buf(), field, message })?;
    Ok(raw)
}

/// Refuse what a later step would silently misread: other rates, tracks of other lengths, numbers that are none.
fn check(raw: &RawScene) -> Result<(), (String, String)> {
    if raw.metadata.ts.len() != raw.length {
        return Err(("metadata.ts".into(), format!("expected {} times, found {}", raw.length, raw.metadata.ts.len())));
    }
    if let Some(pair) = raw.metadata.ts.windows(2).find(|p| ((p[1] - p[0]) - SAMPLE_DT_S).abs() > 0.02) {
        let message = format!("expected steps of {SAMPLE_DT_S} s, found {:.3} s", pair[1] - pair[0]);
        return Err(("metadata.ts".into(), message));
    }
    if !raw.tracks.contains_key(&raw.metadata.sdc_id) {
        return Err(("metadata.sdc_id".into(), format!("no track named `{}`", raw.metadata.sdc_id)));
    }
    for (name, track) in &raw.tracks {
        let s = &track.state;
        let lengths = [
            ("position", s.position.len()),
            ("heading", s.heading.len()),
            ("velocity", s.velocity.len()),
            ("valid", s.valid.len()),
            ("length", s.length.len()),
            ("width", s.width.len()),
            ("height", s.height.len()),
        ];
        if let Some((field, found)) = lengths.into_iter().find(|(_, n)| *n != raw.length) {
            let message = format!("expected {} entries, found {found}", raw.length);
            return Err((format!("tracks.{name}.state.{field}"), message));
        }
        for i in (0..raw.length).filter(|&i| s.is_valid(i)) {
            let at = |field: &str| format!("tracks.{name}.state.{field}[{i}]");
            if s.position[i].iter().any(|v| v.abs() > FAR_M) {
                return Err((at("position"), format!("further than {FAR_M} m from the map's origin")));
            }
            let sizes = [("length", s.length[i][0]), ("width", s.width[i][0]), ("height", s.height[i][0])];
            if let Some((field, size)) = sizes.into_iter().find(|(_, v)| !(0.0..=LARGEST_M).contains(v)) {
                return Err((at(field), format!("expected metres up to {LARGEST_M}, found {size}")));
            }
        }
    }
    let ego = &raw.tracks[&raw.metadata.sdc_id].state;
    let valid: Vec<usize> = (0..raw.length).filter(|&i| ego.is_valid(i)).collect();
    if let Some(pair) = valid.windows(2).find(|w| {
        let step = ego.pose(w[1]).position().distance(ego.pose(w[0]).position());
        step > FASTEST_MPS * SAMPLE_DT_S * (w[1] - w[0]) as f64
    }) {
        let field = format!("tracks.{}.state.position[{}]", raw.metadata.sdc_id, pair[1]);
        return Err((field, format!("the ego moves faster than {FASTEST_MPS} m/s")));
    }
    for (name, feature) in &raw.map_features {
        for (field, points) in [("polyline", &feature.polyline), ("polygon", &feature.polygon)] {
            if let Some(i) = points.iter().position(|p| p.len() < 2 || p.iter().any(|v| v.abs() > FAR_M)) {
                let message = format!("expected x and y up to {FAR_M} m, found {:?}", points[i]);
                return Err((format!("map_features.{name}.{field}[{i}]"), message));
            }
        }
    }
    Ok(())
}

pub(crate) fn convert(raw: &RawScene) -> Scene {
    let ego = &raw.tracks[&raw.metadata.sdc_id].state;
    Scene {
        name: raw.id.clone(),
        place: raw.metadata.map.clone(),
        moments: keyframes(raw).map(|i| moment(raw, ego, i)).collect(),
    }
}

/// Samples of the tracks that are keyframes.
pub(crate) fn keyframes(raw: &RawScene) -> impl Iterator<Item = usize> {
    let ego = &raw.tracks[&raw.metadata.sdc_id].state;
    (0..raw.length).step_by(KEYFRAME_STRIDE).filter(|&i| ego.is_valid(i))
}

fn moment(raw: &RawScene, ego: &RawState, i: usize) -> Moment {
    let frame = ego.pose(i);
    let future = ego.future(i);
    let known = |points: &[Pose2], step: usize| points.get(step).copied();
    let to_local = |pose: Pose2| {
        let p = frame.to_local(pose.position());
        [p.x as f32, p.y as f32]
    };
    let previous = i.checked_sub(KEYFRAME_STRIDE).filter(|&k| ego.is_valid(k)).map(|k| ego.pose(k));
    let sample = Sample {
        id: SampleId { world: raw.id.clone(), index: (i / KEYFRAME_STRIDE) as u32 },
        tier: Tier::Common,
        family: raw.metadata.map.clone(),
        time_s: raw.metadata.ts[i] - raw.metadata.ts[0],
        ego: ego_state(ego, i),
        command: Command::LaneFollow,
        future: Trajectory(std::array::from_fn(|step| known(&future, step).map(to_local).unwrap_or_default())),
        future_steps: future.len() as u8,
        agents: agents(raw, frame, i),
        map: map(raw, frame),
        light: LightState::None,
        language: Vec::new(),
    };
    let previous_in_ego = previous.map(|pose| frame.to_local(pose.position()).to_array());
    Moment { sample, previous_in_ego }
}

/// Speed along the heading from the recorded velocity; acceleration and yaw rate from the sample before, so that
/// nothing of the future enters.
fn ego_state(ego: &RawState, i: usize) -> EgoState {
    let speed = |k: usize| DVec2::from(ego.velocity[k]).dot(ego.pose(k).forward());
    let before = i.checked_sub(1).filter(|&k| ego.is_valid(k));
    let rate = |now: f64, then: f64| ((now - then) / SAMPLE_DT_S) as f32;
    EgoState {
        speed_mps: speed(i) as f32,
        acceleration_mps2: before.map_or(0.0, |k| rate(speed(i), speed(k))),
        yaw_rate_radps: before.map_or(0.0, |k| rate(wrap_angle(ego.heading[i] - ego.heading[k]), 0.0)),
    }
}

fn agents(raw: &RawScene, frame: Pose2, i: usize) -> Vec<AgentLabel> {
    // Tracks have names; labels have numbers. Names sort the same way at every moment of the scene.
    let numbered = raw.tracks.iter().zip(1_u32..);
    numbered
        .filter(|((name, track), _)| **name != raw.metadata.sdc_id && track.state.is_valid(i))
        .filter_map(|((_, track), id)| {
            let class = class_of(&track.metadata.category, &track.kind)?;
            let s = &track.state;
            let local = frame.pose_to_local(s.pose(i));
            let future: Vec<Pose2> = s.future(i).into_iter().map(|pose| frame.pose_to_local(pose)).collect();
            let velocity = DVec2::from(s.velocity[i]);
            let height = s.height[i][0];
            Some(AgentLabel {
                id,
                class,
                center_in_ego: [local.x as f32, local.y as f32, (height / 2.0) as f32],
                size_m: [s.length[i][0] as f32, s.width[i][0] as f32, height as f32],
                yaw_rad: local.yaw_rad as f32,
                velocity_in_ego_mps: [velocity.dot(frame.forward()) as f32, velocity.dot(frame.left()) as f32],
                visible_pixels: 0,
                future_in_ego: std::array::from_fn(|t| future.get(t).map_or([0.0; 2], |p| [p.x as f32, p.y as f32])),
                future_yaw_rad: std::array::from_fn(|t| future.get(t).map_or(0.0, |p| p.yaw_rad as f32)),
                future_steps: future.len() as u8,
            })
        })
        .collect()
}

fn map(raw: &RawScene, frame: Pose2) -> Vec<MapLabel> {
    let mut labels = Vec::new();
    for (name, feature) in &raw.map_features {
        let Some(class) = feature.class(name) else { continue };
        let mut piece: Vec<[f32; 2]> = Vec::new();
        let mut close = |piece: &mut Vec<[f32; 2]>| {
            let points_in_ego = std::mem::take(piece);
            if points_in_ego.len() >= 2 {
                labels.push(MapLabel { class, points_in_ego });
            }
        };
        for point in &feature.polyline {
            let p = frame.to_local(DVec2::new(point[0], point[1]));
            if p.x.abs() <= MAP_RANGE_M[0] && p.y.abs() <= MAP_RANGE_M[1] {
                piece.push([p.x as f32, p.y as f32]);
            } else {
                close(&mut piece);
            }
        }
        close(&mut piece);
    }
    labels
}

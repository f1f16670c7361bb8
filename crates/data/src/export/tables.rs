//! The 13 tables of a nuScenes data set, written from plain scenes. Tokens are hashes of what they name, so equal scenes
//! give equal files.

use crate::DataError;
use crate::nuscenes::tables::{NAMES, Place};
use apprentice_core::hash::content_hash;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// A sensor's recording at a keyframe.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Such as `CAM_FRONT`.
    pub channel: String,
    /// `camera` or `lidar`.
    pub modality: &'static str,
    /// Mounting.
    pub in_ego: Place,
    /// Of a camera.
    pub intrinsic: Option<[[f64; 3]; 3]>,
    /// Relative to the root.
    pub filename: String,
    /// Pixels; 0 of a point cloud.
    pub width: usize,
    /// Pixels; 0 of a point cloud.
    pub height: usize,
}

/// A box at a keyframe.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotated {
    /// Number of its object in the scene.
    pub object: u32,
    /// One of nuScenes' 23 categories.
    pub category: &'static str,
    /// One of its 8 attributes.
    pub attribute: Option<&'static str>,
    /// 1 to 4.
    pub visibility: u8,
    /// In the world.
    pub place: Place,
    /// Metres.
    pub size_wlh_m: [f64; 3],
    /// Lidar points in it.
    pub lidar_points: u32,
    /// Radar points in it.
    pub radar_points: u32,
}

/// A keyframe.
#[derive(Clone, Debug, PartialEq)]
pub struct Keyframe {
    /// Microseconds.
    pub timestamp_us: u64,
    /// The ego in the world.
    pub ego: Place,
    /// Recordings; `LIDAR_TOP` must be among them.
    pub recordings: Vec<Recording>,
    /// Boxes.
    pub boxes: Vec<Annotated>,
}

/// A scene.
#[derive(Clone, Debug, PartialEq)]
pub struct SceneRows {
    /// Such as `scene-0103`.
    pub name: String,
    /// In words.
    pub description: String,
    /// Map.
    pub location: String,
    /// Name of the recording.
    pub logfile: String,
    /// In order of time.
    pub keyframes: Vec<Keyframe>,
}

/// The 23 categories.
pub const CATEGORIES: [&str; 23] = [
    "human.pedestrian.adult",
    "human.pedestrian.child",
    "human.pedestrian.wheelchair",
    "human.pedestrian.stroller",
    "human.pedestrian.personal_mobility",
    "human.pedestrian.police_officer",
    "human.pedestrian.construction_worker",
    "animal",
    "vehicle.car",
    "vehicle.motorcycle",
    "vehicle.bicycle",
    "vehicle.bus.bendy",
    "vehicle.bus.rigid",
    "vehicle.truck",
    "vehicle.construction",
    "vehicle.emergency.ambulance",
    "vehicle.emergency.police",
    "vehicle.trailer",
    "movable_object.barrier",
    "movable_object.trafficcone",
    "movable_object.pushable_pullable",
    "movable_object.debris",
    "static_object.bicycle_rack",
];

/// The 8 attributes.
pub const ATTRIBUTES: [&str; 8] = [
    "vehicle.moving",
    "vehicle.stopped",
    "vehicle.parked",
    "cycle.with_rider",
    "cycle.without_rider",
    "pedestrian.sitting_lying_down",
    "pedestrian.standing",
    "pedestrian.moving",
];

const LEVELS: [&str; 4] = ["v0-40", "v40-60", "v60-80", "v80-100"];

/// The token of something, by what it is.
pub fn token(what: &str) -> String {
    content_hash(what.as_bytes())[..32].to_string()
}

/// Token of a scene's keyframe.
pub fn sample_token(scene: &str, index: usize) -> String {
    token(&format!("sample {scene} {index}"))
}

/// Token of a scene's object.
pub fn instance_token(scene: &str, object: u32) -> String {
    token(&format!("instance {scene} {object}"))
}

/// Rows by table.
#[derive(Default)]
struct Rows(BTreeMap<&'static str, Vec<Value>>);

impl Rows {
    fn add(&mut self, table: &'static str, row: Value) {
        self.0.entry(table).or_default().push(row);
    }
}

/// Write the tables of a version. `maps` names the mask of each location, relative to the root; the files must be written
/// before.
///
/// # Errors
/// When a file cannot be written.
pub fn write_tables(
    root: &Path,
    version: &str,
    scenes: &[SceneRows],
    maps: &[(String, String)],
) -> Result<(), DataError> {
    let mut rows = Rows::default();
    for name in CATEGORIES {
        rows.add("category", json!({"token": token(&format!("category {name}")), "name": name, "description": ""}));
    }
    for name in ATTRIBUTES {
        rows.add("attribute", json!({"token": token(&format!("attribute {name}")), "name": name, "description": ""}));
    }
    for (at, level) in LEVELS.iter().enumerate() {
        rows.add("visibility", json!({"description": "", "token": (at + 1).to_string(), "level": level}));
    }
    let mut mountings: BTreeMap<String, Value> = BTreeMap::new();
    let mut sensors: BTreeMap<String, &str> = BTreeMap::new();
    let mut logs_of: BTreeMap<&str, Vec<String>> = maps.iter().map(|(l, _)| (l.as_str(), Vec::new())).collect();
    for scene in scenes {
        let log = token(&format!("log {}", scene.name));
        rows.add(
            "log",
            json!({"token": log, "logfile": scene.logfile, "vehicle": "apprentice", "date_captured": "2026-01-01", "location": scene.location}),
        );
        logs_of.entry(&scene.location).or_default().push(log.clone());
        let count = scene.keyframes.len();
        rows.add(
            "scene",
            json!({
                "token": token(&format!("scene {}", scene.name)), "log_token": log, "nbr_samples": count,
                "first_sample_token": sample_token(&scene.name, 0),
                "last_sample_token": sample_token(&scene.name, count.saturating_sub(1)),
                "name": scene.name, "description": scene.description,
            }),
        );
        write_keyframes(&mut rows, scene, &mut mountings, &mut sensors);
        write_boxes(&mut rows, scene);
    }
    for (channel, modality) in &sensors {
        let token = token(&format!("sensor {channel}"));
        rows.add("sensor", json!({"token": token, "channel": channel, "modality": modality}));
    }
    rows.0.insert("calibrated_sensor", mountings.into_values().collect());
    for (location, filename) in maps {
        let tokens = &logs_of[location.as_str()];
        rows.add(
            "map",
            json!({"category": "semantic_prior", "token": token(&format!("map {location}")), "filename": filename, "log_tokens": tokens}),
        );
    }
    for name in NAMES {
        let path = root.join(version).join(name).with_extension("json");
        let table = rows.0.remove(name).unwrap_or_default();
        apprentice_store::write_atomic_with(&path, |out| {
            // One row a line, so that a table can be looked at.
            out.write_all(b"[")?;
            for (at, row) in table.iter().enumerate() {
                out.write_all(if at == 0 { b"\n" } else { b",\n" })?;
                serde_json::to_writer(&mut *out, row)?;
            }
            out.write_all(b"\n]\n")
        })?;
    }
    Ok(())
}

/// Token of the neighbour in a chain, empty at its ends.
fn neighbour(name: impl Fn(usize) -> String, at: Option<usize>, count: usize) -> String {
    at.filter(|at| *at < count).map_or_else(String::new, name)
}

fn write_keyframes<'a>(
    rows: &mut Rows,
    scene: &'a SceneRows,
    mountings: &mut BTreeMap<String, Value>,
    sensors: &mut BTreeMap<String, &'a str>,
) {
    let count = scene.keyframes.len();
    for (at, keyframe) in scene.keyframes.iter().enumerate() {
        let sample = sample_token(&scene.name, at);
        let near = |at| neighbour(|k| sample_token(&scene.name, k), at, count);
        rows.add(
            "sample",
            json!({
                "token": sample, "timestamp": keyframe.timestamp_us, "prev": near(at.checked_sub(1)),
                "next": near(Some(at + 1)), "scene_token": token(&format!("scene {}", scene.name)),
            }),
        );
        for recording in &keyframe.recordings {
            let channel = &recording.channel;
            sensors.insert(channel.clone(), recording.modality);
            let mounting = token(&format!("mounting {channel} {:?} {:?}", recording.in_ego, recording.intrinsic));
            let row = json!({
                "token": mounting, "sensor_token": token(&format!("sensor {channel}")),
                "translation": recording.in_ego.translation, "rotation": recording.in_ego.rotation,
                "camera_intrinsic": recording.intrinsic.map_or_else(|| json!([]), |k| json!(k)),
            });
            mountings.entry(mounting.clone()).or_insert(row);
            let name = |k: usize| token(&format!("recording {} {channel} {k}", scene.name));
            let pose = token(&format!("pose {} {channel} {at}", scene.name));
            rows.add(
                "ego_pose",
                json!({
                    "token": pose, "timestamp": keyframe.timestamp_us, "rotation": keyframe.ego.rotation,
                    "translation": keyframe.ego.translation,
                }),
            );
            let format = if recording.modality == "camera" { "jpg" } else { "pcd" };
            rows.add(
                "sample_data",
                json!({
                    "token": name(at), "sample_token": sample, "ego_pose_token": pose,
                    "calibrated_sensor_token": mounting, "timestamp": keyframe.timestamp_us, "fileformat": format,
                    "is_key_frame": true, "height": recording.height, "width": recording.width,
                    "filename": recording.filename, "prev": neighbour(name, at.checked_sub(1), count),
                    "next": neighbour(name, Some(at + 1), count),
                }),
            );
        }
    }
}

/// Boxes and their objects. A box's neighbours are the same object's boxes before and after it, however far.
fn write_boxes(rows: &mut Rows, scene: &SceneRows) {
    let mut tracks: BTreeMap<u32, Vec<(usize, &Annotated)>> = BTreeMap::new();
    for (at, keyframe) in scene.keyframes.iter().enumerate() {
        for b in &keyframe.boxes {
            tracks.entry(b.object).or_default().push((at, b));
        }
    }
    let name = |object: u32, at: usize| token(&format!("box {} {object} {at}", scene.name));
    let mut chain: BTreeMap<(u32, usize), (String, String)> = BTreeMap::new();
    for (object, boxes) in &tracks {
        let at = |place: Option<usize>| {
            place.and_then(|p| boxes.get(p)).map_or_else(String::new, |(frame, _)| name(*object, *frame))
        };
        for (place, (frame, _)) in boxes.iter().enumerate() {
            chain.insert((*object, *frame), (at(place.checked_sub(1)), at(Some(place + 1))));
        }
        let category = token(&format!("category {}", boxes[0].1.category));
        rows.add(
            "instance",
            json!({
                "token": instance_token(&scene.name, *object), "category_token": category, "nbr_annotations": boxes.len(),
                "first_annotation_token": at(Some(0)), "last_annotation_token": at(Some(boxes.len() - 1)),
            }),
        );
    }
    for (frame, keyframe) in scene.keyframes.iter().enumerate() {
        for b in &keyframe.boxes {
            let (prev, next) = chain[&(b.object, frame)].clone();
            let attributes: Vec<String> = b.attribute.iter().map(|a| token(&format!("attribute {a}"))).collect();
            rows.add(
                "sample_annotation",
                json!({
                    "token": name(b.object, frame), "sample_token": sample_token(&scene.name, frame),
                    "instance_token": instance_token(&scene.name, b.object),
                    "visibility_token": b.visibility.to_string(), "attribute_tokens": attributes,
                    "translation": b.place.translation, "size": b.size_wlh_m, "rotation": b.place.rotation,
                    "prev": prev, "next": next, "num_lidar_pts": b.lidar_points, "num_radar_pts": b.radar_points,
                }),
            );
        }
    }
}

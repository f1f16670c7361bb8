//! Bench2Drive clips: `<clip>/anno/%05d.json.gz` beside `<clip>/camera/rgb_*/%05d.jpg`, as samples.
//!
//! Recordings are in CARLA's frame, in which y and angles are minus ours, around the middle of the car; samples are around
//! its rear axle. Clips run at 10 Hz and every fifth frame is a keyframe; clips that [`crate::export`] wrote run at 2 Hz
//! and every frame is one. Which it is, the caller says.

use crate::error::{DataError, read_json};
use crate::fault::{Fault, whole_jpeg};
use crate::scenarionet::{Moment, Scene};
use apprentice_core::camera::REAR_AXLE_TO_CENTER_M;
use apprentice_core::geometry::DVec2;
use apprentice_core::sample::{LightState, SampleId, Tier};
use apprentice_core::trajectory::{HORIZON_STEPS, WAYPOINT_DT_S};
use apprentice_core::{AgentClass, AgentLabel, Command, EgoState, Pose2, Sample, Trajectory, wrap_angle};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Objects further away are no labels, metres.
const REACH_M: f64 = 60.0;
/// An annotation is never longer than this when unpacked.
const LONGEST: u64 = 256 << 20;

#[derive(Deserialize)]
struct Raw {
    x: f64,
    y: f64,
    /// The original recorder writes null now and then, and means 0.
    #[serde(default)]
    speed: Option<f64>,
    #[serde(default)]
    command_near: Option<i32>,
    #[serde(default)]
    acceleration: Option<[f64; 3]>,
    #[serde(default)]
    angular_velocity: Option<[f64; 3]>,
    bounding_boxes: Vec<RawBox>,
}

#[derive(Deserialize)]
struct RawBox {
    class: String,
    id: serde_json::Value,
    #[serde(default)]
    base_type: Option<String>,
    #[serde(default)]
    type_id: Option<String>,
    location: [f64; 3],
    rotation: [f64; 3],
    #[serde(default)]
    center: Option<[f64; 3]>,
    #[serde(default)]
    extent: Option<[f64; 3]>,
    #[serde(default)]
    speed: Option<f64>,
    #[serde(default)]
    state: serde_json::Value,
    #[serde(default)]
    affects_ego: Option<bool>,
}

impl RawBox {
    /// Middle of the box, our frame. A static vehicle's location and rotation are wrong in the originals; its centre is
    /// right.
    fn pose(&self) -> Pose2 {
        let [x, y, _] = self.center.unwrap_or(self.location);
        Pose2::new(x, -y, wrap_angle(-self.rotation[2].to_radians()))
    }

    fn class(&self) -> Option<AgentClass> {
        let name = self.base_type.as_deref().or(self.type_id.as_deref()).unwrap_or("").to_lowercase();
        let has = |part: &str| name.contains(part);
        Some(match self.class.as_str() {
            "walker" => AgentClass::Pedestrian,
            "vehicle" if has("bicycle") || has("bike") => AgentClass::Bicycle,
            "vehicle" if has("motorcycle") => AgentClass::Motorcycle,
            "vehicle" if has("truck") || has("van") => AgentClass::Truck,
            "vehicle" if has("bus") => AgentClass::Bus,
            "vehicle" => AgentClass::Car,
            "traffic_sign" if has("cone") => AgentClass::TrafficCone,
            "traffic_sign" if has("barrier") => AgentClass::Barrier,
            _ => return None,
        })
    }
}

/// One frame of a clip, read.
struct Frame {
    raw: Raw,
    ego: Pose2,
    /// Objects by name.
    boxes: BTreeMap<String, usize>,
}

/// The six cameras' folders, in the order of our rigs.
pub const CAMERA_FOLDERS: [&str; 6] =
    ["rgb_front", "rgb_front_left", "rgb_front_right", "rgb_back", "rgb_back_left", "rgb_back_right"];

/// The pictures of a clip's frame.
pub fn pictures(clip: &Path, frame: usize) -> [PathBuf; 6] {
    CAMERA_FOLDERS.map(|folder| clip.join("camera").join(folder).join(format!("{frame:05}.jpg")))
}

fn read(path: &Path) -> Result<Frame, DataError> {
    let packed = std::fs::read(path).map_err(|source| DataError::Io { path: path.into(), source })?;
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(packed.as_slice())
        .take(LONGEST)
        .read_to_end(&mut bytes)
        .map_err(|e| DataError::invalid(path, "gzip", e.to_string()))?;
    let raw: Raw = read_json(path, &bytes)?;
    let mut boxes = BTreeMap::new();
    let mut ego = None;
    for (at, b) in raw.bounding_boxes.iter().enumerate() {
        let id = match &b.id {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if b.class == "ego_vehicle" {
            ego = Some(b.pose());
        } else if boxes.insert(format!("{} {id}", b.class), at).is_some() {
            return Err(DataError::invalid(path, format!("bounding_boxes[{at}].id"), format!("`{id}` is there twice")));
        }
    }
    let ego = ego.ok_or_else(|| DataError::invalid(path, "bounding_boxes", "there is no ego vehicle"))?;
    // The clip's own x and y are the car's middle, to a few centimetres.
    if DVec2::new(raw.x, -raw.y).distance(ego.position()) > 5.0 {
        return Err(DataError::invalid(path, "x, y", "the ego's box lies elsewhere"));
    }
    Ok(Frame { ego: ego.offset(-REAR_AXLE_TO_CENTER_M, 0.0), raw, boxes })
}

/// Read a clip; every `stride`-th frame is a keyframe (5 of the original 10 Hz, 1 of exported worlds).
///
/// # Errors
/// Names the file and the field: not gzip, not an annotation, no ego, an object twice; or the clip has no frames.
pub fn read_clip(clip: &Path, stride: usize) -> Result<Scene, DataError> {
    let name = clip.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = clip.join("anno");
    let mut frames = Vec::new();
    loop {
        let path = folder.join(format!("{:05}.json.gz", frames.len() * stride.max(1)));
        if !path.is_file() {
            break;
        }
        frames.push(read(&path)?);
    }
    if frames.is_empty() {
        return Err(DataError::Missing { path: folder.join("00000.json.gz"), what: "a Bench2Drive clip".into() });
    }
    let place = name.split('_').find(|part| part.starts_with("Town")).unwrap_or("").to_string();
    // Numbers of objects, the same in every frame.
    let mut numbers: BTreeMap<&str, u32> =
        frames.iter().flat_map(|f| f.boxes.keys().map(|k| (k.as_str(), 0))).collect();
    numbers.values_mut().zip(1_u32..).for_each(|(number, next)| *number = next);
    let moments = (0..frames.len()).map(|at| moment(&name, &frames, at, &numbers)).collect();
    Ok(Scene { name, place, moments })
}

/// Everything that is wrong with a clip that can be read: frames behind a gap, keyframes without a picture, pictures that are no
/// whole JPEG.
///
/// # Errors
/// When its folder cannot be listed.
pub fn faults(clip: &Path, stride: usize) -> Result<Vec<Fault>, DataError> {
    let stride = stride.max(1);
    let folder = clip.join("anno");
    let io = |source| DataError::Io { path: folder.clone(), source };
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".json.gz")).and_then(|n| n.parse::<usize>().ok());
        numbers.extend(number.filter(|n| n % stride == 0));
    }
    numbers.sort_unstable();
    let mut faults = Vec::new();
    let mut add = |kind: &str, path: &Path, problem: String| {
        let subject = path.strip_prefix(clip.parent().unwrap_or(clip)).unwrap_or(path).display().to_string();
        faults.push(Fault { kind: kind.into(), subject, problem });
    };
    let whole = numbers.iter().zip((0..).step_by(stride)).take_while(|(found, wanted)| **found == *wanted).count();
    if whole < numbers.len() {
        let missing = folder.join(format!("{:05}.json.gz", whole * stride));
        add("sample", &missing, format!("the file is missing, and {} behind it are not read", numbers.len() - whole));
    }
    for number in &numbers[..whole] {
        for path in pictures(clip, *number) {
            if !path.is_file() {
                add("file", &path, "the file is missing".into());
            } else if let Err(problem) = whole_jpeg(&path, None) {
                add("image", &path, problem);
            }
        }
    }
    Ok(faults)
}

fn moment(clip: &str, frames: &[Frame], at: usize, numbers: &BTreeMap<&str, u32>) -> Moment {
    let frame = &frames[at];
    let raw = &frame.raw;
    let future: Vec<DVec2> =
        frames[at + 1..].iter().take(HORIZON_STEPS).map(|f| frame.ego.to_local(f.ego.position())).collect();
    let light = raw.bounding_boxes.iter().find(|b| b.class == "traffic_light" && b.affects_ego == Some(true));
    let light = light.map_or(LightState::None, |b| match b.state.as_i64() {
        Some(0) => LightState::Red,
        Some(1) => LightState::Yellow,
        Some(2) => LightState::Green,
        _ => LightState::None,
    });
    let sample = Sample {
        id: SampleId { world: clip.into(), index: at as u32 },
        tier: Tier::Common,
        family: clip.split('_').next().unwrap_or("").into(),
        time_s: at as f64 * WAYPOINT_DT_S,
        ego: EgoState {
            speed_mps: raw.speed.unwrap_or(0.0) as f32,
            acceleration_mps2: raw.acceleration.map_or(0.0, |a| a[0]) as f32,
            yaw_rate_radps: -raw.angular_velocity.map_or(0.0, |w| w[2]) as f32,
        },
        command: Command::from_carla(raw.command_near.unwrap_or(-1)),
        future: Trajectory(std::array::from_fn(|i| future.get(i).map_or([0.0; 2], |p| [p.x as f32, p.y as f32]))),
        future_steps: future.len() as u8,
        agents: agents(frames, at, numbers),
        map: Vec::new(),
        light,
        language: Vec::new(),
    };
    let previous_in_ego = at.checked_sub(1).map(|k| frame.ego.to_local(frames[k].ego.position()).to_array());
    Moment { sample, previous_in_ego }
}

fn agents(frames: &[Frame], at: usize, numbers: &BTreeMap<&str, u32>) -> Vec<AgentLabel> {
    let frame = &frames[at];
    let label = |(name, index): (&String, &usize)| {
        let b = &frame.raw.bounding_boxes[*index];
        let class = b.class()?;
        let extent = b.extent?;
        let local = frame.ego.pose_to_local(b.pose());
        if local.position().length() > REACH_M || extent.iter().any(|e| *e <= 0.0) {
            return None;
        }
        let ahead = frames[at + 1..].iter().take(HORIZON_STEPS).map_while(|f| f.boxes.get(name).map(|i| (f, *i)));
        let future: Vec<Pose2> = ahead.map(|(f, i)| frame.ego.pose_to_local(f.raw.bounding_boxes[i].pose())).collect();
        // Walkers' speeds are always 0 in the originals: take the step to the next keyframe, or from the last.
        let velocity = match (future.first(), at.checked_sub(1).map(|k| &frames[k])) {
            (Some(next), _) => (next.position() - local.position()) / WAYPOINT_DT_S,
            (None, Some(before)) if before.boxes.contains_key(name) => {
                let then = before.raw.bounding_boxes[before.boxes[name]].pose();
                (local.position() - frame.ego.to_local(then.position())) / WAYPOINT_DT_S
            }
            _ => DVec2::from_angle(local.yaw_rad) * b.speed.unwrap_or(0.0),
        };
        let z = b.center.map_or(b.location[2] + extent[2], |c| c[2]);
        let ground = frame.raw.bounding_boxes.iter().find(|b| b.class == "ego_vehicle").map_or(0.0, |e| e.location[2]);
        Some(AgentLabel {
            id: numbers[name.as_str()],
            class,
            center_in_ego: [local.x as f32, local.y as f32, (z - ground) as f32],
            size_m: extent.map(|e| (2.0 * e) as f32),
            yaw_rad: local.yaw_rad as f32,
            velocity_in_ego_mps: [velocity.x as f32, velocity.y as f32],
            visible_pixels: 0,
            future_in_ego: std::array::from_fn(|t| future.get(t).map_or([0.0; 2], |p| [p.x as f32, p.y as f32])),
            future_yaw_rad: std::array::from_fn(|t| future.get(t).map_or(0.0, |p| p.yaw_rad as f32)),
            future_steps: future.len() as u8,
        })
    };
    frame.boxes.iter().filter_map(label).collect()
}

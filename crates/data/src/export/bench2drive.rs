//! Simulated worlds as Bench2Drive clips: a folder per world with `anno/%05d.json.gz` and `camera/rgb_*/%05d.jpg`.
//!
//! Everything is in CARLA's frame, in which y and angles are minus ours. Clips stand at 2 Hz, where the originals have
//! 10 Hz: loaders that take every fifth frame must take every frame. What a world does not know (throttle, brake, radar)
//! is not written. Source of the layout: Bench2Drive `docs/anno.md`.

use super::{Exported, jpeg, worlds_of, write};
use crate::{DataError, Part, WorldSet};
use apprentice_core::camera::REAR_AXLE_TO_CENTER_M;
use apprentice_core::geometry::DVec3;
use apprentice_core::{Camera, Pose2, Progress, Rig, Sample};
use apprentice_render::{Frames, RenderOptions, Renderer};
use apprentice_road::{Route, SignalKind};
use apprentice_sim::state::{ActorState, EGO_SIZE_M, LightAspect, Snapshot, Weather};
use flate2::{Compression, write::GzEncoder};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;

/// Objects further from the ego are not annotated, metres.
const REACH_M: f64 = 80.0;
/// The next and the far point of the route, metres ahead.
const NEAR_M: f64 = 7.5;
const FAR_M: f64 = 50.0;

/// How to export.
#[derive(Clone, Debug)]
pub struct Bench2DriveOptions {
    /// Folder to write.
    pub out: PathBuf,
    /// Which parts of the worlds.
    pub parts: Vec<Part>,
    /// Width and height of the pictures.
    pub size: (usize, usize),
    /// Quality of the JPEGs; Bench2Drive's is 20.
    pub quality: u8,
    /// At most this many worlds.
    pub limit: Option<usize>,
}

/// Write the clips.
///
/// # Errors
/// When no world is left, or a file cannot be read or written.
pub fn bench2drive(
    set: &WorldSet,
    options: &Bench2DriveOptions,
    progress: &dyn Progress,
) -> Result<Exported, DataError> {
    let mut exported = Exported::default();
    let mut worlds: Vec<_> = options.parts.iter().flat_map(|part| worlds_of(set, *part)).collect();
    for (world, _) in worlds.split_off(options.limit.unwrap_or(usize::MAX).min(worlds.len())) {
        exported.left_out.push((world, "over the limit".into()));
    }
    if worlds.is_empty() {
        return Err(DataError::Request("no world to export: the parts asked for hold none without a flaw".into()));
    }
    progress.start("worlds", worlds.len() as u64);
    let rig = Rig::bench2drive(options.size.0, options.size.1);
    let clips: Result<Vec<(String, usize, usize)>, DataError> = worlds
        .par_iter()
        .enumerate()
        .map_init(
            || (Renderer::new(), Frames::default()),
            |(renderer, frames), (number, (world, ids))| {
                let spec = set.world(world)?;
                let name = format!("{}_Town{}_Route{number}_Weather0", spec.family, spec.town);
                let town = set.town(world)?;
                let route = crate::towns::plan_route(&town.net, &spec.waypoints)
                    .map_err(|e| DataError::Road { town: spec.town.to_string(), source: Box::new(e) })?;
                let mut boxes = 0;
                for (index, id) in ids.iter().enumerate() {
                    let record = set.record(id)?;
                    renderer.render_into(&town.scene, &record.snapshot, &rig, &RenderOptions::default(), frames);
                    let folder = options.out.join(&name);
                    for (camera, image) in rig.cameras.iter().zip(&frames.images) {
                        let file = format!("camera/{}/{index:05}.jpg", folder_of(camera));
                        write(&folder.join(file), &jpeg(image, options.quality)?)?;
                    }
                    let annotation = annotate(&record.sample, &record.snapshot, &town.net, &route, &rig);
                    boxes += annotation["bounding_boxes"].as_array().map_or(0, Vec::len);
                    let path = folder.join(format!("anno/{index:05}.json.gz"));
                    let io = |source| DataError::Io { path: path.clone(), source };
                    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
                    packed.write_all(annotation.to_string().as_bytes()).map_err(io)?;
                    write(&path, &packed.finish().map_err(io)?)?;
                }
                progress.advance(1);
                Ok((name, ids.len(), boxes))
            },
        )
        .collect();
    progress.finish();
    for ((world, _), (name, samples, boxes)) in worlds.iter().zip(clips?) {
        exported.scenes.push((world.clone(), name));
        exported.samples += samples;
        exported.boxes += boxes;
        exported.images += samples * rig.cameras.len();
    }
    Ok(exported)
}

/// `CAM_FRONT_LEFT` → `rgb_front_left`.
fn folder_of(camera: &Camera) -> String {
    camera.name.replace("CAM", "rgb").to_lowercase()
}

/// Location in CARLA's frame.
fn location(p: DVec3) -> [f64; 3] {
    [p.x, -p.y, p.z]
}

/// Roll, pitch and yaw in CARLA's frame, degrees.
fn rotation(yaw_rad: f64, pitch_rad: f64) -> [f64; 3] {
    [pitch_rad.to_degrees(), 0.0, -yaw_rad.to_degrees()]
}

/// CARLA's matrix from the frame of a pose to the world, or back.
fn matrix(yaw_rad: f64, at: DVec3, inverse: bool) -> [[f64; 4]; 4] {
    let (sin, cos) = (-yaw_rad).sin_cos();
    let [x, y, z] = location(at);
    if inverse {
        [
            [cos, sin, 0.0, -(cos * x + sin * y)],
            [-sin, cos, 0.0, sin * x - cos * y],
            [0.0, 0.0, 1.0, -z],
            [0.0, 0.0, 0.0, 1.0],
        ]
    } else {
        [[cos, -sin, 0.0, x], [sin, cos, 0.0, y], [0.0, 0.0, 1.0, z], [0.0, 0.0, 0.0, 1.0]]
    }
}

fn weather(w: &Weather) -> Value {
    json!({
        "cloudiness": w.cloudiness, "precipitation": w.precipitation, "wetness": w.wetness,
        "fog_density": w.fog_density, "sun_azimuth_angle": w.sun_azimuth_deg, "sun_altitude_angle": w.sun_altitude_deg,
    })
}

fn annotate(
    sample: &Sample,
    snapshot: &Snapshot,
    net: &apprentice_road::RoadNetwork,
    route: &Route,
    rig: &Rig,
) -> Value {
    let ego = &snapshot.ego;
    let center = ego.pose_in_world.offset(REAR_AXLE_TO_CENTER_M, 0.0);
    // Where on the way the ego is: nearest of its points, a metre apart.
    let distance = |s: &usize| route.at(*s as f64).position.truncate().distance_squared(center.position());
    let along = (0..=route.length_m as usize).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0) as f64;
    let ahead = |metres: f64| route.at((along + metres).min(route.length_m)).position;
    let command = sample.command.index() + 1;
    let mut boxes = vec![ego_box(snapshot, center)];
    let near = |a: &&ActorState| a.pose_in_world.position().distance(center.position()) < REACH_M;
    boxes.extend(snapshot.actors.iter().filter(near).map(actor_box));
    boxes.extend(signals(snapshot, net, center));
    let sensors: serde_json::Map<String, Value> =
        rig.cameras.iter().map(|camera| (camera.name.clone(), sensor(camera, center, ego.ground_z_m.into()))).collect();
    let yaw_rad = ego.pose_in_world.yaw_rad;
    json!({
        "x": center.x, "y": -center.y, "theta": std::f64::consts::FRAC_PI_2 - yaw_rad, "speed": ego.speed_mps,
        "x_command_far": ahead(FAR_M).x, "y_command_far": -ahead(FAR_M).y, "command_far": command,
        "x_command_near": ahead(NEAR_M).x, "y_command_near": -ahead(NEAR_M).y, "command_near": command,
        "x_target": ahead(NEAR_M).x, "y_target": -ahead(NEAR_M).y, "next_command": command,
        "should_brake": u8::from(ego.acceleration_mps2 < -1.0), "weather": weather(&snapshot.weather),
        "acceleration": [ego.acceleration_mps2, 0.0, 9.81], "angular_velocity": [0.0, 0.0, -ego.yaw_rate_radps],
        "sensors": sensors, "bounding_boxes": boxes,
    })
}

fn ego_box(snapshot: &Snapshot, center: Pose2) -> Value {
    let ego = &snapshot.ego;
    let ground = center.position().extend(ego.ground_z_m.into());
    json!({
        "class": "ego_vehicle", "id": "0", "type_id": "vehicle.lincoln.mkz_2020", "location": location(ground),
        "rotation": rotation(center.yaw_rad, ego.pitch_rad.into()), "extent": EGO_SIZE_M.map(|v| v / 2.0),
        "center": location(ground + DVec3::Z * EGO_SIZE_M[2] / 2.0), "speed": ego.speed_mps,
        "world2ego": matrix(center.yaw_rad, ground, true), "brake": 0.0, "color": Value::Null,
    })
}

fn actor_box(actor: &ActorState) -> Value {
    let size = actor.size_m.map(f64::from);
    let ground = actor.pose_in_world.position().extend(actor.ground_z_m.into());
    let yaw_rad = actor.pose_in_world.yaw_rad;
    let kind = actor.kind;
    let (class, world2) = match kind {
        k if k.is_pedestrian() => ("walker", "world2walker"),
        k if k.is_vehicle() => ("vehicle", "world2vehicle"),
        _ => ("traffic_sign", "world2sign"),
    };
    // Bench2Drive's own name of the class, for props the nearest one.
    let base = match kind.class() {
        apprentice_core::AgentClass::Car => "car",
        apprentice_core::AgentClass::Truck => "truck",
        apprentice_core::AgentClass::Bus => "bus",
        apprentice_core::AgentClass::Motorcycle => "motorcycle",
        apprentice_core::AgentClass::Bicycle => "bicycle",
        apprentice_core::AgentClass::Pedestrian => "pedestrian",
        apprentice_core::AgentClass::TrafficCone => "trafficcone",
        _ => "barrier",
    };
    let mut row = json!({
        "class": class, "id": actor.id.to_string(), "base_type": base,
        "type_id": format!("apprentice.{}", format!("{kind:?}").to_lowercase()), "location": location(ground),
        "rotation": rotation(yaw_rad, 0.0), "extent": size.map(|v| v / 2.0),
        "center": location(ground + DVec3::Z * size[2] / 2.0), "speed": actor.speed_mps, "num_points": -1,
        "state": if actor.speed_mps.abs() > 0.1 || kind.is_pedestrian() { "dynamic" } else { "static" },
    });
    row[world2] = json!(matrix(yaw_rad, ground, true));
    row
}

fn signals(snapshot: &Snapshot, net: &apprentice_road::RoadNetwork, center: Pose2) -> Vec<Value> {
    let near = |s: &&apprentice_road::Signal| s.pose_in_world.position().distance(center.position()) < REACH_M;
    net.signals
        .iter()
        .filter(near)
        .filter_map(|signal| {
            let at = signal.pose_in_world.position().extend(signal.ground_z_m + signal.height_m);
            let (class, state) = match signal.kind {
                SignalKind::TrafficLight => ("traffic_light", snapshot.lights.get(signal.index)),
                SignalKind::Stop | SignalKind::Yield => ("traffic_sign", None),
                _ => return None,
            };
            // CARLA's numbers: red, yellow, green, off.
            let state = state.map(|aspect| match aspect {
                LightAspect::Red => 0,
                LightAspect::Yellow => 1,
                LightAspect::Green => 2,
                LightAspect::Off => 3,
            });
            let kind = if signal.kind == SignalKind::Stop { "traffic.stop" } else { "traffic.yield" };
            Some(json!({
                "class": class, "id": format!("s{}", signal.index), "location": location(at),
                "type_id": if class == "traffic_light" { "traffic.traffic_light" } else { kind },
                "rotation": rotation(signal.pose_in_world.yaw_rad, 0.0), "extent": [0.2, 0.2, 0.5], "center": location(at),
                "state": state, "affects_ego": false,
            }))
        })
        .collect()
}

/// A camera as `sensors` describes it: `cam2ego` and `world2cam` have CARLA's axes (x ahead, y right, z up).
fn sensor(camera: &Camera, center: Pose2, ground_z: f64) -> Value {
    let mount = DVec3::from_array(camera.position_in_ego) - DVec3::X * REAR_AXLE_TO_CENTER_M;
    let at = center.to_parent(mount.truncate()).extend(ground_z + mount.z);
    let yaw_rad = center.yaw_rad + camera.yaw_rad;
    let fov_deg = 2.0 * (camera.width as f64 / 2.0 / camera.focal[0]).atan().to_degrees();
    json!({
        "location": location(at), "rotation": rotation(yaw_rad, 0.0),
        "intrinsic": [[camera.focal[0], 0.0, camera.principal[0]], [0.0, camera.focal[1], camera.principal[1]], [0.0, 0.0, 1.0]],
        "world2cam": matrix(yaw_rad, at, true), "cam2ego": matrix(camera.yaw_rad, mount, false), "fov": fov_deg,
        "image_size_x": camera.width, "image_size_y": camera.height,
    })
}

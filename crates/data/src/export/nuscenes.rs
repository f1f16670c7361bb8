//! Simulated worlds as a nuScenes data set that nuscenes-devkit loads, renders and evaluates.
//!
//! A world becomes a scene under one of the version's scene names: worlds of the training parts under training names, the
//! others under validation names, so that the devkit's splits hold them apart. The rig is Bench2Drive's; the point cloud
//! comes from its depth buffers. CAN bus messages stand at the keyframes, 2 Hz.

use super::clouds::{self, Seen};
use super::expansion::{LOCATIONS, LocationMap, MARGIN_M};
use super::tables::{Annotated, Keyframe, Recording, SceneRows, write_tables};
use super::{Exported, jpeg, worlds_of, write};
use crate::nuscenes::Split;
use crate::nuscenes::tables::Place;
use crate::towns::{Town, TownChoice};
use crate::{DataError, Part, WorldSet};
use apprentice_core::geometry::{DQuat, DVec2, DVec3};
use apprentice_core::{Pose2, Progress, Rig};
use apprentice_render::{Frames, RenderOptions, Renderer, TownScene};
use apprentice_sim::state::{ActorKind, ActorState, EgoVehicle, Snapshot, TICK_HZ};
use rayon::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Actors further from the ego are not annotated, metres.
const REACH_M: f64 = 80.0;
/// Faster than this something moves, m/s.
const MOVING_MPS: f32 = 0.2;
/// Time of the first scene's first keyframe, microseconds; scenes follow a thousand seconds apart.
const FIRST_US: u64 = 1_700_000_000_000_000;
/// Wheelbase of the ego, metres, and turns of its steering wheel per turn of its wheels.
const WHEELBASE_M: f64 = 2.860;
const STEERING_RATIO: f64 = 15.0;

/// How to export.
#[derive(Clone, Debug)]
pub struct NuScenesOptions {
    /// Folder to write.
    pub out: PathBuf,
    /// `v1.0-mini` (ten scenes) or `v1.0-trainval`.
    pub version: String,
    /// Which parts of the worlds.
    pub parts: Vec<Part>,
    /// Width and height of the pictures.
    pub size: (usize, usize),
    /// Quality of the JPEGs.
    pub quality: u8,
    /// At most this many worlds.
    pub limit: Option<usize>,
}

/// What is being filmed.
pub(super) struct Shot<'a> {
    /// Folder of the data set.
    pub out: &'a Path,
    /// Quality of the JPEGs.
    pub quality: u8,
    /// Name of the scene.
    pub name: &'a str,
    /// Which scene of the data set it is, from 0.
    pub number: u64,
    /// What does not move.
    pub town: &'a TownScene,
    /// The cameras.
    pub rig: &'a Rig,
    /// From the town's coordinates to the map's.
    pub shift: DVec2,
}

impl Shot<'_> {
    /// Film one moment; its category is what `category` says of an actor.
    pub fn keyframe(
        &self,
        index: usize,
        snapshot: &Snapshot,
        category: &dyn Fn(&ActorState) -> Category,
        (renderer, frames): &mut (Renderer, Frames),
    ) -> Result<Keyframe, DataError> {
        renderer.render_into(self.town, snapshot, self.rig, &RenderOptions::default(), frames);
        let seen = clouds::look(self.rig, frames);
        let timestamp_us = FIRST_US + self.number * 1_000_000_000 + (f64::from(snapshot.tick) / TICK_HZ * 1e6) as u64;
        let recordings = self.recordings(index, frames, &seen)?;
        let boxes =
            snapshot.actors.iter().filter_map(|a| annotate(self.rig, &seen, snapshot, a, category(a), self.shift));
        Ok(Keyframe { timestamp_us, ego: ego_place(&snapshot.ego, self.shift), recordings, boxes: boxes.collect() })
    }
}

/// A world on its way out.
struct Planned {
    world: String,
    name: String,
    samples: Vec<apprentice_core::sample::SampleId>,
    location: usize,
    shift: DVec2,
    number: u64,
}

/// Write the data set.
///
/// # Errors
/// When the version has no splits for worlds, no world is left, or a file cannot be read or written.
pub fn nuscenes(set: &WorldSet, options: &NuScenesOptions, progress: &dyn Progress) -> Result<Exported, DataError> {
    let mut exported = Exported::default();
    let (planned, maps) = plan(set, options, &mut exported)?;
    let used: Vec<bool> = (0..LOCATIONS.len()).map(|at| planned.iter().any(|p| p.location == at)).collect();
    let mut written = Vec::new();
    for (at, map) in maps.into_iter().enumerate() {
        let name = map.name.to_string();
        let mask = map.write(&options.out)?;
        // A location that no log names has a map all the same, so that every map query answers.
        if used[at] || at == 0 {
            written.push((name, mask));
        }
    }
    progress.start("worlds", planned.len() as u64);
    let rig = Rig::bench2drive(options.size.0, options.size.1);
    let scenes: Result<Vec<SceneRows>, DataError> = planned
        .par_iter()
        .map_init(
            || (Renderer::new(), Frames::default()),
            |buffers, world| {
                let scene = scene(set, options, &rig, world, buffers)?;
                progress.advance(1);
                Ok(scene)
            },
        )
        .collect();
    let scenes = scenes?;
    progress.finish();
    for scene in &scenes {
        exported.samples += scene.keyframes.len();
        exported.boxes += scene.keyframes.iter().map(|k| k.boxes.len()).sum::<usize>();
        exported.images += scene.keyframes.len() * rig.cameras.len();
    }
    write_tables(&options.out, &options.version, &scenes, &written)?;
    exported.scenes = planned.iter().map(|p| (p.world.clone(), p.name.clone())).collect();
    Ok(exported)
}

/// Which world gets which scene name, and where its town lies.
fn plan(
    set: &WorldSet,
    options: &NuScenesOptions,
    exported: &mut Exported,
) -> Result<(Vec<Planned>, Vec<LocationMap>), DataError> {
    let (train, val) = match options.version.as_str() {
        "v1.0-mini" => ("mini_train", "mini_val"),
        "v1.0-trainval" => ("train", "val"),
        other => {
            let problem = format!("worlds can be written as v1.0-mini or v1.0-trainval, not as {other}");
            return Err(DataError::Request(problem));
        }
    };
    let names = |split: &str| Split::named(split).map_or_else(Vec::new, |s| s.scenes().collect::<Vec<_>>()).into_iter();
    let (mut train, mut val) = (names(train), names(val));
    let mut maps: Vec<LocationMap> = (0..LOCATIONS.len()).map(LocationMap::new).collect();
    let mut places: BTreeMap<TownChoice, (usize, DVec2)> = BTreeMap::new();
    let mut planned = Vec::new();
    for part in &options.parts {
        for (world, samples) in worlds_of(set, *part) {
            let mut left_out = |why: &str| exported.left_out.push((world.clone(), why.into()));
            if options.limit.is_some_and(|limit| planned.len() >= limit) {
                left_out("over the limit");
                continue;
            }
            let choice = set.world(&world)?.town.clone();
            if !places.contains_key(&choice) {
                let town = set.town(&world)?;
                let bounds = town.net.bounds;
                let size = bounds.max - bounds.min + DVec2::splat(2.0 * MARGIN_M);
                let found = maps.iter_mut().enumerate().find_map(|(at, map)| Some((at, map.room(size)?)));
                let Some((at, corner)) = found else {
                    left_out("its town does not fit into the four maps that nuScenes knows");
                    continue;
                };
                let shift = corner + DVec2::splat(MARGIN_M) - bounds.min;
                maps[at].add_town(&choice.to_string(), &town.net, shift);
                places.insert(choice.clone(), (at, shift));
            }
            let name = if part.is_held_out() { val.next() } else { train.next() };
            let Some(name) = name else {
                left_out("the version has no scene name left for its part");
                continue;
            };
            let (location, shift) = places[&choice];
            let number = planned.len() as u64;
            planned.push(Planned { world, name, samples, location, shift, number });
        }
    }
    if planned.is_empty() {
        return Err(DataError::Request("no world to export: the parts asked for hold none without a flaw".into()));
    }
    Ok((planned, maps))
}

fn scene(
    set: &WorldSet,
    options: &NuScenesOptions,
    rig: &Rig,
    world: &Planned,
    buffers: &mut (Renderer, Frames),
) -> Result<SceneRows, DataError> {
    let town = set.town(&world.world)?;
    let spec = set.world(&world.world)?;
    let shot = Shot {
        out: &options.out,
        quality: options.quality,
        name: &world.name,
        number: world.number,
        town: &town.scene,
        rig,
        shift: world.shift,
    };
    let mut keyframes = Vec::with_capacity(world.samples.len());
    let mut can = CanMessages::default();
    for (index, id) in world.samples.iter().enumerate() {
        let snapshot = set.snapshot(id)?;
        let keyframe = shot.keyframe(index, &snapshot, &category, buffers)?;
        can.add(keyframe.timestamp_us, &snapshot.ego, keyframe.ego);
        keyframes.push(keyframe);
    }
    can.write(&options.out, &world.name, &route(&town, set, &world.world, world.shift)?)?;
    Ok(SceneRows {
        name: world.name.clone(),
        description: format!("simulated: {} in {}, {}", spec.family, spec.town, spec.weather_name),
        location: LOCATIONS[world.location].0.into(),
        logfile: format!("apprentice-{}", world.world),
        keyframes,
    })
}

/// The way, every 2 m.
fn route(town: &Town, set: &WorldSet, world: &str, shift: DVec2) -> Result<Vec<[f64; 2]>, DataError> {
    let spec = set.world(world)?;
    let route = crate::towns::plan_route(&town.net, &spec.waypoints)
        .map_err(|e| DataError::Road { town: spec.town.to_string(), source: Box::new(e) })?;
    let at = |i: usize| (route.at(2.0 * i as f64).position.truncate() + shift).to_array();
    Ok((0..=(route.length_m / 2.0) as usize).map(at).collect())
}

fn place(position: DVec3, rotation: DQuat) -> Place {
    Place { translation: position.to_array(), rotation: [rotation.w, rotation.x, rotation.y, rotation.z] }
}

/// The ego's rear axle: nose up is a turn about its left axis, backwards.
fn ego_place(ego: &EgoVehicle, shift: DVec2) -> Place {
    let p = ego.pose_in_world.position() + shift;
    let rotation =
        DQuat::from_rotation_z(ego.pose_in_world.yaw_rad) * DQuat::from_rotation_y(-f64::from(ego.pitch_rad));
    place(p.extend(ego.ground_z_m.into()), rotation)
}

impl Shot<'_> {
    fn recordings(&self, index: usize, frames: &Frames, seen: &Seen) -> Result<Vec<Recording>, DataError> {
        let file =
            |channel: &str, ending: &str| format!("samples/{channel}/{}__{channel}__{index:05}.{ending}", self.name);
        let lidar = file("LIDAR_TOP", "pcd.bin");
        write(&self.out.join(&lidar), &seen.bytes)?;
        let mut out = vec![Recording {
            channel: "LIDAR_TOP".into(),
            modality: "lidar",
            in_ego: clouds::mounting(),
            intrinsic: None,
            filename: lidar,
            width: 0,
            height: 0,
        }];
        for (camera, image) in self.rig.cameras.iter().zip(&frames.images) {
            let filename = file(&camera.name, "jpg");
            write(&self.out.join(&filename), &jpeg(image, self.quality)?)?;
            let [right, down, forward] = camera.rotation_from_ego();
            // Columns are the camera's axes in the ego frame.
            let rotation = DQuat::from_mat3(&apprentice_core::geometry::DMat3::from_cols(right, down, forward));
            out.push(Recording {
                channel: camera.name.clone(),
                modality: "camera",
                in_ego: place(DVec3::from_array(camera.position_in_ego), rotation),
                intrinsic: Some([
                    [camera.focal[0], 0.0, camera.principal[0]],
                    [0.0, camera.focal[1], camera.principal[1]],
                    [0.0, 0.0, 1.0],
                ]),
                filename,
                width: image.width,
                height: image.height,
            });
        }
        Ok(out)
    }
}

/// nuScenes' category of something, and its attribute.
pub(super) type Category = (&'static str, Option<&'static str>);

/// The category of an actor by its looks.
pub(super) fn category(actor: &ActorState) -> Category {
    let moving = actor.speed_mps.abs() > MOVING_MPS;
    let vehicle = Some(if moving { "vehicle.moving" } else { "vehicle.stopped" });
    let person = Some(if moving { "pedestrian.moving" } else { "pedestrian.standing" });
    match actor.kind {
        ActorKind::Car => ("vehicle.car", vehicle),
        ActorKind::Van | ActorKind::Truck => ("vehicle.truck", vehicle),
        ActorKind::Bus => ("vehicle.bus.rigid", vehicle),
        ActorKind::Police => ("vehicle.emergency.police", vehicle),
        ActorKind::Ambulance => ("vehicle.emergency.ambulance", vehicle),
        ActorKind::Motorcycle => ("vehicle.motorcycle", Some("cycle.with_rider")),
        ActorKind::Bicycle => ("vehicle.bicycle", Some("cycle.with_rider")),
        ActorKind::Pedestrian => ("human.pedestrian.adult", person),
        ActorKind::Child => ("human.pedestrian.child", person),
        ActorKind::Cone => ("movable_object.trafficcone", None),
        ActorKind::Barrier | ActorKind::WarningSign => ("movable_object.barrier", None),
        ActorKind::Container | ActorKind::Advertisement => ("movable_object.pushable_pullable", None),
        ActorKind::Debris => ("movable_object.debris", None),
    }
}

fn annotate(
    rig: &Rig,
    seen: &Seen,
    snapshot: &Snapshot,
    actor: &ActorState,
    (category, attribute): Category,
    shift: DVec2,
) -> Option<Annotated> {
    let ego: Pose2 = snapshot.ego.pose_in_world;
    if actor.pose_in_world.position().distance(ego.position()) > REACH_M {
        return None;
    }
    let [length, width, height] = actor.size_m.map(f64::from);
    let ground_z = f64::from(actor.ground_z_m);
    let center = (actor.pose_in_world.position() + shift).extend(ground_z + height / 2.0);
    let below = ground_z - f64::from(snapshot.ego.ground_z_m);
    let corners: Vec<DVec3> = actor
        .footprint()
        .corners()
        .iter()
        .flat_map(|corner| {
            let p = ego.to_local(*corner);
            [p.extend(below), p.extend(below + height)]
        })
        .collect();
    Some(Annotated {
        object: actor.id,
        category,
        attribute,
        visibility: clouds::visibility(rig, seen, actor.id, &corners),
        place: place(center, DQuat::from_rotation_z(actor.pose_in_world.yaw_rad)),
        size_wlh_m: [width, length, height],
        lidar_points: seen.points.get(&actor.id).copied().unwrap_or(0),
        radar_points: 0,
    })
}

/// CAN bus messages of a scene.
#[derive(Default)]
pub(super) struct CanMessages {
    pose: Vec<serde_json::Value>,
    imu: Vec<serde_json::Value>,
    steering: Vec<serde_json::Value>,
    monitor: Vec<serde_json::Value>,
}

impl CanMessages {
    pub fn add(&mut self, utime: u64, ego: &EgoVehicle, place: Place) {
        let speed = ego.speed_mps;
        let accel = [ego.acceleration_mps2, speed * ego.yaw_rate_radps, 9.81];
        let rate = [0.0, 0.0, ego.yaw_rate_radps];
        self.pose.push(json!({
            "accel": accel, "orientation": place.rotation, "pos": place.translation, "rotation_rate": rate,
            "utime": utime, "vel": [speed, 0.0, 0.0],
        }));
        self.imu.push(json!({"linear_accel": accel, "q": place.rotation, "rotation_rate": rate, "utime": utime}));
        let wheels = if speed.abs() > 0.1 { (WHEELBASE_M * ego.yaw_rate_radps / speed).atan() } else { 0.0 };
        self.steering.push(json!({"utime": utime, "value": wheels * STEERING_RATIO}));
        self.monitor.push(json!({
            "utime": utime, "vehicle_speed": speed * 3.6, "yaw_rate": ego.yaw_rate_radps.to_degrees(),
            "steering": (wheels * STEERING_RATIO).to_degrees(),
        }));
    }

    pub fn write(&self, root: &Path, scene: &str, route: &[[f64; 2]]) -> Result<(), DataError> {
        let count = self.pose.len();
        let summary = |frequency_hz: f64| json!({"message_count": count, "message_freq": frequency_hz});
        let meta = json!({"pose": summary(2.0), "ms_imu": summary(2.0), "steeranglefeedback": summary(2.0), "vehicle_monitor": summary(2.0)});
        let files = [
            ("pose", json!(self.pose)),
            ("ms_imu", json!(self.imu)),
            ("steeranglefeedback", json!(self.steering)),
            ("vehicle_monitor", json!(self.monitor)),
            ("route", json!(route)),
            ("meta", meta),
        ];
        for (name, document) in files {
            write(&root.join(format!("can_bus/{scene}_{name}.json")), document.to_string().as_bytes())?;
        }
        Ok(())
    }
}

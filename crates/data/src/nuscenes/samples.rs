//! Keyframes as our samples, and the cameras that saw them.
//!
//! The ego frame is that of the pose at the lidar keyframe, seen from above; it sits at the rear axle in nuScenes too.
//! There is no route, so the command follows the published nuScenes planners' rule and is read off the recorded future:
//! 2 m or more to a side at its last known step is a turn to that side. A planner that is given it is told something of the
//! answer; figures on this source say so by its name.

use super::tables::{Annotation, Place};
use super::{CAMERAS, CanBus, EGO_CHANNEL, MapExpansion, NuScenes};
use crate::DataError;
use crate::scenarionet::{Moment, Scene};
use apprentice_core::geometry::{DQuat, DVec2, DVec3};
use apprentice_core::sample::{LightState, SampleId, Tier};
use apprentice_core::trajectory::HORIZON_STEPS;
use apprentice_core::{AgentClass, AgentLabel, Camera, Command, EgoState, Pose2, Sample, Trajectory, wrap_angle};
use std::path::PathBuf;

/// A future further aside than this at its last step is a turn, metres.
const TURN_M: f64 = 2.0;
/// Keyframes further apart than this do not follow each other, seconds.
const LONGEST_STEP_S: f64 = 0.75;

/// One camera's picture at a keyframe.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraFrame {
    /// The camera.
    pub camera: Camera,
    /// The file.
    pub path: PathBuf,
}

/// The detection class of a category, as nuscenes-devkit maps them; most categories of animals, debris and personal
/// mobility have none.
pub fn class_of_category(category: &str) -> Option<AgentClass> {
    Some(match category {
        "movable_object.barrier" => AgentClass::Barrier,
        "vehicle.bicycle" => AgentClass::Bicycle,
        "vehicle.bus.bendy" | "vehicle.bus.rigid" => AgentClass::Bus,
        "vehicle.car" => AgentClass::Car,
        "vehicle.construction" => AgentClass::ConstructionVehicle,
        "vehicle.motorcycle" => AgentClass::Motorcycle,
        "human.pedestrian.adult"
        | "human.pedestrian.child"
        | "human.pedestrian.construction_worker"
        | "human.pedestrian.police_officer" => AgentClass::Pedestrian,
        "movable_object.trafficcone" => AgentClass::TrafficCone,
        "vehicle.trailer" => AgentClass::Trailer,
        "vehicle.truck" => AgentClass::Truck,
        _ => return None,
    })
}

fn quaternion([w, x, y, z]: [f64; 4]) -> DQuat {
    DQuat::from_xyzw(x, y, z, w).normalize()
}

/// Heading of a rotation in the plane, radians.
pub fn yaw_rad(rotation: [f64; 4]) -> f64 {
    let forward = quaternion(rotation) * DVec3::X;
    forward.y.atan2(forward.x)
}

/// A place seen from above.
pub fn pose_in_plane(place: &Place) -> Pose2 {
    Pose2::new(place.translation[0], place.translation[1], yaw_rad(place.rotation))
}

impl NuScenes {
    /// The ego at a sample.
    ///
    /// # Errors
    /// When the sample has no lidar recording, whose pose that is.
    pub fn ego(&self, sample: u32) -> Result<&Place, DataError> {
        let data = self.recording(sample, EGO_CHANNEL).ok_or_else(|| DataError::Table {
            path: self.root().join(self.version()).join("sample_data.json"),
            row: 0,
            field: "sample_token".into(),
            problem: format!(
                "sample `{}` has no keyframe of {EGO_CHANNEL}",
                self.token_text(self.tables.samples[sample as usize].token)
            ),
        })?;
        Ok(&data.ego)
    }

    /// The pictures of a sample's six cameras, as far as there are recordings, in the order of our rigs.
    pub fn cameras(&self, sample: u32) -> Vec<CameraFrame> {
        let frame = |channel: &&str| {
            let data = self.recording(sample, channel)?;
            let mounting = &self.tables.calibrated[data.calibrated as usize];
            let k = mounting.intrinsic?;
            // Camera axes (right, down, forward) in the ego frame.
            let rotation = quaternion(mounting.in_ego.rotation);
            let (right, forward) = (rotation * DVec3::X, rotation * DVec3::Z);
            let (yaw_rad, pitch_rad) = (forward.y.atan2(forward.x), forward.z.clamp(-1.0, 1.0).asin());
            let level = DVec3::new(yaw_rad.sin(), -yaw_rad.cos(), 0.0);
            let roll_rad = right.dot(forward.cross(level)).atan2(right.dot(level));
            let camera = Camera {
                name: (*channel).into(),
                position_in_ego: mounting.in_ego.translation,
                yaw_rad,
                pitch_rad,
                roll_rad,
                width: data.width as usize,
                height: data.height as usize,
                focal: [k[0][0], k[1][1]],
                principal: [k[0][2], k[1][2]],
            };
            Some(CameraFrame { camera, path: self.root().join(&data.filename) })
        };
        CAMERAS.iter().filter_map(frame).collect()
    }

    /// A scene's keyframes as samples. Without its map expansion they have no map; without its CAN bus the ego's motion is
    /// the difference of its poses.
    ///
    /// # Errors
    /// When a keyframe has no pose, or the map or the CAN bus cannot be read.
    pub fn scene(&self, scene: u32) -> Result<Scene, DataError> {
        let row = &self.tables.scenes[scene as usize];
        let location = &self.tables.logs[row.log as usize].location;
        let map = MapExpansion::read(self, location)?;
        let can = CanBus::read(self, &row.name)?;
        let samples: Vec<u32> = self.samples_of(scene).collect();
        let egos: Result<Vec<&Place>, DataError> = samples.iter().map(|&sample| self.ego(sample)).collect();
        let egos = egos?;
        let poses: Vec<Pose2> = egos.iter().map(|place| pose_in_plane(place)).collect();
        let time_us = |at: usize| self.tables.samples[samples[at] as usize].timestamp_us;
        let step_s = |at: usize| time_us(at).abs_diff(time_us(at - 1)) as f64 / 1e6;
        let follows = |at: usize| at > 0 && at < samples.len() && (1e-3..LONGEST_STEP_S).contains(&step_s(at));
        let motion = |at: usize| -> EgoState {
            if let Some(state) = can.as_ref().and_then(|can| can.ego_state(time_us(at))) {
                return state;
            }
            let speed = |at: usize| poses[at - 1].to_local(poses[at].position()).x / step_s(at);
            if !follows(at) {
                return EgoState::default();
            }
            EgoState {
                speed_mps: speed(at) as f32,
                acceleration_mps2: if follows(at - 1) {
                    ((speed(at) - speed(at - 1)) / step_s(at)) as f32
                } else {
                    0.0
                },
                yaw_rate_radps: (wrap_angle(poses[at].yaw_rad - poses[at - 1].yaw_rad) / step_s(at)) as f32,
            }
        };
        let moments = (0..samples.len()).map(|at| {
            let frame = poses[at];
            let known: Vec<DVec2> = (at + 1..=at + HORIZON_STEPS)
                .take_while(|&k| follows(k))
                .map(|k| frame.to_local(poses[k].position()))
                .collect();
            let future =
                Trajectory(std::array::from_fn(|step| known.get(step).map_or([0.0; 2], |p| [p.x as f32, p.y as f32])));
            let aside = known.last().map_or(0.0, |p| p.y);
            let command = match aside {
                y if y >= TURN_M => Command::Left,
                y if y <= -TURN_M => Command::Right,
                _ => Command::Straight,
            };
            let sample = Sample {
                id: SampleId { world: row.name.clone(), index: at as u32 },
                tier: Tier::Common,
                family: location.clone(),
                time_s: time_us(at).saturating_sub(time_us(0)) as f64 / 1e6,
                ego: motion(at),
                command,
                future,
                future_steps: known.len() as u8,
                agents: self.agents(samples[at], egos[at], frame),
                map: map.as_ref().map_or_else(Vec::new, |map| map.labels(frame)),
                light: LightState::None,
                language: Vec::new(),
            };
            let previous = follows(at).then(|| frame.to_local(poses[at - 1].position()).to_array());
            Moment { sample, previous_in_ego: previous }
        });
        Ok(Scene { name: row.name.clone(), place: location.clone(), moments: moments.collect() })
    }

    fn agents(&self, sample: u32, ego: &Place, frame: Pose2) -> Vec<AgentLabel> {
        let label = |(_, annotation): (u32, &Annotation)| {
            let category = self.tables.instances[annotation.instance as usize].category;
            let class = class_of_category(&self.tables.categories[category as usize])?;
            let future: Vec<Pose2> = self
                .ahead(annotation, HORIZON_STEPS)
                .map(|next| frame.pose_to_local(pose_in_plane(&next.place)))
                .collect();
            let center = frame.to_local(DVec2::new(annotation.place.translation[0], annotation.place.translation[1]));
            let [width, length, height] = annotation.size_wlh_m;
            let velocity = self.velocity_mps(annotation).map_or(DVec2::ZERO, DVec2::from_array);
            Some(AgentLabel {
                id: annotation.instance + 1,
                class,
                center_in_ego: [
                    center.x as f32,
                    center.y as f32,
                    (annotation.place.translation[2] - ego.translation[2]) as f32,
                ],
                size_m: [length as f32, width as f32, height as f32],
                yaw_rad: wrap_angle(yaw_rad(annotation.place.rotation) - frame.yaw_rad) as f32,
                velocity_in_ego_mps: [velocity.dot(frame.forward()) as f32, velocity.dot(frame.left()) as f32],
                visible_pixels: 0,
                future_in_ego: std::array::from_fn(|t| future.get(t).map_or([0.0; 2], |p| [p.x as f32, p.y as f32])),
                future_yaw_rad: std::array::from_fn(|t| future.get(t).map_or(0.0, |p| p.yaw_rad as f32)),
                future_steps: future.len() as u8,
            })
        };
        self.boxes(sample).filter_map(label).collect()
    }
}

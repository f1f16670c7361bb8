//! One moment of driving, whatever it was recorded in.

use crate::command::Command;
use crate::trajectory::{HORIZON_STEPS, Trajectory};
use serde::{Deserialize, Serialize};

/// What the ego vehicle knows of its own motion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EgoState {
    /// Forward speed of the rear axle, m/s.
    pub speed_mps: f32,
    /// Forward acceleration, m/s².
    pub acceleration_mps2: f32,
    /// Yaw rate, rad/s, counter-clockwise.
    pub yaw_rate_radps: f32,
}

/// nuScenes' ten detection classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[allow(missing_docs)]
pub enum AgentClass {
    Car,
    Truck,
    ConstructionVehicle,
    Bus,
    Trailer,
    Barrier,
    Motorcycle,
    Bicycle,
    Pedestrian,
    TrafficCone,
}

impl AgentClass {
    /// How many.
    pub const COUNT: usize = 10;
    /// All, in index order.
    pub const ALL: [AgentClass; 10] = [
        Self::Car,
        Self::Truck,
        Self::ConstructionVehicle,
        Self::Bus,
        Self::Trailer,
        Self::Barrier,
        Self::Motorcycle,
        Self::Bicycle,
        Self::Pedestrian,
        Self::TrafficCone,
    ];
    /// nuScenes' spelling.
    pub fn name(self) -> &'static str {
        [
            "car",
            "truck",
            "construction_vehicle",
            "bus",
            "trailer",
            "barrier",
            "motorcycle",
            "bicycle",
            "pedestrian",
            "traffic_cone",
        ][self as usize]
    }
    /// Whether it moves under its own power on wheels.
    pub fn is_vehicle(self) -> bool {
        matches!(
            self,
            Self::Car
                | Self::Truck
                | Self::ConstructionVehicle
                | Self::Bus
                | Self::Trailer
                | Self::Motorcycle
                | Self::Bicycle
        )
    }
}

/// One other road user or object, in the ego frame of the sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentLabel {
    /// Constant within a world.
    pub id: u32,
    /// Class.
    pub class: AgentClass,
    /// Box centre (x, y, z), metres.
    pub center_in_ego: [f32; 3],
    /// Full length, width, height, metres.
    pub size_m: [f32; 3],
    /// Heading in the ego frame, radians.
    pub yaw_rad: f32,
    /// Velocity over ground, along ego-frame axes, m/s.
    pub velocity_in_ego_mps: [f32; 2],
    /// Pixels of it that any camera shows at the labelling resolution (0: hidden or out of view). Perception
    /// targets are the visible ones; scores may use all.
    pub visible_pixels: u32,
    /// Future centres in the ego frame of the sample, every 0.5 s.
    pub future_in_ego: [[f32; 2]; HORIZON_STEPS],
    /// Future headings in the ego frame of the sample.
    pub future_yaw_rad: [f32; HORIZON_STEPS],
    /// How many leading entries of the future are known.
    pub future_steps: u8,
}

/// Kinds of vector-map elements: VAD's three and two that closed loop needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum MapClass {
    /// Paint between lanes.
    Divider,
    /// Pedestrian crossing (closed outline).
    PedCrossing,
    /// Edge of the drivable surface.
    Boundary,
    /// Lane centre line, in driving direction.
    Centerline,
    /// Stop line of a light or sign.
    StopLine,
}

impl MapClass {
    /// How many.
    pub const COUNT: usize = 5;
    /// All, in index order.
    pub const ALL: [MapClass; 5] = [Self::Divider, Self::PedCrossing, Self::Boundary, Self::Centerline, Self::StopLine];
}

/// One map element as a polyline in the ego frame, cut to the label range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapLabel {
    /// Kind.
    pub class: MapClass,
    /// Metres, at least two points.
    pub points_in_ego: Vec<[f32; 2]>,
}

/// The traffic light that governs the ego's route ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[allow(missing_docs)]
pub enum LightState {
    None,
    Green,
    Yellow,
    Red,
}

impl LightState {
    /// How many.
    pub const COUNT: usize = 4;
}

/// How a scenario family is shared out between the data sets (the proving ground's tiers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Driving set, open road and corpus.
    Common,
    /// About 1 % of the driving set; open road; corpus.
    Rare,
    /// Unlabelled for the student; corpus.
    OpenRoad,
    /// Corpus alone.
    TeacherOnly,
    /// Seen by no one in training.
    Novel,
}

impl Tier {
    /// All tiers, from best to least known.
    pub const ALL: [Tier; 5] = [Self::Common, Self::Rare, Self::OpenRoad, Self::TeacherOnly, Self::Novel];
    /// As written in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Common => "common",
            Self::Rare => "rare",
            Self::OpenRoad => "open-road",
            Self::TeacherOnly => "teacher-only",
            Self::Novel => "novel",
        }
    }
}

/// A question about the scene and its true answer, written by the world about itself.
///
/// This is ground truth: it may train a general model and score its answers. Nothing that is read at test
/// time takes this type (see [`crate::driver::Observation`], which has no room for it).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuestionAnswer {
    /// Type of question, such as `light`, `hazard`, `count`, `action`, `reason`; accuracy is logged by type.
    pub kind: String,
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: String,
}

/// Which moment of which world a sample is. Orders and prints as `world#index`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SampleId {
    /// World (or scene) name, unique within a data source.
    pub world: String,
    /// Index of the sample in its world.
    pub index: u32,
}

impl std::fmt::Display for SampleId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.world, self.index)
    }
}

/// One moment of driving. Images are not part of it: a source renders or reads them when they are needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Identity.
    pub id: SampleId,
    /// Tier of its world's scenario family.
    pub tier: Tier,
    /// Scenario family or type, such as `HardBreakRoute`.
    pub family: String,
    /// Seconds since the world began.
    pub time_s: f64,
    /// Ego motion.
    pub ego: EgoState,
    /// From the route ahead.
    pub command: Command,
    /// The expert's (or recorded) future, as far as it is known.
    pub future: Trajectory,
    /// How many leading waypoints of `future` are known: 6 for a full label.
    pub future_steps: u8,
    /// Other road users and objects.
    pub agents: Vec<AgentLabel>,
    /// Vector map around the ego.
    pub map: Vec<MapLabel>,
    /// The light that governs the ego.
    pub light: LightState,
    /// Questions and true answers (empty where the split gives none).
    pub language: Vec<QuestionAnswer>,
}

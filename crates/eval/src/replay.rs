//! The plain data of a replay: what the closed loop records of an episode and the report shows. World frame and
//! metres throughout (x, y as on the map, y up), except plans, which are in the ego frame of their moment.

use apprentice_core::{AgentClass, Command, Control, Image, Pose2, Trajectory};
use serde::{Deserialize, Serialize};

/// One episode, ready to be shown.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Route or world name; names the file.
    pub route: String,
    /// Town or map.
    pub town: String,
    /// Scenario type or family.
    pub scenario: String,
    /// Name of the driver.
    pub driver: String,
    /// Seed of the episode.
    pub seed: u64,
    /// Bench2Drive's status words, such as `Completed`.
    pub status: String,
    /// Route completion, percent.
    pub score_route: f64,
    /// Product of the infraction factors.
    pub score_penalty: f64,
    /// Driving score of the episode, percent.
    pub score_composed: f64,
    /// Names of the cameras, in the order of [`ReplayFrame::images`].
    pub cameras: Vec<String>,
    /// The road around the route, for the bird's-eye view.
    pub map: Vec<MapStroke>,
    /// The route to follow.
    pub route_points: Vec<[f64; 2]>,
    /// Ego length and width, metres, and the distance from the rear axle forward to the box centre.
    pub ego: EgoShape,
    /// Moments in order of time.
    pub frames: Vec<ReplayFrame>,
    /// Infractions and other marks on the time line.
    pub events: Vec<ReplayEvent>,
}

/// The ego's footprint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EgoShape {
    /// Metres.
    pub length_m: f64,
    /// Metres.
    pub width_m: f64,
    /// From the rear axle forward to the centre of the box, metres.
    pub axle_to_center_m: f64,
}

impl Default for EgoShape {
    /// CARLA's lincoln.mkz_2020, as everywhere in this project.
    fn default() -> Self {
        Self { length_m: 4.892, width_m: 1.837, axle_to_center_m: apprentice_core::camera::REAR_AXLE_TO_CENTER_M }
    }
}

/// How a map line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrokeKind {
    /// A filled piece of drivable surface (closed outline).
    Surface,
    /// A filled piece of pavement or verge (closed outline).
    Sidewalk,
    /// Edge of the drivable surface.
    Boundary,
    /// Unbroken paint.
    Solid,
    /// Broken paint.
    Broken,
    /// Stop line.
    StopLine,
    /// Pedestrian crossing (closed outline).
    Crossing,
    /// A building's outline (closed).
    Building,
}

/// A line or outline of the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapStroke {
    /// What it is.
    pub kind: StrokeKind,
    /// World frame.
    pub points: Vec<[f64; 2]>,
}

/// One moment.
#[derive(Clone, Debug)]
pub struct ReplayFrame {
    /// Seconds since the episode began.
    pub time_s: f64,
    /// Rear axle of the ego, world frame.
    pub ego_in_world: Pose2,
    /// m/s.
    pub speed_mps: f64,
    /// What the controller asked for.
    pub control: Control,
    /// What the route asks for next.
    pub command: Command,
    /// The plan in force, in the ego frame of the moment it was made.
    pub plan: Option<ReplayPlan>,
    /// Everyone else near the ego.
    pub actors: Vec<ReplayActor>,
    /// Traffic lights near the ego.
    pub lights: Vec<ReplayLight>,
    /// One image per camera, or none at all: the last images then stay on the screen.
    pub images: Vec<Image>,
    /// A remark for this moment, such as the driver's answer to a question; empty for none.
    pub note: String,
}

/// A plan and where it was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReplayPlan {
    /// Rear axle of the ego when the plan was made, world frame.
    pub ego_in_world: Pose2,
    /// The waypoints.
    pub trajectory: Trajectory,
}

/// One other road user or object at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayActor {
    /// Constant within the episode.
    pub id: u32,
    /// Class, for the colour.
    pub class: AgentClass,
    /// Box centre, world frame.
    pub pose_in_world: Pose2,
    /// Length, metres.
    pub length_m: f64,
    /// Width, metres.
    pub width_m: f64,
    /// m/s along its heading.
    pub speed_mps: f64,
    /// Whether brake lamps are lit.
    pub braking: bool,
    /// Whether the scenario put it there.
    pub scripted: bool,
}

/// Colour of a light.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum LightColor {
    Green,
    Yellow,
    Red,
    Off,
}

/// A traffic light at one moment, drawn at its stop line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayLight {
    /// Middle of the stop line (or the post), world frame.
    pub position: [f64; 2],
    /// What it shows.
    pub color: LightColor,
}

/// What kind of mark an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Counts against the score.
    Infraction,
    /// The scenario was triggered.
    Scenario,
    /// Anything else worth a mark.
    Note,
}

/// A mark on the time line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayEvent {
    /// Seconds since the episode began.
    pub time_s: f64,
    /// Kind.
    pub kind: EventKind,
    /// Text, as in the result file.
    pub text: String,
    /// Where, world frame, when it has a place.
    pub position: Option<[f64; 2]>,
}

//! What a closed-loop run is made with, and the jobs it consists of.

use crate::error::DriveError;
use apprentice_core::{BoxedError, Driver, Pose2};
use apprentice_road::{RoadNetwork, Route};
use apprentice_sim::routes::RouteSpec;
use apprentice_sim::state::Weather;
use apprentice_sim::{ExpertMode, ScenarioSpec, WorldConfig};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// A planned way longer than this many times the distance along the route's points (plus 30 m) is another route.
const LONGEST_SHARE: f64 = 1.5;

/// Who drives.
pub enum Pilot {
    /// The rule-based expert; it looks at the world itself.
    Expert(ExpertMode),
    /// The expert's three-second intentions, driven by the waypoint controller as a student's plans are: what a student
    /// that planned like the expert would reach.
    ExpertPlans(ExpertMode),
    /// Anything that plans from what a car can see; its plans go through the waypoint controller.
    Driver(Box<dyn Driver>),
}

impl Pilot {
    /// Name for tables.
    pub fn name(&self) -> String {
        match self {
            Self::Expert(ExpertMode::VisibleOnly) => "expert".into(),
            Self::Expert(ExpertMode::Privileged) => "expert-privileged".into(),
            Self::ExpertPlans(ExpertMode::VisibleOnly) => "expert-plans".into(),
            Self::ExpertPlans(ExpertMode::Privileged) => "expert-plans-privileged".into(),
            Self::Driver(driver) => driver.name().into(),
        }
    }
}

/// Makes pilots, one per worker: what they need to share (weights) is shared by the maker.
pub type MakePilot<'a> = dyn Fn() -> Result<Pilot, BoxedError> + Sync + 'a;

/// How the loop runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoopConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Plans (and camera frames) per second: a divisor of 20. Control and physics run at 20 Hz.
    pub plan_hz: u32,
    /// Ordinary vehicles kept around the ego.
    pub vehicles: usize,
    /// Ordinary pedestrians kept around the ego.
    pub pedestrians: usize,
}

impl Default for LoopConfig {
    fn default() -> Self {
        Self { seed: 0, plan_hz: 10, vehicles: 14, pedestrians: 6 }
    }
}

impl LoopConfig {
    /// Ticks between plans.
    ///
    /// # Errors
    /// When `plan_hz` does not divide 20.
    pub fn ticks_per_plan(&self) -> Result<u32, DriveError> {
        match self.plan_hz {
            hz @ (1 | 2 | 4 | 5 | 10 | 20) => Ok(20 / hz),
            other => Err(DriveError::Setting {
                field: "plan_hz",
                expected: "1, 2, 4, 5, 10 or 20",
                found: other.to_string(),
            }),
        }
    }
}

/// A run over a route file.
#[derive(Clone, Debug, PartialEq)]
pub struct DriveConfig {
    /// Folder searched for `<town>.xodr`, also below.
    pub maps: PathBuf,
    /// The route file.
    pub routes: PathBuf,
    /// Only these route ids, when given.
    pub only: Option<Vec<String>>,
    /// At most this many of the routes that can be driven, in the file's order; the others are listed as skipped.
    pub limit: Option<usize>,
    /// How the loop runs.
    pub run: LoopConfig,
    /// Worker threads; 0 asks the machine.
    pub threads: usize,
    /// Where result files and the journal go. Without it nothing is written and nothing resumes.
    pub out: Option<PathBuf>,
    /// What goes into replays; `None` records none.
    pub replay: Option<ReplayConfig>,
}

/// What a replay holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayConfig {
    /// Ticks between frames.
    pub ticks_per_frame: u32,
    /// Width and height of the pictures when the driver has no cameras of its own (or only tiny ones); `None` leaves
    /// pictures out then.
    pub image_size: Option<(usize, usize)>,
    /// At most so many routes get a replay, in the file's order; 0 for all.
    pub at_most: usize,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self { ticks_per_frame: 4, image_size: Some((256, 144)), at_most: 0 }
    }
}

/// One episode to drive.
#[derive(Clone)]
pub struct Job {
    /// Route or world id.
    pub id: String,
    /// Town name.
    pub town: String,
    /// Name of the main scenario, such as `Accident_1`.
    pub scenario: String,
    /// The map.
    pub net: Arc<RoadNetwork>,
    /// The planned route.
    pub route: Arc<Route>,
    /// The world's configuration.
    pub world: WorldConfig,
    /// What happens.
    pub scenarios: Vec<ScenarioSpec>,
    /// Weather keyframes over the route (percent).
    pub weather: Vec<(f32, Weather)>,
    /// Rear axle and speed of the ego at the beginning; at rest at the head of the route without.
    pub start: Option<(Pose2, f64)>,
}

impl Job {
    /// Plan a route of a route file on its map.
    ///
    /// # Errors
    /// The reason, when no way leads along the route's points, or only a way round that is another route (a map whose
    /// junctions are not all connected).
    pub fn new(spec: &RouteSpec, net: Arc<RoadNetwork>, run: &LoopConfig) -> Result<Self, String> {
        let route = Arc::new(Route::plan(&net, &spec.waypoints).map_err(|e| e.to_string())?);
        let straight_m: f64 = spec.waypoints.windows(2).map(|w| w[0].distance(w[1])).sum();
        if route.length_m > LONGEST_SHARE * straight_m + 30.0 {
            return Err(format!(
                "the map leads {:.0} m round where the route's points are {straight_m:.0} m apart",
                route.length_m
            ));
        }
        let mut key = vec![run.seed];
        key.extend(spec.id.bytes().map(u64::from));
        let world = WorldConfig {
            seed: apprentice_core::Rng::new(&key).next_u64(),
            weather: spec.weather_at(0.0),
            vehicles: run.vehicles,
            pedestrians: run.pedestrians,
            ..WorldConfig::default()
        };
        Ok(Self {
            id: spec.id.clone(),
            town: spec.town.clone(),
            scenario: spec.scenario_name().into(),
            net,
            route,
            world,
            scenarios: spec.scenarios.clone(),
            weather: spec.weather.clone(),
            start: None,
        })
    }
}

//! The world's public state: all that cameras, labels and replays may know of a moment.

use apprentice_core::{Pose2, sample::AgentClass};
use serde::{Deserialize, Serialize};

/// Ticks per second.
pub const TICK_HZ: f64 = 20.0;
/// Seconds per tick.
pub const TICK_S: f64 = 1.0 / TICK_HZ;

/// What an actor looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum ActorKind {
    Car,
    Van,
    Truck,
    Bus,
    Police,
    Ambulance,
    Motorcycle,
    Bicycle,
    Pedestrian,
    Child,
    Cone,
    Barrier,
    /// A trailer-mounted or standing traffic warning.
    WarningSign,
    /// Box-like props that may hide somebody: containers, vending machines, bus shelters, billboards.
    Container,
    Advertisement,
    /// Flat rubbish on the road.
    Debris,
}

impl ActorKind {
    /// nuScenes class for labels; props that are none of the ten classes count as barriers.
    pub fn class(self) -> AgentClass {
        match self {
            Self::Car | Self::Police => AgentClass::Car,
            Self::Van | Self::Truck | Self::Ambulance => AgentClass::Truck,
            Self::Bus => AgentClass::Bus,
            Self::Motorcycle => AgentClass::Motorcycle,
            Self::Bicycle => AgentClass::Bicycle,
            Self::Pedestrian | Self::Child => AgentClass::Pedestrian,
            Self::Cone => AgentClass::TrafficCone,
            Self::Barrier | Self::WarningSign | Self::Container | Self::Advertisement | Self::Debris => {
                AgentClass::Barrier
            }
        }
    }

    /// Typical full length, width, height, metres.
    pub fn size_m(self) -> [f32; 3] {
        match self {
            Self::Car => [4.6, 1.85, 1.5],
            Self::Police => [4.9, 1.95, 1.55],
            Self::Van => [5.4, 2.0, 2.2],
            Self::Ambulance => [6.3, 2.3, 2.6],
            Self::Truck => [8.2, 2.5, 3.3],
            Self::Bus => [11.0, 2.55, 3.2],
            Self::Motorcycle => [2.2, 0.8, 1.55],
            Self::Bicycle => [1.8, 0.6, 1.65],
            Self::Pedestrian => [0.5, 0.55, 1.75],
            Self::Child => [0.4, 0.45, 1.2],
            Self::Cone => [0.35, 0.35, 0.7],
            Self::Barrier => [0.5, 1.8, 1.0],
            Self::WarningSign => [1.6, 1.9, 2.3],
            Self::Container => [2.4, 1.6, 2.0],
            Self::Advertisement => [0.6, 1.6, 2.4],
            Self::Debris => [1.2, 1.2, 0.2],
        }
    }

    /// Whether it can move under its own power on wheels.
    pub fn is_vehicle(self) -> bool {
        matches!(
            self,
            Self::Car
                | Self::Van
                | Self::Truck
                | Self::Bus
                | Self::Police
                | Self::Ambulance
                | Self::Motorcycle
                | Self::Bicycle
        )
    }

    /// Whether it walks.
    pub fn is_pedestrian(self) -> bool {
        matches!(self, Self::Pedestrian | Self::Child)
    }
}

/// Lamps and doors: they carry the scenario's information, so cameras must show them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lamps(pub u8);

#[allow(missing_docs)]
impl Lamps {
    pub const BRAKE: u8 = 1;
    pub const LEFT: u8 = 2;
    pub const RIGHT: u8 = 4;
    /// Blinking blue.
    pub const EMERGENCY: u8 = 8;
    pub const DOOR_LEFT: u8 = 16;
    pub const DOOR_RIGHT: u8 = 32;
    pub const HEADLIGHTS: u8 = 64;
    /// Whether a lamp is on.
    pub fn has(self, lamp: u8) -> bool {
        self.0 & lamp != 0
    }
}

/// One actor at one tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActorState {
    /// Constant within a world, never 0 (0 is the ego in event records).
    pub id: u32,
    /// Looks.
    pub kind: ActorKind,
    /// Box centre in the plane, world frame.
    pub pose_in_world: Pose2,
    /// Height of the ground under it, metres.
    pub ground_z_m: f32,
    /// Full length, width, height, metres.
    pub size_m: [f32; 3],
    /// Along its heading, m/s.
    pub speed_mps: f32,
    /// Lamps and doors. Blinking is already applied: a lamp is on or off at this tick.
    pub lamps: Lamps,
    /// Index into the renderer's paint palette.
    pub paint: u8,
    /// Walking phase in radians (pedestrians, cyclists).
    pub gait_rad: f32,
}

impl ActorState {
    /// Footprint in the world frame.
    pub fn footprint(&self) -> apprentice_core::OrientedBox {
        apprentice_core::OrientedBox {
            center: self.pose_in_world,
            length_m: self.size_m[0].into(),
            width_m: self.size_m[1].into(),
        }
    }
}

/// The ego vehicle at one tick. CARLA's lincoln.mkz_2020 by default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EgoVehicle {
    /// Rear axle, world frame.
    pub pose_in_world: Pose2,
    /// Height of the ground under it, metres.
    pub ground_z_m: f32,
    /// Slope of the road along the heading, radians, up.
    pub pitch_rad: f32,
    /// m/s, along the heading, at the rear axle.
    pub speed_mps: f64,
    /// m/s².
    pub acceleration_mps2: f64,
    /// rad/s.
    pub yaw_rate_radps: f64,
}

/// Ego length and width, metres (CARLA's lincoln.mkz_2020).
pub const EGO_SIZE_M: [f64; 3] = [4.892, 1.837, 1.49];

impl EgoVehicle {
    /// Footprint in the world frame.
    pub fn footprint(&self) -> apprentice_core::OrientedBox {
        apprentice_core::OrientedBox {
            center: self.pose_in_world.offset(apprentice_core::camera::REAR_AXLE_TO_CENTER_M, 0.0),
            length_m: EGO_SIZE_M[0],
            width_m: EGO_SIZE_M[1],
        }
    }
}

/// Whether two things stand on the same road, not one on a bridge above the other.
pub fn same_level(ground_z_m: f32, other_z_m: f32) -> bool {
    (ground_z_m - other_z_m).abs() < 3.0
}

/// Aspect of a traffic light.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum LightAspect {
    Green,
    Yellow,
    Red,
    Off,
}

/// Weather, in CARLA's terms and ranges (percent and degrees).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Weather {
    pub cloudiness: f32,
    pub precipitation: f32,
    pub wetness: f32,
    pub fog_density: f32,
    pub sun_azimuth_deg: f32,
    /// Negative: night.
    pub sun_altitude_deg: f32,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            cloudiness: 10.0,
            precipitation: 0.0,
            wetness: 0.0,
            fog_density: 2.0,
            sun_azimuth_deg: 30.0,
            sun_altitude_deg: 50.0,
        }
    }
}

/// A moment of a world: everything a camera can see, nothing it cannot derive from the town.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Ticks since the world began.
    pub tick: u32,
    /// The ego.
    pub ego: EgoVehicle,
    /// Everyone and everything else, ordered by id.
    pub actors: Vec<ActorState>,
    /// Aspect of each traffic light, indexed like `RoadNetwork::signals` (signs are `Off`).
    pub lights: Vec<LightAspect>,
    /// Weather now.
    pub weather: Weather,
}

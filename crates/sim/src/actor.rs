//! Actors: everyone and everything but the ego, and how they behave.

use crate::state::{ActorKind, ActorState, Lamps};
use apprentice_core::geometry::DVec2;
use apprentice_core::{OrientedBox, Pose2, wrap_angle};
use apprentice_road::LaneId;

/// Who put an actor into the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Ordinary traffic; it may leave the world when it is far from the ego.
    Background,
    /// A parked vehicle of the street scene; it too may leave when far away.
    Street,
    /// Placed by a scenario, which also takes it away.
    Scenario,
}

/// How an actor moves.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Not at all.
    Parked,
    /// Along the lanes, as a driver who keeps the rules (or some of them).
    Lane(LaneFollowing),
    /// Along a given path with given speeds, whatever stands in the way.
    Scripted(Scripted),
    /// On foot along a path.
    Walk(Walk),
}

/// A driver: the Intelligent Driver Model (Treiber, Hennecke and Helbing 2000) along lanes, with lane changes after
/// MOBIL (Kesting, Treiber and Helbing 2007), lights, signs and junction priority.
#[derive(Clone, Debug)]
pub struct LaneFollowing {
    /// Wanted speed, m/s; `None` is the lane's limit times `speed_factor`.
    pub target_speed_mps: Option<f64>,
    /// Share of the speed limit driven when `target_speed_mps` is `None`.
    pub speed_factor: f64,
    /// IDM's T, seconds.
    pub time_gap_s: f64,
    /// IDM's s₀, metres.
    pub min_gap_m: f64,
    /// IDM's a, m/s².
    pub max_acceleration_mps2: f64,
    /// IDM's b, m/s².
    pub comfortable_braking_mps2: f64,
    /// Drive through red lights.
    pub ignore_lights: bool,
    /// Enter junctions without giving way (lights are the switch above).
    pub ignore_priority: bool,
    /// Drive as if the ego were not there.
    pub ignore_ego: bool,
    /// Drive as if nobody were there.
    pub ignore_others: bool,
    /// Wanted place left of the centre line, metres.
    pub lateral_offset_m: f64,
    /// Change lanes of one's own accord.
    pub lane_changes: bool,
    /// Brake with this deceleration (m/s²) whatever the rest says, while set.
    pub brake_mps2: Option<f64>,
    /// Lanes to take next, in order, before choosing by oneself.
    pub route: Vec<LaneId>,
    /// Leave the world after this much driving, metres.
    pub despawn_after_m: Option<f64>,
}

impl Default for LaneFollowing {
    fn default() -> Self {
        Self {
            target_speed_mps: None,
            speed_factor: 0.9,
            time_gap_s: 1.2,
            min_gap_m: 2.5,
            max_acceleration_mps2: 2.0,
            comfortable_braking_mps2: 2.5,
            ignore_lights: false,
            ignore_priority: false,
            ignore_ego: false,
            ignore_others: false,
            lateral_offset_m: 0.0,
            lane_changes: false,
            brake_mps2: None,
            route: Vec::new(),
            despawn_after_m: None,
        }
    }
}

impl LaneFollowing {
    /// The default driver at a wanted speed.
    pub fn at(target_speed_mps: f64) -> Self {
        Self { target_speed_mps: Some(target_speed_mps), ..Self::default() }
    }
}

/// What a scripted or walking actor does where its path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    /// Stands still there.
    Stay,
    /// Leaves the world.
    Despawn,
    /// Walks or drives the path back.
    Return,
}

/// Points with distance along them.
#[derive(Clone, Debug, Default)]
pub struct Polyline {
    points: Vec<DVec2>,
    s_m: Vec<f64>,
}

impl Polyline {
    /// From points; consecutive ones closer than 1 mm are merged.
    pub fn new(points: impl IntoIterator<Item = DVec2>) -> Self {
        let mut line = Self::default();
        for p in points {
            match line.points.last() {
                Some(&last) if (p - last).length() < 1e-3 => {}
                Some(&last) => {
                    line.s_m.push(line.length_m() + (p - last).length());
                    line.points.push(p);
                }
                None => {
                    line.points.push(p);
                    line.s_m.push(0.0);
                }
            }
        }
        line
    }

    /// Metres.
    pub fn length_m(&self) -> f64 {
        self.s_m.last().copied().unwrap_or(0.0)
    }

    /// Its points.
    pub fn points(&self) -> &[DVec2] {
        &self.points
    }

    /// Pose at a distance along it, clamped to its ends.
    pub fn at(&self, s_m: f64) -> Pose2 {
        match self.points.len() {
            0 => Pose2::default(),
            1 => Pose2::new(self.points[0].x, self.points[0].y, 0.0),
            n => {
                let i = self.s_m.partition_point(|&s| s <= s_m).clamp(1, n - 1) - 1;
                let d = self.points[i + 1] - self.points[i];
                let length = self.s_m[i + 1] - self.s_m[i];
                let p = self.points[i] + d * ((s_m - self.s_m[i]) / length).clamp(0.0, 1.0);
                Pose2::new(p.x, p.y, d.y.atan2(d.x))
            }
        }
    }
}

/// A path driven by script.
#[derive(Clone, Debug)]
pub struct Scripted {
    /// Where.
    pub path: Polyline,
    /// Distance along it, metres.
    pub s_m: f64,
    /// Speed wanted now, m/s.
    pub target_speed_mps: f64,
    /// How fast it is reached, m/s².
    pub acceleration_mps2: f64,
    /// How fast it slows down, m/s².
    pub braking_mps2: f64,
    /// Speeds to want from places on: (metres along the path, m/s), ascending.
    pub profile: Vec<(f64, f64)>,
    /// Afterwards.
    pub at_end: AtEnd,
    /// Brake for what stands right ahead (a careful actor).
    pub careful: bool,
}

impl Scripted {
    /// A path at one speed from its beginning, staying at its end.
    pub fn new(points: impl IntoIterator<Item = DVec2>, target_speed_mps: f64) -> Self {
        Self {
            path: Polyline::new(points),
            s_m: 0.0,
            target_speed_mps,
            acceleration_mps2: 3.0,
            braking_mps2: 6.0,
            profile: Vec::new(),
            at_end: AtEnd::Stay,
            careful: false,
        }
    }

    /// Whether the end is reached.
    pub fn finished(&self) -> bool {
        self.s_m >= self.path.length_m() - 1e-6
    }
}

/// A path on foot.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Where.
    pub path: Polyline,
    /// Distance along it, metres.
    pub s_m: f64,
    /// m/s.
    pub speed_mps: f64,
    /// Stand still for this long first, seconds.
    pub wait_s: f64,
    /// Stretches of the path that lie on a road (from, to, metres along it): wait before each until traffic leaves a
    /// gap.
    pub roads_m: Vec<(f64, f64)>,
    /// Afterwards.
    pub at_end: AtEnd,
}

impl Walk {
    /// A path at one speed, at once, staying at its end.
    pub fn new(points: impl IntoIterator<Item = DVec2>, speed_mps: f64) -> Self {
        Self { path: Polyline::new(points), s_m: 0.0, speed_mps, wait_s: 0.0, roads_m: Vec::new(), at_end: AtEnd::Stay }
    }

    /// Whether the end is reached.
    pub fn finished(&self) -> bool {
        self.s_m >= self.path.length_m() - 1e-6
    }
}

/// Where a lane-following actor is on the lanes. The world keeps it.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnLanes {
    /// Its box centre's lane; `None` until it was found.
    pub lane: Option<LaneId>,
    /// Box centre along the lane, metres.
    pub s_m: f64,
    /// Left of the centre line, metres.
    pub lateral_m: f64,
    /// m/s to the left.
    pub lateral_rate_mps: f64,
    /// Lanes to come.
    pub next: Vec<LaneId>,
    /// Lanes left behind, latest first.
    pub trail: [Option<LaneId>; 3],
    /// The lane it is leaving sideways, until it is out of it.
    pub leaving: Option<LaneId>,
    /// Right to be in a junction: order of admission and the first lane inside. Two, since the tail may still be in
    /// one junction when the nose enters the next.
    pub tickets: [Option<(u64, LaneId)>; 2],
    /// Ticks spent standing at the line.
    pub waited: u32,
    /// Whether it has come to rest for the stop sign ahead.
    pub stopped_at_sign: bool,
    /// Lanes chosen so far (a counter for the random stream).
    pub choices: u64,
    /// Metres driven.
    pub driven_m: f64,
    /// Ticks until it may think about changing lanes again.
    pub change_rest: u32,
    /// 1 while changing to the left, -1 to the right.
    pub changing: i8,
    /// Lanes that an actor which does not follow lanes stands on, and where it was when they were found.
    pub touching: Vec<crate::traffic::Entry>,
    pub touched_at: Option<Pose2>,
}

impl OnLanes {
    /// The ticket for the junction that begins with a lane.
    pub fn ticket_for(&self, entry: LaneId) -> Option<(u64, LaneId)> {
        self.tickets.iter().flatten().find(|(_, lane)| *lane == entry).copied()
    }
}

/// One actor.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Its public state: what cameras and labels see.
    pub state: ActorState,
    /// Who put it there.
    pub role: Role,
    /// How it moves. A change takes effect at the next tick.
    pub behaviour: Behaviour,
    /// m/s², along its heading.
    pub acceleration_mps2: f64,
    /// Turn rate, rad/s.
    pub yaw_rate_radps: f64,
    /// Lamps and doors a scenario holds on (hazard lights are `LEFT | RIGHT`). They blink as they should.
    pub held_lamps: Lamps,
    pub(crate) on_lanes: OnLanes,
}

impl Actor {
    /// Its box.
    pub fn footprint(&self) -> OrientedBox {
        self.state.footprint()
    }
    /// Box centre and heading.
    pub fn pose(&self) -> Pose2 {
        self.state.pose_in_world
    }
    /// m/s along its heading.
    pub fn speed_mps(&self) -> f64 {
        f64::from(self.state.speed_mps)
    }
    /// Velocity in the world frame, m/s.
    pub fn velocity(&self) -> DVec2 {
        self.pose().forward() * self.speed_mps()
    }
    /// The lane it follows, and how far along it is.
    pub fn lane(&self) -> Option<(LaneId, f64)> {
        self.on_lanes.lane.map(|lane| (lane, self.on_lanes.s_m))
    }
    /// The lanes it means to take next.
    pub fn next_lanes(&self) -> &[LaneId] {
        &self.on_lanes.next
    }
    /// Its driver, if it follows lanes.
    pub fn driver_mut(&mut self) -> Option<&mut LaneFollowing> {
        match &mut self.behaviour {
            Behaviour::Lane(driver) => Some(driver),
            _ => None,
        }
    }
    /// Whether its path or walk has come to its end.
    pub fn finished(&self) -> bool {
        match &self.behaviour {
            Behaviour::Scripted(script) => script.finished(),
            Behaviour::Walk(walk) => walk.finished(),
            Behaviour::Parked | Behaviour::Lane(_) => false,
        }
    }
    /// Where it will be if it keeps its speed and turn rate.
    pub fn forecast(&self, after_s: f64) -> Pose2 {
        let pose = self.pose();
        let turn = self.yaw_rate_radps * after_s;
        let heading = pose.yaw_rad + turn / 2.0;
        let distance = self.speed_mps() * after_s;
        Pose2::new(
            pose.x + distance * heading.cos(),
            pose.y + distance * heading.sin(),
            wrap_angle(pose.yaw_rad + turn),
        )
    }
    /// Whether it is a person or a vehicle rather than a thing.
    pub fn is_road_user(&self) -> bool {
        self.state.kind.is_vehicle() || self.state.kind.is_pedestrian()
    }
    pub(crate) fn new(id: u32, kind: ActorKind, pose: Pose2, role: Role, behaviour: Behaviour, paint: u8) -> Self {
        Self {
            state: ActorState {
                id,
                kind,
                pose_in_world: pose,
                ground_z_m: 0.0,
                size_m: kind.size_m(),
                speed_mps: 0.0,
                lamps: Lamps::default(),
                paint,
                gait_rad: 0.0,
            },
            role,
            behaviour,
            acceleration_mps2: 0.0,
            yaw_rate_radps: 0.0,
            held_lamps: Lamps::default(),
            on_lanes: OnLanes::default(),
        }
    }
}

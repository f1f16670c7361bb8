//! Bench2Drive's waypoint controller (its `PIDController`, which goes back to TCP's): two PIDs at 20 Hz turn a
//! trajectory of six waypoints into throttle, steering and brake.
//!
//! The reference works on waypoints in the frame of the vehicle, x to the right and y forward, 0.5 s apart:
//! * wanted speed = 2 · mean of the midpoint-free point distances |wᵢ₊₁ − wᵢ|, since 1 m per half second is 2 m/s;
//! * aim = the midpoint of consecutive waypoints whose distance from the car is nearest to 4 m;
//! * angle to the aim, in units of 90°, is the error of the turn PID; with a target point given, the smaller of the two
//!   angles counts, and the target's also where the waypoints bend by more than 0.3 units in the end while the
//!   target is nearer than 10 m;
//! * brake if the wanted speed is below 0.4 m/s or the car is 1.1 times as fast as wanted;
//! * the speed PID's error is clipped to 0.25 m/s, its output to 0.75.
//!
//! Steering is right positive, as in CARLA.

use crate::state::EGO_SIZE_M;
use apprentice_core::geometry::DVec2;
use apprentice_core::{Control, Trajectory};

/// The gains and limits of the controller.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct PidConfig {
    pub turn_kp: f64,
    pub turn_ki: f64,
    pub turn_kd: f64,
    pub turn_window: usize,
    pub speed_kp: f64,
    pub speed_ki: f64,
    pub speed_kd: f64,
    pub speed_window: usize,
    pub max_throttle: f64,
    pub brake_speed_mps: f64,
    pub brake_ratio: f64,
    pub clip_delta_mps: f64,
    pub aim_distance_m: f64,
    pub angle_threshold: f64,
    pub target_distance_m: f64,
}

impl Default for PidConfig {
    fn default() -> Self {
        Self {
            turn_kp: 0.75,
            turn_ki: 0.75,
            turn_kd: 0.3,
            turn_window: 40,
            speed_kp: 5.0,
            speed_ki: 0.5,
            speed_kd: 1.0,
            speed_window: 40,
            max_throttle: 0.75,
            brake_speed_mps: 0.4,
            brake_ratio: 1.1,
            clip_delta_mps: 0.25,
            aim_distance_m: 4.0,
            angle_threshold: 0.3,
            target_distance_m: 10.0,
        }
    }
}

/// Proportional, mean-over-a-window and last-difference terms.
#[derive(Clone, Debug)]
struct Pid {
    gains: [f64; 3],
    window: Vec<f64>,
    cursor: usize,
    last: f64,
}

impl Pid {
    fn new(gains: [f64; 3], window: usize) -> Self {
        // The reference starts with a window full of zeros.
        Self { gains, window: vec![0.0; window.max(1)], cursor: 0, last: 0.0 }
    }

    fn step(&mut self, error: f64) -> f64 {
        self.window[self.cursor] = error;
        self.cursor = (self.cursor + 1) % self.window.len();
        let integral = self.window.iter().sum::<f64>() / self.window.len() as f64;
        let derivative = error - self.last;
        self.last = error;
        self.gains[0] * error + self.gains[1] * integral + self.gains[2] * derivative
    }
}

/// The controller with its memory.
#[derive(Clone, Debug)]
pub struct WaypointPid {
    config: PidConfig,
    turn: Pid,
    speed: Pid,
}

impl Default for WaypointPid {
    fn default() -> Self {
        Self::new(PidConfig::default())
    }
}

impl WaypointPid {
    /// A controller at rest.
    pub fn new(config: PidConfig) -> Self {
        Self {
            turn: Pid::new([config.turn_kp, config.turn_ki, config.turn_kd], config.turn_window),
            speed: Pid::new([config.speed_kp, config.speed_ki, config.speed_kd], config.speed_window),
            config,
        }
    }

    /// Forget everything.
    pub fn reset(&mut self) {
        *self = Self::new(self.config);
    }

    /// Control for one tick: the plan (rear-axle frame), the speed, and the next target point of the route in the ego
    /// frame where one is used.
    ///
    /// The reference measures from the vehicle's centre; a trajectory of the rear axle in the rear-axle frame has the
    /// same shape, so it is used as it is.
    pub fn control(&mut self, trajectory: &Trajectory, speed_mps: f64, target_in_ego: Option<DVec2>) -> Control {
        let config = &self.config;
        let waypoints = trajectory.0.map(|[x, y]| DVec2::new(x.into(), y.into()));
        let mut desired = 0.0;
        let mut aim = waypoints[0];
        let mut best = f64::INFINITY;
        for pair in waypoints.windows(2) {
            desired += (pair[1] - pair[0]).length() * 2.0 / (waypoints.len() - 1) as f64;
            let distance = ((pair[1] + pair[0]) / 2.0).length();
            if (config.aim_distance_m - best).abs() > (config.aim_distance_m - distance).abs() {
                (aim, best) = (pair[0], distance);
            }
        }
        let last = waypoints[waypoints.len() - 1] - waypoints[waypoints.len() - 2];
        // Right positive, in units of a right angle.
        let angle = |v: DVec2| {
            if v.length_squared() < 1e-12 { 0.0 } else { (-v.y).atan2(v.x) / std::f64::consts::FRAC_PI_2 }
        };
        let (angle_aim, angle_last) = (angle(aim), angle(last));
        let use_target = target_in_ego.is_some_and(|target| {
            let angle_target = angle(target);
            angle_target.abs() < angle_aim.abs()
                || ((angle_target - angle_last).abs() > config.angle_threshold && target.x < config.target_distance_m)
        });
        let mut error = match target_in_ego {
            Some(target) if use_target => angle(target),
            _ => angle_aim,
        };
        let brake = desired < config.brake_speed_mps || speed_mps > config.brake_ratio * desired;
        if speed_mps < 0.01 {
            error = 0.0;
        }
        let steer = self.turn.step(error).clamp(-1.0, 1.0);
        let delta = (desired - speed_mps).clamp(0.0, config.clip_delta_mps);
        let throttle = self.speed.step(delta).clamp(0.0, config.max_throttle);
        Control { throttle: if brake { 0.0 } else { throttle }, steer, brake: f64::from(u8::from(brake)) }
    }
}

/// Half the ego's length: the distance PID users keep from what they stop for.
pub const EGO_HALF_LENGTH_M: f64 = EGO_SIZE_M[0] / 2.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brakes_when_the_plan_stands_and_speeds_up_when_it_leads() {
        let mut pid = WaypointPid::default();
        let stop = pid.control(&Trajectory::default(), 3.0, None);
        assert_eq!((stop.brake, stop.throttle), (1.0, 0.0));
        let mut pid = WaypointPid::default();
        let go = pid.control(&Trajectory::constant_speed(8.0), 5.0, None);
        assert_eq!((go.brake, go.throttle), (0.0, 0.75));
        assert_eq!(go.steer, 0.0);
    }

    #[test]
    fn the_first_tick_equals_the_reference_by_hand() {
        // Speed 4, wanted 4.1: delta 0.1 → 5·0.1 + 0.5·(0.1/40) + 1·0.1 = 0.60125.
        let mut pid = WaypointPid::default();
        let control = pid.control(&Trajectory::constant_speed(4.1), 4.0, None);
        assert!((control.throttle - 0.60125).abs() < 1e-6, "{}", control.throttle);
        // Waypoints on a 45° ray to the right: error 0.5 units → 0.375 + 0.75·0.5/40 + 0.15.
        let ray = Trajectory(std::array::from_fn(|i| [(i + 1) as f32, -((i + 1) as f32)]));
        let control = WaypointPid::default().control(&ray, 2.0, None);
        assert!((control.steer - (0.375 + 0.009375 + 0.15)).abs() < 1e-9, "{}", control.steer);
    }

    #[test]
    fn a_closer_target_angle_wins() {
        let ray = Trajectory(std::array::from_fn(|i| [(i + 1) as f32, (i + 1) as f32]));
        let mut pid = WaypointPid::default();
        assert_eq!(pid.control(&ray, 2.0, Some(DVec2::new(20.0, 0.0))).steer, 0.0);
    }
}

//! Ego dynamics: a textbook kinematic bicycle, and the bicycle fitted to CARLA's lincoln.mkz_2020.
//!
//! Both move the rear axle: ẋ = v cos ψ, ẏ = v sin ψ, ψ̇ = κ v, with the curvature κ set by the steering and v changed
//! by throttle or brake. One step is integrated on the exact circular arc of its mean speed.

use crate::state::{EgoVehicle, TICK_S};
use apprentice_core::{Control, Pose2, wrap_angle};
use serde::{Deserialize, Serialize};

/// How control becomes motion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EgoModel {
    /// Wheelbase 2.85 m, ±35° of steering, 4 m/s² of throttle, 8 m/s² of brake, quadratic drag.
    Kinematic,
    /// Steering and speed as fitted to CARLA's ego by World on Rails and PDM-Lite.
    #[default]
    CarlaFitted,
}

/// Distance from the fitted model's front axle to its centre, metres (a fit, hence the odd sign).
const FRONT_WHEEL_BASE_M: f64 = -0.090_769_015;
/// Distance from the rear axle to the centre, metres.
const REAR_WHEEL_BASE_M: f64 = apprentice_core::camera::REAR_AXLE_TO_CENTER_M;
/// Wheel angle at full steering, radians.
const STEERING_GAIN_RAD: f64 = 0.368_483_36;
/// Below this the fitted throttle has no effect.
const THROTTLE_THRESHOLD: f64 = 0.3;
/// Next speed (km/h, one tick on) over v, v², t, t², vt, vt², v²t, v²t² with v in km/h and t the throttle: the
/// coefficients published with PDM-Lite's kinematic bicycle model.
const THROTTLE_FIT: [f64; 8] = [
    9.638_730_01e-1,
    4.375_356_92e-4,
    -3.801_929_12e-1,
    1.749_500_69,
    9.167_874_14e-2,
    -7.054_615_30e-2,
    -1.059_961_52e-3,
    6.710_793_46e-4,
];
/// Next speed (km/h, one tick on) over v¹…v⁷ at full brake, same source.
const BRAKE_FIT: [f64; 7] = [
    9.317_113_70e-3,
    8.209_674_31e-2,
    -2.838_324_27e-3,
    5.065_874_74e-5,
    -4.903_572_28e-7,
    2.444_192_84e-9,
    -4.911_819_35e-12,
];
/// The fit's speeds end here, km/h; beyond it braking keeps the deceleration of this speed.
const BRAKE_FIT_TOP_KMH: f64 = 90.0;

/// Wheelbase of the plain kinematic model, metres.
const WHEELBASE_M: f64 = 2.85;
/// Its wheel angle at full steering, radians.
const MAX_WHEEL_RAD: f64 = 0.610_865;

impl EgoModel {
    /// Curvature of the rear axle's path at a steering value (right positive), 1/m, left positive.
    pub fn curvature(self, steer: f64) -> f64 {
        let steer = steer.clamp(-1.0, 1.0);
        match self {
            Self::Kinematic => (-steer * MAX_WHEEL_RAD).tan() / WHEELBASE_M,
            // The fit moves the centre with slip angle β; the rear axle then has v_rear = v cos β and ψ̇ = v sin β / l_r.
            Self::CarlaFitted => {
                let ratio = REAR_WHEEL_BASE_M / (FRONT_WHEEL_BASE_M + REAR_WHEEL_BASE_M);
                ratio * (-steer * STEERING_GAIN_RAD).tan() / REAR_WHEEL_BASE_M
            }
        }
    }

    /// The steering value that drives a curvature (1/m, left positive), clamped to what the vehicle can do.
    pub fn steer_for(self, curvature: f64) -> f64 {
        let steer = match self {
            Self::Kinematic => -(curvature * WHEELBASE_M).atan() / MAX_WHEEL_RAD,
            Self::CarlaFitted => -(curvature * (FRONT_WHEEL_BASE_M + REAR_WHEEL_BASE_M)).atan() / STEERING_GAIN_RAD,
        };
        steer.clamp(-1.0, 1.0)
    }

    /// Speed one tick later, m/s.
    pub fn next_speed(self, speed_mps: f64, control: &Control) -> f64 {
        let throttle = control.throttle.clamp(0.0, 1.0);
        let brake = control.brake.clamp(0.0, 1.0);
        let next = match self {
            Self::Kinematic => {
                let drag = 0.05 + 0.0008 * speed_mps * speed_mps;
                speed_mps + (4.0 * throttle - 8.0 * brake - drag) * TICK_S
            }
            Self::CarlaFitted if brake > 0.0 => {
                let kmh = speed_mps * 3.6;
                let fitted = kmh.min(BRAKE_FIT_TOP_KMH);
                let next = BRAKE_FIT.iter().rev().fold(0.0, |sum, c| (sum + c) * fitted);
                // The fit is of a full brake; a partial one takes its share. CARLA's car never speeds up braking.
                let drop = (fitted - next).max(0.2) * brake;
                (kmh - drop) / 3.6
            }
            Self::CarlaFitted if throttle < THROTTLE_THRESHOLD => speed_mps,
            Self::CarlaFitted => {
                let (v, t) = (speed_mps * 3.6, throttle);
                let features = [v, v * v, t, t * t, v * t, v * t * t, v * v * t, v * v * t * t];
                features.iter().zip(THROTTLE_FIT).map(|(f, c)| f * c).sum::<f64>() / 3.6
            }
        };
        next.max(0.0)
    }

    /// Throttle or brake that comes nearest to an acceleration (m/s²) at a speed.
    pub fn pedals_for(self, speed_mps: f64, acceleration_mps2: f64) -> (f64, f64) {
        let gain = |throttle: f64, brake: f64| {
            (self.next_speed(speed_mps, &Control { throttle, brake, steer: 0.0 }) - speed_mps) / TICK_S
        };
        if acceleration_mps2 < gain(0.0, 0.0) - 0.05 {
            let full = gain(0.0, 1.0);
            return (0.0, (acceleration_mps2 / full.min(-0.5)).clamp(0.05, 1.0));
        }
        // Acceleration grows with the throttle over the used range: bisect.
        let (mut low, mut high) = (0.0, 1.0);
        if gain(1.0, 0.0) <= acceleration_mps2 {
            return (1.0, 0.0);
        }
        for _ in 0..8 {
            let middle = 0.5 * (low + high);
            if gain(middle, 0.0) < acceleration_mps2 { low = middle } else { high = middle }
        }
        (if acceleration_mps2 <= 0.0 { low } else { high }, 0.0)
    }

    /// The vehicle one tick later. Ground height and pitch are the caller's to update.
    pub fn step(self, ego: &EgoVehicle, control: &Control) -> EgoVehicle {
        let speed = self.next_speed(ego.speed_mps, control);
        let distance = 0.5 * (ego.speed_mps + speed) * TICK_S;
        let turn = self.curvature(control.steer) * distance;
        let heading = ego.pose_in_world.yaw_rad + turn / 2.0;
        // Chord of the arc.
        let chord = if turn.abs() < 1e-6 { distance } else { distance * (turn / 2.0).sin() / (turn / 2.0) };
        EgoVehicle {
            pose_in_world: Pose2::new(
                ego.pose_in_world.x + chord * heading.cos(),
                ego.pose_in_world.y + chord * heading.sin(),
                wrap_angle(ego.pose_in_world.yaw_rad + turn),
            ),
            speed_mps: speed,
            acceleration_mps2: (speed - ego.speed_mps) / TICK_S,
            yaw_rate_radps: turn / TICK_S,
            ..*ego
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apprentice_core::Control;

    fn ego(speed_mps: f64) -> EgoVehicle {
        EgoVehicle {
            pose_in_world: Pose2::default(),
            ground_z_m: 0.0,
            pitch_rad: 0.0,
            speed_mps,
            acceleration_mps2: 0.0,
            yaw_rate_radps: 0.0,
        }
    }

    #[test]
    fn a_constant_steer_drives_a_circle_of_its_curvature() {
        for model in [EgoModel::Kinematic, EgoModel::CarlaFitted] {
            let steer = model.steer_for(0.1);
            assert!(steer < 0.0, "left is negative");
            assert!((model.curvature(steer) - 0.1).abs() < 1e-9);
            let mut state = ego(5.0);
            let start = state.pose_in_world;
            for _ in 0..400 {
                let (throttle, brake) = model.pedals_for(state.speed_mps, 5.0 - state.speed_mps);
                state = model.step(&state, &Control { steer, throttle, brake });
                // Every position lies on the circle of radius 10 m to the left of the start.
                let centre = start.offset(0.0, 10.0).position();
                assert!(((state.pose_in_world.position() - centre).length() - 10.0).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn the_fitted_car_reaches_and_leaves_town_speed_like_carlas() {
        // By the published fit: 0 → 50 km/h in about 2.5 s at full throttle; from 36 km/h it stops within 11 m.
        let mut state = ego(0.0);
        let full = Control { throttle: 1.0, ..Control::default() };
        let ticks = (0..400)
            .take_while(|_| {
                state = EgoModel::CarlaFitted.step(&state, &full);
                state.speed_mps < 50.0 / 3.6
            })
            .count();
        assert!((40..60).contains(&ticks), "{ticks}");
        let mut state = ego(10.0);
        let brake = Control { brake: 1.0, ..Control::default() };
        for _ in 0..100 {
            state = EgoModel::CarlaFitted.step(&state, &brake);
        }
        assert!(state.speed_mps == 0.0, "{}", state.speed_mps);
        assert!((3.0..11.0).contains(&state.pose_in_world.x), "{}", state.pose_in_world.x);
    }

    #[test]
    fn pedals_reach_the_acceleration_asked_for() {
        for model in [EgoModel::Kinematic, EgoModel::CarlaFitted] {
            for (speed, wanted) in [(0.5, 1.0), (5.0, 1.5), (10.0, -3.0), (14.0, 0.5), (8.0, -6.0)] {
                let (throttle, brake) = model.pedals_for(speed, wanted);
                let got = (model.next_speed(speed, &Control { throttle, brake, steer: 0.0 }) - speed) / TICK_S;
                assert!((got - wanted).abs() < 0.8, "{model:?} {speed} {wanted} {got}");
            }
        }
    }
}

//! Infractions in Bench2Drive's words, and the score they make.
//!
//! A route's score is its completion times the product of the penalties of its infractions (CARLA leaderboard 2,
//! `statistics_manager.py`, as Bench2Drive uses it). Minimum-speed entries are recorded and cost nothing. The world that
//! writes the entries and the judge that reads them share this page.

use serde::{Deserialize, Serialize};

/// Factor per collision with a pedestrian.
const PENALTY_COLLISION_PEDESTRIAN: f64 = 0.5;
/// Factor per collision with a vehicle.
const PENALTY_COLLISION_VEHICLE: f64 = 0.6;
/// Factor per collision with anything that stands.
const PENALTY_COLLISION_LAYOUT: f64 = 0.65;
/// Factor per red light.
const PENALTY_RED_LIGHT: f64 = 0.7;
/// Factor per stop sign.
const PENALTY_STOP: f64 = 0.8;
/// Factor per scenario that timed out.
const PENALTY_SCENARIO_TIMEOUT: f64 = 0.7;
/// Factor per emergency vehicle held up.
const PENALTY_YIELD_EMERGENCY: f64 = 0.7;

/// Infraction messages by kind, in Bench2Drive's order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Infractions {
    pub collisions_layout: Vec<String>,
    pub collisions_pedestrian: Vec<String>,
    pub collisions_vehicle: Vec<String>,
    pub red_light: Vec<String>,
    pub stop_infraction: Vec<String>,
    pub outside_route_lanes: Vec<String>,
    pub min_speed_infractions: Vec<String>,
    pub yield_emergency_vehicle_infractions: Vec<String>,
    pub scenario_timeouts: Vec<String>,
    pub route_dev: Vec<String>,
    pub vehicle_blocked: Vec<String>,
    pub route_timeout: Vec<String>,
}

impl Infractions {
    /// Every kind with its messages, in Bench2Drive's order.
    pub fn by_kind(&self) -> [(&'static str, &[String]); 12] {
        [
            ("collisions_layout", &self.collisions_layout),
            ("collisions_pedestrian", &self.collisions_pedestrian),
            ("collisions_vehicle", &self.collisions_vehicle),
            ("red_light", &self.red_light),
            ("stop_infraction", &self.stop_infraction),
            ("outside_route_lanes", &self.outside_route_lanes),
            ("min_speed_infractions", &self.min_speed_infractions),
            ("yield_emergency_vehicle_infractions", &self.yield_emergency_vehicle_infractions),
            ("scenario_timeouts", &self.scenario_timeouts),
            ("route_dev", &self.route_dev),
            ("vehicle_blocked", &self.vehicle_blocked),
            ("route_timeout", &self.route_timeout),
        ]
    }

    /// Messages that count against success: all but low speed.
    pub fn counted(&self) -> usize {
        self.total() - self.min_speed_infractions.len()
    }

    /// All messages, low speed included.
    pub fn total(&self) -> usize {
        self.by_kind().iter().map(|(_, texts)| texts.len()).sum()
    }

    /// Product of the penalties. `outside_fraction` is the share (0..1) of the driven way outside the route's lanes.
    pub fn penalty(&self, outside_fraction: f64) -> f64 {
        [
            (&self.collisions_pedestrian, PENALTY_COLLISION_PEDESTRIAN),
            (&self.collisions_vehicle, PENALTY_COLLISION_VEHICLE),
            (&self.collisions_layout, PENALTY_COLLISION_LAYOUT),
            (&self.red_light, PENALTY_RED_LIGHT),
            (&self.stop_infraction, PENALTY_STOP),
            (&self.scenario_timeouts, PENALTY_SCENARIO_TIMEOUT),
            (&self.yield_emergency_vehicle_infractions, PENALTY_YIELD_EMERGENCY),
        ]
        .iter()
        .map(|(texts, factor)| factor.powi(texts.len() as i32))
        .product::<f64>()
            * (1.0 - outside_fraction)
    }
}

/// Percent, factor, percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Scores {
    pub score_route: f64,
    pub score_penalty: f64,
    pub score_composed: f64,
}

impl Scores {
    /// Scores of a route: completion in percent and the factor of its infractions, composed and rounded to six
    /// digits as Bench2Drive does.
    pub fn compose(score_route: f64, score_penalty: f64) -> Self {
        let round = |x: f64| (x * 1e6).round() / 1e6;
        let composed = round((score_route * score_penalty).max(0.0));
        Self { score_route: round(score_route), score_penalty: round(score_penalty), score_composed: composed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures of records in the published UniAD and VAD result files.
    #[test]
    fn penalties_are_the_published_ones() {
        let one = |n: usize| vec![String::from("x"); n];
        let hit = Infractions { collisions_vehicle: one(1), min_speed_infractions: one(17), ..Default::default() };
        let penalty = hit.penalty(0.0612494);
        assert!((Scores::compose(100.0, penalty).score_penalty - 0.56325).abs() < 1e-9);
        assert_eq!((hit.total(), hit.counted()), (18, 1));
        let many = Infractions { collisions_pedestrian: one(1), red_light: one(2), stop_infraction: one(1), ..hit };
        assert!((many.penalty(0.0) - 0.6 * 0.5 * 0.49 * 0.8).abs() < 1e-12);
    }
}

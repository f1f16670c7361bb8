//! Infractions in Bench2Drive's words, and the score they make.
//!
//! A route's score is its completion times the product of the penalties of its infractions (CARLA leaderboard 2,
//! `statistics_manager`, as Bench2Drive uses it). Minimum-speed entries are recorded and cost nothing.

use serde::{Deserialize, Serialize};

/// Factor per collision with a pedestrian.
pub const PENALTY_COLLISION_PEDESTRIAN: f64 = 0.5;
/// Factor per collision with a vehicle.
pub const PENALTY_COLLISION_VEHICLE: f64 = 0.6;
/// Factor per collision with anything that stands.
pub const PENALTY_COLLISION_LAYOUT: f64 = 0.65;
/// Factor per red light.
pub const PENALTY_RED_LIGHT: f64 = 0.7;
/// Factor per stop sign.
pub const PENALTY_STOP: f64 = 0.8;
/// Factor per scenario that timed out.
pub const PENALTY_SCENARIO_TIMEOUT: f64 = 0.7;
/// Factor per emergency vehicle held up.
pub const PENALTY_YIELD_EMERGENCY: f64 = 0.7;

/// The lists of a result record, in the file's order.
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
    /// The lists with their names, in the file's order.
    pub fn lists(&self) -> [(&'static str, &[String]); 12] {
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

    /// How many entries there are, minimum speed included.
    pub fn count(&self) -> usize {
        self.lists().iter().map(|(_, list)| list.len()).sum()
    }

    /// How many entries there are that cost success: all but minimum speed.
    pub fn count_without_min_speed(&self) -> usize {
        self.count() - self.min_speed_infractions.len()
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
        .map(|(list, factor)| factor.powi(list.len() as i32))
        .product::<f64>()
            * (1.0 - outside_fraction)
    }
}

/// The three scores of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// Completion, percent.
    pub score_route: f64,
    /// Product of penalties.
    pub score_penalty: f64,
    /// Their product.
    pub score_composed: f64,
}

impl Scores {
    /// Six digits, as the files have it; the product is taken before rounding.
    pub fn new(completion_percent: f64, penalty: f64) -> Self {
        Self {
            score_route: round_to(completion_percent, 6),
            score_penalty: round_to(penalty, 6),
            score_composed: round_to((completion_percent * penalty).max(0.0), 6),
        }
    }
}

/// Round to a number of decimals.
pub(crate) fn round_to(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

/// How an episode ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The route was driven to its end.
    Completed,
    /// More than 30 m off the route, or off it for too long.
    Deviated,
    /// Stood still for a minute.
    Blocked,
    /// The route's own time ran out.
    TimedOut,
    /// 4000 ticks.
    TickLimit,
}

impl Outcome {
    /// The record's status.
    pub fn status(self, infractions: &Infractions) -> &'static str {
        match self {
            Self::Completed if infractions.count() == 0 => "Perfect",
            Self::Completed => "Completed",
            Self::Deviated => "Failed - Agent deviated from the route",
            Self::Blocked => "Failed - Agent got blocked",
            Self::TimedOut => "Failed - Agent timed out",
            Self::TickLimit => "Failed - TickRuntime",
        }
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
        assert!((Scores::new(100.0, penalty).score_penalty - 0.56325).abs() < 1e-9);
        assert_eq!(hit.count(), 18);
        assert_eq!(hit.count_without_min_speed(), 1);
        assert_eq!(Outcome::Completed.status(&hit), "Completed");
        assert_eq!(Outcome::Completed.status(&Infractions::default()), "Perfect");
        let many = Infractions { collisions_pedestrian: one(1), red_light: one(2), stop_infraction: one(1), ..hit };
        assert!((many.penalty(0.0) - 0.6 * 0.5 * 0.49 * 0.8).abs() < 1e-12);
    }
}

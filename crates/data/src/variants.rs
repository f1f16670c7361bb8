//! How one family varies from world to world: distances, parameters, durations. Ranges are those of Bench2Drive's own
//! route file, measured over its 44 types.

use crate::families::{CRUISE, Family};
use crate::sites::Need;
use apprentice_core::{Pose2, Rng};
use apprentice_sim::scenario::{Params, ScenarioSpec};
use std::collections::BTreeMap;

/// One drawn variant of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Metres of way before the anchor of the site.
    pub before_m: f64,
    /// Metres of way behind it.
    pub after_m: f64,
    /// Metres before the anchor at which the scenario is set off.
    pub trigger_before_anchor_m: f64,
    /// Longest simulated time, seconds.
    pub duration_s: f64,
    parameters: BTreeMap<String, Params>,
}

impl Variant {
    /// The scenarios of the world: none for plain driving.
    pub fn scenario(&self, family: &Family, trigger: Pose2, trigger_z_m: f64) -> Vec<ScenarioSpec> {
        if family.name == CRUISE {
            return Vec::new();
        }
        let mut spec = ScenarioSpec::new(family.name, trigger);
        spec.trigger_z_m = trigger_z_m;
        spec.parameters = self.parameters.clone();
        vec![spec]
    }
}

fn value(v: impl ToString) -> Params {
    [("value".to_string(), v.to_string())].into()
}

fn whole(rng: &mut Rng, from: usize, to: usize) -> usize {
    from + rng.below(to - from + 1)
}

fn interval(rng: &mut Rng, from: (usize, usize), width: (usize, usize)) -> Params {
    let low = whole(rng, from.0, from.1);
    let high = low + whole(rng, width.0, width.1);
    [("from".to_string(), low.to_string()), ("to".to_string(), high.to_string())].into()
}

/// Draw a variant. Every family takes the same number of draws for its common part, so that adding a family changes no
/// other.
pub fn draw(family: &Family, rng: &mut Rng) -> Variant {
    let (mut before_m, after_m, trigger_before_anchor_m) = match family.need {
        Need::Straight { .. } | Need::LaneChange => (rng.range(20.0, 45.0), rng.range(105.0, 150.0), 0.0),
        Need::Junction { .. } => (rng.range(45.0, 75.0), rng.range(60.0, 85.0), rng.range(28.0, 36.0)),
    };
    let mut parameters = BTreeMap::new();
    let mut set = |tag: &str, params: Params| {
        parameters.insert(tag.to_string(), params);
    };
    let mut duration_s = 24.0;
    match family.name {
        "Accident" | "ConstructionObstacle" | "ParkedObstacle" => {
            set("distance", value(whole(rng, 40, 48)));
            set("direction", value("right"));
            set("speed", value(whole(rng, 43, 59)));
        }
        "AccidentTwoWays" | "ConstructionObstacleTwoWays" | "ParkedObstacleTwoWays" => {
            set("distance", value(whole(rng, 40, 48)));
            set("frequency", interval(rng, (32, 70), (50, 110)));
            duration_s = 36.0;
        }
        "HazardAtSideLane" => {
            set("distance", value(whole(rng, 40, 46)));
            set("speed", value(whole(rng, 44, 59)));
            set("bicycle_drive_distance", value(whole(rng, 75, 110)));
            set("bicycle_speed", value(whole(rng, 6, 11)));
        }
        "HazardAtSideLaneTwoWays" => {
            set("distance", value(whole(rng, 40, 46)));
            set("frequency", value(whole(rng, 75, 90)));
            set("bicycle_drive_distance", value(whole(rng, 75, 115)));
            set("bicycle_speed", value(whole(rng, 6, 10)));
            duration_s = 36.0;
        }
        "DynamicObjectCrossing" => {
            set("distance", value(whole(rng, 36, 48)));
            set("direction", value("right"));
            let blocker = ["static.prop.advertisement", "static.prop.container", "static.prop.vendingmachine"];
            set("blocker_model", value(blocker[rng.below(blocker.len())]));
            set("crossing_angle", value(whole(rng, 0, 12)));
        }
        "ParkingCrossingPedestrian" => {
            set("distance", value(whole(rng, 36, 46)));
            set("direction", value("right"));
            set("crossing_angle", value(whole(rng, 0, 10)));
        }
        "StaticCutIn" => {
            set("distance", value(whole(rng, 38, 46)));
            set("direction", value("left"));
        }
        "ParkingCutIn" => set("direction", value("right")),
        "ParkingExit" => {
            // The ego begins where the scenario places it; a route that began far behind would be left at once.
            before_m = 1.5;
            set("direction", value("right"));
            set("front_vehicle_distance", value(9));
            set("behind_vehicle_distance", value(9));
        }
        "SignalizedJunctionLeftTurn" | "NonSignalizedJunctionLeftTurn" => {
            set("flow_speed", value(whole(rng, 8, 10)));
            set("source_dist_interval", interval(rng, (15, 24), (2, 11)));
            duration_s = 40.0;
        }
        "OppositeVehicleRunningRedLight" => {
            set("direction", value(["left", "right", "opposite"][rng.below(3)]));
        }
        "YieldToEmergencyVehicle" => set("distance", value(whole(rng, 25, 40))),
        "VanillaSignalizedTurnEncounterRedLight" => duration_s = 32.0,
        _ => {}
    }
    Variant { before_m, after_m, trigger_before_anchor_m, duration_s, parameters }
}

//! Bench2Drive's five abilities: success by groups of scenario types (`tools/ability_benchmark.py`).

use super::Record;
use serde::{Deserialize, Serialize};

/// A group of scenario types that ask for the same skill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Ability {
    Overtaking,
    Merging,
    #[serde(rename = "Emergency_Brake")]
    EmergencyBrake,
    #[serde(rename = "Give_Way")]
    GiveWay,
    #[serde(rename = "Traffic_Signs")]
    TrafficSigns,
}

const OVERTAKING: &[&str] = &[
    "Accident",
    "AccidentTwoWays",
    "ConstructionObstacle",
    "ConstructionObstacleTwoWays",
    "HazardAtSideLane",
    "HazardAtSideLaneTwoWays",
    "ParkedObstacle",
    "ParkedObstacleTwoWays",
    "VehicleOpensDoorTwoWays",
];
const MERGING: &[&str] = &[
    "CrossingBicycleFlow",
    "EnterActorFlow",
    "HighwayCutIn",
    "HighwayExit",
    "InterurbanActorFlow",
    "InterurbanAdvancedActorFlow",
    "MergerIntoSlowTraffic",
    "MergerIntoSlowTrafficV2",
    "NonSignalizedJunctionLeftTurn",
    "NonSignalizedJunctionLeftTurnEnterFlow",
    "NonSignalizedJunctionRightTurn",
    "ParkingExit",
    "SequentialLaneChange",
    "SignalizedJunctionLeftTurn",
    "SignalizedJunctionLeftTurnEnterFlow",
    "SignalizedJunctionRightTurn",
];
const EMERGENCY_BRAKE: &[&str] = &[
    "BlockedIntersection",
    "ControlLoss",
    "DynamicObjectCrossing",
    "HardBreakRoute",
    "OppositeVehicleRunningRedLight",
    "OppositeVehicleTakingPriority",
    "ParkingCrossingPedestrian",
    "ParkingCutIn",
    "PedestrianCrossing",
    "StaticCutIn",
    "VehicleTurningRoute",
    "VehicleTurningRoutePedestrian",
];
const GIVE_WAY: &[&str] = &["InvadingTurn", "YieldToEmergencyVehicle"];
const TRAFFIC_SIGNS: &[&str] = &[
    "BlockedIntersection",
    "CrossingBicycleFlow",
    "EnterActorFlow",
    "NonSignalizedJunctionLeftTurn",
    "NonSignalizedJunctionLeftTurnEnterFlow",
    "NonSignalizedJunctionRightTurn",
    "OppositeVehicleRunningRedLight",
    "OppositeVehicleTakingPriority",
    "PedestrianCrossing",
    "SignalizedJunctionLeftTurn",
    "SignalizedJunctionLeftTurnEnterFlow",
    "SignalizedJunctionRightTurn",
    "T_Junction",
    "VanillaNonSignalizedTurn",
    "VanillaNonSignalizedTurnEncounterStopsign",
    "VanillaSignalizedTurnEncounterGreenLight",
    "VanillaSignalizedTurnEncounterRedLight",
    "VehicleTurningRoute",
    "VehicleTurningRoutePedestrian",
];

impl Ability {
    /// All five, in Bench2Drive's order.
    pub const ALL: [Ability; 5] =
        [Self::Overtaking, Self::Merging, Self::EmergencyBrake, Self::GiveWay, Self::TrafficSigns];

    /// Bench2Drive's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overtaking => "Overtaking",
            Self::Merging => "Merging",
            Self::EmergencyBrake => "Emergency_Brake",
            Self::GiveWay => "Give_Way",
            Self::TrafficSigns => "Traffic_Signs",
        }
    }

    /// Its scenario types, as the route file spells them. A type may belong to two abilities.
    pub fn scenario_types(self) -> &'static [&'static str] {
        match self {
            Self::Overtaking => OVERTAKING,
            Self::Merging => MERGING,
            Self::EmergencyBrake => EMERGENCY_BRAKE,
            Self::GiveWay => GIVE_WAY,
            Self::TrafficSigns => TRAFFIC_SIGNS,
        }
    }
}

/// Successes over routes present, by ability. `None` where there is no route, or where the map is needed and absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Abilities {
    /// Fraction.
    #[serde(rename = "Overtaking")]
    pub overtaking: Option<f64>,
    /// Fraction.
    #[serde(rename = "Merging")]
    pub merging: Option<f64>,
    /// Fraction.
    #[serde(rename = "Emergency_Brake")]
    pub emergency_brake: Option<f64>,
    /// Fraction.
    #[serde(rename = "Give_Way")]
    pub give_way: Option<f64>,
    /// Fraction. A failed route still counts when the ego got past its first junction without running a light or a
    /// stop sign, so this needs the map.
    #[serde(rename = "Traffic_Signs")]
    pub traffic_signs: Option<f64>,
    /// Unweighted mean of the five, when all are known.
    pub mean: Option<f64>,
}

impl Abilities {
    /// From records and, for traffic signs, the completion (fraction of the planned route) beyond which the ego is
    /// past the route's first junction: (index of the first junction waypoint + 8) / waypoints, by route id. Without
    /// it for every route that needs it, the field is `None`.
    ///
    /// A route counts once for traffic signs: won when it succeeded or when the junction rule holds. (Published
    /// abilities have 95 routes there; an older version of the tool entered each route twice.)
    pub fn of(records: &[Record], past_junction: &dyn Fn(&str) -> Option<f64>) -> Self {
        let of_types =
            |types: &'static [&'static str]| records.iter().filter(move |r| types.contains(&r.scenario_type()));
        let plain = |ability: Ability| {
            let total = of_types(ability.scenario_types()).count();
            let won = of_types(ability.scenario_types()).filter(|r| r.succeeded()).count();
            (total > 0).then(|| won as f64 / total as f64)
        };
        let [overtaking, merging, emergency_brake, give_way] =
            [Ability::Overtaking, Ability::Merging, Ability::EmergencyBrake, Ability::GiveWay].map(plain);
        let (mut total, mut won, mut known) = (0_usize, 0_usize, true);
        for record in of_types(TRAFFIC_SIGNS) {
            total += 1;
            let obeyed = record.infractions.stop_infraction.is_empty() && record.infractions.red_light.is_empty();
            match past_junction(record.route()) {
                _ if record.succeeded() => won += 1,
                Some(needed) => won += usize::from(record.scores.score_route / 100.0 > needed && obeyed),
                None => known = false,
            }
        }
        let traffic_signs = (total > 0 && known).then(|| won as f64 / total as f64);
        let all = [overtaking, merging, emergency_brake, give_way, traffic_signs];
        let mean = all.iter().copied().sum::<Option<f64>>().map(|sum| sum / 5.0);
        Self { overtaking, merging, emergency_brake, give_way, traffic_signs, mean }
    }

    /// Name and value of each, in Bench2Drive's order.
    pub fn named(&self) -> [(&'static str, Option<f64>); 5] {
        let values = [self.overtaking, self.merging, self.emergency_brake, self.give_way, self.traffic_signs];
        std::array::from_fn(|i| (Ability::ALL[i].name(), values[i]))
    }
}

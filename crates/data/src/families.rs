//! Scenario families of generated worlds and their tiers.
//!
//! The tier of a family is fixed here and written into every split file: what a student's driving set knows, what it
//! sees rarely, what only the open road shows, what only a teacher meets, and what nobody does before the test.

use crate::sites::{Control, Need, Turning};
use apprentice_core::sample::Tier;

/// One family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family {
    /// Bench2Drive's scenario type, or `Cruise` for plain traffic.
    pub name: &'static str,
    /// Who knows it.
    pub tier: Tier,
    /// The place it needs.
    pub need: Need,
}

const fn family(name: &'static str, tier: Tier, need: Need) -> Family {
    Family { name, tier, need }
}

const fn straight(lanes: usize) -> Need {
    Need::Straight { lanes, oncoming: None, parking: false }
}

const fn two_way() -> Need {
    Need::Straight { lanes: 1, oncoming: Some(true), parking: false }
}

const fn parking() -> Need {
    Need::Straight { lanes: 1, oncoming: None, parking: true }
}

const fn turn(turning: Turning, control: Control) -> Need {
    Need::Junction { turning, control }
}

/// Plain driving in traffic; the family that needs no scenario.
pub const CRUISE: &str = "Cruise";

/// All families, by tier.
pub const FAMILIES: [Family; 28] = [
    family(CRUISE, Tier::Common, straight(1)),
    family("HardBreakRoute", Tier::Common, straight(1)),
    family("VanillaSignalizedTurnEncounterGreenLight", Tier::Common, turn(Turning::Any, Control::Light)),
    family("VanillaSignalizedTurnEncounterRedLight", Tier::Common, turn(Turning::Any, Control::Light)),
    family("VanillaNonSignalizedTurn", Tier::Common, turn(Turning::Any, Control::NoLight)),
    family("VanillaNonSignalizedTurnEncounterStopsign", Tier::Common, turn(Turning::Any, Control::Stop)),
    family("PedestrianCrossing", Tier::Common, turn(Turning::Any, Control::Any)),
    family("DynamicObjectCrossing", Tier::Common, straight(1)),
    family("ParkedObstacle", Tier::Common, straight(2)),
    family("SequentialLaneChange", Tier::Common, Need::LaneChange),
    family("StaticCutIn", Tier::Rare, straight(2)),
    family("ParkingCutIn", Tier::Rare, parking()),
    family("Accident", Tier::Rare, straight(2)),
    family("SignalizedJunctionLeftTurn", Tier::Rare, turn(Turning::Left, Control::Light)),
    family("HazardAtSideLane", Tier::OpenRoad, straight(2)),
    family("ConstructionObstacle", Tier::OpenRoad, straight(2)),
    family("VehicleTurningRoutePedestrian", Tier::OpenRoad, turn(Turning::AnyTurn, Control::Any)),
    family("NonSignalizedJunctionLeftTurn", Tier::OpenRoad, turn(Turning::Left, Control::NoLight)),
    family("ParkedObstacleTwoWays", Tier::OpenRoad, two_way()),
    family("ParkingCrossingPedestrian", Tier::TeacherOnly, parking()),
    family("YieldToEmergencyVehicle", Tier::TeacherOnly, straight(2)),
    family("AccidentTwoWays", Tier::TeacherOnly, two_way()),
    family("BlockedIntersection", Tier::TeacherOnly, turn(Turning::Any, Control::Any)),
    family("OppositeVehicleRunningRedLight", Tier::TeacherOnly, turn(Turning::Straight, Control::Light)),
    family("HazardAtSideLaneTwoWays", Tier::Novel, two_way()),
    family("VehicleTurningRoute", Tier::Novel, turn(Turning::AnyTurn, Control::Any)),
    family("ConstructionObstacleTwoWays", Tier::Novel, two_way()),
    family("ParkingExit", Tier::Novel, parking()),
];

/// The families of a tier.
pub fn of_tier(tier: Tier) -> Vec<&'static Family> {
    FAMILIES.iter().filter(|f| f.tier == tier).collect()
}

/// A family by name.
pub fn find(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|f| f.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_played_and_named_once() {
        for (i, family) in FAMILIES.iter().enumerate() {
            assert!(family.name == CRUISE || apprentice_sim::scenario::built(family.name), "{}", family.name);
            assert!(FAMILIES[..i].iter().all(|f| f.name != family.name), "{} is there twice", family.name);
        }
    }

    #[test]
    fn the_documentation_lists_the_same_tiers() {
        let text = include_str!("../../../docs/data.md");
        for tier in Tier::ALL {
            let names: Vec<_> = of_tier(tier).iter().map(|f| f.name).collect();
            let row = text.lines().find(|l| l.starts_with(&format!("| {} |", tier.name()))).unwrap();
            assert_eq!(row.split('|').nth(3).unwrap().trim(), names.join(", "));
        }
    }
}

//! Bench2Drive's 44 scenario types: which are built, which need traffic lights on the map, and the family of
//! behaviours each is made from.

/// The handful of behaviours that the types are parameters of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Family {
    /// Something stands in the lane: accident, construction, parked car.
    Blocker,
    /// Slow cyclists at the edge of the lane.
    SlowSide,
    /// A door opens as the ego passes.
    Door,
    /// Somebody steps out from behind something.
    Crossing,
    /// Pedestrians or a cyclist cross where the ego turns.
    TurnCrossing,
    /// Cars in front brake hard.
    HardBrake,
    /// A car moves over into the ego's lane.
    CutIn,
    /// A stream of cars that must be crossed, entered or left.
    Flow,
    /// A car breaks the ego's right of way in a junction.
    Runner,
    /// An ambulance or police car comes from behind.
    Emergency,
    /// Debris makes the car lose its grip.
    ControlLoss,
    /// The ego starts between parked cars.
    ParkingExit,
    /// Oncoming cars cut the corner.
    Invading,
    /// Something stands in the junction.
    BlockedJunction,
    /// Nothing but the road: a turn at a light, at a sign, lane changes.
    Plain,
}

/// One of the 44 types.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Bench2Drive's name.
    pub name: &'static str,
    /// What it is made from.
    pub family: Family,
    /// Whether it means nothing without traffic lights.
    pub needs_signals: bool,
}

const fn kind(name: &'static str, family: Family) -> Kind {
    Kind { name, family, needs_signals: false }
}

const fn signalised(name: &'static str, family: Family) -> Kind {
    Kind { name, family, needs_signals: true }
}

/// All 44, by name.
pub const KINDS: [Kind; 44] = [
    kind("Accident", Family::Blocker),
    kind("AccidentTwoWays", Family::Blocker),
    kind("BlockedIntersection", Family::BlockedJunction),
    kind("ConstructionObstacle", Family::Blocker),
    kind("ConstructionObstacleTwoWays", Family::Blocker),
    kind("ControlLoss", Family::ControlLoss),
    kind("CrossingBicycleFlow", Family::Flow),
    kind("DynamicObjectCrossing", Family::Crossing),
    kind("EnterActorFlow", Family::Flow),
    kind("HardBreakRoute", Family::HardBrake),
    kind("HazardAtSideLane", Family::SlowSide),
    kind("HazardAtSideLaneTwoWays", Family::SlowSide),
    kind("HighwayCutIn", Family::CutIn),
    kind("HighwayExit", Family::Flow),
    kind("InterurbanActorFlow", Family::Flow),
    kind("InterurbanAdvancedActorFlow", Family::Flow),
    kind("InvadingTurn", Family::Invading),
    kind("MergerIntoSlowTraffic", Family::Flow),
    kind("MergerIntoSlowTrafficV2", Family::Flow),
    kind("NonSignalizedJunctionLeftTurn", Family::Flow),
    kind("NonSignalizedJunctionLeftTurnEnterFlow", Family::Flow),
    kind("NonSignalizedJunctionRightTurn", Family::Flow),
    signalised("OppositeVehicleRunningRedLight", Family::Runner),
    kind("OppositeVehicleTakingPriority", Family::Runner),
    kind("ParkedObstacle", Family::Blocker),
    kind("ParkedObstacleTwoWays", Family::Blocker),
    kind("ParkingCrossingPedestrian", Family::Crossing),
    kind("ParkingCutIn", Family::CutIn),
    kind("ParkingExit", Family::ParkingExit),
    kind("PedestrianCrossing", Family::TurnCrossing),
    kind("SequentialLaneChange", Family::Plain),
    signalised("SignalizedJunctionLeftTurn", Family::Flow),
    signalised("SignalizedJunctionLeftTurnEnterFlow", Family::Flow),
    signalised("SignalizedJunctionRightTurn", Family::Flow),
    kind("StaticCutIn", Family::CutIn),
    kind("T_Junction", Family::Plain),
    kind("VanillaNonSignalizedTurn", Family::Plain),
    kind("VanillaNonSignalizedTurnEncounterStopsign", Family::Plain),
    signalised("VanillaSignalizedTurnEncounterGreenLight", Family::Plain),
    signalised("VanillaSignalizedTurnEncounterRedLight", Family::Plain),
    kind("VehicleOpensDoorTwoWays", Family::Door),
    kind("VehicleTurningRoute", Family::TurnCrossing),
    kind("VehicleTurningRoutePedestrian", Family::TurnCrossing),
    kind("YieldToEmergencyVehicle", Family::Emergency),
];

/// The type of a name, if it is one of the 44.
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| k.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_distinct() {
        assert!(KINDS.windows(2).all(|w| w[0].name < w[1].name));
    }
}

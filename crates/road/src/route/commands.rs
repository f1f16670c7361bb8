//! Navigation commands, with the meaning of CARLA's RoadOption: LEFT, RIGHT or STRAIGHT through a junction,
//! CHANGELANE… during a lane change, LANEFOLLOW elsewhere.

use super::{Route, RoutePoint, SPACING_M};
use apprentice_core::{Command, wrap_angle};

/// A junction passed with less turning than this is passed straight on (CARLA's threshold).
const STRAIGHT_RAD: f64 = 35.0 * std::f64::consts::PI / 180.0;
/// How long before a manoeuvre its command is given, metres.
const AHEAD_M: f64 = 20.0;

/// Give junction points their commands. Lane changes are marked already and win outside junctions.
pub(super) fn assign(points: &mut [RoutePoint], junction_of: impl Fn(&RoutePoint) -> Option<usize>) {
    let mut i = 0;
    while i < points.len() {
        let Some(junction) = junction_of(&points[i]) else {
            i += 1;
            continue;
        };
        let mut end = i;
        while end + 1 < points.len() && junction_of(&points[end + 1]) == Some(junction) {
            end += 1;
        }
        let turned: f64 = (i.max(1)..=(end + 1).min(points.len() - 1))
            .map(|k| wrap_angle(points[k].yaw_rad - points[k - 1].yaw_rad))
            .sum();
        let command = if turned.abs() < STRAIGHT_RAD {
            Command::Straight
        } else if turned > 0.0 {
            Command::Left
        } else {
            Command::Right
        };
        for point in &mut points[i..=end] {
            point.command = command;
        }
        i = end + 1;
    }
}

/// See [`Route::command_ahead`].
pub(super) fn ahead(route: &Route, s_m: f64) -> Command {
    let last = route.points.len() - 1;
    let first = ((s_m.max(0.0) / SPACING_M) as usize).min(last);
    let end = (((s_m + AHEAD_M).max(0.0) / SPACING_M) as usize).min(last);
    route.points[first..=end]
        .iter()
        .map(|p| p.command)
        .find(|c| *c != Command::LaneFollow)
        .unwrap_or(Command::LaneFollow)
}

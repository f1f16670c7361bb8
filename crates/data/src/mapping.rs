//! The vector map around the ego as labels.

use crate::labels::LabelRange;
use apprentice_core::geometry::DVec2;
use apprentice_core::{MapClass, MapLabel, Pose2};
use apprentice_road::RoadNetwork;
use apprentice_road::vector_map::MapWindow;

/// Shorter pieces are not labelled, metres.
const SHORTEST_M: f64 = 1.5;

/// Map labels around a pose, by class, then in the network's order.
pub fn map_labels(net: &RoadNetwork, ego_in_world: Pose2, range: LabelRange) -> Vec<MapLabel> {
    let window =
        MapWindow { pose: ego_in_world, x_m: (range.back_m, range.front_m), y_m: (-range.side_m, range.side_m) };
    let mut labels = Vec::new();
    for class in MapClass::ALL {
        let lines = match class {
            MapClass::Divider => net.dividers_near(&window),
            MapClass::PedCrossing => net.crosswalks_near(&window),
            MapClass::Boundary => net.boundaries_near(&window),
            MapClass::Centerline => net.centerlines_near(&window),
            MapClass::StopLine => net.stop_lines_near(&window),
        };
        labels.extend(
            lines
                .iter()
                .filter(|line| length_m(line) >= SHORTEST_M)
                .map(|line| MapLabel { class, points_in_ego: line.iter().map(|p| [p.x as f32, p.y as f32]).collect() }),
        );
    }
    labels
}

fn length_m(line: &[DVec2]) -> f64 {
    line.windows(2).map(|w| w[0].distance(w[1])).sum()
}

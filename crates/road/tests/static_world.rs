//! The static geometry and the vector-map queries on real maps.
#![allow(clippy::print_stdout)]

mod common;

use apprentice_core::{OrientedBox, Pose2};
use apprentice_road::{LaneKind, MapWindow, RoadNetwork};
use std::time::Instant;

#[test]
fn towns_have_light_surfaces_and_scenery_clear_of_lanes() {
    let Some(data) = common::shared_data() else { return };
    for town in common::TOWNS {
        let net = RoadNetwork::load(data.join(format!("carla_xodr/{town}.xodr"))).expect("loads");
        let start = Instant::now();
        let mesh = net.meshes();
        let took = start.elapsed();
        let triangles: usize = mesh.surfaces.iter().map(|s| 2 * (s.left.len() - 1)).sum();
        let paint: usize = mesh.paint.iter().map(|p| 2 * (p.points.len() - 1)).sum();
        println!(
            "{town}: {took:.0?}, {} strips {triangles} triangles, {} lines {paint} triangles, {} stop lines, {} crosswalks, {} buildings, {} trees, {} poles",
            mesh.surfaces.len(),
            mesh.paint.len(),
            mesh.stop_lines.len(),
            mesh.crosswalks.len(),
            mesh.buildings.len(),
            mesh.trees.len(),
            mesh.poles.len()
        );
        assert!(mesh.surfaces.iter().all(|s| s.left.len() == s.right.len() && s.left.len() >= 2));
        assert!(mesh.buildings.len() > 20);
        assert_eq!(mesh, net.meshes(), "the same map gives the same scenery");
        let boxes: Vec<OrientedBox> = mesh
            .buildings
            .iter()
            .map(|b| {
                let [a, c, d, e] = b.footprint;
                let center = (a + d) / 2.0;
                let along = a - c;
                OrientedBox {
                    center: Pose2::new(center.x, center.y, along.y.atan2(along.x)),
                    length_m: along.length(),
                    width_m: (a - e).length(),
                }
            })
            .collect();
        for lane in net.lanes.iter().filter(|l| l.kind == LaneKind::Driving) {
            for p in &lane.points {
                let near = |b: &&OrientedBox| b.distance_to(p.position.truncate()) < p.width_m / 2.0 + 1.0;
                assert!(boxes.iter().find(near).is_none(), "{town}: a building on lane {}", lane.id);
            }
        }
    }
}

#[test]
fn boundaries_enclose_lanes_and_queries_are_fast() {
    let Some(data) = common::shared_data() else { return };
    for town in ["Town02", "Town04", "Town10HD"] {
        let net = RoadNetwork::load(data.join(format!("carla_xodr/{town}.xodr"))).expect("loads");
        let window = |pose| MapWindow { pose, x_m: (-30.0, 30.0), y_m: (-15.0, 15.0) };
        let start = Instant::now();
        let _ = net.boundaries_near(&window(Pose2::new(0.0, 0.0, 0.0)));
        let build = start.elapsed();
        let lanes: Vec<_> = net.lanes.iter().filter(|l| l.kind == LaneKind::Driving && l.length_m > 5.0).collect();
        let start = Instant::now();
        let mut counts = [0usize; 5];
        let mut empty = 0;
        for lane in &lanes {
            let w = window(lane.at(lane.length_m / 2.0).pose());
            let layers = [
                net.boundaries_near(&w),
                net.dividers_near(&w),
                net.centerlines_near(&w),
                net.crosswalks_near(&w),
                net.stop_lines_near(&w),
            ];
            for (count, layer) in counts.iter_mut().zip(&layers) {
                *count += layer.len();
            }
            // A motorway of four lanes each way is wider than the label window.
            empty += usize::from(net.boundaries_near(&MapWindow { y_m: (-25.0, 25.0), ..w }).is_empty());
            assert!(!layers[2].is_empty());
        }
        let per_query = start.elapsed() / lanes.len() as u32;
        println!(
            "{town}: build {build:.0?}, all layers {per_query:.0?}, {counts:?} over {} windows, {empty} without boundary",
            lanes.len()
        );
        assert!(empty * 20 < lanes.len(), "{town}: {empty} windows of {} see no boundary", lanes.len());
        // No boundary runs through the middle of a lane (in plan; flyovers excepted by looking at few).
        let mut crossed = 0;
        for lane in &lanes {
            let w = MapWindow { pose: lane.at(lane.length_m / 2.0).pose(), x_m: (-1.0, 1.0), y_m: (-0.5, 0.5) };
            crossed += usize::from(!net.boundaries_near(&w).is_empty());
        }
        assert!(crossed * 50 <= lanes.len(), "{town}: boundaries cross {crossed} of {} lanes", lanes.len());
    }
}

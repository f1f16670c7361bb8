//! The six CARLA towns and other tools' exports.
#![allow(clippy::print_stdout)]

mod common;

use apprentice_road::{LaneKind, RoadNetwork, SignalKind};

#[test]
fn carla_towns_load_with_sensible_topology() {
    let Some(data) = common::shared_data() else { return };
    for town in common::TOWNS {
        let start = std::time::Instant::now();
        let net = RoadNetwork::load(data.join(format!("carla_xodr/{town}.xodr"))).expect("a real map loads");
        let took = start.elapsed();
        let driving: Vec<_> = net.lanes.iter().filter(|l| l.kind == LaneKind::Driving).collect();
        let km = driving.iter().map(|l| l.length_m).sum::<f64>() / 1000.0;
        let lights = net.signals.iter().filter(|s| s.kind == SignalKind::TrafficLight).count();
        let stops = net.signals.iter().filter(|s| s.kind == SignalKind::Stop).count();
        let dead_ends = driving.iter().filter(|l| l.successors.is_empty()).count();
        let ungoverned =
            net.signals.iter().filter(|s| s.kind == SignalKind::TrafficLight && s.stop_lines.is_empty()).count();
        let conflicts: usize = net.junctions.iter().map(|j| j.conflicts.len()).sum();
        println!(
            "{town}: {took:.0?}, {} lanes, {} driving ({km:.1} km), {dead_ends} dead ends, {} junctions, {conflicts} conflicts, {lights} lights ({ungoverned} ungoverned), {stops} stops, {} crosswalks",
            net.lanes.len(),
            driving.len(),
            net.junctions.len(),
            net.crosswalks.len()
        );
        assert_eq!(net.has_signals, town != "Town03", "{town}");
        assert!(dead_ends * 40 < driving.len(), "{town}: {dead_ends} of {} driving lanes lead nowhere", driving.len());
        // Traffic flows on: a successor starts where its lane ends, in the same direction.
        for lane in &driving {
            for &next in &lane.successors {
                let gap = (net.lanes[next].start().position - lane.end().position).length();
                assert!(gap < 1.2, "{town}: {gap:.2} m between lane {} and {next}", lane.id);
            }
        }
        for signal in &net.signals {
            for line in &signal.stop_lines {
                assert!(net.lanes[line.lane].junction.is_none());
                assert!(net.lanes[line.lane].kind == LaneKind::Driving);
                // Traffic waits before the light, in sight of it.
                let frame = apprentice_core::Pose2::new(line.center.x, line.center.y, line.yaw_rad);
                let ahead = frame.to_local(signal.pose_in_world.position()).x;
                assert!(signal.kind != SignalKind::TrafficLight || ahead > 1.0, "{town}: light {} {ahead}", signal.id);
            }
        }
    }
}

#[test]
fn other_tools_maps_load() {
    let Some(data) = common::shared_data() else { return };
    let mut names: Vec<_> = std::fs::read_dir(data.join("opendrive_misc"))
        .expect("readable")
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "xodr"))
        .collect();
    names.sort();
    assert!(names.len() >= 15);
    for path in names {
        match RoadNetwork::load(&path) {
            Ok(net) => println!("{}: {} lanes, {} signals", net.name, net.lanes.len(), net.signals.len()),
            Err(e) => panic!("{e}"),
        }
    }
}

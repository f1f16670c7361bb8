//! Procedural towns.
#![allow(clippy::print_stdout)]

use apprentice_road::town::{Layout, TownSpec, layouts, xodr};
use apprentice_road::{LaneKind, Route, SignalKind};

#[test]
fn towns_read_back_whole_and_lead_everywhere() {
    for &layout in layouts() {
        for seed in 0..12 {
            let spec = TownSpec { layout, seed };
            let text = xodr(&spec);
            assert_eq!(text, xodr(&spec), "the same seed writes the same town");
            let net = spec.network().unwrap_or_else(|e| panic!("{}: {e}", spec.name()));
            let driving: Vec<_> = net.lanes.iter().filter(|l| l.kind == LaneKind::Driving).collect();
            let km = driving.iter().map(|l| l.length_m).sum::<f64>() / 1000.0;
            let count = |kind| net.signals.iter().filter(|s| s.kind == kind).count();
            println!(
                "{}: {} kB, {} lanes, {km:.1} km, {} junctions, {} lights, {} stops, {} yields, {} crosswalks, bounds {:.0}",
                spec.name(),
                text.len() / 1000,
                driving.len(),
                net.junctions.len(),
                count(SignalKind::TrafficLight),
                count(SignalKind::Stop),
                count(SignalKind::Yield),
                net.crosswalks.len(),
                net.bounds.max - net.bounds.min
            );
            for lane in &driving {
                let name = spec.name();
                // A lane that ends in a taper leads on by changing lanes; all others have successors.
                let tapers = lane.end().width_m < 0.5;
                assert!(
                    tapers || !lane.successors.is_empty(),
                    "{name}: road {} lane {} leads nowhere",
                    lane.road,
                    lane.lane
                );
                for &next in &lane.successors {
                    let gap = (net.lanes[next].start().position - lane.end().position).length();
                    assert!(
                        gap < 0.02,
                        "{name}: {gap} m from road {} lane {} to road {}",
                        lane.road,
                        lane.lane,
                        net.lanes[next].road
                    );
                    let turn = apprentice_core::wrap_angle(net.lanes[next].start().yaw_rad - lane.end().yaw_rad).abs();
                    assert!(turn < 0.03, "{name}: a kink of {turn} rad after road {} lane {}", lane.road, lane.lane);
                }
                for pair in lane.points.windows(2) {
                    let bend = apprentice_core::wrap_angle(pair[1].yaw_rad - pair[0].yaw_rad).abs();
                    assert!(bend < 0.4, "{name}: a bend of {bend} rad/m on road {}", lane.road);
                }
            }
            for signal in net.signals.iter().filter(|s| s.kind == SignalKind::TrafficLight) {
                assert!(!signal.stop_lines.is_empty() && signal.group.is_some() && signal.junction.is_some());
                // The light can be seen from where its traffic waits: ahead, not far to the side.
                for line in &signal.stop_lines {
                    let frame = apprentice_core::Pose2::new(line.center.x, line.center.y, line.yaw_rad);
                    let p = frame.to_local(signal.pose_in_world.position());
                    assert!(p.x > 8.0 && p.x < 70.0 && p.y.abs() < 0.75 * p.x, "{}: light at {p}", spec.name());
                }
            }
            // Any driving lane reaches any other of a few (the motorway's inner side is a ring of its own).
            let step = (driving.len() / 5).max(1);
            let outer = |l: &&&apprentice_road::Lane| layout != Layout::Highway || l.lane < 2;
            let ends: Vec<_> =
                driving.iter().filter(outer).step_by(step).map(|l| l.at(l.length_m / 2.0).position).collect();
            for from in &ends {
                for to in &ends {
                    let lanes = |p: &apprentice_core::geometry::DVec3| net.lanes_near(p.truncate(), 0.5).len();
                    if from != to && lanes(from) == 1 && lanes(to) == 1 {
                        Route::plan(&net, &[*from, *to]).unwrap_or_else(|e| panic!("{}: {e}", spec.name()));
                    }
                }
            }
        }
    }
    assert!(Layout::Avenue.is_held_out());
}

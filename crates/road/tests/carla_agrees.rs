//! CARLA's own map code (`bench/fixtures/carla_road_fixtures.py`) and ours say the same about the same maps.
#![allow(clippy::print_stdout)]

mod common;

use apprentice_core::geometry::DVec2;
use apprentice_core::wrap_angle;
use apprentice_road::town::{TownSpec, layouts};
use apprentice_road::{Lane, LaneKind, RoadNetwork, SignalKind};
use serde_json::Value;
use std::collections::BTreeSet;

fn fixture(name: &str) -> Value {
    let path = format!("{}/../../bench/fixtures/carla_road/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).expect("JSON")
}

fn number(row: &Value, field: &str) -> f64 {
    row[field].as_f64().expect("a number")
}

/// Roads and lanes that follow the end of a lane; CARLA looks a metre ahead, over lanes shorter than that.
fn after(net: &RoadNetwork, lane: &Lane) -> BTreeSet<(String, i32)> {
    let mut out = BTreeSet::new();
    let mut open = vec![(lane.id, 0.0)];
    while let Some((id, gone_m)) = open.pop() {
        for &next in &net.lanes[id].successors {
            let lane = &net.lanes[next];
            out.insert((lane.road.clone(), lane.lane));
            if gone_m + lane.length_m < 2.0 {
                open.push((next, gone_m + lane.length_m));
            }
        }
    }
    out
}

/// The 99th percentile.
fn p99(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * 99 / 100).min(values.len() - 1)]
}

fn compare(net: &RoadNetwork, name: &str) {
    let fixture = fixture(name);
    let rows = fixture["waypoints"].as_array().expect("rows");
    let (mut apart, mut widths, mut yaws) = (Vec::new(), Vec::new(), Vec::new());
    let (mut strangers, mut changes) = (Vec::new(), Vec::new());
    for row in rows {
        let p = DVec2::new(number(row, "x"), number(row, "y"));
        let (road, lane_number) = (row["road"].as_str().expect("road"), row["lane"].as_i64().expect("lane") as i32);
        let mine = net.lanes.iter().filter(|l| l.road == road && l.lane == lane_number && l.kind == LaneKind::Driving);
        let best = mine
            .map(|l| {
                let (s_m, _) = l.project(p);
                ((l.at(s_m).position.truncate() - p).length(), l, s_m)
            })
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let (distance, lane, s_m) = best.unwrap_or_else(|| panic!("{name}: no driving lane {road}/{lane_number}"));
        let at = lane.at(s_m);
        apart.push(distance.max((at.position.z - number(row, "z")).abs()));
        widths.push((at.width_m - number(row, "width")).abs());
        yaws.push(wrap_angle(at.yaw_rad - number(row, "yaw")).abs());
        assert_eq!(lane.junction.is_some(), row["junction"].as_bool().expect("bool"), "{name}: {road}/{lane_number}");
        let ours = after(net, lane);
        let mut at_the_end = lane;
        // CARLA walks to the end of the lane across its sections.
        while let [next] = at_the_end.successors[..]
            && net.lanes[next].road == lane.road
        {
            at_the_end = &net.lanes[next];
        }
        let further = after(net, at_the_end);
        if further.is_empty() {
            // A lane that ends in a taper: traffic changes lanes. CARLA carries it over.
            continue;
        }
        for next in row["after"].as_array().expect("list") {
            let next = (next[0].as_str().expect("road").to_string(), next[1].as_i64().expect("lane") as i32);
            if !ours.contains(&next) && !further.contains(&next) {
                strangers.push(format!("{road}/{lane_number} -> {next:?}"));
            }
        }
        // Near the ends of a mark the two may disagree; inside junctions we allow no changes.
        let near_mark_end =
            |spans: &[(f64, f64)]| spans.iter().any(|s| (s.0 - s_m).abs() < 0.6 || (s.1 - s_m).abs() < 0.6);
        if lane.junction.is_none() {
            for (field, neighbour, spans) in
                [("left", lane.left, &lane.change_left_spans), ("right", lane.right, &lane.change_right_spans)]
            {
                let mine = spans.iter().any(|s| s.0 <= s_m && s_m <= s.1);
                let theirs = row[field].as_bool().expect("bool") && neighbour.is_some();
                if mine != theirs && !near_mark_end(spans) {
                    changes.push(format!("{road}/{lane_number} at {s_m:.1} {field}: ours {mine}"));
                }
            }
        }
    }
    let largest = apart.iter().copied().fold(0.0, f64::max);
    let (apart, widths, yaws) = (p99(&mut apart), p99(&mut widths), p99(&mut yaws));
    println!(
        "{name}: {} waypoints, p99 {:.1} mm (max {:.1}), width {:.1} mm, yaw {:.4} rad, {} strange successors, {} changes differ",
        rows.len(),
        apart * 1e3,
        largest * 1e3,
        widths * 1e3,
        yaws,
        strangers.len(),
        changes.len()
    );
    assert!(apart <= 0.05 && widths <= 0.02 && yaws <= 0.03, "{name}");
    assert!(strangers.len() * 100 <= rows.len(), "{name}: {strangers:#?}");
    assert!(changes.len() * 50 <= rows.len(), "{name}: {changes:#?}");
    assert_eq!(net.crosswalks.len() as u64, fixture["crosswalks"].as_u64().expect("count"), "{name}: crosswalks");
    let marks = fixture["landmarks"].as_array().expect("list");
    let mut misplaced = 0;
    for mark in marks {
        let id = mark["id"].as_str().expect("id");
        let signal = net.signals.iter().find(|s| s.id == id).unwrap_or_else(|| panic!("{name}: no signal {id}"));
        let kind = match mark["type"].as_str() {
            Some("206") => SignalKind::Stop,
            Some("205") => SignalKind::Yield,
            _ => SignalKind::TrafficLight,
        };
        assert_eq!(signal.kind, kind, "{name}: signal {id}");
        let p = DVec2::new(number(mark, "x"), number(mark, "y"));
        let off = (signal.pose_in_world.position() - p).length();
        if off > 0.5 {
            println!("{name}: signal {id} at {}, CARLA {p}", signal.pose_in_world.position());
        }
        misplaced += usize::from(off > 0.5);
    }
    assert!(misplaced * 20 <= marks.len(), "{name}: {misplaced} of {} signals misplaced", marks.len());
}

#[test]
fn procedural_towns_read_the_same_in_carla() {
    for &layout in layouts() {
        let spec = TownSpec { layout, seed: 1 };
        compare(&spec.network().expect("reads"), &spec.name());
    }
}

#[test]
fn carla_towns_read_the_same_in_carla() {
    let Some(data) = common::shared_data() else { return };
    for town in common::TOWNS {
        let net = RoadNetwork::load(data.join(format!("carla_xodr/{town}.xodr"))).expect("loads");
        compare(&net, town);
    }
}

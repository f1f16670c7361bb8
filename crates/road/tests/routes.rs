//! Bench2Drive's routes in the towns at hand.
#![allow(clippy::print_stdout)]

mod common;

use apprentice_core::Command;
use apprentice_core::geometry::DVec3;
use apprentice_core::wrap_angle;
use apprentice_road::{RoadNetwork, Route};

/// (id, town, waypoints with y negated).
fn routes(xml: &str) -> Vec<(String, String, Vec<DVec3>)> {
    let document = roxmltree::Document::parse(xml).expect("XML");
    let number = |n: roxmltree::Node, a: &str| n.attribute(a).and_then(|t| t.parse::<f64>().ok()).expect("number");
    document
        .descendants()
        .filter(|n| n.has_tag_name("route"))
        .map(|r| {
            let waypoints = r.children().find(|n| n.has_tag_name("waypoints")).expect("waypoints");
            let points = waypoints
                .children()
                .filter(|n| n.is_element())
                .map(|w| DVec3::new(number(w, "x"), -number(w, "y"), number(w, "z")))
                .collect();
            let text = |a| r.attribute(a).expect("attribute").to_string();
            (text("id"), text("town"), points)
        })
        .collect()
}

#[test]
fn bench2drive_routes_are_planned_through_every_waypoint() {
    let Some(data) = common::shared_data() else { return };
    let xml = std::fs::read_to_string(data.join("b2d_routes/bench2drive220.xml")).expect("readable");
    let routes = routes(&xml);
    let mut planned = 0;
    let mut problems = Vec::new();
    for town in common::TOWNS {
        let net = RoadNetwork::load(data.join(format!("carla_xodr/{town}.xodr"))).expect("loads");
        for (id, _, waypoints) in routes.iter().filter(|r| r.1 == town) {
            let start = std::time::Instant::now();
            let route = match Route::plan(&net, waypoints) {
                Ok(route) => route,
                Err(e) => {
                    problems.push(format!("{id}: {e}"));
                    continue;
                }
            };
            let took = start.elapsed();
            planned += 1;
            let mut hint = 0.0;
            let mut worst = 0.0f64;
            let mut before = waypoints[0];
            for w in waypoints {
                hint += (*w - before).length();
                before = *w;
                let (s, _) = route.project(w.truncate(), hint);
                worst = worst.max((route.at(s).position - *w).truncate().length());
                hint = s;
            }
            let step = |k: usize| (route.points[k].position - route.points[k - 1].position).length();
            let bend = |k: usize| wrap_angle(route.points[k].yaw_rad - route.points[k - 1].yaw_rad).abs();
            let jump = (1..route.points.len()).map(step).fold(0.0, f64::max);
            let turn = (1..route.points.len()).map(bend).fold(0.0, f64::max);
            let air: f64 = waypoints.windows(2).map(|w| (w[1] - w[0]).length()).sum();
            let commands: std::collections::BTreeSet<Command> = route.points.iter().map(|p| p.command).collect();
            println!(
                "{town} {id}: {:.0} m ({air:.0} by air), worst {worst:.2} m, jump {jump:.2} m, bend {turn:.2} rad, {took:.1?}, {commands:?}",
                route.length_m
            );
            if worst > 1.0 || jump > 2.0 || turn > 0.5 || route.length_m > 1.6 * air + 10.0 {
                problems.push(format!(
                    "{id}: worst {worst:.2} jump {jump:.2} turn {turn:.2} {:.0}/{air:.0}",
                    route.length_m
                ));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
    assert_eq!(planned, 40);
}

#[test]
fn lane_changes_are_smooth_and_commands_come_in_time() {
    let spec = apprentice_road::town::TownSpec { layout: apprentice_road::town::Layout::Highway, seed: 2 };
    let net = spec.network().expect("reads");
    // From the rightmost through lane to the leftmost, 300 m on.
    let right = net.lanes.iter().find(|l| l.lane == -4 && l.length_m > 600.0).expect("a long motorway lane");
    let middle = &net.lanes[right.left.expect("a lane to the left")];
    let left = &net.lanes[middle.left.expect("another")];
    let (from, to) = (right.at(50.0).position, left.at(left.length_m * 350.0 / right.length_m).position);
    let route = Route::plan(&net, &[from, to]).expect("plans");
    let changing = |p: &&apprentice_road::RoutePoint| p.command == Command::ChangeLaneLeft;
    let metres = route.points.iter().filter(changing).count();
    assert!((38..=50).contains(&metres), "two changes of 22 m, not {metres} m");
    assert!(route.points.iter().all(|p| p.command == Command::LaneFollow || p.command == Command::ChangeLaneLeft));
    for pair in route.points.windows(2) {
        let bend = wrap_angle(pair[1].yaw_rad - pair[0].yaw_rad).abs();
        assert!(bend < 0.06, "{bend} rad in a metre at {}", pair[0].s_m);
    }
    let first = route.points.iter().find(changing).expect("a change").s_m;
    assert_eq!(route.command_ahead((first - 15.0).max(0.0)), Command::ChangeLaneLeft);
    // Back again is no way: the lines may be crossed, but not backwards in a ring this short.
    let (s, lateral) = route.project(to.truncate(), f64::NAN);
    assert!((s - route.length_m).abs() < 0.1 && lateral.abs() < 0.05);
}

#[test]
fn turns_are_named_after_where_they_lead() {
    let spec = apprentice_road::town::TownSpec { layout: apprentice_road::town::Layout::Grid, seed: 1 };
    let net = spec.network().expect("reads");
    let mut seen = std::collections::BTreeSet::new();
    for junction in &net.junctions {
        for &inside in &junction.lanes {
            let lane = &net.lanes[inside];
            let (before, after) = (&net.lanes[lane.predecessors[0]], &net.lanes[lane.successors[0]]);
            let from = before.at(before.length_m - 40.0).position;
            let to = after.at(10.0).position;
            let route = Route::plan(&net, &[from, lane.at(lane.length_m / 2.0).position, to]).expect("plans");
            let turned = wrap_angle(lane.end().yaw_rad - lane.start().yaw_rad);
            let expected = match turned {
                t if t > 0.8 => Command::Left,
                t if t < -0.8 => Command::Right,
                _ => Command::Straight,
            };
            // The command is given before the junction and holds to its end.
            let enter = route.points.iter().find(|p| p.in_junction).expect("passes the junction").s_m;
            assert_eq!(route.command_ahead(enter - 15.0), expected);
            assert_eq!(route.command_ahead(enter - 25.0), Command::LaneFollow);
            assert_eq!(route.command_ahead(enter + lane.length_m / 2.0), expected);
            assert_eq!(route.command_ahead(route.length_m), Command::LaneFollow);
            seen.insert(expected);
        }
    }
    assert_eq!(seen.len(), 3);
}

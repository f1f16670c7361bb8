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

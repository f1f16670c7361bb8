//! Steps per second of the world without cameras: `cargo run --release -p apprentice-sim --example world_speed [XODR]`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use apprentice_road::{LaneKind, RoadNetwork, Route, town};
use std::sync::Arc;

fn main() {
    let net = match std::env::args().nth(1) {
        Some(path) => RoadNetwork::load(path).unwrap(),
        None => town::TownSpec { layout: town::layouts()[0], seed: 1 }.network().unwrap(),
    };
    let lane = net
        .lanes
        .iter()
        .filter(|l| l.kind == LaneKind::Driving && l.junction.is_none())
        .max_by(|a, b| a.length_m.total_cmp(&b.length_m))
        .unwrap();
    let route = Route::plan(&net, &[lane.at(5.0).position, lane.at(lane.length_m - 2.0).position]).unwrap();
    let (net, route) = (Arc::new(net), Arc::new(route));
    for _ in 0..5 {
        let speed = apprentice_sim::bench::world_speed(net.clone(), route.clone(), 32, 20_000).unwrap();
        println!("{:.0} steps/s with {:.1} actors, hash {:016x}", speed.steps_per_s(), speed.actors, speed.state_hash);
    }
}
